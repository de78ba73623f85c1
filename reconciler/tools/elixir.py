"""BEAM nodes: their names, their settings, and how to find and reach one. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

EPMD_UNIT = "reconcile-epmd.service"
EPMD_PORT = 14368  # not 4369, which the epmd of another program on the host, such as RabbitMQ's, may use
NODE_PORTS = (14369, 14468)  # a node listens on the first free one; together with EPMD_PORT one range for a firewall
LOCAL = "127.0.0.1"


def node_name(app: str, slot: str, host: str) -> str:
    """Return the node name of a slot. Erlang does not allow a dash. Without a host, other nodes cannot reach it."""
    name = f"{app.replace('-', '_')}_{slot}"
    return f"{name}@{host}" if host else name


def node_host(distribution: str, private_address: str | None) -> str:
    """Return the part after the @ of a node name, which never needs a name service; "" without distribution."""
    return {"none": "", "sname": "localhost", "name": private_address or LOCAL}[distribution]


def node_flags(host: str) -> str:
    """Return the value for ERL_ZFLAGS: listen on one address only, on a known range of ports, never start an epmd."""
    address = ",".join((LOCAL if host == "localhost" else host).split("."))
    first, last = NODE_PORTS
    listen = f"inet_dist_use_interface {{{address}}} inet_dist_listen_min {first} inet_dist_listen_max {last}"
    return f"-start_epmd false -kernel {listen}" if host else ""


# Variables of the app's own process, in the order of the fields of Node: the value that counts if one is not set, and
# the form of a valid one.
_VARIABLES = {
    "RELEASE_ROOT": ("", r"(/[0-9A-Za-z_.+@~-]+)+"),
    "RELEASE_PROG": ("", r"[0-9A-Za-z_.+-]{1,255}"),
    "RELEASE_NODE": ("", r"[0-9A-Za-z_@.-]{1,255}"),
    "RELEASE_DISTRIBUTION": ("none", "none|sname|name"),
    "ERL_EPMD_PORT": ("4369", "[1-9][0-9]{0,4}"),
    "ERL_ZFLAGS": ("", "[ -~]{0,4096}"),
}


@dataclass(frozen=True)
class Node:
    """A running node, as `scripts/beam.sh` read it from the environment of its process."""

    root: str  # the folder of the release that runs; the slot's link may point to another by now
    program: str  # its name in bin/
    name: str
    distribution: str  # none: other nodes cannot reach it
    epmd_port: str
    flags: str

    @property
    def words(self) -> tuple[str, ...]:
        """The fields as the arguments of `scripts/node.sh`."""
        return self.root, self.program, self.name, self.distribution, self.epmd_port, self.flags


def read_node(text: str) -> Node | None:
    """Read the output of `scripts/beam.sh`. Returns None if the process does not belong to an Elixir release."""
    environment = dict(line.partition("=")[::2] for line in text.split("\n"))
    values = {key: environment.get(key) or default for key, (default, _) in _VARIABLES.items()}
    if not all(re.fullmatch(form, values[key]) for key, (_, form) in _VARIABLES.items()):
        return None
    return Node(*values.values())
