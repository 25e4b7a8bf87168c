"""The tables of a bundle as Parquet: one part per target, written by the worker that judged it.

Rows go as newline-delimited JSON into a scratch file beside the part, as they come, and from there through DuckDB,
which casts them to the columns of :mod:`~finops_policy.evidence.tables` and compresses them. Neither step holds more
than a row group in memory (some 200 MiB, however many rows there are); a million evaluations take about 1 GB of disk
meanwhile. DuckDB is imported late (0.2 s), may open nothing outside the folder it works in, and neither loads
extensions nor reaches the network.

Other Python programs that read ``evaluated_at`` with DuckDB need ``pytz``, or ``epoch_us(evaluated_at)``.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from finops_policy.errors import EvidenceError
from finops_policy.evidence.tables import (
    ACTIONS,
    COVERAGE,
    EVALUATIONS,
    Table,
    action_line,
    coverage_line,
    evaluation_line,
    to_action,
    to_coverage,
    to_evaluation,
)
from finops_policy.files import TEMPORARY_PREFIX, TEMPORARY_SUFFIX, failure, publish
from finops_policy.model import Coverage, Evaluation

if TYPE_CHECKING:
    import duckdb

Row = TypeVar("Row")

_ROW_GROUP = 20_480
"""Rows: a multiple of DuckDB's vectors of 2,048. Its own default of 122,880 takes 2.5 times the memory."""
_BATCH = 1000
_LINE_BYTES = 16 * 2**20
_VERIFY = "Run `finops-policy verify` on the bundle: it names the files that are not as they were sealed."


class EvaluationWriter:
    """One target's evaluations on their way to ``path``, which is written whole or not at all.

    A context manager: rows go to a scratch file as they come, and leaving without an exception publishes the part; no
    row makes a part too. An exception of any kind leaves what was at ``path`` before, and nothing else. Entering,
    adding and leaving raise :class:`EvidenceError` when the file cannot be written, or an amount does not fit
    DECIMAL(18,4).
    """

    def __init__(self, path: Path, run_id: str, customer: str) -> None:
        self._part = _Part(path, EVALUATIONS)
        self._run_id = run_id
        self._customer = customer

    def __enter__(self) -> Self:
        self._part.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        self._part.__exit__(kind, error, frames)

    def add(self, evaluation: Evaluation) -> None:
        self._part.add(evaluation_line(self._run_id, self._customer, evaluation))


def write_evaluations(path: Path, run_id: str, customer: str, evaluations: Iterable[Evaluation]) -> None:
    """Write one target's evaluations to ``path`` at once, as :class:`EvaluationWriter` does."""
    with EvaluationWriter(path, run_id, customer) as writer:
        for each in evaluations:
            writer.add(each)


def write_coverage(path: Path, run_id: str, cells: Iterable[Coverage]) -> None:
    """Write one target's coverage cells to ``path``, whole or not at all. Raises :class:`EvidenceError`."""
    with _Part(path, COVERAGE) as part:
        for each in cells:
            part.add(coverage_line(run_id, each))


