"""Which waiver covers a finding: the last day, the pattern, the policy."""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finops_policy.catalog import Catalog
from finops_policy.compiler import load_policies
from finops_policy.model import Severity
from finops_policy.project import load
from finops_policy.waivers import (
    Rules,
    age,
    contains,
    covers_as_recorded,
    find_waiver,
    in_force,
    lapsed_waiver,
    sort_out,
)
from tests.unit.builders import POLICY, WAIVERS, waiver, waiver_text, write_workspace

ARN = "arn:aws:ec2:us-east-1:111122223333:instance/i-1"
TODAY = dt.date(2026, 11, 24)
DAY = dt.timedelta(days=1)


def covers(pattern: str, arn: str) -> bool:
    return find_waiver("ec2-idle", arn, [waiver(resource=pattern)], TODAY) is not None


@pytest.mark.parametrize(
    ("moment", "applies"),
    [
        ("2026-12-30T00:00:00+00:00", True),
        ("2026-12-31T00:00:00+00:00", True),
        ("2026-12-31T23:59:59.999999+00:00", True),
        ("2027-01-01T00:00:00+00:00", False),
        ("2027-01-01T13:59:59+14:00", True),  # still the last day in UTC
        ("2026-12-31T12:00:00-12:00", False),  # the next day in UTC
        ("2036-12-31T00:00:00+00:00", False),
    ],
)
def test_a_waiver_applies_through_its_last_day_in_utc(moment: str, applies: bool) -> None:
    day = dt.datetime.fromisoformat(moment).astimezone(dt.UTC).date()
    last = waiver(expires=dt.date(2026, 12, 31))
    assert in_force(last, day) is applies
    assert (find_waiver("ec2-idle", ARN, [last], day) is last) is applies


@pytest.mark.parametrize(
    ("pattern", "arn", "covered"),
    [
        (ARN, ARN, True),
        (ARN, ARN + "2", False),
        (ARN + "2", ARN, False),
        ("arn:aws:ec2:*:111122223333:instance/*", ARN, True),
        ("arn:aws:ec2:*:444455556666:instance/*", ARN, False),
        ("arn:*", ARN, True),
        ("arn:aws:ec2:us-east-1:111122223333:instance/i-?", ARN, True),
        ("arn:aws:ec2:us-east-1:111122223333:instance/i-??", ARN, False),
        (ARN.upper(), ARN, False),
        ("arn:aws:s3:::a[b]c", "arn:aws:s3:::a[b]c", True),
        ("arn:aws:s3:::a[b]c", "arn:aws:s3:::abc", False),
        ("arn:aws:s3:::a[!b]c", "arn:aws:s3:::a[!b]c", True),
        ("arn:aws:s3:::a[!b]c", "arn:aws:s3:::axc", False),
        ("arn:aws:s3:::[[]*]", "arn:aws:s3:::[[]x]", True),
        ("arn:aws:s3:::[a-z]", "arn:aws:s3:::b", False),
        ("arn:aws:s3:::a.b", "arn:aws:s3:::axb", False),
        ("arn:aws:s3:::a+(b)|c$", "arn:aws:s3:::a+(b)|c$", True),
        ("arn:aws:s3:::*\\d", "arn:aws:s3:::x1", False),
        ("arn:aws:s3:::a", "arn:aws:s3:::a\n", False),
        ("arn:aws:s3:::*", "arn:aws:s3:::a\nb", True),
    ],
)
def test_only_stars_and_question_marks_are_wild(pattern: str, arn: str, covered: bool) -> None:
    assert covers(pattern, arn) is covered


@settings(deadline=None)
@given(st.text(min_size=1), st.text(alphabet="[]!-^*?\\.ab", max_size=12))
def test_a_pattern_without_wildcards_covers_itself_alone(one: str, other: str) -> None:
    literal = one.replace("*", "x").replace("?", "x") + other.replace("*", "[").replace("?", "]")
    assert covers(literal, literal)
    assert not covers(literal, literal + "a")
    assert not covers(literal, "a" + literal)


def test_a_pattern_of_many_stars_is_matched_in_no_time() -> None:
    begun = time.process_time()
    assert not covers("arn:" + "*a" * 40, "arn:" + "a" * 5000 + "b")
    assert time.process_time() - begun < 1


