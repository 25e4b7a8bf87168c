"""How the files of a workspace fit together: each rule of ``lint/rules/library.py`` once, on its line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from finops_policy.lint.rule import Level
from finops_policy.lint.rules import library
from tests.lint.engine_kit import CUSTOMER, PACK, POLICY, PROFILE, WORKSPACE, look, places, write

PACK_YAML, POLICY_YAML = "packs/own/pack.yaml", "packs/own/old-snapshots.yaml"
PROFILE_YAML, FRAMEWORK_YAML = "profiles/ours.yaml", "frameworks/house.yaml"
CUSTOMER_YAML, WAIVERS_YAML = "customers/globex/customer.yaml", "customers/globex/waivers.yaml"
END = r"\Z"
VALUES = "parameters:\n  own:\n    "
TWICE = (
    "  - {id: W-1, policy: old-snapshots, resource: arn:aws:s3:::a, reason: It is kept until the appeal ends,\n"
    "     owner: a@b.example, requested_by: a@b.example, approved_by: b@b.example, ticket: F-1, expires: 2027-01-01}\n"
)
UNITS = "organization:\n  include: [ou-abcd-11111111]\n  exclude:\n    - ou-abcd-11111111\n"

CASES: Mapping[str, tuple[str, str, str, str, str]] = {
    "a pack of another name": ("name", PACK_YAML, "name: own", "name: other", "name: other"),
    "a policy of another name": ("name", POLICY_YAML, "name: old-", "name: new-", "name: new-"),
    "a profile of another name": ("name", PROFILE_YAML, "name: ours", "name: yours", "name: yours"),
    "a framework of another name": ("name", FRAMEWORK_YAML, "name: house", "name: home", "name: home"),
    "a customer of another name": ("name", CUSTOMER_YAML, "name: globex", "name: acme", "name: acme"),
    "an account twice": ("duplicate", CUSTOMER_YAML, END, '  - {id: "111122223333", name: again}\n', "again"),
    "a waiver twice": ("duplicate", WAIVERS_YAML, END, TWICE, "{id: W-1"),
    "a mapping twice": (
        *("duplicate", FRAMEWORK_YAML, END),
        *("      - {policy: own/old-snapshots, strength: partial, rationale: It finds more.}\n", "strength: partial"),
    ),
    "a unit in and out": ("clash", CUSTOMER_YAML, r"accounts:\n.*\n", UNITS, "    - ou-abcd"),
    "a pack that is not there": ("unknown-pack", PROFILE_YAML, "  own:", "  won:", "  won:"),
    "values for no pack": ("unknown-pack", CUSTOMER_YAML, END, "parameters:\n  won: {days: 3}\n", "  won:"),
    "a framework that is not there": ("unknown-framework", PROFILE_YAML, "  house:", "  hose:", "  hose:"),
    "a control of no policy": ("unknown-policy", FRAMEWORK_YAML, "own/old-snapshots", "own/old", "own/old"),
    "a waiver of no policy": (
        "unknown-policy",
        WAIVERS_YAML,
        "policy: old-snapshots",
        "policy: old-shots",
        "- id: W-1",
    ),
    "a profile that is not there": ("unknown-profile", CUSTOMER_YAML, "profile: ours", "profile: our", "profile: our"),
    "a value for no parameter": ("unknown-parameter", PROFILE_YAML, END, f"{VALUES}day: 3\n", "    day:"),
    "a placeholder of no parameter": ("unknown-parameter", POLICY_YAML, "days}", "day}", "${day}"),
    "an account's value for no parameter": (
        *("unknown-parameter", CUSTOMER_YAML, "name: main}"),
        *("name: main,\n    parameters: {own: {day: 3}}}", "{day: 3}"),
    ),
    "a group that is not there": ("unknown-group", FRAMEWORK_YAML, "group: g", "group: h", "group: h"),
    "a parameter that nothing uses": (
        *("unused-parameter", PACK_YAML, END),
        *("  more: {type: integer, default: 1, description: More of it, unit: days}\n", "  more:"),
    ),
    "a placeholder within text": ("placeholder", POLICY_YAML, "days}", "days} days", "${days}"),
    "a placeholder as a key": ("placeholder", POLICY_YAML, END, '  - {"tag:${days}": absent}\n', "tag:${days}"),
    "a value of another type": ("parameter-type", CUSTOMER_YAML, END, f"{VALUES}days: 0\n", "    days:"),
    "a value that is final": ("final-parameter", CUSTOMER_YAML, END, f"{VALUES}days: 5\n", "    days:"),
    "a pack of another version": ("version-range", PROFILE_YAML, "own: {version: .*}", 'own: {version: "~=2"}', "~=2"),
    "a framework of another version": ("version-range", PROFILE_YAML, "house: .*", 'house: "~=2"', "~=2"),
    "a waiver of the approver": ("self-approved", WAIVERS_YAML, "approved_by: c@", "approved_by: B@", "- id: W-1"),
}
"""Rule, file, what is replaced, by what, and text on the line where it is told."""
TEXTS = {**WORKSPACE, PROFILE_YAML: f"{PROFILE}{VALUES}days: {{value: 3, final: true}}\n"}


def changed(case: str) -> dict[str, str]:
    """The files of a workspace with one thing wrong."""
    rule, name, old, new, _ = CASES[case]
    files = dict(TEXTS if rule == "final-parameter" else WORKSPACE)
    files[name], count = re.subn(old, lambda _: new, files[name], count=1)
    assert count
    return files


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("case", CASES)
def test_each_rule_on_its_line(case: str, place: Path) -> None:
    rule, name, _, _, where = CASES[case]
    files = changed(case)
    write(place, files)
    line = 1 + next(number for number, each in enumerate(files[name].splitlines()) if where in each)
    assert [each for each in places(look(".")) if each.endswith(f" {rule}")] == [f"{name}:{line} {rule}"]


def test_the_cases_are_all_rules_that_this_reader_tells() -> None:
    assert {rule for rule, *_ in CASES.values()} == {rule.id for rule in library.RULES}


def test_these_are_errors_because_running_is_refused() -> None:
    assert {rule.level for rule in library.RULES} == {Level.ERROR}


@pytest.mark.parametrize(
    ("case", "hint"),
    [
        ("a profile that is not there", "Did you mean ours?"),
        ("a waiver of no policy", "Did you mean old-snapshots"),
        ("a placeholder of no parameter", "Did you mean days?"),
        ("a value for no parameter", "Did you mean days?"),
    ],
)
def test_the_nearest_name_is_told(case: str, hint: str, place: Path) -> None:
    write(place, changed(case))
    [found] = [each.diagnostic for each in look(".").active if each.diagnostic.rule == CASES[case][0]]
    assert found.hint.startswith(hint)


def test_a_pack_that_no_profile_names_is_checked_too(place: Path) -> None:
    write(place, {PACK_YAML: PACK, POLICY_YAML: POLICY.replace("${days}", "${day}")})
    assert sorted(places(look("."))) == [f"{POLICY_YAML}:11 unknown-parameter", f"{PACK_YAML}:8 unused-parameter"]


def test_a_customer_of_a_built_in_profile_is_checked(place: Path) -> None:
    text = CUSTOMER.replace("profile: ours", "profile: hipaa") + "parameters:\n  idle-resources: {idle_days: none}\n"
    write(place, {CUSTOMER_YAML: text})
    assert places(look(".")) == [f"{CUSTOMER_YAML}:10 parameter-type"]


def test_plain_files_load_no_library(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repository that has never heard of packs pays nothing for them."""
    write(place, {**WORKSPACE, "c7n/a.yml": "policies: []\n"})
    monkeypatch.setattr("finops_policy.catalog.Catalog.packs", lambda self: pytest.fail("the library was asked"))
    assert not look("c7n").told
