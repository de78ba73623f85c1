"""A host that lies: whatever it sends, either every value read is well-formed, or the reply is refused.

`RECONCILE_FUZZ_SECONDS=600 pytest tests/tools/test_look_hostile.py` tries for longer than the few seconds of every run.
"""

from __future__ import annotations

import json
import os
import random
import re
import time
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.decide.next_action import next_action
from reconciler.model.action import Blocked, Converged
from reconciler.model.machine import Layout
from reconciler.model.observed import ObservedApp, ObservedHost, Unfitting
from reconciler.model.reserved import is_app_name
from reconciler.model.target import Target
from reconciler.provision.findings import Around, findings
from reconciler.provision.survey import NotASurvey, read_survey
from reconciler.tools.look import Reply, Unreadable, read_reply
from reconciler.tools.look_records import OF_AN_APP, OF_THE_HOST
from reconciler.tools.records import read_entry
from tests.support.look_text import CASES as LOOKS
from tests.support.look_text import apart, case, edited, framed, with_lines
from tests.support.world import wanted

CASES = ("an_empty_host", "one_live_slot", "in_the_middle_of_a_rollout", "trouble", "two_apps")
LOG = framed([("log", "-", "it said this\n@@ app evil 3\nabc"), ("result", "-", "1")]).removesuffix(b"@@ end - 0\n\n")
REPLIES = [case(name) for name in CASES] + [LOG + case("two_apps")]
SECONDS = float(os.environ.get("RECONCILE_FUZZ_SECONDS", "3"))
SLOT = re.compile("worker|[0-9]{1,5}")
EVIL = b"@@ app ../x 4\x00\x1b[2J\r\n/root \xff9999999999999999999#:'\"$`"


def everything(value: Any) -> Iterator[Any]:
    """Every text and number in what was read."""
    if is_dataclass(value):
        for field in fields(value):
            yield from everything(getattr(value, field.name))
    elif isinstance(value, tuple | list):
        for each in value:
            yield from everything(each)
    elif value is not None:
        yield value


def check(reply: Reply) -> None:
    """Nothing in it could be a path elsewhere, move a cursor, or overflow anything."""
    assert 0 <= reply.status < 1000
    for value in everything((reply.facts, reply.lease)):
        assert not isinstance(value, str) or value.isprintable(), value
    for name, app in reply.apps.items():
        assert is_app_name(name), name
        assert app.unreadable is None or app == ObservedApp(unreadable=app.unreadable)
        for value in everything(app):
            assert not isinstance(value, str) or (value.isprintable() and len(value) < 8200), repr(value)
            assert not isinstance(value, int) or 0 <= value < 10**18, value
        for path in (*app.releases, *app.leftovers, *app.migrated, *app.damaged):
            assert re.fullmatch("[0-9A-Za-z._+~-]+", path), path
        assert all(SLOT.fullmatch(slot.name) for slot in app.slots)
        target = replace(wanted(), app=name)
        assert isinstance(next_action(target, ObservedHost("a", reply.facts, apps=reply.apps)), object)
        next_action(Target.removal("a", name), ObservedHost("a", apps=reply.apps))


def read(data: bytes, asked: tuple[str, ...] | None = None) -> Reply | None:
    try:
        reply = read_reply(data, Layout(), asked)
    except Unreadable as error:
        assert str(error).isprintable()
        return None
    check(reply)
    return reply


def spoiled(data: bytes, chance: random.Random) -> bytes:
    """One mutation: a bit, some bytes more or less, a piece twice, an end too early, or a piece of another."""
    at, length = chance.randrange(len(data)), chance.choice((1, 2, 8, 60, 400))
    piece, rest = data[at : at + length], data[at + length :]
    other = chance.choice(REPLIES)
    begin = chance.randrange(len(other))
    evil = EVIL[chance.randrange(len(EVIL)) :][:length]
    return chance.choice(
        (
            lambda: data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :],
            lambda: data[:at] + evil + data[at:],
            lambda: data[:at] + evil + rest,
            lambda: data[:at] + rest,
            lambda: data[:at] + piece + piece + rest,
            lambda: data[:at],
            lambda: data[:at] + other[begin:],
            lambda: data[:at] + other[begin : begin + length] + rest,
        )
    )()


