"""Waits over time for an instance: to stay healthy for long enough, after its start or after the cutover; to drain.

The result is evidence. It becomes part of the observation and is valid until the next look. Each wait renews the
lease, since waiting is part of a rollout.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from reconciler.apply.runner import Runner
from reconciler.clock import now_seconds, sleep_seconds
from reconciler.host.http import NOT_HTTP, HttpConnection, NoAnswer
from reconciler.host.transport import Transport
from reconciler.model.action import Drain, Soak, WaitHealthy
from reconciler.model.observed import ObservedApp, Slot
from reconciler.model.transfer import ReportProgress
from reconciler.observe.ask import all_of, ask_all_traefiks
from reconciler.observe.health_answer import NOT_ASKED, HealthAnswer, read_health
from reconciler.targets.target_files import TargetFiles
from reconciler.tools.health_hints import NOT_HTTP_HINT, explain_answer
from reconciler.tools.look import Reply
from reconciler.tools.sandbox_hints import explain_log
from reconciler.tools.traefik_api import missing_routes
from reconciler.words import printable_line

LOOK_EVERY_SECONDS = 5.0  # also the interval at which the lease is renewed, and the longest a crash goes unnoticed
CRASHES = 2  # a candidate is given up after so many exits
MISSES = 3  # a soak ends after so many unhealthy answers in a row

Evidence = tuple[Reply, ObservedApp]


@dataclass
class _Watch:
    """One instance that is being watched: since when it has been healthy, and its last answer.

    It is asked from its own host, or from every edge that will send visitors to it.
    """

    asked_from: tuple[Transport, ...]
    files: TargetFiles
    runner: Runner
    slot: Slot
    deadline: float
    report_progress: ReportProgress
    healthy_since: float | None = None
    answer: HealthAnswer = NOT_ASKED
    missed_by: str = ""  # the edge that got this answer
    misses: int = 0
    reconnected: bool = False  # the last answers came over several connections: another instance may have given some
    invocation: str = ""
    steady: bool = False  # it was not restarted between the last two looks
    open: bool = False  # its port was open at the previous look; a worker's port counts as open

    @property
    def left(self) -> float:
        return self.deadline - now_seconds()

    @property
    def healthy_for(self) -> float:
        return now_seconds() - self.healthy_since if self.healthy_since is not None else 0.0

    def report_wait(self) -> None:
        self.report_progress(
            f"{f'answers {self.answer.text}' if self.answer.text else 'starting'}, {max(0.0, self.left):.0f} s left"
        )

    async def look(self, seconds: float, mode: str, *, log: bool = False) -> Reply:
        """Look after at most `seconds`: earlier once the port is open (mode `port`) or the unit has failed."""
        self.report_wait()
        app, milliseconds = self.files.target.app, str(int(max(0.0, seconds) * 1000))
        restarts = str(restarts_before(self.slot))
        words = (app, self.slot.name, milliseconds, restarts, mode, "yes" if log else "no")
        reply = await self.runner.run("await", words, b"", 60 + seconds)
        slot = reply.apps[app].slot(self.slot.name)
        self.steady = slot.invocation == self.invocation
        if not self.steady:
            self.healthy_since = None  # it was restarted, so its earlier answers no longer count
        self.invocation = slot.invocation
        return reply

    async def probe(self, until: float) -> None:
        """Ask the health path until it has been healthy for long enough, does not answer, or the next look is due."""
        target, port = self.files.target, int(self.slot.name)
        connections = [HttpConnection(each, port, target.health_headers, target.address) for each in self.asked_from]
        minimum = target.minimum_healthy_seconds
        try:
            while True:
                answers = await all_of(*(self._ask(each) for each in connections))
                unhealthy = [number for number, answer in enumerate(answers) if not answer.healthy]
                self.missed_by = self.asked_from[unhealthy[0]].name if unhealthy and target.edges else ""
                self.answer = answers[unhealthy[0] if unhealthy else 0]
                healthy = self.answer.healthy
                now = now_seconds()
                self.misses = 0 if healthy else self.misses + 1
                self.healthy_since = (self.healthy_since or now) if healthy else None
                self.report_wait()
                if now >= until or not self.answer.status or (healthy and self.healthy_for >= minimum):
                    return
                # Each request is a round trip to a distant host. A restart in between shows in the invocation ID.
                pause = min(max(minimum, 0.1), 2.0) if healthy else 0.5
                due = minimum - self.healthy_for if healthy else pause
                await sleep_seconds(min(pause, max(due, 0.01), max(until - now, 0.05)))
        finally:
            self.reconnected = any(each.opened > 1 for each in connections)
            for each in connections:
                each.close()

    async def _ask(self, http: HttpConnection) -> HealthAnswer:
        try:
            return read_health(await http.ask(self.files.target.health_path or "/"), self.files.mask)
        except NoAnswer as error:
            return HealthAnswer(healthy=False, text=str(error))

    async def keep_asking(self, slot: Slot, until: float) -> None:
        """Ask every second until the next look is due. Without a health path, only wait for that look."""
        if self.files.target.health_path is None:
            self.misses = 0 if slot.listening else self.misses + 1
            await sleep_seconds(max(until - now_seconds(), 0.0))
        while now_seconds() < until and self.misses < MISSES:
            await self.probe(now_seconds())
            await sleep_seconds(min(1.0, max(until - now_seconds(), 0.0)))

    def give_up(self, reply: Reply, failure: str) -> Evidence:
        """Return the app with `failure` and the tail of its journal on the slot."""
        app = reply.apps[self.files.target.app]
        if denied := explain_log(reply.log):
            failure += f"; {denied}"
        tail = tuple(printable_line(self.files.mask(line)) for line in reply.log[-15:])
        return reply, app.with_slot(replace(app.slot(self.slot.name), failure=failure, healthy=False, log_tail=tail))

    async def give_up_with_journal(self, failure: str = "") -> Evidence:
        """Look once more, for the journal, and give up. Without a `failure` the reason is that time has run out."""
        reply = await self.look(0.0, "port", log=True)
        slot = reply.apps[self.files.target.app].slot(self.slot.name)
        return self.give_up(reply, failure or _why_too_late(self, slot, reply.other_ports))


async def wait_healthy(
    asked_from: tuple[Transport, ...],
    files: TargetFiles,
    action: WaitHealthy,
    app: ObservedApp,
    runner: Runner,
    report_progress: ReportProgress,
) -> Evidence:
    """Wait until the instance is healthy, or there is no hope left.

    Returns the last reply and the app with its slot's `healthy_for_seconds`, or its `failure` and `log_tail`.
    """
    target, before = files.target, app.slot(action.slot)
    deadline = now_seconds() + target.healthy_within_seconds
    watch = _Watch(asked_from, files, runner, before, deadline, report_progress, invocation=before.invocation)
    watch.open = not target.port_asked
    lack = ""
    while True:
        for_port = bool(target.health_path) or not watch.open
        seconds = min(watch.left, LOOK_EVERY_SECONDS) if for_port else target.minimum_healthy_seconds
        reply = await watch.look(seconds, "port" if for_port else "steady")
        after = reply.apps[action.app]
        if reply.status:
            return reply, after
        watch.deadline += reply.queued_seconds  # time spent queued behind other sessions is not the instance's fault
        slot = after.slot(action.slot)
        if failure := _why_hopeless(reply, slot, before):
            return watch.give_up(reply, failure) if reply.log else await watch.give_up_with_journal(failure)
        healthy_seconds = await _measure_health(watch, slot)
        if healthy_seconds is not None and watch.reconnected:
            reply = await watch.look(0.0, "port")
            after = reply.apps[action.app]
            if reply.status:
                return reply, after
            if not watch.steady:
                continue
        if healthy_seconds is not None:
            lack = await _find_missing_routes(asked_from[0], action, after) if target.proxy else ""
            if not lack:
                healthy = replace(slot, healthy=True, health=watch.answer.text, healthy_for_seconds=healthy_seconds)
                return reply, after.with_slot(healthy)
            await sleep_seconds(0.1)
        if watch.left <= 0:  # a missing route is the reason only while the instance itself is healthy
            return await watch.give_up_with_journal(lack if watch.healthy_since is not None else "")


async def _measure_health(watch: _Watch, slot: Slot) -> float | None:
    """Return for how many seconds the instance has been healthy, or None if that is not long enough yet."""
    target = watch.files.target
    if target.health_path is None:
        was_open, watch.open = watch.open, slot.listening or not target.port_asked
        healthy = was_open and watch.open and watch.steady and slot.state == "active"
        return target.minimum_healthy_seconds if healthy else None
    if not slot.listening or slot.stranger:  # an answer from another process would prove nothing
        await sleep_seconds(0.2)
        return None
    await watch.probe(min(watch.deadline, now_seconds() + LOOK_EVERY_SECONDS))
    enough = watch.healthy_since is not None and watch.healthy_for >= target.minimum_healthy_seconds
    return watch.healthy_for if enough else None


async def _find_missing_routes(host: Transport, action: WaitHealthy, app: ObservedApp) -> str:
    """Say which route a new Traefik lacks that our files or the Traefik beside it have; "" if it lacks none."""
    others = [slot.name for slot in app.slots if slot.running_now and slot.listening and slot.name != action.slot]
    held = await ask_all_traefiks(host, tuple(map(int, (action.slot, *others))))
    answers = [rawdata for rawdata in held.values() if isinstance(rawdata, dict)]
    own = held[int(action.slot)]
    if isinstance(own, str):
        return f"it does not answer: {own}"
    before = next((rawdata for rawdata in answers if rawdata is not own), {})
    lack = missing_routes(app.markers, before, own)
    return f"it does not serve every route: {lack}; one broken file in its folder stops them all" if lack else ""


async def soak(
    asked_from: tuple[Transport, ...],
    files: TargetFiles,
    action: Soak,
    app: ObservedApp,
    runner: Runner,
    report_progress: ReportProgress,
) -> Evidence:
    """Watch the instance that serves since the cutover until `soak_seconds` are over.

    Returns the last reply and the app, with `failure` on its slot if the instance did not stay healthy.
    """
    age = app.route.age_seconds if app.route else 0
    before = app.slot(action.slot)
    watch = _Watch(
        asked_from, files, runner, before, now_seconds() + files.target.soak_seconds - age + 1, report_progress
    )
    while True:
        reply = await watch.look(0.0, "port")
        slot = reply.apps[action.app].slot(action.slot)
        if reply.status or watch.left <= 0:
            return reply, reply.apps[action.app]
        if slot.restarts > before.restarts or not slot.running_now:
            return await watch.give_up_with_journal("it exited after the cutover")
        await watch.keep_asking(slot, min(watch.deadline, now_seconds() + LOOK_EVERY_SECONDS))
        if watch.misses >= MISSES:
            path = files.target.health_path
            miss = f"{path} answered {watch.answer.words}" if path else "its port was not open"
            return await watch.give_up_with_journal(f"after the cutover {miss}, {MISSES} times in a row")


async def drain(files: TargetFiles, action: Drain, runner: Runner, report_progress: ReportProgress) -> Reply:
    """Wait until no connection to the slot is open, or the time is over, and return the last reply.

    Each look renews the lease.
    """
    within_seconds = files.target.drain_seconds if action.within_seconds is None else action.within_seconds
    deadline = now_seconds() + within_seconds
    while True:
        left = max(0.0, deadline - now_seconds())
        words = (action.app, action.slot, str(int(min(left, LOOK_EVERY_SECONDS) * 1000)))
        reply = await runner.run("drain", words, b"", 60 + LOOK_EVERY_SECONDS)
        still_open = reply.apps[action.app].slot(action.slot).open_connections if not reply.status else 0
        if not still_open or left <= LOOK_EVERY_SECONDS:
            return reply
        report_progress(f"{still_open} still open, {left - LOOK_EVERY_SECONDS:.0f} s left")


def restarts_before(slot: Slot) -> int:
    """Return the number of restarts not to count: an accepted instance's so far. All of a candidate's count."""
    return slot.restarts if slot.enabled else 0


def _why_hopeless(reply: Reply, slot: Slot, before: Slot) -> str:
    crashes = slot.restarts - restarts_before(before)
    if slot.state == "failed":
        return f"its unit failed ({slot.last_exit}){_why_ended(reply)}"
    if crashes >= CRASHES:
        return f"it exited {crashes} times{_why_ended(reply)}"
    return "something other than reconcile stopped it" if slot.state == "inactive" else ""


def _why_ended(reply: Reply) -> str:
    """A program that puts itself into the background ends with status 0, and systemd ends what it leaves behind."""
    if not reply.ended_well:
        return ""
    return ": it ends with status 0 by itself; if it goes into the background as a daemon, run it in the foreground"


def _why_too_late(watch: _Watch, slot: Slot, other_ports: tuple[int, ...]) -> str:
    target = watch.files.target
    within = f"within {target.healthy_within_seconds:g} s"
    if slot.stranger:
        return f"port {slot.name} is held by {slot.stranger}"
    if slot.elsewhere and target.edges:
        return (
            f"it listens on port {slot.name}, but not on {target.address}, where its edges ask it: have it listen on "
            f"$BIND, which is {target.address}"
        )
    if slot.elsewhere:
        return (
            f"it listens on port {slot.name}, but not on 127.0.0.1, where Traefik asks it: have it listen there "
            "(localhost may mean ::1 alone)"
        )
    if not watch.answer.text:
        others = f"; it listens on port {' and '.join(map(str, other_ports))} instead: it must heed $PORT"
        not_open = f"it did not open port {slot.name} {within}{others if other_ports else ''}"
        return not_open if slot.running_now else f"it was not running {within}"
    asked = {name.lower(): value for name, value in target.health_headers}
    hint = explain_answer(watch.answer.status, watch.answer.location, target.health_path or "/", asked)
    hint = NOT_HTTP_HINT if watch.answer.text == NOT_HTTP else hint
    said = f"the last answer was {watch.answer.words}" if watch.answer.status else watch.answer.text
    asked_by = f", asked by {watch.missed_by} at {target.address}:{slot.name}," if watch.missed_by else ""
    last = f"{target.health_path}{asked_by} was not healthy {within}; {said}"
    return f"{last}: {hint}" if hint else last
