"""A BEAM node: how it is found and spoken to, and what its release should be told. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

EPMD_UNIT = "reconcile-epmd.service"
EPMD_PORT = 14368  # not 4369: the epmd of another program on the host, such as RabbitMQ's, is left alone
NODE_PORTS = (14369, 14468)  # a node listens on the first free one; with EPMD_PORT one range for a firewall
LOCAL = "127.0.0.1"


def node_name(app: str, slot: str, host: str) -> str:
    """The node in a slot. Erlang takes no dash; without a host it has no name that anybody could reach."""
    name = f"{app.replace('-', '_')}_{slot}"
    return f"{name}@{host}" if host else name


def node_host(distribution: str, private_address: str | None) -> str:
    """What stands after the @ of a node name: no name service is asked for it. "" without distribution."""
    return {"none": "", "sname": "localhost", "name": private_address or LOCAL}[distribution]


def node_flags(host: str) -> str:
    """For ERL_ZFLAGS: listen on one address only, in a known range, and never start an epmd."""
    address = ",".join((LOCAL if host == "localhost" else host).split("."))
    first, last = NODE_PORTS
    listen = f"inet_dist_use_interface {{{address}}} inet_dist_listen_min {first} inet_dist_listen_max {last}"
    return f"-start_epmd false -kernel {listen}" if host else ""


# What the app's own process says of itself, in the order of a node's fields: what counts without it, and its form.
_SAID = {
    "RELEASE_ROOT": ("", r"(/[0-9A-Za-z_.+@~-]+)+"),
    "RELEASE_PROG": ("", r"[0-9A-Za-z_.+-]{1,255}"),
    "RELEASE_NODE": ("", r"[0-9A-Za-z_@.-]{1,255}"),
    "RELEASE_DISTRIBUTION": ("none", "none|sname|name"),
    "ERL_EPMD_PORT": ("4369", "[1-9][0-9]{0,4}"),
    "ERL_ZFLAGS": ("", "[ -~]{0,4096}"),
}


@dataclass(frozen=True)
class Node:
    """A running node, as `scripts/beam.sh` found it in the environment of its process."""

    root: str  # the release that runs, whatever the slot's link says by now
    program: str  # of its bin/
    name: str
    distribution: str  # none: it cannot be reached
    epmd_port: str
    flags: str

    @property
    def words(self) -> tuple[str, ...]:
        """As `scripts/node.sh` takes them."""
        return self.root, self.program, self.name, self.distribution, self.epmd_port, self.flags


def read_node(text: str) -> Node | None:
    """The node of which `scripts/beam.sh` told; None when the process is none of an Elixir release."""
    said = dict(line.partition("=")[::2] for line in text.split("\n"))
    told = {key: said.get(key) or usual for key, (usual, _) in _SAID.items()}
    if not all(re.fullmatch(form, told[key]) for key, (_, form) in _SAID.items()):
        return None
    return Node(*told.values())
