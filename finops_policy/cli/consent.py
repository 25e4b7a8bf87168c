"""What an approver sees: a plan's items before they decide, and who has decided what."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from rich.text import Text

from finops_policy.cli.console import stdout
from finops_policy.customer import ApproverRole
from finops_policy.formats.plan_html import action_words, none_found
from finops_policy.remediation.approvals import Consent, Decision, Given, Judged, Rejected
from finops_policy.remediation.model import Item, Plan
from finops_policy.spelling import plain

SCHEMA = "finops-policy/approvals/v1"


def heading(plan: Plan, judged: Judged) -> Iterator[Text]:
    asked = plan.requested_by.arn or "nobody that AWS knows"
    email = f" ({plan.requested_by.email})" if plan.requested_by.email else ""
    yield Text(
        f"Plan {plain(plan.plan_id)} of {plain(plan.customer)}{' in the sandbox' if plan.sandbox else ''}", "bold"
    )
    yield Text(f"SHA-256 {plain(plan.digest)}")
    yield Text(f"Asked for by {plain(asked + email)} at {_moment(plan.created_at)}")
    yield Text(f"Valid until {_moment(plan.valid_until)}")
    total = judged.amount
    if total.amount is None:
        yield Text(f"What it saves a month is unknown: {plain(total.reason)}", "yellow")
    else:
        yield Text(f"It saves {total.amount:,.2f} {plain(total.currency)} a month".replace("  ", " "))


def proposal(plan: Plan, judged: Judged, chosen: Collection[str]) -> Iterator[Text]:
    """All that is known of what is decided about, item by item."""
    for item in plan.items:
        if item.id not in chosen:
            continue
        actions = ", ".join(action_words(step.action) for step in item.steps)
        line = Text.assemble((plain(item.id), "bold"), f"  {plain(actions)}  ", plain(item.arn or item.resource_id))
        yield line
        yield Text(
            f"    {plain(item.policy)}, {plain(f'{item.account_name} {item.region}')}, owner {plain(item.owner) or '?'}"
        )
        yield Text(f"    destructive: {'yes' if item.destructive else 'no'}", "bold red" if item.destructive else "")
        for step in item.steps:
            yield Text(f"    undo of {plain(step.name)}: {step.undo.possible}. {plain(step.undo.how)}".rstrip())
            for lost in step.undo.lost:
                yield Text(f"    lost for good: {plain(lost)}", "red")
        yield Text(f"    saves a month: {plain(_money(item))}")
        for each in item.dependants.found:
            yield Text(f"    depends on it: {plain(f'{each.kind} {each.id}: {each.effect}')}", "yellow")
        for unknown in item.dependants.unknown:
            yield Text(f"    depends on it: unknown: {plain(unknown)}", "yellow")
        if not item.dependants.found and not item.dependants.unknown:
            yield Text(f"    depends on it: {plain(none_found(item))}")
        yield Text(f"    needs {_roles(judged.items[item.id].needed)}")


def state(judged: Judged, plan: Plan) -> Iterator[Text]:
    """What each item needs, has and lacks; every decision; and what does not count."""
    for item in plan.items:
        consent = judged.items[item.id]
        line = Text.assemble((plain(item.id), "bold"), f"  {plain(item.arn or item.resource_id)}: ", _standing(consent))
        yield line
        has = "; ".join(plain(each) for each in consent.approved_by) or "nothing"
        yield Text(f"    needs {_roles(consent.needed)}; given: {has}; missing: {_roles(consent.missing) or 'nothing'}")
    for given in judged.given:
        said = given.approval
        what = "all items" if said.items is None else ", ".join(said.items)
        until = f", until {_moment(said.expires)}" if said.decision is Decision.APPROVE else ""
        verb = "Approved" if said.decision is Decision.APPROVE else "Refused"
        yield Text(f"{verb} by {plain(str(given))} at {_moment(said.at)}{until}: {plain(what)}. {plain(said.comment)}")
    for each in judged.rejected:
        yield Text(f"Does not count ({each.kind}): {plain(each.file)}: {plain(each.message)}", "yellow")
    total = len(judged.items)
    yield Text(f"{len(judged.approved)} of {total} item{'' if total == 1 else 's'} approved.", "bold")


def show(plan: Plan, judged: Judged, form: str, recorded: Path | None) -> None:
    """On stdout, as text or JSON."""
    console = stdout()
    if form == "json":
        console.out(json.dumps(_document(plan, judged, recorded), indent=2), highlight=False)
        return
    for line in (*heading(plan, judged), *state(judged, plan)):
        console.print(line, soft_wrap=True)
    if recorded:
        console.print(Text(f"Recorded: {recorded}"), soft_wrap=True)


def _document(plan: Plan, judged: Judged, recorded: Path | None) -> dict[str, Any]:
    amount = judged.amount
    return {
        "schema": SCHEMA,
        "customer": plan.customer,
        "plan_id": plan.plan_id,
        "plan_digest": plan.digest,
        "valid_until": _moment(plan.valid_until),
        "recorded": str(recorded) if recorded else None,
        "monthly_savings": {
            "amount": None if amount.amount is None else str(amount.amount),
            "currency": amount.currency,
            "reason": amount.reason,
        },
        "items": [
            {
                "id": item.id,
                "arn": item.arn,
                "approved": consent.approved,
                "needed": list(consent.needed),
                "missing": list(consent.missing),
                "given": [_given(each) for each in consent.given.values()],
                "refused_by": [_given(each) for each in consent.refused_by],
            }
            for item in plan.items
            for consent in [judged.items[item.id]]
        ],
        "decisions": [{**_given(each), **each.approval.statement()["predicate"]} for each in judged.given],
        "rejected": [_rejected(each) for each in judged.rejected],
    }


def _given(given: Given) -> dict[str, str]:
    said = given.approval
    return {
        "approver": said.approver,
        "role": said.role,
        "method": said.method,
        "identity": said.identity,
        "key_id": given.key_id,
        "expires": _moment(said.expires),
        "file": given.file,
        "sha256": given.digest,
    }


def _rejected(rejected: Rejected) -> dict[str, str]:
    return {
        "kind": rejected.kind,
        "message": rejected.message,
        "approver": rejected.approver,
        "key_id": rejected.key_id,
        "file": rejected.file,
        "sha256": rejected.digest,
    }


def _standing(consent: Consent) -> tuple[str, str]:
    if consent.refused_by:
        return f"refused by {' and '.join(plain(str(each)) for each in consent.refused_by)}", "bold red"
    if consent.missing:
        return f"waits for {_roles(consent.missing)}", "yellow"
    return "approved", "green"


def _money(item: Item) -> str:
    if item.money is None:
        return "unknown: the policy claims no savings"
    if item.money.savings is None:
        return f"unknown: {item.money.reason or 'no reason is given'}"
    return f"{item.money.savings:,.2f} {item.money.currency}"


def _roles(roles: Collection[ApproverRole]) -> str:
    return ", ".join(roles)


def _moment(moment: dt.datetime) -> str:
    return f"{moment.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"
