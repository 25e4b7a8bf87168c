"""The task of one target: judge every policy, write the target's own evidence parts, answer with its coverage cells.

A task is a value that can be sent to another process or machine, and repeating it gives the same parts. Nothing that
goes wrong inside reaches other targets: each policy ends as one coverage cell, whatever happens.
"""

from __future__ import annotations

import datetime as dt
import gc
import multiprocessing
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from finops_policy import aws
from finops_policy.custodian import library
from finops_policy.custodian.account import Account, Judgement
from finops_policy.custodian.metrics import Metrics, Reading
from finops_policy.evidence.parquet import EvaluationWriter, write_coverage
from finops_policy.failures import Failure, OutOfTimeError, explain
from finops_policy.model import CompiledPolicy, Coverage, Evaluation, Status, Target, Verdict, Waiver
from finops_policy.money import Price
from finops_policy.redaction import redact_facts, redact_tags
from finops_policy.savings import PriceBook, price
from finops_policy.waivers import find_waiver

GARBAGE = (20_000, 10, 10)
"""Python looks for garbage in cycles less often than it does by itself: answers of AWS are large and have none, and
looking took a third of the time it takes to parse them."""
CHUNK = 1000
"""Members that are judged before they are written: what is in memory at once, beside the resources themselves."""


@dataclass(frozen=True, slots=True)
class TargetTask:
    """Everything needed to judge one target. ``home`` is the region where the account's global types are judged;
    ``seconds`` is the time it may take."""

    run_id: str
    customer: str
    partition: str
    target: Target
    home: str
    policies: tuple[CompiledPolicy, ...]
    waivers: tuple[Waiver, ...]
    prices: tuple[Price, ...]
    redacted_tags: tuple[str, ...]
    credentials: aws.Credentials | None
    metrics: Reading
    seconds: float
    evaluations: Path
    coverage: Path


@dataclass(frozen=True, slots=True)
class TargetResult:
    """What became of one target. ``calls`` are requests per ``service:Operation``, ``metrics`` those that
    GetMetricData was asked for."""

    target: Target
    cells: tuple[Coverage, ...]
    calls: Mapping[str, int]
    metrics: int
    seconds: float


