"""Hands targets to workers and gathers every cell, whatever fails on the way.

Only so many targets are under way as there is room for, so the parent's memory does not grow with their number, and
credentials are as fresh as can be when they are handed over. A target that cannot be entered, or whose worker dies
twice, ends as failed cells: targets x policies == cells, always.
"""

from __future__ import annotations

import datetime as dt
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from finops_policy import aws
from finops_policy.compiler import CompiledSet
from finops_policy.custodian.metrics import Reading
from finops_policy.customer import Account, Customer
from finops_policy.engine.pools import LostWorkerError, Pool
from finops_policy.engine.worker import TargetResult, TargetTask, failed_cell
from finops_policy.evidence.bundle import PartKind
from finops_policy.evidence.parquet import write_coverage, write_evaluations
from finops_policy.failures import Failure
from finops_policy.model import CompiledPolicy, FailureKind, Target, Waiver
from finops_policy.money import Price
from finops_policy.roles import Roles

ROLES_AT_ONCE = 16
LOST = Failure(
    FailureKind.BUG,
    "its worker process died twice (killed, or out of memory)",
    "Look for the out-of-memory killer in the system's log; run again with fewer --workers.",
)


@dataclass(frozen=True)
class Work:
    """What a run covers: targets x policies. ``part`` names the file a target's table of a kind goes to; ``refused``
    accounts are not entered; ``seconds`` is the time each target may take."""

    run_id: str
    customer: Customer
    compiled: CompiledSet
    targets: tuple[Target, ...]
    policy_names: frozenset[str]
    waivers: tuple[Waiver, ...]
    prices: tuple[Price, ...]
    redacted_tags: tuple[str, ...]
    part: Callable[[PartKind, Target], Path]
    refused: Mapping[str, Failure]
    metrics: Reading
    seconds: float

    def policies(self, target: Target) -> tuple[CompiledPolicy, ...]:
        found = self.compiled.policies(target.account_id)
        return tuple(policy for policy in found if policy.name in self.policy_names)

    @cached_property
    def accounts(self) -> Mapping[str, Account]:
        return {account.id: account for account in self.customer.accounts}

    @cached_property
    def homes(self) -> Mapping[str, str]:
        """Account id -> the region where its global types are judged: the first one of this run."""
        return {target.account_id: target.region for target in reversed(self.targets)}

    @property
    def valid_for(self) -> dt.timedelta:
        """How long credentials must last when they are handed over: for the task before, this one, and a minute."""
        return dt.timedelta(seconds=2 * self.seconds + 60)


def longest_first(targets: Iterable[Target], usual: Mapping[tuple[str, str], float]) -> list[Target]:
    """``usual``: (account id, region) -> seconds, in a former run. Targets it does not know lead: they may be long."""
    return sorted(targets, key=lambda target: -usual.get((target.account_id, target.region), float("inf")))


def judge_targets(
    work: Work, targets: Iterable[Target], roles: Roles, pool: Pool
) -> Generator[TargetResult, None, None]:
    """Judges targets and writes their parts; answers as each is done. Raises when a part cannot be written."""
    waiting = deque(targets)
    running: dict[Future[TargetResult], TargetTask] = {}
    with _entering(work, waiting, roles):
        while waiting or running:
            while waiting and len(running) < pool.room:
                target = waiting.popleft()
                entered = _enter(work, target, roles)
                if isinstance(entered, Failure):
                    yield _failed(work, target, entered)
                else:
                    task = _task(work, target, entered)
                    running[pool.submit(task)] = task
            yield from _harvest(work, pool, running)


def _harvest(
    work: Work, pool: Pool, running: dict[Future[TargetResult], TargetTask]
) -> Generator[TargetResult, None, None]:
    """Waits until something is done, and takes it. What was lost is run again, alone, before anything new starts: the
    other tasks of a pool that broke are lost as well."""
    lost: list[TargetTask] = []
    done = wait(running, return_when=FIRST_COMPLETED).done
    while done:
        for future in done:
            task = running.pop(future)
            error = CancelledError() if future.cancelled() else future.exception()
            if error is None:
                yield future.result()
            elif pool.is_lost(error):
                lost.append(task)
            else:
                raise error
        done = wait(running).done if lost else set()
    for task in lost:
        try:
            yield pool.retry(task)
        except LostWorkerError:
            yield _failed(work, task.target, LOST)


@contextmanager
def _entering(work: Work, targets: Iterable[Target], roles: Roles) -> Generator[None, None, None]:
    """Enters accounts ahead of their targets, several at once."""
    with aws.threads(ROLES_AT_ONCE) as doors:
        for account_id in dict.fromkeys(target.account_id for target in targets):
            if account_id not in work.refused:
                doors.submit(roles.enter, work.accounts[account_id], work.valid_for)
        yield


def _enter(work: Work, target: Target, roles: Roles) -> aws.Credentials | Failure | None:
    if target.account_id in work.refused:
        return work.refused[target.account_id]
    return roles.enter(work.accounts[target.account_id], work.valid_for)


def _task(work: Work, target: Target, credentials: aws.Credentials | None) -> TargetTask:
    return TargetTask(
        run_id=work.run_id,
        customer=work.customer.name,
        partition=work.customer.partition,
        target=target,
        home=work.homes[target.account_id],
        policies=work.policies(target),
        waivers=work.waivers,
        prices=work.prices,
        redacted_tags=work.redacted_tags,
        credentials=credentials,
        metrics=work.metrics,
        seconds=work.seconds,
        evaluations=work.part("evaluations", target),
        coverage=work.part("coverage", target),
    )


def _failed(work: Work, target: Target, failure: Failure) -> TargetResult:
    """Failed cells of a whole target, written as its parts."""
    cells = tuple(failed_cell(target, policy.name, failure) for policy in work.policies(target))
    write_evaluations(work.part("evaluations", target), work.run_id, work.customer.name, [])
    write_coverage(work.part("coverage", target), work.run_id, cells)
    return TargetResult(target, cells, calls={}, metrics=0, seconds=0.0)
