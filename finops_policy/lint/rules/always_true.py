"""Filters that everything passes. What they are is worked out in ``logic``; where one key is not enough, nothing is."""

from __future__ import annotations

from collections.abc import Iterator

from finops_policy.lint.logic import constants, roots
from finops_policy.lint.rule import Level, Rule
from finops_policy.lint.subject import Subject
from finops_policy.lint.wording import diagnostic
from finops_policy.marks import Diagnostic


def check(subject: Subject) -> Iterator[Diagnostic]:
    for policy in subject.policies:
        for root in roots(policy):
            yield from (diagnostic(RULE.id, policy, each) for each in constants(root) if each.value)


RULE = Rule(
    "always-true",
    Level.WARNING,
    "Filters are true of every resource.",
    "What they should leave out is matched as well, and acted upon.",
    check,
)
