"""GitHub: a commit status an app and commit, and if asked for a deployment a rollout. The pure part.

The context of a status is `reconcile/<app>`, over all hosts of the app: failure when one has failed, pending until
every host has been seen at this commit, success when all run what is wanted. `reconcile` alone is for a commit that
cannot be used as a whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import quote

from reconciler.notify.channel import Channel
from reconciler.notify.formats import Request
from reconciler.notify.problems import QUIET
from reconciler.notify.states import State
from reconciler.notify.transitions import Key, LastReport, may_notify

LONGEST_DESCRIPTION: Final = 140

Mark = Literal["success", "failure", "pending"]


@dataclass(frozen=True)
class AppStatus:
    """An app at one commit, over all its hosts."""

    app: str
    revision: str
    mark: Mark
    description: str
    problems: str = ""
    rolled_out: bool = False  # some host was moved for this commit, or it was tried

    @property
    def state(self) -> State:
        """What it is remembered as. Another host with the same trouble is nothing new."""
        return State("", self.mark, self.problems)


def is_commit(revision: str | None) -> bool:
    """Whether GitHub can know it: the whole id of a commit, not files as they lie on disk."""
    return revision is not None and re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", revision) is not None


def statuses(latest: Mapping[Key, State], revision: str, known: Collection[Key]) -> list[AppStatus]:
    """One an app. `latest` are the states seen at this commit; `known` all that it wants."""
    apps: dict[str, dict[str, State | None]] = {}
    for app, host in sorted({*known, *latest}):
        apps.setdefault(app, {})[host] = latest.get((app, host))
    return [_status(app, revision, hosts) for app, hosts in apps.items()]


def _status(app: str, revision: str, hosts: dict[str, State | None]) -> AppStatus:
    seen = {host: state for host, state in hosts.items() if state is not None}
    rolled_out = any(state.rolled_out for state in seen.values())
    failed = {host: state for host, state in seen.items() if state.problem and state.problem not in QUIET}
    if failed:
        problems = ", ".join(sorted({state.problem for state in failed.values()}))
        serving = sorted({state.serving for state in failed.values()} - {""})
        text = f"{problems} on {', '.join(failed)}"
        text += f"; {', '.join(serving)} still runs" if serving else ""
        return AppStatus(app, revision, "failure", _short(text), problems, rolled_out)
    quiet = sorted({state.problem for state in seen.values() if state.problem})
    if quiet or len(seen) < len(hosts):
        return AppStatus(app, revision, "pending", _short(", ".join(quiet) or "in progress"), rolled_out=rolled_out)
    text = ", ".join(sorted({state.name for state in seen.values()}))
    return AppStatus(app, revision, "success", _short(f"{text} on {', '.join(seen)}"), rolled_out=rolled_out)


def desired_state_status(state: State, revision: str) -> AppStatus:
    """Whether the commit could be used at all."""
    if state.problem:
        return AppStatus("", revision, "failure", _short(state.text), state.problem)
    return AppStatus("", revision, "success", "the desired state can be used")


def due_statuses(reported: Mapping[Key, LastReport], now_so: list[AppStatus], now: float) -> list[AppStatus]:
    """Those to be told: a status goes to each commit once, and again when it has changed.

    Pending never follows success or failure of the same commit: a controller that starts anew knows nothing yet.
    """
    return [
        each
        for each in now_so
        if (last := reported.get((each.app, each.revision))) is None
        or (last.state != each.state and (each.mark != "pending") and may_notify(last, now))
    ]


def status_request(channel: Channel, status: AppStatus) -> Request:
    context = f"reconcile/{status.app}" if status.app else "reconcile"
    said = {"state": status.mark, "context": context, "description": status.description}
    return _post_request(channel, f"statuses/{status.revision}", said)


def deployments_request(channel: Channel, status: AppStatus) -> Request:
    """Asks for the deployment of this app and commit, made before or by somebody else of us."""
    query = f"sha={status.revision}&environment={quote(status.app, safe='')}&task=deploy&per_page=1"
    return Request(f"{_base(channel)}/deployments?{query}", b"", _headers(channel), "GET")


def new_deployment_request(channel: Channel, status: AppStatus) -> Request:
    said = {
        "ref": status.revision,
        "task": "deploy",
        "environment": status.app,
        "description": "reconcile",
        "auto_merge": False,
        "required_contexts": [],  # our own status is still pending, and must not stand in the way
    }
    return _post_request(channel, "deployments", said)


def deployment_status_request(channel: Channel, status: AppStatus, number: int) -> Request:
    state = "in_progress" if status.mark == "pending" else status.mark
    said = {"state": state, "description": status.description, "environment": status.app}
    return _post_request(channel, f"deployments/{number}/statuses", said)


def deployment_number(answer: object) -> int | None:
    """The number of the deployment in GitHub's answer: an object, or a list of such."""
    first = answer[0] if isinstance(answer, list) and answer else answer
    number = first.get("id") if isinstance(first, dict) else None
    return number if isinstance(number, int) and not isinstance(number, bool) else None


def _post_request(channel: Channel, path: str, said: Mapping[str, object]) -> Request:
    body = json.dumps(said, ensure_ascii=False, sort_keys=True).encode()
    return Request(f"{_base(channel)}/{path}", body, {**_headers(channel), "Content-Type": "application/json"})


def _base(channel: Channel) -> str:
    return f"{channel.settings.api.rstrip('/')}/repos/{channel.settings.repository}"


def _headers(channel: Channel) -> dict[str, str]:
    return {
        "Authorization": f"Bearer {channel.token}",
        "Accept": "application/vnd.github+json",
        "X-GitHub-Api-Version": "2022-11-28",
    }


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_DESCRIPTION else text[: LONGEST_DESCRIPTION - 1] + "…"
