"""Asks Traefik's API and the apps' health paths, through `host`.

Any process may listen on these ports: an answer that does not have the shape of Traefik's counts as no answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from reconciler.host.http import Headers, HttpConnection, NoAnswer
from reconciler.host.transport import LOOPBACK, Transport
from reconciler.model.observed import TRAEFIK, Certificate, ObservedHost
from reconciler.observe.health_answer import HealthAnswer, read_health
from reconciler.tools import traefik_api

Rawdata = dict[str, Any]
_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class TraefikAnswers:
    """The answers of one Traefik: its raw data, or a sentence why there is none; the rest is None if not asked for."""

    rawdata: Rawdata | str
    entry_points: tuple[str, ...] | None = None
    certificates: tuple[Certificate, ...] | None = None


@dataclass
class Questions:
    """Questions to Traefik that run beside a look.

    Only the look shows which process owns a port: answers from other ports are not awaited.
    """

    host: Transport
    routed: bool  # some app has a route, so entry points and certificates matter
    tasks: dict[int, asyncio.Task[TraefikAnswers]] = field(default_factory=dict)

    def begin(self, ports: tuple[int, ...]) -> None:
        """Start asking on these ports, without waiting."""
        for port in ports:
            if port not in self.tasks:
                self.tasks[port] = asyncio.create_task(self._ask(port))

    async def answers_of(self, ports: tuple[int, ...]) -> dict[int, TraefikAnswers]:
        """Return the answers on these ports, and cancel the questions on all others."""
        for port in self.tasks.keys() - set(ports):
            self.tasks[port].cancel()
        self.begin(ports)
        return dict(zip(ports, await all_of(*(self.tasks[port] for port in ports)), strict=True))

    async def end(self) -> None:
        """Cancel every question that is still open and wait for it to end."""
        for task in self.tasks.values():
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)

    async def _ask(self, port: int) -> TraefikAnswers:
        if not self.routed:
            return TraefikAnswers(await ask_traefik(self.host, port))
        return TraefikAnswers(
            *await all_of(
                ask_traefik(self.host, port),
                _answer_or_none(_entry_points(self.host, port)),
                _answer_or_none(_certificates(self.host, port)),
            )
        )


async def all_of(*awaitables: Coroutine[Any, Any, Any] | asyncio.Task[Any]) -> list[Any]:
    """Wait for all to end and return their results, or raise the first failure. None is left running."""
    results = await asyncio.gather(*awaitables, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


async def ask_traefik(host: Transport, port: int, connection: HttpConnection | None = None) -> Rawdata | str:
    """Return Traefik's raw data (its routers and services), or a sentence saying how it failed to answer."""
    where = f"its API on 127.0.0.1:{port}"
    try:
        status, body = await _get(host, port, traefik_api.RAWDATA, connection)
        return traefik_api.read_rawdata(body) if status == 200 else f"{where} answered {status} instead of its data"
    except NoAnswer as error:
        return f"{where}: {error}"
    except traefik_api.NotTraefiks:
        return f"{where} answered with something that is not Traefik's data"


async def ask_all_traefiks(
    host: Transport, ports: tuple[int, ...], connections: dict[int, HttpConnection] | None = None
) -> dict[int, Rawdata | str]:
    """Ask all ports at the same time. Returns each port's raw data, or the sentence of `ask_traefik`."""
    kept = connections or {}
    return dict(zip(ports, await all_of(*(ask_traefik(host, port, kept.get(port)) for port in ports)), strict=True))


async def ask_certificates(host: Transport, port: int, connection: HttpConnection) -> tuple[Certificate, ...] | None:
    """Return the certificates that Traefik holds now, or None if it does not answer."""
    return await _answer_or_none(_certificates(host, port, connection))


async def _entry_points(host: Transport, port: int) -> tuple[str, ...]:
    return traefik_api.read_entry_points((await _get(host, port, traefik_api.ENTRY_POINTS))[1])


async def _certificates(
    host: Transport, port: int, connection: HttpConnection | None = None
) -> tuple[Certificate, ...]:
    return traefik_api.read_certificates((await _get(host, port, traefik_api.CERTIFICATES, connection))[1])


async def _answer_or_none(question: Coroutine[Any, Any, _Answer]) -> _Answer | None:
    try:
        return await question
    except (NoAnswer, traefik_api.NotTraefiks):
        return None


async def _get(host: Transport, port: int, path: str, connection: HttpConnection | None = None) -> tuple[int, bytes]:
    """Return (status, body) of a GET. Raises NoAnswer."""
    http = connection or HttpConnection(host, port)
    try:
        return await http.get(path)
    finally:
        if connection is None:
            http.close()


def trouble_of_traefik(seen: ObservedHost, held: dict[int, Rawdata | str]) -> str | None:
    """Say why it is unknown what Traefik serves, or None.

    The kernel shares visitors out among all that listen. So none speaks for another: every Traefik that is accepted, or
    that the look saw listening, must have answered. If there is none of these, any answer counts.
    """
    live = {int(slot.name) for slot in seen.app(TRAEFIK).slots if slot.enabled and int(slot.name) in seen.traefik_ports}
    listening = {*seen.traefik_listens, *seen.app(TRAEFIK).hand_ports} & held.keys()
    must = sorted(live | listening)
    if not must and not held:
        return "the host has none"
    counting = [held.get(port, f"its API on 127.0.0.1:{port}: Traefik does not listen there") for port in must]
    troubles = [answer for answer in counting or held.values() if isinstance(answer, str)]
    return troubles[0] if troubles and (counting or len(troubles) == len(held)) else None


async def ask_health(
    host: Transport, port: int, path: str, headers: Headers = (), address: str = LOOPBACK
) -> HealthAnswer:
    """Send one GET to the slot itself, at this address. Returns its answer, or why there was none."""
    http = HttpConnection(host, port, headers, address)
    try:
        return read_health(await http.ask(path))
    except NoAnswer as error:
        return HealthAnswer(healthy=False, text=str(error))
    finally:
        http.close()
