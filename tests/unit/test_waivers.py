"""Which waiver covers a finding: the last day, the pattern, the policy."""

from __future__ import annotations

import datetime as dt
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finops_policy.waivers import find_waiver, in_force
from tests.unit.builders import waiver

ARN = "arn:aws:ec2:us-east-1:111122223333:instance/i-1"
TODAY = dt.date(2026, 11, 24)


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
