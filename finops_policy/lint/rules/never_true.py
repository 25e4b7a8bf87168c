"""Filters that nothing passes. What they are is worked out in ``logic``; where one key is not enough, nothing is."""

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
            yield from (diagnostic(RULE.id, policy, each) for each in constants(root) if not each.value)


RULE = Rule(
    "never-true",
    Level.WARNING,
    "Filters exclude each other, or one can never be true.",
    "The policy, or this part of it, matches nothing, and everything looks compliant.",
    check,
)
