"""Waivers that have ended."""

from __future__ import annotations

from collections.abc import Iterator

from finops_policy.lint.rule import Level, Rule
from finops_policy.lint.subject import Subject
from finops_policy.lint.waivers import entries
from finops_policy.marks import Diagnostic


def _check(subject: Subject) -> Iterator[Diagnostic]:
    for entry in entries(subject):
        if entry.expires and entry.expires < subject.today:
            yield Diagnostic(
                RULE.id,
                f"{entry.name} expired on {entry.expires}",
                entry.mark("expires"),
                "Have it approved again with a new date, or remove it.",
            )


RULE = Rule(
    "waiver-expired",
    Level.WARNING,
    "A waiver has expired.",
    "It applies no more: its findings are back, and somebody may believe that they are still accepted.",
    _check,
)
