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

from .sample_frameworks import FRAMEWORKS

VERDICTS = ("compliant", "noncompliant", "waived", "unknown")
SEVERITIES = ("critical", "high", "medium", "low", "info")
ACCOUNTS = (
    ("111122223333", "acme-prod"),
    ("444455556666", "acme-dev"),
    ("777788889999", "acme-data"),
    ("222233334444", "acme-legacy"),
)
REGIONS = ("us-east-1", "eu-west-1")
DENIED = "222233334444"
GLOBAL_TYPES = ("aws.s3", "aws.account", "aws.budget")

# pack, policy, title, severity, resource type, savings a month ("" claims none), members and noncompliant per target
POLICIES = (
    ("required-tags", "ec2-required-tags", "EC2 instances carry the required tags", "medium", "aws.ec2", "", 9, 2),
    ("required-tags", "ebs-required-tags", "Volumes carry the required tags", "low", "aws.ebs", "", 11, 2),
    ("required-tags", "rds-required-tags", "Databases carry the required tags", "medium", "aws.rds", "", 2, 0),
    ("required-tags", "s3-required-tags", "Buckets carry the required tags", "high", "aws.s3", "", 5, 1),
    ("required-tags", "lambda-required-tags", "Functions carry the required tags", "low", "aws.lambda", "", 4, 1),
    ("required-tags", "dynamodb-table-required-tags", "Tables carry the required tags", "low", "aws.dynamodb-table", "", 2, 0),
    ("idle-resources", "ec2-idle", "Running EC2 instances do work", "medium", "aws.ec2", "70.0800", 7, 1),
    ("idle-resources", "ec2-stopped", "Stopped EC2 instances are not kept for long", "low", "aws.ec2", "12.8000", 2, 1),
    ("idle-resources", "ebs-unattached", "Volumes are attached to an instance", "medium", "aws.ebs", "16.0000", 11, 2),
    ("idle-resources", "ebs-snapshot-old", "Snapshots are not kept past their use", "low", "aws.ebs-snapshot", "5.0000", 6, 1),
    ("idle-resources", "eip-unassociated", "Addresses are in use", "low", "aws.network-addr", "3.6500", 3, 1),
    ("idle-resources", "nat-gateway-idle", "NAT gateways carry traffic", "medium", "aws.nat-gateway", "32.8500", 1, 0),
    ("idle-resources", "app-elb-idle", "Load balancers serve requests", "medium", "aws.app-elb", "16.4250", 2, 0),
    ("idle-resources", "elb-idle", "Classic load balancers serve requests", "medium", "aws.elb", "18.2500", 1, 0),
    ("idle-resources", "rds-idle", "Databases have connections", "high", "aws.rds", "1249.6400", 2, 0),
    ("idle-resources", "lambda-idle", "Functions are invoked", "info", "aws.lambda", "", 4, 1),
    ("idle-resources", "dynamodb-table-idle", "Tables are read or written", "low", "aws.dynamodb-table", "0.0040", 2, 0),
    ("idle-resources", "log-group-retention", "Log groups have a retention", "medium", "aws.log-group", "2.1000", 4, 1),
    ("idle-resources", "ami-old", "Images are not kept past their use", "info", "aws.ami", "4.0000", 2, 0),
    ("oversized-instances", "ec2-oversized", "EC2 instances need their size", "medium", "aws.ec2", "35.0400", 7, 1),
    ("oversized-instances", "rds-oversized", "Databases need their size", "medium", "aws.rds", "124.8300", 2, 0),
    ("oversized-instances", "rds-storage-oversized", "Database storage is used", "low", "aws.rds", "23.0000", 2, 0),
    ("budget-guardrails", "account-budget-missing", "The account has a budget", "critical", "aws.account", "", 1, 0),
    ("budget-guardrails", "budget-notifications-missing", "Budgets warn at thresholds", "high", "aws.budget", "", 2, 0),
    ("budget-guardrails", "budget-overspent", "Spend stays within the budget", "high", "aws.budget", "", 2, 0),
    ("budget-guardrails", "budget-forecast-overspent", "Forecast stays within the budget", "medium", "aws.budget", "", 2, 0),
)  # fmt: skip

