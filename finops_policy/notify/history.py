"""How long findings have been there, from the runs before: each run is asked until every series has its start.

A series is broken by a run in which the resource was compliant, waived or gone. A run that could not say (the cell was
not checked, the verdict unknown, the policy or account not in the run) breaks nothing and proves nothing. A run that
cannot be read leaves everything older than it "at least". Where runs before :data:`LONGEST` are needed the age is "at
least" as well.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from finops_policy.errors import EvidenceError
from finops_policy.evidence.layout import is_remediation, is_sealed, run_folders, run_of
from finops_policy.evidence.parquet import ask
from finops_policy.evidence.store import read_run
from finops_policy.evidence.tables import COVERAGE, EVALUATIONS
from finops_policy.model import Status, Verdict

LONGEST = dt.timedelta(days=400)
Key: TypeAlias = tuple[str, str, str, str]
"""policy, account id, region, ARN (the id where there is none)."""


@dataclass(frozen=True, slots=True)
class Series:
    """Since when a finding has been there without a break."""

    since: dt.datetime
    at_least: bool = False


@dataclass(frozen=True, slots=True)
class _Past:
    started_at: dt.datetime
    sandbox: bool
    noncompliant: frozenset[Key]
    unknown: frozenset[Key]
    checked: frozenset[tuple[str, str, str]]

    def says(self, key: Key) -> bool | None:
        """Whether it was a finding then; None when that run cannot say."""
        if key in self.noncompliant:
            return True
        return None if key in self.unknown or key[:3] not in self.checked else False


def series_of(
    customer: Path, run: str, started_at: dt.datetime, sandbox: bool, keys: Mapping[str, Key]
) -> tuple[dict[str, Series], list[str]]:
    """``keys`` (by fingerprint) are findings of ``run``, which began at ``started_at``; the answer is their series, and
    notes on what could not be read. Runs of the sandbox and real ones know nothing of each other."""
    found = dict.fromkeys(keys, Series(started_at))
    open_ones, notes = dict(keys), list[str]()
    before = [
        folder
        for folder in run_folders(customer)
        if (run_of(folder) or "") < run and is_sealed(folder) and not is_remediation(folder)
    ]
    for folder in reversed(before):
        if not open_ones:
            break
        try:
            past = _read(folder)
        except EvidenceError as error:
            notes.append(f"{error.message}: findings may be older than is said.")
            _mark_at_least(found, open_ones)
            break
        if past.sandbox is not sandbox:
            continue
        if started_at - past.started_at > LONGEST:
            _mark_at_least(found, open_ones)
            break
        for name, key in list(open_ones.items()):
            match past.says(key):
                case True:
                    found[name] = Series(past.started_at)
                case False:
                    del open_ones[name]
    return found, notes


def _mark_at_least(found: dict[str, Series], names: Iterable[str]) -> None:
    for name in names:
        found[name] = Series(found[name].since, at_least=True)


def _read(folder: Path) -> _Past:
    record = read_run(folder).data
    resource = "policy, account_id, region, if(arn = '', resource_id, arn)"
    verdicts = f"verdict IN ('{Verdict.NONCOMPLIANT}', '{Verdict.UNKNOWN}')"
    evaluations = list(ask(folder, EVALUATIONS, f"SELECT {resource}, verdict FROM parts WHERE {verdicts}"))  # noqa: S608
    cells = ask(
        folder,
        COVERAGE,
        f"SELECT policy, account_id, region FROM parts WHERE status = '{Status.EVALUATED}'",  # noqa: S608
    )
    noncompliant, unknown = (
        frozenset(tuple(key) for *key, verdict in evaluations if verdict == wanted)
        for wanted in (Verdict.NONCOMPLIANT, Verdict.UNKNOWN)
    )
    try:
        started = dt.datetime.fromisoformat(record["started_at"])
        return _Past(started, record["sandbox"], noncompliant, unknown, frozenset(cells))
    except (LookupError, TypeError, ValueError) as error:
        raise EvidenceError(f"The run in {folder} is not as it was written: {error}") from error
