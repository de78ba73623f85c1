"""Routes in a real etcd of three members: one transaction, two controllers, a member that is gone."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from reconciler.apply.etcd import Etcd, EtcdFailed
from reconciler.apply.etcd_routes import RouteClaimed, write_route
from reconciler.errors import HostLocked
from reconciler.host.local import LocalHost
from reconciler.tools.etcd import EtcdAccess
from reconciler.tools.traefik_keys import SEED, record_key, route_keys
from tests.hosts.stories.project import wait_for
from tests.support.etcd import Cluster, etcd_cluster, own_address
from tests.tools.test_traefik import settings

T = TypeVar("T")
ME, OTHER = "git@example.com:shop", "git@example.com:other"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with etcd_cluster(tmp_path_factory.mktemp("etcd")) as cluster:
        yield cluster


@pytest.fixture
def cluster(running: Cluster) -> Iterator[Cluster]:
    """All three members, and nothing in them."""
    for member in running.members:
        if member.process is None:
            member.start()
    running.wait()
    running.ctl("del", "", "--from-key=true")
    yield running


def keys_of(app: str, slot: str = "4001") -> dict[str, str]:
    route = settings(app)
    return route_keys(route.content(slot, route.marker(slot, route.digest(slot))))


def asked(cluster: Cluster, question: Callable[[Etcd], Awaitable[T]], **access: str) -> T:
    async def story() -> T:
        etcd = Etcd(LocalHost("lb1"), EtcdAccess(cluster.endpoints, **access))
        try:
            return await question(etcd)
        finally:
            await etcd.close()

    return asyncio.run(story())


def written(cluster: Cluster, app: str, keys: dict[str, str], owner: str = ME) -> bool:
    return asked(cluster, lambda etcd: write_route(etcd, app, owner, keys))


def held(cluster: Cluster) -> dict[str, str]:
    """Every key of Traefik's tree, but for the one that always stays."""
    lines = cluster.ctl("get", "traefik/", "--prefix").splitlines()
    found = dict(zip(lines[::2], lines[1::2], strict=True))
    assert {key: found.pop(key) for key in SEED} == SEED
    return found


def revision(cluster: Cluster) -> str:
    return cluster.ctl("get", "nothing", "--write-out=json").partition('"revision":')[2].partition(",")[0]


def test_a_route_is_written_in_one_transaction_and_only_when_it_differs(cluster: Cluster) -> None:
    first = int(revision(cluster))
    assert written(cluster, "shop", keys_of("shop", "4000"))
    assert written(cluster, "shop", keys_of("shop", "4001"))
    assert not written(cluster, "shop", keys_of("shop", "4001"))
    assert held(cluster) == keys_of("shop", "4001")
    assert int(revision(cluster)) == first + 2


def test_what_somebody_changes_is_put_back_and_apps_do_not_touch_each_other(cluster: Cluster) -> None:
    written(cluster, "shop", keys_of("shop"))
    written(cluster, "shop-api", keys_of("shop-api"))
    cluster.ctl("put", "traefik/http/services/shop/loadBalancer/servers/0/url", "http://203.0.113.1")
    cluster.ctl("put", "traefik/http/routers/theirs/rule", "Host(`theirs.example`)")
    assert written(cluster, "shop", keys_of("shop"))
    everything = keys_of("shop") | keys_of("shop-api")
    assert held(cluster) == everything | {"traefik/http/routers/theirs/rule": "Host(`theirs.example`)"}

    assert written(cluster, "shop", {})
    assert not written(cluster, "shop", {})
    assert held(cluster) == keys_of("shop-api") | {"traefik/http/routers/theirs/rule": "Host(`theirs.example`)"}
    assert cluster.ctl("get", record_key("shop")) == ""


def test_the_route_of_another_owner_and_keys_of_nobodys_are_refused(cluster: Cluster) -> None:
    written(cluster, "shop", keys_of("shop"), OTHER)
    with pytest.raises(RouteClaimed, match=f"the route of shop in etcd belongs to {OTHER}"):
        written(cluster, "shop", keys_of("shop"))
    with pytest.raises(RouteClaimed):
        written(cluster, "shop", {})
    cluster.ctl("put", "traefik/http/routers/blog/rule", "Host(`x`)")
    with pytest.raises(RouteClaimed, match="routers/blog/rule, which reconcile did not write"):
        written(cluster, "blog", keys_of("blog"))
    cluster.ctl("put", record_key("wiki"), '{"form": "reconcile 1", "owner": "x", "keys": ["/etc/passwd"]}')
    with pytest.raises(RouteClaimed, match="is not one of reconcile's"):
        written(cluster, "wiki", {})


def test_of_two_controllers_that_write_at_once_one_sees_what_the_other_wrote(cluster: Cluster) -> None:
    """The second one's transaction does not go through; it looks again and writes its own on top, as a whole."""

    async def story() -> list[bool]:
        mine, theirs = (Etcd(LocalHost("lb1"), EtcdAccess(cluster.endpoints)) for _ in range(2))
        looked = mine.look

        async def look_and_lose(*words: object) -> object:
            found = await looked(*words)  # type: ignore[arg-type]
            mine.look = looked  # type: ignore[method-assign]
            await write_route(theirs, "shop", ME, keys_of("shop", "4000"))
            return found

        mine.look = look_and_lose  # type: ignore[method-assign, assignment]
        try:
            return [await write_route(mine, "shop", ME, keys_of("shop", "4001"))]
        finally:
            await mine.close()
            await theirs.close()

    assert asyncio.run(story()) == [True]
    assert held(cluster) == keys_of("shop", "4001")


