"""PURE: what a plan's items save a month together, and how much of them can be undone. An unknown amount makes the
sum a least one, never a smaller one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from finops_policy.remediation.model import Item
from finops_policy.remediation.recipes.recipe import Undoable


@dataclass(frozen=True, slots=True)
class Monthly:
    """``amount`` of the items whose savings are known; so many are ``unknown``."""

    amount: Decimal
    currency: str
    unknown: int

    def __str__(self) -> str:
        told = f"{self.amount:,.2f} {self.currency} a month".replace("  ", " ")
        return f"{told} and what {self.unknown} more save, which is unknown" if self.unknown else told


def monthly(items: Iterable[Item]) -> Monthly:
    """A resource with several items counts once, with the largest."""
    largest: dict[tuple[str, str, str, str], Decimal] = {}
    unknown, currency = 0, ""
    for item in items:
        if item.money is None:
            continue
        currency = item.money.currency
        if item.money.savings is None:
            unknown += 1
            continue
        key = (item.account_id, item.region, item.resource_type, item.resource_id)
        largest[key] = max(largest.get(key, Decimal()), item.money.savings)
    return Monthly(sum(largest.values(), Decimal()), currency, unknown)


def worst_undo(item: Item) -> Undoable:
    """How much of all its steps can be taken back."""
    found = {step.undo.possible for step in item.steps}
    return next((each for each in (Undoable.NO, Undoable.PARTLY) if each in found), Undoable.YES)
