"""What a version changes is sent as what differs from an older release; and what came of an upload counts."""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import os
import random
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from reconciler.apply.applier import STALE
from reconciler.apply.install import NOT_HELD
from reconciler.artifact import delta
from reconciler.artifact.archive import Prepared
from reconciler.artifact.delta import Base, find_base
from reconciler.artifact.part import part_of, whole
from tests.support.failing_host import FailingHost
from tests.tools.test_held import NEW, OLD, File, content, digests, installed, offered, release, send

needs_zstd = pytest.mark.skipif(shutil.which("zstd") is None, reason="zstd not found; apt-get install zstd")
CODE = random.Random(1).randbytes(40_000)  # of which nothing can be compressed
SHARED: dict[str, File] = {"bin/shop": b"#!/bin/sh\n", "erts/beam": b"runtime" * 3000}
FIRST: dict[str, File] = SHARED | {"lib/shop-1/code.beam": CODE, "lib/shop-1/gone": b"gone" * 90, "now": "lib/shop-1"}
SECOND: dict[str, File] = SHARED | {"lib/shop-2/code.beam": CODE[:20_000] + b"!" + CODE[20_000:], "now": "lib/shop-2"}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def host(tmp_path: Path) -> Iterator[FailingHost]:
    made = FailingHost(tmp_path / "host")
    made.make()
    yield made


def name_of(prepared: Prepared, version: str = "1") -> str:
    return f"{version}-{prepared.sha256[:12]}"


def base_of(prepared: Prepared, *releases: str) -> Base:
    found = find_base(prepared, releases, "hello")
    assert found
    return found


def plain(files: dict[str, File]) -> dict[str, bytes]:
    return {name: data for name, data in files.items() if isinstance(data, bytes)}


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {name: bytes.fromhex(data) for name, (data, mode, _) in content(folder).items() if mode != 0o777}


@needs_zstd
def test_a_changed_file_is_sent_as_what_differs_from_the_older_one(host: FailingHost, tmp_path: Path) -> None:
    first, second = release(FIRST, tmp_path), release(SECOND, tmp_path)
    assert send(host, name_of(first), first, whole(first)).status == 0

    held = offered(host, second)
    part = part_of(second, held, base_of(second, name_of(first)))
    ended = send(host, NEW, second, part)

    assert (ended.status, ended.stderr) == (0, "")
    assert part.packed_size < 400 < 20_000 < part_of(second, held).packed_size
    assert len(part.manifest(second)) < 400
    assert bytes_of(installed(host, NEW)) == plain(SECOND)
    assert content(installed(host, NEW))["now"][0] == "lib/shop-2"


@needs_zstd
def test_a_program_of_one_file_is_sent_as_a_delta_though_the_host_has_no_file_of_it(
    host: FailingHost, tmp_path: Path
) -> None:
    first, second = release({"bin/run": CODE}, tmp_path), release({"bin/run": CODE[1:]}, tmp_path)
    send(host, name_of(first), first, whole(first))

    part = part_of(second, frozenset(), base_of(second, name_of(first)))

    assert part.packed_size < 300
    assert send(host, NEW, second, part).status == 0
    assert bytes_of(installed(host, NEW)) == {"bin/run": CODE[1:]}


def test_an_older_release_of_which_nothing_is_left_is_not_referred_to(tmp_path: Path) -> None:
    first, second = release({"bin/other": b"other" * 99}, tmp_path), release({"bin/run": CODE}, tmp_path)

    assert part_of(second, frozenset(), base_of(second, name_of(first))) == whole(second)


@needs_zstd
@pytest.mark.parametrize("lost", ["sums", "file", "files gone", "release"])
def test_an_older_release_that_is_damaged_makes_the_host_ask_for_all(
    host: FailingHost, tmp_path: Path, lost: str
) -> None:
    """It was whole when it was offered."""
    first, second = release(FIRST, tmp_path), release(SECOND, tmp_path)
    old = name_of(first)
    send(host, old, first, whole(first))
    part = part_of(second, offered(host, second), base_of(second, old))
    code, sums = installed(host, old) / "lib/shop-1/code.beam", host.path(f"state/hello/sums/{old}")
    match lost:
        case "sums":
            sums.write_text(sums.read_text() + "more\n")
        case "file":
            code.write_bytes(CODE[::-1])
        case "files gone":
            code.unlink()
        case "release":
            shutil.rmtree(installed(host, old))

    ended = send(host, NEW, second, part)

    assert ended.status == NOT_HELD
    assert not installed(host, NEW).exists()
    assert send(host, NEW, second, whole(second)).status == 0


