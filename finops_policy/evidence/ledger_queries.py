"""What the savings ledger asks of a customer's bundles: how findings went on, run by run, and what was done about them.

A customer may have fifty runs of a million evaluations. DuckDB reduces them, one target at a time, to spans: runs in
which a policy said the same of a resource. Only resources that were ever found are told, and only one of them is in
memory at a time.

Limits: a resource is followed within its account and region; runs of the sandbox and of AWS are never mixed. Parts are
held against the sizes that the run's record names; whether their bytes are those that were sealed is for ``verify``.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import yaml

from finops_policy.compiler import load_policies, policies_path
from finops_policy.errors import EvidenceError, UsageError
from finops_policy.evidence import layout
from finops_policy.evidence.canonical import encode
from finops_policy.evidence.parquet import connect
from finops_policy.evidence.queries import origin
from finops_policy.evidence.store import LATEST, LocalStore, read_run
from finops_policy.evidence.tables import ACTIONS, COVERAGE, EVALUATIONS
from finops_policy.ledger import Act, Finding, follow
from finops_policy.model import Status, Verdict
from finops_policy.realised import Ground, Resource, RunAt, Span, lasting

_VERIFY = "Run `finops-policy verify` on it: it names what is not as it was sealed."
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_BATCH = 1000
_AT_ONCE = 2_000_000
"""Evaluations that are sorted at once: some 1 GB of memory."""
_KEY = "if(arn = '', resource_type || '|' || resource_id, arn)"

_SPANS = f"""
WITH rows AS (
  SELECT list_extract($numbers, CAST(file_index AS BIGINT) + 1) AS number, {_KEY} AS key, policy, resource_type,
    resource_id, arn, verdict, severity, waiver_id, monthly_cost, monthly_savings, currency,
    CAST(money AS VARCHAR) AS money
  FROM read_parquet($parts, hive_partitioning = false) WHERE hash({_KEY}) % $buckets = $bucket
), found AS (
  SELECT DISTINCT key FROM rows WHERE verdict IN ('{Verdict.NONCOMPLIANT}', '{Verdict.WAIVED}')
), said AS (
  SELECT *, hash(verdict, severity, waiver_id, monthly_cost, monthly_savings, currency, money) AS says
  FROM rows SEMI JOIN found USING (key)
), islands AS (
  SELECT *, number - dense_rank() OVER (PARTITION BY key, policy, says ORDER BY number) AS island FROM said
)
SELECT key, policy, min(number) AS first, max(number) AS last, any_value(resource_type), any_value(resource_id),
  any_value(arn), any_value(verdict), any_value(severity), any_value(waiver_id), any_value(monthly_cost),
  any_value(monthly_savings), any_value(currency), any_value(money)
FROM islands GROUP BY key, policy, says, island ORDER BY key, policy, first, last
"""  # noqa: S608
_COUNT = "SELECT count(*), max($numbers) FROM read_parquet($parts, hive_partitioning = false)"
_CELLS = """
SELECT list_extract($numbers, CAST(file_index AS BIGINT) + 1), policy, status, failure_kind, message
FROM read_parquet($parts, hive_partitioning = false)
"""
_ACTS = """
SELECT item_id, policy, account_id, region, resource_type, resource_id, arn, action, outcome,
  approved_by, executed_by, plan_digest, epoch_us(CAST("at" AS TIMESTAMPTZ))
