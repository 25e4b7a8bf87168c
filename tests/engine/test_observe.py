"""What the listener says of c7n's filters: facts, doubts, and never another verdict than c7n's where there is none."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finops_policy import aws
from finops_policy.custodian.account import Account, Judgement, described, judge
from finops_policy.custodian.metrics import Metrics, Reading
from finops_policy.custodian.offline import OFFLINE, judge_offline
from finops_policy.model import CompiledPolicy, Severity, Verdict

CPU = {"type": "metrics", "name": "CPUUtilization", "statistics": "Maximum", "days": 14, "period": 86400, "value": 5}
IDLE = {"Datapoints": [{"Maximum": 1.0, "Timestamp": dt.datetime.now(dt.UTC), "Unit": "Percent"}]}
BUSY = {"Datapoints": [{"Maximum": 90.0, "Timestamp": dt.datetime.now(dt.UTC), "Unit": "Percent"}]}
NONE: dict[str, Any] = {"Datapoints": []}


def policy(violation: list[Any], scope: list[Any] | None = None, resource: str = "aws.ec2") -> CompiledPolicy:
    filters = [*(scope or []), *violation]
    document = {"name": "under-test", "resource": resource, "filters": filters}
    return CompiledPolicy(
        "under-test", "pack", "1.0.0", "title", "rationale", resource, Severity.LOW, len(scope or []), "", document
    )


def instances(count: int, **fields: Any) -> list[dict[str, Any]]:
    return [{"InstanceId": f"i-{number}", "Tags": [], **fields} for number in range(count)]


def verdicts(judged: Iterable[Judgement]) -> dict[str, tuple[str, str]]:
    return {each.resource_id: (each.verdict.value, each.reason) for each in judged}


def metric(*answers: dict[str, Any]) -> dict[str, Any]:
    return {"cloudwatch:GetMetricStatistics": list(answers)}


def test_a_member_without_datapoints_is_unknown_and_the_others_are_judged() -> None:
    judged = verdicts(judge_offline(policy([CPU]), instances(3), metric(IDLE, NONE, BUSY)))
    assert judged["i-0"] == ("noncompliant", "")
    assert judged["i-1"] == ("unknown", "no datapoints of AWS/EC2 CPUUtilization in 14 days")
    assert judged["i-2"] == ("compliant", "")


def test_missing_value_makes_no_datapoints_a_fact() -> None:
    [judged] = judge_offline(policy([{**CPU, "missing-value": 0}]), instances(1), metric(NONE))
    assert judged.verdict is Verdict.NONCOMPLIANT
    assert judged.facts[0].value == 0
    assert "no datapoints, filled in" in judged.facts[0].key


class Denied:
    """A recorded answer that raises AWS's refusal for one instance."""

    def __call__(self, model: Any, params: Any, **_event: Any) -> Any:
        from botocore.awsrequest import AWSResponse
        from botocore.exceptions import ClientError

        if b"i-1" in str(params["body"]).encode():
            said = "User: arn:aws:iam::1:user/x is not authorized to perform: cloudwatch:GetMetricStatistics"
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": said}}, "GetMetricStatistics")
        return AWSResponse("https://offline.invalid", 200, {}, None), IDLE


def _with_denied_metrics(violation: list[Any]) -> dict[str, tuple[str, str]]:
    session = aws.session(OFFLINE.region, aws.Credentials("x", "x", "x"))
    session.events.register("before-call.cloudwatch", Denied())
    account = Account(OFFLINE, "aws", session)
    loaded = account.load(policy(violation).document)
    rows = described(loaded.resource_manager, instances(3), "aws")
    return verdicts(judge(loaded, 0, rows, Metrics(Reading.SINGLE)))


def test_a_failed_metrics_call_costs_one_resource_and_not_its_chunk_of_fifty() -> None:
    judged = _with_denied_metrics([CPU])
    assert judged["i-0"] == judged["i-2"] == ("noncompliant", "")
    verdict, reason = judged["i-1"]
    assert verdict == "unknown"
    assert reason.startswith("metrics call failed (own-permission)")


def test_a_failed_call_under_not_is_unknown_although_c7n_matches() -> None:
    judged = _with_denied_metrics([{"not": [CPU]}])
    assert judged["i-0"] == judged["i-2"] == ("compliant", "")
    assert judged["i-1"][0] == "unknown"


def test_a_failed_call_beside_a_true_branch_of_or_does_not_matter() -> None:
    judged = _with_denied_metrics([{"or": [CPU, {"InstanceId": "i-1"}]}])
    assert {verdict for verdict, _ in judged.values()} == {"noncompliant"}


