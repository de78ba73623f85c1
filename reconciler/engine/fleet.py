"""The input of the pure core: the desired fleet, and a look at a host."""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.errors import Unexpected
from reconciler.model.fleet import DesiredFleet, Key
from reconciler.model.observed import ObservedHost, Unreachable
from reconciler.model.target import Controller
from reconciler.observe.look import observe
from reconciler.targets.open_fleet import OpenFleet
from reconciler.targets.target_files import TargetFiles
from reconciler.targets.traefik_app import all_apps


def desired_fleet(
    opened: OpenFleet, instead: Mapping[Key, TargetFiles] | None = None, *, allow_prune: bool = False
) -> DesiredFleet:
    """Return the desired fleet for `next_steps`. Targets in `instead` (of a rollback) replace those of the same key."""
    files = opened.targets | dict(instead or {})
    return DesiredFleet(
        targets={key: each.target for key, each in files.items()},
        edges={key: each.target for key, each in opened.edges.items()},
        apps={app.app: app for app in all_apps(opened.desired)},
        refused=opened.refused,
        hosts=tuple(sorted(opened.hosts)),
        owner=opened.owner,
        prunes=opened.whole,
        allow_prune=allow_prune,
        elsewhere=opened.elsewhere,
        rollouts_at_once={name: most for name, site in opened.sites.items() if (most := site.spec.rollouts_at_once)},
    )


async def look_at(opened: OpenFleet, host: str, who: Controller) -> ObservedHost | Unreachable:
    """Observe this host: its targets, and all else that reconcile manages there. Never raises: an unexpected error
    becomes Unreachable, so that it does not hold up other hosts.
    """
    try:
        return await observe(opened.hosts[host], opened.sites[host], opened.by_host.get(host, []), who)
    except Exception as raised:
        error = Unexpected(raised)
        return Unreachable(host, str(error), error.next_step, error.retryable, error.kind)
