"""Failures of a candidate that are the host's fault: its release may be good, and is tried again. Pure.

systemd's exit statuses: https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html#Process%20Exit%20Codes
They mean that the program itself was never started. An app that ends with one of them by itself is only tried again.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from reconciler.decide.case import Case
from reconciler.decide.exposure import Note
from reconciler.decide.leaving import leave
from reconciler.decide.unit_changes import start_is_changed
from reconciler.model.action import Blocked, Step
from reconciler.model.observed import HostFacts, ObservedApp, Slot

_NESTING: Final = "if the host is a container, turn on nesting for it"
_SPACE: Final = "look at the disk, the mounts and the permissions there; journalctl on the host has systemd's words"
_STEPS: Final = {  # exit status: (the step at which systemd gave up, what to do)
    217: ("USER", f"{_NESTING}; a host that refuses user namespaces can do without: sandbox: {{shared_users: true}}"),
    219: ("CGROUP", _SPACE),
    225: ("NETWORK", _NESTING),
    226: ("NAMESPACE", f"{_NESTING}; sandbox: {{shared_users: true}} needs fewer namespaces"),
    228: ("SECCOMP", "the kernel lacks seccomp; install the distribution's own kernel"),
    233: ("RUNTIME_DIRECTORY", _SPACE),
    238: ("STATE_DIRECTORY", _SPACE),
    239: ("CACHE_DIRECTORY", _SPACE),
    240: ("LOGS_DIRECTORY", _SPACE),
    243: ("CREDENTIALS", _NESTING),
}
_NOT_EXECUTABLE: Final = 126  # of a shell
_STATUS: Final = re.compile(r".*, status ([0-9]{1,3})")


def refuse_noexec(case: Case) -> Blocked | None:
    """Return Blocked if no program of a release can be run on this host, and the app is started by one."""
    if not case.seen.facts.noexec or not case.target.runs_own_program:
        return None
    return replace(case.block("host", *_noexec(case.seen.facts.noexec)), retryable=True)


def noexec_note(case: Case) -> Note | None:
    """Return the note on an instance that runs where it could not be started again, or None."""
    blocked = refuse_noexec(case)
    return Note(f"{blocked.reason}: it could not be started again", blocked.next_step or "") if blocked else None


def _noexec(mount: str) -> tuple[str, str]:
    return (
        f"{mount} is mounted noexec on this host, so no program of a release can be run there",
        f"mount -o remount,exec {mount}, also in /etc/fstab; or name another folder as paths.releases in fleet.yaml",
    )


def host_fault(slot: Slot, app: ObservedApp, facts: HostFacts) -> tuple[str, str] | None:
    """Return (what is wrong with the host, what to do), or None if the instance itself failed."""
    found = _STATUS.fullmatch(slot.last_exit)
    if found and (step := _STEPS.get(int(found[1]))):
        name, next_step = step
        return f"systemd cannot start an instance on this host (status {found[1]}, {name})", next_step
    if facts.noexec and found and int(found[1]) == _NOT_EXECUTABLE:
        return _noexec(facts.noexec)
    if slot.open_connections and not slot.listening and not slot.stranger:
        reason = f"port {slot.name} is in use by an outgoing connection of another program on this host"
        return (
            reason,
            "choose ports below net.ipv4.ip_local_port_range (32768), or reserve them (ip_local_reserved_ports)",
        )
    if slot.failure and (drop_ins := start_is_changed(app, slot.name)):
        return (
            f"{slot.failure}, with another start than reconcile's: {drop_ins}",
            "correct or remove that file on the host",
        )
    return None


def give_way_to_host_fault(case: Case) -> Step | None:
    """Stop the candidate that has failed if its host is to blame, then block until the next look; else return None."""
    slot = case.slot
    fault = None if slot.previous else host_fault(slot, case.app, case.seen.facts)
    if fault is None:  # or the instance that it replaced must come back first
        return None
    reason, next_step = fault
    if slot.occupied:
        return leave(case, slot, reason)
    return replace(case.block("host", reason, next_step, slot.log_tail), retryable=True)


def keep_host_fault(before: Slot, after: Slot, app: ObservedApp, facts: HostFacts) -> Slot:
    """Return the slot as it is after its candidate was stopped, with the evidence of the host's fault."""
    if not before.failure or host_fault(before, app, facts) is None:
        return after
    evidence = replace(after, failure=before.failure, last_exit=before.last_exit, log_tail=before.log_tail)
    return replace(evidence, open_connections=before.open_connections)
