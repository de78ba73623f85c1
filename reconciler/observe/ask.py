"""Traefik's API, asked through the seam. What has not the shape of Traefik's answers is no answer, whoever gave it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from reconciler.host.http import HttpConnection, NoAnswer
from reconciler.host.transport import Transport
from reconciler.model.observed import TRAEFIK, Certificate, ObservedHost
from reconciler.tools import traefik_api

Rawdata = dict[str, Any]
_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Said:
    """What one Traefik says: its raw data or why there is none, and what it says besides if it is asked."""

    rawdata: Rawdata | str
    entry_points: tuple[str, ...] | None = None
    certificates: tuple[Certificate, ...] | None = None


@dataclass
class Questions:
    """Asked beside a look, at once. Only the look shows whose port it is: what others say is not waited for."""

    host: Transport
    routed: bool  # something is: then entry points and certificates matter
    asked: dict[int, asyncio.Task[Said]] = field(default_factory=dict)

    def begin(self, ports: tuple[int, ...]) -> None:
        for port in ports:
            if port not in self.asked:
                self.asked[port] = asyncio.create_task(self._ask(port))

    async def answers_of(self, ports: tuple[int, ...]) -> dict[int, Said]:
        """What is said on these ports, and on no other."""
        for port in self.asked.keys() - set(ports):
            self.asked[port].cancel()
        self.begin(ports)
        return dict(zip(ports, await all_of(*(self.asked[port] for port in ports)), strict=True))

    async def end(self) -> None:
        """Nothing goes on unwatched."""
        for task in self.asked.values():
            task.cancel()
        await asyncio.gather(*self.asked.values(), return_exceptions=True)

    async def _ask(self, port: int) -> Said:
        if not self.routed:
            return Said(await ask_traefik(self.host, port))
        return Said(
            *await all_of(
                ask_traefik(self.host, port),
                _answer_or_none(_entry_points(self.host, port)),
                _answer_or_none(_certificates(self.host, port)),
            )
        )


async def all_of(*asked: Coroutine[Any, Any, Any] | asyncio.Task[Any]) -> list[Any]:
    """The answers, or the first failure once all have ended: nothing goes on unwatched."""
    results = await asyncio.gather(*asked, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


async def ask_traefik(host: Transport, port: int, connection: HttpConnection | None = None) -> Rawdata | str:
    """Traefik's raw data; a sentence when it does not answer as it should."""
    where = f"its API on 127.0.0.1:{port}"
    try:
        status, body = await _get(host, port, traefik_api.RAWDATA, connection)
        return traefik_api.read_rawdata(body) if status == 200 else f"{where} answers {status}, not its data"
    except NoAnswer as error:
        return f"{where}: {error}"
    except traefik_api.NotTraefiks:
        return f"{where} answers something that is not Traefik's"


async def ask_all_traefiks(
    host: Transport, ports: tuple[int, ...], connections: dict[int, HttpConnection] | None = None
) -> dict[int, Rawdata | str]:
    """What each of the ports answers, asked at the same time."""
    kept = connections or {}
    return dict(zip(ports, await all_of(*(ask_traefik(host, port, kept.get(port)) for port in ports)), strict=True))


async def ask_certificates(host: Transport, port: int, connection: HttpConnection) -> tuple[Certificate, ...] | None:
    """The certificates that Traefik holds now; None when it does not say."""
    return await _answer_or_none(_certificates(host, port, connection))


async def _entry_points(host: Transport, port: int) -> tuple[str, ...]:
    return traefik_api.read_entry_points((await _get(host, port, traefik_api.ENTRY_POINTS))[1])


async def _certificates(
    host: Transport, port: int, connection: HttpConnection | None = None
) -> tuple[Certificate, ...]:
    return traefik_api.read_certificates((await _get(host, port, traefik_api.CERTIFICATES, connection))[1])


async def _answer_or_none(asked: Coroutine[Any, Any, _Answer]) -> _Answer | None:
    try:
        return await asked
    except (NoAnswer, traefik_api.NotTraefiks):
        return None


async def _get(host: Transport, port: int, path: str, connection: HttpConnection | None = None) -> tuple[int, bytes]:
    """(status, body). Raises NoAnswer."""
    http = connection or HttpConnection(host, port)
    try:
        return await http.get(path)
    finally:
        if connection is None:
            http.close()


def trouble_of_traefik(seen: ObservedHost, held: dict[int, Rawdata | str]) -> str:
    """Why nobody can tell what Traefik serves; "" when the one that counts, or else any, has answered."""
    live = [int(slot.name) for slot in seen.app(TRAEFIK).slots if slot.enabled and int(slot.name) in seen.traefik_ports]
    silent = {port: f"its API on 127.0.0.1:{port}: nothing of Traefik's listens there" for port in live}
    counting = {port: held.get(port, silent[port]) for port in live} or held
    said = [each for each in counting.values() if isinstance(each, str)]
    if not counting:
        return "none is there"
    return said[0] if len(said) == len(counting) else ""


Health = tuple[bool, str]


async def ask_health(host: Transport, port: int, path: str) -> Health:
    """(healthy, what was answered) of one GET to the slot itself."""
    http = HttpConnection(host, port)
    try:
        return read_health(await http.status(path))
    except NoAnswer as error:
        return False, str(error)
    finally:
        http.close()


def read_health(status: int) -> Health:
    """Any 2xx is healthy; a redirect is not followed and is not."""
    return 200 <= status < 300, str(status)
