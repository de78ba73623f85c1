"""What `reconcile` costs that watches ten hosts and finds nothing to do, and how soon it sees a commit and drift."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bench.lab import Lab
from tests.bench.table import Row, percentile
from tests.hosts.machine import Machine
from tests.hosts.process import HostsError
from tests.hosts.proxy import GUEST_BINARY, install_traefik, traefik_binary
from tests.hosts.watching import Watching, watching

HOSTS = 10
INTERVAL_SECONDS = 60  # the default
MEMORY_MEGABYTES, CPU_SHARE = 120.0, 2.0  # goals


def measure(lab: Lab, minutes: int) -> list[Row]:
    """Ten hosts with one app; quiet for so many minutes, then a commit, then a route file that somebody deletes."""
    added = [lab.farm.add(f"watched{n}", {traefik_binary(): GUEST_BINARY}) for n in range(1, HOSTS)]
    try:
        for machine in added:
            install_traefik(machine)
        hosts = [lab.machine.name, *(machine.name for machine in added)]
        lab.want(hosts=hosts, rollout={"batch": "100%"})
        lab.once()
        with watching([*lab.command, "--verbose"], lab.project.folder, dict(lab.environ)) as watch:
            until(lambda: bool(watch.since(0, "pass.finished")), 60, "the first pass")
            return [*_quiet(watch, minutes), _commit(lab, watch), _drift(lab, watch)]
    finally:
        for machine in added:
            lab.farm.remove(machine)
        lab.want(hosts=[lab.machine.name])


def _quiet(watch: Watching, minutes: int) -> list[Row]:
    pid = watch.process.pid
    begin, cpu, memory = time.time(), cpu_seconds(pid), []
    while time.time() - begin < minutes * 60:
        memory.append(memory_megabytes(pid))
        time.sleep(1)
    share = 100 * (cpu_seconds(pid) - cpu) / (time.time() - begin)
    passes = watch.since(begin, "pass.finished")
    if any(each["actions"] for each in passes):
        raise HostsError("a pass had something to do")
    trips = _trips_a_pass(passes)
    what = f"{HOSTS} hosts, {minutes} min, {len(passes)} passes"
    return [
        Row(
            f"watch, memory (RSS), most; {what}",
            f"{max(memory):.0f} MB",
            goal=f"<= {MEMORY_MEGABYTES:.0f} MB",
            met=max(memory) <= MEMORY_MEGABYTES,
        ),
        Row(f"watch, CPU of a core; {what}", f"{share:.2f} %", goal=f"<= {CPU_SHARE:g} %", met=share <= CPU_SHARE),
        Row("watch, round trips a host and quiet pass", f"{trips:g}", goal="1", met=trips <= 1),
    ]


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_megabytes(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def _trips_a_pass(passes: list[dict[str, Any]]) -> float:
    """The log counts since the connection is up, so the last less the first."""
    first, last = passes[0]["round_trips"], passes[-1]["round_trips"]
    counts = [(last[host] - first[host]) / max(1, len(passes) - 1) for host in first]
    return percentile(counts, 1.0)


def _commit(lab: Lab, watch: Watching) -> Row:
    lab.want()
    committed = time.time()
    until(lambda: bool(watch.since(committed, "start.finished")), 30, "the first action")
    event = watch.since(committed, "start.finished")[0]
    seconds = event["heard_at"] - float(event["seconds"]) - committed
    until(lambda: bool(watch.since(committed, "pass.finished")), 120, "the rollout")
    return Row("commit -> first remote action", f"{seconds:.2f} s", goal="<= 1 s", met=seconds <= 1)


def _drift(lab: Lab, watch: Watching) -> Row:
    route = f"/etc/traefik/dynamic/{lab.project.app}.yml"
    lab.machine.run(f"rm {route}")
    broken = time.time()
    until(lambda: _exists(lab.machine, route), 2 * INTERVAL_SECONDS, "the route file is back")
    seconds = time.time() - broken
    return Row(
        f"deleted route file -> healed, timer of {INTERVAL_SECONDS} s, connection open",
        f"{seconds:.1f} s",
        goal="<= 66 s",
        met=seconds <= INTERVAL_SECONDS * 1.1,
    )


def _exists(machine: Machine, path: str) -> bool:
    return machine.run(f"test -e {path}", check=False).returncode == 0


def until(true: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise HostsError(f"not within {seconds:g} s: {what}")
        time.sleep(0.05)
