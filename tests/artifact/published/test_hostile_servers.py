"""An artifact server, a registry or a GitHub that means harm: what it can do is end with an error of ours, soon.

| asked            | what it does                                                | what comes of it           |
|------------------|-------------------------------------------------------------|----------------------------|
| registry         | a blob of more bytes than any artifact may have, size 10^30 | refused at our own bound   |
| registry         | a blob longer than its layer says                           | refused                    |
| registry         | a challenge of 60,000 letters, each the first of a word     | read in one go             |
| registry         | a challenge that sends the login to plain http elsewhere    | refused                    |
| registry         | the token: JSON nested 100,000 deep; a number; 1 MB long    | no token                   |
| registry         | the manifest: nested, not an object, layers without end     | no manifest                |
| registry         | a digest that is a path                                     | no manifest                |
| registry, GitHub | an answer larger than any                                   | refused at a bound         |
| GitHub           | a release nested 100,000 deep; names that are no text       | no release                 |
| GitHub           | a name that a pattern of many * takes for ever to fit       | decided in one go          |
| any              | redirects in a circle; to ftp:, to file:, to another port   | refused                    |
| any              | headers without end; a status line without end              | refused                    |
| any              | a gzip bomb as the encoding of a small text                 | taken for the bytes it is  |
| any              | 204, 206, 999 or a body shorter than was said               | refused                    |
| any              | a SHA256SUMS without line ends, 16 MB of it                 | refused at a bound         |
"""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler

import pytest

from reconciler.artifact import download, registry
from reconciler.errors import ArtifactError
from tests.artifact.published.asking import CONTENT, SHA256, asked_digest, fetched
from tests.support.web_server import Server, gives, gives_json, redirects

LONGEST_SECONDS = 10.0  # of a try; the machine may be busy
DEEP = b"[" * 100_000 + b"]" * 100_000
MANIFEST, BLOB = "/v2/owner/app/manifests/1.0", f"/v2/owner/app/blobs/sha256:{SHA256}"
RELEASE = "/repos/owner/repo/releases/tags/v1.0"
ASSET = {"id": 1, "name": "app.tar.gz", "state": "uploaded", "digest": None}


@pytest.fixture(autouse=True)
def _soon() -> Iterator[None]:
    """Every test here must end within seconds."""
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < LONGEST_SECONDS


def manifest(size: int, digest: str = f"sha256:{SHA256}") -> Callable[..., None]:
    return gives_json({"layers": [{"digest": digest, "size": size}]})


def in_registry(server: Server) -> str:
    return f"oci://{server.address.removeprefix('http://')}/owner/app:{{version}}"


def refused(ask: Callable[[], object]) -> str:
    with pytest.raises(ArtifactError) as caught:
        ask()
    assert caught.value.next_step
    return str(caught.value)


