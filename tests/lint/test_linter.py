"""From paths to a report: every problem of every file once, in order, by the names of here; and what is not checked."""

from __future__ import annotations

import datetime as dt
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from finops_policy.lint.linter import lint
from finops_policy.lint.rule import Level
from finops_policy.lint.rules import RULES
from finops_policy.lint.settings import Settings
from tests.lint.engine_kit import BAD, CUSTOMER, GOOD, PACK, POLICY, PROFILE, WAIVERS, WORKSPACE, look, places, write
from tests.lint.kit import lines, linted

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


# --- All at once ------------------------------------------------------------------------------------------------------


def test_a_workspace_that_fits_together_is_clean(place: Path) -> None:
    report = look(write(place, WORKSPACE))
    assert not report.told
    assert not report.unchecked
    assert len(report.sources) == 6
    assert report.policies == 1


def test_every_problem_of_every_file_is_told_in_order(place: Path) -> None:
    write(
        place,
        {
            "c.yml": BAD,
            "b.yml": "policies: [{resource: x\n",
            "a.yml": "policies:\n- name: a\n  resource: aws.ec2\n  filters: [nothing]\n  actions: [nothing]\n"
            "- name: b\n  resource: aws.nothing\n  resource: aws.nothing\n- 5\n",
            "d.yaml": WAIVERS + "more: x\n",
            "e.yml": "policies:\n- name: a\n  resource: aws.ec2\n  mode: {type: nothing}\nother: x\n",
        },
    )
    report = look(".")
    assert places(report) == [
        "a.yml:4 unknown-filter",
        "a.yml:5 unknown-action",
        "a.yml:7 unknown-resource",
        "a.yml:8 duplicate-key",
        "a.yml:9 schema",
        "b.yml:2 yaml-syntax",
        "c.yml:3 unknown-resource",
        "d.yaml:14 schema",
        "e.yml:4 unknown-mode",
        "e.yml:5 schema",
    ]
    assert [each.diagnostic.mark for each in report.told] == sorted(each.diagnostic.mark for each in report.told)


def test_what_is_told_of_comments_is_in_order_too(place: Path) -> None:
    comment = "# finops-policy: ignore[schema] x"
    write(
        place, {"a.yml": BAD, "b.yml": f"policies: {comment}\n- name: b {comment}\n  resource: aws.nothing {comment}\n"}
    )
    assert [(each.diagnostic.mark.path, each.diagnostic.mark.line) for each in look("b.yml", "a.yml").told] == [
        *(("a.yml", 3), ("b.yml", 1), ("b.yml", 2), ("b.yml", 3), ("b.yml", 3)),
    ]


def test_a_problem_that_several_readers_find_is_told_once(place: Path) -> None:
    """The file itself is read, and the catalogue reads it for every profile and customer."""
    broken = {
        "packs/own/pack.yaml": PACK.replace("version: 1.2.0", "version: one"),
        "packs/own/old-snapshots.yaml": POLICY.replace("severity: low", "severity: low\nseverity: low"),
        "customers/globex/customer.yaml": CUSTOMER + "more: x\n",
        "profiles/ours.yaml": PROFILE.replace("kind: Profile", "kind: Profil"),
    }
    report = look(write(place, {**WORKSPACE, **broken}), workspace=place)
    assert sorted(places(report)) == sorted(set(places(report)))
    assert {each.partition(":")[0] for each in places(report)} == set(broken)
    assert len(report.told) == len({each.diagnostic for each in report.told}) == 4


def test_a_broken_file_does_not_hide_the_rest(place: Path) -> None:
    write(place, WORKSPACE)
    write(
        place,
        {
            "packs/broken/pack.yaml": PACK.replace("name: own", "name: broken") + "more: [\n",
            "packs/own/old-snapshots.yaml": POLICY.replace("aws.ebs-snapshot", "aws.ebs-snapsho"),
            "profiles/ours.yaml": PROFILE.replace("packs:\n", 'packs:\n  broken: {version: "~=1.0"}\n')
            + "parameters:\n  broken: {days: 3}\n  own: {dys: 3}\n",
            "customers/globex/customer.yaml": CUSTOMER + "parameters:\n  broken: {days: 3}\n  own: {days: none}\n",
            "customers/globex/waivers.yaml": WAIVERS.replace("policy: old-snapshots", "policy: of-the-broken-one"),
        },
    )
    assert places(look(".")) == [
        "customers/globex/customer.yaml:11 parameter-type",
        "packs/broken/pack.yaml:10 yaml-syntax",
        "packs/own/old-snapshots.yaml:5 unknown-resource",
        "profiles/ours.yaml:14 unknown-parameter",
    ]


