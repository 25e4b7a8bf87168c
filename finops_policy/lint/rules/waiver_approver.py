"""Waivers approved by somebody who may not: nobody whom the customer's file registers."""

from __future__ import annotations

from collections.abc import Iterator

from finops_policy.errors import did_you_mean
from finops_policy.lint.rule import Level, Rule
from finops_policy.lint.subject import Subject
from finops_policy.lint.waivers import entries, rules_of
from finops_policy.marks import Diagnostic


def _check(subject: Subject) -> Iterator[Diagnostic]:
    for entry in entries(subject):
        rules, who = rules_of(subject, entry), entry.text("approved_by")
        if rules and rules.approvers is not None and who and who.strip().casefold() not in rules.approvers:
            yield Diagnostic(
                RULE.id,
                f"{entry.name} is approved by {who!r}, who is no approver: it does not apply",
                entry.mark("approved_by"),
                did_you_mean(who, rules.approvers) or "Register them under `approvers` in customer.yaml.",
            )


RULE = Rule(
    "waiver-approver",
    Level.ERROR,
    "A waiver is approved by somebody who is no approver of the customer.",
    "Whoever may write to the repository could accept any finding in anybody's name: the waiver does not apply.",
    _check,
)
