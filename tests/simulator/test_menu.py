"""The fault menu, at calls that a seed picks; `python -m tests.simulator report --full` orders all of it."""

from __future__ import annotations

import pytest

from tests.simulator.menu import MENU, MOST_CALLS, order, sampled_menu, serve, undisturbed_calls, whole_menu

PICKED = sampled_menu(MOST_CALLS, 10, seed=11)


@pytest.mark.parametrize("number", PICKED, ids=lambda number: str(order(number)).replace(" ", "-"))
def test_whatever_happens_at_a_call_the_version_is_reached_afterwards(number: int) -> None:
    served = serve(number)

    assert served.broken == ()
    assert served.call


def test_the_menu_covers_every_call_of_a_pass() -> None:
    assert len(undisturbed_calls()) == MOST_CALLS
    assert {order(number).kind for number in whole_menu(MOST_CALLS)} == MENU.keys()


def test_an_instance_that_an_operator_disables_meanwhile_is_drained_all_the_same() -> None:
    """Found by the menu: it was stopped with open requests, as one that never had visitors."""
    number = next(n for n in whole_menu(MOST_CALLS) if str(order(n)) == "F17 an operator disables the slot at call 11")

    assert serve(number).broken == ()
