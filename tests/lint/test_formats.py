"""Formats for programs: each is valid where its readers look, complete, and stays text whatever the files hold."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

import jsonschema
import pytest
import xmlschema
from jsonschema import Draft4Validator, Draft202012Validator, ValidationError

from finops_policy import __version__
from finops_policy.library import library_root
from finops_policy.lint.formats import FORMATS
from finops_policy.lint.formats.fingerprints import fingerprints
from finops_policy.lint.pages import page
from finops_policy.lint.report import Report
from finops_policy.lint.rule import Level
from finops_policy.marks import Fix, Mark
from tests.lint import formats_kit as kit

DATA = Path(__file__).parent / "data"
JSON = json.loads(library_root().joinpath("schemas", "lint.schema.json").read_text("utf-8"))
SARIF = json.loads((DATA / "sarif-schema-2.1.0.json").read_text("utf-8"))
GITLAB = json.loads((DATA / "gitlab-code-quality.schema.json").read_text("utf-8"))

Rendered = Callable[[str, Report], str]


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> Rendered:
    return lambda name, made: kit.render(name, made, monkeypatch)


@pytest.fixture
def sarif(rendered: Rendered) -> Callable[[Report], dict[str, Any]]:
    """The one run of a report's log."""

    def run(made: Report) -> dict[str, Any]:
        log = json.loads(rendered("sarif", made))
        Draft4Validator(SARIF).validate(log)
        [found] = log["runs"]
        assert isinstance(found, dict)
        return found

    return run


every_report = pytest.mark.parametrize("build", kit.BUILDS.values(), ids=kit.BUILDS)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_has_its_module_and_ends_its_last_line(name: str, rendered: Rendered) -> None:
    assert import_module(FORMATS[name]).render
    assert rendered(name, kit.sample()).endswith("\n")


@pytest.mark.parametrize(
    ("name", "golden"),
    [
        ("json", "lint.json"),
        ("sarif", "lint.sarif"),
        ("github", "github.txt"),
        ("gitlab", "gl-code-quality-report.json"),
        ("junit", "junit.xml"),
    ],
)
def test_is_what_it_was_before(name: str, golden: str, rendered: Rendered) -> None:
    kit.assert_golden(golden, rendered(name, kit.sample()).replace(f'"{__version__}"', '"0.0.0"'))


@pytest.mark.parametrize("name", ["json", "sarif", "gitlab"])
def test_json_is_ascii(name: str, rendered: Rendered) -> None:
    assert rendered(name, kit.hostile()).isascii()


# --- json -------------------------------------------------------------------------------------------------------------


@every_report
def test_json_follows_its_schema(build: Callable[[], Report], rendered: Rendered) -> None:
    Draft202012Validator.check_schema(JSON)
    Draft202012Validator(JSON).validate(json.loads(rendered("json", build())))


def test_the_json_schema_is_strict_and_described(rendered: Rendered) -> None:
    data = json.loads(rendered("json", kit.sample()))
    data["diagnostics"][0]["line"] = 0
    with pytest.raises(ValidationError, match="0 is less than the minimum"):
        Draft202012Validator(JSON).validate(data)

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if node.get("type") == "object" or node.get("type") == ["object", "null"]:
                assert node["additionalProperties"] is False
                assert sorted(node["required"]) == sorted(node["properties"])
            for each in node.get("properties", {}).values():
                assert each["title"]
                assert each["description"].endswith(".")
            for each in node.values():
                walk(each)
        elif isinstance(node, list):
            for each in node:
                walk(each)

    walk(JSON)


