"""Hundreds of swaps by one watch under load: no request fails, and nothing grows on the host or in the controller."""

from __future__ import annotations

import contextlib
import time

from tests.bench.lab import Lab, streams
from tests.bench.table import Row
from tests.bench.watching import memory_megabytes, until
from tests.hosts.load import Load
from tests.hosts.watching import watching
from tests.support.releases import build_release

PER_SECOND = 20
WARM_UP_SWAPS = 20  # the first ones load modules and fill caches
LARGEST_GROWTH_MEGABYTES = 4.0
LONGEST_SECONDS = 3 * 3600
WAIT_SECONDS = 600.0  # for one swap, on a machine that has other work too
COUNTS = """\
find /srv /etc/reconcile /etc/traefik /var/lib/reconcile /run/reconcile -xdev 2>/dev/null | wc -l
systemctl list-units --all --no-legend 'my_application*' | wc -l
ls /proc | grep -c '^[0-9]'
"""
NAMES = ("files", "units", "processes")


def measure(lab: Lab, runs: int) -> list[Row]:
    """A commit after each rollout: a version, an env variable, in turn."""
    artifacts = [build_release("0.1.0"), build_release("0.2.0")]
    load = Load(lab.target, streams(PER_SECOND), max_seconds=LONGEST_SECONDS)
    memory: list[float] = []
    counts: list[list[int]] = []
    with watching([*lab.command, "--verbose"], lab.project.folder, dict(lab.environ)) as watch:
        until(lambda: bool(watch.since(0, "pass.finished")), 60, "the first pass")
        with load.running(), contextlib.suppress(KeyboardInterrupt):  # ^C ends it early, and what was seen is told
            for number in range(runs):
                lab.want(artifacts[lab.artifact == artifacts[0]] if number % 2 == 0 else None)
                committed = time.time()
                until(lambda at=committed: bool(watch.since(at, "stop.finished")), WAIT_SECONDS, "the rollout")  # type: ignore[misc]
                until(lambda at=committed: bool(watch.since(at, "pass.finished")), WAIT_SECONDS, "its end")  # type: ignore[misc]
                memory.append(memory_megabytes(watch.process.pid))
                counts.append([int(line) for line in lab.machine.run(COUNTS).stdout.split()])
                lab.say(
                    f"soak: {number + 1} of {runs}, {time.time() - committed:.1f} s, {memory[-1]:.1f} MB, "
                    f"{len(load.failures)} requests failed, files, units, processes: {counts[-1]}"
                )
    if not (done := len(memory)):
        return []
    warm_up = min(WARM_UP_SWAPS, done // 2)
    memory, counts = memory[warm_up:], counts[warm_up:]
    failed = [f"failed: {failure}" for failure in load.failures[:5]]
    return [
        Row(
            f"failed requests, {done} swaps by one watch at {PER_SECOND}/s + 3 s requests",
            f"{len(load.failures)} of {len(load.samples)}",
            goal="0 failed",
            met=not load.failures and not load.ended_early,
            notes=tuple(failed),
        ),
        _memory(memory),
        *(_steady(name, [count[place] for count in counts]) for place, name in enumerate(NAMES)),
    ]


def _memory(memory: list[float]) -> Row:
    """The least of the last tenth against the least of the first: what is freed again is no growth."""
    tenth = max(1, len(memory) // 10)
    growth = min(memory[-tenth:]) - min(memory[:tenth])
    return Row(
        f"memory (RSS) of the watch, over {len(memory)} swaps",
        f"{memory[0]:.1f} -> {memory[-1]:.1f} MB",
        goal=f"grows by <= {LARGEST_GROWTH_MEGABYTES:g} MB",
        met=growth <= LARGEST_GROWTH_MEGABYTES,
    )


def _steady(name: str, counts: list[int]) -> Row:
    tenth = max(1, len(counts) // 10)
    first, last = max(counts[:tenth]), min(counts[-tenth:])
    return Row(f"{name} on the host", f"{counts[0]} -> {counts[-1]}", goal="no growth", met=last <= first)
