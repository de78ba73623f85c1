"""The webhook wakes the loop for a sender that knows the secret, and does nothing else."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable

import pytest
from pydantic import SecretStr

from reconciler.daemon import http_server
from reconciler.daemon.http_server import TEXT, Answer, read_listen, serve
from reconciler.daemon.webhook import Gathered, is_genuine, serve_webhook
from reconciler.errors import UsageError

SECRET = "correct horse battery"
BODY = b'{"ref": "refs/heads/main"}'


def signature(body: bytes = BODY, secret: str = SECRET) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def signed(headers: dict[str, str]) -> bytes:
    return request("POST", "/webhook", BODY, **headers)


def request(method: str, path: str, body: bytes, **headers: str) -> bytes:
    named = {"Host": "x", "Content-Length": str(len(body))} | {
        key.replace("_", "-"): value for key, value in headers.items()
    }
    head = "".join(f"{key}: {value}\r\n" for key, value in named.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body


async def ask(port: int, *pieces: bytes, pause: float = 0.0) -> tuple[int, str, bytes]:
    """Status (0: no answer), head and body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)
        said = await asyncio.wait_for(reader.read(), 5)
    except ConnectionError:
        said = b""
    finally:
        writer.close()
    head, _, body = said.partition(b"\r\n\r\n")
    return int(head.split()[1]) if head else 0, head.decode(), body


def served(talk: Callable[[int], Awaitable[None]], address: str = "127.0.0.1") -> list[str]:
    """The wake-ups that the talk led to."""
    woken: list[str] = []

    async def run() -> None:
        get = {"/healthz": lambda: (200, TEXT, b"ok\n"), "/broken": broken, "/large": lambda: (200, TEXT, b"x" * 10**7)}
        server = await serve_webhook(f"{address}:0", SecretStr(SECRET), lambda: woken.append("woken"), get)
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: woken.append(str(context["exception"])))
        try:
            await talk(server.sockets[0].getsockname()[1])
        finally:
            server.close()
            await server.wait_closed()

    asyncio.run(run())
    return woken


def broken() -> Answer:
    raise ValueError("a secret in here")


@pytest.mark.parametrize(
    "headers",
    [
        {"X_Hub_Signature_256": signature()},
        {"x_hub_signature_256": signature(), "X_GitHub_Event": "push"},
        {"X_Reconcile_Signature": signature()},
        {"X_Reconcile_Signature": signature().removeprefix("sha256=")},
        {"X_Gitlab_Token": SECRET},
        {"X_Hub_Signature_256": signature(), "X_Gitlab_Token": SECRET},
    ],
)
def test_a_signed_request_wakes_the_loop(headers: dict[str, str]) -> None:
    async def talk(port: int) -> None:
        assert (await ask(port, signed(headers)))[0] == 202

    assert served(talk) == ["woken"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X_Hub_Signature_256": ""},
        {"X_Hub_Signature_256": "sha256="},
        {"X_Hub_Signature_256": signature(b"another body")},
        {"X_Hub_Signature_256": signature(secret="another secret")},
        {"X_Hub_Signature_256": signature()[:-1]},
        {"X_Hub_Signature_256": signature().upper()},
        {"X_Hub_Signature_256": signature().replace("sha256", "sha1")},
        {"X_Hub_Signature": signature()},
        {"X_Hub_Signature_256": SECRET},
        {"X_Gitlab_Token": "wrong"},
        {"X_Gitlab_Token": ""},
        {"X_Gitlab_Token": "\xe4\xf6"},
        {"X_Gitlab_Token": signature()},
        {"X_Hub_Signature_256": "\xe4", "X_Gitlab_Token": SECRET},
        {"X_Hub_Signature_256": signature(), "X_Gitlab_Token": "wrong"},
        {"Authorization": f"Bearer {SECRET}"},
    ],
)
def test_a_request_without_a_valid_signature_gets_401_and_does_not_wake(headers: dict[str, str]) -> None:
    async def talk(port: int) -> None:
        assert (await ask(port, signed(headers)))[0] == 401

    assert served(talk) == []


