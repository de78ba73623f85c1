"""A host over SSH, with asyncssh: one connection per host, strict host keys, reached as `ssh HOST` reaches it."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.errors import HostError, HostRefused, HostUnreachable
from reconciler.host.places import HoldingWriter, places
from reconciler.host.sessions import Sessions, Turn
from reconciler.host.shared_text import Stored
from reconciler.host.ssh_connect import connect
from reconciler.host.ssh_process import carry_out, open_port, open_session
from reconciler.host.streams import TOO_MUCH, TooMuch, with_first
from reconciler.host.terminal import lend_terminal
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
from reconciler.host.wording import not_forwarded_words, plain_words

if TYPE_CHECKING:
    import asyncssh

    from reconciler.host.ssh_process import Connection, Process

MOST_REFUSALS = 16  # of one command that runs alone: about a minute


class SshHost:
    """One host over SSH. It connects at the first use, and reconnects at the next use after the connection broke."""

    def __init__(
        self,
        name: str,
        address: str,
        *,
        user: str | None,
        port: int | None,
        host_key: str | None,
        needs_root: bool = True,
        compress: bool = False,
    ) -> None:
        self.name = name
        self.round_trips = RoundTrips()
        self._address, self._user, self._port, self._host_key = address, user, port, host_key
        self._needs_root, self._compress = needs_root, compress
        self._connection: asyncssh.SSHClientConnection | None = None
        self._connecting = asyncio.Lock()
        self._ahead: asyncio.Task[None] | None = None
        self._sessions = Sessions()
        self._keeps_scripts = needs_root
        self._stored = Stored(needs_root)
        self._leaves_stdin = False  # a command has shown that the start-up files of the login do not read it
        self._ending: set[asyncio.Future[None]] = set()

    def open_ahead(self) -> None:
        if self._connection is None and self._ahead is None:
            self._ahead = asyncio.create_task(self._open())
            self._ahead.add_done_callback(lambda task: task.cancelled() or task.exception())  # `open` raises it

    async def open(self) -> None:
        ahead, self._ahead = self._ahead, None
        await (ahead or self._open())

    async def _open(self) -> None:
        with places().use(self):
            await self._connect()

    async def run(
        self, command: Command, stdin: Stdin = b"", timeout_seconds: float = 60, *, on_output: OnOutput | None = None
    ) -> Completed:
        with places().use(self):
            return await self._run(command, stdin, timeout_seconds, on_output)

    async def _run(
        self, command: Command, stdin: Stdin, timeout_seconds: float, on_output: OnOutput | None
    ) -> Completed:
        clock = asyncio.get_running_loop().time
        begin = clock()
        turn = await self._sessions.begin(timeout_seconds)
        process: Process | None = None
        try:
            refusals = 0
            completed: Completed | None = None
            sent: frozenset[str] | None = None
            while completed is None:
                connection = await self._connect()
                sudo = self._needs_root and connection.get_extra_info("username") != "root"
                sent = self._stored.to_send(command.shared, stdin) if sent is None else command.shared
                with self.round_trips:
                    data = with_first(command.packed(sent), stdin)
                    line = command.loading_line(sudo, sent, fed=data != b"" or not self._leaves_stdin)
                    process = await self._session(connection, line)
                    if process:
                        self._sessions.note_session()
                        queued = clock() - begin
                        completed = await self._complete(connection, process, data, timeout_seconds, on_output)
                        self._stored.note(command.shared, sent, missed=completed is None)
                        self._leaves_stdin = True
                        if completed is None and (sent == command.shared or not isinstance(stdin, bytes)):
                            raise HostUnreachable(self.name, "it lost a script that it had stored", "run a pass again")
                if process is None:
                    sent = None
                    refusals += 1
                    await self._wait_for_session(turn, refusals)
        finally:
            self._end(turn, process)
        return replace(completed, queued_seconds=queued)

    async def _session(self, connection: Connection, line: str) -> Process | None:
        import asyncssh

        try:
            return await open_session(connection, line)
        except (asyncssh.Error, OSError) as error:
            raise self._close_lost(connection, error) from error

    async def _complete(
        self, connection: Connection, process: Process, stdin: Stdin, timeout_seconds: float, on_output: OnOutput | None
    ) -> Completed | None:
        """Return how the command ended; None if it did not begin, since the host lacks texts that it shares."""
        import asyncssh

        try:
            completed, before = await carry_out(process, stdin, timeout_seconds, on_output)
        except TimeoutError:
            raise HostUnreachable(self.name, *too_long_words(timeout_seconds)) from None
        except TooMuch:
            raise HostRefused(self.name, *TOO_MUCH) from None
        except (asyncssh.Error, OSError) as error:
            raise self._close_lost(connection, error) from error
        if completed.status < 0:
            raise self._close_lost(connection, ConnectionError("something else on the host ended it"))
        if before.lacks_shared_texts(completed.status):
            return None
        if refused := before.why_not_begun(completed.status):
            raise HostRefused(self.name, *refused)
        return completed

    async def _wait_for_session(self, turn: Turn, refusals: int) -> None:
        """Wait before asking sshd again: for other commands to end, or, if this one is alone, longer each time.

        sshd may still count sessions that have just ended.
        """
        if self._sessions.alone:
            if refusals > MOST_REFUSALS:
                await self.close()  # sshd may count commands that never ended; a new connection starts without them
                raise HostRefused(
                    self.name,
                    "sshd refuses every session, even on a connection without any other",
                    "MaxSessions in its sshd_config must be 1 or more; 10 is its default",
                )
            await asyncio.sleep(min(0.1 * 2**refusals, 5))
        await self._sessions.wait_after_refusal(turn)

    def _end(self, turn: Turn, process: Process | None) -> None:
        """Give the turn back, once the command has ended on the host: until then sshd counts its session."""
        if process is None:
            self._sessions.end(turn)
            return
        closed = asyncio.ensure_future(process.wait_closed())
        self._ending.add(closed)
        closed.add_done_callback(self._ending.discard)
        closed.add_done_callback(lambda _: self._sessions.end(turn))

    async def interact(self, command: Command) -> int:
        with places().use(self):
            return await self._interact(command)

    async def _interact(self, command: Command) -> int:
        import asyncssh

        connection = await self._connect()
        line = command.line(self._needs_root and connection.get_extra_info("username") != "root")
        with lend_terminal(raw=True) as terminal:
            try:
                process = await connection.create_process(
                    line, term_type=terminal.kind, term_size=terminal.size, encoding=None, stderr=asyncssh.STDOUT,
                    stdin=os.dup(terminal.fd), stdout=os.dup(terminal.fd),
                )  # fmt: skip
                with terminal.resizes(process.change_terminal_size):
                    await process.wait()
            except (asyncssh.Error, OSError) as error:
                raise self._close_lost(connection, error) from error
        if process.exit_status is None or process.exit_status < 0:
            raise self._close_lost(connection, ConnectionError("it closed during a command"))
        return process.exit_status

    async def connect(self, port: int, address: str = LOOPBACK) -> tuple[Reader, Writer]:
        held = places()
        held.begin_use(self)
        try:
            reader, writer = await self._open_port(port, address)
        except BaseException:
            held.end_use(self)
            raise
        return reader, HoldingWriter(writer, held, self)

    async def _open_port(self, port: int, address: str) -> tuple[Reader, Writer]:
        import asyncssh

        connection = await self._connect()
        try:
            with self.round_trips:
                reader, writer = await open_port(connection, port, address)
        except asyncssh.ChannelOpenError as error:
            if connection.is_closed():
                raise self._close_lost(connection, error) from error
            if error.code == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED:
                raise HostRefused(self.name, *not_forwarded_words(address, port)) from error
            raise ConnectionRefusedError(f"port {port} refuses connections") from error
        except (asyncssh.Error, OSError) as error:
            raise self._close_lost(connection, error) from error
        return reader, writer

    async def close(self) -> None:
        ahead, self._ahead = self._ahead, None
        if ahead:
            ahead.cancel()
            await asyncio.wait({ahead})
        self.drop()

    def drop(self) -> None:
        """Close the connection. The next use opens another one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()
            places().leave(self)

    def _close_lost(self, connection: Connection, error: Exception) -> HostError:
        """Return the error to raise. Leaves an open connection alone, since other commands use it."""
        silent = isinstance(error, TimeoutError)
        what = "the connection broke" if silent or connection.is_closed() else "a command broke off"
        why = "no answer in time" if silent else plain_words(error)
        next_step = "run a pass again: the interrupted action may have been completed"
        return HostUnreachable(self.name, f"{what}: {why}", next_step)

    async def _connect(self) -> asyncssh.SSHClientConnection:
        async with self._connecting:
            if self._connection is None or self._connection.is_closed():
                self._stored = Stored(self._keeps_scripts)
                self._leaves_stdin = False
                connecting = connect(
                    self.name, self._address, user=self._user, port=self._port, host_key=self._host_key,
                    compress=self._compress,
                )  # fmt: skip
                self._connection = await places().connect(self, connecting)
            return self._connection
