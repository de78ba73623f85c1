"""Of a release, only what a host does not have is sent. The rest is copied there, and all of it is checked."""

from __future__ import annotations

import gzip
import hashlib
import io
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.apply.install import NOT_HELD
from reconciler.artifact.archive import Prepared, prepare
from reconciler.artifact.delta import Base
from reconciler.artifact.part import MOST_TIMES, Part, part_of, whole
from reconciler.tools import scripts
from reconciler.tools.offer import Offer, Question, ranges
from tests.support.failing_host import SHELL, Ended, FailingHost

OLD, NEW = "1-0123456789ab", "2-0123456789ab"
TIME = 1_600_000_000
File = bytes | str  # a string is the target of a link
FIRST: dict[str, File] = {
    "bin/shop": b"#!/bin/sh\nexec lib/run\n",
    "erts-14/beam": b"runtime" * 1000,
    "erts-14/a name with 'quotes' and $dollars": b"odd" * 100,
    "erts-14/-rf": b"begins like an option",
    "erts-14/empty": b"",
    "lib/shop-1/code.beam": b"code 1" * 50,
    "lib/shop-1/static/logo.svg": b"<svg/>" * 500,
    "lib/shop-1/static/app.js": b"js" * 500,
    "current": "lib/shop-1",
}
SECOND: dict[str, File] = {
    "bin/shop": b"#!/bin/sh\nexec lib/run\n",
    "erts-14/beam": b"runtime" * 1000,
    "erts-14/a name with 'quotes' and $dollars": b"odd" * 100,
    "erts-14/-rf": b"begins like an option",
    "erts-14/empty": b"",
    "erts-14/empty too": b"",
    "lib/shop-2/code.beam": b"code 2" * 50,
    "lib/shop-2/static/logo.svg": b"<svg/>" * 500,
    "lib/shop-2/static/app-2.js": b"js" * 500,
    "current": "lib/shop-2",
}
CHANGED = {"lib/shop-2/code.beam"}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def host(tmp_path: Path) -> Iterator[FailingHost]:
    made = FailingHost(tmp_path / "host")
    made.make()
    yield made


def release(files: dict[str, File], folder: Path, times: dict[str, int] | None = None) -> Prepared:
    """The release with these files, as an artifact that somebody built."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.mtime = (times or {}).get(name, TIME + len(name))
            member.mode = 0o755 if name.startswith("bin/") else 0o644
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
                archive.addfile(member)
            else:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    data = gzip.compress(buffer.getvalue())
    path = folder / f"{hashlib.sha256(data).hexdigest()}.tar.gz"
    path.write_bytes(data)
    return prepare(path, hashlib.sha256(data).hexdigest())


def ask(host: FailingHost, prepared: Prepared, base: Base | None = None) -> Offer:
    """What the host says it has of this release."""
    old = ("hello", base.name, base.sums_digest) if base else ("-", "-", "-")
    question = Question(prepared.sums, base.prepared.sums if base else "")
    words = [host.layout.releases, host.layout.state, *old]
    text = scripts.plain_script("offer", "system").text
    done = subprocess.run(
        [SHELL, "-c", text, "reconcile", *words], input=question.stdin, capture_output=True, check=True
    )
    return question.read(done.stdout.decode())


def offered(host: FailingHost, prepared: Prepared) -> frozenset[str]:
    return ask(host, prepared).held


def digests(prepared: Prepared, *paths: str) -> frozenset[str]:
    """Those of these files."""
    return frozenset(entry.sha256 for entry in prepared.entries if entry.path in paths)


def send(
    host: FailingHost,
    name: str,
    prepared: Prepared,
    part: Part,
    app: str = "hello",
    cut: int | None = None,
    room: str = "1+3",
) -> Ended:
    """Upload the part, as the product does it, or so many bytes of it."""
    manifest = part.manifest(prepared)
    sizes = (str(len(manifest)), str(len(prepared.sums.encode())), str(len(prepared.tree.encode())))
    old = (part.base.name, part.base.sums_digest) if part.base else ("-", "-")
    data = (manifest + part.packed.read_bytes())[: cut and len(manifest) + cut]
    return host.run("install", app, name, *sizes, room, "new", *old, stdin=data)


def installed(host: FailingHost, name: str, app: str = "hello") -> Path:
    return host.path(f"releases/{app}/releases/{name}")


def content(folder: Path) -> dict[str, tuple[str, int, float]]:
    """What a release folder holds: the bytes or the target, the mode and the time of each file."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            found[path.relative_to(folder).as_posix()] = (str(path.readlink()), 0o777, 0.0)
        elif path.is_file():
            status = path.stat()
            found[path.relative_to(folder).as_posix()] = (
                path.read_bytes().hex(),
                status.st_mode & 0o7777,
                status.st_mtime,
            )
    return found


