"""FOCUS 1.2 cost data from Parquet or CSV files: what a resource cost before and after, and what a month cost.

Costs are ``EffectiveCost``, or ``BilledCost`` where a file has no other. A resource is compared by its usage alone: a
credit or a refund is no saving. The bill of a month has every line, credits, taxes and lines without a resource too.
A line over more than a day is spread over its charge period evenly.

What the data does not reach is unknown: a window or a month counts only where the account has usage on every day of it,
since a day without a line is a day that has not arrived yet. Limits: an account that really used nothing on some day
cannot be told from that; a plain name (no ARN) is matched within its account and region, whatever its service.
"""

from __future__ import annotations

import datetime as dt
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from finops_policy.errors import UsageError, did_you_mean
from finops_policy.ledger_totals import Bill
from finops_policy.realised import Billed, Resource
from finops_policy.savings import HOURS_PER_MONTH

if TYPE_CHECKING:
    import duckdb

WINDOW = dt.timedelta(days=30)
NEEDED = ("ResourceId", "ChargePeriodStart", "ChargePeriodEnd", "BillingCurrency", "SubAccountId")
COSTS = ("EffectiveCost", "BilledCost")
_OPTIONAL = ("RegionId", "ChargeCategory")
_DAY = 86_400_000_000
_READERS = {
    ".parquet": "read_parquet($paths, hive_partitioning = false, union_by_name = true)",
    ".csv": "read_csv($paths, header = true, all_varchar = true, union_by_name = true, hive_partitioning = false)",
}
_FOCUS = "The data must be FOCUS 1.2: see docs/savings.md for the columns that are needed."


class Question(NamedTuple):
    """A resource whose cost changed between two moments."""

    resource: Resource
    before_until: dt.datetime
    after_from: dt.datetime


@dataclass(frozen=True, slots=True)
class _Window:
    """Whole days, UTC: days since 1970 from ``start`` to before ``end``."""

    start: int
    end: int

    def __str__(self) -> str:
        return f"{_date(self.start)} to {_date(self.end - 1)}"


