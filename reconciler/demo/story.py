"""The steps of the demo, and the text that it prints for each."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass

from reconciler.clock import now_seconds, sleep_seconds
from reconciler.demo.load import BadAnswer, Visitors, visit_meanwhile
from reconciler.demo.place import APP, DOMAIN
from reconciler.demo.processes import spawn
from reconciler.demo.stage import Stage, set_up
from reconciler.demo.traefik import Binary
from reconciler.desired_state.set_version import open_app, write_version
from reconciler.engine.converge import converge
from reconciler.engine.preview import preview
from reconciler.engine.progress import Progress
from reconciler.engine.report import outcome_text, plan_text
from reconciler.errors import ReconcileError
from reconciler.model.action import Blocked
from reconciler.targets.open_fleet import open_fleet
from reconciler.terminal import can_redraw

OLD, NEW = "0.1.0", "0.2.0"
VISITS_AROUND_SECONDS = 1.0  # how long visitors come before the second commit, and again after its pass
REPORT = "please report this with the whole output"
Say = Callable[[str], None]

OPENING = """\
The demo rolls out a release here, then a newer one under load (20 s).
Real: git, SSH, release archives, every script run on a host, Traefik {version}.
Simulated: systemd. The stand-in runs the real unit files without a sandbox.
"""
CLOSING = """
Every process of the demo has ended, and its folder is gone. Where to go next:
   README.md, "Your first server"   the same with your own server and release
   reconcile --help                 all commands; plan and status change nothing"""


class DemoFailed(ReconcileError):
    """The demo did not keep what it promises."""


@dataclass(frozen=True)
class Swap:
    """The second rollout, from the visitors' point of view."""

    visitors: Visitors
    seconds: float  # from the commit to the end of the pass

    @property
    def answers(self) -> dict[str, int]:
        """The number of GETs that each version answered."""
        bodies = [answered.body for answered in self.visitors.answered]
        return {version: sum(body.endswith(version) for body in bodies) for version in (OLD, NEW)}

    @property
    def moved(self) -> str:
        """A sentence with the time of the old version's last answer and of the new one's first; "" without both."""
        done: dict[str, list[float]] = {version: [] for version in (OLD, NEW)}
        for answered in self.visitors.answered:
            done.get(answered.body.rpartition(" ")[2], []).append(answered.done)
        if not (done[OLD] and done[NEW]):
            return ""
        return f"{OLD} answered until {max(done[OLD]):.2f} s, {NEW} from {min(done[NEW]):.2f} s"

    @property
    def fault(self) -> str:
        """The reason why the demo did not keep what it promises; "" if it did."""
        if self.visitors.failures:
            return f"{len(self.visitors.failures)} requests failed"
        if self.visitors.ended_early:
            return "the swap took longer than the visitors stayed"
        silent = [version for version, count in self.answers.items() if not count]
        return f"version {silent[0]} answered no request" if silent else ""

    def as_json(self) -> dict[str, object]:
        counts = {"requests": self.visitors.sent, "failed": len(self.visitors.failures), "answers": self.answers}
        return {**counts, "seconds": round(self.seconds, 2), "fault": self.fault}


async def perform(traefik: Binary, say: Say) -> Swap:
    """Run the whole demo. Raises ReconcileError if a pass does not converge; failed requests are in the Swap."""
    say(OPENING.format(version=traefik.version))
    async with set_up(traefik) as stage:
        await _first_release(stage, say)
        swap = await _second_release(stage, say)
        await _job(stage, say)
    _result(swap, say)
    return swap


async def _first_release(stage: Stage, say: Say) -> None:
    place = stage.place
    say("1  The desired state is written: a host in fleet.yaml, an app in hello.yaml")
    place.build_release(OLD)
    place.write_fleet(stage.ssh_port, stage.host_key, stage.api_port)
    say(textwrap.indent(place.write_app(OLD, stage.slots), "   | ").rstrip())
    say(f"   git commit: {place.commit(f'{APP} {OLD}')} {APP} {OLD}\n")
    say("2  reconcile plan shows what it would do, and why")
    await _preview(stage, say)
    say("\n3  reconcile --once does it")
    await _pass(stage, say)
    try:
        body = await Visitors(DOMAIN, stage.web_port).visit()
    except (OSError, EOFError, BadAnswer) as error:
        raise DemoFailed(f"a visitor of {DOMAIN} got no answer: {error}", REPORT) from error
    say(f"   http://{DOMAIN}:{stage.web_port}/ answers: {body}\n")


