"""The tables of a bundle: their columns, and how a row is made of an evaluation or a cell, and back.

Values come back as they went in, save that money is rounded to the column's four decimals, lone surrogates in text
become backslash escapes, and facts hold what :mod:`~finops_policy.evidence.canonical` makes of them.
"""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Any

from finops_policy.errors import EvidenceError
from finops_policy.evidence.canonical import clean, encode
from finops_policy.model import Coverage, Evaluation, Fact, FailureKind, Severity, Status, Verdict
from finops_policy.money import Money


@dataclass(frozen=True, slots=True)
class Table:
    """A table's name, the version of its schema (kept in each part's metadata), and column -> SQL type, in order."""

    name: str
    schema: str
    columns: Mapping[str, str]


EVALUATIONS = Table(
    "evaluations",
    "finops-policy/evaluations/v1",
    {
        "run_id": "VARCHAR",
        "customer": "VARCHAR",
        "account_id": "VARCHAR",
        "region": "VARCHAR",
        "pack": "VARCHAR",
        "pack_version": "VARCHAR",
        "policy": "VARCHAR",
        "resource_type": "VARCHAR",
        "resource_id": "VARCHAR",
        "arn": "VARCHAR",
        "verdict": "VARCHAR",
        "reason": "VARCHAR",
        "facts": "JSON",
        "tags": "MAP(VARCHAR, VARCHAR)",
        "severity": "VARCHAR",
        "waiver_id": "VARCHAR",
        "monthly_cost": "DECIMAL(18,4)",
        "monthly_savings": "DECIMAL(18,4)",
        "currency": "VARCHAR",
        "money": "JSON",
        "evaluated_at": "TIMESTAMP WITH TIME ZONE",
    },
)
COVERAGE = Table(
    "coverage",
    "finops-policy/coverage/v1",
    {
        "run_id": "VARCHAR",
        "account_id": "VARCHAR",
        "region": "VARCHAR",
        "policy": "VARCHAR",
        "status": "VARCHAR",
        "failure_kind": "VARCHAR",
        "message": "VARCHAR",
        "next_step": "VARCHAR",
        "population": "BIGINT",
        "compliant": "BIGINT",
        "noncompliant": "BIGINT",
        "waived": "BIGINT",
        "unknown": "BIGINT",
        "api_calls": "BIGINT",
        "duration_ms": "BIGINT",
    },
)
ACTIONS = Table(
    "actions",
    "finops-policy/actions/v1",
    {
        "run_id": "VARCHAR",
        "customer": "VARCHAR",
        "plan_digest": "VARCHAR",
        "item_id": "VARCHAR",
        "policy": "VARCHAR",
        "account_id": "VARCHAR",
        "region": "VARCHAR",
        "resource_type": "VARCHAR",
        "resource_id": "VARCHAR",
        "arn": "VARCHAR",
        "action": "VARCHAR",
        "outcome": "VARCHAR",
        "reason": "VARCHAR",
        "error": "VARCHAR",
        "requested_by": "VARCHAR",
        "approved_by": "VARCHAR[]",
        "executed_by": "VARCHAR",
        "before": "JSON",
        "after": "JSON",
        "made": "JSON",
        "monthly_savings": "DECIMAL(18,4)",
        "currency": "VARCHAR",
        "at": "TIMESTAMP WITH TIME ZONE",
    },
)

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_CENT_OF_A_CENT = Decimal("0.0001")
_LARGEST = Decimal(10) ** 14
_line = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def evaluation_line(run_id: str, customer: str, evaluation: Evaluation) -> bytes:
    """An evaluation as a line of JSON. Raises :class:`EvidenceError` on an amount that DECIMAL(18,4) does not hold."""
    shared = _shared(
        run_id,
        customer,
        evaluation.account_id,
        evaluation.region,
        evaluation.pack,
        evaluation.pack_version,
        evaluation.policy,
        evaluation.resource_type,
        evaluation.severity,
        evaluation.evaluated_at,
    )
    tags = _tags_text(tuple(evaluation.tags.items()))
    own = (
        f'"resource_id":{_text(evaluation.resource_id)},"arn":{_text(evaluation.arn)},'
        f'"verdict":{_text(evaluation.verdict.value)},"reason":{_text(evaluation.reason)},'
        f'"facts":{encode_basestring(_facts_text(evaluation.facts))},"tags":{{{tags}}},'
        f'"waiver_id":{_text(evaluation.waiver_id)}'
    )
    money = evaluation.money
    if money:
        own += (
            f',"monthly_cost":{_text(_amount(money.cost, evaluation))},'
            f'"monthly_savings":{_text(_amount(money.savings, evaluation))},'
            f'"currency":{_text(money.currency)},"money":{encode_basestring(_money_text(money))}'
        )
    return f"{shared},{own}}}\n".encode()


