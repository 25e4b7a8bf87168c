"""Marks that are due as soon as they are written.

c7n's documentation promises four days. Its code passes 0 for what is left out, so that the default of four, which
waits for None, never applies: in every resource type, as a test shows.
"""

from __future__ import annotations

from collections.abc import Iterator

from finops_policy.lint import marks
from finops_policy.lint.rule import Level, Rule
from finops_policy.lint.subject import Subject
from finops_policy.marks import Diagnostic


def _check(subject: Subject) -> Iterator[Diagnostic]:
    for policy in subject.policies:
        for use in marks.marking(policy):
            if use.data.keys().isdisjoint(("days", "hours")):
                yield Diagnostic(
                    RULE.id,
                    "`mark-for-op` says neither `days` nor `hours`: the mark is due at once",
                    policy.mark(*use.steps),
                    "Add `days:`. The four days of Cloud Custodian's documentation do not happen.",
                )


RULE = Rule(
    "mark-without-delay",
    Level.WARNING,
    "A `mark-for-op` gives no time.",
    "The mark carries today's date, and the next policy that acts on marks acts today.",
    _check,
)
