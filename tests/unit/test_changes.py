"""What differs between two states: found field by field, and never called tighter or looser than it is."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from finops_policy.changes.compare import compare, comparison
from finops_policy.changes.document import document, render
from finops_policy.changes.filters import Difference, Reach, compare_all
from finops_policy.changes.model import Change, Effect, Kind, PlainPolicy, Section, Side, Snapshot, joined
from finops_policy.changes.packs import compare_packs
from finops_policy.changes.snapshot import snapshot
from finops_policy.changes.versions import Level, given_bump, needed_bump, next_version
from finops_policy.customer import Organization
from finops_policy.marks import Mark
from finops_policy.model import Pack, Posture, Severity, Strength
from finops_policy.revisions import Revision, working_tree
from tests.unit import builders as b

TODAY = dt.date(2026, 11, 24)
MORE, FEWER, SAME, UNCLEAR = Reach.MORE, Reach.FEWER, Reach.SAME, Reach.UNCLEAR
TIGHTENS, LOOSENS, NEUTRAL = Effect.TIGHTENS, Effect.LOOSENS, Effect.NEUTRAL


def plain(value: Any) -> Any:
    return value


def differences(old: Sequence[Any], new: Sequence[Any]) -> list[Difference]:
    return compare_all(old, new, plain)


def reach(old: Any, new: Any) -> Reach:
    """Of two filters, one on each side."""
    [found] = differences([old], [new])
    return found.reach


# --- filters: what is claimed must hold for every resource ------------------------------------------------------------

NUMBERS = st.integers(-3, 3)
VALUES = st.one_of(
    NUMBERS,
    st.sampled_from(["a", "b", "1", "2", "", "absent", "2020-01-01", "2026-06-01T00:00:00Z"]),
    st.lists(st.sampled_from(["a", "b", 1, 2]), max_size=3),
    st.none(),
    st.booleans(),
)
RESOURCES = st.dictionaries(st.sampled_from(["A", "B"]), VALUES, max_size=2)
OPERATORS = (
    "eq", "ne", "gt", "greater-than", "ge", "gte", "lt", "less-than", "le", "lte", "in", "ni", "not-in", "contains",
    "intersect", "difference", "equal",
)  # fmt: skip
TYPES = ("integer", "float", "size", "unique_size", "age", "expiration", "normalize", "swap", "date", "version")
OPS, VALUE_TYPES = st.sampled_from(OPERATORS), st.sampled_from(TYPES)
EXPECTED = st.one_of(
    NUMBERS, st.lists(st.sampled_from(["a", "b", 1, 2]), max_size=3), st.sampled_from(["absent", "present", "empty"])
)


@st.composite
def leaf(draw: st.DrawFn) -> Any:
    key = draw(st.sampled_from(["A", "B"]))
    if draw(st.integers(0, 4)) == 0:
        return {key: draw(VALUES)}
    made: dict[str, Any] = {"type": "value", "key": key, "value": draw(EXPECTED)}
    if draw(st.booleans()):
        made["op"] = draw(OPS)
    if draw(st.integers(0, 2)) == 0:
        made["value_type"] = draw(VALUE_TYPES)
    return made


FILTERS = st.recursive(
    leaf(),
    lambda inner: st.builds(
        lambda group, items: {group: items},
        st.sampled_from(["and", "or", "not"]),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=4,
)


@st.composite
def edited(draw: st.DrawFn, filters: list[Any]) -> list[Any]:
    """The list with an edit or two, of the kind that people make."""
    made: list[Any] = json.loads(json.dumps(filters))
    for _ in range(draw(st.integers(1, 2))):
        place: list[Any] = made
        while place:
            groups = [each for each in place if len(each) == 1 and next(iter(each)) in ("and", "or", "not")]
            if not groups or draw(st.booleans()):
                break
            place = next(iter(draw(st.sampled_from(groups)).values()))
        action = draw(st.sampled_from(["add", "remove", "value", "op", "swap"]))
        if action == "add" or not place:
            place.insert(draw(st.integers(0, len(place))), draw(leaf()))
        elif action == "remove" and (len(place) > 1 or place is made):
            place.pop(draw(st.integers(0, len(place) - 1)))
        elif action == "swap":
            place.reverse()
        else:
            chosen = draw(st.sampled_from(place))
            if chosen.get("type") == "value":
                chosen[action if action in ("value", "op") else "value"] = draw(OPS if action == "op" else EXPECTED)
    return made


def _matches(filters: list[Any], resource: dict[str, Any]) -> bool:
    """By c7n's own filters; one that c7n stumbles over matches nothing."""
    from c7n.filters.core import FilterRegistry

    found = [json.loads(json.dumps(resource))]
    for each in FilterRegistry("test").parse(json.loads(json.dumps(filters)), None):
        found = each.process(found)
    return bool(found)


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(st.data(), st.lists(FILTERS, max_size=3), st.lists(RESOURCES, min_size=1, max_size=6))
def test_no_claim_is_ever_wrong(data: st.DataObject, old: list[Any], resources: list[dict[str, Any]]) -> None:
    new = data.draw(edited(old))
    claims = {each.reach for each in differences(old, new)}
    for resource in resources:
        try:
            before, after = _matches(old, resource), _matches(new, resource)
        except (TypeError, ValueError, AttributeError, KeyError):
            continue  # c7n refuses the filter for the resource: there is no answer to compare
        if before and not after:
            assert claims & {FEWER, UNCLEAR}, (old, new, resource)
        if after and not before:
            assert claims & {MORE, UNCLEAR}, (old, new, resource)


