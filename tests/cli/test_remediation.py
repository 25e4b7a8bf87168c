"""plan, approve, apply, undo and run --remediate as people meet them, on a sandbox of their own."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from finops_policy import aws
from finops_policy.cli.plan_view import show, show_applied, show_rehearsal, show_undo
from finops_policy.cli.remediation_options import Heard
from finops_policy.evidence.parquet import read_actions
from finops_policy.evidence.signing import PublicKey, default_key_path
from finops_policy.evidence.verify import verify_bundle
from finops_policy.remediation.model import Held, Outcome, Step
from finops_policy.remediation.plan_file import read_plan, write_plan
from finops_policy.remediation.recipes.recipe import Dependant, Dependants, Undo, Undoable
from finops_policy.sandbox.process import Sandbox, sandbox
from tests.cli.conftest import Invoke
from tests.cli.kit import Result
from tests.remediation.approval_kit import EMAILS, Desk, email, item, plan
from tests.unit.builders import write_files

ACME = ("--customer", "acme")
PROFILE = """\
apiVersion: finops-policy/v1
kind: Profile
name: acting
version: 1.0.0
title: Acts
packs:
  idle-resources: {version: "~=1.0", posture: auto, postures: {ebs-unattached: approve, lambda-idle: approve}}
parameters:
  idle-resources: {grace_days: 7}
frameworks: {}
retention: {years: 1, source: Own decision}
"""
CUSTOMER = """\
apiVersion: finops-policy/v1
kind: Customer
name: acme
title: Acme
profile: acting
regions: [us-east-1]
role: {name: finops-policy-reader, external_id: acme-7f3c}
accounts:
  - {id: "111122223333", name: acme-prod}
  - {id: "444455556666", name: acme-dev}
remediation:
  max: {count: 50, percent: 100}
  batches: {wait_seconds: 0}
approval:
  rules: [{needs: [engineering]}]
approvers:
"""


@pytest.fixture(scope="module")
def own_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with sandbox(tmp_path_factory.mktemp("own-sandbox")) as running:
        yield running


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(tmp_path_factory.mktemp("keys"))


@pytest.fixture(autouse=True)
def workspace(place: Path, own_sandbox: Sandbox, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a profile that acts, approvers who have the desk's keys, and the way to the sandbox."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(place / "config"))
    for name in [each for each in os.environ if each.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in own_sandbox.environment().items():
        monkeypatch.setenv(name, value)
    people = "".join(
        f"  - {{name: {who}, email: {email(who)}, role: {EMAILS[who]}, keys: ['ed25519:{desk.registered(who)}']}}\n"
        for who in EMAILS
    )
    empty = "apiVersion: finops-policy/v1\nkind: Waivers\nwaivers: []\n"
    write_files(
        place,
        {
            "customers/acme/customer.yaml": CUSTOMER + people,
            "customers/acme/waivers.yaml": empty,
            "profiles/acting.yaml": PROFILE,
        },
    )
    return place


def judged(invoke: Invoke, account: str, *arguments: object, policy: str = "idle-resources/*") -> Result:
    few = ("--account", account, "--policy", policy, "--workers", 1, "--fail-on", "never", "--quiet")
    return invoke("run", *ACME, *few, *arguments)


def document(said: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(said.out)
    return found


def dev_volumes() -> list[str]:
    """What acme-dev's account itself says, entered as the program enters it."""
    sts = aws.session("us-east-1").client("sts")
    role = "arn:aws:iam::444455556666:role/finops-policy-reader"
    got = sts.assume_role(RoleArn=role, RoleSessionName="look", ExternalId="acme-7f3c")["Credentials"]
    inside = aws.Credentials(got["AccessKeyId"], got["SecretAccessKey"], got["SessionToken"], got["Expiration"])
    return sorted(
        each["VolumeId"] for each in aws.session("us-east-1", inside).client("ec2").describe_volumes()["Volumes"]
    )


