"""Remediations of packs that destroy and say that they do not."""

from __future__ import annotations

from collections.abc import Iterator

from finops_policy.lint import actions
from finops_policy.lint.rule import Level, Rule
from finops_policy.lint.subject import Subject
from finops_policy.marks import Diagnostic
from finops_policy.sources import shown


def check(subject: Subject) -> Iterator[Diagnostic]:
    for policy in subject.policies:
        if policy.written and not actions.declared(policy) and (use := next(actions.destructive(policy), None)):
            message = f"{shown(use.type)} destroys, and `destructive` is false"
            mark, other = policy.mark("remediation", "destructive"), policy.mark(*use.steps)
            hint = "Write `destructive: true`, and ask for an approval in the profiles."
            yield Diagnostic(RULE.id, message, mark, hint, (other,))


RULE = Rule(
    "destructive-undeclared",
    Level.WARNING,
    "A remediation destroys, and says that it does not.",
    "Approvers and profiles go by what it says.",
    check,
)
