"""Bugs that somebody could write into edges and batches: each is planted, and the tests of them must notice it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from reconciler.decide import balancing as one_app
from reconciler.decide import batches, behind_edges
from reconciler.decide.edges import Edges
from tests.decide import test_batches as of_batches
from tests.decide import test_edges as of_edges

Plant = Callable[[pytest.MonkeyPatch], None]
named = Edges.named


def first_edge_alone(edges: Edges) -> Edges:
    return Edges(edges.app, edges.targets, dict(sorted(edges.looks.items())[:1]))


def one_edge_is_enough(patch: pytest.MonkeyPatch) -> None:
    """The old slot is drained and stopped as soon as one of the edges has left it."""
    patch.setattr(Edges, "named", lambda edges, host: named(first_edge_alone(edges), host))
    patch.setattr(Edges, "has_moved", lambda edges, edge, host, slot: True)


def nothing_is_asked_before_a_stop(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(behind_edges, "_end_behind_edges", lambda step, key, balancing: None)


def a_lost_edge_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(one_app.Balancing, "trouble", lambda balancing: None)


def edges_move_before_the_slot_is_enabled(patch: pytest.MonkeyPatch) -> None:
    def move(step: object, key: tuple[str, str], look: object, balancing: one_app.Balancing) -> object:
        return behind_edges._wait_for_edges(key, balancing.edges, "move"), step.slot  # type: ignore[attr-defined]

    patch.setattr(behind_edges, "_move", move)


def nothing_halts(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(batches.Course, "halted", None)


def any_failure_is_passed_over(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(batches.Course, "goes_on_without", lambda course, host: host in course.failed)


def kill_everywhere() -> None:
    of_edges.test_a_controller_that_dies_after_any_action_is_followed_by_one_that_finishes(["lb1", "lb2"])


ROLLOUT = of_edges.test_a_rollout_moves_one_server_of_every_list_before_the_old_slot_is_drained_and_stopped
LOST_EDGE = of_edges.test_an_edge_that_cannot_be_reached_holds_up_every_cutover_and_stops_nothing
LEASES = of_edges.test_the_leases_of_all_edges_are_ours_before_an_instance_stops


@pytest.mark.parametrize(
    ("plant", "test"),
    [
        (one_edge_is_enough, kill_everywhere),
        (nothing_is_asked_before_a_stop, LEASES),
        (a_lost_edge_is_forgotten, LOST_EDGE),
        (edges_move_before_the_slot_is_enabled, ROLLOUT),
        (nothing_halts, of_batches.test_a_rollout_halts_when_it_failed_too_often),
        (any_failure_is_passed_over, of_batches.test_where_the_first_host_fails_nothing_goes_on),
    ],
)
def test_a_planted_bug_is_noticed(plant: Plant, test: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    test()
    plant(monkeypatch)

    with pytest.raises(AssertionError):
        test()
