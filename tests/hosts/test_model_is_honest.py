"""The model and a real host go through the same actions: after each they must show the same state.

The plan and the simulator rely on `expected`, which predicts what hosts do; here it is compared with one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.apply.applier import Applier
from reconciler.decide.next_action import next_action
from reconciler.desired_state.load import load
from reconciler.model.action import Blocked, Converged, Step
from reconciler.model.observed import ObservedApp, ObservedHost, Slot
from reconciler.observe.lease import new_controller
from reconciler.observe.look import observe
from reconciler.targets.open_fleet import OpenFleet, work_out
from tests.hosts.conftest import MachineFactory
from tests.hosts.farm import Farm
from tests.hosts.stories.conftest import usual_keys
from tests.hosts.stories.project import Project, command_environ
from tests.hosts.stories.small_release import small_release
from tests.support.world import World

pytestmark = pytest.mark.hosts

BAD: dict[str, Any] = {"0.3.0": {"fail_boot": True}}
VERSIONS = ("0.1.0", "0.2.0", "0.3.0", "0.4.0", "0.5.0")
WORKER: dict[str, Any] = {"ports": None, "route": None, "health": None, "start": "bin/app work"}

WHO = new_controller("honest")  # one for all: the lease is not given back between two walks


@pytest.fixture
def hello(
    farm: Farm, machine_factory: MachineFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Project]:
    """An app of the name that the model knows, on a host of its own; this process may reach it."""
    machine = machine_factory("honest")
    environ = command_environ(farm.home, tmp_path / "cache")
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, environ[name])
    project = Project(tmp_path / "project", "hello", machine, environ)
    for version in VERSIONS:
        project.add_artifact(small_release(version, **BAD.get(version, {})), version)
    health = {"path": "/ping", "healthy_within_seconds": 10, "minimum_healthy_seconds": 1}
    project.write(**(usual_keys(project, 4000) | {"health": health, "keep_releases": 2}))
    yield project
    farm.remove(machine)


def walk(project: Project, world: World, damage: str = "", **keys: Any) -> list[str]:
    """Commit, then one pass on the host and in the model, compared after every action; how it went.

    `damage` is done to the host before; the model then begins with what the host shows.
    """
    project.commit(**keys)
    if damage:
        project.machine.run(damage)
        world.seen = ObservedHost("unknown")
    return asyncio.run(_walk(project, world))


async def _walk(project: Project, world: World) -> list[str]:
    opened = await work_out(load(project.folder / "desired-state"), None, None)
    try:
        return await _side_by_side(opened, world)
    finally:
        for host in opened.hosts.values():
            await host.close()


async def _side_by_side(opened: OpenFleet, world: World) -> list[str]:
    (files,) = opened.targets.values()
    (host,) = opened.hosts.values()
    applier = Applier(host, files, WHO, lambda text: None)
    seen = await observe(host, files.site, [files], WHO)
    assert isinstance(seen, ObservedHost)
    target, done = files.target, list[str]()
    if world.seen.host == "unknown":
        world.seen = seen
    model = world.seen = asked_anew(world.look(), seen)
    assert differences(seen, model) == [], "before anything was done"
    while True:
        step, step_in_model = next_action(target, seen), next_action(target, model)
        assert sketch(step) == sketch(step_in_model), f"after {done}"
        if isinstance(step, Converged | Blocked) or isinstance(step_in_model, Converged | Blocked):
            return [*done, "converged" if isinstance(step, Converged) else "blocked"]
        seen, model = await applier.apply(step, seen), world.apply(step_in_model, target)
        done.append(step.verb)
        assert differences(seen, model) == [], f"after {done}"


def asked_anew(model: ObservedHost, seen: ObservedHost) -> ObservedHost:
    """The model's look, with what only the app and Traefik can answer: no action claims to change it."""
    app = model.app("hello")
    slots = tuple(replace(slot, healthy=seen.app("hello").slot(slot.name).healthy) for slot in app.slots)
    asked = seen.app("hello").applied is not None
    model = replace(model, facts=replace(model.facts, now_epoch_seconds=seen.facts.now_epoch_seconds))
    return model.with_app("hello", replace(app, slots=slots, applied=app.applied if asked else None))


def sketch(step: Step) -> object:
    """The actions, without their reasons and the number of this start."""
    if isinstance(step, Blocked):
        return "blocked", step.serving
    changes: dict[str, Any] = {} if isinstance(step, Converged) else {"reason": ""}
    changes |= {key: "" for key in ("invocation", "why", "attempt") if hasattr(step, key)}
    return replace(step, **changes)


def differences(seen: ObservedHost, model: ObservedHost) -> list[str]:
    on_host, claimed = (claims(each.app("hello")) for each in (seen, model))
    keys = sorted(on_host.keys() | claimed.keys())
    return [
        f"{key}: {on_host.get(key)} on the host, {claimed.get(key)} in the model"
        for key in keys
        if on_host.get(key) != claimed.get(key)
    ]


