"""What wakes a watch of a folder: a saved file, or a commit to the repository it lies in. A hint only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

from reconciler.clock import sleep_seconds
from reconciler.desired_state.git.commit import find_repository

LOOK_MILLISECONDS = 1000  # how often it is seen whether the watched folders are still the same


async def watch_changes(folder: Path, report_trouble: Callable[[str], None]) -> AsyncIterator[None]:
    """One item for each burst of changes, for ever. A folder that is replaced or away is watched again when it is back.

    `report_trouble` hears, once, why nothing can be seen just now.
    """
    missed, reported = False, ""
    while True:
        try:
            git = _git_folder(folder)
            places = _places(folder, git)
            watched = _identities(places)
            async for found in _bursts(places, git):
                if found or missed:
                    yield
                missed, reported = False, ""
                if _identities(_places(folder, _git_folder(folder))) != watched:
                    break
        except (OSError, RuntimeError) as error:  # watchfiles says the second, as when inotify has no watch left
            why = f"{folder} cannot be watched: {error}"
            if why != reported:
                reported = why
                report_trouble(why)
        missed = True
        await sleep_seconds(1)


async def _bursts(places: list[Path], git: Path | None) -> AsyncIterator[bool]:
    """True for a burst of changes that count, False every now and then without one."""
    import watchfiles

    usual = watchfiles.DefaultFilter(ignore_dirs=())  # leaves out what editors write beside a file

    def is_relevant(change: watchfiles.Change, path: str) -> bool:
        if git and Path(path).is_relative_to(git):
            return _is_reference(Path(path).relative_to(git))
        return usual(change, path)

    async for found in watchfiles.awatch(
        *places, watch_filter=is_relevant, debounce=200, step=50, rust_timeout=LOOK_MILLISECONDS, yield_on_timeout=True
    ):
        yield bool(found)


def _is_reference(path: Path) -> bool:
    """Where a commit shows in git's folder. Not the index: whoever only looks may write that."""
    return path.suffix != ".lock" and (path.name in ("HEAD", "packed-refs") or "refs" in path.parts)


def _git_folder(folder: Path) -> Path | None:
    """The folder of git itself; beside a linked work tree, a submodule or by choice it lies elsewhere."""
    repository = find_repository(folder)
    if repository is None:
        return None
    git = repository / ".git"
    if git.is_file():  # gitrepository-layout(5)
        git = repository / git.read_text(errors="surrogateescape").removeprefix("gitdir:").strip()
    return git.resolve()


def _places(folder: Path, git: Path | None) -> list[Path]:
    return [folder.resolve(), *([git] if git else [])]


def _identities(places: list[Path]) -> list[tuple[int, int] | None]:
    """Which folders they are now: another one of the same name, or behind the same link, is not watched yet."""
    found = [place.stat() if place.exists() else None for place in places]
    return [(each.st_dev, each.st_ino) if each else None for each in found]
