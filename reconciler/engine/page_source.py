"""Snapshots for the page: of a watch as it is now, or of one look at the fleet. Making one costs no round trip."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from reconciler.clock import epoch_seconds
from reconciler.desired_state.git.describe import Described, Descriptions, describe
from reconciler.engine.engine import Engine
from reconciler.engine.fleet import desired_fleet
from reconciler.engine.preview import Preview
from reconciler.errors import HostError, ReconcileError
from reconciler.model.desired import Desired
from reconciler.model.fleet import DesiredFleet, Key, SeenFleet
from reconciler.observe.past import read_history
from reconciler.page.snapshot import ActionSeen, Commit, Entry, Mode, Refusal, Snapshot
from reconciler.targets.open_fleet import OpenFleet

HISTORIES_AT_ONCE = 16
MOST_HISTORIES = 500  # apps on hosts whose history is read when the page begins


@dataclass(frozen=True)
class Past:
    """What the hosts keep of earlier changes, newest first, and the hosts that did not say."""

    entries: tuple[Entry, ...] = ()
    unread: tuple[str, ...] = ()


@dataclass
class CommitBook:
    """What git says of the commit in use; it is asked once for each commit."""

    revision: str | None = None
    known: Descriptions = field(default_factory=Descriptions)

    async def learn(self, desired: Desired) -> None:
        """Ask git about the commit of this desired state, unless it was asked already."""
        if desired.revision != self.revision:
            self.known, self.revision = await describe(desired), desired.revision

    def commit(self, desired: Desired) -> Commit:
        """The commit of this desired state, described as far as git was asked about it."""
        told = self.known.head if desired.revision == self.revision else None
        return Commit(
            desired.revision, desired.committed_at, told.author if told else None, told.subject if told else None
        )

    def app_commits(self, desired: Desired) -> dict[str, Commit]:
        if desired.revision != self.revision:
            return {}
        return {app: _commit(told) for app, told in self.known.by_app.items()}


def _commit(told: Described) -> Commit:
    return Commit(told.revision, told.at_epoch_seconds, told.author, told.subject)


def refusal_of(error: ReconcileError | None) -> Refusal | None:
    return Refusal(str(error), error.next_step or None) if error else None


def snapshot_of_engine(
    engine: Engine,
    doing: Mapping[Key, Iterable[ActionSeen]],
    history: tuple[Entry, ...],
    book: CommitBook,
    refused: ReconcileError | None,
    *,
    interval_seconds: float | None = None,
    unread: tuple[str, ...] = (),
) -> Snapshot:
    """The fleet as the engine knows it now. Only dictionaries are copied: their values are frozen."""
    opened = engine.opened
    desired = opened.desired
    return Snapshot(
        desired=engine.desired_now(),
        seen=engine.seen_now(),
        steps={**engine.steps, **engine.resting},
        at_epoch_seconds=epoch_seconds(),
        mode="watch",
        interval_seconds=interval_seconds,
        commit=book.commit(desired),
        app_commits=book.app_commits(desired),
        refusal=refusal_of(refused or desired.refused),
        looked_at=dict(engine.known.looked_at),
        addresses=_addresses(opened),
        doing={key: tuple(actions) for key, actions in doing.items()},
        history=history,
        unread=unread,
    )


def snapshot_of_preview(
    opened: OpenFleet,
    shown: Preview,
    book: CommitBook,
    past: Past,
    mode: Mode,
    *,
    interval_seconds: float | None = None,
    allow_prune: bool = False,
    refused: ReconcileError | None = None,
) -> Snapshot:
    """The fleet as one look showed it: the first step of each plan is what is due."""
    desired, now = opened.desired, epoch_seconds()
    return Snapshot(
        desired=desired_fleet(opened, allow_prune=allow_prune),
        seen=SeenFleet(shown.hosts),
        steps={key: plan.actions[0] if plan.actions else plan.end for key, plan in shown.plans.items()},
        at_epoch_seconds=now,
        mode=mode,
        interval_seconds=interval_seconds,
        commit=book.commit(desired),
        app_commits=book.app_commits(desired),
        refusal=refusal_of(refused or desired.refused),
        plans=shown.plans,
        looked_at=dict.fromkeys(shown.hosts, now),
        addresses=_addresses(opened),
        history=past.entries,
        unread=past.unread,
    )


def empty_snapshot(mode: Mode, refused: ReconcileError | None = None) -> Snapshot:
    """Before the first desired state was read, or when none can be."""
    return Snapshot(DesiredFleet({}), SeenFleet(), {}, epoch_seconds(), mode, refusal=refusal_of(refused))


def _addresses(opened: OpenFleet) -> dict[str, str]:
    return {name: site.spec.address for name, site in opened.sites.items()}


async def read_past(opened: OpenFleet, skipped: Iterable[str] = ()) -> Past:
    """Read what the hosts keep of the apps' histories, a few at a time: one round trip for each app on a host."""
    gate, without = asyncio.Semaphore(HISTORIES_AT_ONCE), set(skipped)
    keys = [key for key in opened.targets if key[1] not in without][:MOST_HISTORIES]
    unread: set[str] = set(without)

    async def read(app: str, host: str) -> list[Entry]:
        async with gate:
            if host in unread:
                return []
            try:
                lines = await read_history(opened.hosts[host], opened.sites[host], app)
            except HostError:
                unread.add(host)
                return []
        return [_past_entry(host, app, line) for line in lines if line]

    found = [entry for entries in await asyncio.gather(*(read(*key) for key in keys)) for entry in entries]
    found.sort(key=lambda entry: entry.at_epoch_seconds, reverse=True)
    return Past(tuple(found), tuple(sorted(unread)))


def _past_entry(host: str, app: str, line: dict[str, object]) -> Entry:
    def text(key: str) -> str:
        return str(line[key] or "")

    return Entry(
        at_epoch_seconds=float(str(line["at"])),
        host=host,
        app=app,
        who=text("who"),
        commit=text("commit") or None,
        before=text("from"),
        after=text("to"),
        why=text("why"),
        seconds=float(str(line["seconds"])),
        converged=line["outcome"] != "not converged",
        outcome=text("outcome"),
        reason=text("reason"),
        verbs=tuple(str(verb) for verb in line["actions"]) if isinstance(line["actions"], list) else (),
    )
