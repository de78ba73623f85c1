"""What a host offers to a release before it comes: libraries for its programs, and files it has already. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from reconciler.tools.elf import HostAbi

DIGITS_ASKED = 16  # of each sha256: all of its bytes are checked on the host in the end

_HELD = re.compile(r"held ([0-9]{1,8})-([0-9]{1,8})")


@dataclass(frozen=True)
class Offer:
    """`held` has indices, from 0, of the digests that were asked for: the host has a whole file with each of them."""

    abi: HostAbi
    held: frozenset[int]


def digests_to_ask(sums: str) -> bytes:
    """Return stdin of `offer.sh` for the manifest's digests."""
    return "".join(f"{line[:DIGITS_ASKED]}\n" for line in sums.splitlines()).encode()


def read_offer(text: str, files: int) -> Offer:
    """Read what `offer.sh` printed for so many digests. Lines of another form and other numbers are ignored."""
    held: set[int] = set()
    for line in text.splitlines():
        if found := _HELD.fullmatch(line):
            held.update(range(max(int(found[1]), 1) - 1, min(int(found[2]), files)))
    return Offer(_abi(text), frozenset(held))


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
