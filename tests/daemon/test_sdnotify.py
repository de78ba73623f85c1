"""sdnotify.py: what systemd hears, over both kinds of socket, and silence without one."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reconciler.daemon.systemd_notify import notify, watchdog_seconds


@contextmanager
def listening(address: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(address)
        systemd.settimeout(2)
        yield systemd


def test_a_state_arrives_at_a_socket_with_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", path)

    with listening(path) as systemd:
        assert notify("READY=1\nSTATUS=3 apps on 2 hosts")

        assert systemd.recv(1000) == b"READY=1\nSTATUS=3 apps on 2 hosts"


def test_a_state_arrives_at_an_abstract_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in user managers and containers: @ stands for a NUL byte."""
    name = f"reconcile-test-{os.getpid()}"
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")

    with listening(f"\0{name}") as systemd:
        assert notify("WATCHDOG=1")

        assert systemd.recv(1000) == b"WATCHDOG=1"


@pytest.mark.parametrize(
    "place", [None, "", "relative", "vsock:2:1234", "/nobody/listens/here", "/" + "x" * 300, "/a\0b"]
)
def test_without_a_socket_nothing_happens(place: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Started by hand, or by another init; a NUL cannot be in an environment but must not break us either."""
    environment = {} if place is None else {"NOTIFY_SOCKET": place}
    monkeypatch.setattr(os, "environ", environment)

    assert not notify("READY=1")


def test_a_full_notify_socket_does_not_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If systemd does not read, the loop must not block."""
    path = str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", path)

    with listening(path):
        told = [notify("STATUS=" + "x" * 1000) for _ in range(2000)]

    assert told[0]
    assert not told[-1]


@pytest.mark.parametrize(
    ("usec", "process", "seconds"),
    [
        ("120000000", None, 120.0),
        ("500000", "own", 0.5),
        ("120000000", "1", None),  # meant for another process, as after a fork
        ("0", None, None),
        ("", None, None),
        ("soon", None, None),
        ("-5", None, None),
        (None, None, None),
    ],
)
def test_the_watchdog_interval_comes_from_systemd(
    usec: str | None, process: str | None, seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("WATCHDOG_USEC", usec), ("WATCHDOG_PID", str(os.getpid()) if process == "own" else process)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)

    assert watchdog_seconds() == seconds
