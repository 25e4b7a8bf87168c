"""``remediation`` of a customer.yaml: what it becomes, and what is refused, with its place."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path

import pytest

from finops_policy.catalog import Catalog
from finops_policy.customer import Batches, Caps, Customer, Freeze, Remediation
from finops_policy.errors import InvalidFilesError

HEAD = """\
apiVersion: finops-policy/v1
kind: Customer
name: acme
title: Acme
regions: [us-east-1]
role: {name: reader, external_id: acme-7f3c}
accounts:
  - {id: "111122223333", name: prod}
"""


def read(tmp_path: Path, text: str) -> Customer:
    home = tmp_path / "customers" / "acme"
    home.mkdir(parents=True)
    (home / "customer.yaml").write_text(HEAD + text)
    return Catalog(tmp_path).customer("acme")


def problems(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(InvalidFilesError) as raised:
        read(tmp_path, text)
    return [f"{each.mark} {each.message} {each.hint}" for each in raised.value.diagnostics]


def test_without_a_word_nothing_is_frozen_and_one_goes_first(tmp_path: Path) -> None:
    found = read(tmp_path, "").remediation
    assert found == Remediation()
    assert found.batches == Batches(canary=1, size=10, wait_seconds=60, max_error_percent=Decimal(10))


def test_everything_that_can_be_said(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        """\
remediation:
  role:
    name: finops/writer
    external_id: acme-9
    via: ["arn:aws:iam::123456789012:role/hub"]
  max: {count: 5, percent: 2.5, monthly_amount: "1000.50"}
  total: {count: 20, monthly_amount: "5000"}
  batches: {canary: 2, size: 5, wait_seconds: 0, max_error_percent: 0.1}
  freeze:
    - {name: year end, timezone: America/New_York, from: 2026-12-15, until: 2027-01-03}
    - {name: nights, weekdays: [fri, mon], hours: "22:00-06:30"}
    - {name: close, days_of_month: [1, -1, -2], hours: "00:00-24:00"}
""",
    ).remediation
    assert found.role
    assert (found.role.name, found.role.external_id) == ("finops/writer", "acme-9")
    assert found.role.via == ("arn:aws:iam::123456789012:role/hub",)
    assert found.max == Caps(5, Decimal("2.5"), Decimal("1000.50"))
    assert found.total == Caps(20, None, Decimal(5000))
    assert found.batches == Batches(2, 5, 0, Decimal("0.1"))
    assert found.freeze == (
        Freeze("year end", "America/New_York", dt.date(2026, 12, 15), dt.date(2027, 1, 3)),
        Freeze("nights", weekdays=frozenset({0, 4}), hours=(1320, 390)),
        Freeze("close", days_of_month=frozenset({1, -1, -2}), hours=(0, 1440)),
    )


@pytest.mark.parametrize("zone", ["Europe/Berln", "../../etc/passwd", "/etc/localtime", "Europe", "CEST?"])
def test_a_time_zone_that_nobody_has_is_told_with_its_place(tmp_path: Path, zone: str) -> None:
    [told] = problems(tmp_path, f'remediation:\n  freeze:\n    - {{name: x, timezone: "{zone}", weekdays: [mon]}}\n')
    assert told.startswith("customers/acme/customer.yaml:11:")
    assert "is no time zone" in told


def test_a_near_miss_is_helped(tmp_path: Path) -> None:
    [told] = problems(tmp_path, "remediation:\n  freeze:\n    - {name: x, timezone: Europe/Berln, weekdays: [mon]}\n")
    assert "Europe/Berlin" in told


@pytest.mark.parametrize(
    ("window", "told"),
    [
        ("{name: x}", "says no time: nothing would ever be acted on"),
        ("{name: x, timezone: Europe/Berlin}", "says no time"),
        ("{name: x, from: 2026-12-15, until: 2026-12-14}", "ends on 2026-12-14, before it begins on 2026-12-15"),
        ('{name: x, hours: "07:00-07:00"}', "ends at the minute it begins"),
        ('{name: x, hours: "7:00-19:00"}', "hours"),
        ('{name: x, hours: "07:00-25:00"}', "hours"),
        ('{name: x, hours: "24:00-01:00"}', "hours"),
        ("{name: x, days_of_month: [0]}", "days_of_month"),
        ("{name: x, days_of_month: [32]}", "days_of_month"),
        ("{name: x, weekdays: [monday]}", "weekdays"),
        ("{name: x, from: 2026-02-30}", "from"),
        ("{weekdays: [mon]}", "name"),
    ],
)
def test_windows_that_make_no_sense_are_refused(tmp_path: Path, window: str, told: str) -> None:
    [said, *_] = problems(tmp_path, f"remediation:\n  freeze:\n    - {window}\n")
    assert told in said
    assert said.startswith("customers/acme/customer.yaml:")


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    text = "remediation:\n  freeze:\n    - {name: a, timezone: X/Y}\n    - {name: b}\n"
    assert len(problems(tmp_path, text)) == 3


@pytest.mark.parametrize(
    "settings",
    [
        "max: {}",
        "max: {count: 0}",
        "max: {percent: 0}",
        "max: {percent: 101}",
        "max: {monthly_amount: 12.5}",
        'max: {monthly_amount: "-1"}',
        "total: {percent: 5}",
        "batches: {canary: 0}",
        "batches: {size: 501}",
        "batches: {wait_seconds: -1}",
        "batches: {max_error_percent: 101}",
        "roles: {}",
    ],
)
def test_limits_that_make_no_sense_are_refused(tmp_path: Path, settings: str) -> None:
    assert problems(tmp_path, f"remediation:\n  {settings}\n")
