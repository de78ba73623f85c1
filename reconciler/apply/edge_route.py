"""Where the route of an edge is stored: the seam between the list that was decided and what its Traefik reads.

Today that is a file on the edge itself, one write for each edge. A store that all edges read needs one write for all of
them; that they have applied it is then asked of each, as it is today.
"""

from __future__ import annotations

from reconciler.apply.runner import Runner
from reconciler.model.action import BalanceRoute
from reconciler.targets.resolve import TargetFiles
from reconciler.tools.look import Reply


async def store_route(files: TargetFiles, action: BalanceRoute, runner: Runner) -> Reply:
    """Store the list for the edge of this action. Returns the reply, with a look at what is stored there now."""
    text = files.edge_route_text(action.servers, action.attempt)
    return await runner.run("balance", (action.app,), text.encode())
