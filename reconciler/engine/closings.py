"""The end of the work on a host: write its history, and release its lease once nothing is left to do."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field

from reconciler.errors import Unexpected
from reconciler.logs import log
from reconciler.model.action import AnyAction, ConfirmRoute, RetryCertificates, WaitCertified
from reconciler.model.outcome import Outcome
from reconciler.model.target import Controller
from reconciler.targets.open_fleet import OpenFleet

# Not in the history: retried hourly, possibly for days, they would push everything else out of its 20 entries.
_FOR_CERTIFICATES = (RetryCertificates, WaitCertified)


@dataclass
class Closings:
    """At most one closing per host at a time. Each sets `changed` when it ends."""

    changed: asyncio.Event
    touched: set[str] = field(default_factory=set)  # hosts that were changed and still have our lease
    freeing: set[str] = field(default_factory=set)  # hosts whose lease is being given back
    running: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    @property
    def due(self) -> list[str]:
        """The changed hosts on which no closing is running, sorted."""
        return sorted(self.touched - self.running.keys())

    def begin(
        self, host: str, opened: OpenFleet, who: Controller, outcomes: list[Outcome], *, keep_lease: bool
    ) -> None:
        """Start to write the history of these outcomes. With `keep_lease`, a later closing releases the lease."""
        if not keep_lease:
            self.touched.discard(host)
            self.freeing.add(host)
        self.running[host] = asyncio.create_task(self._close(host, opened, who, outcomes, keep_lease=keep_lease))

    async def _close(
        self, host: str, opened: OpenFleet, who: Controller, outcomes: list[Outcome], *, keep_lease: bool
    ) -> None:
        from reconciler.apply.history import write_history

        told = [each for each in outcomes if not _only_asks_for_certificates(each.actions)]
        try:
            await write_history(opened.hosts[host], opened.sites[host], who, told, keep_lease=keep_lease)
        except Exception as raised:  # the host is changed already; only the history entry is missing
            log("history.not_written", host=host, reason=str(Unexpected(raised)))
        finally:
            del self.running[host]
            self.freeing.discard(host)
            self.changed.set()


def _only_asks_for_certificates(actions: Collection[AnyAction]) -> bool:
    """True if the route stayed as it was: it was written again only to make Traefik ask the CA."""
    asked = any(isinstance(action, _FOR_CERTIFICATES) for action in actions)
    return asked and all(isinstance(action, (*_FOR_CERTIFICATES, ConfirmRoute)) for action in actions)
