"""The one object that every report format is made from; schemas/report.schema.json describes it.

PURE: evidence of a run + frameworks + waivers -> plain JSON values. Money is a decimal string, or null when unknown;
times are ISO 8601 in UTC.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from finops_policy import __version__
from finops_policy.assessment import Assessment, Tally, assess, tally_by_policy
from finops_policy.model import (
    CompiledPolicy,
    ControlVerdict,
    Coverage,
    Evaluation,
    Framework,
    Severity,
    Status,
    Verdict,
    Waiver,
)
from finops_policy.savings import Savings, add_up
from finops_policy.waivers import in_force

METHOD = (
    "List-price estimate: public on-demand prices x 730 hours, without discounts, reservations, data transfer or free "
    "tiers. Two findings on one resource count once, the larger one. Snapshots and images count with their whole size, "
    "although AWS bills changed blocks: at most that much."
)
CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class ReportInput:
    """What a report is made from. ``record`` is run.json, ``digest`` its SHA-256, ``malformed`` the waivers that could
    not be read, as sentences. Evaluations that are compliant need not be there; ``currency`` is the price book's."""

    record: Mapping[str, Any]
    digest: str
    policies: Sequence[CompiledPolicy]
    cells: Sequence[Coverage]
    evaluations: Sequence[Evaluation]
    frameworks: Sequence[Framework]
    waivers: Sequence[Waiver]
    malformed: Sequence[str]
    currency: str = "USD"

    def with_frameworks(self, frameworks: Sequence[Framework]) -> ReportInput:
        return replace(self, frameworks=frameworks)


def report_data(source: ReportInput, now: dt.datetime) -> dict[str, Any]:
    """Everything a report says, in the order it says it."""
    names = {each["account_id"]: each["account_name"] for each in source.record["targets"]}
    tallies = tally_by_policy(source.cells)
    savings = add_up(source.evaluations)
    packs = {policy.name: policy.pack for policy in source.policies}
    by_policy: dict[str, list[Evaluation]] = {policy.name: [] for policy in source.policies}
    for each in source.evaluations:
        by_policy[each.policy].append(each)
    return {
        "schema": "finops-policy/report/v1",
        "generated_at": _time(now),
        "generator": {"name": "finops-policy", "version": __version__},
        "customer": {key: source.record["customer"][key] for key in ("name", "title")},
        "profile": {key: source.record["profile"][key] for key in ("name", "version", "title")},
        "run": _run(source),
        "totals": _counts(source.cells),
        "severities": _severities(source.evaluations),
        "money": _money(savings, source, names),
        "coverage": _coverage(source, names),
        "policies": [_policy(policy, tallies[policy.name], by_policy[policy.name]) for policy in source.policies],
        "frameworks": [_framework(each, assess(each, tallies, packs)) for each in source.frameworks],
        "findings": _findings(source.evaluations, names),
        "waivers": _waivers(source),
        "not_checked": _not_checked(source.cells, names),
        "left_out": list(source.record.get("left_out", ())),
    }


def not_checked(cells: Iterable[Coverage]) -> list[Coverage]:
    """The cells that should have been evaluated and were not."""
    return [cell for cell in cells if cell.status in (Status.FAILED, Status.SKIPPED)]


def amount(value: Decimal | None) -> str | None:
    """A decimal string in cents, in full where cents would make it zero; ``None`` stays ``None``: unknown."""
    if value is None:
        return None
    rounded = value.quantize(CENT, ROUND_HALF_UP)
    return str(value if value and not rounded else rounded)


def _time(value: dt.datetime) -> str:
    return value.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _run(source: ReportInput) -> dict[str, Any]:
    record = source.record
    retention = record["profile"]["retention"]
    return {
        "id": record["run_id"],
        "started_at": record["started_at"],
        "finished_at": record["finished_at"],
        "caller": record["caller"],
        "sandbox": record["sandbox"],
        "digest": source.digest,
        "previous_digest": (record["previous"] or {}).get("digest", ""),
        "lock_digest": record["lock_digest"],
        "signed_by": record["signed_by"],
        "versions": dict(record["versions"]),
        "packs": [dict(pack) for pack in record["packs"]],
        "retention_years": retention["years"],
        "retention_source": retention["source"],
    }


def _counts(cells: Iterable[Coverage]) -> dict[str, int]:
    total = Tally()
    for cell in cells:
        total = total.plus(cell)
    return _tally(total)


def _tally(tally: Tally) -> dict[str, int]:
    return {
        "population": tally.population,
        "compliant": tally.compliant,
        "noncompliant": tally.noncompliant,
        "waived": tally.waived,
        "unknown": tally.unknown,
    }


