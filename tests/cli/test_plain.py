"""``run --policies``: plain Cloud Custodian files over an accounts file of c7n-org, and what stock custodian says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from finops_policy import validation
from finops_policy.evidence.parquet import read_coverage, read_evaluations
from finops_policy.model import Status, Verdict
from finops_policy.sandbox.process import Sandbox
from finops_policy.sources import parse
from tests.cli.conftest import Invoke
from tests.cli.kit import Result

CUSTODIAN = str(Path(sys.executable).with_name("custodian"))
PROD, DEV = "111122223333", "444455556666"
ROLE, EXTERNAL_ID = "finops-policy-reader", "acme-7f3c"
ACCOUNTS = f"""\
vars: {{word: acme, age: 30}}
accounts:
  - account_id: "{PROD}"
    name: acme-prod
    role: {ROLE}
    external_id: {EXTERNAL_ID}
    regions: [us-east-1]
    tags: [env:prod]
  - account_id: "{DEV}"
    name: acme-dev
    role: {ROLE}
    external_id: {EXTERNAL_ID}
    regions: [us-east-1]
    tags: [env:dev]
    vars: {{word: dev, age: 3000}}
"""
POLICIES = """\
vars:
  owner: &no-owner {"tag:owner": absent}
policies:
  - name: EC2_No_Owner
    resource: ec2
    description: Every instance has an owner.
    metadata: {severity: HIGH}
    filters: [*no-owner]
    actions: [stop]
  - name: named
    resource: aws.s3
    filters: [{type: value, key: Name, op: contains, value: "{word}"}]
  - name: old
    resource: ebs
    filters: [{type: value, key: CreateTime, value_type: age, op: gt, value: "{age}"}]
  - name: in-zone
    resource: ebs
    filters: [{type: value, key: AvailabilityZone, op: regex, value: "^{region}[a-z]{{1}}$"}]
  - name: everything
    resource: aws.lambda
