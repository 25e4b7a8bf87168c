"""One target: what is described how often, what c7n would not run here, and judging in chunks."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st

from finops_policy import aws
from finops_policy.answers import FailedCalls
from finops_policy.custodian import account as module
from finops_policy.custodian.account import Account, Judgement, described, judge
from finops_policy.custodian.metrics import Metrics
from finops_policy.custodian.offline import OFFLINE, judge_offline
from finops_policy.model import CompiledPolicy, Fact
from tests.engine.test_observe import ROWS, TREES, instances, policy

Answer = dict[str, Any]


class Cloud:
    """Answers every operation with what it is given, and counts what was asked."""

    def __init__(self, answers: dict[str, Answer | Exception]) -> None:
        self.calls: Counter[str] = Counter()
        self.asked: list[str] = []
        self._answers = answers

    def __call__(self, model: Any, params: Any, **_event: Any) -> tuple[Any, Answer]:
        self.calls[model.name] += 1
        self.asked.append(str(params["body"]))
        answer = self._answers[model.name]
        if isinstance(answer, Exception):
            raise answer
        return AWSResponse("https://offline.invalid", 200, {}, None), answer

    def account(self) -> Account:
        session = aws.session(OFFLINE.region, aws.Credentials("x", "x", "x"))
        session.events.register("before-call", self)
        return Account(OFFLINE, "aws", session)


def reservations(*ids: str, **fields: Any) -> Answer:
    return {"Reservations": [{"Instances": [{"InstanceId": each, "Tags": [], **fields} for each in ids]}]}


def with_document(**fields: Any) -> CompiledPolicy:
    found = policy([{"EbsOptimized": "absent"}])
    return CompiledPolicy(
        **{name: getattr(found, name) for name in CompiledPolicy.__slots__ if name != "document"},
        document={**found.document, **fields},
    )


# --- what is described ------------------------------------------------------------------------------------------------


def test_policies_of_one_type_share_one_description_of_it() -> None:
    cloud = Cloud({"DescribeInstances": reservations("i-0", "i-1")})
    account = cloud.account()
    for each in (policy([{"EbsOptimized": "absent"}]), policy([{"InstanceId": "i-0"}])):
        assert [found.resource_id for found in account.judge(each)] == ["i-0", "i-1"]
    assert cloud.calls == {"DescribeInstances": 1}


def test_a_query_of_its_own_is_a_description_of_its_own() -> None:
    cloud = Cloud({"DescribeInstances": reservations("i-0")})
    account = cloud.account()
    running = [{"instance-state-name": "running"}]
    for query in (running, [{"instance-state-name": "stopped"}], running):
        account.fetch(with_document(query=query))
    account.fetch(with_document())
    assert cloud.calls == {"DescribeInstances": 3}
    assert ["running" in each for each in cloud.asked] == [True, False, False]
    assert "stopped" in cloud.asked[1]


def test_sources_are_not_mixed_up() -> None:
    nothing: dict[str, Answer | Exception] = {
        "SelectResourceConfig": {"Results": []},
        "ListDiscoveredResources": {"resourceIdentifiers": []},
    }
    cloud = Cloud({"DescribeInstances": reservations("i-0"), **nothing})
    account = cloud.account()
    assert [each.id for each in account.fetch(with_document())] == ["i-0"]
    assert account.fetch(with_document(source="config")) == []
    assert cloud.calls["DescribeInstances"] == 1


def test_a_failure_is_kept_for_every_policy_that_asks_and_nothing_else_is() -> None:
    denied = ClientError({"Error": {"Code": "UnauthorizedOperation", "Message": "no"}}, "DescribeInstances")
    cloud = Cloud({"DescribeInstances": denied})
    account = cloud.account()
    for _ in range(3):
        with pytest.raises(ClientError, match="UnauthorizedOperation") as caught:
            list(account.judge(policy([{"EbsOptimized": "absent"}])))
        assert [entry.name for entry in caught.traceback][1:] == ["judge", "fetch"]
    assert cloud.calls == {"DescribeInstances": 1}


def test_what_was_read_before_a_failure_is_let_go() -> None:
    class Page:
        pass

    def describe() -> list[Any]:
        page = Page()
        try:
            raise KeyError(str(page))
        except KeyError as error:
            raise ValueError("broken page") from error

    class Manager:
        get_model = staticmethod(lambda: SimpleNamespace(id="Id"))
        resources = staticmethod(describe)

    found = module._fetch(Manager, "aws", FailedCalls())
    assert isinstance(found, ValueError)
    assert isinstance(found.__cause__, KeyError)
    assert not [each for each in gc.get_objects() if isinstance(each, Page)]


# --- what is not run here ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, ""),
        ({"mode": {"type": "pull"}}, ""),
        ({"mode": {"type": "periodic", "schedule": "rate(1 day)"}}, "mode periodic: the policy waits"),
        ({"mode": {"type": "cloudtrail", "events": ["RunInstances"]}}, "mode cloudtrail: the policy waits"),
        ({"conditions": [{"region": OFFLINE.region}]}, ""),
        ({"conditions": [{"region": "eu-west-1"}]}, 'do not hold here: {"conditions": [{"region": "eu-west-1"}]}'),
        ({"conditions": [{"not": [{"account_id": OFFLINE.account_id}]}]}, "do not hold here"),
        ({"region": "eu-west-1"}, 'do not hold here: {"region": "eu-west-1"}'),
        ({"start": "2020-01-01"}, ""),
        ({"end": "2020-01-01"}, "do not hold here"),
    ],
)
def test_a_policy_that_c7n_would_not_run_is_told_from_one_that_finds_nothing(
    fields: dict[str, Any], reason: str
) -> None:
    account = Cloud({}).account()
    skipped, inapplicable = (ask(with_document(**fields)) for ask in (account.skipped, account.inapplicable))
    assert bool(skipped) is reason.startswith("mode")
    assert bool(inapplicable) is reason.startswith("do not hold")
    assert reason.removeprefix("...") in skipped + inapplicable


# --- chunks -----------------------------------------------------------------------------------------------------------

OUTLINE: Callable[[Judgement], Any] = lambda each: (  # noqa: E731
    each.resource_id,
    each.verdict,
    each.reason,
    each.facts,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(TREES, max_size=2), st.lists(TREES, min_size=1, max_size=2), ROWS)
def test_chunks_change_no_verdict(scope: list[Any], violation: list[Any], rows: list[dict[str, Any]]) -> None:
    tested = policy(violation, scope)
    whole = [OUTLINE(each) for each in judge_offline(tested, rows, {})]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK", 2)
        assert [OUTLINE(each) for each in judge_offline(tested, rows, {})] == whole


def test_a_resource_listed_twice_is_judged_once_although_in_two_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 1)
    judged = judge_offline(policy([{"EbsOptimized": "absent"}]), [*instances(2), *instances(1)], {})
    assert [each.resource_id for each in judged] == ["i-0", "i-1"]


RECORDS = [
    {"Name": "x.org.", "Type": "A", "TTL": 5},
    {"Name": "x.org.", "Type": "MX", "TTL": 500},
    {"Name": "y.org.", "Type": "A", "TTL": 500},
]


@pytest.mark.parametrize("chunk", [1, 5000])
@pytest.mark.parametrize("filters", [[{"TTL": 5}], [{"type": "reduce", "limit": 9}, {"TTL": 5}]])
def test_resources_that_share_an_id_are_judged_each(
    filters: list[Any], chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records of one name are several: none may hide another."""
    monkeypatch.setattr(module, "CHUNK", chunk)
    judged = judge_offline(policy(filters, resource="aws.rrset"), RECORDS, {})
    assert [(each.resource_id, each.verdict.value, each.resource["Type"]) for each in judged] == [
        ("x.org.", "noncompliant", "A"),
        ("x.org.", "compliant", "MX"),
        ("y.org.", "compliant", "A"),
    ]


