"""The stories that are interrupted: how a host came to be as it is, and what is wanted of it now."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.simulator.oracles import REUSED, is_leftover
from tests.simulator.scenario import build, remove_app, write_app, write_fleet
from tests.simulator.simulation import Simulation

Step = Callable[[Simulation], None]


@dataclass(frozen=True)
class Story:
    """`before` are desired states that converge one after the other; `change` is the one under test."""

    name: str
    change: Step
    before: tuple[Step, ...] = ()
    serves: str = ""  # the version that serves in the end, "" for none
    converges: bool = True
    keeps: tuple[str, ...] = ()  # versions on the host in the end
    migrations: int = 0
    hooks: int = 0  # runs of after_rollout or on_failure; a fault can prevent one, and never repeats it
    traefik_lag_seconds: float = 0.05
    drift: Step | None = None  # what somebody does to the host before the pass under test

    @property
    def part(self) -> str:
        """Of the tests: `rollout`, `failure` or `drift`."""
        if self.drift:
            return "drift"
        return "failure" if not self.converges or "fix" in self.name or "slow" in self.name else "rollout"


def app(version: str, **keys: Any) -> Step:
    return lambda simulation: write_app(simulation, "hello", version, **keys)


def _damage(simulation: Simulation) -> None:
    host = simulation.hosts["web1"]
    folder = next((host.root / "srv/hello/releases").glob("1-*"))
    (folder / "lib/code").write_text("edited by hand\n")
    host.files.settle(host.epoch)


def _edit_env(simulation: Simulation) -> None:
    host = simulation.hosts["web1"]
    path = host.root / "etc/reconcile/hello/4000.env"
    path.write_text(path.read_text().replace("hello", "edited"))
    host.files.settle(host.epoch)


def _delete_route(simulation: Simulation) -> None:
    host = simulation.hosts["web1"]
    host.was["operator", "hello"] = True
    (host.root / "etc/traefik/dynamic/hello.yml").unlink()
    host.look_at_files("an operator deletes the route")
    host.files.settle(host.epoch)


def _break_upload(simulation: Simulation) -> None:
    host = simulation.hosts["web1"]
    left = host.root / "srv/hello/releases/.incoming-0-000000000000"
    left.mkdir()
    (left / "part").write_text("x")
    host.files.settle(host.epoch)


def _two_apps(simulation: Simulation) -> None:
    write_app(simulation, "hello", "1")
    write_app(simulation, "other-app", "2", number=1)


def _remove(simulation: Simulation) -> None:
    remove_app(simulation, "hello")
    simulation.allows_prune = True


MIGRATES = {"migrate": "bin/run migrate"}
HOOKS = {"before_migrate": "bin/run backup", "after_rollout": "bin/run warm", "on_failure": "bin/run tell"}
# A process, and a job whose time does not come: the run of one is in the random histories, and a story of its own.
FAMILY = {
    "processes": {"mailer": {"start": "bin/run mail", "minimum_healthy_seconds": 1}},
    "jobs": {"nightly": {"run": "bin/run nightly", "at": "yearly"}},
}
LATER = FAMILY | {"jobs": {"nightly": {"run": "bin/run nightly --all", "at": "monthly"}}}
ONE_PORT = {"ports": [4000]}
STORIES: tuple[Story, ...] = (
    Story("first install", app("1"), serves="1"),
    Story("upgrade", app("2"), (app("1"),), serves="2"),
    Story("env change", app("1", env={"GREETING": "good day"}), (app("1"),), serves="1"),
    Story("route change", app("1", route={"domains": ["new.example.com"], "tls": False}), (app("1"),), serves="1"),
    Story("downgrade, and pruning", app("1"), (app("1"), app("2"), app("3")), serves="1", keeps=("1", "3")),
    Story("migration", app("2", **MIGRATES), (app("1"),), serves="2", migrations=1),
    Story("bad release", app("bad"), (app("1"),), serves="1", converges=False),
    Story("bad migration", app("unmigrated", **MIGRATES), (app("1"),), serves="1", converges=False, migrations=1),
    Story("fix after a bad release", app("2"), (app("1"), app("bad")), serves="2"),
    Story("removal", _remove, (_two_apps,), serves=""),
    Story(
        "worker", app("2", ports=None, route=None, health=None), (app("1", ports=None, route=None, health=None),), "2"
    ),
    Story("edited env file", app("1"), (app("1"),), serves="1", drift=_edit_env),
    Story("damaged release", app("1"), (app("1"),), serves="1", drift=_damage),
    Story("broken upload", app("2"), (app("1"),), serves="2", drift=_break_upload),
    Story("deleted route", app("1"), (app("1"),), serves="1", drift=_delete_route),
    Story("upgrade behind a slow Traefik", app("2"), (app("1"),), serves="2", traefik_lag_seconds=2.0),
    Story("hooks", app("2", **MIGRATES, **HOOKS), (app("1"),), serves="2", migrations=1, hooks=1),
    Story("on_failure", app("bad", **MIGRATES, **HOOKS), (app("1"),), "1", converges=False, migrations=1, hooks=1),
    Story(
        "env change after a damaged release", app("1", env={"GREETING": "good day"}), (app("1"), _damage), serves="1"
    ),
    Story("process and job", app("2", **LATER), (app("1", **FAMILY),), serves="2"),
    Story("process and job leave", app("2"), (app("1", **FAMILY),), serves="2"),
    Story("one port", app("2", **ONE_PORT), (app("1", **ONE_PORT),), serves="2"),
)


def by_name(name: str) -> Story:
    return next(story for story in STORIES if story.name == name)


def set_up(simulation: Simulation) -> None:
    """All artifacts there are, and the fleet. A stranger's files lie beside ours."""
    for version in ("1", "2", "3"):
        build(simulation, version)
    build(simulation, "bad", good=False, answers=500)
    build(simulation, "unmigrated", good=False, migrates=False)
    build(simulation, "dying", good=False, dies=0.5)
    build(simulation, "silent", good=False, boot=10_000)
    write_fleet(simulation)
    for host in simulation.hosts.values():
        strangers = {
            "etc/traefik/dynamic/other.yml": b"http:\n  routers: {}\n# by hand\n",
            "etc/systemd/system/other.service": b"[Service]\nExecStart=/bin/true\n",
            "srv/other/releases/1/file": b"theirs\n",
            "etc/reconcile-not/secret": b"theirs\n",
        }
        for path, content in strangers.items():
            place = host.root / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        host.files.settle(host.epoch)
        host.traefik.start()
        simulation.oracles.strangers[host.name] = strangers


