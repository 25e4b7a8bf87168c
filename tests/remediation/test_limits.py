"""Caps: over one nothing is acted on, and what is unknown is never a zero."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finops_policy.customer import Caps
from finops_policy.remediation.limits import over, tightened

TEN = Decimal(10)


@pytest.mark.parametrize(
    ("caps", "savings", "population", "told"),
    [
        (Caps(), [TEN] * 1000, 1, ""),
        (Caps(count=2), [TEN] * 2, None, ""),
        (Caps(count=2), [TEN] * 3, None, "3 resources, and the cap is 2"),
        (Caps(percent=TEN), [None] * 10, 100, ""),
        (Caps(percent=TEN), [None] * 11, 100, "11 of 100 resources, and the cap of 10% is 10"),
        (Caps(percent=TEN), [None], 3, ""),
        (Caps(percent=TEN), [None] * 2, 3, "2 of 3 resources, and the cap of 10% is 1"),
        (Caps(percent=Decimal("0.5")), [None] * 2, 200, "2 of 200 resources, and the cap of 0.5% is 1"),
        (Caps(percent=TEN), [None], 0, "1 of 0 resources, and the cap of 10% is 0"),
        (
            Caps(percent=TEN),
            [None] * 99,
            None,
            "how many resources were judged is unknown, and the cap is a share of them",
        ),
        (
            Caps(monthly_amount=Decimal(100)),
            [Decimal(5000), Decimal(-4950)],
            None,
            "9,950.00 a month, and the cap is 100.00",
        ),
        (Caps(monthly_amount=Decimal(20)), [TEN, TEN], None, ""),
        (Caps(monthly_amount=Decimal(20)), [TEN, Decimal("10.01")], None, "20.01 a month, and the cap is 20.00"),
        (
            Caps(monthly_amount=Decimal(20)),
            [TEN, None],
            None,
            "what 1 of 2 resources save is unknown, and the cap is an amount",
        ),
        (Caps(count=1), [], 100, ""),
    ],
)
def test_what_is_over_a_cap_is_told(
    caps: Caps, savings: list[Decimal | None], population: int | None, told: str
) -> None:
    assert over(caps, savings, population) == told


def test_money_is_counted_to_the_hundredth_and_never_as_a_float() -> None:
    third = Decimal("0.1")
    assert over(Caps(monthly_amount=Decimal("0.3")), [third] * 3, None) == ""


def test_a_customer_wins_cap_by_cap() -> None:
    own = Caps(count=50, percent=TEN, monthly_amount=Decimal(100))
    assert tightened(own, Caps()) == own
    assert tightened(own, Caps(count=0)) == Caps(0, TEN, Decimal(100))
    assert tightened(own, Caps(percent=Decimal(1), monthly_amount=Decimal(5))) == Caps(50, Decimal(1), Decimal(5))
    assert tightened(Caps(), Caps(count=3)) == Caps(count=3)


amounts = st.lists(st.one_of(st.none(), st.decimals(0, 1000, places=4)), max_size=30)
counts = st.one_of(st.none(), st.integers(0, 40))


@given(amounts, counts, counts, st.one_of(st.none(), st.decimals(0, 5000, places=2)), st.integers(0, 200))
def test_what_passes_is_within_every_cap(
    savings: list[Decimal | None], count: int | None, percent: int | None, amount: Decimal | None, population: int
) -> None:
    caps = Caps(count, None if percent is None else Decimal(percent), amount)
    if over(caps, savings, population):
        assert any(each is not None for each in (count, percent, amount))
        return
    assert count is None or len(savings) <= count
    assert percent is None or (len(savings) - 1) * 100 < population * percent or not savings
    assert amount is None or (None not in savings and sum(each for each in savings if each is not None) <= amount)


@given(amounts, st.integers(0, 40))
def test_more_is_never_less(savings: list[Decimal | None], count: int) -> None:
    """What is over a cap stays over it when something is added."""
    caps = Caps(count=count, monthly_amount=Decimal(500))
    if over(caps, savings, None):
        assert over(caps, [*savings, TEN], None)
