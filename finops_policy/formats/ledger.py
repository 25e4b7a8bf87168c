"""The savings ledger as plain JSON values: schemas/findings.schema.json and the report's ``ledger`` describe them.

Money is a decimal string, or null; whether null means *none yet* or *unknown* stands beside it, with the reason.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from finops_policy.evidence.ledger_queries import History
from finops_policy.formats.data import amount
from finops_policy.ledger import COLUMNS, Act, Figure, Finding, State
from finops_policy.ledger_totals import Bill, Column, Totals, shares
from finops_policy.realised import Confidence

FINDINGS_SCHEMA = "finops-policy/findings/v1"
TITLES = {
    "estimated": "Estimated",
    "remaining": "  of that still open",
    "approved": "Approved",
    "realised": "Realised, by our acts",
    "elsewhere": "Realised, not by us",
}
METHOD = (
    "Estimated when a finding was made, approved in a plan, realised when a later run showed the resource gone, "
    "stopped or smaller, at the prices of one price book, or as the bill shows. Of several findings on one resource "
    "the largest amount counts. A month has 730 hours."
)


def ledger_data(history: History, totals: Totals, bill: Bill) -> dict[str, Any]:
    """The totals, and each column against the bill."""
    newest = history.runs[-1]
    return {
        "customer": history.customer,
        "as_of": {"run": newest.id, "at": time(newest.at)},
        "runs": len(history.runs),
        "sandbox": history.sandbox,
        "currency": history.currency,
        "method": METHOD,
        "findings": totals.findings,
        "states": {state.value: totals.states[state] for state in State},
        "columns": [
            _column(totals, *each) for each in zip(TITLES, shares(totals, bill, history.currency), strict=True)
        ],
        "realised_confidence": {
            each.value: amount(totals.realised.by_confidence.get(each, Decimal())) for each in Confidence
        },
        "realised_to_date": amount(totals.to_date),
        "overlapping": totals.overlapping,
        "bill": {
            "amount": amount(bill.amount),
            "currency": bill.currency,
            "month": bill.month.isoformat() if bill.month else None,
            "accounts": bill.accounts,
            "of_accounts": bill.of_accounts or len(history.accounts),
            "source": bill.source,
            "reason": bill.reason,
        },
    }


def _column(totals: Totals, name: str, share: Any) -> dict[str, Any]:
    column: Column = getattr(totals, name)
    known = column.resources or not column.unknown
    return {
        "name": name,
        "title": TITLES[name],
        "amount": amount(column.amount) if known else None,
        "resources": column.resources,
        "unknown": column.unknown,
        "percent": None if share.percent is None else str(share.percent),
        "share_reason": share.reason,
    }


def finding_data(finding: Finding, history: History) -> dict[str, Any]:
    """A finding with its three columns."""
    resource = finding.resource
    return {
        "id": finding.id,
        "policy": finding.policy,
        "severity": finding.severity,
        "state": finding.state.value,
        "reason": finding.reason,
        "account_id": resource.account_id,
        "account_name": history.accounts.get(resource.account_id, ""),
        "region": resource.region,
        "resource_type": resource.resource_type,
        "resource_id": resource.resource_id,
        "arn": resource.arn,
        "waiver_id": finding.waiver_id,
        "first_seen": time(finding.first_seen),
        "since": time(finding.since),
        "last_seen": time(finding.last_seen),
        "resolved_at": time(finding.resolved_at) if finding.resolved_at else None,
        "age_days": finding.age_days(history.runs[-1].at),
        "currency": finding.currency,
        **{name: {**_figure(getattr(finding, name)), "counted": name in finding.counted} for name in COLUMNS},
        "attributed": finding.attributed,
        "realised_to_date": amount(finding.realised_to_date),
    }


def history_data(
    finding: Finding, history: History, told: Sequence[tuple[str, dt.datetime, str, str, str, str]]
) -> dict[str, Any]:
    """What every run said of a finding, the facts of the last that had some, and what was done."""
    resource = finding.resource
    acts = history.acts.get((resource.account_id, resource.region, resource.key), ())
    rows = [
        {"run": run, "at": time(at), "verdict": verdict, "reason": reason, "waiver_id": waiver}
        for run, at, verdict, reason, waiver, _ in told
    ]
    absent = [
        {
            "run": history.runs[event.run].id,
            "at": time(history.runs[event.run].at),
            "verdict": "absent",
            "reason": "every member was judged, and it was none of them",
            "waiver_id": "",
        }
        for event in finding.events
        if event.what == "absent"
    ]
    facts = next((each[5] for each in reversed(told) if each[5] and each[5] != "[]"), "[]")
    return {
        "history": sorted([*rows, *absent], key=lambda each: (each["at"], each["run"])),
        "facts": json.loads(facts),
        "claims": [
            {
                "how": each.how.value if each.how else None,
                "amount": amount(each.amount),
                "reason": each.reason,
                "confidence": each.confidence.value,
                "source": each.source,
                "attributed": each.attributed,
                "seen_at": time(each.seen_at),
                "confirmed_at": time(each.confirmed_at),
                "ended_at": time(each.ended_at) if each.ended_at else None,
                "ended_by": each.ended_by,
                "to_date": amount(each.to_date),
                "bill_note": each.bill_note,
            }
            for each in finding.claims
        ],
        "actions": [_act(each) for each in acts],
    }


def note_of(figure: Mapping[str, Any]) -> str:
    """Why there is no amount, or where it comes from."""
    return "; ".join(filter(None, (figure["reason"], figure["source"])))


def _act(act: Act) -> dict[str, Any]:
    return {
        "policy": act.policy,
        "action": act.action,
        "outcome": act.outcome,
        "approved_by": list(act.approved_by),
        "executed_by": act.executed_by,
        "plan_digest": act.plan_digest,
        "at": time(act.at),
    }


def _figure(figure: Figure) -> dict[str, Any]:
    return {
        "amount": amount(figure.amount),
        "state": "known" if figure.amount is not None else "unknown" if figure.unknown else "none",
        "reason": figure.reason,
        "confidence": figure.confidence.value if figure.confidence else "",
        "source": figure.source,
    }


def time(value: dt.datetime) -> str:
    return value.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
