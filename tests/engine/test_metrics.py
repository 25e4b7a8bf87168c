"""Metrics in batches: the same verdicts as one call a metric, and as stock c7n; what fails stays with whom it failed.

moto answers where it can. It has no percentiles, never pages and never fails: there :class:`CloudWatch` answers in its
place, inside botocore, from a function of the call's parameters.
"""

from __future__ import annotations

import datetime as dt
import random
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError

from finops_policy import aws
from finops_policy.custodian.account import Account, Judgement, described, judge
from finops_policy.custodian.metrics import Metrics, Reading
from finops_policy.model import FailureKind, Target, Verdict

Row = dict[str, Any]
Series = Mapping[str, list[float]]

DAYS = 14
CPU = {
    "type": "metrics",
    "name": "CPUUtilization",
    "statistics": "Maximum",
    "days": DAYS,
    "period": 86400,
    "value": 5,
    "op": "lt",
}
NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
BATCHES, SINGLES = "cloudwatch:GetMetricData", "cloudwatch:GetMetricStatistics"


def rows(count: int, **fields: Any) -> list[Row]:
    return [{"InstanceId": f"i-{number}", "Tags": [], **fields} for number in range(count)]


def facts_of(judged: list[Judgement]) -> list[tuple[Any, ...]]:
    """Everything that can differ between two ways of reading."""
    return [(each.resource_id, each.verdict.value, each.reason, each.failure, each.facts) for each in judged]


def verdicts(judged: list[Judgement]) -> dict[str, str]:
    return {each.resource_id: each.verdict.value for each in judged}


class Cloud:
    """One target, and the calls that it got."""

    def __init__(self, region: str, resource: str = "aws.ec2") -> None:
        self.session = aws.session(region, aws.Credentials("x", "x", "x"))
        self.account = Account(Target("123456789012", region), "aws", self.session)
        self.resource = resource
        self.calls: list[tuple[str, Mapping[str, Any]]] = []
        self.session.events.register("before-parameter-build.cloudwatch", self._count)

    def _count(self, params: Mapping[str, Any], model: Any, **_event: Any) -> None:
        self.calls.append((f"cloudwatch:{model.name}", dict(params)))

    def asked(self, operation: str) -> list[Mapping[str, Any]]:
        return [params for name, params in self.calls if name == operation]

    def load(self, *filters: Any) -> Any:
        return self.account.load({"name": "under-test", "resource": self.resource, "filters": list(filters)})

    def judge(self, resources: list[Row], metrics: Metrics | Reading, *filters: Any) -> list[Judgement]:
        metrics = Metrics(metrics) if isinstance(metrics, Reading) else metrics
        loaded = self.load(*filters)
        return list(judge(loaded, 0, described(loaded.resource_manager, resources, "aws"), metrics))


class CloudWatch(Cloud):
    """A target whose CloudWatch is a function: of the metrics asked for and the page's token, by ``Id``, in order."""

    def __init__(self, answer: Callable[[dict[str, str], str], Any], resource: str = "aws.ec2") -> None:
        super().__init__("us-east-1", resource)
        self.answer = answer
        self.session.events.register("before-call.cloudwatch", self._call)

    def _call(self, model: Any, **_event: Any) -> Any:
        from botocore.awsrequest import AWSResponse

        name, params = self.calls[-1]
        assert name == f"cloudwatch:{model.name}"
        if name == SINGLES:
            [dimension] = params["Dimensions"]
            answer = self.answer({"single": dimension["Value"]}, "")
        else:
            metrics = {each["Id"]: each["MetricStat"]["Metric"] for each in params["MetricDataQueries"]}
            asked = {id_: metric["Dimensions"][0]["Value"] for id_, metric in metrics.items()}
            answer = self.answer(asked, params.get("NextToken", ""))
        return AWSResponse("https://cloudwatch.invalid", 200, {}, None), answer


def result(id_: str, *values: float, status: str = "Complete") -> dict[str, Any]:
    times = [NOW - dt.timedelta(days=day) for day in range(len(values))]
    return {"Id": id_, "Timestamps": times, "Values": list(values), "StatusCode": status}


def idle(asked: dict[str, str], _token: str) -> dict[str, Any]:
    """Every metric has one datapoint, under the threshold."""
    if "single" in asked:
        return {"Datapoints": [{"Timestamp": NOW, "Maximum": 1.0}]}
    return {"MetricDataResults": [result(id_, 1.0) for id_ in asked]}


