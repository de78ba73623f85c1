"""The commits that wait: those that touch an app and that a host does not run yet."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from reconciler.desired_state.git.between import Commit, Commits, commits_between
from reconciler.desired_state.two_states import paths_of_app, place_of
from reconciler.engine.preview import Preview
from reconciler.errors import GitError
from reconciler.model.fleet import Key
from reconciler.model.observed import ObservedHost
from reconciler.model.process_name import family_of
from reconciler.targets.open_fleet import OpenFleet
from reconciler.words import printable_text

MOST_COMMITS = 10  # of one app on one host
MOST_QUESTIONS = 20  # for git
MOST_NAMES = 3

Waiting = dict[Key, Commits]


async def waiting_commits(opened: OpenFleet, shown: Preview, unready: Iterable[Key]) -> Waiting:
    """Ask git which commits these apps wait for, from the commit of their last change to the one that is wanted."""
    desired = opened.desired
    place, wanted = place_of(desired), desired.revision
    if place is None or wanted is None:
        return {}
    questions: dict[tuple[str, str], list[Key]] = {}
    for app, host in unready:
        seen = shown.hosts.get(host)
        applied = seen.app(app).commit if isinstance(seen, ObservedHost) else None
        if applied and applied != wanted:
            questions.setdefault((family_of(app), applied), []).append((app, host))
    asked = list(questions)[:MOST_QUESTIONS]
    try:
        answers = await asyncio.gather(
            *(commits_between(place.root, old, wanted, MOST_COMMITS, paths_of_app(place, app)) for app, old in asked)
        )
    except GitError:  # status has told it already, or works without
        return {}
    found = zip(asked, answers, strict=True)
    return {key: commits for question, commits in found if commits for key in questions[question] if commits.total}


def waiting_json(commits: Commits | None) -> dict[str, Any]:
    """The keys that a row of `status --json` gets; none if no commit waits."""
    if commits is None:
        return {}
    return {
        "commits_in_all": commits.total,
        "commits": [{"id": each.id, "subject": each.subject} for each in commits.newest],
    }


def waiting_text(waiting: Waiting) -> str:
    """A line for each commit, newest first, and who waits for it."""
    keys: dict[Commit, list[Key]] = {}
    for key, commits in waiting.items():
        for commit in commits.newest:
            keys.setdefault(commit, []).append(key)
    if not keys:
        return ""
    more = max(commits.total - len(commits.newest) for commits in waiting.values())
    lines = [f"  {commit.id[:7]}  {commit.subject}  ({_names(of)})" for commit, of in keys.items()]
    return printable_text("\n".join(["commits that wait:", *lines, *[f"  … and {more} more"] * (more > 0)])) + "\n"


def _names(keys: list[Key]) -> str:
    apps: dict[str, list[str]] = {}
    for app, host in keys:
        apps.setdefault(app, []).append(host)
    where = {
        app: ", ".join(hosts) if len(hosts) <= MOST_NAMES else f"{len(hosts)} hosts" for app, hosts in apps.items()
    }
    texts = [f"{app} on {hosts}" for app, hosts in where.items()]
    return "; ".join([*texts[:MOST_NAMES], *[f"{len(texts) - MOST_NAMES} more"] * (len(texts) > MOST_NAMES)])
