"""f: a calendar form is taken here if systemd takes it, and elapses when it does there: each kind of host is asked.

The forms are those that people write, those at the edges, and some that are put together at random.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from reconciler.model.calendar import parse_calendar
from tests.hosts.distribution import available
from tests.hosts.farm import Farm
from tests.hosts.machine import Machine

pytestmark = pytest.mark.hosts

ITERATIONS = 3
COMPOSED = 200
ZONES_OF_THIS_MACHINE = Path("/usr/share/zoneinfo")
HOST_ZONES = ("UTC", "Europe/Vienna", "America/New_York", "Europe/Dublin")


@dataclass(frozen=True)
class Question:
    """When does a form elapse after a moment (UTC), on a host in this zone?"""

    form: str
    after: str = "2026-11-30 12:00:00"
    zone: str = "UTC"


SHORTHANDS = """\
minutely|hourly|daily|weekly|monthly|quarterly|semiannually|semi-annually|biannually|bi-annually|yearly|annually
anually|Daily|WEEKLY UTC|daily Europe/Vienna|daily UTC|daily utc|hourly America/New_York|daily |daily  UTC|dayly
every day|Mon daily
"""
WEEKDAYS = """\
Mon|Monday|mon|MON|Tues|Mo|Mon,|Mon,,Tue|Mon,Tue|Mon..Fri|Mon-Fri|Mon..Fri,Sun|Sat..Mon|Mon..Mon|Mon..|Mon-|Mon.Fri
Mon...Fri|Mon..Wed..Fri|Mon..Wed-Fri|Mon,Wed..Fri,Sun 5:00|Sunday..Sunday|Mon  5:00|Mon,  5:00|Mon.. 5:00|Mon *-*-13
Fri *-*-13 12:00|Fri 2026-11-30|Mon..Sun|Mon Tue|Wed,Wed|Mon UTC|Mon  UTC|Mon, UTC|,Mon|Mon5:00|Monday-Friday 17:30
"""
DATES = """\
2026-12-24|26-12-24|70-1-1|69-1-1|99-1-1|100-1-1|1969-1-1|2199-12-31|2200-1-1|12-24|*-*|*-*-*|*-12|*~1|*-*~1|*~*~1
2~1|2~1-1|*-02~1|*-02-29|*-02-30|*-02~28|*-02~29|*-*~1..3|*-*~3..1|*-*~5/2|*-*~1/2|*-*~7/3|*-*~1..9/4|*-*~*
Mon *-*~7/1|*-*-31|*-2,4,6,9,11-31|*-04,06-30..31|2026..2028-1-1|2026/2-1-1|2026,2028-1-1|28..26-1-1|*-1/3-1
*-1..12/5-1|*-13-1|*-0-1|*-1-0|*-1-32|*-1-32/1|*-*-1/10|*-*-1..31/10|*-*-5..3|*-*-5..5|*-*-1..3/5|*-*-1/31|*-*-1/30
*-*-1/0|*-*-1,15|*-*-1,|*-*-1,,2|*-*-,1|*-*-1..|*-*-1/|*-*-*/2|*/2-*-*|**-*-*|2026|5|5 |*|1-1-1-1
2026-12-24 |2026-12-24T05:00|2026-12-24  05:00|*-12-24,31 23:59:59|Thu *-11-22..28|Sun *-*-1..7
2026-12-1..5/2,10,20..22 1:00|+1-1|-1-1|1--1
"""
TIMES = """\
5:00|05:00|5:0|005:000|5:00:00|5:00 |24:00|5:60|5:00:60|5:00:59.999999|5:00:59.9999999|5:00:00.5|5:00:0.1234567
5:00:00.|5:00:.5|5:00: 5| 5:00|*:0/15|*:*/15|*/2:00|0/2:00|*:0/59|*:0/60|*:1/59|*:58/1|*:59/1|*:*:*|*:*:0/7
*:*:0/0.7|*:*:0/0.0000001|*:*:59/1|*:*:0..30/10|*:*:1..2|*:*:1..1|*:*:1..1.5|*:*:1..1.5/0.25|*:*:1.5..3|*:*:2..1/1
*:*:0/60|*:*:0/59|*:*:0,10,20|*:00,30|8..18:00|8..18/2:15,45|18..8:00|0..0:00|0..0/9:00|5:00:00:00|5:|:5|::|5|5h
5min|1h 30min|now|tomorrow|*:*:00|00..23:00..59:00..59|1..3,2..4,3:00|23/0:00|0:0:0..59.5/13.25|*-*-* 5|*:0/15 UTC
1e1:00|0x5:00|٥:00|5:٥|4294967296:00|99999999999999999999:00|5:00/2|5:00..|5:00:0..|5:0,:0|5-6:00|5~6|5;00|%H:00
5:00#|5:00\\
"""
ZONES = """\
5:00 Europe/Vienna|5:00 Europe/Wien|5:00 europe/vienna|5:00 Europe|5:00 /Europe/Vienna|5:00 Europe//Vienna
5:00 Europe/Vienna/|5:00 ../Vienna|5:00 Europe/Vienna UTC|5:00 UTC UTC|5:00 Etc/UTC|5:00 Etc/GMT+5|5:00 Asia/Kolkata
5:00 Asia/Kathmandu|5:00 America/Argentina/Buenos_Aires|UTC|Europe/Vienna| UTC|5:00UTC|5:00  UTC|5:00 utc|5:00 Utc
*-*-* 5:00:00 Pacific/Auckland|Mon Europe/Vienna|5:00 +02:00|5:00 Z|5:00 tzdata.zi
"""
EPOCHS = """\
@1999999999|@0|@7258118400|@ 1999999999|@+1999999999|Wed @1999999999|Mon @1999999999|@1999999999 Europe/Vienna|@|@x
@5 5:00
"""
CLOCK_CHANGES = [
    Question(f"{form} {zone}", after)
    for zone, moments in {
        "Europe/Vienna": ("2026-03-28 12:00:00", "2026-10-24 23:10:00", "2026-10-25 00:10:00", "2026-10-25 01:10:00"),
        # Not when Dublin's clock goes forward: the systemd of Ubuntu 24.04 then names the same time again and again.
        "Europe/Dublin": ("2026-10-24 23:10:00", "2026-10-25 00:10:00"),
        "America/New_York": ("2026-03-08 05:10:00", "2026-11-01 04:10:00", "2026-11-01 06:10:00"),
        "Australia/Lord_Howe": ("2026-10-03 14:10:00", "2026-04-04 13:10:00", "2026-04-04 15:10:00"),
        "America/Havana": ("2026-03-08 03:10:00", "2026-11-01 03:10:00", "2026-11-01 05:10:00"),
        "Asia/Beirut": ("2026-03-28 20:10:00", "2026-10-24 20:10:00", "2026-10-24 21:10:00"),
    }.items()
    for after in moments
    for form in ("daily", "hourly", "*:0/20", "2:30", "0..1:30", "Sun 1:59:59")
]


def table() -> list[Question]:
    """What people write, and the edges."""
    forms = "".join((SHORTHANDS, WEEKDAYS, DATES, TIMES, ZONES, EPOCHS)).replace("\n", "|").strip("|").split("|")
    zones = ("UTC", "Europe/Vienna", "America/New_York")
    return [Question(form, zone=zones[place % 3]) for place, form in enumerate(dict.fromkeys(forms))] + CLOCK_CHANGES


class Composer:
    """Puts forms together at random: most of them right, some spoiled. Many of the moments are near a clock change."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._settings = [(self._moment(), self._random.choice(HOST_ZONES)) for _ in range(20)]

    def question(self) -> Question:
        pick = self._random
        form = " ".join(each for each in (self._weekdays(), self._date(), self._time(), self._zone()) if each)
        if pick.random() < 0.25:
            at = pick.randrange(len(form) + 1)
            form = form[:at] + pick.choice([*"0159*/.,-~: ", "..", "Mon", "UTC"]) + form[at + pick.randint(0, 1) :]
        after, zone = pick.choice(self._settings)
        return Question(form, after, zone)

    def _moment(self) -> str:
        pick = self._random
        days = ((3, 7), (3, 28), (10, 24), (10, 31), (4, 4), (12, 31), (2, 27), (pick.randint(1, 12), 15))
        month, day = pick.choice(days)
        return f"{datetime(pick.randint(2020, 2045), month, day, pick.randint(0, 23), pick.randint(0, 59), 7)}"

    def _weekdays(self) -> str:
        pick = self._random
        days = ("Mon", "Tuesday", "wed", "Thu", "Fri", "Saturday", "Sun")
        several = [
            f"{pick.choice(days)}{pick.choice(('', f'..{pick.choice(days)}'))}" for _ in range(pick.randint(1, 2))
        ]
        return ",".join(several) if pick.random() < 0.3 else ""

    def _date(self) -> str:
        if self._random.random() < 0.4:
            return ""
        year = self._random.choice(("*-", "*-", "", f"{self._chain(2020, 2050)}-"))
        if self._random.random() < 0.25:
            return f"{year}{self._chain(1, 12)}~{self._chain(1, 28)}"
        return f"{year}{self._chain(1, 12)}-{self._chain(1, 31)}"

    def _time(self) -> str:
        if self._random.random() < 0.2:
            return ""
        seconds = self._random.choice(("", "", ":00", f":{self._chain(0, 59)}", f":{self._chain(0, 59)}.5", ":0/7.25"))
        return f"{self._chain(0, 23)}:{self._chain(0, 59)}{seconds}"

    def _zone(self) -> str:
        return self._random.choice(
            ("", "", "UTC", "Europe/Vienna", "Australia/Lord_Howe", "America/Havana", "Africa/Cairo")
        )

    def _chain(self, least: int, most: int) -> str:
        pick = self._random
        if pick.random() < 0.4:
            return "*"
        return ",".join(self._span(least, most) for _ in range(pick.choice((1, 1, 1, 2, 3))))

    def _span(self, least: int, most: int) -> str:
        pick = self._random
        first, last = sorted((pick.randint(least, most), pick.randint(least, most)))
        step = pick.choice(("", "", f"/{pick.randint(1, 12)}"))
        return f"{first}{step}" if pick.random() < 0.6 else f"{first}..{last}{step}"