def refusal(code: str, said: str = "no", status: int = 400) -> ClientError:
    answer: Any = {"Error": {"Code": code, "Message": said}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "GetMetricData")


def put(cloud: Cloud, instance: str, values: Series) -> None:
    """``values``: age in days -> values of that moment. Moments are half a day off the window's edges."""
    data = [
        {
            "MetricName": "CPUUtilization",
            "Dimensions": [{"Name": "InstanceId", "Value": instance}],
            "Timestamp": NOW - dt.timedelta(days=float(age)),
            "Values": found,
        }
        for age, found in values.items()
        if found
    ]
    if data:
        cloud.session.client("cloudwatch").put_metric_data(Namespace="AWS/EC2", MetricData=data)


# --- the same as single calls, and as stock c7n -----------------------------------------------------------------------


@pytest.fixture
def random_estate(in_sandbox: object) -> Cloud:
    """30 instances in a region of their own, some without datapoints, all with an attribute to be a percentage of."""
    cloud, source = Cloud("ap-southeast-2"), random.Random(4)
    for number in range(30):
        ages = source.sample(range(DAYS), source.choice([0, 1, 3, DAYS]))
        put(cloud, f"i-{number}", {f"{age}.5": [source.randint(0, 9) for _ in range(3)] for age in ages})
    return cloud


def random_filter(source: random.Random) -> dict[str, Any]:
    chosen = {
        **CPU,
        "statistics": source.choice(["Average", "Sum", "Maximum", "Minimum", "SampleCount"]),
        "op": source.choice(["lt", "less-than", "le", "gt", "greater-than", "ge", "eq", "ne"]),
        "value": source.randint(0, 12),
        "days": source.choice([7, DAYS]),
    }
    if source.random() < 0.3:
        del chosen["period"]  # the whole window
    if source.random() < 0.3:
        chosen["missing-value"] = source.randint(0, 12)
    if source.random() < 0.3:
        chosen |= {"percent-attr": "Capacity", "value": source.randint(0, 100)}
        if source.random() < 0.5:
            chosen["attr-multiplier"] = source.choice([0.5, 2])
    return chosen


def test_batches_judge_as_single_calls_do_and_as_stock_c7n_does(random_estate: Cloud) -> None:
    source, cloud = random.Random(7), random_estate
    resources = [{**row, "Capacity": source.randint(1, 20)} for row in rows(30)]
    seen: set[str] = set()
    shared = Metrics(Reading.BATCHED)
    for _ in range(20):
        tested = random_filter(source)
        cloud.calls.clear()
        batched = cloud.judge(resources, shared, tested)
        assert len(cloud.asked(BATCHES)) <= 1
        assert not cloud.asked(SINGLES)
        single = cloud.judge(resources, Reading.SINGLE, tested)
        assert len(cloud.asked(SINGLES)) == 30
        assert facts_of(batched) == facts_of(single)
        stock = cloud.load(tested).resource_manager.filter_resources([dict(row) for row in resources])
        found = {each.resource_id for each in batched if each.verdict is Verdict.NONCOMPLIANT}
        assert found == {each["InstanceId"] for each in stock}, tested
        seen |= set(verdicts(batched).values())
    assert seen == {"compliant", "noncompliant", "unknown"}
    assert not any(key.startswith("c7n") for row in resources for key in row)


@pytest.mark.parametrize("reading", [Reading.BATCHED, Reading.SINGLE])
def test_percentiles_have_the_shape_that_the_stock_filter_reads(reading: Reading) -> None:
    def answer(asked: dict[str, str], _token: str) -> dict[str, Any]:
        if "single" in asked:
            value = {"i-0": 1.0, "i-1": 9.0}[asked["single"]]
            return {"Datapoints": [{"Timestamp": NOW, "ExtendedStatistics": {"p99": value}}]}
        return {"MetricDataResults": [result("m0", 1.0), result("m1", 9.0)]}

    cloud = CloudWatch(answer)
    judged = cloud.judge(rows(2), reading, {**CPU, "statistics": "p99"})
    assert verdicts(judged) == {"i-0": "noncompliant", "i-1": "compliant"}
    assert [each.facts[0].value for each in judged] == [1.0, 9.0]
    for call in cloud.asked(BATCHES):
        assert {each["MetricStat"]["Stat"] for each in call["MetricDataQueries"]} == {"p99"}
    # c7n looks for percentiles in the wrong place when they are a percentage of something.
    [judged_one] = cloud.judge(rows(2, Size=1), reading, {**CPU, "statistics": "p99", "percent-attr": "Size"})[:1]
    assert judged_one.reason == "metric CPUUtilization could not be judged: KeyError: 'p99'"


