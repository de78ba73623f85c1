"""A line of a host's history, as `reconcile history` and scripts read it."""

from __future__ import annotations

import json

from reconciler.apply.history import _line
from reconciler.model.action import Blocked, Converged, InstallRelease, Migrate, StartInstance
from reconciler.model.identity import Identity
from reconciler.model.outcome import Outcome
from reconciler.model.target import Controller


def test_a_first_rollout_that_failed_came_from_nothing_and_led_to_nothing() -> None:
    """Both are empty texts in the history, not null: earlier versions wrote them so."""
    act = InstallRelease("a", "hello", "not on the host", "1-000000000000")
    blocked = Outcome(Blocked("a", "hello", "its unit failed", kind="quarantined"), (act,), 1.25)

    line = json.loads(_line(blocked, Controller("token", "ann@desk", "owner", "abc")))

    assert line == {
        "who": "ann@desk",
        "commit": "abc",
        "from": "",
        "to": "",
        "actions": ["install"],
        "why": "not on the host",
        "seconds": 1.2,
        "outcome": "not converged",
        "reason": "its unit failed",
    }


def test_a_rollout_that_migrates_was_made_for_what_its_start_says() -> None:
    where, release = ("a", "hello"), Identity("2-000000000000", "e", "u")
    actions = (
        InstallRelease(*where, "not on the host", release.release),
        Migrate(*where, "once per release, before it starts", release),
        StartInstance(*where, "version 1 → 2", "4001", release),
    )

    line = json.loads(_line(Outcome(Converged(*where, "2", "4001"), actions, 1), Controller("t", "ann", "owner", None)))

    assert line["why"] == "version 1 → 2"
