"""Faults on the way to AWS: whatever goes wrong, a verdict is the one of a good day, or it is missing and says why.

A seed that fails is repeated alone with ``FINOPS_POLICY_FAULT_SEEDS=first-last`` (or a number of seeds from 0).
"""

from __future__ import annotations

import datetime as dt
import os
import random
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from finops_policy import aws, roles
from finops_policy.catalog import Catalog
from finops_policy.custodian.library import quiet
from finops_policy.custodian.metrics import Reading
from finops_policy.engine.worker import TargetTask, evaluate_target
from finops_policy.evidence.parquet import read_coverage, read_evaluations
from finops_policy.failures import Failure
from finops_policy.model import CompiledPolicy, Coverage, Evaluation, FailureKind, Severity, Status, Target, Verdict
from finops_policy.project import Project, load
from finops_policy.sandbox.process import Sandbox
from tests.engine.faults import Decide, Fault, Proxy, after, always, first_of, proxy, rates

LONG = os.environ.get("FINOPS_POLICY_LONG") == "1"
SEEDS = os.environ.get("FINOPS_POLICY_FAULT_SEEDS", "200" if LONG else "6")
TARGET = Target("111122223333", "us-east-1", "acme-prod")
CALLER = aws.Identity("999900001111", "arn:aws:iam::999900001111:user/finops-runner")
BUDGET = 30.0
"""Seconds that a target may take here; far more than it needs, unless its calls never end."""
PASSING = (
    Fault.BROKEN,
    Fault.UNAVAILABLE,
    Fault.RESET,
    Fault.SHORT,
    Fault.CUT,
    Fault.EMPTY,
    Fault.DENIED,
    Fault.EXPIRED,
)
PAGED = ("ec2:DescribeVolumes", "rds:DescribeDBInstances", "logs:DescribeLogGroups", "lambda:ListFunctions")


def seeds() -> Iterable[int]:
    first, _, last = SEEDS.partition("-")
    return range(int(first), int(last) + 1) if last else range(int(first))


@dataclass(frozen=True)
class Told:
    """What a target's two parts say. Evaluations go by policy and resource id."""

    cells: Mapping[str, Coverage]
    evaluations: Mapping[tuple[str, str], Evaluation]

    def ids(self, policy: str) -> set[str]:
        return {resource_id for name, resource_id in self.evaluations if name == policy}

    def failed(self) -> dict[str, Coverage]:
        return {name: cell for name, cell in self.cells.items() if cell.status is Status.FAILED}


@dataclass(frozen=True)
class Estate:
    """One target of the sandbox, seen through a proxy. ``clean`` is what is said of it when nothing goes wrong, and
    ``actions`` what is asked for each resource type."""

    proxy: Proxy
    project: Project
    credentials: aws.Credentials
    policies: tuple[CompiledPolicy, ...]
    clean: Told
    actions: Mapping[str, frozenset[str]]

    def judge(
        self,
        decide: Decide,
        policies: Iterable[CompiledPolicy] = (),
        reading: Reading = Reading.SINGLE,
        seconds: float = BUDGET,
    ) -> Told:
        self.proxy.clear(decide)
        return _judge(self.project, self.credentials, tuple(policies) or self.policies, reading, seconds)

    def with_actions(self, actions: Iterable[str]) -> tuple[CompiledPolicy, ...]:
        """The policies on types for which any of the actions is asked."""
        wanted = set(actions)
        return tuple(policy for policy in self.policies if self.actions[policy.resource] & wanted)