def with_true_lengths(data: bytes) -> bytes:
    """As a host would frame it that lies in what it says only."""
    heads = list(re.finditer(rb"^@@ ([a-z]+) (\S+) [0-9]+\n", data, re.MULTILINE))
    ends = [*(head.start() for head in heads[1:]), len(data)][: len(heads)]
    parts = [(h[1], h[2], data[h.end() : max(h.end(), end - 1)]) for h, end in zip(heads, ends, strict=True)]
    return b"".join(b"@@ %s %s %d\n%s\n" % (kind, name, len(text), text) for kind, name, text in parts)


@pytest.mark.parametrize("framed_well", [True, False], ids=["what it says", "how it says it"])
def test_a_corrupted_reply_is_read_safely_or_refused(framed_well: bool) -> None:
    """Some bytes of real replies are changed, again and again. What is raised is the parser's own."""
    seed = random.randrange(10**9)
    chance, read_well, tried, end = random.Random(seed), 0, 0, time.monotonic() + SECONDS
    while time.monotonic() < end:
        data = chance.choice(REPLIES)
        for _ in range(chance.randrange(1, 4)):
            data = spoiled(data, chance) or b"x"
        try:
            reply = read(with_true_lengths(data) if framed_well else data)
        except Exception as error:
            raise AssertionError(f"seed {seed}, try {tried}: {data!r}") from error
        read_well, tried = read_well + (reply is not None), tried + 1
    assert tried > 100
    assert read_well > 0


@given(st.binary(max_size=400))
def test_any_bytes_are_refused(data: bytes) -> None:
    assert read(data) is None


LINES = st.text(st.characters(exclude_characters="\n", codec="utf-8"), max_size=60)
KINDS = st.sampled_from([*OF_AN_APP, *OF_THE_HOST, "unit", "process", "listen", "socket"])
WORDS = st.sampled_from(
    ["4000", "0", "-", "../releases/1-a", "..", "/", "²", "9" * 20, "hello@4000.service", "#", "a/b/c"]
)
RECORDS = st.builds(lambda kind, rest: f"{kind} {rest}", KINDS, st.one_of(LINES, st.lists(WORDS).map(" ".join)))


@settings(max_examples=300)
@given(st.lists(RECORDS, max_size=6), st.sampled_from(["host", "app", "sums", "units", "processes"]))
def test_arbitrary_records_are_read_safely_or_refused(records: list[str], kind: str) -> None:
    """In the part of one app they concern that app alone."""
    reply = read(with_lines(case("two_apps"), kind, *records))

    if kind == "app":
        assert reply is not None
        assert reply.apps["app01"] == read_reply(case("two_apps"), Layout()).apps["app01"]


@given(LINES)
def test_a_value_cannot_pass_as_a_part_or_a_record(text: str) -> None:
    """What a reason says is a reason, whatever it says."""
    line = f"quarantine 1795406306 0.3.0-4fdd8d3514e5/72a119efd9c2/320648776fbf {text}"

    reply = read(with_lines(case("two_apps"), "app", line))

    assert reply is not None
    plain = read_reply(case("two_apps"), Layout()).apps
    assert {name: replace(app, quarantined=()) for name, app in reply.apps.items()} == plain


@pytest.mark.parametrize("name", ["app02", "traefik"])
def test_an_action_reply_about_another_app_is_ignored(name: str) -> None:
    """A look finds apps that nobody named; the reply of an action tells of its app alone."""
    parts = [*apart(case("two_apps")), ("app", name, "slots ")]

    assert set(read_reply(framed(parts), Layout()).apps) == {"app00", "app01", name}
    assert set(read_reply(framed(parts), Layout(), ("app00",)).apps) == {"app00"}


@pytest.mark.parametrize(
    ("line", "says", "remedy"),
    [
        ("suspended 999999999999 me why", "the time until which it is suspended", "reconcile resume app00"),
        ("suspended \u00b2 me why", "its suspended", ""),
        ("quarantine 99999999999999 a/b/c why", "a time in its quarantine", ""),
        ("dump 99999999999999 4000", "the time of its crash dump", ""),
        ("routed 99999999999999", "the time of its route", ""),
        ("link ../../x ../releases/a", "its link", ""),
        ("release 1 ../x", "its release", ""),
        ("long inventory", "its inventory is longer", "look at the inventory of app00"),
        ("news 1", "of an unknown kind", ""),
        ("slots 4000 4001 4002 ", "systemd does not know app00@4002.service", "systemctl show app00@4002.service"),
    ],
)
def test_a_malformed_part_makes_only_its_own_app_unreadable(line: str, says: str, remedy: str) -> None:
    """It is blocked, with what did not fit and what to do; it is neither changed nor removed."""
    text = case("two_apps")
    reply = read_reply(with_lines(text, "app", line), Layout())
    seen = ObservedHost("a", reply.facts, apps=reply.apps)

    unreadable = reply.apps["app00"].unreadable
    assert isinstance(unreadable, Unfitting)
    assert says in unreadable.reason
    assert (unreadable.next_step or "").startswith(remedy)
    assert reply.apps["app01"] == read_reply(text, Layout()).apps["app01"]
    for target in (replace(wanted(), app="app00"), Target.removal("a", "app00")):
        step = next_action(target, seen)
        assert isinstance(step, Blocked)
        assert (step.kind, bool(step.next_step)) == ("unreadable", True)
    assert isinstance(next_action(Target.removal("a", "app02"), seen), Converged)