def test_from_findings_to_a_plan_to_consent_to_acts_and_back(invoke: Invoke, workspace: Path, desk: Desk) -> None:
    run = judged(invoke, "acme-dev")
    assert run.code == 0, run.err
    volumes = dev_volumes()

    said = invoke("plan", *ACME, "--requested-by", "dana@acme.example", "--policy", "ebs-unattached")
    assert said.code == 0, said.err
    [folder] = (workspace / "evidence" / "customer=acme" / "plans").glob("*Z-*")
    made = read_plan(folder)
    assert made.items
    for told in (made.digest, made.plan_id, "snapshot", "delete", "partly", f"Planned: {len(made.items)} resource"):
        assert told in said.out
    assert all(each.resource_id in said.out and each.id in said.out for each in made.items)
    assert (folder / "plan.html").read_text("utf-8").count("<article") == len(made.items)
    assert dev_volumes() == volumes

    said = invoke("apply", "latest", *ACME, "--execute", "--format", "json")
    assert said.code == 0, said.err
    assert {each["outcome"] for each in document(said)["items"]} == {"held"}
    assert all("not approved: engineering must still approve" in each["reason"] for each in document(said)["items"])
    assert dev_volumes() == volumes

    key = ("--key", desk.keys["samuel"].path)
    said = invoke("approve", made.plan_id, *ACME, *key, "--all", "--yes", "--comment", "Idle for weeks.")
    assert said.code == 0, said.err

    said = invoke("apply", "latest", *ACME)
    assert said.code == 0, said.err
    assert "Nothing was done: add --execute to act." in said.out
    assert said.out.count("would act") == len(made.items)
    assert dev_volumes() == volumes

    said = invoke("apply", "latest", *ACME, "--execute")
    assert said.code == 0, said.err
    assert f"{len(made.items)} done" in said.out
    assert set(dev_volumes()).isdisjoint(each.resource_id for each in made.items)
    bundle = Path(re.findall(r"Evidence: (\S+)", said.out)[0])
    checked = verify_bundle(bundle, PublicKey.load(Path(f"{default_key_path()}.pub")))
    assert checked.ok, checked.problems
    rows = read_actions(bundle)
    assert {each["outcome"] for each in rows} == {"done"}
    key_id = desk.keys["samuel"].public.id[:8]
    assert {tuple(each["approved_by"]) for each in rows} == {(f"samuel@acme.example (engineering, key {key_id})",)}
    assert {each["requested_by"] for each in rows} == {"dana@acme.example"}
    assert list((bundle / "approvals").iterdir()), "the approvals are in the evidence"

    said = invoke("apply", "latest", *ACME, "--execute", "--format", "json")
    run_id = bundle.name.removeprefix("run=")
    reasons = {each["reason"] for each in document(said)["items"]}
    assert reasons == {f"done already, by run {run_id}: make a new plan"}

    run_id = bundle.name.removeprefix("run=")
    said = invoke("undo", run_id, *ACME)
    assert (said.code, "Nothing was done: add --execute to undo." in said.out) == (0, True)
    assert "lost: the volume's id" in said.out
    said = invoke("undo", run_id, *ACME, "--execute", "--format", "json")
    assert said.code == 0, said.err
    assert {each["outcome"] for each in document(said)["items"]} == {"undone"}
    assert len(dev_volumes()) == len(volumes)


def test_a_run_remediates_only_where_nobody_need_be_asked(invoke: Invoke) -> None:
    first = judged(invoke, "acme-prod", "--format", "json")
    assert first.code == 0, first.err
    said = judged(invoke, "acme-prod", "--remediate", "--format", "json")
    assert said.code == 0, said.err
    done = document(said)["remediation"]
    assert done["planned"] >= 1
    assert done["applied"]["counts"]["done"] == done["planned"]
    assert done["applied"]["counts"]["failed"] == 0
    for each in done["applied"]["items"]:
        assert not {"delete", "terminate", "release"} & set(each["actions"])
        assert each["policy"] not in ("ebs-unattached", "lambda-idle")
    rows = read_actions(Path(done["applied"]["bundle"]))
    assert {tuple(each["approved_by"]) for each in rows} == {("auto",)}
    again = judged(invoke, "acme-prod", "--remediate")
    assert again.code == 0, again.err
    assert "Remediation" in again.out


