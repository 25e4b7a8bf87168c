"""JSON that any value can be written to, always as the same bytes."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import re
from decimal import Decimal
from enum import IntEnum
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finops_policy.evidence.canonical import clean, encode, plain
from finops_policy.model import Verdict

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON)
def test_json_comes_back_as_it_was(value: Any) -> None:
    assert json.loads(encode(value)) == value
    assert encode(json.loads(encode(value))) == encode(value)


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.binary()
    | st.decimals()
    | st.datetimes(timezones=st.none() | st.timezones())
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.complex_numbers(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=20,
)


@given(ANYTHING)
def test_nothing_makes_it_fail(value: Any) -> None:
    text = encode(value)
    text.encode()
    assert encode(json.loads(text)) == text


class Level(IntEnum):
    HIGH = 3


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (dt.datetime(2026, 11, 24, 9, 0, 0, 5, dt.timezone(dt.timedelta(hours=1))), "2026-11-24T08:00:00.000005Z"),
        (dt.datetime(2026, 11, 24, 9), "2026-11-24T09:00:00"),  # noqa: DTZ001
        (dt.datetime.min.replace(tzinfo=dt.timezone(dt.timedelta(hours=9))), "0001-01-01T00:00:00+09:00"),
        (dt.date(2026, 11, 24), "2026-11-24"),
        (dt.timedelta(hours=25), "1 day, 1:00:00"),
        (Decimal("1.10"), "1.10"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (2**64, 2**64),
        (-(10**5000), hex(-(10**5000))),
        (b"\x00\xff", "AP8="),
        (ipaddress.ip_network("10.0.0.0/8"), "10.0.0.0/8"),
        (Verdict.WAIVED, "waived"),
        (Level.HIGH, 3),
        ((1, 2), [1, 2]),
        ({"b", "a"}, ["a", "b"]),
        ({1: "one", None: "none", ("a",): "tuple"}, {"1": "one", "null": "none", '["a"]': "tuple"}),
        (MappingProxyType({"a": 1}), {"a": 1}),
        (re.compile("a"), "<re.Pattern>"),
        ("\ud800 and \U0001f600", "\\ud800 and \U0001f600"),
        ({"\udcff": 1}, {"\\udcff": 1}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_json_cannot_say_becomes_text(value: object, expected: object) -> None:
    assert plain(value) == expected
    assert json.loads(encode(value)) == expected


def test_what_contains_itself() -> None:
    value: dict[str, Any] = {"a": 1}
    value["self"] = [value]
    assert plain(value) == {"a": 1, "self": ["<contains itself>"]}


def test_the_same_value_twice_is_no_cycle() -> None:
    shared = [1]
    assert plain([shared, shared]) == [[1], [1]]


def test_depth_ends() -> None:
    value: list[Any] = []
    for _ in range(5000):
        value = [value]
    assert "<more than 100 levels deep>" in encode(value)


def test_the_order_of_keys_does_not_show() -> None:
    assert encode({"b": 1, "a": 2}) == encode({"a": 2, "b": 1}) == '{"a":2,"b":1}'
    assert encode({"b": 1, "a": []}, indent=2) == '{\n  "a": [],\n  "b": 1\n}'


def test_clean_changes_surrogates_only() -> None:
    text = "\x00\x1b[31m<b>\u202e{{7*7}}\u2028é😀"
    assert clean(text) == text
    assert clean("a\udfffb") == "a\\udfffb"
