"""What a report asks of a bundle: sums, claims to savings, and the findings in the order they are told.

Only sums and light columns come from DuckDB into Python, and findings one at a time, so a run of a million findings
costs little more memory than one of a thousand: some 100 bytes a finding, for the keys they are sorted by, and a
scratch file in the system's temporary folder. Every function reads the bundle anew and raises :class:`EvidenceError`
when it cannot be read.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import sys
import tempfile
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from decimal import Decimal
from functools import lru_cache
from itertools import groupby
from operator import add, itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from finops_policy.assessment import Tally
from finops_policy.errors import EvidenceError
from finops_policy.evidence.parquet import ask
from finops_policy.evidence.tables import COVERAGE, EVALUATIONS
from finops_policy.files import failure
from finops_policy.model import Severity, Status, Verdict
from finops_policy.savings import Claim

_OPEN = f"verdict <> '{Verdict.COMPLIANT}'"
_WRITTEN = "file_index, file_row_number"
_RANK = f"list_position({[str(each) for each in reversed(Severity)]}, severity)"
_UNCHECKED = (str(Status.FAILED), str(Status.SKIPPED))
_GAP = ("account_id", "region", "coalesce(failure_kind, status)", "message", "next_step")
_MEMBERS = ("population", "compliant", "noncompliant", "waived", "unknown")


@dataclass(frozen=True, slots=True)
class Gap:
    """Cells of one target that were not checked, for one cause. ``kind`` is that of the failure, or ``skipped``."""

    account_id: str
    region: str
    kind: str
    message: str
    next_step: str
    policies: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Cells:
    """Coverage added up: by policy, by status, and what was not checked in the order of writing."""

    tallies: Mapping[str, Tally]
    statuses: Counter[Status]
    gaps: Sequence[Gap]


@dataclass(frozen=True, slots=True)
class Found:
    """Findings added up: ``count`` of all that is not compliant, noncompliant ones by severity, and by waiver."""

    count: int
    severities: Counter[Severity]
    waivers: Counter[str]


class Finding(NamedTuple):
    """An evaluation that is not compliant. ``facts``, ``tags`` and ``money`` are JSON as the evidence holds it."""

    policy: str
    pack: str
    severity: str
    account_id: str
    region: str
    resource_type: str
    resource_id: str
    arn: str
    verdict: str
    reason: str
    waiver_id: str
    facts: str
    tags: str
    savings: str | None
    money: str | None


class Origin(NamedTuple):
    """How a sum of money came about, as ``money`` of the evaluations says it."""

    method: str
    source: str
    as_of: dt.date | None
    verified: bool
    reason: str


@lru_cache(maxsize=1024)
def origin(money: str) -> Origin:
    """``money`` of an evaluation, of which a run has few different ones. Raises :class:`ValueError`."""
    kept = json.loads(money)
    return Origin(**{**kept, "as_of": dt.date.fromisoformat(kept["as_of"]) if kept["as_of"] else None})


def count_cells(folder: Path) -> Cells:
    """Adds up the coverage cells: DuckDB those that were checked or do not apply, Python the others, one by one."""
    members = ", ".join(f"CAST(sum({name}) AS BIGINT)" for name in _MEMBERS)
    gap = ", ".join(f"if(status IN {_UNCHECKED}, {name}, NULL)" for name in _GAP)
    query = f"SELECT policy, status, count(*), {members}, {gap} FROM parts GROUP BY ALL ORDER BY min(({_WRITTEN}))"  # noqa: S608
    tallies: dict[str, Tally] = {}
    statuses = Counter[Status]()
    gaps: dict[tuple[str, ...], Gap] = {}
    for policy, status, cells, *rest in ask(folder, COVERAGE, query):
        statuses[Status(status)] += cells
        checks = cells if status != Status.NOT_APPLICABLE else 0
        unchecked = cells if status in _UNCHECKED else 0
        before = astuple(tallies.get(policy, Tally()))
        tallies[policy] = Tally(*map(add, before, (*rest[:5], checks, unchecked)))
        if unchecked:
            gaps.setdefault(tuple(rest[5:]), Gap(*rest[5:])).policies.extend([policy] * cells)
    return Cells(tallies, statuses, list(gaps.values()))


def count_findings(folder: Path) -> Found:
    """Adds up the evaluations that are not compliant."""
    count, severities, waivers = 0, Counter[Severity](), Counter[str]()
    query = f"SELECT severity, verdict, waiver_id, count(*) FROM parts WHERE {_OPEN} GROUP BY ALL"  # noqa: S608
    for severity, verdict, waiver, some in ask(folder, EVALUATIONS, query):
        count += some
        if verdict == Verdict.NONCOMPLIANT:
            severities[Severity(severity)] += some
        if waiver:
            waivers[waiver] += some
    return Found(count, severities, waivers)


def claims(folder: Path) -> Iterator[Iterator[Claim]]:
    """What noncompliant evaluations claim to save, target by target. Those without money in them claim nothing."""
    query = (
        "SELECT region, account_id, policy, resource_type, resource_id, arn, monthly_savings, "  # noqa: S608
        f"CAST(money AS VARCHAR) FROM parts WHERE verdict = '{Verdict.NONCOMPLIANT}' AND money IS NOT NULL"
    )
    for _, target in groupby(ask(folder, EVALUATIONS, query), itemgetter(0, 1)):
        yield (_claim(*row[1:]) for row in target)


def _claim(
    account_id: str, policy: str, resource_type: str, resource_id: str, arn: str, savings: Decimal | None, money: str
) -> Claim:
    known = origin(money)
    resource = (resource_type, resource_id, arn)
    return Claim(account_id, policy, *resource, savings, known.reason, known.source, known.as_of, known.verified)


def read_findings(folder: Path) -> Iterator[Finding]:
    """What is not compliant: the severest first, then the largest savings, then by resource and policy.

    DuckDB would hold whole rows in memory to sort them. So it sorts their keys alone, while the rows wait in a scratch
    file, as JSON, until their turn comes.
    """
    columns = ", ".join(_SELECTED.get(name, name) for name in Finding._fields)
    rows = ask(folder, EVALUATIONS, f"SELECT CAST(to_json([{columns}]) AS VARCHAR) FROM parts WHERE {_OPEN}")  # noqa: S608
    order = ask(
        folder,
        EVALUATIONS,
        f"SELECT row_number() OVER () - 1 AS number FROM parts WHERE {_OPEN} "  # noqa: S608
        f"ORDER BY {_RANK}, coalesce(monthly_savings, 0) DESC, if(arn = '', resource_id, arn), policy, number",
        at_once=sys.maxsize,
    )
    try:
        with tempfile.TemporaryFile() as scratch:
            ends = array("Q", [0])
            for (row,) in rows:
                ends.append(ends[-1] + scratch.write(row.encode()))
            scratch.flush()
            for (number,) in order:
                start = ends[number]
                yield Finding(*json.loads(os.pread(scratch.fileno(), ends[number + 1] - start, start)))
    except OSError as error:
        raise failure("sort the findings in", Path(tempfile.gettempdir()), error) from error
    except (ValueError, TypeError, LookupError) as error:
        raise EvidenceError(
            f"Cannot read {folder / EVALUATIONS.name}: {error}",
            hint="Run `finops-policy verify` on the bundle: it names the files that are not as they were sealed.",
        ) from error


_SELECTED: dict[str, Any] = {
    "facts": "CAST(CAST(CAST(facts AS VARCHAR) AS JSON) AS VARCHAR)",  # as it is, and refused where it is no JSON
    "tags": "CAST(to_json(tags) AS VARCHAR)",
    "savings": "CAST(monthly_savings AS VARCHAR)",
    "money": "CAST(money AS VARCHAR)",
}
