"""The one object that every report format is made from; schemas/report.schema.json describes it.

PURE: evidence of a run + frameworks + waivers -> plain JSON values, save that findings are many and come one at a time,
with their facts and tags :class:`Written`. Money is a decimal string, or null when unknown;
times are ISO 8601 in UTC.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from typing import Any

from finops_policy import __version__
from finops_policy.assessment import Assessment, Tally, assess
from finops_policy.evidence.queries import Cells, Finding, Found, origin
from finops_policy.model import CompiledPolicy, ControlVerdict, Coverage, Framework, Severity, Status, Waiver
from finops_policy.savings import Savings, Total
from finops_policy.waivers import age, in_force

METHOD = (
    "List-price estimate: public on-demand prices x 730 hours, without discounts, reservations, data transfer or free "
    "tiers. Two findings on one resource count once, the larger one. Snapshots and images count with their whole size, "
    "although AWS bills changed blocks: at most that much."
)
CENT = Decimal("0.01")


class Written:
    """JSON that is written already, such as the facts of a finding: a renderer that can need not read it."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def read(self) -> Any:
        return json.loads(self.text)


class Findings:
    """The findings of a report as rows, made one at a time and anew on every pass: a report may have a million."""

    def __init__(self, count: int, read: Callable[[], Iterable[Finding]], names: Mapping[str, str]) -> None:
        self._count = count
        self._read = read
        self._names = names

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (_finding(each, self._names) for each in self._read())


@dataclass(frozen=True, slots=True)
class ReportInput:
    """What a report is made from. ``record`` is run.json, ``digest`` its SHA-256, ``malformed`` the waivers that could
    not be read, as sentences; ``currency`` is the price book's. What is a row a cell or a finding is read when it is
    needed. ``ledger`` is :func:`finops_policy.formats.ledger.ledger_data`; without it, ``ledger_reason`` says why."""

    record: Mapping[str, Any]
    digest: str
    policies: Sequence[CompiledPolicy]
    cells: Cells
    found: Found
    savings: Savings
    read_cells: Callable[[], Sequence[Coverage]]
    read_findings: Callable[[], Iterable[Finding]]
    frameworks: Sequence[Framework]
    waivers: Sequence[Waiver]
    malformed: Sequence[str]
    currency: str = "USD"
    ledger: Mapping[str, Any] | None = None
    ledger_reason: str = ""

    @property
    def names(self) -> Mapping[str, str]:
        return {each["account_id"]: each["account_name"] for each in self.record["targets"]}

    def with_frameworks(self, frameworks: Sequence[Framework]) -> ReportInput:
        return replace(self, frameworks=frameworks)

    def with_ledger(self, ledger: Mapping[str, Any] | None, reason: str = "") -> ReportInput:
        return replace(self, ledger=ledger, ledger_reason=reason)


def report_data(source: ReportInput, now: dt.datetime) -> dict[str, Any]:
    """Everything a report says, in the order it says it. ``findings`` may be gone through more than once."""
    names = source.names
    packs = {policy.name: policy.pack for policy in source.policies}
    told = summary_data(source)
    return {
        "schema": "finops-policy/report/v1",
        "generated_at": _time(now),
        "generator": {"name": "finops-policy", "version": __version__},
        **{key: told[key] for key in ("customer", "profile", "run", "totals", "severities", "money")},
        "coverage": {**told["coverage"], **_grid(source, names)},
        "policies": told["policies"],
        "frameworks": [_framework(each, assess(each, source.cells.tallies, packs)) for each in source.frameworks],
        "ledger": source.ledger,
        "ledger_reason": source.ledger_reason,
        "findings": Findings(source.found.count, source.read_findings, names),
        "waivers": _waivers(source),
        "not_checked": told["not_checked"],
        "left_out": told["left_out"],
    }


def summary_data(source: ReportInput) -> dict[str, Any]:
    """The part of a report that a run ends with: its size does not grow with findings or cells."""
    names = source.names
    tallies = source.cells.tallies
    return {
        "customer": {key: source.record["customer"][key] for key in ("name", "title")},
        "profile": {key: source.record["profile"][key] for key in ("name", "version", "title")},
        "run": _run(source),
        "totals": _tally(_total(tallies.values())),
        "severities": [
            {"severity": each.value, "noncompliant": source.found.severities[each]} for each in reversed(Severity)
        ],
        "money": _money(source, names),
        "coverage": _coverage(source),
        "policies": [
            _policy(policy, tallies[policy.name], source.savings.policies.get(policy.name, Total()))
            for policy in source.policies
        ],
        "not_checked": [
            {
                "account_id": gap.account_id,
                "account_name": names.get(gap.account_id, ""),
                "region": gap.region,
                "policies": gap.policies,
                "kind": gap.kind,
                "message": gap.message,
                "next_step": gap.next_step,
            }
            for gap in source.cells.gaps
        ],
        "left_out": list(source.record.get("left_out", ())),
    }


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


def _total(tallies: Iterable[Tally]) -> Tally:
    return Tally(*map(sum, zip(*map(astuple, tallies), strict=True)))


def _tally(tally: Tally) -> dict[str, int]:
    return {
        "population": tally.population,
        "compliant": tally.compliant,
        "noncompliant": tally.noncompliant,
        "waived": tally.waived,
        "unknown": tally.unknown,
    }


