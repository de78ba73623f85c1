"""What the engine takes from a look, and what from the reply of an action."""

from __future__ import annotations

import pytest

from reconciler.engine.known import Known
from reconciler.model.observed import Lease, ObservedApp, ObservedHost


@pytest.mark.parametrize(("acted", "generation"), [(set(), 2), ({"hello"}, 5)])
def test_a_look_tells_the_lease_unless_an_action_ended_since_it_began(acted: set[str], generation: int) -> None:
    """A host that lost its power may have lost its last lease: a watch must not hold on to what it saw before."""
    known = Known()
    known.take_look(ObservedHost("a", lease=Lease(5), apps={"hello": ObservedApp()}), ())

    known.take_look(ObservedHost("a", lease=Lease(2), apps={"hello": ObservedApp()}), acted)

    seen = known.hosts["a"]
    assert isinstance(seen, ObservedHost)
    assert seen.lease.generation == generation
