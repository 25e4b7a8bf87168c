"""Policies that may destroy any number of resources in one run.

Policies that run on events act on what an event names; Cloud Custodian reads no cap there.
"""

from __future__ import annotations

from collections.abc import Iterator

from finops_policy.lint import actions, modes
from finops_policy.lint.rule import Level, Rule
from finops_policy.lint.subject import LintedPolicy, Subject
from finops_policy.marks import Diagnostic
from finops_policy.sources import shown


def check(subject: Subject) -> Iterator[Diagnostic]:
    for policy in subject.policies:
        use = actions.risky(policy)
        if use and policy.mode in modes.POLLING and not _capped(policy):
            hint = "Add `max: {count: 10}` to the remediation: a plan over it is refused."
            if policy.written is None:
                hint = "Add `max-resources: 10` to the policy: Cloud Custodian stops before it acts on more."
            message = f"nothing limits how much {shown(use.type)} destroys in one run"
            yield Diagnostic(RULE.id, message, policy.mark(*use.steps), hint)


def _capped(policy: LintedPolicy) -> bool:
    if policy.written:
        return bool(policy.written.remediation.get("max"))
    return not policy.document.keys().isdisjoint(("max-resources", "max-resources-percent"))


RULE = Rule(
    "destructive-without-cap",
    Level.WARNING,
    "An action destroys, and nothing limits how much in one run.",
    "One wrong filter, or a tag that a script removed, destroys everything of that type in an account.",
    check,
)
