"""External failures: a clear message, exit 1, the old version serves, and the next pass finishes by itself."""

from __future__ import annotations

import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.hosts.machine import Machine
from tests.hosts.process import command
from tests.hosts.proxy import ask_api
from tests.hosts.stories.conftest import NewProject
from tests.hosts.stories.project import Project, Result, nothing_touched, wait_for
from tests.hosts.stories.visitors import visitors
from tests.support.releases import build_release, elixir_missing

pytestmark = pytest.mark.hosts


@pytest.fixture
def serving(new_project: NewProject, own: Machine) -> Project:
    """0.1.0 serves on a host of its own, and 0.2.0 is committed."""
    project = new_project(own)
    project.converge()
    project.commit(version="0.2.0")
    return project


def told(project: Project, result: Result) -> str:
    """What a person reads, with the names of this run replaced."""
    text = result.told.replace(project.machine.name, "web1").replace(project.app, "hello")
    return text.replace(project.machine.address, "<address>")


def still_serves(project: Project) -> None:
    assert project.get() == (200, b"Hello from app 0.1.0\n")
    assert project.running() == project.one_instance("0.1.0", project.keys["ports"][0])


def finishes_by_itself(project: Project) -> None:
    result = project.once()
    assert result.code == 0, str(result)
    assert project.get() == (200, b"Hello from app 0.2.0\n")
    assert project.running() == project.one_instance("0.2.0", project.keys["ports"][1])


def test_a_missing_artifact_stops_the_rollout_before_it_starts(serving: Project) -> None:
    """Nothing is done until it is there; just after the commit that is no failure yet."""
    tarball = serving.folder / "build" / f"{serving.app}-0.2.0.tar.gz"
    tarball.rename(serving.folder / "elsewhere")

    with nothing_touched(serving.machine):
        result = serving.once()

    assert (result.code, result.verbs) == (1, [])
    said = re.sub(r"since \S+ \S+ UTC", "since <then>", told(serving, result))
    assert said.replace(str(serving.folder), "<folder>") == (
        "host web1: hello: waiting for the artifact since <then>, grace 30 min: "
        "the artifact desired-state/../build/hello-0.2.0.tar.gz is not there\n"
        "  version 0.1.0 still runs\n"
        "  next: nothing, if it is on its way; else build it, or correct artifact.source\n"
    )
    (serving.folder / "elsewhere").rename(serving.folder / "build" / tarball.name)
    finishes_by_itself(serving)


def test_a_disk_without_room_for_so_many_files_is_reported_before_the_upload(
    new_project: NewProject, own: Machine
) -> None:
    """Nothing is sent that could not be unpacked; with room the next pass goes on."""
    if missing := elixir_missing():
        pytest.skip(missing)
    project = new_project(own)
    project.converge()
    project.add_artifact(build_release("0.2.0"), "0.2.0")
    project.commit(version="0.2.0", start="bin/my_application start")
    layer = os.statvfs(own.disk.layer)
    limit_files(own, layer.f_files - layer.f_ffree + 300)  # of the 700 that the release has

    result = project.once()

    assert (result.code, result.verbs) == (1, [])
    assert re.search(r"[0-9]+ inodes are needed below /srv, one for each file, and 300 are free", result.told)
    assert "  version 0.1.0 still runs\n  next: make room on the host" in result.told
    still_serves(project)
    assert project.lies()["release"] == [project.release_id("0.1.0")]
    limit_files(own, layer.f_files)
    project.converge()
    assert project.get() == (200, b"Hello from my_application 0.2.0\n")


def limit_files(machine: Machine, count: int) -> None:
    command(["mount", "-o", f"remount,nr_inodes={count}", str(machine.disk.layer)])


def test_a_disk_without_room_is_reported_before_the_upload(serving: Project) -> None:
    """What is needed and what is there is said before anything is sent."""
    serving.machine.fill_disk(free_bytes=30 * 1024 * 1024)

    result = serving.once()

    assert (result.code, result.verbs) == (1, [])
    assert "64 MiB are needed below /srv, " in result.told
    assert "  version 0.1.0 still runs\n  next: make room on the host" in result.told
    still_serves(serving)
    serving.machine.free_disk()
    finishes_by_itself(serving)


