"""Releases: their ids, the file names allowed in them, and the manifest a host checks them against. PURE.

A host needs coreutils and findutils only. Run inside an unpacked release, these two commands check that it is complete:

    sha256sum --check --strict --quiet SUMS                                 every file has its bytes
    find . -mindepth 1 -printf '%y %m %p\\t%l\\n' | LC_ALL=C sort | cmp - TREE     nothing missing, nothing else
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from reconciler.words import printable

Kind = Literal["d", "f", "l"]

DIRECTORY_MODE: Final = 0o755
FILE_MODE: Final = 0o644
PROGRAM_MODE: Final = 0o755
LINK_MODE: Final = 0o777  # what find prints for every symbolic link on Linux

MAX_COMPONENT_BYTES: Final = 255
MAX_PATH_BYTES: Final = 1024

_DIGEST_LENGTH: Final = 12
_HEX_DIGEST = re.compile(rf"[0-9a-f]{{{_DIGEST_LENGTH},64}}")
_SUMS_LINE = re.compile(r"([0-9a-f]{64})  \./([^\n]+)")
_TREE_LINE = re.compile(r"(?:d (?P<d>755)|f (?P<f>644|755)|l (?P<l>777)) \./(?P<path>[^\t\n]+)\t(?P<target>[^\t\n]*)")
# Control characters would break a line of the manifest or a terminal, and Unicode's line ends some readers. sha256sum
# escapes a backslash in its own way. A lone surrogate stands for a byte that is not UTF-8.
_UNSAFE = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\\\\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True, order=True)
class Entry:
    """One file (`f`), directory (`d`) or symbolic link (`l`) of a release; `path` has no leading `./`."""

    path: str
    kind: Kind
    mode: int
    sha256: str = ""  # of a file
    target: str = ""  # of a link


def release_id(version: str, digest: str) -> str:
    """Return the name of a release: its version and the first 12 hex digits of its artifact's sha256."""
    if not _HEX_DIGEST.fullmatch(digest):
        raise ValueError(f"a digest must be lower-case hex, not {digest[:64]!r}")
    return f"{version}-{digest[:_DIGEST_LENGTH]}"


def name_problem(path: str) -> str:
    """Say why `path` may not occur in a release, as a name or as the target of a link; "" if it may."""
    if unsafe := _UNSAFE.search(path):
        if "\ud800" <= unsafe[0] <= "\udfff":
            return "its name is not UTF-8"
        if unsafe[0] == "\\":
            return "its name holds a backslash"
        return (
            "its name holds a line break" if unsafe[0] in "\n\r\u2028\u2029" else "its name holds a control character"
        )
    if len(path) * 4 > MAX_COMPONENT_BYTES:  # a character has at most four bytes, so a short name need not be encoded
        if len(path.encode()) > MAX_PATH_BYTES:
            return f"its path is longer than {MAX_PATH_BYTES} bytes"
        if any(len(part.encode()) > MAX_COMPONENT_BYTES for part in path.split("/")):
            return f"a name in its path is longer than {MAX_COMPONENT_BYTES} bytes"
    return ""


def manifest_sums(entries: Iterable[Entry]) -> str:
    """Return the digests of the files in the format of `sha256sum --check`, sorted by path."""
    return "".join(
        f"{entry.sha256}  ./{_refuse_unsafe(entry.path)}\n" for entry in sorted(entries) if entry.kind == "f"
    )


def manifest_tree(entries: Iterable[Entry]) -> str:
    """Return every entry with kind, mode and link target, as `find -printf` prints it, sorted.

    No name can contain the tab before the target.
    """
    lines = (
        f"{entry.kind} {entry.mode:o} ./{_refuse_unsafe(entry.path)}\t{_refuse_unsafe(entry.target)}"
        for entry in entries
    )
    # Sorting characters also sorts their UTF-8 bytes, since _refuse_unsafe lets no surrogate through.
    return "".join(f"{line}\n" for line in sorted(lines))


def read_manifest(sums: str, tree: str) -> tuple[Entry, ...] | None:
    """Read the entries back from `manifest_sums` and `manifest_tree`, sorted by path. None for any other texts."""
    if any(text and not text.endswith("\n") for text in (sums, tree)):
        return None
    digests: dict[str, str] = {}
    for line in _lines(sums):
        if not (found := _SUMS_LINE.fullmatch(line)) or found[2] in digests:
            return None
        digests[found[2]] = found[1]
    entries: dict[str, Entry] = {}
    for line in _lines(tree):
        entry = _read_tree_line(line, digests)
        if entry is None or entry.path in entries:
            return None
        entries[entry.path] = entry
    files = {path for path, entry in entries.items() if entry.kind == "f"}
    return tuple(sorted(entries.values())) if files == digests.keys() else None


def _read_tree_line(line: str, digests: dict[str, str]) -> Entry | None:
    found = _TREE_LINE.fullmatch(line)
    if not found or name_problem(found["path"]) or name_problem(found["target"]):
        return None
    path, target = found["path"], found["target"]
    if bool(target) != bool(found["l"]):
        return None
    if found["f"]:
        return Entry(path, "f", int(found["f"], 8), sha256=digests[path]) if path in digests else None
    return Entry(path, "l", LINK_MODE, target=target) if found["l"] else Entry(path, "d", DIRECTORY_MODE)


def _lines(text: str) -> list[str]:
    return text.split("\n")[:-1]


def _refuse_unsafe(name: str) -> str:
    if problem := name_problem(name):
        raise ValueError(f"{printable(name)}: {problem}")
    return name