def _severities(evaluations: Iterable[Evaluation]) -> list[dict[str, Any]]:
    found = Counter(each.severity for each in evaluations if each.verdict is Verdict.NONCOMPLIANT)
    return [{"severity": each.value, "noncompliant": found[each]} for each in reversed(Severity)]


def _money(savings: Savings, source: ReportInput, names: Mapping[str, str]) -> dict[str, Any]:
    by_policy: dict[str, Decimal] = {}
    by_account: dict[str, Decimal] = {}
    for each in savings.counted:
        if each.money is None or each.money.savings is None:
            continue
        by_policy[each.policy] = by_policy.get(each.policy, Decimal()) + each.money.savings
        by_account[each.account_id] = by_account.get(each.account_id, Decimal()) + each.money.savings
    counted = [each.money for each in savings.counted if each.money]
    return {
        "currency": source.currency,
        "monthly_savings": amount(known_total(savings, _priced(source))),
        "priced_findings": len(savings.counted),
        "unpriced_findings": sum(savings.unpriced.values()),
        "unpriced_reasons": [
            {"reason": reason, "findings": count} for reason, count in sorted(savings.unpriced.items())
        ],
        "double_counted_removed": len(savings.overlapping),
        "method": METHOD,
        "sources": sorted({money.source for money in counted if money.source}),
        "oldest_price": savings.oldest.isoformat() if savings.oldest else None,
        "unverified_prices": savings.unverified,
        "by_policy": [{"policy": name, "monthly_savings": amount(value)} for name, value in _largest_first(by_policy)],
        "by_account": [
            {"account_id": each, "account_name": names.get(each, ""), "monthly_savings": amount(value)}
            for each, value in _largest_first(by_account)
        ],
    }


def known_total(savings: Savings, tally: Tally) -> Decimal | None:
    """The total. Where nothing was counted it is zero only if something was judged, or if all was looked at and nothing
    is there; otherwise it is unknown."""
    judged = tally.population - tally.unknown
    all_seen = not tally.unchecked and not tally.unknown
    return savings.total if savings.counted or (not savings.unpriced and (judged or all_seen)) else None


def _priced(source: ReportInput) -> Tally:
    """The counts of the policies that have money in them."""
    names = {policy.name for policy in source.policies if policy.savings_method}
    total = Tally()
    for cell in source.cells:
        total = total.plus(cell) if cell.policy in names else total
    return total


def _largest_first(amounts: Mapping[str, Decimal]) -> list[tuple[str, Decimal]]:
    return sorted(amounts.items(), key=lambda item: (-item[1], item[0]))


def _coverage(source: ReportInput, names: Mapping[str, str]) -> dict[str, Any]:
    statuses = Counter(cell.status for cell in source.cells)
    return {
        "cells": len(source.cells),
        **{status.value: statuses[status] for status in Status},
        "complete": not not_checked(source.cells),
        "targets": [
            {"account_id": account_id, "account_name": names.get(account_id, ""), "region": region}
            for account_id, region in dict.fromkeys((cell.account_id, cell.region) for cell in source.cells)
        ],
        "policies": [policy.name for policy in source.policies],
        "grid": [
            {
                "account_id": cell.account_id,
                "region": cell.region,
                "policy": cell.policy,
                "status": cell.status.value,
                "failure_kind": cell.failure_kind.value if cell.failure_kind else "",
                "message": cell.message,
                "next_step": cell.next_step,
                "population": cell.population,
                "compliant": cell.compliant,
                "noncompliant": cell.noncompliant,
                "waived": cell.waived,
                "unknown": cell.unknown,
            }
            for cell in source.cells
        ],
    }


def _policy(policy: CompiledPolicy, tally: Tally, evaluations: Iterable[Evaluation]) -> dict[str, Any]:
    savings = add_up(evaluations)
    priced = bool(policy.savings_method)
    return {
        "name": policy.name,
        "pack": policy.pack,
        "pack_version": policy.pack_version,
        "title": policy.title,
        "rationale": policy.rationale,
        "severity": policy.severity.value,
        "resource_type": policy.resource,
        **_tally(tally),
        "monthly_savings": amount(known_total(savings, tally)) if priced else None,
        "unpriced_findings": sum(savings.unpriced.values()),
        "priced": priced,
        "failed_targets": tally.unchecked,
    }


