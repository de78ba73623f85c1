"""Applies one action to its host. Each script's reply is also a fresh observation, so one round trip does both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import assert_never

from reconciler.apply import confirm, wait
from reconciler.apply.default_certificate import new_certificate
from reconciler.apply.edge_route import share_route, store_route, withdraw_route
from reconciler.apply.install import install
from reconciler.apply.runner import Runner, tar_of
from reconciler.decide.expected import forget_evidence
from reconciler.decide.host_faults import keep_host_fault
from reconciler.errors import ActionFailed, HostLocked
from reconciler.host.transport import Transport
from reconciler.model.action import (
    AnyAction,
    BalanceRoute,
    ConfirmRoute,
    Cutover,
    Drain,
    EnableInstance,
    EndHold,
    GoBack,
    HoldVisitors,
    InstallRelease,
    Migrate,
    PruneReleases,
    RejectRelease,
    RemoveApp,
    RemoveRoute,
    RepairFiles,
    RestoreRights,
    RetryCertificates,
    RunHook,
    ScheduleJobs,
    Soak,
    StartAgain,
    StartInstance,
    StopInstance,
    WaitCertified,
    WaitHealthy,
)
from reconciler.model.identity import Identity
from reconciler.model.observed import ObservedApp, ObservedHost, Slot
from reconciler.model.target import Controller
from reconciler.model.transfer import ReportProgress
from reconciler.targets.target_files import TargetFiles
from reconciler.tools import traefik
from reconciler.tools.look import Reply
from reconciler.tools.sandbox_hints import explain_log
from reconciler.tools.start_command import start_program
from reconciler.words import printable, printable_line

STALE = 75  # prelude.sh: the host has changed since the look; nothing was done
LOCKED = 76  # prelude.sh: another controller has the lease, or had it since the look; nothing was done
NO_SPACE = 28
LOCK_SECONDS = 60
_OF_AN_APP = {
    RemoveRoute: "unroute",
    RemoveApp: "remove",
    RestoreRights: "restore",
    ScheduleJobs: "schedule",
    EndHold: "unhold",
}


@dataclass
class _Fence:
    """Makes sure that the host is still ours, by a change of nothing, before something beyond it is changed."""

    applier: Applier
    runner: Runner
    app: str

    def __post_init__(self) -> None:
        self.lease = self.runner.lease

    async def __call__(self) -> None:
        """Raises HostLocked if another controller has taken the host since our look, ActionFailed, HostError."""
        reply = await self.runner.run("prune", (self.app,))
        self.applier.check(reply, self.app)
        self.lease = reply.lease


@dataclass(frozen=True)
class Applier:
    """Applies the actions of one app to one host. Long actions call `report_progress` with a short text."""

    host: Transport
    files: TargetFiles
    controller: Controller
    report_progress: ReportProgress
    edges: Mapping[str, Transport] = field(default_factory=dict)  # from which visitors reach an app of this host

    async def apply(self, action: AnyAction, seen: ObservedHost) -> ObservedHost:
        """Carry out the action and return the observation afterwards.

        If the host has changed since `seen`, nothing is done; the returned observation shows the change.
        Raises ActionFailed with the host's own error text, HostError or ArtifactError.
        """
        target = self.files.target
        runner = Runner(self.host, self.files.site, self.controller, self.files.word, seen.lease, target.address)
        if isinstance(action, ConfirmRoute):
            seen, fence = _forget_evidence_of(seen, action.app), _Fence(self, runner, action.app)
            fresh = await share_route(self.host, self.files, self.controller.owner, seen.app(action.app), fence)
            seen = replace(seen, lease=fence.lease)
            return await confirm.confirm_route(self.host, self.files, action, seen, new_in_etcd=fresh)
        if isinstance(action, WaitCertified):
            return await confirm.wait_for_certificates(
                self.host, self.files, action, _forget_evidence_of(seen, action.app), self.report_progress
            )
        reply, app = await self._act(action, seen.app(action.app), runner)
        self.check(reply, action.app)
        # Only the waits ask Traefik and the instances again. Until then their last answers stay in the observation.
        before = seen.app(action.app)
        slots = tuple(_keep_last_answer(slot, before.slot(slot.name)) for slot in app.slots)
        app = replace(app, slots=slots, applied=before.applied)
        return replace(seen, lease=reply.lease, facts=reply.facts).with_app(action.app, app)

    def check(self, reply: Reply, app: str) -> None:
        """Raise HostLocked or ActionFailed if the script did not do what it was for."""
        if reply.status == LOCKED:
            held = printable(reply.stderr) or "another controller holds the lease"
            raise HostLocked(self.host.name, held, "--wait-lock waits for it")
        if reply.status not in (0, STALE):
            raise ActionFailed(self.host.name, f"{app}: {self._failure_text(reply)}", _next_step(reply))

    async def _act(self, action: AnyAction, app: ObservedApp, runner: Runner) -> tuple[Reply, ObservedApp]:
        """Return the last reply, and the app with the evidence added that only watching could give."""
        match action:
            case Migrate() | RunHook():
                reply = await self._run_once(action, runner)
                return reply, self._note_failed_run(action, reply)
            case WaitHealthy():
                asked_from = tuple(self.edges.values()) or (self.host,)
                return await wait.wait_healthy(asked_from, self.files, action, app, runner, self.report_progress)
            case Soak():
                return await wait.soak((self.host,), self.files, action, app, runner, self.report_progress)
            case InstallRelease():
                reply = await install(self.files, action, app, runner, self.host, self.report_progress)
            case _:
                if isinstance(action, RemoveRoute | Cutover | RemoveApp):
                    fence = _Fence(self, runner, action.app)
                    await withdraw_route(self.host, self.files, self.controller.owner, app, fence)
                reply = await self._change_host(action, app, runner)
        after = reply.apps.get(action.app, ObservedApp())
        if isinstance(action, Drain) and reply.status == 0:
            after = after.with_slot(replace(after.slot(action.slot), drained=True))
        if isinstance(action, StopInstance) and reply.status == 0:
            after = after.with_slot(keep_host_fault(app.slot(action.slot), after.slot(action.slot), app, reply.facts))
        if isinstance(action, StartInstance | StartAgain) and reply.status == 0:
            after = after.with_slot(self._note_failed_start(after.slot(action.slot), reply))
        return reply, after

    def _note_failed_run(self, action: Migrate | RunHook, reply: Reply) -> ObservedApp:
        """Return the app with the log of a migration or hook that failed, which has no slot of its own."""
        after = reply.apps.get(action.app, ObservedApp())
        if isinstance(action, RunHook):
            after = replace(after, hook_failed=after.hook is not None and after.hook.state == "failed")
            if action.hook == "on_failure":
                return after  # what the version itself said matters more
        if not reply.log:
            return after
        return after.with_slot(replace(after.slots[0], log_tail=self._log_tail(reply)))

    def _note_failed_start(self, slot: Slot, reply: Reply) -> Slot:
        """Record why a start failed at once. The reply has the journal, so there is nothing to wait for."""
        if slot.state != "failed":
            return slot
        failure = f"its unit failed ({slot.last_exit})"
        if denied := explain_log(reply.log):
            failure += f"; {denied}"
        return replace(slot, failure=failure, healthy=False, log_tail=self._log_tail(reply))

    def _log_tail(self, reply: Reply) -> tuple[str, ...]:
        return tuple(printable_line(self.files.mask(line)) for line in reply.log[-15:])

    async def _change_host(self, action: AnyAction, app: ObservedApp, runner: Runner) -> Reply:  # noqa: C901 - one case an action
        match action:
            case StartInstance() | StartAgain() | RepairFiles() | StopInstance() | RejectRelease():
                return await self._change_instance(action, app, runner)
            case Cutover() | RetryCertificates():
                words = (action.app, action.slot, action.invocation)
                route = self.files.route_text(action.slot, action.attempt)
                return await runner.run("cutover", words, route.encode())
            case BalanceRoute():
                return await store_route(self.files, action, runner)
            case GoBack():
                route = self.files.route_text(action.slot, action.attempt)
                reason = self.files.mask(action.why)
                back = (action.app, action.slot, action.invocation, action.hook)
                failed = f"{self._attempt_text(action.failed)}\n{reason}"
                return await runner.run("goback", back, tar_of({"route": route, "reason": failed}))
            case HoldVisitors():
                words = (action.app, action.slot, action.invocation)
                route = self.files.route_text(action.slot, action.attempt, held=True)
                return await runner.run("hold", words, route.encode())
            case EnableInstance():
                accepted = (action.app, action.slot, action.invocation, action.takes_over or "-")
                return await runner.run("enable", accepted)
            case RemoveRoute() | RemoveApp() | RestoreRights() | ScheduleJobs() | EndHold():
                jobs = tar_of(self.files.job_files(action.held_back)) if isinstance(action, ScheduleJobs) else b""
                seconds = LOCK_SECONDS + 2.0 * self.files.stop_seconds  # a removal ends what a job still runs
                return await runner.run(_OF_AN_APP[type(action)], (action.app,), jobs, seconds)
            case Drain():
                return await wait.drain(self.files, action, runner, self.report_progress)
            case PruneReleases():
                return await runner.run("prune", (action.app, *action.releases))
            case Migrate() | RunHook() | WaitHealthy() | ConfirmRoute() | InstallRelease() | Soak() | WaitCertified():
                raise AssertionError(f"{action.verb} is applied elsewhere")
            case _:
                assert_never(action)

    async def _change_instance(
        self,
        action: StartInstance | StartAgain | RepairFiles | StopInstance | RejectRelease,
        app: ObservedApp,
        runner: Runner,
    ) -> Reply:
        name, stop_seconds = action.app, LOCK_SECONDS + 2.0 * self.files.stop_seconds
        slot, invocation = action.slot, app.slot(action.slot).invocation
        match action:
            case StartInstance():
                words: tuple[str, ...] = (name, slot, action.identity.release, invocation)
                words += (action.takes_over or "-", action.hook)
                return await runner.run("start", words, self._slot_files(action), stop_seconds)
            case RepairFiles():
                words = (name, slot, action.identity.release, invocation)
                return await runner.run("repair", words, self._slot_files(action))
            case StartAgain():
                return await runner.run("again", (name, slot, invocation))
            case StopInstance():
                return await runner.run("stop", (name, slot, invocation), b"", stop_seconds)
            case RejectRelease():
                why = f"{self._attempt_text(action.identity)}\n{self.files.mask(action.why)}"
                words = (name, slot, action.identity.release, invocation, action.takes_over or "-", action.hook)
                return await runner.run("reject", words, why.encode(), stop_seconds)

    async def _run_once(self, action: Migrate | RunHook, runner: Runner) -> Reply:
        limit, hook_limit = self.files.migrate_within_seconds, self.files.hook_within_seconds
        name, release, unit = action.app, action.identity.release, self.files.unit_text()
        if isinstance(action, RunHook):
            files = tar_of({"env": self.files.hook_env_text(action), "unit": unit})
            return await runner.run(
                "hook", (name, action.hook, release, str(hook_limit)), files, LOCK_SECONDS + hook_limit
            )
        target = self.files.target
        before = hook_limit if target.before_migrate else 0
        files = tar_of({"env": self.files.migrate_env_text(action.identity), "unit": unit})
        words = (name, release, target.migrate_env or "-", str(limit), target.attempt, str(before), action.hook)
        return await runner.run("migrate", words, files, LOCK_SECONDS + limit + before)

    def _attempt_text(self, identity: Identity) -> str:
        """The identity as quarantine records it, with the digest of the rest of the attempt. Sent on stdin only."""
        return f"{identity}/{self.files.target.attempt}"

    def _slot_files(self, action: StartInstance | RepairFiles) -> bytes:
        files = self.files.slot_files(action.identity)
        if self.files.app and (program := start_program(self.files.app.start_command)):
            files["program"] = f"{program}\n"
        if self.files.target.proxy:
            files |= {"certificate": new_certificate(), "default": traefik.default_text()}
        return tar_of(files)

    def _failure_text(self, reply: Reply) -> str:
        log = "".join(f"\n| {line}" for line in self._log_tail(reply))
        reason = self.files.mask(reply.stderr.splitlines()[-1]) if reply.stderr else f"exit {reply.status}"
        return printable(reason, 1000) + log


def _keep_last_answer(slot: Slot, before: Slot) -> Slot:
    if slot.healthy is not None or not slot.running_now or slot.invocation != before.invocation:
        return slot
    return replace(slot, health=before.health, healthy=before.healthy)


def _forget_evidence_of(seen: ObservedHost, app: str) -> ObservedHost:
    return seen.with_app(app, forget_evidence(seen.app(app)))


def _next_step(reply: Reply) -> str:
    if reply.status == NO_SPACE:
        return "make room on the host; the next pass continues from here"
    return "fix the cause; the next pass continues from here"
