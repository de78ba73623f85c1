"""What holds for `next_steps` in any fleet: any apps in any order on any hosts, some lost, some half done.

An engine in miniature begins what is allowed and lets the actions end in any order. Rules are checked at every turn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.decide.batches import groups
from reconciler.decide.budget import places
from reconciler.decide.expected import expected_host
from reconciler.decide.fleet import Answers, next_steps
from reconciler.decide.order import FleetStep
from reconciler.decide.slots import memory_of_second_copy_kib
from reconciler.model.action import AnyAction, Blocked, Converged, Migrate, StartInstance, WaitHealthy
from reconciler.model.desired import App
from reconciler.model.fleet import DesiredFleet, Key, SeenFleet, Wait
from reconciler.model.identity import Identity
from reconciler.model.observed import HostFacts, ObservedApp, ObservedHost, Slot, Unreachable
from reconciler.model.target import Target, TargetRoute
from tests.decide.test_fleet import app, serving
from tests.support.world import wanted

HOSTS = "abc"
NAMES = ("web", "db", "cache", "jobs")
COPY_KIB = 100_000
MOST_TURNS = 400
FEW = settings(max_examples=40, deadline=None)
_K = TypeVar("_K")
_V = TypeVar("_V")


@cache
def app_of(name: str, hosts: str, after: tuple[str, ...], batch: str) -> App:
    return app(name, list(hosts), after=list(after), rollout={"batch": batch})


def target_of(name: str, host: str, version: str, *, two_slots: bool, migrates: bool) -> Target:
    port = 4000 + 2 * NAMES.index(name)
    slots = (str(port), str(port + 1)) if two_slots else (str(port),)
    route = TargetRoute((f"{name}.example.com",), {slot: f"{name}-{slot}" for slot in slots})
    return wanted(version, slots=slots, app=name, host=host, migrates=migrates, route=route)


@dataclass(frozen=True)
class Case:
    desired: DesiredFleet
    seen: SeenFleet


def _seen_app(kind: str, target: Target) -> ObservedApp | None:
    """What is there of the app: nothing, an older version, a candidate beside it, or the desired version."""
    if kind == "nothing":
        return None
    before = serving(target if kind == "done" else replace(target, release=f"0-{'b' * 12}"))
    before = before.with_slot(replace(before.slots[0], memory_kib=COPY_KIB))
    if kind != "candidate" or target.one_slot:
        return before
    new = Identity(target.release or "", target.env, target.unit)
    trial = Slot(target.slots[1], new, state="active", running=new, on_trial=True, memory_kib=COPY_KIB)
    return replace(before.with_slot(trial), releases=(*before.releases, new.release), migrated=(new.release,))


@st.composite
def cases(draw: st.DrawFn, *, lost: bool = False) -> Case:
    """A fleet at rest: what is wanted, and what a first look at it has shown."""
    names = draw(st.permutations(NAMES))[: draw(st.integers(1, len(NAMES)))]
    targets: dict[Key, Target] = {}
    apps: dict[str, App] = {}
    looks: dict[str, ObservedHost | Unreachable] = {}
    for host in HOSTS:
        free_kib = draw(st.sampled_from([COPY_KIB * 1.3, COPY_KIB * 10]))
        facts = HostFacts(memory_available_kib=int(free_kib), cores=draw(st.integers(1, 2)))
        gone = lost and draw(st.integers(0, 3)) == 0
        looks[host] = Unreachable(host, "no route to host") if gone else ObservedHost(host, facts)
    for place, name in enumerate(sorted(names)):
        hosts = "".join(draw(st.permutations(HOSTS))[: draw(st.integers(1, 3))])
        after = tuple(draw(st.sets(st.sampled_from(sorted(names)[:place])))) if place else ()
        apps[name] = app_of(name, hosts, tuple(sorted(after)), draw(st.sampled_from(["1", "2", "50%"])))
        two_slots, migrates = draw(st.booleans()), draw(st.booleans())
        for host in hosts:
            target = target_of(name, host, "1", two_slots=two_slots, migrates=migrates)
            targets[name, host] = target
            found = _seen_app(draw(st.sampled_from(["nothing", "old", "candidate", "done"])), target)
            look = looks[host]
            if found and isinstance(look, ObservedHost):
                looks[host] = look.with_app(name, replace(found, owner="ours"))
    limits = draw(st.dictionaries(st.sampled_from(HOSTS), st.integers(1, 3)))
    names_in_order = draw(st.permutations(list(apps)))
    order = [(name, host) for name in names_in_order for host in apps[name].hosts]
    desired = DesiredFleet(
        {key: targets[key] for key in order}, apps, hosts=tuple(HOSTS), owner="ours", prunes=True,
        allow_prune=True, rollouts_at_once=limits,
    )  # fmt: skip
    return Case(desired, SeenFleet(looks))


# Any moment, also an unlikely one.


@st.composite
def moments(draw: st.DrawFn) -> Case:
    """A fleet in the middle of something: actions under way or failed, hosts lost, not seen yet, looked at again."""
    case = draw(cases(lost=True))
    keys = list(case.desired.targets)
    own = next_steps(case.desired, case.seen)
    acting = [key for key in keys if not isinstance(own[key], Converged | Blocked | Wait)]
    some_hosts = st.frozensets(st.sampled_from(HOSTS), max_size=2)
    some_keys = st.frozensets(st.sampled_from(keys), max_size=3)
    under_way = {key: own[key] for key in sorted(draw(some_keys)) if key in acting}
    failed = {key: Blocked(key[1], key[0], "it failed", kind="action") for key in sorted(draw(some_keys))}
    hidden = draw(some_hosts)
    return Case(
        case.desired,
        SeenFleet(
            {host: look for host, look in case.seen.hosts.items() if host not in hidden},
            under_way=under_way,  # type: ignore[arg-type]
            begun=draw(some_keys) | under_way.keys(),
            looking=draw(some_hosts) | hidden,
            closing=draw(some_hosts),
            failed=failed,
            queue=tuple(draw(st.permutations(keys))[: draw(st.integers(0, 3))]),
        ),
    )


@FEW
@given(moments())
def test_every_target_gets_one_answer_about_itself(case: Case) -> None:
    steps = next_steps(case.desired, case.seen)

    assert list(steps)[: len(case.desired.targets)] == list(case.desired.targets)
    assert all((step.app, step.host) == key for key, step in steps.items())


@FEW
@given(moments())
def test_an_app_whose_action_is_under_way_is_given_no_other(case: Case) -> None:
    steps = next_steps(case.desired, case.seen)

    assert {key: steps[key] for key in case.seen.under_way} == case.seen.under_way


@FEW
@given(moments())
def test_no_action_is_begun_on_a_host_that_is_not_known_or_whose_lease_is_given_back(case: Case) -> None:
    for (name, host), step in _begun(next_steps(case.desired, case.seen), case.seen):
        assert case.seen.host(host) is not None, step
        assert host not in case.seen.closing, step
        assert host not in case.seen.looking or (name, host) in case.seen.begun, step


@FEW
@given(moments(), st.randoms(use_true_random=False))
def test_the_answers_depend_on_no_order_but_the_one_that_people_wrote(case: Case, chance: Any) -> None:
    """The order of targets is theirs. In which order hosts were looked at, or actions begun, is an accident."""

    def shuffled(mapping: Mapping[_K, _V]) -> dict[_K, _V]:
        pairs = list(mapping.items())
        chance.shuffle(pairs)
        return dict(pairs)

    def host_shuffled(look: ObservedHost | Unreachable) -> ObservedHost | Unreachable:
        return replace(look, apps=shuffled(look.apps)) if isinstance(look, ObservedHost) else look

    seen, desired = case.seen, case.desired
    looks = {host: host_shuffled(look) for host, look in shuffled(seen.hosts).items()}
    other = replace(seen, hosts=looks, under_way=shuffled(seen.under_way), failed=shuffled(seen.failed))
    wanted_too = replace(desired, apps=shuffled(desired.apps), rollouts_at_once=shuffled(desired.rollouts_at_once))

    assert list(next_steps(wanted_too, other).items()) == list(next_steps(desired, seen).items())


# A whole rollout, whatever ends first.


@FEW
@given(cases(lost=True), st.randoms(use_true_random=False))
def test_whatever_ends_first_no_rule_is_broken_and_every_app_arrives(case: Case, chance: Any) -> None:
    desired = case.desired
    for seen, steps, answers in _unfold(case, chance):
        assert next_steps(desired, seen, answers) == steps, "what was decided before changes the answer"
        begun = dict(_begun(steps, seen))
        for key in begun.keys() - seen.begun:
            if _is_rolled_out(key, case):
                _check_order(key, desired, steps)
        _check_places(desired, seen, steps)
    lost = {host for host in HOSTS if case.seen.host(host) is None}
    for key, step in steps.items():
        waits_for_lost = lost and isinstance(step, Blocked) and step.kind == "waiting"
        assert key[1] in lost or waits_for_lost or isinstance(step, Converged), step


def _unfold(case: Case, chance: Any) -> Iterator[tuple[SeenFleet, dict[Key, FleetStep], Answers]]:
    """Every moment of a rollout: what is known, and what is decided, until nothing is left to do."""
    desired, seen, answers = case.desired, case.seen, Answers()
    for _ in range(MOST_TURNS):
        steps = next_steps(desired, seen, answers)
        yield seen, steps, answers
        under_way = {**seen.under_way, **dict(_begun(steps, seen))}
        if not under_way:
            return
        places_asked = [key for key, step in steps.items() if isinstance(step, Wait) and step.for_place]
        queue = [*(key for key in seen.queue if key in places_asked), *places_asked]
        key = chance.choice(list(under_way))
        action, look = under_way.pop(key), seen.host(key[1])
        assert look is not None
        target = desired.targets.get(key) or Target.removal(key[1], key[0])
        after = expected_host(look, action, target)
        seen = replace(
            seen.with_host(after),
            under_way=under_way,
            begun=seen.begun | {key} | under_way.keys(),
            queue=tuple(dict.fromkeys(queue)),
        )
    raise AssertionError(f"the rollout does not end: {steps}")


def _begun(steps: Mapping[Key, FleetStep], seen: SeenFleet) -> Iterator[tuple[Key, AnyAction]]:
    for key, step in steps.items():
        if not isinstance(step, Converged | Blocked | Wait) and key not in seen.under_way:
            yield key, step


def _is_rolled_out(key: Key, case: Case) -> bool:
    """True if the desired version did not serve there when it began; anything else is a correction."""
    look, target = case.seen.host(key[1]), case.desired.targets.get(key)
    assert look
    return target is not None and not any(
        slot.enabled and slot.prepared and slot.prepared.release == target.release for slot in look.app(key[0]).slots
    )


def _check_order(key: Key, desired: DesiredFleet, steps: Mapping[Key, FleetStep]) -> None:
    """What comes first is done: the apps in `after`, everywhere, and the hosts of the batches before."""
    name, host = key
    for (other, where), step in steps.items():
        if other in desired.apps[name].after:
            assert isinstance(step, Converged), f"{key} begins before {other} on {where}: {step}"
    seen_hosts = [each for each_name, each in desired.targets if each_name == name and _is_seen(steps[name, each])]
    for group in groups(seen_hosts, desired.apps[name].rollout.batch):
        if host in group:
            return
        for earlier in group:
            assert isinstance(steps[name, earlier], Converged), f"{key} begins before {earlier}"


def _is_seen(step: FleetStep) -> bool:
    return not (isinstance(step, Blocked) and step.kind == "unreachable")


def _check_places(desired: DesiredFleet, seen: SeenFleet, steps: Mapping[Key, FleetStep]) -> None:
    for host in desired.hosts:
        look = seen.host(host)
        starting = [key for key, step in steps.items() if look and key[1] == host and _is_starting(step, look)]
        if not look or len(starting) < 2:
            continue
        # An instance that another controller started, whose app waited for others until now, was not begun by us.
        if all(key in seen.under_way or isinstance(steps[key], WaitHealthy) for key in starting):
            continue
        first = {key for key, step in steps.items() if isinstance(step, WaitHealthy)}  # they hold their place already
        assert len(starting) <= max(places(host, desired, look), len(first & set(starting))), starting
        copies = [
            memory_of_second_copy_kib(next((slot for slot in look.app(name).slots if slot.enabled), None))
            for name, _ in starting
            if not desired.targets[name, host].one_slot
        ]
        assert sum(copies) <= look.facts.memory_available_kib or len(copies) < 2 or first, starting


def _is_starting(step: FleetStep, look: ObservedHost) -> bool:
    """True for what takes a place: something new. What served before takes none when it is started again."""
    if isinstance(step, WaitHealthy):
        slot = look.app(step.app).slot(step.slot)
        return slot.on_trial or not slot.enabled
    return isinstance(step, Migrate) or (isinstance(step, StartInstance) and step.drift is None)
