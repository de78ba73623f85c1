"""The database is down for longer than restarts last: an accepted version recovers, a new one fails fast."""

from __future__ import annotations

import socket
import time
import urllib.error
import urllib.request

import pytest

from tests.hosts.machine import Machine
from tests.hosts.stories.conftest import NewProject
from tests.hosts.stories.project import Project, wait_for
from tests.hosts.stories.small_release import small_release
from tests.hosts.watching import watching

pytestmark = pytest.mark.hosts

DATABASE_PORT = 5432  # on a host of this test's own
DATABASE = f"""\
use IO::Socket::INET;
my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => {DATABASE_PORT}, Listen => 9, Reuse => 1)
  or die "cannot listen: $!";
while (1) {{ my $client = $listener->accept }}
"""
UNIT = """\
[Service]
ExecStart=/usr/bin/perl /root/database.pl
[Install]
WantedBy=multi-user.target
"""
AWAY_SECONDS = 30  # systemd gave up after 6 to 10
BACK_WITHIN_SECONDS = 25  # the longest pause, and what a start takes on a busy machine


@pytest.fixture
def project(new_project: NewProject, own: Machine) -> Project:
    """An app that has served with its database."""
    own.write("/root/database.pl", DATABASE)
    own.write("/etc/systemd/system/database.service", UNIT)
    own.run("systemctl daemon-reload; systemctl enable --now database")
    wait_for(lambda: database_listens(own), 10, "the database listens")
    project = new_project(own)
    project.converge(env={"DATABASE_PORT": str(DATABASE_PORT)})
    return project


def database_listens(machine: Machine) -> bool:
    return machine.run(f"grep -q ':{DATABASE_PORT:04X} 00000000:0000 0A' /proc/net/tcp", check=False).returncode == 0


def lose_database(project: Project) -> None:
    """It is away for longer than systemd would have tried, and the app with it."""
    project.machine.run("systemctl stop database")
    wait_for(lambda: project.get()[0] != 200, 10, "the app is down")
    time.sleep(AWAY_SECONDS)


def regain_database(project: Project) -> None:
    project.machine.run("systemctl start database")
    wait_for(lambda: project.get()[0] == 200, BACK_WITHIN_SECONDS, "the app serves again")


def test_an_app_recovers_without_a_controller_when_its_database_is_back(project: Project) -> None:
    """Meanwhile `status` says how often it was restarted, and a pass ends unconverged; afterwards nothing is to do."""
    lose_database(project)
    during, result = project.status(), project.once()
    regain_database(project)

    unit = f"{project.app}@{project.keys['ports'][0]}"
    assert not during["ready"]
    assert during["because"].startswith("wait: it keeps crashing: restart attempt ")
    assert result.code == 1
    assert "it keeps crashing: restart attempt " in result.told
    assert "  | app 0.1.0: the database is away\n" in result.told
    restarts = int(project.machine.run(f"systemctl show -P NRestarts {unit}").stdout)
    assert 2 <= restarts <= 16  # the pauses are no busy loop
    wait_for(lambda: project.once().code == 0, 10, "converged")
    assert project.once().verbs == []


def test_a_watch_is_not_ready_until_the_app_serves_again(project: Project) -> None:
    """/readyz follows the app, without manual action."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = project.words("--interval", "2", "--listen", f"127.0.0.1:{port}")
    with watching(words, project.folder, project.environ):
        wait_for(lambda: ready(port), 20, "ready")
        lose_database(project)
        wait_for(lambda: not ready(port), 30, "not ready")
        regain_database(project)
        wait_for(lambda: ready(port), 40, "ready again")


def ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError:
        return False
    except OSError:
        return False


def test_after_a_reboot_an_app_waits_for_a_late_database(project: Project) -> None:
    """No controller: what was live comes back although its database is 30 s late."""
    project.machine.run(
        f"sed -i '/^ExecStart=/i ExecStartPre=/bin/sleep {AWAY_SECONDS}' /etc/systemd/system/database.service"
    )
    begin = time.monotonic()
    project.machine.reboot()
    wait_for(lambda: database_listens(project.machine), 60, "the database is there")
    late = time.monotonic() - begin
    wait_for(lambda: project.get()[0] == 200, BACK_WITHIN_SECONDS, "the app serves again")

    assert late > AWAY_SECONDS
    assert project.once().verbs == []


def test_a_new_version_without_its_database_fails_within_seconds(project: Project) -> None:
    """Its unit is that of an instance on trial; the accepted one goes on."""
    project.add_artifact(small_release("0.2.0", fail_boot=True), "0.2.0")
    project.commit(version="0.2.0")

    result = project.once()

    assert (result.code, result.verbs) == (1, ["install", "start", "wait", "reject"])
    assert result.seconds < 15
    assert project.get()[0] == 200
    warned = project.machine.run("journalctl -b -o cat _PID=1 | grep -i 'unknown key'", check=False).stdout
    assert warned == ""
