"""What a report asks of a bundle: the same numbers and rows as going through every evaluation and cell in Python."""

from __future__ import annotations

import datetime as dt
import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finops_policy.assessment import tally_by_policy
from finops_policy.errors import EvidenceError
from finops_policy.evidence import parquet, queries
from finops_policy.evidence.canonical import clean, plain
from finops_policy.evidence.parquet import write_coverage, write_evaluations
from finops_policy.model import Coverage, Evaluation, Fact, FailureKind, Severity, Status, Verdict
from finops_policy.money import Money
from finops_policy.savings import Claim, add_up
from tests.unit.evidence_kit import evaluation

RUN = "20261124T080000Z-3f2a9c1b"
ACCOUNTS = ("111122223333", "444455556666")
REGIONS = ("eu-west-1", "us-east-1")
HOSTILE = "\x00\x1b[31m</script>\u202e\ud800'; DROP TABLE parts; --{{7*7}}\n\"\\é😀"
TEXT = st.text(max_size=5) | st.just(HOSTILE)
FEW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])

MONEY = st.none() | st.builds(
    Money,
    currency=st.just("USD"),
    method=st.sampled_from(["on_demand_hours", "volume_storage"]),
    savings=st.none() | st.integers(0, 30000).map(lambda cents: Decimal(cents).scaleb(-4)),
    source=st.sampled_from(["", "the list", "another"]),
    as_of=st.none() | st.sampled_from([dt.date(2024, 5, 1), dt.date(2025, 6, 1)]),
    verified=st.booleans(),
    reason=st.sampled_from(["", "no price", "attribute absent"]),
)
EVALUATION = st.builds(
    evaluation,
    account_id=st.sampled_from(ACCOUNTS),
    region=st.sampled_from(REGIONS),
    policy=st.sampled_from(["one", "two", "three"]),
    resource_type=st.sampled_from(["aws.ec2", "aws.ebs"]),
    resource_id=st.sampled_from(["a", "b"]) | TEXT,
    arn=st.sampled_from(["", "arn:a", "arn:b"]) | TEXT,
    verdict=st.sampled_from([Verdict.NONCOMPLIANT] * 3 + list(Verdict)),
    reason=TEXT,
    facts=st.lists(
        st.builds(Fact, TEXT, TEXT, TEXT | st.integers() | st.floats() | st.lists(TEXT), TEXT, TEXT, st.booleans()),
        max_size=2,
    ).map(tuple),
    tags=st.dictionaries(TEXT, TEXT, max_size=2),
    severity=st.sampled_from(Severity),
    waiver_id=st.sampled_from(["", "", "w-1", HOSTILE]),
    money=MONEY,
)
CELL = st.builds(
    Coverage,
    st.sampled_from(ACCOUNTS),
    st.sampled_from(REGIONS),
    st.sampled_from(["one", "two", "three"]),
    st.sampled_from(Status),
    st.none() | st.sampled_from([FailureKind.TIMEOUT, FailureKind.BUG]),
    st.sampled_from(["", HOSTILE]),
    st.sampled_from(["", "do this"]),
    *[st.integers(0, 2**40)] * 5,
)


def by_target(rows: Sequence[Any]) -> list[list[Any]]:
    """The rows of each target, in the order in which the parts of a bundle are read."""
    ordered = sorted(rows, key=lambda each: (each.account_id, each.region))
    return [list(some) for _, some in groupby(ordered, key=lambda each: (each.account_id, each.region))]


def written(folder: Path, evaluations: Sequence[Evaluation] = (), cells: Sequence[Coverage] = ()) -> Path:
    for kind in ("evaluations", "coverage"):
        (folder / kind).mkdir()
    for target in by_target(evaluations):
        name = f"{target[0].account_id}_{target[0].region}.parquet"
        write_evaluations(folder / "evaluations" / name, RUN, "acme", target)
    for target in by_target(cells):
        write_coverage(folder / "coverage" / f"{target[0].account_id}_{target[0].region}.parquet", RUN, target)
    return folder


