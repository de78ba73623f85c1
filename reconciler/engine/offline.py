"""The plan between two desired states, without any host: what a pass does on servers that have converged on the first.

It is the decision of every pass, unfolded from there. Pure.
"""

from __future__ import annotations

from dataclasses import replace

from reconciler.decide.converged_app import balanced_edge, converged_app
from reconciler.decide.guards import too_many_removals
from reconciler.decide.plan import AppPlan, plan_fleet
from reconciler.model.action import AnyAction, InstallRelease, Migrate, PruneReleases
from reconciler.model.fleet import Key, SeenFleet
from reconciler.model.observed import Certificate, HostFacts, ObservedApp, ObservedHost
from reconciler.model.process_name import family_of
from reconciler.targets.without_hosts import FAR_AWAY, OfflineFleet

_FACTS = HostFacts(memory_available_kib=1 << 40, cores=1)  # this plan is not about the machines


def plan_between(before: OfflineFleet, after: OfflineFleet) -> dict[Key, AppPlan]:
    """Return the plan of the pass that takes the servers from one state to the other. It has each app that changes."""
    before, after = _without_unchanged(before, after)
    converged, empty, new = _converged(before), _empty_hosts(after), moved(before, after)
    hosts = {
        name: replace(seen if name in new else converged.get(name, seen), entry_points=seen.entry_points)
        for name, seen in empty.items()
    }
    return plan_fleet(after.fleet, SeenFleet(hosts))


def _without_unchanged(before: OfflineFleet, after: OfflineFleet) -> tuple[OfflineFleet, OfflineFleet]:
    """Both without the apps with which nothing is to be done: nothing waits for them, so the plan is the same."""
    gone, every = (
        {family_of(app) for app, _ in keys} for keys in (before.files.keys() - after.files.keys(), before.files)
    )
    gone -= {family_of(app) for app, _ in after.files}
    if too_many_removals(sorted(gone), len(every)) and not after.fleet.allow_prune:
        return before, after  # the refusal counts them all
    keys = before.files.keys() | after.files.keys()
    changed = {app for app, host in keys if before.files.get((app, host)) is not after.files.get((app, host))}
    changed |= {app for app, _ in after.fleet.refused} | {app for app, host in keys if host in moved(before, after)}
    families = {family_of(app) for app in changed}
    after = replace(after, fleet=replace(after.fleet, allow_prune=True))
    return before.only(families), after.only(families)


def without_stand_ins(plan: AppPlan, fleet: OfflineFleet) -> AppPlan:
    """Return the plan with the version alone in place of each release whose digest only the artifact tells."""
    return replace(plan, actions=tuple(_without_stand_in(action, fleet.unknown_releases) for action in plan.actions))


def _without_stand_in(action: AnyAction, unknown: frozenset[str]) -> AnyAction:
    match action:
        case InstallRelease(release=release) if release in unknown:
            return replace(action, release=release.rpartition("-")[0])
        case Migrate(identity=identity) if identity.release in unknown:
            return replace(action, identity=replace(identity, release=identity.version))
        case PruneReleases(releases=releases):
            shown = (each.rpartition("-")[0] if each in unknown else each for each in releases)
            return replace(action, releases=tuple(shown))
        case _:
            return action


def moved(before: OfflineFleet, after: OfflineFleet) -> tuple[str, ...]:
    """The hosts whose name stands for another address now: most likely another machine."""
    both = sorted({*before.fleet.hosts} & {*after.fleet.hosts})
    return tuple(name for name in both if before.desired.host(name).machine != after.desired.host(name).machine)


def left_alone(before: OfflineFleet, after: OfflineFleet) -> dict[str, tuple[str, ...]]:
    """The apps on each host that the second state no longer names. No pass looks there, so they keep running."""
    gone = {*before.fleet.hosts} - {*after.fleet.hosts}
    return {name: tuple(app for app, host in before.files if host == name) for name in sorted(gone)}


def _converged(fleet: OfflineFleet) -> dict[str, ObservedHost]:
    """Each host with everything on it as desired."""
    apps: dict[str, dict[str, ObservedApp]] = {name: {} for name in fleet.fleet.hosts}
    names: dict[str, list[str]] = {name: [] for name in fleet.fleet.hosts}
    for (app, host), target in fleet.fleet.targets.items():
        apps[host][app] = converged_app(target, fleet.fleet.owner)
        names[host] += target.route.certified if target.route else ()
    for (app, edge), target in fleet.fleet.edges.items():
        servers = {host: fleet.fleet.targets[app, host].slots[0] for host, _ in target.places}
        apps[edge][app] = balanced_edge(target, servers, apps[edge].get(app), fleet.fleet.owner)
        names[edge] += target.route.certified if target.route else ()
    return {
        name: ObservedHost(name, _FACTS, apps=apps[name], certificates=(Certificate(tuple(names[name]), FAR_AWAY),))
        for name in fleet.fleet.hosts
    }


def _empty_hosts(fleet: OfflineFleet) -> dict[str, ObservedHost]:
    entry_points: dict[str, set[str]] = {name: set() for name in fleet.fleet.hosts}
    for (_, host), target in [*fleet.fleet.targets.items(), *fleet.fleet.edges.items()]:
        entry_points[host] |= {*(target.route.entry_points if target.route else ())}
    return {
        name: ObservedHost(name, _FACTS, entry_points=tuple(sorted(points)), certificates=())
        for name, points in entry_points.items()
    }
