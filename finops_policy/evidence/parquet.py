"""The two tables of a bundle as Parquet: one part per target, written by the worker that judged it.

Rows go through newline-delimited JSON into DuckDB, which casts them to the columns below and compresses them: 10,000
evaluations take a fraction of a second. DuckDB is imported late (0.2 s), may open nothing outside the folder it works
in, and neither loads extensions nor reaches the network.

Values come back as they went in, save that money is rounded to the column's four decimals, lone surrogates in text
become backslash escapes, and facts hold what :mod:`~finops_policy.evidence.canonical` makes of them. Other Python
programs that read ``evaluated_at`` with DuckDB need ``pytz``, or ``epoch_us(evaluated_at)``.
"""

from __future__ import annotations

import datetime as dt
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from finops_policy.errors import EvidenceError
from finops_policy.evidence.canonical import clean, encode
from finops_policy.files import TEMPORARY_PREFIX, TEMPORARY_SUFFIX, failure, publish
from finops_policy.model import Coverage, Evaluation, Fact, FailureKind, Severity, Status, Verdict
from finops_policy.money import Money

if TYPE_CHECKING:
    import duckdb


Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Table:
    """A table's name, the version of its schema (kept in each part's metadata), and column -> SQL type, in order."""

    name: str
    schema: str
    columns: Mapping[str, str]


EVALUATIONS = Table(
    "evaluations",
    "finops-policy/evaluations/v1",
    {
        "run_id": "VARCHAR",
        "customer": "VARCHAR",
        "account_id": "VARCHAR",
        "region": "VARCHAR",
        "pack": "VARCHAR",
        "pack_version": "VARCHAR",
        "policy": "VARCHAR",
        "resource_type": "VARCHAR",
        "resource_id": "VARCHAR",
        "arn": "VARCHAR",
        "verdict": "VARCHAR",
        "reason": "VARCHAR",
        "facts": "JSON",
        "tags": "MAP(VARCHAR, VARCHAR)",
        "severity": "VARCHAR",
        "waiver_id": "VARCHAR",
        "monthly_cost": "DECIMAL(18,4)",
        "monthly_savings": "DECIMAL(18,4)",
        "currency": "VARCHAR",
        "money": "JSON",
        "evaluated_at": "TIMESTAMP WITH TIME ZONE",
    },
)
COVERAGE = Table(
    "coverage",
    "finops-policy/coverage/v1",
    {
        "run_id": "VARCHAR",
        "account_id": "VARCHAR",
        "region": "VARCHAR",
        "policy": "VARCHAR",
        "status": "VARCHAR",
        "failure_kind": "VARCHAR",
        "message": "VARCHAR",
        "next_step": "VARCHAR",
        "population": "BIGINT",
        "compliant": "BIGINT",
        "noncompliant": "BIGINT",
        "waived": "BIGINT",
        "unknown": "BIGINT",
        "api_calls": "BIGINT",
        "duration_ms": "BIGINT",
    },
)

_FACT = tuple(each.name for each in fields(Fact))
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_CENT_OF_A_CENT = Decimal("0.0001")
_LARGEST = Decimal(10) ** 14
_BATCH = 1000
_LINE_BYTES = 16 * 2**20
_VERIFY = "Run `finops-policy verify` on the bundle: it names the files that are not as they were sealed."


def write_evaluations(path: Path, run_id: str, customer: str, evaluations: Iterable[Evaluation]) -> int:
    """Write one target's evaluations to ``path``, whole or not at all; returns how many. No row makes a file too.

    Raises :class:`EvidenceError` when the file cannot be written, or an amount does not fit DECIMAL(18,4).
    """
    rows = (_evaluation_row(run_id, customer, evaluation) for evaluation in evaluations)
    return _write(path, EVALUATIONS, rows)


def write_coverage(path: Path, run_id: str, cells: Iterable[Coverage]) -> int:
    """Write one target's coverage cells to ``path``, whole or not at all; returns how many."""
    return _write(path, COVERAGE, (_coverage_row(run_id, cell) for cell in cells))


def read_evaluations(folder: Path) -> Iterator[Evaluation]:
    """The evaluations of the bundle at ``folder``, part by part in the order they were written, never all in memory.

    Raises :class:`EvidenceError` when the bundle has no such table or a part cannot be read.
    """
    return _read(folder, EVALUATIONS, _evaluation)


