"""A plan as Markdown, for a comment on a pull request or the summary of a job. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from reconciler.decide.plan import AppPlan
from reconciler.engine.markdown import Block, folded, page, paragraph, span, table
from reconciler.engine.plan_rows import Row, rows_of, summary
from reconciler.engine.report import plan_text
from reconciler.model.action import Blocked

COLUMNS = ("App", "What", "Why")


def plan_markdown(plans: Sequence[AppPlan], longest: int, diffs: Iterable[Block] = ()) -> str:
    """Return the plan of a pass: a summary, a table for each host, and the steps folded."""
    rows = rows_of(plans)
    blocks = [paragraph(f"### reconcile plan: {summary(rows)}"), *host_tables(rows), *diffs, *steps(plans)]
    return page(blocks, longest, "reconcile plan")


def host_tables(rows: Iterable[Row]) -> list[Block]:
    """A table for each host. The hosts with the most urgent rows come first."""
    by_host: dict[str, list[Row]] = {}
    for row in rows:
        by_host.setdefault(row.host, []).append(row)
    return [
        table(f"#### Host {span(host)}", COLUMNS, [(row.app, row.what, row.why) for row in of_host])
        for host, of_host in by_host.items()
    ]


def steps(plans: Sequence[AppPlan]) -> list[Block]:
    """Each step in its order, and what the apps that are blocked last printed."""
    acting = [plan for plan in plans if plan.actions or isinstance(plan.end, Blocked)]
    if not acting:
        return []
    count = sum(len(plan.actions) for plan in acting)
    return [folded(f"All {count} steps, in their order", plan_text(acting).rstrip("\n").split("\n"))]
