"""Random histories of a fleet: a seed decides apps, hosts, commits, controllers, and all that goes wrong meanwhile.

While it lasts every invariant is asked; then everything heals, and the newest commit must be reached within two passes.
"""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.simulator.controller import Clone, watching
from tests.simulator.happenings import CUTS, LASTING, OPERATOR, Happening, happen
from tests.simulator.scenario import change_once_more, remove_app, write_app
from tests.simulator.simulation import Fault, Simulation
from tests.simulator.stories import set_up

PASSES = 2
LEASE_SECONDS = 30.5
REST_SECONDS = 700.0
BACK_AFTER_SECONDS = 5.0  # a watch that died is started again by systemd
CALM_SECONDS = 240.0  # a watch has so long, after everything healed
BAD = ("bad", "dying", "silent", "unmigrated")


@dataclass(frozen=True)
class Wanted:
    """An app as a commit has it; None in the history for one that is not there."""

    version: str
    greeting: str
    hosts: tuple[str, ...]
    routed: bool = True
    worker: bool = False
    migrates: bool = False
    one_slot: bool = False


Commit = dict[str, Wanted]


@dataclass(frozen=True)
class Plan:
    """All that a seed decides, in words that can be read."""

    seed: int
    hosts: tuple[str, ...]
    commits: tuple[tuple[float, Commit | str], ...]  # when, and what: a text is a commit that cannot be used
    controllers: tuple[str, ...]  # "watch", "once", "behind"
    happenings: tuple[Happening, ...]
    faults: tuple[Fault, ...]
    kills: tuple[tuple[float, int], ...]
    processes: tuple[str, ...] = ()  # of each app
    jobs: tuple[str, ...] = ()  # of each app, every minute on the first of its hosts

    def __str__(self) -> str:
        lines = [f"seed {self.seed}: {len(self.hosts)} hosts, controllers: {', '.join(self.controllers)}"]
        lines += [f"every app has the processes {', '.join(self.processes)}"] if self.processes else []
        lines += [f"every app has the jobs {', '.join(self.jobs)}"] if self.jobs else []
        for at, commit in self.commits:
            what = (
                commit if isinstance(commit, str) else "; ".join(_app_words(*each) for each in sorted(commit.items()))
            )
            lines.append(f"{at:6.1f} s: commit {what or 'nothing'}")
        lines += [str(each) for each in self.happenings]
        lines += [f"{at:6.1f} s: controller {number} is killed" for at, number in self.kills]
        return "\n".join([*lines, *map(str, self.faults)])


def _app_words(app: str, wanted: Wanted) -> str:
    more = [word for word in ("worker", "migrates", "one_slot") if getattr(wanted, word)]
    more += [] if wanted.routed else ["no route"]
    return " ".join([app, wanted.version, wanted.greeting, "on", "+".join(wanted.hosts), *more])


@dataclass
class Lived:
    """How it went."""

    plan: Plan
    broken: list[tuple[str, str]] = field(default_factory=list)
    checks: dict[str, int] = field(default_factory=dict)
    virtual_seconds: float = 0.0
    requests: float = 0.0
    lost: float = 0.0
    passes: int = 0
    trace: list[str] = field(default_factory=list)


