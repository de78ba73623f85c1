"""render(index, query) → HTML. Pure, but for the templates, which are read once. jinja2 is imported on first use.

Every word passes through `shown`, which makes control and direction characters visible, and then jinja2's escaping.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from reconciler.decide.order import FleetStep
from reconciler.decide.plan import AppPlan, plan_fleet
from reconciler.model.action import Blocked, Converged
from reconciler.model.fleet import Key, SeenFleet, Wait
from reconciler.page import wording
from reconciler.page.details import host_of, instance_of, jobs_of
from reconciler.page.index import Index, Row, count_states
from reconciler.page.query import VIEWS, Query
from reconciler.page.snapshot import Entry, Snapshot
from reconciler.page.states import STATES
from reconciler.words import printable_line, printable_text

if TYPE_CHECKING:
    from jinja2 import Environment

PER_PAGE: Final = {"fleet": 100, "hosts": 50, "history": 50, "drift": 50, "plan": 100, "app": 50}
MOST_PLANNED: Final = 200  # apps on hosts
MOST_TROUBLES: Final = 30
MOST_MOVING: Final = 20
MOST_IN_FILE: Final = 400  # rows of each kind in a static file
ASSETS: Final = {
    "style.css": "text/css; charset=utf-8",
    "live.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
_HERE: Final = Path(__file__).parent


class Slice:
    """One page of a list, and where it is in the whole."""

    def __init__(self, items: Sequence[Any], page: int, size: int) -> None:
        self.total = len(items)
        self.pages = max(1, -(-self.total // size))
        self.page = min(page, self.pages)
        self.first = (self.page - 1) * size
        self.items = items[self.first : self.first + size]


def render(index: Index, query: Query) -> str | None:
    """Return the page; None if it names an app or a host that the snapshot does not have."""
    values = _values(index, query)
    return None if values is None else _render("live", index, query, values)


def render_file(index: Index) -> str:
    """Return everything as one file, without links to a server and without scripts."""
    query = Query()
    apps = [_app(index, Query("app", name)) for name in [*index.by_app][:MOST_IN_FILE]]
    hosts = [host_of(index, name) for name in [*index.by_host][:MOST_IN_FILE]]
    values = _fleet(index, query) | {
        "app_views": [app for app in apps if app],
        "host_views": hosts,
        "plan": Slice(plans_of(index), 1, MOST_IN_FILE),
        "entries": Slice(index.snapshot.history, 1, MOST_IN_FILE),
        "style": asset("style.css").decode(),
    }
    return _render("file", index, query, values)


@cache
def asset(name: str) -> bytes:
    """A file that the page loads from its own address."""
    return (_HERE / name).read_bytes()


@cache
def asset_mark(name: str) -> str:
    """A part of the asset's address that changes with its content, so that a browser may keep it."""
    return hashlib.sha256(asset(name)).hexdigest()[:12]


@cache
def style_hash() -> str:
    """The hash by which a Content-Security-Policy allows the inlined style of a static file."""
    return base64.b64encode(hashlib.sha256(asset("style.css")).digest()).decode()


def _render(template: str, index: Index, query: Query, values: dict[str, Any]) -> str:
    snapshot, static = index.snapshot, template == "file"
    now = snapshot.at_epoch_seconds
    return _environment().get_template(f"{template}.html.j2").render(
        index=index, snapshot=snapshot, query=query, static=static, views=VIEWS, states=STATES,
        link=_anchor if static else _link, ago=lambda then: wording.ago(then, now), **values,
    )  # fmt: skip


def _link(kind: str, name: str) -> str:
    return Query(kind, name).path


def _anchor(kind: str, name: str) -> str:
    return f"#{kind}-{name}"


