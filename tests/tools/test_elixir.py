"""Nodes: how they are named and reached, what may be written about them, and what a process says of itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.desired_state.load import load
from reconciler.errors import InvalidDesiredState
from reconciler.model.desired import App
from reconciler.model.identity import Identity
from reconciler.model.machine import HostSpec
from reconciler.model.traefik import Traefik
from reconciler.targets.resolve import cluster_of, resolve
from reconciler.targets.site import HostSite
from reconciler.targets.target_files import TargetFiles
from reconciler.tools.elixir import Node, read_node
from reconciler.tools.systemd import epmd_text

COOKIE = {"RELEASE_COOKIE": {"secret": "hello/cookie"}}
HOSTS = {name: HostSpec(address=name, private_address=f"10.0.0.{number}") for number, name in enumerate("abc", 1)}


def app(distribution: str, **keys: object) -> App:
    base = {"app": "my-app", "version": "1", "artifact": {"source": "x"}, "hosts": ["a"], "ports": [4000, 4001]}
    return App.model_validate(base | {"distribution": distribution, "env": COOKIE} | keys)


def target(wanted: App, spec: HostSpec = HOSTS["a"]) -> TargetFiles:
    cluster = cluster_of(wanted, (HOSTS[name] for name in wanted.hosts))
    return resolve(
        wanted, HostSite("a", spec, (8080, 8081)), Traefik(), Path(), "0" * 64, lambda name: "c00kie", cluster
    )


def unit(wanted: App, spec: HostSpec = HOSTS["a"]) -> str:
    return target(wanted, spec).unit_text()


def test_without_distribution_no_erlang_setting_is_written() -> None:
    text = unit(app("none"))

    assert "RELEASE_DISTRIBUTION=none RELEASE_NODE=my_app_%i\n" in text
    assert "epmd" not in text.replace("never starts epmd", "")
    assert "ZFLAGS" not in text


def test_a_node_of_one_host_is_found_without_a_name_service_and_listens_on_loopback() -> None:
    """Its own port mapper, in known ports; never one that is started by the slot and dies with it."""
    text = unit(app("sname"))

    assert "RELEASE_DISTRIBUTION=sname RELEASE_NODE=my_app_%i@localhost\n" in text
    assert "Wants=reconcile-epmd.service\n" in text
    assert (
        'Environment=ERL_EPMD_PORT=14368 "ERL_ZFLAGS=-start_epmd false -kernel inet_dist_use_interface {127,0,0,1} '
        'inet_dist_listen_min 14369 inet_dist_listen_max 14468"\n'
    ) in text


def test_a_node_of_a_cluster_is_named_by_the_private_address_and_listens_only_there() -> None:
    text = unit(app("name"))

    assert "RELEASE_NODE=my_app_%i@10.0.0.1\n" in text
    assert "inet_dist_use_interface {10,0,0,1} " in text


def test_every_host_of_a_cluster_knows_the_same_nodes() -> None:
    """Each slot of each host, running or not: it changes with the desired state only, never with a swap."""
    assert target(app("name", hosts=["a", "b"])).variables["RECONCILE_CLUSTER"] == (
        "my_app_4000@10.0.0.1 my_app_4001@10.0.0.1 my_app_4000@10.0.0.2 my_app_4001@10.0.0.2"
    )
    assert cluster_of(app("name", hosts=["b"], ports=[]), [HOSTS["b"]]) == ("my_app_worker@10.0.0.2",)
    assert "RECONCILE_CLUSTER" not in target(app("sname")).variables


def test_the_port_mapper_listens_on_the_private_address_of_its_host_or_on_loopback() -> None:
    """Its text depends on the host alone, so all apps agree on it."""
    assert "ERL_EPMD_ADDRESS=10.0.0.1\nExecStart=/srv/reconcile-epmd/epmd\n" in epmd_text("/srv", "10.0.0.1")
    assert "ERL_EPMD_ADDRESS=127.0.0.1\n" in epmd_text("/srv", None)


def test_only_a_slot_with_distribution_brings_the_port_mapper() -> None:
    identity = Identity("1-0", "e", "u")

    assert sorted(target(app("none")).slot_files(identity)) == ["env", "unit"]
    assert sorted(target(app("sname")).slot_files(identity)) == ["env", "epmd", "unit"]


def problems(tmp_path: Path, text: str, fleet: str = "") -> list[str]:
    (tmp_path / "apps").mkdir()
    (tmp_path / "apps/a.yaml").write_text(f"app: a\nversion: 1\nartifact: {{source: x}}\nports: [4000, 4001]\n{text}")
    (tmp_path / "fleet.yaml").write_text(fleet)
    try:
        load(tmp_path, working_tree=True)
    except InvalidDesiredState as error:
        return [str(problem).removeprefix(f"{tmp_path}/") for problem in error.problems]
    return []


BOTH = "hosts: {a: {address: a, private_address: 10.0.0.1}, b: {address: b, private_address: 100.64.0.2}}\n"
SECRET = "env: {RELEASE_COOKIE: {secret: a/cookie}}\n"


@pytest.mark.parametrize("cookie", ["", "env: {RELEASE_COOKIE: monster}\n"])
@pytest.mark.parametrize("where", ["hosts: [a]\ndistribution: sname\n", "hosts: [a, b]\n"])
def test_a_node_needs_a_cookie_that_is_a_secret(tmp_path: Path, where: str, cookie: str) -> None:
    """On one host as on several, and also when the distribution is the fleet's default."""
    (problem,) = problems(tmp_path, f"{where}{cookie}", BOTH + "defaults: {distribution: name}\n")

    assert "the default cookie is in the tarball for all to read" in problem
    assert "RELEASE_COOKIE: {secret: NAME}" in problem
    assert "reconcile secrets set NAME" in problem


