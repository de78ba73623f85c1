"""Round trips: as reconcile counts them, and as the clock shows them when each takes 100 ms longer."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Mapping

from tests.bench.lab import HOST, Ended, Lab, link, write_desired_state
from tests.bench.passes import via
from tests.bench.table import Row
from tests.hosts.delay_proxy import DelayProxy
from tests.hosts.process import HostsError
from tests.support.releases import build_release

ADDED_SECONDS = 0.1
MOST_NO_OP, MOST_ROLLOUT = 2, 12
ROLLOUTS = 3  # over each distance

# Only the connection, by the same library: port, key, the host's key.
CONNECT = """
import asyncio, asyncssh, sys
async def connect():
    known = ([asyncssh.import_public_key(sys.argv[3])], [], [])
    async with asyncssh.connect("127.0.0.1", int(sys.argv[1]), username="root", client_keys=[sys.argv[2]],
                                known_hosts=known, config=None, agent_path=None, gss_host=None):
        pass
asyncio.run(connect())
"""


def measure(lab: Lab, runs: int) -> list[Row]:
    """Near and far in turn, over two proxies that differ in nothing but the distance."""
    with link(lab) as near, link(lab, ADDED_SECONDS) as far:
        proxies = {"near": near, "far": far}
        _commit(lab, proxies)

        def pass_over(name: str) -> Ended:
            return lab.once("--verbose", "--desired-state", name)

        no_op, passes = _round_trips(runs, pass_over)
        ssh, _ = _round_trips(runs, lambda name: lab.ssh(*via(proxies[name]), HOST, "true"))
        connect, _ = _round_trips(runs, lambda name: lab.run(_connecting(lab, proxies[name])))

        def roll_out(name: str) -> Ended:
            lab.want()
            _commit(lab, proxies)
            return pass_over(name)

        rollout, rollouts = _round_trips(min(runs, ROLLOUTS), roll_out)
        installs = []
        for number in range(ROLLOUTS):  # the last ones prune a release as well
            lab.want(build_release("0.2.0", drain_seconds=21 + number))
            _commit(lab, proxies)
            installs.append(pass_over("near"))
    return [
        _no_op_row(passes, no_op, ssh, connect),
        _rollout_row("rollout (env change)", rollouts, besides=0, clock=f", {rollout - connect:.1f} by the clock"),
        _rollout_row("rollout (new artifact), besides the upload", installs, besides=1, clock=""),
    ]


def _commit(lab: Lab, proxies: Mapping[str, DelayProxy]) -> None:
    for name, proxy in proxies.items():
        host = {"address": "127.0.0.1", "port": proxy.port, "host_key": lab.machine.host_key}
        write_desired_state(lab, name, host)
    lab.project.commit()


def _connecting(lab: Lab, proxy: DelayProxy) -> list[str]:
    return [sys.executable, "-c", CONNECT, str(proxy.port), str(lab.farm.key_path), lab.machine.host_key]


def _round_trips(runs: int, run: Callable[[str], Ended]) -> tuple[float, list[Ended]]:
    """(what the clock says, every run): the median time that the distance adds, divided by the distance."""
    taken: dict[str, list[Ended]] = {"near": [], "far": []}
    for _ in range(runs):
        for name, ended in taken.items():
            ended.append(run(name))
            if ended[-1].code != 0:
                raise HostsError(str(ended[-1]))
    near, far = (statistics.median(ended.seconds for ended in taken[name]) for name in ("near", "far"))
    return (far - near) / ADDED_SECONDS, taken["near"] + taken["far"]


def _counted(passes: list[Ended]) -> list[int]:
    return [sum(ended.event("pass.finished")[1]["round_trips"].values()) for ended in passes]


def _no_op_row(passes: list[Ended], clock: float, ssh: float, connect: float) -> Row:
    counted = max(_counted(passes))
    return Row(
        "no-op, round trips once connected",
        f"{counted} counted, {clock - connect:.1f} by the clock",
        f"ssh host true {ssh - connect:.1f} by the clock",
        goal=f"<= {MOST_NO_OP} counted",
        met=counted <= MOST_NO_OP,
        notes=(
            "round trips counted: how often reconcile waited for the host. By the clock: what 100 ms of distance adds, "
            "divided by 100 ms; there an SSH command is two, one to open its channel and one to run it",
            f"by the clock the whole no-op takes {clock:.1f} round trips, {connect:.1f} of them to connect (asyncssh "
            f"alone); ssh host true takes {ssh:.1f}",
        ),
    )


def _rollout_row(what: str, passes: list[Ended], *, besides: int, clock: str) -> Row:
    counted = [count - besides for count in _counted(passes)]
    verbs = [event["event"].removesuffix(".finished") for _, event in passes[-1].events]
    return Row(
        f"{what}, round trips once connected",
        f"{min(counted)}-{max(counted)} counted{clock}",
        goal=f"<= {MOST_ROLLOUT} counted",
        met=max(counted) <= MOST_ROLLOUT,
        notes=(f"{what}: {', '.join(verbs[:-1])}",),
    )
