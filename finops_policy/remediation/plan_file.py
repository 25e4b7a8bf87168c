"""Plans as files: canonical bytes, whose SHA-256 is what approvers sign.

A plan is the same plan only to the byte. Reading checks the schema and that the bytes are canonical, so that two texts
that say the same cannot have two digests.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from finops_policy.errors import EvidenceError
from finops_policy.evidence.canonical import encode
from finops_policy.files import failure, write_atomic
from finops_policy.library import library_root
from finops_policy.model import Fact, Posture, Severity
from finops_policy.money import Money
from finops_policy.remediation.model import PLAN_SCHEMA, Held, Item, Plan, PlannedPolicy, Requester, Step
from finops_policy.remediation.recipes.recipe import Dependant, Dependants, Undo, Undoable

PLAN_NAME = "plan.json"
_NEW = "Make a new plan: finops-policy plan --customer CUSTOMER."


def write_plan(plan: Plan, folder: Path) -> Plan:
    """Writes ``plan.json`` into ``folder``, whole or not at all; answers with the plan and its digest."""
    data = plan_bytes(plan)
    write_atomic(folder / PLAN_NAME, data)
    return replace(plan, digest=hashlib.sha256(data).hexdigest())


def plan_bytes(plan: Plan) -> bytes:
    return (encode(_document(plan), indent=2) + "\n").encode()


def read_plan(path: Path) -> Plan:
    """The plan at ``path``: the file, or the folder that it is in. Raises :class:`EvidenceError`."""
    path = path / PLAN_NAME if path.is_dir() else path
    try:
        data = path.read_bytes()
    except OSError as error:
        raise failure("read the plan", path, error) from error
    return parse_plan(data, str(path))


def parse_plan(data: bytes, where: str) -> Plan:
    """``where`` names the file in errors. Raises :class:`EvidenceError`."""
    from jsonschema import Draft202012Validator

    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise EvidenceError(f"{where} is not a plan: it is not JSON: {error}", hint=_NEW) from error
    schema = json.loads(library_root().joinpath("schemas", "plan.schema.json").read_text("utf-8"))
    wrong = sorted(
        f"{each.json_path}: {each.message[:200]}" for each in Draft202012Validator(schema).iter_errors(document)
    )
    if wrong:
        raise EvidenceError(f"{where} is not a plan: {'; '.join(wrong[:3])}", hint=_NEW)
    try:
        plan = _plan(document)
    except (ValueError, KeyError, TypeError, ArithmeticError) as error:
        raise EvidenceError(f"{where} is not a plan: {error!r}", hint=_NEW) from error
    if len({item.id for item in plan.items}) < len(plan.items):
        raise EvidenceError(f"{where} has two items with one id", hint=_NEW)
    if {item.policy for item in plan.items} - plan.policies.keys():
        raise EvidenceError(f"{where} has items of policies that it does not describe", hint=_NEW)
    if plan_bytes(plan) != data:
        raise EvidenceError(f"{where} is not written as finops-policy writes plans: it was edited", hint=_NEW)
    return replace(plan, digest=hashlib.sha256(data).hexdigest())


# --- writing ----------------------------------------------------------------------------------------------------------


def _document(plan: Plan) -> dict[str, Any]:
    return {
        "schema": PLAN_SCHEMA,
        **{name: getattr(plan, name) for name in _PLAIN},
        "requested_by": _fields(plan.requested_by),
        "policies": {name: _fields(each) for name, each in plan.policies.items()},
        "items": [_item(each) for each in plan.items],
        "held": [_fields(each) for each in plan.held],
    }


_PLAIN = (
    *("plan_id", "customer", "profile", "sandbox", "created_at", "valid_until", "run_id", "run_digest", "lock_digest"),
    *("waived", "unknown"),
)


def _item(item: Item) -> dict[str, Any]:
    return {
        **_fields(item),
        "facts": [_fields(each) for each in item.facts],
        "steps": [{**_fields(each), "undo": _fields(each.undo)} for each in item.steps],
        "dependants": {
            "found": [_fields(each) for each in item.dependants.found],
            "unknown": item.dependants.unknown,
        },
        "money": _fields(item.money) if item.money else None,
    }


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in fields(value)}


# --- reading ----------------------------------------------------------------------------------------------------------


def _plan(document: Mapping[str, Any]) -> Plan:
    kept = {name: document[name] for name in _PLAIN}
    for name in ("created_at", "valid_until"):
        kept[name] = _moment(kept[name])
    return Plan(
        **kept,
        requested_by=Requester(**document["requested_by"]),
        policies={
            name: PlannedPolicy(**{**each, "severity": Severity(each["severity"]), "posture": Posture(each["posture"])})
            for name, each in document["policies"].items()
        },
        items=tuple(_item_of(each) for each in document["items"]),
        held=tuple(Held(**each) for each in document["held"]),
    )


def _item_of(raw: Mapping[str, Any]) -> Item:
    return Item(
        **{
            **raw,
            "facts": tuple(Fact(**each) for each in raw["facts"]),
            "steps": tuple(_step_of(each) for each in raw["steps"]),
            "dependants": Dependants(
                tuple(Dependant(**each) for each in raw["dependants"]["found"]), tuple(raw["dependants"]["unknown"])
            ),
            "money": _money_of(raw["money"]) if raw["money"] else None,
        }
    )


def _step_of(raw: Mapping[str, Any]) -> Step:
    undo = raw["undo"]
    return Step(
        action=raw["action"],
        before=raw["before"],
        undo=Undo(Undoable(undo["possible"]), undo["how"], tuple(undo["lost"]), tuple(undo["permissions"])),
        permissions=tuple(raw["permissions"]),
    )


def _money_of(raw: Mapping[str, Any]) -> Money:
    kept = dict(raw)
    for name in ("cost", "savings"):
        kept[name] = Decimal(kept[name]) if kept[name] is not None else None
    kept["as_of"] = dt.date.fromisoformat(kept["as_of"]) if kept["as_of"] else None
    return Money(**kept)


def _moment(text: str) -> dt.datetime:
    moment = dt.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    return moment
