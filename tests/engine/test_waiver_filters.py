"""What is compiled of a waiver, and what the engine makes of it, is the same: asked of c7n itself, on real answers."""

from __future__ import annotations

import copy
import datetime as dt
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finops_policy import aws
from finops_policy.catalog import Catalog
from finops_policy.compiler import load_policies
from finops_policy.custodian import account as module
from finops_policy.custodian.account import Account, Described, described
from finops_policy.custodian.arn_keys import arn_keys, key_of
from finops_policy.model import CompiledPolicy, Severity, Target, Waiver
from finops_policy.project import load
from finops_policy.roles import Roles
from finops_policy.sandbox.process import Sandbox
from finops_policy.waiver_filters import ArnKey, exclusion
from finops_policy.waivers import find_waiver
from tests.engine.test_stock import ROOT
from tests.unit.builders import waiver

TARGET = Target("111122223333", "us-east-1")
TYPES = (
    "aws.account", "aws.app-elb", "aws.dynamodb-table", "aws.ebs", "aws.ec2", "aws.elb", "aws.lambda",
    "aws.log-group", "aws.nat-gateway", "aws.network-addr", "aws.rds", "aws.s3",
)  # fmt: skip
HOSTILE = (
    "absent", "present", "empty", "not-null", "", "*", "?", "[a]", "[!a]", "{account_id}", "{{7*7}}", "{", "}", "'",
    "\\", "=cmd()", "a\nb", "<script>", "null", "true", "1", "tag:x", "{region!r}", "{0}", "\u202e", "é",
)  # fmt: skip
TODAY = dt.datetime.now(dt.UTC).date()
DAY = dt.timedelta(days=1)


@pytest.fixture
def account(in_sandbox: Sandbox) -> Account:
    project = load(Catalog(ROOT), "acme", "hipaa")
    (mine,) = (each for each in project.customer.accounts if each.id == TARGET.account_id)
    credentials = Roles(project.customer, aws.caller(TARGET.region)).enter(mine, dt.timedelta(minutes=5))
    assert isinstance(credentials, aws.Credentials)
    return Account(TARGET, "aws", aws.session(TARGET.region, credentials))


def policy_of(resource: str, filters: list[Any]) -> CompiledPolicy:
    return CompiledPolicy("p", "pack", "1", "t", "r", resource, Severity.LOW, 0, "", {"name": "p", "resource": resource,
                          "filters": filters})  # fmt: skip


@pytest.fixture
def estate(account: Account) -> dict[str, tuple[Any, list[Described]]]:
    """Of each type its resources, two of them with tags of ours."""
    found = {}
    for resource in TYPES:
        policy = policy_of(resource, [])
        manager = account.load(policy.document).resource_manager
        resources = [copy.deepcopy(dict(each.resource)) for each in account.fetch(policy)]
        for each, name in zip(resources, HOSTILE, strict=False):
            each["Tags"] = [{"Key": name or "k", "Value": value} for value in (name,)] + [
                {"Key": "Team", "Value": "web"}
            ]
        found[resource] = (manager, described(manager, resources, "aws"))
    assert all(members for _, members in found.values()), {name: len(each[1]) for name, each in found.items()}
    return found


def globs(text: str) -> st.SearchStrategy[str]:
    """A text with parts of it made wild, and sometimes spoilt."""

    def made(cuts: tuple[int, int, str]) -> str:
        start, length, put = cuts
        return text[:start] + put + text[start + length :]

    size = max(len(text), 1)
    parts = st.tuples(
        st.integers(0, size), st.integers(0, size), st.sampled_from(["", "*", "?", "[", "]", "[*]", "{", "}"])
    )
    return st.just(text) | parts.map(made)


@st.composite
def waivers(draw: st.DrawFn, members: list[Described]) -> Waiver:
    one = draw(st.sampled_from(members))
    key, value = draw(st.sampled_from([*one.tags.items(), ("Team", "web"), *((each or "k", each) for each in HOSTILE)]))
    tagged = draw(st.booleans())
    changes: dict[str, Any] = {
        "policy": "p",
        "resource": draw(globs(one.arn) | st.just("arn:*")) if not tagged or draw(st.booleans()) else "",
        "account": draw(st.sampled_from(["", "", TARGET.account_id, "444455556666"])),
        "region": draw(st.sampled_from(["", "", TARGET.region, "eu-west-1"])),
        "starts": draw(st.sampled_from([dt.date.min, TODAY - DAY, TODAY, TODAY + DAY])),
        "expires": draw(st.sampled_from([TODAY - DAY, TODAY, TODAY + DAY, dt.date(2099, 1, 1), dt.date.max])),
    }
    if tagged:
        changes |= {"tag_key": key, "tag_value": draw(globs(value))}
    return waiver(**changes)