# Forms of one zone and one moment are asked together: stdout has those that are taken, stderr those it gives up on.
ASK = """\
export LC_ALL=C SYSTEMD_COLORS=0
set -f
IFS='|'
while read -r zone after forms; do
  set -- $forms
  TZ=$zone systemd-analyze calendar --iterations=ITERATIONS --base-time="$after UTC" -- "$@" 2>err
  cat err
  echo "end of group"
done
""".replace("ITERATIONS", str(ITERATIONS))
_FORM = re.compile(r"(?: *Original form: (.*)\n)?Normalized form: (.*)\n")
_ELAPSE = re.compile(r"(?:Next elapse|Iter(?:\.|ation) #[0-9]+|\(in UTC\)): \w{3} ([0-9: -]+) UTC", re.ASCII)

# systemd-analyze says nothing else if it cannot work out one of the elapses asked for.
GAVE_UP = ["gave up"]

Answers = dict[Question, list[str] | None]


def groups_of(questions: list[Question]) -> list[tuple[str, str, list[Question]]]:
    ordered = sorted(questions, key=lambda each: (each.zone, each.after))
    return [(*key, list(group)) for key, group in groupby(ordered, lambda each: (each.zone, each.after))]


def ask(host: Machine, questions: list[Question]) -> Answers:
    """The elapses of each form on the host, to the second; None for a form that is refused."""
    groups = groups_of(questions)
    asked = "".join(f"{zone}|{after}|{'|'.join(each.form for each in group)}\n" for zone, after, group in groups)
    answers: Answers = dict.fromkeys(questions)
    said = host.run(ASK, stdin=asked.encode()).stdout.split("end of group\n")
    for (_, _, group), text in zip(groups, said[:-1], strict=True):
        parts = _FORM.split(text)
        taken = list(zip(parts[1::3], parts[2::3], parts[3::3], strict=True))
        for question in group:  # in their order; systemd shows a form without the spaces at its end
            if taken and question.form.rstrip() == (taken[0][0] or taken[0][1]):
                answers[question] = _ELAPSE.findall(taken.pop(0)[2])
            if f"Failed to determine next elapse for '{question.form}'" in text:
                answers[question] = GAVE_UP
        assert not taken
    return answers


