"""The linter's own account of value filters, against Cloud Custodian's filter itself."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from finops_policy.lint import values
from finops_policy.lint.values import WORDS, answer, worlds

OPERATORS = [
    *("eq", "equal", "ne", "not-equal", "gt", "greater-than", "ge", "gte", "le", "lte", "lt", "less-than", "glob"),
    *("regex", "regex-case", "in", "ni", "not-in", "contains", "difference", "intersect", "mod"),
]
KINDS = ["normalize", "integer", "float", "size", "unique_size", "age", "expiration"]
TEXTS = ["", "a", "A", "b", " a", "aa", "a\0", "prod", "Prod", "dev", "5", "5.5", "true"]
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from([-1.5, 0.5, 2.5, 1e9]), st.sampled_from(TEXTS)
)
DATES = st.integers(-60, 60).map(lambda days: (dt.datetime.now(dt.UTC) - dt.timedelta(days=days, hours=1)).isoformat())
DATE = st.just(dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
FOUND = st.one_of(SCALARS, DATES, st.lists(SCALARS, max_size=3), st.just({"a": 1}), DATE)
WANTED = st.one_of(SCALARS, st.sampled_from(WORDS), st.lists(SCALARS, max_size=3), st.integers(-50, 50))


def value(op: str, wanted: Any, kind: str = "") -> dict[str, Any]:
    data = {"type": "value", "key": "Key", "value": wanted}
    return data | ({"op": op} if op else {}) | ({"value_type": kind} if kind else {})


@st.composite
def filters(draw: st.DrawFn, key: str = "Key") -> dict[str, Any]:
    data = {"type": "value", "key": key, "value": draw(WANTED)}
    if draw(st.booleans()):
        data["op"] = draw(st.sampled_from(OPERATORS))
    if draw(st.integers(0, 2)) == 0:
        data["value_type"] = draw(st.sampled_from(KINDS))
    return data


def truth(data: dict[str, Any], resource: dict[str, Any]) -> bool | None:
    """Cloud Custodian's answer; None where it raises."""
    from c7n.filters.core import ValueFilter

    try:
        return bool(ValueFilter(data).match(resource))
    except (TypeError, ValueError, ZeroDivisionError, AttributeError, OverflowError):
        return None


def covered(members: list[dict[str, Any]], resource: dict[str, Any]) -> bool:
    """Whether some world answers every filter as Cloud Custodian does, or leaves it open."""
    tests = [(test, truth(data, resource)) for data in members if (test := values.test_of(data))]
    tests = [(test, said) for test, said in tests if said is not None]
    known = worlds(test for test, _ in tests)
    return known is None or any(all(answer(test, world) in (None, said) for test, said in tests) for world in known)


@settings(max_examples=1500, deadline=None)
@given(st.lists(filters(), min_size=1, max_size=4), st.one_of(st.just({}), FOUND.map(lambda found: {"Key": found})))
@example([{"type": "value", "key": "Key", "op": "gt", "value": "absent"}], {"Key": "b"})
@example([value("lt", -1, "integer")], {"Key": -2})
@example([value("gt", 3, "integer")], {"Key": 4})
@example([value("ne", 5, "age"), value("gt", 5, "age"), value("lt", 5, "age"), value("", "present")], {"Key": "a"})
@example([value("", "empty"), value("ne", ""), value("ne", 0)], {"Key": []})
@example([value("", "not-null"), *(value(op, each) for op in ("lt", "ge") for each in (5, "a"))], {"Key": {"a": 1}})
@example([{"type": "value", "key": "Key", "value": True}, {"type": "value", "key": "Key", "value": 1}], {"Key": True})
def test_every_value_has_a_world(members: list[dict[str, Any]], resource: dict[str, Any]) -> None:
    assert covered(members, resource)


@settings(max_examples=1000, deadline=None)
@given(st.lists(filters(key="tag:Env"), min_size=1, max_size=4), st.one_of(st.none(), st.sampled_from(TEXTS), DATES))
def test_every_tag_has_a_world(members: list[dict[str, Any]], value: str | None) -> None:
    assert covered(members, {"Tags": [{"Key": "Env", "Value": value}] if value is not None else []})


@pytest.mark.parametrize("kind", ["", *KINDS])
@pytest.mark.parametrize("op", ["", *OPERATORS])
def test_a_missing_key_is_answered_as_by_custodian(op: str, kind: str) -> None:
    for wanted in (5, "a", "absent", "present", "empty", "not-null", [], ["a", 5], True, 0, None):
        data = value(op, wanted, kind)
        test, said = values.test_of(data), truth(data, {})
        if test is None or said is None:
            continue
        known = worlds([test])
        assert known
        assert answer(test, known[0]) in (said, None), wanted
        if op in ("", "eq", "ne", "lt", "gt", "in", "not-in", "ni"):
            assert answer(test, known[0]) is said, wanted


@pytest.mark.parametrize(
    "data",
    [
        {"type": "value", "key": "Key", "value": 5, "value_type": "expr"},
        {"type": "value", "key": "Key", "value": 5, "value_type": "resource_count", "op": "gt"},
        {"type": "value", "key": "Key", "value": "10.0.0.0/8", "value_type": "cidr"},
        {"type": "value", "key": "Key", "value_from": {"url": "s3://bucket/list.json"}},
        {"type": "value", "key": "Key", "value_path": "Other"},
        {"type": "value", "key": "Key", "op": "like", "value": 5},
        {"type": "value", "key": "Key", "op": ["eq"], "value": 5},
        {"type": "value", "key": "Key", "value_type": ["age"], "value": 5},
        {"type": "value", "key": "Key", "value_type": "age", "op": "gt", "value": "5"},
        {"type": "value", "key": 5, "value": 5},
        {"type": "value", "key": "c7n:LaunchPermissions", "value": "absent"},
        {"type": "value", "key": "Key"},
        {"type": "value"},
        {"type": "event", "key": "Key", "value": 5},
    ],
)
def test_what_depends_on_more_than_the_value_is_left_open(data: dict[str, Any]) -> None:
    assert values.test_of(data) is None


def test_too_many_constants_are_left_open() -> None:
    test = values.test_of({"type": "value", "key": "Key", "op": "in", "value": list(range(200))})
    assert test
    assert worlds([test]) is None
