"""The members that an archive may contain. Any other is refused, with its name and the reason.

Only this module reads the tar. The archive sent to a host is written anew from these members (pack.py), so no
other reader can interpret it differently. What macOS adds is left out. Modes become 0755 and 0644, owners are dropped,
hard links become files.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, NoReturn

from reconciler.artifact.sparse import Piece, read_pieces, with_holes
from reconciler.artifact.spool import Limits, size_text
from reconciler.artifact.tar_headers import read_headers
from reconciler.errors import ArtifactRefused
from reconciler.tools.release import (
    DIRECTORY_MODE,
    FILE_MODE,
    LINK_MODE,
    PROGRAM_MODE,
    Kind,
    name_problem,
)
from reconciler.words import printable_name

_APPLE_DOUBLE: Final = b"\0\5\26\7"
_BLOCK: Final = tarfile.BLOCKSIZE
_MOST_LINKS_IN_A_PATH: Final = 40  # Linux follows as many
_MOST_LINK_STEPS: Final = 10_000_000  # of all links together; crafted links must not keep us busy
_LATEST_TIME: Final = 8**11 - 1  # the maximum of an eleven-digit octal header field
_WITHOUT_IT: Final = "build the artifact again without it"
_AGAIN: Final = "build or upload the artifact again"
_VOLUME_LABEL: Final = b"V"  # of GNU tar's --label
_SPECIAL_BITS: Final = {0o4000: "setuid", 0o2000: "setgid", 0o1000: "sticky"}
_SPECIAL_TYPES: Final = {
    tarfile.CHRTYPE: "it is a device",
    tarfile.BLKTYPE: "it is a device",
    tarfile.FIFOTYPE: "it is a named pipe",
}


@dataclass(frozen=True)
class Member:
    """One entry of the future release. The content of a file is the `size` bytes at `offset` in the tar.

    Of a sparse file only `pieces` are stored there.
    """

    path: str
    kind: Kind
    mode: int
    modified: int
    offset: int = 0
    size: int = 0
    target: str = ""
    pieces: tuple[Piece, ...] | None = None

    def content(self, tar: memoryview) -> memoryview:
        """Return the bytes of a file, those of its holes included."""
        if self.pieces is None:
            return tar[self.offset : self.offset + self.size]
        return with_holes(tar[self.offset :], self.pieces, self.size)


def read_members(tar: memoryview, limits: Limits) -> tuple[tuple[Member, ...], str]:
    """Return all members sorted by path, with the folders that paths imply; and the stripped top folder, or "".

    An archive made with `tar czf app.tgz app/` contains a single folder: that folder is stripped, unless it is
    called `bin` or `sbin`, which belong to the release. Raises ArtifactRefused.
    """
    members: dict[str, Member] = {}
    unpacked = 0
    for info, end in read_headers(tar):
        if info.type == _VOLUME_LABEL:
            continue
        member = _member(info, tar[:end], members)
        if member is None or _is_of_a_mac(member, tar):
            continue
        previous = members.get(member.path)
        if previous and (previous.kind, member.kind) != ("d", "d"):
            _refuse(member.path, "it is in the archive twice")
        members[member.path] = member
        unpacked += member.size
        if len(members) > limits.members:
            raise ArtifactRefused(f"it contains more than {limits.members} members", "leave out what is not needed")
        if unpacked > limits.unpacked_bytes:
            raise ArtifactRefused(f"it unpacks to more than {size_text(limits.unpacked_bytes)}", _AGAIN)
    _add_folders(members, limits)
    if not any(member.kind == "f" for member in members.values()):
        raise ArtifactRefused("it contains no file", "build the artifact again")
    members, top = _strip_top_folder(members)
    _check_links(members)
    return tuple(members[path] for path in sorted(members)), top


def bare_program(name: str, size: int) -> tuple[Member, ...]:
    """Return the only member of a release that is a bare program of `size` bytes."""
    return (Member(name, "f", PROGRAM_MODE, 1, 0, size),)


def _member(info: tarfile.TarInfo, tar: memoryview, before: dict[str, Member]) -> Member | None:
    """Return the member that a header describes; None for the root itself. `before` are the members so far, by path."""
    path = _clean_path(info.name, info.name, "its name")
    if not path:
        if info.isdir():
            return None
        _refuse(info.name, "it has no name")
    _check_type(info)
    modified = _time(info.mtime)
    if info.isdir():
        return Member(path, "d", DIRECTORY_MODE, modified)
    if info.issym():
        return Member(path, "l", LINK_MODE, modified, target=info.linkname)
    for bit, name in _SPECIAL_BITS.items():
        if info.mode & bit:
            _refuse(path, f"it has the {name} bit")
    if info.islnk():
        linked = before.get(_clean_path(info.linkname, path, "the name it is a hard link to"))
        if linked is None or linked.kind == "d":  # a link may have a second name, too
            _refuse(
                path,
                f"it is a hard link to {printable_name(info.linkname)}, which is not an earlier file of the archive",
            )
        return replace(linked, path=path, modified=modified)
    pieces = _check_size(info, tar, path)
    mode = PROGRAM_MODE if info.mode & 0o111 else FILE_MODE
    return Member(path, "f", mode, modified, info.offset_data, info.size, pieces=pieces)


def _is_of_a_mac(member: Member, tar: memoryview) -> bool:
    """True for what macOS adds to an archive: attributes of files as `._name`, and the look of a folder's window."""
    *folders, name = member.path.split("/")
    if name == ".DS_Store" or "__MACOSX" in (*folders, name):
        return True
    magic = bytes(tar[member.offset : member.offset + len(_APPLE_DOUBLE)])
    return name.startswith("._") and member.kind == "f" and magic == _APPLE_DOUBLE


