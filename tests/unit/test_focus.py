"""FOCUS cost data: what the bill shows before and after a change, and nothing where it does not reach."""

from __future__ import annotations

import datetime as dt
import gzip
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from finops_policy.cost.focus import Question, open_costs
from finops_policy.errors import UsageError
from finops_policy.realised import Billed, Resource
from tests.unit.builders import DEV, PROD
from tests.unit.evidence_kit import NOW
from tests.unit.ledger_kit import COLUMNS, daily, focus

ARN = "arn:aws:ec2:us-east-1:111122223333:instance/i-1"
RESOURCE = Resource(PROD, "us-east-1", "aws.ec2", "i-1", ARN)
OTHERS = daily("i-other", -60, 60, "10")
CHANGE = Question(RESOURCE, NOW, NOW + dt.timedelta(days=1))
A_DAY = Decimal(730) / 24


def answer(path: Path, question: Question = CHANGE) -> Billed:
    with open_costs([path]) as data:
        [found] = data.answers([question])
    return found


def close(found: Decimal | None, wanted: Decimal) -> bool:
    return found is not None and abs(found - wanted) < Decimal("0.0001")


@pytest.mark.parametrize("name", ["i-1", ARN])
def test_before_minus_after_a_month(tmp_path: Path, name: str) -> None:
    found = answer(focus(tmp_path / "c.csv", daily(name, -60, 1, "4.8"), daily(name, 1, 60, "1.2"), OTHERS))
    assert close(found.before, A_DAY * Decimal("4.8"))
    assert close(found.after, A_DAY * Decimal("1.2"))
    assert (found.currency, found.source, found.reason) == ("USD", "EffectiveCost of c.csv", "")


def test_no_line_after_is_a_zero_where_the_account_has_others(tmp_path: Path) -> None:
    found = answer(focus(tmp_path / "c.csv", daily("i-1", -60, 0, "4.8"), OTHERS))
    assert found.after == 0
    assert close(found.before, A_DAY * Decimal("4.8"))


@pytest.mark.parametrize(
    ("groups", "reason"),
    [
        ((daily("i-1", -60, 0, "4.8"), daily("i-other", -60, 20, "1")), "no usage of 2026-12-14"),
        ((daily("i-1", -20, 0, "4.8"), daily("i-other", -20, 60, "1")), "no usage of 2026-10-25"),
        (
            (daily("i-1", -60, 0, "4.8"), daily("i-o", -60, 10, "1"), daily("i-o", 11, 60, "1")),
            "no usage of 2026-12-04",
        ),
        ((OTHERS,), "no usage of it is in the bill"),
        ((daily("i-1", -60, 60, "1", account=DEV),), "no usage of account 111122223333"),
        ((daily("i-1", -60, 0, "1"), daily("x", -60, 60, "1", currency="EUR")), "several currencies: EUR, USD"),
    ],
)
def test_what_the_data_does_not_reach_is_unknown(
    tmp_path: Path, groups: Sequence[Sequence[Sequence[str]]], reason: str
) -> None:
    found = answer(focus(tmp_path / "c.csv", *groups))
    assert (found.before, found.after) == (None, None)
    assert reason in found.reason


def test_a_monthly_line_makes_no_day_covered_that_has_no_usage(tmp_path: Path) -> None:
    fee = [["", PROD, "", "2026-11-01T00:00:00Z", "2027-03-01T00:00:00Z", "USD", "Purchase", "100", "100"]]
    path = focus(tmp_path / "c.csv", daily("i-1", -60, 0, "4.8"), daily("i-other", -60, 5, "1"), fee)
    assert "no usage of 2026-11-29" in answer(path).reason


def test_credits_and_refunds_are_no_savings(tmp_path: Path) -> None:
    lines = [daily("i-1", -60, 60, "4.8"), daily("i-1", 5, 20, "-4.8", kind="Credit"), OTHERS]
    found = answer(focus(tmp_path / "c.csv", *lines))
    assert found.before is not None
    assert close(found.after, found.before)
    without = [number for number, name in enumerate(COLUMNS) if name != "ChargeCategory"]
    plain = [[[row[number] for number in without] for row in group] for group in lines]
    found = answer(focus(tmp_path / "d.csv", *plain, columns=[COLUMNS[number] for number in without]))
    assert found.before is not None
    assert close(found.after, found.before)


def test_another_region_or_account_of_the_same_name_is_not_it(tmp_path: Path) -> None:
    elsewhere = [[*row[:2], "eu-west-1", *row[3:]] for row in daily("i-1", -60, 60, "7")]
    path = focus(tmp_path / "c.csv", daily("i-1", -60, 60, "1"), elsewhere, daily("i-1", -60, 60, "7", account=DEV))
    assert close(answer(path).before, A_DAY)


def test_a_bucket_is_matched_whatever_its_region(tmp_path: Path) -> None:
    bucket = Resource(PROD, "us-east-1", "aws.s3", "logs", "arn:aws:s3:::logs")
    lines = [[*row[:2], "eu-west-1", *row[3:]] for row in daily("logs", -60, 60, "2")]
    path = focus(tmp_path / "c.csv", lines)
    assert close(answer(path, CHANGE._replace(resource=bucket)).before, A_DAY * 2)


