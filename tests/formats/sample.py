"""Report data for tests: an invented estate whose numbers add up, with incomplete coverage and hostile values.

Everything is counted up from the single evaluations, so that each equation of the report holds by construction. Nothing
here is random: the same data come out on any machine and Python version.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from .sample_estate import (
    ACCOUNTS,
    CAUSES,
    DENIED,
    EMPTY,
    EU,
    FAILED,
    GLOBAL_TYPES,
    HOSTILE_TAGS,
    NONCOMPLIANT,
    NOT_NARROWED,
    REGIONS,
    RULES,
    SEVERITIES,
    SKIPPED,
    UNKNOWN,
    US,
    VERDICTS,
    WAIVED,
    WAIVERS,
    Rule,
)
from .sample_frameworks import FRAMEWORKS, judged

Row = dict[str, Any]

ATTACK = (
    "</script><script>window.__pwned=1</script><img src=x onerror=window.__pwned=1>"
    "\u202e\x00\x1b[31m{{7*7}}{% raw %}<!--\"'`${7*7}"
)
STRUCTURE = (
    *("account_id", "created", "currency", "expires", "failure_kind", "finished_at", "generated_at", "kind"),
    "monthly_savings",
    *(
        "oldest_price",
        "policies",
        "policy",
        "schema",
        "severity",
        "started_at",
        "state",
        "status",
        "strength",
        "verdict",
    ),
)
"""Fields that are no free text."""


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def build() -> Row:
    """The sample of every test and screenshot: 208 cells, 55 of them not checked, 99 findings, 3 partial frameworks."""
    grid, findings, policies = [], [], []
    for rule in RULES:
        cells = [_cell(rule, account, region) for account, region in itertools.product(ACCOUNTS, REGIONS)]
        found = [finding for cell in cells for finding in _findings(rule, cell)]
        grid.extend(cells)
        findings.extend(found)
        policies.append(_policy(rule, cells, found))
    findings.sort(key=lambda each: (SEVERITIES.index(each["severity"]), -_amount(each), each["arn"]))
    findings[0]["tags"] = dict(HOSTILE_TAGS)
    findings[3]["resource_id"] = "acme-\u202etxt.sterces\u202c-<img src=x onerror=window.__pwned=1>"
    findings[4]["facts"].append(
        _fact("value", "Description", {"a": "</script><script>window.__pwned=1"}, "eq", "{{7*7}}")
    )
    noncompliant = [each for each in findings if each["verdict"] == "noncompliant"]
    people = {"owner": "data-platform", "requested_by": "j.okafor", "approved_by": "m.lindqvist"}
    return {
        "schema": "finops-policy/report/v1",
        "generated_at": "2026-11-24T08:01:07Z",
        "generator": {"name": "finops-policy", "version": "0.1.0"},
        "customer": {"name": "acme", "title": "Acme Health"},
        "profile": {"name": "hipaa", "version": "1.0.0", "title": "Healthcare under the HIPAA Security Rule"},
        "run": _run(),
        "totals": _totals(grid),
        "severities": [
            {"severity": each, "noncompliant": sum(row["severity"] == each for row in noncompliant)}
            for each in SEVERITIES
        ],
        "money": _money(noncompliant),
        "coverage": _coverage(grid),
        "policies": policies,
        "frameworks": [judged(each, policies) for each in FRAMEWORKS],
        "findings": findings,
        "waivers": [{**NOT_NARROWED, **waiver, **people, "ticket": f"FIN-{waiver['id'][-3:]}"} for waiver in WAIVERS],
        "not_checked": _not_checked(grid),
        "left_out": [
            {
                "account_id": "999988887777",
                "name": "acme-<b>old</b>",
                "reason": "its state in AWS Organizations is SUSPENDED",
            }
        ],
    }


def empty() -> Row:
    """A run that was complete and found nothing: no findings, waivers, frameworks, and nothing unchecked."""
    data = build()
    nothing = {"noncompliant": 0, "waived": 0, "unknown": 0}
    for row in (*data["policies"], *data["coverage"]["grid"], data["totals"]):
        row.update(nothing, compliant=row["population"])
    for cell in data["coverage"]["grid"]:
        cell.update(status="evaluated", failure_kind="", message="", next_step="")
    for policy in data["policies"]:
        policy.update(unpriced_findings=0, failed_targets=0, monthly_savings="0.00" if policy["priced"] else None)
    return {
        **data,
        "run": {**data["run"], "sandbox": False, "previous_digest": ""},
        "severities": [{"severity": each, "noncompliant": 0} for each in SEVERITIES],
        "money": _money([]),
        "coverage": _coverage(data["coverage"]["grid"]),
        "frameworks": [],
        "findings": [],
        "waivers": [],
        "not_checked": [],
        "left_out": [],
    }


def many(count: int) -> Row:
    """The sample with ``count`` findings, for speed and paging."""
    data = build()
    rows = data["findings"][1:]
    data["findings"] = [{**rows[number % len(rows)], "resource_id": f"i-{number:017x}"} for number in range(count)]
    return data


def hostile() -> Row:
    """The sample with an attack in every free text."""

    def poison(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: poison(each, name) for name, each in value.items()}
        if isinstance(value, list):
            return [poison(each, key) for each in value]
        return f"{value} {ATTACK}" if key not in STRUCTURE and isinstance(value, str) else value

    data: Row = poison(build())
    for framework in data["frameworks"]:
        framework["source_url"] = "javascript:window.__pwned=1"
    for policy, rule in zip(data["policies"], RULES, strict=True):
        policy["name"] = rule.name
    return data


def _run() -> Row:
    return {
        "id": "20261124T080000Z-3f2a9c",
        "started_at": "2026-11-24T08:00:00Z",
        "finished_at": "2026-11-24T08:00:21Z",
        "caller": "arn:aws:sts::999900001111:assumed-role/finops/ci",
        "sandbox": True,
        "digest": digest("run"),
        "previous_digest": digest("previous"),
        "lock_digest": digest("lock"),
        "signed_by": "ed25519:9c1f2ab07d44",
        "versions": {"finops-policy": "0.1.0", "c7n": "0.9.53", "python": "3.11.11"},
        "packs": [
            {"name": name, "version": "1.0.0", "digest": digest(name)}
            for name in dict.fromkeys(rule.pack for rule in RULES)
        ],
        "retention_years": 6,
        "retention_source": "45 CFR 164.316(b)(2)(i)",
    }


def _cell(rule: Rule, account: str, region: str) -> Row:
    key = (rule.name, account, region)
    kind = "credentials" if account == DENIED else FAILED.get(key, "skipped" if key in SKIPPED else "")
    elsewhere = rule.resource in GLOBAL_TYPES and region != US
    counts = dict.fromkeys(VERDICTS, 0)
    if not kind and not elsewhere and key not in EMPTY:
        counts["noncompliant"] = NONCOMPLIANT.get(key, rule.noncompliant)
        counts["waived"] = int(key in WAIVED)
        counts["unknown"] = UNKNOWN.get(key, 0)
        counts["compliant"] = max(0, rule.members - sum(counts.values()))
    message, next_step = CAUSES.get(kind, (f"{rule.resource} is global; judged in {US}" if elsewhere else "", ""))
    return {
        "account_id": account,
        "region": region,
        "policy": rule.name,
        "status": "skipped"
        if kind == "skipped"
        else "failed"
        if kind
        else "not_applicable"
        if elsewhere
        else "evaluated",
        "failure_kind": "" if kind == "skipped" else kind,
        "message": message,
        "next_step": next_step,
        "population": sum(counts.values()),
        **counts,
    }


def _findings(rule: Rule, cell: Row) -> Iterator[Row]:
    account, region = cell["account_id"], cell["region"]
    verdicts = itertools.chain.from_iterable([verdict] * cell[verdict] for verdict in VERDICTS[1:])
    for number, verdict in enumerate(verdicts):
        name, arn = _resource(rule.resource, account, region, number)
        savings, note = _savings(rule, verdict, region, number)
        yield {
            "policy": rule.name,
            "pack": rule.pack,
            "severity": rule.severity,
            "account_id": account,
            "account_name": ACCOUNTS[account],
            "region": region,
            "resource_type": f"aws.{rule.resource}",
            "resource_id": name,
            "arn": arn,
            "verdict": verdict,
            "reason": _why(rule, verdict),
            "facts": _facts(rule, verdict),
            "tags": {"Name": f"{ACCOUNTS[account]}-{number}", "Environment": ACCOUNTS[account].removeprefix("acme-")},
            "monthly_savings": savings,
            "money_note": note,
            "waiver_id": WAIVED[rule.name, account, region] if verdict == "waived" else "",
        }


def _resource(kind: str, account: str, region: str, number: int) -> tuple[str, str]:
    """An id and an ARN in the style of the resource type."""
    suffix = digest(f"{kind}{account}{region}{number}")[:17]
    shapes = {
        "ec2": (f"i-{suffix}", f"arn:aws:ec2:{region}:{account}:instance/"),
        "ebs": (f"vol-{suffix}", f"arn:aws:ec2:{region}:{account}:volume/"),
        "ebs-snapshot": (f"snap-{suffix}", f"arn:aws:ec2:{region}::snapshot/"),
        "network-addr": (f"eipalloc-{suffix}", f"arn:aws:ec2:{region}:{account}:elastic-ip/"),
        "s3": (f"acme-{suffix[:6]}-exports", "arn:aws:s3:::"),
        "rds": (f"claims-{number}", f"arn:aws:rds:{region}:{account}:db:"),
        "account": (account, f"arn:aws:iam::{account}:account/"),
        "log-group": (f"/aws/lambda/intake-{number}", f"arn:aws:logs:{region}:{account}:log-group:"),
    }
    name, prefix = shapes.get(kind, (f"{kind}-{suffix[:8]}", f"arn:aws:{kind}:{region}:{account}:{kind}/"))
    return name, prefix + name


def _fact(kind: str, key: str, value: Any, op: str, expected: Any, *, matched: bool = False) -> Row:
    return {"filter": kind, "key": key, "value": value, "op": op, "expected": expected, "matched": matched}


def _facts(rule: Rule, verdict: str) -> list[Row]:
    if rule.pack == "required-tags":
        return [_fact("value", f"tag:{tag}", None, "absent", "absent", matched=True) for tag in ("Owner", "CostCenter")]
    if verdict == "unknown":
        return [_fact("metrics", "CPUUtilization Maximum 14d", [], "less-than", 5)]
    if rule.name in ("ebs-unattached", "eip-unassociated"):
        return [_fact("value", "Attachments", [], "eq", [], matched=True)]
    return [
        _fact("metrics", "CPUUtilization Maximum 14d", 1.84, "less-than", 5, matched=True),
        _fact("instance-age", "LaunchTime", "2026-03-02T09:14:00Z", "ge", 30, matched=True),
    ]


def _savings(rule: Rule, verdict: str, region: str, number: int) -> tuple[str | None, str]:
    if not rule.price:
        return None, ""
    if verdict != "noncompliant":
        return None, "not counted: waived" if verdict == "waived" else "unknown: the resource could not be judged"
    if region == EU and rule.name in ("ebs-snapshot-old", "ec2-oversized"):
        return None, f"no price of {rule.resource} in {region}"
    return f"{Decimal(rule.price) * (1 + number % 3):.2f}", "list price: AWS price list as of 2025-06-01, unverified"


def _why(rule: Rule, verdict: str) -> str:
    if verdict == "unknown":
        return "CloudWatch returned no datapoints for CPUUtilization in 14 days."
    waived = " Accepted by a waiver." if verdict == "waived" else ""
    if rule.pack == "required-tags":
        return "Tags Owner and CostCenter are absent." + waived
    return f"The filters of {rule.name} match.{waived}"


def _policy(rule: Rule, cells: list[Row], findings: list[Row]) -> Row:
    noncompliant = [each for each in findings if each["verdict"] == "noncompliant"]
    priced = [each for each in noncompliant if each["monthly_savings"] is not None]
    unpriced = len(noncompliant) - len(priced) if rule.price else 0
    return {
        "name": rule.name,
        "pack": rule.pack,
        "pack_version": "1.0.0",
        "title": rule.title,
        "rationale": "What nobody owns or uses costs money and is a risk nobody watches.",
        "severity": rule.severity,
        "resource_type": f"aws.{rule.resource}",
        **_totals(cells),
        "monthly_savings": _sum(priced) if rule.price and (priced or not unpriced) else None,
        "unpriced_findings": unpriced,
        "priced": bool(rule.price),
        "failed_targets": sum(cell["status"] in ("failed", "skipped") for cell in cells),
    }


def _totals(rows: list[Row]) -> Row:
    return {field: sum(row[field] for row in rows) for field in ("population", *VERDICTS)}


def _amount(row: Row) -> Decimal:
    return Decimal(row["monthly_savings"] or 0)


def _sum(rows: list[Row]) -> str:
    return f"{sum(map(_amount, rows), Decimal()):.2f}"


def _money(noncompliant: list[Row]) -> Row:
    claims = {rule.name for rule in RULES if rule.price}
    priced = [each for each in noncompliant if each["monthly_savings"] is not None]
    unpriced = [each for each in noncompliant if each["monthly_savings"] is None and each["policy"] in claims]
    reasons = Counter(each["money_note"] for each in unpriced)
    by_policy = {rule.name: [row for row in priced if row["policy"] == rule.name] for rule in RULES}
    by_account = {account: [row for row in priced if row["account_id"] == account] for account in ACCOUNTS}
    return {
        "currency": "USD",
        "monthly_savings": _sum(priced),
        "priced_findings": len(priced),
        "unpriced_findings": len(unpriced),
        "unpriced_reasons": [{"reason": reason, "findings": count} for reason, count in sorted(reasons.items())],
        "double_counted_removed": 2 if priced else 0,
        "method": "List-price estimate: public on-demand prices, 730 hours a month, without discounts.",
        "sources": ["AWS public price list"] if priced else [],
        "oldest_price": "2025-06-01" if priced else None,
        "unverified_prices": len(priced),
        "by_policy": [{"policy": name, "monthly_savings": _sum(rows)} for name, rows in by_policy.items() if rows],
        "by_account": [
            {"account_id": account, "account_name": ACCOUNTS[account], "monthly_savings": _sum(rows)}
            for account, rows in by_account.items()
            if rows
        ],
    }


def _coverage(grid: list[Row]) -> Row:
    statuses = Counter(cell["status"] for cell in grid)
    return {
        "cells": len(grid),
        **{status: statuses[status] for status in ("evaluated", "not_applicable", "skipped", "failed")},
        "complete": not statuses["failed"] + statuses["skipped"],
        "targets": [
            {"account_id": account, "account_name": ACCOUNTS[account], "region": region}
            for account, region in itertools.product(ACCOUNTS, REGIONS)
        ],
        "policies": [rule.name for rule in RULES],
        "grid": grid,
    }


def _not_checked(grid: list[Row]) -> list[Row]:
    entries: dict[tuple[str, str, str], Row] = {}
    for cell in grid:
        if cell["status"] in ("failed", "skipped"):
            entry = entries.setdefault(
                (cell["account_id"], cell["region"], cell["message"]),
                {
                    "account_id": cell["account_id"],
                    "account_name": ACCOUNTS[cell["account_id"]],
                    "region": cell["region"],
                    "policies": [],
                    "kind": cell["failure_kind"] or cell["status"],
                    "message": cell["message"],
                    "next_step": cell["next_step"],
                },
            )
            entry["policies"].append(cell["policy"])
    return list(entries.values())
