"""What a controller of a shard connects to."""

from __future__ import annotations

import asyncio

import pytest

from reconciler.cli import main, read_options
from reconciler.desired_state.load import load
from reconciler.errors import UsageError
from reconciler.model.shard import Shard
from reconciler.targets.open_fleet import OpenFleet, work_out
from tests.support.desired_folder import HELLO, write

pytestmark = pytest.mark.usefixtures("in_own_folder")

HOSTS = [f"web{number}" for number in range(1, 9)]
SHARD = Shard(2, 3)
APP = HELLO.replace(
    '"../hello-{version}.tar.gz"}', f'"https://example.com/hello-{{version}}.tar.gz", sha256: {64 * "a"}}}'
)
SPARE = ["spare1", "spare2"]
FLEET = "owner: acme\nhosts:\n" + "".join(
    f"  {host}: {{address: 10.0.0.{number}}}\n" for number, host in enumerate([*HOSTS, *SPARE], 1)
)


def opened(shard: Shard | None) -> OpenFleet:
    app = "\n".join(f"hosts: {HOSTS}" if line.startswith("hosts:") else line for line in APP.splitlines()) + "\n"
    desired = load(write({"hello": app}, FLEET))
    return asyncio.run(work_out(desired, None, None, shard=shard))


def test_a_controller_connects_to_its_shard_and_to_the_first_host_of_each_app() -> None:
    fleet = opened(SHARD)

    own = {host for host in [*HOSTS, *SPARE] if SHARD.has(host)}
    assert fleet.hosts.keys() == own | {"web1"}
    assert fleet.elsewhere == {*HOSTS, *SPARE} - own
    assert fleet.whole


def test_without_shards_it_connects_to_every_host() -> None:
    fleet = opened(None)

    assert fleet.hosts.keys() == {*HOSTS, *SPARE}
    assert not fleet.elsewhere


def test_a_fleet_with_edges_is_not_divided() -> None:
    """A cutover is one on all edges and hosts of the app, which would be in several shards."""
    fleet = FLEET + "  lb1: {address: 10.0.0.99}\n"
    fleet = "\n".join(line.replace("}", ", private_address: 10.1.0.1}") for line in fleet.splitlines()) + "\n"
    app = APP + "route: {domains: [hello.example], tls: false, edges: [lb1]}\nhealth: {path: /}\n"
    app = "\n".join("hosts: [web1]" if line.startswith("hosts:") else line for line in app.splitlines()) + "\n"
    desired = load(write({"hello": app}, fleet))
    with pytest.raises(UsageError, match="--shard cannot divide a fleet with edges: hello has some"):
        asyncio.run(work_out(desired, None, None, shard=SHARD))


def test_a_shard_is_read_before_and_after_the_command() -> None:
    assert (
        read_options(["--shard", "1/4", "plan"]).shard == read_options(["plan", "--shard", "1/4"]).shard == Shard(1, 4)
    )


def test_a_malformed_shard_is_a_wrong_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        read_options(["--shard", "5/4"])

    assert ended.value.code == 2
    assert "'5/4' is not a part such as 1/4" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["retry", "hello"], ["logs", "hello"], ["plan", "--from", "a", "--to", "b"]])
def test_commands_that_would_pass_over_a_shard_refuse_it(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--shard", "1/4"]) == 2
    assert "--shard is for a pass" in capsys.readouterr().err
