"""The engine's promises: every cell is there, every member is counted, and failures say what they are."""

from __future__ import annotations

import datetime as dt
import signal
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from unittest.mock import patch

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, EndpointConnectionError, NoCredentialsError
from hypothesis import given, settings
from hypothesis import strategies as st

from finops_policy import aws
from finops_policy.compiler import CompiledSet
from finops_policy.custodian.account import Account as C7nAccount
from finops_policy.custodian.account import Judgement
from finops_policy.custodian.metrics import Reading
from finops_policy.customer import Account, Customer, Role
from finops_policy.engine.fanout import LOST, Work, judge_targets, longest_first
from finops_policy.engine.pools import InProcess, LostWorkerError
from finops_policy.engine.worker import TargetResult, TargetTask, evaluate_target
from finops_policy.errors import EvidenceError
from finops_policy.evidence.parquet import read_coverage, read_evaluations
from finops_policy.failures import Failure, OutOfTimeError, absent_service, explain
from finops_policy.marks import Mark
from finops_policy.model import CompiledPolicy, Coverage, Fact, FailureKind, Severity, Status, Target, Verdict, Waiver

if TYPE_CHECKING:
    from finops_policy.roles import Roles

MARK = Mark("test.yaml", 1, 1)
REGIONS = ("eu-west-1", "us-east-1")
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
    (refused("InternalError"), FailureKind.TIMEOUT),
    (refused("ValidationError"), FailureKind.BUG),
    (NoCredentialsError(), FailureKind.CREDENTIALS),
    (ConnectTimeoutError(endpoint_url="https://ec2"), FailureKind.TIMEOUT),
    (EndpointConnectionError(endpoint_url="https://ec2"), FailureKind.TIMEOUT),
    (KeyError("Instances"), FailureKind.BUG),
    (RecursionError("deep"), FailureKind.BUG),
)


@pytest.mark.parametrize(("error", "kind"), FAILURES, ids=lambda each: str(each)[:40])
def test_a_failure_has_a_kind_a_message_and_a_next_step(error: Exception, kind: FailureKind) -> None:
    failure = explain(error)
    assert failure.kind is kind
    assert failure.message
    assert failure.next_step


def test_a_refusal_names_the_missing_action() -> None:
    said = "User: arn:aws:sts::1:assumed-role/x is not authorized to perform: rds:DescribeDBInstances on resource: *"
    failure = explain(refused("AccessDenied", said))
    assert failure.kind is FailureKind.OWN_PERMISSION
    assert failure.next_step == "Allow rds:DescribeDBInstances in the role's policy."


def customer(account_ids: Sequence[str], role: str = "reader") -> Customer:
    accounts = tuple(Account(each, f"name-{each}", ("us-east-1", "eu-west-1"), {}, MARK) for each in account_ids)
    return Customer("acme", "Acme", "hipaa", "aws", Role(role) if role else None, accounts, {}, "", MARK)


def compiled_policy(name: str, resource: str) -> CompiledPolicy:
    return CompiledPolicy(name, "pack", "1.0.0", "t", "r", resource, Severity.LOW, 0, "", {})


def work(folder: Path, account_ids: Sequence[str], policies: Sequence[CompiledPolicy], waivers: Any = ()) -> Work:
    for kind in ("evaluations", "coverage"):
        (folder / kind).mkdir(exist_ok=True)
    someone = customer(account_ids)
    return Work(
        run_id="20260101T000000Z-00000000",
        customer=someone,
        compiled=CompiledSet("acme", "hipaa", {"": tuple(policies)}, {}, ()),
        targets=tuple(Target(each.id, region, each.name) for each in someone.accounts for region in each.regions),
        policy_names=frozenset(policy.name for policy in policies),
        waivers=waivers,
        prices=(),
        redacted_tags=("*secret*",),
        part=lambda kind, target: folder / kind / f"{target.account_id}_{target.region}.parquet",
        refused={},
        metrics=Reading.AUTO,
        seconds=600,
    )


class Doors:
    """Lets everybody in, save those who are refused; stands where ``Roles`` asks STS."""

    def __init__(self, refused: Mapping[str, Failure] | None = None) -> None:
        self.refused = refused or {}

    def enter(self, account: Account, _valid_for: dt.timedelta) -> Failure | None:
        return self.refused.get(account.id)


