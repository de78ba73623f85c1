"""Root notes what an instance was started from; a damaged release gets a whole copy beside it. The real scripts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.failing_host import FailingHost
from tests.tools.test_failing_commands import APP, LIVE, NEW, OLD, OTHER, SLOT, UNIT, Step, act, start, upload

RELEASES = f"releases/{APP}/releases"
NOTED = f"state/.run/{APP}/{SLOT}.started"


@pytest.fixture
def host(tmp_path: Path) -> FailingHost:
    """The old release serves from the first slot."""
    host = FailingHost(tmp_path / "it")
    host.make()
    for step in LIVE:
        assert step(host).status == 0
    return host


def install(release: str, mode: str) -> Step:
    words, stdin = upload("bin/x")
    return act("install", APP, release, *words[:-3], mode, *words[-2:], stdin=stdin)


def folders(host: FailingHost) -> list[str]:
    return sorted(path.name for path in host.path(RELEASES).iterdir())


def boot(host: FailingHost) -> None:
    """The slot runs anew, and nobody has noted from what."""
    host.path(NOTED).unlink()
    (host.root / "systemd" / f"{UNIT}.run").write_text("a-new-run\n")


def test_a_start_notes_what_it_started(host: FailingHost) -> None:
    assert host.path(NOTED).read_text() == f"{host.invocation(UNIT)} {OLD} {OLD}/e/u\n"


def test_a_run_that_ended_at_once_is_noted_too(host: FailingHost) -> None:
    """What it said is shown later on: when systemd has just started the slot again, that run has said nothing yet."""
    (host.root / "systemd" / f"{APP}@{OTHER}.service.fails").touch()

    assert start(OLD, OTHER)(host).status == 0

    run = host.invocation(f"{APP}@{OTHER}.service")
    assert host.path(f"state/.run/{APP}/{OTHER}.started").read_text() == f"{run} {OLD} {OLD}/e/u\n"


def test_what_runs_is_noted_before_its_files_change(host: FailingHost) -> None:
    """The script ends before the restart: the files tell of the new version, and the old one still runs."""
    boot(host)
    step = start(NEW, SLOT)
    assert step(host).status == 0
    restart = next(number for number, call in enumerate(host.calls()) if call.startswith("systemctl restart"))
    boot(host)
    start(OLD, SLOT)(host)
    boot(host)

    assert step(host, failing=restart).status != 0

    assert host.path(f"state/.run/{APP}/{SLOT}.env").read_text().startswith(f"# reconcile {NEW}")
    assert host.path(NOTED).read_text() == f"a-new-run {OLD} {OLD}/e/u\n"


def test_what_may_have_been_started_from_edited_files_is_noted_as_that(host: FailingHost) -> None:
    boot(host)
    with host.path(f"env/{APP}/{SLOT}.env").open("a") as file:
        file.write("LD_PRELOAD=/tmp/x\n")

    assert act("again", APP, SLOT, of=UNIT)(host).status == 0

    assert host.path(NOTED).read_text() == f"a-new-run {OLD} -\n"


def test_a_whole_copy_of_a_damaged_release_is_put_beside_it(host: FailingHost) -> None:
    """What runs keeps its folder, and the slot that a boot starts its link; the next start takes the copy."""
    program = host.path(f"{RELEASES}/{OLD}/erts-1/bin/epmd")
    before = program.stat().st_ino

    assert install(OLD, "replace")(host).status == 0

    assert folders(host) == [OLD, f"{OLD}~2", NEW]
    assert program.stat().st_ino == before
    assert str(host.path(f"releases/{APP}/slots/{SLOT}").readlink()) == f"../releases/{OLD}"
    assert start(OLD, OTHER)(host).status == 0
    unit = host.path(f"units/.run/{APP}@{OTHER}.service").read_text()
    assert f"WorkingDirectory={host.path(RELEASES)}/{OLD}~2\n" in unit
    assert host.path(f"state/.run/{APP}/{OTHER}.started").read_text().split()[1] == f"{OLD}~2"


def test_a_release_that_is_gone_is_not_put_back_under_the_name_that_a_slot_has(host: FailingHost) -> None:
    """The process in that slot runs from the files that were deleted."""
    host.path(f"{RELEASES}/{OLD}").rename(host.root / "gone")

    assert install(OLD, "new")(host).status == 0

    assert folders(host) == [f"{OLD}~2", NEW]
    assert install(OLD, "new")(host).status == 0
    assert folders(host) == [f"{OLD}~2", NEW]


def test_a_release_of_which_only_times_changed_is_kept(host: FailingHost) -> None:
    other = "3-0123456789ab"
    assert install(other, "new")(host).status == 0
    program, tree = host.path(f"{RELEASES}/{other}/bin/x"), host.path(f"state/{APP}/trees/{other}")
    before = tree.read_text()
    program.touch()

    assert install(other, "replace")(host).status == 0

    assert folders(host) == [OLD, NEW, other]
    assert tree.read_text() != before
    program.write_text("#!/bin/bash\n")
    assert install(other, "replace")(host).status == 0
    assert folders(host) == [OLD, NEW, other, f"{other}~2"]


def test_a_damaged_copy_is_pruned_alone_and_a_release_with_all_its_copies(host: FailingHost) -> None:
    other = "3-0123456789ab"
    migrated = host.path(f"state/{APP}/migrated/{other}")
    migrated.touch()
    for name in (other, f"{other}~2", f"{other}~10"):
        host.path(f"{RELEASES}/{name}").mkdir()

    assert act("prune", APP, f"{other}~1", f"{other}~10")(host).status == 0
    assert folders(host) == [OLD, NEW, f"{other}~10", f"{other}~2"]
    assert migrated.exists()

    assert act("prune", APP, other)(host).status == 0
    assert folders(host) == [OLD, NEW]
    assert not migrated.exists()
    assert act("prune", APP, OLD)(host).status != 0, "a slot needs it"