def _framework(framework: Framework, assessments: Sequence[Assessment]) -> dict[str, Any]:
    verdicts = Counter(each.verdict for each in assessments)
    return {
        "name": framework.name,
        "version": framework.version,
        "title": framework.title,
        "source": framework.source,
        "source_url": framework.source_url,
        "licence": framework.licence,
        "complete": framework.complete,
        "verdicts": {verdict.value: verdicts[verdict] for verdict in ControlVerdict},
        "groups": [{"id": key, "title": title} for key, title in framework.groups.items()],
        "controls": [
            {
                "id": each.control.id,
                "title": each.control.title,
                "group": each.control.group,
                "kind": each.control.kind,
                "verdict": each.verdict.value,
                "reason": each.reason,
                "manual": each.control.manual,
                "mappings": [
                    {
                        "policy": mapped.mapping.policy,
                        "strength": mapped.mapping.strength.value,
                        "rationale": mapped.mapping.rationale,
                        "in_profile": mapped.in_run,
                        **_tally(mapped.tally),
                        "failed_targets": mapped.tally.unchecked,
                    }
                    for mapped in each.mapped
                ],
            }
            for each in assessments
        ],
    }


def _findings(evaluations: Iterable[Evaluation], names: Mapping[str, str]) -> list[dict[str, Any]]:
    open_ones = [each for each in evaluations if each.verdict is not Verdict.COMPLIANT]

    def order(each: Evaluation) -> tuple[int, Decimal, str, str]:
        saved = each.money.savings if each.money and each.money.savings is not None else Decimal()
        return (-each.severity.rank, -saved, each.arn or each.resource_id, each.policy)

    return [_finding(each, names) for each in sorted(open_ones, key=order)]


def _finding(each: Evaluation, names: Mapping[str, str]) -> dict[str, Any]:
    money = each.money
    return {
        "policy": each.policy,
        "pack": each.pack,
        "severity": each.severity.value,
        "account_id": each.account_id,
        "account_name": names.get(each.account_id, ""),
        "region": each.region,
        "resource_type": each.resource_type,
        "resource_id": each.resource_id,
        "arn": each.arn,
        "verdict": each.verdict.value,
        "reason": each.reason,
        "facts": [
            {
                "filter": fact.filter,
                "key": fact.key,
                "value": fact.value,
                "op": fact.op,
                "expected": fact.expected,
                "matched": fact.matched,
            }
            for fact in each.facts
        ],
        "tags": dict(each.tags),
        "monthly_savings": amount(money.savings) if money else None,
        "money_note": money_note(each),
        "waiver_id": each.waiver_id,
    }


def money_note(each: Evaluation) -> str:
    """How the figure came about, or why there is none; empty for a policy that has no money in it."""
    money = each.money
    if money is None:
        return ""
    if money.savings is None:
        return money.reason
    checked = "" if money.verified else ", unverified"
    return f"{money.method.replace('_', ' ')}: {money.source} as of {money.as_of}{checked}"


def _waivers(source: ReportInput) -> list[dict[str, Any]]:
    today = dt.datetime.fromisoformat(source.record["started_at"]).date()
    matched = Counter(each.waiver_id for each in source.evaluations if each.waiver_id)
    listed = []
    for waiver in source.waivers:
        state = "expired" if not in_force(waiver, today) else "in force" if matched[waiver.id] else "matched nothing"
        listed.append(
            {
                "id": waiver.id,
                "policy": waiver.policy,
                "resource": waiver.resource,
                "reason": waiver.reason,
                "owner": waiver.owner,
                "requested_by": waiver.requested_by,
                "approved_by": waiver.approved_by,
                "ticket": waiver.ticket,
                "expires": waiver.expires.isoformat(),
                "state": state,
                "matched": matched[waiver.id],
            }
        )
    empty = dict.fromkeys(("policy", "resource", "owner", "requested_by", "approved_by", "ticket", "expires"), "")
    for number, sentence in enumerate(source.malformed, 1):
        listed.append({**empty, "id": f"malformed-{number}", "reason": sentence, "state": "malformed", "matched": 0})
    return listed


def _not_checked(cells: Iterable[Coverage], names: Mapping[str, str]) -> list[dict[str, Any]]:
    """One entry per target and cause, with the policies it took away."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for cell in not_checked(cells):
        kind = cell.failure_kind.value if cell.failure_kind else cell.status.value
        key = (cell.account_id, cell.region, kind, cell.message, cell.next_step)
        groups.setdefault(key, []).append(cell.policy)
    return [
        {
            "account_id": account_id,
            "account_name": names.get(account_id, ""),
            "region": region,
            "policies": policies,
            "kind": kind,
            "message": message,
            "next_step": next_step,
        }
        for (account_id, region, kind, message, next_step), policies in groups.items()
    ]
