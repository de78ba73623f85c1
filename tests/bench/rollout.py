"""How soon the new version serves, and how soon Traefik goes by a new route file."""

from __future__ import annotations

import http.client
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench import applied
from tests.bench.lab import APP, MINIMUM_HEALTHY_SECONDS, Lab
from tests.bench.table import Row, percentile, spread
from tests.hosts.load import Load, Stream
from tests.hosts.process import HostsError, wait_until
from tests.support.releases import build_release

MOST_SECONDS, MOST_APPLIED_MILLISECONDS, MOST_APPLIED_AMONG_MANY = 2.0, 15.0, 60.0
OTHER_ROUTERS = 500
POLLS_PER_SECOND = 100
BY_API = "of Traefik's API that shows its marker, asked every 3 ms on a kept connection inside the host's network"
# With hundreds of routers each answer of the API costs Traefik 10 ms: asking often would slow down what is measured.
BY_VISITORS = f"of the new version to a visitor, one every {1000 // POLLS_PER_SECOND} ms"

BOOT = """\
unit=$(sed -n '1s/.*slot=\\([^ ]*\\) .*/\\1/p' /etc/traefik/dynamic/my_application.yml)
unit=my_application@$unit.service
systemctl show -P ExecMainStartTimestampMonotonic "$unit"
journalctl -o json -u "$unit" "_SYSTEMD_INVOCATION_ID=$(systemctl show -P InvocationID "$unit")"
"""


@dataclass(frozen=True)
class Rollout:
    """One rollout, in seconds."""

    serving: float  # from the start of the process to the first answer of the new version through Traefik
    boot: float  # the app's own: from the start of its main process to its line "listens on"
    applied_milliseconds: float

    @property
    def own(self) -> float:
        """What reconcile, ssh and Traefik take."""
        return self.serving - self.boot - MINIMUM_HEALTHY_SECONDS


def measure(lab: Lab, runs: int) -> list[Row]:
    """Rollouts of an env change, and of an artifact never seen before, in turn."""
    changed, installed = [], []
    with _markers(lab) as seen:
        for number in range(runs):
            changed.append(_roll_out(lab, None, seen))
            # A release of its own each time: judged, uploaded and unpacked anew.
            version = ("0.2.0", "0.1.0")[number % 2]
            installed.append(_roll_out(lab, build_release(version, drain_seconds=31 + number), seen))
    with _other_routers(lab):
        among_many = [_roll_out(lab, None).applied_milliseconds for _ in range(runs)]
    every = [each.applied_milliseconds for each in changed + installed]
    return [
        _row("env change: start of --once -> new version serves", changed),
        _row("new 5.7 MB artifact: start of --once -> new version serves", installed),
        _applied_row("route file renamed -> applied by Traefik", every, MOST_APPLIED_MILLISECONDS, BY_API),
        _applied_row(
            f"the same beside {OTHER_ROUTERS} other routers", among_many, MOST_APPLIED_AMONG_MANY, BY_VISITORS
        ),
    ]


def _applied_row(measure: str, milliseconds: list[float], most: float, how: str) -> Row:
    return Row(
        measure,
        f"p50 {statistics.median(milliseconds):.0f} ms, max {max(milliseconds):.0f} ms (n={len(milliseconds)})",
        goal=f"p50 <= {most:.0f} ms",
        met=percentile(milliseconds, 0.5) <= most,
        notes=(f"{measure}: from the ctime of the route file, set by the rename, to the first answer {how}",),
    )


@contextmanager
def _other_routers(lab: Lab) -> Iterator[None]:
    """Traefik has so many route files of other apps meanwhile, of the same form as ours, and has applied them all."""
    folder = lab.machine.root / "etc/traefik/dynamic"
    text = (folder / f"{APP}.yml").read_text()
    try:
        for number in range(OTHER_ROUTERS):
            domain = f"{number}.{lab.project.domain}"
            (folder / f"other-{number}.yml").write_text(
                text.replace(lab.project.domain, domain).replace(APP, f"other-{number}")
            )
        wait_until(lambda: _answers(lab, domain), 60, f"Traefik to apply {OTHER_ROUTERS} route files")
        yield
    finally:
        lab.machine.run("rm -f /etc/traefik/dynamic/other-*.yml")