def claim(each: Evaluation) -> Claim:
    money = each.money
    assert money is not None
    resource = (each.resource_type, clean(each.resource_id), clean(each.arn))
    about = (money.savings, money.reason, money.source, money.as_of, money.verified)
    return Claim(each.account_id, each.policy, *resource, *about)


def is_claim(each: Evaluation) -> bool:
    return each.verdict is Verdict.NONCOMPLIANT and each.money is not None


@FEW
@given(st.lists(EVALUATION, max_size=16))
def test_savings_are_those_of_the_evaluations(evaluations: list[Evaluation]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = add_up(queries.claims(written(Path(folder), evaluations)))
    assert found == add_up([list(map(claim, filter(is_claim, target))) for target in by_target(evaluations)])


@FEW
@given(st.lists(EVALUATION, max_size=16))
def test_findings_are_counted_and_come_in_their_order(evaluations: list[Evaluation]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = written(Path(name), evaluations)
        counted, rows = queries.count_findings(folder), list(queries.read_findings(folder))
    found = [each for target in by_target(evaluations) for each in target if each.verdict is not Verdict.COMPLIANT]
    assert counted.count == len(found) == len(rows)
    assert counted.severities == Counter(each.severity for each in found if each.verdict is Verdict.NONCOMPLIANT)
    assert counted.waivers == Counter(clean(each.waiver_id) for each in found if each.waiver_id)

    def order(each: Evaluation) -> tuple[int, Decimal, str, str]:
        saved = each.money.savings if each.money and each.money.savings is not None else Decimal()
        return (-each.severity.rank, -saved, clean(each.arn or each.resource_id), each.policy)

    for row, each in zip(rows, sorted(found, key=order), strict=True):
        for name in ("policy", "pack", "severity", "account_id", "region", "resource_type", "verdict"):
            assert getattr(row, name) == getattr(each, name)
        for name in ("resource_id", "arn", "reason", "waiver_id"):
            assert getattr(row, name) == clean(getattr(each, name))
        assert json.loads(row.tags) == {clean(key): clean(value) for key, value in each.tags.items()}
        facts = [(fact["filter"], fact["key"], fact["value"], fact["matched"]) for fact in json.loads(row.facts)]
        assert facts == [(clean(fact.filter), clean(fact.key), plain(fact.value), fact.matched) for fact in each.facts]
        savings = each.money.savings if each.money else None
        assert (Decimal(row.savings) if row.savings is not None else None) == savings
        assert (row.money is None) == (each.money is None)
        if each.money and row.money:
            known = queries.origin(row.money)
            assert (known.method, known.source, known.as_of) == (
                each.money.method,
                each.money.source,
                each.money.as_of,
            )
            assert (known.verified, known.reason) == (each.money.verified, each.money.reason)


@FEW
@given(st.lists(CELL, max_size=12, unique_by=lambda each: (each.account_id, each.region, each.policy)))
def test_cells_are_those_of_the_coverage(cells: list[Coverage]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = queries.count_cells(written(Path(folder), cells=cells))
    ordered = [cell for target in by_target(cells) for cell in target]
    assert found.tallies == tally_by_policy(ordered)
    assert found.statuses == Counter(cell.status for cell in cells)
    gaps: dict[tuple[str, ...], list[str]] = {}
    for cell in ordered:
        if cell.status in (Status.FAILED, Status.SKIPPED):
            kind = cell.failure_kind or cell.status
            key = (cell.account_id, cell.region, str(kind), clean(cell.message), cell.next_step)
            gaps.setdefault(key, []).append(cell.policy)
    told = [((gap.account_id, gap.region, gap.kind, gap.message, gap.next_step), gap.policies) for gap in found.gaps]
    assert dict(told) == gaps
    assert len(told) == len(gaps)
    assert [(key[0], key[1]) for key, _ in told] == [(key[0], key[1]) for key in gaps]


def test_more_parts_than_are_asked_at_once(tmp_path: Path) -> None:
    """Sums go on from one slice of parts to the next, the order of findings is of them all, and what has one name in
    two accounts is two."""
    folder = written(tmp_path)
    severities = list(Severity)
    for number in range(7):
        account = f"{number:012d}"
        made = evaluation(account_id=account, severity=severities[number % 5])
        write_evaluations(folder / "evaluations" / f"{account}_us-east-1.parquet", RUN, "acme", [made])
        cell = Coverage(account, "us-east-1", "one", Status.EVALUATED, population=number)
        write_coverage(folder / "coverage" / f"{account}_us-east-1.parquet", RUN, [cell])
    asked = parquet.ask.__kwdefaults__
    assert asked is not None
    before, asked["at_once"] = asked["at_once"], 1
    try:
        assert queries.count_findings(folder).count == 7
        assert add_up(queries.claims(folder)).total.counted == 7
        assert queries.count_cells(folder).tallies["one"].population == 21
        assert queries.count_cells(folder).statuses == {Status.EVALUATED: 7}
        found = list(queries.read_findings(folder))
    finally:
        asked["at_once"] = before
    assert found == sorted(found, key=lambda each: -Severity(each.severity).rank)
    assert sorted(each.account_id for each in found) == [f"{number:012d}" for number in range(7)]


def test_facts_keep_their_spelling(tmp_path: Path) -> None:
    """Spelled anew, an integer past 64 bits would become another number."""
    value = [10**30, 1e16, 1.0, {"b": "é", "a": 0.1}]
    folder = written(tmp_path, [evaluation(facts=(Fact("value", "k", value, "eq", 2**64, True),))])
    (row,) = queries.read_findings(folder)
    (fact,) = json.loads(row.facts)
    assert (fact["value"], fact["expected"]) == (value, 2**64)
    assert "1000000000000000000000000000000,1e+16,1.0" in row.facts


@pytest.mark.parametrize(
    "spoil",
    ["SELECT 1 AS run_id", "SELECT * REPLACE ('{' AS facts) FROM part", "torn"],
)
def test_a_bundle_that_is_not_ours(spoil: str, tmp_path: Path) -> None:
    folder = written(tmp_path, [evaluation(), evaluation(2, region="eu-west-1")])
    path = min((folder / "evaluations").iterdir())
    if spoil == "torn":
        path.write_bytes(path.read_bytes()[:-10])
    else:
        with duckdb.connect() as connection:
            connection.execute(f"CREATE TABLE part AS FROM read_parquet('{path}')")
            connection.execute(f"COPY ({spoil}) TO '{path}' (FORMAT parquet)")
    with pytest.raises(EvidenceError, match=r"Cannot read .*evaluations") as caught:
        list(queries.read_findings(folder))
    assert "verify" in caught.value.hint
    with pytest.raises(EvidenceError, match="evaluations: No such file"):
        queries.count_findings(tmp_path / "nowhere")


def test_an_empty_table_has_nothing_in_it(tmp_path: Path) -> None:
    folder = written(tmp_path)
    assert queries.count_findings(folder) == queries.Found(0, Counter(), Counter())
    assert queries.count_cells(folder) == queries.Cells({}, Counter(), [])
    assert list(queries.claims(folder)) == list(queries.read_findings(folder)) == []


def test_a_run_of_only_compliant_resources_has_no_findings(tmp_path: Path) -> None:
    fine = [replace(evaluation(number), verdict=Verdict.COMPLIANT, waiver_id="w") for number in range(3)]
    folder = written(tmp_path, fine)
    assert queries.count_findings(folder) == queries.Found(0, Counter(), Counter())
    assert list(queries.claims(folder)) == list(queries.read_findings(folder)) == []
