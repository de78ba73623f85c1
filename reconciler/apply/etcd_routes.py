"""Writes the route of an app into etcd, for the Traefiks of all edges at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from reconciler.apply.etcd import Etcd, EtcdFailed
from reconciler.tools import traefik_keys
from reconciler.tools.traefik_keys import Claimed, Keys

Fence = Callable[[], Awaitable[None]]
MOST_ATTEMPTS: Final = 5  # each fails only because another controller has written since our look


class RouteClaimed(EtcdFailed):
    """The route in etcd is somebody else's. `next_step` says what to do."""

    def __init__(self, claimed: Claimed) -> None:
        super().__init__(claimed.reason)
        self.next_step = claimed.next_step


async def _no_fence() -> None:
    """For a caller that nobody else can be in the way of."""


async def write_route(etcd: Etcd, app: str, owner: str, wanted: Keys, fence: Fence = _no_fence) -> bool:
    """Make the app's keys in etcd the wanted ones, in one transaction; without any, remove its route.

    `fence` raises unless we still may change the route. It is asked after the look: whoever changes the route later has
    changed its record too, so a controller that slept writes nothing. Returns True if anything had to be written.
    Raises RouteClaimed, EtcdFailed, HostError, and what `fence` raises.
    """
    place = traefik_keys.record_key(app)
    for _ in range(MOST_ATTEMPTS):
        found = await etcd.look((place, *traefik_keys.SEED), traefik_keys.prefixes(wanted))
        change = traefik_keys.change(app, owner, wanted, {key: kept.value for key, kept in found.items()})
        if isinstance(change, Claimed):
            raise RouteClaimed(change)
        if not change:
            return False
        await fence()
        revision = found[place].revision if place in found else 0
        if await etcd.write(change.put, change.remove, {place: revision}):
            return True
    raise EtcdFailed(f"another controller writes the route of {app} in etcd at the same time, again and again")
