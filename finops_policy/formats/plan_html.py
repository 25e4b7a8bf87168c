"""A plan as one self-contained HTML page for approvers, with the safety of the report's: see ``html``."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from markupsafe import Markup

from finops_policy import __version__
from finops_policy.formats.html import cleaned, content_security_policy, environment, money, template
from finops_policy.remediation.model import Item, Plan
from finops_policy.remediation.plan_file import plan_bytes
from finops_policy.remediation.totals import monthly, worst_undo

PLAN_PAGE = "plan.html"


def plan_page(plan: Plan, title: str) -> str:
    """``title`` is the customer's. The plan must have its digest."""
    document = json.loads(plan_bytes(plan))
    total = monthly(plan.items)
    css = template("report.css") + template("plan.css")
    for raw, item in zip(document["items"], plan.items, strict=True):
        raw["saves"], raw["undo"] = _saves(item), worst_undo(item).value
        raw["values"] = [_values(step["before"]) for step in raw["steps"]]
    held: dict[str, list[dict[str, Any]]] = {}
    for each in document["held"]:
        held.setdefault(each["reason"], []).append(each)
    return (
        environment()
        .get_template("plan.html.j2")
        .render(
            plan=cleaned(document),
            title=cleaned(title),
            digest=plan.digest,
            total=str(total.amount.quantize(Decimal("0.01"))) if total.currency else None,
            currency=total.currency,
            unpriced=total.unknown,
            destructive=sum(1 for item in plan.items if item.destructive),
            held=cleaned(sorted(held.items(), key=lambda each: -len(each[1]))),
            csp=content_security_policy(css, ""),
            css=Markup(css),  # noqa: S704 - our own files
            version=__version__,
        )
    )


def _saves(item: Item) -> dict[str, Any]:
    """What acting saves a month, or why that is not known."""
    if item.money is None:
        return {"amount": None, "short": "none claimed", "note": "this policy claims no savings"}
    amount = None if item.savings is None else str(item.savings)
    how = ", ".join(filter(None, (item.money.method.replace("_", " "), item.money.source)))
    return {"amount": amount, "short": money(amount, item.money.currency), "note": item.money.reason or how}


def _values(before: dict[str, Any]) -> dict[str, str]:
    return {key: json.dumps(value, ensure_ascii=False) for key, value in before.items() if not key.startswith("_")}
