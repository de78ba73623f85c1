"""artifact/bucket.py: objects of an S3 bucket, played by a server here."""

from __future__ import annotations

import builtins
import logging
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from reconciler.artifact import download
from reconciler.errors import ArtifactMissing, ArtifactRefused, ArtifactUnavailable
from tests.artifact.published.asking import CONTENT, OTHER, SHA256, asked_address, asked_digest, fetched, refusal
from tests.support.web_server import Answer, Server, gives, trickles

SOURCE = "s3://builds/app/app-{version}.tar.gz"
KEY = "/builds/app/app-1.0.tar.gz"
SECRET = "wJalrS3kret"


def holds(content: bytes, length: str | None = None) -> Answer:
    stated = str(len(content)) if length is None else length
    return gives(content, ETag='"x"', Last_Modified="Wed, 21 Oct 2015 07:28:00 GMT", Content_Length=stated)


class ByPath(dict[str, Answer]):
    """Answers whatever the signature, which is in the query."""

    def get(self, path: str, default: Any = None) -> Any:
        return super().get(path.partition("?")[0], default)


def paths(bucket: Server) -> list[str]:
    return [path.partition("?")[0] for path in bucket.asked]


def refuses(status: int, code: str) -> Answer:
    text = f"<Error><Code>{code}</Code><AWSAccessKeyId>AKIDX</AWSAccessKeyId><StringToSign>x</StringToSign></Error>"
    return gives(text.encode(), status)


@pytest.fixture(autouse=True)
def bucket(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.address)
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDX")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    server.answers = ByPath()
    for name in ("/builds/app/SHA256SUMS", KEY):
        server.answers[name] = refuses(404, "NoSuchKey")
    return server


def test_an_object_is_read_with_a_signature_in_the_region_of_the_environment(bucket: Server) -> None:
    bucket.answers[KEY] = holds(CONTENT)

    assert fetched(SOURCE) == CONTENT
    assert (paths(bucket), bucket.authorizations) == ([KEY], [None])
    query = dict(parse_qsl(urlsplit(bucket.asked[0]).query))
    assert query["X-Amz-Credential"].startswith("AKIDX/") and "/eu-central-1/s3/" in query["X-Amz-Credential"]


def test_a_host_gets_a_presigned_address_valid_for_fifteen_minutes(
    bucket: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://s3.example.com")

    address = asked_address(SOURCE)

    assert address.startswith(f"https://s3.example.com{KEY}?") and "X-Amz-Expires=900" in address
    assert (SECRET in address, bucket.asked) == (False, [])


def test_a_public_bucket_needs_no_login(bucket: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    bucket.answers[KEY] = holds(CONTENT)

    assert (fetched(SOURCE), bucket.authorizations, bucket.asked) == (CONTENT, [None], [KEY])


def test_the_list_under_the_same_prefix_says_the_digest(bucket: Server) -> None:
    bucket.answers["/builds/app/SHA256SUMS"] = holds(f"{SHA256}  app-1.0.tar.gz\n".encode())

    assert [asked_digest(SOURCE) for _ in range(2)] == [SHA256] * 2
    assert paths(bucket) == ["/builds/app/SHA256SUMS"]


def test_an_object_that_does_not_exist_is_missing(bucket: Server) -> None:
    assert refusal(ArtifactMissing, SOURCE) == "s3://builds/app/app-1.0.tar.gz is not there"
    assert "is not published" in refusal(ArtifactMissing, SOURCE, digest=True)


def test_other_bytes_are_refused(bucket: Server) -> None:
    bucket.answers[KEY] = holds(b"other")

    assert refusal(ArtifactRefused, SOURCE) == (
        f"s3://builds/app/app-1.0.tar.gz: the sha256 does not match\n  wanted sha256 {SHA256}\n  found  sha256 {OTHER}"
    )


def test_the_size_of_an_object_is_limited(bucket: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "LARGEST_BYTES", 1000)
    bucket.answers[KEY] = holds(CONTENT)
    bucket.answers["/builds/app/SHA256SUMS"] = holds(b"x" * 1024 * 1025)

    assert refusal(ArtifactRefused, SOURCE) == "s3://builds/app/app-1.0.tar.gz is larger than 1000 bytes"
    assert refusal(ArtifactRefused, SOURCE, digest=True).endswith("is larger than 1 MiB")


@pytest.mark.parametrize("status", [200, 403, 404, 500])
def test_an_endless_answer_is_not_read_into_memory(bucket: Server, status: int) -> None:
    """Nor is an error of the server: each is left after a megabyte."""
    sent = 0

    def pours(request: BaseHTTPRequestHandler) -> None:
        nonlocal sent
        request.send_response(status)
        request.end_headers()
        for _ in range(1024):
            request.wfile.write(b" " * (1 << 20))
            sent += 1

    bucket.answers |= {KEY: pours, "/builds/app/SHA256SUMS": pours}

    refusal(ArtifactRefused if status < 500 else ArtifactUnavailable, SOURCE, digest=True)
    assert sent < 64


def test_the_time_of_a_download_is_limited(bucket: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "LONGEST_SECONDS", 0.3)

    bucket.answers[KEY] = trickles

    assert refusal(ArtifactUnavailable, SOURCE) == "s3://builds/app/app-1.0.tar.gz was not read within 0.3 s"


def test_a_refused_header_line_is_not_quoted(bucket: Server) -> None:
    def answers_twice(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        trickles(request)

    bucket.answers[KEY] = answers_twice

    assert refusal(ArtifactUnavailable, SOURCE) == "s3://builds/app/app-1.0.tar.gz could not be read: not valid HTTP"


def test_a_truncated_object_is_refused(bucket: Server) -> None:
    bucket.answers[KEY] = holds(CONTENT[:1000], length=str(len(CONTENT)))

    with pytest.raises((ArtifactUnavailable, ArtifactRefused)):
        fetched(SOURCE)


@pytest.mark.parametrize("status", [400, 403, 500])
def test_a_refusal_shows_the_status_and_nothing_of_the_body(
    bucket: Server, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The answer of S3 holds the key's name and what was signed."""
    caplog.set_level(logging.DEBUG)
    bucket.answers[KEY] = refuses(status, "SignatureDoesNotMatch")

    with pytest.raises(ArtifactUnavailable) as caught:
        fetched(SOURCE)
    assert str(caught.value) == f"s3://builds/app/app-1.0.tar.gz: S3 answers {status}"
    shown = repr(caught.value) + caught.value.next_step + caplog.text + repr(caught.value.__cause__)
    assert [word for word in (SECRET, "StringToSign", "AKIDX") if word in shown] == []


def test_without_credentials_it_says_which_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside a cloud there is no metadata service with credentials."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9")

    assert refusal(ArtifactUnavailable, SOURCE) == "s3://builds/app/app-1.0.tar.gz: no S3 credentials are known"


def test_an_endpoint_over_plain_http_is_for_this_machine_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://minio.example.com:9000")

    assert refusal(ArtifactRefused, SOURCE) == "http://minio.example.com:9000 is not an https:// address"


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    really = builtins.__import__

    def without(name: str, *args: Any, **more: Any) -> Any:
        if name.partition(".")[0] == "obstore":
            raise ImportError(name)
        return really(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", without)

    with pytest.raises(ArtifactUnavailable, match="needs the package obstore") as caught:
        fetched(SOURCE)
    assert caught.value.next_step == "pip install 'reconcile-servers[s3]'"
