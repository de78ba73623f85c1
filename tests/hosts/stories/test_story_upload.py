"""A long upload: commits in the middle of it, and a controller whose link goes silent in the middle of it."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.hosts.delay_proxy import DelayProxy
from tests.hosts.machine import SSH_PORT, Machine
from tests.hosts.stories.conftest import NewProject
from tests.hosts.stories.project import Project, yaml
from tests.hosts.stories.small_release import small_release
from tests.hosts.stories.test_story_two_controllers import running
from tests.hosts.watching import watching
from tests.support.releases import read_members

pytestmark = pytest.mark.hosts

MEGABYTE = 1_000_000
LARGE, MIDDLE = 300 * MEGABYTE, 100 * MEGABYTE
FILE = 5 * MEGABYTE
LEASE_SECONDS = 30  # prelude.sh
LEFT = """\
flock -n /var/lib/reconcile/{0}/lock true || echo "the lock is held"
ls -A /srv/{0}/releases | grep '^[.]'
readlink /proc/[0-9]*/exe | grep -e /tar -e /dd
:
"""


def large_release(path: Path, version: str, size: int) -> Path:
    """The small release of this version, with so many bytes more that nothing makes smaller."""
    with tarfile.open(path, "w") as archive:
        for info, data in read_members(small_release(version)):
            archive.addfile(info, io.BytesIO(data))
        for number in range(size // FILE):
            info = tarfile.TarInfo(f"payload/{number}")
            info.size = FILE
            archive.addfile(info, io.BytesIO(os.urandom(FILE)))
    return path


def until(true: Callable[[], object], seconds: float, what: str) -> float:
    """Wait for it; how long it took."""
    begin = time.monotonic()
    while not true():
        assert time.monotonic() - begin < seconds, f"not within {seconds:g} s: {what}"
        time.sleep(0.05)
    return time.monotonic() - begin


def by_way_of(project: Project, proxy: DelayProxy, **host: object) -> None:
    """From the next commit on the host is reached through the proxy."""
    machine = project.machine
    way = {"address": "127.0.0.1", "port": proxy.port, "host_key": machine.host_key, **host}
    fleet = project.folder / "desired-state" / "fleet.yaml"
    fleet.write_text(f"hosts: {yaml({machine.name: way})}\n")


@pytest.fixture
def begun(new_project: NewProject, own: Machine, tmp_path: Path) -> Project:
    """A small app that is rolled out, and a version 0.3.0 of 100 MB."""
    project = new_project(own)
    project.converge()
    project.add_artifact(large_release(tmp_path / "middle.tar", "0.3.0", MIDDLE), "0.3.0")
    return project


@contextlib.contextmanager
def link(machine: Machine, megabytes_per_second: float) -> Iterator[DelayProxy]:
    """A link that lets no more through."""
    with DelayProxy(machine.address, SSH_PORT, 0.01, megabytes_per_second * MEGABYTE).running() as proxy:
        yield proxy


def test_a_commit_to_another_app_does_not_interrupt_an_upload(
    new_project: NewProject, own: Machine, tmp_path: Path
) -> None:
    """The other app does not wait for an upload of 300 MB, which is sent once."""
    project = new_project(own)
    project.converge()
    project.add_artifact(large_release(tmp_path / "large.tar", "0.3.0", LARGE), "0.3.0")
    other = replace(project, app="other", keys=dict(project.keys))
    ports = [port + 50 for port in project.keys["ports"]]

    with link(own, 10) as proxy:
        by_way_of(project, proxy)
        with watching(project.words("--interval", "300"), project.folder, project.environ) as watch:
            project.commit(version="0.3.0")
            until(lambda: proxy.bytes_up > 30 * MEGABYTE, 240, "the upload is under way")
            other.write(app="other", ports=ports, route={"domains": [other.domain], "tls": False})
            other.commit()
            seconds = until(lambda: other.get()[0] == 200, 60, "the other app serves")
            assert proxy.bytes_up < LARGE, "the upload was over already"
            seconds += until(lambda: project.version_served == "0.3.0", 240, "the large version serves")

    installed = [each["app"] for each in watch.events if each["event"] == "install.finished"]
    assert sorted(installed) == ["other", project.app]
    assert proxy.bytes_up < 1.1 * LARGE
    print(f"both served {seconds:.1f} s after the commit")


@pytest.mark.parametrize("user", ["root", "deploy"])
def test_a_newer_version_ends_the_upload_of_the_older_one(begun: Project, user: str) -> None:
    """By a signal, or with sudo by the end of its stdin: the newer version does not wait for a lock."""
    with link(begun.machine, 5) as proxy:
        by_way_of(begun, proxy, user=user)
        with watching(begun.words("--interval", "300"), begun.folder, begun.environ) as watch:
            begun.commit(version="0.3.0")
            until(lambda: proxy.bytes_up > 5 * MEGABYTE, 60, "the upload is under way")
            begun.commit(version="0.2.0")
            seconds = until(lambda: begun.version_served == "0.2.0", 40, "the newer version serves")
            left = begun.machine.run(LEFT.format(begun.app)).stdout

    assert left == ""
    assert proxy.bytes_up < MIDDLE / 2
    assert not [each for each in watch.events if "another reconcile" in str(each)]
    print(f"served {seconds:.1f} s after the commit")


@pytest.mark.parametrize("end", ["silent", "killed"])
def test_another_controller_takes_over_when_one_is_lost_in_an_upload(begun: Project, tmp_path: Path, end: str) -> None:
    """Silence is what the host hears when the controller loses power: its sshd would notice after two hours.

    The second controller goes on when the lease has run out, and sends only what has not come.
    """
    second = replace(begun, folder=tmp_path / "second", keys=dict(begun.keys))
    with link(begun.machine, 5) as proxy:
        by_way_of(begun, proxy)
        begun.commit(version="0.3.0")
        shutil.copytree(begun.folder, second.folder)
        with running(begun, "--once") as first:
            until(lambda: proxy.bytes_up > 4.5 * FILE, 60, "the upload is under way")
            first.kill() if end == "killed" else proxy.black_hole()
            with link(begun.machine, 50) as other:
                by_way_of(second, other)
                second.commit()
                result = second.once("--wait-lock", "60")

    assert result.code == 0, str(result)
    assert other.bytes_up < MIDDLE - 2 * FILE
    assert begun.version_served == "0.3.0"
    assert result.seconds < LEASE_SECONDS + 60
    assert begun.machine.run(LEFT.format(begun.app)).stdout == ""
