"""What the last run of a customer says of its waivers, from the evidence in the workspace.

Only a sealed run that was narrowed to nothing is asked, and only of waivers whose policy was judged without a gap in
every account and region that the waiver may mean: a resource that could not be read is not one that is not there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final, TypeAlias

from finops_policy.evidence.parquet import ask
from finops_policy.evidence.store import LocalStore, RunRecord, read_run
from finops_policy.evidence.tables import COVERAGE, EVALUATIONS
from finops_policy.lint.waivers import arn_of, literal, may_be
from finops_policy.model import Status, Waiver
from finops_policy.waivers import find_waiver

_GAPS: Final = (Status.FAILED, Status.SKIPPED)
_Cells: TypeAlias = Mapping[tuple[str, str], bool]
"""Account and region -> whether the policy was judged there without a gap."""


@dataclass(frozen=True, slots=True)
class LastRun:
    """``started`` is the day, in UTC."""

    started: str
    unmatched: Sequence[Waiver]


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
    exact: dict[tuple[str, str], list[Waiver]] = defaultdict(list)
    globs: dict[str, list[Waiver]] = defaultdict(list)
    for waiver in waivers:
        if _judged(waiver, cells[waiver.policy], whole=whole):
            (exact[waiver.policy, waiver.resource] if literal(waiver.resource) else globs[waiver.policy]).append(waiver)
    query = f"SELECT DISTINCT policy, arn FROM parts {where}"  # noqa: S608
    for policy, arn in ask(record.folder, EVALUATIONS, query):
        exact.pop((policy, arn), None)
        if some := globs.get(policy):
            globs[policy] = [each for each in some if not find_waiver(policy, arn, [each], each.expires)]
    return LastRun(str(record.data.get("started_at"))[:10], [*chain(*exact.values(), *globs.values())])


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
    if literal(arn.account) and arn.account and literal(arn.region) and arn.region:
        return cells.get((arn.account, arn.region), False)
    meant = [
        judged
        for (account, region), judged in cells.items()
        if may_be(arn.account, account) and may_be(arn.region, region)
    ]
    return bool(meant) and all(meant) and (whole or (literal(arn.account) and bool(arn.account)))
