"""The connection to a host with many apps is compressed, within limits that the host cannot exceed."""

from __future__ import annotations

import asyncio
import zlib
from pathlib import Path

import pytest

from reconciler.desired_state.load import load
from reconciler.host.compression import LARGEST_PACKET_BYTES, Decompressor
from reconciler.host.ssh import SshHost
from reconciler.host.transport import Command
from reconciler.targets.open_fleet import MOST_UNCOMPRESSED_APPS, work_out
from tests.hosts.delay_proxy import DelayProxy
from tests.support.desired_folder import HELLO, write
from tests.support.ssh_server import SshServer

RECORDS = "".join(f"inventory of app-{number:02} below /etc/systemd/system\n" for number in range(400))
PRINT = "i=0; while [ $i -lt 400 ]; do printf 'inventory of app-%02d below /etc/systemd/system\\n' $i; i=$((i+1)); done"


def run(*, compress: bool) -> tuple[str, int]:
    """What a command printed, and how many bytes came over the wire."""

    async def main() -> tuple[str, int]:
        async with SshServer().running() as server:
            with DelayProxy("127.0.0.1", server.port).running() as proxy:
                key = server.host_key
                host = SshHost(
                    "a", "127.0.0.1", user="x", port=proxy.port, host_key=key, needs_root=False, compress=compress
                )
                try:
                    completed = await host.run(Command(PRINT))
                finally:
                    await host.close()
                return completed.stdout, proxy.bytes_down

    return asyncio.run(main())


def test_a_compressed_reply_is_the_same_and_a_fraction_of_the_bytes() -> None:
    plain, compressed = run(compress=False), run(compress=True)

    assert plain[0] == compressed[0] == RECORDS
    assert compressed[1] < plain[1] / 3


@pytest.mark.parametrize("bytes_", [LARGEST_PACKET_BYTES, LARGEST_PACKET_BYTES + 1])
def test_a_packet_has_a_longest_size(bytes_: int) -> None:
    packet = Decompressor().decompress(zlib.compress(bytes(bytes_)))

    assert packet == (bytes(bytes_) if bytes_ == LARGEST_PACKET_BYTES else None)


def test_what_is_not_compressed_is_refused() -> None:
    assert Decompressor().decompress(b"not compressed") is None


@pytest.mark.parametrize(("apps", "compressed"), [(MOST_UNCOMPRESSED_APPS, False), (MOST_UNCOMPRESSED_APPS + 1, True)])
def test_only_a_host_with_many_apps_is_worth_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, apps: int, compressed: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hello-1.10.tar.gz").write_bytes(b"")
    files = {
        f"hello{number}": HELLO.replace("app: hello", f"app: hello{number}").replace("4000, 4001", f"{4000 + number}")
        for number in range(apps)
    }
    (host,) = asyncio.run(work_out(load(write(files)), None, None)).hosts.values()

    assert isinstance(host, SshHost)
    assert host._compress is compressed
