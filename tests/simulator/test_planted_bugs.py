"""The oracles can fail: mistakes planted into copies of the product are found. The report hunts all of them."""

from __future__ import annotations

import pytest

from tests.simulator.planted import PLANTED, REPOSITORY, Planted, hunt

# One of each floor, found within a few seconds.
QUICK = (
    "stop without draining",
    "act on the old look",
    "every slot is enabled",
    "the route is not synced",
)


@pytest.mark.parametrize("bug", PLANTED, ids=lambda bug: bug.name.replace(" ", "-"))
def test_what_is_planted_stands_once_in_the_product(bug: Planted) -> None:
    assert (REPOSITORY / "reconciler" / bug.file).read_text().count(bug.old) == 1


@pytest.mark.parametrize(
    "bug", [bug for bug in PLANTED if bug.name in QUICK], ids=lambda bug: bug.name.replace(" ", "-")
)
def test_a_planted_bug_is_found(bug: Planted) -> None:
    found = hunt(bug)

    assert found and not found.startswith("crash")
