"""Output of the commands that run in the live slot: streamed, with secrets masked."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.support.child import killed_at_the_end

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """\
import asyncio, sys
from pathlib import Path
from reconciler.host.local import LocalHost
from reconciler.host.transport import Command
from reconciler.commands.live_slot import LiveSlot
from reconciler.model.observed import Slot
from reconciler.targets.site import HostSite
from reconciler.targets.target_files import TargetFiles
from reconciler.model.machine import HostSpec
from reconciler.model.target import Target

site = HostSite("local", HostSpec(address="local"), (8080,))
target = TargetFiles(Target.removal("local", "hello"), None, site, None, None, Path(), {}, frozenset({"s3cret"}))
place = LiveSlot(target, LocalHost("local", needs_root=False), Slot("4000"))
try:
    sys.exit(asyncio.run(place.stream(Command(sys.argv[1]))))
except BrokenPipeError:
    sys.exit(141)
"""


@contextlib.contextmanager
def streamed(script: str) -> Iterator[subprocess.Popen[bytes]]:
    words = [sys.executable, "-c", PROGRAM, script]
    with killed_at_the_end(
        subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    ) as process:
        yield process


def test_output_is_streamed_with_secrets_masked_and_the_exit_code_returned() -> None:
    with streamed("printf 'a s3c'; printf 'ret b'; sleep 2; exit 5") as process:
        assert process.stdout is not None
        assert process.stdout.read(7) == b"a *** b"
    with streamed("echo s3cret >&2; exit 5") as process:
        assert process.communicate() == (b"", b"***\n")
        assert process.returncode == 5


def test_a_closed_stdout_is_not_reported_as_a_host_error() -> None:
    """As with `| head`: no error is printed."""
    with streamed("while echo line; do :; done") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"line\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(20) == 141
