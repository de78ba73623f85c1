"""artifact/github.py: a release's asset, through an API played by a server here and a host for the bytes elsewhere."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from reconciler.errors import ArtifactMissing, ArtifactRefused, ArtifactUnavailable
from tests.artifact.published.asking import CONTENT, OTHER, SHA256, asked_address, asked_digest, fetched, refusal
from tests.support.web_server import Server, fails, gives, gives_json, redirects

APP = "app-1.0-linux-x86_64.tar.gz"
API = "/repos/owner/repo"
TOKEN = "ghp_s3kret"


def asset(number: int, name: str, **more: Any) -> dict[str, Any]:
    return {"id": number, "name": name, "state": "uploaded", "size": 1, "digest": None, **more}


def release(*assets: dict[str, Any], tag: str = "v1.0") -> dict[str, Any]:
    return {"id": 7, "tag_name": tag, "assets": list(assets), "body": "é"}


@pytest.fixture(autouse=True)
def api(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setenv("GITHUB_API_URL", server.address)
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
    server.answers[API] = gives_json({"full_name": "owner/repo"})
    return server


def publish(api: Server, *assets: dict[str, Any], tag: str = "v1.0") -> None:
    api.answers[f"{API}/releases/tags/{tag}"] = gives_json(release(*assets, tag=tag))


def test_the_asset_comes_from_another_host_which_never_sees_the_token(api: Server, elsewhere: Server) -> None:
    publish(api, asset(1, APP, digest=f"sha256:{SHA256}"), asset(2, "notes.txt"))
    api.answers[f"{API}/releases/assets/1"] = redirects(f"{elsewhere.address}/bytes?sig=x")
    elsewhere.answers["/bytes?sig=x"] = gives(CONTENT)

    assert (asked_digest("github:owner/repo"), fetched("github:owner/repo")) == (SHA256, CONTENT)
    assert api.asked == [f"{API}/releases/tags/v1.0", f"{API}/releases/assets/1"]
    assert api.authorizations == [f"Bearer {TOKEN}"] * 2
    assert api.headers[1]["accept"] == "application/octet-stream"
    assert elsewhere.authorizations == [None]


@pytest.mark.parametrize("source", ["github:owner/repo", "github:owner/repo@{version}"])
def test_a_tag_without_v_is_found_too(api: Server, source: str) -> None:
    publish(api, asset(1, APP, digest=f"sha256:{SHA256}"), tag="1.0")

    assert asked_digest(source) == SHA256


def test_a_tag_is_asked_for_as_it_is_written(api: Server) -> None:
    api.answers[f"{API}/releases/tags/%40scope%2Fapp%401.0"] = gives_json(
        release(asset(1, APP, digest=f"sha256:{SHA256}"))
    )

    assert asked_digest("github:owner/repo@@scope/app@{version}") == SHA256


@pytest.mark.parametrize("pattern", [APP, "app-{version}-linux-x86_64.tar.gz", "*x86_64.tar.gz", "app-*-*86_64*.gz"])
def test_one_of_several_archives_is_named(api: Server, pattern: str) -> None:
    publish(
        api,
        asset(1, "app-1.0-linux-aarch64.tar.gz", digest=f"sha256:{OTHER}"),
        asset(2, APP, digest=f"sha256:{SHA256}"),
        asset(3, APP + ".sig"),
    )

    assert asked_digest(f"github:owner/repo/{pattern}") == SHA256


def test_several_archives_are_listed_when_none_is_named(api: Server) -> None:
    publish(api, asset(1, "b.tar.gz"), asset(2, "a.tgz"), asset(3, "a.txt"))

    assert refusal(ArtifactRefused, "github:owner/repo", digest=True) == (
        "github:owner/repo: release v1.0 has 2 archives: a.tgz, b.tar.gz"
    )
    assert refusal(ArtifactRefused, "github:owner/repo/*.t*", digest=True) == (
        "github:owner/repo/*.t*: release v1.0 has 3 that match *.t*: a.tgz, a.txt, b.tar.gz"
    )


def test_an_unpublished_release_is_missing_and_not_refused(api: Server) -> None:
    """No release, a release without the asset, an asset still being uploaded, nobody to state a digest."""
    assert refusal(ArtifactMissing, "github:owner/repo") == "github:owner/repo: there is no release v1.0 or 1.0"
    assert refusal(ArtifactMissing, "github:owner/repo@x") == "github:owner/repo@x: there is no release x"
    publish(api, asset(1, APP, state="starter"), asset(2, "notes.txt"), tag="v2")
    assert refusal(ArtifactMissing, "github:owner/repo@v2") == (
        "github:owner/repo@v2: release v2 has no archive; it has notes.txt"
    )
    assert refusal(ArtifactMissing, "github:owner/repo/b.tgz@v2") == (
        "github:owner/repo/b.tgz@v2: release v2 has nothing that matches b.tgz; it has notes.txt"
    )
    publish(api, asset(1, APP), tag="v3")
    assert refusal(ArtifactMissing, "github:owner/repo@v3", digest=True) == (
        "the sha256 of github:owner/repo@v3 is not published"
    )


def test_a_release_that_is_not_there_is_asked_for_once_a_minute(api: Server) -> None:
    for _ in range(3):
        refusal(ArtifactMissing, "github:owner/repo")

    assert api.asked == [f"{API}/releases/tags/v1.0", f"{API}/releases/tags/1.0", API]


def test_a_list_in_the_release_says_the_digest_and_may_not_contradict_github(api: Server) -> None:
    publish(api, asset(1, APP), asset(2, "SHA256SUMS"))
    api.answers[f"{API}/releases/assets/2"] = gives(f"{SHA256}  {APP}\n".encode())
    publish(api, asset(1, APP, digest=f"sha256:{OTHER}"), asset(2, "SHA256SUMS"), tag="v2")

    assert asked_digest("github:owner/repo") == SHA256
    assert refusal(ArtifactRefused, "github:owner/repo@v2", digest=True).endswith(
        f"\n  SHA256SUMS {SHA256}\n  stated     {OTHER}"
    )


def test_other_bytes_than_stated_are_refused_and_not_kept(api: Server) -> None:
    publish(api, asset(1, APP))
    api.answers[f"{API}/releases/assets/1"] = gives(b"other")

    assert refusal(ArtifactRefused, "github:owner/repo").startswith("github:owner/repo: the sha256 does not match")


@pytest.mark.parametrize(
    ("status", "headers", "token", "said", "step"),
    [
        (401, {}, TOKEN, "github:owner/repo: GitHub answers 401", "GITHUB_TOKEN is not valid there: renew it"),
        (404, {}, TOKEN, "github:owner/repo: GitHub answers 404", "give the token read access to its contents"),
        (404, {}, "", "github:owner/repo: GitHub answers 404", "for a private one set GITHUB_TOKEN"),
        (
            403,
            {"X_RateLimit_Remaining": "0"},
            "",
            "github:owner/repo: GitHub's rate limit is used up",
            "set GITHUB_TOKEN",
        ),
    ],
)
def test_an_unreadable_repository_is_reported_as_a_login_problem(
    api: Server,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    headers: dict[str, str],
    token: str,
    said: str,
    step: str,
) -> None:
    """GitHub answers 404 for a private repository, as it does for a release that is not there yet."""
    monkeypatch.setenv("GITHUB_TOKEN", token)
    for path in (API, f"{API}/releases/tags/v1.0", f"{API}/releases/tags/1.0"):
        api.answers[path] = gives_json({"message": "no"}, status, **headers)

    with pytest.raises(ArtifactUnavailable) as caught:
        asked_digest("github:owner/repo")
    assert type(caught.value) is ArtifactUnavailable
    assert (str(caught.value), step in caught.value.next_step) == (said, True)


@pytest.mark.parametrize("answer", [b"", b"[]", b"null", b'{"tag_name": 1, "assets": {}}', b"<html>"])
def test_an_answer_that_is_not_a_release_is_refused(api: Server, answer: bytes) -> None:
    api.answers[f"{API}/releases/tags/v1.0"] = gives(answer)

    assert refusal(ArtifactUnavailable, "github:owner/repo") == (
        f"github:owner/repo: the answer of {api.address} is not a release"
    )


def test_the_token_is_in_no_error_and_no_log(
    api: Server, elsewhere: Server, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    publish(api, asset(1, APP))
    said = []
    for answer in (fails(401), fails(500), redirects(f"{elsewhere.address}/gone?sig=t0ken"), gives(b"other")):
        api.answers[f"{API}/releases/assets/1"] = answer
        with pytest.raises((ArtifactUnavailable, ArtifactRefused)) as caught:
            fetched("github:owner/repo")
        said.append(str(caught.value) + caught.value.next_step + repr(caught.value))

    everything = "".join(said) + caplog.text + "".join(capfd.readouterr())
    assert [secret for secret in (TOKEN, "t0ken") if secret in everything] == []
    assert set(elsewhere.authorizations) == {None}


def test_a_host_gets_the_address_that_github_signs_and_no_token(api: Server, elsewhere: Server) -> None:
    publish(api, asset(1, APP))
    api.answers[f"{API}/releases/assets/1"] = redirects("https://objects.example.com/bytes?sig=x")

    assert asked_address("github:owner/repo") == "https://objects.example.com/bytes?sig=x"
    api.answers[f"{API}/releases/assets/1"] = gives(CONTENT)
    assert asked_address("github:owner/repo") == "github:owner/repo cannot be read by a host without a login"
    api.answers[f"{API}/releases/assets/1"] = redirects(f"{elsewhere.address}/plain")
    assert asked_address("github:owner/repo") == "github:owner/repo cannot be read by a host without a login"
    assert elsewhere.asked == []


@pytest.mark.parametrize("token", ["a b", "a\nb", "ä"])
def test_an_invalid_token_is_reported_without_its_value(monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", token)

    assert refusal(ArtifactRefused, "github:owner/repo") == "GITHUB_TOKEN does not contain a token"


def test_an_api_over_plain_http_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_API_URL", "http://ghe.example.com/api/v3")

    assert "is not an https:// address" in refusal(ArtifactRefused, "github:owner/repo")