async def come_to(simulation: Simulation, story: Story) -> None:
    """The state in which the story begins."""
    set_up(simulation)
    for host in simulation.hosts.values():
        host.traefik.lag = story.traefik_lag_seconds
    for step in story.before:
        step(simulation)
        await simulation.once()
    if story.drift:
        story.drift(simulation)
        await asyncio.sleep(1.0)  # Traefik has seen it
    story.change(simulation)


RELEASE = re.compile(r"srv/[^/]+/releases/[^./][^/]*")


@dataclass(frozen=True)
class End:
    """What a host is like in the end, without what may differ: slots, times, invocations."""

    apps: tuple[tuple[str, str, str, bool], ...]  # app, version that runs, its env, whether it is routed to
    releases: tuple[str, ...]
    files: tuple[str, ...]
    quarantined: tuple[str, ...]
    held: tuple[str, ...] = field(default=())


def end_of(simulation: Simulation) -> dict[str, End]:
    found = {}
    for name, host in simulation.hosts.items():
        apps = tuple(
            sorted(
                (
                    p.app,
                    p.release.rpartition("-")[0],
                    p.identity.rpartition("/")[0],
                    host.traefik.port_of(p.app) == p.port,
                )
                for p in host.systemd.processes
            )
        )
        files = host.files
        releases = tuple(p for p, e in files.now.items() if RELEASE.fullmatch(p) and e.kind == "d")
        slotless = tuple(
            sorted(
                path.replace("4001", "SLOT").replace("4000", "SLOT")
                for path, entry in files.now.items()
                if entry.kind != "d"
                and not REUSED.match(path)
                and not is_leftover(files.now, path)
                and "/releases/" not in path
                and not path.startswith("var/lib/reconcile/.history")
            )
        )
        quarantined = tuple(
            line.split()[1]
            for path in files.now
            if path.endswith("/quarantine")
            for line in files.text(path).splitlines()
        )
        found[name] = End(apps, tuple(sorted(releases)), slotless, quarantined, tuple(host.traefik.apps))
    return found


# What is known not to hold yet, by the story that shows it. A test says so as soon as it does hold.
GAPS: dict[str, str] = {}
