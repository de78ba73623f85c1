"""Grafana: one annotation per rollout of an app, a region from its start to its end. Pure.

It is Grafana's HTTP API for annotations, of the organisation of the token: any dashboard that asks for the tag
`reconcile` shows them.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from reconciler.notify.channel import Channel
from reconciler.notify.formats import Request
from reconciler.notify.problems import QUIET
from reconciler.notify.states import State
from reconciler.notify.transitions import Key

if TYPE_CHECKING:
    from reconciler.model.outcome import Outcome

MOST_HOSTS: Final = 10  # named in text and tags; the others are counted


@dataclass(frozen=True)
class Rollout:
    """One rollout of an app, over all hosts that a pass moved, or tried to move."""

    app: str
    begin: float  # epoch seconds
    end: float
    versions: tuple[str, ...]  # that it came to
    before: tuple[str, ...]
    hosts: tuple[str, ...]
    problems: tuple[str, ...]  # on hosts where it failed
    revision: str | None


def rollouts(
    outcomes: Iterable[Outcome], states: Mapping[Key, State], now: float, revision: str | None
) -> list[Rollout]:
    """Return the rollouts that ended in this pass, one per app. `now`: epoch seconds, when the outcomes were taken."""
    by_app: dict[str, list[tuple[Outcome, State]]] = {}
    for outcome in outcomes:
        state = states[outcome.end.app, outcome.end.host]
        if state.rolled_out and state.problem not in QUIET:
            by_app.setdefault(outcome.end.app, []).append((outcome, state))
    return [_rollout(app, ended, now, revision) for app, ended in sorted(by_app.items())]


def _rollout(app: str, ended: list[tuple[Outcome, State]], now: float, revision: str | None) -> Rollout:
    ends = [now - outcome.rested_seconds for outcome, _ in ended]
    begins = [end - outcome.seconds for end, (outcome, _) in zip(ends, ended, strict=True)]
    return Rollout(
        app,
        min(begins),
        max(ends),
        _each({state.version for _, state in ended}),
        _each({outcome.before or "" for outcome, _ in ended}),
        _each({outcome.end.host for outcome, _ in ended}),
        _each({state.problem for _, state in ended}),
        revision,
    )


def annotation_request(channel: Channel, rollout: Rollout) -> Request:
    """Return the request that writes the region. It contains no text of an app, only names and kinds of problems."""
    content = {
        "time": int(rollout.begin * 1000),
        "timeEnd": int(rollout.end * 1000),
        "tags": _tags(rollout),
        "text": html.escape(_text(rollout), quote=False),  # Grafana shows it as HTML
    }
    headers = {"Authorization": f"Bearer {channel.token}", "Content-Type": "application/json"}
    body = json.dumps(content, ensure_ascii=False, sort_keys=True).encode()
    return Request(f"{channel.url.rstrip('/')}/api/annotations", body, headers)


def _tags(rollout: Rollout) -> list[str]:
    outcome = "failed" if rollout.problems else "converged"
    versions = [f"version:{version}" for version in rollout.versions]
    hosts = [f"host:{host}" for host in rollout.hosts[:MOST_HOSTS]]
    return ["reconcile", f"app:{rollout.app}", *versions, *hosts, outcome]


def _text(rollout: Rollout) -> str:
    change = " → ".join(filter(None, [", ".join(rollout.before), ", ".join(rollout.versions)]))
    more = len(rollout.hosts) - MOST_HOSTS
    hosts = ", ".join(rollout.hosts[:MOST_HOSTS]) + (f" and {more} more" if more > 0 else "")
    failed = f"; failed: {', '.join(rollout.problems)}" if rollout.problems else ""
    commit = f" (commit {rollout.revision[:12]})" if rollout.revision else ""
    return f"{rollout.app} {change} on {hosts}{failed}{commit}"


def _each(values: set[str]) -> tuple[str, ...]:
    return tuple(sorted(values - {""}))
