"""Waivers that end within a month."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Final

from finops_policy.lint.rule import Level, Rule
from finops_policy.lint.subject import Subject
from finops_policy.lint.waivers import entries
from finops_policy.marks import Diagnostic

SOON: Final = dt.timedelta(days=30)


def _check(subject: Subject) -> Iterator[Diagnostic]:
    for entry in entries(subject):
        if entry.expires and subject.today <= entry.expires <= subject.today + SOON:
            left = (entry.expires - subject.today).days
            when = "today" if left == 0 else "tomorrow" if left == 1 else f"in {left} days"
            yield Diagnostic(
                RULE.id,
                f"{entry.name} expires {when}, on {entry.expires}",
                entry.mark("expires"),
                "Mend the finding, or have the waiver approved again in time.",
            )


RULE = Rule(
    "waiver-expires-soon",
    Level.NOTE,
    "A waiver expires within 30 days.",
    "Its findings come back then, and approving it again takes time.",
    _check,
)