def test_json_has_everything(rendered: Rendered) -> None:
    made = kit.sample()
    data = json.loads(rendered("json", made))
    assert data["versions"] == {"finops-policy": __version__, "c7n": kit.C7N}
    assert data["counts"] == {
        "errors": 3,
        "warnings": 2,
        "notes": 1,
        "suppressed": 1,
        "files": 4,
        "policies": 4,
        "passed_over": 2,
        "unchecked": 1,
    }
    assert len(data["diagnostics"]) == len(made.told)
    assert [each["suppressed"] for each in data["diagnostics"] if each["suppressed"]] == ["every instance here is old"]
    assert data["files"] == list(made.sources)
    assert data["passed_over"] == list(made.passed_over)
    assert data["unchecked"] == list(made.unchecked)
    assert {each["id"] for each in data["rules"]} == {each["rule"] for each in data["diagnostics"]}
    first, fixed = data["diagnostics"][0], data["diagnostics"][1]
    assert (first["line"], first["column"], first["end_column"]) == (5, 15, 21)
    assert first["related"] == [{"path": "policies/ec2.yml", "line": 3, "column": 15}]
    assert fixed["fix"] == {"old": "2026-01-01", "new": '"2026-01-01"'}


def test_json_has_the_rules_of_its_diagnostics_alone(rendered: Rendered) -> None:
    made = kit.report(kit.told("yaml-date", "a date", Mark("a.yml", 1, 1)), sources=(kit.source("a.yml", kit.RDS),))
    assert [each["id"] for each in json.loads(rendered("json", made))["rules"]] == ["yaml-date"]


def test_json_keeps_hostile_text_as_it_is(rendered: Rendered) -> None:
    made = kit.hostile()
    data = json.loads(rendered("json", made))
    assert [each["message"] for each in data["diagnostics"]] == [each.diagnostic.message for each in made.told]
    assert data["unchecked"] == list(made.unchecked)


# --- fingerprints -----------------------------------------------------------------------------------------------------


def named(text: str, *places: tuple[str, str], label: str = "a.yml") -> list[str]:
    """The fingerprints of diagnostics at the first mention of each text, by (rule, text)."""
    told = []
    for rule, at in places:
        before = text[: text.index(at)]
        mark = Mark(label, before.count("\n") + 1, len(before.rpartition("\n")[2]) + 1)
        told.append(kit.told(rule, "wrong", mark))
    return fingerprints(kit.report(*told, sources=(kit.source(label, text),)))


def test_fingerprints_are_all_different() -> None:
    for build in kit.BUILDS.values():
        made = build()
        assert len(set(fingerprints(made))) == len(made.told)
    twice = kit.told("yaml-date", "wrong", Mark("a.yml", 1, 1))
    assert len(set(fingerprints(kit.report(twice, twice, sources=(kit.source("a.yml", kit.RDS),))))) == 2


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("policies:\n", "# a comment\n\npolicies:\n"),
        ("policies:\n", "policies:\n  - {name: first, resource: ec2, filters: [{type: x, days: 1}]}\n"),
        ("    filters:\n      - type: metric\n", "    filters:\n      - State.Name: running\n      - type: metric\n"),
        ("      - type: metric\n        days: 14\n", "      - {type: metric, days: 15}\n"),
    ],
    ids=["comment", "policy before", "filter before", "layout and value"],
)
def test_fingerprints_stay_where_lines_move(old: str, new: str) -> None:
    places = [
        ("unknown-filter", "metric"),
        ("mark-without-delay", "{type: mark-for-op"),
        ("metrics-age", "type: metrics"),
    ]
    moved = kit.EC2.replace(old, new, 1)
    assert moved != kit.EC2
    assert named(moved, *places) == named(kit.EC2, *places)


def test_fingerprints_change_with_rule_file_and_policy() -> None:
    place = ("unknown-filter", "metric")
    [before] = named(kit.EC2, place)
    assert [before] != named(kit.EC2, ("metrics-age", "metric"))
    assert [before] != named(kit.EC2, place, label="b.yml")
    assert [before] != named(kit.EC2.replace("ec2-idle", "ec2-lazy"), place)


def test_fingerprints_of_a_broken_file_follow_the_text_of_the_line() -> None:
    broken = "policies: [\n  - metric\n"
    assert named(broken, ("unknown-filter", "metric")) == named("\n\n" + broken, ("unknown-filter", "metric"))
    assert named(broken, ("unknown-filter", "metric")) != named(broken + "x: metrics", ("unknown-filter", "metrics"))