# --- how much is asked ------------------------------------------------------------------------------------------------


def test_a_thousand_and_one_resources_take_three_calls(in_sandbox: object) -> None:
    cloud = Cloud("ap-south-1")
    put(cloud, "i-0", {"0.5": [1.0]})
    put(cloud, "i-1000", {"0.5": [9.0]})
    metrics = Metrics()
    judged = verdicts(cloud.judge(rows(1001), metrics, CPU))
    assert (judged["i-0"], judged["i-500"], judged["i-1000"]) == ("noncompliant", "unknown", "compliant")
    assert sorted(len(call["MetricDataQueries"]) for call in cloud.asked(BATCHES)) == [1, 500, 500]
    assert metrics.requested == 1001
    assert len(cloud.calls) == 2 + 3


@pytest.mark.parametrize(("period", "size"), [(86400, 500), (3600, 300), (60, 5), (1, 1)])
def test_a_call_asks_for_no_more_datapoints_than_it_may_return(period: int, size: int) -> None:
    cloud = CloudWatch(idle)
    cloud.judge(rows(size + 1), Reading.BATCHED, {**CPU, "period": period})
    assert sorted(len(call["MetricDataQueries"]) for call in cloud.asked(BATCHES)) == [1, size]
    assert size * (DAYS * 86400 // period) <= 100_800 or size == 1


@pytest.mark.parametrize(
    ("reading", "count", "period", "operation"),
    [
        (Reading.AUTO, 20, 86400, SINGLES),
        (Reading.AUTO, 21, 86400, BATCHES),
        (Reading.AUTO, 1, 60, BATCHES),  # more datapoints than GetMetricStatistics returns
        (Reading.BATCHED, 1, 86400, BATCHES),
        (Reading.SINGLE, 21, 86400, SINGLES),
    ],
)
def test_auto_asks_in_batches_where_they_pay(reading: Reading, count: int, period: int, operation: str) -> None:
    cloud, metrics = CloudWatch(idle), Metrics(reading)
    judged = cloud.judge(rows(count), metrics, {**CPU, "period": period})
    assert set(verdicts(judged).values()) == {"noncompliant"}
    assert {name for name, _ in cloud.calls} == {operation}
    assert metrics.requested == (count if operation == BATCHES else 0)


def test_policies_that_read_the_same_share_it_and_what_differs_is_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _stop_the_clock(monkeypatch)
    cloud, metrics = CloudWatch(idle), Metrics(Reading.BATCHED)
    cloud.judge(rows(30), metrics, CPU)
    cloud.judge(rows(40), metrics, {**CPU, "op": "gt", "value": 90})
    assert metrics.requested == 40
    different: list[dict[str, Any]] = [{"period": 3600}, {"days": 7}, {"statistics": "Average"}, {"name": "NetworkOut"}]
    different += [{"namespace": "Own"}, {"dimensions": {"Zone": "a"}}]
    for number, change in enumerate(different, start=1):
        cloud.judge(rows(30), metrics, {**CPU, **change})
        assert metrics.requested == 40 + 30 * number, change


def test_two_metrics_of_one_policy_are_both_read() -> None:
    cloud, metrics = CloudWatch(idle), Metrics()
    judged = cloud.judge(rows(30), metrics, CPU, {**CPU, "name": "NetworkOut", "op": "gt", "value": 0})
    assert {each.verdict for each in judged} == {Verdict.NONCOMPLIANT}
    assert {tuple(fact.value for fact in each.facts) for each in judged} == {(1.0, 1.0)}
    assert metrics.requested == 60


def test_two_filters_of_one_policy_ask_what_stock_c7n_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """c7n keeps datapoints on the resource, by metric, statistic and days. The second filter fills in a value; that
    must not happen while we only ask what would be read."""
    _stop_the_clock(monkeypatch)
    cloud, metrics = CloudWatch(lambda asked, _: {"MetricDataResults": [result(id_) for id_ in asked]}), Metrics()
    filled = {**CPU, "missing-value": 0, "period": 3600}
    judged = cloud.judge(rows(30), metrics, {"or": [CPU, filled]})
    assert {each.verdict for each in judged} == {Verdict.NONCOMPLIANT}
    assert metrics.requested == 30
    judged = cloud.judge(rows(30), metrics, {"or": [filled, CPU]})
    assert {each.facts[0].key for each in judged} == {"CPUUtilization Maximum over 14 days (no datapoints, filled in)"}


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    _stop_the_clock(monkeypatch)
    monkeypatch.setattr("finops_policy.custodian.metrics.KEPT_BYTES", 30 * (500 + 16) - 1)
    cloud, metrics = CloudWatch(idle), Metrics(Reading.BATCHED)
    for _ in range(2):
        assert len(cloud.judge(rows(30), metrics, CPU)) == 30
    assert metrics.requested == 60


def _stop_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    from collections import namedtuple

    from c7n.filters.metrics import MetricsFilter

    window = namedtuple("window", "start end")
    end = NOW.replace(tzinfo=None)
    monkeypatch.setattr(MetricsFilter, "get_metric_window", lambda self: window(end - dt.timedelta(self.days), end))


# --- policies do not influence each other -----------------------------------------------------------------------------

WINDOW = {**CPU, "statistics": "Sum", "days": 2}
PAIRS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "period": ({**WINDOW, "period": 86400, "value": 6}, {**WINDOW, "period": 2 * 86400, "value": 6}),
    "dimensions": ({**WINDOW, "value": 6}, {**WINDOW, "value": 6, "dimensions": {"Zone": "a"}}),
    "missing-value": ({**WINDOW, "value": 6, "missing-value": 0}, {**WINDOW, "value": 6}),
}


