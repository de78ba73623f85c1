"""artifact/download.py and the cache before it: artifacts read from a real server, a good one and bad ones."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.artifact import download, memory, source
from reconciler.artifact.source import digest_of, fetch, public_address
from reconciler.errors import ArtifactMissing, ArtifactRefused, ArtifactUnavailable
from tests.support.web_server import Server, fails, gives, redirects, trickles, web_server

CONTENT = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
OTHER = hashlib.sha256(b"other").hexdigest()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with web_server() as served:
        yield served


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache and a memory of this test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(source, "_digests", {})
    monkeypatch.setattr(memory, "_kept", {})
    monkeypatch.setattr(download, "PAUSES_SECONDS", (0.0, 0.0))
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


def test_a_download_is_cached_by_its_digest(server: Server, tmp_path: Path, cache: Path) -> None:
    server.answers["/1.0/app.tgz"] = gives(CONTENT)
    seen: list[tuple[int, int | None]] = []
    place = server.address + "/{version}/app.tgz"

    path = asyncio.run(fetch(place, SHA256, "1.0", tmp_path, lambda done, total: seen.append((done, total))))

    assert (path, path.read_bytes() == CONTENT) == (cache / SHA256, True)
    assert seen[-1] == (len(CONTENT), len(CONTENT)) and seen == sorted(seen)
    assert fetched(place, tmp_path) == path
    assert server.asked == ["/1.0/app.tgz"]
    assert [kept.name for kept in cache.iterdir()] == [SHA256]
    assert cache.stat().st_mode & 0o777 == 0o700


def test_a_damaged_cached_copy_is_downloaded_again(server: Server, tmp_path: Path, cache: Path) -> None:
    server.answers["/app.tgz"] = gives(CONTENT)
    kept = fetched(server.address + "/app.tgz", tmp_path)
    kept.write_bytes(CONTENT[:-1])

    assert fetched(server.address + "/app.tgz", tmp_path).read_bytes() == CONTENT
    assert len(server.asked) == 2


def test_other_bytes_than_asked_for_are_refused_and_not_kept(server: Server, tmp_path: Path, cache: Path) -> None:
    """The same name with new bytes (F16): both digests are named, nothing stays behind."""
    server.answers["/app.tgz"] = gives(b"other")

    assert refused(server.address + "/app.tgz", tmp_path) == (
        f"{server.address}/app.tgz: the sha256 does not match\n  wanted sha256 {SHA256}\n  found  sha256 {OTHER}"
    )
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("status", [401, 403, 404, 410, 429, 500, 503])
def test_a_refusal_by_the_server_is_retryable(server: Server, tmp_path: Path, status: int, cache: Path) -> None:
    server.answers["/app.tgz"] = fails(status)

    assert unavailable(server.address + "/app.tgz", tmp_path) == f"{server.address}/app.tgz answers {status}"
    assert list(cache.iterdir()) == []


def test_a_brief_failure_is_retried_without_a_message(server: Server, tmp_path: Path) -> None:
    """A 503, then half an artifact, then the whole: three questions, the right bytes, no more."""
    answers = iter([fails(503), gives(CONTENT[:1000], Content_Length="4000"), gives(CONTENT)])
    server.answers["/app.tgz"] = lambda request: next(answers)(request)

    assert fetched(server.address + "/app.tgz", tmp_path).read_bytes() == CONTENT
    assert server.asked == ["/app.tgz"] * 3


@pytest.mark.parametrize(("status", "times"), [(404, 1), (403, 1), (500, 3), (429, 3)])
def test_only_temporary_failures_are_retried(server: Server, tmp_path: Path, status: int, times: int) -> None:
    server.answers["/app.tgz"] = fails(status)

    unavailable(server.address + "/app.tgz", tmp_path)
    assert server.asked == ["/app.tgz"] * times


def test_a_broken_or_refused_connection_is_retryable(server: Server, tmp_path: Path) -> None:
    server.answers["/cut"] = gives(CONTENT[:1000], Content_Length="4000")

    assert unavailable(server.address + "/cut", tmp_path).startswith(f"{server.address}/cut could not be read: ")
    assert "could not be read: " in unavailable("http://127.0.0.1:9/app.tgz", tmp_path)


def test_bytes_are_kept_as_sent_whatever_their_content_encoding(server: Server, tmp_path: Path) -> None:
    """Many servers call a .tar.gz `Content-Encoding: gzip`: unpacked on the way it would be another file."""
    server.answers["/app.tgz"] = gives(CONTENT, Content_Encoding="gzip")

    assert fetched(server.address + "/app.tgz", tmp_path).read_bytes() == CONTENT


def test_the_time_and_size_of_a_download_are_limited(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "LARGEST_BYTES", 1000)
    server.answers["/slow"] = trickles
    server.answers["/large"] = gives(CONTENT)
    server.answers["/endless"] = gives(CONTENT, Content_Length="")

    with monkeypatch.context() as impatient:
        impatient.setattr(download, "LONGEST_SECONDS", 1.0)
        assert unavailable(server.address + "/slow", tmp_path) == f"{server.address}/slow was not read within 1 s"
    assert refused(server.address + "/large", tmp_path) == f"{server.address}/large is larger than 1000 bytes"
    assert refused(server.address + "/endless", tmp_path) == f"{server.address}/endless is larger than 1000 bytes"


def test_redirects_are_followed_a_few_times(server: Server, tmp_path: Path) -> None:
    server.answers.update({"/a": redirects("/b"), "/b": redirects(server.address + "/c"), "/c": gives(CONTENT)})
    server.answers["/loop"] = redirects("/loop")

    assert unavailable(server.address + "/loop", tmp_path).endswith("more than 5 redirects")
    assert fetched(server.address + "/a", tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("to", "error"),
    [
        ("http://192.0.2.1/app.tgz", ArtifactRefused),
        ("file:///etc/passwd", ArtifactRefused),
        ("//[bad/", ArtifactUnavailable),
    ],
)
def test_a_redirect_to_a_forbidden_address_is_not_followed(
    server: Server, tmp_path: Path, to: str, error: type[Exception]
) -> None:
    server.answers["/a"] = redirects(to)

    with pytest.raises(error):
        fetched(server.address + "/a", tmp_path)


def test_a_redirect_from_https_to_http_is_refused() -> None:
    with pytest.raises(ArtifactRefused, match=r"redirects to http://127.0.0.1/b, which is not https"):
        download._redirect_address("https://example.com/a", "http://127.0.0.1/b")
    assert download._redirect_address("https://user:pw@example.com/a", "b") == "https://user:pw@example.com/b"


def test_passwords_and_tokens_are_sent_and_never_shown(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Not in an error, a log line of any library, or on the terminal; and not to where a redirect leads."""
    caplog.set_level(logging.DEBUG)
    place = server.address.replace("//", "//bob:s3kret%21@") + "/app.tgz?token=t0ken"
    server.answers["/gone?token=t0ken"] = redirects(server.address + "/elsewhere")

    shown = unavailable(place, tmp_path) + unavailable(place.replace("app.tgz", "gone"), tmp_path)

    assert shown == f"{server.address}/app.tgz?… answers 404{server.address}/elsewhere answers 404".replace(
        "/elsewhere", "/gone?…"
    )
    assert server.authorizations == ["Basic Ym9iOnMza3JldCE="] * 2 + [None]
    everything = shown + caplog.text + "".join(capfd.readouterr())
    assert [secret for secret in ("s3kret", "t0ken", "Ym9iOnMza3JldCE") if secret in everything] == []


