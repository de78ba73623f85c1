"""hosts → Observed: one look each, everything asked at the same time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from reconciler.alive import is_dead
from reconciler.errors import HostError, HostRefused
from reconciler.host.http import HttpConnection, NoAnswer
from reconciler.host.transport import Command, Transport
from reconciler.model.observed import TRAEFIK, Certificate, Lease, ObservedApp, ObservedHost, Unreachable
from reconciler.model.wanted import Controller
from reconciler.resolve import Site, Target
from reconciler.run import lease_words
from reconciler.tools import scripts, traefik_api
from reconciler.tools.look import Reply, Unreadable, read_reply
from reconciler.words import printable

NO_SYSTEMD = 79  # user.sh: this login has none that would run apps for it; nothing was done
Health = tuple[bool, str]


async def observe(
    host: Transport, site: Site, targets: list[Target], controller: Controller
) -> ObservedHost | Unreachable:
    """Everything of these apps on this host, and of apps of ours that nobody named.

    A host that cannot be seen is a value, not an error.
    """
    ports = sorted({(slot, t.wanted.health_path) for t in targets for slot in t.wanted.slots if t.wanted.health_path})
    try:
        await host.open()  # one try for all that is asked, and a slow login is nobody's silence
        reply, held, entry_points, certificates, *answers = await _all(
            _look(host, site, targets, controller),
            ask_all_traefiks(host, site.api_ports),
            _also_ask_traefik(host, site.api_ports, targets, traefik_api.ENTRY_POINTS),
            _also_ask_traefik(host, site.api_ports, targets, traefik_api.CERTIFICATES),
            *(ask_health(host, int(slot), path or "/") for slot, path in ports),
        )
    except HostError as error:
        reason = str(error).removeprefix(f"host {host.name}: ")
        return Unreachable(host.name, reason, error.next_step, error.retryable, error.kind)
    health = {slot: answer for (slot, _), answer in zip(ports, answers, strict=True)}
    seen = ObservedHost(host.name, reply.facts, apps=reply.apps)
    if others := [port for port in seen.traefik_ports if port not in held]:  # left over from other settings
        more, names, held_certificates = await _all(
            ask_all_traefiks(host, tuple(others)),
            _also_ask_traefik(host, tuple(others), targets, traefik_api.ENTRY_POINTS),
            _also_ask_traefik(host, tuple(others), targets, traefik_api.CERTIFICATES),
        )
        held |= more
        entry_points, certificates = entry_points or names, certificates or held_certificates
    answered = [each for each in held.values() if isinstance(each, dict)]
    apps = {name: _with_answers(name, app, answered, health) for name, app in reply.apps.items()}
    lease = replace(reply.lease, abandoned=is_dead(reply.lease.token))
    locked = f"{lease.holder} changes this host" if lease.held_by_other(controller.token) else ""
    return replace(
        seen,
        lease=lease,
        locked=locked,
        apps=apps,
        traefik=trouble_of_traefik(seen, held),
        entry_points=traefik_api.read_entry_points(entry_points),
        certificates=traefik_api.read_certificates(certificates),
        certificates_at=reply.facts.now_epoch_seconds,
    )


async def _all(*asked: Coroutine[Any, Any, Any]) -> list[Any]:
    """The answers, or the first failure once all have ended: nothing goes on unwatched."""
    results = await asyncio.gather(*asked, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


async def _look(host: Transport, site: Site, targets: list[Target], controller: Controller) -> Reply:
    words = (*lease_words(site.layout, controller, Lease()), "no", *(target.word for target in targets))
    completed = await host.run(Command(scripts.look_script(site.spec.scope), words))
    if completed.status == NO_SYSTEMD:
        reason, _, next_step = completed.stderr.strip().partition("\n")
        raise HostRefused(host.name, printable(reason), printable(next_step))
    try:
        return read_reply(completed.output, site.layout)
    except Unreadable as error:
        raise HostRefused(
            host.name,
            f"what it answers cannot be read ({error}): {completed.last_words}",
            "the host needs sh, systemd, tar, GNU coreutils and findutils, util-linux",
        ) from error


async def ask_traefik(host: Transport, port: int, connection: HttpConnection | None = None) -> dict[str, object] | str:
    """Traefik's raw data; a sentence when it does not answer as it should."""
    try:
        status, data = await _json_of(host, port, traefik_api.RAWDATA, connection)
    except NoAnswer as error:
        return f"its API on 127.0.0.1:{port}: {error}"
    return data if isinstance(data, dict) else f"its API on 127.0.0.1:{port} answers {status}, not its data"