@needs_zstd
def test_a_delta_that_zstd_cannot_read_makes_the_host_ask_for_all(host: FailingHost, tmp_path: Path) -> None:
    first, second = release(FIRST, tmp_path), release(SECOND, tmp_path)
    send(host, name_of(first), first, whole(first))
    part = part_of(second, offered(host, second), base_of(second, name_of(first)))
    part.packed.write_bytes(part.packed.read_bytes()[:-9] + b"otherwise")

    ended = send(host, NEW, second, part)

    assert (ended.status, installed(host, NEW).exists()) == (NOT_HELD, False)


def test_files_that_are_not_whole_or_too_large_are_not_referred_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old: dict[str, File] = {"a": b"a" * 50, "b": b"b" * 70, "c": b"c" * 20}
    first, second = release(old, tmp_path), release({"a": b"other" * 500}, tmp_path)
    base = base_of(second, name_of(first))
    monkeypatch.setattr(delta, "LARGEST_REFERENCE_BYTES", 75)

    assert delta.reference_of(base) == (first.sums.encode() + b"a" * 50 + b"c" * 20, (0, 2))
    assert delta.reference_of(base.only(digests(first, "b", "c"))) == (first.sums.encode() + b"b" * 70, (1,))


def test_only_an_older_release_that_is_on_this_machine_is_referred_to(tmp_path: Path) -> None:
    """Of the newest ones on the host, in this order."""
    first, second = release(FIRST, tmp_path), release(SECOND, tmp_path)
    unknown = ["9-0123456789ab", "odd", "8-aaaaaaaaaaaa"]

    assert base_of(second, *unknown[:2], name_of(first)).name == name_of(first)
    assert find_base(second, [*unknown, name_of(first)], "hello") is None
    assert find_base(second, [name_of(second)], "hello") is None


def arrived(host: FailingHost, name: str) -> Path:
    return host.path(f"releases/hello/releases/.arrived-{name}")


LARGE: dict[str, File] = {f"bin/{number}": random.Random(number).randbytes(30_000) for number in range(10)}


def test_a_file_that_came_twice_is_copied_from_where_it_is_whole(host: FailingHost, tmp_path: Path) -> None:
    """A release may have the same file at many paths, of which some have not come."""
    same = random.Random(1).randbytes(100_000)
    prepared = release({f"bin/{number}": same for number in range(5)}, tmp_path)
    send(host, NEW, prepared, whole(prepared), cut=250_000)

    assert send(host, NEW, prepared, part_of(prepared, offered(host, prepared))).status == 0


def test_what_came_of_an_upload_that_broke_off_is_not_sent_again(host: FailingHost, tmp_path: Path) -> None:
    """It ends with the release. Of the file that was cut off, nothing counts."""
    prepared = release(LARGE | {"link": "bin/0"}, tmp_path)

    ended = send(host, NEW, prepared, whole(prepared), cut=155_000)
    kept = {path.name for path in arrived(host, NEW).rglob("*") if path.is_file()}
    held = offered(host, prepared)
    part = part_of(prepared, held)
    again = send(host, NEW, prepared, part)

    assert ended.status == 1
    assert kept == {"0", "1", "2", "3", "4", "5"}
    assert held == digests(prepared, *(f"bin/{number}" for number in range(5)))
    assert part.packed_size < 155_000
    assert (again.status, again.stderr) == (0, "")
    assert bytes_of(installed(host, NEW)) == plain(LARGE)
    assert not arrived(host, NEW).exists()
    assert not list(host.path("state/hello/sums").glob(".arrived-*"))


