"""Statistics that say nothing of the metric. Only metrics of which AWS's documentation says so are judged."""

from __future__ import annotations

from collections.abc import Iterator

from finops_policy.lint.metrics import USEFUL, Metric, metrics
from finops_policy.lint.rule import Level, Rule
from finops_policy.lint.subject import LintedPolicy, Subject
from finops_policy.marks import Diagnostic
from finops_policy.sources import shown


def check(subject: Subject) -> Iterator[Diagnostic]:
    for policy in subject.policies:
        for metric in metrics(policy):
            yield from _diagnostics(policy, metric)


def _diagnostics(policy: LintedPolicy, metric: Metric) -> Iterator[Diagnostic]:
    data, steps = metric.use.data, metric.use.steps
    mark = policy.mark(*steps, "statistics") if "statistics" in data else policy.mark(*steps, "name")
    useful = USEFUL.get(metric.namespace, {}).get(metric.name)
    if useful and metric.statistic not in useful:
        names = " or ".join(f"`statistics: {name}`" for name in sorted(useful - {"SampleCount"}))
        said = shown(metric.statistic) + ("" if "statistics" in data else ", the default,")
        message = f"{said} of {shown(metric.name)} does not say what it seems to"
        yield Diagnostic(RULE.id, message, mark, f"Use {names}.")
    elif metric.statistic.startswith("p") and "percent-attr" in data:
        message = "Cloud Custodian cannot compare a percentile with `percent-attr`: it fails on every resource"
        yield Diagnostic(RULE.id, message, mark, "Use Average, Maximum or Minimum, or leave `percent-attr` out.")


RULE = Rule(
    "metrics-statistic",
    Level.WARNING,
    "A metric is asked for by a statistic that says nothing of it.",
    "The average of a count of requests is 1, however many there were: comparing it says nothing.",
    check,
)