def judge_all(planned: Work, refused: Mapping[str, Failure] | None = None) -> list[TargetResult]:
    return list(judge_targets(planned, planned.targets, cast("Roles", Doors(refused)), InProcess()))


def judgement(number: int, verdict: Verdict, failure: Failure | None = None) -> Judgement:
    arn = f"arn:aws:ec2:us-east-1:1:instance/i-{number}"
    facts = (Fact("value", "tag:my-secret", "hush", "eq", "x", matched=False),)
    return Judgement(f"i-{number}", arn, {"my-secret": "hush", "Owner": "me"}, verdict, "", failure, facts, {})


OUTCOMES = st.tuples(
    st.lists(
        st.sampled_from(
            [
                (Verdict.COMPLIANT, None),
                (Verdict.NONCOMPLIANT, None),
                (Verdict.UNKNOWN, None),
                (Verdict.UNKNOWN, Failure(FailureKind.THROTTLED, "slow down", "wait")),
            ]
        ),
        max_size=5,
    ),
    st.sampled_from([None, *(error for error, _ in FAILURES)]),
)
"""Members as c7n judges them, and what breaks it off after them."""
AS_C7N_WOULD = patch.multiple(C7nAccount, skipped=lambda *_args: "", inapplicable=lambda *_args: "")
WAIVER = Waiver("W-1", "p0", "*i-0", "accepted for now", "o", "a", "b", "T-1", dt.date(2999, 1, 1), MARK)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from([None, Failure(FailureKind.OWN_PERMISSION, "m", "s")]), min_size=1, max_size=3),
    st.lists(st.sampled_from(RESOURCE_TYPES), min_size=1, max_size=3),
    st.data(),
)
def test_every_cell_is_there_and_every_member_is_counted(
    entries: list[Failure | None], types: list[str], data: st.DataObject
) -> None:
    account_ids = [f"{number:012d}" for number in range(len(entries))]
    policies = [compiled_policy(f"p{number}", resource) for number, resource in enumerate(types)]
    refused = {account: each for account, each in zip(account_ids, entries, strict=True) if each}

    def judge(_self: C7nAccount, _policy: CompiledPolicy) -> Iterator[Judgement]:
        members, error = data.draw(OUTCOMES)
        yield from (judgement(number, *each) for number, each in enumerate(members))
        if error:
            raise error

    with tempfile.TemporaryDirectory() as folder, AS_C7N_WOULD, patch.object(C7nAccount, "judge", judge):
        planned = work(Path(folder), account_ids, policies, (WAIVER,))
        cells = [cell for result in judge_all(planned, refused) for cell in result.cells]
        written = read_coverage(Path(folder))
        evaluations = list(read_evaluations(Path(folder)))

    expected = [(target.account_id, target.region, policy.name) for target in planned.targets for policy in policies]
    assert [(cell.account_id, cell.region, cell.policy) for cell in cells] == expected
    assert sorted(map(repr, written)) == sorted(map(repr, cells))
    for cell in cells:
        assert cell.population == cell.compliant + cell.noncompliant + cell.waived + cell.unknown
        mine = [each for each in evaluations if (each.account_id, each.region, each.policy) == _place(cell)]
        assert len(mine) == cell.population
        assert (cell.status is Status.FAILED) is (cell.failure_kind is not None)
        if cell.status is Status.FAILED:
            assert cell.message
            assert cell.next_step
    for each in evaluations:
        assert each.tags == {"my-secret": "[withheld by the profile]", "Owner": "me"}
        assert each.facts[0].value == "[withheld by the profile]"
        waived = each.policy == "p0" and each.resource_id == "i-0"
        assert each.verdict is not (Verdict.NONCOMPLIANT if waived else Verdict.WAIVED)
        assert each.waiver_id == ("W-1" if each.verdict is Verdict.WAIVED else "")


def _place(cell: Coverage) -> tuple[str, str, str]:
    return (cell.account_id, cell.region, cell.policy)


def judged_as(tmp_path: Path, policies: list[CompiledPolicy], judge: Any) -> list[Coverage]:
    """The cells of one account in two regions, when c7n's answers are those of ``judge``."""
    with AS_C7N_WOULD, patch.object(C7nAccount, "judge", judge):
        planned = work(tmp_path, ["111111111111"], policies)
        return [cell for result in judge_all(planned) for cell in result.cells]