_VALUES = (-1, 0, 1, 400, [], ["a"], ["b", "a"], [1], [1, 2], "a", "present", "absent")
_RESOURCES = (
    *(-1, 0, 0.5, 1, 2, 400, "a", "b", "1", "", None, [], ["a"], ["a", "b"], [1, 1, 1], True),
    *("2026-11-23T00:00:00Z", "2024-01-01", "2029-01-01T00:00:00Z"),
)


def _table() -> dict[tuple[Any, ...], tuple[bool, ...] | None]:
    """What c7n answers to every operator, value type and value, for every resource; None where it refuses."""
    found: dict[tuple[Any, ...], tuple[bool, ...] | None] = {}
    for op, kind, value in itertools.product(OPERATORS, (None, *TYPES), _VALUES):
        made = {"type": "value", "key": "A", "op": op, "value": value, **({"value_type": kind} if kind else {})}
        try:
            found[op, kind, json.dumps(value)] = tuple(_matches([made], {"A": each}) for each in _RESOURCES)
        except (TypeError, ValueError, AttributeError, KeyError):
            found[op, kind, json.dumps(value)] = None
    return found


def test_every_limit_and_list_moves_as_claimed() -> None:
    """Exhaustively: one filter, whose value or operator changes."""
    table = _table()
    claimed = dict.fromkeys(Reach, 0)
    for (op, kind, value), before in table.items():
        others = [(op, other) for other in map(json.dumps, _VALUES)] + [(other, value) for other in OPERATORS]
        for now_op, now_value in others:
            after = table[now_op, kind, now_value]
            if before is None or after is None or (now_op, now_value) == (op, value):
                continue
            typed = {"value_type": kind} if kind else {}
            old = {"type": "value", "key": "A", "op": op, "value": json.loads(value), **typed}
            claim = reach(old, {**old, "op": now_op, "value": json.loads(now_value)})
            claimed[claim] += 1
            pairs = list(zip(before, after, strict=True))
            assert claim in (MORE, UNCLEAR) or (False, True) not in pairs, (old, now_op, now_value)
            assert claim in (FEWER, UNCLEAR) or (True, False) not in pairs, (old, now_op, now_value)
    assert min(claimed.values()) > 100, "every claim was made, and put to the test"


# --- filters: what is told --------------------------------------------------------------------------------------------

METRIC = {"type": "metrics", "name": "CPUUtilization", "days": 14, "value": 5, "op": "less-than"}
AGE = {"type": "instance-age", "days": 30}


@pytest.mark.parametrize(
    ("old", "changes", "expected"),
    [
        (METRIC, {"value": 10}, MORE),
        (METRIC, {"value": 1}, FEWER),
        (METRIC, {"op": "le"}, MORE),
        (METRIC, {"op": "gt"}, UNCLEAR),
        (METRIC, {"op": "gt", "value": 1}, UNCLEAR),
        (METRIC, {"days": 30}, UNCLEAR),
        (METRIC, {"period": 3600}, UNCLEAR),
        (METRIC, {"missing-value": 0}, UNCLEAR),
        (METRIC, {"statistics": "Sum"}, UNCLEAR),
        ({**METRIC, "op": "greater-than"}, {"value": 10}, FEWER),
        (AGE, {"days": 60}, FEWER),
        (AGE, {"days": 10}, MORE),
        (AGE, {"days": 29, "hours": 24}, SAME),
        (AGE, {"op": "lt"}, UNCLEAR),
        ({**AGE, "op": "lt"}, {"days": 60}, MORE),
        ({**AGE, "type": "storage"}, {"days": 60}, UNCLEAR),
        ({"type": "value", "key": "A", "op": "regex", "value": "a"}, {"value": "b"}, UNCLEAR),
        ({"type": "value", "key": "A", "value": "absent"}, {"value": "present"}, UNCLEAR),
        ({"type": "marked-for-op", "op": "stop"}, {"skew": 3}, UNCLEAR),
    ],
)
def test_a_filter_that_changed(old: dict[str, Any], changes: dict[str, Any], expected: Reach) -> None:
    assert reach(old, {**old, **changes}) is expected


def test_a_filter_that_took_the_place_of_another_is_one_that_went_and_one_that_came() -> None:
    assert [each.reach for each in differences(["unused"], ["used"])] == [MORE, FEWER]


def test_a_difference_is_at_the_field_that_changed() -> None:
    [found] = differences(["unused", {"or": [AGE, METRIC]}], ["unused", {"or": [AGE, {**METRIC, "value": 10}]}])
    assert (found.steps, found.old, found.new, found.reach) == ((1, "or", 1, "value"), 5, 10, MORE)


def test_short_forms_groups_and_order_are_no_change() -> None:
    long = {"type": "value", "key": "A", "value": 1}
    for old, new in (
        ([{"A": 1}], [long]),
        ([{"or": [{"A": 1}, "unused"]}], [{"or": [long, {"type": "unused"}]}]),
        ([AGE, METRIC], [METRIC, AGE]),
    ):
        found = differences(old, new)
        assert found
        assert {each.reach for each in found} == {SAME}
    assert differences([AGE], [dict(AGE)]) == []


