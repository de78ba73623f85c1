"""One action → its host. The reply of each script is the fresh observation: one round trip does both."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import assert_never

from reconciler import prove
from reconciler.errors import ActionFailed
from reconciler.expect import forget_evidence
from reconciler.host.transport import Command, Stdin, Transport
from reconciler.install import install
from reconciler.model.action import (
    AnyAction,
    ConfirmRoute,
    Cutover,
    Drain,
    EnableInstance,
    InstallRelease,
    Migrate,
    PruneReleases,
    RejectRelease,
    RemoveRoute,
    RepairFiles,
    StartAgain,
    StartInstance,
    StopInstance,
    WaitHealthy,
)
from reconciler.model.observed import ObservedApp, ObservedHost, Slot
from reconciler.resolve import Target
from reconciler.tools import scripts
from reconciler.tools.look import Reply, Unreadable, layout_words, read_reply

STALE = 75  # prelude.sh: the host was no longer as seen; nothing was done
LOCK_AND_STOP_SECONDS = 60


@dataclass(frozen=True)
class Applier:
    """Applies actions of one app to one host. `tell` hears how far a long one has come."""

    host: Transport
    target: Target
    tell: Callable[[str], None]

    async def apply(self, action: AnyAction, seen: ObservedHost) -> ObservedHost:
        """Carry it out; the observation afterwards. Raises ActionFailed (with the host's words), HostError, ArtifactError.

        An action whose ground is gone (somebody else changed the host) changes nothing: the fresh look says so.
        """
        if isinstance(action, ConfirmRoute):
            return await prove.confirm_route(self.host, self.target, action, _forgotten(seen, action.app))
        if isinstance(action, WaitHealthy):
            before = seen.app(action.app).slot(action.slot)
            app = await prove.wait_healthy(
                self.host, self.target, action, before, self._waiter(action, before), self.tell
            )
            return self._merged(seen, app)
        if isinstance(action, InstallRelease):
            reply = await install(self.target, action, self._run, self.host, self.tell)
        else:
            reply = await self._change(action, seen.app(action.app))
        if reply.status not in (0, STALE):
            raise ActionFailed(self.host.name, f"{action.app}: {self._explained(reply)}", _next_step(reply))
        app = reply.apps[action.app]
        if isinstance(action, Drain) and reply.status == 0:
            app = app.with_slot(replace(app.slot(action.slot), drained=True))
        if isinstance(action, StartInstance | StartAgain) and reply.status == 0:
            app = app.with_slot(self._started(app.slot(action.slot), reply))
        if isinstance(action, Migrate) and reply.log:  # it failed: its log is told as the app's
            app = app.with_slot(replace(app.slots[0], log_tail=self._log(reply)))
        return self._merged(seen, app)

    async def _change(self, action: AnyAction, app: ObservedApp) -> Reply:  # noqa: C901 - one line a case
        name, release, run = action.app, getattr(getattr(action, "identity", None), "release", ""), self._run
        slot = getattr(action, "slot", "")
        invocation = app.slot(slot).invocation
        stop_seconds = LOCK_AND_STOP_SECONDS + 2.0 * self.target.app.stop_seconds
        match action:
            case StartInstance():
                replaces = "yes" if action.replaces else "no"
                started = (name, slot, release, invocation, replaces)
                return await run("start", started, self._slot_files(action), stop_seconds)
            case RepairFiles():
                return await run("repair", (name, slot, release, invocation), self._slot_files(action))
            case StartAgain():
                return await run("again", (name, slot, invocation))
            case Cutover():
                route = _tar({"route": self.target.route_text(slot)})
                return await run("cutover", (name, slot, action.invocation), route)
            case EnableInstance():
                return await run("enable", (name, slot, action.invocation))
            case RemoveRoute():
                return await run("unroute", (name,))
            case Drain():
                milliseconds = str(int(self.target.wanted.drain_seconds * 1000))
                return await run(
                    "drain", (name, slot, milliseconds), b"", 60 + self.target.wanted.drain_seconds
                )
            case StopInstance():
                return await run("stop", (name, slot, invocation), b"", stop_seconds)
            case RejectRelease():
                words = (name, slot, str(action.identity))
                return await run("reject", words, self.target.masked(action.why).encode(), stop_seconds)
            case Migrate():
                seconds = self.target.app.migrate_within_seconds
                env = _tar({"env": self.target.migrate_env_text(action.identity)})
                migrate = (name, release, str(seconds), str(action.identity))
                return await run("migrate", migrate, env, 60.0 + seconds)
            case PruneReleases():
                return await run("prune", (name, *action.releases))
            case WaitHealthy() | ConfirmRoute() | InstallRelease():
                raise AssertionError(f"{action.verb} is applied elsewhere")
            case _:
                assert_never(action)

    async def _run(
        self, script: str, words: tuple[str, ...], stdin: Stdin = b"", seconds: float = 90
    ) -> Reply:
        arguments = (*layout_words(self.target.layout), self.target.word, *words)
        completed = await self.host.run(Command(scripts.change_script(script), arguments), stdin, seconds)
        try:
            reply = read_reply(completed.stdout, self.target.layout)
        except Unreadable as error:
            said = completed.stderr.strip()[-300:]
            raise ActionFailed(
                self.host.name, f"{script}: {error}: {said or 'no message'}", "look again"
            ) from error
        return replace(reply, said=completed.stderr.strip())

    def _waiter(self, action: WaitHealthy, before: Slot) -> prove.Wait:
        restarts = str(prove.restarts_before(before))
        mode = "port" if self.target.wanted.health_path else "steady"

        async def wait(seconds: float, log: bool) -> Reply:
            words = (
                action.app,
                action.slot,
                str(int(seconds * 1000)),
                restarts,
                mode,
                "yes" if log else "no",
            )
            return await self._run("await", words, b"", 60 + seconds)

        return wait

    def _slot_files(self, action: StartInstance | RepairFiles) -> bytes:
        return _tar({"env": self.target.env_text(action.identity), "unit": self.target.unit_text()})

    def _started(self, slot: Slot, reply: Reply) -> Slot:
        if slot.state != "failed":
            return slot
        failure = f"its unit failed ({slot.last_exit})"
        return replace(slot, failure=failure, healthy=False, log_tail=self._log(reply))

    def _log(self, reply: Reply) -> tuple[str, ...]:
        return tuple(self.target.masked(line) for line in reply.log[-15:])

    def _merged(self, seen: ObservedHost, app: ObservedApp) -> ObservedHost:
        """The fresh look, with what Traefik and each instance answered before: no action but the proofs asks again."""
        before = seen.app(self.target.wanted.app)
        slots = tuple(_answered(slot, before.slot(slot.name)) for slot in app.slots)
        return seen.with_app(self.target.wanted.app, replace(app, slots=slots, applied=before.applied))

    def _explained(self, reply: Reply) -> str:
        log = "".join(f"\n    {self.target.masked(line)}" for line in reply.log[-15:])
        return (
            self.target.masked(reply.said.splitlines()[-1]) if reply.said else f"exit {reply.status}"
        ) + log


def _answered(slot: Slot, before: Slot) -> Slot:
    if slot.healthy is not None or not slot.running_now or slot.invocation != before.invocation:
        return slot
    return replace(slot, health=before.health, healthy=before.healthy)


def _forgotten(seen: ObservedHost, app: str) -> ObservedHost:
    return seen.with_app(app, forget_evidence(seen.app(app)))


def _next_step(reply: Reply) -> str:
    if reply.status == 28:
        return "make room on the host; the next pass goes on from here"
    return "correct the cause; the next pass goes on from here"


def _tar(files: dict[str, str]) -> bytes:
    """The files as a tar, for stdin: data never travels in arguments."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, text in files.items():
            data = text.encode()
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o600
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()
