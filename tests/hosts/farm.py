"""The hosts of one test run: made on demand, named for ssh, and removed at the end, however the run ends.

A farm is a folder under `/run/reconcile-test-hosts`, written before anything that it describes is made. So a farm
whose owner is dead can be removed completely. A reaper process does that when the owner ends, and so does every later
run when it starts.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .distribution import DEBIAN, Distribution
from .image import root_filesystem
from .machine import Machine
from .network import Bridge, Link, free_bridge
from .process import HostsError, ProcessId, command, locked, wait_until

FARMS = Path("/run/reconcile-test-hosts")
NEEDED_PROGRAMS = {
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
}
SSH_CONFIG = """\
Host *
    IdentityFile {home}/.ssh/id_ed25519
    IdentitiesOnly yes
    UserKnownHostsFile {home}/.ssh/known_hosts
    GlobalKnownHostsFile none
    StrictHostKeyChecking yes
    BatchMode yes
    User root
"""


def missing_requirements() -> str:
    """Return why no host can be made here, in one sentence; empty if one can."""
    if os.geteuid() != 0:
        return "real hosts need root: run the tests as root, or leave them to CI"
    search = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    packages = sorted({package for name, package in NEEDED_PROGRAMS.items() if not shutil.which(name, path=search)})
    if packages:
        return f"real hosts need more programs: apt-get install {' '.join(packages)}"
    if "overlay" not in Path("/proc/filesystems").read_text():
        command(["modprobe", "overlay"], check=False)
    if "overlay" not in Path("/proc/filesystems").read_text():
        return "real hosts need overlayfs, which this kernel has not"
    return ""


@dataclass(frozen=True)
class Farm:
    """Some hosts on one bridge, with a key and an ssh folder that know them all."""

    folder: Path
    bridge: Bridge

    @staticmethod
    def create(name: str = "", *, keep: bool = False) -> Farm:
        """A new farm that ends with this process; with `keep` it stays until it is destroyed by name."""
        sweep()
        folder = FARMS / (name or f"{os.getpid()}-{uuid.uuid4().hex[:6]}")
        with locked(FARMS / "lock"):
            farm = Farm(folder, free_bridge())
            (farm.home / ".ssh").mkdir(mode=0o700, parents=True)
            owner = None if keep else ProcessId.current()
            record = {"bridge": farm.bridge.number, "owner": [owner.pid, owner.started] if owner else None}
            (folder / "farm.json").write_text(json.dumps(record))
            farm.bridge.create()
        command(
            [
                "ssh-keygen",
                "-q",
                "-t",
                "ed25519",
                "-N",
                "",
                "-C",
                "reconcile-test-hosts",
                "-f",
                str(farm.key_path),
            ]
        )
        farm._write_ssh_files()
        if not keep:
            _start_reaper()
        return farm

    @staticmethod
    def open(folder: Path) -> Farm:
        return Farm(folder, Bridge(json.loads((folder / "farm.json").read_text())["bridge"]))

    @property
    def home(self) -> Path:
        """A HOME whose `.ssh` names every host: asyncssh takes it from there, OpenSSH by `home/bin/ssh`."""
        return self.folder / "home"

    @property
    def key_path(self) -> Path:
        return self.home / ".ssh/id_ed25519"

    def machines(self) -> dict[str, Machine]:
        records = (json.loads(path.read_text()) for path in sorted(self.folder.glob("machines/*.json")))
        return {record["name"]: self._machine(**record) for record in records}

    def _machine(self, name: str, place: int, binds: list[str], *, with_bpf: bool = False) -> Machine:
        folder = self.folder / "machines" / name
        return Machine(name, folder, Link(self.bridge, place), self.key_path, tuple(binds), with_bpf)

    def add(self, name: str, binds: Mapping[Path, str] | None = None, distribution: Distribution = DEBIAN) -> Machine:
        """A new host, booted and reachable; `binds` shows files of this machine in it, read-only."""
        image, machines = root_filesystem(distribution), self.machines()
        if name in machines:
            raise HostsError(f"there is a host {name} already")
        place = next(place for place in range(2, 255) if place not in {m.link.place for m in machines.values()})
        shown = [f"{source}:{path}" for source, path in (binds or {}).items()]
        record = {"name": name, "place": place, "binds": shown, "with_bpf": distribution.with_bpf}
        machine = self._machine(**record)  # type: ignore[arg-type]
        machine.folder.parent.mkdir(exist_ok=True)
        machine.folder.with_suffix(".json").write_text(json.dumps(record))
        try:
            machine.create(image)
            self._write_ssh_files()
            machine.boot()
            machine.wait_until_reachable()
        except BaseException:
            self.remove(machine)
            raise
        return machine

    def remove(self, machine: Machine) -> None:
        """Destroy one host and forget its name."""
        machine.destroy()
        machine.folder.with_suffix(".json").unlink(missing_ok=True)
        self._write_ssh_files()

    def ssh(self, host: str, *words: str, seconds: float = 30) -> subprocess.CompletedProcess[str]:
        """Run a command on the host with this machine's OpenSSH client, host keys checked strictly."""
        return command([str(self.home / "bin/ssh"), host, *words], check=False, seconds=seconds)

    def _write_ssh_files(self) -> None:
        # OpenSSH takes its home from the user database, not from HOME: hence full paths, and a small `ssh`
        # that names the file.
        machines = [
            machine for machine in self.machines().values() if (machine.folder / "host_key_ed25519.pub").exists()
        ]
        named = "".join(f"Host {machine.name}\n    HostName {machine.address}\n" for machine in machines)
        folder, program = self.home / ".ssh", self.home / "bin/ssh"
        _replace(folder / "config", named + SSH_CONFIG.format(home=self.home))
        _replace(folder / "known_hosts", "".join(f"{machine.known_hosts_line}\n" for machine in machines))
        program.parent.mkdir(exist_ok=True)
        _replace(program, f'#!/bin/sh\nexec ssh -F {folder}/config "$@"\n', 0o755)

    def destroy(self) -> None:
        """Remove every host, the bridge and the folder; a second call does nothing."""
        with locked(FARMS / "lock"):
            if self.folder.is_dir():
                for machine in self.machines().values():
                    machine.destroy()
                self.bridge.delete()
                shutil.rmtree(self.folder)


