"""``finops-policy approve`` as approvers meet it: what they see, what is signed, and what is refused."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from finops_policy.evidence.chain import Claim, ClaimKind, Link
from finops_policy.evidence.signing import PublicKey, default_key_path
from finops_policy.library import library_root
from finops_policy.remediation.approvers import approver_key_path
from finops_policy.remediation.model import Plan, Requester, Step
from finops_policy.remediation.plan_file import PLAN_NAME, write_plan
from finops_policy.remediation.recipes.recipe import Dependant, Dependants, Undo, Undoable
from finops_policy.sandbox.process import Sandbox
from tests.cli.conftest import Invoke
from tests.cli.kit import COMMAND, Result, environment
from tests.remediation.approval_kit import DESTRUCTIVE, EMAILS, ONE, TWO, Desk, email, item, plan
from tests.unit.builders import write_files

RUNNER = "arn:aws:iam::999900001111:user/finops-runner"
CUSTOMER = """\
apiVersion: finops-policy/v1
kind: Customer
name: acme
title: Acme
regions: [us-east-1]
accounts: [{id: "111122223333", name: acme-prod}]
approvers:
"""
RULES = """\
approval:
  rules:
    - {over: "500.00", needs: [engineering, finance]}
    - {destructive: true, needs: [engineering, finance]}
    - {needs: [engineering]}
"""
ACME = ("--customer", "acme")
PLAN_ID = "20261124T070000Z-0123abcd"
SCHEMA = json.loads(library_root().joinpath("schemas", "approval.schema.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(tmp_path_factory.mktemp("keys"))


@pytest.fixture(autouse=True)
def _own_configuration(place: Path, monkeypatch: pytest.MonkeyPatch, desk: Desk) -> None:
    """A workspace whose approvers have the desk's keys; Samuel is the sandbox's caller as well."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(place / "config"))
    text = CUSTOMER
    for who in EMAILS:
        text += f"  - name: {who.capitalize()}\n    email: {email(who)}\n    role: {EMAILS[who]}\n"
        text += f'    keys: ["ed25519:{desk.registered(who)}"]\n'
    text = text.replace("role: engineering\n", f"role: engineering\n    identities: [{RUNNER}]\n", 1)
    write_files(place, {"customers/acme/customer.yaml": text + RULES})


@pytest.fixture
def folder(place: Path) -> Path:
    made = place / "evidence" / "customer=acme" / "plans" / PLAN_ID
    made.mkdir(parents=True)
    return made


Make = Callable[..., Plan]


@pytest.fixture
def make(folder: Path) -> Make:
    """Writes the plan: an idle instance, and a destructive action of unknown worth unless told otherwise."""

    def made(**changes: Any) -> Plan:
        now = dt.datetime.now(dt.UTC).replace(microsecond=0)
        items = changes.pop("items", (item(ONE, "70.08"), item(TWO, None, **DESTRUCTIVE)))
        times = {"created_at": now, "valid_until": now + dt.timedelta(days=7)}
        asked = Requester("arn:aws:iam::999900001111:user/planner", "dana@acme.example")
        return write_plan(plan(*items, **{"plan_id": PLAN_ID, "requested_by": asked, **times, **changes}), folder)

    return made


Approve = Callable[..., Result]


@pytest.fixture
def approve(invoke: Invoke, desk: Desk) -> Approve:
    def run(who: str, *arguments: object, place: object = "latest") -> Result:
        chosen = [] if {"--item", "--all", "--status"} & set(map(str, arguments)) else ["--all"]
        key = ["--key", desk.keys[who].path] if who else []
        said = [] if "--comment" in arguments else ["--comment", "It is idle."]
        return invoke("approve", place, "--customer", "acme", *key, "--yes", *said, *chosen, *arguments)

    return run


def attempts(folder: Path) -> list[dict[str, str]]:
    path = folder / "attempts.jsonl"
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []
    for line in lines:
        Draft202012Validator(SCHEMA["$defs"]["attempt"]).validate(line)
    return lines


def kinds(folder: Path) -> list[str]:
    return [each["kind"] for each in attempts(folder)]


def decisions(folder: Path) -> list[Path]:
    return sorted((folder / "approvals").glob("*.dsse.json"))


