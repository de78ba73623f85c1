"""Logs go to stderr: pretty in a terminal, JSON lines otherwise. structlog is imported with the first event."""

from __future__ import annotations

import sys
from functools import cache
from typing import Any


@cache
def _logger() -> Any:  # noqa: ANN401 - structlog types it so
    import structlog

    terminal = sys.stderr.isatty()
    renderer: Any = (
        structlog.dev.ConsoleRenderer(pad_event_to=0) if terminal else structlog.processors.JSONRenderer()
    )
    stamp = structlog.processors.TimeStamper(fmt="%H:%M:%S" if terminal else "iso", utc=not terminal)
    structlog.configure(
        processors=[structlog.processors.add_log_level, stamp, renderer],
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )
    return structlog.get_logger()


def log(event: str, **fields: object) -> None:
    """One event in the past tense, values as fields."""
    _logger().info(event, **fields)
