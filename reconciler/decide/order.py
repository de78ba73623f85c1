"""The order of rollouts: Traefik before the apps it serves, an app after those in its `after`, host by host. Pure.

Only a rollout waits. A correction of drift concerns its own host alone, and a rollout that has begun goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Final

from reconciler.decide.batches import Course, failed_on, groups
from reconciler.decide.slots import carries, live_slot
from reconciler.model.action import (
    Blocked,
    Converged,
    HoldVisitors,
    Migrate,
    RunHook,
    ScheduleJobs,
    StartInstance,
    Step,
)
from reconciler.model.desired import App, Rollout
from reconciler.model.fleet import DesiredFleet, Key, SeenFleet, Wait
from reconciler.model.observed import TRAEFIK, ObservedHost, Unreachable
from reconciler.model.process_name import family_of, is_process
from reconciler.model.target import Target

FleetStep = Step | Wait
RUNS_AS_DESIRED: Final = ("hook", "exposed")  # kinds of Blocked with which the desired version runs all the same


def runs_as_desired(step: FleetStep) -> bool:
    """True if what is desired runs: nothing else need wait for the app. Its jobs come last, and may have to wait."""
    if isinstance(step, RunHook):
        return step.hook == "after_rollout"
    return isinstance(step, Converged | ScheduleJobs) or (isinstance(step, Blocked) and step.kind in RUNS_AS_DESIRED)


@dataclass(frozen=True)
class Obstacle:
    """The reason why an app is not converged. If it `moves`, work on it is under way and will end; else it may stay."""

    reason: str
    moves: bool


def in_order(desired: DesiredFleet, seen: SeenFleet, own: dict[Key, FleetStep]) -> dict[Key, FleetStep]:
    """Return the steps, with a Wait or a Blocked for each rollout that may not begin yet. Same keys, same order."""
    hosts_of: dict[str, list[str]] = {}
    with_processes: dict[str, dict[str, list[Key]]] = {}  # the keys of an app, and of all its processes, by host
    for key in own:
        hosts_of.setdefault(key[0], []).append(key[1])
        for name in {key[0], family_of(key[0])}:
            with_processes.setdefault(name, {}).setdefault(key[1], []).append(key)
    steps = dict(own)
    for name in _dependencies_first(desired, hosts_of):
        app = desired.apps.get(name)
        before = [
            obstacle(chain.from_iterable(with_processes.get(each, {}).values()), steps, f"comes after {each}: ")
            for each in (app.after if app else ())
        ]
        course = _course(name, app, seen, hosts_of[name], own, with_processes[name])
        before += [Obstacle(course.halted, moves=False)] if course.halted else []
        for index, group in enumerate(course.batches):
            for host in group:
                key = name, host
                if _is_rollout(key, desired, seen, own[key]):
                    steps[key] = _behind(worst([*before, _traefik_first(key, desired, steps)]), key, own[key])
                    if steps[key] is own[key]:
                        steps[key] = course.pause(index, host, desired, seen, steps) or own[key]
            earlier = [
                obstacle(with_processes[name][host], steps, course.awaited(index, host))
                for host in group
                if not course.goes_on_without(host)
            ]
            before = [worst([*before, *earlier])]
    return steps


def obstacle(keys: Iterable[Key], steps: dict[Key, FleetStep], how: str = "") -> Obstacle | None:
    """The obstacle that keeps these from being converged; None if all of them are. Its reason begins with `how`."""
    return worst([_obstacle_of(key, steps[key], how) for key in keys if key in steps])


def worst(obstacles: Iterable[Obstacle | None]) -> Obstacle | None:
    """Return the first obstacle that does not move, else the first one, or None."""
    found = [each for each in obstacles if each]
    return next((each for each in found if not each.moves), found[0] if found else None)


def not_looked_at(desired: DesiredFleet, seen: SeenFleet) -> str | None:
    """The first host of which it is not known yet what runs there; None if every look has ended, well or not."""
    lost = {host for host, look in seen.hosts.items() if isinstance(look, Unreachable) and host in seen.looking}
    return next((host for host in desired.hosts if host not in seen.hosts or host in lost), None)


def migrating_host(app: App, desired: DesiredFleet, seen: SeenFleet) -> str | None:
    """The host from which the app's release is migrated: the first that can be seen. None if one has done it.

    A migration under way goes on, although a host that comes before may be back.
    """
    looks = {
        host: (target, look)
        for host in app.hosts
        if (look := seen.host(host)) and (target := desired.targets.get((app.app, host)))
    }
    done = ((target.release and target.migration(target.release), look) for target, look in looks.values())
    if any(mark in look.app(app.app).migrated for mark, look in done):
        return None
    under_way = [host for host in app.hosts if isinstance(seen.under_way.get((app.app, host)), Migrate)]
    return next(iter([*under_way, *looks]), None)


def after_migrations(
    desired: DesiredFleet, seen: SeenFleet, migrating: Mapping[str, str | None], steps: dict[Key, FleetStep]
) -> dict[Key, FleetStep]:
    """Return the steps, with a Wait for each start of a release that another host has yet to migrate.

    Only a rollout that has begun comes so far: on the first host that could be seen, until a host before it was back.
    """
    result = dict(steps)
    for (app, host), step in steps.items():
        first = migrating.get(app)
        if (
            first in (None, host)
            or (app, host) in seen.under_way
            or not isinstance(step, HoldVisitors | StartInstance)
            or step.drift
        ):
            continue
        done = isinstance(steps[app, first], Converged)  # it had the release before there was a migration
        if desired.targets[app, host].migrates and not done:
            result[app, host] = Wait(host, app, f"waits for the migration from host {first}")
    return result


def is_rollout(target: Target, look: ObservedHost) -> bool:
    """True if the live slot does not have the desired release. Any other difference is drift."""
    app = look.app(target.app)
    live = live_slot(target, app)
    return live is None or not carries(live, target, app)


def _dependencies_first(desired: DesiredFleet, hosts_of: dict[str, list[str]]) -> Iterator[str]:
    """Yield every app after those in its `after` and after its processes, Traefik first. Loading has refused cycles."""
    done: set[str] = set()
    for name in sorted(hosts_of, key=lambda each: (each != TRAEFIK, not is_process(each))):
        path = [name]
        while path:
            app = desired.apps.get(path[-1])
            missing = [each for each in (app.after if app else ()) if each in hosts_of and each not in done]
            if missing and missing[0] not in path:
                path.append(missing[0])
            elif (ready := path.pop()) not in done:
                done.add(ready)
                yield ready


def _course(
    name: str,
    app: App | None,
    seen: SeenFleet,
    hosts: list[str],
    own: dict[Key, FleetStep],
    keys: Mapping[str, list[Key]],
) -> Course:
    """The batches of the app. Unreachable hosts are in none and hold up no other; they catch up when they are back."""
    lost = {host for host in hosts if isinstance(seen.hosts.get(host), Unreachable) and host not in seen.looking}
    rollout = app.rollout if app else Rollout()
    batches = groups([host for host in hosts if host not in lost], rollout.batch)
    if rollout.max_failures == 1:  # the first failure stops it in any case
        return Course(name, rollout, batches)
    return Course(name, rollout, batches, failed_on({host: [own[key] for key in each] for host, each in keys.items()}))


def _is_rollout(key: Key, desired: DesiredFleet, seen: SeenFleet, step: FleetStep) -> bool:
    if isinstance(step, Converged | Blocked | Wait | RunHook) or key in seen.begun or key in seen.under_way:
        return False
    look = seen.host(key[1])
    return look is not None and is_rollout(desired.targets[key], look)


def _traefik_first(key: Key, desired: DesiredFleet, steps: dict[Key, FleetStep]) -> Obstacle | None:
    target = desired.targets[key]
    return obstacle([(TRAEFIK, host) for host in target.edges or (key[1],)], steps) if target.route else None


def _obstacle_of(key: Key, step: FleetStep, how: str) -> Obstacle | None:
    if runs_as_desired(step):
        return None
    moves = not isinstance(step, Blocked)
    return Obstacle(f"{how}{key[0]} is {'not yet' if moves else 'not'} converged on {key[1]}", moves)


def _behind(first: Obstacle | None, key: Key, step: FleetStep) -> FleetStep:
    app, host = key
    if first is None:
        return step
    return Wait(host, app, first.reason) if first.moves else Blocked(host, app, first.reason, kind="waiting")
