"""artifact/archive.py: accepted archives and each kind of refusal."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import os
import random
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.artifact.archive import Prepared, load_prepared, prepare
from reconciler.artifact.pack import open_packed
from reconciler.artifact.spool import Limits
from reconciler.artifact.tar_headers import _Headers
from reconciler.errors import ArtifactRefused, ArtifactUnavailable
from tests.support.archives import Named, file, folder, link, special, tar_bytes

SCRIPT = b"#!/bin/sh\n"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "reconcile" / "prepared"


def prepared(content: bytes, limits: Limits | None = None) -> Prepared:
    """prepare() on a file with these bytes."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "app.tar.gz"
        path.write_bytes(content)
        return prepare(path, hashlib.sha256(content).hexdigest(), limits=limits or Limits())


def prepared_members(*members: Named) -> Prepared:
    return prepared(gzip.compress(tar_bytes(members), 1))


def refusal(content: bytes, limits: Limits | None = None) -> str:
    with pytest.raises(ArtifactRefused) as caught:
        prepared(content, limits)
    assert caught.value.next_step
    return str(caught.value).removeprefix("app.tar.gz: ")


def refusal_of(*members: Named) -> str:
    return refusal(gzip.compress(tar_bytes([file("bin/app", mode=0o755), *members]), 1))


def test_a_release_is_packed_again_with_its_manifest() -> None:
    ready = prepared_members(
        folder("./", 0o700),
        folder("./bin", 0o2775),
        file("./bin/hello", SCRIPT, 0o700),
        file("./bin/hello.bat", b"", 0o755),
        file("./releases/start_erl.data", b"13.1.5 0.2.0"),
        file("./releases/COOKIE", b"secret", 0o400),
        link("./current", "bin/hello"),
    )

    assert ready.tree == (
        "d 755 ./bin\t\nd 755 ./releases\t\n"
        "f 644 ./releases/COOKIE\t\nf 644 ./releases/start_erl.data\t\n"
        "f 755 ./bin/hello\t\nf 755 ./bin/hello.bat\t\n"
        "l 777 ./current\tbin/hello\n"
    )
    assert ready.sums.splitlines()[0] == f"{hashlib.sha256(SCRIPT).hexdigest()}  ./bin/hello"
    assert (ready.executables, ready.start_erl, ready.top_folder) == (("bin/hello",), "13.1.5 0.2.0", "")
    assert len(ready.sums.splitlines()) == 4
    assert ready.unpacked_size == 28


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("squeeze", [gzip.compress, bz2.compress, lzma.compress, bytes])
def test_every_format_becomes_the_same_release(form: int, squeeze: type[bytes]) -> None:
    content = tar_bytes([file("bin/app", b"y" * 3000, 0o755), link("now", "bin/app")], form)

    ready = prepared(squeeze(content))

    assert (
        ready.packed_sha256
        == prepared_members(file("./bin/app", b"y" * 3000, 0o711), link("./now", "bin/app")).packed_sha256
    )


def test_a_gzip_of_several_streams_with_trailing_zeros_is_accepted() -> None:
    tar = tar_bytes([file("bin/app", random.Random(1).randbytes(700_000), 0o755)])

    ready = prepared(gzip.compress(tar[:300_000]) + gzip.compress(tar[300_000:]) + bytes(600_000))

    assert ready.unpacked_size == 700_000


def test_the_programs_of_a_release_without_bin_are_those_at_its_top() -> None:
    ready = prepared_members(file("run", mode=0o755), file("README"), file("lib/helper", mode=0o755))

    assert ready.executables == ("run",)


def test_one_top_folder_is_taken_off_unless_it_is_bin() -> None:
    stripped = prepared_members(folder("app-1.0"), file("app-1.0/bin/app", mode=0o755), link("app-1.0/a", "bin/app"))
    kept = prepared_members(file("bin/app", mode=0o755))
    beside = prepared_members(file("app/run", mode=0o755), file("README"))

    assert (stripped.top_folder, stripped.executables) == ("app-1.0", ("bin/app",))
    assert (kept.top_folder, kept.executables) == ("", ("bin/app",))
    assert prepared_members(file("sbin/appd", mode=0o755)).top_folder == ""
    assert (beside.top_folder, [entry.path for entry in beside.entries]) == ("", ["README", "app", "app/run"])


