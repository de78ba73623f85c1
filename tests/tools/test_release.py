"""tools/release.py: release ids, names that may lie in a release, and the manifest a host checks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.tools.release import (
    Entry,
    manifest_sums,
    manifest_tree,
    name_problem,
    read_manifest,
    release_id,
)

DIGEST = "9f2c" * 16
ENTRIES = (
    Entry("lib", "d", 0o755),
    Entry("bin", "d", 0o755),
    Entry("bin/-x y", "f", 0o755, sha256="a" * 64),
    Entry("lib/é", "f", 0o644, sha256="b" * 64),
    Entry("lib-1", "f", 0o644, sha256="c" * 64),
    Entry("bin/now", "l", 0o777, target="../lib/é"),
)

names = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=30)


def test_a_release_is_named_after_its_version_and_digest() -> None:
    assert release_id("1.10", DIGEST) == "1.10-9f2c9f2c9f2c"


@pytest.mark.parametrize("digest", ["", "9f2c", "G" * 64, "A" * 64, "a" * 65])
def test_a_release_id_needs_a_valid_digest(digest: str) -> None:
    with pytest.raises(ValueError, match="digest"):
        release_id("1.0", digest)


def test_the_manifest_is_what_sha256sum_and_find_print() -> None:
    assert manifest_sums(ENTRIES) == (f"{'a' * 64}  ./bin/-x y\n{'c' * 64}  ./lib-1\n{'b' * 64}  ./lib/é\n")
    assert manifest_tree(ENTRIES) == (
        "d 755 ./bin\t\n"
        "d 755 ./lib\t\n"
        "f 644 ./lib-1\t\n"
        "f 644 ./lib/é\t\n"
        "f 755 ./bin/-x y\t\n"
        "l 777 ./bin/now\t../lib/é\n"
    )


def test_a_manifest_reads_back_as_its_entries() -> None:
    assert read_manifest(manifest_sums(ENTRIES), manifest_tree(ENTRIES)) == tuple(sorted(ENTRIES))


@given(st.dictionaries(names, st.sampled_from("fdl"), max_size=8))
def test_any_names_that_are_allowed_survive_the_manifest(tree: dict[str, str]) -> None:
    entries = tuple(
        Entry(path, "f", 0o644, sha256="a" * 64)
        if kind == "f"
        else Entry(path, "d", 0o755)
        if kind == "d"
        else Entry(path, "l", 0o777, target="x y")
        for path, kind in sorted(tree.items())
        if not name_problem(path)
    )

    assert read_manifest(manifest_sums(entries), manifest_tree(entries)) == entries


@pytest.mark.parametrize("cut", [1, 20, 70, 100])
def test_a_truncated_manifest_is_refused(cut: int) -> None:
    sums, tree = manifest_sums(ENTRIES), manifest_tree(ENTRIES)

    assert read_manifest(sums[:-cut], tree) is None
    assert read_manifest(sums, tree[:-cut]) is None


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("a\nb", "its name holds a line break"),
        ("a\u2028b", "its name holds a line break"),
        ("a\tb", "its name holds a control character"),
        ("a\x1b[2J", "its name holds a control character"),
        ("a\x00", "its name holds a control character"),
        ("a\\b", "its name holds a backslash"),
        ("a\udcff", "its name is not UTF-8"),
        ("a/" + "b" * 256, "a name in its path is longer than 255 bytes"),
        ("é" * 128, "a name in its path is longer than 255 bytes"),
        ("a/" * 600, "its path is longer than 1024 bytes"),
        ("é" * 127 + "/" + "a" * 255, ""),
        ("-rf $HOME `id` 'x' \"y\" *?", ""),
        ("Screenshot 3.15.22\u202fPM.png", ""),
    ],
)
def test_a_name_that_a_manifest_cannot_hold_is_refused_with_its_reason(name: str, problem: str) -> None:
    assert name_problem(name) == problem


def test_a_manifest_with_an_invalid_name_cannot_be_written() -> None:
    for entry in (Entry("a\nb", "f", 0o644, sha256="a" * 64), Entry("a", "l", 0o777, target="b\tc")):
        with pytest.raises(ValueError, match="name holds"):
            manifest_tree([entry])
