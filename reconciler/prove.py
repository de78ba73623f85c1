"""Watching over time: an instance until it is healthy for long enough, Traefik until it has applied a route.

What is found is evidence: it is put into the observation and lives until the next look.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from reconciler.clock import now_seconds, sleep_seconds
from reconciler.host.http import HttpConnection, NoAnswer
from reconciler.host.transport import Transport
from reconciler.model.action import ConfirmRoute, WaitHealthy
from reconciler.model.observed import ObservedApp, ObservedHost, Slot
from reconciler.observe import ask_traefik, read_health
from reconciler.resolve import Target
from reconciler.tools.look import Reply
from reconciler.tools.traefik import read_applied

LONGEST_CHUNK_SECONDS = 5.0
CONFIRM_WITHIN_SECONDS = 10.0
CRASHES = 2  # exits of a candidate that are enough to give it up


class Wait(Protocol):
    """Runs the await script: (seconds, with the journal) → its reply."""

    async def __call__(self, seconds: float, log: bool) -> Reply: ...


@dataclass
class _Watch:
    """One wait: since when healthy, and what the last answer was."""

    target: Target
    before: Slot
    deadline: float
    wait: Wait
    tell: Callable[[str], None]
    healthy_since: float | None = None
    answer: str = ""

    @property
    def minimum(self) -> float:
        return self.target.wanted.minimum_healthy_seconds

    @property
    def left(self) -> float:
        return self.deadline - now_seconds()

    def told(self, what: str) -> None:
        self.tell(f"{what}, {max(0, self.left):.0f} s left")


async def wait_healthy(
    host: Transport,
    target: Target,
    action: WaitHealthy,
    before: Slot,
    wait: Wait,
    tell: Callable[[str], None],
) -> ObservedApp:
    """The app as seen afterwards, with `healthy_for_seconds` or `failure` and the log's tail on the slot."""
    watch = _Watch(target, before, now_seconds() + target.wanted.healthy_within_seconds, wait, tell)
    steady = before.invocation
    while True:
        watch.told(f"last answer: {watch.answer}" if watch.answer else "starting")
        chunk = LONGEST_CHUNK_SECONDS if target.wanted.health_path else watch.minimum
        reply = await wait(min(max(watch.left, 0.0), chunk), False)
        app = reply.apps[action.app]
        slot = app.slot(action.slot)
        if failure := _hopeless(slot, before):
            reply = reply if reply.log else await wait(0.0, True)
            return app.with_slot(replace(slot, failure=failure, healthy=False, log_tail=_tail(target, reply)))
        if target.wanted.health_path is None:
            proven = watch.minimum if slot.state == "active" and slot.invocation == steady else None
            steady = slot.invocation
        else:
            ours = slot.listening and not slot.stranger  # an answer of somebody else proves nothing
            proven = await _probe(host, target, slot, watch) if ours else await _pause()
        if proven is not None:
            return app.with_slot(replace(slot, healthy=True, health=watch.answer, healthy_for_seconds=proven))
        if watch.left <= 0:
            reply = await wait(0.0, True)
            slot = reply.apps[action.app].slot(action.slot)
            failed = replace(
                slot, failure=_too_late(watch, slot), healthy=False, log_tail=_tail(target, reply)
            )
            return reply.apps[action.app].with_slot(failed)


async def _pause() -> float | None:
    await sleep_seconds(0.2)
    return None


async def _probe(host: Transport, target: Target, slot: Slot, watch: _Watch) -> float | None:
    """Seconds it was healthy when that is enough; None when it must be looked at again."""
    http = HttpConnection(host, int(slot.name))
    interval = min(max(watch.minimum / 2, 0.1), 5.0)
    watch.healthy_since = None
    try:
        while True:
            try:
                healthy, watch.answer = read_health((await http.get(target.wanted.health_path or "/"))[0])
            except NoAnswer as error:
                watch.answer, watch.healthy_since = str(error), None
                return None
            now = now_seconds()
            watch.healthy_since = (watch.healthy_since or now) if healthy else None
            if watch.healthy_since is not None and now - watch.healthy_since >= watch.minimum:
                return now - watch.healthy_since
            if watch.left <= 0:
                return None
            watch.told(f"answers {watch.answer}")
            due = watch.minimum - (now - watch.healthy_since) if watch.healthy_since is not None else 0.5
            await sleep_seconds(min(interval, due, max(watch.left, 0.05)) if due > 0 else 0.05)
    finally:
        http.close()


def restarts_before(slot: Slot) -> int:
    """Which restarts do not count: those of an instance that served already. A candidate's all do."""
    return slot.restarts if slot.enabled else 0


def _hopeless(slot: Slot, before: Slot) -> str:
    crashes = slot.restarts - restarts_before(before)
    if slot.state == "failed":
        return f"its unit failed ({slot.last_exit})"
    if crashes >= CRASHES:
        return f"it exited {crashes} times"
    return "it was stopped by somebody else" if slot.state == "inactive" else ""


def _too_late(watch: _Watch, slot: Slot) -> str:
    within = f"within {watch.target.wanted.healthy_within_seconds:g} s"
    if not watch.answer:
        return (
            f"it did not open port {slot.name} {within}"
            if slot.running_now
            else f"it was not running {within}"
        )
    return f"{watch.target.wanted.health_path} was not healthy {within}; the last answer was {watch.answer}"


def _tail(target: Target, reply: Reply) -> tuple[str, ...]:
    return tuple(target.masked(line) for line in reply.log[-15:])


async def confirm_route(
    host: Transport, target: Target, action: ConfirmRoute, seen: ObservedHost
) -> ObservedHost:
    """What Traefik holds once it has applied the route, or `unconfirmed` when it has not in good time."""
    app = seen.app(action.app)
    http = HttpConnection(host, target.api_port)
    started, pause = now_seconds(), 0.005
    held: dict[str, object] | str = ""
    try:
        while now_seconds() - started < CONFIRM_WITHIN_SECONDS:
            held = await ask_traefik(host, target.api_port, http)
            applied = read_applied(action.app, held) if isinstance(held, dict) else None
            if applied and applied.digest == action.digest and not applied.problem:
                return replace(seen, traefik="").with_app(
                    action.app, replace(app, applied=applied, unconfirmed="")
                )
            await sleep_seconds(pause)
            pause = min(pause * 1.5, 0.5)
    finally:
        http.close()
    applied = read_applied(action.app, held) if isinstance(held, dict) else app.applied
    traefik = held if isinstance(held, str) else ""
    waited = f"not within {CONFIRM_WITHIN_SECONDS:g} s"
    return replace(seen, traefik=traefik).with_app(
        action.app, replace(app, applied=applied, unconfirmed=waited)
    )
