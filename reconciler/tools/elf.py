"""Compares what the programs of a release need with what a host offers. PURE.

It does not see libraries that a program opens by name at run time, or CPU levels such as x86-64-v3.
A need that cannot be judged is never a refusal.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from reconciler.tools.elf_image import ElfFile, read_elf, version_number

__all__ = ["ElfFile", "HostAbi", "Requirements", "read_elf", "unmet_needs"]

_SAME_MACHINE: Final = {"amd64": "x86_64", "arm64": "aarch64", "i486": "i386", "i586": "i386", "i686": "i386"}
# A 64-bit host may also run 32-bit programs if it has their libraries: this gives a warning, not a refusal.
_MAY_ALSO_RUN: Final = {("x86_64", "i386"), ("aarch64", "arm")}
_USUAL_LOADER = re.compile(r"/(usr/)?lib(32|64|x32)?/[^/]+")


@dataclass(frozen=True)
class Requirements:
    """The ELF files of a release, and the names of the libraries it brings along."""

    files: tuple[ElfFile, ...] = ()
    shipped: tuple[str, ...] = ()


@dataclass(frozen=True)
class HostAbi:
    """The machine, libc and libraries of a host. An empty field is unknown and never causes a refusal."""

    machine: str = ""  # `uname -m`
    libc: str = ""  # "glibc 2.36", "musl 1.2.4", "musl"
    libraries: frozenset[str] = frozenset()  # the names in `ldconfig -p`
    libstdcxx: str = ""  # the highest GLIBCXX: "3.4.30" for libstdc++.so.6.0.30


def unmet_needs(requirements: Requirements, host: HostAbi) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return (refusals, warnings): why the release cannot run on the host, and which parts may not work there.

    Programs in `bin/` and `erts-*/bin/`, and the shipped libraries that they name, cause refusals. Files that are only
    loaded on demand (epmd, `lib/*/priv/`, other shared objects) cause warnings.
    """
    vital = _vital_files(requirements)
    fitting, refusals, warnings = _select_for_machine(requirements.files, vital, host)
    needed = [file for file in fitting if file.path in vital]
    optional = [file for file in fitting if file.path not in vital]
    shipped = frozenset(requirements.shipped)
    for files, sentences in ((needed, refusals), (optional, warnings)):
        same_libc = _select_for_libc(files, host, sentences)
        sentences += _version_sentences(same_libc, "GLIBC", host.libc if host.libc.startswith("glibc") else "", shipped)
        sentences += _version_sentences(same_libc, "GLIBCXX", host.libstdcxx, shipped)
        sentences += _missing_libraries([file for file in same_libc if not _has_own_runpath(file)], shipped, host)
        warnings += _missing_libraries([file for file in same_libc if _has_own_runpath(file)], shipped, host)
    warnings += _oddities(requirements.files)
    return tuple(dict.fromkeys(refusals)), tuple(dict.fromkeys(warnings))


def _vital_files(requirements: Requirements) -> frozenset[str]:
    """Return the paths of the files that the app cannot start without, judging by their folders and needs."""
    candidates = [file for file in requirements.files if not _is_optional(file.path)]
    roots = [file for file in candidates if _is_program_folder(file.path)]
    roots = roots or [file for file in candidates if file.interpreter] or candidates
    vital = {file.path for file in roots}
    needed = {library for file in roots for library in file.libraries}
    while found := [file for file in requirements.files if file.path not in vital and _names(file) & needed]:
        vital |= {file.path for file in found}
        needed |= {library for file in found for library in file.libraries}
    return frozenset(vital)


def _select_for_machine(
    files: Sequence[ElfFile], vital: frozenset[str], host: HostAbi
) -> tuple[list[ElfFile], list[str], list[str]]:
    """Return the files built for the host's machine, and the refusals and warnings about the others."""
    machine = _SAME_MACHINE.get(host.machine, host.machine)
    machine = "arm" if machine.startswith("armv") else machine
    fitting = [file for file in files if not machine or file.machine in ("", machine)]
    refusals: list[str] = []
    warnings: list[str] = []
    for other in sorted({file.machine for file in files} - {file.machine for file in fitting}):
        strange = [file for file in files if file.machine == other]
        # Some bundles are for several machines: one vital file that fits is enough, but not in an Erlang runtime.
        fatal = any(file.path in vital and file.path.startswith("erts-") for file in strange)
        fatal = fatal or (any(file.path in vital for file in strange) and not any(f.path in vital for f in fitting))
        count = f"{_file_names(strange)} is" if len(strange) == 1 else f"{len(strange)} files are"
        known = fatal and (machine, other) not in _MAY_ALSO_RUN
        (refusals if known else warnings).append(f"{count} built for {other}, the host is {host.machine}")
    return fitting, refusals, warnings


