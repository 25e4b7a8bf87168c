"""Metrics filters that ask for little and do not say what no datapoints are.

Metrics that AWS sends of whatever runs are left out. In packs finops-policy reports what has no datapoints as unknown.
"""

from __future__ import annotations

from collections.abc import Iterator

from finops_policy.lint.metrics import ALWAYS_SENT, Metric, metrics
from finops_policy.lint.rule import Level, Rule
from finops_policy.lint.subject import Subject
from finops_policy.marks import Diagnostic
from finops_policy.sources import shown


def check(subject: Subject) -> Iterator[Diagnostic]:
    for policy in subject.policies:
        for metric in metrics(policy) if policy.written is None else ():
            if metric.low and "missing-value" not in metric.use.data and not _always_sent(metric):
                message = f"resources without datapoints of {shown(metric.name)} are not matched, however idle they are"
                hint = "Add `missing-value: 0` if AWS sends the metric only when there is use."
                yield Diagnostic(RULE.id, message, policy.mark(*metric.use.steps), hint)


def _always_sent(metric: Metric) -> bool:
    return metric.name in ALWAYS_SENT.get(metric.namespace, ())


RULE = Rule(
    "metrics-missing-value",
    Level.WARNING,
    "A metrics filter asks for little, and does not say what no datapoints are.",
    "AWS sends many metrics only when there is use: what is used least of all is left out, and looks compliant.",
    check,
)
