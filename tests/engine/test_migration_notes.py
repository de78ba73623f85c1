"""What a plan says about migrations: model hosts, real archives."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.engine.converge import converge
from reconciler.engine.migration_notes import migration_notes
from reconciler.engine.preview import preview
from reconciler.engine.report import plan_json, plan_text
from reconciler.model.traefik import Traefik
from reconciler.targets.open_fleet import OpenFleet
from reconciler.targets.resolve import resolve
from tests.decide.test_fleet import app, site
from tests.support.archives import file, tar_bytes
from tests.support.stepping import QUIET, WHO, Stepping, opened, stepping

__all__ = ["stepping"]
NUMBERS = {"0.1.0": (1,), "0.2.0": (1, 2), "0.3.0": (1, 2, 3), "0.3.1": (1, 2, 3)}
Fleet = Callable[..., OpenFleet]


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stepping: Stepping) -> Fleet:
    """Builds the desired state of an app at a version, whose archives are local files, with a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def archive(version: str) -> Path:
        path = tmp_path / f"shop-{version}.tar.gz"
        names = [f"db/migrate/{number}_m{number}.rb" for number in NUMBERS[version]]
        members = [file("bin/app", mode=0o755), file("VERSION", version.encode()), *map(file, names)]
        path.write_bytes(gzip.compress(tar_bytes(members), 1, mtime=0))
        return path

    def build(version: str, **more: object) -> OpenFleet:
        digest = hashlib.sha256(archive(version).read_bytes()).hexdigest()
        hosts = more.pop("hosts", ["a"])
        wanted = app("shop", hosts, version=version, artifact={"source": "shop-{version}.tar.gz"}, **more)  # type: ignore[arg-type]
        made = opened(wanted)
        for host in wanted.hosts:
            files = resolve(wanted, site(host), Traefik(), tmp_path, digest, lambda name: name)
            made.targets[files.key] = files
        return made

    return build


def rolled_out(*fleets: OpenFleet) -> None:
    for each in fleets:
        asyncio.run(converge(each, QUIET, WHO))


def notes(planned: OpenFleet) -> str:
    """What the plan says below the actions."""

    async def shown() -> str:
        plans = await preview(planned)
        noted = await migration_notes(planned, plans)
        noted_plans = [replace(plan, notes=noted.get(key, ())) for key, plan in plans.plans.items()]
        for plan, as_json in zip(noted_plans, plan_json(noted_plans), strict=True):
            assert as_json.get("notes", []) == [{"note": n.text, "next": n.next_step or ""} for n in plan.notes]
        text = plan_text(noted_plans)
        return "".join(line for line in text.splitlines(keepends=True) if not line.startswith(("a  ", "b  ")))

    return asyncio.run(shown())


MIGRATE = {"migrate": "bin/app migrate"}


def test_a_plan_names_the_migrations_that_a_release_brings(fleet: Fleet) -> None:
    rolled_out(fleet("0.1.0", **MIGRATE))

    assert notes(fleet("0.3.0", **MIGRATE)) == "shop: 0.3.0 brings 2 new migrations: 2_m2, 3_m3\n"


def test_of_several_hosts_it_is_said_once(fleet: Fleet) -> None:
    rolled_out(fleet("0.1.0", hosts=["a", "b"], **MIGRATE))

    assert notes(fleet("0.2.0", hosts=["a", "b"], **MIGRATE)) == "shop: 0.2.0 brings 1 new migration: 2_m2\n"


def test_migrations_that_nothing_runs_are_a_warning(fleet: Fleet) -> None:
    rolled_out(fleet("0.1.0"))

    assert notes(fleet("0.2.0")) == (
        "shop: 0.2.0 brings 1 new migration, which nothing runs: 2_m2\n"
        "  next: write migrate: with the command that runs them, or run them yourself before this rollout\n"
    )


def test_going_back_past_a_version_that_migrated_is_a_warning(fleet: Fleet) -> None:
    rolled_out(fleet("0.1.0", **MIGRATE), fleet("0.3.0", **MIGRATE))

    assert notes(fleet("0.1.0", **MIGRATE)) == (
        "shop: 0.3.0 migrated 2_m2, 3_m3, which 0.1.0 does not know\n"
        "  next: make sure that 0.1.0 works with the database as 0.3.0 left it: reconcile undoes no migration\n"
    )


def test_a_version_that_migrated_and_no_longer_serves_is_not_forgotten(fleet: Fleet) -> None:
    rolled_out(fleet("0.3.0", **MIGRATE), fleet("0.2.0", **MIGRATE))

    assert notes(fleet("0.1.0", **MIGRATE)).startswith("shop: 0.3.0 migrated 2_m2, 3_m3, which 0.1.0 does not know\n")
    assert notes(fleet("0.2.0", env={"A": "b"}, **MIGRATE)) == ""  # no other release starts


def test_without_migrate_the_version_that_serves_counts(fleet: Fleet) -> None:
    rolled_out(fleet("0.2.0"))

    assert notes(fleet("0.1.0")).startswith("shop: 0.2.0 serves with 2_m2, which 0.1.0 does not know\n")


def test_a_plan_without_migrations_says_nothing_of_them(fleet: Fleet) -> None:
    assert notes(fleet("0.3.0", **MIGRATE)) == ""  # nothing serves yet
    rolled_out(fleet("0.3.0", **MIGRATE))

    assert notes(fleet("0.3.0", **MIGRATE)) == "nothing to do\n"
    assert notes(fleet("0.3.0", env={"A": "b"}, **MIGRATE)) == ""
    assert notes(fleet("0.3.1", **MIGRATE)) == ""


def test_an_archive_that_is_not_on_this_machine_is_said(fleet: Fleet, tmp_path: Path) -> None:
    rolled_out(fleet("0.1.0", **MIGRATE))
    planned = fleet("0.2.0", **MIGRATE)
    (tmp_path / "shop-0.1.0.tar.gz").unlink()

    assert notes(planned) == (
        "shop: 0.2.0 has 2 migrations; it is not known which of them are new: "
        "the archive of 0.1.0, which serves, is not on this machine\n"
    )


def test_an_archive_that_was_prepared_once_is_enough(fleet: Fleet, tmp_path: Path) -> None:
    rolled_out(fleet("0.1.0", **MIGRATE))
    planned = fleet("0.2.0", **MIGRATE)
    assert notes(planned)
    for path in tmp_path.glob("*.tar.gz"):
        path.unlink()

    assert notes(planned) == "shop: 0.2.0 brings 1 new migration: 2_m2\n"
