"""What people write and do, for a simulation: apps, versions, what shall be true in the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.simulator.artifacts import write_artifact
from tests.simulator.oracles import Wish
from tests.simulator.simulation import Simulation

OWNER = "the-simulator"


def write_fleet(simulation: Simulation, **more: Any) -> None:
    hosts = {name: {"address": f"10.0.0.{number + 1}", "user": "root"} for number, name in enumerate(simulation.hosts)}
    text = yaml.safe_dump({"owner": OWNER, "hosts": hosts, **more})
    (simulation.folder / "fleet.yaml").write_text(text)


def write_app(simulation: Simulation, app: str, version: str, *, number: int = 0, **keys: Any) -> None:
    """One app as people write it; keys that are None are left out."""
    slots = [4000 + 10 * number, 4001 + 10 * number]
    settings: dict[str, Any] = {
        "app": app,
        "version": version,
        "artifact": {"source": "../build/app-{version}.tar.gz"},
        "hosts": list(simulation.hosts),
        "ports": slots,
        "start": "bin/run",
        "env": {"GREETING": "hello", "SIM_CANARY": "caught", "KEY": {"secret": "token"}},
        "health": {"path": "/ping", "healthy_within_seconds": 10, "minimum_healthy_seconds": 1},
        "route": {"domains": [f"{app}.example.com"], "tls": False},
        "drain_seconds": 5,
        "keep_releases": 2,
    } | keys
    settings = {key: value for key, value in settings.items() if value is not None}
    (simulation.folder / "apps" / f"{app}.yaml").write_text(yaml.safe_dump(settings))
    ports = settings.get("ports") or []
    wish = simulation.oracles.wishes.setdefault(app, Wish(app, tuple(map(str, ports)) or ("worker",)))
    if "migrate" in settings:
        wish.migrated.add(version)
    wish.processes = tuple(settings.get("processes", ()))
    jobs = settings.get("jobs", {})
    wish.jobs = {name: job.get("host", settings["hosts"][0]) for name, job in jobs.items() if job.get("at")}
    wish.routed, wish.one_slot, wish.removed = "route" in settings, len(ports) == 1, False


def build(simulation: Simulation, version: str, *, good: bool = True, **behaviour: Any) -> None:
    """An artifact; a good one may serve."""
    files = write_artifact(simulation.folder.parent / "build", version, **behaviour)
    simulation.oracles.manifests[version] = files
    if good:
        simulation.good_versions.add(version)


def remove_app(simulation: Simulation, app: str) -> None:
    (simulation.folder / "apps" / f"{app}.yaml").unlink()
    simulation.oracles.wishes[app].removed = True


async def change_once_more(simulation: Simulation, folder: Path, origin: Any = None) -> None:
    """If anything half-written is left, every app of the desired state is changed, and nothing may be left then."""
    if not simulation.oracles.leftovers():
        return
    for path in (folder / "apps").glob("*.yaml"):
        settings = yaml.safe_load(path.read_text())
        settings["env"] = settings.get("env", {}) | {"CHANGED": "once more"}
        path.write_text(yaml.safe_dump(settings))
    await simulation.once(origin=origin)
    simulation.oracles.swept()