def test_an_absent_attribute_is_unknown_but_an_absent_tag_is_a_fact() -> None:
    attribute = {"type": "value", "key": "EbsOptimized", "value": False}
    tag = {"type": "value", "key": "tag:Owner", "value": "nobody"}
    [judged] = judge_offline(policy([attribute]), instances(1), {})
    assert (judged.verdict, judged.reason) == (Verdict.UNKNOWN, "attribute absent: EbsOptimized")
    [judged] = judge_offline(policy([tag]), instances(1), {})
    assert judged.verdict is Verdict.COMPLIANT


@pytest.mark.parametrize("expected", ["absent", "empty"])
def test_asking_for_absence_is_decided_by_absence(expected: str) -> None:
    [judged] = judge_offline(policy([{"EbsOptimized": expected}]), instances(1), {})
    assert judged.verdict is Verdict.NONCOMPLIANT


@pytest.mark.parametrize("expected", ["present", "not-null"])
def test_asking_for_presence_is_decided_by_absence(expected: str) -> None:
    [judged] = judge_offline(policy([{"EbsOptimized": expected}]), instances(1), {})
    assert judged.verdict is Verdict.COMPLIANT


def test_an_expression_with_an_absent_side_is_unknown() -> None:
    over = {"type": "value", "key": "A.Spent", "value": "B.Limit", "value_type": "expr", "op": "gt"}
    rows = [{"InstanceId": "i-0", "A": {"Spent": 2}}, {"InstanceId": "i-1", "B": {"Limit": 2}}]
    judged = verdicts(judge_offline(policy([over]), rows, {}))
    assert judged == {
        "i-0": ("unknown", "attribute absent: B.Limit"),
        "i-1": ("unknown", "attribute absent: A.Spent"),
    }


def test_undecided_scope_is_an_unknown_member_and_does_not_disappear() -> None:
    scope = [{"type": "instance-uptime", "op": "ge", "days": 10}]
    old = dt.datetime.now(dt.UTC) - dt.timedelta(days=20)
    rows = [{"InstanceId": "i-0", "LaunchTime": old}, {"InstanceId": "i-1", "LaunchTime": dt.datetime.now(dt.UTC)}]
    rows.append({"InstanceId": "i-2"})
    judged = verdicts(judge_offline(policy([{"Wanted": "absent"}], scope), rows, {}))
    assert judged["i-0"] == ("noncompliant", "")
    assert "i-1" not in judged
    assert judged["i-2"][0] == "unknown"
    assert judged["i-2"][1].startswith("whether it is in scope is unknown")


def test_one_resource_that_breaks_a_filter_does_not_spoil_the_others() -> None:
    breaks = {"type": "value", "key": "length(Items)", "value": 0, "op": "gt"}
    rows = [{"InstanceId": "i-0", "Items": [1]}, {"InstanceId": "i-1"}, {"InstanceId": "i-2", "Items": []}]
    judged = verdicts(judge_offline(policy([breaks]), rows, {}))
    assert (judged["i-0"][0], judged["i-1"][0], judged["i-2"][0]) == ("noncompliant", "unknown", "compliant")


def test_a_bucket_whose_tags_were_denied_is_unknown_not_untagged() -> None:
    rows = [
        {"Name": "readable", "Tags": []},
        {"Name": "denied", "c7n:DeniedMethods": ["get_bucket_tagging"]},
        {"Name": "silent"},
    ]
    judged = judge_offline(policy([{"tag:Owner": "absent"}], resource="aws.s3"), rows, {})
    assert verdicts(judged) == {
        "readable": ("noncompliant", ""),
        "denied": ("unknown", "tags could not be read: s3:GetBucketTagging was denied"),
        "silent": ("unknown", "tags could not be read: s3:GetBucketTagging did not answer"),
    }
    assert [each.failure.kind.value for each in judged if each.failure] == ["own-permission", "timeout"]


@pytest.mark.parametrize(
    ("filter_", "value"),
    [
        ({"type": "value", "key": "Size", "op": "gt", "value": 5}, "7"),
        ({"type": "value", "key": "Size", "op": "ge", "value": 5, "value_type": "age"}, "not a date"),
        ({"type": "value", "key": "Size", "op": "ge", "value": 5, "value_type": "age"}, "2026-13-45 00:00:00"),
    ],
)
def test_what_cannot_be_compared_is_unknown_in_scope_and_in_violation(filter_: dict[str, Any], value: str) -> None:
    rows = instances(1, Size=value)
    for tested in (policy([filter_]), policy([{"Size": "present"}], [filter_])):
        [judged] = judge_offline(tested, rows, {})
        assert judged.verdict is Verdict.UNKNOWN
        assert f"Size cannot be compared: '{value}'" in judged.reason


