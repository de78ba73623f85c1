"""Where artifacts lie, behind one shape: the artifact itself, what lies beside it, and what is said about it."""

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
    """One artifact where it is published. Everything raises ArtifactError."""

    @property
    def label(self) -> str:
        """The place for people to read: no password, no token."""
        ...

    async def name(self) -> str:
        """The artifact's file name, as a list of digests or a signature has it."""
        ...

    async def published_digest(self) -> str | None:
        """The sha256 that the place itself gives, if it does such a thing."""
        ...

    async def text(self, name: str) -> str | None:
        """A small file beside the artifact, or None."""
        ...

    async def save(self, file: BinaryIO, progress: Progress) -> str:
        """Write the artifact to `file`, which is empty; its sha256."""
        ...

    async def public_address(self) -> str | None:
        """An address that gives the artifact without a login, for a while at least. It may be signed: a secret."""
        ...


@dataclass(frozen=True)
class FileStore:
    """A path. What is there is used where it lies."""

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
        raise AssertionError("a path is used where it lies")

    async def public_address(self) -> str | None:
        return None


@dataclass(frozen=True)
class WebStore:
    """An address, and what lies in the same folder."""

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
    """The one name that fits: the pattern, or without one that of an archive."""
    found = [name for name in names if (_fits(name, pattern) if pattern else _ARCHIVE.search(name))]
    if len(found) == 1:
        return found[0]
    if found:
        kind = f"{len(found)} that fit {pattern}" if pattern else f"{len(found)} archives"
        raise ArtifactRefused(f"{where} has {kind}: {_name_list(found)}", way_out)
    wanted = f"nothing that fits {pattern}" if pattern else "no archive"
    has = f"; it has {_name_list(names)}" if names else ""
    raise ArtifactMissing(f"{where} has {wanted}{has}", f"publish it, or {way_out}")


def _fits(name: str, pattern: str) -> bool:
    """Whether the pattern, in which * is any text, is that of the whole name; in one go, however many * there are."""
    first, *others = pattern.split("*")
    if not others:
        return name == pattern
    *between, last = others
    at, end = len(first), len(name) - len(last)
    if not name.startswith(first) or not name.endswith(last) or at > end:
        return False
    for part in between:  # as far to the left as it goes, which leaves the most for the others
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
