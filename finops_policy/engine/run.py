"""One run from its targets to the sealed bundle."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import platform
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from finops_policy import __version__, aws
from finops_policy.compiler import DEFAULT
from finops_policy.custodian.library import quiet
from finops_policy.custodian.loading import problems
from finops_policy.custodian.metrics import Reading
from finops_policy.customer import ENABLED, Customer
from finops_policy.digests import digest
from finops_policy.engine.fanout import Work, judge_targets, longest_first
from finops_policy.engine.pools import Pool
from finops_policy.engine.record import Recorded, Scope, begun, usual_seconds
from finops_policy.engine.tally import Tally
from finops_policy.engine.targets import find_targets
from finops_policy.errors import InvalidFilesError
from finops_policy.evidence.bundle import BundleWriter
from finops_policy.evidence.canonical import encode
from finops_policy.evidence.chain import read_head
from finops_policy.evidence.layout import new_run_id
from finops_policy.evidence.signing import SigningKey
from finops_policy.evidence.store import LocalStore
from finops_policy.marks import Diagnostic
from finops_policy.model import Coverage, Target
from finops_policy.money import Price
from finops_policy.project import Project, outlook, select_policies
from finops_policy.roles import Roles

TARGET_SECONDS = 900
"""How long a target may take unless the user says."""

MakePool = Callable[[int, frozenset[str]], AbstractContextManager[Pool]]
"""Opens a pool for so many targets (0: nobody knows yet) and these resource types."""


class Progress(Protocol):
    """Hears of a run's progress; called in the parent only."""

    def said(self, text: str) -> None: ...

    def started(self, targets: int, cells: int) -> None: ...

    def finished(self, target: Target, cells: Sequence[Coverage]) -> None: ...


@dataclass(frozen=True, slots=True)
class Selection:
    """What the user asked for; empty means all. Accounts are ids or names, policies are globs."""

    accounts: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Manner:
    """How a run goes about it. ``resume`` is a run id, ``latest``, or empty for a new run."""

    metrics: Reading = Reading.AUTO
    seconds: float = TARGET_SECONDS
    resume: str = ""
    sandboxed: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """A sealed run."""

    run_id: str
    folder: Path


def check_with_c7n(project: Project, names: Collection[str] | None = None) -> None:
    """Raises :class:`InvalidFilesError` where c7n would refuse a compiled policy, at the policy's own file.

    Only the policies named, or all. A variant that no account of the customer has is passed over.
    """
    listed = {account.id for account in project.customer.accounts}
    variants = project.compiled.variants
    used = listed & variants.keys()
    if project.customer.organization or listed - used:
        used.add(DEFAULT)
    marks = {policy.name: policy.mark for pack in project.packs.values() for policy in pack.policies.values()}
    found: dict[tuple[str, str], Diagnostic] = {}
    for account_id in used:
        chosen = [policy for policy in variants[account_id] if names is None or policy.name in names]
        for name, sentence in problems(policy.document for policy in chosen):
            hint = "Check the filter against `custodian schema`."
            found[name, sentence] = Diagnostic("c7n", f"Cloud Custodian refuses it: {sentence}", marks[name], hint)
    if found:
        raise InvalidFilesError(list(found.values()))


def execute(
    project: Project,
    prices: tuple[Price, ...],
    selection: Selection,
    store: LocalStore,
    key: SigningKey,
    *,
    manner: Manner,
    make_pool: MakePool,
    progress: Progress,
) -> Outcome:
    """Judges, records and seals. Whatever ends it early leaves a run without run.json: visibly incomplete, and one
    that ``manner.resume`` finishes."""
    customer = project.customer
    names = select_policies(project.compiled, selection.policies)
    # Refuses names that nobody knows, before anybody is asked.
    expected = outlook(customer, selection.accounts, selection.regions)
    caller = aws.caller(first_region(customer))  # before c7n, whose imports break on an AWS_PROFILE that is not there
    quiet()
    types = frozenset(each.resource for each in project.compiled.policies() if each.name in names)
    # The pool is opened first: its processes load what they need while policies are checked and targets are found.
    with make_pool(0 if expected.asked else len(expected.targets), types) as pool:
        if not manner.resume:  # what was begun was checked, and must be the same
            check_with_c7n(project, names)
        progress.said(f"Caller: {caller.arn}")
        # A chain that this key cannot continue: better said before the work than after.
        read_head(store.customer_folder(customer.name), key.public)
        compiled = _compiled_files(project, prices)
        roles = Roles(customer, caller)
        if manner.resume:
            bundle = store.reopen(customer.name, manner.resume)
        else:
            found = find_targets(customer, selection.accounts, selection.regions, caller, roles, progress.said)
            started = dt.datetime.now(dt.UTC)
            bundle = store.create(customer.name, new_run_id(started))
        with bundle.held():
            if manner.resume:
                scope = begun(bundle, compiled, sandboxed=manner.sandboxed)
                progress.said(f"Resuming run {bundle.run_id} of {scope.started_at:%Y-%m-%d %H:%M} UTC.")
            else:
                scope = Scope(
                    started_at=started,
                    caller=caller.arn,
                    sandboxed=manner.sandboxed,
                    targets=found.targets,
                    refused=found.refused,
                    left_out=found.left_out,
                    policies=names,
                    selection=asdict(selection),
                )
                for name, data in compiled.items():
                    bundle.write(f"compiled/{name}", data)
                scope.write(bundle)
            bundle.event("resumed" if manner.resume else "started", caller=caller.arn, targets=len(scope.targets))
            work = _work(project, prices, scope, bundle, manner)
            try:
                tally = _judge(work, bundle, roles, pool, usual_seconds(store, customer.name), progress)
                sealed = bundle.seal(_record(project, work, scope, tally), key)
            except BaseException:
                progress.said(f"Run {bundle.run_id} is incomplete. Finish it with --resume {bundle.run_id}.")
                raise
    return Outcome(bundle.run_id, sealed.folder)