def test_a_suppression_renames_nothing() -> None:
    one, other = (kit.told("metrics-age", "m", Mark("a.yml", 1, 1), suppressed=reason) for reason in ("", "old"))
    sources = (kit.source("a.yml", kit.RDS),)
    assert fingerprints(kit.report(one, one, sources=sources)) == fingerprints(kit.report(other, one, sources=sources))


# --- sarif ------------------------------------------------------------------------------------------------------------


@every_report
def test_sarif_is_valid(build: Callable[[], Report], sarif: Callable[[Report], dict[str, Any]]) -> None:
    made = build()
    assert len(sarif(made)["results"]) == len(made.told)


def test_the_sarif_schema_is_applied() -> None:
    with pytest.raises(jsonschema.ValidationError, match="'tool' is a required property"):
        Draft4Validator(SARIF).validate({"version": "2.1.0", "runs": [{"results": []}]})


def test_sarif_describes_every_rule(sarif: Callable[[Report], dict[str, Any]]) -> None:
    run = sarif(kit.sample())
    rules = run["tool"]["driver"]["rules"]
    assert [each["id"] for each in rules] == list(kit.RULES)
    assert all(rules[each["ruleIndex"]]["id"] == each["ruleId"] for each in run["results"])
    [note] = [each for each in rules if each["id"] == "metrics-age"]
    assert note["defaultConfiguration"] == {"level": "note"}
    assert note["shortDescription"]["text"] == kit.RULES["metrics-age"].summary
    assert note["fullDescription"]["text"].endswith(kit.RULES["metrics-age"].why)
    assert note["help"]["markdown"] == note["help"]["text"] == "# metrics-age\n\nIts page.\n"


def test_sarif_says_where_in_utf_16(sarif: Callable[[Report], dict[str, Any]]) -> None:
    run = sarif(kit.sample())
    assert run["columnKind"] == "utf16CodeUnits"
    regions = [each["locations"][0]["physicalLocation"]["region"] for each in run["results"]]
    assert regions[0] == {"startLine": 5, "startColumn": 15, "endColumn": 21}
    # One emoji of two code units stands before it: the 48th character is the 49th unit.
    assert regions[1] == {"startLine": 7, "startColumn": 49, "endColumn": 59}
    assert regions[-1] == {"startLine": 1}, "what is said of a file as a whole stands at its first line"


def test_sarif_encodes_paths(sarif: Callable[[Report], dict[str, Any]]) -> None:
    run = sarif(kit.sample())
    location = run["results"][4]["locations"][0]["physicalLocation"]["artifactLocation"]
    assert location == {"uri": "policies/kosten%20%26%20mehr/rds.yml", "uriBaseId": "%SRCROOT%"}
    assert location["uriBaseId"] in run["originalUriBaseIds"]
    assert [unquote(each["location"]["uri"]) for each in run["artifacts"]] == list(kit.sample().sources)
    made = kit.hostile()
    [label] = made.sources
    [artifact] = sarif(made)["artifacts"]
    assert unquote_to_bytes(artifact["location"]["uri"]) == label.encode(errors="surrogateescape")
    assert re.fullmatch(r"[\w.~/%-]+", artifact["location"]["uri"])


def test_sarif_of_a_file_elsewhere(sarif: Callable[[Report], dict[str, Any]]) -> None:
    made = kit.report(kit.told("yaml-date", "wrong", Mark("/srv/a b.yml", 1, 1)))
    [result] = sarif(made)["results"]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"] == {"uri": "file:///srv/a%20b.yml"}