def status(invoke: Invoke) -> dict[str, Any]:
    said = invoke("approve", "latest", "--customer", "acme", "--status", "--format", "json")
    assert (said.code, said.err) == (0, "")
    document: dict[str, Any] = json.loads(said.out)
    Draft202012Validator({**SCHEMA["$defs"]["status"], "$defs": SCHEMA["$defs"]}).validate(document)
    return document


# --- What is seen and signed ------------------------------------------------------------------------------------------


def test_who_approves_sees_everything_first(make: Make, approve: Approve, folder: Path, desk: Desk) -> None:
    of = make()
    said = approve("samuel")
    assert said.code == 0, said.err
    for text in (
        f"SHA-256 {of.digest}",
        "Asked for by arn:aws:iam::999900001111:user/planner (dana@acme.example)",
        "What it saves a month is unknown: it is unknown what 1 of 2 items saves",
        f"{ONE}  stop  arn:aws:ec2:us-east-1:111122223333:instance/i-{ONE}",
        "destructive: no",
        "undo of stop: yes. Start the instance.",
        "saves a month: 70.08 USD",
        "depends on it: nothing found",
        f"{TWO}  stop  arn:aws:ec2:us-east-1:111122223333:instance/i-{TWO}",
        "destructive: yes",
        "undo of stop: no.",
        "lost for good: What was in memory.",
        "saves a month: unknown: no price of ec2/x9",
        "depends on it: image ami-1: It cannot be launched any more.",
        "depends on it: unknown: Routes: denied.",
        "needs engineering, finance",
    ):
        assert text in said.err, text
    [path] = decisions(folder)
    assert f"Recorded: {path.relative_to(Path.cwd())}" in said.out
    assert "waits for finance" in said.out
    assert f"Approved by samuel@acme.example (engineering, key {desk.keys['samuel'].public.id[:8]})" in said.out
    assert "0 of 2 items approved." in said.out
    assert re.fullmatch(r"\d{8}T\d{6}Z-engineering-[0-9a-f]{8}\.dsse\.json", path.name)
    assert attempts(folder) == []


def test_both_levels_approve(make: Make, approve: Approve, invoke: Invoke) -> None:
    of = make()
    assert approve("samuel").code == 0
    said = approve("ingrid", "--format", "json")
    document = json.loads(said.out)
    assert document["recorded"]
    found = status(invoke)
    assert {**found, "recorded": document["recorded"]} == document
    assert (found["plan_digest"], [each["approved"] for each in found["items"]]) == (of.digest, [True, True])
    assert found["monthly_savings"] == {
        "amount": None,
        "currency": "USD",
        "reason": "it is unknown what 1 of 2 items saves",
    }
    assert [each["approver"] for each in found["decisions"]] == [email("samuel"), email("ingrid")]


def test_status_says_what_is_missing_when_nothing_is_approved(make: Make, invoke: Invoke, folder: Path) -> None:
    make(items=(item(ONE, "70.08"),))
    said = invoke("approve", "latest", "--customer", "acme", "--status")
    assert (said.code, said.err) == (0, "")
    assert "waits for engineering" in said.out
    assert "needs engineering; given: nothing; missing: engineering" in said.out
    assert "It saves 70.08 USD a month" in said.out
    assert sorted(each.name for each in folder.iterdir()) == [PLAN_NAME], "looking leaves nothing behind"


def test_items_are_decided_apart(make: Make, approve: Approve, invoke: Invoke) -> None:
    make()
    assert approve("samuel", "--item", ONE).code == 0
    assert approve("ingrid", "--item", ONE, "--item", TWO).code == 0
    one, two = status(invoke)["items"]
    assert (one["approved"], two["approved"], two["missing"]) == (True, False, ["engineering"])


def test_a_refusal_stays(make: Make, approve: Approve, invoke: Invoke) -> None:
    make()
    said = approve("lucia", "--item", TWO, "--refuse", "--comment", "Needed for the audit.")
    assert said.code == 0, said.err
    for who in ("samuel", "ingrid"):
        said = approve(who)
        assert said.code == 0
        assert f"{TWO} was refused by lucia@acme.example" in said.err
    assert "Refused by lucia@acme.example" in said.out
    assert "Needed for the audit." in said.out
    assert "1 of 2 items approved." in said.out
    assert [each["approved"] for each in status(invoke)["items"]] == [True, False]