def claims(app: ObservedApp) -> dict[str, Any]:
    """Everything that the model predicts, without times, memory, texts and start counts."""
    slots = {
        f"slot {slot.name}: {key}": value for slot in app.slots if slot.occupied for key, value in of(slot).items()
    }
    route = replace(app.route, age_seconds=0, attempt=0) if app.route else None
    this_file = app.route is not None and app.applied is not None and app.applied.attempt == app.route.attempt
    return slots | {
        "releases": app.releases,
        "leftovers": app.leftovers,
        "migrated": tuple(sorted(app.migrated)),
        "hook": app.hook,
        "hold": app.hold,
        "quarantined": [each.identity for each in app.quarantined],
        "unit": (app.unit, app.unit_intact),
        "foreign": app.foreign,
        "taken": app.taken,
        "route": route,
        "applied": app.applied and replace(app.applied, attempt=0),
        "this very file": this_file,
        "unconfirmed": app.unconfirmed,
    }


def of(slot: Slot) -> dict[str, Any]:
    return {
        "prepared": slot.prepared,
        "intact": slot.files_intact,
        "on trial": slot.on_trial,
        "previous": slot.previous,
        "running": slot.running if slot.running_now else None,  # one that crashes may be seen between two starts
        "enabled": slot.enabled,
        "healthy": slot.healthy if slot.name.isdigit() else None,  # a worker is not asked
        "proven": slot.healthy_for_seconds is not None,
        "failed": bool(slot.failure),
        "drained": slot.drained,
    }


def bad(project: Project, world: World) -> World:
    """The same world, in which the bad version crashes as it does on the host."""
    return replace(world, behaviour={project.release_id("0.3.0"): "crashes"})


def test_the_model_of_two_slots_matches_the_host(hello: Project) -> None:
    """Install, upgrade, env change, bad release, its successor, old releases, migration, a new route."""
    world = bad(hello, World())

    assert walk(hello, world) == ["install", "start", "wait", "cutover", "confirm", "converged"]
    swap = ["start", "wait", "cutover", "confirm", "drain", "stop"]
    assert walk(hello, world, version="0.2.0") == ["install", *swap, "converged"]
    assert walk(hello, world, env={"GREETING": "Good day"}) == [*swap, "converged"]
    assert walk(hello, world, version="0.3.0") == ["install", "start", "wait", "reject", "blocked"]
    assert walk(hello, world, version="0.3.0") == ["blocked"]
    bad_unit: dict[str, Any] = {"version": "0.3.0", "stop_seconds": 5}
    assert walk(hello, world, **bad_unit) == ["start", "wait", "reject", "blocked"]
    assert walk(hello, world, version="0.4.0") == ["install", *swap, "prune", "converged"]
    hooks = {"before_migrate": "true", "after_rollout": "true"}
    assert walk(hello, world, version="0.5.0", migrate="bin/app migrate", **hooks) == [
        "install", "migrate", *swap, "prune", "hook", "converged",
    ]  # fmt: skip
    route = {"domains": ["other.test"], "tls": False}
    assert walk(hello, world, route=route) == ["cutover", "confirm", "converged"]
    assert walk(hello, world, route=None) == ["unroute", "confirm", "converged"]
    assert walk(hello, world) == ["converged"]


def test_the_model_of_one_slot_matches_the_host(hello: Project) -> None:
    """Stop-first: the version before is kept until the new one is proven, and comes back when it is not."""
    world = bad(hello, World())

    assert walk(hello, world, ports=[4000]) == ["install", "start", "wait", "cutover", "confirm", "converged"]
    held, given_back = ["hold", "confirm", "drain"], ["wait", "cutover", "confirm", "unhold"]
    assert walk(hello, world, version="0.2.0") == ["install", *held, "start", *given_back, "converged"]
    assert walk(hello, world, version="0.3.0") == ["install", *held, "start", "wait", "reject", *given_back, "blocked"]
    assert walk(hello, world, version="0.2.0") == ["prune", "converged"]


def test_the_model_of_a_worker_matches_the_host(hello: Project) -> None:
    """No port: running for long enough is all that is asked."""
    world = bad(hello, World())

    assert walk(hello, world, **WORKER) == ["install", "start", "wait", "enable", "converged"]
    assert walk(hello, world, version="0.2.0") == ["install", "start", "wait", "enable", "converged"]
    assert walk(hello, world, version="0.3.0") == ["install", "start", "wait", "reject", "blocked"]


def test_the_model_of_repairs_matches_the_host(hello: Project) -> None:
    """What is put back is as the model says, too."""
    world = bad(hello, World())
    walk(hello, world, ports=[4000])

    assert walk(hello, world, "echo EXTRA=1 >>/etc/reconcile/hello/4000.env") == ["repair", "converged"]
    assert walk(hello, world, "rm /etc/systemd/system/hello@.service") == ["repair", "converged"]
    assert walk(hello, world, "echo >>/etc/traefik/dynamic/hello.yml") == ["cutover", "confirm", "converged"]
    assert walk(hello, world, "systemctl disable --quiet hello@4000") == ["enable", "converged"]
    assert walk(hello, world, "systemctl stop hello@4000") == ["start", "wait", "converged"]
    damage = f"echo '# mine' >>/srv/hello/releases/{hello.release_id('0.1.0')}/server.pl"
    waited_for = [
        "hold",
        "confirm",
        "drain",
        "start",
        "wait",
        "cutover",
        "confirm",
        "unhold",
    ]  # visitors of its only slot wait
    assert walk(hello, world, damage) == ["install", *waited_for, "prune", "converged"]
    walk(hello, world, version="0.3.0")
    assert walk(hello, world, "systemctl stop hello@4000") == ["restart", "blocked"]
