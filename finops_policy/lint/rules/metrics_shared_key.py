"""Metrics filters of one policy that read each other's datapoints.

Cloud Custodian keeps datapoints on the resource, by namespace, metric, statistic and days. What it keeps inside of a
``not`` it forgets again. Policies do not share datapoints, unless ``--cache memory`` is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from finops_policy.lint.metrics import Metric, metrics
from finops_policy.lint.rule import Level, Rule
from finops_policy.lint.subject import LintedPolicy, Subject
from finops_policy.marks import Diagnostic
from finops_policy.sources import shown


def check(subject: Subject) -> Iterator[Diagnostic]:
    for policy in subject.policies:
        first: dict[tuple[Any, ...], Metric] = {}
        for metric in metrics(policy):
            key = (metric.namespace, metric.name, metric.statistic, str(metric.days))
            other = first.setdefault(key, metric)
            if other is not metric and (differing := _differing(other, metric)):
                yield _diagnostic(policy, other, metric, differing)


def _differing(first: Metric, second: Metric) -> str:
    """The setting in which they differ. A missing value that only the second has is filled in by the second alone."""
    one, two = first.use.data, second.use.data
    if first.period != second.period:
        return "period"
    if "missing-value" in one and one["missing-value"] != two.get("missing-value"):
        return "missing-value"
    return next((name for name in ("dimensions", "period-start") if one.get(name) != two.get(name)), "")


def _diagnostic(policy: LintedPolicy, first: Metric, second: Metric, differing: str) -> Diagnostic:
    named = second if differing in second.use.data else first
    mark = policy.key_mark(*named.use.steps, differing)
    other = policy.mark(*(first if named is second else second).use.steps)
    message = f"both filters on {shown(second.name)} read the datapoints of the first, whatever their `{differing}`"
    hint = "Give them different `days`, or put them into policies of their own."
    return Diagnostic(RULE.id, message, mark, hint, (other,))


RULE = Rule(
    "metrics-shared-key",
    Level.WARNING,
    "Two metrics filters of a policy read the same datapoints although they ask for different ones.",
    "The second compares its value with numbers of another period or dimension.",
    check,
)