def test_files_that_are_not_linted_are_not_told_of(place: Path) -> None:
    write(place, {**WORKSPACE, "a.yml": BAD, "packs/own/old-snapshots.yaml": POLICY.replace("${days}", "${dys}")})
    assert places(look("customers", "profiles")) == []
    assert places(look("packs/own/pack.yaml")) == ["packs/own/pack.yaml:8 unused-parameter"]
    assert places(look("packs/own/old-snapshots.yaml")) == ["packs/own/old-snapshots.yaml:11 unknown-parameter"]
    assert places(look("a.yml")) == ["a.yml:3 unknown-resource"]


# --- Policies of packs ------------------------------------------------------------------------------------------------


def test_a_policy_alone_has_the_parameters_of_its_pack(place: Path) -> None:
    write(place, WORKSPACE)
    for name in ("packs/own/old-snapshots.yaml", "packs/own"):
        report = look(name)
        assert not report.told
        assert not report.unchecked
        assert report.policies == 1


def test_packs_outside_of_the_workspace_are_checked_by_themselves(place: Path) -> None:
    write(place / "lab", WORKSPACE)
    write(place, {"lab/packs/own/old-snapshots.yaml": POLICY.replace("${days}", "${dys}").replace("days: 1", "day: 1")})
    assert places(look("lab")) == [
        "lab/packs/own/old-snapshots.yaml:9 schema",
        "lab/packs/own/old-snapshots.yaml:11 unknown-parameter",
    ]


@pytest.mark.parametrize("head", ["", "packs: [\n", PACK.replace("version: 1.2.0", "version: one")])
def test_a_policy_whose_pack_cannot_be_read_is_not_checked_and_told(head: str, place: Path) -> None:
    name = "packs/own/old-snapshots.yaml"
    write(place, {name: POLICY, **({"packs/own/pack.yaml": head} if head else {})})
    report = look(name)
    assert places(report) == []
    assert report.unchecked == (
        f"{name}:1:1: old-snapshots: its parameters are not known, as pack.yaml beside it cannot be read",
    )


def test_a_policy_without_parameters_needs_no_pack(place: Path) -> None:
    write(place, {"old-snapshots.yaml": POLICY.replace('"${days}"', "soon")})
    report = look("old-snapshots.yaml")
    assert places(report) == ["old-snapshots.yaml:11 schema"]
    assert not report.unchecked


@pytest.mark.parametrize(
    "filter_",
    [
        '{type: instance-age, days: "${none}", op: ge}',
        "{type: instance-age, days: '${none}', op: ge}",
        "type: instance-age\n    op: ge\n    days: ${none}",
        '{type: marked-for-op, op: "${none}"}',
        '{type: offhour, default_tz: "${none}", offhour: 20}',
        '{type: value, key: x, value_type: date, value: "${none}"}',
        '{type: value, key: x, value_type: cidr, value: "${none}"}',
    ],
)
def test_what_only_follows_from_an_unknown_parameter_is_not_told(filter_: str, place: Path) -> None:
    text = POLICY.replace("aws.ebs-snapshot", "aws.ec2").replace("type: age", "type: instance-age") + f"  - {filter_}\n"
    line = len(text.splitlines())
    write(place, {**WORKSPACE, "packs/own/old-snapshots.yaml": text})
    assert places(look(".")) == [f"packs/own/old-snapshots.yaml:{line} unknown-parameter"]
    write(place, {"packs/own/old-snapshots.yaml": f"{text}  - {{type: nothing}}\n"})
    assert places(look(".")) == [
        f"packs/own/old-snapshots.yaml:{line} unknown-parameter",
        f"packs/own/old-snapshots.yaml:{line + 1} unknown-filter",
    ], "the rest of the policy is checked"


# --- Names ------------------------------------------------------------------------------------------------------------

WRONG = {
    **WORKSPACE,
    "packs/own/pack.yaml": PACK.replace("name: own", "name: ours"),
    "customers/globex/customer.yaml": CUSTOMER.replace("profile: ours", "profile: theirs"),
}
FOUND = ["customers/globex/customer.yaml:5 unknown-profile", "packs/own/pack.yaml:3 name"]