def test_an_upload_that_waited_for_the_end_of_another_asks_anew_what_is_here(host: FailingHost, tmp_path: Path) -> None:
    """What it was told, it was told too early: what came of the other was not kept yet."""
    prepared = release(LARGE, tmp_path)
    send(host, OLD, prepared, whole(prepared), cut=155_000)
    with host.path("state/hello/lock").open() as lock, ThreadPoolExecutor(1) as pool:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ending = pool.submit(send, host, NEW, prepared, whole(prepared))
        waits = f":{os.fstat(lock.fileno()).st_ino} "
        while not any("->" in line and waits in line for line in Path("/proc/locks").read_text().splitlines()):
            assert not ending.done(), ending.result()
        fcntl.flock(lock, fcntl.LOCK_UN)
        ended = ending.result()

    assert ended.status == STALE
    assert not installed(host, NEW).exists()
    assert arrived(host, OLD).exists()


def test_each_upload_that_breaks_off_adds_to_what_is_here(host: FailingHost, tmp_path: Path) -> None:
    prepared = release(LARGE, tmp_path)

    for count in (2, 5, 8):
        send(host, NEW, prepared, part_of(prepared, offered(host, prepared)), cut=95_000)
        assert offered(host, prepared) >= digests(prepared, *(f"bin/{number}" for number in range(count)))

    assert len(list(installed(host, NEW).parent.iterdir())) == 1


def test_what_came_of_one_version_serves_the_next_one_and_another_app(host: FailingHost, tmp_path: Path) -> None:
    prepared, other = release(LARGE, tmp_path), release(LARGE | {"bin/0": b"changed"}, tmp_path)
    send(host, OLD, prepared, whole(prepared), cut=155_000)

    assert offered(host, other) == digests(other, "bin/1", "bin/2", "bin/3", "bin/4")
    assert send(host, NEW, other, part_of(other, offered(host, other)), app="other").status == 0
    assert arrived(host, OLD).exists()
    assert send(host, NEW, other, part_of(other, offered(host, other))).status == 0
    assert not arrived(host, OLD).exists()


def test_what_came_and_is_not_wanted_any_more_is_pruned(host: FailingHost, tmp_path: Path) -> None:
    prepared = release(LARGE, tmp_path)
    send(host, NEW, prepared, whole(prepared), cut=155_000)

    assert host.run("prune", "hello", f".arrived-{NEW}").status == 0

    assert not arrived(host, NEW).exists()
    assert offered(host, prepared) == frozenset()


def test_what_came_makes_room_for_the_release_if_there_is_not_enough(
    host: FailingHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The upload that counted on it ends, and all is sent."""
    prepared = release(LARGE, tmp_path)
    send(host, NEW, prepared, whole(prepared), cut=155_000)
    part = part_of(prepared, offered(host, prepared))
    full = send(host, NEW, prepared, part, room="99999999999+3")

    assert (full.status, "MiB are needed" in full.stderr) == (28, True)
    assert not arrived(host, NEW).exists()
    assert send(host, NEW, prepared, part).status == NOT_HELD
    assert send(host, NEW, prepared, whole(prepared)).status == 0


@pytest.mark.parametrize(
    "paths",
    [["./../../outside"], ["./a", "./a/../../../outside"], ["./a//b"], ["./a/."], ["/outside"]],
    ids=lambda paths: paths[-1],
)
def test_no_path_that_leads_out_of_a_release_is_kept(host: FailingHost, tmp_path: Path, paths: list[str]) -> None:
    """Whoever has the deploy user's key could ask for the digest of any file of root's, and copy what it knows."""
    prepared = release(LARGE, tmp_path)
    sums = "".join(f"{hashlib.sha256(b'').hexdigest()}  {path}\n" for path in paths)
    manifest = gzip.compress(sums.encode())
    sizes = (str(len(manifest)), str(len(sums)), "0")

    data = manifest + prepared.packed.read_bytes()[:155_000]
    assert host.run("install", "hello", NEW, *sizes, "1+3", "new", "-", "-", stdin=data).status == 1

    assert not arrived(host, NEW).exists()
    assert not list(host.path("state/hello/sums").glob(".arrived-*"))


def test_no_link_is_kept(host: FailingHost, tmp_path: Path) -> None:
    """It could lead to a file of root's, below a path of the release."""
    prepared = release({"a": "bin/0", **LARGE}, tmp_path)

    send(host, NEW, prepared, whole(prepared), cut=155_000)

    assert arrived(host, NEW).exists()
    assert not [path for path in arrived(host, NEW).rglob("*") if path.is_symlink()]