# (policy, account, region) -> noncompliant, where it differs from the policy's usual number
MORE = {
    ("account-budget-missing", "444455556666", "us-east-1"): 1,
    ("budget-overspent", "111122223333", "us-east-1"): 1,
    ("budget-notifications-missing", "777788889999", "us-east-1"): 2,
    ("rds-idle", "777788889999", "us-east-1"): 1,
    ("rds-oversized", "111122223333", "us-east-1"): 1,
    ("nat-gateway-idle", "444455556666", "eu-west-1"): 1,
    ("dynamodb-table-idle", "777788889999", "eu-west-1"): 1,
    ("ec2-required-tags", "777788889999", "eu-west-1"): 0,
    ("ebs-required-tags", "111122223333", "us-east-1"): 0,
    ("ec2-idle", "444455556666", "us-east-1"): 3,
}
WAIVED = {("ebs-unattached", "111122223333", "us-east-1"): "W-2026-014", ("ec2-idle", "777788889999", "us-east-1"): "W-2026-009"}
UNKNOWN = {("ec2-idle", "777788889999", "eu-west-1"): 2, ("rds-idle", "444455556666", "us-east-1"): 1, ("app-elb-idle", "111122223333", "eu-west-1"): 1}  # fmt: skip
FAILED = {("nat-gateway-idle", "777788889999", "us-east-1"): "throttled", ("elb-idle", "777788889999", "eu-west-1"): "own-permission"}  # fmt: skip
SKIPPED = {("ami-old", "444455556666", "eu-west-1")}
EMPTY = {("elb-idle", "444455556666", "eu-west-1"), ("ami-old", "777788889999", "eu-west-1"), ("rds-storage-oversized", "444455556666", "eu-west-1")}  # fmt: skip

MESSAGES = {
    "credentials": (
        f"AccessDenied: not authorized to perform sts:AssumeRole on arn:aws:iam::{DENIED}:role/finops-policy-reader",
        f"Let the caller assume arn:aws:iam::{DENIED}:role/finops-policy-reader with external id acme-7f3c, then run again "
        f"with --account {DENIED}.",
    ),
    "throttled": (
        "Rate exceeded: GetMetricStatistics was refused 8 times in 120 s",
        "Run again with --policy nat-gateway-idle; if it persists, raise the CloudWatch quota L-5E141212.",
    ),
    "own-permission": (
        "AccessDenied: elasticloadbalancing:DescribeLoadBalancers \x1b[31mdenied\x1b[0m",
        "Add elasticloadbalancing:DescribeLoadBalancers to the role finops-policy-reader.",
    ),
}

HOSTILE_TAGS = {
    "Name": "<script>window.__pwned=1</script>",
    "Owner": '=HYPERLINK("https://example.invalid","click")',
    "{{7*7}}": "{{7*7}} ${7*7} {% raw %}",
    "Team": "\u202egnp.exe\u202c abc",
    "Ansi": "\x1b[31mred\x1b[0m",
    "Nul": "a\x00b",
    "Comment": "<!-- <script> -->",
    "Close": "</script><img src=x onerror=window.__pwned=1>",
    "Long": "x" * 10_000,
    "Hebrew": "\u05e9\u05dc\u05d5\u05dd",
    "Emoji": "\U0001f3f7\ufe0f \U0001f469\u200d\U0001f4bb",
    "Separator": "a\u2028b\u2029c",
}


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _resource(policy: tuple[Any, ...], account: str, region: str, number: int) -> tuple[str, str]:
    """An id and an ARN in the style of the resource type."""
    kind = policy[4].removeprefix("aws.")
    suffix = digest(f"{kind}{account}{region}{number}")[:17]
    shape = {
        "ec2": (f"i-{suffix}", f"arn:aws:ec2:{region}:{account}:instance/"),
        "ebs": (f"vol-{suffix}", f"arn:aws:ec2:{region}:{account}:volume/"),
        "ebs-snapshot": (f"snap-{suffix}", f"arn:aws:ec2:{region}::snapshot/"),
        "network-addr": (f"eipalloc-{suffix}", f"arn:aws:ec2:{region}:{account}:elastic-ip/"),
        "s3": (f"acme-{suffix[:6]}-exports", "arn:aws:s3:::"),
        "rds": (f"claims-{number}", f"arn:aws:rds:{region}:{account}:db:"),
        "account": (account, "arn:aws:iam::" + account + ":account/"),
        "log-group": (f"/aws/lambda/intake-{number}", f"arn:aws:logs:{region}:{account}:log-group:"),
    }
    name, prefix = shape.get(kind, (f"{kind}-{suffix[:8]}", f"arn:aws:{kind}:{region}:{account}:{kind}/"))
    return name, prefix + name


