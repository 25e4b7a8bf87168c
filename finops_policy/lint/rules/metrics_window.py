"""Windows and periods that CloudWatch does not answer for. Cloud Custodian only logs that, and goes on without."""

from __future__ import annotations

import math
from collections.abc import Iterator

from finops_policy.lint.metrics import DAY, HIGH_RESOLUTION, KEPT, MOST_POINTS, Metric, metrics
from finops_policy.lint.rule import Level, Rule
from finops_policy.lint.subject import LintedPolicy, Subject
from finops_policy.marks import Diagnostic


def check(subject: Subject) -> Iterator[Diagnostic]:
    for policy in subject.policies:
        for metric in metrics(policy):
            yield from _diagnostics(policy, metric)


def _diagnostics(policy: LintedPolicy, metric: Metric) -> Iterator[Diagnostic]:
    field = "period" if "period" in metric.use.data else "days"
    mark = policy.mark(*metric.use.steps, field)
    period = f"{metric.period:,} seconds"
    if metric.days <= 0:
        mark = policy.mark(*metric.use.steps, "days")
        yield Diagnostic(RULE.id, "a window without days has no datapoints", mark, "Write how many days to look back.")
    elif metric.period < 1 or (metric.period % 60 and metric.period not in HIGH_RESOLUTION):
        hint = "Use a multiple of 60, or 1, 5, 10, 20 or 30 seconds for metrics of your own."
        yield Diagnostic(RULE.id, f"CloudWatch has no period of {period}", mark, hint)
    elif (points := math.ceil(metric.days * DAY / metric.period)) > MOST_POINTS:
        message = f"{metric.days:g} days by {period} are {points:,} datapoints; CloudWatch refuses more than 1,440"
        yield Diagnostic(RULE.id, message, mark, f"Use `period: {_coarser(metric)}`, or fewer days.")
    else:
        for days, multiple, name in KEPT:
            if metric.days > days and metric.period % multiple:
                ago = f"{days:g} days" if days >= 1 else "3 hours"
                message = f"CloudWatch has no datapoints of {period} from over {ago} ago"
                yield Diagnostic(RULE.id, message, mark, f"Use a multiple of {multiple:,}, which is {name}.")
                return


def _coarser(metric: Metric) -> int:
    """The shortest period of those in common use that CloudWatch answers for."""
    return next((each for each in (60, 300, 900, 3_600, 21_600) if metric.days * DAY / each <= MOST_POINTS), DAY)


RULE = Rule(
    "metrics-window",
    Level.WARNING,
    "CloudWatch does not answer for such a window and period.",
    "Cloud Custodian logs the error and leaves the resources out, 50 at a time: they look compliant.",
    check,
)
