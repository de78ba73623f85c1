"""`reconcile plan`: print what a pass would do and why, on the hosts or between two commits. Changes nothing."""

from __future__ import annotations

from reconciler.errors import UsageError
from reconciler.model.options import Options

SHORTEST_PAGE = 1000


def run(options: Options) -> int:
    """Return 0 when there is nothing to do, 3 when there is something to do, 1 when an app is blocked, 2 if invalid."""
    if options.json and options.markdown:
        raise UsageError("--json and --markdown contradict each other", "leave one of them out")
    if options.longest < SHORTEST_PAGE:
        raise UsageError(f"--longest {options.longest} leaves no room", f"write at least {SHORTEST_PAGE} bytes")
    if options.from_ref is not None or options.to_ref is not None:
        from reconciler.commands import plan_offline

        return plan_offline.run(options)
    from reconciler.commands import plan_hosts

    return plan_hosts.run(options)