def test_a_cluster_needs_a_private_address_of_each_host(tmp_path: Path) -> None:
    fleet = BOTH.replace(", private_address: 100.64.0.2", "")

    (problem,) = problems(tmp_path, f"hosts: [a, b]\ndistribution: name\n{SECRET}", fleet)

    assert problem.startswith("apps/a.yaml:5:12  hosts[1]: the nodes on other hosts cannot reach b; write")


def test_a_cluster_with_both_loads(tmp_path: Path) -> None:
    assert problems(tmp_path, f"hosts: [a, b]\ndistribution: name\n{SECRET}", BOTH) == []


@pytest.mark.parametrize("address", ["203.0.113.7x", "8.8.8.8", "127.0.0.1", "0.0.0.0", "fd00::1", "10.0.0"])
def test_only_a_private_ipv4_address_is_one(tmp_path: Path, address: str) -> None:
    """What listens there is not encrypted."""
    fleet = BOTH.replace("10.0.0.1", f'"{address}"')

    (problem,) = problems(tmp_path, "hosts: [a]\n", fleet)

    assert "private_address" in problem


def test_variables_by_which_nodes_find_each_other_are_ours(tmp_path: Path) -> None:
    (problem,) = problems(
        tmp_path, "hosts: [a]\ndistribution: sname\nenv: {ERL_ZFLAGS: -x, RELEASE_COOKIE: {secret: c}}\n", BOTH
    )

    assert "ERL_ZFLAGS is set by reconcile for distribution" in problem


SAID = "RELEASE_NODE=a_4000@localhost\nRELEASE_ROOT=/srv/a/releases/1-0\nRELEASE_PROG=a\nRELEASE_DISTRIBUTION=sname\n"


def test_the_environment_of_a_process_shows_how_its_node_is_reached() -> None:
    flags = "ERL_EPMD_PORT=14368\nERL_ZFLAGS=-start_epmd false -kernel x {1,2}\n"

    assert read_node(SAID + flags) == Node(
        "/srv/a/releases/1-0", "a", "a_4000@localhost", "sname", "14368", "-start_epmd false -kernel x {1,2}"
    )


def test_a_process_without_distribution_is_not_a_node() -> None:
    assert read_node("") is None
    assert read_node("RELEASE_NODE=a_4000\n") is None  # our unit sets it for every app