def test_a_filter_that_counts_makes_everything_unclear() -> None:
    reduce = {"type": "reduce", "limit": 1}
    for old, new in (([reduce], [AGE, reduce]), ([AGE, reduce], [reduce, AGE])):
        found = differences(old, new)
        assert found
        assert {each.reach for each in found} == {UNCLEAR}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ([], [AGE], FEWER),
        ([AGE], [], MORE),
        ([{"or": [AGE, "x"]}], [{"or": [AGE]}], FEWER),
        ([{"or": [AGE]}], [{"or": [AGE, "x"]}], MORE),
        ([{"not": [AGE]}], [{"not": [AGE, "x"]}], MORE),
        ([{"not": [{**METRIC}]}], [{"not": [{**METRIC, "value": 9}]}], FEWER),
        ([{"not": [{"or": [AGE]}]}], [{"not": [{"or": [AGE, "x"]}]}], FEWER),
        ([{"not": [{"not": [AGE]}]}], [{"not": [{"not": [AGE, "x"]}]}], FEWER),
    ],
)
def test_a_filter_that_came_or_went(old: list[Any], new: list[Any], expected: Reach) -> None:
    assert [each.reach for each in differences(old, new)] == [expected]


def test_odd_filters_are_compared_all_the_same() -> None:
    odd: list[Any] = [None, 3, [], {}, {"or": None}, {"or": "x"}, {"type": 3}, {"A": 1, "B": 2}, {"type": "value"}, ""]
    for old, new in itertools.product(odd, odd):
        assert isinstance(differences([old], [new]), list)


# --- packs ------------------------------------------------------------------------------------------------------------


def idle(**changes: Any) -> Pack:
    """A pack whose two policies look at ``days`` from opposite sides, and at ``cpu`` and ``grace`` from one."""
    days: dict[str, Any] = {"type": "instance-age", "op": "ge", "days": "${days}"}
    policies = [
        b.policy("old", scope=[{"State.Name": "running"}], violation=[days, {**METRIC, "value": "${cpu}"}]),
        b.policy(
            "young", violation=[{**days, "op": "lt"}], remediation={"actions": ["stop"], "grace_days": "${grace}"}
        ),
    ]
    parameters = [
        b.parameter("days", 30, minimum=1, maximum=90),
        b.parameter("cpu", 5),
        b.parameter("grace", 14),
        b.parameter("key", "tag:Owner", pattern="^tag:"),
        b.parameter("names", ("a", "b"), items={"type": "string"}),
    ]
    made = b.pack("idle", policies=policies, parameters=parameters)
    return replace(made, **changes)


def with_policy(pack: Pack, name: str, **changes: Any) -> Pack:
    policies = {**pack.policies, name: replace(pack.policies[name], **changes)}
    return replace(pack, policies=policies, digest="changed")


def with_parameter(pack: Pack, name: str, schema: dict[str, Any] | None = None, **changes: Any) -> Pack:
    old = pack.parameters[name]
    kept = {**old.schema, **(schema or {})}
    made = replace(old, schema={key: value for key, value in kept.items() if value is not None}, **changes)
    return replace(pack, parameters={**pack.parameters, name: made}, digest="changed")


def without(pack: Pack, kind: str, name: str) -> Pack:
    kept = {key: value for key, value in getattr(pack, kind).items() if key != name}
    return replace(pack, **{kind: kept}, digest="changed")


def told(changes: Sequence[Change]) -> list[tuple[str, str, str]]:
    return [(each.item, each.field, str(each.effect)) for each in changes]


@pytest.mark.parametrize(
    ("name", "value", "effect", "why"),
    [
        ("cpu", 9, "tightens", "through old"),
        ("cpu", 1, "loosens", "through old"),
        ("days", 60, "unclear", "tightens for young; loosens for old"),
        ("grace", 7, "tightens", "through young"),
        ("grace", 30, "loosens", "through young"),
        ("key", "tag:Team", "neutral", "no policy uses it"),
    ],
)
def test_a_default_has_the_effect_of_the_filters_that_use_it(name: str, value: Any, effect: str, why: str) -> None:
    [found] = compare_packs(idle(), with_parameter(idle(), name, default=value))
    assert (found.item, found.field, str(found.effect)) == (f"parameter {name}", "default", effect)
    assert found.why == f"{why}, where no profile or customer sets it"
    assert (found.old, found.new) == (idle().parameters[name].default, value)


SEVERE = {"severity": Severity.HIGH}
STOP = {"actions": ["stop"], "grace_days": 14, "max": {"count": 10}, "destructive": False}


