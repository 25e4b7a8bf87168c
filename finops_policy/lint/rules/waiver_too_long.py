"""Waivers for more than a year."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Final

from finops_policy.lint.rule import Level, Rule
from finops_policy.lint.subject import Subject
from finops_policy.lint.waivers import entries
from finops_policy.marks import Diagnostic

LONGEST: Final = dt.timedelta(days=365)


def _check(subject: Subject) -> Iterator[Diagnostic]:
    for entry in entries(subject):
        if entry.expires and entry.expires > subject.today + LONGEST:
            yield Diagnostic(
                RULE.id,
                f"{entry.name} applies for {(entry.expires - subject.today).days:,} more days, over a year",
                entry.mark("expires"),
                f"Let it expire by {subject.today + LONGEST}, and look at it again then.",
            )


RULE = Rule(
    "waiver-too-long",
    Level.WARNING,
    "A waiver applies for more than 365 days from today.",
    "An exception that nobody looks at again in a year is a change of the rules that nobody has decided.",
    _check,
)
