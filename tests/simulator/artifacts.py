"""Releases that behave as they are told: tarballs of three files."""

from __future__ import annotations

import functools
import gzip
import io
import json
import tarfile
from pathlib import Path

BUILT = 1_600_000_000  # before any time of the real machine: see world.files


@functools.cache
def files_of(version: str, behaviour: str) -> dict[str, bytes]:
    return {
        "bin/run": f"#!/bin/sh\n# {version}\nexec sleep 1000\n".encode(),
        "lib/code": (f"code of {version}\n" * 50).encode(),
        "sim.json": behaviour.encode(),
    }


def write_artifact(folder: Path, version: str, **behaviour: object) -> dict[str, bytes]:
    """`hello-<version>.tar.gz` in the folder; what is in it."""
    files = files_of(version, json.dumps(behaviour, sort_keys=True))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name in ("bin", "lib"):
            member = tarfile.TarInfo(name)
            member.type, member.mode, member.mtime = tarfile.DIRTYPE, 0o755, BUILT
            archive.addfile(member)
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.mtime = len(data), 0o755 if name == "bin/run" else 0o644, BUILT
            archive.addfile(member, io.BytesIO(data))
    folder.mkdir(exist_ok=True)
    (folder / f"app-{version}.tar.gz").write_bytes(gzip.compress(buffer.getvalue(), mtime=0))
    return files
