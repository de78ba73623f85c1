"""Plans, outcomes and status as text or JSON. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from reconciler.decide.plan import AppPlan, PlanNote
from reconciler.decide.serving import serving
from reconciler.model.action import Blocked, Converged
from reconciler.model.observed import EDGE, ObservedHost, Unreachable
from reconciler.model.target import Target
from reconciler.words import printable_line, printable_text

MOST_PLANS: Final = 20  # that are told one by one
MOST_ALIKE: Final = 3


def table(rows: list[list[str]]) -> str:
    """Rows as columns, two spaces apart, without trailing blanks. Control characters are made printable."""
    rows = [[printable_text(cell) for cell in row] for row in rows]
    if not rows:
        return ""
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(max(map(len, rows)))]
    return "".join(
        "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=False)).rstrip() + "\n" for row in rows
    )


def plan_text(plans: list[AppPlan]) -> str:
    """Return a line per action, the notes on them, and a paragraph for each app that would end blocked or noted.

    Where it is about many hosts, those with the same plan are told once: a batch is a line for each of its actions.
    """
    plans = _joined(plans)
    rows = [row for p in plans for row in _plan_rows(p)]
    noted = "".join(dict.fromkeys(_note_text(p.app, note) for p in plans for note in p.notes))
    ends = "".join(blocked_text(p.end) for p in plans if isinstance(p.end, Blocked))
    return ((table(rows) + noted + ends) or "nothing to do\n") + notes_text([p.end for p in plans])


def _joined(plans: list[AppPlan]) -> list[AppPlan]:
    """The plans, with one in place of many that differ in their host alone. It names the first and the last."""
    alike: dict[object, list[AppPlan]] = {}
    for plan in plans:
        actions = tuple((action.verb, action.subject, action.reason) for action in plan.actions)
        alike.setdefault((plan.app, actions, replace(plan.end, host=""), plan.waits, plan.notes), []).append(plan)
    if len(plans) <= MOST_PLANS:
        return plans
    found = []
    for same in alike.values():
        hosts = f"{same[0].host} … {same[-1].host} ({len(same)})"
        found += same if len(same) <= MOST_ALIKE else [_on(same[0], hosts)]
    return found


def _on(plan: AppPlan, hosts: str) -> AppPlan:
    actions = tuple(replace(action, host=hosts) for action in plan.actions)
    return replace(plan, host=hosts, actions=actions, end=replace(plan.end, host=hosts))


def _note_text(app: str, note: PlanNote) -> str:
    return printable_text(f"{app}: {note.text}" + (f"\n  next: {note.next_step}" if note.next_step else "")) + "\n"


def _plan_rows(plan: AppPlan) -> list[list[str]]:
    later = [[plan.host, "later", plan.app, why] for why in plan.waits if plan.actions]
    return later + [[a.host, a.verb, " ".join([a.app, a.subject]).strip(), a.reason] for a in plan.actions]


def plan_json(plans: list[AppPlan]) -> list[dict[str, Any]]:
    return [
        {
            "host": p.host,
            "app": p.app,
            **({"waits": list(p.waits)} if p.waits else {}),
            **({"notes": [{"note": n.text, "next": n.next_step or ""} for n in p.notes]} if p.notes else {}),
            "actions": [{"verb": a.verb, "subject": a.subject, "reason": a.reason} for a in p.actions],
            **end_json(p.end),
        }
        for p in plans
    ]


def blocked_text(end: Blocked) -> str:
    """Return the reason, the version that still serves, the tail of the log, and the next step."""
    reason = end.reason.removeprefix(f"host {end.host}: ").removeprefix(f"{end.app}: ")
    first, *more = reason.split("\n")
    lines = [f"host {end.host}: {end.app}: {first}", *(f"  {line}" for line in more)]
    if end.serving:
        lines.append(f"  version {end.serving} still runs")
    lines += [f"  | {printable_line(line)}" for line in end.log_tail]  # marked, so that none looks like one of ours
    if end.next_step:
        lines.append(f"  next: {' '.join(end.next_step.split())}")
    return printable_text("\n".join(lines)) + "\n"


def end_json(end: Converged | Blocked) -> dict[str, Any]:
    if isinstance(end, Converged):
        noted = {"note": end.note, "next": end.next_step or ""} if end.note else {}
        return {"outcome": "converged", "version": end.version, "slot": end.slot, **noted}
    return {
        "outcome": "blocked",
        "kind": end.kind,
        "reason": end.reason,
        "next": end.next_step or "",
        "serving": end.serving or "",
        "log": list(end.log_tail),
    }


def outcome_text(ends: list[Converged | Blocked]) -> str:
    """Return one line for each converged app, then a paragraph for each blocked one."""
    rows = [[e.host, e.app, e.version, f"slot {e.slot}", "converged"] for e in ends if isinstance(e, Converged)]
    return table(rows) + "".join(blocked_text(e) for e in ends if isinstance(e, Blocked))


def notes_text(ends: list[Converged | Blocked]) -> str:
    """Return the notes on apps that are converged."""
    noted = [e for e in ends if isinstance(e, Converged) and e.note]
    return "".join(f"host {e.host}: {e.app}: {e.note}\n  next: {e.next_step}\n" for e in noted)


def status_row(target: Target, seen: ObservedHost | Unreachable, plan: AppPlan) -> dict[str, Any]:
    """One row of `status`: git wants X, the host runs Y since T, because Z."""
    row: dict[str, Any] = {
        "host": target.host,
        "app": target.app,
        "wants": target.version,
        "runs": None,
        "since": None,
    }
    if isinstance(seen, Unreachable):
        return {
            **row,
            "slot": None,
            "ready": False,
            "because": f"unreachable: {seen.reason}",
            "quarantined": [],
            "crash_dumps": [],
        }
    app = seen.app(target.app)
    slot = serving(target, app)
    if slot and slot.running:
        row |= {"runs": slot.running.version, "since": slot.since or None}
    quarantined = [
        {
            "version": q.identity.version,
            "release": q.identity.release,  # no digest of the env: it could reveal a short secret
            "reason": q.reason,
            "at": q.at_epoch_seconds,
        }
        for q in app.quarantined
    ]
    ready = isinstance(plan.end, Converged) and not plan.actions
    return {
        **row,
        "slot": slot.name if slot else EDGE if target.places else None,
        "ready": ready,
        "because": _reason_text(plan),
        "quarantined": quarantined,
        "crash_dumps": [{"at": dump.at_epoch_seconds, "path": dump.path} for dump in app.crash_dumps],
    }


def _reason_text(plan: AppPlan) -> str:
    if plan.waits:
        return plan.waits[0]
    if plan.actions:
        return f"{plan.actions[0].verb}: {plan.actions[0].reason}"
    if isinstance(plan.end, Blocked):
        return plan.end.reason
    return f"as wanted; {plan.end.note}" if plan.end.note else "as wanted"