def test_global_types_are_judged_in_the_first_region_only(tmp_path: Path) -> None:
    policies = [compiled_policy("buckets", "aws.s3"), compiled_policy("instances", "aws.ec2")]
    cells = judged_as(tmp_path, policies, lambda *_args: iter([judgement(0, Verdict.COMPLIANT)]))
    statuses = {(cell.region, cell.policy): cell.status for cell in cells}
    assert statuses == {
        ("us-east-1", "buckets"): Status.EVALUATED,
        ("us-east-1", "instances"): Status.EVALUATED,
        ("eu-west-1", "buckets"): Status.NOT_APPLICABLE,
        ("eu-west-1", "instances"): Status.EVALUATED,
    }
    assert cells[2].message == "aws.s3 is global: judged once per account, in us-east-1"


def test_a_service_that_the_region_lacks_is_not_applicable(tmp_path: Path) -> None:
    def judge(account: C7nAccount, _policy: CompiledPolicy) -> Iterator[Judgement]:
        host = "lightsail.me-south-1" if account._target.region == "eu-west-1" else "lightsail.us-east-1"
        raise EndpointConnectionError(endpoint_url=f"https://{host}.amazonaws.com/")
        yield

    here, there = judged_as(tmp_path, [compiled_policy("instances", "aws.ec2")], judge)
    assert (here.status, here.failure_kind) == (Status.FAILED, FailureKind.TIMEOUT), "a network fault"
    assert (there.status, there.failure_kind) == (Status.NOT_APPLICABLE, FailureKind.SERVICE_ABSENT)
    assert there.message.startswith("lightsail is not offered in me-south-1, says the region table of botocore")


@pytest.mark.parametrize(
    ("url", "absent"),
    [
        ("https://lightsail.us-gov-west-1.amazonaws.com/", True),
        ("https://lightsail.us-esat-1.amazonaws.com/", False),
        ("https://ec2.us-gov-west-1.amazonaws.com/", False),
        ("https://ec2.cn-north-1.amazonaws.com.cn/", False),
        ("https://no-such-service.us-east-1.amazonaws.com/", False),
        ("https://sts.amazonaws.com/", False),
        ("http://127.0.0.1:5000/", False),
        ("", False),
    ],
)
def test_only_the_region_table_says_that_a_service_is_absent(url: str, absent: bool) -> None:
    assert bool(absent_service(url)) is absent


@pytest.mark.parametrize(("method", "status"), [("skipped", Status.SKIPPED), ("inapplicable", Status.NOT_APPLICABLE)])
def test_a_policy_that_c7n_would_not_run_says_why(method: str, status: Status, tmp_path: Path) -> None:
    with AS_C7N_WOULD, patch.object(C7nAccount, method, lambda *_args: "it is not meant"):
        planned = work(tmp_path, ["111111111111"], [compiled_policy("instances", "aws.ec2")])
        cells = [cell for result in judge_all(planned) for cell in result.cells]
    assert {(cell.status, cell.message, cell.population) for cell in cells} == {(status, "it is not meant", 0)}


def test_a_target_over_its_time_has_timed_out_and_the_others_go_on(tmp_path: Path) -> None:
    def judge(account: C7nAccount, policy: CompiledPolicy) -> Iterator[Judgement]:
        yield judgement(0, Verdict.COMPLIANT)
        while account._target.region == "us-east-1" and policy.name == "slow":
            pass  # neither asleep nor in a call: only a signal ends it
        yield judgement(1, Verdict.NONCOMPLIANT)

    names = ("before", "slow", "after")
    with AS_C7N_WOULD, patch.object(C7nAccount, "judge", judge):
        planned = replace(work(tmp_path, ["111111111111"], [compiled_policy(n, "aws.ec2") for n in names]), seconds=1)
        slow, quick = judge_all(planned)
    assert [cell.status for cell in slow.cells] == [Status.EVALUATED, Status.FAILED, Status.FAILED]
    assert {cell.failure_kind for cell in slow.cells[1:]} == {FailureKind.TIMEOUT}
    assert {cell.message for cell in slow.cells[1:]} == {"not done within its 1 seconds"}
    assert "--target-timeout" in slow.cells[2].next_step
    assert {cell.status for cell in quick.cells} == {Status.EVALUATED}
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL


def test_nothing_is_sent_after_the_deadline() -> None:
    passed = aws.Deadline(0)
    session = aws.session("us-east-1", aws.Credentials("a", "b", "c"), deadline=passed)
    with pytest.raises(OutOfTimeError, match="not done within its 0 seconds"):
        session.client("sts").get_caller_identity()


