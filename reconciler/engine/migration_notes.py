"""Notes on database migrations for a plan, from archives on this machine. Asks no host, and downloads nothing."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from typing import Final

from reconciler.artifact.archive import load_paths, prepare
from reconciler.artifact.migrations import Migration, compare_migrations, migrations_in, names_of
from reconciler.artifact.source import digest_of, fetch
from reconciler.decide.plan import AppPlan, PlanNote
from reconciler.decide.serving import serving
from reconciler.decide.slots import live_slot
from reconciler.engine.preview import Preview
from reconciler.errors import ArtifactError
from reconciler.model.action import StartInstance
from reconciler.model.fleet import Key
from reconciler.model.observed import ObservedHost
from reconciler.targets.open_fleet import OpenFleet
from reconciler.targets.target_files import TargetFiles

MOST_RELEASES: Final = 10  # of those that migrated, the last so many are compared
_RELEASE = re.compile(r"(?P<version>.+)-(?P<digest>[0-9a-f]{12})(?:~[0-9]+)?(?:@.*)?")

Migrations = frozenset[Migration]


async def migration_notes(opened: OpenFleet, shown: Preview) -> dict[Key, tuple[PlanNote, ...]]:
    """For each plan that starts another release: the migrations that it brings, and those that it does not know."""
    changes = {
        key: (started, before)
        for key, plan in shown.plans.items()
        if key in opened.targets
        and (started := _started_release(plan))
        and (before := _former_release(opened.targets[key], shown))
        and _split(started) != _split(before)
    }
    notes = await asyncio.gather(*(_notes_of(opened.targets[key], shown, *change) for key, change in changes.items()))
    return dict(zip(changes, notes, strict=True))


async def _notes_of(files: TargetFiles, shown: Preview, started: str, before: str) -> tuple[PlanNote, ...]:
    wanted = await _find_migrations(files, started)
    if wanted is None:
        return ()
    served = await _find_migrations(files, before)
    marks = _migrated_releases(files.target.app, shown)
    others = {each: await _find_migrations(files, each) for each in marks[-MOST_RELEASES:] if each != before}
    migrated = {before: served, **others}
    notes = _brought(files, started, before, wanted, served), _unknown(started, before, wanted, migrated, marks)
    return tuple(note for note in notes if note)


def _brought(
    files: TargetFiles, started: str, before: str, wanted: Migrations, served: Migrations | None
) -> PlanNote | None:
    version, migrates = _split(started)[0], files.target.migrates
    if served is None:
        if not wanted or not migrates:
            return None
        archive = f"the archive of {_split(before)[0]}, which serves, is not on this machine"
        return PlanNote(f"{version} has {_count(wanted)}; it is not known which of them are new: {archive}")
    new = compare_migrations(served, wanted).new
    if not new:
        return None
    if migrates:
        return PlanNote(f"{version} brings {_count(new, 'new ')}: {names_of(new)}")
    return PlanNote(
        f"{version} brings {_count(new, 'new ')}, which nothing runs: {names_of(new)}",
        "write migrate: with the command that runs them, or run them yourself before this rollout",
    )


def _unknown(
    started: str, before: str, wanted: Migrations, migrated: dict[str, Migrations | None], marks: list[str]
) -> PlanNote | None:
    """Warn of the release whose migrations the started one knows least."""
    found = {each: compare_migrations(known, wanted).unknown for each, known in migrated.items() if known is not None}
    release = max(found, key=lambda each: len(found[each]), default="")
    if not release or not found[release]:
        return None
    version, other = _split(started)[0], _split(release)[0]
    did = "migrated" if release in marks else "serves with" if release == before else "has"
    return PlanNote(
        f"{other} {did} {names_of(found[release])}, which {version} does not know",
        f"make sure that {version} works with the database as {other} left it: reconcile undoes no migration",
    )


async def _find_migrations(files: TargetFiles, release: str) -> Migrations | None:
    """The migrations of a release of this app, or None if its archive is not on this machine."""
    version, digest = _split(release)
    paths = await asyncio.to_thread(load_paths, digest) or await _read_local_archive(files, version, digest)
    return None if paths is None else migrations_in(paths)


async def _read_local_archive(files: TargetFiles, version: str, digest: str) -> list[str] | None:
    """The paths in the archive of this version, if the app's artifacts are local files and this one is there."""
    assert files.app
    for artifact in files.app.artifact.by_arch.values() or (files.app.artifact,):
        if ":" in artifact.source:
            continue
        try:
            found = await digest_of(artifact.source, None, version, files.folder)
            if found.startswith(digest):
                path = await fetch(artifact.source, found, version, files.folder)
                return [entry.path for entry in (await asyncio.to_thread(prepare, path, found)).entries]
        except ArtifactError:  # it is gone or changed; for the one that is wanted, the pass says so
            continue
    return None


def _migrated_releases(app: str, shown: Preview) -> list[str]:
    """The releases of the app that migrated on any host, in the order in which the hosts noted them."""
    marks = [mark for look in shown.hosts.values() if isinstance(look, ObservedHost) for mark in look.app(app).migrated]
    return list(dict.fromkeys(mark.partition("@")[0] for mark in marks if _RELEASE.fullmatch(mark)))


def _started_release(plan: AppPlan) -> str:
    started = [action.identity.release for action in plan.actions if isinstance(action, StartInstance)]
    return started[-1] if started and _RELEASE.fullmatch(started[-1]) else ""


def _former_release(files: TargetFiles, shown: Preview) -> str:
    """The release that serves on the target's host, or last did."""
    look, target = shown.hosts[files.target.host], files.target
    if not isinstance(look, ObservedHost) or not files.app:
        return ""
    slot = serving(target, look.app(target.app)) or live_slot(target, look.app(target.app))
    identity = slot and (slot.running or slot.prepared)
    return identity.release if identity and _RELEASE.fullmatch(identity.release) else ""


def _split(release: str) -> tuple[str, str]:
    """Version and digest of a release."""
    found = _RELEASE.fullmatch(release)
    assert found
    return found["version"], found["digest"]


def _count(migrations: Iterable[Migration], kind: str = "") -> str:
    number = len(list(migrations))
    return f"{number} {kind}migration{'s' if number != 1 else ''}"