def plan_of(seed: int) -> Plan:
    dice = random.Random(seed)
    hosts = tuple(f"web{number}" for number in range(1, dice.choice((1, 1, 2, 2, 3)) + 1))
    apps = [f"app{number}" for number in range(1, dice.choice((1, 1, 2, 3)) + 1)]
    kinds = {app: dice.choice(("", "", "", "worker", "migrates", "one_slot")) for app in apps}
    lasts = dice.uniform(20, 120)
    state: Commit = {app: _first(dice, kinds[app], hosts) for app in apps}
    commits: list[tuple[float, Commit | str]] = [(0.0, dict(state))]
    for at in sorted(dice.uniform(0, lasts) for _ in range(dice.choice((1, 1, 2, 3, 4)))):
        commits.append((at, _next(dice, state, kinds, hosts)))
    last = {app: _good(wanted) for app, wanted in state.items()}
    commits.append((lasts + 1, last or {apps[0]: _first(dice, kinds[apps[0]], hosts)}))
    controllers = dice.choice((("watch",), ("once",), ("watch", "watch"), ("once", "watch"), ("watch", "behind")))
    happenings = [_happening(dice, lasts, hosts, apps) for _ in range(dice.choice((0, 0, 1, 2, 3)))]
    faults = [_fault(dice) for _ in range(dice.choice((0, 0, 1, 1, 2)))]
    kills = [(dice.uniform(0, lasts), dice.randrange(len(controllers))) for _ in range(dice.choice((0, 0, 1, 2)))]
    return Plan(seed, hosts, tuple(commits), controllers, tuple(sorted(happenings, key=lambda h: h.at)), tuple(faults),
                tuple(sorted(kills)), _processes(seed), _jobs(seed))  # fmt: skip


def _processes(seed: int) -> tuple[str, ...]:
    """Decided by dice of their own, so that the other words of a seed are the same with and without them."""
    return random.Random(f"processes of {seed}").choice(((), (), ("mailer",), ("mailer", "worker")))


def _jobs(seed: int) -> tuple[str, ...]:
    return random.Random(f"jobs of {seed}").choice(((), (), ("report",), ("clean", "report")))


def _first(dice: random.Random, kind: str, hosts: tuple[str, ...]) -> Wanted:
    on = tuple(sorted(dice.sample(hosts, dice.randint(1, len(hosts)))))
    return Wanted("1", "hello", on, kind != "worker", kind == "worker", kind == "migrates", kind == "one_slot")


def _good(wanted: Wanted) -> Wanted:
    return Wanted(**{**vars(wanted), "version": "2" if wanted.version in BAD else wanted.version})


def _next(dice: random.Random, state: Commit, kinds: dict[str, str], hosts: tuple[str, ...]) -> Commit | str:
    """The next commit: one or two apps change, or it cannot be used at all."""
    if dice.random() < 0.08:
        return dice.choice(("broken", "empty"))
    for app in dice.sample(sorted(kinds), min(len(kinds), dice.choice((1, 1, 2)))):
        was = state.get(app)
        if was is None:
            state[app] = _first(dice, kinds[app], hosts)
            continue
        change = dice.choice(("version", "version", "version", "bad", "env", "hosts", "remove", "route"))
        new: dict[str, Any] = dict(vars(was))
        if change == "version":
            new["version"] = dice.choice([each for each in ("1", "2", "3") if each != was.version])
        elif change == "bad":
            new["version"] = dice.choice(BAD if was.migrates else BAD[:-1])
        elif change == "env":
            new["greeting"] = dice.choice(("hello", "good day", "hi"))
        elif change == "hosts":
            new["hosts"] = tuple(sorted(dice.sample(hosts, dice.randint(1, len(hosts)))))
        elif change == "route" and not was.worker:
            new["routed"] = not was.routed
        if change == "remove" and len(state) > 1:
            del state[app]
        else:
            state[app] = Wanted(**new)
    return dict(state)


def _happening(dice: random.Random, lasts: float, hosts: tuple[str, ...], apps: list[str]) -> Happening:
    kind = dice.choice([*LASTING, *OPERATOR, *CUTS, "power lost", "link cut", "link silent"])
    app = dice.choice(apps) if kind in OPERATOR else ""
    return Happening(dice.uniform(0, lasts), kind, dice.choice(hosts), app, dice.choice((1.0, 5.0, 20.0, 60.0)))


def _fault(dice: random.Random) -> Fault:
    kind = dice.choice(("fail", "fail after", "kill", "cut", "silent", "power lost", "power torn", "full"))
    return Fault(kind, dice.randint(1, 25), dice.randint(0, 45), dice.choice((0.7, 5.0, 40.0)))


# Living through it.


