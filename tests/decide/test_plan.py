"""A plan can be read aloud; the whole text is compared."""

from __future__ import annotations

from dataclasses import replace

from reconciler.decide.plan import plan
from reconciler.engine.report import end_json, plan_text, status_row
from reconciler.engine.status_text import StatusLine, status_text
from reconciler.model.action import Blocked
from reconciler.model.observed import CrashDump
from tests.support.world import World, run_pass, wanted


def test_the_plan_of_an_upgrade_says_every_action_and_why() -> None:
    world = World()
    run_pass(world, wanted("1"))

    assert plan_text([plan(wanted("2", env="e2", migrates=True), world.look())]) == (
        "a  install  hello 2-000000000000    not on the host\n"
        "a  migrate  hello 2-000000000000    once per release, before it starts\n"
        "a  start    hello slot 4001, 2      version 1 → 2, env GREETING changed\n"
        "a  wait     hello slot 4001         /ping healthy for 2 s, within 60 s\n"
        "a  cutover  hello slot 4000 → 4001  healthy\n"
        "a  confirm  hello slot 4001         Traefik must have applied the route\n"
        "a  drain    hello slot 4000         10 s at most for open requests\n"
        "a  stop     hello slot 4000         replaced by slot 4001\n"
    )


def test_the_plan_of_a_single_slot_names_the_downtime() -> None:
    world = World()
    run_pass(world, wanted("1", slots=("4000",)))

    assert plan_text([plan(wanted("2", slots=("4000",)), world.look())]) == (
        "a  install  hello 2-000000000000  not on the host\n"
        "a  start    hello slot 4000, 2    version 1 → 2; stop-first, only one slot: no service until it is healthy\n"
        "a  wait     hello slot 4000       /ping healthy for 2 s, within 60 s\n"
        "a  cutover  hello slot 4000       healthy\n"
    )


def test_the_plan_is_what_the_pass_then_does() -> None:
    world = World()
    foreseen = plan(wanted("1"), world.look())
    run_pass(world, wanted("1"))

    assert [action.verb for action in foreseen.actions] == [action.verb for action in world.actions]


def test_status_reports_a_crash_below_its_table() -> None:
    world = World()
    run_pass(world, wanted("1"))
    seen = world.look()
    dump = CrashDump("/var/lib/hello/erl_crash.4000.dump", 1795701966)
    seen = seen.with_app("hello", replace(seen.app("hello"), crash_dumps=(dump,)))

    row = status_row(wanted("1"), seen, plan(wanted("1"), seen))
    assert row["ready"]
    assert status_text([StatusLine(row, "fine")]).splitlines()[2:] == [
        "a: hello crashed at 2026-11-26 14:06 UTC, see /var/lib/hello/erl_crash.4000.dump"
    ]


def test_in_json_what_is_absent_is_an_empty_string() -> None:
    """Scripts compare it with "", and have done so since before it had a value of its own here."""
    assert end_json(Blocked("a", "hello", "its port is taken", kind="port_taken")) == {
        "outcome": "blocked",
        "kind": "port_taken",
        "reason": "its port is taken",
        "next": "",
        "serving": "",
        "log": [],
    }
