"""The jobs of an app: on a schedule and by hand, with what serves, across rollouts, reboots and changes by hand."""

from __future__ import annotations

import pytest

from tests.hosts.stories.conftest import NewProject
from tests.hosts.stories.project import Project, nothing_touched, wait_for
from tests.hosts.stories.small_release import small_release

pytestmark = pytest.mark.hosts

SLOW = (
    """sh -c 'echo "begins $(cat VERSION)"; until [ -e "$HOME/go" ]; do sleep 0.1; done; echo "ends $(cat VERSION)"'"""
)
TICK = """sh -c 'echo "$(cat VERSION) $GREETING" >>"$HOME/ticks"'"""


@pytest.fixture
def with_jobs(new_project: NewProject) -> Project:
    project = new_project()
    jobs = {
        "slow": {"run": SLOW, "within_minutes": 5},
        "tick": {"run": TICK, "at": "*-*-* *:*:0/1 UTC"},
    }
    project.write(jobs=jobs, keep_releases=2)
    return project


def units_of_jobs(project: Project) -> list[str]:
    found = project.machine.run(f"ls /etc/systemd/system /etc/systemd/system/*.wants | grep '^{project.app}--' || :")
    return sorted(found.stdout.split())


def test_a_run_ends_with_the_release_that_it_began_with(with_jobs: Project) -> None:
    """Two rollouts go by meanwhile. It is the only run, its release is kept until its end, and pruned after it."""
    project, machine = with_jobs, with_jobs.machine
    app, home = project.app, f"/var/lib/{project.app}"
    starter = f"{app}--slow.service"

    assert project.converge().verbs[-1] == "schedule"
    assert project.once().verbs == []
    wait_for(lambda: machine.run(f"cat {home}/ticks 2>/dev/null || :").stdout, 10, "a tick")
    machine.run(f"systemctl start --no-block {starter}")
    wait_for(lambda: "begins 0.1.0" in machine.run(f"journalctl -o cat -u '{app}--slow@*' || :").stdout, 10, "a run")
    for version in ("0.2.0", "0.3.0"):
        project.add_artifact(small_release(version), version)
        assert project.converge(version=version).code == 0
    machine.run(f"systemctl start --no-block {starter}")
    releases = machine.run(f"ls /srv/{app}/releases").stdout.split()
    instances = machine.run(f"systemctl list-units --plain --no-legend '{app}--slow@*' || :").stdout.splitlines()

    assert [name.partition("-")[0] for name in releases] == ["0.1.0", "0.2.0", "0.3.0"]
    assert len(instances) == 1
    wait_for(lambda: "0.3.0" in machine.run(f"tail -n 1 {home}/ticks").stdout, 10, "a tick of the new version")
    machine.run(f"touch {home}/go")
    wait_for(
        lambda: machine.run(f"systemctl is-active {starter} || :").stdout == "inactive\n", 10, "the end of the run"
    )
    assert "ends 0.1.0" in machine.run(f"journalctl -o cat -u '{app}--slow@*' || :").stdout
    assert project.once().verbs == ["prune"]
    assert project.converge(jobs=None).verbs == ["schedule"]


def test_what_somebody_changes_is_put_back_and_timers_survive_a_reboot(with_jobs: Project) -> None:
    """A timer that is disabled, a unit that is edited, a unit that is deleted. At last the jobs are taken out.

    While the host was off, the times of two jobs passed: the one with `catch_up` runs, and once.
    """
    project, machine = with_jobs, with_jobs.machine
    app, home, units = project.app, f"/var/lib/{project.app}", "/etc/systemd/system"
    missed = {"run": """sh -c 'echo "$0" >>"$HOME/missed"' {}""", "at": "*-01-01 00:00 UTC"}
    caught = {**missed, "run": missed["run"].format("caught"), "catch_up": True}
    passed = {**missed, "run": missed["run"].format("passed")}
    project.converge(jobs={**project.keys["jobs"], "caught": caught, "passed": passed})
    before = units_of_jobs(project)

    for damage in (
        f"systemctl disable --now {app}--tick.timer",
        f"systemctl stop {app}--tick.timer",
        f"sed -i s/DynamicUser=yes/DynamicUser=no/ {units}/{app}--slow@.service",
        f"rm {units}/{app}--tick.service",
    ):
        machine.run(damage)
        assert project.once().verbs == ["schedule"], damage
        assert units_of_jobs(project) == before
    machine.run(f"rm -f {home}/ticks; touch -d '2 years ago' /var/lib/systemd/timers/stamp-{app}--caught.timer")
    machine.reboot()
    wait_for(lambda: machine.run(f"cat {home}/ticks 2>/dev/null || :").stdout, 20, "a tick after the reboot")
    wait_for(lambda: machine.run(f"cat {home}/missed 2>/dev/null || :").stdout, 20, "the missed run")
    assert project.converge(jobs=None).verbs == ["schedule"]
    assert machine.read(f"{home}/missed") == "caught\n"
    assert units_of_jobs(project) == []
    with nothing_touched(machine):
        assert project.once().code == 0


