"""What a valid desired state is noted for: nothing of it stops a pass, and it may surprise people. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.model.desired import App, Fleet
from reconciler.model.values import PORTS_OF_CLIENTS


def notes_on(apps: tuple[App, ...], fleet: Fleet) -> tuple[str, ...]:
    """Return each note once."""
    return tuple(dict.fromkeys((*_lost_variables(apps), *_ports_of_clients(apps), *_rootless_notes(fleet))))


def _variants(apps: tuple[App, ...]) -> list[App]:
    return [variant for app in apps for variant in app.variants]


def _lost_variables(apps: tuple[App, ...]) -> tuple[str, ...]:
    return tuple(
        f"{app.app}: env {', '.join(app.lost_variables)} does not reach the app: "
        "the start script of an Elixir release sets it itself (for other releases write start:)"
        for app in _variants(apps)
        if app.lost_variables
    )


def _ports_of_clients(apps: tuple[App, ...]) -> Iterator[str]:
    """Notes on ports that Linux also gives to outgoing connections."""
    for app in _variants(apps):
        if risky := [port for port in (*app.ports, *app.sandbox.extra_ports) if port in PORTS_OF_CLIENTS]:
            first, last = PORTS_OF_CLIENTS[0], PORTS_OF_CLIENTS[-1]
            yield (
                f"{app.app}: {', '.join(map(str, risky))} can be taken by an outgoing connection of the host just when "
                f"the app starts: Linux gives these the ports {first}–{last}; use one below {first}, or reserve it on "
                "the host (net.ipv4.ip_local_reserved_ports)"
            )


def _rootless_notes(fleet: Fleet) -> tuple[str, ...]:
    return tuple(
        f"{name}: scope user: all its apps run as one user, and only the sandbox separates them from each other and "
        "from the home; they stop when linger is switched off (docs/rootless.md)"
        for name, host in sorted(fleet.hosts.items())
        if host.scope == "user"
    )
