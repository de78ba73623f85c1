"""What holds for the whole test run."""

from __future__ import annotations

import pytest

from tests.hosts.distribution import ARCHIVE, UBUNTU, available, find_available


def pytest_configure(config: pytest.Config) -> None:
    """Asked once, before the worker processes are there: all of them must collect the same tests."""
    if not hasattr(config, "workerinput") and config.option.markexpr != "not hosts":
        find_available()


def pytest_report_header(config: pytest.Config) -> str | None:
    if config.option.markexpr == "not hosts" or UBUNTU in available():
        return None
    return f"no tests on Ubuntu hosts: {ARCHIVE} cannot be reached"