def _facts(policy: tuple[Any, ...], verdict: str) -> list[dict[str, Any]]:
    if policy[0] == "required-tags":
        return [
            {"filter": "value", "key": f"tag:{tag}", "value": None, "op": "absent", "expected": "absent", "matched": True}
            for tag in ("Owner", "CostCenter")
        ]
    if verdict == "unknown":
        return [{"filter": "metrics", "key": "CPUUtilization Maximum 14d", "value": [], "op": "less-than", "expected": 5, "matched": False}]  # fmt: skip
    if policy[1] in ("ebs-unattached", "eip-unassociated"):
        return [{"filter": "value", "key": "Attachments", "value": [], "op": "eq", "expected": [], "matched": True}]
    return [
        {"filter": "metrics", "key": "CPUUtilization Maximum 14d", "value": 1.84, "op": "less-than", "expected": 5, "matched": True},
        {"filter": "instance-age", "key": "LaunchTime", "value": "2026-03-02T09:14:00Z", "op": "ge", "expected": 30, "matched": True},
    ]  # fmt: skip


def _money(policy: tuple[Any, ...], verdict: str, region: str, number: int) -> tuple[str | None, str]:
    if not policy[5]:
        return None, ""
    if verdict != "noncompliant":
        return None, "not a finding"
    if region == "eu-west-1" and policy[1] in ("ebs-snapshot-old", "ec2-oversized"):
        return None, f"no price of {policy[4].removeprefix('aws.')} in eu-west-1"
    amount = Decimal(policy[5]) * (1 + number % 3)
    return f"{amount:.4f}", f"{1 + number % 3} x {policy[5]} USD a month, list price {region} as of 2025-06-01, unverified"


def _reason(policy: tuple[Any, ...], verdict: str) -> str:
    if verdict == "unknown":
        return "CloudWatch returned no datapoints for CPUUtilization in 14 days."
    waived = " Accepted by a waiver." if verdict == "waived" else ""
    if policy[0] == "required-tags":
        return "Tags Owner and CostCenter are absent." + waived
    return f"The filters of {policy[1]} match.{waived}"


def _findings(policy: tuple[Any, ...], account: tuple[str, str], region: str, counts: dict[str, int]) -> Iterator[dict[str, Any]]:
    verdicts = itertools.chain.from_iterable([verdict] * counts[verdict] for verdict in VERDICTS[1:])
    for number, verdict in enumerate(verdicts):
        name, arn = _resource(policy, account[0], region, number)
        savings, note = _money(policy, verdict, region, number)
        yield {
            "policy": policy[1],
            "pack": policy[0],
            "severity": policy[3],
            "account_id": account[0],
            "account_name": account[1],
            "region": region,
            "resource_type": policy[4],
            "resource_id": name,
            "arn": arn,
            "verdict": verdict,
            "reason": _reason(policy, verdict),
            "facts": _facts(policy, verdict),
            "tags": {"Name": f"{account[1]}-{number}", "Environment": "prod" if "prod" in account[1] else "dev"},
            "monthly_savings": savings,
            "money_note": note,
            "waiver_id": WAIVED.get((policy[1], account[0], region), "") if verdict == "waived" else "",
        }


