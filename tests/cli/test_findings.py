"""``findings``: over several sealed runs, as text, JSON and CSV, against a bill, and in the report."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from finops_policy.evidence import ledger_queries
from finops_policy.evidence.store import LocalStore
from finops_policy.formats import FORMATS
from finops_policy.library import library_root
from finops_policy.model import Verdict
from tests.cli.conftest import FullRun, Invoke
from tests.cli.kit import ANSI, finops
from tests.unit.evidence_kit import evaluation
from tests.unit.ledger_kit import Ran, act, applied, daily, focus, history, seen

BAD, GOOD = Verdict.NONCOMPLIANT, Verdict.COMPLIANT


def runs() -> list[Ran]:
    """Three runs: 1 is stopped by us, 2 disappears, 3 stays open and hostile, 4 was not looked at in the last."""
    tags = {number: seen("ec2-required-tags", number, GOOD) for number in (1, 2, 3)}
    hostile = {"arn": "", "resource_id": "=cmd()\x1b[31m<script>"}
    third = seen("ec2-idle", 3, BAD, "50", "50", **hostile)
    volume = seen("ebs-unattached", 4, BAD, "8", "8", method="volume_storage")
    oversized = seen("ec2-oversized", 1, BAD, "146", "73", method="next_size_down")
    first = [seen("ec2-idle", 1, BAD, "146", "146"), oversized, seen("ec2-idle", 2, BAD, "73", "73"), third, volume]
    return [
        Ran(0, [*first, *tags.values()]),
        Ran(10, [seen("ec2-idle", 2, BAD, "73", "73"), third, volume, *tags.values()]),
        Ran(20, [third, tags[1], tags[3]], broken={"ebs-unattached": "denied ec2:DescribeVolumes"}),
    ]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> LocalStore:
    made = history(tmp_path_factory.mktemp("ledger"), *runs())
    applied(made, 5, act("ec2-idle", 1, "stop", 5))
    return made


@pytest.fixture(scope="module")
def costs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    one, two = (evaluation(number).resource_id for number in (1, 2))
    lines = [daily(one, -60, 5, "4"), daily(two, -60, 15, "2"), daily("other", -60, 60, "14")]
    return focus(tmp_path_factory.mktemp("costs") / "focus.csv", *lines)


def listed(invoke: Invoke, store: LocalStore, *more: object) -> dict[str, Any]:
    said = invoke("findings", "list", "--customer", "acme", "--store", store.root, "--format", "json", *more)
    assert said.code == 0, said.err
    data: dict[str, Any] = json.loads(said.out)
    return data


def columns(data: dict[str, Any]) -> dict[str, tuple[str | None, str | None]]:
    return {each["name"]: (each["amount"], each["percent"]) for each in data["ledger"]["columns"]}


def test_json_fits_its_schema_and_follows_every_finding(store: LocalStore, invoke: Invoke) -> None:
    data = listed(invoke, store)
    schema = json.loads(library_root().joinpath("schemas", "findings.schema.json").read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    assert not list(Draft202012Validator(schema).iter_errors(data))
    states = {(each["policy"], each["resource_id"][-1]): each["state"] for each in data["findings"]}
    assert states == {
        ("ec2-idle", "1"): "resolved",
        ("ec2-oversized", "1"): "resolved",
        ("ec2-idle", "2"): "resolved",
        ("ec2-idle", ">"): "open",
        ("ebs-unattached", "4"): "unknown",
    }
    assert columns(data) == {
        "estimated": ("277.00", None),
        "remaining": ("50.00", None),
        "approved": ("146.00", None),
        "realised": ("146.00", None),
        "elsewhere": ("73.00", None),
    }
    assert data["ledger"]["bill"]["reason"] == "no cost data was given"
    assert all(each["share_reason"] for each in data["ledger"]["columns"])
    [volume] = [each for each in data["findings"] if each["policy"] == "ebs-unattached"]
    assert "denied ec2:DescribeVolumes" in volume["reason"]
    assert volume["realised"]["state"] == "unknown"


def test_the_bill_gives_percentages_and_confirms(store: LocalStore, costs: Path, invoke: Invoke) -> None:
    data = listed(invoke, store, "--costs", costs)
    assert data["ledger"]["bill"]["amount"] == "620.00"
    assert data["ledger"]["bill"]["month"] == "2026-10-01"
    assert columns(data)["realised"] == ("121.67", "19.6")  # 4 a day x 730 / 24
    assert columns(data)["elsewhere"] == ("60.83", "9.8")
    assert data["ledger"]["realised_confidence"]["billed"] == "121.67"


def test_filters_change_what_counts(store: LocalStore, invoke: Invoke) -> None:
    assert columns(listed(invoke, store, "--policy", "ec2-over*"))["estimated"][0] == "73.00"
    assert [each["state"] for each in listed(invoke, store, "--state", "open")["findings"]] == ["open"]
    assert listed(invoke, store, "--severity", "critical")["findings"] == []
    said = invoke("findings", "list", "--customer", "acme", "--store", store.root, "--policy", "ec2-idel")
    assert (said.code, "Did you mean ec2-idle" in said.err) == (2, True)


def test_as_of_an_older_run(store: LocalStore, invoke: Invoke) -> None:
    first = store.runs("acme")[0].run_id
    data = listed(invoke, store, "--run", first)
    assert data["ledger"]["as_of"]["run"] == first
    assert {each["state"] for each in data["findings"]} == {"open"}
    assert columns(data)["realised"][0] == "0.00"
    assert columns(data)["remaining"] == columns(data)["estimated"]


def test_csv_has_a_row_a_finding_and_no_formula(store: LocalStore, invoke: Invoke) -> None:
    said = invoke("findings", "list", "--customer", "acme", "--store", store.root, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(said.out)))
    assert len(rows) == 5
    [hostile] = [row for row in rows if row["state"] == "open"]
    assert hostile["resource_id"] == "'=cmd()\\x1b[31m<script>"
    assert not [cell for row in rows for cell in row.values() if cell[:1] in tuple("=+-@\t\r")]
    assert {row["estimated"]: row["realised_state"] for row in rows}["146.00"] == "known"
    assert "\x1b" not in said.out


@pytest.mark.parametrize("more", [(), ("costs",)])
def test_text_is_readable_at_80_columns(store: LocalStore, costs: Path, invoke: Invoke, more: tuple[str, ...]) -> None:
    given = ("--costs", costs) if more else ()
    said = invoke("findings", "list", "--customer", "acme", "--store", store.root, *given)
    assert said.code == 0
    wide = [line for line in said.out.splitlines() if len(line) > 80]
    assert not [line for line in wide if not line.startswith("  arn:")]
    assert "ESTIMATED" in said.out
    assert "unknown" in said.out
    assert "\x1b" not in said.out
    assert ("%" in said.out) is bool(more)


def test_colours_say_the_same(store: LocalStore, tmp_path: Path) -> None:
    arguments = ("findings", "list", "--customer", "acme", "--store", store.root)
    plain = finops(*arguments, cwd=tmp_path)
    coloured = finops(*arguments, cwd=tmp_path, env={"FORCE_COLOR": "1", "TERM": "xterm-256color"})
    assert "\x1b[" in coloured.out
    assert ANSI.sub("", coloured.out) == plain.out


def test_a_limit_is_told_and_leaves_the_totals(store: LocalStore, invoke: Invoke) -> None:
    said = invoke("findings", "list", "--customer", "acme", "--store", store.root, "--limit", 1)
    assert "1 of 5 findings" in said.out
    assert "277.00" in said.out


def test_show_tells_history_facts_and_acts(store: LocalStore, invoke: Invoke) -> None:
    found = next(each for each in listed(invoke, store)["findings"] if each["approved"]["amount"])
    said = invoke("findings", "show", found["id"][:10], "--customer", "acme", "--store", store.root)
    assert said.code == 0
    for words in ("noncompliant", "absent", "stop: done, approved by dana@example.com (finance)", "146.00 USD"):
        assert words in said.out
    said = invoke("findings", "show", found["id"], "--customer", "acme", "--store", store.root, "--format", "json")
    data = json.loads(said.out)
    assert [each["verdict"] for each in data["history"]] == ["noncompliant", "absent"]
    assert data["claims"][0]["how"] == "acted"
    assert data["actions"][0]["outcome"] == "done"


@pytest.mark.parametrize(("name", "told"), [("ffffffffffffffff", "There is no finding"), ("", "There is no finding")])
def test_show_of_what_is_not_there(store: LocalStore, invoke: Invoke, name: str, told: str) -> None:
    said = invoke("findings", "show", name, "--customer", "acme", "--store", store.root)
    assert (said.code, told in said.err) == (2, True)


def test_a_part_that_is_gone_resolves_nothing(tmp_path: Path, invoke: Invoke) -> None:
    made = history(tmp_path, *runs()[:2])
    newest = made.find("acme", "latest")
    next((newest / "evaluations").iterdir()).unlink()
    said = invoke("findings", "list", "--customer", "acme", "--store", made.root)
    assert said.code == 1
    assert "not as it was sealed" in said.err


def test_runs_of_the_sandbox_are_not_mixed_with_those_of_aws(tmp_path: Path, invoke: Invoke) -> None:
    first, second, third = runs()
    made = history(tmp_path, Ran(-5, first.saw, sandbox=True), second, third)
    data = listed(invoke, made)
    assert data["ledger"]["runs"] == 2
    said = invoke("findings", "list", "--customer", "acme", "--store", made.root)
    assert "1 runs of the sandbox were left out" in said.err


def test_many_are_read_in_parts(store: LocalStore, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = listed(invoke, store)
    monkeypatch.setattr(ledger_queries, "_AT_ONCE", 2)
    parts = listed(invoke, store)
    assert parts["ledger"] == whole["ledger"]
    assert sorted(each["id"] for each in parts["findings"]) == sorted(each["id"] for each in whole["findings"])


def test_a_real_run_has_its_findings_and_a_ledger_in_its_report(
    full_run: FullRun, place: Path, invoke: Invoke, costs: Path
) -> None:
    said = invoke("findings", "list", "--customer", "acme", "--store", full_run.store, "--format", "json")
    assert said.code == 0
    data = json.loads(said.out)
    assert data["ledger"]["findings"] == len(data["findings"]) > 10
    assert data["ledger"]["sandbox"] is True
    said = invoke("report", "--customer", "acme", "--store", full_run.store, "--costs", costs, "--output", place / "r")
    assert said.code == 0, said.err
    report = json.loads((place / "r" / FORMATS["json"].file_name).read_bytes())
    schema = json.loads(library_root().joinpath("schemas", "report.schema.json").read_text("utf-8"))
    assert not list(Draft202012Validator(schema).iter_errors(report))
    assert report["ledger"]["findings"] == data["ledger"]["findings"]
    assert report["ledger"]["columns"][0]["amount"] == report["money"]["monthly_savings"]
    page = (place / "r" / FORMATS["html"].file_name).read_text("utf-8")
    assert "Savings ledger" in page
    assert "the cost data has no usage of account" in page


def test_a_damaged_older_run_leaves_a_report_without_a_ledger(tmp_path: Path, invoke: Invoke) -> None:
    made = history(tmp_path, *runs()[:2])
    oldest = made.runs("acme")[0].folder
    next((oldest / "evaluations").iterdir()).unlink()
    said = invoke("report", "--customer", "acme", "--store", made.root, "--output", tmp_path / "r")
    assert said.code == 0, said.err
    assert "Without a savings ledger" in said.err
    report = json.loads((tmp_path / "r" / "report.json").read_bytes())
    assert report["ledger"] is None
    assert "not as it was sealed" in report["ledger_reason"]
    assert "The savings ledger is unknown" in (tmp_path / "r" / "report.html").read_text("utf-8")
