"""A password store of this controller, such as `pass show {name}`: one command for each secret, never through a shell.

The environment of reconcile sets it. The desired state may not choose this command: anyone who can commit could then
run code on the machine that can log in to every server.
"""

from __future__ import annotations

import os
import select
import shlex
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress

from reconciler.errors import SecretRefused, UsageError
from reconciler.programs import is_missing, why_not_started

VARIABLE = "RECONCILE_SECRETS_COMMAND"
LONGEST_SECONDS = 30
LARGEST_OUTPUT = 1 << 20
_BY_HAND = f"run the command of {VARIABLE} by hand"


def command_of(environ: Mapping[str, str]) -> list[str] | None:
    """Return the words of the command, or None if there is none. Raises UsageError if it does not contain {name}."""
    text = environ.get(VARIABLE, "")
    try:
        words = shlex.split(text)
    except ValueError:
        raise UsageError(f"{VARIABLE} has an unclosed quote", "write it like: pass show {name}") from None
    if words and not any("{name}" in word for word in words[1:]):
        raise UsageError(f"{VARIABLE} has no {{name}} after the program", "write it like: pass show {name}")
    return words or None


def ask(words: list[str], name: str, seconds: float = LONGEST_SECONDS) -> bytes | None:
    """Return what the command prints for this secret; None if the program is not installed. Raises SecretRefused.

    Messages never quote its output or its errors, which may contain the value, or its arguments, which may contain a
    token.
    """
    argv = [words[0], *(word.replace("{name}", name) for word in words[1:])]
    pipe, null = subprocess.PIPE, subprocess.DEVNULL
    try:
        process = subprocess.Popen(argv, stdin=null, stdout=pipe, stderr=null, start_new_session=True)
    except OSError as error:
        if is_missing(words[0], error):
            return None
        why = why_not_started(words[0], error)
        raise SecretRefused(f"{words[0]} cannot be run for the secret {name}: {why}", _BY_HAND) from None
    with process:
        try:
            output = _output(process, seconds)
        except (subprocess.TimeoutExpired, _TooMuch) as error:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            what = "printed too much" if isinstance(error, _TooMuch) else "did not answer"
            within = "" if isinstance(error, _TooMuch) else f" within {seconds:g} s"
            raise SecretRefused(f"{words[0]} {what} for the secret {name}{within}", _BY_HAND) from None
    if process.returncode != 0:
        raise SecretRefused(
            f"{words[0]} did not return the secret {name}: it ended with status {process.returncode}", _BY_HAND
        )
    return output


class _TooMuch(Exception):
    """The output is longer than any secret."""


def _output(process: subprocess.Popen[bytes], seconds: float) -> bytes:
    """Return all output of the process after its end. Raises TimeoutExpired or _TooMuch."""
    assert process.stdout is not None
    end, output = time.monotonic() + seconds, bytearray()
    while select.select([process.stdout], [], [], max(0.0, end - time.monotonic()))[0]:
        piece = os.read(process.stdout.fileno(), 65536)
        if not piece:
            process.wait(max(0.0, end - time.monotonic()))
            return bytes(output)
        output += piece
        if len(output) > LARGEST_OUTPUT:
            raise _TooMuch
    raise subprocess.TimeoutExpired(process.args, seconds)
