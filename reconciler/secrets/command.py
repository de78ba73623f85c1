"""A password store of this controller, such as `pass show {name}`: one command for each secret, never through a shell.

It is named in the environment of reconcile and not in the desired state. Who may commit says what runs on the servers,
in a sandbox; what runs here, as the user that holds the keys to all servers, is said by whoever runs reconcile.
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
from reconciler.programs import is_missing

VARIABLE = "RECONCILE_SECRETS_COMMAND"
LONGEST_SECONDS = 30
LARGEST_OUTPUT = 1 << 20
_BY_HAND = f"try by hand what {VARIABLE} says"


def command_of(environ: Mapping[str, str]) -> list[str] | None:
    """Its words; None without one. Raises UsageError when it asks for no secret in particular."""
    text = environ.get(VARIABLE, "")
    try:
        words = shlex.split(text)
    except ValueError:
        raise UsageError(f"{VARIABLE} has a quote that is not closed", "write it like: pass show {name}") from None
    if words and not any("{name}" in word for word in words[1:]):
        raise UsageError(f"{VARIABLE} has no {{name}} after the program", "write it like: pass show {name}")
    return words or None


def ask(words: list[str], name: str, seconds: float = LONGEST_SECONDS) -> bytes | None:
    """What the command prints for this secret; None where there is no such program. Raises SecretRefused.

    Neither its output nor its errors are ever repeated, for either may hold the value; nor its words, for a token.
    """
    argv = [words[0], *(word.replace("{name}", name) for word in words[1:])]
    pipe, null = subprocess.PIPE, subprocess.DEVNULL
    try:
        process = subprocess.Popen(argv, stdin=null, stdout=pipe, stderr=null, start_new_session=True)
    except OSError as error:
        if is_missing(words[0], error):
            return None
        raise SecretRefused(f"{words[0]} cannot be run for the secret {name}: {error.strerror}", _BY_HAND) from None
    with process:
        try:
            output = _output(process, seconds)
        except (subprocess.TimeoutExpired, _TooMuch) as error:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            what = "says too much" if isinstance(error, _TooMuch) else "gave no answer"
            within = "" if isinstance(error, _TooMuch) else f" within {seconds:g} s"
            raise SecretRefused(f"{words[0]} {what} for the secret {name}{within}", _BY_HAND) from None
    if process.returncode != 0:
        raise SecretRefused(f"{words[0]} has no secret {name}: it ended with status {process.returncode}", _BY_HAND)
    return output


class _TooMuch(Exception):
    """More than any secret has."""


def _output(process: subprocess.Popen[bytes], seconds: float) -> bytes:
    """All it prints, once it has ended. Raises TimeoutExpired or _TooMuch."""
    assert process.stdout is not None
    end, said = time.monotonic() + seconds, bytearray()
    while select.select([process.stdout], [], [], max(0.0, end - time.monotonic()))[0]:
        piece = os.read(process.stdout.fileno(), 65536)
        if not piece:
            process.wait(max(0.0, end - time.monotonic()))
            return bytes(said)
        said += piece
        if len(said) > LARGEST_OUTPUT:
            raise _TooMuch
    raise subprocess.TimeoutExpired(process.args, seconds)
