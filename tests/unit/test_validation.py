"""Files against their schema: what each mistake is called, where it is, and how to mend it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from finops_policy import validation
from finops_policy.marks import Diagnostic
from finops_policy.sources import parse
from finops_policy.validation import check_value, schema, validate

KINDS = ("customer", "framework", "pack", "policy", "pricebook", "profile", "waiver")

POLICY = """\
apiVersion: finops-policy/v1
kind: Policy
name: ec2-idle
title: Running EC2 instances do work
resource: aws.ec2
severity: medium
rationale: An idle instance costs money and serves nobody.
scope:
  - State.Name: running
  - tagged
violation: [{type: metrics, days: "${idle_days}"}]
remediation:
  actions: [stop]
  grace_days: "${grace_days}"
  destructive: false
  max: {count: 50, percent: 10}
"""
CUSTOMER = """\
apiVersion: finops-policy/v1
kind: Customer
name: acme
title: Acme Health
role: {name: reader}
regions: [eu-west-1, us-east-1]
accounts:
  - {id: "111122223333", name: acme-prod}
parameters:
  idle-resources: {idle_days: 7, tags: [a, b]}
approvers:
  - {name: Ann, email: ann@example.com, role: finance}
"""
PROFILE = """\
apiVersion: finops-policy/v1
kind: Profile
name: hipaa
version: 1.0.0
title: Health care
packs: {idle-resources: {version: "~=1.0"}}
frameworks: {hipaa: "~=1.0"}
parameters:
  idle-resources:
    idle_days: {value: 7, final: true}
retention: {years: 6, source: 164.316(b)(2)(i)}
"""
PACK = """\
apiVersion: finops-policy/v1
kind: Pack
name: idle
version: 1.0.0
title: Idle resources
owner: finops
parameters:
  idle_days: {type: integer, minimum: 1, default: 14, description: Days looked back}
  owners: {type: string, pattern: "^x[[a]", default: x, description: Who}