def test_what_c7n_mixes_up_is_unknown() -> None:
    """Its ``not`` takes the record that breaks the policy for the other one of that name, and drops both."""
    judged = judge_offline(policy([{"not": [{"TTL": 500}]}], resource="aws.rrset"), RECORDS, {})
    assert [(each.verdict.value, each.reason) for each in judged] == [
        ("unknown", "Cloud Custodian takes it for another resource with the same id"),
        ("compliant", ""),
        ("compliant", ""),
    ]


def test_buckets_are_read_for_the_filters_of_every_policy() -> None:
    """``detect`` would read what one policy's filters need, and nothing for a policy that shares the description."""
    cloud = Cloud({"ListBuckets": {"Buckets": []}})
    account = cloud.account()
    detected = policy([{"Versioning.Status": "absent"}], resource="aws.s3")
    account.fetch(replace(detected, document={**detected.document, "query": [{"augment-keys": "detect"}]}))
    account.fetch(replace(detected, document={**detected.document, "query": [{"augment-keys": "all"}]}))
    assert cloud.calls == {"ListBuckets": 1}


COUNT = {"type": "value", "value_type": "resource_count", "op": "ge", "value": 3}
FIRST = {"type": "reduce", "sort-by": "InstanceId", "order": "asc", "limit": 1}


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ([COUNT], ["i-0", "i-1", "i-2"]),
        ([{"not": [{"or": [COUNT]}]}], []),
        ([{"and": [{"InstanceId": "present"}, COUNT]}], ["i-0", "i-1", "i-2"]),
        ([FIRST], ["i-0"]),
        ([{"or": [{"InstanceId": "i-2"}, FIRST]}], ["i-0", "i-2"]),
    ],
)
def test_a_filter_that_looks_at_all_resources_gets_them_all(
    filters: list[Any], found: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 1)
    judged = judge_offline(policy(filters), instances(3), {})
    assert [each.resource_id for each in judged if each.verdict.value == "noncompliant"] == found


def test_related_resources_are_described_once_however_many_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 1)
    groups = {"SecurityGroups": [{"GroupId": "sg-1", "GroupName": "open", "VpcId": "vpc-1"}]}
    attached = [{"Groups": [{"GroupId": "sg-1"}]}]
    rows = reservations(*(f"i-{number}" for number in range(4)), NetworkInterfaces=attached)
    cloud = Cloud({"DescribeInstances": rows, "DescribeSecurityGroups": groups})
    open_group = {"type": "security-group", "key": "GroupName", "value": "open"}
    judged = list(cloud.account().judge(policy([{"or": [open_group]}])))
    assert [each.verdict.value for each in judged] == ["noncompliant"] * 4
    assert cloud.calls == {"DescribeInstances": 1, "DescribeSecurityGroups": 1}


def test_a_chunk_is_let_go_before_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies and facts of 10 resources at a time, not of 50; an annotation tells a copy from what was fetched."""
    monkeypatch.setattr(module, "CHUNK", 10)
    loaded = Cloud({}).account().load(policy([{"OnlyHere": "absent"}]).document)
    rows = described(loaded.resource_manager, instances(50), "aws")
    copies, facts = [], []
    for each in judge(loaded, 0, rows, Metrics()):
        del each
        alive = gc.get_objects()
        copies.append(sum(type(found) is dict and found.get("c7n:MatchedFilters") == ["OnlyHere"] for found in alive))
        facts.append(sum(type(found) is Fact and found.key == "OnlyHere" for found in alive))
        del alive
    assert copies == facts == [10] * 50