def test_releases_from_which_nothing_can_be_run_are_the_hosts_fault(serving: Project) -> None:
    """It is said before the upload; what runs goes on, and no version is rejected."""
    serving.machine.run("mount --bind /srv /srv && mount -o remount,bind,noexec /srv")

    with nothing_touched(serving.machine):
        result = serving.once()

    assert (result.code, result.verbs) == (1, [])
    assert told(serving, result) == (
        "host web1: hello: /srv is mounted noexec on this host, so no program of a release can be run there\n"
        "  version 0.1.0 still runs\n"
        "  next: mount -o remount,exec /srv, also in /etc/fstab; or name another folder as paths.releases in "
        "fleet.yaml\n"
    )
    assert "no program of a release can be run" in serving.run("doctor", serving.machine.name).out
    serving.machine.run("umount /srv")
    finishes_by_itself(serving)


def test_a_disk_full_at_the_cutover_leaves_the_old_route_whole(serving: Project) -> None:
    """The route file stays whole and names the old slot; with room again the new one takes over."""
    serving.killed_after("start.finished")
    serving.machine.fill_disk()

    with visitors(serving, slow=False):
        result = serving.once()

    assert (result.code, result.verbs) == (1, [])
    assert told(serving, result) == (
        "host web1: hello: cannot write below /var/lib/reconcile\n"
        "  version 0.1.0 still runs\n"
        "  next: make room on the host; the next pass continues from here\n"
    )
    assert serving.get() == (200, b"Hello from app 0.1.0\n")
    assert serving.lies()["route"] == [str(serving.keys["ports"][0])]
    serving.machine.free_disk()
    finishes_by_itself(serving)


def test_a_stopped_traefik_stops_the_rollout_before_it_starts(serving: Project) -> None:
    """Nothing is started while nobody could be routed to it."""
    serving.machine.run("systemctl stop traefik")

    with nothing_touched(serving.machine):
        result = serving.once()

    assert (result.code, result.verbs) == (1, [])
    assert told(serving, result) == (
        "host web1: hello: Traefik does not answer: its API on 127.0.0.1:8080: connection refused\n"
        "  version 0.1.0 still runs\n"
        "  next: systemctl status 'traefik*' on the host\n"
    )
    serving.machine.run("systemctl start traefik")
    finishes_by_itself(serving)


def test_a_foreign_broken_file_in_traefiks_folder_keeps_the_old_slot_running(serving: Project) -> None:
    """Traefik applies nothing any more, so the old slot is not stopped; without that file the rollout ends."""
    serving.machine.run("mkdir -p /etc/traefik/aside && printf 'http: [broken\\n' >/etc/traefik/aside/alien.yml")
    serving.machine.run("mv /etc/traefik/aside/alien.yml /etc/traefik/dynamic/alien.yml")

    with visitors(serving, slow=False):
        result = serving.once()

    assert (result.code, result.verbs) == (1, ["install", "start", "wait", "cutover", "confirm"])
    assert told(serving, result) == (
        "host web1: hello: Traefik has not applied the route: not within 10 s\n"
        "  version 0.1.0 still runs\n"
        "  next: journalctl -u 'traefik*' on the host; one bad file in its directory freezes all of them\n"
    )
    assert serving.get() == (200, b"Hello from app 0.1.0\n")
    serving.machine.run("rm /etc/traefik/dynamic/alien.yml")
    finishes_by_itself(serving)


