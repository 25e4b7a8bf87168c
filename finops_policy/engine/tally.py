"""Adds up what targets answered, one at a time: thousands of them cost the parent no memory."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from finops_policy.model import Coverage, Status

METRIC_PRICE = Decimal("0.00001")
METRIC_PRICE_SOURCE = "https://aws.amazon.com/cloudwatch/pricing/: 0.01 USD per 1,000 metrics requested, us-east-1"
METRIC_PRICE_AS_OF = dt.date(2026, 11, 1)
_MEMBERS = ("population", "compliant", "noncompliant", "waived", "unknown")
_SINGLE, _BATCHED = "cloudwatch:GetMetricStatistics", "cloudwatch:GetMetricData"


@dataclass(slots=True)
class Tally:
    """``untold`` counts targets whose requests nobody wrote down, because the run broke off right after them."""

    statuses: Counter[Status] = field(default_factory=Counter)
    members: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    metrics: int = 0
    untold: int = 0

    def add_cells(self, cells: Iterable[Coverage]) -> None:
        for cell in cells:
            self.statuses[cell.status] += 1
            for name in _MEMBERS:
                self.members[name] += getattr(cell, name)

    def add_calls(self, calls: Mapping[str, int], metrics: int) -> None:
        self.calls.update(calls)
        self.metrics += metrics

    def counts(self) -> dict[str, Any]:
        """``counts`` of run.json."""
        cells = {status.value: self.statuses[status] for status in Status}
        return {"cells": cells, **{name: self.members[name] for name in _MEMBERS}}

    def api(self) -> dict[str, Any]:
        """``api`` of run.json: requests sent, and what CloudWatch asks for its metrics. Other calls cost nothing."""
        single = self.calls[_SINGLE]
        known = not self.untold
        cost = METRIC_PRICE * (self.metrics + single)
        return {
            "calls": dict(sorted(self.calls.items())),
            "complete": known,
            "metrics_requested": {_BATCHED: self.metrics, _SINGLE: single},
            "cost": {
                "amount": f"{cost:.4f}" if known else None,
                "currency": "USD",
                "method": "metrics requested x list price, without the free tier of a million GetMetricStatistics",
                "source": METRIC_PRICE_SOURCE,
                "as_of": METRIC_PRICE_AS_OF.isoformat(),
                "verified": False,
            },
        }
