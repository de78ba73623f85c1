"""What a file is that is not a release archive, judged by its first and last bytes: a web page, a wheel, a pointer.

People publish, download and commit the wrong file. To be told what it is, and how to get the right one, helps more
than "it is not a tar archive".
"""

from __future__ import annotations

import json
import os
import re
from typing import BinaryIO, Final, NamedTuple

from reconciler.words import printable

HEAD_BYTES: Final = 64 * 1024
_LONGEST_QUOTE: Final = 80
_PACK: Final = "pack the release as a .tar.gz"
_LINK: Final = "correct artifact.source: the address of the file itself, with a login where one is needed"
_GET: Final = "download or build the artifact again"


class Format(NamedTuple):
    """What the file is, as the rest of a sentence that begins with "it is", and what to do."""

    name: str
    next_step: str


PLAIN_TEXT: Final = Format("a text, not an archive", _GET)
_MAGIC: Final = {
    b"\x28\xb5\x2f\xfd": "a zstd file, which is not supported",
    b"\x04\x22\x4d\x18": "an lz4 file, which is not supported",
    b"7z\xbc\xaf": "a 7z file, which is not supported",
    b"!<arch>\n": "an ar (.deb) file, which is not supported",
    b"\xed\xab\xee\xdb": "an rpm file, which is not supported",
    b"%PDF-": "a PDF document",
    b"SQLite format 3\0": "a SQLite database",
}
_PROGRAMS: Final = {
    b"\xcf\xfa\xed\xfe": "a program for macOS",
    b"\xfe\xed\xfa\xcf": "a program for macOS",
    b"\xca\xfe\xba\xbe": "a program for macOS, or a Java class",
    b"MZ": "a program for Windows",
}
_POINTER = b"version https://git-lfs.github.com/spec/"
_TAG = re.compile(rb"<(?:!doctype|html|head|title|body|script|\?xml|error)\b", re.IGNORECASE)
_TITLE = re.compile(r"<title[^>]*>([^<]{1,300})", re.IGNORECASE)
_CODE = re.compile(r"<code>([^<]{1,100})</code>", re.IGNORECASE)


def is_compressed(head: bytes) -> bool:
    """True for what begins as gzip, bzip2 or xz do."""
    return head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0"))


def foreign_format(head: bytes, tail: bytes = b"") -> Format | None:
    """Return what a file is that begins and ends so; None for an archive, a Linux program, and what is not known."""
    if _is_tar(head) or head.startswith(b"\x7fELF") or is_compressed(head):
        return None
    for magic, name in _MAGIC.items():
        if head.startswith(magic):
            return Format(name, _PACK)
    for magic, name in _PROGRAMS.items():
        if head.startswith(magic):
            return Format(name, "build it for Linux, as with GOOS=linux")
    if head.startswith(b"PK\x03\x04"):
        return _zip(head + tail)
    if head.startswith(_POINTER):
        return Format(
            "a pointer of Git LFS, not the file itself",
            "git lfs pull; in CI let the checkout fetch it (lfs: true of actions/checkout)",
        )
    return _text(head)


def foreign_format_of(file: BinaryIO) -> Format | None:
    """Return what this file certainly is, judged by its content; None as above, and for a plain text."""
    file.seek(0)
    head = file.read(HEAD_BYTES)
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - HEAD_BYTES, 0))
    found = foreign_format(head, file.read(HEAD_BYTES))
    return None if found is PLAIN_TEXT else found


def _is_tar(head: bytes) -> bool:
    import tarfile  # only an artifact that is read needs it

    try:
        tarfile.TarInfo.frombuf(head[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError):
        return False
    return True


def _zip(content: bytes) -> Format:
    if b".dist-info/" in content:
        return Format(
            "a Python wheel, which does not bring what it needs",
            "install it into a folder and pack that as a .tar.gz (docs/python.md)",
        )
    if b"META-INF/" in content:
        return Format("a Java archive (.jar)", "put it into a .tar.gz with the runtime that starts it")
    return Format("a zip file, which is not supported", "pack it as a .tar.gz")


def _text(head: bytes) -> Format | None:
    try:
        text = head.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:  # a letter may be cut at the end
            return None
        text = head[: error.start].decode("utf-8-sig").strip()
    if not text or "\0" in text:
        return None
    if _TAG.match(text.encode()):
        return _markup(text)
    if text[0] in "{[" and (said := _json_message(text)) is not None:
        return Format(f"a JSON text{said}, such as a server's error", _LINK)
    if text.startswith("#!"):
        return Format("a script", "pack it with what it needs as a .tar.gz")
    return PLAIN_TEXT


def _markup(text: str) -> Format:
    if found := _CODE.search(text):
        return Format(f"an error of the server ({_quote(found[1])})", _LINK)
    title = _TITLE.search(text)
    if title or not text.lower().startswith("<?xml"):
        named = f" ({_quote(title[1])})" if title else ""
        return Format(f"a web page{named}, as behind a login", _LINK)
    return Format("an XML text, such as a server's error", _LINK)


def _json_message(text: str) -> str | None:
    """Return the message in a JSON text, in brackets; "" if it has none, None if it is not JSON."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    said = [found.get(key) for key in ("message", "error", "detail")] if isinstance(found, dict) else []
    return next((f" ({_quote(each)})" for each in said if isinstance(each, str) and each), "")


def _quote(text: str) -> str:
    return printable(" ".join(text.split()), _LONGEST_QUOTE)