@pytest.mark.parametrize(
    ("current", "paths", "workspace", "before"),
    [
        ("ws", ["."], ".", ""),
        (".", ["ws"], "ws", "ws/"),
        (".", ["ws"], "./ws/", "ws/"),
        ("ws/packs", [".."], "..", "../"),
        ("ws", ["{place}/ws"], "{place}/ws", ""),
        ("other", ["{place}/ws"], "{place}/ws", "{place}/ws/"),
        ("other", ["../ws"], "../ws", "../ws/"),
        ("other", ["../ws/packs", "../ws/customers"], "{place}/ws", "../ws/"),
        (".", ["link"], "ws", "link/"),
        (".", ["ws"], "link", "ws/"),
        ("other", ["../link/../ws"], "../link", "../link/../ws/"),
    ],
)
def test_places_have_the_names_of_here(
    current: str, paths: list[str], workspace: str, before: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(place / "ws", WRONG)
    (place / "other").mkdir()
    (place / "link").symlink_to("ws")
    monkeypatch.chdir(place / current)
    report = look(*(each.format(place=place) for each in paths), workspace=workspace.format(place=place))
    before = before.format(place=place)
    here = {"../": ["../customers/globex/customer.yaml:5 unknown-profile", "own/pack.yaml:3 name"]}
    assert places(report) == here.get(before, [before + each for each in FOUND])


def test_files_of_the_same_name_elsewhere_are_not_confused(place: Path) -> None:
    """The catalogue of the workspace and the current folder both have a packs/own/pack.yaml."""
    write(place, WORKSPACE)
    write(place / "ws", WRONG)
    assert places(look(".", workspace="ws")) == [f"ws/{each}" for each in FOUND]
    assert places(look("packs", "profiles", "customers", workspace="ws")) == []


def test_places_that_rules_take_from_the_catalogue_have_the_names_of_here(place: Path) -> None:
    auto = PROFILE.replace('own: {version: "~=1.0"}', 'own: {version: "~=1.0", posture: auto}')
    destroys = POLICY + "remediation:\n  actions: [delete]\n  destructive: true\n  max: {count: 5, percent: 10}\n"
    write(place / "ws", {**WORKSPACE, "profiles/ours.yaml": auto, "packs/own/old-snapshots.yaml": destroys})
    found = [each.diagnostic for each in look("ws", workspace="ws").told]
    assert {str(each.mark) for each in found if each.rule == "destructive-without-approval"} == {
        "ws/profiles/ours.yaml:7:3"
    }


def test_related_places_have_the_names_of_here(place: Path) -> None:
    write(
        place / "ws",
        {**WORKSPACE, "profiles/ours.yaml": PROFILE.replace('own: {version: "~=1.0"}', 'own: {version: "~=2.0"}')},
    )
    [found] = look("ws", workspace="ws").active
    assert found.diagnostic.rule == "version-range"
    assert [str(mark) for mark in found.diagnostic.related] == ["ws/packs/own/pack.yaml:1:1"]
    [found] = look("ws/profiles", workspace="ws").active
    assert [str(mark) for mark in found.diagnostic.related] == ["ws/packs/own/pack.yaml:1:1"]


def test_a_checkout_of_the_library_is_its_own_library(place: Path) -> None:
    write(place, {f"policies/{name}": text for name, text in WORKSPACE.items() if not name.startswith("customers")})
    write(place, {name: text for name, text in WORKSPACE.items() if name.startswith("customers")})
    assert not look(".").told
    write(place, {"policies/packs/own/pack.yaml": WRONG["packs/own/pack.yaml"]})
    assert places(look(".")) == ["policies/packs/own/pack.yaml:3 name"]


def test_built_in_files_are_there_and_not_told_of(place: Path) -> None:
    write(place, {"customers/globex/customer.yaml": CUSTOMER.replace("profile: ours", "profile: hipaa")})
    report = look(".")
    assert not report.told
    assert len(report.sources) == 1


# --- What is not checked ----------------------------------------------------------------------------------------------


def test_policies_of_other_clouds_are_told(place: Path) -> None:
    text = "policies:\n- name: vm\n  resource: azure.vm\n  filters: [nothing]\n- name: vm-2\n  resource: gcp.instance\n"
    write(place, {"a.yml": text + "- resource: azure.disk\n"})
    report = look(".")
    assert report.unchecked[:2] == (
        "a.yml:2:3: vm: only AWS is checked, not azure",
        "a.yml:5:3: vm-2: only AWS is checked, not gcp",
    )
    assert places(report) == ["a.yml:7 schema"], "but what every policy needs is"
    assert report.policies == 3


def test_a_provider_that_is_none_is_an_error(place: Path) -> None:
    write(place, {"a.yml": "policies:\n- {name: a, resource: awss.ec2}\n- {name: b, resource: .ec2}\n"})
    report = look(".")
    assert places(report) == ["a.yml:2 unknown-resource", "a.yml:3 unknown-resource"]
    assert not report.unchecked


# --- today ------------------------------------------------------------------------------------------------------------


def test_today_is_given_or_that_of_the_clock(place: Path) -> None:
    write(place, WORKSPACE)
    rules = [
        {each.diagnostic.rule for each in look(".", today=dt.date(*day)).told}
        for day in ((2026, 11, 24), (2027, 6, 20), (2027, 6, 30), (2027, 7, 1))
    ]
    assert rules == [set(), {"waiver-expires-soon"}, {"waiver-expires-soon"}, {"waiver-expired"}]
    now = dt.datetime.now(dt.UTC).date()
    write(place, {"customers/globex/waivers.yaml": WAIVERS.replace("2027-06-30", str(now - dt.timedelta(days=1)))})
    told = lint([Path()], Path(), Settings()).told
    assert [each.diagnostic.rule for each in told] == ["waiver-expired"]


# --- The registry -----------------------------------------------------------------------------------------------------


def test_the_rules_that_readers_of_files_tell_are_registered() -> None:
    """Otherwise linting would end where one of them is told first."""
    pattern = re.compile(r"""(?:Diagnostic\(|_refuse\(|_problem\(|rule\s*=)\s*"([a-z][a-z-]+)\"""")
    names = ("catalog", "compiler", "reading", "sources", "validation", "yaml_words", "lint/files", "lint/library")
    told = {found for name in names for found in pattern.findall((ROOT / "finops_policy" / f"{name}.py").read_text())}
    assert {"yaml-alias", "unknown-profile", "version-range", "name", "file-unreadable"} <= told, (
        "the pattern finds them"
    )
    assert told <= RULES.keys()


def test_ids_are_words_and_levels_are_not_off() -> None:
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", rule) for rule in RULES)
    assert all(rule.id == name and rule.level is not Level.OFF for name, rule in RULES.items())
    assert all(text.endswith(".") for rule in RULES.values() for text in (rule.summary, rule.why))


def test_progress_is_told(place: Path) -> None:
    write(place, {"a.yml": GOOD, "b.yml": GOOD, "c.yaml": "x: y\n"})
    said: list[str] = []
    lint([Path()], Path(), Settings(), progress=said.append)
    assert said[:4] == ["Reading files: 1", "Reading files: 2", "Reading files: 3", "Checking 2 policies"]
    assert any("never-true" in each for each in said)


@pytest.mark.parametrize(
    "policy",
    [
        "{name: a, resource: ec2, filters: [{type: image-age, days: '{d}'}]}",
        "{name: a, resource: ebs, actions: [{type: mark-for-op, op: delete, days: '{n}'}]}",
        "{name: a, resource: ec2, mode: {type: periodic, schedule: rate(1 day), role: x, timeout: '{t}'}}",
    ],
)
def test_a_variable_where_a_number_should_be_is_no_error_in_a_fresh_process(policy: str, tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(f"policies: [{policy}]\n")
    command = [sys.executable, "-m", "finops_policy", "lint", "a.yml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "unresolved-variable" in done.stdout


@pytest.mark.parametrize("unseen", ["\u0085", "\u2028", "\u2029"])
def test_a_line_break_that_nobody_sees_is_one_for_cloud_custodian(unseen: str, tmp_path: Path) -> None:
    text = f"policies:\n{unseen}  - name: a\n{unseen}    resource: ec2\n    filters:{unseen}      - nothing\n"
    report = linted(tmp_path, text)
    assert lines(report, "unknown-filter") == [4]
    assert [each.diagnostic.rule for each in report.told if each.level is Level.ERROR] == ["unknown-filter"]


@pytest.mark.parametrize("unseen", ["\u0085", "\u2028", "\u2029"])
def test_characters_that_yaml_takes_for_line_breaks_move_nothing(unseen: str, tmp_path: Path) -> None:
    text = f'policies:\n  - name: a\n    resource: ec2\n    description: "x{unseen}y"\n    filters: [nothing]\n'
    assert lines(linted(tmp_path, text), "unknown-filter") == [5]


def test_many_comments_take_no_long_time(tmp_path: Path) -> None:
    text = "policies:\n  - name: a\n    resource: ec2\n" + "    # finops-policy: ignore[secret] r\n" * 20_000
    started = time.monotonic()
    assert len(linted(tmp_path, text + "    filters: []\n").told) == 20_000
    assert time.monotonic() - started < 10


def test_a_date_beside_a_value_type_is_not_put_in_quotes(tmp_path: Path) -> None:
    value = "{type: value, key: LaunchTime, value_type: age, op: gt, value: 2024-01-01}"
    report = linted(tmp_path, f"policies:\n  - name: a\n    resource: ec2\n    filters: [{value}]\n")
    [told] = [each.diagnostic for each in report.told if each.diagnostic.rule == "schema"]
    assert told.fix is None
    assert "number of days" in told.hint
