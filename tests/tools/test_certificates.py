"""A certificate of one's own: what is read from the secret, and what a host is sent of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.errors import SecretUnusable
from reconciler.model.machine import HostSpec
from reconciler.model.traefik import Traefik
from reconciler.targets.resolve import resolve, resolve_edge
from reconciler.targets.site import HostSite
from reconciler.targets.target_files import TargetFiles
from reconciler.tools.certificates import read_key_pair
from reconciler.tools.traefik import edge_keys, edge_route_text
from tests.support.certificates import Made, made
from tests.tools.test_routes import app_file, loaded
from tests.tools.test_verbs import judged_file

PLAIN, OTHER = made("a.test", "*.b.test"), made("c.test")
ROUTE = "{domains: [a.test, '*.b.test'], tls: {certificate: {secret: hello/pem}}}"
SERVERS = (("web1", "4000"),)


def worked_out(tmp_path: Path, secret: str, route: str = ROUTE) -> TargetFiles:
    (app,) = loaded(tmp_path, app_file(route))
    return resolve(
        app, HostSite("web1", HostSpec(address="web1"), (8080,)), Traefik(), tmp_path, "0" * 64, lambda name: secret
    )


def at_edge(tmp_path: Path, secret: str, traefik: Traefik | None = None) -> TargetFiles:
    (app,) = loaded(tmp_path, app_file(ROUTE))
    site = HostSite("lb1", HostSpec(address="lb1"), (8080,))
    return resolve_edge(app, site, traefik or Traefik(), tmp_path, lambda name: secret, (("web1", "10.0.0.2"),))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "has no certificate"),
        (PLAIN.key, "has no certificate"),
        (PLAIN.leaf, "has no private key"),
        (PLAIN.pem + OTHER.key, "has 2 private keys"),
        (PLAIN.leaf + OTHER.key, "is not that of its certificate"),
        (PLAIN.root + PLAIN.leaf + PLAIN.key, "must begin with the certificate of its key"),
        (PLAIN.leaf + OTHER.root + OTHER.leaf + PLAIN.key, "has as certificate 3 one that did not issue"),
        (PLAIN.leaf[:60] + PLAIN.leaf[90:] + PLAIN.key, "cannot be read"),
        (PLAIN.leaf + PLAIN.key[:60] + PLAIN.key[90:], "cannot be read"),
        (PLAIN.leaf + PLAIN.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"), "has a key with a passphrase"),
    ],
)
def test_what_no_traefik_could_serve_is_refused_and_never_quoted(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(SecretUnusable, match=says) as refused:
        worked_out(tmp_path, text)

    assert "the secret hello/pem" in str(refused.value)
    assert PLAIN.key.splitlines()[1] not in str(refused.value)
    assert "reconcile secrets set hello/pem" in refused.value.next_step


def test_a_certificate_has_to_be_for_every_domain_and_redirect(tmp_path: Path) -> None:
    route = "{domains: [a.test, x.b.test], redirects: {c.test: a.test}, tls: {certificate: {secret: hello/pem}}}"
    with pytest.raises(SecretUnusable, match=r"is not for c\.test, only for \*\.b\.test, a\.test"):
        worked_out(tmp_path, PLAIN.pem, route)


def test_text_around_the_parts_and_other_line_ends_do_not_matter() -> None:
    """As `openssl` prints them. What a host gets is the same."""
    noted = f"subject=a\n{PLAIN.key}Bag Attributes: x\n{PLAIN.leaf}{PLAIN.root}".replace("\n", "\r\n")

    assert read_key_pair("x", noted).pem == read_key_pair("x", PLAIN.pem).pem == PLAIN.pem


@pytest.mark.parametrize("passwords", [(), ("me:$2y$05$" + "a" * 53,)])
def test_the_certificate_follows_the_route_which_names_its_file(passwords: tuple[str, ...], tmp_path: Path) -> None:
    """The guard of a login without root takes what is written. Neither a key nor its text is seen anywhere else."""
    files = worked_out(tmp_path, PLAIN.pem)
    assert files.route
    files = replace(files, route=replace(files.route, users=passwords))

    text = files.route_text("4000")

    assert judged_file("sound_route", text, tmp_path) == ""
    assert text.endswith(f"# end\n{PLAIN.pem}# end\n") and text.count("PRIVATE KEY") == 2
    assert '  certificates: [{"certFile": "/etc/traefik/dynamic/hello.pem"' in text
    assert "certResolver" not in text and "PRIVATE" not in repr(files)
    assert files.mask(f"x {PLAIN.key.splitlines()[1]} x") == "x *** x"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("/etc/traefik/dynamic/hello.pem", "/etc/shadow"),
        ("dynamic/hello.pem", "dynamic/office.pem"),
        ("-----BEGIN CERTIFICATE-----", "http:\n-----BEGIN CERTIFICATE-----"),
        ("-----END PRIVATE KEY-----\n", "-----END PRIVATE KEY-----\nmore text\n"),
    ],
)
def test_certificates_that_we_would_not_write_are_refused(old: str, new: str, tmp_path: Path) -> None:
    text = worked_out(tmp_path, PLAIN.pem).route_text("4000")
    assert judged_file("sound_route", text, tmp_path) == "" and old in text

    assert judged_file("sound_route", text.replace(old, new), tmp_path) != ""


@pytest.mark.parametrize("routes", ["files", "etcd"])
def test_an_edge_has_its_certificate_in_a_file_and_etcd_has_no_key(routes: str, tmp_path: Path) -> None:
    etcd = {"endpoints": ["http://10.0.0.5:2379"]} if routes == "etcd" else None
    files = at_edge(tmp_path, PLAIN.pem, Traefik.model_validate({"routes": routes, "etcd": etcd} if etcd else {}))
    assert files.route

    assert judged_file("sound_route", edge_route_text(files.route, SERVERS, 7), tmp_path) == ""
    assert edge_route_text(files.route, SERVERS, 7).endswith(f"{PLAIN.pem}# end\n")
    keys = edge_keys(files.route, SERVERS, 7)
    assert [key for key, value in keys.items() if "PRIVATE" in value or "hello.pem" in value] == []


def test_a_new_certificate_is_a_change_of_the_route_that_names_it(tmp_path: Path) -> None:
    found = []
    for number, each in enumerate((PLAIN, PLAIN, made("a.test", "*.b.test"))):
        (tmp_path / str(number)).mkdir()
        found.append(at_edge(tmp_path / str(number), each.pem).target.route)
    before, same, after = [each.digests["edge"] if each else "" for each in found]

    assert before == same != after
    parts = [dict(each.parts) if each else {} for each in found]
    assert {key for key in parts[0] if parts[0][key] != parts[2][key]} == {"certificate"}


def test_a_wildcard_needs_no_dns_challenge_with_a_certificate_of_its_own(tmp_path: Path) -> None:
    acme = "traefik: {version: 3.7.15, sha256: " + "0" * 64 + ", acme: {email: me@example.com}}\n"
    (tmp_path / "fleet.yaml").write_text(acme)

    (app,) = loaded(tmp_path, app_file(ROUTE))

    assert app.route and app.route.certificate


def test_the_key_is_in_no_repr() -> None:
    assert "PRIVATE" not in repr(read_key_pair("x", Made(PLAIN.leaf, PLAIN.root, PLAIN.key, 0).pem))
