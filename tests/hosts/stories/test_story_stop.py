"""SIGTERM is sent once: requests open when an instance is stopped may finish within `stop_seconds`."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.hosts.load import Load, Stream, Target
from tests.hosts.stories.conftest import NewProject
from tests.hosts.stories.project import Project, wait_for
from tests.hosts.stories.stoppable import stoppable

pytestmark = pytest.mark.hosts

LONG_SECONDS = 15


def open_requests(project: Project, port: int) -> int:
    found = project.machine.run(f"grep -ci ' [0-9A-F]*:{port:04X} [0-9A-F]*:[0-9A-F]* 01 ' /proc/net/tcp", check=False)
    return int(found.stdout or 0)


@pytest.mark.parametrize("kind", ["node", "go", "perl"])
def test_a_request_longer_than_the_drain_is_answered(kind: str, new_project: NewProject) -> None:
    """The usual handlers of each language, 15 s requests over a swap that drains for 3 s: not one is lost."""
    if kind == "go" and not shutil.which("go"):
        pytest.skip("go not found; apt-get install golang-go")
    tarball, start = stoppable(kind)
    project = new_project(start=start, drain_seconds=3, stop_seconds=30, sandbox={"write_execute_memory": True})
    project.add_artifact(tarball, "0.1.0")
    project.converge()
    old, new = project.keys["ports"]
    stream = Stream("long", 3, f"/slow?seconds={LONG_SECONDS}", keep_alive=False)
    load = Load(Target(project.machine.address, project.domain), [stream], answer_within_seconds=40)

    with load.running():
        wait_for(lambda: open_requests(project, old) >= 5, 10, "long requests are open")
        project.converge(env={"GREETING": "Hi"})
        after = project.running()

    assert load.failures == [], load.summary()
    assert after == project.one_instance("0.1.0", new)
    ended = project.machine.run(f"journalctl -u {project.app}@{old} -o cat | grep -c 'Killing\\|SIGKILL'", check=False)
    assert ended.stdout == "0\n"


def test_a_worker_may_finish_its_job_before_it_stops(new_project: NewProject) -> None:
    """Without a port nothing drains: the job under way has `stop_seconds`."""
    tarball, start = stoppable("worker")
    project = new_project(ports=None, route=None, health=None, start=start, stop_seconds=30)
    project.add_artifact(tarball, "0.1.0")
    project.converge()
    jobs = f"/var/lib/private/{project.app}/jobs"
    done = project.machine.read(jobs).split().count("done")

    project.converge(env={"GREETING": "Hi"})

    first_instance = project.machine.read(jobs).split()[: 2 * (done + 1)]
    assert first_instance == ["begun", "done"] * (done + 1)


def test_a_database_that_the_app_comes_after_is_stopped_last(new_project: NewProject) -> None:
    """As at a shutdown, where systemd stops both at once, and the app's last requests still need it."""
    project = new_project()
    database = f"{project.app}-db.service"
    project.machine.run(f"systemd-run --quiet --unit={database} sleep 600")
    project.converge(after=[database])
    unit = f"{project.app}@{project.keys['ports'][0]}.service"

    project.machine.run(f"systemctl stop {database} {unit}")

    moments = "InactiveEnterTimestampMonotonic"
    app = int(project.machine.run(f"systemctl show -P {moments} {unit}").stdout)
    begun = project.machine.run(
        f"journalctl -u {database} -o json --output-fields=__MONOTONIC_TIMESTAMP,MESSAGE | grep '\"Stopping '"
    ).stdout
    assert int(json.loads(begun.splitlines()[-1])["__MONOTONIC_TIMESTAMP"]) >= app


def test_a_booting_beam_is_stopped_without_being_killed(elixir_project: Project) -> None:
    """A BEAM loses a SIGTERM in its first second. Whenever it is stopped, it ends before `stop_seconds`, unkilled."""
    project = elixir_project
    project.converge()
    unit = f"{project.app}@{project.keys['ports'][0]}"

    ended = {}
    for offset in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.5):
        ended[offset] = project.machine.run(
            f"systemctl restart {unit} && sleep {offset} && systemctl stop {unit}; systemctl show -P Result {unit}"
        ).stdout.strip()

    assert ended == dict.fromkeys(ended, "success")  # systemd calls a kill after `stop_seconds` a timeout
    project.machine.run(f"systemctl start {unit}")
    wait_for(lambda: project.get("/ping")[0] == 200, 20, "it serves again")
