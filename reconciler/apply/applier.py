"""One action → its host. The reply of each script is the fresh observation: one round trip does both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import assert_never

from reconciler.apply import wait
from reconciler.apply.default_certificate import new_certificate
from reconciler.apply.install import install
from reconciler.apply.runner import Runner, tar_of
from reconciler.decide.expected import forget_evidence
from reconciler.errors import ActionFailed, HostLocked
from reconciler.host.transport import Transport
from reconciler.model.action import (
    AnyAction,
    ConfirmRoute,
    Cutover,
    Drain,
    EnableInstance,
    GoBack,
    InstallRelease,
    Migrate,
    PruneReleases,
    RejectRelease,
    RemoveApp,
    RemoveRoute,
    RepairFiles,
    RetryCertificates,
    Soak,
    StartAgain,
    StartInstance,
    StopInstance,
    WaitCertified,
    WaitHealthy,
)
from reconciler.model.observed import Identity, ObservedApp, ObservedHost, Slot
from reconciler.model.wanted import Controller
from reconciler.targets.resolve import Target
from reconciler.tools import traefik
from reconciler.tools.look import Reply
from reconciler.words import printable, printable_line

STALE = 75  # prelude.sh: the host was no longer as seen; nothing was done
LOCKED = 76  # prelude.sh: another controller has the host, or had it since we looked; nothing was done
NO_SPACE = 28
LOCK_SECONDS = 60


@dataclass(frozen=True)
class Applier:
    """Applies actions of one app to one host. `tell` hears how far a long one has come."""

    host: Transport
    target: Target
    controller: Controller
    tell: Callable[[str], None]

    async def apply(self, action: AnyAction, seen: ObservedHost) -> ObservedHost:
        """Carry it out; the observation afterwards. Raises ActionFailed in the host's words, HostError, ArtifactError.

        An action whose ground is gone (somebody else changed the host) changes nothing: the fresh look says so.
        """
        if isinstance(action, ConfirmRoute):
            return await wait.confirm_route(self.host, self.target, action, _forgotten(seen, action.app))
        if isinstance(action, WaitCertified):
            return await wait.wait_certified(self.host, self.target, action, _forgotten(seen, action.app), self.tell)
        runner = Runner(self.host, self.target.site, self.controller, self.target.word, seen.lease)
        reply, app = await self._done(action, seen.app(action.app), runner)
        if reply.status == LOCKED:
            raise HostLocked(
                self.host.name, printable(reply.said) or "another controller has it", "--wait-lock waits for it"
            )
        if reply.status not in (0, STALE):
            raise ActionFailed(self.host.name, f"{action.app}: {self._explained(reply)}", _next_step(reply))
        # Traefik and the instances are asked again only by the proofs; what they answered before still stands.
        before = seen.app(action.app)
        slots = tuple(_answered(slot, before.slot(slot.name)) for slot in app.slots)
        app = replace(app, slots=slots, applied=before.applied)
        return replace(seen, lease=reply.lease, facts=reply.facts).with_app(action.app, app)

    async def _done(self, action: AnyAction, app: ObservedApp, runner: Runner) -> tuple[Reply, ObservedApp]:
        """The last reply, and the app with what was only watched put into it."""
        match action:
            case WaitHealthy():
                return await wait.wait_healthy(self.host, self.target, action, app, runner, self.tell)
            case Soak():
                return await wait.soak(self.host, self.target, action, app, runner, self.tell)
            case InstallRelease():
                reply = await install(self.target, action, runner, self.host, self.tell)
            case _:
                reply = await self._changed(action, app, runner)
        after = reply.apps.get(action.app, ObservedApp())
        if isinstance(action, Drain) and reply.status == 0:
            after = after.with_slot(replace(after.slot(action.slot), drained=True))
        if isinstance(action, StartInstance | StartAgain) and reply.status == 0:
            after = after.with_slot(self._started(after.slot(action.slot), reply))
        if isinstance(action, Migrate) and reply.log:  # it failed: its log is told as the app's
            after = after.with_slot(replace(after.slots[0], log_tail=self._log(reply)))
        return reply, after

    def _started(self, slot: Slot, reply: Reply) -> Slot:
        """A start that failed at once needs no waiting: why it did is in the reply."""
        if slot.state != "failed":
            return slot
        failure = f"its unit failed ({slot.last_exit})"
        return replace(slot, failure=failure, healthy=False, log_tail=self._log(reply))

    def _log(self, reply: Reply) -> tuple[str, ...]:
        return tuple(printable_line(self.target.masked(line)) for line in reply.log[-15:])

    async def _changed(self, action: AnyAction, app: ObservedApp, runner: Runner) -> Reply:
        match action:
            case StartInstance() | StartAgain() | RepairFiles() | StopInstance() | RejectRelease() | Migrate():
                return await self._instance_changed(action, app, runner)
            case Cutover() | RetryCertificates():
                words = (action.app, action.slot, action.invocation)
                route = self.target.route_text(action.slot, str(action.attempt or ""))
                return await runner.run("cutover", words, route.encode())
            case GoBack():
                route, reason = self.target.route_text(action.slot), self.target.masked(action.why)
                back = (action.app, action.slot, action.invocation)
                failed = f"{self._tried(action.failed)}\n{reason}"
                return await runner.run("goback", back, tar_of({"route": route, "reason": failed}))
            case EnableInstance():
                accepted = (action.app, action.slot, action.invocation, action.takes_over or "-")
                return await runner.run("enable", accepted)
            case RemoveRoute():
                return await runner.run("unroute", (action.app,))
            case Drain():
                return await wait.drain(self.target, action, runner, self.tell)
            case PruneReleases():
                return await runner.run("prune", (action.app, *action.releases))
            case RemoveApp():
                return await runner.run("remove", (action.app,))
            case WaitHealthy() | ConfirmRoute() | InstallRelease() | Soak() | WaitCertified():
                raise AssertionError(f"{action.verb} is applied elsewhere")
            case _:
                assert_never(action)

    async def _instance_changed(
        self,
        action: StartInstance | StartAgain | RepairFiles | StopInstance | RejectRelease | Migrate,
        app: ObservedApp,
        runner: Runner,
    ) -> Reply:
        name, stop_seconds = action.app, LOCK_SECONDS + 2.0 * self.target.stop_seconds
        if isinstance(action, Migrate):
            seconds = self.target.migrate_within_seconds
            files = tar_of({"env": self.target.migrate_env_text(action.identity), "unit": self.target.unit_text()})
            words: tuple[str, ...] = (name, action.identity.release, str(seconds), self.target.wanted.attempt)
            return await runner.run("migrate", words, files, LOCK_SECONDS + seconds)
        slot, invocation = action.slot, app.slot(action.slot).invocation
        match action:
            case StartInstance():
                words = (name, slot, action.identity.release, invocation, action.takes_over or "-")
                return await runner.run("start", words, self._slot_files(action), stop_seconds)
            case RepairFiles():
                words = (name, slot, action.identity.release, invocation)
                return await runner.run("repair", words, self._slot_files(action))
            case StartAgain():
                return await runner.run("again", (name, slot, invocation))
            case StopInstance():
                return await runner.run("stop", (name, slot, invocation), b"", stop_seconds)
            case RejectRelease():
                why = f"{self._tried(action.identity)}\n{self.target.masked(action.why)}"
                words = (name, slot, action.identity.release, invocation, action.takes_over or "-")
                return await runner.run("reject", words, why.encode(), stop_seconds)

    def _tried(self, identity: Identity) -> str:
        """The identity as quarantine names it, with what else was part of the attempt. It travels on stdin only."""
        return f"{identity}/{self.target.wanted.attempt}"

    def _slot_files(self, action: StartInstance | RepairFiles) -> bytes:
        files = self.target.slot_files(action.identity)
        if self.target.wanted.proxy:
            files |= {"certificate": new_certificate(), "default": traefik.default_text()}
        return tar_of(files)

    def _explained(self, reply: Reply) -> str:
        log = "".join(f"\n| {line}" for line in self._log(reply))
        said = self.target.masked(reply.said.splitlines()[-1]) if reply.said else f"exit {reply.status}"
        return printable(said, 1000) + log


def _answered(slot: Slot, before: Slot) -> Slot:
    if slot.healthy is not None or not slot.running_now or slot.invocation != before.invocation:
        return slot
    return replace(slot, health=before.health, healthy=before.healthy)


def _forgotten(seen: ObservedHost, app: str) -> ObservedHost:
    return seen.with_app(app, forget_evidence(seen.app(app)))


def _next_step(reply: Reply) -> str:
    if reply.status == NO_SPACE:
        return "make room on the host; the next pass goes on from here"
    return "correct the cause; the next pass goes on from here"
