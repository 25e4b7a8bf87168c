"""Hands targets to worker processes and gathers every cell, whatever fails on the way.

One role is assumed per account, in the parent, and its identity is checked before anything is judged. A target that
cannot be entered, or whose worker dies, ends as failed cells: targets x policies == cells, always.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from typing import Protocol

from finops_policy import aws
from finops_policy.compiler import CompiledSet
from finops_policy.engine.worker import TargetTask, evaluate_target, prepare
from finops_policy.evidence.bundle import PartKind
from finops_policy.evidence.parquet import write_coverage, write_evaluations
from finops_policy.model import CompiledPolicy, Coverage, Customer, FailureKind, Status, Target, Waiver
from finops_policy.money import Price

ROLES_AT_ONCE = 16


class Progress(Protocol):
    """Hears of a run's progress; called in the parent only."""

    def said(self, text: str) -> None: ...

    def started(self, targets: int, cells: int) -> None: ...

    def finished(self, target: Target, cells: Sequence[Coverage]) -> None: ...


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run covers: targets x policies. ``part`` names the file a target's table of a kind goes to."""

    run_id: str
    customer: Customer
    caller: aws.Identity
    compiled: CompiledSet
    targets: tuple[Target, ...]
    policy_names: frozenset[str]
    waivers: tuple[Waiver, ...]
    prices: tuple[Price, ...]
    redacted_tags: tuple[str, ...]
    part: Callable[[PartKind, Target], Path]

    def policies(self, target: Target) -> tuple[CompiledPolicy, ...]:
        found = self.compiled.policies(target.account_id)
        return tuple(policy for policy in found if policy.name in self.policy_names)

    def home(self, account_id: str) -> str:
        """The region where the account's global types are judged: the first one of this run."""
        return next(target.region for target in self.targets if target.account_id == account_id)


def run_targets(
    plan: Plan, *, workers: int, environment: Mapping[str, str], sandboxed: bool, progress: Progress
) -> list[Coverage]:
    """Judges every target and writes its parts; answers with all cells, in the order of the plan's targets.

    Lets ``KeyboardInterrupt`` through after the workers were stopped.
    """
    progress.started(len(plan.targets), sum(len(plan.policies(target)) for target in plan.targets))
    access = enter_accounts(plan.customer, plan.caller, [target.account_id for target in plan.targets])
    cells: dict[Target, tuple[Coverage, ...]] = {}
    tasks = []
    for target in plan.targets:
        entered = access[target.account_id]
        if isinstance(entered, aws.Failure):
            cells[target] = _failed(plan, target, entered)
            progress.finished(target, cells[target])
        else:
            tasks.append(_task(plan, target, entered.credentials))
    with closing(_evaluate(plan, tasks, workers, environment, sandboxed)) as judged:
        for target, found in judged:
            cells[target] = found
            progress.finished(target, found)
    return [cell for target in plan.targets for cell in cells[target]]


@dataclass(frozen=True, slots=True)
class Entry:
    """An account that may be judged; without ``credentials`` the caller's own serve."""

    credentials: aws.Credentials | None


def enter_accounts(
    customer: Customer, caller: aws.Identity, account_ids: Iterable[str]
) -> dict[str, Entry | aws.Failure]:
    """Assumes the customer's role once per account, and refuses any account whose identity is not the one asked for."""
    region = customer.accounts[0].regions[0]
    session = aws.session(region)
    session.client("sts")  # made before the threads share the session: making clients is not thread-safe

    def enter(account_id: str) -> Entry | aws.Failure:
        if not customer.role_name:
            return _refuse_other(account_id, caller) or Entry(None)
        try:
            credentials = aws.assume(session, customer.role_arn(account_id), customer.external_id)
            found = aws.identity(aws.session(region, credentials))
        except aws.call_errors() as error:
            return aws.explain(error)
        return _refuse_other(account_id, found) or Entry(credentials)

    unique = list(dict.fromkeys(account_ids))
    with ThreadPoolExecutor(min(ROLES_AT_ONCE, max(1, len(unique)))) as pool:
        return dict(zip(unique, pool.map(enter, unique), strict=True))


def _refuse_other(account_id: str, found: aws.Identity) -> aws.Failure | None:
    if found.account_id == account_id:
        return None
    return aws.Failure(
        FailureKind.CREDENTIALS,
        f"asked for account {account_id}, but AWS says {found.arn} is in account {found.account_id}",
        "Correct the account id or the role in customer.yaml.",
    )


def _task(plan: Plan, target: Target, credentials: aws.Credentials | None) -> TargetTask:
    return TargetTask(
        run_id=plan.run_id,
        customer=plan.customer.name,
        partition=plan.customer.partition,
        target=target,
        home=plan.home(target.account_id),
        policies=plan.policies(target),
        waivers=plan.waivers,
        prices=plan.prices,
        redacted_tags=plan.redacted_tags,
        credentials=credentials,
        evaluations=plan.part("evaluations", target),
        coverage=plan.part("coverage", target),
    )


def _failed(plan: Plan, target: Target, failure: aws.Failure) -> tuple[Coverage, ...]:
    """Failed cells of a whole target, written as its parts."""
    cells = tuple(
        Coverage(
            target.account_id,
            target.region,
            policy.name,
            Status.FAILED,
            failure.kind,
            failure.message,
            failure.next_step,
        )
        for policy in plan.policies(target)
    )
    write_evaluations(plan.part("evaluations", target), plan.run_id, plan.customer.name, [])
    write_coverage(plan.part("coverage", target), plan.run_id, cells)
    return cells


def _evaluate(
    plan: Plan, tasks: Sequence[TargetTask], workers: int, environment: Mapping[str, str], sandboxed: bool
) -> Generator[tuple[Target, tuple[Coverage, ...]], None, None]:
    if workers == 1 or len(tasks) == 1:
        for task in tasks:
            yield task.target, evaluate_target(task)
        return
    if not tasks:
        return
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["finops_policy.engine.preload"])
    _start_fork_server()
    pool = ProcessPoolExecutor(
        min(workers, len(tasks)), mp_context=context, initializer=prepare, initargs=(dict(environment), sandboxed)
    )
    lost: list[Target] = []
    try:
        with _held(signal.SIGINT, signal.SIGTERM):
            futures: dict[Future[tuple[Coverage, ...]], Target] = {
                pool.submit(evaluate_target, task): task.target for task in tasks
            }
        for future in as_completed(futures):
            try:
                found = future.result()
            except BrokenProcessPool:
                lost.append(futures[future])
            else:
                yield futures[future], found
    except BaseException:
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    failure = aws.Failure(
        FailureKind.BUG, "a worker process died (killed, or out of memory)", "Run again with fewer --workers."
    )
    for target in lost:  # only now: a worker on its way out may still have been writing the same parts
        yield target, _failed(plan, target, failure)


def _start_fork_server() -> None:
    """Starts it deaf to Ctrl-C, which a terminal sends to the whole group: the parent alone acts on it.

    Workers inherit that. Ignoring the signal in :func:`prepare` would come too late for the imports before it.
    """
    resource_tracker.ensure_running()  # the fork server would start it, and that unblocks the signal again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _held(*signals: signal.Signals) -> Iterator[None]:
    """Holds signals back. A worker whose making was interrupted would belong to nobody, and the pool wait for ever."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread hears of signals
        yield
        return
    came: list[int] = []
    before = {each: signal.signal(each, lambda number, _frame: came.append(number)) for each in signals}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
        for number in came:
            signal.raise_signal(number)


def default_workers() -> int:
    return os.cpu_count() or 1
