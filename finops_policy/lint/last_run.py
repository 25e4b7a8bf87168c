"""What the last run of a customer says of its waivers, from the evidence in the workspace.

Only a sealed run that was narrowed to nothing is asked, and only of waivers whose policy was judged without a gap in
every account and region that the waiver may mean: a resource that could not be read is not one that is not there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from finops_policy.evidence.parquet import ask
from finops_policy.evidence.store import LocalStore, RunRecord, read_run
from finops_policy.evidence.tables import COVERAGE, EVALUATIONS
from finops_policy.lint.waivers import arn_of, literal, may_be
from finops_policy.model import Status, Verdict, Waiver
from finops_policy.redaction import WITHHELD
from finops_policy.waivers import covers_as_recorded

_GAPS: Final = (Status.FAILED, Status.SKIPPED)
_FINDINGS: Final = (Verdict.NONCOMPLIANT, Verdict.WAIVED)
_Cells: TypeAlias = Mapping[tuple[str, str], bool]
"""Account and region -> whether the policy was judged there without a gap."""


@dataclass(slots=True)
class Matched:
    """What a waiver covers: how many resources its policy judged, and which of them are findings (noncompliant or
    waived), as account, region and ARN."""

    resources: int = 0
    findings: set[tuple[str, str, str]] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class LastRun:
    """``started`` is the day, in UTC. ``of`` has what each waiver covers, in the order asked; None where the run cannot
    tell."""

    run_id: str
    started: str
    of: Sequence[tuple[Waiver, Matched | None]]

    @property
    def unmatched(self) -> list[Waiver]:
        return [waiver for waiver, matched in self.of if matched is not None and not matched.resources]


def last_run(store: Path, customer: str, waivers: Sequence[Waiver]) -> LastRun | None:
    """None where there is no run that could tell. Raises :class:`EvidenceError`."""
    record = _last(LocalStore(store), customer) if waivers else None
    if record is None:
        return None
    # Names of policies are letters, digits and hyphens: their schema says so.
    named = ", ".join(f"'{policy}'" for policy in {each.policy for each in waivers})
    cells: dict[str, dict[tuple[str, str], bool]] = defaultdict(dict)
    where = f"WHERE policy IN ({named})"
    query = f"SELECT DISTINCT policy, account_id, region, status FROM parts {where}"  # noqa: S608
    for policy, account, region, status in ask(record.folder, COVERAGE, query):
        if status != Status.NOT_APPLICABLE:
            cells[policy][account, region] = status not in _GAPS
    whole = not record.data.get("left_out")
    judged = [index for index, each in enumerate(waivers) if _judged(each, cells[each.policy], whole=whole)]
    matched = _matches(record, [waivers[index] for index in judged], where)
    of = dict(zip(judged, matched, strict=True))
    known = [(waiver, of.get(index)) for index, waiver in enumerate(waivers)]
    return LastRun(str(record.data.get("run_id", "")), str(record.data.get("started_at"))[:10], known)


def _matches(record: RunRecord, waivers: Sequence[Waiver], where: str) -> list[Matched | None]:
    """Of each waiver. Most name one ARN: those are looked up, and only the others are tried on every resource."""
    found: list[Matched | None] = [Matched() for _ in waivers]
    exact: dict[tuple[str, str], list[int]] = defaultdict(list)
    globs: dict[str, list[int]] = defaultdict(list)
    for index, waiver in enumerate(waivers):
        plain = waiver.resource and literal(waiver.resource)
        (exact[waiver.policy, waiver.resource] if plain else globs[waiver.policy]).append(index)
    tags = "tags" if any(each.tag_key for each in waivers) else "NULL"
    columns = f"policy, arn, account_id, region, verdict, {tags}"
    query = f"SELECT {columns} FROM parts {where}"  # noqa: S608
    for policy, arn, account, region, verdict, raw in ask(record.folder, EVALUATIONS, query) if waivers else ():
        for index in (*exact.get((policy, arn), ()), *globs.get(policy, ())):
            covered = covers_as_recorded(waivers[index], policy, arn, raw or {}, account, region, WITHHELD)
            if covered is None:
                found[index] = None
            if covered and (matched := found[index]) is not None:
                matched.resources += 1
                if verdict in _FINDINGS:
                    matched.findings.add((account, region, arn))
    return found


def _last(store: LocalStore, customer: str) -> RunRecord | None:
    if not store.root.is_dir():
        return None
    for run in reversed(store.runs(customer)):
        if run.sealed and not _narrowed(record := read_run(run.folder)):
            return record
    return None


def _narrowed(record: RunRecord) -> bool:
    selection: Any = record.data.get("selection", {})
    return not isinstance(selection, Mapping) or any(selection.values())


def _judged(waiver: Waiver, cells: _Cells, *, whole: bool) -> bool:
    arn = arn_of(waiver.resource)
    arn = arn._replace(account=waiver.account or arn.account, region=waiver.region or arn.region)
    if literal(arn.account) and arn.account and literal(arn.region) and arn.region:
        return cells.get((arn.account, arn.region), False)
    meant = [
        judged
        for (account, region), judged in cells.items()
        if may_be(arn.account, account) and may_be(arn.region, region)
    ]
    return bool(meant) and all(meant) and (whole or (literal(arn.account) and bool(arn.account)))
