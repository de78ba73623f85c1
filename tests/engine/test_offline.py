"""The plan between two desired states: what it begins with, and what it may leave out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reconciler.decide.converged_app import converged_app
from reconciler.decide.plan import AppPlan
from reconciler.desired_state.load import load
from reconciler.engine import offline
from reconciler.engine.offline import plan_between
from reconciler.model.desired import Desired
from reconciler.model.fleet import Key
from reconciler.targets.without_hosts import OfflineFleet, work_out_offline
from tests.support.repository import FLEET, Repository, Words, app

TRAEFIK = {"version": "3.7.1", "sha256": "a" * 64, "acme": {"email": "a@example.com"}}
ROUTE = {"domains": ["example.com"]}
KINDS: dict[str, Words] = {
    "routed": {"route": ROUTE},
    "one port": {"route": ROUTE, "ports": ["4000"]},
    "worker": {"ports": []},
    "no route": {},
    "migrates": {"migrate": "bin/m", "before_migrate": "bin/b", "migrate_when": ["URL"], "env": {"URL": "x"}},
    "hooks": {"after_rollout": {"run": "bin/a", "each_host": "true"}, "on_failure": "bin/f"},
    "jobs": {"jobs": {"nightly": {"run": "bin/n", "at": "*-*-* 03:00 UTC"}, "by-hand": {"run": "bin/h"}}},
    "processes": {"processes": {"mailer": {"start": "bin/m", "count": "2"}}, "route": ROUTE},
    "processes alone": {"processes": {"mailer": {"start": "bin/m"}, "other": {"start": "bin/o"}}, "ports": []},
    "warm": {"soak_seconds": "60", "route": ROUTE},
    "warns": {"drift": "warn"},
    "secret": {"env": {"KEY": {"secret": "a/b"}}, "route": {**ROUTE, "basic_auth": {"secret": "a/auth"}}},
    "tcp": {"route": {"tcp": {"entry_point": "postgres", "tls": "passthrough", "domains": ["db.example.com"]}}},
    "each architecture": {"artifact": {"source": "https://example.com/x-{arch}.tar.gz"}},
    "distribution": {"distribution": "sname", "env": {"RELEASE_COOKIE": {"secret": "a/cookie"}}},
}


def desired_of(folder: Path, *apps: Words, fleet: Words | None = None) -> Desired:
    repository = Repository(folder)
    repository.write(*apps, fleet=fleet)
    return load(folder / "desired-state", working_tree=True)


def offline_of(folder: Path, *apps: Words, **options: Any) -> OfflineFleet:
    known = options.pop("known", None)
    return work_out_offline(desired_of(folder, *apps, **options), {}, known=known)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("managed", [False, True], ids=["their Traefik", "our Traefik"])
def test_a_plan_begins_with_nothing_left_to_do(kind: str, managed: bool, tmp_path: Path) -> None:
    tcp_ports = {"tcp_ports": {"postgres": "5432"}}
    fleet = {**FLEET, "traefik": {**TRAEFIK, **tcp_ports}} if managed else FLEET
    state = offline_of(tmp_path, app("shop", **KINDS[kind]), fleet=fleet)
    other = work_out_offline(state.desired, {})  # nothing is the same object: all of it is planned

    plans = plan_between(state, other)

    assert {key: plan.actions for key, plan in plans.items()} == dict.fromkeys(plans, ())
    assert set(plans) == set(state.files)


@pytest.mark.parametrize("kind", KINDS)
def test_after_the_plan_nothing_is_left_to_do(kind: str, tmp_path: Path) -> None:
    """From the version before, each kind of app comes to rest, and is not blocked."""
    before = offline_of(tmp_path, app("shop", "1.0", **KINDS[kind]))
    after = offline_of(tmp_path, app("shop", "1.1", **KINDS[kind]))

    plans = plan_between(before, after)

    assert {type(plan.end).__name__ for plan in plans.values()} == {"Converged"}
    assert all(any(action.verb == "start" for action in plan.actions) for plan in plans.values())


def test_what_does_not_change_is_left_out_and_the_plan_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [app(f"app{n}", ports=[]) for n in range(5)] + [app("waits", ports=[], after=["shop"])]
    before = offline_of(tmp_path, app("shop", route=ROUTE), app("base", ports=[]), *others, app("gone", ports=[]))
    moved = app("new", moved_from="gone", ports=[], after=["base"])
    after = offline_of(tmp_path, app("shop", "1.1", route=ROUTE), app("base", ports=[]), *others, moved, known=before)

    trimmed = plan_between(before, after)
    monkeypatch.setattr(offline, "_without_unchanged", lambda before, after: (before, after))
    whole = plan_between(before, after)

    assert acting(trimmed) == acting(whole)
    assert {app for app, _ in acting(trimmed)} == {"shop", "new", "gone"}
    assert len(trimmed) < len(whole)


def acting(plans: dict[Key, AppPlan]) -> dict[Key, AppPlan]:
    return {key: plan for key, plan in plans.items() if plan.actions}


def test_a_converged_app_belongs_to_its_desired_state(tmp_path: Path) -> None:
    """Else nothing would ever be removed in a plan."""
    state = offline_of(tmp_path, app("shop"), fleet={**FLEET, "owner": "us"})

    assert converged_app(state.fleet.targets["shop", "web1"], state.fleet.owner).owner == "us"


def test_a_plan_shows_what_each_edge_of_an_app_will_route(tmp_path: Path) -> None:
    hosts = {
        name: {"address": name, "private_address": f"10.0.0.{n}"} for n, name in enumerate(["lb1", "web1", "web2"], 1)
    }
    keys: Words = {"hosts": ["web1", "web2"], "route": {**ROUTE, "edges": ["lb1"]}}
    before = offline_of(tmp_path, app("shop", "1.0", **keys), fleet={"hosts": hosts})
    after = offline_of(tmp_path, app("shop", "1.1", **keys), fleet={"hosts": hosts})

    nothing = plan_between(before, work_out_offline(before.desired, {}))
    plans = plan_between(before, after)

    assert [plan.actions for plan in nothing.values()] == [(), (), ()]
    assert [f"{action.verb} {action.subject}" for action in plans["shop", "lb1"].actions] == [
        "balance web1:4001, web2:4000",
        "confirm route",
        "balance web1:4001, web2:4001",
        "confirm route",
    ]
    assert {type(plan.end).__name__ for plan in plans.values()} == {"Converged"}