def _judge(
    project: Project,
    credentials: aws.Credentials,
    policies: tuple[CompiledPolicy, ...],
    reading: Reading,
    seconds: float,
) -> Told:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind in ("evaluations", "coverage"):
            (folder / kind).mkdir()
        task = TargetTask(
            run_id="20260101T000000Z-00000000",
            customer="acme",
            partition="aws",
            target=TARGET,
            home=TARGET.region,
            policies=policies,
            waivers=project.waivers,
            prices=(),
            redacted_tags=(),
            credentials=credentials,
            metrics=reading,
            seconds=seconds,
            evaluations=folder / "evaluations" / "part.parquet",
            coverage=folder / "coverage" / "part.parquet",
        )
        result = evaluate_target(task)
        cells = read_coverage(folder)
        assert sorted(map(repr, cells)) == sorted(map(repr, result.cells))
        evaluations = list(read_evaluations(folder))
    told = Told({cell.policy: cell for cell in cells}, {(each.policy, each.resource_id): each for each in evaluations})
    assert len(told.cells) == len(cells) == len(policies), "targets x policies == cells"
    assert len(told.evaluations) == len(evaluations), "a resource was judged twice"
    return told


@pytest.fixture(scope="module")
def estate_once(sandbox_server: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Estate]:
    quiet()
    project = load(Catalog(tmp_path_factory.mktemp("workspace")), "acme", None)
    policies = project.compiled.policies(TARGET.account_id)
    with pytest.MonkeyPatch.context() as patch, proxy(sandbox_server.url) as before:
        _lead_to(before, sandbox_server, patch)
        account = next(each for each in project.customer.accounts if each.id == TARGET.account_id)
        credentials = roles.Roles(project.customer, CALLER).enter(account, dt.timedelta(hours=1))
        assert isinstance(credentials, aws.Credentials)
        asked, parts = {}, []
        for resource in dict.fromkeys(policy.resource for policy in policies):
            before.clear(lambda _call: None)
            mine = tuple(policy for policy in policies if policy.resource == resource)
            parts.append(_judge(project, credentials, mine, Reading.SINGLE, BUDGET))
            asked[resource] = frozenset(before.calls)
        clean = Told(
            {name: cell for part in parts for name, cell in part.cells.items()},
            {key: each for part in parts for key, each in part.evaluations.items()},
        )
        assert {cell.status for cell in clean.cells.values()} == {Status.EVALUATED}
        assert {each.verdict for each in clean.evaluations.values()} == set(Verdict)
        yield Estate(before, project, credentials, policies, clean, asked)


