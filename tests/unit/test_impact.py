"""Judging anew what a run recorded: c7n's own answer again, or none where something was not recorded."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from finops_policy import fixtures
from finops_policy.catalog import Catalog
from finops_policy.custodian.account import Judgement
from finops_policy.custodian.library import manager_class
from finops_policy.custodian.memory import Memory
from finops_policy.custodian.offline import OFFLINE, judge_offline
from finops_policy.custodian.recorded import Prediction, Recorded, Said
from finops_policy.evidence.canonical import encode
from finops_policy.model import CompiledPolicy, Evaluation, Fact, Severity, Verdict
from finops_policy.redaction import WITHHELD
from finops_policy.sources import read
from tests.unit import builders as b

ROOT = Path(__file__).parents[2]
NOW = dt.datetime(2026, 11, 24, 8, tzinfo=dt.UTC)
OUTSIDE, UNRECORDED = Said.OUTSIDE, Said.UNRECORDED
NONCOMPLIANT, COMPLIANT, UNKNOWN = Said.NONCOMPLIANT, Said.COMPLIANT, Said.UNKNOWN


def policy(*filters: Any, scope: Sequence[Any] = (), resource: str = "aws.ec2", name: str = "p") -> CompiledPolicy:
    document = {"name": name, "resource": resource, "filters": [*scope, *filters]}
    return CompiledPolicy(name, "pack", "1.0.0", "", "", resource, Severity.LOW, len(scope), "", document)


def evaluated(of: CompiledPolicy, judged: Judgement, moment: dt.datetime = NOW) -> Evaluation:
    """A judgement as evidence gives it back."""
    facts = json.loads(encode([{name: getattr(each, name) for name in Fact.__slots__} for each in judged.facts]))
    return b.evaluation(
        policy=of.name,
        resource_type=of.resource,
        resource_id=judged.resource_id,
        arn=judged.arn,
        verdict=judged.verdict,
        facts=tuple(Fact(**each) for each in facts),
        tags=dict(judged.tags),
        evaluated_at=moment,
    )


def memory(of: CompiledPolicy, resource_id: str = "i-1", tags: Mapping[str, str] | None = None) -> Memory:
    return Memory(of.resource, resource_id, str(manager_class(of.resource).resource_type.id), "", tags or {})


def remember(of: CompiledPolicy, *facts: Fact, verdict: Verdict = Verdict.COMPLIANT, **fields: Any) -> Memory:
    made = memory(of, tags=fields.get("tags"))
    made.add(
        b.evaluation(policy=of.name, resource_type=of.resource, facts=facts, verdict=verdict), of.document["filters"]
    )
    return made


def judge(of: CompiledPolicy, what: Memory, moment: dt.datetime = NOW) -> Prediction:
    return Recorded("aws").judge(of, OFFLINE, what, moment)


# --- the same policy comes to the same verdict ------------------------------------------------------------------------


def fixture_files() -> list[Path]:
    return sorted((ROOT / "tests" / "policies").rglob("*.yaml"))


def test_every_fixture_of_every_policy_is_reproduced_or_said_not_to_be() -> None:
    catalog, recorded, outcomes = Catalog(ROOT / "docs"), Recorded("aws"), Counter[str]()
    for path in fixture_files():
        data = (document := read(path, str(path))).data
        pack, _, name = data["policy"].partition("/")
        of = fixtures._compile(catalog.pack(pack), name, data.get("parameters", {}), document)
        moment = dt.datetime.now(dt.UTC)
        for judged in judge_offline(
            of, fixtures._dated(data["resources"], moment), fixtures._dated(data.get("responses", {}), moment)
        ):
            what = memory(of, judged.resource_id, judged.tags)
            what.add(evaluated(of, judged), of.document["filters"])
            found = recorded.judge(of, OFFLINE, what, moment)
            assert str(found.said) in (str(judged.verdict), "unrecorded"), (path, judged.resource_id, found)
            outcomes[str(found.said)] += 1
    assert outcomes.total() > 100
    assert outcomes["unrecorded"] < outcomes.total() * 0.05, outcomes
    assert min(outcomes["compliant"], outcomes["noncompliant"], outcomes["unknown"]) > 10, outcomes


# --- values -----------------------------------------------------------------------------------------------------------

STATE = Fact("value", "State.Name", "running", "eq", "running", True)
SIZE = Fact("value", "Size", 50, "gt", 10, True)
RUNNING = policy({"State.Name": "running"}, {"type": "value", "key": "Size", "op": "gt", "value": 10})


@pytest.mark.parametrize(
    ("filters", "said", "reason"),
    [
        ([{"type": "value", "key": "Size", "op": "gt", "value": 60}], COMPLIANT, ""),
        ([{"type": "value", "key": "Size", "op": "lt", "value": 60}], NONCOMPLIANT, ""),
        ([{"type": "value", "key": "State.Name", "op": "in", "value": ["stopped"]}], COMPLIANT, ""),
        ([{"InstanceId": "i-1"}], NONCOMPLIANT, ""),
        ([{"InstanceType": "absent"}], UNRECORDED, "InstanceType was not recorded"),
        ([{"State": "present"}], UNRECORDED, "State was not recorded"),
        ([{"State.Name.First": "x"}], UNKNOWN, "attribute absent: State.Name.First"),
        ([{"type": "value", "key": "length(State)", "value": 1}], UNRECORDED, "length(State) was not recorded"),
        ([{"not": [{"InstanceType": "absent"}]}], UNRECORDED, "InstanceType was not recorded"),
        ([{"or": [{"InstanceType": "absent"}, {"State.Name": "running"}]}], NONCOMPLIANT, ""),
        (
            [{"or": [{"InstanceType": "absent"}, {"State.Name": "stopped"}]}],
            UNRECORDED,
            "InstanceType was not recorded",
        ),
        ([{"State.Name": "stopped"}, {"InstanceType": "absent"}], COMPLIANT, ""),
        ([{"InstanceType": "absent"}, {"State.Name": "stopped"}], UNRECORDED, "InstanceType was not recorded"),
        ([{"not": [{"State.Name": "running"}]}], COMPLIANT, ""),
        ([{"type": "value", "key": "Size", "value_from": {"url": "file:///x"}}], UNRECORDED, "filter value looks"),
        (
            [{"type": "value", "key": "Size", "op": "gt", "value_type": "expr", "value": "Limit"}],
            UNRECORDED,
            "Limit was",
        ),
        (
            [{"type": "value", "key": "Size", "op": "gt", "value_regex": "(.*)", "value": 1}],
            UNKNOWN,
            "attribute absent",
        ),
        (["termination-protected"], UNRECORDED, "what filter termination-protected looks at was not recorded"),
        ([{"tag:Owner": "absent"}], COMPLIANT, ""),
        ([{"tag:Team": "absent"}], NONCOMPLIANT, ""),
        ([{"type": "value", "key": "tag:Owner", "op": "glob", "value": "da*"}], NONCOMPLIANT, ""),
        ([{"Tags": "empty"}], UNRECORDED, "Tags was not recorded"),
    ],
)
def test_other_filters_on_what_was_recorded(filters: list[Any], said: Said, reason: str) -> None:
    found = judge(policy(*filters), remember(RUNNING, STATE, SIZE, tags={"Owner": "dana"}))
    assert found.said is said, found
    assert reason in found.reason


def test_scope_decides_first() -> None:
    what = remember(RUNNING, STATE, SIZE)
    assert judge(policy("termination-protected", scope=[{"State.Name": "stopped"}]), what).said is OUTSIDE
    found = judge(policy({"Size": 50}, scope=[{"InstanceType": "x"}]), what)
    assert (found.said, found.reason) == (UNRECORDED, "whether it is in scope: InstanceType was not recorded")


def test_an_expression_serves_itself_alone() -> None:
    key = "split('.', InstanceType)[1]"
    of = policy({"type": "value", "key": key, "op": "not-in", "value": ["nano"]})
    what = remember(of, Fact("value", key, "large", "not-in", ["nano"], True))
    changed = policy({"type": "value", "key": key, "op": "not-in", "value": ["large"]})
    assert judge(changed, what).said is COMPLIANT
    assert judge(policy({"InstanceType": "m5.large"}), what).said is UNRECORDED


def test_what_an_expression_was_compared_with_is_known_by_its_name() -> None:
    of = policy({"type": "value", "key": "Spent", "op": "gt", "value_type": "expr", "value": "to_number(Limit)"})
    what = remember(of, Fact("value", "Spent", 5, "gt", 3, True))
    assert judge(of, what).said is NONCOMPLIANT
    turned = policy({"type": "value", "key": "Spent", "op": "lt", "value_type": "expr", "value": "to_number(Limit)"})
    assert judge(turned, what).said is COMPLIANT


def test_a_value_cut_by_a_regex_serves_that_regex_alone() -> None:
    made = {
        "type": "value",
        "key": "Reason",
        "value_regex": r".*\((.*)\)",
        "value_type": "age",
        "op": "ge",
        "value": 30,
    }
    of = policy(made)
    what = remember(of, Fact("value", "Reason", "2026-10-01 00:00:00 GMT", "ge (age)", 30, True))
    assert judge(policy({**made, "value": 60}), what).said is COMPLIANT
    assert judge(policy({**made, "value": 50}), what).said is NONCOMPLIANT
    assert judge(policy({**made, "value_regex": "(.*)"}), what).said is UNRECORDED


def test_time_is_that_of_the_run() -> None:
    made = {"type": "value", "key": "CreateTime", "value_type": "age", "op": "ge", "value": 30}
    of = policy(made, {"type": "instance-uptime", "op": "ge", "days": 30})
    moment = dt.datetime(2020, 6, 1, tzinfo=dt.UTC)
    what = remember(
        of,
        Fact("value", "CreateTime", "2020-05-10T00:00:00Z", "ge (age)", 30, False),
        Fact("instance-uptime", "age", "2020-05-10T00:00:00+00:00", "ge", {"days": 30}, False),
    )
    for days, said in ((21, NONCOMPLIANT), (23, COMPLIANT)):
        assert judge(policy({**made, "value": days}), what, moment).said is said
        assert judge(policy({"type": "instance-uptime", "op": "ge", "days": days}), what, moment).said is said
    assert (
        judge(policy({**made, "value_type": "expiration", "op": "lt", "value": 1}), what, moment).said is NONCOMPLIANT
    )
    assert judge(policy({"type": "instance-age", "op": "ge", "days": 1}), what, moment).said is UNRECORDED


def test_a_text_that_may_have_been_a_date_is_not_compared_as_text() -> None:
    of = policy({"CreateTime": "present"})
    what = remember(of, Fact("value", "CreateTime", "2020-05-10T00:00:00Z", "eq", "present", True))
    found = judge(policy({"type": "value", "key": "CreateTime", "op": "glob", "value": "2020*"}), what)
    assert (found.said, found.reason) == (UNRECORDED, "whether CreateTime is a date or a text was not recorded")
    assert judge(policy({"CreateTime": "absent"}), what).said is COMPLIANT


def test_policies_that_recorded_different_values_are_not_believed() -> None:
    what = remember(RUNNING, STATE, SIZE)
    other = policy({"type": "value", "key": "Size", "op": "lt", "value": 1}, name="q")
    evaluation = b.evaluation(policy="q", facts=(Fact("value", "Size", 51, "lt", 1, False),))
    what.add(evaluation, other.document["filters"])
    found = judge(RUNNING, what)
    assert (found.said, found.reason) == (UNRECORDED, "Size was recorded with different values")


def test_what_several_policies_recorded_is_put_together() -> None:
    what = remember(RUNNING, STATE, SIZE)
    other = policy({"InstanceType": "m5.large"}, name="q")
    what.add(b.evaluation(policy="q", facts=(Fact("value", "InstanceType", "m5.large", "eq", "m5.large", True),)),
             other.document["filters"])  # fmt: skip
    both = policy({"InstanceType": "m5.large"}, {"State.Name": "running"})
    assert judge(both, what).said is NONCOMPLIANT


def test_two_resources_of_one_id_are_not_mixed_up() -> None:
    what = remember(RUNNING, STATE, SIZE)
    what.add(b.evaluation(policy="p", facts=(STATE,)), RUNNING.document["filters"])
    assert judge(RUNNING, what).said is UNRECORDED


def test_a_fact_that_may_be_of_two_filters_is_not_used() -> None:
    one = {"type": "value", "key": "Reason", "value": "x"}
    of = policy({"or": [{**one, "value_regex": "(.)"}, one]})
    what = remember(of, Fact("value", "Reason", "x", "eq", "x", True))
    assert judge(policy(one), what).said is UNRECORDED
    assert judge(policy({**one, "value_regex": "(.)"}), what).said is UNRECORDED


# --- what is withheld, and what was denied ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filter_", "said"),
    [
        ({"tag:Patient": "absent"}, COMPLIANT),
        ({"tag:Patient": "present"}, NONCOMPLIANT),
        ({"tag:Patient": "dana"}, UNRECORDED),
        ({"type": "value", "key": "tag:Patient", "op": "ne", "value": "absent"}, UNRECORDED),
        ({"type": "value", "key": "tag:Patient", "value_type": "normalize", "value": "empty"}, UNRECORDED),
        ({"type": "value", "key": "tag:Other", "op": "in", "value": ["x"]}, COMPLIANT),
        ({"type": "value", "key": "tag:patient", "tag_key_transforms": ["lower"], "value": "absent"}, UNRECORDED),
    ],
)
def test_a_withheld_tag_is_there_and_its_value_unknown(filter_: dict[str, Any], said: Said) -> None:
    assert judge(policy(filter_), remember(RUNNING, STATE, tags={"Patient": WITHHELD})).said is said


def test_a_withheld_fact_is_unknown() -> None:
    of = policy({"Name": "dana"})
    what = remember(of, Fact("value", "Name", WITHHELD, "eq", WITHHELD, True))
    assert judge(policy({"Name": "absent"}), what).said is UNRECORDED
    listed = remember(policy({"Names": "present"}), Fact("value", "Names", ["a", WITHHELD], "eq", "present", True))
    assert judge(policy({"type": "value", "key": "Names", "op": "contains", "value": "a"}), listed).said is UNRECORDED


def test_a_bucket_without_tags_may_be_one_whose_tags_were_denied() -> None:
    of = policy({"Name": "present"}, resource="aws.s3")
    name = Fact("value", "Name", "b", "eq", "present", True)
    untagged = policy({"tag:Owner": "absent"}, resource="aws.s3")
    assert judge(untagged, remember(of, name)).said is UNRECORDED
    assert judge(untagged, remember(of, name, tags={"Team": "x"})).said is NONCOMPLIANT
    read_tags = Fact("value", "tag:Owner", None, "eq", "absent", True)
    assert judge(untagged, remember(untagged, read_tags)).said is NONCOMPLIANT
    denied = remember(untagged, read_tags, verdict=Verdict.UNKNOWN)
    assert judge(untagged, denied).said is UNRECORDED


# --- metrics ----------------------------------------------------------------------------------------------------------

CPU = {"type": "metrics", "name": "CPUUtilization", "statistics": "Maximum", "days": 7, "period": 86400, "value": 5,
       "op": "less-than"}  # fmt: skip


def cpu(value: float | None, count: str = "7 datapoints", expected: float = 5, op: str = "less-than") -> Fact:
    return Fact("metrics", f"CPUUtilization Maximum over 7 days ({count})", value, op, expected, matched=False)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"value": 20}, NONCOMPLIANT),
        ({"value": 12}, COMPLIANT),
        ({"value": 12, "op": "le"}, NONCOMPLIANT),
        ({"op": "greater-than"}, UNRECORDED),
        ({"op": "eq", "value": 12}, UNRECORDED),
        ({"period": 3600, "value": 20}, UNRECORDED),
        ({"days": 14, "value": 20}, UNRECORDED),
        ({"statistics": "Average", "value": 20}, UNRECORDED),
        ({"name": "NetworkOut", "value": 20}, UNRECORDED),
        ({"namespace": "Own", "value": 20}, UNRECORDED),
        ({"missing-value": 0, "value": 20}, UNRECORDED),
        ({"dimensions": {"A": "b"}, "value": 20}, UNRECORDED),
        ({"period-start": "start-of-day", "value": 20}, UNRECORDED),
        ({"period-start": "auto", "value": 20}, NONCOMPLIANT),
    ],
)
def test_a_metric_serves_only_what_reads_the_same_datapoints(changes: dict[str, Any], said: Said) -> None:
    assert judge(policy({**CPU, **changes}), remember(policy(CPU), cpu(12))).said is said


def test_one_datapoint_decides_whatever_the_operator() -> None:
    what = remember(policy(CPU), cpu(12, "1 datapoints"))
    assert judge(policy({**CPU, "op": "greater-than"}), what).said is NONCOMPLIANT
    assert judge(policy({**CPU, "op": "eq", "value": 12}), what).said is NONCOMPLIANT


def test_the_lowest_datapoint_is_recorded_for_lower_limits() -> None:
    of = policy({**CPU, "op": "gt"})
    what = remember(of, cpu(12, op="gt"))
    assert judge(policy({**CPU, "op": "ge", "value": 12}), what).said is NONCOMPLIANT
    assert judge(policy({**CPU, "op": "gt", "value": 12}), what).said is COMPLIANT
    assert judge(policy({**CPU, "op": "lt", "value": 99}), what).said is UNRECORDED


def test_no_datapoints_are_unknown_and_filled_ones_are_filled_again() -> None:
    silent = remember(policy(CPU), cpu(None, "0 datapoints"), verdict=Verdict.UNKNOWN)
    found = judge(policy({**CPU, "value": 99}), silent)
    assert (found.said, found.reason) == (UNKNOWN, "no datapoints of CPUUtilization were recorded")
    filled = policy({**CPU, "missing-value": 3})
    what = remember(filled, cpu(3, "no datapoints, filled in"))
    assert judge(policy({**CPU, "missing-value": 3, "value": 2}), what).said is COMPLIANT
    assert judge(policy({**CPU, "missing-value": 3, "op": "gt", "value": 2}), what).said is NONCOMPLIANT
    broken = remember(filled, cpu(None, "0 datapoints"), verdict=Verdict.UNKNOWN)  # a call that failed
    assert judge(filled, broken).said is UNKNOWN


def test_a_share_of_an_attribute_needs_the_attribute() -> None:
    share = {**CPU, "percent-attr": "Size", "value": 50}
    fact = Fact(
        "metrics", "CPUUtilization Maximum over 7 days (7 datapoints), percent of Size", 12, "less-than", 50, True
    )
    assert judge(policy({**share, "value": 20}), remember(policy(share), fact)).said is UNRECORDED
    both = policy({"type": "value", "key": "Size", "op": "gt", "value": 10}, share)
    what = remember(both, SIZE, fact)
    assert judge(policy({**share, "value": 25}), what).said is NONCOMPLIANT
    assert judge(policy({**share, "value": 24}), what).said is COMPLIANT


def test_two_metrics_that_c7n_mixes_up_are_not_used() -> None:
    """Stock c7n judges the second by the datapoints of the first: they differ in their period alone."""
    of = policy(CPU, {**CPU, "period": 3600, "value": 99})
    what = remember(of, cpu(12), cpu(12, expected=99))
    assert judge(policy({**CPU, "period": 3600, "value": 20}), what).said is UNRECORDED
    assert judge(policy({**CPU, "value": 20}), what).said is UNRECORDED


# --- all other filters ------------------------------------------------------------------------------------------------

UNUSED = {"type": "unused", "value": True}


@pytest.mark.parametrize("matched", [True, False])
def test_of_other_filters_the_answer_itself_serves(matched: bool) -> None:
    of = policy(UNUSED, resource="aws.ami")
    what = remember(of, Fact("unused", "", None, "", {"value": True}, matched))
    assert judge(of, what).said is (NONCOMPLIANT if matched else COMPLIANT)
    assert judge(policy({"not": [UNUSED]}, resource="aws.ami"), what).said is (COMPLIANT if matched else NONCOMPLIANT)
    assert judge(policy({**UNUSED, "value": False}, resource="aws.ami"), what).said is UNRECORDED


def test_an_answer_in_doubt_does_not_serve() -> None:
    of = policy(UNUSED, resource="aws.ami")
    fact = Fact("unused", "", None, "", {"value": True}, matched=False)
    assert judge(of, remember(of, fact, verdict=Verdict.UNKNOWN)).said is UNRECORDED


def test_an_answer_that_depends_on_other_resources_does_not_serve() -> None:
    first = {"type": "reduce", "limit": 1}
    of = policy(first)
    assert judge(of, remember(of, Fact("reduce", "", None, "", {"limit": 1}, True))).said is UNRECORDED


def test_notes_of_filters_serve_only_beside_the_same_filters() -> None:
    shared = {"or": [{"type": "cross-account"}, {"ImageId": "present"}]}
    noted = {"type": "value", "key": "c7n:LaunchPermissions", "value": []}
    old = {"type": "image-age", "op": "ge", "days": 365}
    of = policy(old, shared, noted, resource="aws.ami", name="ami-old")
    facts = (
        Fact("image-age", "age", "2020-01-01T00:00:00+00:00", "ge", {"days": 365}, True),
        Fact("cross-account", "", None, "", {}, matched=False),
        Fact("value", "ImageId", "ami-1", "eq", "present", True),
        Fact("value", "c7n:LaunchPermissions", [], "eq", [], True),
    )
    what = remember(of, *facts, verdict=Verdict.NONCOMPLIANT)
    assert judge(of, what).said is NONCOMPLIANT
    assert (
        judge(policy({**old, "days": 9}, shared, noted, resource="aws.ami", name="ami-old"), what).said is NONCOMPLIANT
    )
    assert judge(policy(old, noted, resource="aws.ami", name="ami-old"), what).said is UNRECORDED
    assert judge(policy(old, shared, noted, resource="aws.ami", name="another"), what).said is UNRECORDED


def test_nothing_is_fetched_that_a_policy_names(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: Any, **_settings: Any) -> None:
        raise AssertionError("fetched")

    monkeypatch.setattr("c7n.resolver.ValuesFrom.get_values", refuse)
    made = {"type": "value", "key": "Size", "op": "in", "value_from": {"url": "https://example.com/sizes"}}
    of = policy(made)
    fact = Fact("value", "Size", 50, "in", {"url": "https://example.com/sizes"}, True)
    assert judge(of, remember(of, fact)).said is NONCOMPLIANT, "c7n's own answer to exactly this filter"
    assert judge(policy({**made, "op": "ni"}), remember(of, fact)).said is UNRECORDED


def test_nothing_asks_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: Any, **_settings: Any) -> None:
        raise AssertionError("a call to AWS")

    monkeypatch.setattr("botocore.client.BaseClient._make_api_call", refuse)
    what = remember(policy(CPU), cpu(12))
    group = {"type": "security-group", "key": "GroupId", "value": "x"}
    image = {"type": "image", "key": "Name", "value": "x"}
    for filter_ in (CPU, image, group, "termination-protected", "ssm", "ephemeral"):
        assert judge(policy(filter_), what).said in (COMPLIANT, UNRECORDED)


def test_variables_belong_to_their_target() -> None:
    of = policy({"type": "value", "key": "Owner", "value": "{account_id}"})
    what = remember(policy({"Owner": "present"}), Fact("value", "Owner", "111122223333", "eq", "present", True))
    recorded = Recorded("aws")
    for account, said in (("111122223333", NONCOMPLIANT), ("444455556666", COMPLIANT), ("111122223333", NONCOMPLIANT)):
        assert recorded.judge(of, replace(OFFLINE, account_id=account), what, NOW).said is said
