"""Bytes on the wire, both ways and all of them: TCP's payload, with the login, the scripts and the answers."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.lab import HOST, Lab, link, write_desired_state
from tests.bench.table import Row
from tests.hosts.delay_proxy import DelayProxy
from tests.hosts.process import HostsError
from tests.hosts.stories.project import yaml
from tests.support.releases import build_release, cached, member, read_members, sha256, write_members

MOST_OF_A_CHANGE, MOST_WITH_ZSTD, MOST_OF_A_SECOND_APP = 0.05, 0.015, 0.30  # of the artifact
SECOND, OWN_BYTES = "second", 500_000
MOST_UP_KILOBYTES, MOST_DOWN_KILOBYTES = 12, 40  # of a quiet pass


@dataclass(frozen=True)
class Sent:
    up: int
    down: int

    def __str__(self) -> str:
        return f"{self.up / 1000:.1f} kB up, {self.down / 1000:.1f} kB down"


def measure(lab: Lab, runs: int) -> list[Row]:
    """A quiet pass, another env, a code change, and a second app with the same runtime."""
    del runs  # bytes are the same each time, but for a few
    with link(lab) as proxy:
        quiet = _pass(lab, proxy)
        lab.want()
        env = _pass(lab, proxy)
        artifact = build_release("0.3.0")
        lab.want(artifact)
        change = _pass(lab, proxy)
        size = artifact.stat().st_size
        second = _second_app(lab, proxy)
        with _zstd(lab):
            lab.want(build_release("0.2.0"))
            delta = _pass(lab, proxy)
    return [
        Row(
            "bytes of a quiet pass, 1 app",
            str(quiet),
            goal=f"<= {MOST_UP_KILOBYTES} up, {MOST_DOWN_KILOBYTES} down",
            met=quiet.up <= MOST_UP_KILOBYTES * 1000 and quiet.down <= MOST_DOWN_KILOBYTES * 1000,
        ),
        Row("bytes of a rollout (env change)", str(env)),
        Row(
            f"bytes of a code change, artifact of {size / 1e6:.1f} MB",
            f"{change}: {100 * change.up / size:.1f} %",
            goal=f"<= {100 * MOST_OF_A_CHANGE:g} %",
            met=change.up <= MOST_OF_A_CHANGE * size,
        ),
        Row(
            "the same, with zstd on the host",
            f"{delta}: {100 * delta.up / size:.1f} %",
            goal=f"<= {100 * MOST_WITH_ZSTD:g} %",
            met=delta.up <= MOST_WITH_ZSTD * size,
        ),
        Row(
            "bytes of a second app with the same runtime",
            f"{second}: {100 * second.up / size:.1f} %",
            goal=f"<= {100 * MOST_OF_A_SECOND_APP:g} %",
            met=second.up <= MOST_OF_A_SECOND_APP * size,
            notes=(f"second app: {OWN_BYTES / 1000:.0f} kB of it are its own, which cannot be compressed",),
        ),
    ]


def _second_app(lab: Lab, proxy: DelayProxy) -> Sent:
    """What its first rollout takes. It is gone afterwards."""
    artifact = _of_another_app(build_release("0.3.0"))
    app = {
        "app": SECOND,
        "version": "1.0.0",
        "artifact": {"source": str(artifact), "sha256": sha256(artifact)},
        "start": "bin/my_application start",
        "hosts": [HOST],
        "ports": [4100, 4101],
        "health": {"path": "/ping", "minimum_healthy_seconds": 1},
        "route": {"domains": [f"{SECOND}.{lab.project.domain}"], "tls": False},
    }
    file = lab.project.folder / "wire" / "apps" / f"{SECOND}.yaml"
    file.write_text(yaml(app))
    sent = _pass(lab, proxy)
    file.unlink()
    _pass(lab, proxy, "--allow-prune")
    return sent


def _of_another_app(artifact: Path) -> Path:
    def make(path: Path) -> None:
        own = member(f"lib/{SECOND}-1.0.0/priv/code", data=random.Random(SECOND).randbytes(OWN_BYTES))
        write_members(path, [*read_members(artifact), own])

    return cached(f"{SECOND}-1.0.0.tar.gz", make, str(OWN_BYTES), sha256(artifact))


@contextmanager
def _zstd(lab: Lab) -> Iterator[None]:
    """The host has zstd meanwhile, this machine's."""
    program = shutil.which("zstd")
    if not program:
        raise HostsError("zstd not found; apt-get install zstd")
    place = lab.machine.root / "usr/bin/zstd"
    shutil.copy(program, place)
    lab.machine.run("zstd --version")
    yield
    place.unlink()


def _pass(lab: Lab, proxy: DelayProxy, *options: str) -> Sent:
    host = {"address": "127.0.0.1", "port": proxy.port, "host_key": lab.machine.host_key}
    write_desired_state(lab, "wire", host)
    lab.project.commit()
    up, down = proxy.bytes_up, proxy.bytes_down
    lab.once("--verbose", "--desired-state", "wire", *options)
    return Sent(proxy.bytes_up - up, proxy.bytes_down - down)
