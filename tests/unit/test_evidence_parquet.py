"""The two tables: what goes in comes out, in files that say what their schemas say."""

from __future__ import annotations

import datetime as dt
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from finops_policy.errors import EvidenceError
from finops_policy.evidence import parquet, tables
from finops_policy.evidence.canonical import clean, encode
from finops_policy.evidence.parquet import (
    read_coverage,
    read_evaluations,
    write_coverage,
    write_evaluations,
)
from finops_policy.library import library_root
from finops_policy.model import Coverage, Evaluation, Fact, FailureKind, Severity, Status, Verdict
from finops_policy.money import Money
from tests.unit.evidence_kit import NOW, TARGETS, cells, evaluation, largest_file

RUN = "20261124T080000Z-3f2a9c1b"
HOSTILE = '\x00\x1b[31m<script>alert(1)</script>\u202e=HYPERLINK("x")\'; DROP TABLE x; --{{7*7}}\n\r\u2028é😀'


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    (tmp_path / "evaluations").mkdir()
    (tmp_path / "coverage").mkdir()
    return tmp_path


def written(bundle: Path, *evaluations: Evaluation) -> Path:
    path = bundle / "evaluations" / "111122223333_us-east-1.parquet"
    write_evaluations(path, RUN, "acme", evaluations)
    return path


def in_temporary(write: Callable[[Path], None]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "evaluations").mkdir()
        (folder / "coverage").mkdir()
        write(folder)


# --- Round trips ----------------------------------------------------------------------------------------------------

TEXT = st.text(max_size=30) | st.just(HOSTILE)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)
AMOUNT = st.none() | st.decimals(-(10**13), 10**13, places=4)
MONEY = st.none() | st.builds(Money, TEXT, TEXT, AMOUNT, AMOUNT, TEXT, st.none() | st.dates(), st.booleans(), TEXT)
# In UTC, as the model has it: Python calls a local hour that the clock shows twice unequal to any other.
MOMENT = st.datetimes(dt.datetime(1, 1, 3), dt.datetime(9999, 12, 29), timezones=st.just(dt.UTC))  # noqa: DTZ001
EVALUATION = st.builds(
    Evaluation,
    account_id=TEXT,
    region=TEXT,
    pack=TEXT,
    pack_version=TEXT,
    policy=TEXT,
    resource_type=TEXT,
    resource_id=TEXT,
    arn=TEXT,
    verdict=st.sampled_from(Verdict),
    reason=TEXT,
    facts=st.lists(st.builds(Fact, TEXT, TEXT, JSON, TEXT, JSON, st.booleans()), max_size=3).map(tuple),
    tags=st.dictionaries(TEXT, TEXT, max_size=4),
    severity=st.sampled_from(Severity),
    waiver_id=TEXT,
    money=MONEY,
    evaluated_at=MOMENT,
)
COUNT = st.integers(0, 2**63 - 1)
CELL = st.builds(
    Coverage,
    TEXT,
    TEXT,
    TEXT,
    st.sampled_from(Status),
    st.none() | st.sampled_from(FailureKind),
    TEXT,
    TEXT,
    *[COUNT] * 7,
)
FEW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@FEW
@given(st.lists(EVALUATION, max_size=4))
def test_evaluations_come_back_as_they_went_in(evaluations: list[Evaluation]) -> None:
    def check(folder: Path) -> None:
        written(folder, *evaluations)
        assert list(read_evaluations(folder)) == evaluations

    in_temporary(check)


@FEW
@given(st.lists(CELL, max_size=4))
def test_coverage_comes_back_as_it_went_in(coverage: list[Coverage]) -> None:
    def check(folder: Path) -> None:
        write_coverage(folder / "coverage" / "x.parquet", RUN, coverage)
        assert read_coverage(folder) == coverage

    in_temporary(check)


ODD = st.sampled_from(
    [10**30, -(2**63), 2**63 - 1, 10**5000, float("nan"), float("-inf"), -0.0, "\ud800", b"\x00", Decimal("1.10"), NOW]
)
VALUE = JSON | ODD | st.tuples(JSON, ODD) | st.dictionaries(st.integers() | st.booleans(), ODD, max_size=2)


@given(st.lists(st.builds(Fact, TEXT, TEXT | ODD, VALUE, TEXT, VALUE, st.booleans()), max_size=3))
def test_facts_are_spelled_canonically(facts: list[Fact]) -> None:
    assert tables._facts_text(facts) == encode([asdict(fact) for fact in facts])


