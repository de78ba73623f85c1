"""The places that hold artifacts, behind one interface: the artifact, the files beside it, its published digest."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Protocol
from urllib.parse import urlsplit

from reconciler.artifact.cache import open_regular
from reconciler.artifact.download import (
    Progress,
    Question,
    download,
    file_name,
    read_text,
    readable_address,
    sibling_address,
)
from reconciler.artifact.memory import ask_or_recall
from reconciler.errors import ArtifactMissing, ArtifactRefused
from reconciler.words import printable

LARGEST_TEXT: Final = 1024 * 1024
_ARCHIVE: Final = re.compile(r"\.(tar(\.(gz|bz2|xz))?|tgz|tbz2?|txz)$")
_MOST_NAMED: Final = 20


class Store(Protocol):
    """One artifact at the place where it is published. Every method may raise ArtifactError."""

    @property
    def label(self) -> str:
        """The place in printable form, without password or token."""
        ...

    async def name(self) -> str:
        """Return the artifact's file name, as written in SHA256SUMS or in a signature."""
        ...

    async def published_digest(self) -> str | None:
        """Return the sha256 that the place itself states; None if it does not."""
        ...

    async def text(self, name: str) -> str | None:
        """Return the text of a small file beside the artifact, or None if there is none."""
        ...

    async def save(self, file: BinaryIO, progress: Progress) -> str:
        """Write the artifact to `file`, which must be empty, and return its sha256."""
        ...

    async def public_address(self) -> str | None:
        """Return an address that gives the artifact without a login for some minutes at least, or None.

        It may be signed: treat it as a secret.
        """
        ...


@dataclass(frozen=True)
class FileStore:
    """A local file, used in place."""

    path: Path

    @property
    def label(self) -> str:
        return str(self.path)

    async def name(self) -> str:
        return self.path.name

    async def published_digest(self) -> str | None:
        return None

    async def text(self, name: str) -> str | None:
        place = self.path.with_name(name)
        return await asyncio.to_thread(_read, place) if place.is_file() else None

    async def save(self, file: BinaryIO, progress: Progress) -> str:
        raise AssertionError("a local file is used in place")

    async def public_address(self) -> str | None:
        return None


@dataclass(frozen=True)
class WebStore:
    """An address, and the small files in the same folder."""

    address: str

    @property
    def label(self) -> str:
        return readable_address(self.address)

    async def name(self) -> str:
        return file_name(self.address)

    async def published_digest(self) -> str | None:
        return None

    async def text(self, name: str) -> str | None:
        place = sibling_address(self.address, name)
        return await ask_or_recall(("text", place), lambda: read_text(Question(place), LARGEST_TEXT))

    async def save(self, file: BinaryIO, progress: Progress) -> str:
        return await download(Question(self.address), file, progress)

    async def public_address(self) -> str | None:
        return None if "@" in urlsplit(self.address).netloc else self.address


def choose(names: Sequence[str], pattern: str, where: str, way_out: str) -> str:
    """Return the one name that matches the pattern, or, without a pattern, the one that is an archive's."""
    found = [name for name in names if (_fits(name, pattern) if pattern else _ARCHIVE.search(name))]
    if len(found) == 1:
        return found[0]
    if found:
        kind = f"{len(found)} that match {pattern}" if pattern else f"{len(found)} archives"
        raise ArtifactRefused(f"{where} has {kind}: {_name_list(found)}", way_out)
    wanted = f"nothing that matches {pattern}" if pattern else "no archive"
    has = f"; it has {_name_list(names)}" if names else ""
    raise ArtifactMissing(f"{where} has {wanted}{has}", f"publish it, or {way_out}")


def _fits(name: str, pattern: str) -> bool:
    """True if the pattern, in which * is any text, matches the whole name. Never backtracks."""
    first, *others = pattern.split("*")
    if not others:
        return name == pattern
    *between, last = others
    at, end = len(first), len(name) - len(last)
    if not name.startswith(first) or not name.endswith(last) or at > end:
        return False
    for part in between:  # the leftmost match leaves the most for the others
        found = name.find(part, at, end)
        if found == -1:
            return False
        at = found + len(part)
    return True


def _name_list(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(printable(name, 100) for name in sorted(names)[:_MOST_NAMED]) + more


def _read(path: Path) -> str:
    with open_regular(path) as file:
        return file.read(LARGEST_TEXT).decode("utf-8", "replace")
