"""What a controller that has only some of the hosts must look at besides, so that no order is broken. Pure.

It changes the hosts of its shard and no others. Its rollouts still wait for what happens on the others: the first host
of an app proves a version for the hosts of every shard, and an app comes after those in its `after` wherever they run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from reconciler.model.app import App
from reconciler.model.fleet import Key
from reconciler.model.process_name import is_process
from reconciler.model.shard import Shard


def keys_of_shard(apps: Iterable[App], shard: Shard) -> set[Key]:
    """Return the apps and hosts that the shard's controller has to know of: its own, and what these wait for."""
    by_name = {app.app: app for app in apps}
    keys = set[Key]()
    for app in by_name.values():
        own = [host for host in app.hosts if shard.has(host)]
        if own:
            keys |= {(app.app, host) for host in (app.hosts if _hangs_together(app, by_name) else (app.hosts[0], *own))}
            keys |= {(each.app, host) for each in _before(app, by_name) for host in each.hosts}
    return keys


def _hangs_together(app: App, by_name: Mapping[str, App]) -> bool:
    """True if what happens on one host may depend on any other: migrations, hooks, jobs, processes, a move, a pause."""
    family = by_name.get(app.family, app)
    hooks = family.before_migrate or family.after_rollout or family.on_failure
    other = family.migrate or hooks or family.jobs or family.processes or family.moved_from or is_process(app.app)
    course = app.rollout
    return bool(other or course.pause_seconds or course.max_failures > 1 or len(course.batch) > 1)


def _before(app: App, by_name: Mapping[str, App]) -> list[App]:
    """The apps in `after`, and those that these come after, with their processes."""
    found: dict[str, App] = {}
    ahead = [app]
    while ahead:
        names = {*ahead.pop().after}
        new = [each for each in by_name.values() if each.family in names and each.app not in found]
        found |= {each.app: each for each in new}
        ahead += new
    return list(found.values())
