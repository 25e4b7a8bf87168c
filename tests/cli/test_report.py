"""``report`` and ``runs``: documents of a sealed run, and the list of runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from finops_policy.errors import EvidenceError
from finops_policy.evidence import queries
from finops_policy.evidence.store import read_run
from finops_policy.formats.bundle import read_bundle
from finops_policy.formats.data import summary_data
from finops_policy.library import library_root
from tests.cli.conftest import FullRun, Invoke


@pytest.fixture
def store(full_run: FullRun, place: Path) -> Path:
    """A store to spoil: the full run, copied to where a command looks for it."""
    return Path(shutil.copytree(full_run.store, place / "evidence"))


def bundle(store: Path) -> Path:
    (folder,) = store.glob("customer=acme/month=*/run=*")
    return folder


def unsealed(store: Path) -> str:
    """Makes the run one that was interrupted; its id."""
    folder = bundle(store)
    (folder / "run.json").unlink()
    (folder / "run.dsse.json").unlink()
    (folder.parents[1] / "head.dsse.json").unlink()
    return folder.name.removeprefix("run=")


# --- report ---------------------------------------------------------------------------------------------------------


def test_html_and_json_are_written_and_their_paths_printed(full_run: FullRun, place: Path, invoke: Invoke) -> None:
    said = invoke("report", "--customer", "acme", "--store", full_run.store)
    run_id = read_run(full_run.bundle).data["run_id"]
    folder = Path("build/reports/acme") / run_id
    assert said.code == 0
    assert said.out.splitlines() == [str(folder / "report.html"), str(folder / "report.json")]
    assert said.err == ""
    assert sorted(folder.iterdir()) == [folder / "report.html", folder / "report.json"]
    data: dict[str, Any] = json.loads((folder / "report.json").read_bytes())
    schema = json.loads(library_root().joinpath("schemas", "report.schema.json").read_text("utf-8"))
    assert not list(Draft202012Validator(schema).iter_errors(data))
    assert data["run"]["id"] == run_id
    assert not data["coverage"]["complete"]
    assert [each["name"] for each in data["frameworks"]] == ["hipaa-security-rule"]
    html = (folder / "report.html").read_text("utf-8")
    assert html.startswith(("<!doctype html>", "<!DOCTYPE html>"))
    assert run_id in html


def test_one_format_into_a_folder_of_choice(full_run: FullRun, place: Path, invoke: Invoke) -> None:
    said = invoke(
        "report", "--customer", "acme", "--store", full_run.store, "--format", " json,json ", "--output", "a/b"
    )
    assert said.out.splitlines() == ["a/b/report.json"]
    assert [path.name for path in Path("a/b").iterdir()] == ["report.json"]


@pytest.mark.parametrize("forms", ["pdx", "html,pdx", "", ",", "html,"])
def test_a_format_that_cannot_be_is_an_error(forms: str, full_run: FullRun, place: Path, invoke: Invoke) -> None:
    said = invoke("report", "--customer", "acme", "--store", full_run.store, "--format", forms)
    assert said.code == 2
    assert "There is no report format" in said.err
    assert "Known: html, json." in said.err
    assert not list(place.iterdir())


def test_frameworks_are_chosen(full_run: FullRun, place: Path, invoke: Invoke) -> None:
    chosen = ("--framework", "sox-itgc", "--framework", "hipaa-security-rule", "--framework", "sox-itgc")
    where = ("--store", full_run.store, "--format", "json", "--output", "out")
    assert invoke("report", "--customer", "acme", *chosen, *where).code == 0
    data = json.loads(Path("out/report.json").read_bytes())
    assert [each["name"] for each in data["frameworks"]] == ["sox-itgc", "hipaa-security-rule"]
    said = invoke("report", "--customer", "acme", "--framework", "sox", *where)
    assert said.code == 2
    assert "There is no framework named 'sox'." in said.err
    assert "sox-itgc" in said.err


def test_a_framework_that_has_changed_since_is_told(full_run: FullRun, place: Path, invoke: Invoke) -> None:
    text = library_root().joinpath("policies", "frameworks", "hipaa-security-rule.yaml").read_text("utf-8")
    (place / "frameworks").mkdir()
    (place / "frameworks" / "hipaa-security-rule.yaml").write_text(
        text.replace("complete: true", "complete: false"), "utf-8"
    )
    said = invoke("report", "--customer", "acme", "--store", full_run.store, "--format", "json")
    assert said.code == 0
    assert "Framework hipaa-security-rule has changed since the run" in said.err
    assert invoke("report", "--customer", "acme", "--store", full_run.store, "--format", "json", "-q").err == ""


def test_a_run_is_named_or_the_error_knows_which_was_meant(full_run: FullRun, place: Path, invoke: Invoke) -> None:
    run_id = read_run(full_run.bundle).data["run_id"]
    where = ("--store", full_run.store, "--format", "json", "--output", "out")
    assert invoke("report", "--customer", "acme", "--run", run_id, *where).code == 0
    wrong = f"{run_id[:-1]}{'0' if run_id[-1] != '0' else '1'}"
    said = invoke("report", "--customer", "acme", "--run", wrong, *where)
    assert said.code == 2
    assert f"acme has no run {wrong!r}" in said.err
    assert f"Did you mean {run_id}?" in said.err
    assert invoke("report", "--customer", "acme", "--run", "../../x", *where).code == 2


def test_there_is_no_report_without_a_store(place: Path, invoke: Invoke) -> None:
    said = invoke("report", "--customer", "acme")
    assert said.code == 1
    assert "There is no evidence store at evidence" in said.err
    assert not list(place.iterdir())


def test_an_incomplete_run_is_refused(store: Path, place: Path, invoke: Invoke) -> None:
    run_id = unsealed(store)
    latest, named = invoke("report", "--customer", "acme"), invoke("report", "--customer", "acme", "--run", run_id)
    assert latest.code == named.code == 1
    assert "acme has no sealed run in evidence, only 1 incomplete" in latest.err
    assert f"Run {run_id} of acme is incomplete" in named.err
    assert not (place / "build").exists()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "coverage" / "111122223333_us-east-1.parquet").unlink(),
        lambda folder: (folder / "evaluations" / "111122223333_us-east-1.parquet").unlink(),
        lambda folder: (folder / "compiled" / "policies.yaml").write_text("policies: []\n"),
        lambda folder: (folder / "compiled" / "waivers.json").write_text('{"waivers": [], "malformed": []}'),
        lambda folder: (folder / "run.json").write_text("{}"),
        lambda folder: (folder / "run.json").write_text("[]"),
        lambda folder: (folder / "run.json").write_text('{"files": {"nowhere": {}}}'),
    ],
    ids=["coverage-gone", "evaluations-gone", "policies", "waivers", "record-empty", "record-list", "record-wrong"],
)
def test_no_report_is_made_of_damaged_evidence(spoil: Any, store: Path, place: Path, invoke: Invoke) -> None:
    """A part that is gone would make a report with fewer accounts that looks whole."""
    spoil(bundle(store))
    said = invoke("report", "--customer", "acme")
    assert said.code == 1
    assert "finops-policy verify" in said.err
    assert said.out == ""
    assert not (place / "build").exists()
    assert "Traceback" not in said.err


def test_a_report_that_breaks_off_leaves_the_one_before(
    full_run: FullRun, place: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Findings are read while the file is written: what fails then must not leave half a report."""
    where = ("--store", full_run.store, "--format", "json", "--output", "out")
    assert invoke("report", "--customer", "acme", *where).code == 0
    before = Path("out/report.json").read_bytes()

    def some(folder: Path) -> Iterator[queries.Finding]:
        yield from islice(queries.read_findings(folder), 3)
        raise EvidenceError("it is gone")

    monkeypatch.setattr(
        "finops_policy.formats.bundle.queries", SimpleNamespace(**vars(queries) | {"read_findings": some})
    )
    said = invoke("report", "--customer", "acme", *where)
    assert said.code == 1
    assert "it is gone" in said.err
    assert said.out == ""
    assert [path.name for path in Path("out").iterdir()] == ["report.json"]
    assert Path("out/report.json").read_bytes() == before


