"""The seam to a simulated host: reconcile's own Transport, with a link that can be slow, cut or silent."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reconciler.errors import HostKeyRefused, HostUnreachable
from reconciler.host.transport import (
    LOOPBACK,
    Command,
    Completed,
    OnOutput,
    Reader,
    RoundTrips,
    Stdin,
    Writer,
    too_long_words,
)
from tests.simulator.process import Run
from tests.simulator.world.host import Host
from tests.simulator.world.traefik import API_PORT

if TYPE_CHECKING:
    from tests.simulator.simulation import Simulation

KEEPALIVE_SECONDS = 45.0  # a silent link counts as broken then


@dataclass
class Sent:
    """One script that a controller sent, as seen from its end of the link."""

    host: str
    controller: str
    verb: str
    arguments: tuple[str, ...]
    number: int
    reply: asyncio.Future[Completed]
    run: Run | None = None
    lost: bool = False  # nothing of it arrives any more


@dataclass
class SimulatedHost:
    """A controller's connection to a host."""

    host: Host
    controller: str
    simulation: Simulation
    latency: float = 0.004
    round_trips: RoundTrips = field(default_factory=RoundTrips)

    def __post_init__(self) -> None:
        self.name = self.host.name

    def open_ahead(self) -> None: ...

    async def open(self) -> None:
        await self._travel()
        host = self.host
        if host.key_changed:
            self.simulation.oracles.refuses_key(self.controller, self.name)
            raise HostKeyRefused(self.name, "its host key has changed", "see why, and name the new key")
        if not host.up or host.now < host.reachable_from or host.refuses or self.simulation.is_cut(self):
            await asyncio.sleep(1.0)
            raise HostUnreachable(self.name, "connection refused", "see whether it is up")

    async def _travel(self) -> None:
        self.simulation.check_alive(self.controller)
        await asyncio.sleep(self.latency)

    async def run(
        self, command: Command, stdin: Stdin = b"", timeout_seconds: float = 60, *, on_output: OnOutput | None = None
    ) -> Completed:
        script = command.script
        assert not isinstance(script, str)
        alter = await self.simulation.calls(self, script.verb)
        await self.open()
        data = stdin if isinstance(stdin, bytes) else b"".join([block async for block in stdin])
        with self.round_trips:
            sent = self.simulation.send(self, script.verb, script.text, command.arguments, data)
            try:
                async with asyncio.timeout(timeout_seconds):
                    return alter(await sent.reply)
            except TimeoutError:
                self.simulation.given_up(sent)
                raise HostUnreachable(self.name, *too_long_words(timeout_seconds)) from None
            except asyncio.CancelledError:
                self.simulation.given_up(sent)
                raise

    async def interact(self, command: Command) -> int:
        raise NotImplementedError

    async def connect(self, port: int, address: str = LOOPBACK) -> tuple[Reader, Writer]:
        await self.simulation.calls(self, f"port {port}")
        await self.open()
        with self.round_trips:
            await asyncio.sleep(self.latency)
            if not _listener(self.host, port):
                raise ConnectionRefusedError(port)
            stream = _Stream(self, port)
            return stream.reader, stream

    async def close(self) -> None:
        return


def _listener(host: Host, port: int) -> bool:
    if port == API_PORT:
        return host.up and not host.traefik.down
    return any(process.port == port and process.listening for process in host.systemd.processes)


def _answer(host: Host, port: int, path: str) -> tuple[int, bytes] | None:
    if port == API_PORT:
        return host.traefik.answer(path)
    process = next((each for each in host.systemd.processes if each.port == port and each.listening), None)
    return (process.answers, b"pong") if process else None


class _Stream:
    """Both ends of a connection: HTTP requests go in, answers come out."""

    def __init__(self, link: SimulatedHost, port: int) -> None:
        self.reader = asyncio.StreamReader()
        self._link, self._port, self._asked = link, port, b""

    def write(self, data: bytes) -> None:
        self._asked += data
        while b"\r\n\r\n" in self._asked:
            head, _, self._asked = self._asked.partition(b"\r\n\r\n")
            path = head.split(b" ")[1].decode()
            asyncio.get_running_loop().call_later(2 * self._link.latency, self._reply, path)

    def _reply(self, path: str) -> None:
        if self._link.simulation.is_cut(self._link) or not self._link.host.up:
            return
        if not _listener(self._link.host, self._port):
            self.reader.feed_eof()
            return
        answer = _answer(self._link.host, self._port, path)
        if answer is not None:
            if self._port == API_PORT:
                self._link.simulation.oracles.answers(self._link.controller, self._link.host)
            status, body = answer
            head = f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\n\r\n"
            self.reader.feed_data(head.encode() + body)

    async def drain(self) -> None:
        return

    def close(self) -> None:
        self._asked = b""


def unrooted(output: bytes, root: str) -> bytes:
    """What a script said, in the host's own paths. Each part says how long it is."""
    where = root.encode()
    if where not in output:
        return output
    out, rest = [], output
    while rest.startswith(b"@@ "):
        line, _, rest = rest.partition(b"\n")
        kind, name, length = line[3:].rsplit(b" ", 2)
        text, rest = rest[: int(length)], rest[int(length) :]
        text = text.replace(where, b"")
        out.append(b"@@ %s %s %d\n%s" % (kind, name, len(text), text))
        newline, rest = rest[:1], rest[1:]
        out.append(newline)
    return b"".join([*out, rest.replace(where, b"")])