@pytest.mark.parametrize("resource", TYPES)
def test_c7n_leaves_out_exactly_what_the_engine_waives(
    account: Account, estate: Mapping[str, tuple[Any, list[Described]]], resource: str
) -> None:
    _, members = estate[resource]
    key = arn_keys([resource])[resource]
    seen = set()

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(st.lists(waivers(members), min_size=1, max_size=3))
    def agree(some: list[Waiver]) -> None:
        place = {"account": TARGET.account_id, "region": TARGET.region}
        ours = [each.id for each in members if not find_waiver("p", each.arn, some, TODAY, tags=each.tags, **place)]
        assert theirs(account, resource, [exclusion(each, key) for each in some], members) == sorted(ours)
        seen.add(len(ours) == len(members))

    agree()
    assert seen == {True, False}  # some waivers cover something, some nothing


def theirs(account: Account, resource: str, filters: list[Any], members: list[Described]) -> list[str]:
    loaded = account.load({"name": "p", "resource": resource, "filters": filters})
    kept = loaded.resource_manager.filter_resources([copy.deepcopy(dict(each.resource)) for each in members])
    names = {id_of(loaded.resource_manager, dict(each.resource)): each.id for each in members}
    return sorted(names[id_of(loaded.resource_manager, each)] for each in kept)


def id_of(manager: Any, resource: Mapping[str, Any]) -> str:
    return str(resource[manager.resource_type.id])


@pytest.mark.parametrize("resource", TYPES)
def test_the_key_of_a_type_is_where_its_arn_is(
    account: Account, estate: Mapping[str, tuple[Any, list[Described]]], resource: str
) -> None:
    """One resource is named; brackets around its last letter would match it as a set of letters."""
    _, members = estate[resource]
    key = arn_keys([resource])[resource]
    for one in members[:3]:
        filters = [exclusion(waiver(resource=one.arn, expires=dt.date.max), key)]
        assert one.arn
        assert one.id not in theirs(account, resource, filters, members)
        filters = [exclusion(waiver(resource=f"{one.arn[:-1]}[{one.arn[-1]}]", expires=dt.date.max), key)]
        assert one.id in theirs(account, resource, filters, members)


@pytest.mark.parametrize(
    ("name", "arn"),
    [
        ("arnold", "arnold"),  # c7n takes it for an ARN
        ("/odd", "arn:aws:elasticloadbalancing:us-east-1:111122223333:loadbalancer/odd"),
        ("web", "arn:aws:elasticloadbalancing:us-east-1:111122223333:loadbalancer/web"),
    ],
)
def test_odd_names_have_the_arns_that_c7n_gives_them(account: Account, name: str, arn: str) -> None:
    manager = account.load({"name": "p", "resource": "aws.elb"}).resource_manager
    [one] = described(manager, [{"LoadBalancerName": name}], "aws")
    assert one.arn == arn
    [key] = arn_keys(["aws.elb"]).values()
    assert theirs(account, "aws.elb", [exclusion(waiver(resource=arn, expires=dt.date.max), key)], [one]) == []


@pytest.mark.parametrize(
    ("partition", "region", "other"),
    [("aws", "eu-west-1", "aws-cn"), ("aws-cn", "cn-north-1", "aws"), ("aws-us-gov", "us-gov-west-1", "aws-cn")],
)
@pytest.mark.parametrize(
    ("resource", "ids", "arn"),
    [
        ("aws.s3", {"Name": "logs"}, "arn:{}:s3:::logs"),
        ("aws.waf", {"WebACLId": "w-1"}, "arn:{}:waf::111122223333:webacl/w-1"),
        ("aws.ebs", {"VolumeId": "vol-1"}, "arn:{}:ec2:{region}:111122223333:volume/vol-1"),
        ("aws.account", {"account_id": "111122223333"}, "arn:{}:iam::111122223333:root"),
    ],
)
def test_in_every_partition_a_waiver_means_the_same_to_the_filter_and_to_the_engine(
    partition: str, region: str, other: str, resource: str, ids: dict[str, str], arn: str
) -> None:
    session = aws.session(region, aws.Credentials("x", "x", "x"))
    here = Account(Target(TARGET.account_id, region), partition, session)
    manager = here.load({"name": "p", "resource": resource}).resource_manager
    [one] = described(manager, [ids], partition)
    assert one.arn == arn.format(partition, region=region)
    for named, covered in ((one.arn, True), (f"arn:{partition}:*", True), (arn.format(other, region=region), False)):
        one_of = waiver(policy="p", resource=named, expires=dt.date.max)
        assert bool(find_waiver("p", one.arn, [one_of], TODAY)) is covered
        kept = theirs(here, resource, [exclusion(one_of, key_of(type(manager)))], [one])
        assert kept == ([] if covered else [one.id])


