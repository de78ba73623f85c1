"""What a host offers to a release before it comes: libraries for its programs, and files it has already. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from reconciler.tools.elf import HostAbi

DIGITS_ASKED = 16  # of each sha256: all of its bytes are checked on the host in the end

_ZSTD = re.compile(r"^zstd ([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})$", re.MULTILINE)
_HELD = re.compile(r"held ([0-9]{1,8})-([0-9]{1,8})")


@dataclass(frozen=True)
class Offer:
    """`held` has digests of those that were asked for: the host has a whole file with each of them."""

    abi: HostAbi
    held: frozenset[str]
    zstd: tuple[int, ...] = ()  # its version, such as (1, 5, 4), or nothing


@dataclass(frozen=True)
class Question:
    """`known` are the sums of a release that the host has noted, and `sums` those of the one that it shall get."""

    sums: str
    known: str = ""

    @property
    def others(self) -> list[str]:
        """The digests that are only in `sums`, in its order."""
        known = set(_digests(self.known))
        return [digest for digest in dict.fromkeys(_digests(self.sums)) if digest not in known]

    @property
    def stdin(self) -> bytes:
        """Stdin of `offer.sh`."""
        return "".join(f"{digest[:DIGITS_ASKED]}\n" for digest in self.others).encode()

    def read(self, text: str) -> Offer:
        """Read what `offer.sh` printed. Lines of another form and other numbers are ignored."""
        asked = [*_digests(self.known), *self.others]
        held: set[str] = set()
        for line in text.splitlines():
            if found := _HELD.fullmatch(line):
                held.update(asked[max(int(found[1]), 1) - 1 : int(found[2])])
        zstd = _ZSTD.search(text)
        return Offer(_abi(text), frozenset(held), tuple(map(int, zstd.groups())) if zstd else ())


def _digests(sums: str) -> list[str]:
    return [line[:64] for line in sums.splitlines()]


def _abi(text: str) -> HostAbi:
    """Return what the host offers to a release's programs. A field that could not be determined is empty."""
    words = [line.split(" ", 2) for line in text.splitlines()]
    first = {line[0]: " ".join(line[1:]) for line in words}
    runtime = first.get("libstdcxx", "").rpartition(".so.6.0.")[2]
    return HostAbi(
        machine=first.get("machine", ""),
        libc=first.get("libc", ""),
        libraries=frozenset(line[1] for line in words if line[0] == "library" and len(line) > 1),
        libstdcxx=f"3.4.{runtime}" if runtime.isdigit() else "",
    )


def ranges(numbers: list[int]) -> str:
    """Return ascending numbers, counted from 0, as a host reads them: counted from 1, such as `1-80,82`."""
    pieces: list[list[int]] = []
    for number in numbers:
        if pieces and number == pieces[-1][1] + 1:
            pieces[-1][1] = number
        else:
            pieces.append([number, number])
    return ",".join(f"{first + 1}-{last + 1}" if last > first else f"{first + 1}" for first, last in pieces)
