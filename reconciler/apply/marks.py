"""Marks that operators set on an app: suspend, resume, retry.

They are stored on the app's hosts, so every controller sees them.
"""

from __future__ import annotations

from collections.abc import Collection

from reconciler.apply.runner import Runner
from reconciler.decide.guards import belongs_to_another
from reconciler.errors import ActionFailed, HostLocked
from reconciler.model.observed import Unreachable
from reconciler.model.process_name import family_of
from reconciler.model.target import Controller
from reconciler.observe.lease import new_controller
from reconciler.observe.look import observe
from reconciler.targets.open_fleet import OpenFleet, demand_all
from reconciler.targets.processes import refuse_process
from reconciler.words import printable


async def mark(opened: OpenFleet, app: str, verb: str, seconds: int, reason: str) -> list[str]:
    """Set a mark on every host of the app, for its processes too, and return the names of the hosts.

    Raises UsageError for a process, HostLocked or ActionFailed at the first host where that fails.
    """
    refuse_process(app)
    who = new_controller(opened.owner)
    demand_all(opened)
    marked_hosts = []
    for files in opened.targets.values():
        if family_of(files.target.app) == app:
            await _mark(opened, files.target.host, files.target.app, (verb, str(seconds)), reason, who)
            marked_hosts.append(files.target.host)
    return list(dict.fromkeys(marked_hosts))


async def mark_job(opened: OpenFleet, app: str, job: str, host: str, words: tuple[str, str], reason: str) -> None:
    """Set a mark on a job, on the host that runs it. `words`: the verb and the seconds. Raises as `mark` does."""
    demand_all(opened)
    await _mark(opened, host, app, (job, *words), reason, new_controller(opened.owner), script="pause")


async def reject(
    opened: OpenFleet, app: str, reason: str, hosts: Collection[str], who: Controller, busy: Collection[str] = ()
) -> list[str]:
    """Quarantine the desired version of the app and its processes on these hosts, as if it had failed there.

    Returns the hosts that were marked: those of `hosts` that the desired state gives the app. The lease of a `busy`
    host is kept: other work of this process is under way there.
    """
    marked_hosts = []
    for files in opened.targets.values():
        target = files.target
        if family_of(target.app) == app and target.host in hosts and any(target.releases):
            # That for another architecture is never tried here, so its mark has no effect.
            for release in filter(None, target.releases):
                text, keeps = f"{target.identity(release)}/{target.attempt}\n{reason}", target.host in busy
                await _mark(opened, target.host, target.app, ("reject", "0"), text, who, keep_lease=keeps)
            marked_hosts.append(target.host)
    return list(dict.fromkeys(marked_hosts))


async def _mark(
    opened: OpenFleet,
    host: str,
    app: str,
    words: tuple[str, ...],
    reason: str,
    who: Controller,
    *,
    keep_lease: bool = False,
    script: str = "mark",
) -> None:
    transport, site = opened.hosts[host], opened.sites[host]
    seen = await observe(transport, site, [], who)
    if isinstance(seen, Unreachable):
        raise ActionFailed(host, seen.reason, seen.next_step)
    if seen.locked:
        raise HostLocked(host, seen.locked, "try again in half a minute")
    owner = seen.app(app).owner
    if words[0] != "adopt" and belongs_to_another(owner, who.owner):
        raise ActionFailed(host, f"{app} belongs to another desired state ({owner})", f"use that one, or adopt {app}")
    runner = Runner(transport, site, who, f"{app}:", seen.lease)
    reply = await runner.run_for_reply(script, (app, *words), reason.encode())
    if reply.status:
        raise ActionFailed(host, printable(reply.stderr) or f"exit {reply.status}", "run the command again")
    if not keep_lease:
        await runner.release()
