"""Where the route of an edge is stored: the seam between the list that was decided and what its Traefik reads.

That is a file on the edge itself, one write for each edge. With etcd it is one write for all edges besides. The file is
written first: it comes after etcd in Traefik's order, and is there if a Traefik starts while etcd is away.
"""

from __future__ import annotations

from reconciler.apply.etcd import Etcd, EtcdFailed
from reconciler.apply.etcd_routes import Fence, RouteClaimed, write_route
from reconciler.apply.runner import Runner
from reconciler.errors import ActionFailed
from reconciler.host.transport import Transport
from reconciler.model.action import BalanceRoute
from reconciler.model.observed import EDGE, ObservedApp
from reconciler.targets.target_files import TargetFiles
from reconciler.tools.look import Reply


async def store_route(files: TargetFiles, action: BalanceRoute, runner: Runner) -> Reply:
    """Store the list for the edge of this action. Returns the reply, with a look at what is stored there now."""
    text = files.edge_route_text(action.servers, action.attempt)
    return await runner.run("balance", (action.app,), text.encode())


async def share_route(host: Transport, files: TargetFiles, owner: str, app: ObservedApp, fence: Fence) -> bool:
    """Write what the edge's own file names into etcd, if routes lie there and it differs. True if it was written.

    Raises ActionFailed, HostError.
    """
    route = app.route
    keys = files.edge_keys(route.servers, route.attempt) if route and route.slot == EDGE else {}
    return bool(keys) and await _write(host, files, owner, keys, fence)


async def withdraw_route(host: Transport, files: TargetFiles, owner: str, app: ObservedApp, fence: Fence) -> None:
    """Before the edge gives up its file: remove the route from etcd too, unless the app keeps other edges there.

    Raises ActionFailed, HostError.
    """
    etcd, name = files.site.etcd, files.target.app
    if etcd and app.route and app.route.slot == EDGE and not etcd.keeps(name, files.site.name):
        await _write(host, files, owner, {}, fence)


async def _write(host: Transport, files: TargetFiles, owner: str, keys: dict[str, str], fence: Fence) -> bool:
    store, app = files.site.etcd, files.target.app
    assert store is not None
    etcd = Etcd(host, store.access)
    try:
        return await write_route(etcd, app, owner, keys, fence)
    except RouteClaimed as error:
        raise ActionFailed(host.name, f"{app}: {error}", error.next_step) from None
    except EtcdFailed as error:
        next_step = f"what serves goes on serving; see that {host.name} reaches a majority of its members"
        raise ActionFailed(host.name, f"{app}: its route cannot be written: {error}", next_step) from None
    finally:
        await etcd.close()
