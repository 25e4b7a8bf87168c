"""A filter that stands twice in one list."""

from __future__ import annotations

from collections.abc import Iterator

from finops_policy.lint.logic import duplicates, roots
from finops_policy.lint.rule import Level, Rule
from finops_policy.lint.subject import Subject
from finops_policy.marks import Diagnostic


def check(subject: Subject) -> Iterator[Diagnostic]:
    for policy in subject.policies:
        for root in roots(policy):
            for first, second in duplicates(root):
                mark, other = policy.mark(*second.steps), policy.mark(*first.steps)
                hint = "Remove one of them, unless another value was meant."
                yield Diagnostic(RULE.id, f"the filter {second} is there twice", mark, hint, (other,))


RULE = Rule(
    "duplicate-filter",
    Level.NOTE,
    "A filter stands twice in the same list.",
    "It changes nothing; often one of the two was meant to say something else.",
    check,
)
