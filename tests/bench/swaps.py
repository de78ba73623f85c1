"""Failed requests while versions and env variables are swapped under load, beside the hand-written script."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from tests.bench import rival
from tests.bench.lab import Lab, streams
from tests.bench.table import Row, percentile
from tests.hosts.load import Load, Sample
from tests.support.releases import build_release

PER_SECOND = 100
RIVAL_SWAPS = 3
LONGEST_SECONDS = 900
FIRST_FAILURES = 5


@dataclass
class Swaps:
    """What visitors saw, and how many slow requests were open at each cutover."""

    load: Load
    slow_open: list[int] = field(default_factory=list)

    @property
    def failed_per_cent(self) -> float:
        return 100 * len(self.load.failures) / len(self.load.samples)

    def __str__(self) -> str:
        p99 = percentile([s.seconds for s in self.load.samples if not s.failed and "slow" not in s.stream], 0.99)
        counts = f"{len(self.load.failures)} of {len(self.load.samples)} ({self.failed_per_cent:.1f} %)"
        return f"{counts}, p99 {p99 * 1000:.0f} ms"


def measure(lab: Lab, runs: int) -> list[Row]:
    """The script first, whose health check must not be reset by our changes; then ours."""
    lab.say(f"swaps: the hand-written script, {RIVAL_SWAPS} times")
    theirs = _rival(lab)
    ours = _ours(lab, runs)
    failures = [*ours.load.failures[:FIRST_FAILURES]]
    notes = [f"failed: {failure}" for failure in failures] or _by_stream(ours.load)
    slow = f"slow requests of 3 s open at a cutover: {min(ours.slow_open)} at least, in {len(ours.slow_open)} swaps"
    outage = len(theirs.load.failures) / (PER_SECOND + 1) / RIVAL_SWAPS
    return [
        Row(
            f"failed requests, {runs} swaps at {PER_SECOND}/s + 3 s requests",
            str(ours),
            f"hand-written script, {RIVAL_SWAPS} swaps: {theirs}",
            goal="0 failed",
            met=not ours.load.failures and min(ours.slow_open) > 0,
            notes=(*notes, slow, f"the hand-written script: {outage:.1f} s of failed requests a swap"),
        )
    ]


def _ours(lab: Lab, runs: int) -> Swaps:
    artifacts = [build_release("0.1.0"), build_release("0.2.0")]
    load = Load(lab.target, streams(PER_SECOND), max_seconds=LONGEST_SECONDS)
    cutovers = []
    began = time.monotonic()
    with load.running():
        time.sleep(3)  # from now on slow requests are always open
        for number in range(runs):
            lab.say(f"swaps: {number + 1} of {runs}")
            flip = number % 2 == 0
            lab.want(artifacts[lab.artifact == artifacts[0]] if flip else None)
            cutovers.append(lab.once().event("cutover.finished")[0] - began)
    slow = [sample for sample in load.samples if sample.stream == "GET slow"]
    return Swaps(load, [sum(_open(sample, at) for sample in slow) for at in cutovers])


def _open(sample: Sample, at: float) -> bool:
    return sample.at < at < sample.at + sample.seconds


def _rival(lab: Lab) -> Swaps:
    rival.install(lab)
    try:
        time.sleep(rival.HEALTH_INTERVAL_SECONDS + 2)  # until Traefik has asked both ports once
        load = Load(rival.target(lab), streams(PER_SECOND), max_seconds=LONGEST_SECONDS)
        with load.running():
            for number in range(RIVAL_SWAPS):
                time.sleep(1 + 1.7 * number)  # at another moment between two health checks each time
                rival.deploy(lab, ("0.2.0", "0.1.0")[number % 2])
                time.sleep(rival.HEALTH_INTERVAL_SECONDS + 1)
    finally:
        rival.remove(lab)
    return Swaps(load)


def _by_stream(load: Load) -> list[str]:
    lines = []
    for stream in load.streams:
        times = [sample.seconds * 1000 for sample in load.samples if sample.stream == stream.name]
        lines.append(f"{stream.name}: {len(times)} requests, p99 {percentile(times, 0.99):.0f} ms")
    return lines
