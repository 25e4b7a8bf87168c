"""``run``: what it prints, what it leaves, and how it ends."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from finops_policy.catalog import Catalog
from finops_policy.cli import summary
from finops_policy.evidence.parquet import read_coverage, read_evaluations
from finops_policy.evidence.store import read_run
from finops_policy.model import Status, Verdict
from finops_policy.sandbox.process import Sandbox
from tests.cli.conftest import FullRun, Invoke
from tests.cli.kit import ANSI, Result, finops, running

COVERAGE = re.compile(
    r"^Coverage INCOMPLETE: (\d+) of (\d+) cells evaluated, (\d+) not applicable, (\d+) NOT CHECKED", re.MULTILINE
)
JUDGED = re.compile(
    r"^Judged ([\d,]+) = ([\d,]+) compliant \+ ([\d,]+) noncompliant \+ ([\d,]+) waived \+ ([\d,]+) unknown\.$",
    re.MULTILINE,
)
ROW = re.compile(r"^([a-z][a-z0-9-]*)" + r" +([\d,]+)" * 6 + r" +\S", re.MULTILINE)
LEGACY = "222233334444"


def numbers(pattern: re.Pattern[str], text: str) -> list[int]:
    found = pattern.search(text)
    assert found, text
    return [int(each.replace(",", "")) for each in found.groups()]


def rows(result: Result) -> dict[str, list[int]]:
    """The table: population, compliant, noncompliant, waived, unknown and gaps of each policy, and of all."""
    return {name: [int(each.replace(",", "")) for each in counts] for name, *counts in ROW.findall(result.out)}


def evidence_of(result: Result) -> Path:
    (line,) = result.lines("Evidence: ")
    return Path(line.removeprefix("Evidence: "))


# --- The run of everything ------------------------------------------------------------------------------------------


def test_it_ends_with_4_as_one_account_could_not_be_checked(full_run: FullRun) -> None:
    assert full_run.result.code == 4


def test_the_table_has_every_policy_and_its_sums_are_right(full_run: FullRun) -> None:
    table = rows(full_run.result)
    everything = table.pop("all")
    packs = Catalog(Path()).all_packs().values()
    assert set(table) == {name for pack in packs for name in pack.policies}
    for name, (population, *members, _gaps) in table.items():
        assert population == sum(members), name
    assert [sum(column) for column in zip(*table.values(), strict=True)] == everything


def test_the_totals_are_printed_as_an_equation_that_holds(full_run: FullRun) -> None:
    population, *members = numbers(JUDGED, full_run.result.out)
    assert population == sum(members) > 0
    assert [population, *members] == rows(full_run.result)["all"][:5]


def test_the_coverage_line_accounts_for_every_check(full_run: FullRun) -> None:
    evaluated, cells, elsewhere, missing = numbers(COVERAGE, full_run.result.out)
    assert evaluated + elsewhere + missing == cells == 8 * (len(rows(full_run.result)) - 1)
    assert missing == rows(full_run.result)["all"][5] > 0


def test_acme_legacy_is_the_only_account_not_checked_and_its_next_step_is_told(full_run: FullRun) -> None:
    failed = Counter(cell.account_id for cell in read_coverage(full_run.bundle) if cell.status is Status.FAILED)
    assert failed == {LEGACY: 52}
    told = [line for line in full_run.result.lines("  ") if "not checked" in line]
    assert len(told) == 1
    assert told[0].startswith("  acme-legacy eu-west-1, us-east-1: 52 not checked (own-permission): ")
    assert "trust policy" in full_run.result.out


def test_what_is_printed_is_what_the_evidence_holds(full_run: FullRun) -> None:
    verdicts = Counter(each.verdict for each in read_evaluations(full_run.bundle))
    population, compliant, noncompliant, waived, unknown = numbers(JUDGED, full_run.result.out)
    assert population == verdicts.total()
    assert (compliant, noncompliant) == (verdicts[Verdict.COMPLIANT], verdicts[Verdict.NONCOMPLIANT])
    assert (waived, unknown) == (verdicts[Verdict.WAIVED], verdicts[Verdict.UNKNOWN])
    assert evidence_of(full_run.result) == full_run.bundle


def test_waived_findings_are_counted_apart_and_name_their_waivers(full_run: FullRun) -> None:
    waived = {each.policy: each.waiver_id for each in read_evaluations(full_run.bundle) if each.waiver_id}
    assert waived == {"rds-idle": "W-2026-014", "app-elb-idle": "W-2026-021"}
    assert rows(full_run.result)["rds-idle"][3] == rows(full_run.result)["app-elb-idle"][3] == 1


def test_data_goes_to_stdout_and_everything_else_to_stderr(full_run: FullRun) -> None:
    said = full_run.result
    assert re.findall(r"^\[(\d)/8\] acme-", said.err, re.MULTILINE) == [str(each) for each in range(1, 9)]
    assert "Caller: arn:aws:iam::999900001111:user/finops-runner" in said.err
    assert "Checking 8 targets" in said.err
    assert "NOT CHECKED: 26 of 26 (own-permission)" in said.err
    assert "Checking" not in said.out
    assert "Evidence:" not in said.err
    assert not ANSI.search(said.out + said.err)


def test_the_record_says_what_ran(full_run: FullRun) -> None:
    record = read_run(full_run.bundle).data
    assert record["sandbox"] is True
    assert record["profile"]["name"] == "hipaa"
    assert len(record["targets"]) == 8
    assert record["selection"] == {"accounts": [], "regions": [], "policies": []}


def test_another_sandbox_gives_the_same_findings(full_run: FullRun, small_run: Invoke) -> None:
    again = small_run("--account", "acme-data", "--policy", "*")
    bundle = evidence_of(again)

    def findings(folder: Path) -> Counter[tuple[str, ...]]:
        found = read_evaluations(folder)
        wanted = ("777788889999", "us-east-1")
        return Counter(
            (each.policy, each.arn or each.resource_id, each.verdict.value)
            for each in found
            if (each.account_id, each.region) == wanted
        )

    assert findings(bundle) == findings(full_run.bundle)
    assert findings(bundle).total() > 50


# --- Exit codes -----------------------------------------------------------------------------------------------------


def test_findings_end_with_3(small_run: Invoke) -> None:
    said = small_run()
    assert said.code == 3
    assert "Coverage complete: 1 of 1 cells evaluated" in said.out
    assert rows(said)["s3-required-tags"][2] > 0


@pytest.mark.parametrize(("limit", "code"), [("medium", 3), ("high", 0), ("never", 0)])
def test_fail_on_says_which_findings_count(limit: str, code: int, small_run: Invoke) -> None:
    assert Catalog(Path()).pack("required-tags").policies["s3-required-tags"].severity == "medium"
    assert small_run("--fail-on", limit, "-q").code == code


def test_incomplete_coverage_outranks_findings_unless_it_is_allowed(small_run: Invoke) -> None:
    both = ("--account", "acme-dev", "--account", "acme-legacy", "-q")
    assert small_run(*both).code == 4
    assert small_run(*both, "--fail-on", "never").code == 4
    assert small_run(*both, "--allow-incomplete").code == 3
    assert small_run(*both, "--allow-incomplete", "--fail-on", "never").code == 0


@pytest.mark.parametrize("severity", ["info", "low", "medium", "high", "critical"])
@pytest.mark.parametrize("limit", ["info", "low", "medium", "high", "critical"])
def test_a_finding_counts_from_its_severity_upwards(severity: str, limit: str) -> None:
    order = ["info", "low", "medium", "high", "critical"]
    data = {"coverage": {"complete": True}, "severities": [{"severity": severity, "noncompliant": 1}]}
    expected = 3 if order.index(severity) >= order.index(limit) else 0
    assert summary.exit_code(data, limit, allow_incomplete=False) == expected
    data["coverage"] = {"complete": False}
    assert summary.exit_code(data, limit, allow_incomplete=False) == 4


# --- JSON -----------------------------------------------------------------------------------------------------------


def test_json_is_one_document_whose_counts_agree(small_run: Invoke) -> None:
    said = small_run(
        *("--account", "acme-dev", "--account", "acme-legacy", "--policy", "s3*", "--policy", "ec2-*"),
        "--format",
        "json",
    )
    data: dict[str, Any] = json.loads(said.out)
    assert said.code == 4
    assert data["schema"] == "finops-policy/summary/v1"
    members = ("compliant", "noncompliant", "waived", "unknown")
    for counts in (data["totals"], *data["policies"]):
        assert counts["population"] == sum(counts[name] for name in members)
    for name in ("population", *members):
        assert data["totals"][name] == sum(policy[name] for policy in data["policies"])
    assert data["totals"]["noncompliant"] == sum(each["noncompliant"] for each in data["severities"]) > 0
    coverage = data["coverage"]
    parts = ("evaluated", "not_applicable", "failed", "skipped")
    assert coverage["cells"] == sum(coverage[name] for name in parts) == 2 * len(data["policies"])
    assert not coverage["complete"]
    assert {(gap["account_id"], gap["kind"]) for gap in data["not_checked"]} == {(LEGACY, "own-permission")}
    assert sum(len(gap["policies"]) for gap in data["not_checked"]) == coverage["failed"]
    assert read_run(Path(data["bundle"])).data["run_id"] == data["run"]["id"]
    assert "Checking 2 targets" in said.err


def test_quiet_leaves_the_data_alone_and_says_nothing_else(small_run: Invoke) -> None:
    said = small_run("-q")
    assert said.err == ""
    assert said.lines("s3-required-tags")
    assert said.lines("Coverage complete")


# --- Choosing -------------------------------------------------------------------------------------------------------


def test_an_account_is_chosen_by_id_or_by_name(small_run: Invoke) -> None:
    by_id = small_run("--account", "777788889999", "--format", "json")
    by_name = small_run("--account", "acme-data", "--format", "json")
    first, second = json.loads(by_id.out), json.loads(by_name.out)
    assert first["totals"] == second["totals"]
    assert first["totals"]["population"] > 0
    targets = read_run(Path(first["bundle"])).data["targets"]
    assert [(each["account_id"], each["region"]) for each in targets] == [("777788889999", "us-east-1")]


def test_a_region_is_chosen_and_the_global_types_follow_it(small_run: Invoke) -> None:
    there = json.loads(small_run("--region", "eu-west-1", "--format", "json").out)
    both = json.loads(small_run("--region", "us-east-1", "--region", "eu-west-1", "--format", "json").out)
    assert there["coverage"]["evaluated"] == 1
    assert both["coverage"]["evaluated"] == both["coverage"]["not_applicable"] == 1
    assert there["totals"] == both["totals"]


@pytest.mark.parametrize(
    ("globs", "expected"),
    [
        ("s3-required-tags", "s3-required-tags"),
        ("idle-resources/?c2-*", "ec2-idle ec2-stopped"),
        ("*-oversized required-tags/s3*", "s3-required-tags ec2-oversized rds-oversized rds-storage-oversized"),
        (
            "budget-guardrails/*",
            "account-budget-missing budget-forecast-overspent budget-notifications-missing budget-overspent",
        ),
        ("ec2-[io]*", "ec2-idle ec2-oversized"),
    ],
)
def test_policies_are_chosen_by_globs_over_name_and_pack(globs: str, expected: str, invoke: Invoke) -> None:
    options = [part for glob in globs.split() for part in ("--policy", glob)]
    said = invoke("run", "--customer", "acme", "--dry-run", *options)
    assert said.code == 0
    names = [line.split()[0].partition("/")[2] for line in said.lines("  ") if " on aws." in line]
    assert names == expected.split()


@pytest.mark.parametrize(
    ("option", "value", "hint"),
    [
        ("--policy", "ec2-idel", "ec2-idle"),
        ("--policy", "idle-resource/*", "idle-resources/*"),
        ("--policy", "idle-resources/ec2-idel", "idle-resources/ec2-idle"),
        ("--policy", "", "--dry-run"),
        ("--account", "acme-prd", "acme-prod"),
        ("--account", "11112222333", "111122223333"),
        ("--region", "us-east1", "us-east-1"),
        ("--profile", "hippa", "hipaa"),
        ("--customer", "acem", "acme"),
    ],
)
def test_what_matches_nothing_is_an_error_that_knows_what_was_meant(
    option: str, value: str, hint: str, place: Path, invoke: Invoke
) -> None:
    customer = () if option == "--customer" else ("--customer", "acme")
    said = invoke("run", *customer, option, value, "--dry-run")
    assert said.code == 2
    assert said.out == ""
    problem, advice = said.err.splitlines()
    assert problem.startswith("Error: ")
    assert repr(value) in problem
    assert hint in advice
    assert not list(place.iterdir())


def test_one_wrong_glob_among_right_ones_is_not_passed_over(invoke: Invoke) -> None:
    said = invoke("run", "--customer", "acme", "--policy", "s3*", "--policy", "nothing-*", "--dry-run")
    assert said.code == 2
    assert "'nothing-*'" in said.err


def test_a_dry_run_calls_nothing_and_writes_nothing(
    place: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object) -> None:
        pytest.fail("a dry run opened a connection")

    monkeypatch.setenv("XDG_CONFIG_HOME", str(place / "config"))
    monkeypatch.setattr("socket.socket.connect", forbidden)
    monkeypatch.setattr("subprocess.Popen.__init__", forbidden)
    said = invoke("run", "--customer", "acme", "--dry-run", "--sandbox")
    assert said.code == 0
    assert said.out.startswith("8 targets x 26 policies = 208 cells. Nothing was run.")
    assert "222233334444 acme-legacy eu-west-1  through arn:aws:iam::222233334444:role/finops-policy-reader" in said.out
    assert len(said.lines("  ")) == 8 + 26
    assert said.err == ""
    assert not list(place.iterdir())


# --- The caller's own account ---------------------------------------------------------------------------------------

OWN = """\
apiVersion: finops-policy/v1
kind: Customer
name: globex
title: Globex
profile: startup
regions: [us-east-1]
accounts:
  - {id: "999900001111", name: own}
  - {id: "111122223333", name: somebody-else}