@cache
def _environment() -> Environment:
    from jinja2 import DictLoader, Environment, StrictUndefined

    texts = {path.name: path.read_text(encoding="utf-8") for path in sorted((_HERE / "templates").glob("*.j2"))}
    environment = Environment(
        loader=DictLoader(texts), undefined=StrictUndefined, autoescape=True, finalize=_shown,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.globals |= {
        name: getattr(wording, name) for name in ("span", "duration", "moment", "iso", "count", "size")
    }
    environment.globals |= {"asset_mark": asset_mark, "style_hash": style_hash, "count_states": count_states}
    environment.filters["line"] = printable_line
    return environment


def _shown(value: object) -> object:
    """Make a text printable; leave numbers, and markup that a template made, as they are."""
    if type(value) is str and not value.isprintable():
        return printable_text(value).replace("\n", " ")
    return value


# Views.


def _values(index: Index, query: Query) -> dict[str, Any] | None:
    views: dict[str, Callable[[Index, Query], dict[str, Any] | None]] = {
        "fleet": _fleet, "app": _app, "host": _host, "hosts": _hosts, "history": _history, "drift": _drift,
        "plan": _plan,
    }  # fmt: skip
    return views[query.view](index, query)


def _fleet(index: Index, query: Query) -> dict[str, Any]:
    rows = [row for row in index.rows if row.app and _fits(row, query)]
    grouped: dict[str, list[Row]] = {}
    for row in rows:
        grouped.setdefault(row.host if query.group == "host" else row.family, []).append(row)
    groups = sorted(grouped.items(), key=lambda item: (min(row.state.rank // 3 for row in item[1]), item[0]))
    moving = [instance_of(index, row) for row in index.rows if row.state.key == "moving"][:MOST_MOVING]
    return {
        "groups": Slice(groups, query.page, PER_PAGE["fleet"]),
        "shown_rows": len(rows),
        "troubles": index.troubles[:MOST_TROUBLES],
        "more_troubles": max(0, len(index.troubles) - MOST_TROUBLES),
        "moving": moving,
        "recent": index.snapshot.history[:8],
    }


def _fits(row: Row, query: Query) -> bool:
    if query.state and row.state.key != query.state:
        return False
    if (query.app and row.family != query.app) or (query.host and row.host != query.host):
        return False
    words = query.search.lower().split()
    if not words:
        return True
    text = f"{row.app} {row.host} {row.state.word} {row.wants} {row.runs} {row.because}".lower()
    return all(word in text for word in words)


def _app(index: Index, query: Query) -> dict[str, Any] | None:
    rows = index.by_app.get(query.name)
    if rows is None:
        return None
    shown = [row for row in rows if _fits(row, query)]
    shown.sort(key=lambda row: (row.state.rank // 3, row.host, row.app))
    wanted = index.snapshot.desired.apps.get(query.name)
    return {
        "name": query.name,
        "wanted": wanted,
        "commit": index.snapshot.app_commits.get(query.name, index.snapshot.commit),
        "rows": rows,
        "instances": Slice([instance_of(index, row) for row in _part(shown, query)], 1, PER_PAGE["app"]),
        "pager": Slice(shown, query.page, PER_PAGE["app"]),
        "jobs": jobs_of(index, query.name),
        "entries": [entry for entry in index.snapshot.history if _family(entry) == query.name][:20],
    }


def _part(rows: list[Row], query: Query) -> Sequence[Row]:
    """The rows of this page only: what is not shown is not worked out."""
    return Slice(rows, query.page, PER_PAGE["app"]).items


def _host(index: Index, query: Query) -> dict[str, Any] | None:
    if query.name not in index.by_host:
        return None
    rows = [row for row in index.by_host[query.name] if row.app]
    return {
        "host": host_of(index, query.name),
        "instances": Slice([instance_of(index, row) for row in rows], 1, 200),
        "entries": [entry for entry in index.snapshot.history if entry.host == query.name][:20],
    }


def _hosts(index: Index, query: Query) -> dict[str, Any]:
    words = query.search.lower().split()
    names = [name for name in index.by_host if all(word in name.lower() for word in words)]
    names.sort(key=lambda name: (min((row.state.rank // 3 for row in index.by_host[name]), default=1), name))
    part = Slice(names, query.page, PER_PAGE["hosts"])
    return {"pager": part, "hosts": [host_of(index, name) for name in part.items]}


def _history(index: Index, query: Query) -> dict[str, Any]:
    return {"entries": Slice(_entries(index, query), query.page, PER_PAGE["history"])}


def _entries(index: Index, query: Query) -> list[Entry]:
    words = query.search.lower().split()
    found = []
    for entry in index.snapshot.history:
        if (query.app and _family(entry) != query.app) or (query.host and entry.host != query.host):
            continue
        text = f"{entry.app} {entry.host} {entry.who} {entry.before} {entry.after} {entry.why} {entry.commit}".lower()
        if all(word in text for word in words):
            found.append(entry)
    return found


def _family(entry: Entry) -> str:
    return entry.app.partition("--")[0]


def _drift(index: Index, query: Query) -> dict[str, Any]:
    put_back = [entry for entry in _entries(index, query) if entry.drift]
    left = [row for row in index.rows if _is_reported_drift(index, row.key)]
    return {"entries": Slice(put_back, query.page, PER_PAGE["drift"]), "left": left}


def _is_reported_drift(index: Index, key: Key) -> bool:
    return getattr(index.snapshot.steps[key], "kind", "") == "drift"


def _plan(index: Index, query: Query) -> dict[str, Any]:
    return {"plan": Slice(plans_of(index), query.page, PER_PAGE["plan"])}


def plans_of(index: Index) -> list[AppPlan]:
    """The plans of the apps that a pass would change or that are in the way; none while a host is not seen yet."""
    found = _all_plans(index.snapshot)
    return [plan for plan in found if plan.app and (plan.actions or plan.waits or not isinstance(plan.end, Converged))]


def _all_plans(snapshot: Snapshot) -> Iterable[AppPlan]:
    if snapshot.plans is not None:
        return snapshot.plans.values()
    if any(host not in snapshot.seen.hosts for host in snapshot.desired.hosts):
        return ()
    if len(snapshot.steps) > MOST_PLANNED:
        return [_next_only(key, step) for key, step in snapshot.steps.items()]
    seen = SeenFleet(snapshot.seen.hosts, failed=snapshot.seen.failed, behind=snapshot.seen.behind)
    return plan_fleet(snapshot.desired, seen).values()


def _next_only(key: Key, step: FleetStep) -> AppPlan:
    """Only the step that is next: unfolding all of them takes seconds in a large fleet, and the engine has one core."""
    app, host = key
    if isinstance(step, Converged | Blocked):
        return AppPlan(host, app, (), step)
    end = Converged(host, app, "", "")
    return AppPlan(host, app, (), end, (step.reason,)) if isinstance(step, Wait) else AppPlan(host, app, (step,), end)