def _cell(policy: tuple[Any, ...], account_id: str, region: str) -> dict[str, Any]:
    key = (policy[1], account_id, region)
    status, kind = "evaluated", ""
    if account_id == DENIED:
        status, kind = "failed", "credentials"
    elif policy[4] in GLOBAL_TYPES and region != REGIONS[0]:
        status = "not_applicable"
    elif key in FAILED:
        status, kind = "failed", FAILED[key]
    elif key in SKIPPED:
        status = "skipped"
    counts = dict.fromkeys(VERDICTS, 0)
    if status == "evaluated" and key not in EMPTY:
        counts["noncompliant"] = MORE.get(key, policy[7])
        counts["waived"] = int(key in WAIVED)
        counts["unknown"] = UNKNOWN.get(key, 0)
        counts["compliant"] = max(0, policy[6] - sum(counts.values()))
    message, next_step = MESSAGES.get(kind, ("", ""))
    if status == "not_applicable":
        message = f"{policy[4]} is global; it is judged in us-east-1"
    if status == "skipped":
        message, next_step = "interrupted before it was reached", "Finish the run with run --resume 20261124T080000Z-3f2a9c."
    return {
        "account_id": account_id,
        "region": region,
        "policy": policy[1],
        "status": status,
        "failure_kind": kind,
        "message": message,
        "next_step": next_step,
        "population": sum(counts.values()),
        **counts,
    }


def _sum(rows: list[dict[str, Any]], field: str) -> str:
    return f"{sum((Decimal(row[field]) for row in rows if row[field] is not None), Decimal()):.4f}"


def _policy(policy: tuple[Any, ...], cells: list[dict[str, Any]], findings: list[dict[str, Any]]) -> dict[str, Any]:
    unpriced = sum(1 for each in findings if policy[5] and each["verdict"] == "noncompliant" and each["monthly_savings"] is None)
    priced = [each for each in findings if each["monthly_savings"] is not None]
    return {
        "name": policy[1],
        "pack": policy[0],
        "pack_version": "1.0.0",
        "title": policy[2],
        "rationale": f"{policy[2]}: what nobody owns or uses costs money and is a risk nobody watches.",
        "severity": policy[3],
        "resource_type": policy[4],
        **{field: sum(cell[field] for cell in cells) for field in ("population", *VERDICTS)},
        "monthly_savings": _sum(priced, "monthly_savings") if policy[5] and (priced or not unpriced) else None,
        "unpriced_findings": unpriced,
        "priced": bool(policy[5]),
        "failed_targets": sum(1 for cell in cells if cell["status"] == "failed"),
    }


def _not_checked(grid: list[dict[str, Any]]) -> list[dict[str, Any]]:
    names = dict(ACCOUNTS)
    entries: dict[tuple[str, str, str], dict[str, Any]] = {}
    for cell in grid:
        if cell["status"] in ("failed", "skipped"):
            entry = entries.setdefault(
                (cell["account_id"], cell["region"], cell["message"]),
                {
                    "account_id": cell["account_id"],
                    "account_name": names[cell["account_id"]],
                    "region": cell["region"],
                    "policies": [],
                    "kind": cell["failure_kind"],
                    "message": cell["message"],
                    "next_step": cell["next_step"],
                },
            )
            entry["policies"].append(cell["policy"])
    return list(entries.values())


def _framework(framework: dict[str, Any], policies: list[dict[str, Any]]) -> dict[str, Any]:
    by_name = {f"{policy['pack']}/{policy['name']}": policy for policy in policies}
    controls = []
    for control in framework["controls"]:
        mappings = []
        for name, strength, rationale in control["mappings"]:
            policy = by_name.get(name, {})
            counts = {field: policy.get(field, 0) for field in ("population", *VERDICTS, "failed_targets")}
            mappings.append({"policy": name, "strength": strength, "rationale": rationale, "in_profile": bool(policy), **counts})
        controls.append({**control, "mappings": mappings})
    verdicts = Counter(control["verdict"] for control in controls)
    every = ("satisfied", "satisfied-with-waivers", "not-satisfied", "partially-assessed", "no-population", "not-assessed", "manual")
    return {**framework, "controls": controls, "verdicts": {verdict: verdicts[verdict] for verdict in every}}


