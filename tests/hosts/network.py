"""A farm's bridge, and a host's link to it: a network namespace, an address, a cable that can be cut.

Names follow from two numbers, the farm's subnet and the host's place in it (`rth7`, `rth7-2`), so what a
killed run left behind can be found and removed by name alone.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
from dataclasses import dataclass
from pathlib import Path

from .process import HostsError, command

GUEST_INTERFACE = "host0"
# Port states of a Linux bridge: a disabled port swallows what comes from either side and tells nobody.
FORWARDING, DISABLED = 3, 0


@dataclass(frozen=True)
class Bridge:
    """The network `10.203.<number>.0/24`; the tests sit at `.1`, hosts from `.2` on."""

    number: int

    @property
    def name(self) -> str:
        return f"rth{self.number}"

    @property
    def address(self) -> str:
        return f"10.203.{self.number}.1"

    def create(self) -> None:
        command(["ip", "link", "add", self.name, "type", "bridge"])
        # A bridge takes its smallest port's address unless told; hosts are told this one for good.
        command(["ip", "link", "set", self.name, "address", _hardware_address(self.number, 1), "up"])
        command(["ip", "address", "add", f"{self.address}/24", "dev", self.name])

    def delete(self) -> None:
        if _link_exists(self.name):
            command(["ip", "link", "delete", self.name])


@dataclass(frozen=True)
class Link:
    """The cable between a bridge and the host at `place`; it lives in a namespace of the same name."""

    bridge: Bridge
    place: int

    @property
    def name(self) -> str:
        return f"{self.bridge.name}-{self.place}"

    @property
    def address(self) -> str:
        return f"10.203.{self.bridge.number}.{self.place}"

    @property
    def namespace(self) -> Path:
        return Path("/run/netns") / self.name

    def create(self) -> None:
        inside = ["ip", "-netns", self.name]
        mac, gateway_mac = (_hardware_address(self.bridge.number, place) for place in (self.place, 1))
        command(["ip", "netns", "add", self.name])
        guest = ["peer", "name", GUEST_INTERFACE, "address", mac, "netns", self.name]
        command(["ip", "link", "add", self.name, "type", "veth", *guest])
        command(["ip", "link", "set", self.name, "master", self.bridge.name, "up"])
        command([*inside, "link", "set", "lo", "up"])
        command([*inside, "link", "set", GUEST_INTERFACE, "up"])
        command([*inside, "address", "add", f"{self.address}/24", "dev", GUEST_INTERFACE])
        command([*inside, "route", "add", "default", "via", self.bridge.address])
        # A host far away is never "no route to host": both sides know the other's hardware address, whatever
        # happens to the cable, so a cut looks like the internet's (silence), not like a neighbour that is
        # gone.
        known = ["nud", "permanent"]
        command(["ip", "neighbour", "replace", self.address, "lladdr", mac, "dev", self.bridge.name, *known])
        gateway = [self.bridge.address, "lladdr", gateway_mac, "dev", GUEST_INTERFACE, *known]
        command([*inside, "neighbour", "replace", *gateway])

    def cut(self) -> None:
        """From now on packets vanish in both directions; no connection is closed, no carrier is lost."""
        self._set_state(DISABLED)

    def heal(self) -> None:
        self._set_state(FORWARDING)

    def _set_state(self, state: int) -> None:
        command(["bridge", "link", "set", "dev", self.name, "state", str(state)])

    def delete(self) -> None:
        """Remove cable and namespace, silently with every connection it had; absent is no error."""
        if _link_exists(self.name):
            command(["ip", "link", "delete", self.name])
        with contextlib.suppress(HostsError):
            command(["ip", "neighbour", "delete", self.address, "dev", self.bridge.name])
        if self.namespace.exists():
            command(["ip", "netns", "delete", self.name])


def free_bridge() -> Bridge:
    """A bridge whose network nothing on this machine uses yet; call it under a lock and create it there."""
    routes = json.loads(command(["ip", "-json", "route", "show", "table", "all"]).stdout)
    used = [
        ipaddress.ip_network(route["dst"], strict=False)
        for route in routes
        if route.get("dst", "default") != "default" and ":" not in route["dst"]
    ]
    for number in range(1, 255):
        network = ipaddress.ip_network(f"10.203.{number}.0/24")
        if not any(network.overlaps(other) for other in used) and not _link_exists(f"rth{number}"):
            return Bridge(number)
    raise HostsError("no free network in 10.203.0.0/16; look at `ip route`")


def _link_exists(name: str) -> bool:
    return Path("/sys/class/net", name).exists()


def _hardware_address(number: int, place: int) -> str:
    return f"02:72:74:68:{number:02x}:{place:02x}"