def answer_here(question: Question) -> list[str] | None:
    try:
        calendar = parse_calendar(question.form)
    except ValueError:
        return None
    found: list[str] = []
    moment = datetime.fromisoformat(f"{question.after}+00:00")
    while len(found) < ITERATIONS and (elapse := calendar.next_after(moment, ZoneInfo(question.zone))):
        found.append(f"{elapse:%Y-%m-%d %H:%M:%S}")
        moment = elapse
    return found


def same(here: list[str] | None, there: list[str] | None) -> bool:
    return here == there or (here is not None and there is GAVE_UP and len(here) < ITERATIONS)


@pytest.fixture(scope="module", params=available(), ids=lambda distribution: distribution.name)
def host(request: pytest.FixtureRequest, farm: Farm) -> Iterator[Machine]:
    """A host with the time zones of this machine: the image has none."""
    zones = {ZONES_OF_THIS_MACHINE: str(ZONES_OF_THIS_MACHINE)}
    machine = farm.add(f"time-{request.param.name}", zones, request.param)
    yield machine
    farm.remove(machine)


def test_a_calendar_form_elapses_here_as_on_a_host(host: Machine) -> None:
    """Each form is refused by both, or elapses at the same times on both."""
    composer = Composer(seed=13)
    questions = list(dict.fromkeys([*table(), *(composer.question() for _ in range(COMPOSED))]))

    there = ask(host, questions)

    here = {question: answer_here(question) for question in questions}
    differing = {each: (here[each], there[each]) for each in questions if not same(here[each], there[each])}
    assert not differing, "\n".join(f"{each}: {pair}" for each, pair in differing.items())
    assert sum(bool(elapses) for elapses in here.values()) > 250
    assert sum(elapses is None for elapses in here.values()) > 100
