"""The plan between two commits as text, JSON or Markdown. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from reconciler.decide.changes import Change
from reconciler.decide.plan import AppPlan
from reconciler.engine.diff_text import diff_blocks, diff_text, diffs_json
from reconciler.engine.markdown import Block, bullets, folded, page, paragraph, span, table
from reconciler.engine.plan_markdown import host_tables, steps
from reconciler.engine.plan_rows import Row, rows_of, summary
from reconciler.engine.report import plan_json, plan_text
from reconciler.engine.report import table as columns
from reconciler.errors import Problem
from reconciler.model.action import Blocked
from reconciler.targets.file_diffs import Diff
from reconciler.words import printable_text

NO_HOST_ASKED = (
    "No host was asked: a pass does this on servers that run the commit before. Which of two slots serves may differ."
)


@dataclass(frozen=True)
class CommitLine:
    """One commit of the change."""

    id: str
    subject: str


@dataclass(frozen=True)
class OfflinePlan:
    """What a change means, worked out without any host."""

    before: str  # id of the commit that the change is compared with
    after: str | None  # None: the files on disk
    from_ref: str
    to_ref: str
    plans: tuple[AppPlan, ...] = ()
    changes: tuple[Change, ...] = ()
    diffs: tuple[Diff, ...] = ()
    problems: tuple[Problem, ...] = ()  # of the state after the change: a pass stops at them
    problems_before: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    commits: tuple[CommitLine, ...] = ()
    commits_in_all: int = 0

    @property
    def exit_code(self) -> int:
        """As for a plan of hosts: 2 invalid, 1 something is blocked, 3 something to do, 0 nothing to do."""
        if self.problems:
            return 2
        if any(isinstance(plan.end, Blocked) for plan in self.plans):
            return 1
        return 3 if any(plan.actions for plan in self.plans) else 0

    @property
    def heading(self) -> str:
        rows = rows_of(self.plans)
        if self.problems:
            return "the desired state is not valid: a pass stops at it" + (f"; {summary(rows)}" if rows else "")
        return summary(rows)


def offline_text(plan: OfflinePlan, *, diff: bool) -> str:
    """Return what changed, the steps, and what a reviewer should know."""
    after = f"{plan.to_ref} ({plan.after[:7]})" if plan.after else plan.to_ref
    head = f"{plan.from_ref} ({plan.before[:7]}) → {after}: {plan.heading}\n"
    parts = [head, f"{NO_HOST_ASKED}\n", *(f"{note}\n" for note in plan.notes)]
    parts += [f"  {commit.id[:7]}  {commit.subject}\n" for commit in plan.commits]
    parts += [f"{problem}\n" for problem in (*plan.problems, *plan.problems_before)]
    if plan.changes:
        parts += ["\n", columns([[change.app or "fleet.yaml", change.text] for change in plan.changes])]
    if plan.plans:
        parts += ["\n", plan_text(list(plan.plans))]
    if diff:
        parts += ["\n", *(diff_text(*each) for each in plan.diffs)]
    return printable_text("".join(parts)).rstrip("\n") + "\n"


def offline_json(plan: OfflinePlan) -> dict[str, Any]:
    return {
        "from": plan.before,
        "to": plan.after,
        "summary": plan.heading,
        "changes": [
            {"app": each.app, "key": each.key, "how": each.how, "before": each.before, "after": each.after}
            for each in plan.changes
        ],
        "plan": plan_json(list(plan.plans)),
        "diffs": diffs_json(plan.diffs),
        "notes": list(plan.notes),
        "problems": [_problem_json(each) for each in plan.problems],
        "problems_before": [_problem_json(each) for each in plan.problems_before],
        "commits": [{"id": each.id, "subject": each.subject} for each in plan.commits],
        "commits_in_all": plan.commits_in_all,
    }


def _problem_json(problem: Problem) -> dict[str, Any]:
    return {
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "key": problem.key,
        "message": problem.message,
        "next_step": problem.next_step,
    }


def offline_markdown(plan: OfflinePlan, longest: int) -> str:
    """Return a page for a pull request: what must not be missed comes first, details are folded."""
    rows = rows_of(plan.plans)
    names = f"{span(plan.from_ref)} → {span(plan.to_ref)}"
    ids = f"{span(plan.before[:7])} → {span((plan.after or plan.to_ref)[:7])}" if plan.after else span(plan.before[:7])
    blocks = [
        paragraph(f"### reconcile plan: {plan.heading}"),
        paragraph(f"{names} ({ids}). {NO_HOST_ASKED}"),
        *_problem_tables(plan),
        *([bullets(span(note) for note in plan.notes)] if plan.notes else []),
        *host_tables(rows),
        *_change_tables(plan, rows),
        *diff_blocks(plan.diffs),
        *steps(plan.plans),
        *_commit_list(plan),
    ]
    return page(blocks, longest, f"reconcile plan --from {plan.from_ref} --to {plan.to_ref}")


def _problem_tables(plan: OfflinePlan) -> list[Block]:
    tables = []
    sides = (("A pass stops at these problems", plan.problems), ("Not valid before the change", plan.problems_before))
    for head, problems in sides:
        if problems:
            rows = [(_place(each), f"{each.key}: {each.message}".lstrip(": "), each.next_step) for each in problems]
            tables.append(table(f"#### {head}", ("Where", "What", "What to do"), rows))
    return tables


def _place(problem: Problem) -> str:
    return f"{problem.file}:{problem.line}:{problem.column}" if problem.line else problem.file


def _change_tables(plan: OfflinePlan, rows: list[Row]) -> list[Block]:
    by_app: dict[str, list[str]] = {}
    for change in plan.changes:
        by_app.setdefault(change.app or "fleet.yaml", []).append(change.text)
    if not by_app:
        return []
    heading = "#### What the change is" if rows else "#### What the change is (nothing has to be done for it now)"
    return [table(heading, ("App", "Keys"), [(app, "\n".join(texts)) for app, texts in by_app.items()])]


def _commit_list(plan: OfflinePlan) -> list[Block]:
    if not plan.commits:
        return []
    count = plan.commits_in_all
    more = [f"… and {count - len(plan.commits)} more"] if count > len(plan.commits) else []
    lines = [*(f"{commit.id[:7]}  {commit.subject}" for commit in plan.commits), *more]
    return [folded(f"{count} commit{'s' * (count > 1)}", lines)]