@pytest.mark.parametrize(
    ("place", "address"),
    [
        ("https://example.com/app-{version}.tgz?token=x", "https://example.com/app-1.0.tgz?token=x"),
        ("https://bob:pw@example.com/app.tgz", None),
        ('https://example.com/"\\app.tgz', None),
        ("http://127.0.0.1/app.tgz", None),
        ("app.tgz", None),
    ],
)
def test_a_host_is_given_an_https_address_without_a_login(tmp_path: Path, place: str, address: str | None) -> None:
    """It goes into a config of curl: with a quote in it, it could be more than an address."""
    if address:
        assert asyncio.run(public_address(place, "1.0", tmp_path)) == address
        return
    with pytest.raises(ArtifactRefused, match="cannot be read by a host without a login"):
        asyncio.run(public_address(place, "1.0", tmp_path))


def test_a_published_list_says_the_digest_and_is_asked_for_once_a_minute(server: Server, tmp_path: Path) -> None:
    server.answers["/dl/SHA256SUMS"] = gives(f"{SHA256}  app-1.0.tgz\n".encode())
    place = server.address + "/dl/app-{version}.tgz?token=x"

    assert [asked_digest(place, None, tmp_path) for _ in range(3)] == [SHA256] * 3
    assert server.asked == ["/dl/SHA256SUMS"]


def test_an_address_without_a_stated_digest_is_retryable(server: Server, tmp_path: Path) -> None:
    with pytest.raises(ArtifactMissing, match=r"the sha256 of .*/app.tgz is not published") as caught:
        asked_digest(server.address + "/app.tgz", None, tmp_path)

    assert "SHA256SUMS" in caught.value.next_step


def test_an_unavailable_list_of_digests_does_not_count_as_absent(server: Server, tmp_path: Path) -> None:
    server.answers["/SHA256SUMS"] = fails(503)

    with pytest.raises(ArtifactUnavailable, match="answers 503"):
        asked_digest(server.address + "/app.tgz", None, tmp_path)