def read_coverage(folder: Path) -> list[Coverage]:
    """The coverage cells of the bundle at ``folder``; raises as :func:`read_evaluations` does."""
    return list(_read(folder, COVERAGE, _cell))


# --- Rows -----------------------------------------------------------------------------------------------------------


def _evaluation_row(run_id: str, customer: str, evaluation: Evaluation) -> dict[str, object]:
    money = evaluation.money
    return {
        "run_id": run_id,
        "customer": customer,
        "account_id": clean(evaluation.account_id),
        "region": clean(evaluation.region),
        "pack": clean(evaluation.pack),
        "pack_version": clean(evaluation.pack_version),
        "policy": clean(evaluation.policy),
        "resource_type": clean(evaluation.resource_type),
        "resource_id": clean(evaluation.resource_id),
        "arn": clean(evaluation.arn),
        "verdict": evaluation.verdict,
        "reason": clean(evaluation.reason),
        "facts": encode([{name: getattr(fact, name) for name in _FACT} for fact in evaluation.facts]),
        "tags": {clean(key): clean(value) for key, value in evaluation.tags.items()},
        "severity": evaluation.severity,
        "waiver_id": clean(evaluation.waiver_id),
        "monthly_cost": _amount(money.cost, evaluation) if money else None,
        "monthly_savings": _amount(money.savings, evaluation) if money else None,
        "currency": clean(money.currency) if money else None,
        "money": _money_text(money) if money else None,
        "evaluated_at": _utc(evaluation.evaluated_at),
    }


def _amount(amount: Decimal | None, evaluation: Evaluation) -> str | None:
    if amount is None:
        return None
    try:
        rounded = amount.quantize(_CENT_OF_A_CENT)
        fits = abs(rounded) < _LARGEST
    except InvalidOperation:
        fits = False
    if not fits:
        raise EvidenceError(
            f"{evaluation.policy} puts {amount} a month on {evaluation.arn or evaluation.resource_id}, "
            "which is no amount of money the evidence can hold",
            hint="Check the price of that resource in the price book.",
        )
    return str(rounded)


def _money_text(money: Money) -> str:
    as_of = money.as_of.isoformat() if money.as_of else None
    return encode(
        {
            "method": money.method,
            "source": money.source,
            "as_of": as_of,
            "verified": money.verified,
            "reason": money.reason,
        }
    )


def _utc(moment: dt.datetime) -> str:
    if moment.tzinfo is None:
        raise ValueError("evaluated_at must say its time zone")
    return moment.astimezone(dt.UTC).isoformat()


def _coverage_row(run_id: str, cell: Coverage) -> dict[str, object]:
    row: dict[str, object] = {"run_id": run_id}
    for each in fields(Coverage):
        value = getattr(cell, each.name)
        row[each.name] = clean(value) if isinstance(value, str) else value
    return row


def _evaluation(row: Mapping[str, Any]) -> Evaluation:
    money = None
    if row["money"] is not None:
        kept = json.loads(row["money"])
        kept["as_of"] = dt.date.fromisoformat(kept["as_of"]) if kept["as_of"] else None
        money = Money(currency=row["currency"], cost=row["monthly_cost"], savings=row["monthly_savings"], **kept)
    return Evaluation(
        account_id=row["account_id"],
        region=row["region"],
        pack=row["pack"],
        pack_version=row["pack_version"],
        policy=row["policy"],
        resource_type=row["resource_type"],
        resource_id=row["resource_id"],
        arn=row["arn"],
        verdict=Verdict(row["verdict"]),
        reason=row["reason"],
        facts=tuple(Fact(**fact) for fact in json.loads(row["facts"])),
        tags=row["tags"],
        severity=Severity(row["severity"]),
        waiver_id=row["waiver_id"],
        money=money,
        evaluated_at=_EPOCH + dt.timedelta(microseconds=row["evaluated_at"]),
    )


def _cell(row: Mapping[str, Any]) -> Coverage:
    values = {key: value for key, value in row.items() if key != "run_id"}
    values["status"] = Status(row["status"])
    values["failure_kind"] = FailureKind(row["failure_kind"]) if row["failure_kind"] is not None else None
    return Coverage(**values)


