"""What visitors get from the real Traefik with the files and settings that reconcile writes; on loopback.

Visitors differ by their address in 127.0.0.0/8: 127.0.0.2 is a trusted proxy, 127.0.0.5 a balancer with the PROXY
protocol.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import http.server
import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from reconciler.model.route import Route, TcpRoute
from reconciler.model.secret import SecretRef
from reconciler.model.traefik import Traefik
from reconciler.tools.route_settings import RouteSettings
from reconciler.tools.traefik import route_text
from reconciler.tools.traefik_api import NotTraefiks, read_applied, read_rawdata
from reconciler.tools.traefik_static import static_settings
from tests.hosts.proxy import traefik_binary
from tests.hosts.stories.stoppable import node
from tests.support.child import killed_at_the_end

NAMED = b"PROXY TCP4 203.0.113.9 192.0.2.1 40000 80\r\n"
CDN, BALANCER, STRANGER, OFFICE = "127.0.0.2", "127.0.0.5", "127.0.0.3", "127.0.0.4"
PASSWORD = "me:$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"  # of "secret"
GUARDED = ("203.0.113.0/24", f"{OFFICE}/32")
ROUTES = {
    "guarded": Route(domains=("guarded.test",), tls=False, allow_ips=GUARDED),
    "inner": Route(domains=("guarded.test",), tls=False, path="/inner", allow_ips=("198.51.100.0/24",)),
    "secret": Route(domains=("secret.test",), tls=False, basic_auth=SecretRef(secret="s")),
    "handed": Route(domains=("handed.test",), tls=False, basic_auth=SecretRef(secret="s"), pass_password_on=True),
    "packed": Route(domains=("packed.test",), tls=False, compress=True),
    "tenants": Route(domains=("tenants.test", "*.tenants.test"), tls=False),
    "paths": Route(domains=("*.tenants.test",), tls=False, path="/deep/path/of/a/wildcard/that/is/long"),
    "exact": Route(domains=("one.tenants.test",), tls=False),
    "grpc": Route(domains=("grpc.test",), protocol="h2c"),
    "greeter": Route(tcp=TcpRoute(entry_point="alone")),
    "mute": Route(tcp=TcpRoute(entry_point="mixed")),
    "beside": Route(tcp=TcpRoute(entry_point="mixed", tls="terminate", domains=("beside.test",))),
}
H2C = """
const server = require('node:http2').createServer();
server.on('stream', (stream, headers) => {
  stream.respond({':status': 200, 'content-type': 'application/grpc'}, {waitForTrailers: true});
  stream.on('wantTrailers', () => stream.sendTrailers({'grpc-status': '0'}));
  stream.on('data', chunk => stream.write('got ' + chunk));
  stream.on('end', () => stream.end());
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
"""
CALL = """
const session = require('node:http2').connect(process.argv[1], {rejectUnauthorized: false, servername: 'grpc.test'});
const call = session.request({':method': 'POST', ':path': '/x.Y/Z', ':authority': 'grpc.test', te: 'trailers'});
let seen = '', trailers = {};
call.on('response', headers => { seen += headers[':status'] + ' '; });
call.on('trailers', found => { trailers = found; });
call.on('data', chunk => { seen += chunk + ' '; if (seen.includes('got two')) call.end(); else call.write('two'); });
call.on('end', () => { console.log(seen + trailers['grpc-status']); session.close(); });
call.write('one');
"""


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers with the name of the app and with the headers of the request."""

    def do_GET(self) -> None:
        body = json.dumps({name.lower(): value for name, value in self.headers.items()} | {"pad": "x" * 2000}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-App", str(self.connection.getsockname()[1]))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        """Nothing."""


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(each.getsockname()[1]) for each in found]


@dataclasses.dataclass(frozen=True)
class Lab:
    """A Traefik that serves these apps."""

    ports: dict[str, int]  # entry point →
    apps: dict[str, int]  # app → its port

    def get(
        self, host: str, path: str = "/", come_from: str = "127.0.0.1", first: bytes = b"", **headers: Any
    ) -> tuple[int, str, dict[str, str]]:
        """(status, the app that answered, the headers that it got). `first` is sent before the request."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.ports["web"], timeout=10, source_address=(come_from, 0)
        )
        with contextlib.closing(connection):
            connection.connect()
            connection.sock.sendall(first)
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request("GET", path, headers={"Host": host, **names})
            answer = connection.getresponse()
            body = answer.read()
            app = next((name for name, port in self.apps.items() if str(port) == answer.headers.get("X-App")), "")
            encoded = answer.headers.get("Content-Encoding")
            return answer.status, app, {"encoded": encoded} if encoded else json.loads(body) if app else {}

    def greeting(self, entry_point: str) -> bytes:
        """The first bytes that a client of the balancer gets who says nothing, within a second."""
        place = ("127.0.0.1", self.ports[entry_point])
        with socket.create_connection(place, timeout=1, source_address=(BALANCER, 0)) as client:
            client.sendall(NAMED)
            try:
                return client.recv(100)
            except TimeoutError:
                return b""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The real Traefik, with the settings and the files that reconcile writes."""
    folder = tmp_path_factory.mktemp("dynamic")
    names = ("web", "websecure", "alone", "mixed", "traefik")
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    with contextlib.ExitStack() as stack:
        apps = {name: stack.enter_context(_serving(name)) for name in ROUTES}
        traefik = Traefik(
            version="3.7.15",
            source="x",
            http_port=ports["web"],
            https_port=ports["websecure"],
            tcp_ports={name: ports[name] for name in ("alone", "mixed")},
            trusted_proxies=(CDN,),
            proxy_protocol=(BALANCER,),
        )
        for name, route in ROUTES.items():
            entry_point = route.tcp.entry_point if route.tcp else "websecure" if route.tls else "web"
            users = (PASSWORD,) if route.basic_auth else ()
            settings = RouteSettings(name, route, entry_point, None, users, traefik.trusted_proxies)
            (folder / f"{name}.yml").write_text(route_text(settings, str(apps[name])))
        environ = static_settings(traefik)
        environ |= {f"TRAEFIK_ENTRYPOINTS_{name.upper()}_ADDRESS": f"127.0.0.1:{port}" for name, port in ports.items()}
        environ["TRAEFIK_PROVIDERS_FILE_DIRECTORY"] = str(folder)
        process = subprocess.Popen([traefik_binary()], env=environ, stdout=subprocess.DEVNULL)
        stack.enter_context(killed_at_the_end(process))
        _wait_until_applied(ports["traefik"])
        yield Lab(ports, apps)


@contextlib.contextmanager
def _serving(name: str) -> Iterator[int]:
    """An app on a port of its own."""
    if ROUTES[name].protocol == "h2c":
        with killed_at_the_end(subprocess.Popen([node(), "-e", H2C], stdout=subprocess.PIPE, text=True)) as process:
            assert process.stdout
            yield int(process.stdout.readline())
        return
    if ROUTES[name].tcp:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            threading.Thread(target=_greet, args=(listener,), daemon=True).start()
            yield listener.getsockname()[1]
            listener.shutdown(socket.SHUT_RDWR)
        return
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def _greet(listener: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            client, _ = listener.accept()
            with client:
                client.sendall(b"220 hello\r\n")


def _wait_until_applied(api_port: int) -> None:
    end, problems = time.monotonic() + 30, {"": "Traefik does not answer"}
    while problems and time.monotonic() < end:
        time.sleep(0.05)
        with contextlib.suppress(OSError, http.client.HTTPException, NotTraefiks):
            connection = http.client.HTTPConnection("127.0.0.1", api_port, timeout=5)
            connection.request("GET", "/api/rawdata")
            rawdata = read_rawdata(connection.getresponse().read())
            found = {name: read_applied(name, rawdata) for name in ROUTES}
            problems = {name: str(each) for name, each in found.items() if each is None or each.problem}
    assert problems == {}


# --- who a visitor is


@pytest.mark.parametrize(
    ("come_from", "forwarded", "status"),
    [
        (CDN, "203.0.113.5", 200),
        (CDN, "198.51.100.9", 403),
        (CDN, "203.0.113.5, 198.51.100.9", 403),  # the first one is forged: the proxy has added the second
        (CDN, f"203.0.113.5, {CDN}", 200),  # through two of its machines
        (CDN, None, 403),
        (CDN, "nonsense", 403),
        (OFFICE, None, 200),
        (OFFICE, "198.51.100.9", 200),
        (STRANGER, None, 403),
        (STRANGER, "203.0.113.5", 403),
        (STRANGER, f"203.0.113.5, {CDN}", 403),
    ],
)
def test_address_ranges_judge_the_visitor_and_not_the_proxy(
    lab: Lab, come_from: str, forwarded: str | None, status: int
) -> None:
    headers: dict[str, Any] = {"X_Forwarded_For": forwarded} if forwarded else {}

    assert lab.get("guarded.test", come_from=come_from, **headers)[0] == status


def test_the_longer_path_wins_for_visitors_of_a_proxy_too(lab: Lab) -> None:
    """`/inner` has other ranges than the rest of the domain."""
    through: dict[str, Any] = {"come_from": CDN, "X_Forwarded_For": "198.51.100.9"}

    assert lab.get("guarded.test", "/inner/x", **through)[:2] == (200, "inner")
    assert lab.get("guarded.test", "/inner/x", come_from=OFFICE)[0] == 403
    assert lab.get("guarded.test", "/innermost", come_from=OFFICE)[:2] == (200, "guarded")


def test_a_balancer_names_the_visitor_by_the_proxy_protocol(lab: Lab) -> None:
    """Only one that is trusted: what any other says so counts for nothing."""
    first = NAMED

    status, app, headers = lab.get("packed.test", come_from=BALANCER, first=first)
    assert (status, app, headers["x-forwarded-for"]) == (200, "packed", "203.0.113.9")
    assert lab.get("guarded.test", come_from=BALANCER, first=first)[0] == 200
    assert lab.get("guarded.test", come_from=STRANGER, first=first)[0] == 403
    assert lab.get("packed.test", come_from=BALANCER)[0] == 200  # its own check, without the header


# --- what an app gets, and what a visitor


def test_the_password_of_a_route_is_not_handed_on_unless_that_is_written(lab: Lab) -> None:
    login: dict[str, Any] = {"Authorization": "Basic bWU6c2VjcmV0"}

    refused, secret, handed = lab.get("secret.test"), lab.get("secret.test", **login), lab.get("handed.test", **login)

    assert (refused[0], secret[:2], handed[:2]) == (401, (200, "secret"), (200, "handed"))
    assert "authorization" not in secret[2]
    assert handed[2]["authorization"] == login["Authorization"]


@pytest.mark.parametrize(
    ("accepts", "encoding"), [("gzip, deflate, br, zstd", "zstd"), ("gzip, br", "br"), ("gzip", "gzip"), ("", None)]
)
def test_a_visitor_gets_the_best_compression_that_it_takes(lab: Lab, accepts: str, encoding: str | None) -> None:
    assert lab.get("packed.test", Accept_Encoding=accepts)[2].get("encoded") == encoding


@pytest.mark.parametrize(
    ("host", "path", "status", "app"),
    [
        ("two.tenants.test", "/", 200, "tenants"),
        ("TWO.tenants.test", "/", 200, "tenants"),
        ("tenants.test", "/", 200, "tenants"),
        ("one.tenants.test", "/", 200, "exact"),
        ("one.tenants.test", "/deep/path/of/a/wildcard/that/is/long", 200, "exact"),
        ("two.tenants.test", "/deep/path/of/a/wildcard/that/is/long", 200, "paths"),
        ("a.b.tenants.test", "/", 404, ""),
        ("two.tenantsxtest", "/", 404, ""),
        ("tenants.test.evil.test", "/", 404, ""),
    ],
)
def test_a_wildcard_takes_the_names_that_no_other_app_has(
    lab: Lab, host: str, path: str, status: int, app: str
) -> None:
    assert lab.get(host, path)[:2] == (status, app)


def test_a_stream_of_grpc_goes_both_ways_and_ends_with_its_trailers(lab: Lab) -> None:
    address = f"https://127.0.0.1:{lab.ports['websecure']}"
    done = subprocess.run([node(), "-e", CALL, address], capture_output=True, text=True, check=False, timeout=20)

    assert done.stdout == "200 got one got two 0\n", done.stderr


def test_a_server_that_speaks_first_needs_an_entry_point_without_tls(lab: Lab) -> None:
    """Hence loading refuses the second one, see `speaks_first`."""
    assert lab.greeting("alone") == b"220 hello\r\n"
    assert lab.greeting("mixed") == b""
