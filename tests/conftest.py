"""Settings of the whole test run."""

from __future__ import annotations

import os
import signal

import pytest

from tests.hosts.distribution import ARCHIVE, UBUNTU, available, find_available

# A shell starts a background job with SIGINT and SIGQUIT ignored, nohup with SIGHUP, and every program would inherit
# that from the tests. A handler, unlike SIG_IGN, is not inherited, and it leaves the run itself as deaf as it was.
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, lambda *_: None)


def pytest_configure(config: pytest.Config) -> None:
    """Probe once, before the worker processes start: all of them must collect the same tests.

    reconcile behaves differently where CI is set, and most tests are about people's machines. A test that must not be
    skipped in CI looks for RECONCILE_TESTS_SKIP_NOTHING instead.
    """
    if os.environ.pop("CI", "") == "true":
        os.environ["RECONCILE_TESTS_SKIP_NOTHING"] = "yes"
    if not hasattr(config, "workerinput") and config.option.markexpr != "not hosts":
        find_available()


def pytest_report_header(config: pytest.Config) -> str | None:
    if config.option.markexpr == "not hosts" or UBUNTU in available():
        return None
    return f"no tests on Ubuntu hosts: {ARCHIVE} cannot be reached"
