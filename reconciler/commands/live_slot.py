"""The live slot of an app on one host, for the commands that run there: exec, rpc, console."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from reconciler.decide.slots import live_slot
from reconciler.errors import HostError, UsageError
from reconciler.host.transport import Command, Completed, Transport
from reconciler.model.observed import ObservedHost, Slot, Unreachable
from reconciler.model.options import Options
from reconciler.model.target import Controller
from reconciler.observe.lease import new_controller
from reconciler.observe.look import observe
from reconciler.targets.open_fleet import demand_all, open_fleet
from reconciler.targets.target_files import TargetFiles
from reconciler.tools import scripts
from reconciler.tools.elixir import Node, read_node
from reconciler.tools.masking import Masker

LONGEST_SECONDS = 3600


@dataclass(frozen=True)
class AppOnHost:
    """An app on one host, on which a command of it can be run."""

    files: TargetFiles
    host: Transport

    @property
    def app(self) -> str:
        return self.files.target.app

    async def stream(self, command: Command, stdin: bytes = b"") -> int:
        """Run a command, print its output as it arrives with secrets masked, and return its exit code.

        Raises BrokenPipeError when the reader of stdout has gone, as with `| head`.
        """
        done = await stream_masked(self.host, self.files, command, stdin, LONGEST_SECONDS)
        print(done.stderr, end="", file=sys.stderr)
        return done.status


@dataclass(frozen=True)
class LiveSlot(AppOnHost):
    """The slot in which an app serves, and its host."""

    slot: Slot

    async def node(self) -> Node:
        """Return the BEAM node that runs there. Raises UsageError if there is none, or if it accepts no connections."""
        if self.files.site.spec.scope == "user":
            raise UsageError(
                f"{self.host.name} has scope user, where a node cannot be reached from outside",
                f"reconcile exec {self.app} -- COMMAND",
            )
        command = Command(scripts.plain_script("beam", "system"), (self.app, self.slot.name))
        node = read_node((await self.host.run(command)).stdout)
        if node is None:
            raise UsageError(
                f"{self.app} on {self.host.name} is not an Elixir release", f"reconcile exec {self.app} -- COMMAND"
            )
        if node.distribution == "none":
            raise UsageError(
                f"the node of {self.app} on {self.host.name} accepts no connections: its distribution is none",
                f"write distribution: sname and env: {{RELEASE_COOKIE: {{secret: NAME}}}} in apps/{self.app}.yaml "
                "and commit it; that takes one rollout",
            )
        return node

    def command(self, node: Node, how: str) -> Command:
        """Return the command that runs `bin/<app> remote` or `rpc` beside the node."""
        layout = self.files.layout
        words = (layout.env, layout.units, self.app, self.slot.name, *node.words, how)
        return Command(scripts.plain_script("node", "system"), words)


async def stream_masked(
    host: Transport, files: TargetFiles, command: Command, stdin: bytes, seconds: float
) -> Completed:
    """Run a command, print its output as it arrives with secrets masked, and return how it ended, with masked stderr.

    Raises BrokenPipeError when the reader of stdout has gone, as with `| head`.
    """
    masker = Masker(files.secrets)
    try:
        done = await host.run(command, stdin, seconds, on_output=lambda piece: _write_stdout(masker.feed(piece)))
        _write_stdout(masker.end())
    except _ReaderGone:
        raise BrokenPipeError from None
    return replace(done, errors=files.mask(done.stderr).encode())


@asynccontextmanager
async def look_at_app(options: Options) -> AsyncIterator[tuple[AppOnHost, ObservedHost, Controller]]:
    """Look at `options.app_name`, on the host given by --host or else on the first of its hosts.

    Raises UsageError if the app there is not managed by reconcile.
    """
    options = options.for_app()
    async with open_fleet(options, valid_only=True) as opened:
        demand_all(opened)
        files = next(each for each in opened.targets.values() if each.target.app == options.app_name)
        host, controller = opened.hosts[files.target.host], new_controller(opened.owner)
        seen = await observe(host, files.site, [files], controller)
        if isinstance(seen, Unreachable):
            raise HostError(host.name, seen.reason, seen.next_step)
        app = seen.app(options.app_name)
        if unmanaged := (*app.foreign, *app.taken):  # a command uses the app's user and state, as an instance does
            raise UsageError(
                f"{options.app_name} on {host.name} is not managed by reconcile: {', '.join(unmanaged)}",
                f"reconcile plan --app {options.app_name} shows what to do about it",
            )
        yield AppOnHost(files, host), seen, controller


@asynccontextmanager
async def open_live_slot(options: Options) -> AsyncIterator[LiveSlot]:
    """Open the live slot of `options.app_name`, on the host given by --host or else on the first of its hosts.

    Raises UsageError when there is none, or when the app there is not managed by reconcile.
    """
    async with look_at_app(options) as (found, seen, _):
        slot = live_slot(found.files.target.on(seen.facts.arch), seen.app(found.app))
        if slot is None:
            raise UsageError(f"{found.app} has no live slot on {found.host.name}", "reconcile status")
        yield LiveSlot(found.files, found.host, slot)


class _ReaderGone(Exception):
    """Stdout was closed. Not an OSError, which a host would take for a broken connection of its own."""


def _write_stdout(piece: bytes) -> None:
    try:
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
    except BrokenPipeError:  # as with `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise _ReaderGone from None
