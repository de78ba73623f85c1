"""One simulated run: hosts, controllers, their links, one fault, and the oracles that watch all of it."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from reconciler.errors import HostUnreachable, ReconcileError
from reconciler.host.transport import Completed, Transport
from tests.simulator.controller import Clone, Ended, converge_once, engine_of
from tests.simulator.folder import folder_of_process
from tests.simulator.loop import Clock, VirtualLoop, virtual_time
from tests.simulator.oracles import Oracles
from tests.simulator.process import Ask, Processes, Run
from tests.simulator.transport import KEEPALIVE_SECONDS, Sent, SimulatedHost, unrooted
from tests.simulator.world.host import Host

LOOKS = ("look", "offer", "history", "files", "await", "drain")
BEFORE, REPLY, REPLIED = -1, 10_000, 10_001  # points of a change beside its boundaries


@dataclass(frozen=True)
class Fault:
    """What goes wrong, and where: at this boundary of the nth script that changes something."""

    kind: str
    change: int
    point: int
    seconds: float = 2.0  # how long what was stopped there stays so
    text: str = ""

    def __str__(self) -> str:
        where = {BEFORE: "before it is sent", REPLY: "before its reply", REPLIED: "after its reply"}.get(self.point)
        return f"{self.kind} at change {self.change}, {where or f'boundary {self.point}'}{self.text}"


Alter = Callable[[Completed], Completed]
"""What becomes of a reply on its way."""


def _as_it_is(reply: Completed) -> Completed:
    return reply


class Killed(asyncio.CancelledError):
    """The controller is gone."""


@dataclass
class Counters:
    """What a run cost, to compare with the undisturbed one."""

    started: int = 0
    stopped: int = 0
    routed: int = 0
    uploads: int = 0
    removals: int = 0
    migrations: int = 0
    hooks: int = 0


@dataclass
class Simulation:
    """Everything of one run. `seed` decides all that is left to chance."""

    seed: int = 0
    host_names: tuple[str, ...] = ("web1",)
    faults: list[Fault] = field(default_factory=list)
    fails: tuple[str, tuple[str, int]] | None = None  # (verb, command): it fails the first time
    secret: str = "s3cr3t-Zq9"
    shuffles: bool = False
    allows_prune: bool = False
    good_versions: set[str] = field(default_factory=set)
    own_cache: bool = False  # of prepared artifacts: else one for all simulations of a process

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.clock = Clock()
        self.processes = Processes()
        self.oracles = Oracles(self)
        self.hosts = {
            name: Host(name, number + 1, self.processes, self.clock, self.dice, self)
            for number, name in enumerate(self.host_names)
        }
        self.folder = self.processes.folder / "desired-state"
        (self.folder / "apps").mkdir(parents=True)
        self.dead: set[str] = set()
        self.abandoned: set[str] = set()
        self.tasks: dict[str, asyncio.Task[Any]] = {}
        self.origins: dict[str, Clone] = {}
        self.cut_until: dict[tuple[str, str], float] = {}
        self.sent: list[Sent] = []
        self.stdin_of: dict[int, bytes] = {}
        self.tamper: Callable[[Sent, bytes], bytes] | None = None
        self.trace: list[str] = []
        self.changes = 0
        self.points: list[tuple[int, str, int, str]] = []  # (change, verb, boundary, command)
        self.executed: set[tuple[str, tuple[str, int]]] = set()
        self.before_change: Callable[[int, Host], None] | None = None
        self.struck: set[Fault] = set()
        self.moved: set[tuple[int, str, int]] = set()  # boundaries before which something had changed
        self.has_moved = False
        self.waist: list[str] = []  # every call of a controller
        self.at_call: Callable[[int, SimulatedHost], Awaitable[Alter]] | None = None
        self.power_cuts = 0
        self.controllers = 0
        self.log: list[str] = []

    def close(self) -> None:
        self.processes.close()

    def __enter__(self) -> Simulation:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, story: Coroutine[Any, Any, Any]) -> Any:
        """The story from its beginning to its end, in virtual time."""
        loop = VirtualLoop(self.clock, random.Random(self.seed) if self.shuffles else None)
        environment = {
            "RECONCILE_SECRET_TOKEN": self.secret,
            "XDG_CACHE_HOME": str(self.processes.folder / "cache" if self.own_cache else cache()),
        }
        with ExitStack() as stack:
            stack.enter_context(virtual_time(self.clock))
            stack.enter_context(engine_of(self))
            stack.enter_context(mock.patch.dict(os.environ, environment))
            stack.enter_context(mock.patch("random.uniform", self.dice.uniform))
            asyncio.set_event_loop(loop)
            try:
                return loop.run_until_complete(story)
            finally:
                for task in asyncio.all_tasks(loop):
                    task.cancel()
                pending = asyncio.all_tasks(loop)
                if pending:
                    loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
                asyncio.set_event_loop(None)
                loop.close()

    # Controllers.

    def is_dead(self, token: str) -> bool:
        return token in self.abandoned

    def new_controller(self) -> str:
        self.controllers += 1
        return f"controller{self.controllers}"

    def links(self, controller: str) -> dict[str, Transport]:
        return {name: SimulatedHost(host, controller, self) for name, host in self.hosts.items()}

    def has_failed_closed(self, controller: str) -> bool:
        """What this controller read last is no desired state."""
        origin = self.origins.get(controller)
        return origin is not None and origin.fails

    def say(self, event: str, **fields: object) -> None:
        line = f"{self.clock.seconds:.2f} {event} {fields}"
        self.log.append(line)
        self.oracles.said("the log", line)

    async def once(
        self, controller: str | None = None, *, wait_lock_seconds: float = 120.0, origin: Clone | None = None
    ) -> list[Ended]:
        """One pass of a controller; an empty list when it was killed, or the desired state cannot be used."""
        name = controller or self.new_controller()
        if origin:
            self.origins[name] = origin
        links = self.links(name)
        work = converge_once(
            self.folder,
            links,
            name,
            self.say,
            wait_lock_seconds=wait_lock_seconds,
            allow_prune=self.allows_prune,
            origin=origin,
        )
        task = self.tasks[name] = asyncio.ensure_future(work)
        try:
            outcomes: list[Ended] = await task
        except asyncio.CancelledError:
            if name not in self.dead:
                raise
            return []
        except ReconcileError as error:
            self.say("refused", error=str(error))
            return [Ended("", "", False, "", str(error), "refused", ())]
        self.oracles.reported(outcomes, name)
        return outcomes

    def kill_controller(self, name: str, *, known: bool = False) -> None:
        """As by SIGKILL. With `known` the next controller runs on the same machine, and can see that."""
        self.dead.add(name)
        if known:
            self.abandoned.add(name)
        for sent in self.sent:
            if sent.controller == name:
                sent.lost = True
                if sent.run and not sent.run.ended:
                    sent.run.hang_up()
                    sent.run.end_input()
        if task := self.tasks.get(name):
            task.cancel()

    def check_alive(self, controller: str) -> None:
        if controller in self.dead:
            raise Killed(controller)

    def is_cut(self, link: SimulatedHost) -> bool:
        return self.clock.seconds < self.cut_until.get((link.controller, link.name), 0.0)

    async def calls(self, link: SimulatedHost, what: str) -> Alter:
        """A controller is about to call a host. What happens just then, and what becomes of the reply."""
        self.check_alive(link.controller)
        self.waist.append(f"{link.controller} {what}")
        return await self.at_call(len(self.waist), link) if self.at_call else _as_it_is

    # Scripts.

    def send(self, link: SimulatedHost, verb: str, text: str, arguments: tuple[str, ...], stdin: bytes) -> Sent:
        reply: asyncio.Future[Completed] = asyncio.get_running_loop().create_future()
        changes = verb not in LOOKS
        self.changes += changes
        sent = Sent(link.name, link.controller, verb, arguments, self.changes if changes else 0, reply)
        self.sent.append(sent)
        self.trace.append(f"{self.clock.seconds:9.3f} {link.controller} {link.name} {verb}")
        self.oracles.sends(sent, text)
        if changes and self.before_change:
            self.before_change(self.changes, link.host)
        stdin = self.tamper(sent, stdin) if self.tamper else stdin
        self.stdin_of[id(sent)] = stdin
        fault = self._fault(sent, BEFORE)
        if fault and fault.kind == "sleep":
            self.struck.add(fault)
            later = (sent, link.host, verb, text, arguments, stdin)
            asyncio.get_running_loop().call_later(fault.seconds, self._begin, *later)
            return sent
        if fault and not self._strike(fault, sent, link.host):
            return sent
        self._begin(sent, link.host, verb, text, arguments, stdin)
        return sent

    def _begin(self, sent: Sent, host: Host, verb: str, text: str, arguments: tuple[str, ...], stdin: bytes) -> None:
        fails = self.fails[1] if self.fails and self.fails[0] == verb else None

        def ended(run: Run) -> None:
            self._ended(sent, host, run)

        how: dict[str, Any] = {"fails": fails, "notes": {"sent": sent}}
        fault = next(
            (each for each in self.faults if each.change == sent.number and each.kind.startswith("upload")), None
        )
        if fault and sent.number:
            self.struck.add(fault)
            how |= {"cut": fault.point, "stalls": fault.kind == "upload stalls"}
            if fault.kind == "upload stalls":  # nothing comes from the controller any more, and nothing reaches it
                sent.lost = True
                self.cut_until[sent.controller, host.name] = self.clock.seconds + KEEPALIVE_SECONDS
                loop = asyncio.get_running_loop()
                loop.call_later(KEEPALIVE_SECONDS, self._lose, sent, "the connection broke")
        self.oracles.begins(sent, host)
        sent.run = host.begin(verb, text, arguments, stdin, ended, **how)

    def _ended(self, sent: Sent, host: Host, run: Run) -> None:
        sent.run = run
        if sent.number:
            said = bytes(run.errors).decode(errors="replace").strip()
            self.trace.append(
                f"{self.clock.seconds:9.3f} {sent.controller} {host.name} {sent.verb} ended {run.status} {said}"
            )
        self.oracles.ends(sent, host, run)
        output = unrooted(bytes(run.output), str(host.root))
        errors = bytes(run.errors).replace(str(host.root).encode(), b"")
        fault = self._fault(sent, REPLY)
        if fault and not self._strike(fault, sent, host):
            return
        completed = Completed(run.status or 0, output, errors)
        if sent.lost or sent.reply.done():
            return
        asyncio.get_running_loop().call_later(0.004, self._deliver, sent, host, completed)

    def _deliver(self, sent: Sent, host: Host, completed: Completed) -> None:
        if sent.lost or sent.reply.done():
            return
        sent.reply.set_result(completed)
        fault = self._fault(sent, REPLIED)
        if fault:
            self._strike(fault, sent, host)

    def given_up(self, sent: Sent) -> None:
        """The controller waits no more: it tells sshd to end the script, if it is there to do so."""
        if sent.controller in self.dead or sent.lost:
            return
        sent.lost = True
        if sent.run and not sent.run.ended:
            self.processes.terminate(sent.run)

    # Faults.

    def before_command(self, host: Host, run: Run, ask: Ask) -> str:
        sent: Sent | None = run.notes.get("sent")
        command = run.command(ask)
        if command:
            self.executed.add((run.verb, command.key))
        self.oracles.asked(ask.canary)
        if sent is None and host.full and command and command.writes:
            return "skip 1"
        if sent is None or not sent.number or ask.lane:
            return "go"
        point, run.boundaries = run.boundaries, run.boundaries + 1
        name = command.name if command else " ".join(ask.words[:3])
        self._note_lock(sent, host, run, name)
        self.points.append((sent.number, run.verb, point, name))
        if self.has_moved:
            self.moved.add((sent.number, run.verb, point))
        self.has_moved = False
        fault = self._fault(sent, point)
        if fault is None:
            return "skip 1" if host.full and command and command.writes else "go"
        sent.run = run
        if fault.kind == "full":  # from here on nothing can be written any more
            self.struck.add(fault)
            host.full = True
            asyncio.get_running_loop().call_later(fault.seconds, setattr, host, "full", False)
            return "skip 1" if command and command.writes else "go"
        if fault.kind in ("fail", "fail after", "no effect"):
            self.struck.add(fault)
            return {"fail": "skip 1", "fail after": "after 1", "no effect": "skip 0"}[fault.kind]
        if self._strike(fault, sent, host) or run.ended:
            return "go"
        host.schedule(run, ask, "go", after=fault.seconds)
        return ""

    def _note_lock(self, sent: Sent, host: Host, run: Run, command: str) -> None:
        """It goes on after it waited for the lock of its app."""
        locks = command.startswith("begin_change: flock")
        if run.notes.pop("waited", False) and not locks:
            self.oracles.has_lock(sent, host)
        run.notes["waited"] = locks

    def _fault(self, sent: Sent, point: int) -> Fault | None:
        if not sent.number:
            return None
        return next(
            (f for f in self.faults if f.change == sent.number and f.point == point and f not in self.struck), None
        )

    def _strike(self, fault: Fault, sent: Sent, host: Host) -> bool:
        """Let it happen. True when what was under way goes on as if nothing had."""
        self.struck.add(fault)
        self.trace.append(f"{self.clock.seconds:9.3f} FAULT {fault}")
        if fault.kind.startswith("kill"):
            self.kill_controller(sent.controller, known=fault.kind == "kill known")
            return False
        if fault.kind in ("cut", "silent"):
            silent = fault.kind == "silent"
            self.cut_link(sent.controller, host, KEEPALIVE_SECONDS if silent else 1.0, silent=silent)
            return False
        if fault.kind.startswith("power"):
            self.lose_power(host, fault.kind.partition(" ")[2])
            return False
        raise AssertionError(f"no such fault: {fault}")

    def cut_link(self, controller: str, host: Host, seconds: float, *, silent: bool) -> None:
        """What is under way there is lost. With `silent` nobody notices, for longer than a keepalive allows."""
        loop = asyncio.get_running_loop()
        until = self.clock.seconds + seconds
        self.cut_until[controller, host.name] = max(self.cut_until.get((controller, host.name), 0.0), until)
        for sent in self._under_way(host, controller):
            sent.lost = True
            loop.call_later(KEEPALIVE_SECONDS if silent else 0.0, self._lose, sent, "the connection broke")
            if not silent and sent.run and not sent.run.ended:
                sent.run.hang_up()
                sent.run.end_input()

    def lose_power(self, host: Host, left: Any) -> None:
        """Everybody notices a second later."""
        self.power_cuts += 1
        for sent in self._under_way(host):
            sent.lost = True
            asyncio.get_running_loop().call_later(1.0, self._lose, sent, "the connection broke")
        host.power_cut(left)

    def _under_way(self, host: Host, controller: str = "") -> list[Sent]:
        mine = (each for each in self.sent if each.host == host.name and controller in ("", each.controller))
        return [each for each in mine if not each.reply.done() and not each.lost]

    def _lose(self, sent: Sent, why: str) -> None:
        if not sent.reply.done() and sent.controller not in self.dead:
            sent.reply.set_exception(HostUnreachable(sent.host, why, "look again"))

    def effect(self, host: Host, what: str, changed: set[str]) -> None:
        self.has_moved = self.has_moved or bool(changed) or ": " not in what
        self.oracles.effect(host, what, changed)

    @property
    def counters(self) -> Counters:
        found = Counters()
        for host in self.hosts.values():
            counts = host.systemd.counts
            found.started += counts.get("start", 0)
            found.stopped += counts.get("stop", 0)
            found.migrations += counts.get("migrate", 0)
            found.hooks += counts.get("hook", 0)
        found.routed = self.oracles.routes_written
        found.uploads = self.oracles.uploads
        found.removals = self.oracles.removals
        return found


_CACHE: list[Path] = []


def cache() -> Path:
    """A cache of prepared artifacts for all simulations of this process, and of its forks."""
    if not _CACHE:
        _CACHE.append(folder_of_process() / "cache")
    return _CACHE[0]