def test_malformed_units_make_their_app_unreadable() -> None:
    unit = "unit app00@4000.service "
    reply = read_reply(edited(case("two_apps"), f"{unit}active", f"{unit}ACTIVE"), Layout())

    assert reply.apps["app00"].unreadable
    assert not reply.apps["app01"].unreadable


def test_the_environment_of_a_main_process_is_read_once_and_strictly() -> None:
    """Its first record, of that very process, and of a strict form; else the files are believed."""
    text = case("two_apps")
    pid = re.search(r"process app01@4010.service (\d+)", text.decode())
    assert pid
    lines = [
        f"/proc/{pid[1]}/environ:RECONCILE_INSTANCE=x boom",
        f"/proc/{pid[1]}/environ:RECONCILE_INSTANCE=x /proc/{pid[1]}/environ:RECONCILE_INSTANCE=6.6.6-a/b/c",
        "/proc/1/environ:RECONCILE_INSTANCE=6.6.6-a/b/c",
    ]

    assert read_reply(with_lines(text, "processes", *lines), Layout()).apps == read_reply(text, Layout()).apps


SURVEYS = [path.read_bytes() for path in sorted((LOOKS.parents[2] / "provision" / "cases" / "survey").glob("*.txt"))]


@pytest.mark.parametrize("framed_well", [True, False], ids=["what it says", "how it says it"])
def test_a_corrupted_survey_is_read_safely_or_refused(framed_well: bool) -> None:
    """Whatever is read of it can be judged."""
    seed = random.randrange(10**9)
    chance, tried, end = random.Random(seed), 0, time.monotonic() + SECONDS
    around = Around(Layout(), True, 0, 8080, "", True)
    while time.monotonic() < end:
        data = spoiled(chance.choice(SURVEYS), chance) or b"x"
        try:
            seen = read_survey(with_true_lengths(data) if framed_well else data)
        except NotASurvey as error:
            assert str(error).isprintable()
            continue
        finally:
            tried += 1
        try:
            findings(seen, around)
        except Exception as error:
            raise AssertionError(f"seed {seed}, try {tried}: {data!r}") from error
    assert tried > 50


ENTRY = (
    '{"at": 1795406306, "who": "me@here:1", "commit": "0123abcd", "from": "1", "to": "2", "actions": ["start"],'
    ' "why": "version 1 → 2", "seconds": 2.5, "outcome": "converged", "reason": ""}'
)


def test_a_line_of_the_history_is_read() -> None:
    entry = read_entry(ENTRY)

    assert entry is not None
    assert (entry["at"], entry["why"], entry["seconds"]) == (1795406306, "version 1 → 2", 2.5)
    assert read_entry(ENTRY.replace('"0123abcd"', "null")) is not None


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("1795406306", "1e400"),
        ("1795406306", "99999999999999999999"),
        ("1795406306", '"now"'),
        ("1795406306", "true, {"),
        ("2.5", "NaN"),
        ('"me@here:1"', "7"),
        ('["start"]', '["\u001b[2J"]'),
        ("}", ""),
        ('""}', "[" * 100_000),
        ('"why"', '"what"'),
    ],
)
def test_a_malformed_history_line_is_ignored(before: str, after: str) -> None:
    assert read_entry(ENTRY.replace(before, after, 1)) is None


@given(LINES)
def test_a_history_entry_stays_in_its_table_cell(text: str) -> None:
    entry = read_entry(ENTRY.replace('"version 1 → 2"', json.dumps(text)))

    assert entry is not None
    assert entry["why"].isprintable()
