"""What many scripts share is sent to a host once. Whatever it loses, a script runs whole or not at all."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from reconciler.errors import HostUnreachable
from reconciler.host import entry
from reconciler.host.shared_text import Stored, pack
from reconciler.host.transport import Command, Completed
from tests.support.ssh_server import SshServer

ARGUMENT = "it's $HOME"


@dataclass(frozen=True)
class Greeting:
    """A script in three parts, of which other scripts have the middle one."""

    first: str = "word=hello\n"
    shared: tuple[str, ...] = ('greet() {\necho "$word $1"\n}\n', "# a part with 'quotes', \\ and $dollars\nshift 0\n")
    last: str = 'greet "$1"\ncat\nexit 3\n'
    verb: str = "greet"
    scripts: str = "0123456789ab"

    @property
    def text(self) -> str:
        return self.first + "".join(self.shared) + self.last


COMMAND = Command(Greeting(), (ARGUMENT,))


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the host stores them, for its login as for root."""
    folder = tmp_path / "store"
    monkeypatch.setattr(entry, "_LOAD", entry._LOAD.replace("/run/reconcile-scripts", str(folder)))
    return folder


async def stream(*blocks: bytes) -> AsyncIterator[bytes]:
    for block in blocks:
        yield block


@dataclass
class Ran:
    """How some runs over one connection ended, and how often the host was asked."""

    ended: list[Completed]
    round_trips: int


def run(
    *stdin: bytes | list[bytes],
    store: Path = Path(),
    lost_before: tuple[int, ...] = (),
    path: str = entry.USUAL_PATH,
    keeps: bool = True,
) -> Ran:
    """Run the command with each of these. Before those of these numbers, what is stored is taken away."""

    async def story() -> Ran:
        async with SshServer(environment={"RECONCILE_PATH": path}).running() as server:
            host = server.host(needs_root=False)
            host._keeps_scripts = keeps  # without a sudo on this machine
            ended = []
            try:
                for number, data in enumerate(stdin):
                    for file in store.iterdir() if number in lost_before else ():
                        file.unlink()
                    ended.append(await host.run(COMMAND, data if isinstance(data, bytes) else stream(*data), 20))
                return Ran(ended, host.round_trips.count)
            finally:
                await host.close()

    return asyncio.run(story())


def said(data: bytes) -> tuple[int, bytes]:
    return 3, f"hello {ARGUMENT}\n".encode() + data


def test_the_first_run_is_sent_them_and_later_ones_are_not(store: Path) -> None:
    first = run(b"data\n", b"more\n")

    assert [(each.status, each.output) for each in first.ended] == [said(b"data\n"), said(b"more\n")]
    assert first.round_trips == 3
    assert sorted(file.stat().st_mode & 0o777 for file in store.iterdir()) == [0o600, 0o600]
    assert run(b"again\n").round_trips == 1


def test_a_stream_follows_them_if_the_host_might_lack_them(store: Path) -> None:
    """It cannot be sent twice."""
    ran = run([b"one\n", b"two\n"], [b"three\n"], b"", [b"four\n"])

    assert [(each.status, each.output) for each in ran.ended] == [
        said(b"one\ntwo\n"), said(b"three\n"), said(b""), said(b"four\n"),
    ]  # fmt: skip
    assert ran.round_trips == 4


def test_what_the_host_lost_is_sent_again(store: Path) -> None:
    ran = run(b"data\n", b"more\n", b"last\n", store=store, lost_before=(1, 2))

    assert [(each.status, each.output) for each in ran.ended] == [said(b"data\n"), said(b"more\n"), said(b"last\n")]


def test_a_stream_that_met_a_loss_is_not_sent_in_part(store: Path) -> None:
    with pytest.raises(HostUnreachable, match="it lost a script that it had stored"):
        run(b"", b"", [b"data\n"], store=store, lost_before=(2,))


def test_a_machine_that_only_plays_a_host_stores_nothing(store: Path) -> None:
    """As the demo's: its PATH is another."""
    ran = run(b"a", b"b", b"c", b"d", path=f"{os.environ['PATH']}:/nonexistent")

    assert [(each.status, each.output) for each in ran.ended] == [said(b"a"), said(b"b"), said(b"c"), said(b"d")]
    assert ran.round_trips == 6
    assert not store.exists()


def test_a_rootless_host_is_sent_them_each_time_in_the_same_round_trip(store: Path) -> None:
    ran = run(b"data\n", [b"more\n"], keeps=False)

    assert [(each.status, each.output) for each in ran.ended] == [said(b"data\n"), said(b"more\n")]
    assert ran.round_trips == 2


def load(sizes: str, stdin: bytes) -> subprocess.CompletedProcess[bytes]:
    script = Greeting()
    words = ["sh", "-c", entry._LOAD, "reconcile", sizes, script.first, script.last, ARGUMENT]
    environ = {"PATH": entry.USUAL_PATH}
    return subprocess.run(words, input=stdin, capture_output=True, env=environ, check=False)


def test_a_sender_that_dies_leaves_nothing_stored_and_nothing_is_run(store: Path) -> None:
    text = pack(Greeting().shared[0])

    done = load(f"{'0' * 32}:{len(text)}", text[:-4])

    assert entry.BEGUN not in done.stdout
    assert b"hello" not in done.stdout
    assert not store.exists()


def test_texts_of_yesterday_are_taken_away_when_others_come(store: Path) -> None:
    """Those of another version that has not been used since, in memory."""
    store.mkdir()
    old, new = store / "a", store / "b"
    for file, age_seconds in ((old, 3 * 86400), (new, 3600)):
        file.write_text("")
        os.utime(file, (file.stat().st_mtime - age_seconds,) * 2)

    run(b"")

    assert (old.exists(), new.exists()) == (False, True)


def test_the_program_of_a_deploy_user_gets_stdin_without_them(tmp_path: Path) -> None:
    """It has the scripts itself."""
    program = tmp_path / "reconcile-host"
    program.write_text("#!/bin/sh\nprintf '\\036begun\\036'\necho \"$@\"\ncat\n")
    program.chmod(0o755)
    (tmp_path / "sudo").write_text('#!/bin/sh\nshift\nexec "$@"\n')
    (tmp_path / "sudo").chmod(0o755)
    command = COMMAND.loading_line(True, COMMAND.shared).replace(entry.PROGRAM, str(program))
    stdin = entry.FIRST_LINE + COMMAND.packed(COMMAND.shared) + b"data\n"
    environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "RECONCILE_PATH": f"{tmp_path}:{os.environ['PATH']}"}

    done = subprocess.run(
        ["sh", "-c", command], input=stdin, capture_output=True, env=environ | {"HOME": "/"}, check=False
    )

    assert done.stdout.rpartition(entry.BEGUN)[2] == f"{Greeting().scripts} greet {ARGUMENT}\ndata\n".encode()


def test_a_host_that_keeps_nothing_is_sent_them_at_once_from_the_third_time_on() -> None:
    texts, stored = frozenset("ab"), Stored()
    for _ in range(2):
        assert stored.to_send(texts, b"") == frozenset()
        stored.note(texts, frozenset(), missed=True)
        stored.note(texts, texts, missed=False)

    assert stored.to_send(texts, b"") == texts
