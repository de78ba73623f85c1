"""Files are written whole or not at all, and the cache is where the XDG specification says."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.files import TEMPORARY, cache_path, draft, make_private, write_whole


@pytest.fixture(autouse=True)
def _usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_has_the_mode_that_umask_leaves(tmp_path: Path) -> None:
    write_whole(tmp_path / "new", b"1")

    assert (tmp_path / "new").read_bytes() == b"1"
    assert mode(tmp_path / "new") == 0o644


def test_a_replaced_file_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1")
    (tmp_path / "file").chmod(0o640)

    write_whole(tmp_path / "file", b"2")

    assert (tmp_path / "file").read_bytes() == b"2"
    assert mode(tmp_path / "file") == 0o640


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
def test_a_replaced_file_keeps_its_owner(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1")
    os.chown(tmp_path / "file", 65534, 65534)

    write_whole(tmp_path / "file", b"2")

    assert ((tmp_path / "file").stat().st_uid, (tmp_path / "file").stat().st_gid) == (65534, 65534)


@pytest.mark.parametrize("there", [False, True])
def test_a_mode_that_is_given_holds_whatever_umask_says_and_was_there(tmp_path: Path, there: bool) -> None:
    os.umask(0o077)
    if there:
        (tmp_path / "file").write_bytes(b"1")

    write_whole(tmp_path / "file", b"2", mode=0o644)

    assert mode(tmp_path / "file") == 0o644


def test_a_link_is_replaced_and_what_it_names_stays(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"1")
    (tmp_path / "link").symlink_to("target")

    write_whole(tmp_path / "link", b"2")

    assert (tmp_path / "target").read_bytes() == b"1"
    assert not (tmp_path / "link").is_symlink()


def test_a_write_that_fails_changes_nothing_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full by the time the bytes are to reach it."""
    (tmp_path / "file").write_bytes(b"1")
    monkeypatch.setattr(os, "fsync", _full_disk)

    with pytest.raises(OSError, match="No space"):
        write_whole(tmp_path / "file", b"2")

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"file": b"1"}


def test_the_name_appears_only_with_all_the_bytes_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """First the file is synced, then it is renamed, then the folder is synced."""
    seen: list[tuple[str, list[str]]] = []

    def note(number: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(number).st_mode) else os.pread(number, 9, 0).decode()
        seen.append((kind, [path.name for path in tmp_path.iterdir() if TEMPORARY not in path.name]))

    monkeypatch.setattr(os, "fsync", note)
    write_whole(tmp_path / "file", b"all of it")

    assert seen == [("all of it", []), ("folder", ["file"])]


def test_a_folder_that_cannot_be_synced_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new content is in place by then: to say that nothing was changed would be wrong."""

    def only_files(number: int) -> None:
        if stat.S_ISDIR(os.fstat(number).st_mode):
            raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "fsync", only_files)
    write_whole(tmp_path / "file", b"2")

    assert (tmp_path / "file").read_bytes() == b"2"


def test_a_draft_that_is_not_published_is_gone(tmp_path: Path) -> None:
    with draft(tmp_path / "file") as new:
        new.file.write(b"half")
        assert [path.name.startswith(f".file{TEMPORARY}") for path in tmp_path.iterdir()] == [True]

    assert list(tmp_path.iterdir()) == []


def test_what_replaces_a_private_file_is_private_from_the_first_byte(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1")
    (tmp_path / "file").chmod(0o600)
    modes: list[int] = []

    real_open = os.open

    def opened(path: os.PathLike[str], flags: int, created_with: int = 0o777) -> int:
        if flags & os.O_CREAT:
            modes.append(created_with)
        return real_open(path, flags, created_with)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", opened)
        write_whole(tmp_path / "file", b"2")

    assert modes == [0o600]


@pytest.mark.parametrize("stated", ["", "relative/folder"])
def test_a_cache_home_that_is_not_absolute_is_ignored(stated: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.setenv("XDG_CACHE_HOME", stated)

    assert cache_path("artifacts") == Path("/home/ann/.cache/reconcile/artifacts")


def test_the_cache_home_that_is_stated_holds_our_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache/ann")

    assert cache_path("notify") == Path("/var/cache/ann/reconcile/notify")


def test_nobody_else_can_look_into_a_folder_of_the_cache(tmp_path: Path) -> None:
    assert mode(make_private(tmp_path / "reconcile" / "artifacts")) == 0o700


def _full_disk(number: int) -> None:
    raise OSError(28, "No space left on device")