@given(MONEY.filter(bool))
def test_money_is_spelled_canonically(money: Money) -> None:
    columns = ("currency", "cost", "savings")
    others = {name: value for name, value in asdict(money).items() if name not in columns}
    assert tables._money_text(money) == encode(others)


def test_evaluations_of_several_policies_and_targets_are_not_mixed_up(bundle: Path) -> None:
    """Half of a line is shared with the line before."""
    shared = {"policy": "b", "severity": Severity.HIGH, "region": "eu-west-1", "account_id": "2", "pack": "p"}
    later = {"evaluated_at": NOW + dt.timedelta(seconds=1), "resource_type": "aws.rds", "pack_version": "2.0.0"}
    mixed = [evaluation(1, **{key: value}) for key, value in (shared | later).items()]
    mixed = [evaluation(1), *mixed, evaluation(2), *mixed]
    written(bundle, *mixed)
    assert list(read_evaluations(bundle)) == mixed


def test_what_evidence_cannot_hold_becomes_text(bundle: Path) -> None:
    fact = Fact("value", "\ud800", {"at": NOW, "n": Decimal("1.10"), "x": b"\x00"}, "eq", float("inf"), True)
    written(bundle, evaluation(reason="a\udfff", tags={"\ud800": "\udfff"}, facts=(fact,)))
    (back,) = read_evaluations(bundle)
    assert back.reason == clean("a\udfff") == "a\\udfff"
    assert back.tags == {"\\ud800": "\\udfff"}
    expected = {"at": "2026-11-24T08:00:00Z", "n": "1.10", "x": "AA=="}
    assert back.facts == (Fact("value", "\\ud800", expected, "eq", "inf", True),)


def test_money_is_rounded_to_four_decimals(bundle: Path) -> None:
    written(bundle, evaluation(money=Money("USD", cost=Decimal("1.00005"), savings=Decimal("2.000051"))))
    (back,) = read_evaluations(bundle)
    assert back.money == Money("USD", cost=Decimal("1.0000"), savings=Decimal("2.0001"))


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "1e14", "-1e14", "99999999999999.99995"])
def test_an_amount_that_is_none(bundle: Path, amount: str) -> None:
    with pytest.raises(EvidenceError, match=r"ec2-idle puts .* on arn:aws:ec2"):
        written(bundle, evaluation(money=Money("USD", cost=Decimal(amount))))
    assert list((bundle / "evaluations").iterdir()) == []


def test_a_time_without_a_zone_is_refused(bundle: Path) -> None:
    with pytest.raises(ValueError, match="time zone"):
        written(bundle, evaluation(evaluated_at=dt.datetime(2026, 11, 24)))  # noqa: DTZ001


def test_parts_are_read_in_order(bundle: Path) -> None:
    for name in ("b", "a"):
        write_evaluations(bundle / "evaluations" / f"{name}.parquet", RUN, "acme", [evaluation(1, reason=name)] * 1500)
    assert [each.reason for each in read_evaluations(bundle)] == ["a"] * 1500 + ["b"] * 1500


# --- Files ----------------------------------------------------------------------------------------------------------


def ask(query: str) -> list[tuple[Any, ...]]:
    """With DuckDB as anybody has it, without our settings."""
    with duckdb.connect() as connection:
        return connection.execute(query).fetchall()