def _work(project: Project, prices: tuple[Price, ...], scope: Scope, bundle: BundleWriter, manner: Manner) -> Work:
    return Work(
        run_id=bundle.run_id,
        customer=scope.complete(project.customer),
        compiled=project.compiled,
        targets=scope.targets,
        policy_names=scope.policies,
        waivers=project.waivers,
        prices=prices,
        redacted_tags=project.profile.redacted_tags,
        part=bundle.part,
        refused=scope.refused,
        metrics=manner.metrics,
        seconds=manner.seconds,
    )


def first_region(customer: Customer) -> str:
    """Where the caller's identity is asked for: a region the customer uses, else one that every account has."""
    regions = [region for account in customer.accounts for region in account.regions]
    return next((region for region in (*regions, *customer.regions) if region != ENABLED), customer.home_region)


def _judge(
    work: Work,
    bundle: BundleWriter,
    roles: Roles,
    pool: Pool,
    usual: Mapping[tuple[str, str], float],
    progress: Progress,
) -> Tally:
    """Judges what is not judged yet, the longest first."""
    tally = Tally()
    progress.started(len(work.targets), sum(len(work.policies(target)) for target in work.targets))
    recorded = Recorded(bundle)
    missing = []
    for target in work.targets:
        cells = recorded.cells(target)
        if cells is None:
            missing.append(target)
            continue
        tally.add_cells(cells)
        recorded.add_calls(target, tally)
        progress.finished(target, cells)
    if len(missing) < len(work.targets):
        progress.said(f"{len(work.targets) - len(missing)} of {len(work.targets)} targets were done already.")
    with closing(judge_targets(work, longest_first(missing, usual), roles, pool)) as results:
        for result in results:
            tally.add_cells(result.cells)
            tally.add_calls(result.calls, result.metrics)
            recorded.write(result)
            progress.finished(result.target, result.cells)
    return tally


def _record(project: Project, work: Work, scope: Scope, tally: Tally) -> dict[str, Any]:
    lock = project.compiled.lock
    selection = scope.selection
    return {
        **{key: lock[key] for key in ("customer", "profile", "packs", "frameworks")},
        "started_at": scope.started_at,
        "finished_at": dt.datetime.now(dt.UTC),
        "caller": scope.caller,
        "sandbox": scope.sandboxed,
        "versions": _versions(),
        "lock_digest": digest(lock),
        "targets": [asdict(target) for target in work.targets],
        "left_out": [asdict(each) for each in scope.left_out],
        "policies": [policy.name for policy in project.compiled.policies() if policy.name in scope.policies],
        "selection": {
            "accounts": sorted({target.account_id for target in work.targets}) if selection["accounts"] else [],
            "regions": list(selection["regions"]),
            "policies": list(selection["policies"]),
        },
        "counts": tally.counts(),
        "api": tally.api(),
    }


def _compiled_files(project: Project, prices: Sequence[Price]) -> dict[str, bytes]:
    """What ran: the policies and their lock, the waivers as they stood, and the prices that figures were made from."""
    waivers = {
        "waivers": [
            {**{key: value for key, value in asdict(waiver).items() if key != "mark"}, "mark": str(waiver.mark)}
            for waiver in project.waivers
        ],
        "malformed": [f"{each.mark}: {each.message}" for each in project.malformed],
    }
    written = {"waivers.json": waivers, "prices.json": [asdict(price) for price in prices]}
    return {
        **project.compiled.files(),
        **{name: (encode(content, indent=2) + "\n").encode() for name, content in written.items()},
    }


def _versions() -> dict[str, str]:
    packages = ("c7n", "boto3", "botocore", "duckdb")
    found = {name: importlib.metadata.version(name) for name in packages}
    return {"finops-policy": __version__, "python": platform.python_version(), **found}
