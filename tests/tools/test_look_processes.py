"""What a look costs a host: processes, however many apps there are. And that it costs no app its check.

The script runs in a real sh, in folders made here. In a PID namespace of its own the number of the next process tells
how many there were.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from reconciler.model.machine import Layout
from reconciler.tools import scripts
from reconciler.tools.look import Reply, layout_words, read_reply

MOST_PROCESSES = 20  # with nothing to search for: none of the units has a process
RELEASE = "1.0-0123456789ab"
COUNT = ': & echo "processes $!" >&2'
UNSHARE = ["unshare", "--pid", "--fork"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--pid", "--fork"]
# Like systemctl: of a pattern it shows only a unit that is loaded, here none.
SYSTEMCTL = (
    '#!/bin/sh\nfor unit; do case $unit in *[[]*) ;; *@*.service) echo "Id=$unit\nActiveState=active\n" ;; esac; done\n'
)


class Host:
    """The folders of a host on which some apps were installed, each with a slot that has its files."""

    def __init__(self, folder: Path, apps: int) -> None:
        self.layout = Layout(**{name: str(folder / name) for name in ("releases", "env", "units", "state", "traefik")})
        self.folder, self.apps = folder, [f"app-{number}" for number in range(apps)]
        for name in ("bin", "traefik", "units"):
            (folder / name).mkdir(parents=True)
        (folder / "bin/systemctl").write_text(SYSTEMCTL)
        (folder / "bin/systemctl").chmod(0o755)
        for app in self.apps:
            self._install(app)

    def _install(self, app: str) -> None:
        release = self.release(app)
        for path in (release, self.folder / f"releases/{app}/slots", self.folder / f"env/{app}"):
            path.mkdir(parents=True)
        (self.folder / f"state/{app}/trees").mkdir(parents=True)
        (release / "server").write_text("serve")
        (self.folder / f"releases/{app}/slots/4000").symlink_to(f"../releases/{RELEASE}")
        (self.folder / f"env/{app}/4000.env").write_text("# reconcile x\n")
        (self.folder / f"units/{app}@.service").write_text("# reconcile unit digest=x\n")
        (self.folder / f"traefik/{app}.yml").write_text("# reconcile route slot=4000 digest=0123456789ab\n")
        (self.folder / f"state/{app}/inventory").write_text(f"{'0' * 64}  {self.folder}/units/{app}@.service\n")
        noted = self.sh(f'{self._head()}tree_digest "$1"', str(release))
        (self.folder / f"state/{app}/trees/{RELEASE}").write_text(noted.stdout)

    def release(self, app: str) -> Path:
        return self.folder / f"releases/{app}/releases/{RELEASE}"

    def _head(self) -> str:
        return scripts.look_script("system").text.removesuffix('look "$@"\n').removesuffix("ONLY=$1 TREES=yes\nshift\n")

    def sh(self, text: str, *words: str, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        lease = ("token", "0", "test", "owner", "-", "-")
        path = f"{self.folder}/bin:{os.environ['PATH']}"
        return subprocess.run(
            [*before, "sh", "-c", text, "sh", *layout_words(self.layout), *lease, *words],
            env={"PATH": path, "HOME": "/root"}, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    def look(self) -> Reply:
        done = self.sh(scripts.look_script("system").text, "no", *(f"{app}:4000,4001" for app in self.apps))
        return read_reply(done.stdout.encode(), self.layout)

    def count_processes(self) -> int:
        """Of a look after the first."""
        words = ("no", *(f"{app}:4000,4001" for app in self.apps))
        for _ in range(2):
            done = self.sh(scripts.look_script("system").text + COUNT, *words, before=tuple(UNSHARE))
            assert "@@ end" in done.stdout, done.stderr
        return int(done.stderr.split("processes ")[1])

    def damaged(self) -> list[str]:
        return [app for app, seen in self.look().apps.items() if seen.damaged]


@pytest.fixture
def _namespaces() -> None:
    if not shutil.which("unshare") or subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine allows no PID namespace")


@pytest.mark.usefixtures("_namespaces")
def test_twenty_apps_cost_no_more_processes_than_one(tmp_path: Path) -> None:
    one, twenty = (Host(tmp_path / str(apps), apps).count_processes() for apps in (1, 20))

    assert one == twenty <= MOST_PROCESSES


def test_a_look_sees_every_app_with_its_files(tmp_path: Path) -> None:
    host = Host(tmp_path, 3)

    apps = host.look().apps
    assert sorted(apps) == host.apps
    assert all(app.releases == (RELEASE,) and app.route and app.route.slot == "4000" for app in apps.values())
    assert not any(app.unreadable or app.slots[0].running_now for app in apps.values())


def test_a_damaged_release_is_told_at_each_look_and_only_of_its_app(tmp_path: Path) -> None:
    """The digest of all whole trees, which is noted, spares the others their digests but hides no damage."""
    host = Host(tmp_path, 3)
    server = host.release("app-1") / "server"
    before = server.stat()

    assert host.damaged() == []
    server.write_text("serve!")
    assert [host.damaged(), host.damaged()] == [["app-1"], ["app-1"]]
    server.write_text("serve")
    os.utime(server, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert host.damaged() == []
    (host.release("app-2") / "server").chmod(0o600)
    assert host.damaged() == ["app-2"]


def test_what_is_noted_of_a_release_counts_as_much_as_the_release(tmp_path: Path) -> None:
    host = Host(tmp_path, 2)
    assert host.damaged() == []

    (host.folder / f"state/app-0/trees/{RELEASE}").write_text("0" * 64 + "\n")

    assert host.damaged() == ["app-0"]


def test_a_line_with_a_nul_makes_that_app_unreadable_and_no_other(tmp_path: Path) -> None:
    host = Host(tmp_path, 2)
    with (host.folder / "state/app-0/inventory").open("ab") as inventory:
        inventory.write(b"\0\0\n")

    apps = host.look().apps
    assert [bool(apps[app].unreadable) for app in host.apps] == [True, False]


@pytest.mark.parametrize("place", ["units/app-0@4001.service.d", "units/app-0@.service.d", "units/app-0@4001.service"])
def test_an_idle_slot_that_others_put_a_file_over_is_shown_by_its_name(tmp_path: Path, place: str) -> None:
    """systemd loads it for that. Any other idle slot it need not load, which costs more than the rest of a look."""
    host = Host(tmp_path, 2)
    (host.folder / place).mkdir()

    apps = host.look().apps
    active = {name: [slot.name for slot in app.slots if slot.state == "active"] for name, app in apps.items()}
    assert active == {"app-0": ["4000", "4001"] if "@.service" in place else ["4001"], "app-1": []}