@pytest.fixture
def estate(estate_once: Estate, sandbox_server: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Estate:
    """The estate, calls made once and waiting between them skipped unless a test says otherwise."""
    _lead_to(estate_once.proxy, sandbox_server, monkeypatch)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    return estate_once


def _lead_to(before: Proxy, sandbox: Sandbox, patch: pytest.MonkeyPatch) -> None:
    for name, value in {**sandbox.environment(), "AWS_ENDPOINT_URL": before.url}.items():
        patch.setenv(name, value)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that wait a second for an answer."""

    monkeypatch.setattr(aws, "READ_SECONDS", 1)


def check(told: Told, clean: Told) -> None:
    """No verdict that a good day would not give; nothing missing, and nothing newly unknown, unless its cell failed."""
    for (policy, resource_id), each in told.evaluations.items():
        good = clean.evaluations.get((policy, resource_id))
        if each.verdict is not Verdict.UNKNOWN:
            assert good is not None, f"{policy} judged {resource_id}, which is not in its scope"
            assert each.verdict is good.verdict, f"{policy} on {resource_id}: {each.verdict}, not {good.verdict}"
        elif good is None or good.verdict is not Verdict.UNKNOWN:
            assert told.cells[policy].status is Status.FAILED, f"{policy} on {resource_id}: unheard: {each.reason}"
    counted: dict[str, Counter[Verdict]] = defaultdict(Counter)
    for (policy, _), each in told.evaluations.items():
        counted[policy][each.verdict] += 1
    for name, cell in told.cells.items():
        said = (cell.compliant, cell.noncompliant, cell.waived, cell.unknown)
        verdicts = (Verdict.COMPLIANT, Verdict.NONCOMPLIANT, Verdict.WAIVED, Verdict.UNKNOWN)
        assert said == tuple(counted[name][verdict] for verdict in verdicts), name
        assert cell.population == sum(said), name
        if cell.status is Status.FAILED:
            assert cell.failure_kind, name
            assert cell.failure_kind is not FailureKind.BUG, f"{name}: {cell.message}"
            assert cell.message, name
            assert cell.next_step, name
        else:
            assert cell.status is Status.EVALUATED, f"{name}: {cell.status}"
            assert told.ids(name) == clean.ids(name), f"{name} lost or found resources and says nothing"


# --- Everything at once, from a seed ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("seed", seeds())
def test_no_fault_changes_a_verdict(seed: int, estate: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = random.Random(seed)
    often = drawn.choice((0.005, 0.03, 0.1))
    of = dict.fromkeys(PASSING, often) | {Fault.THROTTLED: 0.3 if seed % 2 else often, Fault.SLOW: 0.002}
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", str(1 + seed % 3))
    again = always(Fault.REPEATED, drawn.choice(PAGED)) if seed % 4 == 0 else always(Fault.REPEATED)
    told = estate.judge(first_of(again, rates(seed, of)), reading=list(Reading)[seed // 2 % 3])
    assert estate.proxy.injected.total() > 0
    check(told, estate.clean)


def test_throttling_of_every_third_call_costs_nothing_but_time(estate: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_MAX_ATTEMPTS")
    told = estate.judge(rates(7, {Fault.THROTTLED: 0.3}))
    assert estate.proxy.injected[Fault.THROTTLED] > 30
    assert not told.failed()
    check(told, estate.clean)


def test_a_session_that_expires_fails_what_is_left(estate: Estate) -> None:
    told = estate.judge(after(100, Fault.EXPIRED))
    check(told, estate.clean)
    failed = told.failed()
    assert 0 < len(failed) < len(told.cells)
    assert {cell.failure_kind for cell in failed.values()} == {FailureKind.CREDENTIALS}
    assert {cell.next_step for cell in failed.values()} == {"Renew the credentials and run again."}


# --- Each fault alone -------------------------------------------------------------------------------------------------

EBS = {"ebs-required-tags", "ebs-unattached"}
TAGGED = {  # types whose tags the Resource Groups Tagging API is asked for
    "dynamodb-table-required-tags",
    "dynamodb-table-idle",
    "lambda-required-tags",
    "lambda-idle",
    "log-group-retention",
    "elb-idle",
}
BUDGETS = {
    "account-budget-missing",
    "budget-forecast-overspent",
    "budget-notifications-missing",
    "budget-overspent",
}
UNREADABLE = "The answer was cut short or is not AWS's: check proxies on the way, and run again."
NETWORK = "Check the network path (proxy, DNS, firewall); if it stays slow, AWS's health; then run again."
HEALTH = "AWS failed to answer: check its health, and run again."
RENEW = "Renew the credentials and run again."
SLOWER = "Run again, with fewer --workers."


def allow(action: str) -> str:
    return f"Allow {action} in the role's policy."


ALONE: tuple[tuple[Fault, str, set[str], FailureKind, str], ...] = (
    (Fault.DENIED, "ec2:DescribeVolumes", EBS, FailureKind.OWN_PERMISSION, allow("ec2:DescribeVolumes")),
    (Fault.DENIED, "tag:GetResources", TAGGED, FailureKind.OWN_PERMISSION, allow("tag:GetResources")),
    (
        Fault.DENIED,
        "elasticloadbalancing:DescribeTags",
        {"app-elb-idle"},
        FailureKind.OWN_PERMISSION,
        allow("elasticloadbalancing:DescribeTags"),
    ),
    (
        Fault.DENIED,
        "dynamodb:DescribeTable",
        {"dynamodb-table-required-tags", "dynamodb-table-idle"},
        FailureKind.OWN_PERMISSION,
        allow("dynamodb:DescribeTable"),
    ),
    (
        Fault.DENIED,
        "budgets:DescribeBudgetNotificationsForAccount",
        BUDGETS,
        FailureKind.OWN_PERMISSION,
        allow("budgets:DescribeBudgetNotificationsForAccount"),
    ),
    (
        Fault.DENIED,
        "iam:ListAccountAliases",
        {"account-budget-missing"},
        FailureKind.OWN_PERMISSION,
        allow("iam:ListAccountAliases"),
    ),
    (
        Fault.DENIED,
        "autoscaling:DescribeAutoScalingGroups",
        {"ami-old", "ebs-snapshot-old"},
        FailureKind.OWN_PERMISSION,
        allow("autoscaling:DescribeAutoScalingGroups"),
    ),
    (
        Fault.DENIED,
        "ec2:DescribeImageAttribute",
        {"ami-old"},
        FailureKind.OWN_PERMISSION,
        allow("ec2:DescribeImageAttribute"),
    ),
    (Fault.DENIED, "s3:ListBuckets", {"s3-required-tags"}, FailureKind.OWN_PERMISSION, allow("s3:ListBuckets")),
    (Fault.EXPIRED, "logs:DescribeLogGroups", {"log-group-retention"}, FailureKind.CREDENTIALS, RENEW),
    (Fault.EXPIRED, "ec2:DescribeVolumes", EBS, FailureKind.CREDENTIALS, RENEW),
    (Fault.EXPIRED, "s3:GetBucketTagging", {"s3-required-tags"}, FailureKind.CREDENTIALS, RENEW),
    (Fault.THROTTLED, "ec2:DescribeVolumes", EBS, FailureKind.THROTTLED, SLOWER),
    (Fault.THROTTLED, "s3:ListBuckets", {"s3-required-tags"}, FailureKind.THROTTLED, SLOWER),
    (Fault.THROTTLED, "budgets:DescribeBudgets", BUDGETS, FailureKind.THROTTLED, SLOWER),
    (Fault.RESET, "logs:DescribeLogGroups", {"log-group-retention"}, FailureKind.TIMEOUT, NETWORK),
    (Fault.BROKEN, "ec2:DescribeVolumes", EBS, FailureKind.TIMEOUT, HEALTH),
    (Fault.BROKEN, "budgets:DescribeBudgets", BUDGETS, FailureKind.TIMEOUT, HEALTH),
    (Fault.UNAVAILABLE, "ec2:DescribeVolumes", EBS, FailureKind.TIMEOUT, HEALTH),
    (Fault.UNAVAILABLE, "s3:ListBuckets", {"s3-required-tags"}, FailureKind.TIMEOUT, HEALTH),
    (Fault.SHORT, "ec2:DescribeVolumes", EBS, FailureKind.TIMEOUT, NETWORK),
    (Fault.SHORT, "logs:DescribeLogGroups", {"log-group-retention"}, FailureKind.TIMEOUT, NETWORK),
    (Fault.SHORT, "tag:GetResources", TAGGED, FailureKind.TIMEOUT, NETWORK),
    (Fault.SHORT, "s3:GetBucketTagging", {"s3-required-tags"}, FailureKind.TIMEOUT, NETWORK),
    (Fault.CUT, "ec2:DescribeVolumes", EBS, FailureKind.TIMEOUT, UNREADABLE),
    (Fault.CUT, "budgets:DescribeBudgets", BUDGETS, FailureKind.TIMEOUT, UNREADABLE),
    (Fault.EMPTY, "logs:DescribeLogGroups", {"log-group-retention"}, FailureKind.TIMEOUT, UNREADABLE),
    (Fault.EMPTY, "s3:GetBucketTagging", {"s3-required-tags"}, FailureKind.TIMEOUT, UNREADABLE),
    (Fault.EMPTY, "lambda:ListFunctions", {"lambda-required-tags", "lambda-idle"}, FailureKind.TIMEOUT, UNREADABLE),
    (Fault.REPEATED, "ec2:DescribeVolumes", EBS, FailureKind.TIMEOUT, HEALTH),
    (Fault.REPEATED, "logs:DescribeLogGroups", {"log-group-retention"}, FailureKind.TIMEOUT, HEALTH),
)


@pytest.mark.parametrize(
    ("fault", "action", "policies", "kind", "next_step"), ALONE, ids=lambda each: each if isinstance(each, str) else ""
)
def test_a_fault_fails_exactly_the_cells_that_needed_the_call(
    fault: Fault, action: str, policies: set[str], kind: FailureKind, next_step: str, estate: Estate
) -> None:
    told = estate.judge(always(fault, action), estate.with_actions([action, "ec2:DescribeAddresses"]))
    assert estate.proxy.injected[fault] > 0
    check(told, estate.clean)
    failed = told.failed()
    assert set(failed) == policies
    assert {(cell.failure_kind, cell.next_step) for cell in failed.values()} == {(kind, next_step)}


@pytest.mark.parametrize("fault", [*PASSING, Fault.THROTTLED] if LONG else [Fault.DENIED])
def test_no_call_fails_unheard(fault: Fault, estate: Estate) -> None:
    """Every action there is: c7n swallows some failures, and goes on as if there were nothing to be found."""
    wrong = []
    known = {action for actions in estate.actions.values() for action in actions}
    some = {action for action in known if not action.startswith("s3:Get")} | {"s3:GetBucketTagging"}
    for action in sorted(known if LONG else some):
        told = estate.judge(always(fault, action), estate.with_actions([action]))
        assert estate.proxy.injected[fault] > 0, action
        try:
            check(told, estate.clean)
        except AssertionError as error:
            wrong.append(f"{action}: {error}")
    assert not wrong


def test_what_a_policy_does_not_read_of_a_bucket_may_be_denied(estate: Estate) -> None:
    told = estate.judge(always(Fault.DENIED, "s3:GetBucketAcl"), estate.with_actions(["s3:ListBuckets"]))
    assert estate.proxy.injected[Fault.DENIED] == 9
    assert not told.failed()
    check(told, estate.clean)


def _one_bucket(fault: Fault, estate: Estate) -> Coverage:
    """The cell of a policy that reads tags, when those of one bucket do not come."""
    bucket = min(estate.clean.ids("s3-required-tags"))
    told = estate.judge(
        always(fault, "s3:GetBucketTagging", path=f"/{bucket}?"), estate.with_actions(["s3:ListBuckets"])
    )
    assert estate.proxy.injected[fault] == 1
    assert {each.resource_id for each in told.evaluations.values() if each.verdict is Verdict.UNKNOWN} == {bucket}
    check(told, estate.clean)
    return told.cells["s3-required-tags"]


def test_a_bucket_whose_tags_are_denied_is_unknown_and_the_others_are_judged(estate: Estate) -> None:
    cell = _one_bucket(Fault.DENIED, estate)
    assert (cell.failure_kind, cell.population, cell.unknown) == (FailureKind.OWN_PERMISSION, 9, 1)
    assert cell.message == "1 of 9 members: s3:GetBucketTagging was denied"
    assert cell.next_step == "Allow s3:GetBucketTagging in the role's policy, and in the bucket's."


@pytest.mark.usefixtures("impatient")
def test_a_bucket_whose_tags_do_not_come_is_unknown_and_the_others_are_judged(estate: Estate) -> None:
    cell = _one_bucket(Fault.SLOW, estate)
    assert (cell.failure_kind, cell.population, cell.unknown) == (FailureKind.TIMEOUT, 9, 1)
    assert cell.message == "1 of 9 members: s3:GetBucketTagging did not answer"


@pytest.mark.usefixtures("impatient")
def test_an_answer_that_does_not_come_is_not_waited_for(estate: Estate) -> None:
    told = estate.judge(always(Fault.SLOW, "ec2:DescribeVolumes"), estate.with_actions(["ec2:DescribeVolumes"]))
    check(told, estate.clean)
    assert estate.proxy.injected[Fault.SLOW] == 1, "asked once for all policies of the type"
    assert set(told.failed()) == EBS
    assert {cell.failure_kind for cell in told.failed().values()} == {FailureKind.TIMEOUT}


# --- What c7n swallows ------------------------------------------------------------------------------------------------

ECS = "arn:aws:ecs:us-east-1:111122223333"
DMS = "arn:aws:dms:us-east-1:111122223333:rep:ONE"
CANNED: Mapping[str, object] = {
    "ecs:ListClusters": {"clusterArns": [f"{ECS}:cluster/web"]},
    "ecs:ListServices": {"serviceArns": [f"{ECS}:service/web/shop"]},
    "ecs:DescribeServices": {
        "services": [
            {"serviceArn": f"{ECS}:service/web/shop", "serviceName": "shop", "clusterArn": f"{ECS}:cluster/web"}
        ]
    },
    "dms:DescribeReplicationInstances": {
        "ReplicationInstances": [{"ReplicationInstanceIdentifier": "one", "ReplicationInstanceArn": DMS}]
    },
    "dms:ListTagsForResource": {"TagList": [{"Key": "Owner", "Value": "me"}]},
}
UNTAGGED = {"tag:Owner": "absent"}
SWALLOWED: tuple[tuple[str, str, Mapping[str, object]], ...] = (
    ("ecs:DescribeServices", "ecs-service", UNTAGGED),
    ("dms:ListTagsForResource", "dms-instance", UNTAGGED),
    ("ec2:DescribeSnapshotAttribute", "ebs-snapshot", {"type": "cross-account"}),
    ("ec2:DescribeSnapshots", "ebs", {"type": "snapshots", "attrs": [{"State": "completed"}]}),
    ("ec2:DescribeInstanceAttribute", "ec2", {"type": "user-data", "op": "regex", "value": "(?smi).*password"}),
    ("elasticloadbalancing:DescribeListeners", "app-elb", {"type": "listener-rule", "attrs": [{"Priority": "1"}]}),
    ("s3:GetBucketPolicy", "s3", {"Policy": "absent"}),
    ("s3:GetBucketPolicy", "s3", {"type": "has-statement", "statement_ids": ["x"]}),
    ("s3:GetBucketAcl", "s3", {"type": "global-grants"}),
    ("s3:GetBucketEncryption", "s3", {"type": "bucket-encryption", "state": False}),
    (
        "s3:GetObjectLockConfiguration",
        "s3",
        {"type": "lock-configuration", "key": "ObjectLockEnabled", "value": "absent"},
    ),
)
"""Action, resource type and filter: as c7n has them, resources vanish, look untagged, or are found compliant or not."""


@pytest.mark.parametrize(("action", "resource", "filter_"), SWALLOWED)
def test_what_c7n_swallows_is_heard(
    action: str, resource: str, filter_: Mapping[str, object], estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estate.proxy, "canned", CANNED)
    document = {"name": "p", "resource": f"aws.{resource}", "filters": [filter_]}
    policy = CompiledPolicy("p", "pack", "1.0.0", "t", "r", f"aws.{resource}", Severity.LOW, 0, "", document)
    clean = estate.judge(lambda _call: None, [policy])
    assert clean.evaluations
    assert not clean.failed()
    told = estate.judge(always(Fault.DENIED, action), [policy])
    assert estate.proxy.injected[Fault.DENIED] > 0
    check(told, clean)
    assert told.cells["p"].failure_kind is FailureKind.OWN_PERMISSION
    assert told.cells["p"].next_step.startswith(f"Allow {action} in the role's policy")


# --- Metrics ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [Fault.DENIED, Fault.THROTTLED, Fault.SHORT, Fault.CUT])
@pytest.mark.parametrize(
    ("reading", "action"),
    [(Reading.SINGLE, "cloudwatch:GetMetricStatistics"), (Reading.BATCHED, "cloudwatch:GetMetricData")],
)
def test_members_without_their_metrics_are_unknown(fault: Fault, reading: Reading, action: str, estate: Estate) -> None:
    """``ebs-unattached`` asks for metrics of 4 volumes of 19: the others are judged as ever."""
    policies = [policy for policy in estate.policies if policy.name in ("ebs-unattached", "ec2-idle")]
    told = estate.judge(always(fault, action), policies, reading)
    assert estate.proxy.injected[fault] > 0
    check(told, estate.clean)
    kinds = {Fault.DENIED: FailureKind.OWN_PERMISSION, Fault.THROTTLED: FailureKind.THROTTLED}
    cell = told.cells["ebs-unattached"]
    assert (cell.status, cell.failure_kind) == (Status.FAILED, kinds.get(fault, FailureKind.TIMEOUT))
    assert cell.message.startswith("4 of 19 members: ")
    assert (cell.population, cell.unknown) == (19, 4)
    assert told.cells["ec2-idle"].unknown == told.cells["ec2-idle"].population == 9


def test_where_batches_are_denied_single_calls_give_the_same(estate: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finops_policy.custodian.metrics.FEW", 0)
    told = estate.judge(
        always(Fault.DENIED, "cloudwatch:GetMetricData"), estate.with_actions(["ec2:DescribeVolumes"]), Reading.AUTO
    )
    assert estate.proxy.calls["cloudwatch:GetMetricData"] == 1
    assert not told.failed()
    check(told, estate.clean)


# --- What never ends --------------------------------------------------------------------------------------------------

BROKEN_OFF = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""A connection that was being made when the time was up is closed by nobody but the garbage collector."""


@BROKEN_OFF
def test_pages_without_end_are_ended_by_the_time_budget(estate: Estate) -> None:
    ebs, others = estate.with_actions(["ec2:DescribeVolumes"]), estate.with_actions(["ec2:DescribeAddresses"])
    began = time.monotonic()
    told = estate.judge(always(Fault.ENDLESS, "ec2:DescribeVolumes"), (*others, *ebs), seconds=2)
    assert time.monotonic() - began < 10
    check(told, estate.clean)
    assert set(told.failed()) == EBS
    for cell in told.failed().values():
        assert (cell.failure_kind, cell.message) == (FailureKind.TIMEOUT, "not done within its 2 seconds")
        assert cell.next_step == "Run again with a longer --target-timeout."


@BROKEN_OFF
@pytest.mark.parametrize("fault", [Fault.THROTTLED, Fault.SLOW, Fault.RESET])
def test_waiting_and_retrying_end_with_the_time_budget(
    fault: Fault, estate_once: Estate, sandbox_server: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the number of attempts and the waiting between them as they are: minutes, without a budget."""
    _lead_to(estate_once.proxy, sandbox_server, monkeypatch)
    monkeypatch.delenv("AWS_MAX_ATTEMPTS")
    began = time.monotonic()
    told = estate_once.judge(
        always(fault, "ec2:DescribeVolumes"), estate_once.with_actions(["ec2:DescribeVolumes"]), seconds=1
    )
    assert time.monotonic() - began < 10
    check(told, estate_once.clean)
    assert {cell.message for cell in told.failed().values()} == {"not done within its 1 seconds"}


# --- Entering accounts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault.THROTTLED, FailureKind.THROTTLED),
        (Fault.BROKEN, FailureKind.TIMEOUT),
        (Fault.UNAVAILABLE, FailureKind.TIMEOUT),
        (Fault.RESET, FailureKind.TIMEOUT),
        (Fault.SHORT, FailureKind.TIMEOUT),
        (Fault.CUT, FailureKind.TIMEOUT),
        (Fault.EMPTY, FailureKind.TIMEOUT),
        (Fault.DENIED, FailureKind.OWN_PERMISSION),
        (Fault.EXPIRED, FailureKind.CREDENTIALS),
    ],
)
def test_an_account_that_cannot_be_entered_says_why(fault: Fault, kind: FailureKind, estate: Estate) -> None:
    estate.proxy.clear(always(fault, "sts:AssumeRole"))
    account = next(each for each in estate.project.customer.accounts if each.id == TARGET.account_id)
    entered = roles.Roles(estate.project.customer, CALLER).enter(account, dt.timedelta(hours=1))
    assert estate.proxy.injected[fault] == 1
    assert isinstance(entered, Failure)
    assert entered.kind is kind
    assert entered.next_step
