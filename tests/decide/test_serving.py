"""Which version serves, at every moment of a rollout: status, messages and metrics all say the same."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.decide.next_action import next_action
from reconciler.decide.plan import plan
from reconciler.decide.serving import serving, serving_version
from reconciler.engine.report import status_row
from reconciler.model.action import Blocked, Converged
from reconciler.model.identity import Identity
from reconciler.model.observed import AppliedRoute, ObservedApp, ObservedHost, RouteFile, Slot, Unreachable
from reconciler.model.target import Target
from tests.support.world import wanted

OLD, NEW = Identity("1-000000000000", "e1", "u1"), Identity("2-000000000000", "e1", "u1")
# The former version is in the slot whose name comes first, where the first one that runs would be looked for.
FORMER = Slot("4000", OLD, state="active", running=OLD, enabled=True, healthy=True)
TRIAL = Slot("4001", NEW, state="active", running=NEW, on_trial=True)
ACCEPTED = replace(TRIAL, on_trial=False, enabled=True, healthy=True)
WORKER = wanted("2", route=None, health_path=None)


def routed(slot: str) -> RouteFile:
    return RouteFile(slot, f"route-{slot}", True)


def applied(slot: str) -> AppliedRoute:
    return AppliedRoute(slot, f"route-{slot}")


def slots(*each: Slot) -> ObservedApp:
    return ObservedApp(each, releases=(OLD.release, NEW.release), unit="u1")


BEFORE = replace(slots(FORMER), route=routed("4000"), applied=applied("4000"))
TRIED = replace(BEFORE, slots=(FORMER, TRIAL))
WRITTEN = replace(TRIED, slots=(FORMER, ACCEPTED), route=routed("4001"))
DRAINING = replace(WRITTEN, applied=applied("4001"))
STOPPED = replace(DRAINING, slots=(Slot("4000"), ACCEPTED))


@pytest.mark.parametrize(
    ("app", "version"),
    [
        (BEFORE, "1"),
        (TRIED, "1"),
        (WRITTEN, "1"),  # visitors reach what Traefik holds, not what the file says
        (DRAINING, "2"),  # both run, and the former one still ends its open requests
        (STOPPED, "2"),
        (replace(WRITTEN, applied=None), "2"),  # Traefik does not say: the route file counts
        (replace(DRAINING, slots=(FORMER, replace(ACCEPTED, state="failed", running=None))), None),
        (slots(TRIAL), None),  # a first rollout: not proven yet
        (ObservedApp(), None),
    ],
    ids=["rest", "trial", "written", "drain", "stopped", "silent Traefik", "dead", "first", "empty"],
)
def test_the_version_that_visitors_reach_serves(app: ObservedApp, version: str | None) -> None:
    seen = ObservedHost("a", apps={"hello": app})

    assert serving_version(wanted("2"), seen) == version
    assert status_row(wanted("2"), seen, plan(wanted("2"), seen))["runs"] == version
    assert serving_of_blocked(wanted("2"), app) == version


@pytest.mark.parametrize(
    ("app", "version"),
    [
        (slots(FORMER), "1"),
        (slots(FORMER, TRIAL), "1"),
        (slots(FORMER, ACCEPTED), "2"),  # a cut just before the former one was disabled
        (slots(replace(FORMER, enabled=False), ACCEPTED), "2"),
        (slots(replace(FORMER, state="activating", running=None)), None),  # it keeps crashing
    ],
)
def test_of_a_worker_the_accepted_instance_serves(app: ObservedApp, version: str | None) -> None:
    assert serving_version(WORKER, ObservedHost("a", apps={"hello": app})) == version


def test_an_app_that_became_a_worker_has_no_visitors_to_ask_about() -> None:
    """Traefik still holds its former route, of a slot that is gone."""
    found = serving(WORKER, replace(slots(ACCEPTED), applied=applied("4000"), route=routed("4001")))

    assert found and found.name == "4001"


def test_of_a_host_that_could_not_be_seen_nothing_is_claimed() -> None:
    assert serving_version(wanted("2"), Unreachable("a", "no route to host")) is None


def serving_of_blocked(target: Target, app: ObservedApp) -> str | None:
    """What people are told beside the reason why nothing is done."""
    end = next_action(target, ObservedHost("a", apps={"hello": replace(app, suspended="by ann: a test")}))
    return end.serving if isinstance(end, Blocked) else end.version if isinstance(end, Converged) else end.verb
