"""``test``: fixtures of policies, from the command line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.conftest import Invoke
from tests.cli.kit import ROOT

FIXTURE = """\
policy: required-tags/s3-required-tags
resources:
  - {Name: good, Tags: [{Key: Owner, Value: me}, {Key: CostCenter, Value: "7"}, {Key: Environment, Value: dev}]}
  - {Name: bad, Tags: []}
expect: {good: GOOD, bad: noncompliant}
"""


def fixture(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return path


def test_a_pack_of_this_project_passes(invoke: Invoke) -> None:
    said = invoke("test", ROOT / "tests" / "policies" / "required-tags", "--workspace", ROOT)
    fixtures = list((ROOT / "tests" / "policies" / "required-tags").rglob("*.yaml"))
    assert said.code == 0
    assert said.lines(f"{len(fixtures)} of {len(fixtures)} fixtures passed.")
    assert len(said.lines("ok    ")) == len(fixtures) >= 12


def test_a_wrong_expectation_fails_at_its_line(place: Path, invoke: Invoke) -> None:
    fixture(place / "tests" / "policies", "match", FIXTURE.replace("GOOD", "noncompliant"))
    fixture(place / "tests" / "policies", "other", FIXTURE.replace("GOOD", "compliant"))
    said = invoke("test")
    assert said.code == 3
    assert said.lines("FAIL") == ["FAIL  tests/policies/match.yaml:5:16: good is compliant, expected noncompliant"]
    assert said.lines("ok") == ["ok    tests/policies/other.yaml"]
    assert said.lines("1 of 2 fixtures passed.")


def test_a_resource_nobody_expected_fails(place: Path, invoke: Invoke) -> None:
    path = fixture(place, "match", FIXTURE.replace("good: GOOD, ", ""))
    said = invoke("test", path)
    assert said.code == 3
    assert re.search(r"good is compliant.*, expected nothing", said.out)


def test_quiet_shows_failures_only(place: Path, invoke: Invoke) -> None:
    good = fixture(place, "good", FIXTURE.replace("GOOD", "compliant"))
    bad = fixture(place, "bad", FIXTURE.replace("GOOD", "unknown"))
    said = invoke("test", "-q", good, bad)
    assert said.code == 3
    assert not said.lines("ok")
    assert len(said.lines("FAIL")) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("policy: nothing/x\nresources: []\nexpect: {a: compliant}\n", "There is no pack named 'nothing'."),
        ("policy: required-tag/x\nresources: []\nexpect: {a: compliant}\n", "Did you mean required-tags?"),
        ("policy: required-tags/x\nresources: []\nexpect: {a: compliant}\n", "x.yaml:1:9: Pack required-tags has no"),
        ("policy: required-tags/x\n", "x.yaml:1:1: A fixture has policy, resources and expect"),
        (FIXTURE.replace("GOOD", "fine"), "'fine' is not one of compliant"),
        ("policy: [\n", "x.yaml:"),
    ],
)
def test_a_broken_fixture_fails_and_the_others_are_still_run(
    text: str, expected: str, place: Path, invoke: Invoke
) -> None:
    fixture(place, "x", text)
    fixture(place, "y", FIXTURE.replace("GOOD", "compliant"))
    said = invoke("test", place)
    assert said.code == 3
    assert expected in said.out + said.err
    assert said.lines("ok    ")
    assert said.lines("1 of 2 fixtures passed.")


def test_no_fixture_at_all_is_an_error(place: Path, invoke: Invoke) -> None:
    said = invoke("test")
    assert said.code == 2
    assert "There is no fixture in tests/policies." in said.err
