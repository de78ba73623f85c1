"""Every crash point: a story is interrupted at each boundary of each script, in each way, and must still end well.

The undisturbed run keeps a copy of the host before each change, unless a script runs. A disturbed run begins from the
last of them: a controller keeps no progress, so a fresh one takes the same steps next.
"""

from __future__ import annotations

import asyncio
import copy
import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from tests.simulator.scenario import change_once_more
from tests.simulator.simulation import BEFORE, REPLIED, REPLY, Counters, Fault, Simulation
from tests.simulator.stories import STORIES, End, Story, come_to, end_of
from tests.simulator.world.host import Host, HostCopy

KINDS = ("kill", "kill known", "kill late", "cut", "silent", "power lost", "power torn", "power kept",
         "power lost etc", "power lost srv", "power lost var")  # fmt: skip
FAILS = ("fail", "fail after", "full", "no effect")
UPLOADS = ("upload cut", "upload stalls")
TAKES_INPUT = ("install", "start", "cutover", "goback", "reject", "repair", "migrate", "hook", "finish", "schedule",
               "copy")  # fmt: skip
ALL_KINDS = (*KINDS, *FAILS, *UPLOADS)
KIND_PLACES = 32  # of a number
# Says 0 and has done nothing: what systemd was told to do. Of a rename or a copy the kernel says the truth.
CLAIMED = re.compile(r": systemctl (?!--version|.*\b(is-active|is-enabled|show|list-units|daemon-reload)\b)")
LEASE_SECONDS = 30.5
PASSES = 2  # after the faults, until converged
REST_SECONDS = 700.0  # in which everything that was begun must have ended
MEMORY = ("wishes", "manifests", "ready", "served", "since", "strangers")


@dataclass(frozen=True)
class Point:
    """A boundary of the undisturbed run."""

    change: int
    verb: str
    boundary: int
    command: str
    moved: bool  # something has changed since the boundary before


@dataclass
class Reference:
    """The undisturbed run."""

    story: Story
    copies: dict[int, HostCopy] = field(default_factory=dict)
    memory: dict[int, dict[str, Any]] = field(default_factory=dict)
    counted: dict[int, Counters] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)
    executed: set[tuple[str, tuple[str, int]]] = field(default_factory=set)
    allows_prune: bool = False
    desired: dict[str, bytes] = field(default_factory=dict)
    good: set[str] = field(default_factory=set)
    end: dict[str, End] = field(default_factory=dict)
    counters: Counters = field(default_factory=Counters)
    checks: int = 0
    seconds: float = 0.0
    controllers: int = 0

    def verb_of(self, change: int) -> str:
        return next((point.verb for point in self.points if point.change == change), "")


@dataclass(frozen=True)
class Result:
    """How a disturbed run ended."""

    number: int
    story: str
    fault: str
    kind: str
    verb: str
    command: str
    broken: tuple[tuple[str, str], ...]
    happened: bool
    passes: int
    checks: int
    virtual_seconds: float
    requests: float
    lost: float
    second: str = ""
    oracles: tuple[tuple[str, int], ...] = ()  # how often each was asked
    recovery: tuple[tuple[int, str, int, str], ...] = ()  # boundaries after the fault, of (change, verb, …, command)

    @property
    def passed(self) -> bool:
        return not self.broken


def number_of(story: Story, change: int, boundary: int, kind: str) -> int:
    """The integer that stands for a run; see `fault_of`."""
    return STORIES.index(story) << 20 | _packed(change, boundary, kind)


def number_of_pair(first: int, change: int, boundary: int, kind: str) -> int:
    """The integer that stands for a run in which a second fault strikes at this boundary of the recovery."""
    return (1 << 20 | _packed(change, boundary, kind)) << 32 | first


def _packed(change: int, boundary: int, kind: str) -> int:
    place = {BEFORE: 1022, REPLY: 1020, REPLIED: 1021}.get(boundary, boundary)
    return (change * 1024 + place) * KIND_PLACES + ALL_KINDS.index(kind)


