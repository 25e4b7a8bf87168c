"""What the linter knows of CloudWatch and of c7n's metrics filter, against c7n and botocore."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import botocore.session
import pytest
from botocore import xform_name

from finops_policy.custodian.knowledge import knowledge
from finops_policy.lint import metrics
from finops_policy.lint.policies import policies_of
from finops_policy.lint.subject import PLAIN, LintedPolicy, Source
from finops_policy.sources import parse
from tests.lint.rules_kit import managers

FILTER = {"type": "metrics", "name": "CPUUtilization", "value": 5, "op": "less-than"}


def filter_of(data: dict[str, Any], points: dict[int, float] | None = None) -> Any:
    """c7n's filter on instances, whose datapoints are by period; it never reaches a network."""
    from c7n.filters.metrics import MetricsFilter

    model = SimpleNamespace(service="ec2", dimension="InstanceId", metrics_namespace=None)
    session = SimpleNamespace(client=lambda _name: None)
    found = MetricsFilter(data, SimpleNamespace(get_model=lambda: model, session_factory=lambda *_, **__: session))

    def read(_client: Any, params: dict[str, Any]) -> list[dict[str, Any]]:
        statistic = [*params.get("Statistics", []), *params.get("ExtendedStatistics", [])][0]
        value = (points or {}).get(params["Period"])
        if value is None:
            return []
        point = {statistic: value}
        return [point if "Statistics" in params else {"ExtendedStatistics": point}]

    found.get_metric_data = read
    return found


def matched(*filters: Any) -> bool:
    """Whether the filters of a policy, one after the other, keep an instance."""
    resources = [{"InstanceId": "i-1"}]
    for each in filters:
        each.process([])  # settles window, period and so on
        resources = each.process_resource_set(resources)
    return bool(resources)


def read(*filters: dict[str, Any], resource: str = "aws.ec2") -> list[metrics.Metric]:
    return list(metrics.metrics(policy_of(filters, resource)))


def policy_of(filters: Iterable[dict[str, Any]], resource: str) -> LintedPolicy:
    text = json.dumps({"policies": [{"name": "a", "resource": resource, "filters": list(filters)}]})
    source = Source(Path("p.yaml"), "p.yaml", PLAIN, text, parse(text.encode(), "p.yaml"))
    [policy] = policies_of([source], {"p.yaml": True}, knowledge())
    return policy


def test_namespaces_are_custodians() -> None:
    from c7n.filters.metrics import MetricsFilter

    for name, manager in managers().items():
        element = manager.filter_registry.get("metrics")
        if element is None or not issubclass(element, MetricsFilter):
            continue
        model = manager.resource_type
        stock = getattr(model, "metrics_namespace", None) or element.DEFAULT_NAMESPACE.get(model.service, "")
        [metric] = read(FILTER, resource=f"aws.{name}") if stock else [None]
        assert metric is None or metric.namespace == stock


@pytest.mark.parametrize("days", [None, 1, 0.5, 0.04, 14, 16.01, 70.01, 455, 0])
def test_defaults_are_custodians(days: float | None) -> None:
    data = FILTER | ({"days": days} if days is not None else {})
    stock = filter_of({key: value for key, value in data.items() if key != "op"})
    stock.process([])
    [metric] = read({key: value for key, value in data.items() if key != "op"})
    assert (metric.days, metric.period) == (stock.days, stock.period)
    assert (metric.statistic, metric.namespace) == (stock.statistics, stock.namespace)
    assert stock.op(1, 2)
    assert not stock.op(2, 1)
    assert metric.op == "less-than"


@pytest.mark.parametrize(("op", "value"), [
    ("lt", 1), ("lt", 0), ("less-than", 1), ("le", 0), ("lte", 0), ("le", -1), ("eq", 0), ("equal", 0), ("eq", 1),
    ("gt", 1), ("ge", 0), ("greater-than", -1), ("ne", 1),
])  # fmt: skip
def test_asking_for_little_is_matching_zero(op: str, value: float) -> None:
    [metric] = read(FILTER | {"op": op, "value": value})
    if op in ("gt", "ge", "greater-than", "ne"):
        assert not metric.low
    else:
        assert metric.low == matched(filter_of(FILTER | {"op": op, "value": value}, {14 * 86_400: 0}))


def test_custodian_leaves_out_what_has_no_datapoints() -> None:
    assert not matched(filter_of(FILTER))
    assert matched(filter_of(FILTER | {"missing-value": 0}))