async def _second_release(stage: Stage, say: Say) -> Swap:
    place, visitors = stage.place, Visitors(DOMAIN, stage.web_port)
    place.build_release(NEW)
    say(f"4  Visitors come through Traefik: {visitors.per_second} requests/s,")
    say("   GET and POST, on reused and on new connections\n")
    async with visit_meanwhile(visitors):
        await sleep_seconds(VISITS_AROUND_SECONDS)
        say("5  The next version is committed, and reconcile --once runs again, under load")
        begin = now_seconds()
        write_version(open_app(place.desired_state, APP), NEW, None)
        say(f"   git commit: {place.commit(f'{APP} {NEW}')} {APP} {NEW}")
        await _pass(stage, say)
        swap = Swap(visitors, now_seconds() - begin)
        await sleep_seconds(VISITS_AROUND_SECONDS)
    return swap


async def _job(stage: Stage, say: Say) -> None:
    """Run the app's job, by the command that people type."""
    say(f"\n6  reconcile run {APP} report runs a job once, with the version that serves")
    words = [sys.executable, "-m", "reconciler", "run", APP, "report"]
    process = await spawn(words, os.environ, stage.place.root / "repository")
    assert process.stdout is not None
    text = (await process.stdout.read()).decode(errors="replace")
    if await process.wait():
        raise DemoFailed(f"the job did not run\n{text.rstrip()}", REPORT)
    say(textwrap.indent(text, "   | ").rstrip())


def _wrap(line: str) -> str:
    """The line of a table within 80 characters: what goes on in its last column stays in that column."""
    return textwrap.fill(line, 80, subsequent_indent=" " * (line.rindex("  ") + 2)) if len(line) > 80 else line


async def _preview(stage: Stage, say: Say) -> None:
    async with open_fleet(stage.arguments) as opened:
        plans = [*(await preview(opened)).plans.values()]
    for line in plan_text(plans).splitlines():
        say(_wrap(f"   {line}".rstrip()))


async def _pass(stage: Stage, say: Say) -> None:
    """Run the pass of `reconcile --once`, printing a line per action. Raises DemoFailed if it does not converge."""

    def say_action(event: str, **fields: object) -> None:
        verb = event.partition(".")[0]
        what = fields["subject"] if fields["app"] == APP else fields["app"]  # a process has one slot only
        line = f"   {fields['seconds']:5.2f} s  {verb:8}  {what:18}  {fields['reason']}"
        say(_wrap(line.rstrip()))

    async with open_fleet(stage.arguments) as opened:
        progress = Progress(say_action, terminal=can_redraw(sys.stderr))
        try:
            outcomes = await converge(opened, progress)
        finally:
            progress.close()
    text = outcome_text([outcome.end for outcome in outcomes])
    if any(isinstance(outcome.end, Blocked) for outcome in outcomes):
        raise DemoFailed(f"the pass did not converge\n{text.rstrip()}", "" if "next: " in text else REPORT)
    say(textwrap.indent(text, "   ").rstrip())


def _result(swap: Swap, say: Say) -> None:
    visitors = swap.visitors
    kinds = ", ".join(f"{count} {method} {connection}" for (method, connection), count in visitors.kinds.items())
    slowest = max((answered.done - answered.sent for answered in visitors.answered), default=0.0)
    say("\n7  Result, from the first request to the last")
    say(f"   sent      {kinds}")
    say(f"   answered  {', '.join(f'{count} GET by {version}' for version, count in swap.answers.items())}")
    say(f"   moved     {swap.moved}")
    say(f"   slowest   {slowest * 1000:.0f} ms for an answer")
    say(f"   swap      {swap.seconds:.1f} s from the commit until {OLD} was gone")
    for failure in visitors.failures[:5]:
        say(f"   failed    {failure}")
    say(f"\n   {visitors.sent} requests during the swap, {len(visitors.failures)} failed")
    say(CLOSING)
