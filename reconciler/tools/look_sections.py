"""The text of one look, cut into its parts and indexed, and where the files of an app lie that it names. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from reconciler.model.machine import Layout
from reconciler.model.reserved import is_app_name
from reconciler.tools import systemd
from reconciler.tools.elixir import EPMD_UNIT
from reconciler.tools.traefik import htpasswd_path

# Only a whole line is a frame: a value may hold the same letters. Its line end is left to the next frame.
_FRAME = re.compile(r"\n@@(app .*|files|units|processes)(?=\n)")


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
        parts = _FRAME.split(f"\n{self.body}\n")  # what stands before the first frame, then frame, text, frame, text …
        self.host = dict(line.partition(" ")[::2] for line in lines_of(parts[0]))
        texts = dict(zip(parts[1::2], parts[2::2], strict=True))
        apps = {name.removeprefix("app "): text for name, text in texts.items() if name.startswith("app ")}
        files, units, processes = (texts.get(name, "") for name in ("files", "units", "processes"))
        for name, text in apps.items():
            if not is_app_name(name):
                continue  # it would become a path, and be removed as an app that nobody names
            self.apps[name] = [line.split(" ", 3) for line in lines_of(text)]
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

    @property
    def handed_over(self) -> tuple[str, ...]:
        """What an app's first start takes; for its user and group the files that would name one who has it already."""
        folders = (f"/var/lib/{self.app}", f"/var/lib/private/{self.app}", f"/run/{self.app}")
        releases = tuple(f"{self.layout.releases}/{self.app}/{folder}" for folder in ("releases", "slots"))
        return *folders, "/etc/passwd", "/etc/group", *releases

    def env(self, slot: str) -> str:
        return f"{self.layout.env}/{self.app}/{slot}.env"
