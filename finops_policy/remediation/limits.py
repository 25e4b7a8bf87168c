"""PURE: how much may be acted on at once. Over a cap nothing of a policy, or nothing at all, is acted on: a policy that
suddenly matches a third of what there is, is more likely wrong than the third."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal

from finops_policy.customer import Caps
from finops_policy.project import Project
from finops_policy.remediation.items import is_mark
from finops_policy.remediation.marking import remediation_of
from finops_policy.remediation.model import Item
from finops_policy.remediation_settings import caps_of

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
    ``population`` is what was judged, None where that is unknown."""
    amounts = list(savings)
    count = len(amounts)
    if caps.count is not None and count > caps.count:
        return f"{count} resources, and the cap is {caps.count}"
    if caps.percent is not None and population is None:
        return "how many resources were judged is unknown, and the cap is a share of them"
    if caps.percent is not None and population is not None:
        most = math.ceil(population * caps.percent / 100)
        if count > most:
            return f"{count} of {population} resources, and the cap of {caps.percent:f}% is {most}"
    if caps.monthly_amount is not None:
        unknown = sum(1 for each in amounts if each is None)
        if unknown:
            return f"what {unknown} of {count} resources save is unknown, and the cap is an amount"
        total = sum((abs(each) for each in amounts if each is not None), Decimal())
        if total > caps.monthly_amount:
            return f"{total:,.2f} a month, and the cap is {caps.monthly_amount:,.2f}"
    return ""


def over_caps(project: Project, items: Sequence[Item], populations: Mapping[str, int]) -> dict[str, str]:
    """Item id -> why it may not be acted on, since its policy, or all together, are over a cap of now. Marks are no
    acts. ``populations``: policy -> how many resources it judged."""
    settings = project.customer.remediation
    acts = [each for each in items if not is_mark(each)]
    reasons: dict[str, str] = {}
    for policy in project.compiled.policies():
        mine = [each for each in acts if each.policy == policy.name]
        caps = tightened(caps_of(remediation_of(policy).get("max", {})), settings.max)
        if mine and (reason := over(caps, _savings(mine), populations.get(policy.name))):
            reasons |= {each.id: f"over the cap of {policy.name}: {reason}" for each in mine}
    rest = [each for each in acts if each.id not in reasons]
    if rest and (reason := over(settings.total, _savings(rest), None)):
        reasons |= {each.id: f"over the cap of all together: {reason}" for each in rest}
    return reasons


def _savings(items: Iterable[Item]) -> Iterator[Decimal | None]:
    """A policy without a savings method claims nothing, which is known; a price that is missing is not."""
    return (each.savings if each.money else NOTHING for each in items)
