"""Endless output of a host or an app exhausts neither the memory nor the time of this process."""

from __future__ import annotations

import asyncio
import gc
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from reconciler.errors import HostError, HostRefused
from reconciler.host.http import LONGEST_BODY, HttpConnection, NoAnswer
from reconciler.host.local import LocalHost
from reconciler.host.streams import LONGEST_END_BYTES
from reconciler.host.transport import Command, Transport
from tests.support.ssh_server import SshServer

MIB = 1024 * 1024
BY_BOTH = pytest.mark.parametrize("far", [True, False], ids=["ssh", "local"])


@asynccontextmanager
async def reached(far: bool) -> AsyncIterator[Transport]:
    async with SshServer().running() as server:
        host: Transport = server.host() if far else LocalHost("a", needs_root=False)
        yield host
        await host.close()


def resident_mib(what: str) -> int:
    found = re.search(rf"{what}:\s*(\d+)", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) // 1024


def peak_mib_of(work: object) -> int:
    """The peak growth of this process in MiB."""
    Path("/proc/self/clear_refs").write_text("5")
    before = resident_mib("VmRSS")
    asyncio.run(work)  # type: ignore[arg-type]
    return resident_mib("VmHWM") - before


@BY_BOTH
@pytest.mark.parametrize("stream", [1, 2])
def test_six_hundred_mebibytes_of_output_are_refused_and_not_kept_in_memory(far: bool, stream: int) -> None:
    """The command is ended early, not after all its output."""

    async def story() -> None:
        async with reached(far) as host:
            with pytest.raises(HostRefused, match="a command wrote more than 16 MiB") as caught:
                await host.run(Command(f"head -c {600 * MIB} /dev/zero >&{stream}; sleep 100"))
            assert caught.value.next_step
            assert (await host.run(Command("echo next"))).stdout == "next\n"

    assert peak_mib_of(story()) < 120


@BY_BOTH
def test_a_streamed_command_has_no_output_limit(far: bool) -> None:
    """As with `logs --follow` and `exec`: stdout is not kept, and of stderr only the end."""

    async def story() -> None:
        told = 0

        def tell(piece: bytes) -> None:
            nonlocal told
            told += len(piece)

        async with reached(far) as host:
            script = f"head -c {100 * MIB} /dev/zero & head -c {40 * MIB} /dev/zero >&2; echo the end >&2; wait"
            done = await host.run(Command(script), on_output=tell)
        assert told == 100 * MIB
        assert done.output == b""
        assert len(done.errors) == LONGEST_END_BYTES
        assert done.errors.endswith(b"the end\n")

    assert peak_mib_of(story()) < 100


@pytest.mark.parametrize(
    "script",
    [f"head -c {600 * MIB} /dev/zero; sleep 100", "setsid sleep 10 & sleep 100"],
    ids=["too much", "a survivor holds the pipes"],
)
def test_a_local_command_that_was_ended_leaves_no_pipe_open(script: str) -> None:
    """Nor does a process that it started in a session of its own, which is not killed with it.

    The garbage collector would close them in the end, perhaps after their event loop: it is off meanwhile.
    """

    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    async def story() -> None:
        host = LocalHost("a", needs_root=False)
        await host.run(Command("true"))
        before = open_files()
        with pytest.raises(HostError):
            await host.run(Command(script), timeout_seconds=2)
        async with asyncio.timeout(5):
            while open_files() > before:
                await asyncio.sleep(0.01)

    gc.disable()
    try:
        asyncio.run(story())
    finally:
        gc.enable()


async def answering(body: bytes, times: int) -> asyncio.Server:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(body) * times))
        try:
            for _ in range(times):
                writer.write(body)
                await writer.drain()
        except ConnectionError:
            pass
        writer.close()

    return await asyncio.start_server(answer, "127.0.0.1", 0)


def test_an_endless_api_answer_counts_as_no_answer() -> None:
    async def story() -> None:
        async with await answering(b"x" * MIB, 600) as server:
            http = HttpConnection(LocalHost("a"), server.sockets[0].getsockname()[1])
            with pytest.raises(NoAnswer, match="the answer is too long"):
                await http.get("/api/rawdata", timeout_seconds=30)
            http.close()

    assert peak_mib_of(story()) < LONGEST_BODY // MIB * 5


def test_the_length_of_a_health_answer_does_not_matter() -> None:
    """Only the status is needed: the rest of a long page is not read."""

    async def story() -> None:
        async with await answering(b"x" * MIB, 600) as server:
            http = HttpConnection(LocalHost("a"), server.sockets[0].getsockname()[1])
            assert (await http.ask("/", timeout_seconds=30)).status == 200
            assert (await http.ask("/", timeout_seconds=30)).status == 200  # on a connection of its own
            http.close()

    assert peak_mib_of(story()) < 20
