"""The running system of one host: `systemd-nspawn` over its disk and in its network namespace."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .process import HostsError, ProcessId, command, wait_until

# A guest that reboots makes systemd-nspawn end with 133, meaning "start me again". Each start enters the
# host's own control groups first ("0" = the writer itself), or two guests would share one.
SUPERVISOR = r"""
reboot=133
while :; do
    (
        while [ "$1" != -- ]; do echo 0 >"$1" || exit 1; shift; done
        shift
        exec "$@"
    )
    code=$?
    [ "$code" -eq "$reboot" ] || exit "$code"
done
"""
CONTROL_GROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Container:
    """One host's boots. `name` is unique on this machine; the host itself only knows `hostname`."""

    name: str
    hostname: str
    root: Path
    namespace: Path
    binds: tuple[str, ...]
    console: Path
    with_bpf: bool = False

    def start(self) -> ProcessId:
        """Switch it on; the process returned lives until the host is switched off, reboots included."""
        # Without systemd as this machine's first process there is nobody to ask for a control group: make
        # them here.
        groups = [] if Path("/run/systemd/system").is_dir() else self._control_groups()
        for group in groups:
            group.mkdir(exist_ok=True)
        entered = [str(group / "cgroup.procs") for group in groups]
        with self.console.open("ab") as console:
            # A session of its own: Ctrl-C in the terminal is for the tests, which then end the hosts in their
            # own order.
            supervisor = subprocess.Popen(
                ["sh", "-c", SUPERVISOR, "supervisor", *entered, "--", *self._words(keep_unit=bool(groups))],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                # The guest's control groups are like a real Debian's, whatever this machine's own look like.
                env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
                start_new_session=True,
            )
        # From here on only its number counts, for the host may be ended by another process; this keeps Popen
        # from complaining.
        supervisor.returncode = 0
        started = ProcessId.of(supervisor.pid)
        if started is None:
            raise HostsError(f"{self.hostname} ended at once: {self.last_words()}")
        return started

    def _words(self, *, keep_unit: bool) -> list[str]:
        words = ["systemd-nspawn", "--quiet", "--boot", "--register=no", f"--directory={self.root}"]
        words += [f"--machine={self.name}", f"--hostname={self.hostname}", "--console=pipe"]
        words += ["--resolv-conf=off", "--timezone=off", "--link-journal=no"]
        words += [f"--network-namespace-path={self.namespace}", *(["--keep-unit"] if keep_unit else [])]
        if self.with_bpf:
            words += ["--capability=CAP_BPF,CAP_PERFMON,CAP_NET_ADMIN", "--system-call-filter=bpf"]
        return words + [f"--bind-ro={bind}" for bind in self.binds]

    def last_words(self) -> str:
        text = self.console.read_text(errors="replace") if self.console.is_file() else ""
        return text[-1000:].strip() or "its console is empty"

    def kill(self, supervisor: ProcessId) -> None:
        """Kill every process at once, as a power cut does: nothing is closed or flushed."""
        guest = first_process(supervisor)
        # With its guest dead systemd-nspawn tidies up and ends by itself; without a guest there is nothing to
        # tidy up.
        for victim in [guest] if guest else [*supervisor.children(), supervisor]:
            victim.signal(signal.SIGKILL)
        wait_until(lambda: not supervisor.alive(), 40, f"{self.hostname} does not end: {self.last_words()}")

    def forget(self) -> None:
        """Remove what systemd-nspawn and the kernel keep about an ended host."""
        for group in self._control_groups():
            if group.is_dir():
                command(["find", str(group), "-depth", "-type", "d", "-exec", "rmdir", "{}", ";"], check=False)
        propagated = Path("/run/systemd/nspawn/propagate") / self.name
        if propagated.is_dir():
            propagated.rmdir()

    def _control_groups(self) -> list[Path]:
        tops = [CONTROL_GROUPS / "systemd", CONTROL_GROUPS / "unified", CONTROL_GROUPS]
        return [top / self.name for top in tops if (top / "cgroup.procs").is_file()]


def first_process(supervisor: ProcessId) -> ProcessId | None:
    """The guest's own process 1, as this machine numbers it; None while it is off or between two boots."""
    for nspawn in supervisor.children():
        for guest in nspawn.children():
            return guest
    return None
