"""The report's money: a total is zero only where something was judged or nothing is there, and unknown otherwise."""

from __future__ import annotations

from decimal import Decimal

import pytest

from finops_policy.assessment import Tally
from finops_policy.formats.data import amount, known_total
from finops_policy.savings import Total


@pytest.mark.parametrize(
    ("tally", "expected"),
    [
        (Tally(population=3, compliant=3, checks=2), Decimal()),
        (Tally(population=3, compliant=1, unknown=2, checks=2, unchecked=1), Decimal()),
        (Tally(checks=2), Decimal()),
        (Tally(checks=2, unchecked=1), None),
        (Tally(population=2, unknown=2, checks=2), None),
    ],
)
def test_a_total_of_nothing(tally: Tally, expected: Decimal | None) -> None:
    assert known_total(Total(), tally) == expected


def test_findings_without_a_price_make_a_total_unknown() -> None:
    tally = Tally(population=3, compliant=2, noncompliant=1, checks=1)
    assert known_total(Total(unpriced=1), tally) is None
    assert known_total(Total(Decimal(), counted=1, unpriced=1), tally) == 0


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, None), (Decimal("1.005"), "1.01"), (Decimal("0.0031"), "0.0031"), (Decimal(), "0.00")],
)
def test_an_amount_is_in_cents_and_never_rounded_to_nothing(value: Decimal | None, shown: str | None) -> None:
    assert amount(value) == shown
