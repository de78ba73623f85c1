"""The live slot of an app on one host, for the commands that go there: exec, rpc, console."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from reconciler.decide.slots import live_slot
from reconciler.errors import HostError, UsageError
from reconciler.host.transport import Command, Transport
from reconciler.model.observed import Slot, Unreachable
from reconciler.model.options import Options
from reconciler.observe.lease import new_controller
from reconciler.observe.look import observe
from reconciler.targets.open_fleet import open_fleet
from reconciler.targets.resolve import TargetFiles
from reconciler.tools import scripts
from reconciler.tools.elixir import Node, read_node
from reconciler.tools.masking import Masker

LONGEST_SECONDS = 3600


@dataclass(frozen=True)
class LiveSlot:
    """Where an app serves."""

    files: TargetFiles
    host: Transport
    slot: Slot

    @property
    def app(self) -> str:
        return self.files.target.app

    async def node(self) -> Node:
        """The BEAM node that runs there. Raises UsageError when there is none, or none that can be reached."""
        if self.files.site.spec.scope == "user":
            raise UsageError(
                f"{self.host.name} has scope user, where no node can be reached from outside",
                f"reconcile exec {self.app} -- COMMAND",
            )
        command = Command(scripts.plain_script("beam", "system"), (self.app, self.slot.name))
        node = read_node((await self.host.run(command)).stdout)
        if node is None:
            raise UsageError(
                f"{self.app} on {self.host.name} is no Elixir release", f"reconcile exec {self.app} -- COMMAND"
            )
        if node.distribution == "none":
            raise UsageError(
                f"the node of {self.app} on {self.host.name} takes no connections: its distribution is none",
                f"write distribution: sname and env: {{RELEASE_COOKIE: {{secret: NAME}}}} in apps/{self.app}.yaml "
                "and commit it, which is one rollout",
            )
        return node

    def command(self, node: Node, how: str) -> Command:
        """`bin/<app> remote` or `rpc` beside the node."""
        layout = self.files.layout
        words = (layout.env, layout.units, self.app, self.slot.name, *node.words, how)
        return Command(scripts.plain_script("node", "system"), words)

    async def stream(self, command: Command, stdin: bytes = b"") -> int:
        """Run it with what it says shown as it comes, secrets masked; its exit code. Raises BrokenPipeError."""
        masker = Masker(self.files.secrets)
        try:
            done = await self.host.run(
                command, stdin, LONGEST_SECONDS, on_output=lambda piece: _write_stdout(masker.feed(piece))
            )
            _write_stdout(masker.end())
        except _ReaderGone:
            raise BrokenPipeError from None
        print(self.files.mask(done.stderr), end="", file=sys.stderr)
        return done.status


@asynccontextmanager
async def open_live_slot(options: Options) -> AsyncIterator[LiveSlot]:
    """Where `options.app_name` serves: on the host that --host names, else the first of its hosts."""
    options = options.for_app()
    async with open_fleet(options) as opened:
        if opened.refused:
            raise UsageError(opened.refused[0].reason, opened.refused[0].next_step)
        files = opened.targets[0]
        host = opened.hosts[files.target.host]
        seen = await observe(host, files.site, [files], new_controller(opened.owner))
        if isinstance(seen, Unreachable):
            raise HostError(host.name, seen.reason, seen.next_step)
        app = seen.app(options.app_name)
        if not_ours := (*app.foreign, *app.taken):  # what runs here takes the app's user and state, as a start does
            raise UsageError(
                f"{options.app_name} on {host.name} is not reconcile's: {', '.join(not_ours)}",
                f"reconcile plan --app {options.app_name} says what to do about it",
            )
        slot = live_slot(files.target, app)
        if slot is None:
            raise UsageError(f"{options.app_name} has no live slot on {host.name}", "reconcile status")
        yield LiveSlot(files, host, slot)


class _ReaderGone(Exception):
    """Not an OSError: a host would take that for its broken connection."""


def _write_stdout(piece: bytes) -> None:
    try:
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
    except BrokenPipeError:  # as with `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise _ReaderGone from None