class Deadly:
    """A pool of two whose workers die: all that is under way with the target ``once`` is lost with it; ``always`` kills
    its worker when it is alone, too."""

    room = 2

    def __init__(self, once: str, always: str) -> None:
        self.once, self.always = once, always
        self.running: list[tuple[TargetTask, Future[TargetResult]]] = []
        self.retried: list[str] = []

    def submit(self, task: TargetTask) -> Future[TargetResult]:
        future: Future[TargetResult] = Future()
        self.running.append((task, future))
        if len(self.running) == self.room:
            dies = any(each.target.account_id in (self.once, self.always) for each, _ in self.running)
            for each, waiting in self.running:
                if dies:
                    waiting.set_exception(BrokenProcessPool())
                else:
                    waiting.set_result(evaluate_target(each))
            self.running = []
        return future

    def is_lost(self, error: BaseException) -> bool:
        return isinstance(error, BrokenProcessPool)

    def retry(self, task: TargetTask) -> TargetResult:
        self.retried.append(str(task.target))
        if task.target.account_id == self.always:
            raise LostWorkerError
        return evaluate_target(task)


def test_what_a_dead_worker_took_with_it_is_judged_again(tmp_path: Path) -> None:
    accounts = ["111111111111", "222222222222", "333333333333", "444444444444"]
    policies = [compiled_policy("instances", "aws.ec2")]
    pool = Deadly(once=accounts[0], always=accounts[2])
    with AS_C7N_WOULD, patch.object(C7nAccount, "judge", lambda *_args: iter([judgement(0, Verdict.COMPLIANT)])):
        planned = work(tmp_path, accounts, policies)
        results = list(judge_targets(planned, planned.targets, cast("Roles", Doors()), pool))
    cells = {(cell.account_id, cell.region): cell for each in results for cell in each.cells}
    assert set(cells) == {(target.account_id, target.region) for target in planned.targets}
    assert len(results) == len(planned.targets) == len(read_coverage(tmp_path))
    for (account, _), cell in cells.items():
        assert cell.status is (Status.FAILED if account == accounts[2] else Status.EVALUATED)
    lost = cells[accounts[2], "us-east-1"]
    assert (lost.failure_kind, lost.message) == (FailureKind.BUG, LOST.message)
    assert sorted(pool.retried) == [f"{each}/{region}" for each in accounts[::2] for region in REGIONS]


def test_a_part_that_cannot_be_written_ends_the_run(tmp_path: Path) -> None:
    planned = work(tmp_path, ["111111111111"], [compiled_policy("instances", "aws.ec2")])
    (tmp_path / "evaluations").rmdir()
    with AS_C7N_WOULD, pytest.raises(EvidenceError, match="Cannot write"):
        judge_all(planned)


def test_the_longest_targets_go_first() -> None:
    one, two, new = (Target("111111111111", region) for region in ("us-east-1", "eu-west-1", "eu-north-1"))
    usual = {("111111111111", "us-east-1"): 3.0, ("111111111111", "eu-west-1"): 40.0}
    assert longest_first([one, two, new], usual) == [new, two, one]
    assert longest_first([one, two, new], {}) == [one, two, new]


@pytest.mark.usefixtures("in_sandbox")
def test_the_caller_is_who_aws_says() -> None:
    assert aws.caller("us-east-1").account_id == "999900001111"


def test_credentials_never_show_in_a_representation() -> None:
    assert repr(aws.Credentials("AKIA", "hidden", "hidden")) == "Credentials(access_key='AKIA', expires_at=None)"


def test_a_cell_whose_calls_failed_for_a_member_has_failed_and_keeps_its_counts(tmp_path: Path) -> None:
    slow = Failure(FailureKind.THROTTLED, "slow down", "wait")
    judged = [judgement(0, Verdict.NONCOMPLIANT), judgement(1, Verdict.UNKNOWN, slow), judgement(2, Verdict.UNKNOWN)]
    cell, _ = judged_as(tmp_path, [compiled_policy("instances", "aws.ec2")], lambda *_args: iter(judged))
    assert (cell.status, cell.failure_kind, cell.next_step) == (Status.FAILED, FailureKind.THROTTLED, "wait")
    assert cell.message == "1 of 3 members: slow down"
    assert (cell.population, cell.noncompliant, cell.unknown) == (3, 1, 2)
