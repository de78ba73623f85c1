"""Bytes on the wire, both ways and all of them: TCP's payload, with the login, the scripts and the answers."""

from __future__ import annotations

from dataclasses import dataclass

from tests.bench.lab import Lab, link, write_desired_state
from tests.bench.table import Row
from tests.hosts.delay_proxy import DelayProxy
from tests.support.releases import build_release

MOST_OF_A_CHANGE, MOST_OF_A_SECOND_APP = 0.05, 0.30  # of the artifact
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
    ]


def _pass(lab: Lab, proxy: DelayProxy) -> Sent:
    host = {"address": "127.0.0.1", "port": proxy.port, "host_key": lab.machine.host_key}
    write_desired_state(lab, "wire", host)
    lab.project.commit()
    up, down = proxy.bytes_up, proxy.bytes_down
    lab.once("--verbose", "--desired-state", "wire")
    return Sent(proxy.bytes_up - up, proxy.bytes_down - down)
