"""`fetch: host`: the host downloads the archive itself, and unpacks only the bytes that the controller has checked."""

from __future__ import annotations

import datetime
import io
import ipaddress
import shutil
import ssl
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.hosts.machine import Machine
from tests.hosts.stories.conftest import NewProject
from tests.hosts.stories.project import Project, wait_for, yaml
from tests.hosts.stories.test_story_two_controllers import running
from tests.support.releases import sha256

pytestmark = pytest.mark.hosts


@dataclass
class Published:
    """An https server in the network of the test hosts. `asked`: from where, and with which program."""

    port: int = 0
    certificate: Path = Path()
    files: dict[str, bytes] = field(default_factory=dict)
    for_hosts: dict[str, bytes] = field(default_factory=dict)  # what others than the controller get instead
    asked: list[tuple[str, str]] = field(default_factory=list)


@pytest.fixture
def published(own: Machine, tmp_path: Path) -> Iterator[Published]:
    here = own.link.bridge.address
    served = Published(certificate=tmp_path / "certificate.pem")
    key = make_certificate(here, served.certificate)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            guest = self.client_address[0] != here
            served.asked.append(("host" if guest else "controller", self.headers["User-Agent"].partition("/")[0]))
            name = self.path.lstrip("/")
            content = served.for_hosts.get(name, served.files[name]) if guest else served.files[name]
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    web = ThreadingHTTPServer((here, 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(served.certificate, key)
    web.socket = context.wrap_socket(web.socket, server_side=True)
    served.port = web.server_port
    thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    own.run("cat >>/etc/ssl/certs/ca-certificates.crt", stdin=served.certificate.read_bytes())
    yield served
    web.shutdown()
    thread.join()
    web.server_close()


@pytest.fixture
def project(new_project: NewProject, own: Machine, published: Published) -> Project:
    """0.1.0 and 0.2.0 are published in a top folder, with the modes of somebody whose umask is 002."""
    project = new_project(own)
    for version in ("0.1.0", "0.2.0"):
        build = project.folder / "build" / f"{project.app}-{version}.tar.gz"
        build.write_bytes(in_top_folder(build))
        published.files[f"app-{version}.tar.gz?key=s3kret"] = build.read_bytes()
    source = f"https://{own.link.bridge.address}:{published.port}/app-{{version}}.tar.gz?key=s3kret"
    digest = sha256(project.folder / "build" / f"{project.app}-0.1.0.tar.gz")
    project.commit(artifact={"source": source, "sha256": digest, "fetch": "host"})
    return project


def test_a_host_fetches_the_archive_that_the_controller_has_checked(
    project: Project, own: Machine, published: Published
) -> None:
    trust = {"SSL_CERT_FILE": str(published.certificate)}

    result = project.once(**trust)
    assert (result.code, result.verbs) == (1, [])
    assert "it has neither curl nor wget: install one of them, or leave out fetch: host" in result.told
    assert project.lies() == {}

    give(own, "curl")
    result = project.once(**trust)
    assert result.code == 0, str(result)
    assert project.get() == (200, b"Hello from app 0.1.0\n")
    assert published.asked == [("controller", "reconcile"), ("host", "curl")]
    assert project.lies()["release"] == [project.release_id("0.1.0")]
    owned = own.run(f"find /srv/{project.app}/releases -mindepth 1 ! -type l -printf '%U:%G %m\\n' | sort -u").stdout
    assert owned == "0:0 644\n0:0 755\n"

    # Somebody gives the host other bytes than the controller got. It has only wget by now.
    own.run("rm /usr/local/bin/curl")
    give(own, "wget")
    build = project.folder / "build" / f"{project.app}-0.2.0.tar.gz"
    published.for_hosts["app-0.2.0.tar.gz?key=s3kret"] = build.read_bytes() + b"x"
    project.commit(version="0.2.0", artifact=project.keys["artifact"] | {"sha256": sha256(build)})
    result = project.once(**trust)
    assert (result.code, result.verbs) == (1, [])
    assert "what this host fetched for 0.2.0-" in result.told and "its sha256 is another" in result.told
    assert project.get() == (200, b"Hello from app 0.1.0\n")
    assert project.lies()["release"] == [project.release_id("0.1.0")]

    published.for_hosts.clear()
    result = project.once(**trust)
    assert result.code == 0, str(result)
    assert project.version_served == "0.2.0"
    assert published.asked[2:] == [("controller", "reconcile"), ("host", "Wget"), ("host", "Wget")]
    assert "s3kret" not in result.out + result.err
    assert own.run("grep -rs s3kret /srv /etc /var/lib/reconcile", check=False).stdout == ""


@pytest.mark.parametrize("user", ["root", "deploy"])
def test_a_fetch_on_the_host_ends_when_its_controller_dies(
    project: Project, own: Machine, published: Published, user: str
) -> None:
    """Even through sudo, which passes no signal on: no process is left, and the app is not locked."""
    own.write("/usr/local/bin/curl", "#!/bin/sh\nexec sleep 600\n", 0o755)
    fleet = project.folder / "desired-state" / "fleet.yaml"
    fleet.write_text(f"hosts: {yaml({own.name: {'address': own.address, 'user': user}})}\n")
    project.commit()
    project.environ["SSL_CERT_FILE"] = str(published.certificate)

    def fetching() -> bool:
        return "600" in own.run("for each in /proc/[0-9]*; do grep -az '^600$' $each/cmdline; done || :").stdout

    with running(project, "--once") as controller:
        wait_for(fetching, 30, "the host fetches")
        controller.kill()
        wait_for(lambda: not fetching(), 15, "the fetch ends")

    assert (
        own.run(f"flock -n /var/lib/reconcile/{project.app}/lock true; ls -A /srv/{project.app}/releases").stdout == ""
    )


def in_top_folder(tarball: Path) -> bytes:
    """The release as somebody packs it on a Mac: in a folder, and with that system's attributes beside its files."""
    buffer = io.BytesIO()
    with tarfile.open(tarball) as old, tarfile.open(fileobj=buffer, mode="w:gz") as new:
        for info in old.getmembers():
            content = old.extractfile(info) if info.isfile() else None
            info.name, info.mode, info.uid, info.gid = f"./app/{info.name}", info.mode | 0o020, 1000, 1000
            new.addfile(info, content)
        for name in ("./._app", "./app/.DS_Store", "./app/bin/._app", "./__MACOSX/app/._bin"):
            attributes = tarfile.TarInfo(name)
            attributes.size = 120
            new.addfile(attributes, io.BytesIO(b"\0\5\26\7".ljust(120, b"\0")))
    return buffer.getvalue()


def give(machine: Machine, program: str) -> None:
    """This machine's own curl or wget with all its libraries, in a folder of its own."""
    binary = shutil.which(program)
    if binary is None:
        pytest.skip(f"there is no {program} here to give to the host")
    listed = subprocess.run(["ldd", binary], check=True, capture_output=True, text=True).stdout.split()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", dereference=True) as archive:
        for path in {binary, *(word for word in listed if word.startswith("/"))}:
            archive.add(path, arcname=Path(path).name)
    loader = next(Path(word).name for word in listed if "/ld-" in word)
    place = f"/opt/{program}"
    machine.run(f"mkdir {place} && tar -xf - -C {place}", stdin=buffer.getvalue())
    start = f'#!/bin/sh\nexec {place}/{loader} --library-path {place} {place}/{program} "$@"\n'
    machine.write(f"/usr/local/bin/{program}", start, 0o755)


def make_certificate(address: str, path: Path) -> Path:
    """A certificate for this address that vouches for itself; the path of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "artifacts")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path = path.with_suffix(".key")
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    key_path.write_bytes(key.private_bytes(pem, form, serialization.NoEncryption()))
    return key_path