def test_a_longer_line_is_spread_over_its_period(tmp_path: Path) -> None:
    long = [["i-1", PROD, "us-east-1", "2026-10-01T00:00:00Z", "2026-11-24T00:00:00Z", "USD", "Usage", "540", "540"]]
    assert close(answer(focus(tmp_path / "c.csv", long, OTHERS)).before, A_DAY * 10)  # 54 days


def test_parquet_without_time_zones_is_utc_and_gzip_is_read(tmp_path: Path) -> None:
    plain = focus(tmp_path / "c.csv", daily("i-1", -60, 60, "4.8"))
    target = tmp_path / "c.parquet"
    duckdb.execute(
        f"COPY (SELECT * REPLACE (CAST(ChargePeriodStart AS TIMESTAMP) AS ChargePeriodStart, CAST(SubAccountId AS "
        f"VARCHAR) AS SubAccountId) FROM read_csv('{plain}')) TO '{target}'"
    )
    packed = tmp_path / "c.csv.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    amounts = {answer(path).before for path in (plain, target, packed)}
    assert len(amounts) == 1


def test_accounts_keep_their_leading_zeros(tmp_path: Path) -> None:
    small = RESOURCE._replace(account_id="000022223333")
    path = focus(tmp_path / "c.csv", daily("i-1", -60, 60, "1", account=small.account_id))
    assert close(answer(path, CHANGE._replace(resource=small)).before, A_DAY)


@pytest.mark.parametrize(
    ("columns", "row", "told"),
    [
        ([each for each in COLUMNS if each != "ResourceId"], None, "no column ResourceId"),
        ([each for each in COLUMNS if each not in ("EffectiveCost", "BilledCost")], None, "no column EffectiveCost or"),
        (COLUMNS, ["i", PROD, "r", "2026-10-01", "2026-10-02", "USD", "Usage", "", "1"], "lines without"),
        (COLUMNS, ["i", PROD, "r", "2026-10-01", "", "USD", "Usage", "1", "1"], "lines without"),
        (COLUMNS, ["i", PROD, "r", "2026-10-02", "2026-10-01", "USD", "Usage", "1", "1"], "lines without"),
        (COLUMNS, ["i", PROD, "r", "yesterday", "2026-10-01", "USD", "Usage", "1", "1"], "Cannot read"),
    ],
)
def test_what_is_no_focus_data_is_refused(
    tmp_path: Path, columns: Sequence[str], row: list[str] | None, told: str
) -> None:
    path = focus(tmp_path / "c.csv", [row] if row else [], columns=columns)
    with pytest.raises(UsageError, match=told) as error, open_costs([path]):
        pass
    assert error.value.hint


def test_files_of_two_kinds_and_of_none_are_refused(tmp_path: Path) -> None:
    paths = [focus(tmp_path / "c.csv"), focus(tmp_path / "c.parquet"), focus(tmp_path / "c.txt")]
    for some in (paths[:2], paths[2:], [tmp_path / "gone.csv"], paths[1:2]):
        with pytest.raises(UsageError), open_costs(some):
            pass


def test_billed_cost_serves_where_there_is_no_other(tmp_path: Path) -> None:
    columns = [each for each in COLUMNS if each != "EffectiveCost"]
    rows = [[*row[:7], row[8]] for row in daily("i-1", -60, 60, "1")]
    assert close(answer(focus(tmp_path / "c.csv", rows, columns=columns)).before, A_DAY * 999)


# --- the bill of a month ----------------------------------------------------------------------------------------------


def test_the_bill_is_a_whole_month_with_every_line_of_the_accounts(tmp_path: Path) -> None:
    path = focus(
        tmp_path / "c.csv",
        daily("i-1", -60, 60, "10"),
        daily("", -60, 60, "2", kind="Tax"),
        daily("i-1", -60, 60, "-1", kind="Credit"),
        daily("i-9", -60, 60, "1000", account=DEV),
    )
    with open_costs([path]) as data:
        bill = data.bill([PROD], NOW)
        assert (bill.amount, bill.month, bill.currency) == (31 * 11, dt.date(2026, 10, 1), "USD")
        assert data.bill([PROD, DEV], NOW).amount == 31 * 1011
        later = data.bill([PROD], NOW + dt.timedelta(days=50))
        assert (later.month, later.amount) == (dt.date(2026, 12, 1), 31 * 11)
        early = data.bill([PROD], NOW - dt.timedelta(days=300))
        assert early.month == dt.date(2026, 10, 1)


def test_a_bill_that_is_not_whole_is_unknown(tmp_path: Path) -> None:
    path = focus(tmp_path / "c.csv", daily("i-1", -10, 20, "10"))
    with open_costs([path]) as data:
        short, absent, none = data.bill([PROD]), data.bill([PROD, DEV]), data.bill([])
    assert (short.amount, absent.amount, none.amount) == (None, None, None)
    assert "no calendar month is covered whole" in short.reason
    assert (absent.reason, absent.accounts, absent.of_accounts) == (
        "the cost data has no usage of account 444455556666",
        1,
        2,
    )


def test_several_files_are_one_bill(tmp_path: Path) -> None:
    paths = [focus(tmp_path / "a.csv", daily("i-1", -60, 0, "1")), focus(tmp_path / "b.csv", daily("i-1", 0, 60, "2"))]
    with open_costs(paths) as data:
        [found] = data.answers([CHANGE])
    assert close(found.before, A_DAY)
    assert close(found.after, A_DAY * 2)