def sweep() -> list[str]:
    """Remove the farms whose owner is dead; the names of those removed. Farms kept by hand stay."""
    removed = []
    for record in sorted(FARMS.glob("*/farm.json")):
        try:
            found = json.loads(record.read_text())
        except (OSError, ValueError):
            continue  # being made or removed at this very moment
        if found["owner"] and not ProcessId(*found["owner"]).alive():
            Farm(record.parent, Bridge(found["bridge"])).destroy()
            removed.append(record.parent.name)
    return removed


def reap(owner: ProcessId) -> None:
    """Wait for the end of our input, which is the end of its owner, however it came; then sweep."""
    sys.stdin.read()
    wait_until(lambda: not owner.alive(), 60, "the owner of the farm ends")
    sweep()


def _start_reaper() -> None:
    """Start a process that outlives this one, even after SIGKILL, just long enough to remove the farm."""
    package, owner = __package__ or "hosts", ProcessId.current()
    program = f"from {package}.farm import ProcessId, reap; reap({owner!r})"
    top = Path(__file__).resolve().parents[package.count(".") + 1]
    with (FARMS / "reaper.log").open("ab") as log:
        reaper = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd=top,
            start_new_session=True,
        )
    _reapers.append(reaper)


_reapers: list[subprocess.Popen[bytes]] = []  # their input stays open exactly as long as this process lives


def _replace(path: Path, text: str, mode: int = 0o600) -> None:
    new = path.with_name(f".{path.name}.new")
    new.write_text(text)
    new.chmod(mode)
    new.rename(path)