def test_a_link_may_not_use_the_folder_that_is_taken_off() -> None:
    assert refusal(gzip.compress(tar_bytes([file("app/bin/x"), link("app/now", "../app/bin/x")]))) == (
        "now: it is a link that leaves the release: ../app/bin/x"
    )


def test_hard_links_become_files() -> None:
    ready = prepared_members(file("bin/app", b"abc", 0o755), special("bin/again", tarfile.LNKTYPE, "./bin/app"))

    assert [(entry.path, entry.kind, entry.mode) for entry in ready.entries if entry.kind == "f"] == [
        ("bin/again", "f", 0o755),
        ("bin/app", "f", 0o755),
    ]
    assert ready.unpacked_size == 6


def test_a_folder_may_be_named_twice() -> None:
    ready = prepared_members(folder("lib"), file("lib/a"), folder("lib", 0o700), file("b"))

    assert len(ready.sums.splitlines()) == 2


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        (file("../evil"), "../evil: its name leaves the release with .."),
        (file("lib/../../evil"), "lib/../../evil: its name leaves the release with .."),
        (file("./../evil"), "./../evil: its name leaves the release with .."),
        (file("/etc/passwd"), "/etc/passwd: its name is absolute"),
        (file("a\\..\\b"), "a\\..\\b: its name holds a backslash"),
        (file("a\nb"), "a\\nb: its name holds a line break"),
        (file("a\x07b"), "a\\x07b: its name holds a control character"),
        (file("a\udcffb"), "a\\udcffb: its name is not UTF-8"),
        (file("a/" + "b" * 300), f"a/{'b' * 198}…: a name in its path is longer than 255 bytes"),
        (file("a/" * 600 + "b"), f"{'a/' * 100}…: its path is longer than 1024 bytes"),
        (file("bin/app"), "bin/app: it is in the archive twice"),
        (file("./bin//app"), "bin/app: it is in the archive twice"),
        (link("bin", "lib"), "bin/app: it is inside bin, which is a link"),
        (file("bin"), "bin/app: it is inside bin, which is a file"),
        (special("null", tarfile.CHRTYPE), "null: it is a device"),
        (special("disk", tarfile.BLKTYPE), "disk: it is a device"),
        (special("pipe", tarfile.FIFOTYPE), "pipe: it is a named pipe"),
        (special("what", b"Z"), "what: its type b'Z' is unknown"),
        (file("su", mode=0o4755), "su: it has the setuid bit"),
        (file("su", mode=0o2755), "su: it has the setgid bit"),
        (file("su", mode=0o1755), "su: it has the sticky bit"),
        (special("hard", tarfile.LNKTYPE, "/etc/passwd"), "hard: the name it is a hard link to is absolute"),
        (special("hard", tarfile.LNKTYPE, "../x"), "hard: the name it is a hard link to leaves the release with .."),
        (
            special("hard", tarfile.LNKTYPE, "later"),
            "hard: it is a hard link to later, which is not an earlier file of the archive",
        ),
        (link("etc", "/etc"), "etc: it is a link that leaves the release: /etc"),
        (link("lib/up", "../../x"), "lib/up: it is a link that leaves the release: ../../x"),
        (link("up", ".."), "up: it is a link that leaves the release: .."),
        (link("up", "bin/../../again/in"), "up: it is a link that leaves the release: bin/../../again/in"),
        (link("loop", "loop"), "loop: it is a link that loops"),
        (link("bad", "a\nb"), "bad: it is a link whose target is refused: its name holds a line break"),
        (link("bad", ""), "bad: it is a link whose target is refused: it is empty"),
    ],
)
def test_a_member_is_refused_by_name_with_the_reason(member: Named, reason: str) -> None:
    assert refusal_of(member) == reason


