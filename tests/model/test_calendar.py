"""Calendar forms: what systemd 252 was seen to answer, and what holds for every form. tests/hosts/ asks systemd."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.calendar import LONGEST, parse_calendar

VIENNA = ZoneInfo("Europe/Vienna")


def elapses(form: str, after: str, number: int = 3, host_zone: str = "UTC") -> list[str]:
    """The next times, in UTC."""
    calendar = parse_calendar(form)
    found: list[str] = []
    moment = datetime.fromisoformat(f"{after}+00:00")
    while len(found) < number and (elapse := calendar.next_after(moment, ZoneInfo(host_zone))):
        found.append(f"{elapse:%Y-%m-%d %H:%M:%S.%f}".removesuffix(".000000"))
        moment = elapse
    return found


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("minutely", "2026-11-30 12:31:00"),
        ("hourly", "2026-11-30 13:00:00"),
        ("Daily", "2026-12-01 00:00:00"),
        ("weekly", "2026-12-07 00:00:00"),
        ("monthly", "2026-12-01 00:00:00"),
        ("quarterly", "2027-01-01 00:00:00"),
        ("semiannually", "2027-01-01 00:00:00"),
        ("yearly", "2027-01-01 00:00:00"),
        ("*-*-* 03:00", "2026-12-01 03:00:00"),
        ("Mon..Fri,Sun 12:30:01", "2026-11-30 12:30:01"),
        ("Sat", "2026-12-05 00:00:00"),
        ("12-24 18:00", "2026-12-24 18:00:00"),
        ("*-*~1", "2026-12-31 00:00:00"),
        ("*-02~1", "2027-02-28 00:00:00"),
        ("*-02-29", "2028-02-29 00:00:00"),
        ("Mon *-02-29", "2044-02-29 00:00:00"),
        ("28-01..03/2-05", "2028-01-05 00:00:00"),
        ("*-*~5/2", "2026-12-27 00:00:00"),
        ("8..18/2:15,45", "2026-11-30 12:45:00"),
        ("*:0/20", "2026-11-30 12:40:00"),
        ("*:*:0/0.3", "2026-11-30 12:30:00.300000"),
        ("@1999999999", "2033-05-18 03:33:19"),
        ("13:00 UTC", "2026-11-30 13:00:00"),
        ("13:00 Asia/Kathmandu", "2026-12-01 07:15:00"),
    ],
)
def test_a_form_elapses_next(form: str, expected: str) -> None:
    assert elapses(form, "2026-11-30 12:30:00", 1) == [expected]


@pytest.mark.parametrize("form", ["*-02-30", "2020-1-1", "Mon 2026-12-01", "@5", "*-2,4,6,9,11-31"])
def test_a_form_that_never_elapses_says_so(form: str) -> None:
    assert elapses(form, "2026-11-30 12:30:00") == []


def test_the_zone_of_the_host_counts_where_none_is_written() -> None:
    assert elapses("03:00", "2026-07-01 12:00:00", 1, "Europe/Vienna") == ["2026-07-02 01:00:00"]
    assert elapses("03:00 UTC", "2026-07-01 12:00:00", 1, "Europe/Vienna") == ["2026-07-02 03:00:00"]
    assert (parse_calendar("03:00").zone, parse_calendar("03:00 utc").zone) == (None, "UTC")
    assert parse_calendar("03:00 Europe/Vienna").zone == "Europe/Vienna"


def test_a_time_that_the_clock_skips_is_left_out_that_day() -> None:
    assert elapses("02:30 Europe/Vienna", "2026-03-27 12:00:00") == [
        "2026-03-28 01:30:00",
        "2026-03-30 00:30:00",  # none on the 29th, when 02:00 is followed by 03:00
        "2026-03-31 00:30:00",
    ]
    assert elapses("hourly Europe/Vienna", "2026-03-29 00:00:00", 2) == ["2026-03-29 01:00:00", "2026-03-29 02:00:00"]


def test_a_time_that_the_clock_shows_twice_comes_once() -> None:
    assert elapses("02:30 Europe/Vienna", "2026-10-24 12:00:00", 2) == ["2026-10-25 00:30:00", "2026-10-26 01:30:00"]
    assert elapses("hourly Europe/Vienna", "2026-10-25 00:00:00", 2) == ["2026-10-25 02:00:00", "2026-10-25 03:00:00"]
    # As after a reboot in the second of the two hours.
    assert elapses("*:30 Europe/Vienna", "2026-10-25 01:10:00", 1) == ["2026-10-25 01:30:00"]


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ("", "it is empty: write when it runs, like '*-*-* 03:00 UTC'"),
        ("  ", "it is empty: write when it runs, like '*-*-* 03:00 UTC'"),
        ("daily ", "'daily ' has spaces that systemd does not take: write 'daily'"),
        ("0 3 * * *", "'0 3 * * *' is cron's form; systemd's is '*-*-* 03:00'"),
        ("*/5 * * * *", "'*/5 * * * *' is cron's form; systemd's is '*-*-* *:0/5'"),
        ("0 3 * * MON-FRI", "'0 3 * * MON-FRI' is cron's form; systemd's is 'Mon..Fri *-*-* 03:00'"),
        ("15,45 2-4 1 */3 *", "'15,45 2-4 1 */3 *' is cron's form; systemd's is '*-1/3-01 02..04:15,45'"),
        (
            "0 3 1 * 1",  # cron: on the first and on Mondays
            "'0 3 1 * 1' is cron's form; write it like 'Mon..Fri *-*-* 03:00 Europe/Vienna', '*:0/15' or 'daily'",
        ),
        ("@daily", "'@daily' is cron's; systemd's is 'daily'"),
        ("*:*/5", "in '*:*/5' systemd does not take '*/': write '*:0/5'"),
        ("*-*/2-01 05:00", "in '*-*/2-01 05:00' systemd does not take '*/': write '*-1/2-01 05:00'"),
        ("5min", "'5min' says how long, not when: write '*:0/15' for every 15 minutes, or '0/6:00' for every 6 hours"),
        (
            "every day",
            "'every day' is not systemd's calendar form: write it like 'Mon..Fri *-*-* 03:00 Europe/Vienna', "
            "'*:0/15' or 'daily'",
        ),
        ("25:00", "the hour '25' is out of range: write 0 to 23"),
        ("*-02~29", "the day '29' is out of range: write 1 to 28 after '~'"),
        ("18..8:00", "the hour '18..8' runs backwards: write the smaller number first"),
        ("*:0/0", "the minute '0/0' repeats every 0: write at least '/1'"),
        ("*:59/5", "the minute '59/5' never repeats within 0 to 59: leave the step out"),
        ("*:*:1..1.5", "the second '1..1.5' is a range of less than a second: give it a step, like '/0.1'"),
        ("Sat..Mon", "the weekdays 'sat..mon' run past the end of the week: write 'Sat,Sun,Mon'"),
        ("*-*~23,15,6", "systemd takes no more than 22 as value 3 after '~': write two jobs"),
        ("@9999999999", "'@9999999999' is after the year 2199: write fewer seconds"),
        ("5:00 CET", "'CET' is not one zone on every host: name a place, like 'Europe/Vienna', or 'UTC'"),
        ("5:00 CEST", "'CEST' is not one zone on every host: name a place, like 'Europe/Vienna', or 'UTC'"),
        ("5:00 Europe/viena", "'Europe/viena' is not a time zone: write 'Europe/Vienna'"),
        (
            "5:00 ../../etc/passwd",
            "'../../etc/passwd' is not a time zone: write a place like 'Europe/Vienna', or 'UTC'",
        ),
        ("5:00 right/Europe/Vienna", "'right/Europe/Vienna' is not a time zone: write 'Europe/Vienna'"),
        ("*" * (LONGEST + 1), "it has 1001 characters (at most 1000): split it into several jobs"),
        ("1,2" + ",3" * 250 + ":00", "the hour has 252 values (at most 241): write a range, like '0..30/2'"),
    ],
)
def test_a_form_that_is_refused_says_what_would_be_right(form: str, message: str) -> None:
    with pytest.raises(ValueError) as refused:
        parse_calendar(form)

    assert str(refused.value) == message


def test_what_no_form_has_is_refused_on_one_printable_line() -> None:
    """No `%`, which systemd expands in a unit, and no line end, which would be a line of the unit, can be in a form."""
    for text in ("5:00\n", "5:00\nUnit=x.service", "%H:00", "5:00 \x1b[1m", "\u0665:00", "5:00 \u212aiev", "\0"):
        with pytest.raises(ValueError) as refused:
            parse_calendar(text)
        assert str(refused.value).isprintable()


def test_a_form_is_shown_and_compared_as_it_was_written() -> None:
    calendar = parse_calendar("Mon 5:0")

    assert str(calendar) == "Mon 5:0"
    assert calendar == parse_calendar("Mon 5:0") != parse_calendar("Mon 05:00")


def _lists(least: int, most: int) -> st.SearchStrategy[str]:
    numbers = st.integers(least, most)
    spans = st.builds(lambda one, other: f"{min(one, other)}..{max(one, other)}", numbers, numbers)
    return st.just("*") | st.lists(numbers.map(str) | spans, min_size=1, max_size=3).map(",".join)


_FORMS = st.builds(
    lambda days, month, day, hour, minute, zone: f"{days} *-{month}-{day} {hour}:{minute} {zone}".strip(),
    st.sampled_from(("Mon..Sun", "Mon", "Sat,Sun")),
    _lists(1, 12),
    _lists(1, 28),
    _lists(0, 23),
    _lists(0, 59),
    st.sampled_from(("", "UTC", "Europe/Dublin", "America/Havana", "Australia/Lord_Howe")),
)
_MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))


@given(_FORMS, _MOMENTS, st.timedeltas(timedelta(0), timedelta(days=1)))
def test_the_next_time_is_later_and_none_lies_between(form: str, moment: datetime, less: timedelta) -> None:
    """From any moment in between, the next time is the same one: unless the clock was changed on the way."""
    calendar = parse_calendar(form)

    found = calendar.next_after(moment, VIENNA)

    assert found is not None
    assert found > moment
    between = max(moment, found - less - timedelta(microseconds=1))
    local = {
        each.astimezone(ZoneInfo(calendar.zone) if calendar.zone else VIENNA).utcoffset() for each in (between, found)
    }
    if len(local) == 1:
        assert calendar.next_after(between, VIENNA) == found


@given(st.text(max_size=40) | st.text("0123456789*/.,-~: MonFriUTC@%", max_size=40))
def test_any_text_is_a_form_or_refused_with_a_sentence(text: str) -> None:
    try:
        calendar = parse_calendar(text)
    except ValueError as refused:
        assert str(refused).isprintable()
    else:
        calendar.next_after(datetime(2026, 11, 30, tzinfo=UTC), VIENNA)
