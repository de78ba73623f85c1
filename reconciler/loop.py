"""A pass: observe, ask for the next action, apply it, until nothing is left to do. Then wait for a reason to look."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

from reconciler.decide import next_action
from reconciler.errors import ReconcileError
from reconciler.host.transport import Transport
from reconciler.model.action import AnyAction, Blocked, Converged
from reconciler.model.observed import ObservedHost, Unreachable
from reconciler.observe import observe
from reconciler.progress import Progress
from reconciler.resolve import Target

Look = ObservedHost | Unreachable
MOST_ACTIONS = 60  # far above any rollout: a pass that gets there goes round in circles, and says so


@dataclass(frozen=True)
class Outcome:
    """How a pass ended for one app on one host, and what it did."""

    end: Converged | Blocked
    actions: tuple[AnyAction, ...] = ()


async def run_pass(hosts: dict[str, Transport], targets: list[Target], progress: Progress) -> list[Outcome]:
    """One pass over everything. Hosts and apps go side by side: a dead host or a failing app delays no other."""
    looks = _looks(hosts, targets)
    first: dict[str, asyncio.Future[Outcome]] = {}
    jobs = []
    for target in targets:
        app, host = target.wanted.app, target.wanted.host
        job = asyncio.ensure_future(_converge(hosts[host], target, looks[host], progress, first.get(app)))
        first.setdefault(app, job)
        jobs.append(job)
    return list(await asyncio.gather(*jobs))


async def look_at_all(
    hosts: dict[str, Transport], targets: list[Target]
) -> dict[str, ObservedHost | Unreachable]:
    """One look at each host, all at once."""
    looks = _looks(hosts, targets)
    return dict(zip(looks, await asyncio.gather(*looks.values()), strict=True))


def _looks(hosts: dict[str, Transport], targets: list[Target]) -> dict[str, asyncio.Future[Look]]:
    on_host = {name: [target for target in targets if target.wanted.host == name] for name in sorted(hosts)}
    return {name: asyncio.ensure_future(observe(hosts[name], on_host[name])) for name in on_host}


async def _converge(
    host: Transport,
    target: Target,
    look: asyncio.Future[Look],
    progress: Progress,
    first: asyncio.Future[Outcome] | None,
) -> Outcome:
    """One app on one host, after its first host has proven the version (and run its migration)."""
    wanted = target.wanted
    seen = await asyncio.shield(look)  # several apps wait for the same look
    if first is not None:
        proven = (await asyncio.shield(first)).end
        if isinstance(proven, Blocked):
            return Outcome(
                Blocked(wanted.host, wanted.app, f"waits for host {proven.host}, where it is not converged")
            )
        target = replace(target, wanted=replace(wanted, migrates=False))
    done: list[AnyAction] = []
    log_tail: tuple[str, ...] = ()
    tell = progress.teller(wanted.host, wanted.app)
    try:
        while len(done) < MOST_ACTIONS:
            step = next_action(target.wanted, seen)
            if isinstance(step, Blocked):
                return Outcome(replace(step, log_tail=step.log_tail or log_tail), tuple(done))
            if isinstance(step, Converged):
                return Outcome(step, tuple(done))
            assert isinstance(seen, ObservedHost)
            from reconciler.apply import Applier  # with all it needs: a pass that finds nothing to do does without

            with progress.action(step):
                seen = await Applier(host, target, tell).apply(step, seen)
            done.append(step)
            # A rejected release's slot is cleared; what its log said is still worth telling at the end.
            log_tail = next((slot.log_tail for slot in seen.app(wanted.app).slots if slot.log_tail), log_tail)
    except ReconcileError as error:
        return Outcome(_failed(target, seen, error), tuple(done))
    again = f"the same actions come up again and again, the last one: {done[-1].verb} {done[-1].subject}"
    return Outcome(
        Blocked(wanted.host, wanted.app, again, "please report this with the output of --verbose"),
        tuple(done),
    )


def _failed(target: Target, seen: ObservedHost | Unreachable, error: ReconcileError) -> Blocked:
    wanted = target.wanted
    app = seen.app(wanted.app) if isinstance(seen, ObservedHost) else None
    names = [slot.running.version for slot in app.slots if slot.running_now and slot.running] if app else []
    return Blocked(
        wanted.host, wanted.app, target.masked(str(error)), error.next_step, names[0] if names else ""
    )


async def changes(*places: Path, every_seconds: float) -> AsyncIterator[None]:
    """Wakes at once, when a file below these places changes, and after `every_seconds` at the latest.

    An event only wakes: what changed is read afresh.
    """
    import watchfiles

    yield
    timeout_milliseconds = int(every_seconds * 1000)
    async for _ in watchfiles.awatch(*places, rust_timeout=timeout_milliseconds, yield_on_timeout=True, debounce=300):
        yield
