"""The savings ledger of a customer, with what the bill shows of it where cost data is given."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from finops_policy.cost.focus import CostData, Question, open_costs
from finops_policy.evidence.ledger_queries import History
from finops_policy.ledger import Finding, billed, once
from finops_policy.ledger_totals import Bill, Totals


@dataclass(slots=True)
class Reading:
    """What is added up while the findings go by. ``first_realised`` is when the first saving may have begun."""

    totals: Totals = field(default_factory=Totals)
    bill: Bill = field(default_factory=Bill)


def read_ledger(history: History, costs: Sequence[Path], reading: Reading) -> Iterator[list[Finding]]:
    """The findings resource by resource, in the order of targets; once they are through, ``reading`` has the bill. Who
    wants other totals than those of all findings adds up what they keep."""
    if not costs:
        for target in history.targets():
            yield from history.read(target)
        return
    with open_costs(costs) as data:
        first: dt.datetime | None = None
        for target in history.targets():
            groups = list(history.read(target))
            for group in _confirmed(groups, data):
                began = [claim.before_until for each in group for claim in each.claims if claim.amount]
                first = min([*began, *([first] if first else [])], default=None)
                yield group
        reading.bill = data.bill(sorted(history.accounts), first or history.runs[-1].at)


def _confirmed(groups: Sequence[list[Finding]], data: CostData) -> Iterator[list[Finding]]:
    """Asks once for a whole target; only findings with a claim are asked about."""
    claims = [(finding, claim) for group in groups for finding in group for claim in finding.claims]
    asked = [Question(each.resource, claim.before_until, claim.after_from) for each, claim in claims]
    answers = iter(data.answers(asked))
    for group in groups:
        if any(each.claims for each in group):
            yield once(billed(each, [next(answers) for _ in each.claims]) for each in group)
        else:
            yield group
