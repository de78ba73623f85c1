"""Lines that move, as a terminal shows them: a real terminal emulator reads what is written."""

from __future__ import annotations

import asyncio
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from fcntl import ioctl
from pathlib import Path

import pyte
import pytest

from reconciler.engine.live_region import LiveRegion
from reconciler.engine.progress import Progress
from reconciler.engine.progress_lines import Speed, Work, duration_text, progress_lines
from reconciler.layout import columns
from reconciler.model.action import StartInstance
from reconciler.model.identity import Identity
from reconciler.model.transfer import Transfer


class Window(io.StringIO):
    """A terminal of a size that can change, and what it shows."""

    encoding = "utf-8"
    monkeypatch: pytest.MonkeyPatch

    def __init__(self, width: int = 80, height: int = 24) -> None:
        super().__init__()
        self.master, self.slave = pty.openpty()
        self.screen = pyte.HistoryScreen(width, height)
        self.screen.set_mode(pyte.modes.LNM)
        self.stream = pyte.Stream(self.screen)
        self.resize(width, height)

    def resize(self, width: int, height: int) -> None:
        ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        self.screen.resize(height, width)

    def write(self, text: str) -> int:
        self.stream.feed(text)
        return len(text)

    def open(self) -> None:
        """Print here from now on. Not in the fixture: pytest puts its own streams in place after that."""
        self.monkeypatch.setattr(sys, "stdout", self)
        self.monkeypatch.setattr(sys, "stderr", self)

    def fileno(self) -> int:
        return self.slave

    def isatty(self) -> bool:
        return True

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.screen.display if line.strip()]


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch) -> Iterator[Window]:
    window = Window()
    window.monkeypatch = monkeypatch
    for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    yield window
    os.close(window.master)
    os.close(window.slave)


def start(host: str, app: str) -> StartInstance:
    return StartInstance(host, app, "version 1 → 2", "4001", Identity("2-" + 12 * "0", "e", "u"))


def test_a_printed_line_never_tears_the_lines_that_move(window: Window) -> None:
    window.open()
    region = LiveRegion(window)
    region.show(["one moves", "two moves"])
    print("a log line", file=sys.stderr)
    print("half", end="")
    region.show(["one moves on", "two moves on"])
    assert window.lines == ["a log line", "one moves on", "two moves on"]

    print(" and half, then a whole one\nand a begun one", end="")
    assert window.lines == ["a log line", "half and half, then a whole one", "one moves on", "two moves on"]

    region.show(())
    assert window.lines == ["a log line", "half and half, then a whole one", "and a begun one"]
    assert sys.stdout is window and sys.stderr is window


def test_a_window_that_becomes_narrower_keeps_no_remains(window: Window) -> None:
    """The emulator does not reflow as most terminals do, so the count of rows is checked, not what is shown."""
    window.open()
    region = LiveRegion(window)
    region.show(["x" * 79, "y" * 10])
    window.resize(40, 24)
    written: list[str] = []
    window.write = written.append  # type: ignore[assignment, method-assign]
    region.show(["z"])

    assert written[0].startswith("\r\033[3A\033[J")


def test_twenty_apps_at_once_stay_within_a_small_screen(window: Window) -> None:
    window.open()
    progress = Progress(lambda event, **fields: print(event, fields["app"]), terminal=True)
    actions = [start(f"web{number}", f"app{number}") for number in range(20)]
    contexts = [progress.action(action) for action in actions]

    async def roll_out() -> None:
        for context in contexts:
            context.__enter__()
        progress.reporter("web0", "app0")("healthy for 1 of 2 s")
        while len(window.lines) != 16:
            await asyncio.sleep(0.01)
        assert re.fullmatch(r"  web0   app0   start     +\d+ s  slot 4001, 2  healthy for 1 of 2 s", window.lines[0])
        assert window.lines[-1] == "  and 5 more"

        for context in contexts[:-1]:
            context.__exit__(None, None, None)
        *_, logged, moving = window.lines
        assert logged == "start.finished app18"
        assert re.fullmatch(r"  web19  app19  start     +\d+ s  slot 4001, 2", moving)
        contexts[-1].__exit__(None, None, None)

    asyncio.run(roll_out())
    assert window.lines[-1] == "start.finished app19"
    assert sys.stdout is window