def live(seed: int) -> Lived:
    plan = plan_of(seed)
    with Simulation(seed, plan.hosts, list(plan.faults), shuffles=True, allows_prune=True) as simulation:
        began = simulation.clock.seconds
        life = _Life(simulation, plan)
        simulation.run(life.live())
        oracles = simulation.oracles
        return Lived(
            plan, [(each.oracle, each.what) for each in oracles.broken], dict(oracles.checks),
            simulation.clock.seconds - began, oracles.requests, oracles.lost, life.passes, simulation.trace,
        )  # fmt: skip


class _Life:
    def __init__(self, simulation: Simulation, plan: Plan) -> None:
        self.simulation, self.plan = simulation, plan
        self.commits = simulation.folder.parent
        self.newest = 0
        self.passes = 0
        self.over = False
        self.names: dict[int, str] = {}
        self.wakes: dict[int, Callable[[], None]] = {}
        self.kills: dict[int, Callable[[], None]] = {}
        self.now: Commit = {}

    async def live(self) -> None:
        simulation, plan = self.simulation, self.plan
        set_up(simulation)
        loop = asyncio.get_running_loop()
        self.commit(plan.commits[0][1])
        for at, commit in plan.commits[1:]:
            loop.call_later(at, self.commit, commit)
        for it in plan.happenings:
            loop.call_later(it.at, happen, simulation, it)
        for at, number in plan.kills:
            loop.call_later(at, self.kill, number)
        tasks = [asyncio.ensure_future(self.control(number, kind)) for number, kind in enumerate(plan.controllers)]
        over = max(at for at, _ in plan.commits) + 1
        over = max([over, *(it.at + it.seconds * (it.kind in LASTING) for it in plan.happenings)])
        await asyncio.sleep(over)
        simulation.faults.clear()
        await self.heal()
        self.over = True
        await self.calm()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.end()

    def commit(self, commit: Commit | str) -> None:
        """A new newest commit, in a folder of its own."""
        simulation = self.simulation
        self.newest += 1
        simulation.trace.append(f"{simulation.clock.seconds:9.3f} COMMIT {self.newest}: {commit}")
        place = self.commits / f"commit-{self.newest}"
        if isinstance(commit, str):
            shutil.copytree(simulation.folder, place)
            for path in (place / "apps").iterdir():
                path.write_text("app: [") if commit == "broken" else path.unlink()
        else:
            self.write(commit)
            shutil.copytree(simulation.folder, place)
        for wake in self.wakes.values():
            wake()

    def write(self, commit: Commit) -> None:
        simulation, before = self.simulation, self.now
        for app in before.keys() - commit.keys():
            remove_app(simulation, app)
            simulation.oracles.changes_mind(app)
        for app, wanted in commit.items():
            number = int(app.removeprefix("app"))
            write_app(simulation, app, wanted.version, number=number, **self.keys_of(wanted, number))
            wish = simulation.oracles.wishes[app]
            wish.hosts = set(wanted.hosts)
            if wanted.one_slot:
                wish.slots = (str(4000 + 10 * number),)
            was = before.get(app)
            if was is None or (was.hosts, was.routed) != (wanted.hosts, wanted.routed):
                simulation.oracles.changes_mind(app)
        self.now = dict(commit)

    def keys_of(self, wanted: Wanted, number: int) -> dict[str, Any]:
        """What people write of this app beside its version."""
        keys: dict[str, Any] = {"hosts": list(wanted.hosts), "env": {"GREETING": wanted.greeting}}
        if wanted.worker:
            keys |= {"ports": None, "route": None, "health": None}
        if wanted.one_slot:
            keys["ports"] = [4000 + 10 * number]
        if wanted.migrates:
            keys["migrate"] = "bin/run migrate"
        if not wanted.routed:
            keys["route"] = None
        if self.plan.processes:
            named = {name: {"start": "bin/run start", "minimum_healthy_seconds": 1} for name in self.plan.processes}
            keys["processes"] = named
        if self.plan.jobs:
            keys["jobs"] = {name: {"run": "bin/run report", "at": "minutely"} for name in self.plan.jobs}
        return keys

    # Controllers.

    async def control(self, number: int, kind: str) -> None:
        while not self.over or kind == "watch":
            name = self.names[number] = self.simulation.new_controller()
            origin = Clone(self.commits, newest=lambda: self.newest, pinned=1 if kind == "behind" else None)
            self.simulation.origins[name] = origin
            if kind == "watch":
                await self.watch(number, name, origin)
            else:
                self.kills[number] = lambda name=name: self.simulation.kill_controller(name)  # type: ignore[misc]
                await self.simulation.once(name, origin=origin, wait_lock_seconds=30.0)
            await asyncio.sleep(BACK_AFTER_SECONDS + self.simulation.dice.uniform(5, 30) * (kind != "watch"))

    async def watch(self, number: int, name: str, origin: Clone) -> None:
        simulation = self.simulation

        def reported(ends: list[Any]) -> None:
            simulation.oracles.reported(ends, name)

        settings: dict[str, Any] = {"allow_prune": True, "reported": reported}
        async with watching(origin, simulation.links(name), name, simulation.say, **settings) as watch:
            assert watch.task is not None
            self.wakes[number] = watch.wake
            simulation.tasks[name] = watch.task

            def kill() -> None:
                simulation.kill_controller(name)
                watch.kill()

            self.kills[number] = kill
            try:
                await asyncio.wait([watch.task])
            finally:
                self.wakes.pop(number, None)

    def kill(self, number: int) -> None:
        name = self.names.get(number)
        if name and name not in self.simulation.dead and not self.over:
            self.simulation.trace.append(f"{self.simulation.clock.seconds:9.3f} KILL {name}")
            self.kills[number]()

    # The end.

    async def heal(self) -> None:
        simulation = self.simulation
        simulation.cut_until.clear()
        for host in simulation.hosts.values():
            host.full, host.slow, host.refuses = False, 1.0, 0
            if host.now < host.reachable_from:
                await asyncio.sleep(host.reachable_from - host.now + 1.5)

    async def calm(self) -> None:
        """Everything is well, and the newest commit stays the newest."""
        self.simulation.trace.append(f"{self.simulation.clock.seconds:9.3f} CALM")
        watches = any(kind == "watch" for kind in self.plan.controllers)
        await asyncio.sleep(CALM_SECONDS if watches else LEASE_SECONDS + 60)
        if watches:
            self.check("after a watch had its time")

    def check(self, when: str) -> None:
        oracles = self.simulation.oracles
        for app, wanted in self.now.items():
            for name in wanted.hosts:
                host = self.simulation.hosts[name]
                oracles.checks["liveness"] += 1
                running = [p.release.rpartition("-")[0] for p in host.systemd.processes if p.app == app]
                if running != [wanted.version]:
                    oracles.fail("liveness", f"{when} {app} {wanted.version} is wanted on {name}, and {running} runs")
                elif wanted.routed and not oracles.serves(host, app):
                    oracles.fail("liveness", f"{when} {app} on {name} does not serve its visitors")

    async def end(self) -> None:
        """Two passes are enough, wherever it was left; then there is nothing to do."""
        simulation = self.simulation
        clone = Clone(self.commits, newest=lambda: self.newest)
        await asyncio.sleep(LEASE_SECONDS)
        outcomes: list[Any] = []
        while self.passes < PASSES:
            self.passes += 1
            outcomes = await simulation.once(origin=clone)
            if outcomes and all(end.converged for end in outcomes):
                break
        if not outcomes or not all(end.converged for end in outcomes):
            why = [(end.app, end.host, end.reason, end.actions) for end in outcomes if not end.converged]
            simulation.oracles.fail("liveness", f"not converged after {PASSES} passes: {why}")
        self.check("in the end")
        simulation.oracles.quiet = True
        await asyncio.sleep(REST_SECONDS)
        await simulation.once(origin=clone)
        simulation.oracles.at_rest()
        await change_once_more(simulation, self.commits / f"commit-{self.newest}", clone)