def _unpacked(number: int) -> tuple[int, int, str]:
    rest, kind = divmod(number & ((1 << 20) - 1), KIND_PLACES)
    change, place = divmod(rest, 1024)
    return change, {1022: BEFORE, 1020: REPLY, 1021: REPLIED}.get(place, place), ALL_KINDS[kind]


def fault_of(number: int) -> tuple[Story, int, int, str]:
    """Story, change, boundary and kind of a run, or of the first fault of one that has two."""
    return STORIES[(number & ((1 << 32) - 1)) >> 20], *_unpacked(number)


def second_of(number: int) -> Fault | None:
    """The fault that strikes during the recovery from the first one."""
    if not number >> 32:
        return None
    change, boundary, kind = _unpacked(number >> 32)
    return Fault(kind, change, boundary, 0.7)


def undisturbed(story: Story) -> Reference:
    """Run it once, and keep what the disturbed runs begin with. Raises Broken."""
    reference = Reference(story)
    with Simulation(1) as simulation:
        memory = simulation.oracles

        async def told() -> None:
            await come_to(simulation, story)
            simulation.changes, before = 0, len(simulation.points)
            base = replace(simulation.counters)
            keep(0, simulation.hosts["web1"])
            simulation.before_change = keep
            moved.append(len(simulation.points))
            outcomes = await simulation.once()
            reference.controllers = simulation.controllers
            simulation.before_change = None
            _check_lease(simulation)
            _check_end(simulation, story, outcomes)
            reference.points = _points(simulation, before)
            reference.counters = _difference(simulation.counters, base)
            for change, counted in reference.counted.items():
                reference.counted[change] = _difference(counted, base)
            await _rest(simulation)
            _check_facts(simulation, story, reference.counters)
            reference.end = end_of(simulation)

        moved: list[int] = []

        def keep(change: int, host: Host) -> None:
            if host.runs:  # an app and its processes are changed side by side
                return
            reference.copies[change] = host.copy()
            reference.memory[change] = {name: copy.deepcopy(getattr(memory, name)) for name in MEMORY}
            reference.counted[change] = replace(simulation.counters)

        simulation.run(told())
        memory.check()
        reference.executed = set(simulation.executed)
        reference.desired = {
            str(path.relative_to(simulation.folder)): path.read_bytes() for path in simulation.folder.rglob("*.yaml")
        }
        build = simulation.folder.parent / "build"
        reference.desired |= {f"../build/{path.name}": path.read_bytes() for path in build.iterdir()}
        reference.allows_prune = simulation.allows_prune
        reference.good = set(simulation.good_versions)
        reference.checks = memory.checks.total()
        reference.seconds = simulation.clock.seconds
    return reference


def _check_lease(simulation: Simulation) -> None:
    """A pass that is over has given the lease back: the next controller need not wait for it."""
    host = simulation.hosts["web1"]
    lease = host.files.text("var/lib/reconcile/lease").split()
    if lease and int(lease[2]) > host.now - host.boot_seconds:
        simulation.oracles.fail("16", f"{lease[4]} still has the lease")


def _check_facts(simulation: Simulation, story: Story, counters: Counters) -> None:
    """What is known of the end without a reference."""
    names = simulation.hosts["web1"].files.names("srv/hello/releases")
    versions = tuple(sorted(name.rpartition("-")[0] for name in names))
    if story.keeps and versions != story.keeps:
        simulation.oracles.fail("end state", f"releases {versions} are kept, not {story.keeps}")
    host = simulation.hosts["web1"]
    for path in host.files.now:
        if path.endswith("/inventory"):
            for line in host.files.text(path).splitlines():
                digest, _, file = line.partition("  ")
                content = host.files.text(file.removeprefix(f"{host.root}/")).encode()
                if hashlib.sha256(content).hexdigest() != digest:
                    simulation.oracles.fail("end state", f"{file.rpartition('/')[2]} is not as it was written")
    if counters.hooks != story.hooks:
        simulation.oracles.fail("counts", f"{counters.hooks} hooks, not {story.hooks}")
    if counters.migrations != story.migrations:
        simulation.oracles.fail("counts", f"{counters.migrations} migrations, not {story.migrations}")