class CostData:
    """Cost data that was read. ``currency`` is empty where its lines have none or several."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, name: str, column: str) -> None:
        self._connection = connection
        self._days: dict[str, set[int]] = defaultdict(set)
        currencies = [row[0] for row in connection.execute("SELECT DISTINCT currency FROM lines").fetchall()]
        self.currencies = sorted(filter(None, currencies))
        self.currency = self.currencies[0] if len(currencies) == 1 and self.currencies else ""
        self.source = f"{column} of {name}"
        for account, day in connection.execute(_COVERED).fetchall():
            self._days[account].add(day)

    def answers(self, questions: Sequence[Question]) -> list[Billed]:
        """What the bill shows of each, as costs a month of 730 hours over the 30 days before and after the change."""
        windows = [_windows(each) for each in questions]
        gaps = [self._gap(each.resource.account_id, both) for each, both in zip(questions, windows, strict=True)]
        asked = [number for number, gap in enumerate(gaps) if not gap]
        sums = self._sums([(number, questions[number].resource, windows[number]) for number in asked])
        hours = Decimal(WINDOW // dt.timedelta(hours=1))
        found = []
        for number, gap in enumerate(gaps):
            before, after = (sums.get((number, side)) for side in (0, 1))
            if gap or before is None:
                why = gap or f"no usage of it is in the bill of {windows[number][0]}"
                found.append(Billed(None, None, self.currency, self.source, why))
                continue
            monthly = HOURS_PER_MONTH / hours
            found.append(Billed(before * monthly, (after or Decimal()) * monthly, self.currency, self.source))
        return found

    def bill(self, accounts: Sequence[str], until: dt.datetime | None = None) -> Bill:
        """The last whole calendar month before ``until`` that is there for every account; without such a one, the first
        after it, else unknown."""
        if not self.currency:
            return Bill(reason=self._mixed(), of_accounts=len(accounts), source=self.source)
        absent = [each for each in accounts if each not in self._days]
        if absent or not accounts:
            told = f"the cost data has no usage of account {absent[0]}" if absent else "no accounts are known"
            more = f" and {len(absent) - 1} more" if absent[1:] else ""
            there = len(accounts) - len(absent)
            return Bill(f"{told}{more}", accounts=there, of_accounts=len(accounts), source=self.source)
        common = set.intersection(*(self._days[each] for each in accounts))
        months = sorted({_date(day).replace(day=1) for day in common})
        whole = [each for each in months if set(range(_number(each), _number(_following(each)))) <= common]
        if not whole:
            reason = f"no calendar month is covered whole for all of the {len(accounts)} accounts"
            return Bill(reason, accounts=len(accounts), of_accounts=len(accounts), source=self.source)
        earlier = [each for each in whole if until is None or _following(each) <= until.astimezone(dt.UTC).date()]
        month = earlier[-1] if earlier else whole[0]
        bounds = {"start": _number(month) * _DAY, "end": _number(_following(month)) * _DAY}
        query = (
            "SELECT sum(cost) FROM lines WHERE list_contains($accounts, account) AND starts >= $start AND starts < $end"
        )
        [(amount,)] = self._connection.execute(query, {**bounds, "accounts": list(accounts)}).fetchall()
        return Bill("", amount, self.currency, month, len(accounts), len(accounts), self.source)

    def _mixed(self) -> str:
        if self.currencies:
            return f"the cost data has several currencies: {', '.join(self.currencies)}"
        return "the cost data names no currency"

    def _gap(self, account: str, windows: tuple[_Window, _Window]) -> str:
        if not self.currency:
            return self._mixed()
        days = self._days.get(account, set())
        if not days:
            return f"the cost data has no usage of account {account}"
        for window in windows:
            missing = set(range(window.start, window.end)) - days
            if missing:
                return f"the cost data has no usage of {_date(min(missing))}; all of {window} is needed"
        return ""

    def _sums(self, asked: Sequence[tuple[int, Resource, tuple[_Window, _Window]]]) -> dict[tuple[int, int], Decimal]:
        """(number, 0 before or 1 after) -> usage within the window; nothing where there is no line."""
        names = [
            (number, resource.account_id, name, _region(resource) if name != resource.arn else "", *both)
            for number, resource, both in asked
            for name in {resource.arn, resource.resource_id} - {""}
        ]
        if not names:
            return {}
        columns = [list(each) for each in zip(*names, strict=True)]
        windows = [[getattr(each, end) * _DAY for each in side] for side in columns[4:] for end in ("start", "end")]
        values = dict(zip(("n", "account", "name", "region"), columns[:4], strict=True))
        values |= dict(zip(("b0", "b1", "a0", "a1"), windows, strict=True))
        sums: dict[tuple[int, int], Decimal] = defaultdict(Decimal)
        for number, side, overlap, length, amount in self._connection.execute(_SUMS, values).fetchall():
            sums[number, side] += amount * overlap / length
        return dict(sums)


_LINES = """
CREATE TEMP TABLE lines AS
SELECT CAST({SubAccountId} AS VARCHAR) AS account, nullif(CAST({ResourceId} AS VARCHAR), '') AS resource,
  nullif(CAST({RegionId} AS VARCHAR), '') AS region, CAST({BillingCurrency} AS VARCHAR) AS currency,
  epoch_us(CAST({ChargePeriodStart} AS TIMESTAMPTZ)) AS starts,
  epoch_us(CAST({ChargePeriodEnd} AS TIMESTAMPTZ)) AS ends,
  sum(CAST({cost} AS DECIMAL(38,12))) AS cost,
  sum(CAST({cost} AS DECIMAL(38,12))) FILTER ({usage}) AS used,
  count(*) FILTER ({cost} IS NULL OR CAST({cost} AS VARCHAR) = '') AS costless
