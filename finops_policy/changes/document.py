"""Changes and their impact as JSON: ``schemas/diff.schema.json``. The same input gives the same bytes."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from finops_policy.changes.impact import Hit, Impact, PolicyImpact
from finops_policy.changes.model import Comparison, Effect, joined
from finops_policy.savings import Savings

SCHEMA = "finops-policy/diff/v1"


def render(comparison: Comparison, impact: Impact | None) -> str:
    return json.dumps(document(comparison, impact), indent=2, ensure_ascii=True) + "\n"


def document(comparison: Comparison, impact: Impact | None) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "base": {"ref": comparison.base.ref, "commit": comparison.base.commit, "exists": comparison.base.exists},
        "head": {"ref": comparison.head.ref, "commit": comparison.head.commit, "exists": comparison.head.exists},
        "counts": counts(comparison),
        "changes": [
            {
                "section": str(each.section),
                "owner": each.owner,
                "item": each.item,
                "field": each.field,
                "kind": str(each.kind),
                "old": each.old,
                "new": each.new,
                "effect": str(each.effect),
                "why": each.why,
                "place": {"path": each.mark.path, "line": each.mark.line, "column": each.mark.column},
            }
            for each in comparison.changes
        ],
        "versions": [
            {
                "pack": each.pack,
                "before": each.before,
                "after": each.after,
                "needed": each.needed,
                "given": each.given,
                "enough": each.enough,
                "reasons": list(each.reasons),
            }
            for each in comparison.versions
        ],
        "not_compared": list(comparison.problems),
        "impact": _impact(impact) if impact else None,
    }


def counts(comparison: Comparison) -> dict[str, int]:
    """How many things (a policy, a parameter, a waiver, ...) the changes tighten and so on, each by all of its changes
    together."""
    effects = defaultdict(list)
    for change in comparison.changes:
        effects[change.section, change.owner, change.item].append(change.effect)
    found = Counter(joined(each) for each in effects.values())
    return {str(effect): found[effect] for effect in Effect}


def _impact(impact: Impact) -> Mapping[str, Any]:
    return {
        "run": impact.run_id,
        "finished_at": impact.finished_at,
        "customer": impact.customer,
        "profile": impact.profile,
        "sandbox": impact.sandbox,
        "currency": impact.currency,
        "hit": _total(impact.hit, (each for policy in impact.policies for each in policy.hit)),
        "released": _total(impact.released, (each for policy in impact.policies for each in policy.released)),
        "unknown": sum(len(policy.unknown) for policy in impact.policies),
        "policies": [_policy(each) for each in impact.policies],
        "notes": list(impact.notes),
    }


def _total(savings: Savings, hits: Iterable[Hit]) -> Mapping[str, Any]:
    """Without a figure where none is known: null is not zero."""
    return {
        "resources": len({(hit.account_id, hit.region, hit.resource_type, hit.resource_id, hit.arn) for hit in hits}),
        "monthly_savings": _amount(savings.total.amount) if savings.total.counted else None,
        "unpriced": savings.total.unpriced,
        "price_sources": sorted(savings.sources),
        "prices_as_of": savings.oldest.isoformat() if savings.oldest else None,
        "unverified": savings.unverified,
    }


def _policy(policy: PolicyImpact) -> Mapping[str, Any]:
    return {
        "pack": policy.pack,
        "policy": policy.policy,
        "resource_type": policy.resource_type,
        "change": policy.kind,
        "hit": [_hit(each) for each in policy.hit],
        "released": [_hit(each) for each in policy.released],
        "unknown": [
            {
                "account_id": each.account_id,
                "region": each.region,
                "resource_id": each.resource_id,
                "arn": each.arn,
                "reason": each.reason,
            }
            for each in policy.unknown
        ],
        "same": policy.same,
        "unchecked_targets": policy.unchecked,
        "notes": list(policy.notes),
    }


def _hit(hit: Hit) -> Mapping[str, Any]:
    money = hit.money
    return {
        "account_id": hit.account_id,
        "region": hit.region,
        "resource_type": hit.resource_type,
        "resource_id": hit.resource_id,
        "arn": hit.arn,
        "before": hit.before,
        "after": hit.after,
        "reason": hit.reason,
        "monthly_savings": _amount(money.savings) if money else None,
        "unpriced": money.reason if money and money.savings is None else "",
    }


def _amount(amount: Decimal | None) -> str | None:
    return None if amount is None else f"{amount:.2f}"
