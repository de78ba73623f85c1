"""artifact/registry.py and logins.py: an artifact in an OCI registry, played by a server here."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from reconciler.artifact.source import open_store
from reconciler.errors import ArtifactMissing, ArtifactRefused, ArtifactUnavailable
from tests.artifact.published.asking import CONTENT, OTHER, SHA256, asked_address, asked_digest, fetched, refusal
from tests.support.web_server import Server, fails, gives, gives_json, redirects, trickles

MANIFEST, BLOB = "/v2/owner/app/manifests/1.0", f"/v2/owner/app/blobs/sha256:{SHA256}"
TITLE = "org.opencontainers.image.title"
LOGIN = "Basic " + base64.b64encode(b"bob:s3kret").decode()
TOKEN = "t0ken.of.registry"


def layer(sha256: str = SHA256, size: int = len(CONTENT), title: str = "app-1.0.tar.gz") -> dict[str, Any]:
    media = "application/vnd.oci.image.layer.v1.tar+gzip"
    return {"mediaType": media, "digest": f"sha256:{sha256}", "size": size, "annotations": {TITLE: title}}


def manifest(*layers: dict[str, Any]) -> dict[str, Any]:
    return {"schemaVersion": 2, "config": {"size": 2}, "layers": list(layers)}


def guarded(by: str, answer: Callable[[BaseHTTPRequestHandler], None], challenge: str) -> Any:
    def guard(request: BaseHTTPRequestHandler) -> None:
        if request.headers["Authorization"] == by:
            answer(request)
        else:
            gives_json({}, 401, WWW_Authenticate=challenge)(request)

    return guard


@pytest.fixture
def registry(server: Server) -> Server:
    """Open to everybody, with one artifact."""
    server.answers[MANIFEST] = gives_json(manifest(layer()))
    server.answers[BLOB] = gives(CONTENT)
    return server


def source(registry: Server) -> str:
    return f"oci://{registry.address.removeprefix('http://')}/owner/app:{{version}}"


def asks_for_tokens(registry: Server, at: str = "") -> str:
    """From now on only a token lets in; the path at which they are given."""
    challenge = f'Bearer realm="{at or registry.address}/token",service="reg",scope="repository:evil:push"'
    for path in (MANIFEST, BLOB):
        registry.answers[path] = guarded(f"Bearer {TOKEN}", registry.answers[path], challenge)
    return "/token?scope=repository%3Aowner%2Fapp%3Apull&service=reg"


def log_in(registry: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    auths = {registry.address.removeprefix("http://"): {"auth": LOGIN.removeprefix("Basic ")}}
    monkeypatch.setenv("DOCKER_AUTH_CONFIG", json.dumps({"auths": {"ghcr.io": {"auth": "eDp5"}, **auths}}))


def test_an_open_registry_states_the_digest_and_gives_the_bytes(registry: Server) -> None:
    assert asked_digest(source(registry)) == SHA256
    assert registry.asked == [MANIFEST]
    assert fetched(source(registry)) == CONTENT
    assert registry.asked == [MANIFEST, BLOB]
    assert "application/vnd.oci.image.manifest.v1+json" in registry.headers[0]["accept"]


def test_a_token_is_asked_for_to_read_this_repository_and_nothing_else(registry: Server) -> None:
    path = asks_for_tokens(registry)
    registry.answers[path] = gives_json({"token": TOKEN})

    assert fetched(source(registry)) == CONTENT
    assert registry.asked == [MANIFEST, path, MANIFEST, BLOB]
    assert registry.authorizations == [None, None, f"Bearer {TOKEN}", f"Bearer {TOKEN}"]


def test_a_login_gets_the_token_from_where_the_registry_says(
    registry: Server, elsewhere: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = asks_for_tokens(registry, elsewhere.address)
    elsewhere.answers[path] = guarded(LOGIN, gives_json({"access_token": TOKEN}), "Basic")
    log_in(registry, monkeypatch)

    assert fetched(source(registry)) == CONTENT
    assert elsewhere.authorizations == [LOGIN]
    assert LOGIN not in registry.authorizations


def test_a_registry_that_asks_for_the_login_itself_gets_it(registry: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (MANIFEST, BLOB):
        registry.answers[path] = guarded(LOGIN, registry.answers[path], 'Basic realm="x"')
    log_in(registry, monkeypatch)

    assert fetched(source(registry)) == CONTENT


def test_a_blob_on_another_host_is_fetched_without_the_token(registry: Server, elsewhere: Server) -> None:
    registry.answers[BLOB] = redirects(f"{elsewhere.address}/cdn?sig=x")
    elsewhere.answers["/cdn?sig=x"] = gives(CONTENT)
    registry.answers[asks_for_tokens(registry)] = gives_json({"token": TOKEN})

    assert fetched(source(registry)) == CONTENT
    assert elsewhere.authorizations == [None]


def test_the_login_is_not_sent_to_a_host_that_the_registry_redirects_to(
    registry: Server, elsewhere: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in(registry, monkeypatch)
    registry.answers[MANIFEST] = redirects(f"{elsewhere.address}/m")
    elsewhere.answers["/m"] = gives_json({}, 401, WWW_Authenticate=f'Bearer realm="{elsewhere.address}/token"')

    assert refusal(ArtifactUnavailable, source(registry)).endswith("the registry answers 401")
    assert (elsewhere.asked, elsewhere.authorizations) == (["/m"], [None])


@pytest.mark.parametrize("realm", ["http://192.0.2.1/token", "file:///etc/passwd", "ftp://x"])
def test_a_login_is_not_sent_to_an_unsafe_token_address(
    registry: Server, monkeypatch: pytest.MonkeyPatch, realm: str
) -> None:
    log_in(registry, monkeypatch)
    registry.answers[MANIFEST] = gives_json({}, 401, WWW_Authenticate=f'Bearer realm="{realm}"')

    refusal(ArtifactRefused, source(registry))
    assert registry.authorizations == [None]


def test_a_host_gets_the_address_of_a_blob_only_where_no_token_is_needed(
    registry: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.answers[BLOB] = redirects("https://cdn.example.com/blob?sig=x")
    assert asked_address(source(registry)) == "https://cdn.example.com/blob?sig=x"

    monkeypatch.setattr("reconciler.artifact.memory._kept", {})
    registry.answers[BLOB] = gives(CONTENT)
    registry.answers[asks_for_tokens(registry)] = gives_json({"token": TOKEN})
    assert asked_address(source(registry)).endswith("cannot be read by a host without a login")


def test_a_tag_that_is_not_there_yet_is_missing(registry: Server) -> None:
    registry.answers[MANIFEST] = gives_json({"errors": [{"code": "MANIFEST_UNKNOWN"}]}, 404)

    assert refusal(ArtifactMissing, source(registry)).endswith("owner/app:1.0: the registry has no such tag")


def test_without_a_login_it_says_how_to_get_one(registry: Server) -> None:
    registry.answers[asks_for_tokens(registry)] = gives_json({}, 401)

    with pytest.raises(ArtifactUnavailable, match="the registry answers 401") as caught:
        fetched(source(registry))
    assert caught.value.next_step.startswith("docker login 127.0.0.1:")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"manifests": [{}]}, "is an index of several artifacts"),
        (manifest(), "has no archive"),
        (manifest(layer(title="a.tgz"), layer(title="b.tar.gz")), "has 2 archives: a.tgz, b.tar.gz"),
        (manifest(layer(sha256="../../etc/passwd")), "answer is not a manifest"),
        (manifest({"digest": f"sha512:{SHA256 * 2}", "size": 1}), "answer is not a manifest"),
        (manifest(layer(size=-1)), "answer is not a manifest"),
        ([], "answer is not a manifest"),
    ],
)
def test_a_manifest_without_exactly_one_archive_is_refused(registry: Server, answer: object, said: str) -> None:
    registry.answers[MANIFEST] = gives_json(answer)

    with pytest.raises((ArtifactRefused, ArtifactMissing), match=said):
        asked_digest(source(registry))


def test_the_only_layer_is_the_artifact_under_any_name(registry: Server) -> None:
    registry.answers[MANIFEST] = gives_json(manifest(layer(title="")))

    assert fetched(source(registry)) == CONTENT


def test_other_bytes_and_more_bytes_than_the_manifest_says_are_refused(registry: Server) -> None:
    registry.answers[BLOB] = gives(b"other")
    assert f"found  sha256 {OTHER}" in refusal(ArtifactRefused, source(registry))

    registry.answers[BLOB] = gives(CONTENT + b"x", Content_Length="")
    assert "is larger than 1000 KiB" in refusal(ArtifactRefused, source(registry))


def test_a_truncated_or_slow_blob_is_refused(registry: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    registry.answers[BLOB] = gives(CONTENT[:100], Content_Length=str(len(CONTENT)))
    assert "could not be read" in refusal(ArtifactUnavailable, source(registry))

    monkeypatch.setattr("reconciler.artifact.download.LONGEST_SECONDS", 0.3)
    registry.answers[BLOB] = trickles
    assert "was not read within 0.3 s" in refusal(ArtifactUnavailable, source(registry))


def test_neither_login_nor_token_is_in_an_error_or_a_log(
    registry: Server,
    elsewhere: Server,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    log_in(registry, monkeypatch)
    path = asks_for_tokens(registry)
    said = []
    for answer in (fails(401), gives_json({"token": "a b"}), gives_json({"token": TOKEN + "x"}), redirects("http://x")):
        registry.answers[path] = answer
        with pytest.raises((ArtifactRefused, ArtifactUnavailable)) as caught:
            fetched(source(registry))
        said.append(str(caught.value) + caught.value.next_step + repr(caught.value))

    everything = "".join(said) + caplog.text + "".join(capfd.readouterr())
    assert [secret for secret in ("s3kret", TOKEN, LOGIN.partition(" ")[2]) if secret in everything] == []


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"auths": {"HOST": {"auth": "s3kret"}}}', '{"auths": {"HOST": "s3kret"}}']
)
def test_an_unreadable_login_file_is_named_without_its_content(
    registry: Server, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    asks_for_tokens(registry)
    monkeypatch.setenv("DOCKER_AUTH_CONFIG", text.replace("HOST", registry.address.removeprefix("http://")))

    assert refusal(ArtifactRefused, source(registry)) == "DOCKER_AUTH_CONFIG is not a valid docker config"


def test_the_login_of_another_registry_is_not_used(registry: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    asks_for_tokens(registry)
    host = registry.address.removeprefix("http://").rpartition(":")[0]
    monkeypatch.setenv("DOCKER_AUTH_CONFIG", json.dumps({"auths": {host: {"auth": LOGIN.removeprefix("Basic ")}}}))

    refusal(ArtifactUnavailable, source(registry))
    assert set(registry.authorizations) == {None}


def test_logins_of_docker_and_podman_are_found(
    registry: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    registry.answers[MANIFEST] = guarded(LOGIN, registry.answers[MANIFEST], "Basic")
    text = json.dumps({"auths": {f"{registry.address}/v1/": {"username": "bob", "password": "s3kret"}}})
    for variable, place in (("DOCKER_CONFIG", "config.json"), ("XDG_RUNTIME_DIR", "containers/auth.json")):
        path = tmp_path / variable / place
        path.parent.mkdir(parents=True)
        path.write_text(text)
        with monkeypatch.context() as patch:
            patch.setenv(variable, str(tmp_path / variable))
            assert asked_digest(source(registry)) == SHA256
        monkeypatch.setattr("reconciler.artifact.memory._kept", {})


@pytest.mark.parametrize(
    ("place", "base"),
    [
        ("oci://ghcr.io/o/a:1", "https://ghcr.io/v2/o/a"),
        ("oci://docker.io/o/a:1", "https://registry-1.docker.io/v2/o/a"),
        ("oci://localhost:5000/a:1", "http://localhost:5000/v2/a"),
        ("oci://localhost.example.com/a:1", "https://localhost.example.com/v2/a"),
        ("oci://127.0.0.1.example.com/a:1", "https://127.0.0.1.example.com/v2/a"),
    ],
)
def test_only_a_registry_on_this_machine_is_asked_without_tls(place: str, base: str) -> None:
    assert open_store(place, "1", Path())._base == base  # type: ignore[attr-defined]