def _waivers() -> list[dict[str, Any]]:
    def waiver(number: str, policy: str, resource: str, reason: str, expires: str, state: str, matched: int) -> dict[str, Any]:
        people = {"owner": "data-platform", "requested_by": "j.okafor", "approved_by": "m.lindqvist"}
        return {"id": number, "policy": policy, "resource": resource, "reason": reason, **people, "ticket": f"FIN-{number[-3:]}", "expires": expires, "state": state, "matched": matched}  # fmt: skip

    return [
        waiver("W-2026-014", "ebs-unattached", "arn:aws:ec2:us-east-1:111122223333:volume/*", "Kept for a forensic hold until counsel releases it.", "2027-01-31", "in force", 1),
        waiver("W-2026-009", "ec2-idle", "arn:aws:ec2:us-east-1:777788889999:instance/*", "Warm standby; measured quarterly in the recovery test.", "2026-12-31", "in force", 1),
        waiver("W-2025-031", "rds-idle", "arn:aws:rds:us-east-1:777788889999:db:claims-*", "Migration window.", "2026-09-30", "expired", 1),
        waiver("W-2026-020", "elb-idle", "arn:aws:elasticloadbalancing:us-east-1:444455556666:loadbalancer/edge", "Kept for a partner's fixed address <b>until cut-over</b>.", "2027-03-31", "matched nothing", 0),
    ]  # fmt: skip


def build() -> dict[str, Any]:
    """The sample of every test and screenshot: 208 cells, 54 of them not checked, about 80 findings, 3 frameworks."""
    grid, findings, policies = [], [], []
    for policy in POLICIES:
        cells, found = [], []
        for account, region in itertools.product(ACCOUNTS, REGIONS):
            cell = _cell(policy, account[0], region)
            cells.append(cell)
            found.extend(_findings(policy, account, region, {verdict: cell[verdict] for verdict in VERDICTS}))
        grid.extend(cells)
        findings.extend(found)
        policies.append(_policy(policy, cells, found))
    rank = {severity: number for number, severity in enumerate(SEVERITIES)}
    findings.sort(key=lambda each: (rank[each["severity"]], -Decimal(each["monthly_savings"] or 0), each["arn"]))
    findings[0]["tags"] = dict(HOSTILE_TAGS)
    findings[3]["resource_id"] = "acme-\u202etxt.sterces\u202c-<img src=x onerror=window.__pwned=1>"
    findings[4]["facts"].append({"filter": "value", "key": "Description", "value": {"a": "</script><script>window.__pwned=1</script>"}, "op": "eq", "expected": "{{7*7}}", "matched": False})  # fmt: skip
    noncompliant = [each for each in findings if each["verdict"] == "noncompliant"]
    priced = [each for each in noncompliant if each["monthly_savings"] is not None]
    claims = {policy["name"] for policy in policies if policy["priced"]}
    reasons = Counter(each["money_note"] for each in noncompliant if each["monthly_savings"] is None and each["policy"] in claims)
    statuses = Counter(cell["status"] for cell in grid)
    return {
        "schema": "finops-policy/report/v1",
        "generated_at": "2026-11-24T08:01:07Z",
        "generator": {"name": "finops-policy", "version": "0.1.0"},
        "customer": {"name": "acme", "title": "Acme Health"},
        "profile": {"name": "hipaa", "version": "1.0.0", "title": "Healthcare under the HIPAA Security Rule"},
        "run": {
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
            "packs": [{"name": name, "version": "1.0.0", "digest": digest(name)} for name in dict.fromkeys(policy[0] for policy in POLICIES)],
            "retention_years": 6,
            "retention_source": "45 CFR 164.316(b)(2)(i)",
        },
        "totals": {field: sum(cell[field] for cell in grid) for field in ("population", *VERDICTS)},
        "severities": [{"severity": each, "noncompliant": sum(1 for row in noncompliant if row["severity"] == each)} for each in SEVERITIES],
        "money": {
            "currency": "USD",
            "monthly_savings": _sum(priced, "monthly_savings"),
            "priced_findings": len(priced),
            "unpriced_findings": sum(reasons.values()),
            "unpriced_reasons": [{"reason": reason, "findings": count} for reason, count in sorted(reasons.items())],
            "double_counted_removed": 2,
            "method": "List-price estimate: public on-demand prices, 730 hours a month, without discounts.",
            "sources": ["AWS public price list"],
            "oldest_price": "2025-06-01",
            "unverified_prices": len(priced),
            "by_policy": [{"policy": each["name"], "monthly_savings": each["monthly_savings"]} for each in policies if Decimal(each["monthly_savings"] or 0)],
            "by_account": [
                {"account_id": number, "account_name": name, "monthly_savings": _sum([row for row in priced if row["account_id"] == number], "monthly_savings")}
                for number, name in ACCOUNTS
                if number != DENIED
            ],
        },
        "coverage": {
            "cells": len(grid),
            **{status: statuses[status] for status in ("evaluated", "not_applicable", "skipped", "failed")},
            "complete": not statuses["failed"] + statuses["skipped"],
            "targets": [{"account_id": number, "account_name": name, "region": region} for (number, name), region in itertools.product(ACCOUNTS, REGIONS)],
            "policies": [policy[1] for policy in POLICIES],
            "grid": grid,
        },
        "policies": policies,
        "frameworks": [_framework(framework, policies) for framework in FRAMEWORKS],
        "findings": findings,
        "waivers": _waivers(),
        "not_checked": _not_checked(grid),
    }  # fmt: skip