FROM read_parquet($parts, hive_partitioning = false, union_by_name = true) ORDER BY "at"
"""


@dataclass(frozen=True, slots=True)
class History:
    """A customer's sealed runs, oldest first, up to the one asked for, and what was applied meanwhile. ``left_out``
    counts runs of the other kind, sandbox or AWS; ``accounts`` are those of the newest run, id -> name."""

    root: Path
    customer: str
    folders: tuple[Path, ...]
    runs: tuple[RunAt, ...]
    sandbox: bool
    left_out: int
    accounts: Mapping[str, str]
    policies: frozenset[str]
    acts: Mapping[tuple[str, str, str], Sequence[Act]]
    _compiled: Mapping[tuple[int, str], Mapping[str, Mapping[str, str]]]

    @property
    def currency(self) -> str:
        return self.runs[-1].currency

    def targets(self) -> list[str]:
        """``<account>_<region>`` of every target that any run judged."""
        return sorted({path.stem for folder in self.folders for path in (folder / EVALUATIONS.name).glob("*.parquet")})

    def read(self, target: str) -> Iterator[list[Finding]]:
        """The findings ever made in one target, resource by resource. Raises :class:`EvidenceError`."""
        account_id, region = target.split("_", 1)
        ground = self._ground(target, account_id)
        for key, lines in groupby(self._spans(target), itemgetter(0)):
            spans: defaultdict[str, list[Span]] = defaultdict(list)
            resource = None
            for line in lines:
                resource = Resource(account_id, region, *line[4:7])
                spans[line[1]].append(_span(line))
            if resource:
                acts = self.acts.get((account_id, region, key), ())
                yield follow(resource, spans, ground, acts, self.currency)

    def _spans(self, target: str) -> Iterator[tuple[Any, ...]]:
        """A part of the resources at a time: what DuckDB sorts stays small, however long the history is."""
        rows = next(self._ask(EVALUATIONS.name, target, _COUNT), (0,))[0]
        buckets = rows // _AT_ONCE + 1
        for bucket in range(buckets):
            yield from self._ask(EVALUATIONS.name, target, _SPANS, buckets=buckets, bucket=bucket)

    def _ground(self, target: str, account_id: str) -> Ground:
        scopes = [
            self._compiled.get((number, account_id), self._compiled[number, ""]) for number in range(len(self.runs))
        ]
        runs = tuple(replace(run, scopes=each) for run, each in zip(self.runs, scopes, strict=True))
        gaps: defaultdict[str, list[str]] = defaultdict(lambda: ["the policy was not judged there"] * len(runs))
        for number, policy, *cell in self._ask(COVERAGE.name, target, _CELLS):
            gaps[policy][number] = _gap(*cell)
        return Ground(runs, dict(gaps))

    def _ask(self, table: str, target: str, query: str, **more: Any) -> Iterator[tuple[Any, ...]]:
        parts = [
            (number, folder.absolute() / table / f"{target}.parquet") for number, folder in enumerate(self.folders)
        ]
        there = [(number, str(path)) for number, path in parts if path.exists()]
        if there:
            numbers, paths = zip(*there, strict=True)
            yield from _ask(self.root, query, {"numbers": list(numbers), "parts": list(paths), **more})


def read_history(store: LocalStore, customer: str, run: str = LATEST) -> History:
    """Raises :class:`UsageError` for a customer or run that is not there, and :class:`EvidenceError`."""
    newest = store.find(customer, run)
    judged = [each.folder for each in store.runs(customer) if each.sealed]
    applied = [each.folder for each in store.remediations(customer) if each.sealed]
    if newest not in judged:
        raise UsageError(f"{run} judged nothing: it is no run to look at findings of.", hint="See: runs list.")
    known = {path: _record(path) for path in (*judged, *applied)}
    sandbox = bool(known[newest].get("sandbox"))
    later = [path for path in judged if path.name > newest.name]
    earlier = [path for path in judged if path.name <= newest.name]
    folders = [path for path in earlier if bool(known[path].get("sandbox")) == sandbox]
    records = [known[path] for path in folders]
    for path, record in zip(folders, records, strict=True):
        _refuse_incomplete(path, record)
    until = _moment(known[later[0]]["started_at"]) if later else None
    acts = [path for path in applied if bool(known[path].get("sandbox")) == sandbox]
    prices: dict[str, tuple[Mapping[tuple[str, str], Decimal], str]] = {}
    scopes: dict[str, Mapping[str, Mapping[str, str]]] = {}
    runs, compiled = [], {}
    for number, (path, record) in enumerate(zip(folders, records, strict=True)):
        try:
            book, currency = _cached(prices, path, record, "compiled/prices.json", _prices)
            accounts = [name.stem for name in (path / "compiled" / "accounts").glob("*.yaml")]
            for account_id in ("", *accounts):
                name = f"compiled/{policies_path(account_id)}"
                compiled[number, account_id] = _cached(scopes, path, record, name, _scopes)
            runs.append(RunAt(record["run_id"], _moment(record["started_at"]), book, currency))
        except (OSError, KeyError, TypeError, ValueError, ArithmeticError, yaml.YAMLError) as error:
            raise EvidenceError(f"The run in {path} is not as it was written: {error}", hint=_VERIFY) from error
    return History(
        root=store.customer_folder(customer),
        customer=customer,
        folders=tuple(folders),
        runs=tuple(runs),
        sandbox=sandbox,
        left_out=len(earlier) - len(folders),
        accounts={each["account_id"]: each["account_name"] for each in records[-1]["targets"]},
        policies=frozenset(policy for record in records for policy in record["policies"]),
        acts=read_acts(acts, until),
        _compiled=compiled,
    )


def read_acts(folders: Sequence[Path], until: dt.datetime | None = None) -> dict[tuple[str, str, str], list[Act]]:
    """What was applied, from bundles with ``actions``, by account, region and resource, in the order of time."""
    found: defaultdict[tuple[str, str, str], list[Act]] = defaultdict(list)
    for folder in folders:
        parts = [str(path.absolute()) for path in sorted((folder / ACTIONS.name).glob("*.parquet"))]
        if not parts:
            continue
        planned = _planned(folder)
        for item, policy, account, region, kind, name, arn, *rest in _ask(folder, _ACTS, {"parts": parts}):
            action, outcome, approved, by, digest, at = rest
            savings, currency = planned.get(item, (None, ""))
            moment = _EPOCH + dt.timedelta(microseconds=at)
            if until is None or moment <= until:
                resource = Resource(account, region, kind, name, arn)
                who = (tuple(approved or ()), by or "", savings, currency, digest)
                found[account, region, resource.key].append(Act(policy, resource, action, outcome, *who, moment))
    return dict(found)


def read_facts(history: History, finding: Finding) -> Iterator[tuple[str, dt.datetime, str, str, str, str]]:
    """Every evaluation of a finding, oldest first: run, time, verdict, reason, waiver and facts (JSON)."""
    query = f"""
    SELECT run_id, epoch_us(evaluated_at), verdict, reason, waiver_id, CAST(facts AS VARCHAR)
    FROM read_parquet($parts, hive_partitioning = false) WHERE policy = $policy AND {_KEY} = $key ORDER BY run_id
    """  # noqa: S608
    target = f"{finding.resource.account_id}_{finding.resource.region}.parquet"
    paths = [folder.absolute() / EVALUATIONS.name / target for folder in history.folders]
    values = {"parts": [str(path) for path in paths if path.exists()], "policy": finding.policy}
    for run_id, at, *rest in _ask(history.root, query, {**values, "key": finding.resource.key}):
        yield (run_id, _EPOCH + dt.timedelta(microseconds=at), *rest)


def _ask(root: Path, query: str, values: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    with _told(root), connect(root.absolute()) as connection:
        cursor = connection.execute(query, values)
        while batch := cursor.fetchmany(_BATCH):
            yield from batch


@contextmanager
def _told(root: Path) -> Iterator[None]:
    import duckdb

    try:
        yield
    except RuntimeError as error:
        if str(error) == "Query interrupted":
            raise KeyboardInterrupt from error
        raise
    except duckdb.Error as error:
        raise EvidenceError(
            f"Cannot read the evidence in {root}: {str(error).splitlines()[0]}", hint=_VERIFY
        ) from error


def _span(line: Sequence[Any]) -> Span:
    _, _, first, last, _, _, _, verdict, severity, waiver, cost, savings, currency, money = line
    if money is None:
        return Span(first, last, verdict, severity, waiver)
    known = origin(money)
    return Span(
        *(first, last, verdict, severity, waiver, cost, savings, currency or ""),
        method=known.method,
        source=f"{known.source} as of {known.as_of}" if known.source else "",
        verified=known.verified,
        reason=known.reason,
    )


def _gap(status: str, kind: str | None, message: str) -> str:
    """Why a resource without a row in a cell may be there all the same. Members that could not be judged have rows of
    their own, so an evaluated cell hides nothing."""
    match status:
        case Status.EVALUATED:
            return ""
        case Status.FAILED:
            return f"{kind}: {message}"
        case Status.NOT_APPLICABLE:
            return "the policy did not apply there"
        case _:
            return message or str(status)


def _record(folder: Path) -> Mapping[str, Any]:
    return read_run(folder).data


def _refuse_incomplete(folder: Path, record: Mapping[str, Any]) -> None:
    """A part that is gone would make its findings look resolved."""
    name = layout.RUN_RECORD
    try:
        for name, kept in record["files"].items():
            if name.startswith((EVALUATIONS.name, COVERAGE.name)) and (folder / name).stat().st_size != kept["bytes"]:
                raise ValueError
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise EvidenceError(f"{folder / name} is not as it was sealed.", hint=_VERIFY) from error


def _cached(kept: dict[str, Any], folder: Path, record: Mapping[str, Any], name: str, read: Any) -> Any:
    digest = record["files"][name]["sha256"]
    if digest not in kept:
        kept[digest] = read((folder / name).read_bytes())
    return kept[digest]


def _prices(data: bytes) -> tuple[dict[tuple[str, str], Decimal], str]:
    listed = json.loads(data)
    book = {(each["key"], each["region"]): Decimal(str(each["amount"])) for each in listed}
    return book, min((each["currency"] for each in listed), default="USD")


def _scopes(data: bytes) -> dict[str, dict[str, str]]:
    loaded = yaml.load(data, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe
    found: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for policy in load_policies(loaded["policies"]):
        scope = list(policy.document.get("filters", ()))[: policy.scope_length]
        if lasting(scope):
            found[policy.resource][policy.name] = encode(scope)
    return dict(found)


def _planned(folder: Path) -> dict[str, tuple[Decimal | None, str]]:
    """What the plan promised: item -> savings and currency. Rows of actions have that of the last step alone."""
    path = folder / layout.PLAN
    try:
        found = {each["id"]: each["money"] or {} for each in json.loads(path.read_bytes())["items"]}
        return {
            item: (Decimal(money["savings"]) if money.get("savings") else None, money.get("currency", ""))
            for item, money in found.items()
        }
    except (OSError, ValueError, LookupError, TypeError, ArithmeticError) as error:
        raise EvidenceError(f"{path} is not as it was sealed: {error}", hint=_VERIFY) from error


def _moment(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)