def test_an_action_that_fails_or_is_cancelled_gives_the_screen_back(window: Window) -> None:
    window.open()
    progress = Progress(lambda event, **fields: None, terminal=True)

    async def roll_out() -> None:
        with progress.action(start("web1", "hello")):
            assert re.fullmatch(r"  web1  hello  start     +\d+ s  slot 4001, 2", window.lines[0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(roll_out())

    assert window.lines == []
    assert sys.stdout is window


def test_a_note_without_an_action_ends_with_the_pass(window: Window) -> None:
    window.open()
    progress = Progress(lambda event, **fields: None, terminal=True)

    async def wait() -> None:
        progress.reporter("web1", "hello")("waiting: another controller has the host")
        assert window.lines == ["  web1  hello              0 s  waiting: another controller has the host"]
        progress.close()

    asyncio.run(wait())
    assert window.lines == []


def upload(seconds: float, done: int, total: int | None = 23_500_000) -> Work:
    work = Work("web1", "hello", 0.0, "install", "0.2.0-9f2c")
    for second in range(int(seconds) + 1):
        work.report(Transfer("upload", int(done * second / seconds), total), float(second))
    return work


def test_a_transfer_shows_bytes_rate_and_time_left() -> None:
    assert progress_lines([upload(4, 12_000_000)], 4.0, 80, 10) == [
        "  web1  hello  upload    █████░░░░░   51 %  12.0 of 23.5 MB  3.0 MB/s  3 s left"
    ]
    assert progress_lines([upload(4, 12_000_000)], 4.0, 70, 10) == [
        "  web1  hello  upload     51 %  12.0 of 23.5 MB  3.0 MB/s  3 s left"
    ]
    assert progress_lines([upload(4, 12_000_000, None)], 4.0, 80, 10) == ["  web1  hello  upload    12.0 MB  3.0 MB/s"]
    assert progress_lines([upload(4, 12_000_000)], 4.0, 80, 10, bar="#.")[0][25:35] == "#####....."


@pytest.mark.parametrize("width", [20, 40, 60, 80, 200])
def test_no_line_is_as_wide_as_the_terminal(width: int) -> None:
    works = [upload(4, 12_000_000), Work("a" * 50, "b" * 40, 0.0, "wait", "slot 4001", "日本" * 90)]

    assert max(map(columns, progress_lines(works, 3725.0, width, 10))) < width


def test_the_speed_is_that_of_the_last_seconds() -> None:
    speed = Speed()
    assert speed.bytes_per_second is None
    for second in range(20):
        speed.note(second, second * 10 if second < 10 else 100 + (second - 10) * 1000)
    assert speed.bytes_per_second == 1000

    speed.note(20, 0)  # it begins again
    assert speed.bytes_per_second is None
    assert [duration_text(seconds) for seconds in (0.9, 65, 3605)] == ["0 s", "1:05", "1:00:05"]


def test_without_a_terminal_a_long_transfer_is_logged_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    """At most every 10 s, and then only after another quarter of it or a minute."""
    now, logged = 0.0, []
    monkeypatch.setattr("reconciler.engine.progress.now_seconds", lambda: now)
    progress = Progress(lambda event, **fields: logged.append((now, event, fields)), terminal=False)
    report = progress.reporter("web1", "hello")
    report("fetching")
    for tick in range(0, 2001):
        now = tick / 10  # 200 s for 1,000,000 bytes
        report(Transfer("upload", tick * 500, 1_000_000))
    slow = progress.reporter("web1", "hello")
    for tick in range(0, 1301):
        now = 300 + tick / 10
        slow(Transfer("download", tick, None))

    assert [(at, event, fields.get("percent")) for at, event, fields in logged] == [
        (50.0, "upload.advanced", 25),
        (100.0, "upload.advanced", 50),
        (150.0, "upload.advanced", 75),
        (200.0, "upload.advanced", 100),
        (360.0, "download.advanced", None),
        (420.0, "download.advanced", None),
    ]
    assert logged[0][2] == {
        "host": "web1", "app": "hello", "done_bytes": 250_000, "total_bytes": 1_000_000, "percent": 25,
        "bytes_per_second": 5000,
    }  # fmt: skip


def test_a_quick_transfer_is_not_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("reconciler.engine.progress.now_seconds", lambda: now)
    logged: list[str] = []
    report = Progress(lambda event, **fields: logged.append(event), terminal=False).reporter("web1", "hello")
    for tick in range(99):
        now = tick / 10
        report(Transfer("upload", tick, 98))

    assert logged == []


def test_a_pass_without_news_loads_nothing_that_draws() -> None:
    code = "import sys, reconciler.commands.once; print([n for n in sys.modules if 'live_' in n or n == 'rich'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd())

    assert done.stdout == "[]\n"
