"""What is said of a policy that c7n refuses: of which part, in which words, with which hint."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest
import yaml

from finops_policy.custodian.conformity import faults, stray_keys, unknown_resource
from finops_policy.custodian.faults import Fault
from finops_policy.custodian.knowledge import Knowledge, knowledge
from finops_policy.custodian.refusals import refusals, stock_faults, stock_policies


@cache
def _known() -> Knowledge:
    return knowledge()


def policy(text: str, resource: str = "ec2") -> dict[str, Any]:
    return {"name": "a", "resource": resource, **yaml.safe_load(text)}


def told(document: Mapping[str, Any]) -> list[Fault]:
    type_ = _known().type_of(document["resource"])
    assert type_
    return faults(document, type_, _known())


# text of a policy of EC2, way to the fault, its sentence, the beginning of its hint
CASES: dict[str, tuple[str, tuple[str | int, ...], str, str]] = {
    "a filter that is misspelt": (
        "filters: [{type: metrcs, name: x}]",
        ("filters", 0, "type"),
        "aws.ec2 has no filter `metrcs`",
        "Did you mean metrics",
    ),
    "a filter that is misspelt, as one word": (
        "filters: [ephemerall]",
        ("filters", 0),
        "aws.ec2 has no filter `ephemerall`",
        "Did you mean ephemeral",
    ),
    "a filter that is misspelt, and has no settings": (
        "filters: [{type: ephemerall}]",
        ("filters", 0, "type"),
        "aws.ec2 has no filter `ephemerall`",
        "Did you mean ephemeral",
    ),
    "upper case": (
        "actions: [STOP]",
        ("actions", 0),
        "aws.ec2 has no action `STOP`",
        "Did you mean stop?",
    ),
    "underscores": (
        "actions: [{type: mark_for_op, op: stop}]",
        ("actions", 0, "type"),
        "aws.ec2 has no action `mark_for_op`",
        "Did you mean mark-for-op?",
    ),
    "an action among filters": (
        "filters: [{type: stop}]",
        ("filters", 0, "type"),
        "aws.ec2 has no filter `stop`",
        "It is an action: put it under `actions`.",
    ),
    "a filter among actions": (
        "actions: [{type: ebs}]",
        ("actions", 0, "type"),
        "aws.ec2 has no action `ebs`",
        "It is a filter: put it under `filters`.",
    ),
    "a group as a word": (
        "filters: [or]",
        ("filters", 0),
        "`or` is no filter, but a group of filters",
        "Write `or:` with a list of filters below it.",
    ),
    "a group as a type": (
        "filters: [{type: not, value: x}]",
        ("filters", 0, "type"),
        "`not` is no filter, but a group of filters",
        "Write `not:`",
    ),
    "a group as a type, and nothing else": (
        "filters: [{type: or}]",
        ("filters", 0, "type"),
        "`or` is no filter, but a group of filters",
        "Write `or:`",
    ),
    "a group with a mapping": (
        "filters: [{not: {tag:x: absent}}]",
        ("filters", 0, "not"),
        "`not` must be a list: got a mapping",
        "",
    ),
    "a group with text, which c7n would take apart": (
        "filters: [{or: text}]",
        ("filters", 0, "or"),
        "`or` must be a list of filters",
        "",
    ),
    "a key beside a group": (
        "filters: [{or: [ephemeral], tag:x: absent}]",
        ("filters", 0, "tag:x"),
        "`tag:x` cannot stand beside `or`",
        "Put it into a filter of its own",
    ),
    "a fault inside of groups": (
        "filters: [{or: [{not: [{type: image-age, dayz: 5}]}]}]",
        ("filters", 0, "or", 0, "not", 0, "dayz"),
        "`dayz` is not a key of the filter image-age of aws.ec2",
        "Did you mean days?",
    ),
    "two short forms in one filter": (
        "filters: [{tag:x: absent, tag:y: absent}]",
        ("filters", 0, "tag:y"),
        "`tag:y` cannot stand beside `tag:x` in a filter without `type`",
        "Put it into a filter of its own, or add `type: value` and write `key: tag:x`.",
    ),
    "a short form with a list": (
        "filters: [{State.Name: [running]}]",
        ("filters", 0, "State.Name"),
        "`State.Name` can only be compared with text, a number, true/false or null here",
        "Write `type: value`, `key: State.Name`, `op: in` and `value:` for a list.",
    ),
    "a group that is misspelt": (
        "filters: [{orr: [ephemeral]}]",
        ("filters", 0, "orr"),
        "`orr` must be `or`",
        "Correct the spelling.",
    ),
    "a type that is misspelt": (
        "actions: [{tpye: stop}]",
        ("actions", 0, "tpye"),
        "`tpye` must be `type`",
        "Correct the spelling.",
    ),
    "no type": ("actions: [{op: stop}]", ("actions", 0), "the action has no `type`", "Add `type:`"),
    "no type, but settings of a value filter": (
        "filters: [{key: a, value: b}]",
        ("filters", 0),
        "the filter has no `type`",
        "Add `type:`",
    ),
    "nothing in a filter": ("filters: [{}]", ("filters", 0), "the filter has no `type`", "Add `type:`"),
    "a type that is no text": (
        "filters: [{type: 5}]",
        ("filters", 0, "type"),
        "`type` must be text",
        "",
    ),
    "a list in the list": (
        "filters: [[ephemeral]]",
        ("filters", 0),
        "a filter must be a mapping or text: got a list",
        "Write one `-` before it, not two.",
    ),
    "no list": ("filters: {tag:x: absent}", ("filters",), "`filters` must be a list: got a mapping", ""),
    "braces for a list": (
        "actions: '{x}'",
        ("actions",),
        "`actions` must be a list: got the text `{x}`",
        "Write a list",
    ),
    "an alias as one word": (
        "actions: [terminate, unmark-x]",
        ("actions", 1),
        "aws.ec2 has no action `unmark-x`",
        "Did you mean unmark",
    ),
    "a number in quotes": (
        "filters: [{type: image-age, days: '30'}]",
        ("filters", 0, "days"),
        "`days` must be a number: got the text `30`",
        "Remove the quotes.",
    ),
    "a word that is none of those allowed": (
        "filters: [{type: value, key: a, value: 1, op: equels}]",
        ("filters", 0, "op"),
        "`op` is none of the 22 values allowed: got the text `equels`",
        "Did you mean equal?",
    ),
    "a condition that does not exist": (
        "conditions: [{type: metrics, name: x}]",
        ("conditions", 0, "type"),
        "there is no condition `metrics`",
        "Known:",
    ),
    "a condition as a word": (
        "conditions: [value]",
        ("conditions", 0),
        "a condition must be a mapping: got the text `value`",
        "",
    ),
    "a mode that does not exist": (
        "mode: {type: perodic}",
        ("mode", "type"),
        "there is no mode `perodic`",
        "Did you mean periodic?",
    ),
    "a mode without type": ("mode: {role: x}", ("mode", "type"), "`type` is missing", "Add it."),
    "a mode as text": ("mode: pull", ("mode",), "`mode` must be a mapping: got the text `pull`", ""),
    "a key of a mode": (
        "mode: {type: periodic, schedul: x}",
        ("mode", "schedul"),
        "`schedul` is not a key of mode periodic",
        "Did you mean schedule?",
    ),
    "a key of a policy": (
        "filter: []",
        ("filter",),
        "`filter` is not a key of a policy",
        "Did you mean filters?",
    ),
    "a key of nobody": (
        "owner: me",
        ("owner",),
        "`owner` is not a key of a policy",
        "Under `metadata` a policy may say whatever you like.",
    ),
    "a name": (
        "name: a b",
        ("name",),
        "`name` does not have the right form: got the text `a b`",
        "Begin with a letter, and use letters, digits and single hyphens.",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_fault(case: str) -> None:
    text, steps, sentence, hint = CASES[case]
    [fault] = told(policy(text))
    assert (fault.steps, fault.sentence) == (steps, sentence)
    assert fault.hint.startswith(hint)
    assert bool(fault.hint) == bool(hint)


def test_a_key_that_is_missing_because_it_is_misspelt_is_told_once() -> None:
    document = policy("actions: [{type: set-waf, state: true, web-acls: x}]", "rest-stage")
    [fault] = told(document)
    assert (fault.steps, fault.hint, fault.of_key) == (("actions", 0, "web-acls"), "Did you mean web-acl?", True)


def test_a_misspelt_key_is_found_where_c7n_only_misses_the_right_one() -> None:
    patch = "actions: [{type: update-method, patch: [{opp: replace, path: /x, value: y}]}]"
    [fault] = told(policy(patch, "rest-resource"))
    assert fault.steps == ("actions", 0, "patch", 0, "opp")
    assert (fault.sentence, fault.hint) == ("`op` is missing in item 1 of `patch`", "Did you mean it by `opp`?")


def test_the_branch_that_was_meant_is_told() -> None:
    """Of a list that may hold short forms and value filters, and of a word or a list."""
    text = "filters: [{type: config-compliance, rules: [x], eval_filters: [{type: value, key: a, value: 1, opp: eq}]}]"
    [fault] = told(policy(text))
    assert fault.steps == ("filters", 0, "eval_filters", 0, "opp")
    [fault] = told(policy("actions: [{type: remove-shared-accounts, accounts: [x]}]", "catalog-portfolio"))
    assert fault.steps == ("actions", 0, "accounts", 0)


def test_all_faults_are_told_at_once() -> None:
    document = policy("{filters: [{type: x}, {type: image-age, days: x}], actions: [y], mode: {type: z}, owner: me}")
    steps = {fault.steps for fault in told(document)}
    assert steps == {("filters", 0, "type"), ("filters", 1, "days"), ("actions", 0), ("mode", "type"), ("owner",)}


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "filters: []",
        "filters: [ephemeral, {tag:x: absent}, {State.Name: null}, {a: []}, {not: []}, {or: ''}]",
        "filters: [{type: value}]",
        "filters: [{type: image-age, days: '{days}'}]",
        "max-resources-percent: '{x}'",
        "conditions: [{region: us-east-1}, {type: reduce}]",
        "metadata: {owner: me}",
    ],
)
def test_what_c7n_accepts(text: str) -> None:
    assert told(policy(text)) == []
    assert stock_faults(policy(text)) == []


def test_text_in_braces_is_forgiven_where_c7n_forgives_it() -> None:
    """It does not look into groups."""
    assert told(policy("filters: [{type: image-age, days: '{x}'}]")) == []
    [fault] = told(policy("filters: [{not: [{type: image-age, days: '{x}'}]}]"))
    assert fault.steps == ("filters", 0, "not", 0, "days")
    assert fault.hint.startswith("Cloud Custodian takes a variable")


def test_other_mistakes_are_told_although_c7n_overlooks_them_beside_text_in_braces() -> None:
    [fault] = told(policy("filters: [{type: image-age, days: '{x}'}, {type: image-age, days: []}]"))
    assert fault.steps == ("filters", 1, "days")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("EC2", "Did you mean aws.ec2?"),
        ("aws.ebs_snapshot", "Did you mean aws.ebs-snapshot?"),
        ("ec3", "Did you mean aws.ecs or aws.ecr or aws.ec2?"),
        ("aws.opensearch", "Did you mean aws.cloudsearch or aws.opensearch-"),
        ("qqqqqqqqqq", "`custodian schema aws` lists the types."),
    ],
)
def test_an_unknown_resource(name: str, hint: str) -> None:
    fault = unknown_resource(name, _known())
    assert (fault.steps, fault.rule) == (("resource",), "unknown-resource")
    assert fault.hint.startswith(hint)


def test_keys_of_a_policy_without_a_type() -> None:
    found = list(stray_keys({"name": "a", "reource": "ec2", "filters": 5}, _known()))
    assert [(fault.steps, fault.hint, fault.of_key) for fault in found] == [
        (("reource",), "Did you mean resource or source or max-resources?", True)
    ]


# --- c7n's own validation ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "steps", "words"),
    [
        ("filters: [{type: value, key: a}]", ("filters", 0), "Missing 'value' in value filter"),
        ("filters: [{not: [{type: value, key: a}]}]", ("filters", 0, "not", 0), "Missing 'value' in value filter"),
        (
            "filters: [{type: metrics, name: x, value: 1, statistics: MAX}]",
            ("filters", 0, "statistics"),
            "MAX not supp",
        ),
        ("mode: {type: cloudtrail}", ("mode",), "requires specifiying events"),
        ("mode: {type: cloudtrail, events: [RunInstances, Nothing]}", ("mode",), "not defined: Nothing"),
        ("start: never", ("start",), "Date/Time not parsable: never"),
        ("tz: Nowhere", ("tz",), "TZ not parsable: Nowhere"),
        ("conditions: [{region: a}, {type: nothing}]", ("conditions", 1), "Invalid filter type"),
        ("filters: [ephemeral, {type: nothing}]", ("filters", 1), "Invalid filter type"),
    ],
)
def test_a_refusal_is_of_the_innermost_part(text: str, steps: tuple[str | int, ...], words: str) -> None:
    found = refusals(policy(text))
    assert words in found[0].sentence
    assert found[0].steps == steps
    assert len(found) == 1


def test_a_query_that_is_refused() -> None:
    [fault] = refusals(policy("query: [{ClusterStates: [RUNNING, GONE]}]", "emr"))
    assert fault.steps[:2] == ("query", 0)


def test_every_refusal_is_told() -> None:
    found = refusals(policy("{filters: [{type: value, key: a}, {type: value, value: a}], tz: Nowhere}"))
    assert {fault.steps for fault in found} == {("filters", 0), ("filters", 1), ("tz",)}


def test_every_part_that_c7n_cannot_even_make_is_told() -> None:
    found = refusals(policy("filters: [{type: one}, ephemeral, {or: [{not: [{type: two}]}, ephemeral]}]"))
    assert {fault.steps for fault in found} == {("filters", 0), ("filters", 2, "or", 0, "not", 0)}


@pytest.mark.parametrize("value", [dt.date(2026, 12, 31), 5, {"or": 5}, None, "x"])
def test_anything_in_the_place_of_a_list(value: object) -> None:
    """The schema has let it pass because of text in braces elsewhere."""
    for section in ("filters", "actions", "conditions"):
        assert refusals({"name": "a", "resource": "ec2", section: value})
    assert refusals({"name": "a", "resource": "ec2", "filters": [{"or": value}]})


def test_the_words_are_cut_where_c7n_prints_the_policy() -> None:
    [fault] = refusals(policy("filters: [{type: value, key: a, secret: password}]"))
    assert "password" not in fault.sentence


def test_a_crash_of_c7n_is_told_as_one() -> None:
    [fault] = refusals(policy("actions: [set-flow-log]", "vpc"))
    assert fault.sentence.startswith("Cloud Custodian fails on it: KeyError")
    assert fault.steps == ("actions", 0)


def test_no_session_is_needed() -> None:
    """A part that would ask AWS is left to the run."""
    assert (
        refusals(policy("filters: [{type: value, key: a, op: in, value_from: {url: 's3://a/b', format: json}}]")) == []
    )


def test_policies_as_c7n_reads_them() -> None:
    assert stock_policies("policies: [{name: 2026-12-31, 1: 2}]") == [{"name": dt.date(2026, 12, 31), 1: 2}]
    assert stock_policies("policies: 5") == stock_policies("5") == []
    with pytest.raises(yaml.YAMLError):
        stock_policies("policies: !Ref x")