@pytest.mark.parametrize("how", ["latest", PLAN_ID, "folder", "file"])
def test_a_plan_is_named_as_one_likes(make: Make, approve: Approve, folder: Path, how: str) -> None:
    make()
    place = {"folder": folder, "file": folder / PLAN_NAME}.get(how, how)
    assert approve("samuel", place=place).code == 0
    assert len(decisions(folder)) == 1


def test_a_hostile_plan_and_comment_are_shown_as_text(make: Make, approve: Approve, invoke: Invoke) -> None:
    evil = "\x1b[2J\u202e[red]x[/red]\r\n=cmd()"
    make(items=(item(ONE, "1", arn=f"arn:{evil}", owner=evil, account_name=evil), item(TWO, None, **DESTRUCTIVE)))
    said = approve("samuel", "--comment", evil)
    assert said.code == 0
    for text in (said.out, said.err):
        assert not {"\x1b", "\u202e", "\r"} & set(text)
        assert "\\x1b[2J\\u202e[red]x[/red]\\x0d\\x0a=cmd()" in text
    assert status(invoke)["decisions"][0]["comment"] == evil


def test_an_approver_sees_what_an_action_is_given(make: Make, approve: Approve) -> None:
    action = {"type": "modify", "volume-type": "io2", "size-percent": 900}
    steps = tuple(replace(each, action=action) for each in item().steps)
    make(items=(item(ONE, "1", resource_type="aws.ebs", steps=steps),))
    said = approve("samuel")
    assert said.code == 0, said.err
    assert f"{ONE}  modify size-percent=900 volume-type=io2  arn:" in said.err
    assert "depends on it: not looked for: modify is taken to break nothing else" in said.err


def test_hostile_actions_are_shown_as_text(make: Make, approve: Approve) -> None:
    evil = "\x1b[2J\u202e\r\n    destructive: no"
    undo = Undo(Undoable.PARTLY, evil, (evil,), (evil,))
    hostile = Step({"type": evil, evil: evil, "deep": [{evil: evil}]}, {}, undo, ())
    lasting = Dependants((Dependant(evil, evil, evil),), (evil,))
    make(
        items=(
            item(ONE, "1", steps=(hostile,), region=evil, resource_type=evil),
            item(TWO, "1", steps=(hostile,), dependants=lasting),
        )
    )
    said = approve("samuel")
    assert said.code == 0, said.err
    assert not {"\x1b", "\u202e", "\r"} & set(said.out + said.err)
    assert said.err.count("\n    destructive: no\n") == 2  # one for each item, and none of its own
    assert "depends on it: unknown: nobody knows what \\x1b[2J" in said.err


def test_the_default_key_is_the_registered_one(make: Make, approve: Approve, invoke: Invoke, place: Path) -> None:
    make()
    said = invoke("approve", "--register")
    assert said.code == 0
    path = approver_key_path()
    assert path == place / "config" / "finops-policy" / "approver.pem"
    assert path.stat().st_mode & 0o777 == 0o600
    assert f"Your new key is {path}" in said.err
    assert "PRIVATE" not in said.out + said.err
    line = re.fullmatch(r'- "(ed25519:[A-Za-z0-9+/]{43}=)"\n', said.out)
    assert line
    again = invoke("approve", "--register", "--format", "json")
    document = json.loads(again.out)
    Draft202012Validator(SCHEMA["$defs"]["key"]).validate(document)
    assert document["key"] == line[1]
    assert f"Your key is {path}" in again.err
    assert approve("").code == 1, "not in customer.yaml yet"
    customer = place / "customers/acme/customer.yaml"
    text = customer.read_text().replace("role: security\n    keys: [", f'role: security\n    keys: ["{line[1]}", ')
    customer.write_text(text)
    said = approve("")
    assert said.code == 0, said.err
    assert "Approved by lucia@acme.example" in said.out


def test_registering_may_name_a_file(invoke: Invoke, place: Path) -> None:
    assert invoke("approve", "--register", "--key", "mine.pem").code == 0
    assert (place / "mine.pem").stat().st_mode & 0o777 == 0o600
    (place / "mine.pem").chmod(0o644)
    said = invoke("approve", "--register", "--key", "mine.pem")
    assert (said.code, said.out) == (1, "")
    assert "Others can read" in said.err