def _clean_path(name: str, owner: str, what: str) -> str:
    """Return `name` without `./` and double slashes. Refuse the member `owner` if `name` could leave the release."""
    if problem := name_problem(name):
        _refuse(owner, problem)
    if name.startswith("/"):
        _refuse(owner, f"{what} is absolute")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        _refuse(owner, f"{what} leaves the release with ..")
    return "/".join(parts)


def _check_type(info: tarfile.TarInfo) -> None:
    if any(key.startswith("GNU.sparse") for key in info.pax_headers) and not (info.issparse() and info.isreg()):
        _refuse(info.name, "its header describes a sparse file, which it is not")
    if reason := _SPECIAL_TYPES.get(info.type):
        _refuse(info.name, reason)
    if not (info.isreg() or info.isdir() or info.issym() or info.islnk()):
        _refuse(info.name, f"its type {info.type!r} is unknown")


def _check_size(info: tarfile.TarInfo, tar: memoryview, path: str) -> tuple[Piece, ...] | None:
    """Refuse a file whose size cannot be right. Return the pieces of a sparse file."""
    if info.size < 0:
        _refuse(path, "its size is negative")
    if not info.issparse() and info.offset_data + info.size > len(tar):
        _refuse(path, "the archive ends inside it")
    if "size" in info.pax_headers:
        # tarfile trusts the PAX record, other readers the header.
        header = bytes(tar[info.offset_data - _BLOCK : info.offset_data])
        stated = tarfile.nti(header[124:136])  # type: ignore[attr-defined]  # not in typeshed
        if info.size != stated or str(info.size) != info.pax_headers["size"]:
            _refuse(path, "its two headers state different sizes")
    try:
        return read_pieces(info, len(tar) - info.offset_data) if info.issparse() else None
    except ValueError as error:
        _refuse(path, f"it is a sparse file with a wrong map: {error}")


def _time(stated: float) -> int:
    # Keep the dates: web servers derive an ETag from date and size, so one date for all files would break caching.
    try:
        return min(max(int(stated), 1), _LATEST_TIME)
    except (ValueError, OverflowError):  # nan, inf
        return 1


def _add_folders(members: dict[str, Member], limits: Limits) -> None:
    """Add the folders that paths imply, and refuse a member inside of anything but a folder."""
    for path in list(members):
        inner = path
        while "/" in inner:
            inner = inner.rpartition("/")[0]
            folder = members.get(inner)
            if folder is None:
                members[inner] = Member(inner, "d", DIRECTORY_MODE, members[path].modified)
            elif folder.kind != "d":
                _refuse(
                    path,
                    f"it is inside {printable_name(inner)}, which is a {'link' if folder.kind == 'l' else 'file'}",
                )
            else:
                break
        if len(members) > limits.members:
            raise ArtifactRefused(f"it contains more than {limits.members} members", "leave out what is not needed")


def _strip_top_folder(members: dict[str, Member]) -> tuple[dict[str, Member], str]:
    tops = {path.partition("/")[0] for path in members}
    top = min(tops)
    if len(tops) > 1 or top in ("bin", "sbin") or members[top].kind != "d":
        return members, ""
    inner = (replace(member, path=path[len(top) + 1 :]) for path, member in members.items() if path != top)
    return {member.path: member for member in inner}, top


def _check_links(members: dict[str, Member]) -> None:
    steps = iter(range(_MOST_LINK_STEPS))
    for path, member in members.items():
        if member.kind == "l":
            if problem := (not member.target and "it is empty") or name_problem(member.target):
                _refuse(path, f"it is a link whose target is refused: {problem}")
            _follow(path, members, steps)


def _follow(path: str, members: dict[str, Member], steps: Iterator[int]) -> None:
    """Follow a link as Linux would, through other links on the way. Refuse it if a step leaves the release."""
    current: list[str] = []
    ahead = path.split("/")[::-1]
    links_left = _MOST_LINKS_IN_A_PATH
    while ahead and next(steps, None) is not None and links_left >= 0:
        step = ahead.pop()
        if step == "..":
            if not current:
                _refuse(path, f"it is a link that leaves the release: {printable_name(members[path].target)}")
            current.pop()
        elif step not in ("", "."):
            member = members.get("/".join([*current, step]))
            if member is None or member.kind != "l":
                current.append(step)
            elif member.target.startswith("/"):
                _refuse(path, f"it is a link that leaves the release: {printable_name(member.target)}")
            else:
                ahead += member.target.split("/")[::-1]
                links_left -= 1
    if ahead:
        _refuse(path, "it is a link that loops")


def _refuse(name: str, reason: str) -> NoReturn:
    raise ArtifactRefused(f"{printable_name(name)}: {reason}", _WITHOUT_IT)
