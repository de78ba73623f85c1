"""Settings of the whole test run."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

from tests.hosts.distribution import ARCHIVE, UBUNTU, available, find_available

# Hypothesis takes a busy machine for a slow strategy, and fails the test.
settings.register_profile("busy", suppress_health_check=[HealthCheck.too_slow], deadline=None)
settings.load_profile("busy")

# A shell starts a background job with SIGINT and SIGQUIT ignored, nohup with SIGHUP, and every program would inherit
# that from the tests. A handler, unlike SIG_IGN, is not inherited, and it leaves the run itself as deaf as it was.
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, lambda *_: None)

# The files that take longest, in that order: a test process that begins one of them last keeps the run waiting.
LONGEST_FIRST = (
    *("test_killed_anywhere", "test_story_many_apps", "test_failing_commands", "test_story_stop", "test_story_whole"),
    *("test_story_slow_visitor", "test_package", "test_story_one_slot", "test_story_programs", "test_story_upload"),
    *("test_story_traefik", "test_story_outage", "test_story_databases", "test_break_out", "test_story_power"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files: those that take longest, then the other tests on real hosts, then all others.

    xdist would begin with the files that have the most tests, which are the fastest ones.
    """
    places = {name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: (places.get(item.path.stem, len(places)), "hosts" not in item.path.parts))


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