def sent(part: Part) -> set[str]:
    with tarfile.open(part.packed) as archive:
        return set(archive.getnames())


def test_a_new_version_sends_what_changed_and_becomes_the_same_as_if_all_had_been_sent(
    host: FailingHost, tmp_path: Path
) -> None:
    """Moved, renamed, of another mode or time: each file is as the artifact has it."""
    first, second = release(FIRST, tmp_path), release(SECOND, tmp_path, {"erts-14/beam": TIME + 7000})
    assert send(host, OLD, first, whole(first)).status == 0

    part = part_of(second, offered(host, second))
    ended = send(host, NEW, second, part)

    assert (ended.status, ended.stderr) == (0, "")
    assert sent(part) == CHANGED | {"current"}
    found = content(installed(host, NEW))
    assert found.pop("current")[0] == "lib/shop-2"
    assert {name: (bytes.fromhex(data), mode, time) for name, (data, mode, time) in found.items()} == {
        name: (data, 0o755 if name == "bin/shop" else 0o644, TIME + (7000 if name == "erts-14/beam" else len(name)))
        for name, data in SECOND.items()
        if isinstance(data, bytes)
    }
    assert not [path for path in installed(host, NEW).parent.iterdir() if path.name.startswith(".")]


def test_a_second_app_shares_what_the_first_one_has(host: FailingHost, tmp_path: Path) -> None:
    first, other = release(FIRST, tmp_path), release(SECOND | {"bin/shop": b"another"}, tmp_path)
    send(host, OLD, first, whole(first))

    part = part_of(other, offered(host, other))
    ended = send(host, NEW, other, part, app="other")

    assert (ended.status, ended.stderr) == (0, "")
    assert sent(part) == {"bin/shop", "lib/shop-2/code.beam", "current"}
    assert len(content(installed(host, NEW, "other"))) == len(SECOND)


def test_nothing_is_shared_by_one_inode(host: FailingHost, tmp_path: Path) -> None:
    first, second = release(FIRST, tmp_path), release(SECOND, tmp_path)
    send(host, OLD, first, whole(first))
    send(host, NEW, second, part_of(second, offered(host, second)))

    assert {path.stat().st_nlink for path in installed(host, NEW).rglob("*") if path.is_file()} == {1}


def test_a_damaged_file_is_not_offered_and_comes_anew(host: FailingHost, tmp_path: Path) -> None:
    """Also one whose size and time are as before."""
    first, second = release(FIRST, tmp_path), release(SECOND, tmp_path)
    send(host, OLD, first, whole(first))
    (installed(host, OLD) / "erts-14/beam").write_bytes(b"RUNTIME" * 1000)

    part = part_of(second, offered(host, second))

    assert sent(part) == CHANGED | {"erts-14/beam", "current"}
    assert send(host, NEW, second, part).status == 0


@pytest.mark.parametrize("gone", [True, False], ids=["gone", "damaged"])
def test_what_is_lost_after_the_offer_makes_the_host_ask_for_all(host: FailingHost, tmp_path: Path, gone: bool) -> None:
    first, second = release(FIRST, tmp_path), release(SECOND, tmp_path)
    send(host, OLD, first, whole(first))
    part = part_of(second, offered(host, second))
    source = installed(host, OLD) / "erts-14/beam"
    source.unlink() if gone else source.write_bytes(b"RUNTIME" * 1000)

    ended = send(host, NEW, second, part)

    assert ended.status == NOT_HELD
    assert not installed(host, NEW).exists()
    assert send(host, NEW, second, whole(second)).status == 0


def test_a_release_that_was_pruned_is_not_offered(host: FailingHost, tmp_path: Path) -> None:
    first, second = release(FIRST, tmp_path), release(SECOND, tmp_path)
    send(host, OLD, first, whole(first))
    assert host.run("prune", "hello", OLD).status == 0

    assert offered(host, second) == frozenset()
    assert part_of(second, frozenset()) == whole(second)


@pytest.mark.parametrize("path", ["./../../../../outside", "./a/../../../../../outside", "./a//b", "/outside", "./."])
@pytest.mark.parametrize("where", ["sums", "tree"])
def test_a_manifest_that_leads_out_of_the_release_copies_nothing(
    host: FailingHost, tmp_path: Path, path: str, where: str
) -> None:
    """It comes from somebody who has the deploy user's key, and the script runs as root."""
    first = release(FIRST, tmp_path)
    send(host, OLD, first, whole(first))
    digest = hashlib.sha256(b"runtime" * 1000).hexdigest()
    sums = f"{digest}  {path if where == 'sums' else './x'}\n"
    tree = f"d 755 {path}\t\n" if where == "tree" else "f 644 ./x\t\n"
    manifest = gzip.compress(f"{sums}{tree}1 1\n".encode())
    sizes = (str(len(manifest)), str(len(sums)), str(len(tree)))

    ended = host.run(
        "install", "hello", NEW, *sizes, "1+3", "new", "-", "-", stdin=manifest + whole(first).packed.read_bytes()
    )

    assert ended.status == NOT_HELD
    assert "something outside of the release" in ended.stderr
    assert not list(tmp_path.rglob("outside"))


