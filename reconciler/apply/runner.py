"""Runs the script of an action: passes it our identity and the lease we saw, and reads its reply."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace

from reconciler.clock import now_seconds
from reconciler.errors import ActionFailed
from reconciler.host.transport import Command, Stdin, Transport
from reconciler.model.observed import Lease
from reconciler.model.target import LOOPBACK, Controller
from reconciler.observe.lease import lease_words
from reconciler.targets.site import HostSite
from reconciler.tools import scripts
from reconciler.tools.look import Reply, Unreadable, read_reply

NO_LEASE = Lease()
STOPPING = 78  # prelude.sh: what was told to stop has not ended yet


@dataclass(frozen=True)
class Runner:
    """Runs scripts for one app on one host. `lease` is the one seen at the look that the decision rests on."""

    host: Transport
    site: HostSite
    controller: Controller
    word: str  # the app and its slots, as the look takes them
    lease: Lease = NO_LEASE
    address: str = LOOPBACK  # where the app's instances are asked

    async def run(self, script: str, words: tuple[str, ...], stdin: Stdin = b"", seconds: float = 90) -> Reply:
        """Run `scripts/<script>.sh` and return its reply, which has a readable observation of the app.

        While something is still stopping, run it again, for so many seconds: each run renews the lease, which no script
        does without us. Raises ActionFailed if the app is not readable, and HostError.
        """
        deadline = now_seconds() + seconds
        reply = await self.run_for_reply(script, words, stdin, seconds)
        while reply.status == STOPPING and now_seconds() < deadline:
            reply = await self.run_for_reply(script, words, stdin, seconds)
        app = reply.apps.get(self.app)
        if app is None:
            raise ActionFailed(self.host.name, f"{script}: the reply does not mention {self.app}", "run a pass again")
        if app.unreadable:
            reason = f"{self.app}: after {script} {app.unreadable.reason}"
            raise ActionFailed(self.host.name, reason, app.unreadable.next_step)
        return reply

    async def run_for_reply(
        self, script: str, words: tuple[str, ...], stdin: Stdin = b"", seconds: float = 90
    ) -> Reply:
        """Run the script like `run`, but return the reply even if the app is unreadable or missing in it."""
        arguments = (*lease_words(self.site.layout, self.controller, self.lease), self.word, *words)
        command = Command(scripts.change_script(script, self.site.spec.scope), arguments)
        completed = await self.host.run(command, stdin, seconds)
        try:
            reply = read_reply(completed.output, self.site.layout, (self.app,), {self.app: self.address})
        except Unreadable as error:
            reason = f"{script}: {error}: {completed.last_words}"
            raise ActionFailed(self.host.name, reason, "run a pass again") from error
        return replace(reply, stderr=completed.stderr.strip(), queued_seconds=completed.queued_seconds)

    @property
    def app(self) -> str:
        return self.word.partition(":")[0]

    async def release(self) -> None:
        """Release the lease before it expires."""
        words = (*lease_words(self.site.layout, self.controller, self.lease), "free")
        await self.host.run(Command(scripts.finish_script(self.site.spec.scope), words), tar_of({}), 30)


def tar_of(files: dict[str, str]) -> bytes:
    """Return the files as a tar archive for stdin. Data never travels in arguments, where `ps` shows it."""
    import tarfile  # a pass that changes nothing sends none

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, text in files.items():
            data = text.encode()
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o600
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()
