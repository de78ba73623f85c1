"""A real etcd of three members, each on a loopback address that only this test process uses."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

CLIENTS, PEERS = 2379, 2380


def own_address(number: int) -> str:
    """A loopback address of this test process; nobody else listens there, whatever the port."""
    pid = os.getpid()
    return f"127.{100 + number + 8 * (pid >> 15 & 7)}.{pid >> 7 & 255}.{1 + (pid & 127)}"


@dataclass
class Member:
    name: str
    address: str
    folder: Path
    scheme: str
    words: tuple[str, ...]
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def endpoint(self) -> str:
        return f"{self.scheme}://{self.address}:{CLIENTS}"

    def start(self) -> None:
        with (self.folder / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(["etcd", *self.words], stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None


@dataclass
class Cluster:
    members: tuple[Member, ...]

    @property
    def endpoints(self) -> tuple[str, ...]:
        return tuple(member.endpoint for member in self.members)

    def ctl(self, *words: str) -> str:
        """What `etcdctl` says, asked as a person does."""
        done = subprocess.run(
            ["etcdctl", f"--endpoints={','.join(self.endpoints)}", *words],
            env={**os.environ, "ETCDCTL_API": "3"}, capture_output=True, text=True, check=True, timeout=30,
        )  # fmt: skip
        return done.stdout

    def wait(self, seconds: float = 20) -> None:
        """Return when the members that run have a leader and answer."""
        deadline = time.monotonic() + seconds
        for member in self.members:
            while member.process is not None:
                with (
                    contextlib.suppress(OSError),
                    urllib.request.urlopen(f"{member.endpoint}/health", timeout=2) as got,
                ):
                    if b'"true"' in got.read():
                        break
                assert time.monotonic() < deadline, f"{member.name} does not answer"
                time.sleep(0.05)


def skip_without_etcd() -> None:
    if missing := [name for name in ("etcd", "etcdctl") if not shutil.which(name)]:
        reason = f"{' and '.join(missing)} are not here: apt install etcd-server etcd-client"
        (pytest.fail if "RECONCILE_TESTS_SKIP_NOTHING" in os.environ else pytest.skip)(reason)


@contextlib.contextmanager
def etcd_cluster(folder: Path, *more: str, size: int = 3, first: int = 0, scheme: str = "http") -> Iterator[Cluster]:
    """Three members that know each other, started and not waited for. `more` goes to each as arguments."""
    skip_without_etcd()
    names = {f"m{number}": own_address(number) for number in range(first, first + size)}
    together = ",".join(f"{name}=http://{address}:{PEERS}" for name, address in names.items())
    members = []
    for name, address in names.items():
        clients, peers = f"{scheme}://{address}:{CLIENTS}", f"http://{address}:{PEERS}"
        words = (
            *("--name", name, "--data-dir", str(folder / name), "--initial-cluster", together),
            *("--listen-client-urls", clients, "--advertise-client-urls", clients),
            *("--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers),
            *("--heartbeat-interval", "50", "--election-timeout", "500", *more),
        )
        members.append(Member(name, address, folder, scheme, words))
    cluster = Cluster(tuple(members))
    try:
        for member in members:
            member.start()
        yield cluster
    finally:
        for member in members:
            member.kill()
