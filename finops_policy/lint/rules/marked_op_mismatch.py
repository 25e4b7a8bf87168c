"""Policies that destroy what was marked for something milder."""

from __future__ import annotations

from collections.abc import Iterator

from finops_policy.lint import actions, marks
from finops_policy.lint.rule import Level, Rule
from finops_policy.lint.subject import Subject
from finops_policy.marks import Diagnostic
from finops_policy.sources import shown


def _check(subject: Subject) -> Iterator[Diagnostic]:
    for policy in subject.policies:
        waits = [use for use in marks.marked(policy) if marks.op(use)]
        act = next(actions.destructive(policy), None)
        if act and waits and not any(marks.op(use) in actions.DESTRUCTIVE for use in waits):
            yield Diagnostic(
                RULE.id,
                f"{shown(act.type)} acts on resources that were marked for {shown(marks.op(waits[0]))}",
                policy.mark(*act.steps),
                f"Mark them for {act.type}, and wait for that mark.",
                (policy.mark(*waits[0].steps, "op"),),
            )


RULE = Rule(
    "marked-op-mismatch",
    Level.WARNING,
    "A destructive action waits for a mark that announced something milder.",
    "The owner was told that the resource would be stopped, and it is gone.",
    _check,
)
