"""``finops-policy waiver``: what it writes, what it lists, and what it says needs attention."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from finops_policy.cli import main
from finops_policy.evidence.parquet import write_coverage, write_evaluations
from finops_policy.evidence.signing import SigningKey
from finops_policy.evidence.store import LocalStore
from finops_policy.model import Coverage, Evaluation, Status, Target, Verdict
from finops_policy.redaction import WITHHELD
from tests.unit.evidence_kit import NOW, evaluation, record

ROOT = Path(__file__).parents[2]
TODAY = dt.datetime.now(dt.UTC).date()
DAY = dt.timedelta(days=1)
DB = "arn:aws:rds:us-east-1:111122223333:db:"
TARGETS = tuple(
    Target(account, region)
    for account in ("111122223333", "444455556666", "777788889999")
    for region in ("us-east-1", "eu-west-1")
)
SAID = {
    "--policy": "rds-idle",
    "--resource": f"{DB}ledger",
    "--reason": "The ledger of the closed year is read by the auditors in spring.",
    "--owner": "ledger@acme-health.example",
    "--ticket": "FIN-900",
    "--requested-by": "dana.whitfield@acme-health.example",
    "--approved-by": "Ingrid.Holm@acme-health.example",
    "--days": "90",
}


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "customers" / "acme", tmp_path / "customers" / "acme")
    return tmp_path


@pytest.fixture
def waivers(workspace: Path) -> Path:
    return workspace / "customers" / "acme" / "waivers.yaml"


def add(workspace: Path, *more: str, **changes: str | None) -> int:
    said: dict[str, str | None] = {**SAID, **{f"--{key.replace('_', '-')}": value for key, value in changes.items()}}
    words = [word for key, value in said.items() if value is not None for word in (key, value)]
    return main(["waiver", "add", "--customer", "acme", "--workspace", str(workspace), *words, *more])


def checked(workspace: Path, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, Mapping[str, Any]]:
    capsys.readouterr()
    code = main(["waiver", "check", "--customer", "acme", "--workspace", str(workspace), "--format", "json", *more])
    found = json.loads(capsys.readouterr().out)
    Draft202012Validator(json.loads((ROOT / "schemas" / "waivers-check.schema.json").read_text())).validate(found)
    return code, found


def entry(name: str, **changes: object) -> str:
    """An entry that is in force; None leaves a key out."""
    values = {
        "policy": "rds-idle",
        "resource": f"{DB}ledger",
        "reason": "The ledger of the closed year is read by the auditors in spring.",
        "owner": "ledger@acme-health.example",
        "requested_by": "dana.whitfield@acme-health.example",
        "approved_by": "ingrid.holm@acme-health.example",
        "ticket": "FIN-900",
        "created": TODAY - 10 * DAY,
        "expires": TODAY + 200 * DAY,
    }
    made = {key: value for key, value in (values | changes).items() if value is not None}
    return f"  - id: {name}\n" + "".join(f"    {key}: {value}\n" for key, value in made.items())


def write(waivers: Path, *entries: str) -> None:
    waivers.write_text("apiVersion: finops-policy/v1\nkind: Waivers\nwaivers:\n" + "".join(entries))


def kinds(found: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    return [(each["kind"], each["waivers"]) for each in found["attention"]]


# --- add --------------------------------------------------------------------------------------------------------------


def test_an_entry_goes_behind_the_last_and_applies(
    workspace: Path, waivers: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = waivers.read_text()
    assert add(workspace, "--tag", "Team=a*", "--account", "111122223333", "--region", "us-east-1") == 0
    number = f"W-{TODAY.year}-022" if TODAY.year == 2026 else f"W-{TODAY.year}-001"
    assert capsys.readouterr().out == f"{number}  {waivers}\n"
    after = waivers.read_text()
    assert after.startswith(before)
    assert f"    created: {TODAY}\n    expires: {TODAY + 90 * DAY}\n" in after.removeprefix(before)
    _, found = checked(workspace, capsys)
    last = found["waivers"][-1]
    assert (last["id"], last["state"], last["age_days"], last["days_left"]) == (number, "in force", 0, 90)
    assert (last["tag"], last["account"], last["region"]) == (
        {"key": "Team", "value": "a*"}, "111122223333", "us-east-1"
    )  # fmt: skip


def test_the_file_is_made_where_there_is_none(workspace: Path, waivers: Path) -> None:
    waivers.unlink()
    assert add(workspace, id="W-1") == 0
    assert waivers.read_text().startswith("apiVersion: finops-policy/v1\nkind: Waivers\nwaivers:\n  - id: W-1\n")


def test_a_dry_run_writes_nothing(workspace: Path, waivers: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = waivers.read_bytes()
    assert add(workspace, "--dry-run") == 0
    assert waivers.read_bytes() == before
    assert capsys.readouterr().out.startswith(before.decode())


@pytest.mark.parametrize(
    ("changes", "code", "told"),
    [
        ({"approved_by": "mallory@acme-health.example"}, 1, "who is no approver"),
        ({"approved_by": SAID["--requested-by"].upper()}, 1, "approved by the person who requested it"),
        ({"reason": "because"}, 1, "`reason` must have at least 10 characters"),
        ({"days": None, "expires": str(TODAY + 366 * DAY)}, 1, "may be waived for 365"),
        ({"days": None, "expires": str(TODAY - DAY)}, 2, "is over already"),
        ({"days": None}, 2, "A waiver needs one end"),
        ({"expires": str(TODAY)}, 2, "A waiver needs one end"),
        ({"resource": None}, 2, "What is waived is not said"),
        ({"tag": "Team"}, 2, "is no tag"),
        ({"policy": "rds-idl"}, 2, "Did you mean rds-idle"),
        ({"id": "W-2026-014"}, 2, "There is a waiver W-2026-014 already"),
        ({"account": "1"}, 1, "`account`"),
    ],
)
def test_what_would_not_apply_is_not_written(
    workspace: Path,
    waivers: Path,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, str | None],
    code: int,
    told: str,
) -> None:
    before = waivers.read_bytes()
    assert add(workspace, **changes) == code
    assert told in capsys.readouterr().err
    assert waivers.read_bytes() == before
    assert sorted(path.name for path in waivers.parent.iterdir()) == ["customer.yaml", "waivers.yaml"]


def test_a_limit_of_the_profile_holds(workspace: Path, waivers: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """rds-idle is of severity high, which sox lets be waived for 90 days."""
    assert add(workspace, profile="sox", days="91") == 1
    assert "is for 91 days, and findings of severity high may be waived for 90" in capsys.readouterr().err
    assert add(workspace, profile="sox") == 0


def test_a_built_in_example_is_not_written_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert add(tmp_path) == 2
    assert "built-in example" in capsys.readouterr().err


# --- list and check ---------------------------------------------------------------------------------------------------


def test_the_shipped_waivers_are_listed_with_their_age(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["waiver", "list", "--customer", "acme", "--workspace", str(workspace)]) == 0
    told = capsys.readouterr()
    lines = told.out.splitlines()
    assert [line.split("  ")[:2] for line in lines] == [
        ["W-2026-014", "in force"], ["W-2026-021", "in force"], ["W-2025-007", "expired"], ["W-2026-003", "in force"]
    ]  # fmt: skip
    assert f"{(TODAY - dt.date(2026, 10, 5)).days} days old" in lines[0]
    assert all("matches not known" in line for line in lines)
    assert "there is no whole run" in told.err


def test_what_ends_or_is_over_is_told(workspace: Path, waivers: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(
        waivers,
        entry("W-1", expires=TODAY - DAY),
        entry("W-2", expires=TODAY, resource=f"{DB}a"),
        entry("W-3", expires=TODAY + 30 * DAY, resource=f"{DB}b"),
        entry("W-4", expires=TODAY + 31 * DAY, resource=f"{DB}c"),
    )
    code, found = checked(workspace, capsys)
    assert (code, kinds(found)) == (3, [("expired", ["W-1"]), ("expiring", ["W-2"]), ("expiring", ["W-3"])])
    code, found = checked(workspace, capsys, "--within", "31")
    assert len(kinds(found)) == 4
    write(waivers, entry("W-4"))
    code, found = checked(workspace, capsys)
    assert (code, found["attention"], found["run"]) == (0, [], None)


def test_what_does_not_apply_is_told_and_why(
    workspace: Path, waivers: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(
        waivers,
        entry("W-1", approved_by="mallory@acme-health.example"),
        entry("W-2", created=TODAY - 200 * DAY),
        entry("W-3", created=TODAY + DAY),
        entry("W-4", created=None, expires=TODAY + 366 * DAY),
        entry("W-5", created=None, expires=TODAY + 365 * DAY, resource=f"{DB}ok"),
        entry("W-6", expires="never"),
        entry("W-7", policy="no-such-policy"),
    )
    code, found = checked(workspace, capsys, "--profile", "hipaa")
    assert code == 3
    assert sorted(kinds(found)) == [("malformed", [each]) for each in ("W-1", "W-2", "W-3", "W-4", "W-6", "W-7")]
    assert {each["id"]: each["state"] for each in found["waivers"]} == {
        **dict.fromkeys(("W-1", "W-2", "W-3", "W-4", "W-6", "W-7"), "malformed"), "W-5": "in force"
    }  # fmt: skip
    assert found["waivers"][4]["age_days"] is None


def test_waivers_that_contain_each_other_overlap(
    workspace: Path, waivers: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(
        waivers,
        entry("W-1", resource=f"{DB}*"),
        entry("W-2"),
        entry("W-3", policy="ec2-idle", resource="arn:aws:ec2:*"),
        entry("W-4", resource="arn:aws:rds:eu-west-1:*"),
    )
    code, found = checked(workspace, capsys)
    assert (code, kinds(found)) == (3, [("overlapping", ["W-1", "W-2"])])
    assert found["attention"][0]["message"] == "Waiver W-1 covers all that W-2 covers."


def made_run(workspace: Path, found: list[Evaluation], gap: Target | None = None) -> None:
    writer = LocalStore(workspace / "evidence").create("acme", "20261123T080000Z-00000001")
    for target in TARGETS:
        rows = [each for each in found if (each.account_id, each.region) == (target.account_id, target.region)]
        write_evaluations(writer.part("evaluations", target), writer.run_id, "acme", rows)
        status = Status.FAILED if target == gap else Status.EVALUATED
        write_coverage(
            writer.part("coverage", target), writer.run_id,
            [Coverage(target.account_id, target.region, "rds-idle", status)],
        )  # fmt: skip
    key, _ = SigningKey.load_or_create(workspace / "signing.pem")
    writer.seal({**record("acme"), "started_at": NOW}, key)


def database(name: str, verdict: Verdict = Verdict.WAIVED, **tags: str) -> Evaluation:
    return evaluation(
        account_id="111122223333", region="us-east-1", policy="rds-idle", arn=DB + name, verdict=verdict, tags=tags
    )


def test_what_matches_nothing_is_told_from_the_newest_run(
    workspace: Path, waivers: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(
        waivers,
        entry("W-1"),
        entry("W-2", resource=f"{DB}gone"),
        entry("W-3", resource=f"{DB}busy"),
        entry("W-4", resource=None, tag="{key: Team, value: 'we?'}"),
        entry("W-5", resource=None, tag="{key: Secret, value: x}"),
        entry("W-6", resource="arn:aws:rds:eu-west-1:444455556666:db:*"),
        entry("W-7", resource=None, tag="{key: Team, value: ops}"),
    )
    rows = [
        database("ledger", Team="web"), database("busy", Verdict.COMPLIANT), database("other", Secret=WITHHELD),
        database("new", Verdict.NONCOMPLIANT, Team="web"),
    ]  # fmt: skip
    made_run(workspace, rows, gap=Target("444455556666", "eu-west-1"))
    code, found = checked(workspace, capsys)
    assert code == 3
    matched = {each["id"]: each["matched"] for each in found["waivers"]}
    assert matched["W-1"] == {"resources": 1, "findings": 1}
    assert matched["W-2"] == {"resources": 0, "findings": 0}
    assert matched["W-3"] == {"resources": 1, "findings": 0}
    # A tag may match anywhere, and one cell has a gap; a value that is withheld tells nothing either.
    assert (matched["W-4"], matched["W-5"], matched["W-6"], matched["W-7"]) == (None, None, None, None)
    assert kinds(found) == [("unmatched", ["W-2"]), ("unmatched", ["W-3"])]


def test_without_a_gap_tags_are_matched_and_overlaps_found(
    workspace: Path, waivers: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(
        waivers,
        entry("W-1", resource=f"{DB}l*r"),
        entry("W-2", resource=None, tag="{key: Team, value: 'we?'}"),
        entry("W-3", resource=None, tag="{key: Secret, value: x}"),
        entry("W-4", resource=None, tag="{key: Team, value: ops}"),
    )
    rows = [database("ledger", Team="web"), database("other", Secret=WITHHELD)]
    made_run(workspace, rows)
    code, found = checked(workspace, capsys)
    assert (code, kinds(found)) == (3, [("unmatched", ["W-4"]), ("overlapping", ["W-1", "W-2"])])
    assert "both cover 1 finding" in found["attention"][1]["message"]
    assert {each["id"]: each["matched"] for each in found["waivers"]}["W-3"] is None


def test_hostile_text_stays_text(workspace: Path, waivers: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(waivers, entry("W-1", resource="'arn:aws:rds:[bold]x{{7*7}}'", expires=TODAY))
    for command in ("list", "check"):
        main(["waiver", command, "--customer", "acme", "--workspace", str(workspace)])
    told = capsys.readouterr().out
    assert "[bold]x{{7*7}}" in told