def empty() -> dict[str, Any]:
    """A run that was complete and found nothing: no findings, waivers, frameworks, and nothing unchecked."""
    data = build()
    clean = {"noncompliant": 0, "waived": 0, "unknown": 0, "failed_targets": 0, "unpriced_findings": 0}
    for policy in data["policies"]:
        policy.update(clean, compliant=policy["population"], monthly_savings="0.0000" if policy["priced"] else None)
    for cell in data["coverage"]["grid"]:
        cell.update(status="evaluated", failure_kind="", message="", next_step="", compliant=cell["population"], noncompliant=0, waived=0, unknown=0)  # fmt: skip
    cells = len(data["coverage"]["grid"])
    data["coverage"].update(evaluated=cells, not_applicable=0, skipped=0, failed=0, complete=True)
    data["totals"].update(compliant=data["totals"]["population"], noncompliant=0, waived=0, unknown=0)
    data["money"].update(monthly_savings="0.0000", priced_findings=0, unpriced_findings=0, unpriced_reasons=[], double_counted_removed=0, oldest_price=None, unverified_prices=0, by_policy=[], by_account=[])  # fmt: skip
    data["severities"] = [{"severity": each, "noncompliant": 0} for each in SEVERITIES]
    data["run"].update(sandbox=False, previous_digest="")
    data.update(frameworks=[], findings=[], waivers=[], not_checked=[])
    return data


def many(count: int) -> dict[str, Any]:
    """The sample with ``count`` findings, for speed and paging."""
    data = build()
    rows = data["findings"][1:]
    data["findings"] = [{**rows[number % len(rows)], "resource_id": f"i-{number:017x}"} for number in range(count)]
    return data


def hostile() -> dict[str, Any]:
    """The sample with an attack in every free text."""
    attack = "</script><script>window.__pwned=1</script><img src=x onerror=window.__pwned=1>\u202e\x00\x1b[31m{{7*7}}<!--\"'`${7*7}"
    free = {"title", "reason", "message", "next_step", "rationale", "resource_id", "arn", "account_name", "caller", "manual", "owner", "source", "licence", "money_note", "method", "resource", "ticket", "signed_by", "retention_source"}  # fmt: skip

    def poison(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: poison(each, name) for name, each in value.items()}
        if isinstance(value, list):
            return [poison(each, key) for each in value]
        return f"{value} {attack}" if key in free and isinstance(value, str) else value

    poisoned: dict[str, Any] = poison(build())
    for framework in poisoned["frameworks"]:
        framework["source_url"] = "javascript:window.__pwned=1"
    return poisoned