@pytest.mark.parametrize(
    ("before", "after", "field", "effect"),
    [
        ({}, SEVERE, "severity", "tightens"),
        (SEVERE, {}, "severity", "loosens"),
        ({}, {"title": "Another title"}, "title", "neutral"),
        ({}, {"rationale": "Another rationale of some length."}, "rationale", "neutral"),
        ({}, {"savings_method": "address_hours"}, "savings.method", "neutral"),
        ({}, {"resource": "aws.ebs"}, "resource", "unclear"),
        ({}, {"scope": ()}, "scope[0]", "tightens"),
        ({}, {"scope": ({"State.Name": "running"}, "x")}, "scope[1]", "loosens"),
        ({}, {"remediation": STOP}, "remediation", "tightens"),
        ({"remediation": STOP}, {}, "remediation", "loosens"),
        ({"remediation": STOP}, {"remediation": {**STOP, "grace_days": 3}}, "remediation.grace_days", "tightens"),
        ({"remediation": STOP}, {"remediation": {**STOP, "grace_days": 30}}, "remediation.grace_days", "loosens"),
        ({"remediation": STOP}, {"remediation": {**STOP, "grace_days": "${grace}"}}, "remediation.grace_days",
         "neutral"),
        ({"remediation": STOP}, {"remediation": {**STOP, "max": {"count": 50}}}, "remediation.max.count", "tightens"),
        ({"remediation": STOP}, {"remediation": {**STOP, "max": {}}}, "remediation.max.count", "tightens"),
        ({"remediation": STOP}, {"remediation": {**STOP, "max": {"count": 10, "percent": 5}}},
         "remediation.max.percent", "loosens"),
        ({"remediation": STOP}, {"remediation": {**STOP, "destructive": True}}, "remediation.destructive", "unclear"),
        ({"remediation": STOP}, {"remediation": {**STOP, "undo": ["start"]}}, "remediation.undo", "neutral"),
        ({"remediation": STOP}, {"remediation": {**STOP, "actions": ["stop", "tag"]}}, "remediation.actions",
         "tightens"),
        ({"remediation": STOP}, {"remediation": {**STOP, "actions": ["snapshot", "stop"]}}, "remediation.actions",
         "unclear"),
        ({"remediation": STOP}, {"remediation": {**STOP, "actions": ["terminate"]}}, "remediation.actions", "unclear"),
    ],
)  # fmt: skip
def test_a_policy_that_changed(before: dict[str, Any], after: dict[str, Any], field: str, effect: str) -> None:
    found = compare_packs(with_policy(idle(), "old", **before), with_policy(idle(), "old", **after))
    assert told(found) == [("policy old", field, effect)]


def test_a_moved_threshold_is_told_at_its_place() -> None:
    violation = (idle().policies["old"].violation[0], {**METRIC, "value": 20})
    [found] = compare_packs(idle(), with_policy(idle(), "old", violation=violation))
    assert (found.field, found.old, found.new) == ("violation[1].value", "${cpu}", 20)
    assert found.effect is TIGHTENS


def test_a_number_that_became_a_parameter_with_the_same_default_is_no_change_of_meaning() -> None:
    before = with_policy(idle(), "old", violation=(METRIC,))
    [found] = compare_packs(before, with_policy(idle(), "old", violation=({**METRIC, "value": "${cpu}"},)))
    assert (found.effect, found.why) == (NEUTRAL, "written otherwise, with the same meaning")


def test_policies_and_parameters_that_came_and_went() -> None:
    less = without(without(idle(), "policies", "old"), "parameters", "cpu")
    assert told(compare_packs(idle(), less)) == [("parameter cpu", "", "unclear"), ("policy old", "", "loosens")]
    assert told(compare_packs(less, idle())) == [("parameter cpu", "", "neutral"), ("policy old", "", "tightens")]


def test_what_is_not_compared_field_by_field_is_told_by_the_digest() -> None:
    assert compare_packs(idle(), idle()) == []
    assert told(compare_packs(idle(), idle(digest="other"))) == [("", "other text", "neutral")]
    assert compare_packs(idle(), idle(digest="other", version="1.0.1")) == []


# --- versions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("after", "level", "reason"),
    [
        (idle(), Level.NONE, None),
        (idle(title="Other"), Level.PATCH, "title changed"),
        (idle(digest="other"), Level.PATCH, "other text changed"),
        (with_policy(idle(), "old", rationale="Other rationale."), Level.PATCH, "policy old rationale changed"),
        (with_parameter(idle(), "cpu", description="Other"), Level.PATCH, "parameter cpu description changed"),
        (with_parameter(idle(), "cpu", default=9), Level.MINOR, "parameter cpu default changed"),
        (with_policy(idle(), "old", severity=Severity.LOW), Level.MINOR, "policy old severity changed"),
        (with_policy(idle(), "old", scope=()), Level.MINOR, "policy old scope[0] changed"),
        (with_policy(idle(), "old", savings_method="x"), Level.MINOR, "policy old savings.method changed"),
        (with_policy(idle(), "old", resource="aws.ebs"), Level.MAJOR, "policy old judges another resource type"),
        (without(idle(), "policies", "old"), Level.MAJOR, "policy old removed"),
        (without(idle(), "parameters", "key"), Level.MAJOR, "parameter key removed"),
        (with_parameter(idle(), "days", {"minimum": 5}), Level.MAJOR, "parameter days minimum allows less"),
        (with_parameter(idle(), "days", {"minimum": 0}), Level.MINOR, "parameter days minimum allows more"),
        (with_parameter(idle(), "days", {"minimum": None}), Level.MINOR, "parameter days minimum allows more"),
        (with_parameter(idle(), "days", {"maximum": 60}), Level.MAJOR, "parameter days maximum allows less"),
        (with_parameter(idle(), "days", {"maximum": 99}), Level.MINOR, "parameter days maximum allows more"),
        (with_parameter(idle(), "days", {"enum": [30]}), Level.MAJOR, "parameter days enum allows less"),
        (with_parameter(idle(), "days", {"type": "number"}), Level.MAJOR, "parameter days type allows less"),
        (with_parameter(idle(), "key", {"pattern": "^tag:.+"}), Level.MAJOR, "parameter key pattern allows less"),
        (with_parameter(idle(), "key", {"pattern": None}), Level.MINOR, "parameter key pattern allows more"),
        (with_parameter(idle(), "names", {"items": {"type": "string", "pattern": "x"}}), Level.MAJOR,
         "parameter names items allows less"),
        (with_parameter(idle(), "names", {"minItems": 1}), Level.MAJOR, "parameter names minItems allows less"),
    ],
)  # fmt: skip
def test_the_bump_that_is_needed(after: Pack, level: Level, reason: str | None) -> None:
    bump = needed_bump(idle(), after)
    assert bump.level is level
    assert bump.reasons == ((reason,) if reason else ())