@pytest.fixture
def instances(in_sandbox: object) -> tuple[Cloud, list[Row]]:
    """Two that no other test has: one with a sum of 5 on each of two days, and one without datapoints."""
    cloud = Cloud("eu-north-1")
    found = [{"InstanceId": f"i-{uuid.uuid4().hex}", "Tags": []} for _ in range(2)]
    put(cloud, found[0]["InstanceId"], {"0.5": [5.0], "1.5": [5.0]})
    return cloud, found


@pytest.mark.parametrize("reading", Reading)
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("difference", PAIRS)
def test_two_policies_judge_together_as_each_does_alone(
    instances: tuple[Cloud, list[Row]], difference: str, turned: bool, reading: Reading
) -> None:
    (cloud, resources), pair = instances, PAIRS[difference][:: -1 if turned else 1]
    alone = [facts_of(cloud.judge(resources, reading, each)) for each in pair]
    assert alone[0] != alone[1]
    shared = Metrics(reading)
    assert [facts_of(cloud.judge(resources, shared, each)) for each in pair] == alone
    assert bool(shared.requested) is (reading is Reading.BATCHED)


@pytest.fixture
def memory_cache() -> Iterator[Any]:
    """c7n's in-memory cache, which belongs to the process: what `custodian run` shares between policies."""
    from c7n.cache import InMemoryCache

    cache = InMemoryCache(None)
    yield cache
    cache.data.clear()


@pytest.mark.parametrize("difference", PAIRS)
def test_the_test_above_would_fail_on_c7ns_own_memory_cache(
    instances: tuple[Cloud, list[Row]], difference: str, memory_cache: Any
) -> None:
    (cloud, resources), pair = instances, PAIRS[difference]

    def run(*policies: dict[str, Any]) -> list[set[str]]:
        """What stock c7n matches, policy after policy."""
        memory_cache.data.clear()
        return [_stock_run(cloud, resources, memory_cache, each) for each in policies]

    alone = [run(each)[0] for each in pair]
    for each, ids in zip(pair, alone, strict=True):  # alone, stock c7n and we agree
        judged = cloud.judge(resources, Reading.BATCHED, each)
        assert {one.resource_id for one in judged if one.verdict is Verdict.NONCOMPLIANT} == ids
    assert run(*pair) != alone


