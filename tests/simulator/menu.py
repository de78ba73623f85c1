"""The fault menu: at each call of a controller to a host, each thing that may go wrong there, for a while or for good.

The story is the same each time: version 1 serves, version 2 is committed, and something happens at the nth call of the
pass that brings it. Then it heals, and version 2 must be reached within two passes, with nothing left to do after them.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reconciler.desired_state.load import load
from reconciler.errors import GitError, HostUnreachable
from reconciler.host.transport import Completed
from reconciler.model.desired import Desired
from tests.simulator.controller import Clone
from tests.simulator.happenings import LASTING, OPERATOR, Happening, happen
from tests.simulator.scenario import change_once_more, write_app
from tests.simulator.simulation import Alter, Simulation
from tests.simulator.stories import set_up
from tests.simulator.transport import SimulatedHost

HOST, APP = "web1", "hello"
PASSES = 2
MOST_CALLS = 16  # of a pass that brings a version
REST_SECONDS = 700.0
LEASE_SECONDS = 30.5
SHORT, FOR_GOOD = 5.0, 100_000.0
NOISE = b"Welcome to web1!\r\n@@ look - 4\n"

# kind → the number that the menu of faults gives it, and what it is about.
MENU: dict[str, str] = {
    "connections refused": "F1",
    "cut before the effect": "F3",
    "cut after the effect": "F4",
    "no reply": "F9",
    "half a reply": "F9",
    "all but the end of a reply": "F9",
    "noise before a reply": "F9",
    "noise behind a reply": "F9",
    "Traefik slow": "F12",
    "Traefik silent": "F12",
    "Traefik half-silent": "F12",
    "Traefik down": "F12",
    "disk full": "F7",
    "host slow": "F13",
    "a second controller of the same commit": "F14",
    "a second controller of an older commit": "F14",
    "a second controller of a newer commit": "F14",
    "the controller sleeps": "F18",
    "the controller sleeps and a newer commit is applied": "F18",
    "power kept": "F17",
    **dict.fromkeys(OPERATOR, "F17"),
    "host key changed": "F2",
    "git does not answer": "F15",
    "git has an empty tree": "F15",
    "git has half a file": "F15",
    "git has another history": "F15",
    "the artifact is gone": "F16",
    "the artifact has other bytes": "F16",
    "the artifact is cut short": "F16",
}
LASTS = (
    "connections refused",
    *(kind for kind in MENU if kind.startswith(("Traefik", "the artifact"))),
    "disk full",
    "host key changed",
)


@dataclass(frozen=True)
class Ordered:
    """One dish: what goes wrong at which call, and whether it heals by itself."""

    number: int
    kind: str
    call: int
    heals: bool

    def __str__(self) -> str:
        lasts = ("" if self.heals else ", for good") if self.kind in LASTS else ""
        return f"{MENU[self.kind]} {self.kind} at call {self.call}{lasts}"


@dataclass(frozen=True)
class Served:
    """How it went."""

    ordered: Ordered
    call: str
    broken: tuple[tuple[str, str], ...]
    passes: int
    checks: tuple[tuple[str, int], ...]
    virtual_seconds: float
    requests: float
    lost: float


def order(number: int) -> Ordered:
    """The run that an integer stands for."""
    rest, heals = divmod(number, 2)
    call, kind = divmod(rest, 64)
    return Ordered(number, [*MENU][kind], call, bool(heals))


def whole_menu(calls: int) -> Iterator[int]:
    for place, kind in enumerate(MENU):
        for call in range(1, calls + 1):
            yield (call * 64 + place) * 2 + 1
            if kind in LASTS:
                yield (call * 64 + place) * 2


def sampled_menu(calls: int, count: int, seed: int) -> list[int]:
    """So many of them, each kind in turn."""
    dice = random.Random(seed)
    by_kind: dict[int, list[int]] = {}
    for number in whole_menu(calls):
        by_kind.setdefault(number // 2 % 64, []).append(number)
    for numbers in by_kind.values():
        dice.shuffle(numbers)
    longest = max(map(len, by_kind.values()))
    kinds = list(by_kind.values())
    dice.shuffle(kinds)
    rounds = [numbers[at] for at in range(longest) for numbers in kinds if at < len(numbers)]
    return rounds[:count] if count else rounds


def serve(number: int) -> Served:
    ordered = order(number)
    with Simulation(number, own_cache=MENU[ordered.kind] == "F16") as simulation:
        table = _Table(simulation, ordered)
        simulation.run(table.serve())
        return Served(
            ordered, table.call, tuple((each.oracle, each.what) for each in simulation.oracles.broken), table.passes,
            tuple(simulation.oracles.checks.items()), simulation.clock.seconds - 1000.0, simulation.oracles.requests,
            simulation.oracles.lost,
        )  # fmt: skip


def undisturbed_calls() -> list[str]:
    """The calls of the pass, when nothing goes wrong."""
    with Simulation(1) as simulation:
        table = _Table(simulation, Ordered(0, "connections refused", 0, True))
        simulation.run(table.serve())
        simulation.oracles.check()
        return table.undisturbed


class Unusable(Clone):
    """A clone of which the newest commit is no desired state, or no successor of what was applied."""

    kind: str = ""

    async def read(self) -> Desired:
        self.pinned = 1 if self.kind == "git has another history" else None
        desired = await super().read()
        self.fails = True
        if self.kind == "git does not answer":
            raise GitError("the repository does not answer", "see whether it is reachable")
        if self.kind == "git has another history":
            return replace(desired, revision="f" * 40)
        broken = self.folder / f"broken-{len(list(self.folder.glob('broken-*')))}"
        shutil.copytree(self.folder / f"commit-{self.number}", broken)
        for app in (broken / "apps").iterdir():
            if self.kind == "git has an empty tree":
                app.unlink()
            else:
                app.write_text(app.read_text()[:-100])
        return load(broken)

    async def why_behind(self, applied: str) -> str:
        return "it is not a successor of what was applied" if self.kind == "git has another history" else ""


class _Table:
    def __init__(self, simulation: Simulation, ordered: Ordered) -> None:
        self.simulation, self.ordered = simulation, ordered
        self.commits = simulation.folder.parent
        self.newest = 0
        self.passes = 0
        self.call = ""
        self.right = b""
        self.undisturbed: list[str] = []
        self.others: list[asyncio.Task[Any]] = []

    @property
    def host(self) -> Any:
        return self.simulation.hosts[HOST]

    def commit(self, version: str) -> None:
        self.newest += 1
        packed = (self.build / f"app-{version}.tar.gz").read_bytes()
        artifact = {"source": "../build/app-{version}.tar.gz", "sha256": hashlib.sha256(packed).hexdigest()}
        write_app(self.simulation, APP, version, artifact=artifact)
        shutil.copytree(self.simulation.folder, self.commits / f"commit-{self.newest}")

    @property
    def build(self) -> Path:
        return self.simulation.folder.parent / "build"

    async def once(self, pinned: int | None = None, git: str = "", **how: Any) -> list[Any]:
        clone = (Unusable if git else Clone)(self.commits, newest=lambda: self.newest, pinned=pinned)
        if isinstance(clone, Unusable):
            clone.kind = git
        return await self.simulation.once(origin=clone, **how)

    async def serve(self) -> None:
        simulation = self.simulation
        set_up(simulation)
        self.commit("1")
        await self.once()
        self.commit("2")
        simulation.waist.clear()
        simulation.at_call = self.at_call
        await self.once(pinned=2, wait_lock_seconds=0.0)
        self.undisturbed = list(simulation.waist)
        simulation.at_call = None
        await asyncio.gather(*self.others)
        if not self.ordered.heals:
            outcomes = await self.once(wait_lock_seconds=0.0)
            if simulation.clock.seconds > 1000 + 3600:
                simulation.oracles.fail("liveness", f"a pass took more than an hour: {outcomes}")
        await self.heal()
        await self.end()

    async def heal(self) -> None:
        host, simulation = self.host, self.simulation
        simulation.cut_until.clear()
        host.full, host.slow, host.refuses = False, 1.0, 0
        host.traefik.silent, host.traefik.half_silent, host.traefik.lag = False, False, 0.05
        if host.traefik.down:
            host.traefik_begins()
        host.key_changed = False
        self.put_back()
        await asyncio.sleep(max(host.reachable_from - host.now, 0) + LEASE_SECONDS)

    async def end(self) -> None:
        simulation = self.simulation
        outcomes: list[Any] = []
        while self.passes < PASSES:
            self.passes += 1
            outcomes = await self.once()
            if outcomes and all(end.converged for end in outcomes):
                break
        wanted = "3" if self.newest == 3 else "2"
        running = [p.release.rpartition("-")[0] for p in self.host.systemd.processes if p.app == APP]
        simulation.oracles.checks["liveness"] += 1
        if running != [wanted] or not all(end.converged for end in outcomes):
            why = [(end.reason, end.actions) for end in outcomes]
            simulation.oracles.fail("liveness", f"{running} runs after {PASSES} passes, not {wanted}: {why}")
        simulation.oracles.quiet = True
        await asyncio.sleep(REST_SECONDS)
        await self.once()
        simulation.oracles.at_rest()
        await change_once_more(
            simulation, self.commits / f"commit-{self.newest}", Clone(self.commits, lambda: self.newest)
        )

    # What goes wrong.

    async def at_call(self, number: int, link: SimulatedHost) -> Alter:
        if number != self.ordered.call or self.call:
            return _same
        self.call = self.simulation.waist[-1].partition(" ")[2]
        self.simulation.trace.append(f"{self.simulation.clock.seconds:9.3f} MENU {self.ordered}")
        kind = self.ordered.kind
        if kind in LASTING or kind in OPERATOR or kind.startswith("power"):
            seconds = SHORT if self.ordered.heals else FOR_GOOD
            happen(self.simulation, Happening(0.0, kind, HOST, APP, seconds))
        elif kind == "host key changed":
            link.host.key_changed = True
            self._heal_soon(lambda: setattr(link.host, "key_changed", False))
        elif kind.startswith("the artifact"):
            self._spoil(kind)
            self._heal_soon(self.put_back)
        elif kind.startswith("git"):
            self.others.append(asyncio.ensure_future(self._use_git(kind)))
        elif kind.startswith("a second controller"):
            self._other(kind.split()[-2])
        elif kind.startswith("the controller sleeps"):
            self._other("newer" if "newer" in kind else "same", after=LEASE_SECONDS)
            await asyncio.sleep(2 * LEASE_SECONDS)
        elif kind == "cut before the effect":
            self.simulation.cut_link(link.controller, link.host, 1.0, silent=False)
        return self._alter(kind, link)

    def _other(self, commit: str, after: float = 0.0) -> None:
        """Another controller works, on another machine."""
        if commit == "newer":
            self.commit("3")

        async def work() -> None:
            await asyncio.sleep(after)
            await self.once(pinned=1 if commit == "older" else None)

        self.others.append(asyncio.ensure_future(work()))

    def _heal_soon(self, heal: Callable[[], None]) -> None:
        if self.ordered.heals:
            asyncio.get_running_loop().call_later(SHORT, heal)

    def _spoil(self, kind: str) -> None:
        """What the store holds under the name of version 2 is not what was committed."""
        place = self.build / "app-2.tar.gz"
        self.right = place.read_bytes()
        if kind.endswith("gone"):
            place.unlink()
        else:
            place.write_bytes((self.build / "app-3.tar.gz").read_bytes() if "other" in kind else self.right[:-200])

    def put_back(self) -> None:
        if self.right:
            (self.build / "app-2.tar.gz").write_bytes(self.right)

    async def _use_git(self, kind: str) -> None:
        """A controller on another machine reads a desired state that is none: it changes and removes nothing."""
        before = len(self.simulation.sent)
        name = self.simulation.new_controller()
        await self.once(git=kind, controller=name)
        for sent in self.simulation.sent[before:]:
            if sent.controller == name and sent.number and sent.verb != "finish":
                self.simulation.oracles.fail("10", f"{name} sends {sent.verb}, and {kind}")

    def _alter(self, kind: str, link: SimulatedHost) -> Alter:
        if "after the effect" in kind:

            def lose(reply: Completed) -> Completed:
                self.simulation.cut_link(link.controller, link.host, 1.0, silent=False)
                raise HostUnreachable(link.name, "the connection broke", "look again")

            return lose
        cut = {"no reply": 0.0, "half a reply": 0.5, "all but the end of a reply": 0.98}.get(kind)
        if cut is not None:
            return lambda reply: replace(reply, output=reply.output[: int(len(reply.output) * cut)])
        if kind == "noise before a reply":
            return lambda reply: replace(reply, output=NOISE + reply.output)
        if kind == "noise behind a reply":
            return lambda reply: replace(reply, output=reply.output + NOISE)
        return _same


def _same(reply: Completed) -> Completed:
    return reply
