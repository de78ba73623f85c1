"""Releases that must be refused or rolled back, each with one defect; the same call gives the same bytes."""

from __future__ import annotations

import struct
import tarfile
from pathlib import Path
from typing import Literal

from tests.support.releases import build_release, cached, member, python_release, read_members, replace, write_members

Base = Literal["elixir", "python"]
Kind = Literal[
    "crashes at boot",
    "never healthy",
    "dies when healthy",
    "wrong architecture",
    "needs newer glibc",
    "traversal",
    "absolute name",
    "absolute link",
    "escaping link",
    "device",
    "setuid",
    "duplicate member",
    "truncated",
    "bomb",
]

_BOMB_BYTES = 256 * 1024 * 1024


def bad_release(kind: Kind, version: str = "0.2.0", base: Base = "python") -> Path:
    """A release with one defect. The defects of ELF files need the Elixir release."""
    release = build_release if base == "elixir" else python_release
    match kind:
        case "crashes at boot":
            return release(version, fail_boot=True)
        case "never healthy":
            return release(version, never_healthy=True)
        case "dies when healthy":
            return release(version, die_after_seconds=1.0)
        case "wrong architecture" | "needs newer glibc":
            good = build_release(version)
        case _:
            good = release(version)
    return cached(good.name, lambda path: _spoil(kind, good, path), kind, good.parent.name, Path(__file__).read_bytes())


def _spoil(kind: Kind, good: Path, path: Path) -> None:
    """Write a copy of `good` with the defect to `path`."""
    if kind == "truncated":
        data = good.read_bytes()
        path.write_bytes(data[: len(data) * 6 // 10])
        return
    members = read_members(good)
    match kind:
        case "wrong architecture":
            replace(members, "/bin/beam.smp", _other_machine)
        case "needs newer glibc":
            replace(members, "/bin/beam.smp", _newer_glibc)
        case "setuid":
            (index,) = [number for number, (info, _) in enumerate(members) if info.name.startswith("bin/")]
            info, data = members[index]
            members[index] = member(info.name, data=data, mode=info.mode | 0o4000)
        case "duplicate member":
            members.append(members[-1])
        case _:
            members.append(_unwanted(kind))
    write_members(path, members)


def _unwanted(kind: Kind) -> tuple[tarfile.TarInfo, bytes]:
    match kind:
        case "traversal":
            return member("../evil", data=b"outside\n")
        case "absolute name":
            return member("/tmp/reconcile-test-evil", data=b"outside\n")
        case "absolute link":
            return member("link", tarfile.SYMTYPE, target="/etc/passwd")
        case "escaping link":
            return member("bin/link", tarfile.SYMTYPE, target="../../../etc/passwd")
        case "device":
            return member("null", tarfile.CHRTYPE, device=(1, 3))
        case "bomb":
            return member("zeros", data=bytes(_BOMB_BYTES))
    raise ValueError(f"{kind} is not a member to add")


def _other_machine(elf: bytes) -> bytes:
    """The same ELF file marked for the other architecture, x86-64 (62) or AArch64 (183): e_machine is at offset 18."""
    (machine,) = struct.unpack_from("<H", elf, 18)
    return elf[:18] + struct.pack("<H", 62 if machine == 183 else 183) + elf[20:]


def _newer_glibc(elf: bytes) -> bytes:
    """The same file, needing GLIBC_2.99: the name and the hash of its highest needed version are replaced."""
    sections = _sections(elf)
    names: dict[int, str] = {}
    for kind, offset, size, link in sections:
        if kind == 0x6FFFFFFE:  # SHT_GNU_verneed: records of 16 bytes, the hash first, the name's offset at 8
            strings = sections[link][1]
            for at in range(offset, offset + size, 16):
                word, _, _, name, _ = struct.unpack_from("<IHHII", elf, at)
                text = elf[strings + name : elf.index(b"\0", strings + name)].decode("latin-1")
                if text.startswith("GLIBC_2.") and word == _elf_hash(text):
                    names[at] = text
    newest = max(names.values(), key=lambda text: [int(part) for part in text[6:].split(".")])
    if len(newest) != len("GLIBC_2.99"):
        raise ValueError(f"{newest} cannot be replaced by GLIBC_2.99 in place")
    spoiled = bytearray(elf.replace(newest.encode() + b"\0", b"GLIBC_2.99\0"))
    for at in (at for at, text in names.items() if text == newest):
        struct.pack_into("<I", spoiled, at, _elf_hash("GLIBC_2.99"))
    return bytes(spoiled)


def _sections(elf: bytes) -> list[tuple[int, int, int, int]]:
    """Type, offset, size and link of each section of a 64-bit little-endian file."""
    (table,) = struct.unpack_from("<Q", elf, 40)
    size, count = struct.unpack_from("<HH", elf, 58)
    heads = (struct.unpack_from("<IIQQQQII", elf, table + size * number) for number in range(count))
    return [(head[1], head[4], head[5], head[6]) for head in heads]


def _elf_hash(name: str) -> int:
    value = 0
    for character in name.encode():
        value = (value << 4) + character
        value = (value ^ (value >> 24 & 0xF0)) & 0x0FFFFFFF
    return value