def test_two_signatures_of_one_kind_must_both_be_right() -> None:
    key = SECRET.encode()
    headers = {"x-hub-signature-256": (signature(), signature(b"another"))}

    assert (is_genuine(key, headers, BODY), is_genuine(key, {}, BODY)) == (False, False)


def test_the_secret_can_contain_any_character() -> None:
    secret = "schlüssel-äöü-12"
    as_read = secret.encode().decode("latin-1")

    assert is_genuine(secret.encode(), {"x-gitlab-token": (as_read,)}, b"")


def test_the_payload_is_never_read() -> None:
    """Whatever it says, a genuine request is one and the same wake-up."""
    bodies = [b"", b"\xff\x00 not json", json.dumps({"ref": "x" * 100_000}).encode(), b"[" * 100_000]

    async def talk(port: int) -> None:
        for body in bodies:
            assert (await ask(port, request("POST", "/webhook", body, X_Hub_Signature_256=signature(body))))[0] == 202

    assert served(talk) == ["woken"]


def test_a_flood_of_valid_requests_wakes_once_at_its_start_and_once_at_its_end() -> None:
    woken: list[str] = []

    async def flood() -> None:
        wake = Gathered(lambda: woken.append("woken"), 0.1)
        for _ in range(1000):
            wake()
        assert len(woken) == 1
        await asyncio.sleep(0.15)
        assert len(woken) == 2
        await asyncio.sleep(0.25)
        wake()
        await asyncio.sleep(0.15)

    asyncio.run(flood())
    assert len(woken) == 3


def test_a_large_body_is_refused_before_and_while_it_arrives() -> None:
    async def talk(port: int) -> None:
        stated = await ask(port, request("POST", "/webhook", b"", Content_Length=str((1 << 20) + 1)))
        chunk = b"%x\r\n" % 65536 + b"x" * 65536 + b"\r\n"
        head = b"POST /webhook HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        chunked = await ask(port, head, *[chunk] * 17)
        whole = b"x" * (1 << 20)
        largest = await ask(port, request("POST", "/webhook", whole, X_Hub_Signature_256=signature(whole)))
        assert (stated[0], chunked[0], largest[0]) == (413, 413, 202)

    assert served(talk) == ["woken"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/", 404), ("POST", "/webhook/", 404), ("POST", "/WEBHOOK", 404), ("GET", "/webhook", 405),
        ("PUT", "/webhook", 405), ("POST", "/healthz", 405), ("GET", "/healthz", 200), ("GET", "/healthz?x=1", 200),
        ("HEAD", "/healthz", 200), ("DELETE", "/healthz", 405), ("GET", "http://x/healthz", 404), ("OPTIONS", "*", 404),
        ("GET", "/../healthz", 404), ("GET", "/broken", 500),
    ],
)  # fmt: skip
def test_only_the_known_paths_and_methods_are_there(method: str, path: str, status: int) -> None:
    async def talk(port: int) -> None:
        found, _, body = await ask(port, request(method, path, b"", X_Gitlab_Token=SECRET))
        assert (found, b"secret" in body) == (status, False)
        assert (method == "HEAD") == (body == b"")

    assert served(talk) == (["a secret in here"] if status == 500 else [])


def test_a_long_answer_arrives_whole() -> None:
    async def talk(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("GET", "/large", b""))
        await asyncio.sleep(0.2)
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        assert (head.split()[1], len(body), b"Connection: close" in head) == (b"200", 10**7, True)

    served(talk)


@pytest.mark.parametrize(
    "said",
    [
        b"nonsense\r\n\r\n", b"\x16\x03\x01\x02\x00", b"GET /healthz HTTP/1.1\r\n\r\n",
        b"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 70_000,
        b"GET /" + b"a" * 70_000,
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 12_000,
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y",
        b"GET /healthz\0 HTTP/1.1\r\nHost: x",
        b"GET /healthz HTTP/9.9\r\nHost: x\r\n: y",
        b"POST /webhook HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 40,
        b"POST /webhook HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0",
    ],
)  # fmt: skip
def test_a_malformed_request_gets_an_error_and_the_server_goes_on(said: bytes) -> None:
    async def talk(port: int) -> None:
        status, _, _ = await ask(port, said + b"\r\n\r\n")
        assert status in (400, 413, 431, 501)
        assert (await ask(port, request("GET", "/healthz", b"")))[0] == 200

    assert served(talk) == []