def _select_for_libc(files: Sequence[ElfFile], host: HostAbi, sentences: list[str]) -> list[ElfFile]:
    """Return the files whose loader does not belong to another libc than the host's; add a sentence for the rest."""
    family = host.libc.partition(" ")[0]
    other = {"glibc": "musl", "musl": "glibc"}.get(family, "")
    strange = [file for file in files if other and _libc_of(file) == other]
    if strange:
        verb = "is" if len(strange) == 1 else "are"
        sentences.append(f"{_file_names(strange)} {verb} built for {other}, the host has {host.libc}")
    return [file for file in files if file not in strange]


def _version_sentences(files: Sequence[ElfFile], prefix: str, offered: str, shipped: frozenset[str]) -> list[str]:
    has = version_number(offered)
    asked = [
        (version_number(version), version, file)
        for file in files
        for library, version in file.versions
        if version.startswith(f"{prefix}_") and library not in shipped and has and version_number(version) > has
    ]
    if not asked:
        return []
    highest = max(asked, key=lambda need: need[0])
    strange = list(dict.fromkeys([highest[2], *(file for _, _, file in asked)]))
    verb = "needs" if len(strange) == 1 else "need"
    return [f"{_file_names(strange)} {verb} {highest[1]}, the host has {'.'.join(map(str, has))}"]


def _missing_libraries(files: Sequence[ElfFile], shipped: frozenset[str], host: HostAbi) -> list[str]:
    if not host.libraries:
        return []
    absent: dict[str, list[ElfFile]] = {}
    for file in files:
        for library in file.libraries:
            if library not in host.libraries and library not in shipped and "/" not in library:
                absent.setdefault(library, []).append(file)
    return [f"missing {library} (needed by {_file_names(users)})" for library, users in sorted(absent.items())]


def _oddities(files: Sequence[ElfFile]) -> list[str]:
    sentences = []
    if unreadable := [file for file in files if not file.readable]:
        sentences.append(f"{_file_names(unreadable)} could not be read, so its needs are unknown")
    odd = [file for file in files if file.interpreter and not _USUAL_LOADER.fullmatch(file.interpreter)]
    for loader in sorted({file.interpreter for file in odd}):
        users = [file for file in odd if file.interpreter == loader]
        sentences.append(f"{_file_names(users)} asks for the loader {loader}, which most hosts do not have")
    return sentences


def _libc_of(file: ElfFile) -> str:
    loader = PurePosixPath(file.interpreter).name
    if loader.startswith("ld-musl-"):
        return "musl"
    return "glibc" if loader.startswith(("ld-linux", "ld64.")) else ""


def _is_optional(path: str) -> bool:
    parts = path.split("/")
    return (parts[0].startswith("erts-") and parts[1:] == ["bin", "epmd"]) or (
        len(parts) > 3 and parts[0] == "lib" and parts[2] == "priv"
    )


def _is_program_folder(path: str) -> bool:
    parts = path.split("/")
    return parts[0] == "bin" or (parts[0].startswith("erts-") and parts[1:2] == ["bin"])


def _has_own_runpath(file: ElfFile) -> bool:
    """True if the file also searches a folder that `ldconfig -p` does not list."""
    return any(folder.startswith("/") for folder in file.runpath.split(":"))


def _names(file: ElfFile) -> set[str]:
    return {file.soname, PurePosixPath(file.path).name}


def _file_names(files: Sequence[ElfFile]) -> str:
    name, more = PurePosixPath(files[0].path).name, len(files) - 1
    return name if not more else f"{name} and {more} more file{'s' if more > 1 else ''}"
