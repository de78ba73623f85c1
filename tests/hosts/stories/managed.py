"""A project whose fleet.yaml says which Traefik its host shall run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.hosts.load import Load, Stream, Target
from tests.hosts.proxy import traefik_binary
from tests.hosts.stories.project import Project, yaml

OLDER, NEWER = "3.7.14", "3.7.15"  # what we call the one binary there is; each is a release of its own


def write_fleet(project: Project, **traefik: Any) -> None:
    """fleet.yaml with these keys of `traefik:`; without any, no such file."""
    file = project.file.parent.parent / "fleet.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"traefik: {yaml(traefik)}\n" if traefik else "", encoding="utf-8")


def managed(version: str = NEWER, **traefik: Any) -> dict[str, Any]:
    """The keys of a Traefik that is ours: the program of the Python package."""
    return {"version": version, "source": str(traefik_binary()), **traefik}


def traefik_of(project: Project) -> Project:
    """The same project, seen as its Traefik."""
    return replace(project, app="traefik", keys={})


def instances(project: Project) -> list[str]:
    """The units of Traefik that run, with any state but inactive."""
    return [line for line in traefik_of(project).lies().get("unit", []) if not line.endswith(" inactive")]


def load_on(project: Project, times: float = 1) -> Load:
    """100 requests/s on kept and new connections, GET and POST, and 5/s that take 3 s each."""
    streams = [
        Stream("GET kept", 25 * times, "/"),
        Stream("GET new", 25 * times, "/", keep_alive=False),
        Stream("POST kept", 25 * times, "/echo", "POST", body=b"x" * 64),
        Stream("POST new", 25 * times, "/echo", "POST", keep_alive=False, body=b"x" * 64),
        Stream("slow", 5 * times, "/slow?seconds=3"),
    ]
    return Load(Target(project.machine.address, project.domain), streams)
