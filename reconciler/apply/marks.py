"""What people say of an app on its hosts: suspend it, let it go on, try again. Kept on the host, seen by everybody."""

from __future__ import annotations

from collections.abc import Collection

from reconciler.apply.runner import Runner
from reconciler.errors import ActionFailed, HostLocked
from reconciler.model.observed import Unreachable
from reconciler.model.wanted import Controller
from reconciler.observe.lease import controller
from reconciler.observe.look import observe
from reconciler.targets.open_fleet import Session, demand_all
from reconciler.words import printable


async def mark(opened: Session, app: str, verb: str, seconds: int, reason: str) -> list[str]:
    """The hosts that were told. Raises HostLocked or ActionFailed at the first that could not be."""
    who = controller(opened.owner)
    demand_all(opened)
    told = []
    for target in opened.targets:
        if target.wanted.app == app:
            await _mark(opened, target.wanted.host, app, (verb, str(seconds)), reason, who)
            told.append(target.wanted.host)
    return told


async def reject(opened: Session, app: str, reason: str, hosts: Collection[str], who: Controller) -> list[str]:
    """What is wanted of the app now is not tried any more on these hosts; as if it had failed there."""
    told = []
    for target in opened.targets:
        wanted = target.wanted
        if wanted.app == app and wanted.host in hosts and wanted.release:
            tried = f"{wanted.identity(wanted.release)}/{wanted.attempt}"
            await _mark(opened, wanted.host, app, ("reject", "0"), f"{tried}\n{reason}", who)
            told.append(wanted.host)
    return told


async def _mark(opened: Session, host: str, app: str, words: tuple[str, ...], reason: str, who: Controller) -> None:
    transport, site = opened.hosts[host], opened.sites[host]
    seen = await observe(transport, site, [], who)
    if isinstance(seen, Unreachable):
        raise ActionFailed(host, seen.reason, seen.next_step)
    if seen.locked:
        raise HostLocked(host, seen.locked, "try again in half a minute")
    runner = Runner(transport, site, who, f"{app}:", seen.lease)
    reply = await runner.told("mark", (app, *words), reason.encode())
    if reply.status:
        raise ActionFailed(host, printable(reply.said) or f"exit {reply.status}", "look again")
    await runner.release()
