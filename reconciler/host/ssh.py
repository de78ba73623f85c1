"""asyncssh behind the seam: one connection a host, strict host keys, ~/.ssh/config honoured."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reconciler.errors import HostError, HostKeyRefused, HostRefused, HostUnreachable
from reconciler.host.terminal import lent_terminal
from reconciler.host.transport import Command, Completed, Reader, RoundTrips, Stdin, Tell, Writer, read_all, why_refused
from reconciler.host.wording import plainly

if TYPE_CHECKING:
    import asyncssh

CONNECT_SECONDS = 10
KEEPALIVE_SECONDS = 5  # three unanswered ones end the connection: a dead link is noticed within 20 s


class SshHost:
    """One host over SSH. Nothing is connected before the first use; a broken connection is made anew at the next."""

    def __init__(
        self,
        name: str,
        address: str,
        *,
        user: str | None,
        port: int | None,
        host_key: str | None,
        needs_root: bool = True,
    ) -> None:
        self.name = name
        self.round_trips = RoundTrips()
        self._address, self._user, self._port, self._host_key = address, user, port, host_key
        self._needs_root = needs_root
        self._connection: asyncssh.SSHClientConnection | None = None
        self._connecting = asyncio.Lock()

    async def open(self) -> None:
        await self._connected()

    async def run(
        self, command: Command, stdin: Stdin = b"", timeout_seconds: float = 60, *, tell: Tell | None = None
    ) -> Completed:
        import asyncssh

        connection = await self._connected()
        sudo = self._needs_root and connection.get_extra_info("username") != "root"
        try:
            with self.round_trips:
                async with asyncio.timeout(timeout_seconds):
                    process = await connection.create_process(command.line(sudo), encoding=None)
                    stdout, stderr, _ = await asyncio.gather(
                        read_all(process.stdout, tell), process.stderr.read(), _feed(process.stdin, stdin)
                    )
                    await process.wait()
        except TimeoutError:
            await self.close()
            raise HostUnreachable(
                self.name,
                f"a command did not end within {timeout_seconds:g} s",
                "it may still be running there; look again",
            ) from None
        except (asyncssh.Error, OSError) as error:
            raise await self._lost(error) from error
        if process.exit_status is None or process.exit_status < 0:
            raise await self._lost(ConnectionError("it closed during a command"))
        completed = Completed(process.exit_status, stdout.decode(errors="replace"), stderr.decode(errors="replace"))
        if sudo and (refused := why_refused(completed)):
            raise HostRefused(self.name, *refused)
        return completed

    async def interact(self, command: Command) -> int:
        import asyncssh

        connection = await self._connected()
        line = command.line(connection.get_extra_info("username") != "root")
        with lent_terminal(raw=True) as terminal:
            try:
                process = await connection.create_process(
                    line, term_type=terminal.kind, term_size=terminal.size, encoding=None, stderr=asyncssh.STDOUT,
                    stdin=os.dup(terminal.fd), stdout=os.dup(terminal.fd),
                )  # fmt: skip
                with terminal.resizes(process.change_terminal_size):
                    await process.wait()
            except (asyncssh.Error, OSError) as error:
                raise await self._lost(error) from error
        if process.exit_status is None or process.exit_status < 0:
            raise await self._lost(ConnectionError("it closed during a command"))
        return process.exit_status

    async def connect(self, port: int) -> tuple[Reader, Writer]:
        import asyncssh

        connection = await self._connected()
        try:
            with self.round_trips:
                reader, writer = await connection.open_connection("127.0.0.1", port)
        except asyncssh.ChannelOpenError as error:
            if error.code == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED:
                raise HostRefused(
                    self.name,
                    "sshd does not forward connections, so health cannot be asked",
                    "set AllowTcpForwarding local in sshd_config",
                ) from error
            raise ConnectionRefusedError(f"nothing answers on port {port}") from error
        except (asyncssh.Error, OSError) as error:
            raise await self._lost(error) from error
        return reader, writer

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()

    async def _lost(self, error: Exception) -> HostError:
        await self.close()
        return HostUnreachable(
            self.name, f"the connection broke: {plainly(error)}", "look again: what was under way may be done"
        )

    async def _connected(self) -> asyncssh.SSHClientConnection:
        async with self._connecting:
            if self._connection is None or self._connection.is_closed():
                self._connection = await self._open()
            return self._connection

    async def _open(self) -> asyncssh.SSHClientConnection:
        import asyncssh

        try:
            options = self._options()
            async with asyncio.timeout(CONNECT_SECONDS * 2):
                return await asyncssh.connect(self._address, options=options)
        except asyncssh.HostKeyNotVerifiable as error:
            raise HostKeyRefused(
                self.name,
                f"its host key is not the known one, or none is known ({error.reason})",
                f"compare it with the provider's console, then put it into known_hosts (ssh {self._address}) "
                "or into host_key of fleet.yaml",
            ) from error
        except asyncssh.PermissionDenied as error:
            raise HostRefused(
                self.name,
                f"login refused ({error.reason})",
                f"make `ssh {self._address}` work without a password",
            ) from error
        except (asyncssh.ConfigParseError, asyncssh.KeyImportError) as error:
            raise HostRefused(self.name, f"~/.ssh cannot be used: {error}", "correct that file") from error
        except TimeoutError:
            raise HostUnreachable(self.name, "no answer in time", f"ssh {self._address}") from None
        except (asyncssh.Error, OSError) as error:
            raise HostUnreachable(self.name, plainly(error), f"ssh {self._address}") from error

    def _options(self) -> asyncssh.SSHClientConnectionOptions:
        import asyncssh

        given: dict[str, Any] = {"host": self._address}
        config = Path("~/.ssh/config").expanduser()
        if config.is_file():
            given["config"] = [str(config)]
        if self._user:
            given["username"] = self._user
        if self._port:
            given["port"] = self._port
        if self._host_key:
            given["known_hosts"] = ([asyncssh.import_public_key(self._host_key)], [], [])
        options = asyncssh.SSHClientConnectionOptions(
            connect_timeout=CONNECT_SECONDS,
            login_timeout=CONNECT_SECONDS,
            keepalive_interval=KEEPALIVE_SECONDS,
            keepalive_count_max=3,
            gss_host=None,
            **given,
        )
        if options.known_hosts is None:
            raise HostKeyRefused(
                self.name,
                "~/.ssh/config switches the host key check off (UserKnownHostsFile none)",
                "take that line out for this host, or pin host_key in fleet.yaml",
            )
        return options


async def _feed(writer: asyncssh.SSHWriter[bytes], stdin: Stdin) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the command ended early and says why itself
        if isinstance(stdin, bytes):
            writer.write(stdin)
        else:
            async for block in stdin:
                writer.write(block)
                await writer.drain()
        writer.write_eof()