def _stock_run(cloud: Cloud, resources: list[Row], cache: Any, filter_: dict[str, Any]) -> set[str]:
    from c7n.config import Config
    from c7n.policy import Policy
    from c7n.utils import reset_session_cache

    reset_session_cache()
    config = Config.empty(account_id="123456789012", region="eu-north-1", cache="memory", cache_period=15)
    document = {"name": "stock", "resource": "aws.ec2", "filters": [filter_]}
    manager = Policy(document, config, session_factory=lambda *_, **__: cloud.session).resource_manager
    key = manager.get_cache_key(manager.source.get_query_params(None))
    if cache.get(key) is None:  # in the place of a describe
        cache.save(key, [dict(row) for row in resources])
    return {row["InstanceId"] for row in manager.resources()}


# --- pages ------------------------------------------------------------------------------------------------------------


def test_pages_are_read_to_the_end() -> None:
    def answer(asked: dict[str, str], token: str) -> dict[str, Any]:
        if token == "":
            some = [result("m0", 1.0, status="PartialData"), result("m1", 1.0)]
            return {"MetricDataResults": some, "NextToken": "two"}
        if token == "two":  # a page may be empty
            return {"MetricDataResults": [], "NextToken": "three"}
        assert token == "three"
        return {"MetricDataResults": [result("m0", 9.0), result("m2", 1.0)]}

    cloud, metrics = CloudWatch(answer), Metrics(Reading.BATCHED)
    judged = verdicts(cloud.judge(rows(3), metrics, CPU))
    assert judged == {"i-0": "compliant", "i-1": "noncompliant", "i-2": "noncompliant"}
    assert metrics.requested == 9


@pytest.mark.parametrize(
    ("tokens", "calls"), [(lambda _: "again", 2), (lambda token: f"{token}x", 101)], ids=["repeated", "endless"]
)
def test_pages_that_do_not_end_are_a_failure(tokens: Callable[[str], str], calls: int) -> None:
    cloud = CloudWatch(lambda asked, token: {**idle(asked, token), "NextToken": tokens(token)})
    judged = cloud.judge(rows(2), Reading.BATCHED, CPU)
    assert {each.reason for each in judged} == {
        "metrics call failed (timeout): GetMetricData's pages do not end",
    }
    assert len(cloud.calls) == calls


# --- failures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing_value", [{}, {"missing-value": 0}])
@pytest.mark.parametrize(
    ("results", "kind", "said"),
    [
        ([result("m0", 1.0, status="InternalError")], FailureKind.TIMEOUT, "InternalError"),
        ([result("m0", 1.0, status="PartialData")], FailureKind.TIMEOUT, "PartialData"),
        ([result("m0", status="Forbidden")], FailureKind.OWN_PERMISSION, "forbidden"),
        ([{"Id": "m0", "StatusCode": "Forbidden"}], FailureKind.OWN_PERMISSION, "forbidden"),
        ([result("m0", 1.0, status="InternalError"), result("m0", 1.0)], FailureKind.TIMEOUT, "InternalError"),
        ([], FailureKind.TIMEOUT, "left the metric out"),
    ],
)
def test_a_metric_that_is_not_complete_is_a_failure_of_its_resource_alone(
    results: list[dict[str, Any]], kind: FailureKind, said: str, missing_value: dict[str, Any]
) -> None:
    def answer(asked: dict[str, str], _token: str) -> dict[str, Any]:
        others = [result(id_, 1.0) for id_, instance in asked.items() if instance != "i-0"]
        return {"MetricDataResults": [*results, *others]}

    for reading, count in ((Reading.BATCHED, 3), (Reading.AUTO, 30)):
        cloud = CloudWatch(answer)
        failed, *others = cloud.judge(rows(count), reading, {**CPU, **missing_value})
        assert failed.verdict is Verdict.UNKNOWN
        assert failed.failure is not None
        assert failed.failure.kind is kind
        assert said in failed.reason
        assert {each.verdict for each in others} == {Verdict.NONCOMPLIANT}
        assert not cloud.asked(SINGLES)


def test_no_datapoints_is_no_failure() -> None:
    cloud = CloudWatch(lambda asked, _: {"MetricDataResults": [result(id_) for id_ in asked]})
    [judged] = cloud.judge(rows(1), Reading.BATCHED, CPU)
    assert (judged.verdict, judged.failure) == (Verdict.UNKNOWN, None)
    assert judged.reason == "no datapoints of AWS/EC2 CPUUtilization in 14 days"