def test_a_resource_without_an_arn_cannot_be_waived() -> None:
    assert find_waiver("ec2-idle", "", [waiver(resource="*"), waiver(resource="")], TODAY) is None


@pytest.mark.parametrize("policy", ["ec2-idl", "ec2-idle-2", "EC2-IDLE", "*", ""])
def test_a_waiver_is_for_its_own_policy_alone(policy: str) -> None:
    assert find_waiver(policy, ARN, [waiver(policy="ec2-idle")], TODAY) is None
    assert find_waiver("ec2-idle", ARN, [waiver(policy=policy)], TODAY) is None


def test_the_first_waiver_in_force_is_the_one() -> None:
    waivers = [
        waiver(id="W-1", expires=dt.date(2026, 11, 23)),
        waiver(id="W-2", policy="rds-idle"),
        waiver(id="W-3", resource="arn:aws:s3:::*"),
        waiver(id="W-4"),
        waiver(id="W-5"),
    ]
    found = find_waiver("ec2-idle", ARN, iter(waivers), TODAY)
    assert found is waivers[3]
    assert find_waiver("ec2-idle", ARN, [], TODAY) is None


# --- selectors --------------------------------------------------------------------------------------------------------

TAGGED = {"Team": "web", "Odd": "[x]{y}*"}


@pytest.mark.parametrize(
    ("changes", "covered"),
    [
        ({"tag_key": "Team", "tag_value": "web"}, True),
        ({"tag_key": "Team", "tag_value": "w?b"}, True),
        ({"tag_key": "Team", "tag_value": "*"}, True),
        ({"tag_key": "Team", "tag_value": ""}, False),
        ({"tag_key": "Team", "tag_value": "Web"}, False),
        ({"tag_key": "team", "tag_value": "*"}, False),
        ({"tag_key": "Missing", "tag_value": "*"}, False),
        ({"tag_key": "Odd", "tag_value": "[x]{y}*"}, True),
        ({"tag_key": "Odd", "tag_value": "[xy]*"}, False),
        ({"tag_key": "Team", "tag_value": "web", "resource": ""}, True),
        ({"tag_key": "Team", "tag_value": "web", "resource": "arn:aws:s3:::x"}, False),
        ({"account": "111122223333"}, True),
        ({"account": "444455556666"}, False),
        ({"region": "us-east-1"}, True),
        ({"region": "eu-west-1"}, False),
        ({"account": "111122223333", "region": "eu-west-1"}, False),
    ],
)
def test_all_selectors_must_hold(changes: dict[str, str], covered: bool) -> None:
    some = [waiver(**changes)]
    found = find_waiver("ec2-idle", ARN, some, TODAY, tags=TAGGED, account="111122223333", region="us-east-1")
    assert (found is some[0]) is covered


def test_where_the_place_is_not_known_a_waiver_of_a_place_covers_nothing() -> None:
    assert find_waiver("ec2-idle", ARN, [waiver(account="111122223333")], TODAY) is None
    assert find_waiver("ec2-idle", ARN, [waiver(tag_key="Team", tag_value="*")], TODAY) is None


@pytest.mark.parametrize(("value", "said"), [("[gone]", None), ("web", True), ("ops", False)])
def test_a_tag_that_is_withheld_leaves_it_open(value: str, said: bool | None) -> None:
    one = waiver(tag_key="Team", tag_value="web")
    assert covers_as_recorded(one, "ec2-idle", ARN, {"Team": value}, "", "", "[gone]") is said
    assert covers_as_recorded(one, "rds-idle", ARN, {"Team": value}, "", "", "[gone]") is False