def test_a_client_that_disconnects_early_does_no_harm() -> None:
    async def talk(port: int) -> None:
        for said in (b"", b"POST /web", request("POST", "/webhook", BODY, X_Gitlab_Token=SECRET)[:-5]):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(said)
            await writer.drain()
            writer.transport.abort()
        await asyncio.sleep(0.05)
        assert (await ask(port, request("GET", "/healthz", b"")))[0] == 200

    assert served(talk) == []


def test_a_slow_request_is_given_up() -> None:
    async def run() -> None:
        server = await serve("127.0.0.1:0", {"/healthz": lambda: (200, TEXT, b"")}, read_seconds=0.2)
        port = server.sockets[0].getsockname()[1]
        assert (await ask(port, b"GET /healthz HTTP/1.1\r\n"))[0] == 408
        server.close()

    asyncio.run(run())


def test_idle_connections_do_not_lock_others_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest idle connection of that client is closed, silent, half-sent or not reading; another client's stays."""
    monkeypatch.setattr(http_server, "_MOST_CONNECTIONS", 4)

    async def talk(port: int) -> None:
        for said in (b"", b"GET /healthz HTT", request("GET", "/large", b"")):
            idle = []
            for number in range(12):
                idle.append(await asyncio.open_connection("127.0.0.2", port, local_addr=("127.0.0.2", 0)))
                idle[-1][1].write(said)
                await asyncio.sleep(0.005)
                if not number:
                    slow = await asyncio.open_connection("127.0.0.1", port)
                    slow[1].write(b"GET /healthz HTTP/1.1\r\n")
            assert (await ask(port, request("GET", "/healthz", b"")))[0] == 200
            slow[1].write(b"Host: x\r\n\r\n")
            assert (await asyncio.wait_for(slow[0].read(), 5)).startswith(b"HTTP/1.1 200")
            for _, writer in (*idle, slow):
                writer.transport.abort()

    assert served(talk, "0.0.0.0") == []


def test_a_sender_with_expect_100_is_told_to_continue() -> None:
    async def talk(port: int) -> None:
        head, body = request("POST", "/webhook", BODY, X_Gitlab_Token=SECRET, Expect="100-continue").split(b"\r\n\r\n")
        status, said, rest = await ask(port, head + b"\r\n\r\n", body, pause=0.05)
        assert (status, said.startswith("HTTP/1.1 100"), rest.startswith(b"HTTP/1.1 202")) == (100, True, True)

    assert served(talk) == ["woken"]


@pytest.mark.parametrize("secret", ["", "short", "x" * 15])
def test_a_short_secret_is_refused(secret: str) -> None:
    with pytest.raises(UsageError, match="too short") as refused:
        asyncio.run(serve_webhook("127.0.0.1:0", SecretStr(secret), lambda: None))

    assert "openssl rand" in refused.value.next_step


@pytest.mark.parametrize(
    "listen", ["", ":80", "9100", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000", "::1:80", "a b:1"]
)
def test_a_listen_address_needs_a_host_and_a_port(listen: str) -> None:
    with pytest.raises(UsageError):
        read_listen(listen)


def test_an_address_to_listen_on_has_a_name_and_a_port() -> None:
    assert [read_listen(text) for text in ("127.0.0.1:9100", "[::1]:9100", "localhost:0")] == [
        ("127.0.0.1", 9100), ("::1", 9100), ("localhost", 0),
    ]  # fmt: skip


def test_a_port_that_is_taken_is_said() -> None:
    async def run() -> None:
        server = await serve("127.0.0.1:0", {})
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(UsageError, match=f"cannot listen on 127.0.0.1:{port}"):
            await serve(f"127.0.0.1:{port}", {})
        server.close()

    asyncio.run(run())
