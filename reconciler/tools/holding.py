"""The address at which visitors wait while the only instance of an app is replaced. Pure.

systemd listens there (scripts/holding.sh). It is an address of the loopback network for each port, on a port that no
program takes for all addresses: so it needs no port of its own in the desired state.
"""

from __future__ import annotations


def hold_address(slot: str) -> str:
    """Return address and port at which the visitors of this slot wait."""
    port = int(slot)
    return f"127.90.{port // 256}.{port % 256}:1"