@pytest.mark.parametrize("differing", [{"period": 3_600}, {"dimensions": {"A": "b"}}, {"period-start": "start-of-day"}])
def test_custodian_reads_the_datapoints_of_the_first_filter(differing: dict[str, Any]) -> None:
    """Alone the second finds its own, and none under the first one's period."""
    points = {86_400: 1.0, 3_600: 9.0}
    first, second = FILTER | {"period": 86_400}, FILTER | {"period": 86_400} | differing
    asked: list[Any] = []
    two = filter_of(second, points)
    stock = two.get_metric_data
    two.get_metric_data = lambda client, params: asked.append(params) or stock(client, params)
    assert matched(filter_of(first, points), two)
    assert asked == []
    assert matched(two) == (differing != {"period": 3_600})
    assert len(asked) == 1


def test_custodian_reads_what_the_first_filter_filled_in() -> None:
    filled, plain = FILTER | {"missing-value": 0}, FILTER | {"value": 1}
    assert matched(filter_of(filled), filter_of(plain))
    assert not matched(filter_of(plain))
    # The other way round each has what it asks for.
    high = FILTER | {"op": "gt", "value": -1}
    assert not matched(filter_of(high), filter_of(filled))


def test_custodian_cannot_take_percent_of_a_percentile() -> None:
    data = FILTER | {"statistics": "p90", "percent-attr": "Size", "missing-value": 0}
    stock = filter_of(data, {14 * 86_400: 1.0})
    stock.process([])
    with pytest.raises(KeyError):
        stock.process_resource_set([{"InstanceId": "i-1", "Size": 10}])


# --- dates ------------------------------------------------------------------------------------------------------------


def answers(manager: Any) -> list[Any]:
    """Shapes of what AWS answers when c7n lists resources of a type, and when it asks for their details."""
    model = manager.resource_type
    service = botocore.session.get_session().get_service_model(model.service)
    operations = {xform_name(name): name for name in service.operation_names}
    specs = [getattr(model, name, None) for name in ("enum_spec", "detail_spec", "batch_detail_spec")]
    methods = [spec[0] for spec in specs if spec]
    if manager.type == "ecs-service":  # asked for in a source of its own
        methods.append("describe_services")
    return [service.operation_model(operations[method]).output_shape for method in methods]


def has(shape: Any, path: list[str]) -> bool:
    """Whether a shape, or a list or member in it, has the members of a path, one in the other."""
    if shape.type_name == "list":
        return has(shape.member, path)
    if shape.type_name != "structure":
        return False
    inner = [each for each in shape.members.values() if each.type_name in ("structure", "list")]
    if path[0] in shape.members and (len(path) == 1 or has(shape.members[path[0]], path[1:])):
        return True
    return any(has(each, path) for each in inner if each.name != shape.name)


@pytest.mark.parametrize("name", sorted(metrics.CREATED))
def test_aws_tells_the_date(name: str) -> None:
    key = metrics.CREATED[name]
    manager = managers()[name.removeprefix("aws.")]
    assert "metrics" in manager.filter_registry
    if name == "aws.sqs":  # its attributes are a map of texts
        assert key in botocore.session.get_session().get_service_model("sqs").shape_for("QueueAttributeName").enum
    else:
        assert any(has(shape, key.split(".")) for shape in answers(manager))


def ages(*filters: dict[str, Any]) -> list[float | None]:
    policy = policy_of([FILTER, *filters], "aws.ec2")
    return list(metrics.least_ages(policy, policy.filters[0], metrics.on_age(policy)))


def test_ages_in_hours_and_minutes() -> None:
    assert ages({"type": "instance-age", "days": 1, "hours": 12, "minutes": 720}) == [2]


def test_ages_that_nobody_knows() -> None:
    assert ages({"type": "instance-age", "days": "${days}"}, {"type": "marked-for-op", "op": "stop"}) == [None, None]
    assert None in ages(*[{"type": "instance-age", "days": 1}] * 101)
    assert None not in ages(*[{"type": "instance-age", "days": 1}] * 100)


def test_the_retention_table_goes_from_old_to_young() -> None:
    days = [each for each, _, _ in metrics.KEPT]
    assert days == sorted(days, reverse=True)
    assert dt.timedelta(days[-1]) == dt.timedelta(hours=3)