def _answers(lab: Lab, domain: str) -> bool:
    connection = http.client.HTTPConnection(lab.machine.address, timeout=5)
    connection.request("GET", "/", headers={"Host": domain})
    return connection.getresponse().status == 200


def _row(measure: str, rollouts: list[Rollout]) -> Row:
    own = [each.own for each in rollouts]
    boot = statistics.median(each.boot for each in rollouts)
    return Row(
        measure,
        f"{spread(own, 's')} less the app's own",
        f"app: boot {boot:.2f} s + healthy {MINIMUM_HEALTHY_SECONDS} s",
        goal=f"<= {MOST_SECONDS:g} s",
        met=statistics.median(own) <= MOST_SECONDS,
        notes=(
            f"{measure}: {spread([each.serving for each in rollouts], 's')} in all (GET every 10 ms); boot = from "
            "ExecMainStartTimestampMonotonic to the journal's time of the app's line \"listens on\"",
        ),
    )


def _roll_out(lab: Lab, artifact: Path | None, seen: dict[str, int] | None = None) -> Rollout:
    greeting = lab.want(artifact)
    load = Load(lab.target, [Stream("GET", POLLS_PER_SECOND)], max_seconds=60)
    began, began_nanoseconds = time.monotonic(), time.time_ns()
    with load.running():
        ended = lab.once()
    first = load.first_answer(greeting.encode())
    if first is None or load.failures:
        raise HostsError(f"the new version was not seen, or requests failed: {load.summary()}\n{ended}")
    if seen is None:
        applied_milliseconds = (began_nanoseconds - _route_file(lab).stat().st_ctime_ns) / 1e6 + first * 1000
    else:
        applied_milliseconds = _applied_milliseconds(lab, seen)
    return Rollout(began + first - ended.begin, boot_seconds(lab), applied_milliseconds)


def _route_file(lab: Lab) -> Path:
    return lab.machine.root / f"etc/traefik/dynamic/{APP}.yml"


def boot_seconds(lab: Lab) -> float:
    """The app's own time, from the start of its process until it listens.

    Both times are microseconds of the host's monotonic clock."""
    started, *lines = lab.machine.run(BOOT).stdout.splitlines()
    for line in lines:
        entry = json.loads(line)
        if "listens on" in str(entry["MESSAGE"]):
            return (int(entry["__MONOTONIC_TIMESTAMP"]) - int(started)) / 1e6
    raise HostsError("the app's journal does not say that it listens")


def _applied_milliseconds(lab: Lab, seen: dict[str, int]) -> float:
    path = _route_file(lab)
    words = dict(word.partition("=")[::2] for word in path.read_text().splitlines()[0].split())
    marker = f"{APP}-route-{words['slot']}-{words['digest']}-{words['attempt']}"
    if marker not in seen:
        raise HostsError(f"the API never showed {marker}")
    return (seen[marker] - path.stat().st_ctime_ns) / 1e6


@contextmanager
def _markers(lab: Lab) -> Iterator[dict[str, int]]:
    """When each marker was last seen to appear; filled while the block runs."""
    seen: dict[str, int] = {}
    words = ["nsenter", f"--net={lab.machine.link.namespace}", sys.executable, applied.__file__, APP]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as watcher:
        output = watcher.stdout
        assert output is not None

        def read() -> None:
            for line in output:
                marker, nanoseconds = line.split()
                seen[marker] = int(nanoseconds)

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        try:
            yield seen
        finally:
            watcher.kill()
            thread.join(5)
