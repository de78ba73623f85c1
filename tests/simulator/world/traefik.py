"""Traefik as far as it matters: it reads its folder as a whole a moment after a change, and tells what it holds."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import yaml

if TYPE_CHECKING:
    from tests.simulator.world.host import Host

FOLDER = "etc/traefik/dynamic"
API_PORT = 8080


@dataclass
class Traefik:
    """What it holds now."""

    host: Host
    held: dict[str, Any] = field(default_factory=dict)
    lag: float = 0.05
    silent: bool = False
    half_silent: bool = False  # its first page comes, and the one with the routes does not
    down: bool = False
    pending: int = 0
    loads: int = 0

    def state_copy(self) -> dict[str, Any]:
        return copy.deepcopy(
            {name: getattr(self, name) for name in ("held", "lag", "silent", "half_silent", "down", "pending", "loads")}
        )

    def restore(self, state: dict[str, Any]) -> None:
        for name, value in copy.deepcopy(state).items():
            setattr(self, name, value)

    def folder_changed(self) -> None:
        """inotify told it: it reads the folder when the throttle is over."""
        if not self.pending:
            self.pending = self.host.events.after(self.lag, "traefik_reads")

    def read(self) -> None:
        self.pending = 0
        if self.down:
            return
        files = self.host.files
        held: dict[str, Any] = {}
        for name in files.names(FOLDER):
            if not name.endswith((".yml", ".yaml")):
                continue
            try:
                document = yaml.safe_load(files.text(f"{FOLDER}/{name}"))
                for kind, sections in (document or {}).items():
                    for section, members in sections.items():
                        held.setdefault(f"{kind}.{section}", {}).update(members)
            except (yaml.YAMLError, AttributeError):
                return  # one broken file, and nothing of the folder is applied
        if held != self.held:
            self.held, self.loads = held, self.loads + 1
            self.host.route_applied()

    def start(self) -> None:
        """As at a boot."""
        self.down, self.held = False, {}
        self.read()

    def port_of(self, app: str) -> int | None:
        """Where it sends the visitors of this app."""
        router = self.held.get("http.routers", {}).get(app)
        service = self.held.get("http.services", {}).get(router["service"]) if router else None
        servers = service["loadBalancer"]["servers"] if service else []
        place = urlsplit(servers[0]["url"]) if servers else None
        if place is None or place.port != 1:
            return place and place.port
        _, _, high, low = str(place.hostname).split(".")  # where visitors wait until the gate is open
        return 256 * int(high) + int(low) if self._gate_is_open(app) else None

    def _gate_is_open(self, app: str) -> bool:
        gate = self.host.root / "run/reconcile" / app / "hold"
        uptime = self.host.now - self.host.boot_seconds
        return not gate.exists() or uptime >= float(gate.read_text())

    @property
    def apps(self) -> list[str]:
        return sorted(self.held.get("http.routers", {}))

    def answer(self, path: str) -> tuple[int, bytes] | None:
        """What its API says; None when it says nothing."""
        if self.silent or (self.half_silent and path == "/api/rawdata"):
            return None
        if path == "/api/rawdata":
            return 200, json.dumps(self._rawdata()).encode()
        if path == "/api/entrypoints":
            return 200, json.dumps([{"name": name} for name in ("traefik", "web", "websecure")]).encode()
        if path == "/api/certificates":
            return 200, b"[]"
        return 404, b"no such page"

    def _rawdata(self) -> dict[str, Any]:
        def named(kind: str, **more: str) -> dict[str, Any]:
            members = self.held.get(f"http.{kind}", {})
            return {f"{name}@file": {**member, **more} for name, member in sorted(members.items())}

        return {
            "routers": named("routers", status="enabled"),
            "services": named("services", status="enabled"),
            "middlewares": named("middlewares", status="enabled"),
        }
