"""What is called constant is so for Cloud Custodian's own filters, on whatever resources."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finops_policy.custodian.library import load_types
from finops_policy.custodian.loading import expand
from finops_policy.lint import logic, wording
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


NEVER: dict[str, Any] = {"or": []}
ALWAYS: dict[str, Any] = {"and": []}
CLASH = [{"tag:Env": "a"}, {"tag:Env": "b"}]
CLASHING_NOTS = [{"not": [each]} for each in CLASH]


@pytest.mark.parametrize(
    ("filters", "places"),
    [
        ([NEVER, *CLASH], [("filters", 0)]),
        ([{"or": [ALWAYS, *CLASHING_NOTS]}], [("filters", 0, "or", 0)]),
        ([{"not": [NEVER, *CLASH]}], [("filters", 0, "not", 0)]),
        # What follows from something told already decides nothing for what stands around it.
        ([{"not": [NEVER]}, *CLASH], [("filters", 0, "not", 0), ("filters",)]),
        ([{"not": [ALWAYS]}, *CLASH], [("filters", 0, "not", 0)]),
        ([ALWAYS, *CLASH], [("filters", 0), ("filters",)]),
        ([{"or": [NEVER, *CLASHING_NOTS]}], [("filters", 0, "or", 0), ("filters", 0)]),
        ([{"or": [{"and": CLASH}, {"tag:Env": "c"}]}, {"tag:Env": "d"}], [("filters", 0, "or", 0), ("filters",)]),
        ([{"and": CLASH}], [("filters", 0)]),
    ],
)
def test_each_is_told_once_where_it_stands(filters: list[Any], places: list[tuple[Any, ...]]) -> None:
    assert [each.node.steps for each in constants(filters)] == places


def test_large_lists_are_left_alone() -> None:
    many = [{"tag:Env": f"value {number}"} for number in range(90)]
    assert constants(many)
    assert constants([*many, *many]) == []
    other = [{"tag:Owner": "x"}]
    assert constants([*CLASH, *other * 998])
    assert constants([*CLASH, *other * 999]) == []


def test_deep_groups_are_searched() -> None:
    inner: list[Any] = CLASH
    for _ in range(40):
        inner = [{"and": [*inner, {"tag:Owner": "x"}]}]
    [found] = constants(inner)
    assert not found.value


@pytest.mark.parametrize(
    ("filters", "sentence", "hint"),
    [
        (
            [{"or": CLASHING_NOTS}],
            "not `tag:Env: a` or not `tag:Env: b` is true of everything, so this `or` leaves nothing out",
            "To leave each of them out, put the `or` inside of one `not`, or use `op: not-in` with a list.",
        ),
        (
            [{"not": CLASH}],
            "`tag:Env: a` and `tag:Env: b` are never both true, so this `not` matches everything",
            '`not` means "not all of": to leave each of them out, put an `or` inside, or use `op: not-in`.',
        ),
        (
            [CLASH[0], {"tag:Env": "present"}, CLASH[1], {"tag:Env": "c"}],
            "`tag:Env: a` and `tag:Env: b` are never both true, so the policy matches nothing",
            "If any of them will do, put them into an `or`, or use `op: in` with a list.",
        ),
        (
            [{"and": [{"tag:Env": "present"}, {"not": [{"tag:Env": "present"}]}]}],
            "`tag:Env: present` and not `tag:Env: present` are never both true, so this `and` matches nothing",
            "Remove one of them, or mend its value.",
        ),
        (
            [{"or": [{"type": "value", "key": "A", "op": "ne", "value": each} for each in "xy"]}],
            "`A ne x` or `A ne y` is true of everything, so this `or` leaves nothing out",
            "To leave each of them out, use `op: not-in` with a list, or take the `or` away.",
        ),
        ([NEVER], "an empty `or` matches nothing", "Put filters into it, or remove it."),
        ([{"tag:A": True}], "`tag:A: true` matches nothing", 'Tags are text: write `"true"` in quotes.'),
        ([{"tag:A": ["x"]}], '`tag:A: ["x"]` matches nothing', "Use `op: in` for a list."),
        (
            [{"type": "value", "key": "tag:A", "op": "gt", "value": 5}],
            "`tag:A gt 5` matches nothing",
            "Tags are text: add `value_type: integer` to compare numbers.",
        ),
        (
            [{"type": "value", "key": "A", "op": "ne", "value": "absent"}],
            "`A ne absent` matches everything",
            "Write `value: present` without `op`.",
        ),
        (
            [{"type": "value", "key": "A", "op": "in", "value": "absent"}],
            None,  # a text in which texts are looked for
            "",
        ),
        (
            [{"type": "value", "key": "tag:A", "value_type": "normalize", "value": "Prod "}],
            "`tag:A (normalize): Prod ` matches nothing",
            "`value_type: normalize` makes letters small and takes the space around away: write `prod`.",
        ),
        (
            [{"type": "value", "key": "tag:A", "value_type": "integer", "value": "absent"}],
            "`tag:A (integer): absent` matches nothing",
            "`value_type: integer` makes a missing key 0: leave it away to ask for `absent`.",
        ),
        (
            [{"type": "list-item", "key": "Rules", "attrs": [{"Port": "1"}, {"Port": "2"}]}],
            "`Port: 1` and `Port: 2` are never both true, so no item matches",
            "If any of them will do, put them into an `or`, or use `op: in` with a list.",
        ),
    ],
)
def test_what_is_said(filters: list[Any], sentence: str | None, hint: str) -> None:
    said = [(wording.sentence(each), wording.hint(each)) for each in constants(filters)]
    assert said == ([(sentence, hint)] if sentence else [])


def test_many_parts_are_not_all_named() -> None:
    less = [{"type": "value", "key": "A", "op": "ne", "value": each} for each in (1, 2, 3, 4, 5)]
    some = {"type": "value", "key": "A", "op": "in", "value": [1, 2, 3, 4, 5]}
    [found] = constants([*less, some])
    assert wording.sentence(found) == (
        "`A ne 1`, `A ne 2`, `A ne 3` and 3 more are never all true, so the policy matches nothing"
    )