def test_the_highest_bump_wins_and_tells_its_reasons_alone() -> None:
    after = with_parameter(without(idle(title="Other"), "policies", "old"), "cpu", default=1)
    assert needed_bump(idle(), after).level is Level.MAJOR
    assert needed_bump(idle(), after).reasons == ("policy old removed",)
    renamed = without(idle(), "policies", "old")
    renamed = replace(renamed, policies={**renamed.policies, "new": replace(idle().policies["old"], name="new")})
    assert needed_bump(idle(), renamed).level is Level.MAJOR
    assert needed_bump(without(idle(), "policies", "old"), idle()).level is Level.MINOR


def test_an_enum_of_more_values_allows_more() -> None:
    before = with_parameter(idle(), "days", {"enum": [30, 60]})
    assert needed_bump(before, with_parameter(idle(), "days", {"enum": [60, 30, 90]})).level is Level.MINOR
    assert needed_bump(before, with_parameter(idle(), "days", {"enum": [30, 90]})).level is Level.MAJOR


def test_before_1_0_a_major_change_needs_a_minor_bump() -> None:
    before = idle(version="0.3.1")
    assert needed_bump(before, without(before, "policies", "old")).level is Level.MINOR
    assert needed_bump(before, with_parameter(before, "cpu", default=9)).level is Level.PATCH


@pytest.mark.parametrize(
    ("before", "after", "level"),
    [
        ("1.2.3", "1.2.3", Level.NONE),
        ("1.2.3", "1.2.10", Level.PATCH),
        ("1.2.3", "1.10.0", Level.MINOR),
        ("1.9.9", "10.0.0", Level.MAJOR),
        ("1.2.3", "1.2.2", None),
        ("2.0.0", "1.9.9", None),
    ],
)
def test_the_bump_that_was_given(before: str, after: str, level: Level | None) -> None:
    assert given_bump(before, after) is level


def test_the_next_version() -> None:
    assert [next_version("1.2.3", level) for level in Level] == ["1.2.3", "1.2.4", "1.3.0", "2.0.0"]


# --- profiles, customers, waivers, frameworks -------------------------------------------------------------------------


def state(**changes: Any) -> Snapshot:
    profile = b.profile({"idle": "~=1.0"}, frameworks={"rules": "~=1.0"}, values=b.settings("p", idle={"cpu": 5}))
    made = Snapshot(
        packs={"idle": idle()},
        profiles={"hospital": profile},
        frameworks={"rules": b.framework(b.control(b.mapping("idle/old")), b.control(name="C-2"))},
        customers={"clinic": b.customer(b.account(), b.account(b.DEV), values=b.settings("c", idle={"grace": 14}))},
        waivers={"clinic": (b.waiver(),)},
    )
    return replace(made, **changes)


def changed(section: str, name: str, **fields: Any) -> Snapshot:
    things = getattr(state(), section)
    return state(**{section: {**things, name: replace(things[name], **fields, digest="changed")}})


def effects(old: Snapshot, new: Snapshot) -> list[tuple[str, str, str, str]]:
    return [(each.item, each.field, str(each.kind), str(each.effect)) for each in compare(old, new, TODAY)]


PROFILE = state().profiles["hospital"]
CHOICE = PROFILE.packs[0]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"packs": ()}, ("pack idle", "", "removed", "loosens")),
        ({"packs": (replace(CHOICE, posture=Posture.AUTO),)}, ("pack idle", "posture", "changed", "tightens")),
        ({"packs": (replace(CHOICE, posture=Posture.REPORT),)}, ("pack idle", "posture", "changed", "loosens")),
        ({"packs": (replace(CHOICE, versions="~=1.0.0"),)}, ("pack idle", "version", "changed", "neutral")),
        ({"packs": (replace(CHOICE, versions="~=2.0"),)}, ("pack idle", "version", "changed", "unclear")),
        ({"settings": b.settings("p", idle={"cpu": 9})}, ("parameter idle.cpu", "", "changed", "tightens")),
        ({"settings": b.settings("p", idle={"cpu": 1})}, ("parameter idle.cpu", "", "changed", "loosens")),
        ({"settings": {}}, ("parameter idle.cpu", "", "removed", "neutral")),
        ({"settings": b.settings("p", idle={"cpu": 5}, final=True)},
         ("parameter idle.cpu", "final", "changed", "tightens")),
        ({"frameworks": {}}, ("framework rules", "", "removed", "loosens")),
        ({"frameworks": {"rules": "~=2.0"}}, ("framework rules", "version", "changed", "unclear")),
        ({"retention_years": 1}, ("", "retention_years", "changed", "neutral")),
        ({"redacted_tags": ("*",)}, ("", "redacted_tags", "changed", "neutral")),
        ({}, ("", "other fields", "changed", "neutral")),
    ],
)  # fmt: skip
def test_a_profile_that_changed(fields: dict[str, Any], expected: tuple[str, str, str, str]) -> None:
    new = changed("profiles", "hospital", **fields)
    assert effects(state(), new) == [expected]
    assert effects(new, new) == []


