"""The rules on logic, metrics and missing keys over every example of c7n's documentation: each hit was looked at."""

from __future__ import annotations

import pytest

from finops_policy.errors import InvalidFilesError
from tests.lint.corpus import examples
from tests.lint.rules_kit import found_by

TRUE = {
    "absent-key": {
        "c7n.resources.cloudfront.StreamingDistributionUpdateAction",  # no logging, no `Logging`
        "c7n.resources.elasticsearch.EnableAuditLog",  # no logs, no `LogPublishingOptions`
        "c7n.resources.vpc.SubnetModifyAtrributes",  # the key is no block at all
    },
    "always-true": set(),
    "duplicate-filter": set(),
    "metrics-missing-value": {
        "c7n.resources.appelb.AppElbMetrics",  # a balancer without flows has no ActiveFlowCount
        "c7n.resources.ebs.ModifyVolume",  # a volume without use has no VolumeConsumedReadWriteOps
    },
    "metrics-shared-key": set(),
    "metrics-statistic": {
        "c7n.resources.appelb.AppElbMetrics",  # the sum of what is open at a moment
        "c7n.resources.cloudfront.DistributionMetrics",  # the average of requests
    },
    "metrics-window": set(),
    "metrics-without-age": {
        "c7n.filters.metrics.MetricsFilter",
        "c7n.resources.appelb.AppElbMetrics",
        "c7n.resources.rdscluster.Delete",
    },
    "never-true": set(),
}


@pytest.fixture(scope="module")
def told() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {rule: set() for rule in TRUE}
    for example in examples():
        if not example.origin.startswith("c7n."):
            continue
        try:
            diagnostics = found_by(example.text, *TRUE)
        except InvalidFilesError:
            continue  # no YAML of ours
        for each in diagnostics:
            found[each.rule].add(example.origin)
    return found


@pytest.mark.parametrize("rule", sorted(TRUE))
def test_custodians_own_examples(rule: str, told: dict[str, set[str]]) -> None:
    assert told[rule] == TRUE[rule]