"""
FRAMEWORK = """\
apiVersion: finops-policy/v1
kind: Framework
name: hipaa
version: 1.0.0
title: Security Rule
source: {title: 45 CFR 164, url: https://www.ecfr.gov/part-164, licence: public domain}
complete: true
groups: {a: Administrative}
controls:
  - {id: 164.308(a)(1), title: Risk analysis, group: a}
"""
WAIVERS = """\
apiVersion: finops-policy/v1
kind: Waivers
waivers:
  - id: W-1
    policy: ec2-idle
    resource: arn:aws:ec2:*
    reason: Standby for the yearly audit
    owner: ann
    requested_by: bob
    approved_by: ann
    ticket: OPS-1
    expires: 2026-12-31
"""
FILES = {
    "policy": POLICY,
    "customer": CUSTOMER,
    "profile": PROFILE,
    "pack": PACK,
    "framework": FRAMEWORK,
    "waiver": WAIVERS,
}


def told(text: str, kind: str) -> list[Diagnostic]:
    return validate(parse(text.encode(), "f.yaml"), kind)


def changed(kind: str, old: str, new: str) -> list[Diagnostic]:
    assert FILES[kind].count(old) == 1
    return told(FILES[kind].replace(old, new), kind)


@pytest.mark.parametrize("kind", FILES)
def test_right_files_have_no_diagnostics(kind: str) -> None:
    assert told(FILES[kind], kind) == []


@pytest.mark.parametrize(
    ("kind", "old", "new", "says", "hint"),
    [
        # unknown and missing keys
        ("policy", "remediation", "remedation", "12:1 `remedation` is not a key of a policy file", "Did you mean rem"),
        ("policy", "severity: medium\n", "", "1:1 `severity` is missing", "Add it. How bad a finding is."),
        ("policy", "count: 50", "counts: 5", "16:9 `counts` is not a key of `max`", "Did you mean count?"),
        ("policy", "count: 50", "{}: 5".format("é" * 99), "16:9 `ééé", "Known: count, percent."),
        ("customer", ", name: acme-prod", "", "8:5 `name` is missing in item 1 of `accounts`", "Add it. Name print"),
        ("customer", "id:", "regin: x, id:", "8:6 `regin` is not a key of item 1 of `accounts`", "Did you mean region"),
        ("customer", "{name: reader}", "{}", "5:7 `name` is missing in `role`", "Role name"),
        # types
        ("customer", '"111122223333"', "111122223333", "8:10 `id` must be text: got 111122223333", "Put it in quotes."),
        ("customer", '"111122223333"', "011122223333", "8:10 `id` must be text: got 1229530843", "leading zero"),
        ("customer", "title: Acme Health", "title: yes", "4:8 `title` must be text: got true", "Put it in quotes."),
        ("customer", "title: Acme Health", "title:", "4:7 `title` must be text: got nothing", "after the colon"),
        (
            "customer",
            "[eu-west-1, us-east-1]",
            "x",
            '6:10 `regions` must be "enabled": got the text `x`',
            "Write a list",
        ),
        ("customer", "{name: reader}", "x", "5:7 `role` must be a mapping: got the text `x`", "read-only"),
        ("profile", "years: 6", 'years: "6"', "11:20 `years` must be a whole number: got the text `6`", "Remove the q"),
        ("profile", "years: 6", 'years: "-6"', "11:20 `years` must be a whole number: got the text `-6`", "Remove the"),
        ("profile", "years: 6", "years: 6.5", "11:20 `years` must be a whole number: got 6.5", "Years evidence is"),
        ("profile", "years: 6", "years: true", "11:20 `years` must be a whole number: got true", "Years evidence is"),
        ("profile", "version: 1.0.0", "version: 1.0", "4:10 `version` must be text: got 1.0", "Put it in quotes. Sem"),
        ("framework", "complete: true", "complete: 'true'", "7:11 `complete` must be true/false", "Remove the quotes."),
        # values
        (
            "policy",
            "medium",
            "hihg",
            "6:11 `severity` must be one of info, low, medium, high, critical: got the",
            "high",
        ),
        ("policy", "medium", "5", "medium, high, critical: got 5", "How bad a finding is."),
        ("policy", "medium", "zzz", "critical: got the text `zzz`", "How bad a finding is."),
        (
            "policy",
            "aws.ec2",
            "ec2",
            "5:11 `resource` does not have the right form: got the text `ec2`",
            "such as aws.",
        ),
        ("policy", "Running EC2 instances do work", "''", "4:8 `title` must have at least 3 characters: got 0", "hold"),
        ("policy", "name: ec2-idle", "name: " + "x" * 51, "3:7 `name` must have at most 50 characters: got 51", ""),
        ("policy", "percent: 10", "percent: 0", "16:29 `percent` must be more than 0: got 0", ""),
        ("policy", "percent: 10", "percent: 101", "16:29 `percent` must be at most 100: got 101", ""),
        ("policy", "count: 50", "count: 0", "16:16 `count` must be at least 1: got 0", ""),
        ("policy", "[stop]", "[]", "13:12 `actions` must have at least 1 item: got 0", "Cloud Custodian actions."),
        ("framework", "{a: Administrative}", "{}", "8:9 `groups` must have at least 1 key: got 0", "Group id"),
        ("customer", "us-east-1", "eu-west-1", "6:22 item 2 of `regions` repeats an earlier item", "Remove it."),
        ("customer", "us-east-1", "mars", "6:22 item 2 of `regions` does not have the right form", "eu-west-1"),
        (
            "customer",
            "idle-resources",
            "Idle",
            "10:3 `Idle` cannot be a key here: it does not have the right",
            "^[a-z]",
        ),
        ("customer", "idle_days", "idle-days", "10:20 `idle-days` cannot be a key here", "^[a-z][a-z0-9_]*$"),
        ("customer", "idle-resources", "i" * 51, "cannot be a key here: it must have at most 50 characters", ""),
        # where Python's regular expressions are laxer than the standard
        ("customer", "name: acme\n", 'name: "acme\\n"\n', r"3:7 `name` does not have the right form: got the tex", ""),
        ("customer", "111122223333", "١١١١٢٢٢٢٣٣٣٣", "8:10 `id` does not have the right form", "Twelve digits"),
        # formats
        ("waiver", "2026-12-31", "2026-02-30", "12:14 `expires` must be a date such as 2026-12-31: got the text", ""),
        ("waiver", "2026-12-31", "20261231", "12:14 `expires` must be text: got 20261231", "Put it in quotes."),
        ("waiver", "2026-12-31", "'20261231'", "12:14 `expires` must be a date", "Last day"),
        ("waiver", "2026-12-31", "2026-W01-1", "12:14 `expires` must be a date", "Last day"),
        ("waiver", "2026-12-31", '"2026-12-31\\n"', "12:14 `expires` must be a date", "Last day"),
        ("waiver", "2026-12-31", "2026-12-3١", "12:14 `expires` must be a date", "Last day"),
        ("customer", "ann@example.com", "ann", "12:24 `email` must be an e-mail address", ""),
        ("customer", "ann@example.com", "a b@example.com", "12:24 `email` must be an e-mail address", ""),
        ("customer", "ann@example.com", "'@example.com'", "12:24 `email` must be an e-mail address", ""),
        ("customer", "ann@example.com", "a@b@example.com", "12:24 `email` must be an e-mail address", ""),
        ("customer", "ann@example.com", "ann@example.com x", "12:24 `email` must be an e-mail address", ""),
        ("framework", "https://www.ecfr.gov/part-164", "www.ecfr.gov", "6:34 `url` must be an address", ""),
        ("framework", "https://www.ecfr.gov/part-164", "'https://[x'", "6:34 `url` must be an address", ""),
        ("framework", "https://www.ecfr.gov/part-164", "https://a b", "6:34 `url` must be an address", ""),
        ("pack", "^x[[a]", "^x[", "9:35 `pattern` must be a regular expression: got the text `^x[`", "must match"),
        ("pack", "^x[[a]", "a{99999999999999999999}", "9:35 `pattern` must be a regular expression", ""),
        ("pack", "^x[[a]", "(" * 5000, "9:35 `pattern` must be a regular expression", ""),
        # anyOf: only the branch that was meant
        ("policy", "  - tagged\n", "  - 5\n", "10:5 item 2 of `scope` must be text or a mapping: got 5", "A Cloud"),
        ("policy", "  - tagged\n", "  - {}\n", "10:5 item 2 of `scope` must have at least 1 key: got 0", ""),
        ("policy", '"${grace_days}"', "-1", "14:15 `grace_days` must be at least 0: got -1", ""),
        ("policy", '"${grace_days}"', '"$x"', "14:15 `grace_days` does not have the right form: got the text", "{["),
        ("policy", '"${grace_days}"', "[]", "14:15 `grace_days` must be a whole number or text: got a list", "Days"),
        ("customer", "idle_days: 7", "idle_days: {}", "`idle_days` must be text, a number, true/false or a list", ""),
        ("customer", "[a, b]", "[a, [b]]", "10:44 item 2 of `tags` must be text, a number or true/false: got a", ""),
        ("profile", "value: 7, ", "", "10:16 `value` is missing in `idle_days`", "Add it."),
        ("profile", "value: 7", "value: {}", "10:24 `value` must be text, a number, true/false or a list", ""),
        ("profile", "final", "finl", "10:27 `finl` is not a key of `idle_days`", "Did you mean final?"),
    ],
)
def test_one_mistake_one_diagnostic(kind: str, old: str, new: str, says: str, hint: str) -> None:
    (found,) = changed(kind, old, new)
    assert found.rule == "schema"
    assert says in f"{found.mark.line}:{found.mark.column} {found.message}"
    assert hint in found.hint


def test_words_that_would_mislead_are_left_out() -> None:
    (number,) = changed("policy", "  - tagged\n", "  - 5\n")
    assert number.hint.startswith("A Cloud Custodian filter"), "quotes alone would not make a filter of it"
    (key,) = changed("customer", "idle-resources", "Idle")
    assert key.message == "`Idle` cannot be a key here: it does not have the right form"


def test_all_mistakes_are_told_in_the_order_of_the_file() -> None:
    found = told("apiVersion: finops-policy/v1\nkind: Policy\nname: X\nsevrity: low\nscope: 1\n", "policy")
    assert [(one.mark.line, one.message.split(" ")[0]) for one in found] == [
        (1, "`title`"),
        (1, "`resource`"),
        (1, "`severity`"),
        (1, "`rationale`"),
        (1, "`violation`"),
        (3, "`name`"),
        (4, "`sevrity`"),
        (5, "`scope`"),
    ]


@pytest.mark.parametrize(
    ("text", "says", "hint"),
    [
        ("kind: Pack\nnme: x\n", "1:7 `kind` must be Policy here: got the text `Pack`", "Write `kind: Policy`."),
        ("nme: x\n", "1:1 `kind` is missing", "Write `kind: Policy`."),
        ("kind: Policy\n", "1:1 `apiVersion` is missing", "Write `apiVersion: finops-policy/v1`."),
        ("kind: Policy\napiVersion: v2\n", "2:13 `apiVersion` must be finops-policy/v1 here", "finops-policy/v1"),
        ("- a\n", "1:1 the file must be a mapping: got a list", "kind: Policy"),
        ("just text", "1:1 the file must be a mapping: got the text `just text`", "kind: Policy"),
    ],
)
def test_a_file_of_another_kind_gets_one_diagnostic(text: str, says: str, hint: str) -> None:
    (found,) = told(text, "policy")
    assert says in f"{found.mark.line}:{found.mark.column} {found.message}"
    assert hint in found.hint


def test_hostile_text_is_shown_harmless_and_short() -> None:
    (found,) = changed("policy", "aws.ec2", '"\u202eaws\\t' + "x" * 500 + '"')
    assert r"`\u202eaws\t" in found.message
    assert len(found.message) < 150


def test_jsonschema_never_speaks_to_users() -> None:
    """Each keyword that the schemas use has words of its own; ``title``, ``items`` and the like cannot fail."""
    silent = {"$schema", "$id", "title", "description", "default", "properties", "items"}
    worded = {*validation._WORDS, "required", "additionalProperties", "propertyNames"}

    def keywords(node: Any) -> set[str]:
        found = set(node)
        for key in ("properties", "$defs"):
            for inner in node.get(key, {}).values():
                found |= keywords(inner)
        for key in ("items", "additionalProperties", "propertyNames"):
            found |= keywords(node[key]) if isinstance(node.get(key), dict) else set()
        for inner in node.get("anyOf", ()):
            found |= keywords(inner)
        return found

    for kind in KINDS:
        assert keywords(schema(kind)) - silent <= worded, kind


def test_formats_of_the_schemas_are_all_checked() -> None:
    text = "".join(json.dumps(schema(kind)) for kind in KINDS)
    used = {part.split('"')[0] for part in text.split('"format": "')[1:]}
    assert used == set(validation.FORMATS)


def test_schemas_are_read_once() -> None:
    assert schema("policy") is schema("policy")


# --- Parameter values -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "value", "says"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 455, "default": 1, "unit": "days"}, 14, ""),
        ({"type": "integer"}, True, "must be a whole number: got true"),
        ({"type": "integer"}, "14", "must be a whole number: got the text `14`"),
        ({"type": "number"}, False, "must be a number: got false"),
        ({"type": "number"}, 1, ""),
        ({"type": "boolean"}, 1, "must be true/false: got 1"),
        ({"type": "integer", "maximum": 455}, 500, "must be at most 455: got 500"),
        ({"type": "string", "enum": ["a", "b"]}, "c", "must be one of a, b: got the text `c`"),
        ({"type": "integer", "enum": [1, 2]}, True, "must be a whole number: got true"),
        ({"enum": [1, 2]}, True, "must be one of 1, 2: got true"),
        ({"type": "string", "pattern": "^[a-c]+$"}, "abc", ""),
        ({"type": "string", "pattern": "^[a-c]+$"}, "abc\n", r"does not have the right form: got the text `abc\n`"),
        ({"type": "string", "pattern": r"^[$]\$$"}, "$$", ""),
        ({"type": "string", "pattern": "("}, "a", "does not have the right form: got the text `a`"),
        ({"type": "array", "items": {"type": "string"}}, ("a", "b"), ""),
        ({"type": "array", "items": {"type": "string"}}, ["a", 5], "is wrong: item 2 of the list must be text: got 5"),
        ({"type": "array", "minItems": 2}, ("a",), "must have at least 2 items: got 1"),
        ({"type": "array"}, "a", "must be a list: got the text `a`"),
        ({"type": "string"}, "", ""),
        ({"type": "string", "const": "a"}, "b", 'must be "a": got the text `b`'),
        (
            {"uniqueItems": True},
            [{"a": 1, "b": 2}, {"b": 2, "a": 1}],
            "is wrong: item 2 of the list repeats an earlier item: a mapping",
        ),
        ({"additionalProperties": {}}, {"a": 1}, ""),
        ({"multipleOf": 5}, 7, "breaks the rule multipleOf of the schema"),
    ],
)
def test_parameter_values(expected: dict[str, Any], value: object, says: str) -> None:
    assert check_value(expected, value) == says


def test_jsonschema_is_imported_only_when_something_is_checked() -> None:
    code = "import sys, finops_policy.validation; sys.exit('jsonschema' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0