"""


@pytest.fixture
def files(place: Path) -> Path:
    (place / "accounts.yml").write_text(ACCOUNTS)
    (place / "plain.yml").write_text(POLICIES)
    return place


@pytest.fixture
def plain(in_sandbox: Sandbox, files: Path, invoke: Invoke) -> Invoke:
    """A run of the files over the accounts, in one process."""

    def run(*arguments: object) -> Result:
        return invoke("run", "--policies", "plain.yml", "--accounts", "accounts.yml", "--workers", 1, *arguments)

    return run


def bundle(store: Path, customer: str = "custodian") -> Path:
    (folder,) = (store / "evidence").glob(f"customer={customer}/month=*/run=*")
    return folder


def matched(folder: Path) -> dict[tuple[str, str], list[str]]:
    """(account, policy) -> ids of its noncompliant resources, for every cell that was evaluated."""
    found: dict[tuple[str, str], list[str]] = {
        (cell.account_id, cell.policy): [] for cell in read_coverage(folder) if cell.status is Status.EVALUATED
    }
    for each in read_evaluations(folder):
        if each.verdict is Verdict.NONCOMPLIANT:
            found[each.account_id, each.policy].append(each.resource_id)
    return {cell: sorted(ids) for cell, ids in found.items()}


def stock(
    folder: Path, sandbox: Sandbox, account_id: str, variables: dict[str, Any]
) -> dict[tuple[str, str], list[str]]:
    """The same of stock custodian. It takes variables of its own for files, and those only as text: they are written
    into the file here, as c7n-org's would be."""
    text = POLICIES
    for name, value in variables.items():
        text = text.replace(f'"{{{name}}}"', json.dumps(value))
    path, output = folder / f"{account_id}.yml", folder / f"stock-{account_id}"
    path.write_text(text)
    role = f"arn:aws:iam::{account_id}:role/{ROLE}"
    command = [CUSTODIAN, "run", "--dryrun", "-s", output, "-r", "us-east-1", "--cache-period", "0"]
    command += ["--assume", role, "--external-id", EXTERNAL_ID, path]
    own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    done = subprocess.run(
        command, capture_output=True, text=True, env=own | sandbox.environment(), cwd=folder, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    keys = {"EC2_No_Owner": "InstanceId", "named": "Name", "everything": "FunctionName"}
    return {
        (account_id, path.parent.name): sorted(
            each[keys.get(path.parent.name, "VolumeId")] for each in json.loads(path.read_text())
        )
        for path in output.glob("*/resources.json")
    }


def test_the_same_matches_as_stock_custodian(
    plain: Invoke, files: Path, sandbox_server: Sandbox, tmp_path: Path
) -> None:
    said = plain()
    assert said.code == 3, said.err
    theirs = stock(tmp_path, sandbox_server, PROD, {"word": "acme", "age": 30})
    theirs |= stock(tmp_path, sandbox_server, DEV, {"word": "dev", "age": 3000})
    ours = matched(bundle(files))
    assert ours == theirs
    assert len(ours) == 10
    assert ours[PROD, "old"]
    assert not ours[DEV, "old"]
    assert ours[PROD, "named"] != ours[DEV, "named"]


def test_the_summary_says_that_nothing_was_acted_on(plain: Invoke) -> None:
    assert plain().lines("1 policy has actions")[0].endswith("they were checked and not run. A run only reads.")


def test_a_run_is_reported_and_verified_like_any_other(plain: Invoke, files: Path, invoke: Invoke) -> None:
    plain("--customer", "team-a", "--account", "acme-prod")
    folder = bundle(files, "team-a")
    assert invoke("verify", folder).code == 0
    said = invoke("report", "--customer", "team-a", "--output", files / "report")
    assert said.code == 0, said.err
    page = (files / "report" / "report.html").read_text("utf-8")
    assert "EC2_No_Owner" in page
    assert "Every instance has an owner." in page
    assert "no retention was given" in page
    record = json.loads((folder / "run.json").read_text())
    assert record["packs"][0]["name"] == "plain"
    assert record["selection"]["accounts"] == [PROD]
    policies = json.loads((files / "report" / "report.json").read_text("utf-8"))["policies"]
    assert (policies[0]["name"], policies[0]["severity"]) == ("EC2_No_Owner", "high")


def test_tags_and_commas_choose(plain: Invoke) -> None:
    said = plain("--tags", "env:dev", "--policy", "old,in-zone", "--region", "eu-west-1,us-east-1", "--dry-run")
    assert said.lines("2 targets x 2 policies = 4 cells.")
    assert len(said.lines(f"  {DEV} acme-dev ")) == 2
    assert not said.lines(f"  {PROD}")


def test_a_dry_run_names_the_roles(plain: Invoke) -> None:
    said = plain("--dry-run")
    assert said.lines(f"  {PROD} acme-prod us-east-1  through arn:aws:iam::{PROD}:role/{ROLE}")
    assert said.lines("  plain/EC2_No_Owner on aws.ec2 (high)")


def test_what_c7n_would_not_run_says_so(plain: Invoke, files: Path) -> None:
    (files / "plain.yml").write_text("""\
policies:
  - {name: prod-only, resource: ebs, conditions: [{type: value, key: account.tags, op: contains, value: "env:prod"}]}
  - {name: elsewhere, resource: ebs, conditions: [{region: eu-west-1}]}
  - {name: waits, resource: ec2, mode: {type: cloudtrail, events: [RunInstances], role: r}}
""")
    said = plain()
    assert said.code == 4
    cells = {(cell.account_id, cell.policy): cell for cell in read_coverage(bundle(files))}
    statuses = {key: cell.status for key, cell in cells.items()}
    assert statuses.pop((PROD, "prod-only")) is Status.EVALUATED
    waits = {status for (_, policy), status in statuses.items() if policy == "waits"}
    others = {status for (_, policy), status in statuses.items() if policy != "waits"}
    assert (waits, others) == ({Status.SKIPPED}, {Status.NOT_APPLICABLE})
    assert len(statuses) == 5
    assert "account.tags" in cells[DEV, "prod-only"].message
    assert "cloudtrail" in cells[PROD, "waits"].message
    assert cells[PROD, "prod-only"].population > 0


def broken_off(folder: Path) -> None:
    """As if the command had been killed when one target was not done yet."""
    sealed = bundle(folder)
    for name in ("run.json", "run.dsse.json", "../../head.dsse.json", f"coverage/{DEV}_us-east-1.parquet"):
        (sealed / name).unlink()


def test_a_run_of_chosen_accounts_is_resumed_without_the_choice(plain: Invoke, files: Path) -> None:
    other = f"""\
  - account_id: "777788889999"
    role: {ROLE}
    external_id: {EXTERNAL_ID}
    regions: [cn-north-1]
    tags: [env:cn]
"""
    (files / "accounts.yml").write_text(ACCOUNTS.replace("[env:prod]", "[env:prod, team:a]") + other)
    (files / "plain.yml").write_text(POLICIES + '  - {name: "Q_[x]", resource: ebs}\n')
    choice = ("--account", f"acme-dev,{PROD}", "--policy", "named", "--policy", "o*,Q*")
    assert plain(*choice, "--tags", "env:dev").code == 3
    before = matched(bundle(files))
    assert {account for account, _ in before} == {DEV}
    broken_off(files)
    for option in (("--tags", "env:dev"), ("--account", "acme-dev")):
        refused = plain("--resume", "latest", *option)
        assert refused.code == 2
        assert "--resume takes a run as it was begun." in refused.err
    said = plain("--resume", "latest")
    assert said.code == 3, said.err
    assert matched(bundle(files)) == before
    assert json.loads((bundle(files) / "run.json").read_text())["selection"]["accounts"] == [DEV]


def test_another_accounts_file_does_not_resume_a_run(plain: Invoke, files: Path) -> None:
    plain("--tags", "env:dev")
    broken_off(files)
    (files / "accounts.yml").write_text(ACCOUNTS.replace("age: 3000", "age: 3001"))
    said = plain("--resume", "latest")
    assert said.code == 1
    assert "is not what it was when the run started" in said.err


@pytest.mark.usefixtures("in_sandbox")
def test_a_run_in_the_callers_own_account_is_resumed_without_its_region(files: Path, invoke: Invoke) -> None:
    (files / "plain.yml").write_text("policies: [{name: p, resource: ebs}]")
    arguments = ("run", "--policies", "plain.yml", "--workers", 1)
    assert invoke(*arguments, "--region", "eu-west-1").code in (0, 3)
    for name in ("run.json", "run.dsse.json", "../../head.dsse.json"):
        (bundle(files) / name).unlink()
    said = invoke(*arguments, "--resume", "latest")
    assert said.code in (0, 3), said.err
    assert [cell.region for cell in read_coverage(bundle(files))] == ["eu-west-1"]


@pytest.mark.usefixtures("in_sandbox")
def test_without_accounts_the_callers_own_is_looked_at(files: Path, invoke: Invoke) -> None:
    (files / "plain.yml").write_text("policies: [{name: p, resource: ebs}]")
    said = invoke("run", "--policies", "plain.yml", "--workers", 1)
    assert said.code in (0, 3), said.err
    (cell,) = read_coverage(bundle(files))
    assert (cell.account_id, cell.region, cell.status) == ("999900001111", "us-east-1", Status.EVALUATED)


def test_without_accounts_a_dry_run_asks_nobody(files: Path, invoke: Invoke) -> None:
    (files / "plain.yml").write_text("policies: [{name: p, resource: ebs}]")
    said = invoke("run", "--policies", "plain.yml", "--region", "eu-west-1", "--dry-run")
    assert (said.code, len(said.lines("1 targets x 1 policies"))) == (0, 1)
    assert "the caller's own account eu-west-1" in said.out


def test_a_mistake_is_told_at_its_line_before_anything_is_asked(files: Path, invoke: Invoke) -> None:
    (files / "more").mkdir()
    (files / "more" / "x.yml").write_text("policies:\n  - name: EC2_No_Owner\n    resource: aws.ec3\n")
    arguments = ("--policies", "plain.yml", "--policies", "more", "--accounts", "accounts.yml")
    said = invoke("run", *arguments)
    assert said.code == 1
    assert "more/x.yml:2:11: Policy name 'EC2_No_Owner' is used twice." in said.err
    assert "more/x.yml:3:15: c7n has no resource type `aws.ec3`" in said.err
    assert "2 problems" in said.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--policies", "plain.yml"), "No region was given."),
        (("--policies", "plain.yml", "--profile", "sox"), "--policies and --profile exclude each other."),
        (("--policies", "plain.yml", "--region", "us-east-1", "--tags", "a:b"), "--tags needs --accounts"),
        (("--policies", "plain.yml", "--region", "us-east-1", "--account", "x"), "--account needs --accounts"),
        (("--customer", "acme", "--accounts", "accounts.yml"), "--accounts needs --policies."),
        (("--customer", "acme", "--tags", "env:prod"), "--tags needs --policies."),
        (("--accounts", "accounts.yml"), "Missing option '--customer'"),
        (("--policies", "gone.yml"), "'gone.yml' does not exist"),
        (("--policies", "plain.yml", "--accounts", "accounts.yml", "--tags", "env:prd"), "has the tag 'env:prd'"),
        (("--policies", "plain.yml", "--accounts", "accounts.yml", "--account", "prod"), "has no account 'prod'"),
        (("--policies", "plain.yml", "--accounts", "accounts.yml", "--policy", "x"), "No policy matches 'x'."),
        (("--policies", "plain.yml", "--accounts", "accounts.yml", "--customer", "../x"), "cannot name a customer"),
    ],
)
def test_options_that_make_no_sense_are_usage_errors(
    arguments: tuple[str, ...], says: str, files: Path, invoke: Invoke
) -> None:
    said = invoke("run", *arguments, "--dry-run")
    assert said.code == 2
    assert says in said.err