"""


def test_an_account_that_is_not_the_one_asked_for_is_refused(in_sandbox: Sandbox, place: Path, invoke: Invoke) -> None:
    folder = place / "customers" / "globex"
    folder.mkdir(parents=True)
    (folder / "customer.yaml").write_text(OWN)
    said = invoke("run", "--customer", "globex", "--policy", "s3*", "--workers", 1, "--format", "json")
    data = json.loads(said.out)
    assert said.code == 4
    (gap,) = data["not_checked"]
    assert (gap["account_id"], gap["kind"]) == ("111122223333", "credentials")
    assert "AWS says arn:aws:iam::999900001111:user/finops-runner is in account 999900001111" in gap["message"]
    assert data["coverage"]["evaluated"] == data["coverage"]["failed"] == 1
    assert data["totals"]["population"] == 0
    refused = [cell for cell in read_coverage(Path(data["bundle"])) if cell.status is Status.FAILED]
    assert [(cell.account_id, cell.population) for cell in refused] == [("111122223333", 0)]


# --- As a process ---------------------------------------------------------------------------------------------------


def test_real_aws_is_the_same_path_without_the_option(sandbox_server: Sandbox, place: Path) -> None:
    """The default credential chain, STS and AssumeRole, two worker processes."""
    chosen = ("--account", "acme-dev", "--policy", "s3*", "--policy", "ec2-stopped", "--workers", 2)
    said = finops("run", "--customer", "acme", *chosen, cwd=place, env=sandbox_server.environment())
    assert said.code == 3
    assert "Caller: arn:aws:iam::999900001111:user/finops-runner" in said.err
    bundle = place / evidence_of(said)
    assert read_run(bundle).data["sandbox"] is False
    assert {each.account_id for each in read_evaluations(bundle)} == {"444455556666"}
    assert rows(said)["ec2-stopped"][0] > 0


def test_two_runs_at_once_are_both_in_the_chain(sandbox_server: Sandbox, place: Path, invoke: Invoke) -> None:
    few = ("--account", "acme-dev", "--region", "us-east-1", "--policy", "s3*", "--workers", 1, "-q")
    run = partial(running, "run", "--customer", "acme", *few, cwd=place, env=sandbox_server.environment())
    with run() as one, run() as other:
        assert [one.result().code, other.result().code] == [3, 3]
    records = [read_run(folder).data for folder in place.glob("evidence/customer=acme/month=*/run=*")]
    assert sorted(record["sequence"] for record in records) == [1, 2]
    assert invoke("verify", "--customer", "acme").lines("Verified: 2 runs, ")


def test_the_first_run_makes_a_key_and_says_so_once(
    small_run: Invoke, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = place / "own config"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(config))
    first, second = small_run(), small_run()
    key = config / "finops-policy" / "signing.pem"
    assert f"A new signing key was made: {key}" in first.err
    assert "signing key" not in second.err
    assert key.stat().st_mode & 0o777 == 0o600
    assert "PRIVATE" not in key.with_name("signing.pem.pub").read_text()
    assert (first.code, second.code) == (3, 3)


def test_a_chain_of_another_signer_is_refused_before_anything_is_judged(
    small_run: Invoke, place: Path, full_run: FullRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(full_run.store, place / "evidence")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(place / "another"))
    said = small_run()
    assert said.code == 1
    assert "is signed with the key" in said.err
    assert "FINOPS_POLICY_KEY" in said.err
    assert "Checking" not in said.err
    assert len(list(place.glob("evidence/customer=acme/month=*/run=*"))) == 1


def test_a_dry_run_as_json_lists_targets_and_policies(invoke: Invoke) -> None:
    said = invoke(
        "run", "--customer", "acme", "--account", "acme-dev", "--policy", "s3-*", "--dry-run", "--format", "json"
    )
    plan = json.loads(said.out)
    assert plan["targets"] == [{"account_id": "444455556666", "region": each} for each in ("us-east-1", "eu-west-1")]
    assert plan["policies"] == ["required-tags/s3-required-tags"]
