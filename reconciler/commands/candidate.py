"""The wanted version of an app on one host, for a command that runs with it before it serves."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from reconciler.apply.applier import Applier
from reconciler.apply.runner import Runner, tar_of
from reconciler.commands.live_slot import AppOnHost, look_at_app
from reconciler.decide.guards import refusal
from reconciler.decide.slots import target_identity
from reconciler.engine.progress import Progress
from reconciler.errors import ActionFailed, UsageError
from reconciler.logs import log
from reconciler.model.action import InstallRelease
from reconciler.model.identity import Identity
from reconciler.model.options import Options
from reconciler.terminal import can_redraw


@dataclass(frozen=True)
class Candidate(AppOnHost):
    """The version that the desired state names, whose release is on the host."""

    identity: Identity

    @property
    def release(self) -> str:
        return self.identity.release

    def tar(self, program: str) -> bytes:
        """Return what the host needs to run the program as the version would: its env, its unit, and the program."""
        files = self.files
        return tar_of({"env": files.env_text(self.identity), "unit": files.unit_text(), "command": program})


@asynccontextmanager
async def open_candidate(options: Options) -> AsyncIterator[Candidate]:
    """Open the wanted version of `options.app_name`, on the host given by --host or else on the first of its hosts.

    Installs its release if the host does not have it. Raises UsageError if the version has no artifact, or if the app
    there is not managed by reconcile or belongs to another desired state; HostError and ArtifactError.
    """
    async with look_at_app(options) as (found, seen, controller):
        target = found.files.target.on(seen.facts.arch)
        files, app = replace(found.files, target=target), seen.app(target.app)
        identity = target_identity(target, app)
        if identity is None:
            reason = target.missing or f"there is no artifact of version {target.version}"
            raise UsageError(f"{target.app} on {found.host.name}: {reason}", target.missing_next)
        if identity.release not in app.releases or identity.release in app.damaged:
            damaged = identity.release in app.damaged
            step = InstallRelease(target.host, target.app, "to run a command with it", identity.release, damaged)
            if blocked := refusal(step, target, seen):
                raise ActionFailed(found.host.name, f"{target.app}: {blocked.reason}", blocked.next_step)
            progress = Progress(log, terminal=can_redraw(sys.stderr))
            try:
                report = progress.reporter(target.host, target.app)
                await Applier(found.host, files, controller, report).apply(step, seen)
            finally:
                progress.close()
                await Runner(found.host, files.site, controller, files.word, seen.lease).release()
        yield Candidate(files, found.host, identity)
