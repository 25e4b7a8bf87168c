"""Freeze windows: on the wall clock of their time zone, through summer time, past midnight, from the month's end."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from finops_policy.customer import Freeze
from finops_policy.remediation.freeze import frozen

BERLIN, NEW_YORK, LORD_HOWE = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"
ZONES = ("UTC", BERLIN, NEW_YORK, LORD_HOWE, "Asia/Kathmandu", "Pacific/Kiritimati", "Pacific/Pago_Pago")
OFFICE = Freeze("office", BERLIN, hours=(7 * 60, 19 * 60))
NIGHT = Freeze("night", BERLIN, weekdays=frozenset({4}), hours=(22 * 60, 6 * 60))


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("moment", "within"),
    [
        ("2026-01-15T05:59:59+00:00", False),  # 06:59:59 in winter
        ("2026-01-15T06:00:00+00:00", True),
        ("2026-01-15T17:59:59+00:00", True),
        ("2026-01-15T18:00:00+00:00", False),
        ("2026-07-15T04:59:59+00:00", False),  # 06:59:59 in summer
        ("2026-07-15T05:00:00+00:00", True),
        ("2026-07-15T16:59:59+00:00", True),
        ("2026-07-15T17:00:00+00:00", False),
        ("2026-03-29T05:00:00+00:00", True),  # the very day of the change: 07:00 is summer time already
        ("2026-03-29T04:59:59+00:00", False),
        ("2026-10-25T05:59:59+00:00", False),  # and back
        ("2026-10-25T06:00:00+00:00", True),
    ],
)
def test_seven_stays_seven_when_summer_time_begins(moment: str, within: bool) -> None:
    assert bool(frozen(at(moment), [OFFICE])) is within


def test_the_hour_that_comes_twice_is_frozen_twice() -> None:
    window = Freeze("two", BERLIN, hours=(2 * 60, 3 * 60))
    told = [bool(frozen(at(f"2026-10-25T{each}+00:00"), [window])) for each in ("00:30", "01:30", "02:30")]
    assert told == [True, True, False]


def test_the_hour_that_never_comes_freezes_nothing() -> None:
    window = Freeze("two", BERLIN, hours=(2 * 60, 3 * 60))
    day = [at("2026-03-29T00:00+00:00") + dt.timedelta(minutes=each) for each in range(0, 180, 5)]
    assert not any(frozen(each, [window]) for each in day)


@pytest.mark.parametrize(
    ("local", "within"),
    [
        ("2026-11-20T21:59", False),  # a Friday
        ("2026-11-20T22:00", True),
        ("2026-11-21T05:59", True),  # Saturday morning still belongs to Friday
        ("2026-11-21T06:00", False),
        ("2026-11-21T22:00", False),
        ("2026-11-20T05:00", False),  # Friday morning belongs to Thursday
    ],
)
def test_hours_past_midnight_belong_to_the_day_they_began_on(local: str, within: bool) -> None:
    assert bool(frozen(at(local).replace(tzinfo=ZoneInfo(BERLIN)), [NIGHT])) is within


@pytest.mark.parametrize(
    ("day", "within"),
    [
        ("2026-02-25", False),
        ("2026-02-26", True),
        ("2026-02-28", True),
        ("2026-03-01", True),
        ("2026-03-02", False),
        ("2028-02-26", False),
        ("2028-02-27", True),
        ("2028-02-29", True),
        ("2026-04-27", False),
        ("2026-04-28", True),
        ("2026-12-31", True),
    ],
)
def test_days_from_the_months_end(day: str, within: bool) -> None:
    window = Freeze("close", days_of_month=frozenset({1, -1, -2, -3}))
    assert bool(frozen(at(f"{day}T12:00:00+00:00"), [window])) is within


def test_the_window_says_which_and_when_in_its_own_zone() -> None:
    told = frozen(at("2026-11-20T23:30:00+00:00"), [OFFICE, NIGHT])
    assert told == "freeze window 'night': it is Saturday, 2026-11-21 00:30 in Europe/Berlin"


def test_first_and_last_day_are_within() -> None:
    window = Freeze("year end", NEW_YORK, dt.date(2026, 12, 15), dt.date(2027, 1, 3))
    zone = ZoneInfo(NEW_YORK)
    assert not frozen(dt.datetime(2026, 12, 14, 23, 59, tzinfo=zone), [window])
    assert frozen(dt.datetime(2026, 12, 15, 0, 0, tzinfo=zone), [window])
    assert frozen(dt.datetime(2027, 1, 3, 23, 59, tzinfo=zone), [window])
    assert not frozen(dt.datetime(2027, 1, 4, 0, 0, tzinfo=zone), [window])


def test_no_window_freezes_nothing() -> None:
    assert frozen(at("2026-11-20T23:30:00+00:00"), []) == ""


days = st.one_of(st.none(), st.dates(dt.date(2026, 1, 1), dt.date(2027, 12, 31)))
hours = st.one_of(
    st.none(), st.tuples(st.integers(0, 1439), st.integers(0, 1440)).filter(lambda each: len(set(each)) == 2)
)
windows = st.builds(
    Freeze,
    name=st.just("w"),
    timezone=st.sampled_from(ZONES),
    first=days,
    last=days,
    weekdays=st.frozensets(st.integers(0, 6), max_size=5),
    days_of_month=st.frozensets(st.integers(-31, 31).filter(bool), max_size=6),
    hours=hours,
)
moments = st.integers(0, 2 * 366 * 24 * 60).map(lambda each: at("2025-12-31T00:00+00:00") + dt.timedelta(minutes=each))


def _expected(moment: dt.datetime, window: Freeze) -> bool:
    """The same told otherwise: intervals on the wall, each begun on a day that is meant."""
    wall = moment.astimezone(ZoneInfo(window.timezone)).replace(tzinfo=None)
    for back in (0, 1):
        day = wall.date() - dt.timedelta(days=back)
        following = day.replace(day=1) + dt.timedelta(days=32)
        length = (following.replace(day=1) - dt.timedelta(days=1)).day
        meant = (
            (window.first is None or window.first <= day)
            and (window.last is None or day <= window.last)
            and (not window.weekdays or day.isoweekday() - 1 in window.weekdays)
            and (
                not window.days_of_month
                or any(each in (day.day, day.day - length - 1) for each in window.days_of_month)
            )
        )
        start, end = window.hours or (0, 1440)
        end += 1440 if end <= start else 0
        midnight = dt.datetime.combine(day, dt.time())
        if meant and midnight + dt.timedelta(minutes=start) <= wall < midnight + dt.timedelta(minutes=end):
            return True
    return False


@given(moments, windows)
@example(at("2026-03-29T01:00:00+00:00"), Freeze("w", BERLIN, hours=(120, 180)))
@example(at("2026-11-01T06:30:00+00:00"), Freeze("w", NEW_YORK, hours=(60, 30)))
@example(at("2026-04-04T15:30:00+00:00"), Freeze("w", LORD_HOWE, days_of_month=frozenset({-26}), hours=(90, 121)))
def test_it_is_frozen_on_the_wall_clock_alone(moment: dt.datetime, window: Freeze) -> None:
    assert bool(frozen(moment, [window])) is _expected(moment, window)


@given(moments, st.lists(windows, max_size=3), st.sampled_from(ZONES))
def test_how_a_moment_is_written_does_not_matter(moment: dt.datetime, some: list[Freeze], zone: str) -> None:
    assert frozen(moment, some) == frozen(moment.astimezone(ZoneInfo(zone)), some)
    assert bool(frozen(moment, some)) is any(frozen(moment, [each]) for each in some)
