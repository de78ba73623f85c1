"""What changed in the desired state of an app between the entries of its history, for `history APP --diff`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from reconciler.decide.changes import Change, changes
from reconciler.desired_state.git.between import WHOLE_HISTORY, Commit, commits_between
from reconciler.desired_state.two_states import Place, paths_of_app, place_of, read_pair
from reconciler.engine.diff_text import diff_text, diffs_json
from reconciler.engine.report import table
from reconciler.errors import GitError
from reconciler.model.desired import Desired
from reconciler.model.references import references_in
from reconciler.secrets.fingerprints import fingerprints
from reconciler.targets.file_diffs import Diff, by_host, diff, texts_of
from reconciler.targets.without_hosts import work_out_offline
from reconciler.words import printable_text

MOST_STEPS = 10  # the newest ones
MOST_COMMITS = 10
Entry = Mapping[str, Any]


@dataclass(frozen=True)
class Step:
    """What changed from one commit that was applied to the next."""

    old: str
    new: str
    missing: str | None = None  # why nothing can be said
    back: bool = False  # the second commit is older
    commits: tuple[Commit, ...] = ()
    commits_in_all: int = 0
    changes: tuple[Change, ...] = ()
    diffs: tuple[Diff, ...] = ()


async def steps_between(desired: Desired, app: str, entries: Iterable[Entry]) -> list[Step]:
    """Return a step for each two commits that followed each other on a host, oldest first."""
    place = place_of(desired)
    pairs = _pairs(entries)[-MOST_STEPS:]
    if place is None:
        return [Step(old, new, "the desired state is not read from a git repository") for old, new in pairs]
    return [await _step(place, app, old, new) for old, new in pairs]


def _pairs(entries: Iterable[Entry]) -> list[tuple[str, str]]:
    """Each (former, next) commit on any host, without repetitions. An entry of plain files has no commit."""
    applied: dict[str, list[str]] = {}
    for entry in entries:
        if entry.get("commit"):
            applied.setdefault(entry["host"], []).append(entry["commit"])
    found = [pair for commits in applied.values() for pair in pairwise(commits) if pair[0] != pair[1]]
    return list(dict.fromkeys(found))


async def _step(place: Place, app: str, old: str, new: str) -> Step:
    paths = paths_of_app(place, app)
    between = await commits_between(place.root, old, new, MOST_COMMITS, paths)
    if between is None:
        return Step(old, new, f"commit {old[:7]} or {new[:7]} is not in this clone: {WHOLE_HISTORY}")
    back = None if between.total else await commits_between(place.root, new, old, MOST_COMMITS, paths)
    try:
        states = await asyncio.to_thread(read_pair, place, old, new)
    except GitError as error:
        return Step(old, new, str(error))
    commits = back or between
    before, after = (replace(state, apps=tuple(each for each in state.apps if each.app == app)) for state in states)
    sealed = [_sealed(state) for state in (before, after)]
    found = tuple(each for each in changes(before, after, *sealed) if each.app == app)
    shown = commits.newest, commits.total, found, tuple(_diffs(before, after, *sealed))
    return Step(old, new, None, bool(back and back.total), *shown)


def _sealed(state: Desired) -> dict[str, str]:
    return fingerprints(state.secret_files, (each.name for app in state.apps for each in references_in(app, app.app)))


def _diffs(before: Desired, after: Desired, sealed_before: dict[str, str], sealed_after: dict[str, str]) -> list[Diff]:
    old, new = work_out_offline(before, sealed_before), work_out_offline(after, sealed_after)
    keys = [key for key in new.files if key in old.files]
    return by_host(
        (app, host, diff(texts_of(old.files[app, host], old.sealed), texts_of(new.files[app, host], new.sealed)))
        for app, host in keys
    )


def steps_text(steps: Iterable[Step]) -> str:
    return "".join(f"\n{_step_text(step)}" for step in steps)


def _step_text(step: Step) -> str:
    head = f"commit {step.old[:7]} → {step.new[:7]}"
    if step.missing:
        return printable_text(f"{head}: {step.missing}") + "\n"
    many = f"{step.commits_in_all} commit{'s' * (step.commits_in_all != 1)}"
    lines = [f"{head}: {'back over ' if step.back else ''}{many} of this app"]
    lines += [f"  {commit.id[:7]}  {commit.subject}" for commit in step.commits]
    more = step.commits_in_all - len(step.commits)
    lines += [f"  … and {more} more"] * (more > 0)
    rows = table([["  " + change.text] for change in step.changes]) or "  the keys of the app are the same\n"
    return printable_text("\n".join(lines)) + "\n" + rows + "".join(diff_text(*each) for each in step.diffs)


def step_json(step: Step) -> dict[str, Any]:
    return {
        "from": step.old,
        "to": step.new,
        "missing": step.missing,
        "back": step.back,
        "commits": [{"id": each.id, "subject": each.subject} for each in step.commits],
        "commits_in_all": step.commits_in_all,
        "changes": [
            {"key": each.key, "how": each.how, "before": each.before, "after": each.after} for each in step.changes
        ],
        "files": diffs_json(step.diffs),
    }
