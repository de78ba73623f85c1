"""Removals: apps of this desired state's owner on a host that the desired state no longer names. Pure."""

from __future__ import annotations

from reconciler.decide.family import why_process_stays
from reconciler.decide.guards import too_many_removals
from reconciler.decide.order import FleetStep, obstacle
from reconciler.model.action import Blocked
from reconciler.model.fleet import DesiredFleet, Key, SeenFleet
from reconciler.model.observed import TRAEFIK, ObservedHost, Unreachable
from reconciler.model.process_name import family_of, is_process
from reconciler.model.target import Target


def surplus(desired: DesiredFleet, seen: SeenFleet, steps: dict[Key, FleetStep]) -> dict[Key, Target]:
    """Return the removals; none until every host was looked at. A moved app waits for its successors in `steps`."""
    if not desired.prunes or any(host not in seen.hosts for host in desired.hosts):
        return {}
    own = (host for host in desired.hosts if host not in desired.elsewhere)
    looks = {host: look for host in own if (look := seen.host(host))}
    owned = {(app, host) for host, look in looks.items() for app in look.apps if _is_ours(look, app, desired.owner)}
    named = desired.targets.keys() | desired.edges.keys() | desired.refused.keys()
    # Routes need the Traefik of their host, even if another controller manages it from now on.
    routing = {(TRAEFIK, host) for host, look in looks.items() if look.app(TRAEFIK).watched}
    begun = {key for key in seen.begun if key[1] in looks}  # the look may no longer show any trace of these
    gone = sorted((owned - routing | begun) - named)
    wanted_apps = {app for app, _ in named} | (desired.apps.keys() if desired.elsewhere else set())
    moved = {app.moved_from for app in desired.apps.values()}
    families = {family_of(app) for app in wanted_apps} | moved
    vanished = {app for app, _ in gone if family_of(app) not in families}
    kinds = sorted({family_of(app) for app in vanished}), len({family_of(app) for app, _ in owned})
    too_many = None if desired.allow_prune else too_many_removals(*kinds)
    removals = {}
    for app, host in gone:
        find = why_process_stays if is_process(app) else _why_app_stays
        why = too_many if app in vanished else find(app, host, desired, steps)
        goes_on = family_of(app) in families
        removals[app, host] = Target.removal(host, app, why, too_many=app in vanished, lets_jobs_end=goes_on)
    return removals


def unseen_hosts(desired: DesiredFleet, seen: SeenFleet) -> dict[Key, FleetStep]:
    """Return Blocked for each unreachable host without a target: a removed or moved app may still run there."""
    if not desired.prunes:
        return {}
    used = {host for _, host in [*desired.targets, *desired.edges, *desired.refused]}
    lost = [
        look for host in desired.hosts if isinstance(look := seen.hosts.get(host), Unreachable) and host not in used
    ]
    return {("", look.host): _unseen(look) for look in lost}


def _unseen(look: Unreachable) -> Blocked:
    reason = f"{look.reason}; an app that was removed or moved may still run there"
    next_step = look.next_step or "make it reachable, or take it out of fleet.yaml"
    return Blocked(look.host, "", reason, next_step, retryable=look.retryable, kind=look.kind)


def _is_ours(look: ObservedHost, app: str, owner: str) -> bool:
    return look.apps[app].owner == owner != "-"


def _why_app_stays(app: str, host: str, desired: DesiredFleet, steps: dict[Key, FleetStep]) -> str | None:
    first = obstacle(_successors(app, desired), steps)
    return first.reason if first else _not_looked_at_by_shard(app, desired)


def _not_looked_at_by_shard(app: str, desired: DesiredFleet) -> str | None:
    """Say why another shard's hosts keep the app here: it may have moved to one that this controller cannot see."""
    if not desired.elsewhere:
        return None
    places = [
        (each, host)
        for each in sorted(_names(app, desired))
        if each in desired.apps
        for host in desired.apps[each].hosts
    ]
    hidden = [host for each, host in places if host in desired.elsewhere and (each, host) not in desired.targets]
    return (
        f"{app} may have moved to {hidden[0]}, which is of another shard; one pass without --shard removes it"
        if hidden
        else None
    )


def _names(app: str, desired: DesiredFleet) -> set[str]:
    return {app, *(each.app for each in desired.apps.values() if each.moved_from == app)}


def _successors(app: str, desired: DesiredFleet) -> list[Key]:
    """The keys of the app on other hosts, and of the apps that replace it under another name."""
    names = _names(app, desired)
    return [key for key in [*desired.targets, *desired.refused] if key[0] in names]