@pytest.mark.parametrize("reading", [Reading.BATCHED, Reading.AUTO])
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (refusal("Throttling"), FailureKind.THROTTLED),
        (refusal("InternalFailure", status=500), FailureKind.TIMEOUT),
        (refusal("ExpiredToken"), FailureKind.CREDENTIALS),
    ],
)
def test_a_failed_call_makes_exactly_those_unknown_that_it_asked_for(
    error: ClientError, kind: FailureKind, reading: Reading
) -> None:
    def answer(asked: dict[str, str], token: str) -> dict[str, Any]:
        if "i-7" in asked.values():
            raise error
        return idle(asked, token)

    cloud, metrics = CloudWatch(answer), Metrics(reading)
    judged = cloud.judge(rows(1001), metrics, CPU)
    [failed_call] = [
        call
        for call in cloud.asked(BATCHES)
        if any(each["MetricStat"]["Metric"]["Dimensions"][0]["Value"] == "i-7" for each in call["MetricDataQueries"])
    ]
    asked = {each["MetricStat"]["Metric"]["Dimensions"][0]["Value"] for each in failed_call["MetricDataQueries"]}
    unknown = {each.resource_id: each.failure for each in judged if each.verdict is Verdict.UNKNOWN}
    assert set(unknown) == asked
    assert len(unknown) == 500
    assert {failure.kind for failure in unknown.values() if failure} == {kind}
    assert verdicts(judged)["i-1000"] == "noncompliant"
    assert metrics.requested == 501
    # What failed is not kept: the next policy asks again.
    cloud.answer = idle
    assert set(verdicts(cloud.judge(rows(1001), metrics, CPU)).values()) == {"noncompliant"}


def test_a_call_that_fails_on_a_later_page_failed() -> None:
    def answer(asked: dict[str, str], token: str) -> dict[str, Any]:
        if token:
            raise refusal("Throttling")
        return {**idle(asked, token), "NextToken": "two"}

    judged = CloudWatch(answer).judge(rows(2), Reading.BATCHED, CPU)
    assert {each.failure and each.failure.kind for each in judged} == {FailureKind.THROTTLED}


def test_a_metric_that_aws_does_not_understand_does_not_spoil_the_call_it_is_in() -> None:
    def answer(asked: dict[str, str], token: str) -> dict[str, Any]:
        if "i-7" in asked.values():
            raise refusal("InvalidParameterValue", "The parameter Dimensions is not valid.")
        return idle(asked, token)

    cloud = CloudWatch(answer)
    resources = rows(300)
    resources[200]["InstanceId"] = ""  # botocore refuses it, before a call
    judged = cloud.judge(resources, Reading.BATCHED, CPU)
    unknown = {each.resource_id: each.failure for each in judged if each.verdict is Verdict.UNKNOWN}
    assert set(unknown) == {"i-7", ""}
    assert {failure and failure.kind for failure in unknown.values()} == {FailureKind.BUG}
    assert len(cloud.calls) < 40


DENIED = "User: arn:aws:sts::1:assumed-role/x is not authorized to perform: cloudwatch:GetMetricData"
DENIALS = [
    refusal("AccessDenied", DENIED),
    refusal("AccessDenied", f"{DENIED} with an explicit deny in a service control policy"),
]


def _denying(error: ClientError) -> CloudWatch:
    def answer(asked: dict[str, str], token: str) -> dict[str, Any]:
        if "single" not in asked:
            raise error
        return idle(asked, token)

    return CloudWatch(answer)


@pytest.mark.parametrize("error", DENIALS)
def test_auto_falls_back_to_single_calls_where_batches_are_denied(error: ClientError) -> None:
    cloud, metrics = _denying(error), Metrics(Reading.AUTO)
    for each in (CPU, {**CPU, "period": 3600}):
        judged = cloud.judge(rows(1001), metrics, each)
        assert {one.verdict for one in judged} == {Verdict.NONCOMPLIANT}
    assert len(cloud.asked(BATCHES)) == 1  # once denied, never asked again
    assert len(cloud.asked(SINGLES)) == 2002
    assert metrics.requested == 0


def test_batches_that_were_asked_for_and_are_denied_are_a_failure() -> None:
    cloud = _denying(DENIALS[0])
    judged = cloud.judge(rows(2), Reading.BATCHED, CPU)
    assert {each.verdict for each in judged} == {Verdict.UNKNOWN}
    [failure] = {each.failure for each in judged}
    assert failure is not None
    assert failure.kind is FailureKind.OWN_PERMISSION
    assert failure.next_step == "Allow cloudwatch:GetMetricData in the role's policy."
    assert not cloud.asked(SINGLES)


