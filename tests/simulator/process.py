"""Scripts as real processes of sh that ask before they go on. One of them runs at a time, until it asks again.

Who asks is answered through a named pipe of its own, so that a subshell, a job in the background and the script itself
can all wait for their answers. Between two answers nothing but that one script runs: the order is the simulator's.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.simulator import shell
from tests.simulator.folder import IN_FOLDER, folder_of_process

HANGS_SECONDS = 20.0  # real ones; a script that neither asks nor ends for so long is a mistake of the simulator's
SETTLES_SECONDS = 0.75  # without a sign of life from a script that may be blocked: by its input, by what it waits for


@dataclass(frozen=True)
class Ask:
    """What a script is about to do."""

    run: int
    pid: int
    lane: int
    site: int
    canary: str
    words: tuple[str, ...]


@dataclass
class Run:
    """One script under way."""

    number: int
    host: str
    parsed: shell.Parsed
    arguments: tuple[str, ...]
    process: subprocess.Popen[bytes]
    on_ask: Callable[[Run, Ask], None]
    on_end: Callable[[Run], None]
    keeper: int = -1  # the writing end of a stdin that does not end
    stalled: bool = False
    output: bytearray = field(default_factory=bytearray)
    errors: bytearray = field(default_factory=bytearray)
    parked: dict[int, Ask] = field(default_factory=dict)
    lanes: dict[int, int] = field(default_factory=dict)  # beside the main one: lane → its pid, 0 before it asked
    untold: list[Ask] = field(default_factory=list)
    boundaries: int = 0
    ended: bool = False
    status: int | None = None
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def verb(self) -> str:
        return self.parsed.verb

    def command(self, ask: Ask) -> shell.Command | None:
        return self.parsed.command(ask.site)

    def hang_up(self) -> None:
        """Nobody reads what it says any more: it gets SIGPIPE when it says more."""
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None and not stream.closed:
                stream.close()

    def end_input(self) -> None:
        if self.keeper >= 0:
            os.close(self.keeper)
            self.keeper = -1
        self.stalled = False


class Processes:
    """All scripts of a simulation, and the folder through which they ask."""

    def __init__(self) -> None:
        self.folder = folder_of_process() / "now"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.control = self.folder / "control"
        (self.control / "bin").mkdir(parents=True)
        os.mkfifo(self.control / "ask")
        self._asks = os.open(self.control / "ask", os.O_RDWR | os.O_NONBLOCK)
        self._rest = ""
        (self.control / "preamble").write_text(shell.PREAMBLE)
        program = self.control / "bin" / "systemd-run"
        program.write_text(shell.SYSTEMD_RUN)
        program.chmod(0o755)
        self._answers: dict[tuple[int, int], int] = {}
        self.runs: dict[int, Run] = {}
        self.count = 0
        self.started = 0
        self.set_time(0.0)
        (self.control / "df").write_text("90000000\n")

    def close(self) -> None:
        for run in list(self.runs.values()):
            self.kill(run)
        for fd in self._answers.values():
            os.close(fd)
        os.close(self._asks)
        shutil.rmtree(self.folder, ignore_errors=True)

    def set_time(self, epoch_seconds: float) -> None:
        whole, part = int(epoch_seconds), int(epoch_seconds * 1000) % 1000
        (self.control / "now").write_text(f"{whole} {part:03d}\n")

    def forget_failure(self) -> None:
        (self.control / "failed").unlink(missing_ok=True)

    @property
    def has_failed_once(self) -> bool:
        return (self.control / "failed").exists()

    def start(
        self,
        host: str,
        root: Path,
        verb: str,
        text: str,
        arguments: tuple[str, ...],
        stdin: bytes,
        *,
        cut: int | None = None,
        stalls: bool = False,
        fails: tuple[str, int] | None = None,
        notes: dict[str, Any] | None = None,
        on_ask: Callable[[Run, Ask], None],
        on_end: Callable[[Run], None],
    ) -> Run:
        """Begin a script. With `cut` only so many bytes of its input come; with `stalls` no end of input either."""
        parsed = shell.parse(verb, text, str(root))
        self.count += 1
        self._open_pipe(self.count, 0)
        data = stdin if cut is None else stdin[:cut]
        source, keeper = self._input(data, stalls)
        folders = {
            IN_FOLDER: str(self.folder.parent),
            "_SIM": str(self.control),
            "_RUN": str(self.count),
            "HOME": "/root",
            "LANG": "C.UTF-8",
        }
        process = subprocess.Popen(
            ["sh", str(self._script(parsed, fails)), *arguments],
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.folder,
            env=folders | {"PATH": f"{self.control}/bin:/usr/local/bin:/usr/bin:/bin"},
            start_new_session=True,
        )
        os.close(source)
        run = Run(self.count, host, parsed, arguments, process, on_ask, on_end, keeper, stalls)
        run.notes = notes or {}
        self.runs[run.number] = run
        self._settle(run)
        return run

    def _input(self, data: bytes, stalls: bool) -> tuple[int, int]:
        if stalls:
            reading, writing = os.pipe()
            os.set_blocking(writing, False)
            os.write(writing, data[:60000])
            return reading, writing
        file = os.memfd_create("stdin")
        os.write(file, data)
        os.lseek(file, 0, os.SEEK_SET)
        return file, -1

    def _script(self, parsed: shell.Parsed, fails: tuple[str, int] | None) -> Path:
        key = (os.getpid(), id(parsed), fails)
        if key not in _SCRIPTS:
            failing = next((each for each in parsed.commands if each.key == fails), None)
            path = folder_of_process() / f"script-{len(_SCRIPTS)}.sh"
            path.write_bytes(shell.PREAMBLE.encode() + shell.instrumented(parsed, failing).encode("latin-1"))
            _SCRIPTS[key] = path
        return _SCRIPTS[key]

    def answer(self, run: Run, lane: int, text: str) -> None:
        """Let one who asked go on, until the script asks again or ends."""
        ask = run.parked.pop(lane, None)
        if ask is None or run.ended:
            return
        os.write(self._answers[ask.run, lane], text.encode() + b"\n")
        self._settle(run)

    def answer_output(self, run: Run, lane: int, status: int, text: str) -> None:
        """The same with something to print."""
        path = self.control / f"out-{run.number}-{lane}"
        path.write_text(text)
        self.answer(run, lane, f"out {status} {path}")

    def terminate(self, run: Run) -> None:
        """As sshd does for a client that asks for it."""
        if run.status is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(run.process.pid, signal.SIGTERM)
            run.parked.clear()
            run.untold.clear()
            self._settle(run)

    def kill(self, run: Run) -> None:
        """As when the power goes."""
        if run.status is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(run.process.pid, signal.SIGKILL)
            run.process.wait()
        self._done(run)

    def _done(self, run: Run) -> None:
        run.ended = True
        run.status = run.process.wait()
        run.hang_up()
        run.end_input()
        for each in [each for each in self._answers if each[0] == run.number]:
            os.close(self._answers.pop(each))
        run.parked.clear()
        self.runs.pop(run.number, None)

    def _settle(self, run: Run) -> None:
        """Wait, really, until all of it that runs has asked, or it has ended."""
        began, quiet_since = time.monotonic(), time.monotonic()
        while not run.ended:
            if self._is_quiet(run):
                break
            if not self._wait(run) and (run.stalled or run.lanes):
                now = time.monotonic()
                if not _all_sleep(run.process.pid):
                    quiet_since = now
                elif (run.stalled or run.lanes) and now - quiet_since > SETTLES_SECONDS:
                    break
            elif time.monotonic() - began > HANGS_SECONDS:
                raise AssertionError(f"{run.host}: {run.verb} hangs: {run.parked} {bytes(run.errors)!r}")
            else:
                quiet_since = time.monotonic()
        if run.ended:
            run.on_end(run)
            return
        fresh, run.untold = sorted(run.untold, key=lambda ask: ask.lane), []
        for ask in fresh:
            run.on_ask(run, ask)

    def _is_quiet(self, run: Run) -> bool:
        for lane, pid in list(run.lanes.items()):
            if lane in run.parked:
                continue
            if pid and not _lives(pid):
                del run.lanes[lane]
                continue
            return False
        return 0 in run.parked

    def _wait(self, run: Run) -> bool:
        """Take in one piece of news of it; False when there was none."""
        streams = [each for each in (run.process.stdout, run.process.stderr) if each and not each.closed]
        sources: list[Any] = [self._asks, *streams]
        ended = run.process.poll() is not None  # asked before: what it wrote at its very end is there then
        ready, _, _ = select.select(sources, [], [], 0 if ended else 0.005)
        if self._asks in ready:
            self._take_asks()
            return True
        for stream in streams:
            if stream in ready:
                block = os.read(stream.fileno(), 262144)
                (run.output if stream is run.process.stdout else run.errors).extend(block)
                if not block:
                    stream.close()
                return True
        if ended:
            self._done(run)
        return ended

    def _take_asks(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._rest += os.read(self._asks, 65536).decode("utf-8", "replace")
        *records, self._rest = self._rest.split("\x04\x1e")
        for record in records:
            number, pid, lane, site, canary, *words = record.split("\x1e")
            words = words[:-1]
            run = self.runs.get(int(number))
            if run is None:
                continue
            if site == "bg":
                run.lanes[int(lane)] = 0
                self._open_pipe(run.number, int(lane))
                continue
            ask = Ask(int(number), int(pid), int(lane), int(site), canary, tuple(words))
            if ask.lane and not run.lanes.get(ask.lane):
                run.lanes[ask.lane] = ask.pid
            run.parked[ask.lane] = ask
            run.untold.append(ask)

    def _open_pipe(self, run: int, lane: int) -> None:
        if (run, lane) not in self._answers:
            path = self.control / f"r{run}.{lane}"
            os.mkfifo(path)
            self._answers[run, lane] = os.open(path, os.O_RDWR | os.O_NONBLOCK)


_SCRIPTS: dict[tuple[int, int, tuple[str, int] | None], Path] = {}


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _all_sleep(session: int) -> bool:
    return all(state in "SZ" for state in _states(session))


def _states(session: int) -> Iterator[str]:
    for each in Path("/proc").iterdir():
        if each.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                fields = (each / "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == session:
                    yield fields[0]