def prepare(environment: Mapping[str, str], sandboxed: bool) -> None:
    """Makes a fresh worker process ready: its environment, its ears (Ctrl-C is the parent's), and the egress guard."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    enter_environment(environment, sandboxed)


def enter_environment(environment: Mapping[str, str], sandboxed: bool) -> None:
    os.environ.update(environment)
    library.quiet()
    if sandboxed:
        from finops_policy.sandbox.egress import forbid_egress

        forbid_egress()


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work forever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def evaluate_target(task: TargetTask) -> TargetResult:
    """Judges one target and writes its two parts. Raises only when the parts cannot be written."""
    gc.set_threshold(*GARBAGE)
    started = time.monotonic()
    deadline, calls, metrics = aws.Deadline(task.seconds), aws.Calls(), Metrics(task.metrics)
    session = aws.session(task.target.region, task.credentials, calls, deadline)
    account = Account(task.target, task.partition, session, metrics)
    book = PriceBook(task.prices)
    cells = []
    with EvaluationWriter(task.evaluations, task.run_id, task.customer) as writer:
        for policy in task.policies:
            before, since = calls.count, time.monotonic()
            cell = _judge(policy, task, account, book, deadline, writer)
            milliseconds = round((time.monotonic() - since) * 1000)
            cells.append(replace(cell, api_calls=calls.count - before, duration_ms=milliseconds))
    write_coverage(task.coverage, task.run_id, cells)
    seconds = time.monotonic() - started
    return TargetResult(task.target, tuple(cells), dict(calls.by_operation), metrics.requested, seconds)


def failed_cell(target: Target, policy: str, failure: Failure) -> Coverage:
    cell = Coverage(target.account_id, target.region, policy, Status.EVALUATED)
    return _failed(cell, failure, failure.message)


def _judge(
    policy: CompiledPolicy,
    task: TargetTask,
    account: Account,
    book: PriceBook,
    deadline: aws.Deadline,
    writer: EvaluationWriter,
) -> Coverage:
    """The cell of one policy; its evaluations go to the writer as they come."""
    cell = Coverage(task.target.account_id, task.target.region, policy.name, Status.EVALUATED)
    counts: Counter[Verdict] = Counter()
    refused: list[Failure] = []
    for each in _outcomes(policy, task, account, book, deadline):
        match each:
            case Coverage():
                cell = each
            case evaluation, failure:
                writer.add(evaluation)
                counts[evaluation.verdict] += 1
                refused += [failure] if failure else []
    if refused and cell.status is Status.EVALUATED:
        # A cell has failed where a call failed for some members, whatever became of the others.
        message = f"{len(refused)} of {counts.total()} members: {refused[0].message}"
        cell = _failed(cell, refused[0], message)
    return replace(
        cell,
        population=counts.total(),
        compliant=counts[Verdict.COMPLIANT],
        noncompliant=counts[Verdict.NONCOMPLIANT],
        waived=counts[Verdict.WAIVED],
        unknown=counts[Verdict.UNKNOWN],
    )


def _outcomes(
    policy: CompiledPolicy, task: TargetTask, account: Account, book: PriceBook, deadline: aws.Deadline
) -> Iterator[tuple[Evaluation, Failure | None] | Coverage]:
    """The evaluations of one policy, each with the call that failed for it; a cell in their place or after them when
    the policy is not judged here, or broke off."""
    cell = Coverage(task.target.account_id, task.target.region, policy.name, Status.EVALUATED)
    try:
        if library.is_global(policy.resource) and task.target.region != task.home:
            message = f"{policy.resource} is global: judged once per account, in {task.home}"
            yield replace(cell, status=Status.NOT_APPLICABLE, message=message)
            return
        if reason := account.inapplicable(policy):
            yield replace(cell, status=Status.NOT_APPLICABLE, message=reason)
            return
        if reason := account.skipped(policy):
            yield replace(cell, status=Status.SKIPPED, message=reason, next_step=SKIPPED_STEP)
            return
        moment = dt.datetime.now(dt.UTC)
        judged = account.judge(policy)
        while chunk := _next_chunk(judged, deadline):
            yield from [(_evaluation(each, policy, task, book, moment), each.failure) for each in chunk]
    except (Exception, OutOfTimeError) as error:  # noqa: BLE001 - the one boundary: what broke is a failed cell
        failure = explain(error)
        cell = _failed(cell, failure, failure.message)
        yield replace(cell, status=Status.NOT_APPLICABLE) if failure.absent else cell


SKIPPED_STEP = "Leave the policy out (--policy), or run it in pull mode."


def _next_chunk(judged: Iterator[Judgement], deadline: aws.Deadline) -> list[Judgement]:
    with _enforced(deadline):
        chunk = list(islice(judged, CHUNK))
    deadline.check()  # c7n's threads may have swallowed it, and gone on without what they could not ask for
    return chunk


@contextmanager
def _enforced(deadline: aws.Deadline) -> Iterator[None]:
    """Breaks off what runs past the deadline, be it in a call, asleep or computing.

    Signals reach the main thread alone. In any other (a worker of dask) the deadline is seen when the next request
    would be sent.
    """
    deadline.check()
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    armed = True

    def late(_number: int, _frame: object) -> None:
        if armed:
            raise OutOfTimeError(deadline.message)

    before = signal.getsignal(signal.SIGALRM)
    try:
        signal.signal(signal.SIGALRM, late)
        # Again every second: Python prints and forgets what is raised in a finaliser.
        signal.setitimer(signal.ITIMER_REAL, max(deadline.left, 0.001), 1.0)
        yield
    finally:
        try:
            armed = False
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


def _failed(cell: Coverage, failure: Failure, message: str) -> Coverage:
    return replace(cell, status=Status.FAILED, failure_kind=failure.kind, message=message, next_step=failure.next_step)


def _evaluation(
    judged: Judgement, policy: CompiledPolicy, task: TargetTask, book: PriceBook, moment: dt.datetime
) -> Evaluation:
    verdict, reason, waiver_id = judged.verdict, judged.reason, ""
    if verdict is Verdict.NONCOMPLIANT:
        place = {"account": task.target.account_id, "region": task.target.region}
        waiver = find_waiver(policy.name, judged.arn, task.waivers, moment.date(), tags=judged.tags, **place)
        if waiver is not None:
            verdict, reason, waiver_id = Verdict.WAIVED, waiver.reason, waiver.id
    return Evaluation(
        account_id=task.target.account_id,
        region=task.target.region,
        pack=policy.pack,
        pack_version=policy.pack_version,
        policy=policy.name,
        resource_type=policy.resource,
        resource_id=judged.resource_id,
        arn=judged.arn,
        verdict=verdict,
        reason=reason,
        facts=redact_facts(judged.facts, judged.tags, task.redacted_tags),
        tags=redact_tags(judged.tags, task.redacted_tags),
        severity=policy.severity,
        waiver_id=waiver_id,
        money=price(policy.savings_method, judged.resource, task.target.region, book, verdict),
        evaluated_at=moment,
    )
