"""What an instance is made of, and the names that the folders of releases have on a host."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_IDENTITY = re.compile("/".join([r"([0-9A-Za-z._+~-]{1,128})"] * 3))
_COPY = re.compile(r"(.+-[0-9a-f]{12})~([1-9][0-9]{0,2})")


@dataclass(frozen=True)
class Identity:
    """The release, env and unit that an instance is made of. It runs what is desired if all three are equal."""

    release: str  # release id, <version>-<first 12 of the artifact's sha256>
    env: str  # digest of every variable and of the start command
    unit: str  # digest of the unit template

    def __str__(self) -> str:
        return f"{self.release}/{self.env}/{self.unit}"

    @property
    def version(self) -> str:
        return self.release.rpartition("-")[0]

    @property
    def damaged(self) -> bool:
        """True if it runs from a damaged copy of its release, beside which a whole one was installed."""
        return is_damaged_copy(self.release)

    @classmethod
    def read(cls, text: str) -> Identity | None:
        """Read `<release>/<env>/<unit>`, as `str` writes it. None for any other text."""
        found = _IDENTITY.fullmatch(text.strip(" "))
        return cls(*found.groups()) if found else None


@dataclass(frozen=True)
class Copies:
    """The folders of releases on a host. The newest copy of a release bears its name, the others a number."""

    newest: Mapping[str, str]  # release → folder

    @classmethod
    def among(cls, folders: Iterable[str]) -> Copies:
        newest: dict[str, tuple[int, str]] = {}
        for folder in folders:
            release, number = _copy_of(folder)
            newest[release] = max(newest.get(release, (0, "")), (number, folder))
        return cls({release: folder for release, (_, folder) in newest.items()})

    def name(self, folder: str) -> str:
        """The release if this is its only or newest folder, else `RELEASE~NUMBER`, also for the first."""
        release, number = _copy_of(folder)
        return release if self.newest.get(release, release) == folder else f"{release}~{number}"


def damaged_copy(release: str) -> str:
    """Return the name of the first copy of a release while a newer copy replaces it."""
    return f"{release}~1"


def is_damaged_copy(name: str) -> bool:
    """True if this is the name of a copy of a release that a newer copy replaces."""
    return bool(_COPY.fullmatch(name))


def _copy_of(folder: str) -> tuple[str, int]:
    found = _COPY.fullmatch(folder)
    return (found[1], int(found[2])) if found else (folder, 1)