def _points(simulation: Simulation, before: int) -> list[Point]:
    return [Point(*each, moved=each[:3] in simulation.moved) for each in simulation.points[before:]]


def _difference(now: Counters, before: Counters) -> Counters:
    return Counters(**{name: value - getattr(before, name) for name, value in vars(now).items()})


def every_point(reference: Reference, kinds: tuple[str, ...] = KINDS) -> Iterator[int]:
    """The numbers of all disturbed runs of a story."""
    story = reference.story
    for change in sorted({point.change for point in reference.points}):
        for kind in kinds:
            for boundary in (BEFORE, REPLY, REPLIED):
                if kind not in (*FAILS, *UPLOADS):
                    yield number_of(story, change, boundary, kind)
            if kind in UPLOADS and reference.verb_of(change) in TAKES_INPUT:
                for at in (0, 1, 511, 1000):
                    yield number_of(story, change, at, kind)
        for point in (each for each in reference.points if each.change == change):
            for kind in kinds:
                if kind not in UPLOADS and _can_strike(kind, point):
                    yield number_of(story, change, point.boundary, kind)


def _can_strike(kind: str, point: Point) -> bool:
    """It makes a difference there, and could happen."""
    if kind == "no effect":
        return bool(CLAIMED.search(point.command))
    return point.moved or not kind.startswith("power")


def fair_sample(reference: Reference, count: int, kinds: tuple[str, ...] = ALL_KINDS) -> list[int]:
    """So many runs of a story, of every kind and from its beginning to its end."""
    numbers = sorted(set(every_point(reference, kinds)), key=lambda number: (number % KIND_PLACES, number))
    step = max(1.0, len(numbers) / count)
    return [numbers[int(at * step)] for at in range(min(count, len(numbers)))]


def disturbed(reference: Reference, number: int) -> Result:
    """One run."""
    second = second_of(number)
    story, change, boundary, kind = fault_of(number)
    verb = reference.verb_of(change)
    start = max(each for each in reference.copies if each <= change - (verb == "finish"))
    first = change - max(start, 1) + 1  # of those that a fresh controller sends: 0 and 1 are both before the first
    late = kind == "kill late"
    fault = Fault("kill" if late else kind, first, boundary, 40.0 if late else 0.7)
    command = next((p.command for p in reference.points if (p.change, p.boundary) == (change, boundary)), "")
    with Simulation(number) as simulation:
        simulation.faults = [fault, *([second] if second else [])]
        _begin_from(simulation, reference, start)
        passes = simulation.run(_recover(simulation, reference, story, start))
        found = list(simulation.oracles.broken)
        return Result(
            number, story.name, str(fault), kind, verb, command, tuple((each.oracle, each.what) for each in found),
            bool(simulation.struck), passes, simulation.oracles.checks.total(),
            simulation.clock.seconds - reference.copies[start].seconds, simulation.oracles.requests,
            simulation.oracles.lost, str(second or ""), tuple(simulation.oracles.checks.items()),
            tuple(point for point in simulation.points if point[0] > first),
        )  # fmt: skip


def _begin_from(simulation: Simulation, reference: Reference, start: int) -> None:
    for path, content in reference.desired.items():
        place = simulation.folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    for name, value in copy.deepcopy(reference.memory[start]).items():
        setattr(simulation.oracles, name, value)
    simulation.good_versions = set(reference.good)
    simulation.allows_prune = reference.allows_prune
    simulation.clock.seconds = reference.copies[start].seconds


async def _recover(simulation: Simulation, reference: Reference, story: Story, start: int) -> int:
    host = simulation.hosts["web1"]
    host.restore(reference.copies[start])
    base = replace(simulation.counters)
    simulation.controllers = reference.controllers
    await simulation.once(f"controller{reference.controllers}")
    await _until_up(simulation)
    if simulation.dead - simulation.abandoned or simulation.power_cuts:
        await asyncio.sleep(LEASE_SECONDS)  # nobody can see that its holder is gone
    passes = await _converge(simulation, story)
    await _rest(simulation)
    _compare(simulation, reference, start, base)
    await change_once_more(simulation, simulation.folder)
    return passes