@pytest.mark.parametrize("held", ["x 1\n", "1 1-99999999999\n", "1 ../1\n", f"{10**12} 1\n", "1 1\n" * 400])
def test_a_list_that_cannot_be_read_copies_nothing(host: FailingHost, tmp_path: Path, held: str) -> None:
    first, second = release(FIRST, tmp_path), release(SECOND, tmp_path)
    send(host, OLD, first, whole(first))

    ended = send(host, NEW, second, Part(second.packed, 0, held))

    assert (ended.status, installed(host, NEW).exists()) == (NOT_HELD, False)


def test_a_manifest_that_is_cut_off_is_refused(host: FailingHost, tmp_path: Path) -> None:
    first = release(FIRST, tmp_path)
    manifest = gzip.compress(f"{first.sums}{first.tree}".encode())
    sizes = (str(len(manifest)), str(len(first.sums)), str(len(first.tree)))

    ended = host.run("install", "hello", OLD, *sizes, "1+3", "new", "-", "-", stdin=manifest[:-40])

    assert ended.status == 1
    assert not installed(host, OLD).exists()


def test_of_more_times_than_a_host_should_set_the_most_frequent_are_copied(tmp_path: Path) -> None:
    files: dict[str, File] = {f"lib/{number}": b"%d" % number * 50 for number in range(MOST_TIMES + 60)}
    files |= {f"same/{number}": b"s%d" % number * 50 for number in range(60)}
    times = {name: TIME if name.startswith("same/") else TIME + 1 + number for number, name in enumerate(files)}
    prepared = release(files, tmp_path, times)

    part = part_of(prepared, digests(prepared, *files))

    assert len(part.held.splitlines()) == MOST_TIMES
    assert len(sent(part)) == 61
    assert not any(name.startswith("same/") for name in sent(part))


def test_a_large_release_is_read_to_its_end(tmp_path: Path) -> None:
    """It is packed in pieces that are compressed side by side."""
    files: dict[str, File] = {f"bin/{number}": bytes([number]) * 1_000_000 for number in range(4)}
    prepared = release(files, tmp_path)

    assert sent(part_of(prepared, digests(prepared, "bin/0", "bin/3"))) == {"bin/1", "bin/2"}


def test_all_is_sent_as_it_is_if_the_host_has_next_to_nothing_of_it(tmp_path: Path) -> None:
    second = release(SECOND, tmp_path)

    assert part_of(second, digests(second, "erts-14/-rf")) == whole(second)


def test_numbers_are_told_as_ranges() -> None:
    assert ranges([0, 1, 2, 4, 6, 7]) == "1-3,5,7-8"


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("held 1-2\nheld 4-4\n", {0, 1, 3}),
        ("held 3-99999999\n", {2, 3}),
        ("held 0-1\nheld -1-2\nheld 2\nheld x-y\nheld 2-1\nlibrary\n", {0}),
    ],
)
def test_a_host_can_only_name_files_that_were_asked_for(text: str, held: set[int]) -> None:
    """Those of the release that it knows come first, and the others are named in their place."""
    sums = [f"{number:064x}  ./{number}\n" for number in range(6)]
    question = Question("".join([sums[4], sums[1], sums[4]]), known="".join(sums[:3]))

    assert question.stdin == b"0000000000000000\n"  # of the digest its beginning
    found = question.read(text).held

    assert {int(digest, 16) for digest in found} == {(0, 1, 2, 4)[number] for number in held}


@pytest.mark.parametrize("text", ["zstd 1.5.4\n", "x\nzstd 1.4.10\nheld 1-1\n", "zstd 1.5\n", "zstd 1.5.4 x\n", ""])
def test_the_version_of_zstd_is_read(text: str) -> None:
    expected = {"1.5.4": (1, 5, 4), "1.4.10": (1, 4, 10)}
    found = Question("").read(text).zstd

    assert found == next((parts for word, parts in expected.items() if f"zstd {word}\n" in text), ())


def test_a_host_whose_older_release_has_other_files_than_ours_is_not_asked(host: FailingHost, tmp_path: Path) -> None:
    """The numbers would be those of other files."""
    first, second = release(FIRST, tmp_path), release(SECOND, tmp_path)
    name = f"1-{first.sha256[:12]}"
    send(host, name, first, whole(first))
    base = Base(name, first, (0, 4))

    assert ask(host, second, base).held == ask(host, second).held | digests(first, "bin/shop", "lib/shop-1/code.beam")
    host.path(f"state/hello/sums/{name}").write_text(first.sums[67:])
    assert ask(host, second, base).held == frozenset()