def test_a_chain_of_links_that_ends_outside_is_refused() -> None:
    """Followed as Linux does: `a` is `bin/deep`, so `lib/b` is `bin`, and `c` the parent of the release."""
    chain = [folder("bin/deep"), link("a", "bin/deep"), link("lib/b", "../a/.."), link("c", "lib/b/../..")]

    assert refusal_of(*chain) == "c: it is a link that leaves the release: lib/b/../.."
    assert refusal_of(link("x", "y"), link("y", "/tmp")) == "x: it is a link that leaves the release: /tmp"


def test_links_that_stay_inside_pass_even_when_they_lead_nowhere() -> None:
    links = [
        link("lib/a", "../bin"),
        link("b", "lib/a/app"),
        link("c", "lib/a/../missing/x"),
        link("lib/d", ".."),
    ]

    assert prepared_members(file("bin/app"), *links).tree.count("\nl ") == 4


def sparse(form: str, mapped: str, content: bytes, size: int = 5000) -> Named:
    """A sparse file as GNU tar writes it with --format=posix, and bsdtar on a Mac; `form` 0.1 or 1.0."""
    info, _ = file("GNUSparseFile.0/data", content)
    info.pax_headers = {"GNU.sparse.name": "data"}
    if form == "1.0":
        numbers = mapped.split(",")
        content = "".join(f"{each}\n" for each in (len(numbers) // 2, *numbers)).encode().ljust(512, b"\0") + content
        info.pax_headers |= {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(size)}
    else:
        info.pax_headers |= {"GNU.sparse.size": str(size), "GNU.sparse.map": mapped}
    info.size = len(content)
    return info, content


@pytest.mark.parametrize("form", ["0.1", "1.0"])
def test_a_sparse_file_arrives_with_its_holes_filled(form: str) -> None:
    ready = prepared_members(file("app"), sparse(form, "0,3,4096,2,5000,0", b"onetw"), file("later"))

    with open_packed(ready.packed) as archive:
        found = {info.name: archive.extractfile(info).read() for info in archive if info.isfile()}  # type: ignore[union-attr]
    assert found == {"app": b"x", "data": b"one" + bytes(4093) + b"tw" + bytes(902), "later": b"x"}


def test_a_sparse_file_of_the_older_kind_arrives_as_well() -> None:
    header = bytearray(file("data", b"onetw")[0].tobuf(tarfile.GNU_FORMAT))
    header[386:434] = b"".join(b"%011o\0" % number for number in (0, 3, 4096, 2))
    header[483:495] = b"%011o\0" % 5000
    content = with_size(bytes(header), b"%011o\0" % 5, tarfile.GNUTYPE_SPARSE) + b"onetw".ljust(512, b"\0")

    ready = prepared(gzip.compress(content + tar_bytes([file("later")])))

    expected = hashlib.sha256(b"one" + bytes(4093) + b"tw" + bytes(902)).hexdigest()
    assert [(entry.path, entry.sha256 == expected) for entry in ready.entries] == [("data", True), ("later", False)]


@pytest.mark.parametrize(
    ("mapped", "problem"),
    [
        ("0,3,2,2", "its pieces overlap"),
        ("4,-3", "its pieces overlap"),
        ("-4,3", "its pieces overlap"),
        ("0,3,4999,2", "its pieces go beyond its end"),
        ("0,4000,4000,1000", "the archive ends inside it"),
    ],
)
@pytest.mark.parametrize("form", ["0.1", "1.0"])
def test_a_sparse_file_with_a_wrong_map_is_refused(form: str, mapped: str, problem: str) -> None:
    assert refusal_of(sparse(form, mapped, b"onetw")) == f"data: it is a sparse file with a wrong map: {problem}"


def test_what_only_claims_to_be_sparse_is_refused() -> None:
    info, content = file("data", b"one")
    info.pax_headers = {"GNU.sparse.realsize": "4"}

    assert refusal_of((info, content)) == "data: its header describes a sparse file, which it is not"


def test_holes_count_as_what_they_unpack_to() -> None:
    content = gzip.compress(tar_bytes([sparse("1.0", "0,3", b"one", size=1 << 40)]))

    assert refusal(content) == "it unpacks to more than 8 GiB"


def test_a_link_may_have_a_second_name() -> None:
    """tar stores it as a hard link: its target counts from where the second name is."""
    second = special("b", tarfile.LNKTYPE, "lib/a")
    assert prepared_members(file("app"), link("lib/a", "c"), second).tree.count("\nl ") == 2
    assert refusal_of(link("lib/a", "../x"), second) == "b: it is a link that leaves the release: ../x"


def test_the_label_of_an_archive_is_passed_over() -> None:
    assert [entry.path for entry in prepared_members(special("Release 1", b"V"), file("app")).entries] == ["app"]


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_an_archive_that_is_compressed_twice_is_named(compress: Callable[[bytes], bytes]) -> None:
    """A server or a CI job that compresses what it hands on does so."""
    assert refusal(gzip.compress(compress(tar_bytes([file("app")])))) == "it is compressed twice"


def test_two_sizes_of_one_member_are_refused() -> None:
    """A PAX record and a header that differ: each reader would see other members (CVE-2025-62518)."""
    info, content = file("app", b"y" * 1024)
    info.pax_headers = {"size": "512"}

    assert refusal_of((info, content)) == "app: its two headers state different sizes"


def with_size(header: bytes, size: bytes, kind: bytes = tarfile.REGTYPE) -> bytes:
    """The header with another size and type, and the checksum set right."""
    changed = bytearray(header)
    changed[124:136], changed[156:157], changed[148:156] = size, kind, b" " * 8
    changed[148:156] = b"%06o\0 " % sum(changed)
    return bytes(changed)


@pytest.mark.parametrize("size", [b"\xff" * 12, b"\x80" + b"\xff" * 11, b"77777777777\0"])
def test_impossible_sizes_are_refused_at_once(size: bytes) -> None:
    header = with_size(file("app")[0].tobuf(tarfile.GNU_FORMAT), size)

    refusal(gzip.compress(tar_bytes([file("a")])[:1024] + header + bytes(2048)))


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
@pytest.mark.parametrize("size", [b"\xff" * 8 + bytes(4), b"00010000000\0"])
def test_a_header_that_claims_to_be_huge_is_not_read(kind: bytes, size: bytes) -> None:
    """2 MiB of a name; or a negative length, which would read the whole archive into memory."""
    header = with_size(file("app")[0].tobuf(tarfile.GNU_FORMAT), size, kind)

    assert refusal(gzip.compress(header + bytes(3 * 1024**2))) == "it contains a header of an impossible size"


def test_the_headers_are_read_forward_only() -> None:
    """A negative size sent tarfile back to headers it had read, for ever (CVE-2025-8194)."""
    headers = _Headers(memoryview(bytes(2048)))
    headers.read(512)

    with pytest.raises(ArtifactRefused, match="impossible size"):
        headers.seek(511)


def test_an_empty_archive_is_refused() -> None:
    assert refusal(b"") == "it is empty"
    assert refusal(gzip.compress(b"")) == "it is empty"
    assert refusal(gzip.compress(bytes(10240))) == "it contains no file"
    assert refusal(gzip.compress(tar_bytes([folder("bin")]))) == "it contains no file"


@pytest.mark.parametrize(
    ("head", "name"), [(b"\x28\xb5\x2f\xfd", "a zstd"), (b"PK\x03\x04", "a zip"), (b"!<arch>\n", "an ar (.deb)")]
)
def test_other_formats_are_refused_by_name(head: bytes, name: str) -> None:
    assert refusal(head + bytes(1000)) == f"it is {name} file, which is not supported"


@pytest.mark.parametrize("squeeze", [gzip.compress, bz2.compress, lzma.compress, bytes])
@pytest.mark.parametrize("share", [0.0001, 0.3, 0.5, 0.98, 0.9999])
def test_a_truncated_archive_is_refused(squeeze: type[bytes], share: float) -> None:
    members = [file(f"lib/{number}", random.Random(number).randbytes(5000)) for number in range(20)]
    whole = squeeze(tar_bytes(members, tarfile.USTAR_FORMAT))
    # A plain tar ends in zeros up to 10 KiB of which two blocks matter: cutting those is no loss.
    whole = whole[: len(whole.rstrip(b"\0")) + 512] if squeeze is bytes else whole

    refusal(whole[: min(len(whole) - 1, int(len(whole) * share))])


def test_data_after_the_end_of_an_archive_is_refused() -> None:
    tar = tar_bytes([file("bin/app")])

    assert refusal(gzip.compress(tar + tar_bytes([file("bin/more")]))) == "it continues after the end-of-archive mark"
    assert refusal(gzip.compress(tar) + b"garbage").startswith("it is damaged")
    assert refusal(gzip.compress(tar[:1024] + b"garbage!" * 128)) == "it is damaged: no tar header at byte 1024"
    assert refusal(gzip.compress(tar[:1024])) == "it is truncated: the end-of-archive mark is missing"


def test_bombs_are_refused_while_they_are_read() -> None:
    zeros = gzip.compress(bytes(80 * 1024**2), 9)
    started = time.monotonic()

    assert refusal(zeros) == "a part of it unpacks to more than 200 times its size"
    assert refusal(gzip.compress(random.Random(1).randbytes(6_000_000), 1) + zeros) == refusal(zeros)
    assert refusal(zeros, Limits(unpacked_bytes=1024**2, members=10)) == "it unpacks to more than 1 MiB"
    assert time.monotonic() - started < 20


def test_limits_count_members_and_what_hard_links_would_fill() -> None:
    many = gzip.compress(tar_bytes([file(f"f{number}") for number in range(11)]))
    deep = gzip.compress(tar_bytes([file("a/" * 20 + "b")]))
    linked = [file("big", bytes(4000))] + [special(f"l{number}", tarfile.LNKTYPE, "big") for number in range(9)]

    assert refusal(many, Limits(members=10)) == "it contains more than 10 members"
    assert refusal(deep, Limits(members=10)) == "it contains more than 10 members"
    assert (
        refusal(gzip.compress(tar_bytes(linked)), Limits(unpacked_bytes=20_000)) == "it unpacks to more than 19.53 KiB"
    )
    assert refusal(many, Limits(artifact_bytes=100)).startswith("it is larger than 100 bytes")


def test_bytes_with_another_digest_are_refused_with_both_digests(tmp_path: Path) -> None:
    """That is said before anything else that may be wrong with them."""
    (tmp_path / "app.tar.gz").write_bytes(b"garbage")

    with pytest.raises(ArtifactRefused) as caught:
        prepare(tmp_path / "app.tar.gz", "a" * 64, label="hello 1.0")

    assert str(caught.value) == (
        "hello 1.0: the sha256 does not match\n"
        f"  wanted sha256 {'a' * 64}\n  found  sha256 {hashlib.sha256(b'garbage').hexdigest()}"
    )


def test_a_missing_artifact_may_come_later_and_a_pipe_never_will(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(ArtifactUnavailable, match="cannot be read: No such file"):
        prepare(tmp_path / "none.tar.gz", "a" * 64)
    with pytest.raises(ArtifactRefused, match="is not a file"):
        prepare(tmp_path / "pipe", "a" * 64)


def test_a_refused_archive_leaves_nothing_behind(cache: Path) -> None:
    refusal_of(file("../evil"))

    assert list(cache.iterdir()) == []


def test_a_bare_program_becomes_a_release_of_that_name(tmp_path: Path) -> None:
    """Under another name it is another release, of the same bytes."""
    path = tmp_path / "hello-1.0"
    content = b"\x7fELF" + bytes(2000)
    path.write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()

    ready = prepare(path, sha256, program="hello")

    assert [(entry.path, entry.mode) for entry in ready.entries] == [("hello", 0o755)]
    with tarfile.open(ready.packed) as archive:
        unpacked = archive.extractfile("hello")
        assert unpacked is not None and unpacked.read() == content
    assert [entry.path for entry in prepare(path, sha256, program="other").entries] == ["other"]
    assert load_prepared(sha256, program="hello") == ready
    assert load_prepared(sha256) is None


APPLE_DOUBLE = b"\0\5\26\7\0\2\0\0Mac OS X        " + bytes(100)


def test_what_a_mac_adds_to_an_archive_is_left_out() -> None:
    """Its attributes beside each file, and even beside the top folder, which is taken off all the same."""
    records = b"".join(
        b"%d %s\n" % (len(record) + 4, record)
        for record in (
            b"LIBARCHIVE.xattr.com.apple.quarantine=" + b"MDA4MTs2NTA=" + b"x" * 50,
            b"SCHILY.xattr.com.apple.provenance=" + bytes(range(0, 256, 4)),
            b"LIBARCHIVE.creationtime=1700000000." + b"5" * 60,
        )
    )
    attributes, _ = special("PaxHeader/app", tarfile.XHDTYPE)
    attributes.size = len(records)
    ready = prepared_members(
        file("._app", APPLE_DOUBLE),
        folder("app"),
        file("app/.DS_Store", b"\0\0\0\1Bud1"),
        file("app/._bin", APPLE_DOUBLE),
        folder("app/bin"),
        file("app/bin/._app", APPLE_DOUBLE),
        (attributes, records),
        file("app/bin/app", SCRIPT, 0o755),
        file("app/bin/._own", b"the app's own"),
        folder("__MACOSX"),
        file("__MACOSX/app/._x", APPLE_DOUBLE),
    )

    assert [entry.path for entry in ready.entries] == ["bin", "bin/._own", "bin/app"]
    assert ready.top_folder == "app"
    assert ready.executables == ("bin/app",)


def zip_bytes(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, bytes(100_000))
    return buffer.getvalue()


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
LOGIN = b"\n<!DOCTYPE html>\n<html lang=en><head><title> Sign in\n to GitLab </title></head>" + b"x" * 100_000
S3_ERROR = b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code><Key>planted</Key></Error>'
WRONG_FILES = {
    "an LFS pointer": (POINTER, "a pointer of Git LFS, not the file itself", "git lfs pull"),
    "a login page": (LOGIN, "a web page (Sign in to GitLab), as behind a login", "the address of the file itself"),
    "another page": (b"<html><body>Not here</body>", "a web page, as behind a login", "the address of the file itself"),
    "an error of S3": (S3_ERROR, "an error of the server (AccessDenied)", "the address of the file itself"),
    "an error as JSON": (
        b'{"message": "Not Found", "status": "404"}',
        "a JSON text (Not Found), such as a server's error",
        "the address of the file itself",
    ),
    "a zip file": (zip_bytes("app/bin/app"), "a zip file, which is not supported", "pack it as a .tar.gz"),
    "a wheel": (
        zip_bytes("app/__init__.py", "app-1.0.dist-info/RECORD"),
        "a Python wheel, which does not bring what it needs",
        "install it into a folder and pack that",
    ),
    "a jar": (zip_bytes("META-INF/MANIFEST.MF"), "a Java archive (.jar)", "put it into a .tar.gz"),
    "a program for macOS": (b"\xcf\xfa\xed\xfe" + bytes(1000), "a program for macOS", "GOOS=linux"),
    "a program for Windows": (b"MZ" + bytes(1000), "a program for Windows", "GOOS=linux"),
    "a script": (b"#!/bin/sh\nexec true\n", "a script", "pack it with what it needs"),
    "a list": (b"my_app-1.0.tar.gz\n", "a text, not an archive", "again"),
    "a SQLite database": (b"SQLite format 3\0" + bytes(500), "a SQLite database", "pack the release"),
}


@pytest.mark.parametrize("name", WRONG_FILES)
@pytest.mark.parametrize("squeeze", [bytes, gzip.compress])
def test_a_wrong_file_is_named_for_what_it_is(name: str, squeeze: type[bytes], tmp_path: Path) -> None:
    """Also if its digest is not the one that was asked for."""
    content, what, remedy = WRONG_FILES[name]
    path = tmp_path / "app.tar.gz"
    path.write_bytes(squeeze(content))

    with pytest.raises(ArtifactRefused) as refused:
        prepare(path, hashlib.sha256(path.read_bytes()).hexdigest())
    assert str(refused.value) == f"app.tar.gz: it is {what}"
    assert remedy in refused.value.next_step
    if squeeze is bytes and name != "a list":
        with pytest.raises(ArtifactRefused) as refused:
            prepare(path, "0" * 64)
        assert str(refused.value).startswith(f"app.tar.gz: it is {what}; the sha256 does not match\n  wanted")