def test_a_job_is_run_by_hand_and_suspended(new_project: NewProject) -> None:
    """Its arguments, its output, its exit code; what it was is in the history; a second run is refused meanwhile."""
    project = new_project()
    say = """sh -c 'echo "says $* in $(cat VERSION)"; echo "$GREETING" >&2; exit 3' say"""
    jobs = {"say": {"run": say}, "slow": {"run": SLOW}, "rare": {"run": TICK, "at": "*-01-01 00:00 UTC"}}
    project.converge(jobs=jobs, env={"GREETING": "Hello"})
    app, machine = project.app, project.machine

    said = project.run("run", app, "say", "--", "a b", "$HOME", '"%s\\', "it's")

    assert said.code == 3
    assert said.out == "says a b $HOME \"%s\\ it's in 0.1.0\nHello\n"
    assert "job say ended with exit status 3 after" in said.err
    assert project.run("run", app, "say").out.startswith("says  in 0.1.0\n")
    last = project.run("history", app, "--json").data[-1]
    assert (last["actions"], last["why"], last["outcome"]) == (
        ["run"],
        "job say, by hand",
        "it ended with exit status 3",
    )
    machine.run(f"systemctl start --no-block {app}--slow.service")
    refused = project.run("run", app, "slow")
    assert refused.code == 1
    assert "a run is under way, since " in refused.err
    machine.run(f"touch /var/lib/{app}/go")
    wait_for(lambda: project.run("run", app, "slow").code == 0, 20, "a run of its own")
    assert "ends 0.1.0" in project.run("logs", app, "--job", "slow").out
    rows = {row["job"]: row for row in project.run("jobs", app, "--json").data}
    assert rows["say"]["problem"] == "its last run ended with exit status 3"
    assert (rows["rare"]["state"], len(rows["rare"]["next"]), rows["rare"]["last"]) == ("scheduled", 3, None)
    assert "job say: its last run ended with exit status 3" in project.status()["because"]

    assert project.run("suspend", app, "--job", "rare", "--reason", "not now").code == 0
    assert project.once().verbs == []
    assert units_of_jobs(project).count(f"{app}--rare.timer") == 1
    assert project.run("jobs", app, "--json").data[0]["state"].endswith("not now")
    assert project.run("resume", app, "--job", "rare").code == 0
    assert project.once().verbs == []
    assert units_of_jobs(project).count(f"{app}--rare.timer") == 2


def test_a_job_becomes_a_process_of_the_same_name_and_a_job_again(with_jobs: Project) -> None:
    """One commit each. Their units have the same names, so one goes before the other comes."""
    project = with_jobs
    app, slow = project.app, project.keys["jobs"]["slow"]
    jobs = {"slow": slow, "tick": {"run": TICK, "at": "*-01-01 UTC"}}

    def running() -> str:
        return project.machine.run(
            f"systemctl list-units --plain --no-legend '{app}--tick@*' '{app}--tick.timer'"
        ).stdout

    project.converge(jobs=jobs)
    project.converge(jobs={"slow": slow}, processes={"tick": {"start": "sleep 600"}}, version="0.2.0")
    assert "tick.timer" not in running()
    assert f"{app}--tick@" in running()
    assert project.once().verbs == []
    project.converge(jobs=jobs, processes=None)
    assert "--tick.timer" in running()
    assert project.once().verbs == []
    project.converge(jobs=None)
