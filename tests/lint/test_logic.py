"""What is called constant is so for Cloud Custodian's own filters, on whatever resources."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finops_policy.custodian.library import load_types
from finops_policy.custodian.loading import expand
from finops_policy.lint import logic
from finops_policy.lint.logic import Constant, Group, Leaf

OPERATORS = ["eq", "ne", "gt", "le", "lt", "ge", "in", "not-in", "ni", "glob", "contains"]
KEYS = ["tag:Env", "tag:Env", "Size"]
VALUES = st.one_of(
    st.sampled_from(["absent", "present", "empty", "not-null", "a", "b", "ab", "*"]),
    st.integers(0, 2),
    st.booleans(),
    st.lists(st.sampled_from(["a", "b", 1]), max_size=2),
)
LEAVES = st.one_of(
    st.builds(lambda key, value: {key: value}, st.sampled_from(KEYS), VALUES),
    st.builds(
        lambda key, op, value: {"type": "value", "key": key, "op": op, "value": value},
        st.sampled_from(KEYS),
        st.sampled_from(OPERATORS),
        VALUES,
    ),
    st.just({"type": "value", "key": "tag:Env", "value_type": "size", "op": "lt", "value": 1}),
    st.just({"type": "value", "key": "Size", "value_type": "integer", "op": "ge", "value": 1}),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.builds(
        lambda kind, members: {kind: members}, st.sampled_from(["and", "or", "not"]), st.lists(inner, max_size=3)
    ),
    max_leaves=6,
)
DECIDED = st.one_of(
    st.builds(lambda value: {"tag:Env": value}, VALUES),
    st.builds(
        lambda op, value: {"type": "value", "key": "tag:Env", "op": op, "value": value},
        st.sampled_from(OPERATORS[:6]),
        VALUES,
    ),
    st.builds(
        lambda op, value: {"type": "value", "key": "tag:Env", "op": op, "value": value},
        st.sampled_from(["in", "not-in", "ni"]),
        st.lists(st.sampled_from(["a", "b", 1]), max_size=2),
    ),
).flatmap(lambda leaf: st.sampled_from([leaf, {"not": [leaf]}]))
"""Filters on one key that are worked out in full."""
RESOURCES = [
    {"InstanceId": f"i-{number}", "number": number}
    | ({"Tags": [{"Key": "Env", "Value": tag}]} if tag is not None else {})
    | ({"Size": size} if size is not None else {})
    for number, (tag, size) in enumerate(
        (tag, size)
        for tag in (None, "", "!", "*", "1", "a", "aa", "ab", "abb", "ac", "b", "c", "f", "o", "true")
        for size in (None, 0, 1, 2, 1.5, 3, -1, "", "a", "b", "zz", "1", True, ["a"], [], {"a": 1}, {})
    )
]


def matched(filters: list[Any]) -> set[int]:
    """Which resources Cloud Custodian's own filters keep."""
    from c7n.config import Config

    document = {"name": "tried", "resource": "aws.ec2", "filters": filters}
    policy = expand(document, Config.empty(account_id="000000000000", region="us-east-1"), lambda *_, **__: None)
    kept = policy.resource_manager.filter_resources(json.loads(json.dumps(RESOURCES)))
    return {each["number"] for each in kept}


@pytest.fixture(scope="module", autouse=True)
def _types() -> None:
    load_types(["aws.ec2"])


def constants(filters: list[Any]) -> list[Constant]:
    return [found for root in logic.trees({"filters": filters}) for found in logic.constants(root)]


def at(filters: list[Any], node: Leaf | Group) -> list[Any]:
    """The filters that a node stands for."""
    found: Any = {"filters": filters}
    for step in node.steps:
        found = found[step]
    return found if node.steps == ("filters",) else [found]


def everything(value: bool) -> set[int]:
    return {each["number"] for each in RESOURCES} if value else set()


@settings(max_examples=400, deadline=None)
@given(filters=st.lists(TREES, min_size=1, max_size=3))
def test_constant_parts_are_constant(filters: list[Any]) -> None:
    for each in constants(filters):
        assert matched(at(filters, each.node)) == everything(each.value)


@settings(max_examples=300, deadline=None)
@given(members=st.lists(DECIDED, min_size=2, max_size=3))
@pytest.mark.parametrize("kind", ["and", "or", "not"])
def test_no_constant_list_of_one_key_is_missed(kind: str, members: list[Any]) -> None:
    """The resources hold every value that the constants tell apart, so what they all agree on is constant."""
    filters = [{kind: members}]
    if matched(filters) in (everything(True), everything(False)):
        assert constants(filters)


@settings(max_examples=300, deadline=None)
@given(filters=st.lists(TREES, min_size=1, max_size=3))
def test_the_parts_named_are_enough(filters: list[Any]) -> None:
    for found in constants(filters):
        if isinstance(found.node, Group) and found.parts:
            parts = [
                {"not": at(filters, each.node)} if not each.positive else at(filters, each.node)[0]
                for each in found.parts
            ]
            assert matched([{"not" if found.node.kind == "not" else found.node.kind: parts}]) == everything(found.value)


def test_large_groups_are_left_alone() -> None:
    many = [{"tag:Env": f"value {number}"} for number in range(1000)]
    assert constants(many) == []
    assert constants([{"or": many}]) == []
    assert constants(many[:20])


def test_deep_groups_are_searched() -> None:
    def nest(depth: int) -> Iterator[Any]:
        inner: Any = [{"tag:Env": "a"}, {"tag:Env": "b"}]
        for _ in range(depth):
            inner = [{"and": [*inner, {"tag:Owner": "x"}]}]
        yield inner

    [found] = constants(next(nest(40)))
    assert not found.value