def write_actions(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write what was done in one target, rows by column, to ``path``, whole or not at all. Raises
    :class:`EvidenceError`."""
    with _Part(path, ACTIONS) as part:
        for each in rows:
            part.add(action_line(each))


def read_actions(folder: Path) -> list[dict[str, Any]]:
    """What was done, from the bundle at ``folder``; raises as :func:`read_evaluations` does."""
    return list(_read(_parts(folder, ACTIONS), ACTIONS, to_action))


def read_evaluations(folder: Path) -> Iterator[Evaluation]:
    """The evaluations of the bundle at ``folder``, part by part in the order they were written, never all in memory.

    Raises :class:`EvidenceError` when the bundle has no such table or a part cannot be read.
    """
    return _read(_parts(folder, EVALUATIONS), EVALUATIONS, to_evaluation)


def read_coverage(folder: Path) -> list[Coverage]:
    """The coverage cells of the bundle at ``folder``; raises as :func:`read_evaluations` does."""
    return list(_read(_parts(folder, COVERAGE), COVERAGE, to_coverage))


def read_coverage_part(path: Path) -> list[Coverage]:
    """The coverage cells of one target; raises as :func:`read_evaluations` does."""
    return list(_read([path], COVERAGE, to_coverage))


# --- DuckDB ---------------------------------------------------------------------------------------------------------


class _Part:
    """A part being written: lines of JSON in a scratch folder beside it, then Parquet under its name."""

    def __init__(self, path: Path, table: Table) -> None:
        self._path = path
        self._table = table
        self._longest = 0

    def __enter__(self) -> Self:
        place = self._path.parent.absolute()
        with self._told(), ExitStack() as opening:
            self._folder = tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX, suffix=TEMPORARY_SUFFIX, dir=place)
            self._scratch = Path(opening.enter_context(self._folder))
            self._lines = (self._scratch / "rows.ndjson").open("wb")
            opening.pop_all()
        return self

    def add(self, line: bytes) -> None:
        try:
            self._lines.write(line)
        except OSError as error:
            raise failure("write", self._path, error) from error
        self._longest = max(self._longest, len(line))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        with self._told(), self._folder:
            if kind is None:
                self._publish()
            else:
                with suppress(OSError):  # what it still wanted to write does not matter any more
                    self._lines.close()

    def _publish(self) -> None:
        self._lines.close()
        part = self._scratch / "part.parquet"
        try:
            writer = _writer(self._path.parent.parent.absolute())
            writer.execute(_copy(self._table, Path(self._lines.name), part, self._longest))
        except BaseException:
            _writer.cache_clear()  # an interrupted database may be in any state
            raise
        publish(part, self._path)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What the operating system or DuckDB refuses, in words that name the part."""
        import duckdb

        try:
            yield
        except OSError as error:
            raise failure("write", self._path, error) from error
        except RuntimeError as error:
            if str(error) == "Query interrupted":  # DuckDB's word for Ctrl-C
                raise KeyboardInterrupt from error
            raise
        except duckdb.Error as error:
            hint = "Check the free space of that disk; if there is enough, please report this."
            raise EvidenceError(f"Cannot write {self._path}: {_first_line(error)}", hint=hint) from error


@lru_cache(maxsize=1)
def _writer(bundle: Path) -> duckdb.DuckDBPyConnection:
    """One database for all parts that a process writes into a bundle: opening one costs more than a small part. What it
    might spill lies beside the parts, where sealing removes what a killed worker left."""
    return connect(bundle, bundle / f"{TEMPORARY_PREFIX}duckdb-{os.getpid()}{TEMPORARY_SUFFIX}")


def _copy(table: Table, source: Path, part: Path, longest: int) -> str:
    """JSON columns are read as text and cast, which keeps their bytes; read as JSON they would be spelled anew.

    Without ``hive_partitioning = false``, here and in reading, a folder named ``region=x`` overwrites the column.
    """
    kinds = {name: "VARCHAR" if kind == "JSON" else kind for name, kind in table.columns.items()}
    columns = ", ".join(f'"{name}": {_quote(kind)}' for name, kind in kinds.items())
    selected = ", ".join(f'CAST("{name}" AS {kind}) AS "{name}"' for name, kind in table.columns.items())
    rows = (
        f"read_json({_quote(source)}, format = 'newline_delimited', columns = {{{columns}}}, "
        f"hive_partitioning = false, maximum_object_size = {max(longest, _LINE_BYTES)})"
    )
    options = (
        f"FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {_ROW_GROUP}, KV_METADATA {{schema: {_quote(table.schema)}}}"
    )
    return f"COPY (SELECT {selected} FROM {rows}) TO {_quote(part)} ({options})"  # noqa: S608


def _parts(folder: Path, table: Table) -> list[Path]:
    place = folder.absolute() / table.name
    try:
        return sorted(path for path in place.iterdir() if path.suffix == ".parquet")
    except OSError as error:
        raise failure("read", place, error) from error


def _read(parts: Sequence[Path], table: Table, convert: Callable[[Mapping[str, Any]], Row]) -> Iterator[Row]:
    import duckdb

    selected = ", ".join(_selected(name, kind) for name, kind in table.columns.items())
    if not parts:
        return
    part = parts[0]
    try:
        with connect(part.parent.absolute()) as connection:
            for part in parts:
                source = f"read_parquet({_quote(part.absolute())}, hive_partitioning = false)"
                cursor = connection.execute(f"SELECT {selected} FROM {source}")  # noqa: S608
                while batch := cursor.fetchmany(_BATCH):
                    for values in batch:
                        yield convert(dict(zip(table.columns, values, strict=True)))
    except OSError as error:
        raise failure("read", part, error) from error
    except (duckdb.Error, ValueError, TypeError) as error:
        raise EvidenceError(f"Cannot read {part}: {_first_line(error)}", hint=_VERIFY) from error


def ask(folder: Path, table: Table, query: str, *, at_once: int = 1000) -> Iterator[tuple[Any, ...]]:
    """What ``query`` answers on a table of the bundle at ``folder``, asked of so many parts ``at_once``, since an open
    part costs memory; the answers, one after the other, are never all in memory. In the query ``parts`` is the table,
    with two more columns that give the order of writing: ``file_index`` and ``file_row_number``.

    Raises :class:`EvidenceError` when the bundle has no such table or it cannot be read.
    """
    import duckdb

    parts = [str(part) for part in _parts(folder, table)]
    place = folder.absolute() / table.name
    source = "SELECT *, file_index FROM read_parquet($parts, hive_partitioning = false, file_row_number = true)"
    try:
        with connect(place) as connection:
            for start in range(0, len(parts), at_once):
                cursor = connection.execute(
                    f"WITH parts AS NOT MATERIALIZED ({source}) {query}",
                    {"parts": parts[start : start + at_once]},
                )
                while batch := cursor.fetchmany(_BATCH):
                    yield from batch
    except OSError as error:
        raise failure("read", place, error) from error
    except RuntimeError as error:
        if str(error) == "Query interrupted":
            raise KeyboardInterrupt from error
        raise
    except duckdb.Error as error:
        raise EvidenceError(f"Cannot read {place}: {_first_line(error)}", hint=_VERIFY) from error


def _selected(name: str, kind: str) -> str:
    match kind:
        case "JSON":
            return f'CAST("{name}" AS VARCHAR)'
        case "TIMESTAMP WITH TIME ZONE":
            return f'epoch_us("{name}")'
        case _:
            return f'"{name}"'


def connect(folder: Path, spill: Path | None = None) -> duckdb.DuckDBPyConnection:
    """A database in memory with one thread (workers share the machine) that opens files in ``folder`` and none else."""
    import duckdb

    connection = duckdb.connect(
        ":memory:",
        config={
            "threads": 1,
            "temp_directory": str(spill or folder),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
        },
    )
    connection.execute("SET enable_progress_bar = false")  # it is drawn on standard output, terminal or not
    connection.execute(f"SET allowed_directories = [{_quote(folder)}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _quote(value: str | Path) -> str:
    """A SQL string. DuckDB takes a path that exists literally before it takes it as a glob."""
    return "'" + str(value).replace("'", "''") + "'"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
