"""A program on this machine gets the terminal; its settings are restored however the program ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.terminal import at_a_terminal

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """\
import asyncio, sys
from reconciler.host.local import LocalHost
from reconciler.host.transport import Command
sys.exit(asyncio.run(LocalHost("local", needs_root=False).interact(Command(sys.argv[1]))))
"""


def words(script: str) -> list[str]:
    return [sys.executable, "-c", PROGRAM, script]


def environ() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def test_the_program_gets_the_terminal_and_its_exit_code_is_returned() -> None:
    with at_a_terminal(words("stty size; read line; echo got $line; exit 7"), ROOT, environ()) as person:
        person.sees("30 100")
        person.types("it\r")
        person.sees("got it")
        assert person.ends() == 7


def test_ctrl_c_belongs_to_the_program() -> None:
    script = "trap 'echo interrupted; exit 3' INT; echo ready; while :; do sleep 0.05; done"
    with at_a_terminal(words(script), ROOT, environ()) as person:
        person.sees("ready")
        person.types("\x03")
        person.sees("interrupted")
        assert person.ends() == 3


def test_terminal_settings_are_restored_when_the_program_is_killed() -> None:
    with at_a_terminal(words("stty raw -echo; echo ready; kill -KILL $$"), ROOT, environ()) as person:
        before = person.settings
        person.sees("ready")
        assert person.ends() != 0
        assert person.settings == before


def test_terminal_settings_are_restored_when_reconcile_is_ended() -> None:
    with at_a_terminal(words("stty raw -echo; echo ready; exec sleep 600"), ROOT, environ()) as person:
        before = person.settings
        person.sees("ready")
        os.kill(person.pid, signal.SIGTERM)
        assert person.ends() == 128 + signal.SIGTERM
        assert person.settings == before


def test_without_a_terminal_it_says_what_to_use_instead() -> None:
    done = subprocess.run(
        words("true"), env=environ(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )

    assert "UsageError: this needs a terminal" in done.stderr
