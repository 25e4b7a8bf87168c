"""Metrics filters that ask for little and judge resources which are younger than what they look at.

Types of which AWS tells no date near their creation are left out.
"""

from __future__ import annotations

from collections.abc import Iterator

from finops_policy.lint.metrics import CREATED, Metric, least_ages, metrics, on_age
from finops_policy.lint.rule import Level, Rule
from finops_policy.lint.subject import LintedPolicy, Subject, Use
from finops_policy.marks import Diagnostic
from finops_policy.sources import shown


def check(subject: Subject) -> Iterator[Diagnostic]:
    for policy in subject.policies:
        if policy.type is None or policy.type.name not in CREATED:
            continue
        aged = on_age(policy)
        for metric in metrics(policy):
            if metric.low:
                yield from _diagnostics(policy, metric, aged)


def _diagnostics(policy: LintedPolicy, metric: Metric, aged: list[Use]) -> Iterator[Diagnostic]:
    ages = list(least_ages(policy, metric.use, aged))
    known = [age for age in ages if age is not None]
    if len(known) < len(ages) or max(known, default=0) >= metric.days:
        return
    oldest = f"{max(known):g} days old" if known else "just made"
    message = f"{shown(metric.name)} is judged over {metric.days:g} days, of what may be {oldest}"
    name = policy.type.name if policy.type else ""
    hint = f"Add `{{type: value, key: {CREATED[name]}, value_type: age, op: ge, value: {metric.days:g}}}`."
    if name == "aws.ec2":
        hint = f"Add `{{type: instance-uptime, op: ge, days: {metric.days:g}}}`."
    yield Diagnostic(RULE.id, message, policy.mark(*metric.use.steps), hint)


RULE = Rule(
    "metrics-without-age",
    Level.WARNING,
    "A metrics filter asks for little, and judges resources younger than its window.",
    "What was made an hour ago has had no time to be used, and looks idle.",
    check,
)
