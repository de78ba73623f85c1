"""https from a certificate authority, and every key of a route, on a host with the project's own Traefik."""

from __future__ import annotations

import base64
import os
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.hosts.acme import Authority, authority, https_get, install_traefik_for, missing_programs
from tests.hosts.conftest import MachineFactory
from tests.hosts.farm import Farm
from tests.hosts.load import Load, Stream, Target
from tests.hosts.machine import Machine
from tests.hosts.stories.conftest import NewProject
from tests.hosts.stories.project import Project, nothing_touched, seen_by_others, wait_for, yaml

pytestmark = pytest.mark.hosts

NOTE = "https for {name} is answered with Traefik's default certificate"
HASH = "$2y$05$abcdefghijklmnopqrstuupx2xBUC4954936wVIjyyPHmUBFu0wCW"  # open sesame
HTPASSWD = f"ann:{HASH}"
OPEN = {"healthy_within_seconds": 10, "minimum_healthy_seconds": 0}
POSTGRES = 'postgres: {address: ":5432"}'


@dataclass(frozen=True)
class Place:
    """A host that gets its certificates from an authority of ours."""

    machine: Machine
    authority: Authority

    def certified(self) -> str:
        """From now on the authority is there; the root to trust."""
        self.authority.start(self.machine.address)
        return self.authority.root()


