"""The rows of a snapshot: one app on one host each, with its state. Worked out once for every view of it. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from reconciler.decide.serving import serving
from reconciler.model.action import Blocked, Converged
from reconciler.model.fleet import Key, Wait
from reconciler.model.observed import ObservedHost, Slot, Unreachable
from reconciler.model.process_name import family_of
from reconciler.model.target import Target
from reconciler.page.snapshot import Snapshot
from reconciler.page.states import STATES, TROUBLED, State, state_of
from reconciler.page.wording import count

_COMMAND = re.compile(r"(?:^|[ (])((?:reconcile|journalctl|systemctl|git|ssh|ssh-keygen|openssl) [^,;()]+)")


@dataclass(frozen=True)
class Row:
    """One app on one host. `app` is "" for an unreachable host from which an app may have to be removed."""

    app: str
    host: str
    state: State
    wants: str
    runs: str
    because: str
    next_step: str = ""
    log_tail: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        return self.app, self.host

    @property
    def family(self) -> str:
        return family_of(self.app)

    @property
    def command(self) -> str:
        """The command in the next step, to copy; "" if it is a sentence only."""
        found = _COMMAND.search(self.next_step)
        return found[1].strip(" .:") if found else ""


@dataclass(frozen=True)
class Trouble:
    """Rows with the same reason."""

    state: State
    app: str
    reason: str
    rows: tuple[Row, ...]


class Index:
    """A snapshot and its rows, in order of host and app."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.rows = [row for key in snapshot.steps if (row := self._row(key)).state.key != "absent"]

    @cached_property
    def by_host(self) -> dict[str, list[Row]]:
        """The rows of each host, also of those that have none."""
        found: dict[str, list[Row]] = {host: [] for host in sorted(self.snapshot.desired.hosts)}
        for row in self.rows:
            found.setdefault(row.host, []).append(row)
        return found

    @cached_property
    def by_app(self) -> dict[str, list[Row]]:
        """The rows of each app and of its processes."""
        found: dict[str, list[Row]] = {}
        for row in self.rows:
            if row.app:
                found.setdefault(row.family, []).append(row)
        return dict(sorted(found.items()))

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many rows are in each state that occurs, the most urgent first."""
        return count_states(self.rows)

    @cached_property
    def troubles(self) -> list[Trouble]:
        """What needs attention, the most urgent first; the same reason on several hosts is one trouble."""
        found: dict[tuple[int, str, str], list[Row]] = {}
        for row in self.rows:
            if row.state.key in TROUBLED:
                app = "" if row.state.key == "unreachable" else row.app
                found.setdefault((row.state.rank, app, row.because), []).append(row)
        grouped = [Trouble(rows[0].state, app, why, tuple(rows)) for (_, app, why), rows in found.items()]
        return sorted(grouped, key=lambda trouble: (trouble.state.rank, -len(trouble.rows), trouble.app))

    @property
    def headline(self) -> tuple[str, str]:
        """The state of the whole fleet as a tone and a sentence."""
        if self.snapshot.refusal and not self.rows:
            return "bad", "The desired state cannot be used"
        if not self.rows:
            return "wait", "Nothing is wanted yet" if not self.snapshot.desired.hosts else "No app is wanted yet"
        bad = sum(self.counts.get(key, 0) for key in TROUBLED)
        moving = sum(self.counts.get(key, 0) for key in ("moving", "todo", "waiting"))
        if bad:
            verb = "needs" if bad == 1 else "need"
            return "bad", f"{bad:,} of {count(len(self.rows), 'app on a host', 'apps on hosts')} {verb} attention"
        if self.counts.get("unseen", 0) == len(self.rows):
            return "wait", "Looking at the hosts for the first time"
        if moving:
            verb = "is" if moving == 1 else "are"
            how = "being rolled out" if self.snapshot.mode == "watch" else "not yet as wanted"
            return "busy", f"{count(moving, 'app', 'apps')} {verb} {how}"
        apps, hosts = count(len(self.by_app), "app"), count(len({row.host for row in self.rows}), "host")
        return "good", f"{apps} on {hosts}: everything is as wanted"

    def target(self, key: Key) -> Target:
        """The target of this key; one that is not wanted any more is a removal."""
        return self.snapshot.desired.targets.get(key) or Target.removal(key[1], key[0])

    def look(self, host: str) -> ObservedHost | Unreachable | None:
        return self.snapshot.seen.hosts.get(host)

    def live_slot(self, key: Key) -> Slot | None:
        """The slot that serves the app on the host, or that would if it ran."""
        look = self.snapshot.seen.hosts.get(key[1])
        app = look.apps.get(key[0]) if isinstance(look, ObservedHost) else None
        if app is None:
            return None
        return serving(self.target(key), app) or next((slot for slot in app.slots if slot.running_now), None)

    def _row(self, key: Key) -> Row:
        app, host = key
        snapshot, step = self.snapshot, self.snapshot.steps[key]
        state = state_of(step, under_way=key in snapshot.seen.under_way, acts=snapshot.mode == "watch")
        look = self.look(host)
        if look is None:
            state = STATES["unseen"]
        target = snapshot.desired.targets.get(key)
        slot = self.live_slot(key)
        wants = target.version if target else self._version_of(app)
        runs = slot.running.version if slot and slot.running else ""
        if isinstance(step, Converged):
            return Row(app, host, state, wants, runs, step.note or "as wanted", step.next_step or "")
        if isinstance(step, Blocked):
            reason = step.reason.removeprefix(f"host {host}: ").removeprefix(f"{app}: ")
            return Row(app, host, state, wants, runs, reason, step.next_step or "", step.log_tail)
        if isinstance(step, Wait):
            return Row(app, host, state, wants, runs, step.reason)
        return Row(app, host, state, wants, runs, f"{step.verb} {step.subject}: {step.reason}")

    def _version_of(self, app: str) -> str:
        found = self.snapshot.desired.apps.get(app)
        return found.version if found else ""


def count_states(rows: Iterable[Row]) -> dict[str, int]:
    """How many rows are in each state that occurs, the most urgent first."""
    counted = Counter(row.state.key for row in rows)
    return {key: counted[key] for key in STATES if counted[key]}
