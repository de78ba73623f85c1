"""The wording of failed connections."""

from __future__ import annotations

import socket

import asyncssh
import pytest

from reconciler.host.wording import plain_words


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ConnectionRefusedError(111, "Connect call failed ('10.0.0.1', 22)"), "Connection refused"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "Name or service not known"),
        (asyncssh.ConnectionLost("Connection lost"), "Connection lost"),
        (ConnectionError("it closed during a command"), "it closed during a command"),
        (ConnectionResetError(), "ConnectionResetError"),
    ],
)
def test_a_failed_connection_is_described_in_plain_words(error: Exception, told: str) -> None:
    assert plain_words(error) == told
