"""Observes a host: one look, and questions to Traefik and the apps at the same time."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from weakref import WeakKeyDictionary

from reconciler.errors import HostError, HostRefused
from reconciler.host.bursts import Burst
from reconciler.host.transport import Command, Transport
from reconciler.model.observed import Lease, ObservedApp, ObservedHost, Unreachable
from reconciler.model.target import Controller, Target
from reconciler.observe.ask import Questions, Rawdata, all_of, ask_health, trouble_of_traefik
from reconciler.observe.health_answer import HealthAnswer
from reconciler.observe.lease import is_dead, lease_words
from reconciler.targets.site import HostSite, api_ports
from reconciler.targets.target_files import TargetFiles
from reconciler.tools import scripts, traefik_api
from reconciler.tools.look import Reply, Unreadable, read_reply
from reconciler.words import printable

# An answer has a time limit: thousands of looks at once would take our own slowness for the silence of an app.
MOST_LOOKS, LOOKING_SECONDS = 32, 0.3
NO_SYSTEMD = 79  # user.sh: this login does not have a systemd instance that could run apps; nothing was done


_bursts: WeakKeyDictionary[asyncio.AbstractEventLoop, Burst] = WeakKeyDictionary()


def _burst() -> Burst:
    loop = asyncio.get_running_loop()
    if loop not in _bursts:
        _bursts[loop] = Burst(MOST_LOOKS, LOOKING_SECONDS)
    return _bursts[loop]


async def observe(
    host: Transport, site: HostSite, targets: list[TargetFiles], controller: Controller
) -> ObservedHost | Unreachable:
    """Return the state of these apps on this host, and of any other app that reconcile installed there.

    Returns Unreachable instead of raising HostError.
    """
    asked = {slot: files.target for files in targets for slot in files.target.slots if files.target.health_path}
    questions = Questions(host, routed=any(files.target.route for files in targets))
    try:
        await host.open()  # one login for all questions, and a slow login must not count as an app's silence
        async with _burst().turn():
            questions.begin(site.api_ports)
            reply, *answers = await all_of(
                _look(host, site, targets, controller),
                *(_ask_health(host, slot, target) for slot, target in asked.items()),
            )
            seen = ObservedHost(host.name, reply.facts, apps=reply.apps)
            traefiks = await questions.answers_of(api_ports(seen, site))
    except HostError as error:
        reason = str(error).removeprefix(f"host {host.name}: ")
        return Unreachable(host.name, reason, error.next_step or None, error.retryable, error.kind)
    finally:
        await questions.end()
    health = dict(zip(asked, answers, strict=True))
    held = {port: traefik.rawdata for port, traefik in traefiks.items()}
    answered = [rawdata for rawdata in held.values() if isinstance(rawdata, dict)]
    apps = {name: _with_answers(name, app, answered, health) for name, app in reply.apps.items()}
    lease = replace(reply.lease, abandoned=is_dead(reply.lease.token))
    locked = f"{lease.holder} is changing this host" if lease.is_held_by_other(controller.token) else None
    return replace(
        seen,
        lease=lease,
        locked=locked,
        apps=apps,
        traefik=trouble_of_traefik(seen, held),
        entry_points=next((t.entry_points for t in traefiks.values() if t.entry_points is not None), None),
        certificates=next((t.certificates for t in traefiks.values() if t.certificates is not None), None),
        certificates_at=reply.facts.now_epoch_seconds,
    )


async def _ask_health(host: Transport, slot: str, target: Target) -> HealthAnswer:
    return await ask_health(host, int(slot), target.health_path or "/", target.health_headers, target.address)


async def _look(host: Transport, site: HostSite, targets: list[TargetFiles], controller: Controller) -> Reply:
    words = (*lease_words(site.layout, controller, Lease()), "no", *(files.word for files in targets))
    completed = await host.run(Command(scripts.look_script(site.spec.scope), words))
    if completed.status == NO_SYSTEMD:
        reason, _, next_step = completed.stderr.strip().partition("\n")
        raise HostRefused(host.name, printable(reason), printable(next_step))
    try:
        return read_reply(completed.output, site.layout, addresses={f.target.app: f.target.address for f in targets})
    except Unreadable as error:
        raise HostRefused(
            host.name,
            f"its reply cannot be read ({error}): {completed.last_words}",
            "the host needs sh, systemd, tar, GNU coreutils and findutils, util-linux; "
            "and nothing that a start-up file of its login leaves running may print",
        ) from error


def _with_answers(name: str, app: ObservedApp, answered: list[Rawdata], health: dict[str, HealthAnswer]) -> ObservedApp:
    slots = []
    for slot in app.slots:
        if slot.running_now and slot.name in health:
            answer = health[slot.name]
            own = slot.listening and not slot.stranger  # else the answer came from another process
            slot = replace(slot, healthy=answer.healthy and own, health=answer.text if own else "port not open")
        slots.append(slot)
    digest, attempt = (app.route.digest, app.route.attempt) if app.route else ("", 0)
    applied = traefik_api.route_held_by_all(name, answered, digest, attempt)
    return replace(app, slots=tuple(slots), applied=applied)