def test_a_lock_that_is_gone_loosens() -> None:
    locked = changed("profiles", "hospital", settings=b.settings("p", idle={"cpu": 5}, final=True))
    assert effects(locked, state()) == [("parameter idle.cpu", "final", "changed", "loosens")]


CLINIC = state().customers["clinic"]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"accounts": CLINIC.accounts[:1]}, (f"account {b.DEV}", "", "removed", "loosens")),
        ({"accounts": (*CLINIC.accounts, b.account("222233334444"))},
         ("account 222233334444", "", "added", "tightens")),
        ({"accounts": (CLINIC.accounts[0], b.account(b.DEV, regions=["us-east-1", "eu-west-1"]))},
         (f"account {b.DEV}", "regions", "changed", "tightens")),
        ({"accounts": (CLINIC.accounts[0], b.account(b.DEV, regions=["enabled"]))},
         (f"account {b.DEV}", "regions", "changed", "unclear")),
        ({"accounts": (CLINIC.accounts[0], b.account(b.DEV, values=b.settings("a", idle={"cpu": 9})))},
         (f"account {b.DEV}, parameter idle.cpu", "", "added", "tightens")),
        ({"accounts": (CLINIC.accounts[0], b.account(b.DEV, values=b.settings("a", idle={"cpu": 5})))},
         (f"account {b.DEV}, parameter idle.cpu", "", "added", "neutral")),
        ({"settings": b.settings("c", idle={"grace": 3})}, ("parameter idle.grace", "", "changed", "tightens")),
        ({"settings": b.settings("c", idle={"nothing": 3, "grace": 14})},
         ("parameter idle.nothing", "", "added", "unclear")),
        ({"profile": "other"}, ("", "profile", "changed", "unclear")),
        ({"title": "Other"}, ("", "title", "changed", "neutral")),
        ({"regions": ("us-east-1",)}, ("", "regions", "changed", "tightens")),
        ({"organization": Organization(("ou-1",), (), {}, Mark("c"))}, ("", "organization", "changed", "unclear")),
        ({}, ("", "other fields", "changed", "neutral")),
    ],
)  # fmt: skip
def test_a_customer_that_changed(fields: dict[str, Any], expected: tuple[str, str, str, str]) -> None:
    assert effects(state(), changed("customers", "clinic", **fields)) == [expected]


def test_an_external_id_is_not_told() -> None:
    assert CLINIC.role
    new = changed("customers", "clinic", role=replace(CLINIC.role, external_id="top-secret"))
    [found] = compare(state(), new, TODAY)
    assert found.field == "role"
    assert "secret" not in repr((found.old, found.new))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (None, {}, ("", "added", "loosens")),
        ({}, None, ("", "removed", "tightens")),
        (None, {"expires": dt.date(2026, 1, 1)}, ("", "added", "neutral")),
        ({"expires": dt.date(2026, 1, 1)}, None, ("", "removed", "neutral")),
        ({}, {"expires": dt.date(2027, 12, 31)}, ("expires", "changed", "loosens")),
        ({}, {"expires": dt.date(2026, 11, 30)}, ("expires", "changed", "tightens")),
        ({"expires": dt.date(2026, 1, 1)}, {"expires": dt.date(2026, 1, 2)}, ("expires", "changed", "neutral")),
        ({}, {"resource": "*"}, ("resource", "changed", "unclear")),
        ({}, {"policy": "other"}, ("policy", "changed", "unclear")),
        ({}, {"reason": "Another reason."}, ("reason", "changed", "neutral")),
    ],
)
def test_a_waiver_that_changed(
    before: dict[str, Any] | None, after: dict[str, Any] | None, expected: tuple[str, str, str]
) -> None:
    sides = [state(waivers={"clinic": () if each is None else (b.waiver(**each),)}) for each in (before, after)]
    assert effects(*sides) == [("waiver W-1", *expected)]


def mapped(*mappings: Any, **changes: Any) -> Snapshot:
    controls = (replace(b.control(*mappings), **changes), b.control(name="C-2"))
    return state(frameworks={"rules": replace(b.framework(*controls), digest=repr(controls))})


