"""Where tasks run: in this process, in processes of this machine, or on a dask cluster. The task is the same.

c7n keeps sessions per thread and region, and shares environment variables: never two tasks in one process at a time.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager
from multiprocessing import forkserver, resource_tracker
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from finops_policy.engine.worker import TargetResult, TargetTask, enter_environment, evaluate_target, prepare
from finops_policy.errors import EvidenceError, UsageError

if TYPE_CHECKING:
    from concurrent.futures import Executor

PRELOAD = "FINOPS_POLICY_PRELOAD"
"""Tells the fork server, which is another program, the resource types of the run, separated by commas."""
NO_FORK_SERVER = (EOFError, ConnectionError)
"""What starting a process raises when the fork server was killed."""
SCHEDULER_SECONDS = 10
_ONE_AT_A_TIME = threading.Lock()


class LostWorkerError(Exception):
    """The worker of a task died: killed, or out of memory."""


class Pool(Protocol):
    """``room`` is how many tasks may be under way; more would only wait, with credentials that age."""

    room: int

    def submit(self, task: TargetTask) -> Future[TargetResult]: ...

    def is_lost(self, error: BaseException) -> bool:
        """Whether a future's error means that its worker died."""
        ...

    def retry(self, task: TargetTask) -> TargetResult:
        """Runs a task whose worker died once more. Raises :class:`LostWorkerError` when that dies as well."""
        ...


def open_pool(
    executor: str,
    scheduler: str,
    workers: int | None,
    environment: Mapping[str, str],
    sandboxed: bool,
    targets: int,
    types: Iterable[str],
) -> AbstractContextManager[Pool]:
    """``executor`` is ``processes`` or ``dask``. No more workers are started than there are targets (0: nobody knows
    yet); processes start with the resource types loaded."""
    chosen = workers or os.cpu_count() or 1
    if targets:
        chosen = min(chosen, targets)
    if executor == "dask":
        return dask(scheduler, chosen, environment, sandboxed)
    return processes(chosen, environment, sandboxed, types)


@contextmanager
def processes(
    workers: int, environment: Mapping[str, str], sandboxed: bool, types: Iterable[str] = ()
) -> Iterator[Pool]:
    """Worker processes; with one worker, this process. When left by an exception they are ended at once."""
    if workers == 1:
        yield InProcess()
        return
    pool = Processes(workers, environment, sandboxed, types)
    try:
        yield pool
    except BaseException:
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    finally:
        pool.close()


class InProcess:
    """Each task runs when it is submitted."""

    room = 1

    def submit(self, task: TargetTask) -> Future[TargetResult]:
        future: Future[TargetResult] = Future()
        future.set_result(evaluate_target(task))
        return future

    def is_lost(self, _error: BaseException) -> bool:
        return False

    def retry(self, task: TargetTask) -> TargetResult:
        return evaluate_target(task)


class Processes:
    """Processes made by a fork server that has c7n, botocore and DuckDB loaded already.

    When one dies, all that its executor had under way is lost. Each of those is run again in a process of its own:
    the one that kills its process is found out, and the others are done.
    """

    def __init__(self, workers: int, environment: Mapping[str, str], sandboxed: bool, types: Iterable[str]) -> None:
        self.room = workers + 1  # one is handed over ahead, so that no worker waits for the parent
        self._workers = workers
        self._types = types
        self._initargs = (dict(environment), sandboxed)
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["finops_policy.engine.preload"])
        _start_fork_server(types)
        self._context = context
        self._executor = self._make(workers)

    def _make(self, workers: int) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(workers, mp_context=self._context, initializer=prepare, initargs=self._initargs)

    def submit(self, task: TargetTask) -> Future[TargetResult]:
        with _held(signal.SIGINT, signal.SIGTERM):
            try:
                return self._executor.submit(evaluate_target, task)
            except (BrokenProcessPool, *NO_FORK_SERVER):
                self.close()
                _start_fork_server(self._types)
                self._executor = self._make(self._workers)
                return self._executor.submit(evaluate_target, task)

    def is_lost(self, error: BaseException) -> bool:
        return isinstance(error, BrokenProcessPool | CancelledError)  # cancelled: with an executor that was given up

    def retry(self, task: TargetTask) -> TargetResult:
        with self._make(1) as alone:
            with _held(signal.SIGINT, signal.SIGTERM):
                _start_fork_server(self._types)
                future = alone.submit(evaluate_target, task)
            try:
                return future.result()
            except BrokenProcessPool as error:
                raise LostWorkerError from error

    def close(self) -> None:
        self._executor.shutdown(wait=True, cancel_futures=True)


