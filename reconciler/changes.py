"""What wakes a watch of a folder: a saved file, or a commit to the repository it lies in. A hint only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

from reconciler.clock import sleep_seconds

LOOK_MILLISECONDS = 1000  # how often it is seen whether the watched folders are still the same


async def changes(folder: Path, tell: Callable[[str], None]) -> AsyncIterator[None]:
    """One item for each burst of changes, for ever. A folder that is replaced or away is watched again when it is back.

    `tell` hears, once, why nothing can be seen just now.
    """
    missed, told = False, ""
    while True:
        try:
            watched = _places(folder)
            before = _identities(watched)
            async for found in _bursts(watched):
                if found or missed:
                    yield
                missed, told = False, ""
                if _identities(watched) != before:
                    break
        except (OSError, RuntimeError) as error:  # watchfiles says the second, as when inotify has no watch left
            why = f"{folder} cannot be watched: {error}"
            if why != told:
                told = why
                tell(why)
        missed = True
        await sleep_seconds(1)


async def _bursts(watched: list[Path]) -> AsyncIterator[bool]:
    """True for a burst of changes that count, False every now and then without one."""
    import watchfiles

    usual = watchfiles.DefaultFilter(ignore_dirs=())  # leaves out what editors write beside a file

    def counts(change: watchfiles.Change, path: str) -> bool:
        _, git, inside = path.rpartition("/.git/")
        return _is_reference(inside) if git else usual(change, path)

    async for found in watchfiles.awatch(
        *watched, watch_filter=counts, debounce=200, step=50, rust_timeout=LOOK_MILLISECONDS, yield_on_timeout=True
    ):
        yield bool(found)


def _is_reference(path: str) -> bool:
    """Where a commit shows, below .git. Not the index: whoever only looks, as we do, may write that."""
    parts = path.split("/")
    return not path.endswith(".lock") and (parts[-1] in ("HEAD", "packed-refs") or "refs" in parts)


def _places(folder: Path) -> list[Path]:
    folder = folder.resolve()
    for each in (folder, *folder.parents):
        git = each / ".git"
        if git.is_dir():
            return [folder, git]
        if git.is_file():  # a linked work tree or a submodule; gitrepository-layout(5)
            return [folder, (each / git.read_text(encoding="utf-8").removeprefix("gitdir:").strip()).resolve()]
    return [folder]


def _identities(places: list[Path]) -> list[tuple[int, int] | None]:
    """Which folders they are now: another one of the same name is not watched."""
    found = [place.stat() if place.exists() else None for place in places]
    return [(each.st_dev, each.st_ino) if each else None for each in found]
