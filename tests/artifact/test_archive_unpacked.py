"""prepare(): a host unpacks exactly the manifest; damaged archives are refused; the cache repairs itself."""

from __future__ import annotations

import gzip
import hashlib
import os
import random
import shutil
import subprocess
import tarfile
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.artifact.archive import Prepared, load_prepared, prepare
from reconciler.artifact.spool import Limits
from reconciler.errors import ArtifactRefused, ArtifactUnavailable
from reconciler.tools.elf import HostAbi, unmet_needs
from reconciler.tools.release import name_problem
from tests.support.archives import Named, file, folder, link, special, tar_bytes, unpacked_as_on_a_host


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "reconcile" / "prepared"


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    """A small release with a real program in it."""
    members = [file("bin/hello", Path("/bin/true").read_bytes(), 0o755), link("now", "bin/hello")]
    path = tmp_path / "hello-1.0.tar.gz"
    path.write_bytes(gzip.compress(tar_bytes(members)))
    return path


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def prepare_here(path: Path) -> Prepared:
    return prepare(path, digest(path))


parts = st.text(st.characters(codec="utf-8", exclude_characters="/"), min_size=1, max_size=12).filter(
    lambda part: part not in (".", "..") and not name_problem(part)
)
paths = st.lists(parts | st.sampled_from(["a", "b", "-n", " x ", "A" * 200]), min_size=1, max_size=4).map("/".join)
modes = st.sampled_from([0o644, 0o755, 0o600, 0o711, 0o777, 0o000, 0o444])
files = st.builds(file, paths, st.binary(max_size=1500), modes)
members = files | st.builds(folder, paths, modes) | st.builds(link, paths, paths | st.just("."))
trees = st.lists(members, min_size=1, max_size=12, unique_by=lambda member: member[0].name)
forms = st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(trees, files, forms, st.booleans())
def test_a_prepared_release_unpacks_to_exactly_its_manifest(
    tree: list[Named], one: Named, form: int, hard_link: bool
) -> None:
    """Any names, modes and links that are not refused arrive whole through GNU tar, whatever the umask."""
    extra = [special("hard link", tarfile.LNKTYPE, one[0].name)] if hard_link else []
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "app.tar.gz"
        path.write_bytes(gzip.compress(tar_bytes([one, *tree, *extra], form), 1))
        try:
            ready = prepare_here(path)
        except ArtifactRefused:
            return

        assert unpacked_as_on_a_host(ready, Path(place) / "release") == (ready.tree, "", 0)
        assert load_prepared(ready.sha256) == ready


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32), st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]))
def test_a_damaged_archive_is_prepared_or_refused_and_nothing_else(seed: int, form: int) -> None:
    """Bytes changed anywhere, checksums set right again so that tarfile believes the headers."""
    chance = random.Random(seed)
    plain = [file("bin/app", b"x" * 700, 0o755), folder("lib"), link("lib/now", "../bin/app"), file("é" * 80)]
    content = bytearray(tar_bytes([*plain, special("h", tarfile.LNKTYPE, "bin/app")], form))
    headers = [at for at in range(0, len(content), 512) if content[at + 257 : at + 262] == b"ustar"]
    fields = [
        (0, 100),
        (100, 8),
        (124, 12),
        (124, 12),
        (136, 12),
        (156, 1),
        (156, 1),
        (157, 100),
        (345, 155),
        (512, 60),
    ]
    for _ in range(chance.randint(1, 2)):
        block, (start, length) = chance.choice(headers), chance.choice(fields)
        for _ in range(chance.randint(1, 3)):
            content[block + start + chance.randrange(length)] = chance.choice(b"\0\xff\x80/.0123567SLKxga ")
        content[block + 148 : block + 156] = b" " * 8
        content[block + 148 : block + 156] = b"%06o\0 " % sum(content[block : block + 512])
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "app.tar"
        path.write_bytes(content)
        try:
            ready = prepare_here(path)
        except ArtifactRefused as refused:
            assert str(refused).isprintable() and refused.next_step
        else:
            assert unpacked_as_on_a_host(ready, Path(place) / "release") == (ready.tree, "", 0)


def test_file_dates_are_kept_and_impossible_ones_clamped(artifact: Path, tmp_path: Path) -> None:
    """A web server's ETag is often made of date and size: one date for all would spoil browser caches."""
    new, ancient = file("new"), file("ancient")
    new[0].mtime, ancient[0].mtime = 1_699_999_999, -5
    artifact.write_bytes(gzip.compress(tar_bytes([new, ancient])))

    unpacked_as_on_a_host(prepare_here(artifact), tmp_path / "release")

    assert [(tmp_path / "release" / name).stat().st_mtime for name in ("new", "ancient")] == [
        1_699_999_999,
        1,
    ]