@pytest.mark.parametrize(
    ("one", "other", "contained"),
    [
        ({"resource": "arn:*"}, {}, True),
        ({}, {"resource": "arn:*"}, False),
        ({"resource": ARN[:-1] + "?"}, {}, True),
        ({"resource": ARN[:-1] + "?"}, {"resource": ARN[:-1] + "*"}, False),
        ({"resource": ARN[:-1] + "*"}, {"resource": ARN[:-1] + "?"}, True),
        ({"resource": "arn:*:instance/*"}, {"resource": "arn:aws:ec2:*:instance/i-*"}, True),
        ({"account": "111122223333"}, {}, False),
        ({}, {"account": "111122223333"}, True),
        ({"region": "us-east-1"}, {"region": "us-east-1"}, True),
        ({"tag_key": "T", "tag_value": "*"}, {"tag_key": "T", "tag_value": "a"}, True),
        ({"tag_key": "T", "tag_value": "*"}, {}, False),
        ({"tag_key": "T", "tag_value": "a"}, {"tag_key": "U", "tag_value": "a"}, False),
        ({"policy": "rds-idle"}, {}, False),
        ({"resource": ""}, {"resource": "", "tag_key": "T", "tag_value": "a"}, True),
    ],
)
def test_one_contains_another(one: dict[str, str], other: dict[str, str], contained: bool) -> None:
    assert contains(waiver(**one), waiver(**other)) is contained


# --- which apply ------------------------------------------------------------------------------------------------------

RULES = Rules(
    {"ec2-idle": Severity.HIGH, "rds-idle": Severity.LOW},
    {Severity.HIGH: 90},
    {"ingrid@example.com", "samuel@example.com"},
)


def sorted_out(**changes: Any) -> tuple[str, str]:
    """Where a waiver ends up, and the rule of its problem."""
    said = {"approved_by": "Ingrid@example.com ", "created": TODAY - DAY, "starts": TODAY - DAY, "expires": TODAY + DAY}
    found = sort_out([waiver(**{**said, **changes})], RULES, TODAY)
    [where] = [name for name in ("applying", "coming", "broken") if getattr(found, name)]
    assert len(found.compiled) == (where != "broken")
    return where, found.problems[0].rule if found.problems else ""


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({}, ("applying", "")),
        ({"expires": TODAY - DAY}, ("applying", "")),  # expired, and well formed
        ({"created": TODAY, "starts": TODAY}, ("applying", "")),
        ({"created": TODAY + DAY, "starts": TODAY + DAY}, ("coming", "waiver-created")),
        ({"created": TODAY, "expires": TODAY - DAY}, ("broken", "waiver-created")),
        ({"expires": TODAY + 89 * DAY}, ("applying", "")),
        ({"expires": TODAY + 90 * DAY}, ("broken", "waiver-too-long")),
        ({"expires": TODAY + 90 * DAY, "policy": "rds-idle"}, ("applying", "")),
        ({"expires": TODAY + 365 * DAY, "policy": "rds-idle"}, ("broken", "waiver-too-long")),
        ({"created": None, "expires": TODAY + 90 * DAY}, ("applying", "")),
        ({"created": None, "expires": TODAY + 91 * DAY}, ("coming", "waiver-too-long")),
        ({"created": None, "expires": TODAY + 365 * DAY, "policy": "rds-idle"}, ("applying", "")),
        ({"created": None, "expires": dt.date.max}, ("coming", "waiver-too-long")),
        ({"approved_by": "mallory@example.com"}, ("broken", "waiver-approver")),
        ({"policy": "ec2-idl"}, ("broken", "unknown-policy")),
    ],
)
def test_what_breaks_a_rule_does_not_apply(changes: dict[str, Any], where: tuple[str, str]) -> None:
    assert sorted_out(**changes) == where


def test_without_created_it_applies_in_its_last_days_alone() -> None:
    end = dt.date(2027, 12, 31)
    for today, applies in ((end - 91 * DAY, False), (end - 90 * DAY, True), (end, True), (end + DAY, False)):
        found = sort_out([waiver(created=None, approved_by="ingrid@example.com", expires=end)], RULES, today)
        [one] = found.compiled  # the same every day: what is compiled needs no clock
        assert one.starts == end - 90 * DAY
        assert in_force(one, today) is applies


def test_a_customer_that_registers_nobody_is_believed() -> None:
    rules = replace(RULES, approvers=None)
    assert sort_out([waiver(approved_by="anybody", created=TODAY)], rules, TODAY).problems == ()


