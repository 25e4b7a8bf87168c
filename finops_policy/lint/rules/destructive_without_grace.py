"""Policies that destroy what they find the first time they find it.

Policies that run on events are meant to act at once. Of types that cannot be marked, nothing is asked.
"""

from __future__ import annotations

from collections.abc import Iterator

from finops_policy.lint import actions, modes
from finops_policy.lint.rule import Level, Rule
from finops_policy.lint.subject import LintedPolicy, Subject, Use
from finops_policy.marks import Diagnostic
from finops_policy.sources import shown


def check(subject: Subject) -> Iterator[Diagnostic]:
    for policy in subject.policies:
        use = actions.risky(policy)
        if use is None or policy.type is None or policy.mode not in modes.POLLING:
            continue
        if (policy.type.name, use.type) in actions.SCHEDULED or "marked-for-op" not in policy.type.filters:
            continue
        if not (actions.grace_days(policy) if policy.written else any(map(_waits, policy.filters))):
            yield _diagnostic(policy, use)


def _waits(use: Use) -> bool:
    """Marks, and tags with a date that somebody has set for the resource."""
    if "not" in use.groups:
        return False
    if use.kind == "marked-for-op":
        return True
    dated = use.data.get("value_type") in ("age", "expiration", "date")
    return use.type == "value" and dated and str(use.data.get("key")).startswith("tag:")


def _diagnostic(policy: LintedPolicy, use: Use) -> Diagnostic:
    hint = "Add `grace_days: 7` to the remediation."
    if policy.written is None:
        hint = (
            f"Mark first, with `mark-for-op`, `op: {use.type}` and `days`, in a policy of its own; select with "
            f"`marked-for-op` and `op: {use.type}` here."
        )
    message = f"{shown(use.type)} destroys what it finds the first time it finds it"
    return Diagnostic(RULE.id, message, policy.mark(*use.steps), hint)


RULE = Rule(
    "destructive-without-grace",
    Level.WARNING,
    "An action destroys at first sight.",
    "The owner has no days in which to see the mark and say that the resource is needed.",
    check,
)