DIRECT, PARTIAL = b.mapping("idle/old"), b.mapping("idle/old", Strength.PARTIAL)
OTHER = b.mapping("idle/young", Strength.SUPPORTING)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (mapped(DIRECT), mapped(PARTIAL), ("control C-1, mapping of idle/old", "strength", "changed", "tightens")),
        (mapped(PARTIAL), mapped(DIRECT), ("control C-1, mapping of idle/old", "strength", "changed", "loosens")),
        (mapped(DIRECT), mapped(DIRECT, OTHER), ("control C-1, mapping of idle/young", "", "added", "tightens")),
        (mapped(DIRECT, OTHER), mapped(DIRECT), ("control C-1, mapping of idle/young", "", "removed", "loosens")),
        (mapped(OTHER), mapped(DIRECT, OTHER), ("control C-1, mapping of idle/old", "", "added", "unclear")),
        (mapped(), mapped(OTHER), ("control C-1, mapping of idle/young", "", "added", "unclear")),
        (mapped(DIRECT), mapped(DIRECT, title="Other"), ("control C-1", "title", "changed", "neutral")),
        (mapped(DIRECT), mapped(DIRECT, manual="Attest."), ("control C-1", "manual", "changed", "unclear")),
        (mapped(DIRECT), mapped(replace(DIRECT, rationale="Other.")),
         ("control C-1, mapping of idle/old", "rationale", "changed", "neutral")),
        (mapped(DIRECT), mapped(DIRECT, id="C-9"), ("control C-1", "", "removed", "loosens")),
    ],
)  # fmt: skip
def test_a_framework_that_changed(old: Snapshot, new: Snapshot, expected: tuple[str, str, str, str]) -> None:
    assert expected in effects(old, new)
    assert len(effects(old, new)) == (2 if expected[1:3] == ("", "removed") and "mapping" not in expected[0] else 1)


def test_whole_packs_profiles_customers_and_frameworks() -> None:
    nothing = Snapshot()
    came = {
        (str(each.section), each.owner): (str(each.kind), str(each.effect)) for each in compare(nothing, state(), TODAY)
    }
    assert came == {
        ("pack", "idle"): ("added", "tightens"),
        ("profile", "hospital"): ("added", "neutral"),
        ("customer", "clinic"): ("added", "tightens"),
        ("framework", "rules"): ("added", "neutral"),
    }
    went = {
        (str(each.section), each.owner): (str(each.kind), str(each.effect)) for each in compare(state(), nothing, TODAY)
    }
    assert went[("pack", "idle")] == ("removed", "loosens")
    assert went[("customer", "clinic")] == ("removed", "loosens")
    alone = Snapshot(packs=state().packs)
    assert [str(each.effect) for each in compare(Snapshot(), alone, TODAY)] == ["neutral"]


def test_what_cannot_be_read_has_neither_come_nor_gone() -> None:
    broken = replace(Snapshot(), unread=frozenset({(Section.PACK, "idle")}))
    assert not [each for each in compare(state(), broken, TODAY) if each.section is Section.PACK]


# --- plain policies ---------------------------------------------------------------------------------------------------


def written(name: str, path: str = "ec2.yml", index: int = 0, **document: Any) -> PlainPolicy:
    return PlainPolicy(path, name, index, {"name": name, "resource": "ec2", **document}, Mark(path, 2, 5))


def of_plain(old: Sequence[PlainPolicy], new: Sequence[PlainPolicy]) -> list[tuple[str, str, str, str]]:
    return effects(Snapshot(plain=tuple(old)), Snapshot(plain=tuple(new)))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"filters": [METRIC]}, {"filters": [{**METRIC, "value": 9}]}, ("filters[0].value", "tightens")),
        ({"filters": [METRIC]}, {}, ("filters[0]", "tightens")),
        ({}, {"filters": [METRIC]}, ("filters[0]", "loosens")),
        ({}, {"actions": ["stop"]}, ("actions", "tightens")),
        ({"actions": ["stop"]}, {"actions": []}, ("actions", "loosens")),
        ({"actions": ["stop"]}, {"actions": ["terminate"]}, ("actions", "unclear")),
        ({}, {"mode": {"type": "periodic"}}, ("mode", "unclear")),
        ({}, {"description": "@team <b>"}, ("description", "neutral")),
        ({"resource": "ec2"}, {"resource": "aws.ec2"}, ("resource", "neutral")),
        ({"resource": "ec2"}, {"resource": "ebs"}, ("resource", "unclear")),
        ({"filters": [METRIC]}, {"filters": "odd"}, ("filters", "unclear")),
        ({}, {"region": "eu-west-1"}, ("region", "unclear")),
    ],
)
def test_a_plain_policy_that_changed(before: dict[str, Any], after: dict[str, Any], expected: tuple[str, str]) -> None:
    [(item, field, kind, effect)] = of_plain([written("p", **before)], [written("p", **after)])
    assert (item, kind) == ("policy p", "changed")
    assert (field, effect) == expected


def test_plain_policies_are_known_by_name() -> None:
    here, there = written("p"), written("p", "other.yml")
    assert of_plain([here], [there]) == [("policy p", "file", "changed", "neutral")]
    assert of_plain([here], []) == [("policy p", "", "removed", "loosens")]
    assert of_plain([], [here]) == [("policy p", "", "added", "tightens")]
    # Two files with one name each: each is compared with its own.
    assert of_plain([here, there], [written("p", mode={}), there]) == [("policy p", "mode", "changed", "unclear")]
    # Twice in one file: by their order.
    assert of_plain([here], [here, written("p", index=1)]) == [("policy p (2)", "", "added", "tightens")]


# --- from files -------------------------------------------------------------------------------------------------------

CUSTODIAN = "policies:\n  - name: p\n    resource: ec2\n    filters: [{State: x}]\n"


