"""PURE: the savings ledger. A finding is followed over a customer's runs, and with it what it was estimated to save,
what was approved of that, and what is no longer paid.

A finding is a policy on a resource, by its fingerprint (policy, account, region, resource). It is *open* while the
newest run finds it, *reopened* when it was resolved before, *waived*, *resolved* when a later run judged it compliant,
or no longer had it in a population in which every member was judged, and *unknown* when the newest run could not tell.
A life of a finding is the time from being found to being resolved; figures are those of the present, or last, life.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from finops_policy.model import Verdict
from finops_policy.realised import (
    SAVING_ACTIONS,
    UPPER_BOUNDS,
    Billed,
    Case,
    Confidence,
    Deed,
    Ground,
    Realised,
    Resource,
    Span,
    realise,
    total,
    with_bill,
)

COLUMNS = ("estimated", "approved", "realised")
_FOUND = frozenset({Verdict.NONCOMPLIANT, Verdict.WAIVED})
_DONE, _UNDONE, _UNDO = "done", "undone", "undo:"


class State(StrEnum):
    """Where a finding stands after the newest run."""

    OPEN = "open"
    REOPENED = "reopened"
    WAIVED = "waived"
    RESOLVED = "resolved"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Figure:
    """An amount a month. Without one, ``reason`` says why; it is ``unknown``, or there is none (yet)."""

    amount: Decimal | None = None
    reason: str = ""
    unknown: bool = False
    confidence: Confidence | None = None
    source: str = ""


class Event(NamedTuple):
    """What a run said of a finding: a verdict, or ``absent`` (every member was judged, and it was not among them)."""

    run: int
    last: int
    what: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding and its three columns. ``since`` is when its present life began, ``counted`` the columns in which it
    stands for its resource: of several findings on one resource the largest amount counts."""

    id: str
    policy: str
    severity: str
    resource: Resource
    state: State
    reason: str
    waiver_id: str
    first_seen: dt.datetime
    since: dt.datetime
    last_seen: dt.datetime
    resolved_at: dt.datetime | None
    currency: str
    estimated: Figure
    approved: Figure
    realised: Figure
    claims: tuple[Realised, ...]
    events: tuple[Event, ...]
    counted: frozenset[str] = frozenset()

    @property
    def attributed(self) -> bool:
        """Whether what is realised follows from acts of ours."""
        running = [each for each in self.claims if each.ended_at is None]
        return bool(running) and all(each.attributed for each in running)

    @property
    def realised_to_date(self) -> Decimal:
        return sum((each.to_date for each in self.claims), Decimal())

    def age_days(self, now: dt.datetime) -> int:
        """Days since it was found, up to when it was resolved."""
        return max(((self.resolved_at or now) - self.since).days, 0)


class Act(NamedTuple):
    """A step of a plan that was applied, as evidence keeps it: a row of ``actions``, without its values."""

    policy: str
    resource: Resource
    action: str
    outcome: str
    approved_by: tuple[str, ...]
    executed_by: str
    savings: Decimal | None
    currency: str
    plan_digest: str
    at: dt.datetime


def finding_id(policy: str, resource: Resource) -> str:
    """The fingerprint of a finding: the same in every run, and the id of its items in plans."""
    text = "\n".join((policy, resource.account_id, resource.region, resource.resource_id))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def deeds(acts: Iterable[Act]) -> list[Deed]:
    """What was done to save, or taken back, and seen in AWS."""
    return [
        Deed(each.policy, name, each.at, each.outcome == _UNDONE, each.executed_by, each.plan_digest)
        for each in acts
        if each.outcome in (_DONE, _UNDONE) and (name := each.action.removeprefix(_UNDO)) in SAVING_ACTIONS
    ]


