"""systemd: the unit template of an app, its env files, and the heads of both. Pure.

EnvironmentFile rule, measured with 3,047 values: KEY="…" with each of " \\ $ ` escaped by a backslash, the rest raw.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from reconciler.model.machine import Scope
from reconciler.model.observed import TRAEFIK, Identity
from reconciler.tools import elixir
from reconciler.tools.digests import digest
from reconciler.tools.rendering import package_text, render

_KEY = re.compile(r"# key ([A-Za-z_][A-Za-z0-9_]{0,4000}) ([0-9A-Za-z]{1,64})")


@dataclass(frozen=True)
class UnitSettings:
    """All that the unit template of an app says."""

    app: str
    layout: dict[str, str]
    sandbox: dict[str, Any]
    stop_seconds: int
    memory_max: str
    distribution: str
    node_host: str  # after the @ of its node names, "" without distribution
    has_port: bool
    cpu_max: str | None = None
    ports: tuple[int, ...] = ()  # on which it may listen; no other app of the host may
    scope: Scope = "system"

    @property
    def proxy(self) -> bool:
        """Traefik: it serves all others, and sees nothing of theirs. No other app gets what its unit has."""
        return self.app == TRAEFIK

    @property
    def digest(self) -> str:
        return digest([package_text(self.template), vars(self)])

    @property
    def writable_beside(self) -> list[str]:
        """Paths the app may write to that lie among the releases, of which it sees its own only."""
        return [path for path in self.sandbox["extra_writable_paths"] if path.startswith(self.layout["releases"] + "/")]

    @property
    def template(self) -> str:
        return "templates/app@.service.j2" if self.scope == "system" else "templates/user-app@.service.j2"


def unit_text(settings: UnitSettings) -> str:
    """The template unit `<app>@.service`; its first line carries the digest of what it was made from."""
    node = elixir.node_name(settings.app, "%i", settings.node_host)
    beam = {"node": node, "node_flags": elixir.node_flags(settings.node_host)}
    epmd = {"epmd_unit": elixir.EPMD_UNIT, "epmd_port": elixir.EPMD_PORT}
    own = {"digest": settings.digest, "proxy": settings.proxy, "writable_beside": settings.writable_beside}
    own["listens"] = _listens(settings)
    return render(settings.template, **own, **vars(settings), **beam, **epmd)


def _listens(settings: UnitSettings) -> list[str]:
    """Ports as systemd has them; those of a node are a range."""
    first, last = elixir.NODE_PORTS
    return [*map(str, settings.ports), *([f"{first}-{last}"] if settings.node_host else [])]


def epmd_text(releases: str, private_address: str | None) -> str:
    """The unit of epmd. It listens on loopback by itself; no further address, or the private one of the host."""
    program = f"{releases}/reconcile-epmd/epmd"
    address = private_address or elixir.LOCAL
    return render("templates/reconcile-epmd.service.j2", program=program, address=address, port=elixir.EPMD_PORT)


def env_file(identity: Identity, variables: dict[str, str], keys: tuple[tuple[str, str], ...]) -> str:
    """The env file of a slot: a head that tells what it belongs to without telling a value, then the variables."""
    head = [f"# reconcile {identity}", *(f"# key {key} {value_digest}" for key, value_digest in keys)]
    lines = [f'{key}="{_escape(value)}"' for key, value in sorted(variables.items())]
    return "\n".join([*head, f'RECONCILE_INSTANCE="{identity}"', *lines]) + "\n"


def _escape(value: str) -> str:
    return re.sub(r'(["\\$`])', r"\\\1", value)


def read_env_head(lines: list[str]) -> tuple[Identity | None, tuple[tuple[str, str], ...]]:
    """What `env_file` wrote at the top: the identity, and (variable, digest) pairs."""
    identity = Identity.read(lines[0].removeprefix("# reconcile ")) if lines else None
    keys = [found for line in lines[1:] if (found := _KEY.fullmatch(line))]
    return identity, tuple((found[1], found[2]) for found in keys)


def read_unit_head(head: str) -> str:
    """The digest in the first line of a unit we wrote, "" for any other."""
    found = re.fullmatch(r"# reconcile unit digest=([0-9a-f]+)", head)
    return found[1] if found else ""
