"""PURE: what became of a resource's cost after a finding: gone, acted on or smaller, as later runs show it.

A policy's population is not the estate: an instance that was restarted leaves a policy on long uptimes, and costs what
it did. So a resource that is no longer in the population saved something only when one of these says so: a run that saw
every resource of the type and not this one (*gone*), an act of ours that AWS showed as done (*acted*), or its cost in
the later run (*smaller*). Everything else is unknown, with its reason.

Both sides of a difference have the prices of one book, that of the run before: a new price book saves nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from typing import Any, NamedTuple

from finops_policy.savings import CENT_FRACTION, HOURS_PER_MONTH

SAVING_ACTIONS = frozenset({"stop", "terminate", "delete", "release", "resize", "modify", "modify-db", "update"})
"""Actions that make what a savings method prices cost less. Marks, tags, copies and retention do not."""
UPPER_BOUNDS = frozenset({"snapshot_storage", "image_storage"})
"""Methods whose figure is at most that much: estimates, even at verified prices."""
PREFIXES: Mapping[str, tuple[str, ...]] = {
    "on_demand_hours": ("ec2/",),
    "next_size_down": ("ec2/", "rds/"),
    "volume_storage": ("ebs/",),
    "snapshot_storage": ("ebs-snapshot/",),
    "image_storage": ("ebs-snapshot/",),
    "address_hours": ("eip/",),
    "nat_gateway_hours": ("nat-gateway/",),
    "load_balancer_hours": ("alb/", "nlb/", "gwlb/", "elb/"),
    "db_instance_hours": ("rds/",),
    "provisioned_capacity": ("dynamodb/",),
}
"""Method -> the keys of the price book that it reads."""
_BY_THE_HOUR = frozenset({"on_demand_hours", "next_size_down", "db_instance_hours"})
_COPIES = (1, 2)

Prices = Mapping[tuple[str, str], Decimal]
"""(key, region) -> amount."""


class Confidence(StrEnum):
    """How far a figure can be trusted: the bill shows it, verified list prices say so, or it is an estimate."""

    BILLED = "billed"
    LIST_PRICE = "list-price"
    ESTIMATE = "estimate"


class How(StrEnum):
    """What shows that less is paid."""

    GONE = "gone"
    ACTED = "acted"
    SMALLER = "smaller"


class Resource(NamedTuple):
    account_id: str
    region: str
    resource_type: str
    resource_id: str
    arn: str

    @property
    def key(self) -> str:
        """Which resource of its target; see :attr:`finops_policy.savings.Claim.resource`."""
        return self.arn or f"{self.resource_type}|{self.resource_id}"


class Span(NamedTuple):
    """One policy says the same of one resource in the runs ``first`` to ``last``, one after the other. Without a
    ``method`` the policy claims no savings; ``reason`` says why an amount is missing."""

    first: int
    last: int
    verdict: str
    severity: str
    waiver_id: str
    cost: Decimal | None = None
    savings: Decimal | None = None
    currency: str = ""
    method: str = ""
    source: str = ""
    verified: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RunAt:
    """A run of the ledger. ``scopes`` maps resource types to the policies that a resource leaves only by ceasing to be,
    each with its scope as text (:func:`lasting`)."""

    id: str
    at: dt.datetime
    prices: Prices
    currency: str
    scopes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ground:
    """One target over all runs, oldest first. ``gaps`` has a policy's reasons run by run why not every member could be
    judged there; an empty one where all were."""

    runs: Sequence[RunAt]
    gaps: Mapping[str, Sequence[str]]

    def gap(self, policy: str, run: int) -> str:
        return self.gaps[policy][run] if policy in self.gaps else "the policy was not in the run"

    def first_whole(self, policy: str, start: int, end: int) -> int | None:
        """The first run from ``start`` to before ``end`` in which the policy judged everything."""
        return next((run for run in range(start, end) if not self.gap(policy, run)), None)


class Deed(NamedTuple):
    """An act of ours on a resource that AWS showed as done, or as undone."""

    policy: str
    action: str
    at: dt.datetime
    undone: bool
    by: str
    plan_digest: str


@dataclass(frozen=True, slots=True)
class Realised:
    """What is no longer paid a month since ``seen_at``, when a run first showed it. The change itself lies between
    ``before_until`` and ``after_from``. Without an ``amount``, ``reason`` says why it is unknown. ``confirmed_at`` is
    the last run that could have shown the contrary; ``ended_at`` the moment the resource cost as before again."""

    how: How | None
    amount: Decimal | None
    reason: str
    attributed: bool
    confidence: Confidence
    source: str
    before_until: dt.datetime
    after_from: dt.datetime
    seen_at: dt.datetime
    confirmed_at: dt.datetime
    ended_at: dt.datetime | None = None
    ended_by: str = ""
    bill_note: str = ""

    @property
    def to_date(self) -> Decimal:
        """What was not paid so far, hour by hour of 730 a month; nothing is assumed after the last run that looked."""
        if self.amount is None:
            return Decimal()
        hours = Decimal(((self.ended_at or self.confirmed_at) - self.seen_at) // dt.timedelta(seconds=1)) / 3600
        return _round(self.amount * max(hours, Decimal()) / HOURS_PER_MONTH)


def lasting(scope: Sequence[Any]) -> bool:
    """Whether a resource stays in a scope for as long as it exists: no filter, or a least age since it was made, a
    state that only the dead are not in, or attributes that never change."""
    return all(_lasts(each) for each in scope)


_MADE = frozenset({"CreateTime", "CreatedTime", "CreationDateTime", "CreationDate", "InstanceCreateTime", "StartTime"})
_ALIVE = frozenset({"pending", "running", "stopping", "stopped"})
_FIXED = frozenset({"PublicIpv4Pool"})


def _lasts(each: Any) -> bool:
    if not isinstance(each, Mapping):
        return False
    if len(each) == 1:
        [(key, value)] = each.items()
        if key in ("or", "and") and isinstance(value, list):
            return bool(value) and all(map(_lasts, value))
        return key in _FIXED
    if each.get("type") != "value":
        return False
    if each.get("value_type") == "age":
        return each.get("key") in _MADE and each.get("op") in ("ge", "gte", "gt", "greater-than")
    if each.get("key") == "State.Name" and each.get("op") == "in":
        return isinstance(each.get("value"), list) and set(each["value"]) >= _ALIVE
    return each.get("key") in _FIXED


def reprice(cost: Decimal, method: str, region: str, old: Prices, new: Prices) -> Decimal | None:
    """A cost at the prices ``old`` as it would be at ``new``. Evidence keeps no units, but where all prices it can have
    been made of changed alike, their ratio is enough; None where they did not."""
    prefixes = PREFIXES.get(method, ("",))
    were, are = ({k: a for (k, r), a in book.items() if r == region and k.startswith(prefixes)} for book in (old, new))
    if were == are or not cost:
        return cost
    if method in _BY_THE_HOUR:
        wanted = _round(cost)
        were = {k: a for k, a in were.items() if any(_round(a * HOURS_PER_MONTH * n) == wanted for n in _COPIES)}
    costs = {_round(cost * are[key] / amount) if key in are and amount else None for key, amount in were.items()}
    return costs.pop() if len(costs) == 1 else None


class Case(NamedTuple):
    """What :func:`realise` decides on: one policy's finding that ``resolved``, last found in the run ``last`` as
    ``before`` says, and not found again before the run ``until``. ``spans`` are those of every policy on the
    resource."""

    resource: Resource
    policy: str
    before: Span
    last: int
    resolved: int
    until: int
    spans: Mapping[str, Sequence[Span]]
    ground: Ground
    deeds: Sequence[Deed]


def realise(case: Case) -> Realised | None:
    """What the resolved finding saves a month; None where its policy claims no savings. Where the run that resolved it
    cannot tell, those after it may: an instance that was stopped is terminated later."""
    if not case.before.method:
        return None
    looks = (case._replace(resolved=number) for number in range(case.resolved, case.until))
    seen = [(each, *_seen(each)) for each in looks]
    case, how, amount, says, deed = next((each for each in seen if each[1]), seen[0])
    runs = case.ground.runs
    listed = case.before.verified and case.before.method not in UPPER_BOUNDS
    since = deed.at if deed else None
    made = Realised(
        how=how,
        amount=amount,
        reason="" if amount is not None else says,
        attributed=deed is not None,
        confidence=Confidence.LIST_PRICE if listed else Confidence.ESTIMATE,
        source=f"{says}; prices: {case.before.source or 'none'}" if amount is not None else "",
        before_until=since or runs[case.last].at,
        after_from=since or runs[case.resolved].at,
        seen_at=runs[case.resolved].at,
        confirmed_at=runs[case.resolved].at,
    )
    ends = list(_ends(case, how, amount))
    ended = min(ends) if ends else None
    looked = [
        run.at
        for number, run in enumerate(runs[case.resolved :], case.resolved)
        if not case.ground.gap(case.policy, number) and (ended is None or run.at < ended[0])
    ]
    confirmed = max(looked, default=made.confirmed_at)
    return replace(
        made, confirmed_at=confirmed, ended_at=ended[0] if ended else None, ended_by=ended[1] if ended else ""
    )


def _acted(deeds: Sequence[Deed], after: dt.datetime, until: dt.datetime) -> Deed | None:
    """The last act between two runs, unless it was taken back before the second."""
    between = [each for each in deeds if after <= each.at <= until]
    last = max(between, key=lambda each: each.at, default=None)
    return None if last is None or last.undone else last


def _seen(case: Case) -> tuple[How | None, Decimal | None, str, Deed | None]:
    """How the run shows that less is paid, how much a month, and in words, or why that is unknown; and whose doing."""
    before, ground, number = case.before, case.ground, case.resolved
    run, cost = ground.runs[number], before.cost
    deed = _acted(case.deeds, ground.runs[case.last].at, run.at)
    here = [span for spans in case.spans.values() for span in spans if span.first <= number <= span.last]
    if cost is None:
        return None, None, f"what it cost is unknown: {before.reason or 'no reason was recorded'}", deed
    costs = [each for each in here if each.cost is not None]
    if costs:
        after = [_same_prices(each, number, case) for each in costs]
        known = [each for each in after if each is not None]
        if len(known) < len(after):
            return None, None, f"prices or currency changed up to run {run.id}, and the units are not known", deed
        words = f"run {run.id} shows it at {max(known)} a month, {cost} before"
        return How.SMALLER, max(cost - max(known), Decimal()), words, deed
    if not here and (witness := _witness(case)):
        return How.GONE, cost, f"gone: {witness} of run {run.id} looks at all of them, and did not see it", deed
    if deed and before.savings is not None and not ground.gap(case.policy, number):
        words = f"{deed.action} was done and seen in AWS; run {run.id} does not find it again"
        return How.ACTED, min(before.savings, cost), words, deed
    if here:
        why = f"run {run.id} still sees it, but not what it costs: it may be stopped, or only restarted"
        return None, None, why, deed
    kind = case.resource.resource_type
    return None, None, f"run {run.id} does not have it in scope, and no policy there looks at every {kind}", deed


def _same_prices(span: Span, number: int, case: Case) -> Decimal | None:
    """The cost that the run ``number`` shows, at the prices of the run that found it last."""
    runs, before = case.ground.runs, case.before
    if span.cost is None or span.currency != before.currency:
        return None
    return reprice(span.cost, span.method, case.resource.region, runs[number].prices, runs[case.last].prices)


def _witness(case: Case) -> str:
    """A policy of the resolving run that would have seen the resource if it existed."""
    kind = case.resource.resource_type
    was, now = (case.ground.runs[number].scopes.get(kind, {}) for number in (case.last, case.resolved))
    for policy, scope in now.items():
        if case.ground.gap(policy, case.resolved):
            continue
        member = any(each.first <= case.last <= each.last for each in case.spans.get(policy, ()))
        if scope == EVERYTHING or (member and was.get(policy) == scope):
            return policy
    return ""


EVERYTHING = "[]"
"""The text of a scope without filters."""


def _ends(case: Case, how: How | None, amount: Decimal | None) -> Iterator[tuple[dt.datetime, str]]:
    """Every moment after which the resource cost as before, and what shows it. What is unknown ends when the finding is
    back."""
    runs = case.ground.runs
    if how is None:
        if case.until < len(runs):
            yield runs[case.until].at, f"run {runs[case.until].id} finds it again"
        return
    left = (case.before.cost or Decimal()) - (amount or Decimal())
    for policy, span in ((policy, span) for policy, spans in case.spans.items() for span in spans):
        number = max(span.first, case.resolved + 1)
        if number > span.last:
            continue
        if how is How.GONE:
            yield runs[number].at, f"run {runs[number].id} sees it again"
        elif span.cost is not None:
            for each in range(number, span.last + 1):
                cost = _same_prices(span, each, case)
                if cost is not None and cost > left:
                    yield runs[each].at, f"run {runs[each].id} shows it at {cost} a month again"
                    break
        elif how is How.ACTED and policy == case.policy:
            yield runs[number].at, f"run {runs[number].id} has it in scope again"
    if how is not How.SMALLER:
        for deed in case.deeds:
            if deed.undone and deed.at > runs[case.last].at:
                yield max(deed.at, runs[case.resolved].at), f"{deed.action} was taken back"


@dataclass(frozen=True, slots=True)
class Billed:
    """What the bill shows of one resource a month, before and after; without both, ``reason`` says why."""

    before: Decimal | None
    after: Decimal | None
    currency: str
    source: str
    reason: str = ""


def with_bill(claim: Realised, billed: Billed, currency: str) -> Realised:
    """The claim as the bill shows it. Where the bill cannot tell, the claim stays as it is, with a note why."""
    if claim.how is None and claim.amount is None and billed.reason:
        return replace(
            claim, reason=f"{claim.reason}; nor does the bill tell: {billed.reason}", bill_note=billed.reason
        )
    reason = billed.reason
    if not reason and billed.currency != currency:
        reason = f"the bill is in {billed.currency}, the ledger in {currency}"
    if reason or billed.before is None or billed.after is None:
        return replace(claim, bill_note=reason or "the bill does not tell")
    saved = _round(billed.before - billed.after)
    words = f"{billed.source}: {_round(billed.before)} a month before, {_round(billed.after)} after"
    note = "" if saved >= 0 else f"the bill shows more than before: {-saved} a month"
    return replace(
        claim, amount=max(saved, Decimal()), confidence=Confidence.BILLED, source=words, reason="", bill_note=note
    )


def total(claims: Iterable[Realised]) -> Decimal | None:
    """What the claims that still run save a month; None when no amount is known."""
    known = [each.amount for each in claims if each.amount is not None and each.ended_at is None]
    return sum(known, Decimal()) if known else None


def _round(amount: Decimal) -> Decimal:
    return amount.quantize(CENT_FRACTION, ROUND_HALF_UP)