def raw(*pieces: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
    """Bytes as they are, in place of an answer."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        for piece in pieces:
            request.wfile.write(piece)
        request.close_connection = True

    return answer


# --- a registry


@pytest.mark.parametrize("size", [10**30, 2**63, len(CONTENT) * 10])
def test_our_size_limit_holds_whatever_size_a_registry_states(
    server: Server, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(registry, "LARGEST_BYTES", len(CONTENT) - 1)
    server.answers |= {MANIFEST: manifest(size), BLOB: gives(CONTENT, Content_Length="")}

    assert "is larger than" in refused(lambda: fetched(in_registry(server)))


def test_a_blob_longer_than_its_layer_is_refused(server: Server) -> None:
    server.answers |= {MANIFEST: manifest(10), BLOB: gives(CONTENT)}

    assert "is larger than 10 bytes" in refused(lambda: fetched(in_registry(server)))


@pytest.mark.parametrize(
    "challenge",
    [
        "Bearer " + "a" * 60_000,
        "Bearer " + "a=" * 30_000,
        'Bearer realm="' + "x" * 60_000,
        'Bearer realm="http://192.0.2.1/token"',
        'Bearer realm="https://[/token"',
        'Bearer realm="file:///etc/shadow"',
        'Bearer realm="//192.0.2.1"',
        "Bearer",
        "",
    ],
    ids=lambda text: text[:40],
)
def test_a_hostile_challenge_is_parsed_quickly_and_leads_nowhere_unsafe(server: Server, challenge: str) -> None:
    server.answers[MANIFEST] = gives(b"", 401, WWW_Authenticate=challenge)

    refused(lambda: asked_digest(in_registry(server)))


@pytest.mark.parametrize(
    "token",
    [
        DEEP,
        b"7",
        b"null",
        b'{"token": 7}',
        b'{"token": ["x"]}',
        b'{"token": "a\\r\\nX-Evil: 1"}',
        b'{"token": "' + b"x" * 1_000_000 + b'"}',
        b'{"token": "\\ud800"}',
        b"\xff",
    ],
    ids=lambda text: text[:20],
)
def test_an_invalid_token_answer_is_refused(server: Server, token: bytes) -> None:
    server.answers[MANIFEST] = gives(b"", 401, WWW_Authenticate=f'Bearer realm="{server.address}/token"')
    server.answers["/token?scope=repository%3Aowner%2Fapp%3Apull"] = gives(token)

    assert refused(lambda: asked_digest(in_registry(server))).endswith("/token returned no token")


@pytest.mark.parametrize(
    "said",
    [
        DEEP,
        b'{"layers": ' + DEEP + b"}",
        b'{"layers": [' + b",".join([b'{"digest": "x", "size": 1}'] * 50_000) + b"]}",
        b'{"layers": {"digest": 1}}',
        json.dumps({"layers": [{"digest": "sha256:../../../etc/passwd", "size": 1}]}).encode(),
        json.dumps({"layers": [{"digest": f"sha256:{SHA256}\n", "size": 1}]}).encode(),
        json.dumps({"layers": [{"digest": f"sha256:{SHA256}", "size": -1}]}).encode(),
        b'{"layers": [{"digest": "sha256:' + SHA256.encode() + b'", "size": 1' + b"0" * 5000 + b"}]}",
        b"\xff\xfe",
        b"",
    ],
    ids=lambda text: text[:30],
)
def test_an_invalid_manifest_is_refused(server: Server, said: bytes) -> None:
    server.answers[MANIFEST] = gives(said)

    assert "not a manifest" in refused(lambda: asked_digest(in_registry(server)))


# --- GitHub


@pytest.fixture
def github(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setenv("GITHUB_API_URL", server.address)
    return server


@pytest.mark.parametrize(
    "said",
    [DEEP, b'{"tag_name": "x", "assets": ' + DEEP + b"}", b"[]", b'{"tag_name": "x", "assets": [{"id": "../x"}]}', b""],
    ids=lambda text: text[:30],
)
def test_an_invalid_github_release_is_refused(github: Server, said: bytes) -> None:
    github.answers[RELEASE] = gives(said)

    assert "is not a release" in refused(lambda: asked_digest("github:owner/repo"))


def test_a_pattern_of_many_stars_is_matched_quickly(github: Server) -> None:
    """The author of a commit may choose both the pattern and the name."""
    github.answers[RELEASE] = gives_json({"tag_name": "v1.0", "assets": [{**ASSET, "name": "a" * 250}]})

    assert "nothing that matches" in refused(lambda: asked_digest("github:owner/repo/" + "*a" * 20 + "*b"))


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        ("app-*.tar.gz", True),
        ("*", True),
        ("app*gz", True),
        ("*1.0*", True),
        ("app-1.0.tar.gz", True),
        ("a*p*1*t*gz*", True),
        ("*gz*gz", False),
        ("app-1.0.tar.gz*gz", False),
        ("app", False),
        ("*.zip", False),
        ("*0*1*", False),
    ],
)
def test_a_star_stands_for_any_text(github: Server, pattern: str, fits: bool) -> None:
    digest = f"sha256:{SHA256}"
    asset = {**ASSET, "name": "app-1.0.tar.gz", "digest": digest}
    github.answers[RELEASE] = gives_json({"tag_name": "v1.0", "assets": [asset]})
    source = f"github:owner/repo/{pattern}"

    if fits:
        assert asked_digest(source) == SHA256
    else:
        assert "nothing that matches" in refused(lambda: asked_digest(source))


# --- any of them


@pytest.mark.parametrize("where", [MANIFEST, RELEASE])
def test_an_oversized_answer_is_refused_while_it_arrives(
    github: Server, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    sent = 0

    def pours(request: BaseHTTPRequestHandler) -> None:
        nonlocal sent
        request.send_response(200)
        request.end_headers()
        while sent < 1 << 30:
            request.wfile.write(b" " * 65536)
            sent += 65536

    github.answers[where] = pours
    source = in_registry(github) if where == MANIFEST else "github:owner/repo"

    assert "is larger than" in refused(lambda: asked_digest(source))
    assert sent < 40 << 20


@pytest.mark.parametrize(
    "to",
    ["ftp://192.0.2.1/x", "file:///etc/shadow", "http://192.0.2.1/x", "//[", "http://127.0.0.1:1/\x7f", "gopher:x"],
)
def test_a_redirect_to_another_scheme_or_port_is_refused(server: Server, to: str) -> None:
    server.answers["/app-1.0.tar.gz"] = redirects(to)

    refused(lambda: fetched(f"{server.address}/app-{{version}}.tar.gz"))


def test_redirects_in_a_circle_end(server: Server) -> None:
    server.answers["/app-1.0.tar.gz"] = redirects("/app-1.0.tar.gz")

    assert "more than 5 redirects" in refused(lambda: fetched(f"{server.address}/app-{{version}}.tar.gz"))
    assert len(server.asked) == 6


@pytest.mark.parametrize(
    "said",
    [
        (b"HTTP/1.1 200 OK\r\n", *[b"X-A: " + b"a" * 60_000 + b"\r\n"] * 200, b"\r\n"),
        (b"HTTP/1.1 200 " + b"O" * 5_000_000,),
        (b"HTTP/1.1 999 \x1b[2J\r\nContent-Length: 0\r\n\r\n",),
        (b"HTTP/1.1 204 No\r\n\r\n",),
        (b"HTTP/1.1 206 Partial\r\nContent-Length: 3\r\n\r\nabc",),
        (b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\nabc",),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nabc",),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nabc",),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nabc",),
        (b"\x16\x03\x01\x02\x00",),
        (b"",),
    ],
    ids=lambda said: repr(said[0][:30]),
)
def test_a_malformed_http_answer_is_refused(server: Server, said: tuple[bytes, ...]) -> None:
    server.answers["/app-1.0.tar.gz"] = raw(*said)

    text = refused(lambda: fetched(f"{server.address}/app-{{version}}.tar.gz"))
    assert "\x1b" not in text


def test_a_content_encoding_is_never_decompressed(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of digests of 1 GiB in 1 MB: it is taken for the few bytes it is, and holds no line."""
    bomb = gzip.compress(b"\0" * (64 << 20))
    server.answers["/SHA256SUMS"] = gives(bomb, Content_Encoding="gzip")

    assert "is not published" in refused(lambda: asked_digest(f"{server.address}/app-{{version}}.tar.gz"))


def test_an_endless_list_of_digests_is_refused(server: Server) -> None:
    server.answers["/SHA256SUMS"] = gives(b"a" * (16 << 20))

    assert "is larger than" in refused(lambda: asked_digest(f"{server.address}/app-{{version}}.tar.gz"))


def test_an_artifact_that_arrives_too_slowly_is_given_up(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def drips(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        for _ in range(100):
            request.wfile.write(b"x")
            request.wfile.flush()
            time.sleep(0.05)

    monkeypatch.setattr(download, "LONGEST_SECONDS", 0.5)
    server.answers["/app-1.0.tar.gz"] = drips

    assert "was not read within 0.5 s" in refused(lambda: fetched(f"{server.address}/app-{{version}}.tar.gz"))