def follow(
    resource: Resource, spans: Mapping[str, Sequence[Span]], ground: Ground, acts: Sequence[Act], currency: str
) -> list[Finding]:
    """The findings ever made on one resource, by policy. ``spans`` are those of every policy, in the order of runs;
    amounts in another currency than the ledger's are unknown in it."""
    done = deeds(acts)
    made = (
        _finding(resource, policy, spans, ground, [each for each in acts if each.policy == policy], done, currency)
        for policy, own in sorted(spans.items())
        if any(span.verdict in _FOUND for span in own)
    )
    return once(made)


def billed(finding: Finding, answers: Sequence[Billed]) -> Finding:
    """The finding with what the bill shows: an answer for each of its claims."""
    claims = tuple(with_bill(*each, finding.currency) for each in zip(finding.claims, answers, strict=True))
    return replace(finding, claims=claims, realised=_realised(claims, finding.state, finding.estimated))


def once(findings: Iterable[Finding]) -> list[Finding]:
    """Findings on one resource, each column marked in the one whose amount is the largest; of equals the first."""
    listed = [replace(each, counted=frozenset()) for each in findings]
    counted: defaultdict[int, set[str]] = defaultdict(set)
    for column in COLUMNS:
        known = [(each, n) for n, one in enumerate(listed) if (each := getattr(one, column).amount) is not None]
        if known:
            counted[max(known, key=lambda each: (each[0], -each[1]))[1]].add(column)
    return [replace(each, counted=frozenset(counted[n])) for n, each in enumerate(listed)]


@dataclass(slots=True)
class _Life:
    first: int
    last: int
    latest: Span
    found: Span | None = None
    resolved: int | None = None


def _finding(
    resource: Resource,
    policy: str,
    spans: Mapping[str, Sequence[Span]],
    ground: Ground,
    own: Sequence[Act],
    done: Sequence[Deed],
    currency: str,
) -> Finding:
    events = list(_events(policy, spans[policy], ground))
    lives = list(_lives(events, spans[policy]))
    life, runs = lives[-1], ground.runs
    state, reason = _state(policy, events[-1], lives, spans[policy][-1], ground)
    claims = tuple(
        claim
        for each, until in zip(lives, [*(after.first for after in lives[1:]), len(runs)], strict=True)
        if each.resolved is not None
        and (
            claim := realise(Case(resource, policy, each.latest, each.last, each.resolved, until, spans, ground, done))
        )
        and (each is life or claim.amount != 0)
    )
    estimated = _estimated(life, currency)
    return Finding(
        id=finding_id(policy, resource),
        policy=policy,
        severity=spans[policy][-1].severity,
        resource=resource,
        state=state,
        reason=reason,
        waiver_id=life.latest.waiver_id,
        first_seen=runs[events[0].run].at,
        since=runs[life.first].at,
        last_seen=runs[life.last].at,
        resolved_at=None if life.resolved is None else runs[life.resolved].at,
        currency=currency,
        estimated=estimated,
        approved=_approved(own, runs[life.first].at, currency),
        realised=_realised(claims, state, estimated),
        claims=claims,
        events=tuple(events),
    )


def _events(policy: str, spans: Sequence[Span], ground: Ground) -> Iterator[Event]:
    """What the runs said, from the first that found it. In a gap the first run that judged everything tells that the
    resource is no longer in the population; without one, nothing is told."""
    start = next(number for number, span in enumerate(spans) if span.verdict in _FOUND)
    reached = spans[start].first
    for span in spans[start:]:
        if (absent := ground.first_whole(policy, reached, span.first)) is not None:
            yield Event(absent, span.first - 1, "absent")
        yield Event(span.first, span.last, span.verdict)
        reached = span.last + 1
    if (absent := ground.first_whole(policy, reached, len(ground.runs))) is not None:
        yield Event(absent, len(ground.runs) - 1, "absent")


def _lives(events: Sequence[Event], spans: Sequence[Span]) -> Iterator[_Life]:
    by_run = {span.first: span for span in spans}
    life: _Life | None = None
    for event in events:
        if event.what in _FOUND:
            span = by_run[event.run]
            if life is None or life.resolved is not None:
                if life:
                    yield life
                life = _Life(event.run, event.last, span)
            life.last, life.latest = event.last, span
            if life.found is None and event.what == Verdict.NONCOMPLIANT:
                life.found = span
        elif event.what != Verdict.UNKNOWN and life and life.resolved is None:
            life.resolved = event.run
    if life:
        yield life