# --- DuckDB ---------------------------------------------------------------------------------------------------------


def _write(path: Path, table: Table, rows: Iterable[Mapping[str, object]]) -> int:
    import duckdb

    try:
        with tempfile.TemporaryDirectory(
            prefix=TEMPORARY_PREFIX, suffix=TEMPORARY_SUFFIX, dir=path.parent.absolute()
        ) as name:
            scratch = Path(name)
            source, part = scratch / "rows.ndjson", scratch / "part.parquet"
            count, longest = _write_lines(source, rows)
            with _connect(scratch) as connection:
                connection.execute(_copy(table, source, part, longest))
            publish(part, path)
    except OSError as error:
        raise failure("write", path, error) from error
    except duckdb.Error as error:
        message = f"Cannot write {path}: {_first_line(error)}"
        raise EvidenceError(
            message, hint="Check the free space of that disk; if there is enough, please report this."
        ) from error
    return count


def _write_lines(path: Path, rows: Iterable[Mapping[str, object]]) -> tuple[int, int]:
    count = longest = 0
    with path.open("wb") as file:
        for row in rows:
            line = json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
            count, longest = count + 1, max(longest, len(line))
            file.write(line)
    return count, longest


def _copy(table: Table, source: Path, part: Path, longest: int) -> str:
    """JSON columns are read as text and cast, which keeps their bytes; read as JSON they would be spelled anew.

    Without ``hive_partitioning = false``, here and in reading, a folder named ``region=x`` overwrites the column.
    """
    kinds = {name: "VARCHAR" if kind == "JSON" else kind for name, kind in table.columns.items()}
    columns = ", ".join(f"{name}: {_quote(kind)}" for name, kind in kinds.items())
    selected = ", ".join(f"CAST({name} AS {kind}) AS {name}" for name, kind in table.columns.items())
    rows = (
        f"read_json({_quote(source)}, format = 'newline_delimited', columns = {{{columns}}}, "
        f"hive_partitioning = false, maximum_object_size = {max(longest, _LINE_BYTES)})"
    )
    options = f"FORMAT parquet, COMPRESSION zstd, KV_METADATA {{schema: {_quote(table.schema)}}}"
    return f"COPY (SELECT {selected} FROM {rows}) TO {_quote(part)} ({options})"  # noqa: S608


def _read(folder: Path, table: Table, convert: Callable[[Mapping[str, Any]], Row]) -> Iterator[Row]:
    import duckdb

    place = folder.absolute() / table.name
    part = place
    selected = ", ".join(_selected(name, kind) for name, kind in table.columns.items())
    try:
        parts = sorted(path for path in place.iterdir() if path.suffix == ".parquet")
        with _connect(place) as connection:
            for part in parts:
                source = f"read_parquet({_quote(part)}, hive_partitioning = false)"
                cursor = connection.execute(f"SELECT {selected} FROM {source}")  # noqa: S608
                while batch := cursor.fetchmany(_BATCH):
                    for values in batch:
                        yield convert(dict(zip(table.columns, values, strict=True)))
    except OSError as error:
        raise failure("read", place, error) from error
    except (duckdb.Error, ValueError, TypeError) as error:
        raise EvidenceError(f"Cannot read {part}: {_first_line(error)}", hint=_VERIFY) from error


def _selected(name: str, kind: str) -> str:
    match kind:
        case "JSON":
            return f"CAST({name} AS VARCHAR)"
        case "TIMESTAMP WITH TIME ZONE":
            return f"epoch_us({name})"
        case _:
            return name


def _connect(folder: Path) -> duckdb.DuckDBPyConnection:
    """A database in memory with one thread (workers share the machine) that opens files in ``folder`` and none else."""
    import duckdb

    connection = duckdb.connect(
        ":memory:",
        config={
            "threads": 1,
            "temp_directory": str(folder),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
        },
    )
    connection.execute(f"SET allowed_directories = [{_quote(folder)}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _quote(value: str | Path) -> str:
    """A SQL string. DuckDB takes a path that exists literally before it takes it as a glob."""
    return "'" + str(value).replace("'", "''") + "'"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
