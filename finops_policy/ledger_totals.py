"""PURE: the ledger added up, each resource once, and held against the bill."""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from finops_policy.ledger import COLUMNS, Figure, Finding, State
from finops_policy.realised import Confidence


@dataclass(slots=True)
class Column:
    """A column added up: each resource once. ``unknown`` findings are not in the amount."""

    amount: Decimal = Decimal()
    resources: int = 0
    unknown: int = 0
    by_confidence: defaultdict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))

    def add(self, figure: Figure) -> None:
        self.amount += figure.amount or Decimal()
        self.resources += 1
        self.by_confidence[figure.confidence or Confidence.ESTIMATE] += figure.amount or Decimal()


@dataclass(slots=True)
class Totals:
    """The ledger added up. ``remaining`` is what open findings were estimated to save; ``elsewhere`` what is no longer
    paid without an act of ours; ``overlapping`` how many amounts were left out since a larger one on the same resource
    counts; ``to_date`` what ``realised`` alone saved so far."""

    findings: int = 0
    states: Counter[State] = field(default_factory=Counter)
    estimated: Column = field(default_factory=Column)
    remaining: Column = field(default_factory=Column)
    approved: Column = field(default_factory=Column)
    realised: Column = field(default_factory=Column)
    elsewhere: Column = field(default_factory=Column)
    overlapping: int = 0
    to_date: Decimal = Decimal()

    def add(self, findings: Sequence[Finding]) -> None:
        """Adds the findings of one resource, as :func:`once` marks them."""
        still = [each for each in findings if each.state in (State.OPEN, State.REOPENED)]
        largest = max((each.estimated.amount for each in still if each.estimated.amount is not None), default=None)
        if largest is not None:
            self.remaining.add(next(each.estimated for each in still if each.estimated.amount == largest))
        self.remaining.unknown += sum(each.estimated.unknown for each in still)
        self.to_date += max((each.realised_to_date for each in findings if _ours(each)), default=Decimal())
        for each in findings:
            self.findings += 1
            self.states[each.state] += 1
            for name in COLUMNS:
                figure: Figure = getattr(each, name)
                column = self.elsewhere if name == "realised" and not _ours(each) else getattr(self, name)
                column.unknown += figure.unknown
                if name in each.counted:
                    column.add(figure)
                elif figure.amount is not None:
                    self.overlapping += 1


def _ours(finding: Finding) -> bool:
    """Whose doing it is: that of the claims that run, or of the last one. What no run could tell of may be ours where a
    plan with it was applied."""
    if not finding.claims:
        return bool(finding.approved.source)
    return finding.attributed or finding.claims[-1].attributed


@dataclass(frozen=True, slots=True)
class Bill:
    """What the customer's accounts cost in one whole month; without an ``amount`` it is unknown for ``reason``."""

    reason: str = "no cost data was given"
    amount: Decimal | None = None
    currency: str = ""
    month: dt.date | None = None
    accounts: int = 0
    of_accounts: int = 0
    source: str = ""


class Share(NamedTuple):
    """A column against the bill. ``percent`` never stands without what it was made from."""

    column: str
    numerator: Decimal
    unknown: int
    denominator: Decimal | None
    percent: Decimal | None
    reason: str


def shares(totals: Totals, bill: Bill, currency: str) -> list[Share]:
    """Each column of the totals against the bill; without a bill in the ledger's currency, no percentage."""
    reason = bill.reason if bill.amount is None else ""
    if not reason and bill.currency != currency:
        reason = f"the bill is in {bill.currency}, the ledger in {currency}"
    if bill.amount is not None and not reason and bill.amount <= 0:
        reason = "the bill is not above zero"
    found = []
    for name in ("estimated", "remaining", "approved", "realised", "elsewhere"):
        column: Column = getattr(totals, name)
        blank = not column.resources and column.unknown
        why = reason or ("nothing of it is known" if blank else "")
        percent = None if why or not bill.amount else (column.amount / bill.amount * 100).quantize(Decimal("0.1"))
        found.append(Share(name, column.amount, column.unknown, bill.amount, percent, why))
    return found