@lru_cache(maxsize=64)
def _shared(
    run_id: str,
    customer: str,
    account_id: str,
    region: str,
    pack: str,
    pack_version: str,
    policy: str,
    resource_type: str,
    severity: Severity,
    evaluated_at: dt.datetime,
) -> str:
    """The start of the line of every evaluation of one policy in one target, which is half of it: spelled once."""
    row = {
        "run_id": run_id,
        "customer": customer,
        "account_id": clean(account_id),
        "region": clean(region),
        "pack": clean(pack),
        "pack_version": clean(pack_version),
        "policy": clean(policy),
        "resource_type": clean(resource_type),
        "severity": severity,
        "evaluated_at": _utc(evaluated_at),
    }
    return _line(row)[:-1]


@lru_cache(maxsize=10_000)
def _tags_text(tags: tuple[tuple[str, str], ...]) -> str:
    """Every policy on a resource repeats its tags: spelled once."""
    return ",".join(f"{_text(key)}:{_text(value)}" for key, value in tags)


def _facts_text(facts: Iterable[Fact]) -> str:
    """What ``encode`` makes of the facts, in a fifth of the time: most of a fact is short text and plain numbers."""
    return f"[{','.join(map(_fact_text, facts))}]"


def _fact_text(fact: Fact) -> str:
    return (
        f'{{"expected":{_text(fact.expected)},"filter":{_text(fact.filter)},"key":{_text(fact.key)},'
        f'"matched":{_text(fact.matched)},"op":{_text(fact.op)},"value":{_text(fact.value)}}}'
    )


def _text(value: object) -> str:
    if type(value) is str:
        return encode_basestring(value if value.isascii() else clean(value))
    if value is None:
        return "null"
    if type(value) is bool:
        return "true" if value else "false"
    if (type(value) is int and abs(value) < 2**63) or (type(value) is float and math.isfinite(value)):
        return repr(value)
    return encode(value)


def _amount(amount: Decimal | None, evaluation: Evaluation) -> str | None:
    if amount is None:
        return None
    try:
        rounded = amount.quantize(_CENT_OF_A_CENT)
        fits = abs(rounded) < _LARGEST
    except InvalidOperation:
        fits = False
    if not fits:
        raise EvidenceError(
            f"{evaluation.policy} puts {amount} a month on {evaluation.arn or evaluation.resource_id}, "
            "which is no amount of money the evidence can hold",
            hint="Check the price of that resource in the price book.",
        )
    return str(rounded)


def _money_text(money: Money) -> str:
    as_of = money.as_of.isoformat() if money.as_of else None
    return (
        f'{{"as_of":{_text(as_of)},"method":{_text(money.method)},"reason":{_text(money.reason)},'
        f'"source":{_text(money.source)},"verified":{_text(money.verified)}}}'
    )


def _utc(moment: dt.datetime) -> str:
    if moment.tzinfo is None:
        raise ValueError("evaluated_at must say its time zone")
    return moment.astimezone(dt.UTC).isoformat()


def coverage_line(run_id: str, cell: Coverage) -> bytes:
    row: dict[str, object] = {"run_id": run_id}
    for each in fields(Coverage):
        value = getattr(cell, each.name)
        row[each.name] = clean(value) if isinstance(value, str) else value
    return _line(row).encode() + b"\n"


def action_line(row: Mapping[str, Any]) -> bytes:
    """A row of :data:`ACTIONS`, by column. JSON columns hold any value, ``monthly_savings`` is a Decimal or None."""
    spelled: dict[str, Any] = {
        name: encode(row[name]) if kind == "JSON" else row[name] for name, kind in ACTIONS.columns.items()
    }
    if spelled["monthly_savings"] is not None:
        spelled["monthly_savings"] = str(spelled["monthly_savings"].quantize(_CENT_OF_A_CENT))
    return encode(spelled).encode() + b"\n"


def to_action(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row back, as :func:`action_line` takes it."""
    kept = {name: json.loads(row[name]) if kind == "JSON" else row[name] for name, kind in ACTIONS.columns.items()}
    return {**kept, "at": _EPOCH + dt.timedelta(microseconds=row["at"])}


def to_evaluation(row: Mapping[str, Any]) -> Evaluation:
    money = None
    if row["money"] is not None:
        kept = json.loads(row["money"])
        kept["as_of"] = dt.date.fromisoformat(kept["as_of"]) if kept["as_of"] else None
        money = Money(currency=row["currency"], cost=row["monthly_cost"], savings=row["monthly_savings"], **kept)
    return Evaluation(
        account_id=row["account_id"],
        region=row["region"],
        pack=row["pack"],
        pack_version=row["pack_version"],
        policy=row["policy"],
        resource_type=row["resource_type"],
        resource_id=row["resource_id"],
        arn=row["arn"],
        verdict=Verdict(row["verdict"]),
        reason=row["reason"],
        facts=tuple(Fact(**fact) for fact in json.loads(row["facts"])),
        tags=row["tags"],
        severity=Severity(row["severity"]),
        waiver_id=row["waiver_id"],
        money=money,
        evaluated_at=_EPOCH + dt.timedelta(microseconds=row["evaluated_at"]),
    )


def to_coverage(row: Mapping[str, Any]) -> Coverage:
    values = {key: value for key, value in row.items() if key != "run_id"}
    values["status"] = Status(row["status"])
    values["failure_kind"] = FailureKind(row["failure_kind"]) if row["failure_kind"] is not None else None
    return Coverage(**values)
