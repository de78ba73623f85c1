"""The migration: once per release, with the new code and the new env, before anything of it starts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.hosts.stories.project import Project, nothing_touched, wait_for
from tests.hosts.stories.small_release import small_release
from tests.hosts.stories.visitors import visitors

pytestmark = pytest.mark.hosts


def migrations(project: Project) -> str:
    return project.machine.read(f"/var/lib/private/{project.app}/migrations")


def test_a_migration_runs_once_per_release_before_it_starts(project: Project) -> None:
    """New code and new env; a changed env migrates the same release again only if `migrate_when` names the variable.

    The plan names the migrations that a release brings, and those that an older one does not know.
    """
    first = project.converge(migrate="cd bin && ./app migrate")
    project.add_artifact(small_release("0.2.0", migrations=("20260101_add_price", "20260102_add_size")), "0.2.0")
    project.commit(version="0.2.0")
    forward = project.plan()
    upgrade = project.converge(version="0.2.0", env={"GREETING": 'Good "day"'})
    change = project.converge(env={"GREETING": "Good night"})
    project.commit(version="0.1.0")
    back = project.plan()
    named = project.converge(version="0.2.0", migrate_when=["GREETING"])
    again = project.converge(env={"GREETING": "Good morning"})

    assert first.verbs[:3] == ["install", "migrate", "start"]
    assert upgrade.verbs[:3] == ["install", "migrate", "start"]
    assert forward.out.endswith(
        f"{project.app}: 0.2.0 brings 2 new migrations: 20260101_add_price, 20260102_add_size\n"
    )
    assert back.out.endswith(
        f"{project.app}: 0.2.0 migrated 20260101_add_price, 20260102_add_size, which 0.1.0 does not know\n"
        "  next: make sure that 0.1.0 works with the database as 0.2.0 left it: reconcile undoes no migration\n"
    )
    assert change.verbs[0] == "start"
    assert named.verbs == []
    assert again.verbs[:2] == ["migrate", "start"]
    assert migrations(project) == '0.1.0 Hello\n0.2.0 Good "day"\n0.2.0 Good morning\n'


def test_a_failing_migration_is_a_failed_rollout(project: Project) -> None:
    """The new version never starts, the old one serves, the migration's output is told; a fixed one gets through."""
    first, second = project.keys["ports"]
    project.converge(migrate="bin/app migrate")
    project.add_artifact(small_release("0.2.0", fail_migrate=True), "0.2.0")
    project.commit(version="0.2.0")

    with visitors(project, slow=False):
        result = project.once()
        with nothing_touched(project.machine):
            again, status = project.once(), project.status()

    assert (result.code, result.verbs) == (1, ["install", "migrate"])
    assert result.told == (
        f"host {project.machine.name}: {project.app}: version 0.2.0 failed here: its migration failed\n"
        "  version 0.1.0 still runs\n"
        "  | app 0.2.0: column visits exists already\n"
        f"  next: reconcile logs {project.app}; then commit another version or env "
        "(these digests are not tried again)\n"
    )
    assert (again.code, again.verbs) == (1, [])
    assert status["because"] == "version 0.2.0 failed here: its migration failed"
    assert project.running() == project.one_instance("0.1.0", first)
    assert migrations(project) == "0.1.0 Hello\n"

    project.add_artifact(small_release("0.3.0"), "0.3.0")
    project.converge(version="0.3.0")
    assert project.running() == project.one_instance("0.3.0", second)
    assert migrations(project) == "0.1.0 Hello\n0.3.0 Hello\n"


def test_a_daemon_reload_during_a_migration_does_not_run_it_twice(project: Project) -> None:
    """As when another app is rolled out at the same time: systemd 252 then forgets what it was to note at the end."""
    unit = f"{project.app}-migrate.service"
    project.commit(migrate="bin/app migrate; sleep 1")

    with ThreadPoolExecutor() as pool:
        reloaded = pool.submit(reload_when, project, unit, "start")
        result = project.once()
        reloaded.result()

    assert (result.code, result.verbs.count("migrate")) == (0, 1), str(result)
    assert migrations(project) == "0.1.0 Hello\n"


def test_a_daemon_reload_before_a_migration_begins_does_not_change_what_it_runs(project: Project) -> None:
    """As when another app is rolled out at the same time: systemd 252 then reads `$$` in its words as `$$$$`."""
    machine, unit = project.machine, f"{project.app}-migrate.service"
    machine.write(f"/run/systemd/system/{unit}.d/late.conf", "[Service]\nExecStartPre=/bin/sleep 1\n")
    project.commit(migrate="bin/app migrate")

    with ThreadPoolExecutor() as pool:
        reloaded = pool.submit(reload_when, project, unit, "start-pre")
        result = project.once()
        reloaded.result()

    assert (result.code, result.verbs.count("migrate")) == (0, 1), str(result)
    assert migrations(project) == "0.1.0 Hello\n"


def reload_when(project: Project, unit: str, state: str) -> None:
    """Reload the host's systemd as soon as the unit is in that state."""
    asked = f"systemctl show -P SubState {unit}"
    wait_for(lambda: project.machine.run(asked).stdout == f"{state}\n", 30, f"{unit}: {state}")
    project.machine.run("systemctl daemon-reload")