def test_a_dead_host_delays_no_other(serving: Project, new_project: NewProject, shared: Machine) -> None:
    """Its timeout takes ten seconds; by then the other host is done, and the dead one is finished later."""
    other = new_project(shared)
    other.folder = serving.folder
    for version in ("0.1.0", "0.2.0"):
        shutil.copy(
            serving.folder / "build" / f"{serving.app}-{version}.tar.gz",
            serving.folder / "build" / f"{other.app}-{version}.tar.gz",
        )
    other.commit(version="0.2.0")
    serving.machine.cut_link()

    begin = datetime.now(UTC)
    result = serving.once()

    confirmed = next(event for event in result.events if event["event"] == "confirm.finished")
    seconds = (datetime.fromisoformat(confirmed["timestamp"]) - begin).total_seconds()
    assert (result.code, confirmed["app"]) == (1, other.app)
    assert seconds < 9 < result.seconds
    assert other.get() == (200, b"Hello from app 0.2.0\n")
    assert told(serving, result) == "host web1: hello: no answer in time\n  next: ssh web1\n"
    serving.machine.heal_link()
    still_serves(serving)
    finishes_by_itself(serving)


def test_a_link_cut_during_a_rollout_is_noticed_and_the_next_pass_goes_on(serving: Project) -> None:
    """The silence is noticed within half a minute; no request fails, and the next pass goes on."""
    first, second = serving.keys["ports"]
    serving.commit(health=serving.keys["health"] | {"minimum_healthy_seconds": 3})
    with ThreadPoolExecutor(1) as background:
        running = background.submit(serving.once)
        started = f"{serving.app}@{second}.service active"
        wait_for(lambda: started in serving.lies()["unit"], 40, "the new instance is started")
        serving.machine.cut_link()
        result = running.result()

    assert (result.code, result.verbs[:1]) == (1, ["install"])
    assert "cutover" not in result.verbs  # of the start it may not have heard that it was done
    assert told(serving, result).startswith("host web1: hello: the connection broke: ")
    assert result.seconds < 40
    assert serving.lies()["route"] == [str(first)]
    serving.machine.heal_link()
    finishes_by_itself(serving)


def test_a_host_without_power_is_named_and_the_next_pass_finishes(serving: Project) -> None:
    """The message names the host and how to check it; once it is on again the next pass finishes."""
    serving.machine.power_off_hard()

    result, status = serving.once(), serving.status()

    assert (result.code, result.verbs) == (1, [])
    assert told(serving, result).startswith("host web1: hello: ")
    assert told(serving, result).endswith("  next: ssh web1\n")
    assert (status["ready"], status["runs"], status["because"][:13]) == (False, None, "unreachable: ")
    serving.machine.boot()
    serving.machine.wait_until_reachable()
    # Its API answers 404 for a moment after its port is open.
    wait_for(lambda: ask_api(serving.machine, "/api/rawdata").startswith("{"), 40, "Traefik is up")
    finishes_by_itself(serving)


@pytest.mark.parametrize("known", ["another key", "no key"])
def test_a_changed_host_key_is_refused(project: Project, tmp_path: Path, known: str) -> None:
    """Nothing is sent to a host that may be a different one; the right key in known_hosts repairs it."""
    project.converge()
    project.commit(version="0.2.0")
    home = Path(project.environ["HOME"])
    project.environ["HOME"] = str(copied_home(home, tmp_path / "home"))
    known_hosts = tmp_path / "home/.ssh/known_hosts"
    right = known_hosts.read_text()
    another = (home / ".ssh/id_ed25519.pub").read_text().split()[1]
    known_hosts.write_text(
        right.replace(project.machine.host_key.split()[1], another) if known == "another key" else ""
    )

    with nothing_touched(project.machine):
        result = project.once()

    assert (result.code, result.verbs) == (1, [])
    assert told(project, result) == KEY_REFUSED
    known_hosts.write_text(right)
    finishes_by_itself(project)


KEY_REFUSED = """\
host web1: hello: its host key does not match, or none is known (Host key is not trusted for host <address>)
  next: compare it with the provider's console, then put it into known_hosts (ssh web1) or into host_key of fleet.yaml
"""


def copied_home(home: Path, copy: Path) -> Path:
    shutil.copytree(home / ".ssh", copy / ".ssh")
    config = copy / ".ssh/config"
    config.write_text(config.read_text().replace(str(home), str(copy)))
    return copy
