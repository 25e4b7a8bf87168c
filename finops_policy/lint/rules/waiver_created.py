"""Waivers that do not say since when they are agreed on, or say a day that cannot be."""

from __future__ import annotations

from collections.abc import Iterator

from finops_policy.lint.rule import Level, Rule
from finops_policy.lint.subject import Subject
from finops_policy.lint.waivers import entries
from finops_policy.marks import Diagnostic


def _check(subject: Subject) -> Iterator[Diagnostic]:
    for entry in entries(subject):
        if "created" not in entry.data:
            yield Diagnostic(
                RULE.id,
                f"{entry.name} does not say when it was agreed on: how long it may be is counted from today",
                entry.mark(),
                "Add `created`, a day such as 2026-12-31.",
            )
        elif entry.created and entry.created > subject.today:
            message = f"{entry.name} is created on {entry.created}, which is to come: it does not apply before"
            yield Diagnostic(RULE.id, message, entry.mark("created"), "Write the day it was agreed on (UTC).")
        elif entry.created and entry.expires and entry.created > entry.expires:
            message = f"{entry.name} expires before it was created: it does not apply"
            yield Diagnostic(RULE.id, message, entry.mark("created"), "Correct `created` or `expires`.")


RULE = Rule(
    "waiver-created",
    Level.WARNING,
    "A waiver does not say when it was agreed on, or says a day that cannot be.",
    "Without that day nobody can tell how old an exception is, nor hold it to its limit.",
    _check,
)
