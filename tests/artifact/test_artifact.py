"""artifact/source.py: which digest an artifact should have, and the bytes of a path that has it."""

from __future__ import annotations

import asyncio
import hashlib
import os
from io import FileIO
from pathlib import Path

import pytest

from reconciler.artifact import memory, source
from reconciler.artifact.source import digest_in_sums, digest_of, fetch, label_of, open_store
from reconciler.errors import ArtifactMissing, ArtifactRefused, ArtifactUnavailable
from reconciler.model.source import GitHubAsset, read_source

CONTENT = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
OTHER = hashlib.sha256(b"other").hexdigest()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache and a memory of this test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(source, "_digests", {})
    monkeypatch.setattr(memory, "_kept", {})
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


def test_a_source_is_a_path_from_the_desired_state_folder_or_a_place_elsewhere(tmp_path: Path) -> None:
    def label(place: str) -> str:
        return label_of(place, "1.10", tmp_path)

    assert label("../build/app-{version}.tgz") == f"{tmp_path}/../build/app-1.10.tgz"
    assert label("/srv/app.tgz") == "/srv/app.tgz"
    assert label("./a:b.tgz") == f"{tmp_path}/a:b.tgz"
    assert label("https://example.com/{version}/app.tgz?token=x") == "https://example.com/1.10/app.tgz?…"
    assert label("http://localhost:8000/a") == "http://localhost:8000/a"
    assert label("github:owner/repo@v{version}") == "github:owner/repo@v1.10"
    assert label("s3://bucket/app-{version}.tgz") == "s3://bucket/app-1.10.tgz"
    assert label("oci://ghcr.io/owner/app:{version}") == "oci://ghcr.io/owner/app:1.10"


@pytest.mark.parametrize(
    ("place", "owner", "repository", "asset", "tags"),
    [
        ("github:o/r", "o", "r", "", ("v1.0", "1.0")),
        ("github:o/r.js@{version}", "o", "r.js", "", ("1.0",)),
        ("github:o/r@app/v{version}", "o", "r", "", ("app/v1.0",)),
        ("github:o/r@@scope/app@{version}", "o", "r", "", ("@scope/app@1.0",)),
        ("github:o/r/app-{version}-*.tar.gz", "o", "r", "app-1.0-*.tar.gz", ("v1.0", "1.0")),
        ("github:o/r/app.tgz@release-{version}", "o", "r", "app.tgz", ("release-1.0",)),
    ],
)
def test_a_github_source_names_repository_asset_and_tag(
    place: str, owner: str, repository: str, asset: str, tags: tuple[str, ...]
) -> None:
    assert read_source(place, "1.0") == GitHubAsset(owner, repository, asset, tags)


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("file:///etc/passwd", "artifact.source file: is not a kind of source"),
        ("ext::sh -c id", "artifact.source ext: is not a kind of source"),
        ("github:owner/repo/../x", "artifact.source does not name a repository on GitHub"),
        ("s3://bucket/a/../b", "artifact.source has an empty part, . or .. in its key"),
        ("oci://ghcr.io/o/r:{version}+build", "artifact.source names a tag that no registry accepts"),
        ("", "artifact.source is empty or contains a NUL"),
        ("a\0b", "artifact.source is empty or contains a NUL"),
        ("http://example.com/a.tgz", "http://example.com/a.tgz is not an https:// address"),
        ("http://127.0.0.1.example.com/a", "http://127.0.0.1.example.com/a is not an https:// address"),
        ("http://127.0.0.1@example.com/a", "http://example.com/a is not an https:// address"),
        ("https://", "the artifact address is not valid"),
        ("https://[::1/a", "the artifact address is not valid"),
        ("https://example.com:port/a", "the artifact address is not valid"),
        ("https://example.com/a b\r\n", "the artifact address is not valid"),
    ],
)
def test_any_other_source_is_refused_with_a_way_out(place: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(ArtifactRefused) as caught:
        open_store(place, "1.0", tmp_path)

    assert (str(caught.value), bool(caught.value.next_step)) == (reason, True)


def test_the_given_digest_wins_over_the_list_and_the_list_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "app-1.0.tgz").write_bytes(CONTENT)
    of_file = asked_digest("app-{version}.tgz", None, tmp_path)
    (tmp_path / "SHA256SUMS").write_text(f"{OTHER.upper()} *app-1.0.tgz\n{'c' * 64}  app-1.0.tgz.asc\n")

    assert of_file == SHA256
    assert asked_digest("app-{version}.tgz", None, tmp_path) == OTHER
    assert asked_digest("app-{version}.tgz", "AB" * 32, tmp_path) == "ab" * 32
    with pytest.raises(ArtifactMissing, match=r"app-2\.0\.tgz is not there"):
        asked_digest("app-{version}.tgz", None, tmp_path, version="2.0")


def test_the_list_gives_the_digest_of_a_file_that_does_not_exist_yet(tmp_path: Path) -> None:
    (tmp_path / "SHA256SUMS").write_text(f"{OTHER}  ./app-2.0.tgz\r\n")

    assert asked_digest("app-{version}.tgz", "", tmp_path, version="2.0") == OTHER


@pytest.mark.parametrize("sha256", ["abc", "g" * 64, "a" * 63, " " + "a" * 64, "sha256:" + "a" * 64])
def test_an_invalid_digest_is_refused(sha256: str, tmp_path: Path) -> None:
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


def test_a_local_file_with_the_right_digest_is_used_in_place(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "app.tgz").write_bytes(CONTENT)

    assert fetched("app.tgz", tmp_path) == tmp_path / "app.tgz"
    assert not cache.exists()
    (tmp_path / "app.tgz").write_bytes(b"other")
    assert refused("app.tgz", tmp_path) == (
        f"{tmp_path}/app.tgz: the sha256 does not match\n  wanted sha256 {SHA256}\n  found  sha256 {OTHER}"
    )


def test_a_local_file_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "broken").symlink_to("nowhere")

    assert unavailable("none.tgz", tmp_path) == f"the artifact {tmp_path}/none.tgz is not there"
    assert unavailable("broken", tmp_path).endswith("cannot be read: No such file or directory")
    assert refused("folder", tmp_path).endswith("is not a file")
    assert refused("pipe", tmp_path).endswith("is not a file")