async def _converge(simulation: Simulation, story: Story) -> int:
    """Pass by pass; those in which no fault strikes any more are counted, and must be few."""
    outcomes: list[Any] = []
    passes = 0
    while passes < PASSES:
        struck, dead = len(simulation.struck), len(simulation.dead)
        outcomes = await simulation.once()
        await _until_up(simulation)
        if len(simulation.struck) > struck:
            if len(simulation.dead - simulation.abandoned) > dead or simulation.power_cuts:
                await asyncio.sleep(LEASE_SECONDS)
            continue
        passes += 1
        if _is_reached(story, outcomes):
            break
    _check_end(simulation, story, outcomes)
    return passes


async def _until_up(simulation: Simulation) -> None:
    host = simulation.hosts["web1"]
    if not host.up or host.now < host.reachable_from:
        await asyncio.sleep(max(host.reachable_from - host.now, 0) + 1.5)
    while host.full:
        await asyncio.sleep(0.1)
    until = max([*simulation.cut_until.values(), 0.0])
    if until > host.now:
        await asyncio.sleep(until - host.now + 0.1)


def _is_reached(story: Story, outcomes: list[Any]) -> bool:
    if story.converges:
        return bool(outcomes) and all(end.converged for end in outcomes)
    return [end.kind for end in outcomes if end.app == "hello"] == ["quarantined"]


def _check_end(simulation: Simulation, story: Story, outcomes: list[Any]) -> None:
    oracles = simulation.oracles
    oracles.checks["liveness"] += 1
    if not _is_reached(story, outcomes):
        oracles.fail("liveness", f"not as wanted after {PASSES} passes: {[(e.reason, e.actions) for e in outcomes]}")
    running = [p.release.rpartition("-")[0] for p in simulation.hosts["web1"].systemd.processes if p.app == "hello"]
    if running != ([story.serves] if story.serves else []):
        oracles.fail("liveness", f"{running} runs in the end, not {story.serves or 'nothing'}")


async def _rest(simulation: Simulation) -> None:
    """Nothing is to do any more: a pass sends nothing but a look, and what was begun has ended."""
    simulation.oracles.quiet = True
    await asyncio.sleep(REST_SECONDS)
    await simulation.once()
    simulation.oracles.quiet = False
    simulation.oracles.at_rest()


def _compare(simulation: Simulation, reference: Reference, start: int, base: Counters) -> None:
    """The end is the same as undisturbed, and so is the way there but for what had to be done once more."""
    oracles, now = simulation.oracles, end_of(simulation)
    oracles.checks["end state"] += 1
    for name, end in now.items():
        expected = reference.end[name]
        for what in ("apps", "releases", "files", "quarantined", "held"):
            there, wanted = getattr(end, what), getattr(expected, what)
            if there != wanted:
                more, less = (
                    sorted((Counter(there) - Counter(wanted)).elements()),
                    sorted((Counter(wanted) - Counter(there)).elements()),
                )
                oracles.fail("end state", f"{what} on {name}: more {more}, less {less}")
    done = _difference(simulation.counters, base)
    before = reference.counted[start]
    for what, value in vars(done).items():
        oracles.checks["counts"] += 1
        expected_count = getattr(reference.counters, what) - getattr(before, what)
        if value > expected_count + (_repeats(simulation) if what != "hooks" else 0):
            oracles.fail("counts", f"{what}: {value} times, undisturbed {expected_count}")


def _repeats(simulation: Simulation) -> int:
    """How often something may be done once more: never, if the fault struck between two scripts."""
    halfway = [each for each in simulation.struck if each.point not in (BEFORE, REPLIED)]
    parts = max(1 + len(wish.processes) for wish in simulation.oracles.wishes.values())  # each has lost its trial
    return len(halfway) + parts * simulation.power_cuts