def test_a_run_ends_with_the_numbers_of_its_report(full_run: FullRun, place: Path, invoke: Invoke) -> None:
    assert (
        invoke("report", "--customer", "acme", "--store", full_run.store, "--format", "json", "--output", "o").code == 0
    )
    report = json.loads(Path("o/report.json").read_bytes())
    told = summary_data(read_bundle(full_run.bundle, ()))
    for name in ("targets", "policies", "grid"):
        del report["coverage"][name]
    assert told == {key: report[key] for key in told}
    totals = report["totals"]
    assert len(report["findings"]) == totals["noncompliant"] + totals["waived"] + totals["unknown"]


# --- runs -----------------------------------------------------------------------------------------------------------


def test_runs_are_listed_with_their_counts(full_run: FullRun, invoke: Invoke) -> None:
    counts = read_run(full_run.bundle).data["counts"]
    text = invoke("runs", "list", "--customer", "acme", "--store", full_run.store)
    run_id = full_run.bundle.name.removeprefix("run=")
    assert text.code == 0
    assert text.out == (
        f"{run_id}  {counts['population']} judged, {counts['noncompliant']} noncompliant, "
        f"{counts['unknown']} unknown, 52 cells failed\n"
    )
    (row,) = json.loads(invoke("runs", "list", "--customer", "acme", "--store", full_run.store, "--format", "json").out)
    assert row == {
        "run_id": run_id,
        "kind": "run",
        "sealed": True,
        "folder": str(full_run.bundle),
        "population": counts["population"],
        "noncompliant": counts["noncompliant"],
        "unknown": counts["unknown"],
        "failed": 52,
    }


def test_a_damaged_record_does_not_hide_the_other_runs(store: Path, invoke: Invoke) -> None:
    folder = bundle(store)
    other = folder.with_name("run=20990101T000000Z-00000000")
    shutil.copytree(folder, other)
    (other / "run.json").write_text("{")
    lines = invoke("runs", "list", "--customer", "acme").out.splitlines()
    assert [line.split()[0] for line in lines] == [each.name.removeprefix("run=") for each in (folder, other)]
    assert " judged, " in lines[0]
    assert "DAMAGED" in lines[1]
    assert "finops-policy verify" in lines[1]


def test_no_run_yet_is_not_the_same_as_no_such_customer(store: Path, place: Path, invoke: Invoke) -> None:
    shutil.rmtree(store / "customer=acme")
    none_yet = invoke("runs", "list", "--customer", "acme", "--format", "json")
    assert none_yet.code == 0
    assert json.loads(none_yet.out) == []
    assert none_yet.err == "There is no run of acme yet.\n"
    typo = invoke("runs", "list", "--customer", "acem")
    assert typo.code == 2
    assert typo.out == ""
    assert "Did you mean acme?" in typo.err