async def ask_certificates(host: Transport, port: int, connection: HttpConnection) -> tuple[Certificate, ...] | None:
    """The certificates that Traefik holds now; None when it does not say."""
    try:
        return traefik_api.read_certificates((await _json_of(host, port, traefik_api.CERTIFICATES, connection))[1])
    except NoAnswer:
        return None


async def _also_ask_traefik(host: Transport, ports: tuple[int, ...], targets: list[Target], path: str) -> object:
    """What is only needed where something is routed; at the same time as the rest. None when it is not to be had."""
    if not any(target.wanted.route for target in targets):
        return None
    answers = await _all(*(_answer_of(host, port, path) for port in ports))
    return next((each for each in answers if each is not None), None)


async def _answer_of(host: Transport, port: int, path: str) -> object:
    try:
        return (await _json_of(host, port, path))[1]
    except NoAnswer:
        return None


async def _json_of(
    host: Transport, port: int, path: str, connection: HttpConnection | None = None
) -> tuple[int, object]:
    """(status, what the JSON says). Raises NoAnswer."""
    http = connection or HttpConnection(host, port)
    try:
        status, body = await http.get(path)
        return status, json.loads(body) if status == 200 else None
    except ValueError:
        return status, None
    finally:
        if connection is None:
            http.close()


async def ask_all_traefiks(
    host: Transport, ports: tuple[int, ...], connections: dict[int, HttpConnection] | None = None
) -> dict[int, dict[str, object] | str]:
    """What each of the ports answers, asked at the same time."""
    kept = connections or {}
    return dict(zip(ports, await _all(*(ask_traefik(host, port, kept.get(port)) for port in ports)), strict=True))


def trouble_of_traefik(seen: ObservedHost, held: dict[int, dict[str, object] | str]) -> str:
    """Why nobody can tell what Traefik serves; "" when the one that counts, or else any, has answered."""
    live = [int(slot.name) for slot in seen.app(TRAEFIK).slots if slot.enabled and int(slot.name) in seen.traefik_ports]
    counting = [held[port] for port in live if port in held] or list(held.values())
    silent = [each for each in counting if isinstance(each, str)]
    return silent[0] if len(silent) == len(counting) else ""


async def ask_health(host: Transport, port: int, path: str) -> Health:
    """(healthy, what was answered) of one GET to the slot itself."""
    http = HttpConnection(host, port)
    try:
        return read_health((await http.get(path))[0])
    except NoAnswer as error:
        return False, str(error)
    finally:
        http.close()


def read_health(status: int) -> Health:
    """Any 2xx is healthy; a redirect is not followed and is not."""
    return 200 <= status < 300, str(status)


def _with_answers(
    name: str, app: ObservedApp, answered: list[dict[str, object]], health: dict[str, Health]
) -> ObservedApp:
    slots = []
    for slot in app.slots:
        if slot.running_now and slot.name in health:
            healthy, answer = health[slot.name]
            slot = replace(
                slot, healthy=healthy and slot.listening, health=answer if slot.listening else "port not open"
            )
        slots.append(slot)
    applied = traefik_api.applied_by_all(name, answered, app.route.digest if app.route else "")
    return replace(app, slots=tuple(slots), applied=applied)
