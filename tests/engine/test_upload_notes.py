"""What a plan says about the bytes that it sends: model hosts, real archives."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import random
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.artifact.archive import prepare
from reconciler.engine.converge import converge
from reconciler.engine.preview import preview
from reconciler.engine.report import plan_json, plan_text
from reconciler.engine.upload_notes import upload_notes
from reconciler.model.traefik import Traefik
from reconciler.targets.open_fleet import OpenFleet
from reconciler.targets.resolve import resolve
from tests.decide.test_fleet import app, site
from tests.support.archives import file, tar_bytes
from tests.support.stepping import QUIET, WHO, Stepping, opened, stepping

__all__ = ["stepping"]
RUNTIME = random.Random(1).randbytes(2_000_000)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def fleet(folder: Path, name: str, version: str, *hosts: str, here: bool = True) -> OpenFleet:
    """An app with a runtime of 2 MB and 50 kB of its own, whose archive is on this machine."""
    own = random.Random(f"{name} {version}").randbytes(50_000)
    members = [file("bin/app", mode=0o755), file("lib/runtime", RUNTIME), file("lib/own", own)]
    path = folder / f"{name}-{version}.tar.gz"
    path.write_bytes(gzip.compress(tar_bytes(members), 1, mtime=0))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if here:
        prepare(path, digest)
    wanted = app(name, list(hosts), version=version, artifact={"source": f"{name}-{{version}}.tar.gz"})
    made = opened(wanted)
    for host in hosts:
        files = resolve(wanted, site(host), Traefik(), folder, digest, lambda name: name)
        made.targets[files.key] = files
    return made


def notes(planned: OpenFleet) -> str:
    """What the plan says below the actions."""

    async def shown() -> str:
        plans = await preview(planned)
        noted = await upload_notes(planned, plans)
        noted_plans = [replace(plan, notes=noted.get(key, ())) for key, plan in plans.plans.items()]
        for plan, as_json in zip(noted_plans, plan_json(noted_plans), strict=True):
            assert as_json.get("notes", []) == [{"note": n.text, "next": ""} for n in plan.notes]
        return plan_text(noted_plans).rpartition("  ")[2].partition("\n")[2]

    return asyncio.run(shown())


@pytest.mark.usefixtures("stepping")
def test_a_plan_says_how_much_of_a_release_is_sent(tmp_path: Path) -> None:
    """All of it to hosts that have nothing of it, and of another version what is its own."""
    first = fleet(tmp_path, "shop", "1.0", "a", "b")

    assert notes(first) == "shop: 1.0 sends 2.1 MB to a, b\n"
    asyncio.run(converge(first, QUIET, WHO))
    assert notes(first) == ""
    assert notes(fleet(tmp_path, "shop", "2.0", "a")) == (
        "shop: 2.0 sends at most 50.2 kB of 2.1 MB, since the rest is there, to a\n"
    )


@pytest.mark.usefixtures("stepping")
def test_nothing_is_said_of_an_archive_that_is_not_on_this_machine(tmp_path: Path) -> None:
    assert notes(fleet(tmp_path, "shop", "1.0", "a", here=False)) == ""


def test_of_many_hosts_the_first_are_named(stepping: Stepping, tmp_path: Path) -> None:
    """Each plan has the note, which is printed once."""
    del stepping

    assert notes(fleet(tmp_path, "shop", "1.0", *"abcde")) == "shop: 1.0 sends 2.1 MB to a, b, c and 2 more\n"


@pytest.mark.usefixtures("stepping")
def test_nothing_is_said_of_a_small_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.engine.upload_notes.LEAST_BYTES", 3_000_000)

    assert notes(fleet(tmp_path, "shop", "1.0", "a")) == ""