def test_the_same_members_give_the_same_bytes_in_any_order(artifact: Path, cache: Path) -> None:
    first = prepare_here(artifact)
    content = first.packed.read_bytes()
    shutil.rmtree(cache)

    members = [link("./now", "bin/hello"), file("./bin/hello", Path("/bin/true").read_bytes(), 0o700)]
    artifact.write_bytes(gzip.compress(tar_bytes(members, tarfile.GNU_FORMAT), 1))
    second = prepare_here(artifact)

    # The folder `bin` and the link take their date from what the archive says of them.
    assert (first.sums, first.tree) == (second.sums, second.tree)
    assert second.packed.read_bytes() == content


def test_needs_of_programs_are_found(artifact: Path) -> None:
    ready = prepare_here(artifact)

    assert [elf.path for elf in ready.requirements.files] == ["bin/hello"]
    assert unmet_needs(ready.requirements, HostAbi("riscv64"))[0] == (
        f"hello is built for {os.uname().machine}, the host is riscv64",
    )


def test_shared_libraries_in_the_release_are_known_by_all_their_names(artifact: Path) -> None:
    members = [file("lib/libfoo.so.1.2"), link("lib/libfoo.so.1", "libfoo.so.1.2"), file("notes.some")]
    artifact.write_bytes(gzip.compress(tar_bytes(members)))

    assert prepare_here(artifact).requirements.shipped == ("libfoo.so.1", "libfoo.so.1.2")


def test_a_prepared_release_no_longer_needs_its_artifact(artifact: Path) -> None:
    ready = prepare_here(artifact)
    artifact.unlink()

    assert load_prepared(ready.sha256) == ready
    assert prepare(artifact, ready.sha256) == ready
    assert load_prepared("a" * 64) is None


@pytest.mark.parametrize("suffix", [".tar.gz", ".json"])
@pytest.mark.parametrize("damage", ["cut", "changed", "empty"])
def test_a_damaged_cache_is_rebuilt(artifact: Path, cache: Path, suffix: str, damage: str) -> None:
    ready = prepare_here(artifact)
    (kept,) = cache.glob(f"*{suffix}")
    content = kept.read_bytes()
    middle = len(content) // 2
    changed = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    kept.write_bytes({"cut": content[:-1], "changed": changed, "empty": b""}[damage])

    assert load_prepared(ready.sha256) is None
    assert prepare_here(artifact) == ready
    assert kept.read_bytes() == content


@pytest.mark.parametrize(("was", "becomes"), [('"start_erl": ""', '"start_erl": "1 2"'), ("libc.so.6", "libd.so.6")])
def test_an_edited_cache_note_is_rebuilt(artifact: Path, cache: Path, was: str, becomes: str) -> None:
    ready = prepare_here(artifact)
    (notes,) = cache.glob("*.json")
    notes.write_text(notes.read_text().replace(was, becomes))

    assert load_prepared(ready.sha256) is None
    assert prepare_here(artifact) == ready


def test_a_cache_note_is_used_only_for_its_own_artifact(artifact: Path, cache: Path) -> None:
    ready = prepare_here(artifact)
    for kept in cache.iterdir():
        shutil.copy(kept, kept.with_name(kept.name.replace(ready.sha256, "b" * 64)))

    assert load_prepared("b" * 64) is None


def test_a_cache_note_is_not_used_under_narrower_limits(artifact: Path) -> None:
    ready = prepare_here(artifact)

    assert load_prepared(ready.sha256, limits=Limits(members=2)) is None


def test_cache_entries_unused_for_a_month_are_removed(artifact: Path, cache: Path) -> None:
    ready = prepare_here(artifact)
    long_ago = time.time() - 40 * 24 * 3600
    for name in ("old-v1.tar.gz", ".tmp-left-by-a-kill"):
        (cache / name).write_bytes(b"")
        os.utime(cache / name, (long_ago, long_ago))
    os.utime(ready.packed, (long_ago, long_ago))
    load_prepared(ready.sha256)

    artifact.write_bytes(gzip.compress(tar_bytes([file("other")])))
    prepare_here(artifact)

    assert sorted(path.name for path in cache.iterdir() if not path.name.endswith(".json")) == sorted(
        [ready.packed.name, ready.packed.name.replace(ready.sha256, digest(artifact))]
    )


def test_a_cache_that_cannot_be_written_says_what_to_do(
    artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))

    with pytest.raises(ArtifactUnavailable) as caught:
        prepare_here(artifact)

    assert "cannot be used: Not a directory" in str(caught.value)
    assert "XDG_CACHE_HOME" in caught.value.next_step


def test_a_full_disk_is_not_reported_as_a_bad_artifact(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as place:
        full = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place]
        if os.geteuid() != 0 or subprocess.run(full, capture_output=True, check=False).returncode != 0:
            pytest.skip("mounting a small disk needs root")
        try:
            monkeypatch.setenv("XDG_CACHE_HOME", place)
            artifact.write_bytes(gzip.compress(tar_bytes([file("big", random.Random(1).randbytes(300_000))])))
            with pytest.raises(ArtifactUnavailable, match="No space left on device"):
                prepare_here(artifact)
            assert [path for path in Path(place).rglob("*") if path.is_file()] == []
        finally:
            subprocess.run(["umount", place], check=True)
