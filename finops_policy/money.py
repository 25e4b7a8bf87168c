"""Money in the model: list prices, and the figures made from them. Amounts are ``Decimal``; unknown is ``None``."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Price:
    """A list price per unit. ``verified`` is false while nobody has confirmed it against its source."""

    key: str
    region: str
    unit: str
    amount: Decimal
    currency: str
    source: str
    as_of: dt.date
    verified: bool


@dataclass(frozen=True, slots=True)
class Money:
    """A monthly figure and how it came about. Without an amount ``reason`` says why: unknown is never zero.

    ``cost`` is what the resource costs a month, ``savings`` what mending the finding would save, both in ``currency``.
    """

    currency: str
    method: str = ""
    cost: Decimal | None = None
    savings: Decimal | None = None
    source: str = ""
    as_of: dt.date | None = None
    verified: bool = False
    reason: str = ""