@pytest.fixture(scope="module")
def place(farm: Farm, machine_factory: MachineFactory, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    if missing := missing_programs():
        (pytest.fail if "RECONCILE_TESTS_SKIP_NOTHING" in os.environ else pytest.skip)(missing)
    machine = machine_factory("tls")
    with authority(tmp_path_factory.mktemp("authority"), farm.bridge.address) as made:
        install_traefik_for(made, machine, POSTGRES)
        yield Place(machine, made)
    farm.remove(machine)


def test_a_certificate_is_requested_until_it_is_issued_and_renewed(place: Place, new_project: NewProject) -> None:
    """A missing authority stops no app and is reported; once it runs, one `retry` is enough; then passes are quiet."""
    project = new_project(place.machine)
    name = project.domain

    away = project.converge(route={"domains": [name]})

    assert away.verbs == ["install", "start", "wait", "cutover", "confirm", "certify"]
    assert f"{project.app}: {NOTE.format(name=name)}\n  next: " in away.told
    assert https_get(place.machine, name).body == b"Hello from app 0.1.0\n"
    with nothing_touched(place.machine):
        assert (project.once().code, project.status()["because"]) == (0, f"as wanted; {NOTE.format(name=name)}")
    root = place.certified()
    with pytest.raises(ssl.SSLCertVerificationError):
        https_get(place.machine, name, root=root)

    again = project.run("retry", project.app)

    assert (again.code, again.verbs, again.told) == (0, ["retry", "confirm", "certify"], "")
    assert len(project.run("history", project.app, "--json").data) == 1  # what only the CA had to do is not in it
    first = https_get(place.machine, name, root=root)
    assert (first.body, "Pebble" in first.issuer) == (b"Hello from app 0.1.0\n", True)
    with nothing_touched(place.machine):
        assert (project.once().err, project.status()["because"]) == ("", "as wanted")

    # It lasts for ten minutes, so it is due. Traefik looks each minute, and when it starts.
    place.machine.run("systemctl restart traefik")
    wait_for(lambda: serial(place.machine, name, root) not in ("", first.serial), 90, "the certificate is renewed")
    with nothing_touched(place.machine):
        assert project.once().err == ""


def serial(machine: Machine, name: str, root: str) -> str:
    try:
        return https_get(machine, name, root=root).serial
    except OSError:
        return ""


class Apps:
    """Several apps of one repository, all of the same small release."""

    def __init__(self, project: Project) -> None:
        self.project, self.port = project, 4900

    def write(self, app: str, route: dict[str, Any], **keys: Any) -> None:
        keys = self.project.keys | {"app": app, "route": route, "ports": [self.port, self.port + 1]} | keys
        keys["artifact"] = {"source": f"../build/{self.project.app}-{{version}}.tar.gz"}
        self.port += 2
        text = "".join(f"{key}: {yaml(value)}\n" for key, value in keys.items() if value is not None)
        self.project.file.with_name(f"{app}.yaml").write_text(text, encoding="utf-8")


RESPONSE = {"X-Frame-Options": "DENY", "X-Odd": 'say "hi", 100 % of $5 # grüße 漢', "Server": ""}
REQUEST = {"X-Team": "it's `ours`"}


def test_every_key_of_a_route_does_what_it_says(place: Place, new_project: NewProject) -> None:
    """Domains, redirect, path, headers, compression, password, address ranges and TCP, all on one host."""
    machine, root = place.machine, place.certified()
    project = new_project(
        machine, route={"domains": ["shop.test", "shop2.test"], "redirects": {"www.shop.test": "shop.test"}}
    )
    apps = Apps(project)
    headers = {"response": RESPONSE, "request": REQUEST}
    apps.write(
        "api", {"domains": ["shop.test"], "path": "/api", "strip_path": True, "headers": headers, "compress": True}
    )
    apps.write("office", {"domains": ["office.test"], "basic_auth": {"secret": "office/users"}})
    apps.write("inside", {"domains": ["inside.test"], "allow_ips": ["192.0.2.0/24"]})
    apps.write("db", {"tcp": {"entry_point": "postgres"}}, health=OPEN)
    project.commit()
    secret = {"RECONCILE_SECRET_OFFICE_USERS": HTPASSWD}

    result = project.once(**secret)

    assert (result.code, result.told) == (0, ""), str(result)
    for name in ("shop.test", "shop2.test"):
        assert https_get(machine, name, root=root).body == b"Hello from app 0.1.0\n"
    led = https_get(machine, "www.shop.test", "/a/b?c=d%20e", root=root)
    assert (led.status, led.headers["Location"]) == (301, "https://shop.test/a/b?c=d%20e")
    assert https_get(machine, "shop.test", "/api/version", root=root).body == b"0.1.0\n"
    assert https_get(machine, "shop.test", "/apiary", root=root).status == 404
    answer = https_get(machine, "shop.test", "/api/header/x-team", root=root)
    assert answer.body.decode() == REQUEST["X-Team"]
    assert {key: answer.headers.get(key, "") for key in RESPONSE} == RESPONSE
    long = {"X-Long": "x" * 2000, "Accept-Encoding": "gzip"}
    zipped = https_get(machine, "shop.test", "/api/header/x-long", root=root, headers=long)
    assert (zipped.headers["Content-Encoding"], len(zipped.body) < 200) == ("gzip", True)
    assert https_get(machine, "office.test", root=root).status == 401
    known = {"Authorization": "Basic " + base64.b64encode(b"ann:open sesame").decode()}
    assert https_get(machine, "office.test", root=root, headers=known).status == 200
    assert https_get(machine, "inside.test", root=root).status == 403
    assert over_tcp(machine, 5432) == b"0.1.0\n"

    with nothing_touched(machine):
        again = project.once("--verbose", **secret)
        plan = project.plan(**secret)
    assert (again.code, again.verbs, again.told, plan.out) == (0, [], "", "nothing to do\n")
    assert again.events[-1]["round_trips"] == {machine.name: 1}  # Traefik's certificates were asked for beside the look
    assert HASH not in plan.out + result.out + result.err
    assert seen_by_others(machine, HASH, 8080) == ""
    password_file_kept(project, secret, root)

    changed_routes(project, apps, secret, root)
    tcp_moves_on(project, apps, secret)


def password_file_kept(project: Project, secret: dict[str, str], root: str) -> None:
    """Edited or deleted, the file of names and hashes is put back like a route, and Traefik goes by it at once."""
    machine, path = project.machine, "/etc/traefik/dynamic/office.htpasswd"
    bob = {"Authorization": "Basic " + base64.b64encode(b"bob:open sesame").decode()}

    def bob_gets() -> int:
        return https_get(machine, "office.test", root=root, headers=bob).status

    machine.run(f"echo 'bob:{HASH}' >>{path}")
    machine.write("/etc/traefik/dynamic/hand.yml", "http: {middlewares: {hand: {compress: {}}}}\n")
    wait_for(lambda: bob_gets() == 200, 10, "Traefik has read the edited file")
    for _ in range(2):
        result = project.once(**secret)
        assert (result.code, result.verbs) == (0, ["cutover", "confirm"]), str(result)
        assert machine.read(path) == f"{HTPASSWD}\n# end\n"
        wait_for(lambda: bob_gets() == 401, 10, "Traefik goes by the file that was put back")
        machine.run(f"rm {path}")
    machine.run("rm /etc/traefik/dynamic/hand.yml")
    assert project.once(**secret).code == 0


def changed_routes(project: Project, apps: Apps, secret: dict[str, str], root: str) -> None:
    """Only the route is another: one cutover each, no restart, and the plan says what differs."""
    machine = project.machine
    before = machine.run("systemctl show -p Id,InvocationID '*@49*.service'").stdout
    apps.port -= 6
    apps.write("office", {"domains": ["office.test"]})
    apps.write(
        "inside", {"domains": ["inside.test"], "allow_ips": ["192.0.2.0/24", f"{machine.link.bridge.address}/32"]}
    )
    wrong: dict[str, Any] = {"tcp": {"entry_point": "mysql"}}
    apps.write("db", wrong, health=OPEN)
    project.commit()

    plan, result = project.plan(**secret), project.once(**secret)

    cutover = f"{machine.name}  cutover  inside slot 4904  allowed range {machine.link.bridge.address}/32 added\n"
    assert cutover.split() == plan.out.splitlines()[0].split()
    assert sorted(result.verbs) == ["confirm"] * 2 + ["cutover"] * 2  # two apps, side by side
    assert https_get(machine, "inside.test", root=root).status == 200
    assert https_get(machine, "office.test", root=root).status == 200
    assert machine.run("ls /etc/traefik/dynamic/*.htpasswd", check=False).stdout == ""
    assert "db: Traefik has no entry point mysql; it has postgres, traefik, web, websecure\n" in result.told
    assert over_tcp(machine, 5432) == b"0.1.0\n"
    assert machine.run("systemctl show -p Id,InvocationID '*@49*.service'").stdout == before


def tcp_moves_on(project: Project, apps: Apps, secret: dict[str, str]) -> None:
    """A new version of the TCP app: whoever connects meanwhile is answered."""
    apps.port -= 2
    apps.write("db", {"tcp": {"entry_point": "postgres"}}, version="0.2.0", health=OPEN)
    project.commit()
    load = Load(Target(project.machine.address, "db", 5432), [Stream("new", 50, "/ping", keep_alive=False)])

    with load.running():
        result = project.once(**secret)

    assert result.code == 0, str(result)
    assert load.failures == [], load.summary()
    assert over_tcp(project.machine, 5432) == b"0.2.0\n"


def over_tcp(machine: Machine, port: int) -> bytes:
    """What the app answers to bytes that Traefik does not look into."""
    with socket.create_connection((machine.address, port), 5) as connection:
        connection.sendall(b"GET /version HTTP/1.1\r\nConnection: close\r\n\r\n")
        parts = iter(lambda: connection.recv(65536), b"")
        return b"".join(parts).partition(b"\r\n\r\n")[2]
