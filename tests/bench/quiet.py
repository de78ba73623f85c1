"""What a pass costs that finds nothing to do, with one app and with twenty, beside a bare script that asks the same.

The bare script is one asyncssh connection and one command, which prints what a look reads: nobody can see the same of a
host for less. It decides nothing.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

from tests.bench.lab import Ended, Lab, link, write_desired_state
from tests.bench.table import Row, spread
from tests.bench.wire import MOST_DOWN_KILOBYTES, MOST_UP_KILOBYTES
from tests.hosts.delay_proxy import DelayProxy
from tests.hosts.process import HostsError

MANY = 20
ROUND_TRIPS_SECONDS = {"0 ms": 0.0, "50 ms": 0.05}
MOST_RATIO = {"0 ms": 1.4, "50 ms": 1.2}
MOST_OF_MANY = 1.3  # of the same with one app
MOST_HOST_CPU_SECONDS = {1: 0.05, MANY: 0.12}
IDLE_SECONDS = 3.0

COMMAND = r"""
cat /var/lib/reconcile/*/[a-z]* /var/lib/reconcile/lease /proc/net/tcp /proc/meminfo 2>/dev/null
head -qn 20 /etc/reconcile/*/*.env /etc/traefik/dynamic/*.yml /etc/systemd/system/*@.service
sha256sum /etc/reconcile/*/*.env /etc/traefik/dynamic/*.yml /etc/systemd/system/*@.service
find /srv/*/releases /srv/*/slots -maxdepth 1 -printf "%T@ %p %l\n"
find -L /srv/*/slots/ -mindepth 2 -printf "%y %m %s %T@ %p\n" | sort | sha256sum
find /srv /etc/reconcile /var/lib/reconcile -maxdepth 2 -printf "%m %U %p\n" | sha256sum
systemctl show -p Id,ActiveState,MainPID,NRestarts,InvocationID,ActiveEnterTimestamp,Result "*@*.service" traefik*
stat -f -c "%a %S" /srv
bash -c '
ask() { exec 3<>/dev/tcp/127.0.0.1/$1 && printf "GET $2 HTTP/1.0\r\n\r\n" >&3 && cat <&3; }
for path in rawdata entrypoints certificates; do ask 8080 /api/$path; done
for file in /etc/reconcile/*/*.env; do port=${file##*/} && ask ${port%.env} /ping; done' 2>/dev/null
"""
BARE = """
import asyncio, asyncssh, sys
async def main():
    known = ([asyncssh.import_public_key(sys.argv[3])], [], [])
    async with asyncssh.connect("127.0.0.1", int(sys.argv[1]), username="root", client_keys=[sys.argv[2]],
                                known_hosts=known, config=None, agent_path=None, gss_host=None) as connection:
        print((await connection.run(sys.argv[4])).stdout)
