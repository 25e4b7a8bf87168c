"""The savings ledger: states over runs, each resource once, and nothing realised that no run has shown."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finops_policy.catalog import Catalog
from finops_policy.ledger import COLUMNS, Act, Finding, State, billed, finding_id, follow, once
from finops_policy.ledger_totals import Bill, Totals, shares
from finops_policy.model import Target
from finops_policy.project import load
from finops_policy.realised import (
    PREFIXES,
    Billed,
    Confidence,
    Ground,
    How,
    Prices,
    Resource,
    RunAt,
    Span,
    lasting,
    reprice,
)
from finops_policy.remediation.items import item_id
from finops_policy.savings import METHODS
from tests.unit.builders import NOW, PROD

IDLE, OVERSIZED, TAGS = "ec2-idle", "ec2-oversized", "ec2-required-tags"
RESOURCE = Resource(PROD, "us-east-1", "aws.ec2", "i-1", "arn:aws:ec2:us-east-1:111122223333:instance/i-1")
BOOK: Prices = {("ec2/m5.large", "us-east-1"): Decimal("0.1"), ("ec2/m5.xlarge", "us-east-1"): Decimal("0.2")}
LARGE, XLARGE = Decimal(73), Decimal(146)
DEAR: Prices = {key: amount * 2 for key, amount in BOOK.items()}


def ground(
    count: int, *, gaps: Mapping[str, Sequence[str]] | None = None, books: Sequence[Prices] = (), census: bool = True
) -> Ground:
    """``count`` runs ten days apart; in all of them every policy judged everything unless ``gaps`` says otherwise."""
    scopes = {"aws.ec2": {TAGS: "[]"}} if census else {}
    runs = [
        RunAt(f"run-{n}", NOW + dt.timedelta(days=10 * n), books[n] if books else BOOK, "USD", scopes)
        for n in range(count)
    ]
    whole = dict.fromkeys((IDLE, OVERSIZED, TAGS), [""] * count)
    return Ground(runs, {**whole, **(gaps or {})})


def found(first: int, last: int, cost: Decimal = XLARGE, savings: Decimal | None = XLARGE, **changes: Any) -> Span:
    made = Span(first, last, "noncompliant", "medium", "", cost, savings, "USD", "on_demand_hours", "list", True)
    return made._replace(**changes)


def tagged(first: int, last: int) -> Span:
    return Span(first, last, "compliant", "low", "")


def act(day: float, action: str = "stop", **changes: Any) -> Act:
    at = NOW + dt.timedelta(days=day)
    made = Act(IDLE, RESOURCE, action, "done", ("dana@example.com",), "arn:x", XLARGE, "USD", "ab" * 32, at)
    return made._replace(**changes)


def one(spans: Mapping[str, Sequence[Span]], on: Ground, acts: Sequence[Act] = (), currency: str = "USD") -> Finding:
    return next(each for each in follow(RESOURCE, spans, on, acts, currency) if each.policy == IDLE)


# --- states -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spans", "gap", "state"),
    [
        ([found(0, 2)], "", State.OPEN),
        ([found(0, 0), found(2, 2)], "", State.REOPENED),
        ([found(0, 1), found(2, 2, verdict="waived", savings=None, waiver_id="W-1")], "", State.WAIVED),
        ([found(0, 1), found(2, 2, verdict="compliant", savings=None)], "", State.RESOLVED),
        ([found(0, 1)], "", State.RESOLVED),
        ([found(0, 1)], "1 of 3 could not be judged", State.UNKNOWN),
        ([found(0, 1), found(2, 2, verdict="unknown", savings=None)], "", State.UNKNOWN),
    ],
)
def test_the_newest_run_decides_the_state(spans: list[Span], gap: str, state: State) -> None:
    finding = one({IDLE: spans}, ground(3, gaps={IDLE: ["", "", gap]}))
    assert finding.state is state
    assert not (state in (State.OPEN, State.REOPENED) and finding.realised.unknown)
    if state is State.UNKNOWN:
        assert finding.reason
        assert finding.realised.unknown


def test_a_run_that_did_not_look_resolves_nothing() -> None:
    finding = one({IDLE: [found(0, 0), found(2, 2)]}, ground(3, gaps={IDLE: ["", "own-permission: denied", ""]}))
    assert finding.state is State.OPEN
    assert finding.since == finding.first_seen == NOW


def test_a_reopened_finding_begins_a_new_life_with_a_new_estimate() -> None:
    spans = {IDLE: [found(0, 0), found(2, 2, LARGE, LARGE)], TAGS: [tagged(0, 0), tagged(2, 2)]}
    finding = one(spans, ground(3))
    assert (finding.state, finding.first_seen, finding.since) == (State.REOPENED, NOW, NOW + dt.timedelta(days=20))
    assert finding.estimated.amount == LARGE


def test_unknown_after_resolved_says_both() -> None:
    finding = one({IDLE: [found(0, 0)]}, ground(3, gaps={IDLE: ["", "", "timeout: no answer"]}))
    assert finding.state is State.UNKNOWN
    assert "timeout" in finding.reason
    assert "resolved in run run-1" in finding.reason


def test_the_fingerprint_is_the_id_that_plans_use() -> None:
    others = [RESOURCE._replace(account_id="4" * 12), RESOURCE._replace(region="x"), RESOURCE._replace(resource_id="i")]
    ids = {finding_id(IDLE, RESOURCE), finding_id(OVERSIZED, RESOURCE), *(finding_id(IDLE, each) for each in others)}
    assert len(ids) == 5
    assert finding_id(IDLE, RESOURCE) == item_id(IDLE, Target(PROD, "us-east-1"), "i-1")


def test_estimates_stay_as_they_were_when_it_was_found() -> None:
    dearer = found(1, 1, XLARGE * 2, XLARGE * 2)
    assert one({IDLE: [found(0, 0), dearer]}, ground(2)).estimated.amount == XLARGE


@pytest.mark.parametrize(
    ("span", "reason", "unknown"),
    [
        (found(0, 0, method="", cost=None, savings=None), "claims no savings", False),
        (found(0, 0, verdict="waived", savings=None), "waived", False),
        (found(0, 0, savings=None, reason="no price of ec2/x in us-east-1"), "no price", True),
        (found(0, 0, currency="EUR"), "the ledger is in USD", True),
    ],
)
def test_an_estimate_that_is_missing_says_why(span: Span, reason: str, unknown: bool) -> None:
    figure = one({IDLE: [span]}, ground(1)).estimated
    assert figure.amount is None
    assert reason in figure.reason
    assert figure.unknown is unknown


# --- approved ---------------------------------------------------------------------------------------------------------


def test_approved_is_what_the_last_approved_plan_of_this_life_promised() -> None:
    acts = [act(-5, savings=Decimal(1)), act(2, savings=Decimal(100)), act(4, outcome="held", savings=LARGE)]
    figure = one({IDLE: [found(0, 1)]}, ground(2), acts).approved
    assert figure.amount == LARGE
    assert "dana@example.com" in figure.source
    assert one({IDLE: [found(0, 1)]}, ground(2), [act(2, approved_by=())]).approved.amount is None
    assert one({IDLE: [found(0, 1)]}, ground(2), [act(2, action="undo:stop")]).approved.amount is None
    later = {IDLE: [found(0, 0), found(2, 2)], TAGS: [tagged(0, 2)]}
    assert one(later, ground(3), [act(5)]).approved.amount is None  # that was in the life before
    assert one({IDLE: [found(0, 1)]}, ground(2), [act(2, savings=None)]).approved.unknown


# --- realised ---------------------------------------------------------------------------------------------------------


def test_gone_is_realised_at_its_whole_cost_and_not_by_us() -> None:
    finding = one({IDLE: [found(0, 0)], TAGS: [tagged(0, 0)]}, ground(2))
    [claim] = finding.claims
    assert (claim.how, claim.amount, finding.attributed) == (How.GONE, XLARGE, False)
    assert TAGS in claim.source
    assert claim.seen_at == NOW + dt.timedelta(days=10)


def test_a_resource_that_left_the_scope_is_not_gone() -> None:
    """Restarting an instance ends its uptime, and nothing else."""
    still = one({IDLE: [found(0, 0)], TAGS: [tagged(0, 1)]}, ground(2))
    assert still.state is State.RESOLVED
    assert still.realised.unknown
    assert "only restarted" in still.realised.reason
    blind = one({IDLE: [found(0, 0)]}, ground(2, census=False))
    assert blind.realised.unknown
    assert blind.realised.amount is None


def test_a_census_that_was_not_whole_proves_nothing() -> None:
    gaps = {TAGS: ["", "1 of 9 could not be judged"]}
    assert one({IDLE: [found(0, 0)], TAGS: [tagged(0, 0)]}, ground(2, gaps=gaps)).realised.unknown


@pytest.mark.parametrize(("now", "gone"), [('[{"days": 14}]', True), ('[{"days": 30}]', False)])
def test_a_scope_that_changed_proves_nothing(now: str, gone: bool) -> None:
    on = ground(2)
    was, new = ({"aws.ec2": {IDLE: text}} for text in ('[{"days": 14}]', now))
    on = replace(on, runs=[replace(on.runs[0], scopes=was), replace(on.runs[1], scopes=new)])
    assert (one({IDLE: [found(0, 0)]}, on).realised.amount == XLARGE) is gone


def test_a_stop_of_ours_that_aws_showed_is_realised() -> None:
    finding = one({IDLE: [found(0, 0)], TAGS: [tagged(0, 1)]}, ground(2), [act(5)])
    [claim] = finding.claims
    assert (claim.how, claim.amount, finding.attributed) == (How.ACTED, XLARGE, True)


@pytest.mark.parametrize(
    "acts",
    [
        [act(5, outcome="failed")],
        [act(5, outcome="unverified")],
        [act(5, action="mark-for-op")],
        [act(5), act(6, action="undo:stop", outcome="undone")],
        [act(-5)],
        [act(15)],
    ],
)
def test_what_was_not_done_or_taken_back_realises_nothing(acts: list[Act]) -> None:
    finding = one({IDLE: [found(0, 0)], TAGS: [tagged(0, 1)]}, ground(2), acts)
    assert finding.realised.amount is None
    assert finding.realised.unknown


def test_what_is_unknown_at_first_may_be_shown_later() -> None:
    """Somebody stops it, which no run can tell from a restart, and terminates it later."""
    finding = one({IDLE: [found(0, 0)], TAGS: [tagged(0, 1)]}, ground(3))
    [claim] = finding.claims
    assert (claim.how, claim.amount, claim.seen_at) == (How.GONE, XLARGE, NOW + dt.timedelta(days=20))
    assert finding.resolved_at == NOW + dt.timedelta(days=10)


def test_what_was_unknown_and_is_found_again_is_unknown_no_more() -> None:
    finding = one({IDLE: [found(0, 0), found(2, 2)], TAGS: [tagged(0, 2)]}, ground(3))
    assert (finding.state, finding.realised.unknown) == (State.REOPENED, False)
    [claim] = finding.claims
    assert claim.ended_at == NOW + dt.timedelta(days=20)
    [shown] = billed(finding, [Billed(Decimal(9), Decimal(), "USD", "f")]).claims
    assert shown.ended_at == claim.ended_at


def test_smaller_is_the_difference_of_costs() -> None:
    spans = {IDLE: [found(0, 0), found(1, 1, LARGE, None, verdict="compliant")]}
    assert one(spans, ground(2)).realised.amount == XLARGE - LARGE
    same = {IDLE: [found(0, 0), found(1, 1, XLARGE, None, verdict="compliant")]}
    assert one(same, ground(2)).realised.amount == 0


def test_a_new_price_book_saves_nothing() -> None:
    halved = {key: amount / 2 for key, amount in BOOK.items()}
    spans = {IDLE: [found(0, 0), found(1, 1, XLARGE / 2, None, verdict="compliant")]}
    assert one(spans, ground(2, books=[BOOK, halved])).realised.amount == 0
    resized = {IDLE: [found(0, 0), found(1, 1, XLARGE, None, verdict="compliant")]}  # a large at the doubled price
    assert one(resized, ground(2, books=[BOOK, DEAR])).realised.amount == XLARGE - LARGE


def test_a_price_that_cannot_be_told_apart_makes_it_unknown() -> None:
    figure = one(
        {IDLE: [found(0, 0), found(1, 1, Decimal(5), None, verdict="compliant")]}, ground(2, books=[BOOK, DEAR])
    )
    assert figure.realised.unknown
    assert "the units are not known" in figure.realised.reason


def test_realised_ends_when_it_is_started_again() -> None:
    spans = {IDLE: [found(0, 0), found(3, 3)], TAGS: [tagged(0, 3)]}
    finding = one(spans, ground(4), [act(5)])
    [claim] = finding.claims
    assert claim.ended_at == NOW + dt.timedelta(days=30)
    assert finding.realised.amount is None
    assert "ended on 2026-12-24" in finding.realised.reason
    assert claim.to_date == (XLARGE * 20 * 24 / 730).quantize(Decimal("0.0001"))


def test_what_was_stopped_and_is_in_scope_again_without_a_price_ends() -> None:
    again = found(2, 2, None, None, verdict="compliant", reason="no price")
    [claim] = one({IDLE: [found(0, 0), again], TAGS: [tagged(0, 2)]}, ground(3), [act(5)]).claims
    assert (claim.how, claim.ended_at) == (How.ACTED, NOW + dt.timedelta(days=20))


def test_a_finding_that_was_only_busy_for_a_while_has_realised_nothing() -> None:
    spans = {IDLE: [found(0, 0), found(1, 1, XLARGE, None, verdict="compliant"), found(2, 2)]}
    finding = one(spans, ground(3))
    assert (finding.claims, finding.realised.reason) == ((), "not resolved yet")


def test_what_was_gone_and_is_seen_again_ends() -> None:
    [claim] = one({IDLE: [found(0, 0)], TAGS: [tagged(0, 0), tagged(2, 2)]}, ground(3)).claims
    assert claim.ended_at == NOW + dt.timedelta(days=20)


def test_an_undo_ends_it_at_its_own_time() -> None:
    acts = [act(5), act(14, action="undo:stop", outcome="undone")]
    [claim] = one({IDLE: [found(0, 0)], TAGS: [tagged(0, 1)]}, ground(2), acts).claims
    assert claim.ended_at == NOW + dt.timedelta(days=14)


def test_to_date_counts_no_run_that_did_not_look() -> None:
    gaps = {IDLE: ["", "", "", "denied"]}
    [claim] = one({IDLE: [found(0, 0)], TAGS: [tagged(0, 0)]}, ground(4, gaps=gaps)).claims
    assert claim.confirmed_at == NOW + dt.timedelta(days=20)


def test_two_savings_on_one_finding_add_up_over_its_lives() -> None:
    """Resized twice: the first difference holds while the second life goes on."""
    xxl, shrunk = XLARGE * 2, found(2, 2, XLARGE, LARGE)
    spans = {IDLE: [found(0, 0, xxl), found(1, 1, XLARGE, None, verdict="compliant"), shrunk]}
    spans[IDLE].append(found(3, 3, LARGE, None, verdict="compliant"))
    assert one(spans, ground(4)).realised.amount == xxl - LARGE


# --- prices and scopes ------------------------------------------------------------------------------------------------


def test_every_savings_method_knows_its_prices() -> None:
    assert PREFIXES.keys() == METHODS.keys()


@given(st.sampled_from([LARGE, XLARGE, XLARGE * 2]), st.integers(1, 50), st.integers(1, 50))
def test_repricing_there_and_back_is_the_same(cost: Decimal, up: int, down: int) -> None:
    other = {key: amount * up / down for key, amount in BOOK.items()}
    there = reprice(cost, "on_demand_hours", "us-east-1", BOOK, other)
    assert there is not None
    assert abs(there - cost * up / down) <= Decimal("0.0001")
    assert reprice(cost, "on_demand_hours", "us-east-1", BOOK, BOOK) == cost


def test_prices_of_other_things_change_nothing() -> None:
    other = {**BOOK, ("ebs/gp3", "us-east-1"): Decimal(9), ("ec2/m5.large", "eu-west-1"): Decimal(9)}
    assert reprice(Decimal("12.34"), "on_demand_hours", "us-east-1", BOOK, other) == Decimal("12.34")


def test_which_shipped_scopes_last() -> None:
    policies = load(Catalog(Path("/nowhere")), "acme", "startup").compiled.policies()
    last = {each.name for each in policies if lasting(each.document["filters"][: each.scope_length])}
    assert {"ec2-required-tags", "rds-required-tags", "ebs-unattached", "eip-unassociated"} <= last
    assert not last & {"ec2-idle", "ec2-oversized", "rds-idle", "nat-gateway-idle", "app-elb-idle"}


# --- once, and against the bill ---------------------------------------------------------------------------------------


def both(first: Decimal | None, second: Decimal | None) -> list[Finding]:
    spans = {IDLE: [found(0, 0, savings=first)], OVERSIZED: [found(0, 0, savings=second, method="next_size_down")]}
    return follow(RESOURCE, spans, ground(1), (), "USD")


amounts = st.none() | st.decimals(0, 10_000, places=2)


@given(amounts, amounts)
def test_of_two_findings_on_one_resource_the_larger_counts(first: Decimal | None, second: Decimal | None) -> None:
    totals = Totals()
    totals.add(both(first, second))
    known = [each for each in (first, second) if each is not None]
    assert totals.estimated.amount == max(known, default=Decimal())
    assert totals.estimated.amount == totals.remaining.amount
    assert totals.estimated.resources == bool(known)
    assert totals.estimated.unknown == 2 - len(known)
    assert totals.overlapping == max(len(known) - 1, 0)


spans_of = st.lists(
    st.sampled_from(["noncompliant", "compliant", "waived", "unknown", "absent"]), min_size=1, max_size=7
)


@settings(max_examples=300)
@given(
    spans_of,
    spans_of,
    st.lists(st.booleans(), min_size=7, max_size=7),
    st.lists(st.sampled_from([0, 1, 2]), max_size=3),
)
def test_whatever_happens_the_books_balance(
    verdicts: list[str], others: list[str], whole: list[bool], days: list[int]
) -> None:
    def told(words: list[str]) -> list[Span]:
        return [
            found(n, n, savings=XLARGE if word == "noncompliant" else None, verdict=word)
            for n, word in enumerate(words)
            if word != "absent"
        ]

    on = ground(7, gaps={IDLE: ["" if each else "denied" for each in whole]})
    acts = [act(10 * day + 5) for day in days]
    spans = {name: each for name, each in ((IDLE, told(verdicts)), (OVERSIZED, told(others))) if each}
    findings = follow(RESOURCE, spans, on, acts, "USD")
    totals = Totals()
    totals.add(findings)
    assert sum(totals.states.values()) == totals.findings == len(findings)
    for name in COLUMNS:
        assert sum(name in each.counted for each in findings) <= 1
    for each in findings:
        assert each.first_seen <= each.since <= each.last_seen <= on.runs[-1].at
        assert each.realised_to_date >= 0
        if each.state is State.UNKNOWN and each.policy == IDLE and not whole[6]:
            assert each.reason
        for claim in each.claims:
            assert claim.amount is None or 0 <= claim.amount <= XLARGE
            assert claim.seen_at <= claim.confirmed_at
            assert claim.before_until <= claim.after_from
        if each.state in (State.OPEN, State.WAIVED, State.REOPENED):
            assert not any(claim.how is How.GONE and claim.ended_at is None for claim in each.claims)
    assert totals.realised.amount + totals.elsewhere.amount <= XLARGE * 7


def test_the_bill_wins_over_list_prices_and_says_so() -> None:
    finding = one({IDLE: [found(0, 0)], TAGS: [tagged(0, 0)]}, ground(2))
    shown = billed(finding, [Billed(Decimal(100), Decimal(20), "USD", "EffectiveCost of f.csv")])
    assert (shown.realised.amount, shown.realised.confidence) == (80, Confidence.BILLED)
    assert "f.csv" in shown.realised.source
    assert finding.realised.confidence is Confidence.LIST_PRICE


@pytest.mark.parametrize(
    ("answer", "note"),
    [
        (Billed(None, None, "USD", "f", "data ends too early"), "too early"),
        (Billed(Decimal(9), Decimal(), "EUR", "f"), "the bill is in EUR"),
    ],
)
def test_a_bill_that_cannot_tell_leaves_the_list_price_with_a_note(answer: Billed, note: str) -> None:
    finding = one({IDLE: [found(0, 0)], TAGS: [tagged(0, 0)]}, ground(2))
    shown = billed(finding, [answer])
    assert shown.realised.confidence is Confidence.LIST_PRICE
    assert note in shown.realised.reason


def test_a_bill_that_rose_saves_nothing() -> None:
    finding = one({IDLE: [found(0, 0)], TAGS: [tagged(0, 0)]}, ground(2))
    shown = billed(finding, [Billed(Decimal(10), Decimal(25), "USD", "f")])
    assert shown.realised.amount == 0
    assert "more than before: 15" in shown.realised.reason


@pytest.mark.parametrize(("acts", "column"), [([act(5)], "realised"), ([], "elsewhere")])
def test_what_no_run_could_tell_is_unknown_in_the_column_it_would_be_in(acts: list[Act], column: str) -> None:
    totals = Totals()
    totals.add([one({IDLE: [found(0, 0)]}, ground(2, gaps={IDLE: ["", "1 of 9 could not be judged"]}), acts)])
    assert getattr(totals, column).unknown == totals.realised.unknown + totals.elsewhere.unknown == 1


def test_unverified_prices_and_upper_bounds_are_estimates() -> None:
    for span in (found(0, 0, verified=False), found(0, 0, method="snapshot_storage")):
        finding = one({IDLE: [span], TAGS: [tagged(0, 0)]}, ground(2))
        assert {finding.estimated.confidence, finding.realised.confidence} == {Confidence.ESTIMATE}


def test_a_percentage_needs_a_bill_in_the_same_currency() -> None:
    totals = Totals()
    totals.add(both(LARGE, None))
    told = {
        each.column: each for each in shares(totals, Bill("", Decimal(292), "USD", dt.date(2026, 10, 1), 1, 1), "USD")
    }
    assert (told["estimated"].percent, told["estimated"].denominator) == (Decimal("25.0"), 292)
    assert all(each.percent is None and each.reason for each in shares(totals, Bill(), "USD"))
    assert shares(totals, Bill("", Decimal(292), "EUR"), "USD")[0].reason == "the bill is in EUR, the ledger in USD"
    assert shares(totals, Bill("", Decimal(0), "USD"), "USD")[0].percent is None
    assert shares(totals, Bill("", Decimal(-5), "USD"), "USD")[0].reason == "the bill is not above zero"
    unknown = Totals()
    unknown.add(both(None, None))
    assert shares(unknown, Bill("", Decimal(292), "USD"), "USD")[0].percent is None


def test_once_can_be_asked_again_of_a_part() -> None:
    findings = both(LARGE, XLARGE)
    assert [sorted(each.counted) for each in findings] == [[], ["estimated"]]
    assert [sorted(each.counted) for each in once(findings[:1])] == [["estimated"]]
