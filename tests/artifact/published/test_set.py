"""`reconcile set APP VERSION` reads the artifact's digest from where it is published, and writes it down."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from reconciler.cli import main
from tests.artifact.published.asking import CONTENT, OTHER, SHA256
from tests.support.web_server import Server, fails, gives, gives_json

APP = "app: hello\nversion: 0.9 # keep\nartifact:\n  source: {source}\n{pin}hosts: [web1]\nports: [4000, 4001]\n"
PINNED = f"  sha256: {OTHER}\n"
API = "/repos/o/r/releases"


@pytest.fixture(autouse=True)
def github(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """Release v1.0 with one archive, whose digest GitHub states."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GITHUB_API_URL", server.address)
    release(server, f"sha256:{SHA256}")
    server.answers[f"{API}/assets/1"] = gives(CONTENT)
    server.answers["/repos/o/r"] = gives_json({})
    return server


def release(server: Server, digest: str | None) -> None:
    assets = [{"id": 1, "name": "app.tgz", "digest": digest}]
    server.answers[f"{API}/tags/v1.0"] = gives_json({"tag_name": "v1.0", "assets": assets})


def write(source: str = "github:o/r", pin: str = "") -> Path:
    path = Path("ds/apps/hello.yaml")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(APP.format(source=source, pin=pin))
    return path


def run(*words: str) -> int:
    return main(["set", "--desired-state", "ds", "hello", *words])


@pytest.mark.parametrize("pin", ["", PINNED])
def test_a_stated_digest_is_written_without_reading_the_artifact(
    github: Server, pin: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(pin=pin)

    assert run("1.0") == 0
    assert path.read_text() == APP.format(source="github:o/r", pin=f"  sha256: {SHA256}\n").replace("0.9", "1.0")
    assert github.asked == [f"{API}/tags/v1.0"]
    assert capsys.readouterr().out == (
        f"hello: 0.9 → 1.0 in ds/apps/hello.yaml\nsha256 {SHA256}\nnext: git commit -m 'hello 1.0' ds/apps/hello.yaml\n"
    )


def test_an_artifact_without_a_stated_digest_is_read_and_cached(github: Server, clean: Path) -> None:
    release(github, None)
    path = write()

    assert run("1.0") == 0
    assert f"sha256: {SHA256}\n" in path.read_text()
    assert (clean / SHA256).read_bytes() == CONTENT


def test_the_json_answer_contains_the_digest(github: Server, capsys: pytest.CaptureFixture[str]) -> None:
    write()

    assert run("1.0", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["to"], report["changed"], report["sha256"]) == ("1.0", True, SHA256)


def test_a_version_that_is_not_published_yet_is_set_without_a_digest(
    github: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    """The pass waits for it; only where a digest is pinned it would be the wrong one."""
    path = write()

    assert run("1.1") == 0
    assert path.read_text() == APP.format(source="github:o/r", pin="").replace("0.9", "1.1")
    assert capsys.readouterr().err == "no sha256 written: github:o/r: there is no release v1.1 or 1.1\n"

    path = write(pin=PINNED)
    before = path.read_text()
    assert run("1.1") == 2
    assert path.read_text() == before
    assert "the sha256 of 1.1 is not known: github:o/r: there is no release v1.1 or 1.1" in capsys.readouterr().err


def test_set_refuses_when_the_pinned_digest_cannot_be_read(
    github: Server, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    path = write(source=f"{github.address}/app-{{version}}.tgz?token=t0ken", pin=PINNED)
    before = path.read_text()

    assert run("1.0") == 2  # http: the desired state is not sound
    path.write_text(before.replace(github.address, "https://127.0.0.1:9"))
    assert run("1.0") == 2
    told = capsys.readouterr()
    assert "the sha256 of 1.0 is not known: https://127.0.0.1:9/SHA256SUMS could not be read" in told.err
    assert "t0ken" not in told.out + told.err + caplog.text


def test_a_given_digest_is_written_without_a_request(github: Server) -> None:
    path = write()

    assert run("1.0", "--sha256", OTHER.upper()) == 0
    assert (OTHER in path.read_text(), github.asked) == (True, [])


def test_the_same_version_keeps_its_digest(github: Server, capsys: pytest.CaptureFixture[str]) -> None:
    github.answers[f"{API}/tags/v1.0"] = fails(500)
    write(pin=PINNED).write_text(APP.format(source="github:o/r", pin=PINNED).replace("0.9", "1.0"))

    assert run("1.0") == 0
    assert (github.asked, capsys.readouterr().out) == ([], "hello is already at 1.0 in ds/apps/hello.yaml\n")
