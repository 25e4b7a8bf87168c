"""Marks that no policy acts on.

Policies of packs are left out: their marks are acted on by finops-policy itself. So are marks with variables in them.
"""

from __future__ import annotations

from collections.abc import Iterator

from finops_policy.lint import marks
from finops_policy.lint.rule import Level, Rule
from finops_policy.lint.subject import LintedPolicy, Subject, Use
from finops_policy.marks import Diagnostic
from finops_policy.sources import shown


def _check(subject: Subject) -> Iterator[Diagnostic]:
    waiting: dict[tuple[str, str], dict[str, tuple[LintedPolicy, Use]]] = {}
    unclear: set[str] = set()
    for policy in subject.policies:
        if policy.type and policy.actions:
            for use in marks.marked(policy):
                tag, op = marks.tag(use), marks.op(use)
                waiting.setdefault((policy.type.name, op), {}).setdefault(tag, (policy, use))
                if "{" in tag + op:
                    unclear.add(policy.type.name)
    for policy in subject.policies:
        type_ = policy.type
        if type_ is None or policy.written or marks.MARKED not in type_.filters or type_.name in unclear:
            continue
        for use in marks.marking(policy):
            tag, op = marks.tag(use), marks.op(use)
            known = op in type_.actions and not type_.actions[op].alias
            near = waiting.get((type_.name, op), {})
            if known and tag and "{" not in tag and tag not in near:
                yield _diagnostic(policy, use, next(iter(near.values()), None))


def _diagnostic(policy: LintedPolicy, use: Use, near: tuple[LintedPolicy, Use] | None) -> Diagnostic:
    tag, op = marks.tag(use), marks.op(use)
    message = f"no policy in the files linted waits for this mark, {shown(op)} in the tag {shown(tag)}"
    if near is None:
        hint = f"Add a policy with `marked-for-op` and the action {op}, or lint its file together with this one."
        return Diagnostic(RULE.id, message, policy.mark(*use.steps), hint)
    other, its = near
    hint = f"{shown(other.name)} waits for one in the tag {shown(marks.tag(its))}: give both the same `tag`."
    return Diagnostic(RULE.id, message, policy.mark(*use.steps), hint, (other.mark(*its.steps),))


RULE = Rule(
    "mark-without-follow-up",
    Level.WARNING,
    "No policy acts on a mark.",
    "The owner reads a date in the tag, and on that day nothing happens.",
    _check,
)
