"""Turns notices into requests: one request per place for all notices of a pass. Pure.

The signature of a webhook is `sha256=` and the hex HMAC-SHA256 of the body under the shared key, as GitHub does it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from reconciler.notify.transitions import Notice

MOST_LINES: Final = 20  # further lines are only counted: Slack and ntfy refuse or fold longer messages
MOST_NAMES: Final = 5
_ORDER: Final = ("failed", "recovered", "converged")
_SIGNS: Final = {"failed": ":red_circle:", "recovered": ":large_green_circle:", "converged": ":white_check_mark:"}


@dataclass(frozen=True)
class Request:
    """One request to send. No repr contains the address, headers or body: the first two may contain credentials."""

    url: str = field(repr=False)
    body: bytes = field(repr=False)
    headers: dict[str, str] = field(repr=False)
    method: str = "POST"


@dataclass(frozen=True)
class Line:
    """Notices with the same text, merged into one line."""

    event: str
    apps: tuple[str, ...]
    hosts: tuple[str, ...]
    text: str
    next_step: str

    @property
    def who(self) -> str:
        if not any(self.apps):
            return "the desired state"
        return f"{_names(self.apps)} on {_names(self.hosts)}"


def lines(notices: Sequence[Notice]) -> list[Line]:
    """Merge notices with the same text: first the apps of one host, then the hosts of the same apps. Failures first."""
    on_host: dict[tuple[str, str, str, str], list[str]] = {}
    for notice in notices:
        next_step = notice.state.next_step if notice.event == "failed" else ""
        on_host.setdefault((notice.event, notice.text, next_step, notice.host), []).append(notice.app)
    alike: dict[tuple[str, str, str, tuple[str, ...]], list[str]] = {}
    for (event, text, next_step, host), apps in on_host.items():
        alike.setdefault((event, text, next_step, tuple(sorted(apps))), []).append(host)
    merged = [
        Line(event, apps, tuple(sorted(hosts)), text, next_step)
        for (event, text, next_step, apps), hosts in alike.items()
    ]
    return sorted(merged, key=lambda line: (_ORDER.index(line.event), line.apps, line.hosts))


def webhook(url: str, key: str, notices: Sequence[Notice], revision: str | None, now: float) -> Request:
    """Return a request with generic JSON, signed. The same delivery id always means the same message."""
    message = {
        "version": 1,
        "sent_at": int(now),
        "revision": revision,
        "notices": [_notice_json(notice) for notice in notices],
    }
    body = json.dumps(message, ensure_ascii=False, sort_keys=True).encode()
    headers = {
        "Content-Type": "application/json",
        "X-Reconcile-Signature": signature(key, body),
        "X-Reconcile-Delivery": hashlib.sha256(body).hexdigest()[:32],
    }
    return Request(url, body, headers)


def signature(key: str, body: bytes) -> str:
    """Return the value of X-Reconcile-Signature for this body."""
    return "sha256=" + hmac.new(key.encode(), body, hashlib.sha256).hexdigest()


def slack(url: str, notices: Sequence[Notice], revision: str | None) -> Request:
    """Return a request in the format of Slack, Mattermost, Rocket.Chat and Discord (its /slack address)."""
    entries = [f"{_SIGNS[line.event]} {_for_slack(_sentence(line))}" for line in _first_lines(notices)]
    text = "\n".join([*entries, *_rest_line(notices), *_commit(revision)])
    return Request(url, json.dumps({"text": text}, ensure_ascii=False).encode(), {"Content-Type": "application/json"})


def ntfy(url: str, token: str, notices: Sequence[Notice], revision: str | None) -> Request:
    """Return a request in the format of ntfy: plain text; the title counts events, a failure has high priority."""
    failed = any(notice.event == "failed" for notice in notices)
    text = "\n".join([*map(_sentence, _first_lines(notices)), *_rest_line(notices), *_commit(revision)])
    headers = {
        "Content-Type": "text/plain; charset=utf-8",
        "Title": _title(notices),
        "Priority": "high" if failed else "default",
        "Tags": "rotating_light" if failed else "white_check_mark",
    }
    if token:
        headers["Authorization"] = f"Bearer {token}"
    # ntfy turns longer messages into attachments.
    return Request(url, text.encode()[:4000].decode(errors="ignore").encode(), headers)


def _notice_json(notice: Notice) -> dict[str, object]:
    state = notice.state
    return {
        "event": notice.event,
        "app": notice.app or None,  # without app and host it is about the desired state as a whole
        "host": notice.host or None,
        "version": state.version or None,
        "serving": state.version or state.serving or None,
        "problem": state.problem or None,
        "text": notice.text,
        "next": state.next_step or None,
        "since": int(notice.since),
        "reminder": notice.reminder,
    }


def _title(notices: Sequence[Notice]) -> str:
    if len(notices) == 1:
        only = notices[0]
        return f"{only.app} on {only.host}: {only.event}" if only.app else f"desired state: {only.event}"
    counts = {event: sum(notice.event == event for notice in notices) for event in _ORDER}
    return "reconcile: " + ", ".join(f"{count} {event}" for event, count in counts.items() if count)


def _sentence(line: Line) -> str:
    word = "FAILED " if line.event == "failed" else ""
    return f"{word}{line.who}: {line.text}" + (f" (next: {line.next_step})" if line.next_step else "")


def _first_lines(notices: Sequence[Notice]) -> list[Line]:
    return lines(notices)[:MOST_LINES]


def _rest_line(notices: Sequence[Notice]) -> list[str]:
    more = len(lines(notices)) - MOST_LINES
    return [f"and {more} more; reconcile status shows all"] if more > 0 else []


def _commit(revision: str | None) -> list[str]:
    return [f"commit {revision[:12]}"] if revision else []


def _names(names: tuple[str, ...]) -> str:
    shown, more = ", ".join(names[:MOST_NAMES]), len(names) - MOST_NAMES
    return f"{shown} and {more} more" if more > 0 else shown


def _for_slack(text: str) -> str:
    # Slack's three special characters. Escaped, no text can mention a channel or make a link.
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
