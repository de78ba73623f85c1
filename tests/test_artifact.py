"""artifact/source.py: which digest an artifact should have, and the bytes of a path that has it."""

from __future__ import annotations

import asyncio
import hashlib
import os
from io import FileIO
from pathlib import Path

import pytest

from reconciler.artifact import source
from reconciler.artifact.source import digest_in_sums, digest_of, fetch, locate
from reconciler.errors import ArtifactRefused, ArtifactUnavailable

CONTENT = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
OTHER = hashlib.sha256(b"other").hexdigest()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache and a memory of this test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(source, "_digests", {})
    monkeypatch.setattr(source, "_lists", {})
    return tmp_path / "cache" / "reconcile" / "artifacts"


def asked_digest(place: str, sha256: str | None, folder: Path, version: str = "1.0") -> str | None:
    return asyncio.run(digest_of(place, sha256, version, folder))


def fetched(place: str, folder: Path, sha256: str = SHA256) -> Path:
    return asyncio.run(fetch(place, sha256, "1.0", folder))


def unavailable(place: str, folder: Path) -> str:
    with pytest.raises(ArtifactUnavailable) as caught:
        fetched(place, folder)
    assert caught.value.next_step
    return str(caught.value)


def refused(place: str, folder: Path) -> str:
    with pytest.raises(ArtifactRefused) as caught:
        fetched(place, folder)
    assert caught.value.next_step
    return str(caught.value)


def test_a_source_is_a_path_from_the_desired_state_folder_or_an_address(tmp_path: Path) -> None:
    assert locate("../build/app-{version}.tgz", "1.10", tmp_path) == tmp_path / "../build/app-1.10.tgz"
    assert locate("/srv/app.tgz", "1.10", tmp_path) == Path("/srv/app.tgz")
    assert locate("https://example.com/{version}/app.tgz", "1.10", tmp_path) == "https://example.com/1.10/app.tgz"
    assert locate("./a:b.tgz", "1.10", tmp_path) == tmp_path / "a:b.tgz"
    assert locate("http://localhost:8000/a", "1", tmp_path) == "http://localhost:8000/a"


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("s3://bucket/app.tgz", "artifact sources that begin with s3: are not supported yet"),
        ("github:owner/repo", "artifact sources that begin with github: are not supported yet"),
        ("file:///etc/passwd", "artifact sources that begin with file: are unknown"),
        ("ext::sh -c id", "artifact sources that begin with ext: are unknown"),
        ("", "the artifact source is empty or holds a NUL"),
        ("a\0b", "the artifact source is empty or holds a NUL"),
        ("http://example.com/a.tgz", "http://example.com/a.tgz is not an https:// address"),
        ("http://127.0.0.1.example.com/a", "http://127.0.0.1.example.com/a is not an https:// address"),
        ("http://127.0.0.1@example.com/a", "http://example.com/a is not an https:// address"),
        ("https://", "the artifact address cannot be read"),
        ("https://[::1/a", "the artifact address cannot be read"),
        ("https://example.com:port/a", "the artifact address cannot be read"),
        ("https://example.com/a b\r\n", "the artifact address cannot be read"),
    ],
)
def test_any_other_source_is_refused_with_a_way_out(place: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(ArtifactRefused) as caught:
        locate(place, "1.0", tmp_path)

    assert (str(caught.value), bool(caught.value.next_step)) == (reason, True)


def test_the_digest_given_comes_first_then_the_list_then_the_file(tmp_path: Path) -> None:
    (tmp_path / "app-1.0.tgz").write_bytes(CONTENT)
    of_file = asked_digest("app-{version}.tgz", None, tmp_path)
    (tmp_path / "SHA256SUMS").write_text(f"{OTHER.upper()} *app-1.0.tgz\n{'c' * 64}  app-1.0.tgz.asc\n")

    assert of_file == SHA256
    assert asked_digest("app-{version}.tgz", None, tmp_path) == OTHER
    assert asked_digest("app-{version}.tgz", "AB" * 32, tmp_path) == "ab" * 32
    assert asked_digest("app-{version}.tgz", None, tmp_path, version="2.0") is None


def test_the_list_speaks_for_a_file_that_is_not_there_yet(tmp_path: Path) -> None:
    (tmp_path / "SHA256SUMS").write_text(f"{OTHER}  ./app-2.0.tgz\r\n")

    assert asked_digest("app-{version}.tgz", "", tmp_path, version="2.0") == OTHER


@pytest.mark.parametrize("sha256", ["abc", "g" * 64, "a" * 63, " " + "a" * 64, "sha256:" + "a" * 64])
def test_a_digest_that_is_none_is_refused(sha256: str, tmp_path: Path) -> None:
    with pytest.raises(ArtifactRefused, match="not 64 hex digits"):
        asked_digest("app.tgz", sha256, tmp_path)


def test_a_list_with_two_answers_is_refused_and_other_lines_are_ignored() -> None:
    assert digest_in_sums(f"# comment\n\n{OTHER}  app\n{OTHER} *./app\nSHA256 (app) = {SHA256}\n", "app") == OTHER
    assert digest_in_sums(f"{OTHER}  dir/app\n{OTHER} app\n", "app") is None
    with pytest.raises(ArtifactRefused, match="two digests for app"):
        digest_in_sums(f"{OTHER}  app\n{SHA256}  app\n", "app")


def test_a_file_that_changed_is_read_again_and_one_that_did_not_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "app.tgz"
    path.write_bytes(CONTENT)
    first = asked_digest("app.tgz", None, tmp_path)
    read: list[str] = []
    of_bytes = hashlib.file_digest

    def counted(file: FileIO, name: str) -> object:
        read.append(name)
        return of_bytes(file, name)

    monkeypatch.setattr(hashlib, "file_digest", counted)

    assert (asked_digest("app.tgz", None, tmp_path), len(read)) == (first, 0)
    path.write_bytes(b"other")
    assert (asked_digest("app.tgz", None, tmp_path), len(read)) == (OTHER, 1)


def test_a_local_file_is_used_where_it_lies_if_it_has_the_digest(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "app.tgz").write_bytes(CONTENT)

    assert fetched("app.tgz", tmp_path) == tmp_path / "app.tgz"
    assert not cache.exists()
    (tmp_path / "app.tgz").write_bytes(b"other")
    assert refused("app.tgz", tmp_path) == (
        f"{tmp_path}/app.tgz: these are not the bytes that were asked for\n"
        f"  wanted sha256 {SHA256}\n  found  sha256 {OTHER}"
    )


def test_a_local_file_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "broken").symlink_to("nowhere")

    assert unavailable("none.tgz", tmp_path) == f"the artifact {tmp_path}/none.tgz is not there"
    assert unavailable("broken", tmp_path).endswith("cannot be read: No such file or directory")
    assert refused("folder", tmp_path).endswith("is not a file")
    assert refused("pipe", tmp_path).endswith("is not a file")