def schema(kind: str) -> dict[str, Any]:
    text = library_root().joinpath("schemas", f"{kind}.schema.json").read_text("utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


@pytest.fixture(params=["rows", "no rows"])
def parts(bundle: Path, request: pytest.FixtureRequest) -> dict[str, Path]:
    some = request.param == "rows"
    paths = {kind: bundle / kind / "x.parquet" for kind in ("evaluations", "coverage")}
    plain = evaluation(2, money=None, facts=())
    unknown = evaluation(3, money=Money("USD", reason="no price for x1.32xlarge in eu-west-1"))
    write_evaluations(paths["evaluations"], RUN, "acme", [evaluation(), plain, unknown] if some else [])
    write_coverage(paths["coverage"], RUN, cells(TARGETS[0]) if some else [])
    return paths


@pytest.mark.parametrize("kind", ["evaluations", "coverage"])
def test_columns_are_those_of_the_schema(parts: dict[str, Path], kind: str) -> None:
    described = ask(f"DESCRIBE SELECT * FROM read_parquet('{parts[kind]}')")
    properties = schema(kind)["properties"]
    assert {row[0]: row[1] for row in described} == {name: each["x-sql-type"] for name, each in properties.items()}
    assert [row[0] for row in described] == schema(kind)["required"]


@pytest.mark.parametrize("kind", ["evaluations", "coverage"])
def test_rows_fit_the_schema(parts: dict[str, Path], kind: str) -> None:
    validator = Draft202012Validator(schema(kind), format_checker=Draft202012Validator.FORMAT_CHECKER)
    rows = ask(f"SELECT to_json(each) FROM read_parquet('{parts[kind]}') AS each")
    for (row,) in rows:
        validator.validate(json.loads(row))


@pytest.mark.parametrize("kind", ["evaluations", "coverage"])
def test_parts_say_their_version_and_are_compressed(parts: dict[str, Path], kind: str) -> None:
    metadata = ask(f"SELECT value FROM parquet_kv_metadata('{parts[kind]}') WHERE key = 'schema'")
    assert metadata == [(schema(kind)["$comment"].encode(),)]
    codecs = ask(f"SELECT DISTINCT compression FROM parquet_metadata('{parts[kind]}')")
    assert codecs in ([("ZSTD",)], [])


def test_an_unknown_amount_is_null_and_says_why(bundle: Path) -> None:
    path = written(bundle, evaluation(money=Money("USD", reason="no price")), evaluation(money=None))
    query = f"SELECT monthly_cost, currency, money->>'reason' FROM read_parquet('{path}')"
    assert ask(query) == [(None, "USD", "no price"), (None, None, None)]


def test_ten_thousand_rows_take_a_moment(bundle: Path) -> None:
    many = [evaluation(number) for number in range(10_000)]
    started = time.process_time()
    written(bundle, *many)
    assert time.process_time() - started < 5  # about 0.3 s without tracing; row by row it takes minutes


def test_a_very_long_value(bundle: Path) -> None:
    fact = Fact("value", "UserData", "x" * 35_000_000, "present", None, True)
    written(bundle, evaluation(facts=(fact,)))
    assert [each.facts for each in read_evaluations(bundle)] == [(fact,)]


def test_a_folder_whose_name_is_a_pattern(tmp_path: Path) -> None:
    folder = tmp_path / "[a]*?'\"\\{x}%20 ü"
    for name in ("evaluations", "coverage"):
        (folder / name).mkdir(parents=True)
        shutil.copytree(folder, tmp_path / "a", dirs_exist_ok=True)
    written(folder, evaluation(1))
    written(tmp_path / "a", evaluation(2))
    assert list(read_evaluations(folder)) == [evaluation(1)]


def test_a_folder_whose_name_is_a_column(tmp_path: Path) -> None:
    """The layout is Hive's, but what a row says of itself counts, not where it lies."""
    folder = tmp_path / "region=elsewhere" / "policy=other"
    (folder / "evaluations").mkdir(parents=True)
    written(folder, evaluation())
    assert list(read_evaluations(folder)) == [evaluation()]


def test_a_relative_path_from_a_folder_of_ones_own(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(bundle)
    written(Path(), evaluation())
    assert list(read_evaluations(Path())) == [evaluation()]
    assert sorted(path.name for path in bundle.iterdir()) == ["coverage", "evaluations"]


# --- What goes wrong ------------------------------------------------------------------------------------------------


def test_a_full_disk_leaves_the_old_part_and_no_litter(bundle: Path) -> None:
    path = written(bundle, evaluation())
    before = path.read_bytes()
    with largest_file(2000), pytest.raises(EvidenceError, match="File too large") as caught:
        written(bundle, *(evaluation(number) for number in range(1000)))
    assert str(path) in caught.value.message
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_disk_that_breaks(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(EvidenceError, match=r"Cannot write .*\.parquet: Input/output error"):
        written(bundle, evaluation())
    assert list((bundle / "evaluations").iterdir()) == []


class Killed(BaseException):
    """Neither an error nor Ctrl-C."""


def breaking_off(interruption: type[BaseException]) -> Iterator[Evaluation]:
    yield evaluation(2)
    raise interruption


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit, Killed, ValueError])
def test_an_interruption_leaves_the_old_part_and_no_litter(bundle: Path, interruption: type[BaseException]) -> None:
    path = written(bundle, evaluation())
    before = path.read_bytes()
    with pytest.raises(interruption):
        write_evaluations(path, RUN, "acme", breaking_off(interruption))
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_an_interruption_is_told_rather_than_the_full_disk_that_comes_with_it(bundle: Path) -> None:
    path = bundle / "evaluations" / "x.parquet"
    with largest_file(10), pytest.raises(KeyboardInterrupt):
        write_evaluations(path, RUN, "acme", breaking_off(KeyboardInterrupt))
    assert list(path.parent.iterdir()) == []


def test_ctrl_c_while_duckdb_works(bundle: Path) -> None:
    """DuckDB makes a RuntimeError of it."""
    folder = bundle / "evaluations"

    def interrupt() -> None:
        while not list(folder.glob(".*.tmp/part.parquet*")):
            pass
        os.kill(os.getpid(), signal.SIGINT)

    def rows() -> Iterator[Evaluation]:
        yield from (evaluation(number) for number in range(60_000))
        threading.Thread(target=interrupt, daemon=True).start()

    with pytest.raises(KeyboardInterrupt):
        write_evaluations(folder / "x.parquet", RUN, "acme", rows())
    assert list(folder.iterdir()) == []


def test_a_writer_does_not_gather_its_rows_in_memory(bundle: Path) -> None:
    """The peak of a process of its own, in MB: about 250, or over 400 with DuckDB's own row groups."""
    child = (
        "import sys; from pathlib import Path; from tests.unit.evidence_kit import evaluation\n"
        "from finops_policy.evidence.parquet import write_evaluations\n"
        "rows = (evaluation(number, reason='x' * 500 + str(number)) for number in range(130_000))\n"
        "write_evaluations(Path(sys.argv[1]), 'r', 'acme', rows)\n"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))\n"
    )
    command = [sys.executable, "-c", child, str(bundle / "evaluations" / "x.parquet")]
    assert int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) / 1000 < 350