def test_a_waiver_that_lapsed_is_remembered() -> None:
    expired, broken, other = waiver(id="W-1", expires=TODAY - DAY), waiver(id="W-2"), waiver(id="W-3", resource="arn:x")
    of = ("ec2-idle", ARN, {}, "111122223333", "us-east-1")
    assert lapsed_waiver(*of, [other, expired], [broken], TODAY) is expired
    assert lapsed_waiver(*of, [other], [broken], TODAY) is broken
    assert lapsed_waiver(*of, [other], [], TODAY) is None
    assert lapsed_waiver(*of, [expired, waiver()], [broken], TODAY) is None  # another one applies
    coming = waiver(starts=TODAY + DAY)
    assert lapsed_waiver(*of, [], [coming], TODAY) is coming


@pytest.mark.parametrize(("created", "days"), [(TODAY, 0), (TODAY - 400 * DAY, 400), (None, None)])
def test_age_is_in_days_and_not_known_where_nobody_says(created: dt.date | None, days: int | None) -> None:
    assert age(waiver(created=created), TODAY) == days


# --- as a project has them --------------------------------------------------------------------------------------------


def test_what_does_not_apply_is_neither_honoured_nor_compiled_and_is_remembered(tmp_path: Path) -> None:
    entries = [
        waiver_text("W-1", created="2026-11-01"),
        waiver_text("W-2", created="2026-11-30"),  # to come
        waiver_text("W-3", created="2025-01-01"),  # too long
        waiver_text("W-4", expires="some day"),
        waiver_text("W-5", approved_by="dana@example.com"),
        waiver_text("W-6", expires="2026-01-31"),  # over, and well formed
        "  - {id: W-7, policy: own-policy}\n",
    ]
    found = load(Catalog(write_workspace(tmp_path, waivers=WAIVERS + "".join(entries))), "own-customer", None, TODAY)
    assert [each.id for each in found.waivers] == ["W-1", "W-6"]
    assert sorted(each.id for each in found.lapsed) == ["W-2", "W-3", "W-4", "W-5"]  # nobody knows what W-7 is for
    assert len(found.malformed) >= 5
    [policy] = found.compiled.policies()
    assert policy.waiver_length == 3  # W-1, W-2 from its day on, and W-6 in vain
    text = str(policy.document["filters"][-policy.waiver_length :])
    assert all(day in text for day in ("2026-11-01", "2026-11-30", "2026-02-01"))
    assert "2025-01-01" not in text
    bare = load(Catalog(write_workspace(tmp_path, waivers=WAIVERS + "  []\n")), "own-customer", None, TODAY)
    assert bare.compiled.lock == found.compiled.lock
    [without] = bare.compiled.policies()
    assert (without.document, without.judged) == (policy.judged, policy.judged)


def test_what_is_compiled_is_the_same_every_day(tmp_path: Path) -> None:
    entries = [waiver_text("W-1", created="2026-11-30"), waiver_text("W-2", expires="2027-12-31")]
    catalog = Catalog(write_workspace(tmp_path, waivers=WAIVERS + "".join(entries)))
    days = [TODAY, TODAY + 30 * DAY, TODAY + 90 * DAY, TODAY + 900 * DAY]
    assert len({load(catalog, "own-customer", None, day).compiled.files()["policies.yaml"] for day in days}) == 1
    assert [len(load(catalog, "own-customer", None, day).waivers) for day in days] == [0, 1, 2, 2]


def test_a_type_whose_arn_no_filter_can_tell_is_told(tmp_path: Path) -> None:
    text = POLICY.format(name="own-policy").replace("aws.ec2", "aws.rest-stage")
    catalog = Catalog(write_workspace(tmp_path, policy=text, waivers=WAIVERS + waiver_text(created="2026-11-01")))
    found = load(catalog, "own-customer", None, TODAY)
    assert [each.rule for each in found.compiled.uncompiled] == ["waiver-not-compiled"]
    assert len(found.waivers) == 1
    assert found.compiled.policies()[0].waiver_length == 0


def test_a_plain_policys_own_key_says_nothing_of_waivers() -> None:
    filters = [{"a": 1}, {"b": 2}]
    metadata = {
        **dict.fromkeys(("pack", "pack_version", "title", "rationale"), "x"),
        "severity": "low",
        "scope_length": 0,
        "waivers": 1,
    }
    document = {"name": "p", "resource": "aws.ec2", "filters": filters, "metadata": {**metadata, "finops-policy": {}}}
    assert load_policies([document])[0].judged["filters"] == filters
    assert load_policies([{**document, "metadata": metadata}])[0].judged["filters"] == filters[:1]
