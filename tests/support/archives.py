"""Builds good and bad tar archives member by member, and unpacks a prepared one as a host does."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Iterable
from pathlib import Path

from reconciler.artifact.archive import Prepared

Named = tuple[tarfile.TarInfo, bytes]


def file(name: str, content: bytes = b"x", mode: int = 0o644) -> Named:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = len(content), mode, 1_700_000_000
    return info, content


def special(name: str, kind: bytes, target: str = "", mode: int = 0o755) -> Named:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, target, mode
    return info, b""


def link(name: str, target: str) -> Named:
    return special(name, tarfile.SYMTYPE, target)


def folder(name: str, mode: int = 0o755) -> Named:
    return special(name, tarfile.DIRTYPE, mode=mode)


def tar_bytes(members: Iterable[Named], form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form, encoding="utf-8", errors="surrogateescape") as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def unpacked_as_on_a_host(ready: Prepared, place: Path) -> tuple[str, str, int]:
    """Return the unpacked tree, complaints about files and tar's exit code, by GNU tar, find and sha256sum."""
    place.mkdir()
    (place.parent / "SUMS").write_text(ready.sums)
    # A host's clock may be behind that of the machine that built the release; tar would say so of each file.
    words = [
        "tar",
        "--extract",
        "--gzip",
        "--no-same-owner",
        "--preserve-permissions",
        "--warning=no-timestamp",
    ]
    words += ["--file", str(ready.packed)]
    tar = subprocess.run(words, cwd=place, capture_output=True, text=True, check=False, umask=0o077)
    find = ["find", ".", "-mindepth", "1", "-printf", r"%y %m %p\t%l\n"]
    tree = subprocess.run(find, cwd=place, capture_output=True, check=True).stdout
    ordered = subprocess.run(["sort"], input=tree, capture_output=True, check=True, env={"LC_ALL": "C"}).stdout
    check = ["sha256sum", "--check", "--strict", "--quiet", str(place.parent / "SUMS")]
    sums = subprocess.run(check, cwd=place, capture_output=True, text=True, check=False)
    return ordered.decode(), sums.stdout + sums.stderr + tar.stderr, tar.returncode
