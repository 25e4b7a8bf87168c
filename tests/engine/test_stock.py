"""Stock Cloud Custodian accepts what we compile, and matches exactly what we find and nobody has waived."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from finops_policy import aws
from finops_policy.catalog import Catalog
from finops_policy.custodian.metrics import Reading
from finops_policy.engine.worker import TargetTask, evaluate_target
from finops_policy.evidence.parquet import read_evaluations
from finops_policy.model import CompiledPolicy, Status, Target, Verdict
from finops_policy.project import Project, load
from finops_policy.roles import Roles
from finops_policy.sandbox.process import Sandbox, sandbox

ROOT = Path(__file__).parents[2]
WAIVED = [("app-elb-idle", "W-2026-021"), ("rds-idle", "W-2026-014")]
CUSTODIAN = str(Path(sys.executable).with_name("custodian"))


@pytest.fixture(scope="module")
def project() -> Project:
    return load(Catalog(ROOT), "acme", "hipaa")


def _write(project: Project, folder: Path) -> list[Path]:
    for name, data in project.compiled.files().items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    return sorted(folder.rglob("*.yaml"))


def test_custodian_validates_every_compiled_file(project: Project, tmp_path: Path) -> None:
    files = _write(project, tmp_path)
    assert len(files) == 2  # acme-dev has parameters of its own
    for file in files:  # two files that name the same policies are not meant to be loaded together
        done = subprocess.run([CUSTODIAN, "validate", str(file)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("profile", Catalog(ROOT).profiles())
def test_c7n_accepts_every_profile(profile: str) -> None:
    from finops_policy.engine.run import check_with_c7n

    check_with_c7n(load(Catalog(ROOT), "acme", profile))


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1"])
@pytest.mark.parametrize("account_id", ["111122223333", "444455556666", "777788889999"])
@pytest.mark.usefixtures("in_sandbox")
def test_custodian_matches_the_same_resources(
    project: Project, account_id: str, region: str, sandbox_server: Sandbox, tmp_path: Path
) -> None:
    target = Target(account_id, region)
    caller = aws.caller(target.region)
    (account,) = (each for each in project.customer.accounts if each.id == target.account_id)
    credentials = Roles(project.customer, caller).enter(account, dt.timedelta(minutes=5))
    assert isinstance(credentials, aws.Credentials)
    theirs = _theirs(project, target, credentials, sandbox_server, tmp_path)
    for reading in (Reading.SINGLE, Reading.BATCHED):
        ours, waived = _ours(project, target, credentials, tmp_path / reading, reading)
        assert set(ours) == set(theirs) == {policy.name for policy in project.compiled.policies()}
        assert {name: sorted(ids) for name, ids in ours.items()} == {name: sorted(ids) for name, ids in theirs.items()}
        assert sum(map(len, ours.values())) > 2
        assert sorted(waived) == (WAIVED if (account_id, region) == ("111122223333", "us-east-1") else [])


def _ours(
    project: Project, target: Target, credentials: aws.Credentials, folder: Path, reading: Reading
) -> tuple[dict[str, list[str]], list[tuple[str, str]]]:
    """The findings by policy, and those that are waived."""
    policies = project.compiled.policies(target.account_id)
    for kind in ("evaluations", "coverage"):
        (folder / kind).mkdir(parents=True)
    task = TargetTask(
        run_id="20260101T000000Z-00000000",
        customer="acme",
        partition="aws",
        target=target,
        home=target.region,
        policies=policies,
        waivers=project.waivers,
        prices=(),
        redacted_tags=(),
        credentials=credentials,
        metrics=reading,
        seconds=300,
        evaluations=folder / "evaluations" / "part.parquet",
        coverage=folder / "coverage" / "part.parquet",
    )
    cells = evaluate_target(task).cells
    assert {cell.status for cell in cells} == {Status.EVALUATED}
    found: dict[str, list[str]] = {policy.name: [] for policy in policies}
    waived = []
    for each in read_evaluations(folder):
        if each.verdict is Verdict.NONCOMPLIANT:
            found[each.policy].append(each.resource_id)
        elif each.verdict is Verdict.WAIVED:
            waived.append((each.policy, each.waiver_id))
    return found, waived


def _theirs(
    project: Project, target: Target, credentials: aws.Credentials, sandbox: Sandbox, folder: Path
) -> dict[str, list[str]]:
    from finops_policy.custodian.library import manager_class

    own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment = own | sandbox.environment()
    environment |= {
        "AWS_ACCESS_KEY_ID": credentials.access_key,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
        "AWS_SESSION_TOKEN": credentials.token,
    }
    policies = project.compiled.policies(target.account_id)
    path = folder / "policies.yaml"
    path.write_text(json.dumps({"policies": [policy.document for policy in policies]}))
    output = folder / "custodian"
    command = [CUSTODIAN, "run", "-s", str(output), "-r", target.region, "--cache-period", "0", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = {}
    for policy in policies:
        matched = json.loads((output / policy.name / "resources.json").read_text())
        key = manager_class(policy.resource).resource_type.id
        found[policy.name] = [each[key] for each in matched]
    return found


def test_custodian_does_not_act_on_what_is_waived(project: Project, tmp_path: Path) -> None:
    """With the actions of its remediation put in, and really run: in a sandbox of its own."""
    with sandbox(tmp_path / "sandbox") as own, pytest.MonkeyPatch.context() as patched:
        for name, value in own.environment().items():
            patched.setenv(name, value)
        target = Target("111122223333", "us-east-1")
        (account,) = (each for each in project.customer.accounts if each.id == target.account_id)
        credentials = Roles(project.customer, aws.caller(target.region)).enter(account, dt.timedelta(minutes=5))
        assert isinstance(credentials, aws.Credentials)
        session = aws.session(target.region, credentials)

        def after(policies: list[CompiledPolicy], name: str) -> tuple[int, str, bool]:
            """How many resources it lists, and what has become of those that are waived."""
            (tmp_path / name).mkdir()
            acting = replace(project, compiled=replace(project.compiled, variants={"": tuple(map(_acting, policies))}))
            listed = _theirs(acting, target, credentials, own, tmp_path / name)
            databases = session.client("rds").describe_db_instances()["DBInstances"]
            status = {each["DBInstanceIdentifier"]: each["DBInstanceStatus"] for each in databases}
            balancers = session.client("elbv2").describe_load_balancers()["LoadBalancers"]
            there = "telehealth-pilot" in {each["LoadBalancerName"] for each in balancers}
            return sum(map(len, listed.values())), status["billing-archive"], there

        chosen = [each for each in project.compiled.policies() if each.name in ("rds-idle", "app-elb-idle")]
        assert after(chosen, "waived") == (1, "available", True)
        judged = [replace(each, document=each.judged, waiver_length=0) for each in chosen]
        assert after(judged, "without") == (2, "stopped", False)


def _acting(policy: CompiledPolicy) -> CompiledPolicy:
    actions = policy.document["metadata"]["remediation"]["actions"]
    return replace(policy, document={**policy.document, "actions": actions})


def test_checking_with_c7n_leaves_the_compiled_files_as_they_were(project: Project) -> None:
    from finops_policy.engine.run import check_with_c7n

    before = project.compiled.files()
    check_with_c7n(project)
    assert project.compiled.files() == before
