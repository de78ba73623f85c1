"""Throw-away hosts by hand: `python -m tests.hosts up web1`, `list`, `down web1`, `down`, `sweep`."""

from __future__ import annotations

import argparse
import sys
import time

from .farm import FARMS, Farm, missing_requirements, sweep
from .process import HostsError
from .proxy import GUEST_BINARY, install_traefik, traefik_binary

BY_HAND = "by-hand"


def main() -> int:
    """Run one command; 1 with a sentence when it cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m tests.hosts", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="make and boot a host that stays until it is taken down")
    up.add_argument("name")
    up.add_argument("--without-traefik", action="store_true", help="leave Traefik to you")
    down = commands.add_parser("down", help="destroy one host, or all that were made by hand")
    down.add_argument("name", nargs="?")
    commands.add_parser("list", help="name the hosts made by hand")
    commands.add_parser("sweep", help="remove what killed test runs left behind")
    arguments = parser.parse_args()
    try:
        if missing := missing_requirements():
            raise HostsError(missing)
        _run(arguments)
    except HostsError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _run(arguments: argparse.Namespace) -> None:
    match arguments.command:
        case "up":
            _up(arguments.name, with_traefik=not arguments.without_traefik)
        case "down":
            _down(arguments.name)
        case "list":
            for machine in _farm().machines().values() if _exists() else ():
                print(f"{machine.name}  {machine.address}  {'on' if machine.running else 'off'}")
        case "sweep":
            print("\n".join(sweep()) or "nothing was left behind")


def _up(name: str, *, with_traefik: bool) -> None:
    begin = time.monotonic()
    farm = _farm() if _exists() else Farm.create(BY_HAND, keep=True)
    machine = farm.add(name, {traefik_binary(): GUEST_BINARY} if with_traefik else {})
    if with_traefik:
        install_traefik(machine)
    print(f"{name} is up at {machine.address} after {time.monotonic() - begin:.1f} s")
    print(f"    {farm.home}/bin/ssh {name}            as root; deploy@{name} for a user with sudo")
    print(f"    HOME={farm.home} reconcile --once     hosts: [{name}] then works in desired-state/")
    print(f"    python -m tests.hosts down {name}")


def _down(name: str | None) -> None:
    farm = _farm() if _exists() else None
    if farm is None or (name and name not in farm.machines()):
        raise HostsError(f"there is no host {name}" if name else "there is no host")
    if name:
        farm.remove(farm.machines()[name])
    if not name or not farm.machines():
        farm.destroy()


def _exists() -> bool:
    return (FARMS / BY_HAND / "farm.json").is_file()


def _farm() -> Farm:
    return Farm.open(FARMS / BY_HAND)


if __name__ == "__main__":
    sys.exit(main())
