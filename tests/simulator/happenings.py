"""What may happen to a fleet at any time: to a link, a host, its Traefik, its disk, or by an operator's hand."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.simulator.simulation import Simulation
from tests.simulator.transport import KEEPALIVE_SECONDS
from tests.simulator.world.host import Host
from tests.simulator.world.systemd import MULTI_USER


@dataclass(frozen=True)
class Happening:
    """It begins `at` so many seconds after the story. What lasts ends by itself, `seconds` later."""

    at: float
    kind: str
    host: str = ""
    app: str = ""
    seconds: float = 0.0

    def __str__(self) -> str:
        lasts = f" for {self.seconds:.1f} s" if self.kind in LASTING else ""
        return f"{self.at:6.1f} s: {self.kind}{lasts}{' on ' + self.host if self.host else ''} {self.app}".rstrip()


def happen(simulation: Simulation, it: Happening) -> None:
    """Let it begin now, and end when its time is over."""
    simulation.trace.append(f"{simulation.clock.seconds:9.3f} HAPPENS {it}")
    host = simulation.hosts[it.host]
    if it.kind in OPERATOR:
        if host.up:
            host.was["operator", it.app] = True
            OPERATOR[it.kind](host, it.app)
    elif it.kind.startswith("power"):
        if host.up:
            simulation.lose_power(host, it.kind.partition(" ")[2])
    elif it.kind in ("link cut", "link silent"):
        for controller in list(simulation.tasks):
            simulation.cut_link(controller, host, it.seconds, silent=it.kind == "link silent")
    else:
        begin, end = LASTING[it.kind]
        begin(host)
        asyncio.get_running_loop().call_later(it.seconds, end, host)


# By hand. What an operator does to an app may cost its visitors something, until it is put right.


def _slot(host: Host, app: str) -> str:
    return str(host.traefik.port_of(app) or next((p.port for p in host.systemd.processes if p.app == app), 0))


def _stops(host: Host, app: str) -> None:
    host.systemd.answer(("systemctl", "stop", f"{app}@{_slot(host, app)}.service"), (0, 0))


def _restarts(host: Host, app: str) -> None:
    host.systemd.answer(("systemctl", "restart", f"{app}@{_slot(host, app)}.service"), (0, 0))


def _disables(host: Host, app: str) -> None:
    (host.root / MULTI_USER / f"{app}@{_slot(host, app)}.service").unlink(missing_ok=True)
    _seen(host, "an operator disables a slot")


def _deletes_route(host: Host, app: str) -> None:
    (host.root / f"etc/traefik/dynamic/{app}.yml").unlink(missing_ok=True)
    _seen(host, "an operator deletes a route")


def _edits(pattern: str) -> Callable[[Host, str], None]:
    def edit(host: Host, app: str) -> None:
        for path in sorted(host.root.glob(pattern.format(app=app, slot=_slot(host, app)))):
            path.write_text(re.sub("hello|good day", "edited", path.read_text()) + "# edited\n")
        _seen(host, "an operator edits a file")

    return edit


def _deletes_link(host: Host, app: str) -> None:
    (host.root / f"srv/{app}/slots/{_slot(host, app)}").unlink(missing_ok=True)
    _seen(host, "an operator deletes the link of a slot")


def _seen(host: Host, what: str) -> None:
    host.look_at_files(what)
    host.files.settle(host.epoch)


OPERATOR: dict[str, Callable[[Host, str], None]] = {
    "an operator stops the slot": _stops,
    "an operator restarts the slot": _restarts,
    "an operator disables the slot": _disables,
    "an operator deletes the route": _deletes_route,
    "an operator edits the env": _edits("etc/reconcile/{app}/{slot}.env"),
    "an operator edits the unit": _edits("etc/systemd/system/{app}@.service"),
    "an operator deletes the link": _deletes_link,
}


def _set(thing: str, name: str, value: Any) -> Callable[[Host], None]:
    def do(host: Host) -> None:
        setattr(getattr(host, thing) if thing else host, name, value)

    return do


def _traefik_stops(host: Host) -> None:
    host.traefik.down = True
    host.systemd.unit("traefik.service").state = "inactive"
    host.tables_changed()


def _traefik_starts(host: Host) -> None:
    if host.up:
        host.traefik_begins()


def _refuses(host: Host) -> None:
    host.refuses += 1


def _accepts(host: Host) -> None:
    host.refuses = max(0, host.refuses - 1)


LASTING: dict[str, tuple[Callable[[Host], None], Callable[[Host], None]]] = {
    "link cut": (lambda host: None, lambda host: None),
    "link silent": (lambda host: None, lambda host: None),
    "connections refused": (_refuses, _accepts),
    "Traefik silent": (_set("traefik", "silent", True), _set("traefik", "silent", False)),
    "Traefik half-silent": (_set("traefik", "half_silent", True), _set("traefik", "half_silent", False)),
    "Traefik slow": (_set("traefik", "lag", 4.0), _set("traefik", "lag", 0.05)),
    "Traefik down": (_traefik_stops, _traefik_starts),
    "disk full": (_set("", "full", True), _set("", "full", False)),
    "host slow": (_set("", "slow", 100.0), _set("", "slow", 1.0)),
}
CUTS = ("power lost", "power torn", "power kept")
SILENCE_SECONDS = KEEPALIVE_SECONDS