def _state(policy: str, event: Event, lives: Sequence[_Life], latest: Span, ground: Ground) -> tuple[State, str]:
    """Only what the newest run says counts; what it could not see stays unknown, whatever runs before it said."""
    newest = len(ground.runs) - 1
    run = ground.runs[newest].id
    resolved = lives[-1].resolved
    if latest.last == newest and latest.verdict == Verdict.UNKNOWN:
        return State.UNKNOWN, f"run {run} could not judge it"
    if latest.last < newest and (gap := ground.gap(policy, newest)):
        before = f"; resolved in run {ground.runs[resolved].id}" if resolved is not None else ""
        return State.UNKNOWN, f"run {run} did not see all: {gap}{before}"
    if event.what == Verdict.WAIVED:
        return State.WAIVED, f"waiver {lives[-1].latest.waiver_id}"
    if event.what == Verdict.NONCOMPLIANT:
        return (
            (State.REOPENED, f"found again in run {ground.runs[lives[-1].first].id}") if lives[1:] else (State.OPEN, "")
        )
    what = "judged compliant" if event.what == Verdict.COMPLIANT else "no longer in the policy's population"
    return State.RESOLVED, f"{what} in run {ground.runs[resolved or newest].id}"


def _estimated(life: _Life, currency: str) -> Figure:
    span = life.found or life.latest
    if not span.method:
        return Figure(reason="the policy claims no savings")
    if life.found is None:
        return Figure(reason="not counted: waived since it was found")
    if span.savings is None:
        return Figure(reason=span.reason or "no reason was recorded", unknown=True)
    if span.currency != currency:
        return Figure(reason=f"{span.savings} {span.currency}: the ledger is in {currency}", unknown=True)
    sure = span.verified and span.method not in UPPER_BOUNDS
    return Figure(span.savings, confidence=Confidence.LIST_PRICE if sure else Confidence.ESTIMATE, source=span.source)


def _approved(own: Sequence[Act], since: dt.datetime, currency: str) -> Figure:
    """What the last plan that somebody approved in this life promised."""
    agreed = [each for each in own if each.approved_by and each.at >= since and not each.action.startswith(_UNDO)]
    if not agreed:
        return Figure(reason="no plan with it was approved and applied")
    last = max(agreed, key=lambda each: each.at)
    source = f"plan {last.plan_digest[:12]}, approved by {', '.join(last.approved_by)}"
    if last.savings is None:
        return Figure(reason="the plan has no figure for it", unknown=True, source=source)
    if last.currency != currency:
        return Figure(
            reason=f"{last.savings} {last.currency}: the ledger is in {currency}", unknown=True, source=source
        )
    return Figure(last.savings, confidence=Confidence.ESTIMATE, source=source)


def _realised(claims: Sequence[Realised], state: State, estimated: Figure) -> Figure:
    if not claims:
        if estimated.amount is None and not estimated.unknown:
            return Figure(reason=estimated.reason)
        blind = state is State.UNKNOWN
        return Figure(reason="the newest run could not tell" if blind else "not resolved yet", unknown=blind)
    running = [each for each in claims if each.ended_at is None]
    amount = total(claims)
    notes = "; ".join(dict.fromkeys(each.reason or each.bill_note for each in running if each.reason or each.bill_note))
    if amount is not None:
        known = [each for each in running if each.amount is not None]
        worst = max((each.confidence for each in known), key=list(Confidence).index)
        return Figure(amount, reason=notes, confidence=worst, source="; ".join(each.source for each in known))
    if running:
        return Figure(reason=notes, unknown=True)
    last = claims[-1]
    return Figure(reason=f"ended on {last.ended_at:%Y-%m-%d}: {last.ended_by}")
