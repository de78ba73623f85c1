"""GitHub: a commit status per app and commit and, if enabled, a deployment per rollout. The pure part.

The context of a status is `reconcile/<app>`, over all hosts of the app: failure if one has failed, pending until
every host has been seen at this commit, success when all run the desired version. The context `reconcile` is about the
commit as a whole: failure if its desired state cannot be used.
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
    rolled_out: bool = False  # this commit moved the app on a host, or a pass tried to

    @property
    def state(self) -> State:
        """The state to remember. The same problem on another host is not news."""
        return State("", self.mark, self.problems)


def is_commit(revision: str | None) -> bool:
    """True if GitHub can know this revision: a complete commit id, not files on disk."""
    return revision is not None and re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", revision) is not None


def statuses(latest: Mapping[Key, State], revision: str, known: Collection[Key]) -> list[AppStatus]:
    """Return one status per app. `latest` are the states seen at this commit; `known` are all its apps and hosts."""
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
    """Return the status of a commit as a whole: whether its desired state can be used."""
    if state.problem:
        return AppStatus("", revision, "failure", _short(state.text), state.problem)
    return AppStatus("", revision, "success", "the desired state can be used")


def due_statuses(reported: Mapping[Key, LastReport], current: list[AppStatus], now: float) -> list[AppStatus]:
    """Return the statuses to send: each commit gets a status once, and again when it has changed.

    Pending never follows success or failure of the same commit: a restarted controller has seen nothing yet.
    """
    return [
        status
        for status in current
        if (last := reported.get((status.app, status.revision))) is None
        or (last.state != status.state and (status.mark != "pending") and may_notify(last, now))
    ]


def status_request(channel: Channel, status: AppStatus) -> Request:
    context = f"reconcile/{status.app}" if status.app else "reconcile"
    content = {"state": status.mark, "context": context, "description": status.description}
    return _post_request(channel, f"statuses/{status.revision}", content)


def deployments_request(channel: Channel, status: AppStatus) -> Request:
    """Return the request for an existing deployment of this app and commit, by this or another controller."""
    query = f"sha={status.revision}&environment={quote(status.app, safe='')}&task=deploy&per_page=1"
    return Request(f"{_base(channel)}/deployments?{query}", b"", _headers(channel), "GET")


def new_deployment_request(channel: Channel, status: AppStatus) -> Request:
    content = {
        "ref": status.revision,
        "task": "deploy",
        "environment": status.app,
        "description": "reconcile",
        "auto_merge": False,
        "required_contexts": [],  # our own status is still pending, and must not block it
    }
    return _post_request(channel, "deployments", content)


def deployment_status_request(channel: Channel, status: AppStatus, number: int) -> Request:
    state = "in_progress" if status.mark == "pending" else status.mark
    content = {"state": state, "description": status.description, "environment": status.app}
    return _post_request(channel, f"deployments/{number}/statuses", content)


def deployment_number(answer: object) -> int | None:
    """Return the number of the deployment in GitHub's answer, an object or a list of objects; None if there is none."""
    first = answer[0] if isinstance(answer, list) and answer else answer
    number = first.get("id") if isinstance(first, dict) else None
    return number if isinstance(number, int) and not isinstance(number, bool) else None


def _post_request(channel: Channel, path: str, content: Mapping[str, object]) -> Request:
    body = json.dumps(content, ensure_ascii=False, sort_keys=True).encode()
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
