"""What the simulator found once, and what must not come back."""

from __future__ import annotations

import pytest

from tests.simulator.sampled import reference_of
from tests.simulator.simulation import REPLIED
from tests.simulator.stories import by_name
from tests.simulator.swarm import live
from tests.simulator.sweep import Reference, disturbed, number_of


def _last(reference: Reference, verb: str) -> int:
    return max(point.change for point in reference.points if point.verb == verb)


@pytest.mark.parametrize(("story", "verb"), [("removal", "remove"), ("upgrade", "stop")])
def test_what_was_removed_stays_so_where_releases_are_on_a_file_system_of_their_own(story: str, verb: str) -> None:
    """The power goes after the reply, and that file system alone has not been written back."""
    reference = reference_of(by_name(story))

    result = disturbed(reference, number_of(reference.story, _last(reference, verb), REPLIED, "power lost srv"))

    assert result.broken == ()


def test_a_controller_that_is_gone_runs_no_migration_again() -> None:
    """Its script waited for the app's lock, while the next controller ran the migration."""
    reference = reference_of(by_name("bad migration"))
    flock = next(p.boundary for p in reference.points if p.verb == "migrate" and p.command.endswith("flock -n 9"))

    result = disturbed(reference, number_of(reference.story, _last(reference, "migrate"), flock, "kill known"))

    assert result.broken == ()


def test_a_watch_goes_on_with_a_host_that_lost_its_lease_with_its_power() -> None:
    assert live(36).broken == []