def test_an_age_without_a_date_is_unknown() -> None:
    old = {"type": "state-age", "op": "ge", "days": 1}
    [judged] = judge_offline(policy([old]), instances(1, StateTransitionReason=""), {})
    assert (judged.verdict, judged.reason) == (Verdict.UNKNOWN, "state-age: the resource has no such date")


def test_a_resource_listed_twice_is_judged_once() -> None:
    judged = judge_offline(policy([{"EbsOptimized": "absent"}]), instances(1) * 2, {})
    assert [each.resource_id for each in judged] == ["i-0"]


def test_policies_do_not_see_each_others_annotations() -> None:
    rows = instances(1)
    first = judge_offline(policy([CPU]), rows, metric(IDLE))
    second = judge_offline(policy([{**CPU, "period": 3600}]), rows, metric(BUSY))
    assert (first[0].verdict, second[0].verdict) == (Verdict.NONCOMPLIANT, Verdict.COMPLIANT)
    assert not [key for key in rows[0] if key.startswith("c7n")]


def test_facts_name_what_was_read_and_what_was_expected() -> None:
    rows = instances(1, State={"Name": "running"})
    [judged] = judge_offline(policy([CPU], [{"State.Name": "running"}]), rows, metric(BUSY))
    state, cpu = judged.facts
    assert (state.key, state.value, state.expected, state.matched) == ("State.Name", "running", "running", True)
    assert (cpu.value, cpu.op, cpu.expected, cpu.matched) == (90.0, "less-than", 5, False)
    assert cpu.key == "CPUUtilization Maximum over 14 days (1 datapoints)"


# --- against c7n without the listener ---------------------------------------------------------------------------------

KEYS = ("A", "B", "C.D", "tag:T")
LEAVES = st.builds(
    lambda key, value, op: {"type": "value", "key": key, "value": value, **({"op": op} if op else {})},
    st.sampled_from(KEYS),
    st.sampled_from([1, 2, "x", True, "absent", "present", "empty", "not-null"]),
    st.sampled_from(["", "eq", "ne", "gt", "lt"]),
)
TREES = st.recursive(
    LEAVES,
    lambda children: st.builds(
        lambda kind, some: {kind: some},
        st.sampled_from(["and", "or", "not"]),
        st.lists(children, min_size=1, max_size=3),
    ),
    max_leaves=6,
)
VALUES = st.sampled_from([None, 0, 1, 2, "", "x", True])
ROWS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "A": VALUES,
            "B": VALUES,
            "C": st.fixed_dictionaries({}, optional={"D": VALUES}),
            "Tags": st.just([{"Key": "T", "Value": "x"}]),
        },
    ),
    max_size=6,
).map(lambda rows: [{"InstanceId": f"i-{number}", **row} for number, row in enumerate(rows)])


ACCOUNT = Account(OFFLINE, "aws", aws.session(OFFLINE.region, aws.Credentials("x", "x", "x")))


def _stock(filters: list[Any], rows: list[dict[str, Any]]) -> set[str]:
    loaded = ACCOUNT.load({"name": "stock", "resource": "aws.ec2", "filters": filters})
    return {each["InstanceId"] for each in loaded.resource_manager.filter_resources([dict(row) for row in rows])}


@settings(max_examples=150, deadline=None)
@given(st.lists(TREES, max_size=2), st.lists(TREES, min_size=1, max_size=2), ROWS)
def test_a_finding_is_exactly_what_stock_c7n_matches(
    scope: list[Any], violation: list[Any], rows: list[dict[str, Any]]
) -> None:
    loaded = ACCOUNT.load(policy(violation, scope).document)
    judged = list(judge(loaded, len(scope), described(loaded.resource_manager, rows, "aws"), Metrics()))
    matched = _stock([*scope, *violation], rows)
    assert {each.resource_id for each in judged if each.verdict is Verdict.NONCOMPLIANT} == matched
    population = {each.resource_id for each in judged}
    assert len(population) == len(judged)
    assert _stock(scope, rows) <= population
    for each in judged:
        if each.verdict is Verdict.UNKNOWN:
            assert "absent" in each.reason or "cannot be compared" in each.reason
