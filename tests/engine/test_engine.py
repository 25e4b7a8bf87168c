"""The engine's promises: every cell is there, every member is counted, and failures say what they are."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, EndpointConnectionError, NoCredentialsError
from hypothesis import given, settings
from hypothesis import strategies as st

from finops_policy import aws
from finops_policy.compiler import CompiledSet
from finops_policy.custodian.account import Account as C7nAccount
from finops_policy.custodian.account import Judgement
from finops_policy.engine.fanout import Entry, Plan, enter_accounts, run_targets
from finops_policy.evidence.parquet import read_coverage, read_evaluations
from finops_policy.model import (
    Account,
    CompiledPolicy,
    Coverage,
    Customer,
    Fact,
    FailureKind,
    Mark,
    Severity,
    Status,
    Target,
    Verdict,
    Waiver,
)

MARK = Mark("test.yaml", 1, 1)
RESOURCE_TYPES = ("aws.ec2", "aws.s3", "aws.account")
CALLER = aws.Identity("999900001111", "arn:aws:iam::999900001111:user/tester")


def refused(code: str, message: str = "no") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "DescribeInstances")


FAILURES: tuple[tuple[Exception, FailureKind], ...] = (
    (refused("UnauthorizedOperation"), FailureKind.OWN_PERMISSION),
    (refused("AccessDenied", "denied by a service control policy"), FailureKind.RESOURCE_POLICY),
    (refused("Throttling"), FailureKind.THROTTLED),
    (refused("ExpiredToken"), FailureKind.CREDENTIALS),
    (refused("OptInRequired"), FailureKind.SERVICE_ABSENT),
    (refused("InternalError"), FailureKind.BUG),
    (NoCredentialsError(), FailureKind.CREDENTIALS),
    (ConnectTimeoutError(endpoint_url="https://ec2"), FailureKind.TIMEOUT),
    (EndpointConnectionError(endpoint_url="https://ec2"), FailureKind.TIMEOUT),
    (KeyError("Instances"), FailureKind.BUG),
    (RecursionError("deep"), FailureKind.BUG),
)


@pytest.mark.parametrize(("error", "kind"), FAILURES, ids=lambda each: str(each)[:40])
def test_a_failure_has_a_kind_a_message_and_a_next_step(error: Exception, kind: FailureKind) -> None:
    failure = aws.explain(error)
    assert failure.kind is kind
    assert failure.message
    assert failure.next_step


def test_a_refusal_names_the_missing_action() -> None:
    said = "User: arn:aws:sts::1:assumed-role/x is not authorized to perform: rds:DescribeDBInstances on resource: *"
    failure = aws.explain(refused("AccessDenied", said))
    assert failure.kind is FailureKind.OWN_PERMISSION
    assert failure.next_step == "Allow rds:DescribeDBInstances in the role's policy."


def customer(account_ids: Sequence[str], role: str = "reader") -> Customer:
    accounts = tuple(Account(each, f"name-{each}", ("us-east-1", "eu-west-1"), {}, MARK) for each in account_ids)
    return Customer("acme", "Acme", "hipaa", "aws", role, "", accounts, {}, "", MARK)


def compiled_policy(name: str, resource: str) -> CompiledPolicy:
    return CompiledPolicy(name, "pack", "1.0.0", "t", "r", resource, Severity.LOW, 0, "", {})


def plan(folder: Path, account_ids: Sequence[str], policies: Sequence[CompiledPolicy], waivers: Any = ()) -> Plan:
    for kind in ("evaluations", "coverage"):
        (folder / kind).mkdir(exist_ok=True)
    someone = customer(account_ids)
    return Plan(
        run_id="20260101T000000Z-00000000",
        customer=someone,
        caller=CALLER,
        compiled=CompiledSet("acme", "hipaa", {"": tuple(policies)}, {}, ()),
        targets=tuple(Target(each.id, region, each.name) for each in someone.accounts for region in each.regions),
        policy_names=frozenset(policy.name for policy in policies),
        waivers=waivers,
        prices=(),
        redacted_tags=("*secret*",),
        part=lambda kind, target: folder / kind / f"{target.account_id}_{target.region}.parquet",
    )


class Watcher:
    def __init__(self) -> None:
        self.announced = (0, 0)
        self.cells = 0

    def said(self, text: str) -> None: ...

    def started(self, targets: int, cells: int) -> None:
        self.announced = (targets, cells)

    def finished(self, target: Target, cells: Sequence[Coverage]) -> None:
        self.cells += len(cells)


def judgement(number: int, verdict: Verdict, failure: aws.Failure | None = None) -> Judgement:
    arn = f"arn:aws:ec2:us-east-1:1:instance/i-{number}"
    facts = (Fact("value", "tag:my-secret", "hush", "eq", "x", matched=False),)
    return Judgement(f"i-{number}", arn, {"my-secret": "hush", "Owner": "me"}, verdict, "", failure, facts, {})


OUTCOMES = st.one_of(
    st.sampled_from([error for error, _ in FAILURES]),
    st.lists(
        st.sampled_from(
            [
                (Verdict.COMPLIANT, None),
                (Verdict.NONCOMPLIANT, None),
                (Verdict.UNKNOWN, None),
                (Verdict.UNKNOWN, aws.Failure(FailureKind.THROTTLED, "slow down", "wait")),
            ]
        ),
        max_size=5,
    ),
)
WAIVER = Waiver("W-1", "p0", "*i-0", "accepted for now", "o", "a", "b", "T-1", dt.date(2999, 1, 1), MARK)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from([Entry(None), aws.Failure(FailureKind.OWN_PERMISSION, "m", "s")]), min_size=1, max_size=3),
    st.lists(st.sampled_from(RESOURCE_TYPES), min_size=1, max_size=3),
    st.data(),
)
def test_every_cell_is_there_and_every_member_is_counted(
    entries: list[Entry | aws.Failure], types: list[str], data: st.DataObject
) -> None:
    account_ids = [f"{number:012d}" for number in range(len(entries))]
    policies = [compiled_policy(f"p{number}", resource) for number, resource in enumerate(types)]

    def judge(_self: C7nAccount, _policy: CompiledPolicy) -> list[Judgement]:
        outcome = data.draw(OUTCOMES)
        if isinstance(outcome, Exception):
            raise outcome
        return [judgement(number, *each) for number, each in enumerate(outcome)]

    watcher = Watcher()
    with (
        tempfile.TemporaryDirectory() as folder,
        patch.object(C7nAccount, "judge", judge),
        patch(
            "finops_policy.engine.fanout.enter_accounts",
            lambda *_args: dict(zip(account_ids, entries, strict=True)),
        ),
    ):
        planned = plan(Path(folder), account_ids, policies, (WAIVER,))
        cells = run_targets(planned, workers=1, environment={}, sandboxed=False, progress=watcher)
        written = read_coverage(Path(folder))
        evaluations = list(read_evaluations(Path(folder)))

    expected = [(target.account_id, target.region, policy.name) for target in planned.targets for policy in policies]
    assert [(cell.account_id, cell.region, cell.policy) for cell in cells] == expected
    assert sorted(map(repr, written)) == sorted(map(repr, cells))
    assert watcher.announced == (len(planned.targets), len(expected))
    assert watcher.cells == len(expected)
    for cell in cells:
        assert cell.population == cell.compliant + cell.noncompliant + cell.waived + cell.unknown
        mine = [each for each in evaluations if (each.account_id, each.region, each.policy) == _place(cell)]
        assert len(mine) == cell.population
        if cell.status is Status.FAILED:
            assert cell.failure_kind
            assert cell.message
            assert cell.next_step
            assert (cell.population == 0) is (not cell.message.endswith("members: slow down"))
    for each in evaluations:
        assert each.tags == {"my-secret": "[withheld by the profile]", "Owner": "me"}
        assert each.facts[0].value == "[withheld by the profile]"
        waived = each.policy == "p0" and each.resource_id == "i-0"
        assert each.verdict is not (Verdict.NONCOMPLIANT if waived else Verdict.WAIVED)
        assert each.waiver_id == ("W-1" if each.verdict is Verdict.WAIVED else "")


def _place(cell: Coverage) -> tuple[str, str, str]:
    return (cell.account_id, cell.region, cell.policy)


def test_global_types_are_judged_in_the_first_region_only(tmp_path: Path) -> None:
    policies = [compiled_policy("buckets", "aws.s3"), compiled_policy("instances", "aws.ec2")]
    with (
        patch.object(C7nAccount, "judge", lambda *_args: [judgement(0, Verdict.COMPLIANT)]),
        patch("finops_policy.engine.fanout.enter_accounts", lambda *_args: {"111111111111": Entry(None)}),
    ):
        planned = plan(tmp_path, ["111111111111"], policies)
        cells = run_targets(planned, workers=1, environment={}, sandboxed=False, progress=Watcher())
    statuses = {(cell.region, cell.policy): cell.status for cell in cells}
    assert statuses == {
        ("us-east-1", "buckets"): Status.EVALUATED,
        ("us-east-1", "instances"): Status.EVALUATED,
        ("eu-west-1", "buckets"): Status.NOT_APPLICABLE,
        ("eu-west-1", "instances"): Status.EVALUATED,
    }
    assert cells[2].message == "aws.s3 is global: judged once per account, in us-east-1"


@pytest.mark.usefixtures("in_sandbox")
def test_an_account_that_is_not_the_one_asked_for_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    someone = customer(["111122223333"], role="finops-policy-reader")
    monkeypatch.setattr(aws, "assume", lambda *_args: aws.Credentials("AKIASANDBOXFINOPSRUN", "x", "y"))
    monkeypatch.setattr(aws, "identity", lambda _session: CALLER)
    refusal = enter_accounts(someone, CALLER, ["111122223333"])["111122223333"]
    assert isinstance(refusal, aws.Failure)
    assert refusal.kind is FailureKind.CREDENTIALS
    assert "asked for account 111122223333, but AWS says" in refusal.message


@pytest.mark.usefixtures("in_sandbox")
def test_without_a_role_only_the_callers_own_account_is_entered() -> None:
    someone = customer(["999900001111", "111122223333"], role="")
    entered = enter_accounts(someone, CALLER, ["999900001111", "111122223333"])
    assert entered["999900001111"] == Entry(None)
    assert isinstance(entered["111122223333"], aws.Failure)


@pytest.mark.usefixtures("in_sandbox")
def test_the_caller_is_who_aws_says() -> None:
    assert aws.caller("us-east-1").account_id == "999900001111"


def test_credentials_never_show_in_a_representation() -> None:
    assert repr(aws.Credentials("AKIA", "hidden", "hidden")) == "Credentials(access_key='AKIA')"


def test_a_cell_whose_calls_failed_for_a_member_has_failed_and_keeps_its_counts(tmp_path: Path) -> None:
    slow = aws.Failure(FailureKind.THROTTLED, "slow down", "wait")
    judged = [judgement(0, Verdict.NONCOMPLIANT), judgement(1, Verdict.UNKNOWN, slow), judgement(2, Verdict.UNKNOWN)]
    with (
        patch.object(C7nAccount, "judge", lambda *_args: judged),
        patch("finops_policy.engine.fanout.enter_accounts", lambda *_args: {"111111111111": Entry(None)}),
    ):
        planned = plan(tmp_path, ["111111111111"], [compiled_policy("instances", "aws.ec2")])
        cell, _ = run_targets(planned, workers=1, environment={}, sandboxed=False, progress=Watcher())
    assert (cell.status, cell.failure_kind, cell.next_step) == (Status.FAILED, FailureKind.THROTTLED, "wait")
    assert cell.message == "1 of 3 members: slow down"
    assert (cell.population, cell.noncompliant, cell.unknown) == (3, 1, 2)
