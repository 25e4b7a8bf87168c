"""A plan as one self-contained HTML page for approvers, with the safety of the report's: see ``html``.

What it says of an action and of dependants, approvers read on a terminal in the same words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from markupsafe import Markup

from finops_policy import __version__
from finops_policy.formats.html import cleaned, content_security_policy, environment, money, template
from finops_policy.remediation.model import Item, Plan
from finops_policy.remediation.plan_file import plan_bytes
from finops_policy.remediation.recipes import recipe_of
from finops_policy.remediation.recipes.common import NoDependants, joined
from finops_policy.remediation.totals import monthly, worst_undo

PLAN_PAGE = "plan.html"
_WORD = re.compile(r"[\w*/.:@+-]+")


def action_words(action: Mapping[str, Any]) -> str:
    """All of an action on one line, its parameters by name: ``modify size-percent=900 volume-type=io2``.

    Values are JSON, but for text without quotes where nothing can be mistaken. The same action has the same words.
    Control characters may stand in it: what shows it spells them.
    """
    parameters = (f"{_word(key)}={_word(action[key])}" for key in sorted(action, key=str) if key != "type")
    return " ".join([_word(action["type"]), *parameters])


def _word(value: Any) -> str:
    """Quoted where it could be taken for a number or for several words."""
    if isinstance(value, str) and _WORD.fullmatch(value) and not _is_json(value):
        return value
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def none_found(item: Item) -> str:
    """What may be said of an item without dependants, found or unknown: whether anybody looked for them."""
    recipes = {step.name: recipe_of(item.resource_type, step.name) for step in item.steps}
    if strange := [name for name, recipe in recipes.items() if recipe is None]:
        return f"unknown: nobody knows what {joined(strange)} may break"
    asked = [name for name, recipe in recipes.items() if not isinstance(recipe, NoDependants)]
    if asked:
        return "nothing found"
    return f"not looked for: {joined(list(recipes))} {'are' if len(recipes) > 1 else 'is'} taken to break nothing else"


def plan_page(plan: Plan, title: str) -> str:
    """``title`` is the customer's. The plan must have its digest."""
    document = json.loads(plan_bytes(plan))
    total = monthly(plan.items)
    css = template("report.css") + template("plan.css")
    for raw, item in zip(document["items"], plan.items, strict=True):
        raw["saves"], raw["undo"] = _saves(item), worst_undo(item).value
        raw["values"] = [_values(step["before"]) for step in raw["steps"]]
        raw["acts"] = [action_words(step.action) for step in item.steps]
        alone = not (item.dependants.found or item.dependants.unknown)
        raw["alone"] = none_found(item) if alone else ""
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
