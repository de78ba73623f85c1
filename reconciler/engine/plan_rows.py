"""A plan in one line for each app on each host: what would be done, and why. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from reconciler.decide.plan import AppPlan
from reconciler.model.action import (
    Blocked,
    Cutover,
    GoBack,
    RejectRelease,
    RemoveApp,
    RemoveRoute,
    ScheduleJobs,
    StartInstance,
    StopInstance,
)

Sort = Literal["blocked", "remove", "roll out", "change"]
SORTS: tuple[Sort, ...] = ("blocked", "remove", "roll out", "change")  # what a reviewer must not miss comes first


@dataclass(frozen=True)
class Row:
    """What a pass does with one app on one host."""

    sort: Sort
    host: str
    app: str
    what: str
    why: str


def rows_of(plans: Iterable[AppPlan]) -> list[Row]:
    """Return a row for each app with which something would be done, or that is blocked: the most urgent first."""
    rows = [row for plan in plans if (row := _row_of(plan))]
    return sorted(rows, key=lambda row: (SORTS.index(row.sort), row.host, row.app))


def summary(rows: Iterable[Row]) -> str:
    """Count the rows in one sentence."""
    rows = list(rows)
    counts = Counter(row.sort for row in rows)
    words = {"blocked": "blocked", "remove": "to remove", "roll out": "to roll out", "change": "to change"}
    parts = [f"{counts[sort]} {words[sort]}" for sort in SORTS if counts[sort]]
    hosts = len({row.host for row in rows})
    return f"{', '.join(parts)}, on {hosts} host{'s' * (hosts > 1)}" if parts else "nothing to do"


def _row_of(plan: AppPlan) -> Row | None:
    if not plan.actions and not isinstance(plan.end, Blocked):
        return None
    sort, what, why = _what(plan) if plan.actions else ("change", "", "")
    if not isinstance(plan.end, Blocked):
        return Row(sort, plan.host, plan.app, what, why)
    reason = "\n".join([*plan.end.reason.split("\n"), *([f"next: {plan.end.next_step}"] if plan.end.next_step else [])])
    both = f"{why}\n{reason}" if why else reason
    return Row("blocked", plan.host, plan.app, f"{what}, then blocked" if what else "blocked", both)


def _what(plan: AppPlan) -> tuple[Sort, str, str]:
    """The sort of this plan, what it does in a few words, and why."""
    for action in plan.actions:
        if isinstance(action, RemoveApp):
            return "remove", "remove", action.reason
        if isinstance(action, RejectRelease | GoBack):
            return "roll out", f"go back from {action.subject}", action.reason
        if isinstance(action, StartInstance):
            put_back = "start again" if action.drift else "roll out"
            return "roll out" if not action.drift else "change", f"{put_back} {action.identity.version}", action.reason
    return _what_else(plan)


def _what_else(plan: AppPlan) -> tuple[Sort, str, str]:
    """Nothing is started: the first action that changes what people see names the rest."""
    telling = (Cutover, RemoveRoute, ScheduleJobs, StopInstance)
    action = next((each for each in plan.actions if isinstance(each, telling)), plan.actions[0])
    names = {"cutover": "write the route", "unroute": "remove the route", "schedule": f"schedule {action.subject}"}
    what = names.get(action.verb, f"{action.verb} {action.subject}".strip())
    return "change", f"{what} (drift)" if action.drift else what, action.reason