def test_sarif_carries_reasons_related_places_and_fixes(sarif: Callable[[Report], dict[str, Any]]) -> None:
    results = sarif(kit.sample())["results"]
    assert [each for each in results if "suppressions" in each] == [results[3]]
    assert results[3]["suppressions"] == [{"kind": "inSource", "justification": "every instance here is old"}]
    assert results[0]["relatedLocations"][0]["physicalLocation"]["region"]["startLine"] == 3
    assert [each for each in results if "fixes" in each] == [results[1]]
    [change] = results[1]["fixes"][0]["artifactChanges"]
    assert change["replacements"] == [
        {
            "deletedRegion": {"startLine": 7, "startColumn": 49, "endLine": 7, "endColumn": 59},
            "insertedContent": {"text": '"2026-01-01"'},
        }
    ]


def test_a_sarif_fix_over_several_lines(sarif: Callable[[Report], dict[str, Any]]) -> None:
    fix = Fix("metric\n        days: 14", "x")
    made = kit.report(
        kit.told("unknown-filter", "w", Mark("a.yml", 5, 15), fix=fix), sources=(kit.source("a.yml", kit.EC2),)
    )
    [replacement] = sarif(made)["results"][0]["fixes"][0]["artifactChanges"][0]["replacements"]
    assert replacement["deletedRegion"] == {"startLine": 5, "startColumn": 15, "endLine": 6, "endColumn": 17}


def test_sarif_tells_what_was_not_looked_at(sarif: Callable[[Report], dict[str, Any]]) -> None:
    [invocation] = sarif(kit.sample())["invocations"]
    assert invocation["executionSuccessful"] is True
    assert [(each["level"], each["message"]["text"]) for each in invocation["toolExecutionNotifications"]] == [
        ("note", "Not checked: policies/ec2.yml:20:5: azure.vm is not a resource of AWS"),
        ("note", "Passed over, without policies: compose.yml"),
        ("note", "Passed over, without policies: .gitlab-ci.yml"),
    ]


# --- github -----------------------------------------------------------------------------------------------------------


def commands(text: str) -> list[tuple[str, dict[str, str], str]]:
    """As the runner reads them: each line a command, its properties, its message."""

    def decode(value: str, *codes: tuple[str, str]) -> str:
        for code, character in (*codes, ("%0D", "\r"), ("%0A", "\n"), ("%25", "%")):
            value = value.replace(code, character)
        return value

    found = []
    for line in text.removesuffix("\n").split("\n"):
        match = re.fullmatch(r"::(\w+) ([^:]*)::(.*)", line)
        assert match, line
        pairs = (pair.split("=", 1) for pair in match[2].split(","))
        properties = {name: decode(value, ("%3A", ":"), ("%2C", ",")) for name, value in pairs}
        found.append((match[1], properties, decode(match[3])))
    return found


def test_github_annotates_each_line_that_counts(rendered: Rendered) -> None:
    made = kit.sample()
    found = commands(rendered("github", made))
    assert [each[0] for each in found] == ["error", "warning", "warning", "notice", "error", "error", "notice"]
    assert found[0] == (
        "error",
        {"file": "policies/ec2.yml", "line": "5", "col": "15", "title": "unknown-filter"},
        "aws.ec2 has no filter `metric`\nDid you mean metrics?",
    )
    assert found[-2][1] == {"file": "vendor.json", "title": "file-unreadable"}
    assert found[-1] == ("notice", {"title": "Not checked"}, made.unchecked[0])


def test_github_commands_cannot_be_broken_out_of(rendered: Rendered) -> None:
    made = kit.hostile()
    found = commands(rendered("github", made))
    assert len(found) == len(made.active) + 1 == 3
    assert [properties.get("file", "a,b:c%")[:6] for _, properties, _ in found] == ["a,b:c%"] * 3
    assert all(line.isprintable() for line in rendered("github", made).splitlines())
    assert all("::error::x" in message and "%0A,:]]>" in message for _, _, message in found)


# --- gitlab -----------------------------------------------------------------------------------------------------------


@every_report
def test_gitlab_is_valid(build: Callable[[], Report], rendered: Rendered) -> None:
    made = build()
    issues = json.loads(rendered("gitlab", made))
    Draft202012Validator(GITLAB).validate(issues)
    assert len(issues) == len(made.active) == len({each["fingerprint"] for each in issues})


