"""A download by the real program: a bar on a terminal, nothing of it after Ctrl-C, and lines where there is none."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pyte
import pytest

from tests.support.terminal import at_a_terminal
from tests.support.web_server import web_server

SIZE = 4_000_000
APP = "app: hello\nversion: '1'\nartifact: {source: 'ADDRESS/hello-{version}.tar.gz'}\nhosts: [web1]\nports: [4000]\n"
RECONCILE = [sys.executable, "-m", "reconciler"]


def slowly(request: BaseHTTPRequestHandler) -> None:
    """Three quarters of a file at once, and the rest very slowly."""
    request.send_response(200)
    request.send_header("Content-Length", str(SIZE))
    request.end_headers()
    request.wfile.write(b"x" * (SIZE * 3 // 4))
    for _ in range(300):
        request.wfile.write(b"x" * 1000)
        request.wfile.flush()
        time.sleep(0.1)


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LC_ALL": "C.UTF-8", "PYTHONPATH": str(Path.cwd())}


def write_app(folder: Path, address: str) -> str:
    file = folder / "desired-state" / "apps" / "hello.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(APP.replace("ADDRESS", address))
    return file.read_text()


def test_ctrl_c_takes_the_bar_away_and_leaves_the_file_as_it_was(tmp_path: Path, environ: dict[str, str]) -> None:
    with web_server() as server:
        server.answers["/hello-2.tar.gz"] = slowly
        before = write_app(tmp_path, server.address)
        with at_a_terminal([*RECONCILE, "set", "hello", "2"], tmp_path, environ) as person:
            person.sees(r"-2\.tar\.gz  read +█+░+   7\d %    3\.\d of 4\.0 MB  [\d.]+ [kM]B/s  [\d:]+( s)? left")
            person.types("\x03")
            code = person.ends()

    screen = pyte.Screen(100, 30)
    pyte.ByteStream(screen).feed(person._raw)
    assert code == 130
    assert [line.rstrip() for line in screen.display if line.strip()] == [
        "stopped; the next pass continues from what it finds"
    ]
    assert (tmp_path / "desired-state" / "apps" / "hello.yaml").read_text() == before


def test_output_that_is_no_terminal_has_no_bar(tmp_path: Path, environ: dict[str, str]) -> None:
    with web_server() as server:
        server.answers["/hello-2.tar.gz"] = lambda request: request.send_error(404)
        write_app(tmp_path, server.address)
        done = subprocess.run(
            [*RECONCILE, "set", "hello", "2"], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
        )

    assert "\033" not in done.stdout + done.stderr
    assert "█" not in done.stdout + done.stderr
