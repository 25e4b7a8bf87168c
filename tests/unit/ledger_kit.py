"""What the ledger's tests share: a store of small sealed runs, told as what each run saw, and FOCUS files."""

from __future__ import annotations

import csv
import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from finops_policy.evidence.canonical import encode
from finops_policy.evidence.layout import new_run_id
from finops_policy.evidence.parquet import write_actions, write_coverage, write_evaluations
from finops_policy.evidence.signing import SigningKey
from finops_policy.evidence.store import LocalStore
from finops_policy.ledger import finding_id
from finops_policy.model import Coverage, Evaluation, FailureKind, Status, Target, Verdict
from finops_policy.money import Money, Price
from finops_policy.realised import Resource
from tests.unit.builders import PROD
from tests.unit.evidence_kit import NOW, evaluation, record

US = Target(PROD, "us-east-1", "acme-prod")
SCOPES: Mapping[str, tuple[str, list[Any]]] = {
    "ec2-idle": ("aws.ec2", [{"State.Name": "running"}]),
    "ec2-oversized": ("aws.ec2", [{"State.Name": "running"}]),
    "ec2-required-tags": ("aws.ec2", []),
    "ebs-unattached": (
        "aws.ebs",
        [{"type": "value", "key": "CreateTime", "value_type": "age", "op": "ge", "value": 14}],
    ),
}
BOOK = (
    Price("ec2/m5.large", "us-east-1", "hour", Decimal("0.1"), "USD", "list", dt.date(2026, 1, 1), True),
    Price("ec2/m5.xlarge", "us-east-1", "hour", Decimal("0.2"), "USD", "list", dt.date(2026, 1, 1), True),
)


def seen(
    policy: str, number: int, verdict: Verdict, cost: str | None = None, savings: str | None = None, **more: Any
) -> Evaluation:
    """What a run saw; without a ``cost`` the policy has no money in it."""
    money = None
    if cost is not None:
        saved = Decimal(savings) if savings else None
        method = more.pop("method", "on_demand_hours")
        kept = (more.pop("source", "list"), dt.date(2026, 1, 1), more.pop("verified", True))
        money = Money(more.pop("currency", "USD"), method, Decimal(cost), saved, *kept)
    kind = SCOPES[policy][0]
    return evaluation(
        number, policy=policy, verdict=verdict, resource_type=kind, money=money, reason="", facts=(), **more
    )


@dataclass
class Ran:
    """One run: on which day, what it saw, and cells that were not whole (policy -> unknown members, or a message)."""

    day: int
    saw: Sequence[Evaluation] = ()
    broken: Mapping[str, int | str] = field(default_factory=dict)
    policies: Sequence[str] = tuple(SCOPES)
    book: Sequence[Price] = BOOK
    sandbox: bool = False
    scopes: Mapping[str, tuple[str, list[Any]]] = field(default_factory=lambda: SCOPES)


def seal(store: LocalStore, key: SigningKey, ran: Ran, target: Target = US) -> Path:
    at = NOW + dt.timedelta(days=ran.day)
    writer = store.create("acme", new_run_id(at))
    documents = [_document(name, *ran.scopes[name]) for name in ran.policies]
    writer.write("compiled/policies.yaml", json.dumps({"policies": documents}).encode())
    writer.write("compiled/prices.json", encode([asdict(each) for each in ran.book]).encode())
    writer.write("compiled/waivers.json", b'{"waivers": [], "malformed": []}')
    write_evaluations(writer.part("evaluations", target), writer.run_id, "acme", ran.saw)
    write_coverage(writer.part("coverage", target), writer.run_id, [_cell(name, ran, target) for name in ran.policies])
    known = record()
    known |= {"started_at": at, "finished_at": at + dt.timedelta(minutes=1), "policies": list(ran.policies)}
    known |= {"sandbox": ran.sandbox, "targets": [{**asdict(target)}], "frameworks": []}
    return writer.seal(known, key).folder


def history(tmp_path: Path, *runs: Ran) -> LocalStore:
    store, key = LocalStore(tmp_path / "evidence"), SigningKey.load_or_create(tmp_path / "signing.pem")[0]
    for run in runs:
        seal(store, key, run)
    return store