@pytest.mark.parametrize(
    ("resource", "told", "arn"),
    [
        ("aws.lambda", {"FunctionName": "f", "FunctionArn": "arn:aws:lambda:x:1:function:f"},
         "arn:aws:lambda:x:1:function:f"),  # AWS tells it
        ("aws.elb", {"LoadBalancerName": "arn:aws:x:y:1:z"}, "arn:aws:x:y:1:z"),  # a name that is taken for one
        ("aws.elb", {"LoadBalancerName": "arnold"}, "arnold"),
        ("aws.elb", {}, ""),
    ],
)  # fmt: skip
def test_an_arn_that_c7n_did_not_make_stays_as_it_is(resource: str, told: dict[str, str], arn: str) -> None:
    session = aws.session("cn-north-1", aws.Credentials("x", "x", "x"))
    here = Account(Target(TARGET.account_id, "cn-north-1"), "aws-cn", session)
    manager = here.load({"name": "p", "resource": resource}).resource_manager
    assert module._arn(manager, told, "aws-cn") == arn


def test_a_type_whose_arns_c7n_makes_in_its_own_way_has_no_key() -> None:
    assert arn_keys(["aws.rest-stage", "aws.ec2", "aws.no-such-type"]).keys() == {"aws.ec2"}
    assert exclusion(waiver(), None) is None
    assert exclusion(waiver(resource="", tag_key="a", tag_value="b"), None) is not None


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets c7n's clock."""
    from c7n.filters import core

    class Clock(dt.datetime):
        moment = ""

        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> dt.datetime:
            return dt.datetime.fromisoformat(cls.moment).astimezone(tz)

    monkeypatch.setattr(core, "datetime", SimpleNamespace(datetime=Clock))

    def move(moment: str) -> None:
        Clock.moment = moment

    return move


@pytest.mark.parametrize(
    ("moment", "waived"),
    [
        ("2026-09-30T23:59:59.999999+00:00", False),
        ("2026-10-01T00:00:00+00:00", True),
        ("2027-09-30T23:59:59.999999+00:00", True),
        ("2027-10-01T00:00:00+00:00", False),
        ("2027-09-30T20:00:00-05:00", False),  # the next day in UTC
        ("2027-10-01T10:00:00+14:00", True),  # still the last day in UTC
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Pacific/Kiritimati"])
def test_the_days_are_those_of_utc_wherever_it_runs(
    account: Account, at: Any, monkeypatch: pytest.MonkeyPatch, moment: str, zone: str, waived: bool
) -> None:
    import time

    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        at(moment)
        one = waiver(resource="arn:*", starts=dt.date(2026, 10, 1), expires=dt.date(2027, 9, 30))
        members = [Described("i-1", "i-1", "arn:x", {}, {"InstanceId": "i-1"})]
        filters = [exclusion(one, ArnKey("'arn:x'"))]
        assert theirs(account, "aws.ec2", filters, members) == ([] if waived else ["i-1"])
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_policy_judges_without_the_filters_of_its_waivers() -> None:
    project = load(Catalog(ROOT), "acme", "hipaa")
    policies = {each.name: each for each in project.compiled.policies()}
    assert (policies["rds-idle"].waiver_length, policies["ec2-idle"].waiver_length) == (2, 0)
    rds = policies["rds-idle"]
    assert rds.document["metadata"]["waivers"] == 2
    assert rds.judged["filters"] == rds.document["filters"][:-2]
    assert "not" in rds.document["filters"][-1]
    assert "not" not in rds.judged["filters"][-1]
    assert load_policies([rds.document]) == (rds,)
    [again] = load_policies([rds.judged])
    assert (again.waiver_length, again.judged) == (0, rds.judged)