def test_without_remediate_a_run_only_reads(invoke: Invoke, workspace: Path) -> None:
    said = judged(invoke, "acme-dev", policy="log-group-retention")
    assert said.code == 0, said.err
    assert not (workspace / "evidence" / "customer=acme" / "plans").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("apply", "latest", *ACME), 2, "There is no plan of 'acme'"),
        (("apply", "20261124T080000Z-00000000", *ACME), 2, "has no plan '20261124T080000Z-00000000'"),
        (("apply", "./nowhere/plan.json", *ACME), 2, "There is no plan at"),
        (("undo", "latest", *ACME), 1, "no evidence store"),
        (("plan", *ACME), 1, "no evidence store"),
        (("plan", "--customer", "nobody"), 2, "nobody"),
        (("run", "--policies", "x.yml", "--remediate"), 2, "--remediate acts on findings of packs"),
    ],
)
def test_what_cannot_be_is_told_without_a_traceback(
    invoke: Invoke, workspace: Path, arguments: tuple[str, ...], code: int, told: str
) -> None:
    policy = "policies: [{name: a, resource: aws.ebs}]"
    (workspace / "x.yml").write_text(policy)
    said = invoke(*arguments)
    assert (said.code, told in said.err) == (code, True), said.err
    assert "Traceback" not in said.err
    assert said.out == ""


def test_a_plan_of_the_sandbox_is_not_applied_to_aws(invoke: Invoke, workspace: Path) -> None:
    folder = workspace / "evidence" / "customer=acme" / "plans" / "20261124T070000Z-0123abcd"
    folder.mkdir(parents=True)
    write_plan(plan(sandbox=True), folder)
    said = invoke("apply", "latest", *ACME, "--execute")
    assert (said.code, "is for the sandbox" in said.err, "--sandbox" in said.err) == (2, True, True)


def test_an_edited_plan_is_refused(invoke: Invoke, workspace: Path) -> None:
    folder = workspace / "evidence" / "customer=acme" / "plans" / "20261124T070000Z-0123abcd"
    folder.mkdir(parents=True)
    write_plan(plan(), folder)
    path = folder / "plan.json"
    path.write_text(path.read_text().replace("70.08", "70.08 "))
    said = invoke("apply", "latest", *ACME, "--execute")
    assert said.code == 1
    assert "is not a plan" in said.err or "was edited" in said.err


def test_hostile_text_stays_text_on_a_terminal(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pwn = "\x1b[31m[red]x[/red]\u202e\x00\nSHA-256 forged"
    one = item(account_name=pwn, resource_id=pwn, arn=pwn, dependants=Dependants((Dependant(pwn, pwn, pwn),), (pwn,)))
    made = plan(one, held=(Held("ec2-idle", "1" * 12, "us-east-1", pwn, pwn, pwn),))
    show(made, workspace)
    said = capsys.readouterr().out
    for bad in ("\x1b", "\u202e", "\x00"):
        assert bad not in said
    assert "[red]" in said
    assert not [line for line in said.splitlines() if line.startswith("SHA-256 forged")]


@pytest.mark.parametrize("values", [{}, {"size-percent": 900, "volume-type": "io2", "iops": 64000}])
def test_what_an_action_is_given_stands_in_or_below_the_table(
    workspace: Path, capsys: pytest.CaptureFixture[str], values: dict[str, Any]
) -> None:
    short = replace(item().steps[0], action={"type": "modify", "volume-type": "gp3"})
    long = replace(item().steps[0], action={"type": "modify", **values, "why": "x" * 40})
    show(plan(item(resource_type="aws.ebs", steps=(short, long))), workspace)
    said = capsys.readouterr().out
    assert "modify volume-type=gp3" in said
    given = "".join(f" {key}={values[key]}" for key in sorted(values))
    assert f"  aaaaaaaaaaa1: modify{given} why={'x' * 40}\n" in said


def test_hostile_actions_stay_text_wherever_they_are_told(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pwn = "\x1b[31m\u202e\x00\nSHA-256 forged"
    undo = Undo(Undoable.PARTLY, pwn, (pwn,))
    step = Step({"type": pwn, pwn: pwn, "deep": [{pwn: pwn}]}, {}, undo, ())
    one = item(id=pwn, policy=pwn, region=pwn, steps=(step,))
    made = replace(plan(), items=(one,), plan_id=pwn, customer=pwn, digest=pwn)
    show(made, workspace / pwn.replace("\x00", ""))
    show_rehearsal([(one, ""), (one, pwn)], "text")
    show_undo([(one, step, Outcome.DONE)], "text")
    show_applied(SimpleNamespace(outcomes=[(one, Outcome.FAILED, pwn)], folder=workspace), "text")  # type: ignore[arg-type]
    Heard().ended(one, Outcome.DONE, pwn)
    Heard().said(pwn)
    said = capsys.readouterr()
    for text in (said.out, said.err):
        assert not {"\x1b", "\u202e", "\x00"} & set(text)
        assert "\\x1b[31m" in text
        assert not [line for line in text.splitlines() if line.startswith("SHA-256 forged")]