def test_a_controller_that_has_lost_the_edge_writes_nothing(cluster: Cluster) -> None:
    """It is asked between the look at etcd and the write: what another one writes after that makes ours fail."""
    written(cluster, "shop", keys_of("shop", "4000"))
    asked_for = []

    async def lost() -> None:
        asked_for.append("the lease")
        raise HostLocked("lb1", "another controller has this host")

    for wanted in (keys_of("shop", "4001"), {}):
        with pytest.raises(HostLocked):
            asked(cluster, lambda etcd, wanted=wanted: write_route(etcd, "shop", ME, wanted, lost))  # type: ignore[misc]
    assert held(cluster) == keys_of("shop", "4000")
    assert not asked(cluster, lambda etcd: write_route(etcd, "shop", ME, keys_of("shop", "4000"), lost))
    assert len(asked_for) == 2


def test_a_killed_or_silent_member_is_passed_over_and_without_a_majority_it_is_told(cluster: Cluster) -> None:
    first, second, third = cluster.members
    first.kill()
    cluster.wait()
    assert written(cluster, "shop", keys_of("shop", "4000"))
    cluster.ctl("compact", revision(cluster))
    assert written(cluster, "shop", keys_of("shop", "4001"))

    first.start()
    cluster.wait()
    assert second.process and third.process
    second.process.send_signal(signal.SIGSTOP)
    try:
        assert written(cluster, "blog", keys_of("blog"))
        third.kill()
        with pytest.raises(EtcdFailed, match=r"no member of etcd answers; .*2379: ") as told:
            written(cluster, "shop", {})
        assert all(endpoint in str(told.value) for endpoint in cluster.endpoints)
    finally:
        second.process.send_signal(signal.SIGCONT)
    third.start()
    cluster.wait()
    assert held(cluster) == keys_of("shop", "4001") | keys_of("blog")


def test_a_user_with_a_password_is_let_in_and_a_wrong_one_is_told_without_it(cluster: Cluster) -> None:
    cluster.ctl("user", "add", "root:s3cret-word")
    cluster.ctl("user", "grant-role", "root", "root")
    cluster.ctl("auth", "enable")
    try:
        wanted = keys_of("shop")
        assert asked(cluster, lambda etcd: write_route(etcd, "shop", ME, wanted), user="root", password="s3cret-word")
        for access in ({"user": "root", "password": "wrong-word"}, {}):
            with pytest.raises(EtcdFailed, match="etcd refuses: ") as told:
                asked(cluster, lambda etcd: write_route(etcd, "shop", ME, wanted), **access)
            assert "word" not in str(told.value).replace("password", "")
    finally:
        cluster.ctl("--user=root:s3cret-word", "auth", "disable")
        cluster.ctl("user", "delete", "root")


def certificates(folder: Path, address: str) -> dict[str, str]:
    """A CA, and a server's and a client's certificate of it: name of the file → path."""
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]

    def make(name: str, *words: str) -> None:
        out = ["-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}"]
        subprocess.run([*new, *out, *words], cwd=folder, check=True, capture_output=True)

    make("ca")
    # etcd's gateway asks its own member with the server's certificate, which therefore has to be a client's too.
    for name, usage in (("server", "serverAuth,clientAuth"), ("client", "clientAuth")):
        make(name, "-CA", "ca.pem", "-CAkey", "ca.key", "-addext", f"extendedKeyUsage={usage}",
             "-addext", f"subjectAltName=IP:{address}", "-addext", "basicConstraints=critical,CA:FALSE")  # fmt: skip
    return {path.name: str(path) for path in folder.iterdir()}


def test_a_member_proves_who_it_is_and_we_prove_who_we_are(tmp_path: Path) -> None:
    """By certificates. Each that is missing or does not fit is told."""
    files = certificates(tmp_path, own_address(3))
    words = ["--client-cert-auth", "--trusted-ca-file", files["ca.pem"]]
    words += ["--cert-file", files["server.pem"], "--key-file", files["server.key"]]
    texts = {name: Path(path).read_text() for name, path in files.items()}
    right = {"ca": texts["ca.pem"], "certificate": texts["client.pem"], "key": texts["client.key"]}
    with etcd_cluster(tmp_path, *words, size=1, first=3, scheme="https") as cluster:

        def write(**access: str) -> bool:
            return asked(cluster, lambda etcd: write_route(etcd, "shop", ME, keys_of("shop")), **access)

        wait_for(lambda: succeeds(lambda: write(**right)), 20, "etcd takes the route")
        with pytest.raises(EtcdFailed, match="its certificate is not trusted"):
            write(**right | {"ca": ""})
        with pytest.raises(EtcdFailed, match="it does not accept our certificate, or there is none"):
            write(ca=right["ca"])
        with pytest.raises(EtcdFailed, match="must be PEM, with the key that fits"):
            write(**right | {"key": texts["ca.key"]})


def succeeds(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except EtcdFailed:
        return False
    return True


@pytest.mark.parametrize("says", ["", "[]", '{"responses": [{"response_range": {"kvs": [7]}}]}', "x" * 100])
def test_what_is_no_etcd_is_named(says: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(says)}\r\n\r\n{says}".encode())
        await writer.drain()

    async def story() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        etcd = Etcd(LocalHost("lb1"), EtcdAccess((f"http://127.0.0.1:{port}",)))
        try:
            with pytest.raises(EtcdFailed, match="this is no etcd"):
                await etcd.look(("a",), ())
        finally:
            await etcd.close()
            server.close()

    asyncio.run(story())


def test_nothing_is_left_in_the_folder_for_temporary_files(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("t")
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    written(cluster, "shop", keys_of("shop"))
    assert list(folder.iterdir()) == []
