"""systemd: the unit template of an app, its env files, and the head comments of both. Pure.

An EnvironmentFile takes KEY="…" with a backslash before each of " \\ $ ` and the rest raw (measured with 3,047 values).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from reconciler.model.identity import Identity
from reconciler.model.machine import Scope
from reconciler.model.observed import TRAEFIK
from reconciler.model.process_name import family_of
from reconciler.tools import elixir
from reconciler.tools.digests import digest
from reconciler.tools.rendering import package_text, render

_KEY = re.compile(r"# key ([A-Za-z_][A-Za-z0-9_]{0,4000}) ([0-9A-Za-z]{1,64})")


@dataclass(frozen=True)
class UnitSettings:
    """Everything that goes into the unit template of an app."""

    app: str
    layout: dict[str, str]
    sandbox: dict[str, Any]
    stop_seconds: int
    memory_max: str
    distribution: str
    node_host: str  # the part after the @ of its node names, "" without distribution
    has_port: bool
    cpu_max: str | None = None
    ports: tuple[int, ...] = ()  # the app may listen on these, and no other app of the host may
    scope: Scope = "system"
    after: tuple[str, ...] = ()  # units of the system that start before it and stop after it

    @property
    def user(self) -> str:
        """The user that it runs as: its own, or that of the app which it is a process of."""
        return family_of(self.app)

    @property
    def proxy(self) -> bool:
        """True for Traefik, whose unit has rights that no other app gets."""
        return self.app == TRAEFIK

    @property
    def digest(self) -> str:
        return digest([package_text(self.template), vars(self)])

    @property
    def writable_beside(self) -> list[str]:
        """The paths below the releases folder that the app may write to. It sees only its own release otherwise."""
        return [path for path in self.sandbox["extra_writable_paths"] if path.startswith(self.layout["releases"] + "/")]

    @property
    def template(self) -> str:
        return "templates/app@.service.j2" if self.scope == "system" else "templates/user-app@.service.j2"


def unit_text(settings: UnitSettings) -> str:
    """Return the template unit `<app>@.service`. Its first line carries the digest of its settings."""
    node = elixir.node_name(settings.app, "%i", settings.node_host)
    beam = {"node": node, "node_flags": elixir.node_flags(settings.node_host)}
    epmd = {"epmd_unit": elixir.EPMD_UNIT, "epmd_port": elixir.EPMD_PORT}
    own = {
        "user": settings.user,
        "digest": settings.digest,
        "proxy": settings.proxy,
        "writable_beside": settings.writable_beside,
    }
    own["listens"] = _listens(settings)
    return render(settings.template, **own, **vars(settings), **beam, **epmd)


def _listens(settings: UnitSettings) -> list[str]:
    """Return the ports in systemd's notation. Those of a node are a range."""
    first, last = elixir.NODE_PORTS
    return [*map(str, settings.ports), *([f"{first}-{last}"] if settings.node_host else [])]


def epmd_text(releases: str, private_address: str | None) -> str:
    """Return the unit of epmd, which listens on loopback and, if given, on the host's private address."""
    program = f"{releases}/reconcile-epmd/epmd"
    address = private_address or elixir.LOCAL
    return render("templates/reconcile-epmd.service.j2", program=program, address=address, port=elixir.EPMD_PORT)


def env_file(identity: Identity, variables: dict[str, str], keys: tuple[tuple[str, str], ...]) -> str:
    """Return the env file of a slot: a head with the identity and the digests of the values, then the variables."""
    head = [f"# reconcile {identity}", *(f"# key {key} {value_digest}" for key, value_digest in keys)]
    lines = [f'{key}="{_escape(value)}"' for key, value in sorted(variables.items())]
    return "\n".join([*head, f'RECONCILE_INSTANCE="{identity}"', *lines]) + "\n"


def _escape(value: str) -> str:
    return re.sub(r'(["\\$`])', r"\\\1", value)


def read_env_head(lines: list[str]) -> tuple[Identity | None, tuple[tuple[str, str], ...]]:
    """Read the head that `env_file` wrote: the identity, None if there is none, and (variable, digest) pairs."""
    identity = Identity.read(lines[0].removeprefix("# reconcile ")) if lines else None
    keys = [found for line in lines[1:] if (found := _KEY.fullmatch(line))]
    return identity, tuple((found[1], found[2]) for found in keys)


def read_unit_head(head: str) -> str:
    """Return the digest in the first line of a unit that reconcile wrote, "" for any other line."""
    found = re.fullmatch(r"# reconcile unit digest=([0-9a-f]+)", head)
    return found[1] if found else ""
