"""``remediation`` of a customer.yaml, once it is known to fit its schema, as the customer's dataclasses."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from finops_policy.customer import Batches, Caps, Freeze, Remediation, Role
from finops_policy.errors import InvalidFilesError, did_you_mean
from finops_policy.marks import Diagnostic, Mark
from finops_policy.sources import Document

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def remediation_of(document: Document, raw: Mapping[str, Any]) -> Remediation:
    """Raises :class:`InvalidFilesError` for time zones nobody knows and windows that never are."""
    windows = raw.get("freeze", ())
    problems = [
        problem
        for index, each in enumerate(windows)
        for problem in _problems(each, document.mark("remediation", "freeze", index))
    ]
    if problems:
        raise InvalidFilesError(problems)
    role = raw.get("role")
    batches = dict(raw.get("batches", {}))
    if "max_error_percent" in batches:
        batches["max_error_percent"] = Decimal(str(batches["max_error_percent"]))
    return Remediation(
        role=Role(**{**role, "via": tuple(role.get("via", ()))}) if role else None,
        max=caps_of(raw.get("max", {})),
        total=caps_of(raw.get("total", {})),
        batches=Batches(**batches),
        freeze=tuple(_freeze(each) for each in windows),
    )


def caps_of(raw: Mapping[str, Any]) -> Caps:
    """``max`` of a policy's remediation, or a customer's."""
    percent, amount = raw.get("percent"), raw.get("monthly_amount")
    return Caps(
        count=raw.get("count"),
        percent=Decimal(str(percent)) if percent is not None else None,
        monthly_amount=Decimal(amount) if amount is not None else None,
    )


def _freeze(raw: Mapping[str, Any]) -> Freeze:
    return Freeze(
        name=raw["name"],
        timezone=raw.get("timezone", "UTC"),
        first=_day(raw.get("from")),
        last=_day(raw.get("until")),
        weekdays=frozenset(WEEKDAYS.index(each) for each in raw.get("weekdays", ())),
        days_of_month=frozenset(raw.get("days_of_month", ())),
        hours=_hours(raw["hours"]) if "hours" in raw else None,
    )


def _day(text: str | None) -> dt.date | None:
    return dt.date.fromisoformat(text) if text else None


def _hours(text: str) -> tuple[int, int]:
    start, end = (int(each[:2]) * 60 + int(each[3:]) for each in text.split("-"))
    return start, end


def _problems(raw: Mapping[str, Any], mark: Mark) -> list[Diagnostic]:
    found = []
    zone = raw.get("timezone", "UTC")
    try:
        ZoneInfo(zone)
    except (ValueError, OSError, KeyError):  # a name that is no path, a folder, one that nobody has
        hint = did_you_mean(zone, available_timezones())
        found.append(Diagnostic("freeze", f"{zone!r} is no time zone.", mark, hint))
    if raw.keys() <= {"name", "timezone"}:
        message = f"Freeze window {raw['name']!r} says no time: nothing would ever be acted on."
        found.append(Diagnostic("freeze", message, mark, "Give it from and until, weekdays, days_of_month or hours."))
    if "from" in raw and "until" in raw and raw["until"] < raw["from"]:
        message = f"Freeze window {raw['name']!r} ends on {raw['until']}, before it begins on {raw['from']}."
        found.append(Diagnostic("freeze", message, mark, "Exchange the two."))
    if "hours" in raw and len(set(_hours(raw["hours"]))) == 1:
        message = f"Freeze window {raw['name']!r} ends at the minute it begins."
        found.append(Diagnostic("freeze", message, mark, "Leave `hours` out for whole days."))
    return found
