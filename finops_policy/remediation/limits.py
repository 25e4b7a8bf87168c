"""PURE: how much may be acted on at once. Over a cap nothing of a policy, or nothing at all, is acted on: a policy that
suddenly matches a third of what there is, is more likely wrong than the third."""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import Decimal

from finops_policy.customer import Caps

NOTHING = Decimal()


def tightened(own: Caps, customer: Caps) -> Caps:
    """A policy's caps, where the customer says nothing else."""
    return Caps(
        own.count if customer.count is None else customer.count,
        own.percent if customer.percent is None else customer.percent,
        own.monthly_amount if customer.monthly_amount is None else customer.monthly_amount,
    )


def over(caps: Caps, savings: Iterable[Decimal | None], population: int | None) -> str:
    """Why nothing may be acted on; empty when it may. ``savings`` are those a month of every item, None where unknown;
    ``population`` is what was judged, None where no percentage is asked."""
    amounts = list(savings)
    count = len(amounts)
    if caps.count is not None and count > caps.count:
        return f"{count} resources, and the cap is {caps.count}"
    if caps.percent is not None and population is not None:
        most = math.ceil(population * caps.percent / 100)
        if count > most:
            return f"{count} of {population} resources, and the cap of {caps.percent:f}% is {most}"
    if caps.monthly_amount is not None:
        unknown = sum(1 for each in amounts if each is None)
        if unknown:
            return f"what {unknown} of {count} resources save is unknown, and the cap is an amount"
        total = sum((each for each in amounts if each is not None), Decimal())
        if total > caps.monthly_amount:
            return f"{total:,.2f} a month, and the cap is {caps.monthly_amount:,.2f}"
    return ""