# --- Being asked ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def asked(desk: Desk, place: Path, answer: bytes) -> Iterator[tuple[int, str]]:
    """Approves with a terminal for stdin."""
    master, slave = os.openpty()
    arguments = ["approve", "latest", "--customer", "acme", "--all", "--comment", "Idle.", "--key"]
    try:
        process = subprocess.Popen(
            [*COMMAND, *arguments, str(desk.keys["samuel"].path)],
            cwd=place,
            env=environment({"XDG_CONFIG_HOME": str(place / "config")}),
            stdin=slave,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        os.write(master, answer)
        _, said = process.communicate(timeout=60)
        yield process.returncode, said
    finally:
        os.close(master)
        os.close(slave)


@pytest.mark.parametrize(("answer", "code", "count"), [(b"y\n", 0, 1), (b"n\n", 1, 0), (b"\n", 1, 0)])
def test_on_a_terminal_it_asks(
    make: Make, desk: Desk, place: Path, folder: Path, answer: bytes, code: int, count: int
) -> None:
    make()
    with asked(desk, place, answer) as (found, said):
        assert found == code, said
        assert "Approve 2 items as Samuel <samuel@acme.example> (engineering, key " in said
        assert ("Nothing was recorded." in said) is (count == 0)
    assert len(decisions(folder)) == count
    assert attempts(folder) == []


def test_without_a_terminal_it_wants_to_be_told(make: Make, invoke: Invoke, desk: Desk, folder: Path) -> None:
    make()
    arguments = ("--customer", "acme", "--all", "--comment", "Idle.", "--key", desk.keys["samuel"].path)
    said = invoke("approve", "latest", *arguments)
    assert said.code == 2
    assert "--yes" in said.err
    assert decisions(folder) == []


# --- What is refused --------------------------------------------------------------------------------------------------


def refused(said: Result, kind: str) -> None:
    assert (said.code, said.out) == (1, ""), said.err
    assert f"Error: Refused ({kind}): " in said.err
    assert "Traceback" not in said.err


def test_a_key_that_is_not_registered(make: Make, approve: Approve, folder: Path, desk: Desk) -> None:
    make()
    refused(approve("mallory"), "unregistered-key")
    [line] = attempts(folder)
    assert (line["kind"], line["key_id"]) == ("unregistered-key", desk.keys["mallory"].public.id)
    assert (line["plan_id"], decisions(folder)) == (PLAN_ID, [])


def test_the_requester(make: Make, approve: Approve, folder: Path) -> None:
    make(requested_by=Requester("", email("samuel")))
    refused(approve("samuel"), "requester")
    assert kinds(folder) == ["requester"]
    assert attempts(folder)[0]["approver"] == email("samuel")


def test_a_repetition(make: Make, approve: Approve, folder: Path) -> None:
    make()
    assert approve("samuel").code == 0
    refused(approve("samuel", "--item", ONE), "repeated")
    assert (kinds(folder), len(decisions(folder))) == (["repeated"], 1)


def test_an_item_that_is_not_there(make: Make, approve: Approve, folder: Path) -> None:
    make()
    said = approve("samuel", "--item", ONE[:-1] + "9")
    refused(said, "unknown-item")
    assert "Did you mean" in said.err
    assert kinds(folder) == ["unknown-item"]


def test_an_expired_plan(make: Make, approve: Approve, folder: Path) -> None:
    make(valid_until=dt.datetime.now(dt.UTC) - dt.timedelta(minutes=1))
    refused(approve("samuel"), "expired-plan")
    refused(approve("samuel", "--refuse"), "expired-plan")
    assert kinds(folder) == ["expired-plan", "expired-plan"]


def test_a_plan_of_somebody_else(make: Make, approve: Approve, folder: Path) -> None:
    make(customer="globex")
    refused(approve("samuel"), "wrong-customer")
    assert kinds(folder) == ["wrong-customer"]


def test_a_plan_changed_by_one_byte(make: Make, approve: Approve, folder: Path, invoke: Invoke) -> None:
    make(items=(item(ONE, "900"),))
    assert approve("ingrid").code == 0
    path = folder / PLAN_NAME
    path.write_bytes(path.read_bytes().replace(b'"900"', b'"901"'))
    refused(approve("samuel"), "plan-changed")
    assert kinds(folder) == ["plan-changed", "plan-changed"]
    assert [each["kind"] for each in status(invoke)["rejected"]] == ["plan-changed"]
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n", 1))
    refused(approve("samuel"), "plan-unreadable")
    assert kinds(folder)[2:] == ["plan-unreadable"]
    assert len(decisions(folder)) == 1


def test_a_digest_that_was_told_must_be_the_plans(make: Make, approve: Approve, folder: Path) -> None:
    of = make()
    refused(approve("samuel", "--digest", "0" * 64), "plan-changed")
    assert kinds(folder) == ["plan-changed"]
    assert approve("samuel", "--digest", of.digest.upper()).code == 0


def test_forged_approvals_in_the_folder_are_told_and_recorded_once(
    make: Make, approve: Approve, folder: Path, desk: Desk, invoke: Invoke
) -> None:
    of = make()
    assert approve("samuel").code == 0
    forged = desk.keys["samuel"].sign(desk.said(of, "ingrid").statement())
    (folder / "approvals" / "x.dsse.json").write_bytes(forged)
    (folder / "approvals" / "half.dsse.json").write_bytes(forged[:50])
    said = invoke("approve", "latest", "--customer", "acme", "--status")
    assert "Does not count (forged): x.dsse.json: it says that ingrid@acme.example decided, with the key of" in said.out
    assert "Does not count (malformed): half.dsse.json" in said.out
    assert kinds(folder) == [], "looking records nothing"
    for who in ("noor", "lucia"):
        assert approve(who).code == 0
        assert sorted(kinds(folder)) == ["forged", "malformed"]


def test_a_folder_that_cannot_be_written(make: Make, approve: Approve, folder: Path) -> None:
    make()
    (folder / "approvals").write_text("a file where a folder belongs: also root cannot write into it")
    said = approve("samuel")
    assert said.code == 1
    assert "Error: Cannot read" in said.err
    assert "Recorded" not in said.out


# --- STS --------------------------------------------------------------------------------------------------------------


def test_who_aws_says_one_is(
    make: Make, approve: Approve, folder: Path, in_sandbox: Sandbox, invoke: Invoke, place: Path
) -> None:
    make()
    said = approve("", "--sts")
    assert said.code == 0, said.err
    key = PublicKey.load(default_key_path().with_name("signing.pem.pub"))
    told = f"(engineering, sts {RUNNER}, attested by key {key.id[:8]})"
    assert f"Approved by samuel@acme.example {told}" in said.out
    [decision] = status(invoke)["decisions"]
    assert (decision["method"], decision["identity"], decision["key_id"]) == ("sts", RUNNER, key.id)
    default_key_path().with_name("signing.pem.pub").unlink()
    found = status(invoke)
    assert found["decisions"] == []
    assert [each["kind"] for each in found["rejected"]] == ["unregistered-key"], "nobody attests it here"


def test_an_identity_that_is_nobodys(
    make: Make, approve: Approve, folder: Path, in_sandbox: Sandbox, place: Path
) -> None:
    make()
    path = place / "customers/acme/customer.yaml"
    path.write_text(path.read_text().replace(f"[{RUNNER}]", "[arn:aws:iam::999900001111:user/other]"))
    refused(approve("", "--sts"), "unregistered-identity")
    assert kinds(folder) == ["unregistered-identity"]


def test_the_key_that_attests_must_be_the_one_of_the_evidence(
    make: Make, approve: Approve, folder: Path, in_sandbox: Sandbox, desk: Desk
) -> None:
    make()
    link = Link("20261124T060000Z-0123abcd", 1, "ab" * 32)
    head = desk.keys["machine"].sign(Claim(ClaimKind.HEAD, "acme", link, None).statement())
    (folder.parents[1] / "head.dsse.json").write_bytes(head)
    said = approve("", "--sts")
    assert said.code == 1
    assert "is signed with the key" in said.err
    assert decisions(folder) == []


def test_without_aws_nobody_is_anybody(make: Make, approve: Approve, folder: Path, monkeypatch: Any) -> None:
    make()
    for name, value in {"AWS_EC2_METADATA_DISABLED": "true", "AWS_MAX_ATTEMPTS": "1", "HOME": "/nowhere"}.items():
        monkeypatch.setenv(name, value)
    said = approve("", "--sts")
    assert said.code == 1
    assert "AWS does not say who is calling" in said.err
    assert decisions(folder) == []


def test_a_plan_of_the_sandbox_asks_the_sandbox(
    make: Make, approve: Approve, monkeypatch: pytest.MonkeyPatch, place: Path, sandbox_server: Sandbox
) -> None:
    """Not whatever account the caller's environment leads to."""

    @contextlib.contextmanager
    def opened(workspace: Path) -> Iterator[Sandbox]:
        yield sandbox_server

    monkeypatch.setattr("finops_policy.sandbox.process.sandbox", opened)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    make(sandbox=True)
    said = approve("", "--sts")
    assert said.code == 0, said.err
    assert RUNNER in said.out


# --- Usage ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "Name a plan and its --customer"),
        (("latest",), "Name a plan and its --customer"),
        (("latest", "--customer", "acme"), "Say what you decide about"),
        (("latest", "--customer", "acme", "--all"), "Say what you decide about"),
        (("latest", "--customer", "acme", "--all", "--item", ONE, "--comment", "x"), "Say what you decide about"),
        (("latest", "--customer", "acme", "--all", "--comment", " ", "--key", "KEY"), "A comment has 1 to 2000"),
        (("latest", "--customer", "acme", "--all", "--comment", "x" * 2001, "--key", "KEY"), "A comment has 1 to"),
        (("latest", "--customer", "acme", "--all", "--comment", "x"), "There is no private key at"),
        (("latest", "--customer", "acme", "--all", "--comment", "x", "--sts", "--key", "k"), "exclude each other"),
        (
            ("latest", "--customer", "acme", "--all", "--comment", "x", "--key", "KEY", "--valid-hours", "73"),
            "72 hours",
        ),
        (("nothing", "--customer", "acme", "--status"), "acme has no plan 'nothing'"),
        (("latest", "--customer", "acne", "--status"), "There is no customer named 'acne'"),
        (("latest", "--customer", "acme", "--valid-hours", "0"), "Invalid value for '--valid-hours'"),
        (("latest", "--register"), "--register takes no plan"),
    ],
    ids=lambda value: " ".join(value)[:50] if isinstance(value, tuple) else "",
)
def test_what_cannot_be_asked(
    make: Make, invoke: Invoke, folder: Path, desk: Desk, arguments: tuple[str, ...], says: str
) -> None:
    make()
    said = invoke("approve", *(desk.keys["samuel"].path if each == "KEY" else each for each in arguments))
    assert (said.code, said.out) == (2, "")
    assert says in " ".join(said.err.split())
    assert (attempts(folder), decisions(folder)) == ([], [])


