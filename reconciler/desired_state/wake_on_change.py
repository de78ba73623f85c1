"""Wake a watch of a folder when a file in it is saved or its repository gets a commit. This is only a hint: the
pass that follows reads everything again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

from reconciler.clock import sleep_seconds
from reconciler.desired_state.git.commit import find_repository

LOOK_MILLISECONDS = 1000  # how often we check that the watched folders are still the same


async def watch_changes(folder: Path, report_trouble: Callable[[str], None]) -> AsyncIterator[None]:
    """Yield once for each burst of changes, forever. A folder that was replaced or removed is watched again when it
    is back.

    Call `report_trouble` once with the reason when the folder cannot be watched.
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
        except (OSError, RuntimeError) as error:  # watchfiles raises RuntimeError when inotify runs out of watches
            why = f"{folder} cannot be watched: {error}"
            if why != reported:
                reported = why
                report_trouble(why)
        missed = True
        await sleep_seconds(1)


async def _bursts(places: list[Path], git: Path | None) -> AsyncIterator[bool]:
    """Yield True for a burst of relevant changes, and False about every LOOK_MILLISECONDS without one."""
    import watchfiles

    usual = watchfiles.DefaultFilter(ignore_dirs=())  # ignores the temporary files of editors

    def is_relevant(change: watchfiles.Change, path: str) -> bool:
        if git and Path(path).is_relative_to(git):
            return _is_reference(Path(path).relative_to(git))
        return usual(change, path)

    async for found in watchfiles.awatch(
        *places, watch_filter=is_relevant, debounce=200, step=50, rust_timeout=LOOK_MILLISECONDS, yield_on_timeout=True
    ):
        yield bool(found)


def _is_reference(path: Path) -> bool:
    """True for a file in git's folder that changes with a commit. The index does not count: git status writes it."""
    return path.suffix != ".lock" and (path.name in ("HEAD", "packed-refs") or "refs" in path.parts)


def _git_folder(folder: Path) -> Path | None:
    """The repository's git folder, or None. For a linked work tree or a submodule, `.git` is a file that names it."""
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
    """Device and inode of each folder. They change when another folder takes its name, which is not watched yet."""
    found = [place.stat() if place.exists() else None for place in places]
    return [(status.st_dev, status.st_ino) if status else None for status in found]