FROM {source} GROUP BY ALL
"""
_WRONG = """
SELECT count(*) FROM lines WHERE account IS NULL OR starts IS NULL OR ends IS NULL OR ends <= starts OR costless > 0
"""
_COVERED = f"""
SELECT DISTINCT account, unnest(range(starts // {_DAY}, least((ends + {_DAY} - 1) // {_DAY}, last // {_DAY}))) FROM (
  SELECT account, starts, ends, max(ends) OVER (PARTITION BY account) AS last FROM lines WHERE used IS NOT NULL
)
"""  # noqa: S608
_SUMS = """
WITH asked AS (
  SELECT unnest($n) AS n, unnest($account) AS account, unnest($name) AS name, unnest($region) AS region,
    unnest($b0) AS b0, unnest($b1) AS b1, unnest($a0) AS a0, unnest($a1) AS a1
), windows AS (
  SELECT n, account, name, region, 0 AS side, b0 AS start, b1 AS stop FROM asked
  UNION ALL SELECT n, account, name, region, 1, a0, a1 FROM asked
)
SELECT n, side, least(l.ends, stop) - greatest(l.starts, start) AS overlap, l.ends - l.starts AS length, sum(l.used)
FROM windows AS w JOIN lines AS l ON l.account = w.account AND l.resource = w.name
WHERE l.used IS NOT NULL AND l.starts < stop AND l.ends > start
  AND (w.region = '' OR l.region IS NULL OR l.region = w.region)
GROUP BY ALL
"""


@contextmanager
def open_costs(paths: Sequence[Path]) -> Iterator[CostData]:
    """Reads FOCUS files: all Parquet, or all CSV (also ``.csv.gz``). Raises :class:`UsageError` for what is no such
    data: a column that is missing, a line without a cost or a period."""
    import duckdb

    kind = _kind(paths)
    name = paths[0].name if len(paths) == 1 else f"{len(paths)} files"
    with tempfile.TemporaryDirectory(prefix="finops-policy-") as spill, _connect(paths, Path(spill)) as connection:
        try:
            column = _load(connection, paths, _READERS[kind], name)
        except duckdb.Error as error:
            told = str(error).splitlines()[0]
            raise UsageError(f"Cannot read the cost data in {name}: {told}", hint=_FOCUS) from error
        yield CostData(connection, name, column)


def _kind(paths: Sequence[Path]) -> str:
    kinds = set()
    for path in paths:
        if not path.is_file():
            raise UsageError(f"There is no file {path}.", hint="Name files of FOCUS cost data.")
        kinds.add(".csv" if path.name.endswith((".csv", ".csv.gz")) else path.suffix)
    if len(kinds) != 1 or (kind := kinds.pop()) not in _READERS:
        raise UsageError("Cost data must be Parquet or CSV files, all of one kind.", hint=_FOCUS)
    return kind


def _connect(paths: Sequence[Path], spill: Path) -> duckdb.DuckDBPyConnection:
    """A database in memory that opens the given files and none else, and reads times without a zone as UTC."""
    import duckdb

    connection = duckdb.connect(
        ":memory:",
        config={
            "temp_directory": str(spill),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
        },
    )
    connection.execute("SET enable_progress_bar = false")
    connection.execute("SET TimeZone = 'UTC'")
    listed = ", ".join("'" + str(path.absolute()).replace("'", "''") + "'" for path in paths)
    connection.execute(f"SET allowed_paths = [{listed}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _load(connection: duckdb.DuckDBPyConnection, paths: Sequence[Path], reader: str, name: str) -> str:
    values: Mapping[str, Any] = {"paths": [str(path.absolute()) for path in paths]}
    described = connection.execute(f"DESCRIBE SELECT * FROM {reader}", values).fetchall()  # noqa: S608
    there = {row[0].lower(): row[0] for row in described}
    missing = [each for each in NEEDED if each.lower() not in there]
    cost = next((each for each in COSTS if each.lower() in there), None)
    if missing or not cost:
        absent = missing[0] if missing else " or ".join(COSTS)
        hint = did_you_mean(absent, (row[0] for row in described)) or _FOCUS
        raise UsageError(f"The cost data in {name} has no column {absent}.", hint=hint)
    quoted = {each: '"' + there[each.lower()].replace('"', '""') + '"' for each in (*NEEDED, cost)}
    optional = {each: there.get(each.lower()) for each in _OPTIONAL}
    quoted |= {each: f'"{found}"' if found else "NULL" for each, found in optional.items()}
    usage = f"WHERE CAST({quoted[cost]} AS DECIMAL(38,12)) > 0"
    if optional["ChargeCategory"]:
        usage = f"WHERE {quoted['ChargeCategory']} = 'Usage'"
    connection.execute(_LINES.format(**quoted, cost=quoted[cost], usage=usage, source=reader), values)
    [(count,)] = connection.execute(_WRONG).fetchall()
    if count:
        message = f"The cost data in {name} has lines without an account, a charge period or a cost."
        raise UsageError(message, hint="Export it again: a line that cannot be read is not a zero.")
    return cost


def _windows(question: Question) -> tuple[_Window, _Window]:
    """The days before the one in which it may have changed, and those after the one in which it had."""
    before, after = _number(_day(question.before_until)), _number(_day(question.after_from)) + 1
    return _Window(before - WINDOW.days, before), _Window(after, after + WINDOW.days)


def _region(resource: Resource) -> str:
    """The region of its lines; empty where its ARN has none, as a bucket's."""
    parts = resource.arn.split(":")
    return parts[3] if len(parts) > 5 else resource.region


def _day(moment: dt.datetime) -> dt.date:
    return moment.astimezone(dt.UTC).date()


def _number(day: dt.date) -> int:
    return (day - dt.date(1970, 1, 1)).days


def _date(number: int) -> dt.date:
    return dt.date(1970, 1, 1) + dt.timedelta(days=number)


def _following(month: dt.date) -> dt.date:
    return (month + dt.timedelta(days=31)).replace(day=1)
