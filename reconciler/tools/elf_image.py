"""Reads one ELF file: the machine it is for, and what it needs. PURE; bytes in, values out.

It knows just enough of the format for that, and is safe with forged files: every offset is checked, every loop bounded.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

Bytes = bytes | memoryview

_MAGIC: Final = b"\x7fELF"
# The names are those of `uname -m`.
_MACHINES: Final = {3: "i386", 8: "mips", 20: "ppc", 21: "ppc64", 22: "s390x", 40: "arm", 62: "x86_64"}
_MACHINES.update({183: "aarch64", 243: "riscv64", 258: "loongarch64"})
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NEEDED, _DT_STRTAB, _DT_SONAME, _DT_RPATH, _DT_RUNPATH = 1, 5, 14, 15, 29
_DT_VERNEED, _DT_VERNEEDNUM = 0x6FFFFFFE, 0x6FFFFFFF
# No real file comes near these limits, and a forged one must not keep us busy.
_MOST_HEADERS, _MOST_DYNAMIC, _MOST_LIBRARIES, _MOST_VERSIONS = 512, 4096, 256, 1024
_LONGEST_NAME, _LONGEST_PATH = 256, 4096

_VERSION_NUMBER = re.compile(r"(?:^|[_ ])(\d{1,9}(?:\.\d{1,9}){0,5})$")
_SAME_VERSION: Final = {"GLIBC_ABI_DT_RELR": "GLIBC_2.36"}


@dataclass(frozen=True)
class ElfFile:
    """The needs of one program or shared object. An empty field is unknown."""

    path: str
    machine: str = ""
    interpreter: str = ""
    soname: str = ""
    runpath: str = ""
    libraries: tuple[str, ...] = ()
    versions: tuple[tuple[str, str], ...] = ()  # the highest of each prefix: ("libc.so.6", "GLIBC_2.34")
    readable: bool = True


class _Unreadable(Exception):
    """The file contradicts itself or ends too early."""


def read_elf(path: str, content: Bytes) -> ElfFile | None:
    """Read the needs of `content`. Returns None if it is neither a program nor a shared object. Never raises."""
    if len(content) < 20 or bytes(content[:4]) != _MAGIC:
        return None
    if content[4] not in (1, 2) or content[5] not in (1, 2):
        return ElfFile(path, readable=False)
    image = _Image(content)
    kind, machine = image.unpack("HH", 16)
    if kind not in (2, 3):  # not ET_EXEC or ET_DYN: an object file or a core dump, which cannot be run
        return None
    name = _MACHINES.get(machine, f"machine {machine}")
    name = "ppc64le" if name == "ppc64" and image.little else name
    try:
        return _read_image(path, name, image)
    except (_Unreadable, struct.error, ValueError, OverflowError):
        return ElfFile(path, machine=name, readable=False)


class _Image:
    """An ELF file whose numbers and texts are read by file offset, and its segments."""

    def __init__(self, content: Bytes) -> None:
        self.content, self.wide, self.little = content, content[4] == 2, content[5] == 1
        self.segments: list[tuple[int, int, int, int]] = []  # type, offset, address, size in the file

    def unpack(self, layout: str, offset: int) -> tuple[int, ...]:
        layout = ("<" if self.little else ">") + layout
        if offset < 0 or offset + struct.calcsize(layout) > len(self.content):
            raise _Unreadable
        return struct.unpack_from(layout, self.content, offset)

    def text(self, offset: int, longest: int = _LONGEST_NAME) -> str:
        piece = bytes(self.content[offset : offset + longest]) if offset >= 0 else b""
        end = piece.find(b"\0")
        if end < 0:
            raise _Unreadable
        # Latin-1 decodes any byte. Unprintable characters are dropped, since they could only spoil a message.
        return "".join(letter for letter in piece[:end].decode("latin-1") if letter.isprintable())

    def load_segments(self) -> None:
        start, size, count = (
            (*self.unpack("Q", 32), *self.unpack("HH", 54))
            if self.wide
            else (*self.unpack("I", 28), *self.unpack("HH", 42))
        )
        if count > _MOST_HEADERS or (count and size < (56 if self.wide else 32)):
            raise _Unreadable
        for at in range(start, start + count * size, size or 1):
            if self.wide:
                kind, _, offset, address, _, length = self.unpack("IIQQQQ", at)
            else:
                kind, offset, address, _, length = self.unpack("IIIII", at)
            self.segments.append((kind, offset, address, length))

    def offset_of(self, address: int) -> int:
        for kind, offset, start, length in self.segments:
            if kind == _PT_LOAD and start <= address < start + length:
                return offset + address - start
        raise _Unreadable

    def dynamic(self) -> Iterator[tuple[int, int]]:
        layout, step = ("qQ", 16) if self.wide else ("iI", 8)
        for kind, offset, _, length in self.segments:
            if kind == _PT_DYNAMIC:
                for at in range(offset, offset + min(length, _MOST_DYNAMIC * step), step):
                    tag, value = self.unpack(layout, at)
                    if tag == 0:
                        break
                    yield tag, value


def _read_image(path: str, machine: str, image: _Image) -> ElfFile:
    image.load_segments()
    loaders = [offset for kind, offset, _, _ in image.segments if kind == _PT_INTERP]
    interpreter = image.text(loaders[0], _LONGEST_PATH) if loaders else ""
    dynamic = list(image.dynamic())
    last = dict(dynamic)
    if _DT_STRTAB not in last:  # a static program
        return ElfFile(path, machine, interpreter)
    texts = image.offset_of(last[_DT_STRTAB])
    needed = [value for tag, value in dynamic if tag == _DT_NEEDED]
    if len(needed) > _MOST_LIBRARIES:
        raise _Unreadable
    paths = [image.text(texts + last[tag], _LONGEST_PATH) for tag in (_DT_RPATH, _DT_RUNPATH) if tag in last]
    return ElfFile(
        path,
        machine,
        interpreter,
        soname=image.text(texts + last[_DT_SONAME]) if _DT_SONAME in last else "",
        runpath=":".join(paths),
        libraries=tuple(dict.fromkeys(image.text(texts + offset) for offset in needed)),
        versions=_versions(image, texts, last),
    )


def _versions(image: _Image, texts: int, dynamic: dict[int, int]) -> tuple[tuple[str, str], ...]:
    """Return the highest version needed of each library and prefix (GLIBC, GLIBCXX, CXXABI …)."""
    if _DT_VERNEED not in dynamic:
        return ()
    highest: dict[tuple[str, str], str] = {}
    left = _MOST_VERSIONS
    need = image.offset_of(dynamic[_DT_VERNEED])
    for _ in range(min(dynamic.get(_DT_VERNEEDNUM, 0), _MOST_VERSIONS)):
        _, count, file, first, following = image.unpack("HHIII", need)
        library, at = image.text(texts + file), need + first
        for _ in range(count):
            left -= 1
            if left < 0:
                raise _Unreadable
            _, _, _, name, step = image.unpack("IHHII", at)
            version = image.text(texts + name)
            version = _SAME_VERSION.get(version, version)
            prefix = version.rpartition("_")[0]
            kept = highest.setdefault((library, prefix), version)
            if version_number(version) > version_number(kept):
                highest[library, prefix] = version
            at += step
        need += following
    return tuple(sorted((library, version) for (library, _), version in highest.items()))


def version_number(version: str) -> tuple[int, ...]:
    """Return (2, 34) for "GLIBC_2.34", "glibc 2.34" and "2.34", and () without a number, as for GLIBC_PRIVATE."""
    found = _VERSION_NUMBER.search(version)
    return tuple(int(part) for part in found[1].split(".")) if found else ()
