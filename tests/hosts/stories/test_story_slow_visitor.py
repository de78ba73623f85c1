"""Visitors on a slow line: how long a request may take to arrive is a setting of Traefik."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.hosts.machine import Machine
from tests.hosts.stories.conftest import NewProject
from tests.hosts.stories.managed import managed, write_fleet
from tests.hosts.stories.project import Project

pytestmark = pytest.mark.hosts

LONGER_THAN_TRAEFIKS_OWN_LIMIT = 75.0  # which is 60 s
PIECE = b"x" * 1000


def upload(project: Project, seconds: float) -> tuple[int, int, float]:
    """POST a body, a piece each half second. The status (0: cut without an answer), bytes that came back, how long."""
    begun, pieces = time.monotonic(), int(seconds * 2)
    head = f"POST /echo HTTP/1.1\r\nHost: {project.domain}\r\nContent-Length: {pieces * len(PIECE)}\r\n"
    with socket.create_connection((project.machine.address, 80), timeout=20) as line:
        said = bytearray()
        gone = threading.Event()
        reader = threading.Thread(target=read_all, args=(line, said, gone))
        reader.start()
        with contextlib.suppress(OSError):  # the other side has ended it: what it said of that is read
            line.sendall(head.encode() + b"Connection: close\r\n\r\n")
            for number in range(pieces):
                if gone.wait(max(0.0, begun + number / 2 - time.monotonic())):
                    break
                line.sendall(PIECE)
        reader.join()
    status, _, body = bytes(said).partition(b"\r\n\r\n")
    return int(status.split()[1]) if status else 0, len(body), time.monotonic() - begun


def read_all(line: socket.socket, said: bytearray, gone: threading.Event) -> None:
    line.settimeout(LONGER_THAN_TRAEFIKS_OWN_LIMIT + 30)
    with contextlib.suppress(OSError):
        while data := line.recv(65536):
            said.extend(data)
    gone.set()


def test_a_visitor_may_upload_for_longer_than_a_minute_and_the_limit_can_be_set(
    new_project: NewProject, own_bare: Machine
) -> None:
    """The key reaches Traefik: 3 s cut, the default does not, and a change goes the way of any setting of Traefik."""
    project = new_project(own_bare)
    write_fleet(project, **managed(timeouts={"read_seconds": 3}))
    project.converge()
    status, _, seconds = upload(project, 20)
    assert (status == 200, seconds < 10) == (False, True), f"{status} after {seconds:.1f} s"

    write_fleet(project, **managed())
    changed = project.converge()
    with ThreadPoolExecutor() as pool:
        uploads = [pool.submit(upload, project, LONGER_THAN_TRAEFIKS_OWN_LIMIT) for _ in range(2)]
        quick = project.get("/echo", "POST", b"meanwhile")

    assert changed.verbs == ["start", "wait", "enable", "stop"]
    assert "TRAEFIK_ENTRYPOINTS_WEB_TRANSPORT_RESPONDINGTIMEOUTS_READTIMEOUT changed" in changed.err
    assert quick == (200, b"meanwhile")
    for done in uploads:
        status, length, seconds = done.result()
        assert (status, length) == (200, int(LONGER_THAN_TRAEFIKS_OWN_LIMIT * 2) * len(PIECE)), f"{seconds:.1f} s"
        assert seconds >= LONGER_THAN_TRAEFIKS_OWN_LIMIT - 1
