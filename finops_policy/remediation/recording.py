"""The evidence of a remediation: its bundle, its journal, and the rows and counts made of it."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import platform
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from finops_policy import __version__
from finops_policy.digests import digest
from finops_policy.evidence.bundle import REMEDIATION_SCHEMA, BundleWriter
from finops_policy.evidence.layout import PLAN
from finops_policy.evidence.parquet import write_actions
from finops_policy.evidence.signing import SigningKey
from finops_policy.model import Target
from finops_policy.project import Project
from finops_policy.remediation.journal import Log, StepLog
from finops_policy.remediation.model import Item, Outcome, Plan, Record
from finops_policy.remediation.plan_file import plan_bytes
from finops_policy.remediation.recipes import COPYING

RANK = (Outcome.FAILED, Outcome.UNVERIFIED, Outcome.HELD, Outcome.UNDONE, Outcome.DONE)
"""What became of an item is the first of these that became of a step."""


@dataclass(frozen=True, slots=True)
class Kind:
    """``name`` is apply or undo; ``undoes`` the run id of what is taken back, empty for apply; ``prefix`` stands before
    the actions' names."""

    name: str
    undoes: str = ""
    prefix: str = ""


APPLY = Kind("apply")


@dataclass(frozen=True, slots=True)
class People:
    """Who is behind an act: ``approved_by`` an item, and ``executed_by``, an ARN."""

    approved_by: Callable[[Item], tuple[str, ...]]
    executed_by: str
    approvals: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Applied:
    """A sealed remediation. ``outcomes`` are items with what became of each, and why; ``stopped`` says why nothing more
    was acted on, if so."""

    run_id: str
    folder: Path
    outcomes: tuple[tuple[Item, Outcome, str], ...]
    stopped: str = ""

    def count(self, outcome: Outcome) -> int:
        return sum(1 for _, each, _ in self.outcomes if each is outcome)


def write_plan_copy(bundle: BundleWriter, plan: Plan, extra: Mapping[str, bytes]) -> None:
    """``extra``: name in the bundle -> bytes, such as the approvals. The plan first: it tells what the bundle is. What
    is there already, before a crash, stays."""
    for name, data in {PLAN: plan_bytes(plan), **extra}.items():
        if not (bundle.folder / name).exists():
            bundle.write(name, data)


def seal(
    bundle: BundleWriter,
    key: SigningKey,
    plan: Plan,
    log: Log,
    project: Project,
    people: People,
    kind: Kind,
    started_at: dt.datetime,
) -> Applied:
    """Writes the rows of every target, and seals."""
    rows: dict[Target, list[Record]] = defaultdict(list)
    for item in plan.items:
        rows[Target(item.account_id, item.region)] += _records(item, plan, log, people, kind)
    for target, records in rows.items():
        write_actions(
            bundle.part("actions", target),
            ({**_row(each), "run_id": bundle.run_id, "customer": plan.customer} for each in records),
        )
    outcomes = tuple((item, *outcome_of(item, log)) for item in plan.items)
    counts = Counter(outcome for _, outcome, _ in outcomes)
    bundle.seal(
        {
            "schema": REMEDIATION_SCHEMA,
            "kind": kind.name,
            "undoes": kind.undoes or None,
            **{key: project.compiled.lock[key] for key in ("customer", "profile")},
            "lock_digest": digest(project.compiled.lock),
            "versions": _versions(),
            "started_at": started_at,
            "finished_at": dt.datetime.now(dt.UTC),
            "caller": people.executed_by,
            "sandbox": plan.sandbox,
            "plan_id": plan.plan_id,
            "plan_digest": plan.digest,
            "judged_run": plan.run_id,
            "requested_by": asdict(plan.requested_by),
            "approvals": list(people.approvals),
            "counts": {each.value: counts[each] for each in Outcome},
        },
        key,
    )
    return Applied(bundle.run_id, bundle.folder, outcomes, log.stopped)


def outcome_of(item: Item, log: Log) -> tuple[Outcome, str]:
    """What became of an item, and why; one that was never reached is held."""
    if item.id in log.held:
        return Outcome.HELD, log.held[item.id][0]
    ended = [(number, step) for number, step in _steps(item, log) if step.outcome]
    if not ended:
        return Outcome.HELD, log.stopped or "it was not reached"
    outcome = next(each for each in RANK if any(step.outcome is each for _, step in ended))
    if outcome is Outcome.HELD and len(ended) > 1:
        return _held_half_way(item, ended)
    reasons = [step.error or step.reason for _, step in ended if step.outcome is outcome]
    if outcome is Outcome.DONE and len(ended) < len(item.steps):
        return Outcome.UNVERIFIED, f"{item.steps[len(ended)].name} was not reached"
    return outcome, reasons[-1]


def _held_half_way(item: Item, ended: Sequence[tuple[int, StepLog]]) -> tuple[Outcome, str]:
    """A copy that was made before changes nothing; an act that stands alone is not what was agreed to."""
    done = [item.steps[number].name for number, step in ended if step.outcome is not Outcome.HELD]
    number, held = next((number, step) for number, step in ended if step.outcome is Outcome.HELD)
    name, reason = item.steps[number].name, held.reason
    if set(done) <= COPYING:
        return Outcome.HELD, f"{reason} ({' and '.join(done)} was made before)"
    return Outcome.FAILED, f"{' and '.join(done)} is done, and {name} was held: {reason}"


def _steps(item: Item, log: Log) -> Iterator[tuple[int, StepLog]]:
    for number in range(len(item.steps)):
        if (item.id, number) in log.steps:
            yield number, log.steps[item.id, number]


def _records(item: Item, plan: Plan, log: Log, people: People, kind: Kind) -> Iterator[Record]:
    outcome, reason = outcome_of(item, log)
    now = dt.datetime.now(dt.UTC)
    ended = [(number, step) for number, step in _steps(item, log) if step.outcome]
    if not ended:
        at = dt.datetime.fromisoformat(log.held[item.id][1]) if item.id in log.held else now
        yield _record(item, plan, people, kind, 0, StepLog(outcome=outcome, reason=reason, at=at.isoformat()))
    for number, step in ended:
        yield _record(item, plan, people, kind, number, step)


def _record(item: Item, plan: Plan, people: People, kind: Kind, number: int, step: StepLog) -> Record:
    last = number == len(item.steps) - 1
    return Record(
        item_id=item.id,
        plan_digest=plan.digest,
        policy=item.policy,
        account_id=item.account_id,
        region=item.region,
        resource_type=item.resource_type,
        resource_id=item.resource_id,
        arn=item.arn,
        action=f"{kind.prefix}{item.steps[number].name}",
        outcome=step.outcome or Outcome.HELD,
        reason=step.reason,
        error=step.error,
        requested_by=plan.requested_by.email or plan.requested_by.arn,
        approved_by=step.approved_by if step.by else people.approved_by(item),
        executed_by=step.by or people.executed_by,
        before=step.before or {},
        after=step.after,
        made=step.made,
        monthly_savings=item.savings if last else None,
        currency=item.money.currency if item.money and last else "",
        at=dt.datetime.fromisoformat(step.at),
    )


def _row(record: Record) -> dict[str, Any]:
    row = {field.name: getattr(record, field.name) for field in fields(record)}
    return {**row, "outcome": record.outcome.value, "approved_by": list(record.approved_by)}


def _versions() -> dict[str, str]:
    packages: Sequence[str] = ("c7n", "boto3", "botocore", "duckdb")
    found = {name: importlib.metadata.version(name) for name in packages}
    return {"finops-policy": __version__, "python": platform.python_version(), **found}