def test_a_number_that_no_column_holds(bundle: Path) -> None:
    with pytest.raises(EvidenceError, match=r"Cannot write .*x\.parquet"):
        write_coverage(
            bundle / "coverage" / "x.parquet", RUN, [Coverage("1", "x", "p", Status.EVALUATED, population=2**63)]
        )
    assert list((bundle / "coverage").iterdir()) == []


@pytest.mark.parametrize("spoil", ["SELECT 1 AS run_id", "SELECT * REPLACE ('fine' AS verdict) FROM part", "torn"])
def test_a_part_that_is_not_ours(bundle: Path, spoil: str) -> None:
    path = written(bundle, evaluation())
    if spoil == "torn":
        path.write_bytes(path.read_bytes()[:-10])
    else:
        with duckdb.connect() as connection:
            connection.execute(f"CREATE TABLE part AS FROM read_parquet('{path}')")
            connection.execute(f"COPY ({spoil}) TO '{path}' (FORMAT parquet)")
    with pytest.raises(EvidenceError, match=f"Cannot read {path}") as caught:
        list(read_evaluations(bundle))
    assert "verify" in caught.value.hint


def test_a_folder_that_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match="evaluations: No such file"):
        list(read_evaluations(tmp_path))
    with pytest.raises(EvidenceError, match="coverage: No such file"):
        read_coverage(tmp_path)


def test_duckdb_keeps_its_temporary_files_in_its_folder(tmp_path: Path) -> None:
    with parquet.connect(tmp_path) as connection:
        assert connection.execute("SELECT current_setting('temp_directory')").fetchall() == [(str(tmp_path),)]


def test_duckdb_draws_nothing_on_standard_output(tmp_path: Path) -> None:
    """In a process that looks interactive to it, it would draw a progress bar there, once a query takes two seconds."""
    child = (
        "import sys; from pathlib import Path; from finops_policy.evidence.parquet import connect\n"
        "with connect(Path(sys.argv[1])) as connection:\n"
        "    print(connection.execute(\"SELECT current_setting('enable_progress_bar')\").fetchone()[0])\n"
    )
    command = [sys.executable, "-c", child, str(tmp_path)]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "False\n"


@pytest.mark.parametrize(
    "statement",
    ["SELECT * FROM read_text('/etc/hostname')", "INSTALL httpfs", "LOAD httpfs", "SET enable_external_access = true"],
)
def test_duckdb_stays_in_its_folder(tmp_path: Path, statement: str) -> None:
    with parquet.connect(tmp_path) as connection, pytest.raises(duckdb.Error):
        connection.execute(statement)