def test_a_workspace_is_read_whole(tmp_path: Path) -> None:
    b.write_workspace(tmp_path / "old")
    b.write_workspace(tmp_path / "new")
    assert compare(snapshot(working_tree(tmp_path / "old")), snapshot(working_tree(tmp_path / "new")), TODAY) == []
    path = tmp_path / "new/packs/own-pack/pack.yaml"
    path.write_text(path.read_text().replace("default: 14", "default: 30"))
    [found] = compare(snapshot(working_tree(tmp_path / "old")), snapshot(working_tree(tmp_path / "new")), TODAY)
    assert (found.owner, found.item, found.field, found.effect) == (
        "own-pack",
        "parameter idle_days",
        "default",
        LOOSENS,
    )
    assert found.mark == Mark("packs/own-pack/pack.yaml", 8, 3)


def test_a_workspace_that_is_a_library_is_read_as_one(tmp_path: Path) -> None:
    b.write_files(tmp_path, {"policies/packs/own-pack/pack.yaml": b.PACK.format(name="own-pack"),
                             "policies/packs/own-pack/own.yaml": b.POLICY.format(name="own")})  # fmt: skip
    assert set(snapshot(working_tree(tmp_path)).packs) == {"own-pack"}


def test_plain_policies_are_found_where_people_keep_them(tmp_path: Path) -> None:
    kept = ("ec2.yml", "deep/down/ec2.yaml", "policies.json")
    passed = (".hidden/a.yml", "node_modules/a.yml", "build/a.yml", "tests/a.yml", ".a.yml", "notes.txt")
    as_json = '{\n\t"policies": [{"name": "p", "resource": "ec2"}]}'
    files = {name: as_json if name.endswith(".json") else CUSTODIAN for name in (*kept, *passed)}
    b.write_files(tmp_path, {**files, "other.yml": "policies: {a: b}\n", "odd.yml": "policies: [1, {name: 3}, null]\n"})
    found = snapshot(working_tree(tmp_path))
    assert sorted(each.path for each in found.plain) == sorted(kept)
    assert found.problems == ()


@pytest.mark.parametrize(
    "text", ["\n" * 1_000_000, " " * 1_000_000, "{" * 1_000_000, '"policies"' * 100_000, "\0" * 999]
)
def test_a_hostile_file_takes_no_time(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(text)
    began = time.monotonic()
    assert snapshot(working_tree(tmp_path)).plain == ()
    assert time.monotonic() - began < 10


def test_what_cannot_be_read_is_told_once(tmp_path: Path) -> None:
    for side in ("old", "new"):
        b.write_workspace(tmp_path / side)
        b.write_files(tmp_path / side, {"helm.yaml": "policies:\n  {{- range }}\n", "bad.yml": CUSTODIAN})
    (tmp_path / "new/bad.yml").write_text("policies: [\n")
    (tmp_path / "new/packs/own-pack/pack.yaml").write_text("kind: Pack\n")
    sides = [Side("main", "0" * 40), Side("", "")]
    states = [snapshot(working_tree(tmp_path / side)) for side in ("old", "new")]
    found = comparison(sides[0], sides[1], states[0], states[1], TODAY)
    assert found.changes == ()
    assert [each.partition(":")[0] for each in found.problems] == [
        "pack own-pack at the working tree",
        "plain policies bad.yml at the working tree",
    ]


def test_a_workspace_that_does_not_exist_yet_is_said_to(tmp_path: Path) -> None:
    b.write_workspace(tmp_path)
    (tmp_path / "empty").mkdir()
    old = snapshot(Revision("main", "0" * 40, tmp_path / "empty", exists=False))
    found = comparison(Side("main", "0" * 40, exists=False), Side("", ""), old, snapshot(working_tree(tmp_path)), TODAY)
    assert found.problems == ("The workspace does not exist at main (000000000000): everything in it counts as added.",)
    assert {each.kind for each in found.changes} == {Kind.ADDED}


def test_versions_stand_beside_the_changes() -> None:
    new = state(packs={"idle": replace(without(idle(), "policies", "old"), version="1.1.0")})
    found = comparison(Side("a", "0" * 40), Side("", ""), state(), new, TODAY)
    [step] = found.versions
    assert (step.needed, step.given, step.enough, step.reasons) == ("major", "minor", False, ("policy old removed",))
    assert not comparison(Side("a", "0" * 40), Side("", ""), state(), state(), TODAY).versions


# --- JSON -------------------------------------------------------------------------------------------------------------


def test_json_fits_its_schema_and_is_the_same_every_time() -> None:
    new = state(packs={"idle": replace(without(idle(), "policies", "old"), version="1.1.0")},
                waivers={}, plain=(written("p", filters=[METRIC]),))  # fmt: skip
    found = comparison(Side("main", "0" * 40), Side("", ""), state(), new, TODAY)
    made = document(found, None)
    schema = json.loads((Path(__file__).parents[2] / "schemas/diff.schema.json").read_text())
    Draft202012Validator(schema).validate(made)
    assert render(found, None) == render(found, None)
    assert made["counts"] == {"tightens": 2, "loosens": 1, "unclear": 0, "neutral": 0}
    assert json.loads(render(found, None)) == json.loads(json.dumps(made))


def test_opposite_effects_of_one_thing_are_unclear() -> None:
    assert joined([]) is joined([NEUTRAL]) is NEUTRAL
    assert joined([TIGHTENS, NEUTRAL]) is TIGHTENS
    assert joined([TIGHTENS, LOOSENS]) is joined([LOOSENS, Effect.UNCLEAR]) is Effect.UNCLEAR
