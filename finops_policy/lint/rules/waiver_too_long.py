"""Waivers for longer than the findings of a policy may be waived: a year at most, less where the profile says so."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from finops_policy.lint.rule import Level, Rule
from finops_policy.lint.subject import Subject
from finops_policy.lint.waivers import Entry, entries, rules_of
from finops_policy.marks import Diagnostic
from finops_policy.model import LONGEST_WAIVER


def _check(subject: Subject) -> Iterator[Diagnostic]:
    for entry in entries(subject):
        if entry.expires is None:
            continue
        rules = rules_of(subject, entry)
        longest = rules.longest(entry.text("policy")) if rules else LONGEST_WAIVER
        since = entry.created or subject.today
        days = (entry.expires - since).days
        if days > longest:
            yield Diagnostic(RULE.id, _told(entry, days, longest), entry.mark("expires"), _hint(since, longest))


def _told(entry: Entry, days: int, longest: int) -> str:
    more = "" if entry.created else " more"
    allowed = "over a year" if longest == LONGEST_WAIVER else f"and its findings may be waived for {longest}"
    return f"{entry.name} applies for {days:,}{more} days, {allowed}: it does not apply"


def _hint(since: dt.date, longest: int) -> str:
    return f"Let it expire by {since + dt.timedelta(days=longest)}, and look at it again then."


RULE = Rule(
    "waiver-too-long",
    Level.WARNING,
    "A waiver is for longer than 365 days, or than its profile allows.",
    "An exception that nobody looks at again in a year is a change of the rules that nobody has decided.",
    _check,
)
