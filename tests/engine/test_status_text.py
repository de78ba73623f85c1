"""`status` for people: what is wrong comes first, it fits 80 columns, and a fleet of 1,000 hosts can be read."""

from __future__ import annotations

import re
from typing import Any

from reconciler.colours import in_colour
from reconciler.engine.status_text import State, StatusLine, state_of, status_text
from reconciler.errors import Kind
from reconciler.layout import columns
from reconciler.model.action import Blocked, Converged


def row(host: str, app: str = "hello", **more: Any) -> dict[str, Any]:
    usual = {"wants": "0.2.0", "runs": "0.2.0", "since": "Sat 2026-11-28 10:12:33 UTC", "slot": "4000"}
    rest = {"ready": True, "because": "as wanted", "quarantined": [], "crash_dumps": []}
    return {"host": host, "app": app, **usual, **rest, **more}


def line(state: State, host: str, app: str = "hello", next_step: str = "", **more: Any) -> StatusLine:
    return StatusLine(row(host, app, ready=state == "fine", **more), state, next_step)


MIXED = [
    line("fine", "web1"),
    line("waiting", "web2", runs="0.1.0", because="start: version 0.1.0 → 0.2.0"),
    line("fine", "web3", because="as wanted; the certificate is not there yet"),
    line(
        "blocked", "web4", runs="0.1.0", slot="4001",
        because="version 0.2.0 was not healthy within 60 s: /ping answered 503 Service Unavailable, and then nothing",
        next_step="reconcile logs hello --host web4",
    ),
    line("BROKEN", "web5", runs=None, since=None, slot=None, because="unreachable: no route to 10.0.0.5"),
]  # fmt: skip


def test_what_is_wrong_comes_first_with_its_reason_and_the_next_step() -> None:
    assert status_text(MIXED, 80) == (
        "         host  app    git wants  host runs  slot  since\n"
        "BROKEN   web5  hello  0.2.0      nothing    -     -\n"
        "  unreachable: no route to 10.0.0.5\n"
        "blocked  web4  hello  0.2.0      0.1.0      4001  2026-11-28 10:12\n"
        "  version 0.2.0 was not healthy within 60 s: /ping answered 503 Service\n"
        "  Unavailable, and then nothing\n"
        "  next: reconcile logs hello --host web4\n"
        "waiting  web2  hello  0.2.0      0.1.0      4000  2026-11-28 10:12\n"
        "  start: version 0.1.0 → 0.2.0\n"
        "fine     web1  hello  0.2.0      0.2.0      4000  2026-11-28 10:12\n"
        "fine     web3  hello  0.2.0      0.2.0      4000  2026-11-28 10:12\n"
        "  as wanted; the certificate is not there yet\n"
    )


def test_a_colour_never_stands_for_a_word() -> None:
    coloured = status_text(MIXED, 80, in_colour)

    assert "\033[1;31mBROKEN\033[0m   web5" in coloured
    assert re.sub(r"\033\[[0-9;]+m", "", coloured) == status_text(MIXED, 80)


def test_long_names_are_cut_in_the_middle_to_fit_80_columns() -> None:
    host = "frankfurt-production-application-server-{}.example.com"
    long = [
        line("BROKEN", host.format(1), "a_very_long_name_of_an_app_7", because=f"{'x' * 200} 日本 {'y ' * 90}"),
        line("fine", host.format(2), "a_very_long_name_of_an_app_8", wants="2026.11.28-rc.1+" + 12 * "a"),
    ]
    text = status_text(long, 80)

    assert max(map(columns, text.splitlines())) == 80
    assert text.splitlines()[1].startswith("BROKEN  frank…e.com  a_ver…app_7  ")
    assert host.format(1) in status_text(long)  # a pipe may search for it


def test_a_fleet_of_a_thousand_hosts_is_counted_and_its_troubles_are_shown() -> None:
    fleet = [line("fine", f"web{number:04}", app) for number in range(996) for app in ("hello", "shop")]
    fleet += [
        line("BROKEN", f"web{number:04}", runs=None, because="unreachable: timed out") for number in range(996, 999)
    ]
    fleet += [line("waiting", f"cache{number}", because="waiting for web0996") for number in range(30)]
    fleet += [line("fine", "web0999", "blog", runs="7")]
    lines = status_text(fleet, 80).splitlines()

    assert lines[0] == "3 BROKEN, 30 waiting, 1,993 fine on 1,030 hosts"
    assert [each.split()[1] for each in lines if each.startswith("BROKEN")] == ["web0996", "web0997", "web0998"]
    assert lines[1] == "hello: 1,026 of 1,029 hosts run 0.2.0, 3 BROKEN, 30 waiting"
    assert lines[-5:] == [
        "waiting  hello 0.2.0 on 30 hosts",
        "  waiting for web0996",
        "fine     blog 7 on web0999",
        "fine     hello 0.2.0 on 996 hosts",
        "fine     shop 0.2.0 on 996 hosts",
    ]
    assert len(lines) == 2 + 1 + 2 * 3 + 5


def test_a_rollout_over_many_hosts_is_a_few_lines() -> None:
    """How far it is, what waits for the next batch and where it failed, without a line for each host."""
    why = "waits for batch 3 of 4: shop is not yet converged on web061"
    failed = {"because": "version 0.2.0 failed here: it exited", "next_step": "reconcile logs shop"}
    fleet = [line("fine", f"web{number:03}", "shop") for number in range(60)]
    fleet += [line("waiting", f"web{number:03}", "shop", runs="0.1.0", because=why) for number in range(62, 100)]
    fleet += [line("blocked", "web060", "shop", runs="0.1.0", **failed)]
    fleet += [line("waiting", "web061", "shop", runs="0.1.0", because="wait: healthy for 2 s")]

    assert status_text(fleet, 80).splitlines() == [
        "1 blocked, 39 waiting, 60 fine on 100 hosts",
        "shop: 60 of 100 hosts run 0.2.0, 1 blocked, 39 waiting",
        "         host    app   git wants  host runs  slot  since",
        "blocked  web060  shop  0.2.0      0.1.0      4000  2026-11-28 10:12",
        "  version 0.2.0 failed here: it exited",
        "  next: reconcile logs shop",
        "waiting  web061  shop  0.2.0      0.1.0      4000  2026-11-28 10:12",
        "  wait: healthy for 2 s",
        "waiting  shop 0.2.0 on 38 hosts",
        f"  {why}",
        "fine     shop 0.2.0 on 60 hosts",
    ]


def test_many_with_a_reason_of_their_own_are_counted() -> None:
    fleet = [line("blocked", f"web{number}", because=f"its own {number}") for number in range(25)]

    assert status_text(fleet, 80).splitlines()[-1] == "blocked  and 5 more; --app, --host and --json show them"


def test_the_state_says_whether_something_runs_and_who_has_to_act() -> None:
    def state(kind: Kind | None, runs: str | None, **more: bool) -> State:
        end = Blocked("a", "hello", "why", kind=kind) if kind else Converged("a", "hello", "1", "4000")
        return state_of({"ready": False, "runs": runs}, end, **more)

    assert state("unhealthy", None) == "BROKEN"
    assert state("unhealthy", "1") == "blocked"
    assert state("suspended", "1") == state("waiting", None) == state(None, "1") == "waiting"
    assert state(None, None, drifted=True) == "BROKEN"
    assert state("unreachable", None, unreachable=True) == "BROKEN"
    assert state_of({"ready": True, "runs": "1"}, Converged("a", "hello", "1", "4000")) == "fine"


def test_no_app_at_all_is_said() -> None:
    assert status_text([], 80) == "no app on any host\n"
