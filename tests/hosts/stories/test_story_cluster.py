"""Two hosts form one cluster: their nodes find each other through variables that we set, and the cookie is a secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.hosts.conftest import MachineFactory
from tests.hosts.stories.conftest import usual_keys
from tests.hosts.stories.project import Project, command_environ
from tests.support.releases import build_release, elixir_missing

pytestmark = pytest.mark.hosts

CONNECT = (
    'System.get_env("RECONCILE_CLUSTER") |> String.split() |> Enum.map(&String.to_atom/1) '
    "|> Enum.each(&Node.connect/1); IO.inspect(Node.list())"
)


def test_nodes_of_two_hosts_see_each_other(
    machine_factory: MachineFactory, ssh_home: Path, command_cache: Path, tmp_path: Path
) -> None:
    """At their private addresses and in the ports a firewall was told; the cookie of the tarball opens nothing."""
    if missing := elixir_missing():
        pytest.skip(missing)
    machines = [machine_factory(f"node{number}", with_traefik=False) for number in (1, 2)]
    environ = command_environ(ssh_home, command_cache) | {"RECONCILE_SECRET_COOKIE": "a-c00kie-of-ours"}
    project = Project(tmp_path / "project", "herd", machines[0], environ)
    project.add_artifact(build_release("0.1.0"), "0.1.0")
    keys: dict[str, Any] = {"start": "bin/my_application start", "route": None, "distribution": "name"}
    keys |= {"hosts": [machine.name for machine in machines], "env": {"RELEASE_COOKIE": {"secret": "cookie"}}}
    project.write(**usual_keys(project, 4910) | keys)
    lines = [f"  {each.name}: {{address: {each.name}, private_address: {each.address}}}\n" for each in machines]
    (project.folder / "desired-state" / "fleet.yaml").write_text("hosts:\n" + "".join(lines))
    project.converge()
    first, second = (f"herd_4910@{machine.address}" for machine in machines)

    assert project.run("rpc", "herd", CONNECT).out == f'[:"{second}"]\n'
    assert project.run("rpc", "herd", "--host", machines[1].name, "IO.inspect(Node.list())").out == f'[:"{first}"]\n'

    listens = machines[0].run("grep -h ' 0A ' /proc/net/tcp | awk '{print $2}'").stdout.split()
    address = "".join(f"{int(part):02X}" for part in reversed(machines[0].address.split(".")))
    open_to_others = [int(port, 16) for host, port in (each.split(":") for each in listens) if host == address]
    assert sorted(open_to_others) == [14368, 14369]

    stranger = ["RELEASE_COOKIE=for-tests-only", "RELEASE_DISTRIBUTION=name", "ERL_EPMD_PORT=14368"]
    refused = project.run(
        "exec", "herd", "--", "env", *stranger, f"RELEASE_NODE={first}", "bin/my_application", "rpc", "1"
    )
    assert refused.code == 1
    assert project.once().verbs == []
