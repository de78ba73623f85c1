"""Logs to stderr: readable lines on a terminal, JSON lines otherwise. structlog is imported at the first event."""

from __future__ import annotations

import sys
from collections.abc import MutableMapping
from functools import cache
from typing import Any

from reconciler.colours import Paint, plain, style_of_verb
from reconciler.terminal import paint_for
from reconciler.words import printable_text

# The columns of an action's line, as (field, width). Other events show their fields as name=value.
COLUMNS = (("host", 0), ("verb", 8), ("app", 0), ("subject", 24), ("seconds", 6), ("reason", 0))

_details = False


@cache
def _logger() -> Any:  # noqa: ANN401 - structlog's own type
    import structlog

    terminal = sys.stderr.isatty()
    renderer: Any = structlog.processors.JSONRenderer(ensure_ascii=False)
    if terminal:
        paint = paint_for(sys.stderr)

        def renderer(_logger: object, _method: str, fields: MutableMapping[str, Any]) -> str:
            return readable_line(fields, paint)

    stamp = structlog.processors.TimeStamper(fmt="%H:%M:%S" if terminal else "iso", utc=not terminal)
    structlog.configure(
        processors=[structlog.processors.add_log_level, stamp, renderer],
        logger_factory=structlog.PrintLoggerFactory(file=_CurrentStderr()),  # type: ignore[arg-type]
    )
    return structlog.get_logger()


class _CurrentStderr:
    """stderr as it is at each line: lines that move have a stand-in for it (engine/live_region.py)."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def readable_line(fields: MutableMapping[str, Any], paint: Paint = plain) -> str:
    """One event as a line for people: an action in columns, any other with its fields as name=value."""
    fields = {name: printable_text(value) if isinstance(value, str) else value for name, value in fields.items()}
    stamp, event = paint(fields.pop("timestamp"), "quiet"), fields.pop("event")
    fields.pop("level", None)
    below = "".join(f"\n  {line}" for line in fields.pop("diff", ()))
    if "subject" in fields:
        verb = fields["verb"] = event.partition(".")[0]
        fields["seconds"] = f"{fields['seconds']:.1f} s"
        if serves := fields.get("serves"):
            fields["reason"] = f"{serves} serves"
        cells = [str(fields[name]).ljust(width) for name, width in COLUMNS]
        cells[1] = paint(verb, style_of_verb(verb)) + cells[1][len(verb) :]
        return f"{stamp}  " + "  ".join(cells).rstrip() + below
    pairs = "  ".join(f"{name}={_shorten(value)}" for name, value in fields.items() if value not in (None, "", {}))
    return f"{stamp}  {paint(event, 'head')}  {pairs}{below}"


def _shorten(value: object) -> str:
    if isinstance(value, dict):
        return ",".join(f"{key}:{inner}" for key, inner in value.items())
    text = str(value)
    return text[:8] if len(text) == 40 and " " not in text else text  # a commit id


def log(event: str, **fields: object) -> None:
    """Log one event. Its name is in the past tense (`instance.started`), its values are fields."""
    _logger().info(event, **fields)


def show_details() -> None:
    """From now on, log details too: with --verbose."""
    global _details
    _details = True


def log_detail(event: str, **fields: object) -> None:
    """Log an event that is only of interest with --verbose."""
    if _details:
        log(event, **fields)
