"""Runs a certificate authority, pebble, with a DNS in which every name is one host. Both end with their block."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .machine import Machine
from .process import command, wait_until
from .proxy import DEPLOY_FOLDER, install_traefik

NEEDED_PROGRAMS = ("pebble", "pebble-challtestsrv", "openssl")
CERTIFICATES_LAST_SECONDS = 600
AT_HOME = "/etc/traefik/test-ca.pem"


def missing_programs() -> str:
    """Return why no certificate authority can be run here, in one sentence; empty if one can."""
    missing = [name for name in NEEDED_PROGRAMS if not shutil.which(name)]
    return f"{', '.join(missing)} is not here: apt-get install pebble openssl" if missing else ""


@dataclass
class Authority:
    """An ACME server at the tests' end of the network. Until `start` its port is closed."""

    folder: Path
    address: str
    port: int
    management: int
    dns: int
    _running: contextlib.ExitStack
    _started: bool = False

    @property
    def directory(self) -> str:
        return f"https://{self.address}:{self.port}/dir"

    @property
    def own_certificate(self) -> Path:
        return self.folder / "pebble.pem"

    def start(self, names_are_at: str) -> None:
        """Every name that it validates is at this address. A second call does nothing."""
        if self._started:
            return
        self._started = True
        bare = ["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", "", "-defaultIPv4", names_are_at]
        free = f"{self.address}:{free_port(self.address)}"
        self._begin(["pebble-challtestsrv", "-dns01", f"{self.address}:{self.dns}", "-management", free, *bare])
        self._begin(["pebble", "-config", str(self.folder / "pebble.json"), "-dnsserver", f"{self.address}:{self.dns}"])
        wait_until(lambda: _answers(self.address, self.port), 40, "pebble answers")

    def _begin(self, words: list[str]) -> None:
        log = self._running.enter_context((self.folder / f"{words[0]}.log").open("wb"))
        # It shall not wait, and neither refuse nor repeat anything by chance.
        steady = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0", "PEBBLE_AUTHZREUSE": "0"}
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **steady}
        )
        self._running.callback(process.wait)
        self._running.callback(process.kill)

    def root(self) -> str:
        """The certificate that a browser would have to trust, as PEM."""
        trusting = ssl.create_default_context(cafile=self.own_certificate)
        address = f"https://{self.address}:{self.management}/roots/0"
        with urllib.request.urlopen(address, timeout=5, context=trusting) as answer:
            return str(answer.read().decode())


@contextlib.contextmanager
def authority(folder: Path, address: str) -> Iterator[Authority]:
    """An authority at this address, not started yet; it is removed after the block."""
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as running:
        port, management, dns = (free_port(address) for _ in range(3))
        made = Authority(folder, address, port, management, dns, running)
        key = folder / "pebble.key"
        words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        words += ["-days", "2", "-subj", "/CN=pebble", "-addext", f"subjectAltName=IP:{address}"]
        command([*words, "-keyout", str(key), "-out", str(made.own_certificate)])
        settings = {
            "listenAddress": f"{address}:{made.port}",
            "managementListenAddress": f"{address}:{made.management}",
            "certificate": str(made.own_certificate),
            "privateKey": str(key),
            "httpPort": 80,
            "tlsPort": 443,
            "externalAccountBindingRequired": False,
            "certificateValidityPeriod": CERTIFICATES_LAST_SECONDS,
        }
        (folder / "pebble.json").write_text(json.dumps({"pebble": settings}))
        yield made


def install_traefik_for(authority: Authority, machine: Machine, entry_points: str = "") -> None:
    """Install Traefik with the project's own traefik.yml, using this authority and short-lived certificates."""
    install_traefik(machine, "traefik.yml")
    text = (DEPLOY_FOLDER / "traefik.yml").read_text(encoding="utf-8")
    ours = f"caServer: {authority.directory}\n      caCertificates: [{AT_HOME}]\n      certificatesDuration: 1\n      "
    for place, more in (("keyType: EC256", ours), ("traefik: {address", f"{entry_points}\n  ")):
        assert text.count(f" {place}") == 1
        text = text.replace(f" {place}", f" {more}{place}")
    machine.write(AT_HOME, authority.own_certificate.read_text())
    machine.write("/etc/traefik/traefik.yml", text)
    machine.run("systemctl restart traefik")


@dataclass(frozen=True)
class Answer:
    """A response to a visitor, and the certificate it came with."""

    status: int
    headers: dict[str, str]
    body: bytes
    issuer: str
    serial: str


def https_get(
    machine: Machine, name: str, path: str = "/", root: str = "", headers: dict[str, str] | None = None
) -> Answer:
    """One request over https. With a root the chain and the name are verified; SSLError when they do not hold."""
    trusting = ssl.create_default_context(cadata=root or None)
    if not root:
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    lines = "".join(f"{key}: {value}\r\n" for key, value in (headers or {}).items())
    request = f"GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n{lines}\r\n"
    with (
        socket.create_connection((machine.address, 443), 5) as raw,
        trusting.wrap_socket(raw, server_hostname=name) as connection,
    ):
        shown: dict[str, object] = dict(connection.getpeercert() or {})
        connection.sendall(request.encode())
        head, _, body = _all(connection).partition(b"\r\n\r\n")
    first, *fields = head.decode().split("\r\n")
    pairs = dict(field.split(": ", 1) for field in fields)
    issuer = str(shown.get("issuer", ""))
    return Answer(int(first.split()[1]), pairs, body, issuer, str(shown.get("serialNumber", "")))


def _all(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def free_port(address: str) -> int:
    with socket.create_server((address, 0)) as server:
        return int(server.getsockname()[1])


def _answers(address: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((address, port), 0.5):
        return True
    time.sleep(0.02)
    return False
