"""Certificates and entry points in the model: what a pass waits for, asks again, and tells people."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.decide.certificates import ASKED_FOR_SECONDS, RETRY_SECONDS, first_end
from reconciler.decide.next_action import next_action
from reconciler.decide.plan import plan
from reconciler.model.action import Blocked, Converged, RetryCertificates, Step, WaitCertified
from reconciler.model.observed import Certificate, HostFacts, ObservedHost
from reconciler.model.target import OwnCertificate, Target, TargetRoute
from tests.support.world import World, run_pass, wanted

NOW = 1_800_000_000
DEFAULT = Certificate((), NOW + 1_000_000)


def routed(*names: str, **changes: object) -> Target:
    route = TargetRoute(names, {"4000": "route-4000", "4001": "route-4001"}, certified=names)
    return wanted(route=replace(route, **changes))  # type: ignore[arg-type]


def converged_world(target: Target) -> World:
    world = World()
    world.seen = replace(world.seen, facts=HostFacts(now_epoch_seconds=NOW, memory_available_kib=1_000_000))
    assert isinstance(run_pass(world, target), Converged)
    return world


def look(world: World, *certificates: Certificate, age_seconds: int, at: int = NOW) -> ObservedHost:
    """What a look shows when the route was written so long ago."""
    seen, app = world.look(), world.app
    assert app.route
    seen = seen.with_app("hello", replace(app, route=replace(app.route, age_seconds=age_seconds)))
    return replace(seen, certificates=certificates, certificates_at=at)


def verbs(target: Target, seen: ObservedHost) -> list[str]:
    return [action.verb for action in plan(target, seen).actions]


@pytest.mark.parametrize(
    ("age_seconds", "expected"), [(0, "certify"), (14, "certify"), (15, ""), (3599, ""), (3600, "retry")]
)
def test_a_certificate_has_fifteen_seconds_to_come_and_is_asked_for_again_after_an_hour(
    age_seconds: int, expected: str
) -> None:
    target = routed("example.com")

    step = next_action(target, look(converged_world(target), DEFAULT, age_seconds=age_seconds))

    assert ("" if isinstance(step, Converged | Blocked) else step.verb) == expected


def test_what_is_waited_for_and_asked_for_again_is_named() -> None:
    target = routed("example.com", "www.example.com")
    names = "example.com, www.example.com"
    world = converged_world(target)

    def step(age_seconds: int) -> Step:
        return next_action(target, look(world, DEFAULT, age_seconds=age_seconds))

    waiting, retry, end = step(2), step(3600), step(100)
    assert waiting == WaitCertified(
        "a", "hello", "within 15 s; visitors are served meanwhile", ("example.com", "www.example.com")
    )
    assert isinstance(retry, RetryCertificates)
    assert retry.reason == f"no certificate for {names}; Traefik asks for it again only when its configuration changes"
    assert isinstance(end, Converged)
    assert end.note == f"https for {names} is answered with Traefik's default certificate"


def test_certificates_seen_at_the_last_change_are_ignored_and_those_seen_later_are_not() -> None:
    target = routed("example.com")
    world = converged_world(target)

    assert verbs(target, look(world, age_seconds=60, at=NOW - 60)) == ["certify"]
    assert verbs(target, look(world, age_seconds=60, at=NOW - 59)) == []


def test_a_worker_needs_no_certificate_and_its_neighbours_ask_for_theirs_all_the_same() -> None:
    target, worker = routed("example.com"), wanted(route=None, health_path=None)
    seen = look(converged_world(target), DEFAULT, age_seconds=2)
    beside = seen.with_app("worker", replace(seen.app("hello"), route=None, applied=None))

    assert verbs(target, beside) == ["certify"]
    assert isinstance(next_action(replace(worker, app="worker"), beside), Converged)


def test_a_name_with_its_certificate_needs_nothing() -> None:
    target = routed("example.com", "a.example.com")
    held = Certificate(("*.example.com", "example.com"), NOW + 10)

    end = next_action(target, look(converged_world(target), DEFAULT, held, age_seconds=9))

    assert end == Converged("a", "hello", "1", "4000")


def test_a_new_route_gets_time_for_its_certificate() -> None:
    target = routed("example.com")

    assert verbs(target, look(converged_world(target), DEFAULT, age_seconds=2)) == ["certify"]


def test_certificates_seen_before_the_last_change_are_ignored() -> None:
    """The rollout drained for a minute since; nobody has looked whether the certificate has come."""
    target = routed("example.com")

    assert verbs(target, look(converged_world(target), age_seconds=60, at=NOW - 70)) == ["certify"]


def test_a_missing_certificate_is_reported_and_blocks_nothing() -> None:
    target = routed("example.com", "www.example.com")
    held = Certificate(("www.example.com",), NOW + 10)
    seen = look(converged_world(target), held, age_seconds=2)

    end = next_action(target, seen.with_app("hello", replace(seen.app("hello"), uncertified="not within 15 s")))

    assert isinstance(end, Converged)
    assert end.note == "https for example.com is answered with Traefik's default certificate"
    assert "reconcile retry hello" in (end.next_step or "")


def test_everything_that_is_to_be_noted_is_noted() -> None:
    target = routed("example.com")
    seen = look(converged_world(target), DEFAULT, age_seconds=100)
    app = seen.app("hello")
    missing = next_action(target, seen)
    open_port = seen.with_app("hello", app.with_slot(replace(app.slot("4000"), exposed=True)))
    reached = next_action(target, replace(open_port, certificates=None))
    both = next_action(target, open_port)

    assert isinstance(missing, Converged) and isinstance(reached, Converged) and isinstance(both, Converged)
    assert both.note == f"{missing.note}; {reached.note}"
    assert both.next_step == f"{missing.next_step}; {reached.next_step}"


def test_an_expired_certificate_counts_as_missing() -> None:
    target = routed("example.com")

    end = next_action(target, look(converged_world(target), Certificate(("example.com",), NOW), age_seconds=100))

    assert isinstance(end, Converged) and end.note


def test_a_missing_certificate_is_requested_again_hourly() -> None:
    target = routed("example.com")
    world = converged_world(target)

    assert verbs(target, look(world, DEFAULT, age_seconds=RETRY_SECONDS - 1)) == []
    assert verbs(target, look(world, DEFAULT, age_seconds=RETRY_SECONDS)) == ["retry", "confirm", "certify"]


def test_a_change_of_another_app_counts_as_an_attempt() -> None:
    """Each change makes Traefik ask for all names that it has no certificate for."""
    target = routed("example.com")
    seen = look(converged_world(target), DEFAULT, age_seconds=RETRY_SECONDS)
    other = replace(seen.app("hello"), route=replace(seen.app("hello").route, age_seconds=60))  # type: ignore[type-var]

    assert verbs(target, seen.with_app("other", other)) == []
    asked_for = look(converged_world(target), DEFAULT, age_seconds=ASKED_FOR_SECONDS)
    assert verbs(target, asked_for.with_app("other", other)) == ["retry", "confirm", "certify"]


def test_a_repeated_request_changes_the_route_file() -> None:
    target = routed("example.com")

    step = next_action(target, look(converged_world(target), DEFAULT, age_seconds=RETRY_SECONDS))

    assert isinstance(step, RetryCertificates)
    assert (step.slot, step.attempt) == ("4000", NOW + 1)  # the first write was in the same second


def test_a_traefik_that_does_not_list_its_certificates_is_left_alone() -> None:
    target = routed("example.com")
    seen = replace(look(converged_world(target), age_seconds=RETRY_SECONDS), certificates=None)

    assert next_action(target, seen) == Converged("a", "hello", "1", "4000")


def test_drift_only_reported_does_not_stop_certificates() -> None:
    target = replace(routed("example.com"), only_report_drift=True)

    assert verbs(target, look(converged_world(target), DEFAULT, age_seconds=RETRY_SECONDS)) == [
        "retry",
        "confirm",
        "certify",
    ]


def test_an_unknown_entry_point_blocks_before_any_change() -> None:
    """Written all the same, the route would take the app from its visitors."""
    served = routed("example.com")
    moved = replace(routed("example.com", entry_points=("pg",)), version="2", release=f"2-{'0' * 12}")
    seen = replace(converged_world(served).look(), entry_points=("traefik", "web"))

    end = next_action(moved, seen)

    assert isinstance(end, Blocked)
    assert end.reason == "Traefik has no entry point pg; it has traefik, web"
    assert end.serving == "1"
    assert not isinstance(next_action(moved, replace(seen, entry_points=("pg",))), Blocked)


def test_a_change_of_the_route_alone_is_one_cutover_that_names_the_difference() -> None:
    before = routed("example.com", parts=(("domain example.com", "1"), ("path", "2")))
    after = routed(
        "example.com",
        digests={"4000": "other-4000", "4001": "other-4001"},
        parts=(("domain example.com", "1"), ("domain www.example.com", "1"), ("path", "3")),
    )
    world = converged_world(before)

    foreseen = plan(after, world.look())

    assert [(action.verb, action.reason) for action in foreseen.actions] == [
        ("cutover", "path changed, domain www.example.com added"),
        ("confirm", "Traefik must have applied the route"),
    ]


def test_an_edited_route_file_is_distinguished_from_a_changed_desired_route() -> None:
    target = routed("example.com", parts=(("domain example.com", "1"),))
    world = converged_world(target)
    seen, app = world.look(), world.app
    assert app.route

    def reason(deleted: bool = False, **changes: object) -> str:
        route = replace(app.route, **changes) if changes else None  # type: ignore[type-var]
        (first, *_) = plan(target, seen.with_app("hello", replace(app, route=route, route_deleted=deleted))).actions
        return first.reason

    assert reason(intact=False) == "the route file was changed on the host"
    assert reason(digest="x") == "this version of reconcile writes the route differently"
    assert reason(digest="x", parts=()) == "this version of reconcile writes the route differently"
    assert reason(deleted=True) == "the route file was deleted on the host"
    assert reason() == "the route is new"


def own(ends: int) -> Target:
    return routed(
        "example.com", certificate=OwnCertificate("shop/pem", ("example.com",), ends), parts=(("certificate", "a"),)
    )


@pytest.mark.parametrize(
    ("ends", "note"),
    [
        (NOW + 15 * 86_400, None),
        (NOW + 13 * 86_400, "the certificate in the secret shop/pem ends on 2027-01-28"),
        (NOW, "the certificate in the secret shop/pem ended on 2027-01-15"),
    ],
)
def test_the_end_of_a_certificate_of_ones_own_is_told_two_weeks_before(ends: int, note: str | None) -> None:
    """Whether it has ended meanwhile or not, what serves goes on serving."""
    target = own(ends)
    seen = look(converged_world(own(NOW + 1)), Certificate(("example.com",), ends), age_seconds=10_000)
    app = seen.app("hello")
    assert app.route
    seen = seen.with_app("hello", replace(app, route=replace(app.route, parts=(("certificate", "a"),))))

    end = next_action(target, seen)

    assert isinstance(end, Converged)
    assert end.note == note
    assert bool(end.next_step and "reconcile secrets set shop/pem" in end.next_step) == bool(note)


def test_a_certificate_that_has_ended_is_written_to_no_host() -> None:
    target = own(NOW)
    seen = look(converged_world(own(NOW + 1)), age_seconds=10_000)
    app = seen.app("hello")
    assert app.route
    other = replace(app.route, digest="other", parts=(("certificate", "b"),))

    end = next_action(target, seen.with_app("hello", replace(app, route=other)))

    assert isinstance(end, Blocked)
    assert (end.kind, end.reason) == (
        "secret",
        "the certificate in the secret shop/pem ended on 2027-01-15, so visitors would refuse it",
    )


def test_another_certificate_for_the_same_name_is_not_taken_for_ones_own() -> None:
    """Traefik still holds the one before: it is waited for, and its end is the only one that counts."""
    target = own(NOW + 100 * 86_400)
    world = converged_world(target)
    before = Certificate(("example.com",), NOW + 50 * 86_400)

    assert verbs(target, look(world, before, age_seconds=2)) == ["certify"]
    end = next_action(target, look(world, before, age_seconds=100))
    assert isinstance(end, Converged)
    assert end.note == "https for example.com is not answered with the certificate in the secret shop/pem"
    assert first_end(target, look(world, before, age_seconds=100)) is None


def test_the_first_end_is_that_of_the_certificate_that_ends_first() -> None:
    target = routed("example.com", "www.example.com")
    late, soon = (
        Certificate((name,), NOW + days * 86_400) for name, days in (("example.com", 50), ("www.example.com", 9))
    )

    assert first_end(target, look(converged_world(target), late, soon, age_seconds=100)) == soon.ends_epoch_seconds
