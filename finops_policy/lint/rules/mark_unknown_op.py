"""Marks for an action that the type does not have. c7n's own validation, which refuses them too, is not asked."""

from __future__ import annotations

from collections.abc import Iterator

from finops_policy.custodian.knowledge import ResourceType
from finops_policy.errors import did_you_mean
from finops_policy.lint import marks
from finops_policy.lint.rule import Level, Rule
from finops_policy.lint.subject import LintedPolicy, Subject, Use
from finops_policy.marks import Diagnostic
from finops_policy.sources import shown


def _check(subject: Subject) -> Iterator[Diagnostic]:
    for policy in subject.policies:
        if policy.type is None:
            continue
        for use in (*policy.filters, *policy.actions):
            if use.kind in (marks.MARK, marks.MARKED):
                yield from _of(policy, use, policy.type)


def _of(policy: LintedPolicy, use: Use, type_: ResourceType) -> Iterator[Diagnostic]:
    op = use.data.get("op", "")
    if not isinstance(op, str) or (op in type_.actions and not type_.actions[op].alias):
        return
    known = [name for name, element in type_.actions.items() if not element.alias]
    hint = did_you_mean(op, known) or f"`custodian schema {type_.name}.actions` lists them."
    message = f"{type_.name} has no action {shown(op)}" if op else f"`{use.type}` does not say its `op`"
    yield Diagnostic(RULE.id, message, policy.mark(*use.steps, "op"), hint)


RULE = Rule(
    "mark-unknown-op",
    Level.ERROR,
    "A mark is for an action that the resource type does not have.",
    "Cloud Custodian refuses the policy, and with it every other one of the file.",
    _check,
)