def test_two_approvers_at_once_as_processes(make: Make, folder: Path, place: Path, desk: Desk, invoke: Invoke) -> None:
    make()
    chosen = ("approve", "latest", "--customer", "acme", "--all", "--yes")
    processes = [
        subprocess.Popen(
            [*COMMAND, *chosen, "--comment", who, "--key", str(desk.keys[who].path)],
            cwd=place,
            env=environment({"XDG_CONFIG_HOME": str(place / "config")}),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for who in ("samuel", "ingrid")
    ]
    assert [process.communicate(timeout=60)[1][-300:] and process.returncode for process in processes] == [0, 0]
    assert [each["approved"] for each in status(invoke)["items"]] == [True, True]


def test_the_key_is_made_by_registering_alone(make: Make, approve: Approve, place: Path) -> None:
    make()
    assert approve("", "--key", place / "new.pem").code == 2
    assert not (place / "new.pem").exists()


def test_a_plan_is_bound_to_its_bytes_and_not_to_its_name(make: Make, approve: Approve, folder: Path) -> None:
    """An approval that is copied beside another plan approves nothing there."""
    of = make(items=(item(ONE, "1"),))
    assert approve("samuel").code == 0
    other = folder.with_name("20261125T070000Z-0123abcd")
    (other / "approvals").mkdir(parents=True)
    [path] = decisions(folder)
    (other / "approvals" / path.name).write_bytes(path.read_bytes())
    write_plan(replace(of, plan_id=other.name), other)
    said = approve("", "--status")
    assert "Does not count (wrong-plan)" in said.out
    assert "0 of 1 item approved." in said.out