def test_one_resource_that_cannot_be_read_does_not_spoil_the_others() -> None:
    """Without its dimension a resource cannot be asked for; without the attribute it is a percentage of, not judged."""
    cloud = CloudWatch(lambda asked, _: {"MetricDataResults": [result(id_, 9.0) for id_ in asked]}, resource="aws.elb")
    resources: list[Row] = [{"LoadBalancerName": f"lb-{number}", "Size": 1000} for number in range(30)]
    del resources[3]["Size"]
    tested = {**CPU, "name": "RequestCount", "percent-attr": "Size", "op": "lt", "value": 5}
    judged = {each.resource_id: each for each in cloud.judge(resources, Reading.AUTO, tested)}
    assert judged.pop("lb-3").reason == "metric RequestCount could not be judged: KeyError: 'Size'"
    assert {each.verdict for each in judged.values()} == {Verdict.NONCOMPLIANT}

    cloud = CloudWatch(idle, resource="aws.app-elb")
    arn = "arn:aws:elasticloadbalancing:us-east-1:1:loadbalancer/app/x"
    resources = [{"LoadBalancerArn": f"{arn}/{number}"} for number in range(30)]
    resources[3]["LoadBalancerArn"] = "no arn"
    judged = {each.resource_id: each for each in cloud.judge(resources, Reading.AUTO, {**CPU, "name": "RequestCount"})}
    assert judged.pop("no arn").reason.startswith("metric RequestCount could not be judged: ")
    assert {each.verdict for each in judged.values()} == {Verdict.NONCOMPLIANT}


# --- filters with a way of their own ----------------------------------------------------------------------------------


def test_a_filter_that_reads_metrics_in_its_own_way_keeps_it() -> None:
    """Tokens in and out, added up by CloudWatch: c7n asks for them profile by profile."""
    cloud = Cloud("us-east-1", "aws.bedrock-inference-profile")

    def answer(**_event: Any) -> Any:
        from botocore.awsrequest import AWSResponse

        return AWSResponse("https://cloudwatch.invalid", 200, {}, None), {"MetricDataResults": [result("total", 7.0)]}

    cloud.session.events.register("before-call.cloudwatch.GetMetricData", answer)
    tokens = {"type": "metrics", "name": "c7n:TotalTokenCount", "days": 1, "value": 5, "op": "gt"}
    profiles = [{"inferenceProfileId": f"p-{number}", "inferenceProfileArn": f"p-{number}"} for number in range(60)]
    metrics = Metrics(Reading.BATCHED)
    judged = cloud.judge(profiles, metrics, tokens)
    assert {each.verdict for each in judged} == {Verdict.NONCOMPLIANT}
    assert len(judged) == len(cloud.asked(BATCHES)) == 60
    assert metrics.requested == 0


@pytest.mark.parametrize(
    ("resource", "filter_type", "batched"),
    [
        ("aws.ec2", "metrics", True),
        ("aws.app-elb", "metrics", True),
        ("aws.s3", "metrics", True),
        ("aws.sqs", "metrics", True),
        ("aws.elb", "shield-metrics", True),
        ("aws.bedrock-inference-profile", "metrics", False),
        ("aws.bedrock-agent", "metrics", False),
        ("aws.service-quota", "usage-metric", False),
    ],
)
def test_which_filters_are_read_in_batches(resource: str, filter_type: str, batched: bool) -> None:
    from finops_policy.custodian.library import manager_class
    from finops_policy.custodian.metrics import _reads_as_stock

    kind = manager_class(resource).filter_registry.get(filter_type)
    assert _reads_as_stock(kind.__new__(kind)) is batched


@pytest.mark.parametrize("method", ["process", "process_resource_set", "get_metric_data"])
def test_a_filter_that_overrides_any_part_of_the_reading_is_left_alone(method: str) -> None:
    from c7n.filters.metrics import MetricsFilter

    from finops_policy.custodian.metrics import _reads_as_stock

    own = type("Own", (MetricsFilter,), {method: lambda *_: []})
    assert not _reads_as_stock(own.__new__(own))
