"""What a change that was cut short left half-written goes with the next change of the app. The real scripts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.failing_host import FailingHost
from tests.tools.test_failing_commands import APP, LIVE, OLD, act

HALF_WRITTEN = (
    *(f"state/{{app}}/{name}.new" for name in ("owner", "commit", "inventory", "quarantine", "suspended")),
    "state/{app}/jobs/nightly.suspended.new",
    "units/.{app}--nightly.timer.new",
    "units/.{app}--nightly@.service.new",
    "env/{app}/.stage/env",
    "env/{app}/.4000.env.new",
    "env/{app}/..certificate.new",
    "units/.{app}@.service.new",
    "releases/{app}/slots/.4000.new",
    "releases/{app}/releases/.incoming-2-0123456789ab/part",
    "releases/{app}/releases/.old-2-0123456789ab/part",
    "state/{app}/trees/9-0123456789ab",
    "state/{app}/migrated/9-0123456789ab@0123",
    "state/.run/{app}/.4000.new",
    "state/.run/{app}/.4000.started",
    "units/.run/.{app}@4000.new",
    ".reconcile/.{app}.yml.new",
    "traefik/.{app}.htpasswd.new",
    "traefik/.{app}.pem.new",
)

OF_JOBS = "nightly"


@pytest.fixture
def host(tmp_path: Path) -> FailingHost:
    """The app serves, and so does its neighbour."""
    made = FailingHost(tmp_path / "it")
    made.make()
    for step in LIVE:
        assert step(made).status == 0
    return made


def _leave(host: FailingHost, app: str, but: str = "-") -> list[Path]:
    paths = [host.path(name.format(app=app)) for name in HALF_WRITTEN if but not in name]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("half of it")
    return paths


def test_whatever_is_half_written_goes_with_the_next_change_of_its_app_whatever_that_changes(host: FailingHost) -> None:
    process = f"{APP}--mailer"  # it has a lock of its own, a unit that is named as that of a job, and no jobs
    mine, neighbours = _leave(host, APP), [*_leave(host, f"{APP}-2"), *_leave(host, process, OF_JOBS)]
    kept = [host.path(f"state/{APP}/{name}/{OLD}") for name in ("trees", "migrated")]
    for path in kept:
        path.parent.mkdir(exist_ok=True)
        path.write_text("of a release that is here")
    before = host.path("traefik/hello.yml").read_text()

    ended = act("mark", APP, "resume", "0")(host)

    assert ended.status == 0
    assert [path for path in mine if path.exists()] == []
    assert [path for path in neighbours if not path.exists()] == []
    assert [path for path in kept if not path.exists()] == []
    assert host.path("traefik/hello.yml").read_text() == before


@pytest.mark.parametrize("left", [f"env/{APP}/4001.env", f"releases/{APP}/slots/4001"])
def test_half_of_a_slot_goes_if_nothing_runs_there(host: FailingHost, left: str) -> None:
    half, live = host.path(left), [host.path(f"env/{APP}/4000.env"), host.path(f"releases/{APP}/slots/4000")]
    if left.startswith("env"):
        half.write_text("KEY=of a release that is gone\n")
    else:
        half.symlink_to(f"../releases/{OLD}")
    inventory = host.path(f"state/{APP}/inventory")
    inventory.write_text(f"{inventory.read_text()}{'0' * 64}  {host.layout.env}/{APP}/4001.env\n")

    assert act("mark", APP, "resume", "0")(host).status == 0

    assert (os.path.lexists(half), [os.path.lexists(path) for path in live]) == (False, [True, True])
    assert "4001" not in inventory.read_text()


def test_an_env_file_that_reconcile_did_not_write_stays(host: FailingHost) -> None:
    by_hand = host.path(f"env/{APP}/4001.env")
    by_hand.write_text("KEY=theirs\n")

    assert act("mark", APP, "resume", "0")(host).status == 0

    assert by_hand.read_text() == "KEY=theirs\n"


@pytest.mark.parametrize("lost", [f"env/{APP}/4000.env", f"releases/{APP}/slots/4000"])
def test_half_of_a_slot_stays_while_it_runs(host: FailingHost, lost: str) -> None:
    """An operator deleted the other half: that is drift, which a pass repairs."""
    kept = {f"env/{APP}/4000.env", f"releases/{APP}/slots/4000"} - {lost}
    host.path(lost).unlink()

    assert act("mark", APP, "resume", "0")(host).status == 0

    assert os.path.lexists(host.path(*kept))


def test_a_script_gives_what_it_reads_no_name_and_takes_empty_names_away(host: FailingHost) -> None:
    left = host.path("state/.run/.stdin.99999999")
    left.write_text("")

    ended = act("mark", APP, "suspend", "60", stdin=b"why\n")(host)

    assert ended.status == 0
    assert host.path(f"state/{APP}/suspended").read_text().endswith(" why \n")
    assert list(left.parent.glob(".stdin.*")) == []


def test_what_could_not_be_read_does_not_lie_on_the_host(host: FailingHost) -> None:
    number = 0
    while (ended := act("mark", APP, "suspend", "60", stdin=b"secret\n")(host, number)).failed:
        left = [p for p in host.path("state/.run").iterdir() if p.is_file() and "secret" in p.read_text()]
        assert left == [], ended
        number += 1
    assert number > 3


def test_half_a_certificate_goes_with_the_next_change_of_traefik_alone(host: FailingHost) -> None:
    """It is the one file that is not named after the app that writes it."""
    half = [host.path(".reconcile/.00-certificate.yml.new"), host.path("traefik/.00-certificate.yml.new")]
    for path in half:
        path.parent.mkdir(exist_ok=True)
        path.write_text("half of it")

    assert act("mark", APP, "resume", "0")(host).status == 0
    assert [path.exists() for path in half] == [True, True]

    assert act("mark", "traefik", "resume", "0")(host).status == 0
    assert [path.exists() for path in half] == [False, False]