def acted(folder: Path, *rows: Mapping[str, Any]) -> None:
    """Writes ``actions`` as a bundle of a remediation has them."""
    (folder / "actions").mkdir(parents=True)
    write_actions(folder / "actions" / f"{PROD}_us-east-1.parquet", rows)


def act(policy: str, number: int, action: str, day: float, **changes: Any) -> dict[str, Any]:
    one = evaluation(number)
    made = {
        **dict.fromkeys(("run_id", "customer", "reason", "error", "requested_by"), ""),
        **{name: {} for name in ("before", "after", "made")},
        "item_id": finding_id(policy, Resource(PROD, "us-east-1", SCOPES[policy][0], one.resource_id, one.arn)),
        "plan_digest": "ab" * 32,
        "policy": policy,
        "account_id": PROD,
        "region": "us-east-1",
        "resource_type": SCOPES[policy][0],
        "resource_id": one.resource_id,
        "arn": one.arn,
        "action": action,
        "outcome": "done",
        "approved_by": ["dana@example.com (finance)"],
        "executed_by": "arn:aws:sts::999900001111:assumed-role/apply/ci",
        "monthly_savings": None,
        "currency": "",
        "at": NOW + dt.timedelta(days=day),
    }
    return made | changes


def applied(store: LocalStore, day: float, *rows: Mapping[str, Any]) -> Path:
    """A bundle of a remediation: sealed as far as its ``run.json`` is there."""
    run_id = new_run_id(NOW + dt.timedelta(days=day))
    folder = store.customer_folder("acme") / f"month={run_id[:4]}-{run_id[4:6]}" / f"run={run_id}"
    acted(folder, *rows)
    money = {"savings": "146.0000", "currency": "USD"}
    (folder / "plan.json").write_text(json.dumps({"items": [{"id": each["item_id"], "money": money} for each in rows]}))
    (folder / "run.json").write_text(json.dumps({"kind": "apply", "sandbox": False}))
    return folder


COLUMNS = (
    *("ResourceId", "SubAccountId", "RegionId", "ChargePeriodStart", "ChargePeriodEnd", "BillingCurrency"),
    *("ChargeCategory", "EffectiveCost", "BilledCost"),
)


def daily(
    resource: str, start: int, end: int, cost: str, *, account: str = PROD, kind: str = "Usage", currency: str = "USD"
) -> list[list[str]]:
    """FOCUS lines, one a day, of the days ``start`` to before ``end`` around NOW."""
    rows = []
    for number in range(start, end):
        day = NOW.replace(hour=0) + dt.timedelta(days=number)
        period = [each.strftime("%Y-%m-%dT%H:%M:%SZ") for each in (day, day + dt.timedelta(days=1))]
        rows.append([resource, account, "us-east-1", *period, currency, kind, cost, "999"])
    return rows


def focus(path: Path, *groups: Sequence[Sequence[str]], columns: Sequence[str] = COLUMNS) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for group in groups:
            writer.writerows(group)
    return path


def _document(name: str, resource: str, scope: list[Any]) -> dict[str, Any]:
    metadata = {
        "pack": "idle-resources",
        "pack_version": "1.0.0",
        "title": name,
        "rationale": "why",
        "severity": "medium",
        "scope_length": len(scope),
        "savings_method": "on_demand_hours",
    }
    return {"name": name, "resource": resource, "filters": [*scope, {"x": "y"}], "metadata": metadata}


def _cell(policy: str, ran: Ran, target: Target) -> Coverage:
    counts = {verdict: sum(e.policy == policy and e.verdict == verdict for e in ran.saw) for verdict in Verdict}
    broken = ran.broken.get(policy, 0)
    place = (target.account_id, target.region, policy)
    if isinstance(broken, str):
        return Coverage(*place, Status.FAILED, FailureKind.OWN_PERMISSION, broken, "Allow it.")
    unknown = counts[Verdict.UNKNOWN] + broken
    return Coverage(
        *(*place, Status.EVALUATED),
        population=sum(counts.values()) + broken,
        compliant=counts[Verdict.COMPLIANT],
        noncompliant=counts[Verdict.NONCOMPLIANT],
        waived=counts[Verdict.WAIVED],
        unknown=unknown,
    )