@contextmanager
def dask(scheduler: str, workers: int, environment: Mapping[str, str], sandboxed: bool) -> Iterator[Pool]:
    """Workers of the dask cluster at ``scheduler``; without an address, a cluster of this machine's own.

    The evidence store must be a folder that every worker sees under the same path. Raises :class:`UsageError` when
    dask is not installed, or the scheduler does not answer.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise UsageError("dask is not installed.", hint="pip install 'finops-policy[dask]'") from error
    if scheduler:
        _reach(scheduler)
    cluster = None
    if not scheduler:
        cluster = LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None)
    try:
        client = Client(cluster or scheduler, timeout=f"{SCHEDULER_SECONDS}s", set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise _unreached(scheduler, error) from error
    with client:
        try:
            yield Dask(client, environment, sandboxed)
        finally:
            if cluster is not None:
                cluster.close()


def _reach(scheduler: str) -> None:
    """Asked first: a client that finds no scheduler is heard of again when Python ends, in a traceback of its own."""
    try:
        address = urlsplit(scheduler if "://" in scheduler else f"tcp://{scheduler}")
        socket.create_connection((address.hostname, address.port or 8786), SCHEDULER_SECONDS).close()
    except (OSError, ValueError) as error:
        raise _unreached(scheduler, error) from error


def _unreached(scheduler: str, error: Exception) -> UsageError:
    hint = "Give its address, such as --scheduler tcp://10.0.0.5:8786."
    return UsageError(f"The dask scheduler {scheduler or '(local)'} does not answer: {error}", hint=hint)


class Dask:
    """Tasks on a dask cluster, which hands a task to another worker when one dies, twice."""

    def __init__(self, client: Any, environment: Mapping[str, str], sandboxed: bool) -> None:
        self._executor: Executor = client.get_executor(retries=2, pure=False)
        self.room = 2 * max(1, len(client.ncores()))  # each worker runs one at a time, whatever threads it has
        self._environment = dict(environment)
        self._sandboxed = sandboxed

    def submit(self, task: TargetTask) -> Future[TargetResult]:
        return self._executor.submit(evaluate_on_cluster, task, self._environment, self._sandboxed)

    def is_lost(self, error: BaseException) -> bool:
        from distributed import KilledWorker

        if isinstance(error, CancelledError):
            hint = "See why it ended; then finish the run with --resume latest."
            raise EvidenceError("The dask scheduler went away.", hint=hint) from error
        return isinstance(error, KilledWorker)

    def retry(self, _task: TargetTask) -> TargetResult:
        raise LostWorkerError


def evaluate_on_cluster(task: TargetTask, environment: Mapping[str, str], sandboxed: bool) -> TargetResult:
    """The same task in a worker that was not started by us. One at a time, however many threads it has."""
    with _ONE_AT_A_TIME:
        enter_environment(environment, sandboxed)
        return evaluate_target(task)


def _start_fork_server(types: Iterable[str]) -> None:
    """Starts it deaf to Ctrl-C, which a terminal sends to the whole group: the parent alone acts on it.

    Workers inherit that. Ignoring the signal in :func:`prepare` would come too late for the imports before it.
    """
    resource_tracker.ensure_running()  # the fork server would start it, and that unblocks the signal again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    os.environ[PRELOAD] = ",".join(sorted(types))
    try:
        forkserver.ensure_running()
    finally:
        del os.environ[PRELOAD]
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