asyncio.run(main())
"""


@dataclass
class Figures:
    """Of several passes and bare scripts, in turn, on a host with so many apps. Seconds by distance."""

    ours: dict[str, list[float]] = field(default_factory=dict)
    bare: dict[str, list[float]] = field(default_factory=dict)
    cpu: list[float] = field(default_factory=list)
    bare_cpu: list[float] = field(default_factory=list)
    processes: list[float] = field(default_factory=list)
    bare_processes: list[float] = field(default_factory=list)
    up: list[float] = field(default_factory=list)
    down: list[float] = field(default_factory=list)


def measure(lab: Lab, runs: int) -> list[Row]:
    """With one app, then with twenty."""
    one = _figures(lab, runs)
    lab.say(f"quiet: {MANY} apps")
    with lab.apps(MANY):
        many = _figures(lab, runs)
    rows = [_wall_row(apps, figures, far) for apps, figures in ((1, one), (MANY, many)) for far in ROUND_TRIPS_SECONDS]
    rows += [_growth_row(one, many, far) for far in ROUND_TRIPS_SECONDS]
    rows += [row for apps, figures in ((1, one), (MANY, many)) for row in _host_rows(apps, figures)]
    return [*rows, _bytes_row(many)]


def _figures(lab: Lab, runs: int) -> Figures:
    figures = Figures()
    with ExitStack() as stack:
        proxies = {far: stack.enter_context(link(lab, seconds)) for far, seconds in ROUND_TRIPS_SECONDS.items()}
        for far, proxy in proxies.items():
            host = {"address": "127.0.0.1", "port": proxy.port, "host_key": lab.machine.host_key}
            write_desired_state(lab, _folder(far), host)
        lab.project.commit()
        for number in range(runs + 1):  # the first warms up
            for far, proxy in proxies.items():
                _both(lab, figures, far, proxy, counts=number > 0)
        _host_figures(lab, figures, proxies["0 ms"], runs)
    return figures


def _folder(far: str) -> str:
    return f"quiet-{far.partition(' ')[0]}"


def _both(lab: Lab, figures: Figures, far: str, proxy: DelayProxy, *, counts: bool) -> None:
    before = proxy.bytes_up, proxy.bytes_down
    ours = _pass(lab, far)
    after = proxy.bytes_up, proxy.bytes_down
    bare = _bare(lab, proxy)
    if counts:
        figures.ours.setdefault(far, []).append(ours.seconds)
        figures.bare.setdefault(far, []).append(bare.seconds)
        figures.up.append((after[0] - before[0]) / 1000)
        figures.down.append((after[1] - before[1]) / 1000)


def _pass(lab: Lab, far: str) -> Ended:
    ended = lab.once("--desired-state", _folder(far))
    if ended.events:
        raise HostsError(f"the pass had something to do: {ended}")
    return ended


def _bare(lab: Lab, proxy: DelayProxy) -> Ended:
    words = [str(proxy.port), str(lab.farm.key_path), lab.machine.host_key, COMMAND]
    ended = lab.run([sys.executable, "-c", BARE, *words])
    if ended.code or len(ended.out) < 2000:
        raise HostsError(f"the bare script: {ended}")
    return ended


def _host_figures(lab: Lab, figures: Figures, proxy: DelayProxy, runs: int) -> None:
    """CPU of all that runs on the host, less what it takes when left alone, and how many processes begin."""
    begin = _used(lab)
    time.sleep(IDLE_SECONDS)
    end = _used(lab)
    idle = (end[0] - begin[0]) / IDLE_SECONDS

    def cost(run: Callable[[], Ended]) -> tuple[float, float]:
        before = _used(lab)
        begun = time.monotonic()
        run()
        time.sleep(0.3)  # sshd and systemd end the session
        after = _used(lab)
        return after[0] - before[0] - idle * (time.monotonic() - begun), after[1] - before[1]

    for _ in range(runs):
        seconds, processes = cost(lambda: _pass(lab, "0 ms"))
        figures.cpu.append(seconds)
        figures.processes.append(processes)
        seconds, processes = cost(lambda: _bare(lab, proxy))
        figures.bare_cpu.append(seconds)
        figures.bare_processes.append(processes)


def _used(lab: Lab) -> tuple[float, int]:
    """Seconds of CPU, and the number of the last process."""
    text = lab.machine.run("cut -d' ' -f2 /sys/fs/cgroup/cpu.stat | head -n 1; cut -d' ' -f5 /proc/loadavg").stdout
    microseconds, process = text.split()
    return int(microseconds) / 1e6, int(process)


def _wall_row(apps: int, figures: Figures, far: str) -> Row:
    ours, bare = figures.ours[far], figures.bare[far]
    ratio = statistics.median(ours) / statistics.median(bare)
    most = MOST_RATIO[far] if apps == 1 else None
    return Row(
        f"quiet `--once`, {_of(apps)}, {far} away, wall time",
        spread(ours, "s"),
        f"bare asyncssh {spread(bare, 's')}",
        f"{ratio:.2f}",
        f"ratio <= {most}" if most else "",
        ratio <= most if most else None,
    )


def _growth_row(one: Figures, many: Figures, far: str) -> Row:
    ratio = statistics.median(many.ours[far]) / statistics.median(one.ours[far])
    what = f"quiet `--once`, {MANY} apps beside 1, {far} away"
    figures = (spread(many.ours[far], "s"), f"1 app {spread(one.ours[far], 's')}")
    return Row(what, *figures, f"{ratio:.2f}", f"ratio <= {MOST_OF_MANY}", ratio <= MOST_OF_MANY)


def _host_rows(apps: int, figures: Figures) -> list[Row]:
    most, median = MOST_HOST_CPU_SECONDS[apps], statistics.median(figures.cpu)
    bare = statistics.median(figures.bare_cpu)
    processes, bare_processes = (statistics.median(each) for each in (figures.processes, figures.bare_processes))
    return [
        Row(
            f"CPU of the host for a quiet pass, {_of(apps)}",
            spread(figures.cpu, "s", 3),
            f"bare asyncssh {spread(figures.bare_cpu, 's', 3)}",
            f"{median / bare:.2f}",
            f"<= {most} s",
            median <= most,
        ),
        Row(
            f"processes on the host in a quiet pass, {_of(apps)}, with the login's",
            f"{processes:.0f}",
            f"bare asyncssh {bare_processes:.0f}",
            f"{processes / bare_processes:.2f}",
        ),
    ]


def _bytes_row(figures: Figures) -> Row:
    up, down = statistics.median(figures.up), statistics.median(figures.down)
    return Row(
        f"bytes of a quiet pass, {MANY} apps",
        f"{up:.1f} kB up, {down:.1f} kB down",
        goal=f"<= {MOST_UP_KILOBYTES} up, {MOST_DOWN_KILOBYTES} down",
        met=up <= MOST_UP_KILOBYTES and down <= MOST_DOWN_KILOBYTES,
    )


def _of(apps: int) -> str:
    return "1 app" if apps == 1 else f"{apps} apps"