@pytest.mark.usefixtures("in_sandbox")
def test_hostile_text_stays_text(files: Path, invoke: Invoke) -> None:
    name, evil = "Q_^\\x]", "<script>alert(1)</script>[red]{{7*7}}\u202e=cmd()"
    policy = {
        "name": name,
        "resource": "ebs",
        "description": evil.replace("{{7*7}}", ""),
        "metadata": {"title": evil.replace("{{7*7}}", ""), evil: evil},
    }
    account = {"account_id": PROD, "name": evil, "role": ROLE, "external_id": EXTERNAL_ID, "regions": ["us-east-1"]}
    (files / "plain.json").write_text(json.dumps({"policies": [policy]}, indent=2))
    (files / "accounts.json").write_text(
        json.dumps({"accounts": [{**account, "tags": [f"a:{evil}"], "vars": {evil: evil}}]})
    )
    arguments = ("--policies", "plain.json", "--accounts", "accounts.json", "--tags", f"a:{evil}")
    assert r"[red]{{7*7}}\u202e=cmd()" in invoke("run", *arguments, "--dry-run").out
    said = invoke("run", *arguments, "--workers", 1)
    assert said.code == 3, said.err
    assert "\u202e" not in said.out + said.err
    assert [key[1] for key in matched(bundle(files))] == [name]
    assert invoke("report", "--customer", "custodian", "--output", files / "report").code == 0
    page = (files / "report" / "report.html").read_text("utf-8")
    assert "<script>alert(1)" not in page
    assert "49\u202e" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_the_schema_of_c7n_orgs_file_is_valid_for_editors() -> None:
    for kind in ("c7n-org-accounts", "custodian-policies"):
        assert validation.schema(kind)["$schema"].endswith("2020-12/schema")
    assert validation.validate(parse(ACCOUNTS.encode(), "accounts.yml"), "c7n-org-accounts") == []
    assert validation.validate(parse(POLICIES.encode(), "plain.yml"), "custodian-policies") == []