def _money(source: ReportInput, names: Mapping[str, str]) -> dict[str, Any]:
    savings = source.savings
    priced = _total(source.cells.tallies[policy.name] for policy in source.policies if policy.savings_method)
    return {
        "currency": source.currency,
        "monthly_savings": amount(known_total(savings.total, priced)),
        "priced_findings": savings.total.counted,
        "unpriced_findings": savings.total.unpriced,
        "unpriced_reasons": [
            {"reason": reason, "findings": count} for reason, count in sorted(savings.unpriced.items())
        ],
        "double_counted_removed": savings.overlapping,
        "method": METHOD,
        "sources": sorted(savings.sources),
        "oldest_price": savings.oldest.isoformat() if savings.oldest else None,
        "unverified_prices": savings.unverified,
        "by_policy": [
            {"policy": name, "monthly_savings": amount(value)} for name, value in _largest_first(savings.by_policy)
        ],
        "by_account": [
            {"account_id": each, "account_name": names.get(each, ""), "monthly_savings": amount(value)}
            for each, value in _largest_first(savings.by_account)
        ],
    }


def known_total(found: Total, tally: Tally) -> Decimal | None:
    """The total. Where nothing was counted it is zero only if something was judged, or if all was looked at and nothing
    is there; otherwise it is unknown."""
    judged = tally.population - tally.unknown
    all_seen = not tally.unchecked and not tally.unknown
    return found.amount if found.counted or (not found.unpriced and (judged or all_seen)) else None


def _largest_first(amounts: Mapping[str, Decimal]) -> list[tuple[str, Decimal]]:
    return sorted(amounts.items(), key=lambda item: (-item[1], item[0]))


def _coverage(source: ReportInput) -> dict[str, Any]:
    statuses = source.cells.statuses
    return {
        "cells": statuses.total(),
        **{status.value: statuses[status] for status in Status},
        "complete": not source.cells.gaps,
    }


def _grid(source: ReportInput, names: Mapping[str, str]) -> dict[str, Any]:
    cells = source.read_cells()
    return {
        "targets": [
            {"account_id": account_id, "account_name": names.get(account_id, ""), "region": region}
            for account_id, region in dict.fromkeys((cell.account_id, cell.region) for cell in cells)
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
            for cell in cells
        ],
    }


def _policy(policy: CompiledPolicy, tally: Tally, savings: Total) -> dict[str, Any]:
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
        "unpriced_findings": savings.unpriced,
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


def _finding(each: Finding, names: Mapping[str, str]) -> dict[str, Any]:
    savings, note = _savings(each.savings, each.money)
    return {
        "policy": each.policy,
        "pack": each.pack,
        "severity": each.severity,
        "account_id": each.account_id,
        "account_name": names.get(each.account_id, ""),
        "region": each.region,
        "resource_type": each.resource_type,
        "resource_id": each.resource_id,
        "arn": each.arn,
        "verdict": each.verdict,
        "reason": each.reason,
        "facts": Written(each.facts),
        "tags": Written(each.tags),
        "monthly_savings": savings,
        "money_note": note,
        "waiver_id": each.waiver_id,
    }


@lru_cache(maxsize=1024)
def _savings(savings: str | None, money: str | None) -> tuple[str | None, str]:
    """The figure, and how it came about or why there is none; nothing for a policy that has no money in it."""
    if money is None:
        return None, ""
    known = origin(money)
    if savings is None:
        return None, known.reason
    checked = "" if known.verified else ", unverified"
    return amount(Decimal(savings)), f"{known.method.replace('_', ' ')}: {known.source} as of {known.as_of}{checked}"


def _waivers(source: ReportInput) -> list[dict[str, Any]]:
    today = dt.datetime.fromisoformat(source.record["started_at"]).date()
    matched = source.found.waivers
    listed = []
    for waiver in source.waivers:
        state = "expired" if not in_force(waiver, today) else "in force" if matched[waiver.id] else "matched nothing"
        listed.append(
            {
                "id": waiver.id,
                "policy": waiver.policy,
                "resource": waiver.resource,
                "tag": f"{waiver.tag_key}={waiver.tag_value}" if waiver.tag_key else "",
                "account": waiver.account,
                "region": waiver.region,
                "reason": waiver.reason,
                "owner": waiver.owner,
                "requested_by": waiver.requested_by,
                "approved_by": waiver.approved_by,
                "ticket": waiver.ticket,
                "created": waiver.created.isoformat() if waiver.created else "",
                "expires": waiver.expires.isoformat(),
                "age_days": age(waiver, today),
                "days_left": (waiver.expires - today).days,
                "state": state,
                "matched": matched[waiver.id],
            }
        )
    chosen = ("policy", "resource", "tag", "account", "region")
    told = ("owner", "requested_by", "approved_by", "ticket", "created", "expires")
    empty: dict[str, Any] = {**dict.fromkeys((*chosen, *told), ""), "age_days": None, "days_left": None}
    for number, sentence in enumerate(source.malformed, 1):
        listed.append({**empty, "id": f"malformed-{number}", "reason": sentence, "state": "malformed", "matched": 0})
    return listed
