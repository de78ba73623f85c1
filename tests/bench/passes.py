"""What a pass costs that finds nothing to do: time, memory, bytes; and the time of `--help`."""

from __future__ import annotations

import statistics
import sys

from tests.bench.lab import HOST, Lab, link, write_desired_state
from tests.bench.table import Row, spread
from tests.hosts.delay_proxy import DelayProxy
from tests.hosts.process import HostsError

# A process inherits its parent's peak; hence a small parent, which prints the peak of its child.
PEAK = "import resource, subprocess, sys; code = subprocess.call(sys.argv[1:], stdout=2); \
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(code)"


def no_op(lab: Lab, runs: int) -> list[Row]:
    """Whole processes, in turn; the first pair warms up and is left out."""
    ours, theirs = [], []
    for _ in range(runs + 1):
        ended = lab.once()
        if ended.events:
            raise HostsError(f"the pass had something to do: {ended}")
        ours.append(ended.seconds)
        theirs.append(lab.ssh(HOST, "true").seconds)
    ours, theirs = ours[1:], theirs[1:]
    ratio = statistics.median(ours) / statistics.median(theirs)
    row = Row(
        "no-op `reconcile --once`, wall time",
        spread(ours, "s"),
        f"ssh host true {spread(theirs, 's')}",
        f"{ratio:.2f}",
        "ratio <= 2.5",
        ratio <= 2.5,
    )
    return [row]


def show_help(lab: Lab, runs: int) -> list[Row]:
    """Beside the start of Python itself."""
    ours, theirs = [], []
    for _ in range(runs + 1):
        ours.append(lab.run([*lab.command, "--help"]).seconds)
        theirs.append(lab.run([sys.executable, "-c", "pass"]).seconds)
    ours, theirs = ours[1:], theirs[1:]
    median = statistics.median(ours)
    return [
        Row(
            "`reconcile --help`, wall time",
            spread(ours, "s", 3),
            f"python -c pass {spread(theirs, 's', 3)}",
            f"{median / statistics.median(theirs):.1f}",
            "<= 0.15 s",
            median <= 0.15,
        )
    ]


def footprint(lab: Lab, runs: int) -> list[Row]:
    """Peak memory by the kernel's account, and bytes as a proxy between us and the host counts them."""
    lab.once()
    memory = [_peak_megabytes(lab, [*lab.command, "--once"]) for _ in range(runs)]
    ssh_memory = [_peak_megabytes(lab, [str(lab.farm.home / "bin/ssh"), HOST, "true"]) for _ in range(runs)]
    with link(lab) as proxy:
        near = write_desired_state(
            lab, "near", {"address": "127.0.0.1", "port": proxy.port, "host_key": lab.machine.host_key}
        )
        lab.project.commit()
        up, down, ssh_up, ssh_down = [], [], [], []
        for _ in range(runs):
            before = proxy.bytes_up, proxy.bytes_down
            lab.once("--desired-state", near.name)
            middle = proxy.bytes_up, proxy.bytes_down
            lab.ssh(*via(proxy), HOST, "true")
            up.append((middle[0] - before[0]) / 1000)
            down.append((middle[1] - before[1]) / 1000)
            ssh_up.append((proxy.bytes_up - middle[0]) / 1000)
            ssh_down.append((proxy.bytes_down - middle[1]) / 1000)
    return [
        _beside("no-op, peak memory (RSS)", memory, ssh_memory, "MB", 0),
        _beside("no-op, bytes sent to the host", up, ssh_up, "kB", 1),
        _beside("no-op, bytes received", down, ssh_down, "kB", 1),
    ]


def via(proxy: DelayProxy) -> tuple[str, ...]:
    """Options of OpenSSH to reach the same host through a proxy, its key still checked."""
    return ("-p", str(proxy.port), "-o", "HostName=127.0.0.1", "-o", f"HostKeyAlias={HOST}")


def _peak_megabytes(lab: Lab, words: list[str]) -> float:
    ended = lab.run([sys.executable, "-I", "-S", "-c", PEAK, *words])
    if ended.code != 0:
        raise HostsError(f"{words}: {ended}")
    return int(ended.out) * 1024 / 1e6


def _beside(measure: str, ours: list[float], theirs: list[float], unit: str, digits: int) -> Row:
    ratio = statistics.median(ours) / statistics.median(theirs)
    return Row(measure, spread(ours, unit, digits), f"ssh host true {spread(theirs, unit, digits)}", f"{ratio:.1f}")
