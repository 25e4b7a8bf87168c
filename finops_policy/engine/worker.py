"""The task of one target: judge every policy, write the target's own evidence parts, answer with its coverage cells.

A task is a value that can be sent to another process or machine, and repeating it gives the same parts. Nothing that
goes wrong inside reaches other targets: each policy ends as one coverage cell, whatever happens.
"""

from __future__ import annotations

import datetime as dt
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from finops_policy import aws
from finops_policy.custodian import library
from finops_policy.custodian.account import Account, Judgement
from finops_policy.evidence.parquet import write_coverage, write_evaluations
from finops_policy.model import CompiledPolicy, Coverage, Evaluation, Status, Target, Verdict, Waiver
from finops_policy.money import Price
from finops_policy.redaction import redact_facts, redact_tags
from finops_policy.savings import PriceBook, price
from finops_policy.waivers import find_waiver


@dataclass(frozen=True, slots=True)
class TargetTask:
    """Everything needed to judge one target. ``home`` is the region where the account's global types are judged."""

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
    evaluations: Path
    coverage: Path


def prepare(environment: Mapping[str, str], sandboxed: bool) -> None:
    """Makes a fresh worker process ready: its environment, its ears (Ctrl-C is the parent's), and the egress guard."""
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
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


def evaluate_target(task: TargetTask) -> tuple[Coverage, ...]:
    """Judges one target and writes its two parts. Raises only when the parts cannot be written."""
    calls = aws.Calls()
    account = Account(task.target, task.partition, aws.session(task.target.region, task.credentials, calls))
    book = PriceBook(task.prices)
    cells: list[Coverage] = []
    evaluations: list[Evaluation] = []
    for policy in task.policies:
        before, started = calls.count, time.monotonic()
        found: list[Evaluation] = []
        cell = Coverage(task.target.account_id, task.target.region, policy.name, Status.EVALUATED)
        try:
            if library.is_global(policy.resource) and task.target.region != task.home:
                message = f"{policy.resource} is global: judged once per account, in {task.home}"
                cell = replace(cell, status=Status.NOT_APPLICABLE, message=message)
            else:
                moment = dt.datetime.now(dt.UTC)
                judged = account.judge(policy)
                found = [_evaluation(each, policy, task, book, moment) for each in judged]
                cell = _unless_calls_failed(cell, judged)
        except Exception as error:  # noqa: BLE001 - the one boundary: a cell that broke is a failed cell, not a hole
            failure = aws.explain(error)
            cell, found = _failed(cell, failure, failure.message), []
        cells.append(_counted(cell, found, calls.count - before, round((time.monotonic() - started) * 1000)))
        evaluations += found
    write_evaluations(task.evaluations, task.run_id, task.customer, evaluations)
    write_coverage(task.coverage, task.run_id, cells)
    return tuple(cells)


def _failed(cell: Coverage, failure: aws.Failure, message: str) -> Coverage:
    return replace(cell, status=Status.FAILED, failure_kind=failure.kind, message=message, next_step=failure.next_step)


def _unless_calls_failed(cell: Coverage, judged: list[Judgement]) -> Coverage:
    """A cell has failed where a call failed for some members, whatever became of the others."""
    failures = [each.failure for each in judged if each.failure is not None]
    if not failures:
        return cell
    return _failed(cell, failures[0], f"{len(failures)} of {len(judged)} members: {failures[0].message}")


def _evaluation(
    judged: Judgement, policy: CompiledPolicy, task: TargetTask, book: PriceBook, moment: dt.datetime
) -> Evaluation:
    verdict, reason, waiver_id = judged.verdict, judged.reason, ""
    if verdict is Verdict.NONCOMPLIANT:
        waiver = find_waiver(policy.name, judged.arn, task.waivers, moment.date())
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


def _counted(cell: Coverage, evaluations: Iterable[Evaluation], calls: int, milliseconds: int) -> Coverage:
    counts = dict.fromkeys(Verdict, 0)
    for each in evaluations:
        counts[each.verdict] += 1
    return replace(
        cell,
        population=sum(counts.values()),
        compliant=counts[Verdict.COMPLIANT],
        noncompliant=counts[Verdict.NONCOMPLIANT],
        waived=counts[Verdict.WAIVED],
        unknown=counts[Verdict.UNKNOWN],
        api_calls=calls,
        duration_ms=milliseconds,
    )