def test_gitlab_severities_and_places(rendered: Rendered) -> None:
    issues = json.loads(rendered("gitlab", kit.sample()))
    assert [each["severity"] for each in issues] == ["major", "minor", "minor", "info", "major", "major"]
    assert [each["location"]["lines"]["begin"] for each in issues] == [5, 7, 9, 2, 2, 1]


def test_gitlab_and_json_agree_on_fingerprints(rendered: Rendered) -> None:
    told = json.loads(rendered("json", kit.sample()))["diagnostics"]
    issues = json.loads(rendered("gitlab", kit.sample()))
    assert [each["fingerprint"] for each in issues] == [each["fingerprint"] for each in told if not each["suppressed"]]


# --- junit ------------------------------------------------------------------------------------------------------------


def suites(text: str) -> dict[str, Any]:
    schema = xmlschema.XMLSchema(DATA / "junit-10.xsd")
    decoded = schema.to_dict(text)
    assert isinstance(decoded, dict)
    return decoded


@every_report
def test_junit_is_valid_and_counts_right(build: Callable[[], Report], rendered: Rendered) -> None:
    made = build()
    root = suites(rendered("junit", made))
    [suite] = root["testsuite"]
    cases = suite.get("testcase", [])
    files = {*made.sources, *(each.diagnostic.mark.path for each in made.told)}
    assert len(cases) == len(files) + len(made.passed_over) + len(made.unchecked)
    for counted in (root, suite):
        assert counted["@tests"] == str(len(cases))
        assert counted["@failures"] == str(sum("failure" in case for case in cases))
    assert suite["@skipped"] == str(len(made.passed_over) + len(made.unchecked))


def test_junit_says_what_fails_and_what_passes(rendered: Rendered) -> None:
    [suite] = suites(rendered("junit", kit.sample()))["testsuite"]
    cases = {each["@name"]: each for each in suite["testcase"]}
    [failure] = cases["policies/ec2.yml"]["failure"]
    assert (failure["@type"], failure["@message"]) == ("error", "1 error, 2 warnings")
    assert "policies/ec2.yml:5:15: error[unknown-filter] aws.ec2 has no filter `metric`" in failure["$"]
    [output] = cases["policies/ec2.yml"]["system-out"]
    assert output == (
        "policies/ec2.yml:13:9: suppressed (every instance here is old) note[metrics-age] "
        "a young instance may have no datapoints yet"
    )
    assert cases["policies/fine.yml"].keys() == {"@name", "@classname"}
    assert "skipped" in cases["compose.yml"]
    assert "skipped" in cases["policies/ec2.yml:20:5: azure.vm is not a resource of AWS"]


def test_junit_does_not_fail_for_what_is_suppressed(rendered: Rendered) -> None:
    error = kit.told("unknown-filter", "no such filter", Mark("a.yml", 1, 1), suppressed="of a plugin")
    [suite] = suites(rendered("junit", kit.report(error, sources=(kit.source("a.yml", kit.RDS),))))["testsuite"]
    assert suite["@failures"] == "0"


def test_junit_does_not_fail_for_notes(rendered: Rendered) -> None:
    note = kit.told("metrics-age", "young", Mark("a.yml", 1, 1))
    assert note.level is Level.NOTE
    [suite] = suites(rendered("junit", kit.report(note, sources=(kit.source("a.yml", kit.RDS),))))["testsuite"]
    assert suite["@failures"] == "0"
    assert suite["testcase"][0]["system-out"] == ["a.yml:1:1: note[metrics-age] young"]


# --- pages ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["lint", "docs/lint"], ids=["wheel", "checkout"])
def test_a_page_is_read_from_a_wheel_and_from_a_checkout(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / folder / "yaml-date.md").write_text("# yaml-date\né\n", "utf-8")
    monkeypatch.setattr("finops_policy.lint.pages.library_root", lambda: tmp_path)
    assert page("yaml-date") == "# yaml-date\né\n"
