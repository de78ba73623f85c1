"""Notes on the bytes that a plan sends, from archives on this machine. Asks no host, and downloads nothing."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from typing import Final

from reconciler.artifact.archive import load_digests, load_release
from reconciler.artifact.part import part_of, whole
from reconciler.decide.plan import PlanNote
from reconciler.engine.preview import Preview
from reconciler.errors import ArtifactError
from reconciler.model.action import InstallRelease
from reconciler.model.fleet import Key
from reconciler.model.observed import ObservedHost
from reconciler.targets.open_fleet import OpenFleet

MOST_HOSTS: Final = 3  # are named in a note
LEAST_BYTES: Final = 100_000  # of less, no uplink takes notice
_RELEASE = re.compile(r".+-([0-9a-f]{12})")

Upload = tuple[str, str, frozenset[str]]  # app, release, and the digests of what is on the host


async def upload_notes(opened: OpenFleet, shown: Preview) -> dict[Key, tuple[PlanNote, ...]]:
    """For each plan that installs a release whose archive is on this machine: how much of it is sent at most."""
    uploads: dict[Upload, list[Key]] = {}
    for key, plan in sorted(shown.plans.items()):
        install = next((each for each in plan.actions if isinstance(each, InstallRelease)), None)
        files, look = opened.targets.get(key), shown.hosts[key[1]]
        if install and files and files.app and isinstance(look, ObservedHost):
            upload = (files.app.family, install.release, _digests_on(look))
            uploads.setdefault(upload, []).append(key)
    notes: dict[Key, tuple[PlanNote, ...]] = {}
    for upload, keys in uploads.items():
        if text := await asyncio.to_thread(_size_text, upload):
            note = PlanNote(f"{text} to {_names([host for _, host in keys])}")
            notes |= dict.fromkeys(keys, (note,))
    return notes


def _digests_on(look: ObservedHost) -> frozenset[str]:
    """The digests of the archives whose releases are on the host."""
    names = {name for app in look.apps.values() for name in app.releases}
    return frozenset(found[1] for name in names if (found := _RELEASE.fullmatch(name)))


def _size_text(upload: Upload) -> str | None:
    """Such as `1.2.0 sends at most 17.4 kB of 5.4 MB, the rest is there,`. A host with zstd is sent less."""
    family, release, on_host = upload
    found = _RELEASE.fullmatch(release)
    try:
        prepared = load_release(found[1], program=family) if found else None
        if prepared is None or prepared.packed_size < LEAST_BYTES:
            return None
        held = frozenset(digest for each in on_host for digest in load_digests(each))
        part = part_of(prepared, held)
    except ArtifactError:  # the cache cannot be used; a pass says so
        return None
    version, size = release.rpartition("-")[0], _bytes_text(whole(prepared).packed_size)
    if not part.held:
        return f"{version} sends {size}"
    return f"{version} sends at most {_bytes_text(part.packed_size)} of {size}, since the rest is there,"


def _bytes_text(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"


def _names(hosts: Iterable[str]) -> str:
    names = sorted(set(hosts))
    more = len(names) - MOST_HOSTS
    return ", ".join(names[:MOST_HOSTS]) + (f" and {more} more" if more > 0 else "")
