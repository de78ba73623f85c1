"""The text of one look, cut into its parts and indexed, and where the files of an app lie that it names. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from reconciler.model.machine import Layout
from reconciler.tools import systemd
from reconciler.tools.elixir import EPMD_UNIT
from reconciler.tools.traefik import htpasswd_path


def lines_of(text: str) -> list[str]:
    """The lines that are not empty."""
    return [line for line in text.split("\n") if line]  # and not where Unicode ends one: apps write some of it


@dataclass
class Sections:
    """The parts; `body` is what stands between the frame's lines."""

    body: str
    host: dict[str, str] = field(default_factory=dict)
    apps: dict[str, list[list[str]]] = field(default_factory=dict)
    sums: dict[str, str] = field(default_factory=dict)  # path → sha256
    heads: dict[str, list[str]] = field(default_factory=dict)  # path → its first comment lines
    units: dict[str, dict[str, str]] = field(default_factory=dict)
    processes: list[list[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        rest, _, processes = self.body.partition("@@processes\n")
        rest, _, units = rest.partition("@@units\n")
        rest, _, files = rest.partition("@@files\n")
        host, *apps = rest.split("@@app ")
        self.host = dict(line.partition(" ")[::2] for line in lines_of(host))
        for text in apps:
            name, _, lines = text.partition("\n")
            self.apps[name] = [line.split(" ", 3) for line in lines_of(lines)]
        for line in lines_of(files):
            kind, first, second = (*line.split(" ", 2), "", "")[:3]
            if kind == "sum":
                self.sums[second.strip()] = first
            elif kind == "head":
                self.heads.setdefault(first, []).append(second)
        self.units = systemd.read_show(units)
        self.processes = [line.split(" ") for line in lines_of(processes)]


@dataclass(frozen=True)
class Places:
    """The files of one app."""

    app: str
    layout: Layout

    @property
    def unit(self) -> str:
        return f"{self.layout.units}/{self.app}@.service"

    @property
    def epmd(self) -> str:
        return f"{self.layout.units}/{EPMD_UNIT}"

    @property
    def route(self) -> str:
        return f"{self.layout.traefik}/{self.app}.yml"

    @property
    def htpasswd(self) -> str:
        return htpasswd_path(self.layout.traefik, self.app)

    def env(self, slot: str) -> str:
        return f"{self.layout.env}/{self.app}/{slot}.env"
