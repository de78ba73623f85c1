"""The end of a pass on a host: writes what was done into the host's history and releases the lease, in one round trip.

The lease is kept while another pass of this controller still works on the host; that pass releases it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from reconciler.apply.runner import tar_of
from reconciler.clock import sleep_seconds
from reconciler.errors import ActionFailed, HostError
from reconciler.host.transport import Command, Transport
from reconciler.model.action import Converged
from reconciler.model.observed import Lease
from reconciler.model.observed_job import JobRun
from reconciler.model.target import Controller
from reconciler.observe.lease import lease_words
from reconciler.targets.site import HostSite
from reconciler.tools import scripts

_TRIES = 40  # a second apart: longer than a lease
# The action that begins a rollout gives the best reason: an upload before it only says that a release was missing, a
# migration that it comes once.
ROLLOUT_VERBS = ("start", "enable", "goback", "reject")

if TYPE_CHECKING:
    from reconciler.model.outcome import Outcome


async def write_history(
    host: Transport, site: HostSite, controller: Controller, outcomes: list[Outcome], *, keep_lease: bool = False
) -> None:
    """Write the history and release the lease. If the host is gone by now, do nothing: the lease expires by itself."""
    lines = {outcome.end.app: _line(outcome, controller) for outcome in outcomes}
    words = (*lease_words(site.layout, controller, Lease()), "keep" if keep_lease else "free")
    try:
        await host.run(Command(scripts.finish_script(site.spec.scope), words), tar_of(lines), 30)
    except HostError:
        return


async def write_run(host: Transport, site: HostSite, controller: Controller, app: str, job: str, ran: JobRun) -> None:
    """Write into the history of the app that a job was run by hand. Waits a little for a pass that has the host."""
    version = ran.release.rpartition("-")[0]
    seconds = max(0, ran.ended_epoch_seconds - ran.began_epoch_seconds)
    entry = {
        "who": controller.holder,
        "commit": controller.revision,
        "from": version,
        "to": version,
        "actions": ["run"],
        "why": f"job {job}, by hand",
        "seconds": seconds,
        "outcome": f"it {ran.how}",
        "reason": "",
    }
    words = (*lease_words(site.layout, controller, Lease()), "keep")
    line = tar_of({app: json.dumps(entry, ensure_ascii=False) + "\n"})
    for _ in range(_TRIES):
        done = await host.run(Command(scripts.finish_script(site.spec.scope), words), line, 30)
        if done.status == 0:
            return
        await sleep_seconds(1)
    raise ActionFailed(host.name, f"the run is not in the history: {done.last_words}", "nothing more is to be done")


def _line(outcome: Outcome, controller: Controller) -> str:
    end = outcome.end
    entry = {
        "who": controller.holder,
        "commit": controller.revision,
        "from": outcome.before or "",
        "to": end.version if isinstance(end, Converged) else end.serving or "",
        "actions": [action.verb for action in outcome.actions],
        "why": next((action for action in outcome.actions if action.verb in ROLLOUT_VERBS), outcome.actions[0]).reason,
        "seconds": round(outcome.seconds, 1),
        "outcome": "converged" if isinstance(end, Converged) else "not converged",
        "reason": "" if isinstance(end, Converged) else end.reason,
    }
    return json.dumps(entry, ensure_ascii=False) + "\n"
