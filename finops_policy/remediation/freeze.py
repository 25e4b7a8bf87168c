"""PURE: whether a moment is in a freeze window.

A window is meant in its own time zone, on the wall clock: 07:00 stays 07:00 when summer time begins.
"""

from __future__ import annotations

import calendar
import datetime as dt
from collections.abc import Iterable
from zoneinfo import ZoneInfo

from finops_policy.customer import Freeze


def frozen(moment: dt.datetime, windows: Iterable[Freeze]) -> str:
    """Why nothing may be acted on at ``moment`` (aware), as a sentence; empty when it may."""
    for window in windows:
        local = moment.astimezone(ZoneInfo(window.timezone))
        if _within(local.replace(tzinfo=None), window):
            return f"freeze window {window.name!r}: it is {local:%A, %Y-%m-%d %H:%M} in {window.timezone}"
    return ""


def _within(local: dt.datetime, window: Freeze) -> bool:
    """Hours past midnight belong to the day that they began on."""
    minute = local.hour * 60 + local.minute
    if window.hours is None:
        return _on_day(local.date(), window)
    start, end = window.hours
    if start < end:
        return start <= minute < end and _on_day(local.date(), window)
    yesterday = local.date() - dt.timedelta(days=1)
    return (minute >= start and _on_day(local.date(), window)) or (minute < end and _on_day(yesterday, window))


def _on_day(day: dt.date, window: Freeze) -> bool:
    if (window.first and day < window.first) or (window.last and day > window.last):
        return False
    if window.weekdays and day.weekday() not in window.weekdays:
        return False
    from_end = day.day - calendar.monthrange(day.year, day.month)[1] - 1
    return not window.days_of_month or bool(window.days_of_month & {day.day, from_end})
