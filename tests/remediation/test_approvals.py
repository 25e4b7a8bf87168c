"""Which approvals count, and what each item still needs: everything that must hold, broken once."""

from __future__ import annotations

import base64
import datetime as dt
import json
import random
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from finops_policy.customer import ApprovalRule, ApprovalRules, ApproverRole
from finops_policy.errors import EvidenceError
from finops_policy.evidence.canonical import encode
from finops_policy.evidence.signing import SignedStatement
from finops_policy.library import library_root
from finops_policy.money import Money
from finops_policy.remediation.approvals import (
    PREDICATE,
    Approval,
    AttemptKind,
    Decision,
    Judged,
    Method,
    monthly_amount,
    needed_roles,
)
from finops_policy.remediation.approvers import Registry, asked, is_identity_of
from finops_policy.remediation.model import Item, Plan, Requester
from finops_policy.remediation.plan_file import parse_plan, plan_bytes
from tests.remediation.approval_kit import (
    DESTRUCTIVE,
    EMAILS,
    ENGINEERING,
    FINANCE,
    HOUR,
    NOW,
    ONE,
    RULES,
    SECURITY,
    SSO,
    THREE,
    TWO,
    Desk,
    email,
    item,
    plan,
)

DEFAULT = ApprovalRules()
BOTH = {ENGINEERING, FINANCE}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(tmp_path_factory.mktemp("keys"))


def kinds(judged: Judged) -> list[AttemptKind]:
    assert all(each.message and each.digest and each.file for each in judged.rejected)
    return [each.kind for each in judged.rejected]


# --- What a plan needs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("items", "needed"),
    [
        ([item(ONE, "500.00")], [{ENGINEERING}]),
        ([item(ONE, "500.01")], [BOTH]),
        ([item(ONE, "300"), item(TWO, "300")], [BOTH, BOTH]),
        ([item(ONE, "1", **DESTRUCTIVE), item(TWO, "1")], [BOTH, {ENGINEERING}]),
        ([item(ONE, None)], [BOTH]),
        ([item(ONE, "1", money=None)], [BOTH]),
        ([item(ONE, "1"), item(TWO, None)], [BOTH, BOTH]),
        ([item(ONE, "400"), item(TWO, "400", resource_id=f"i-{ONE}")], [{ENGINEERING}, {ENGINEERING}]),
        ([item(ONE, "600"), item(TWO, "-600")], [BOTH, BOTH]),
        ([item(ONE, "-501")], [BOTH]),
        ([item(ONE, "1"), item(TWO, money=Money("EUR", savings=Decimal(1)))], [BOTH, BOTH]),
    ],
    ids=[
        *("at the threshold", "over it", "over it together", "destructive", "no price", "claims no savings"),
        *("one unknown", "two findings, one resource", "no set-off", "costs more", "two currencies"),
    ],
)
def test_needs_add_up_and_the_unknown_is_over(items: list[Item], needed: list[set[ApproverRole]]) -> None:
    assert list(needed_roles(plan(*items), RULES).values()) == needed


def test_without_rules_everything_needs_both() -> None:
    assert needed_roles(plan(item(ONE, "0.01")), DEFAULT) == {ONE: {ENGINEERING, FINANCE}}


def test_where_no_rule_holds_the_default_does() -> None:
    """Reading a customer refuses such rules; made by hand they must not mean that nobody is asked."""
    rules = ApprovalRules((ApprovalRule(frozenset({SECURITY}), over=Decimal(9999)),))
    assert needed_roles(plan(), rules) == {ONE: {ENGINEERING, FINANCE}}


def test_conditions_of_a_rule_must_all_hold() -> None:
    rules = ApprovalRules(
        (ApprovalRule(frozenset({SECURITY}), Decimal(10), destructive=True), ApprovalRule(frozenset({FINANCE})))
    )
    of = plan(item(ONE, "70", **DESTRUCTIVE), item(TWO, "70"))
    assert needed_roles(of, rules) == {ONE: {SECURITY, FINANCE}, TWO: {FINANCE}}
    assert needed_roles(plan(item(ONE, "9", **DESTRUCTIVE)), rules) == {ONE: {FINANCE}}


def test_an_amount_that_is_unknown_says_why() -> None:
    assert monthly_amount(plan(item(ONE, "1.10"), item(TWO, "2.20"))).amount == Decimal("3.30")
    unknown = monthly_amount(plan(item(ONE, "1"), item(TWO, None), item(THREE, "1", money=None)))
    assert (unknown.amount, unknown.reason) == (None, "it is unknown what 2 of 3 items save")
    mixed = monthly_amount(plan(item(ONE, "1"), item(TWO, money=Money("EUR", savings=Decimal(1)))))
    assert (mixed.amount, mixed.currency, mixed.reason) == (None, "", "the items are in EUR and USD")


# --- Who approved what ------------------------------------------------------------------------------------------------


def test_nothing_is_approved_by_nobody(desk: Desk) -> None:
    judged = desk.judge(plan())
    assert judged.approved == ()
    assert judged.items[ONE].missing == (ENGINEERING,)


def test_one_level_is_enough_where_one_is_needed(desk: Desk) -> None:
    of = plan()
    judged = desk.judge(of, desk.envelope(of, "samuel"))
    assert (judged.approved, kinds(judged)) == ((ONE,), [])
    [by] = judged.items[ONE].approved_by
    assert by == f"samuel@acme.example (engineering, key {desk.keys['samuel'].public.id[:8]})"


def test_another_level_does_not_stand_in(desk: Desk) -> None:
    of = plan()
    judged = desk.judge(of, desk.envelope(of, "ingrid"), desk.envelope(of, "lucia"))
    assert (judged.approved, kinds(judged)) == ((), [])
    assert judged.items[ONE].missing == (ENGINEERING,)
    assert set(judged.items[ONE].given) == {FINANCE, SECURITY}


def test_two_levels_need_two_people(desk: Desk) -> None:
    of = plan(item(ONE, "900"))
    one, other = desk.envelope(of, "samuel"), desk.envelope(of, "ingrid")
    assert desk.judge(of, one).items[ONE].missing == (FINANCE,)
    assert desk.judge(of, other).items[ONE].missing == (ENGINEERING,)
    assert desk.judge(of, one, desk.envelope(of, "noor")).items[ONE].missing == (FINANCE,), (
        "two engineers are one level"
    )
    assert desk.judge(of, other, one).approved == (ONE,)


def test_items_may_be_approved_apart(desk: Desk) -> None:
    of = plan(item(ONE, "900"), item(TWO, "1"), item(THREE, "1"))
    envelopes = [
        desk.envelope(of, "samuel", [ONE, TWO]),
        desk.envelope(of, "ingrid", [TWO, THREE]),
        desk.envelope(of, "noor", [THREE]),
    ]
    judged = desk.judge(of, *envelopes)
    assert judged.approved == (TWO, THREE)
    assert judged.items[ONE].missing == (FINANCE,)


def test_an_approval_of_more_items_is_no_repetition(desk: Desk) -> None:
    of = plan(item(ONE), item(TWO))
    later = desk.envelope(of, "samuel", at=NOW + HOUR)
    judged = desk.judge(of, desk.envelope(of, "samuel", [ONE]), later, now=NOW + 2 * HOUR)
    assert (judged.approved, kinds(judged)) == ((ONE, TWO), [])


@pytest.mark.parametrize("who", ["ingrid", "samuel", "lucia", "noor"])
def test_whoever_refuses_it_is_refused_for_good(desk: Desk, who: str) -> None:
    of = plan(item(ONE), item(TWO))
    no = desk.envelope(of, who, [ONE], decision=Decision.REFUSE, at=NOW + HOUR, expires=NOW + 2 * HOUR)
    yes = [desk.envelope(of, "samuel"), desk.envelope(of, who, at=NOW + 3 * HOUR) if who != "samuel" else b""]
    judged = desk.judge(of, no, *filter(None, yes), now=NOW + 5 * HOUR)
    assert judged.approved == (TWO,), "its time is over, and it stands"
    assert [each.approval.approver for each in judged.items[ONE].refused_by] == [email(who)]
    assert {each.approval.decision for each in judged.items[ONE].given.values()} == {Decision.APPROVE}


def test_the_order_of_files_does_not_matter(desk: Desk) -> None:
    of = plan(item(ONE, "900"), item(TWO, "1"))
    envelopes = [
        desk.envelope(of, "samuel", at=NOW - HOUR),
        desk.envelope(of, "samuel", at=NOW),
        desk.envelope(of, "ingrid", [ONE]),
        desk.envelope(of, "lucia", [TWO], decision=Decision.REFUSE),
        b"half",
    ]
    shuffled = random.Random(7)
    for _ in range(20):
        shuffled.shuffle(envelopes)
        judged = desk.judge(of, *envelopes)
        assert judged.approved == (ONE,)
        assert [each.approval.at for each in judged.given] == [NOW - HOUR, NOW, NOW], "the first counts, not the last"
        assert sorted(kinds(judged)) == [AttemptKind.MALFORMED, AttemptKind.REPEATED]


# --- What does not count ----------------------------------------------------------------------------------------------


def refused(desk: Desk, of: Plan, envelope: bytes, **changes: Any) -> AttemptKind:
    """The one reason why an envelope does not count; nothing is approved by it."""
    judged = desk.judge(of, envelope, **changes)
    assert (judged.approved, judged.given) == ((), ())
    [kind] = kinds(judged)
    return kind


def test_an_expired_approval(desk: Desk) -> None:
    of = plan()
    envelope = desk.envelope(of, "samuel", expires=NOW + HOUR)
    assert desk.judge(of, envelope, now=NOW + HOUR - dt.timedelta(seconds=1)).approved == (ONE,)
    assert refused(desk, of, envelope, now=NOW + HOUR) is AttemptKind.EXPIRED_APPROVAL


def test_the_rules_bound_how_long_an_approval_lasts_whatever_it_says(desk: Desk) -> None:
    of = plan()
    envelope = desk.envelope(of, "samuel", expires=NOW + 1000 * HOUR)
    assert desk.judge(of, envelope, now=NOW + 71 * HOUR).approved == (ONE,)
    assert refused(desk, of, envelope, now=NOW + 72 * HOUR) is AttemptKind.EXPIRED_APPROVAL
    ahead = desk.envelope(of, "samuel", at=NOW + HOUR, expires=NOW + 2 * HOUR)
    assert refused(desk, of, ahead) is AttemptKind.MALFORMED, "a date ahead would make it last longer"
    assert desk.judge(of, desk.envelope(of, "samuel", at=NOW + HOUR / 30)).approved, "clocks differ"


def test_an_expired_plan(desk: Desk) -> None:
    of = plan(valid_until=NOW + HOUR)
    envelope = desk.envelope(of, "samuel")
    assert desk.judge(of, envelope).approved == (ONE,)
    assert refused(desk, of, envelope, now=NOW + HOUR) is AttemptKind.EXPIRED_PLAN


def test_who_approves_again_after_it_expired_is_not_repeating(desk: Desk) -> None:
    of = plan()
    old = desk.envelope(of, "samuel", expires=NOW + HOUR)
    new = desk.envelope(of, "samuel", at=NOW + 2 * HOUR)
    judged = desk.judge(of, old, new, now=NOW + 3 * HOUR)
    assert (judged.approved, kinds(judged)) == ((ONE,), [AttemptKind.EXPIRED_APPROVAL])


def test_a_repeated_approval(desk: Desk) -> None:
    of = plan()
    envelope = desk.envelope(of, "samuel")
    judged = desk.judge(of, envelope, envelope)
    assert (judged.approved, kinds(judged)) == ((ONE,), [AttemptKind.REPEATED])


def test_a_key_that_is_not_registered(desk: Desk) -> None:
    of = plan()
    assert refused(desk, of, desk.envelope(of, "mallory")) is AttemptKind.UNREGISTERED_KEY
    claims = desk.keys["mallory"].sign(desk.said(of, "samuel").statement())
    assert refused(desk, of, claims) is AttemptKind.UNREGISTERED_KEY
    keyless = desk.customer_of(RULES, desk.approver("samuel", keys=()))
    assert refused(desk, of, desk.envelope(of, "samuel"), customer=keyless) is AttemptKind.UNREGISTERED_KEY


def test_a_forged_approval(desk: Desk) -> None:
    of = plan()
    claims = desk.keys["ingrid"].sign(desk.said(of, "samuel").statement())
    assert refused(desk, of, claims) is AttemptKind.FORGED, "a registered key, and another one's name"
    envelope = json.loads(desk.envelope(of, "samuel"))
    other = json.loads(desk.envelope(of, "samuel", comment="Something else."))
    swapped = envelope | {"payload": other["payload"]}
    data = (json.dumps(swapped, sort_keys=True, separators=(",", ":")) + "\n").encode()
    assert SignedStatement.parse(data)
    assert refused(desk, of, data) is AttemptKind.FORGED
    stolen = json.loads(desk.envelope(of, "mallory"))
    stolen["signatures"][0]["keyid"] = desk.keys["samuel"].public.id
    data = (json.dumps(stolen, sort_keys=True, separators=(",", ":")) + "\n").encode()
    assert refused(desk, of, data) is AttemptKind.FORGED


def test_a_replay_for_another_plan_or_customer(desk: Desk) -> None:
    of, later = plan(), plan(plan_id="20261125T070000Z-0123abcd")
    envelope = desk.envelope(of, "samuel")
    assert refused(desk, later, envelope) is AttemptKind.WRONG_PLAN
    theirs = plan(customer="globex")
    assert refused(desk, theirs, envelope) is AttemptKind.WRONG_CUSTOMER
    globex = replace(desk.customer, name="globex")
    assert refused(desk, theirs, envelope, customer=globex) is AttemptKind.WRONG_CUSTOMER
    assert refused(desk, of, envelope, customer=globex) is AttemptKind.WRONG_CUSTOMER
    assert desk.judge(theirs, desk.envelope(theirs, "samuel"), customer=globex).approved == (ONE,)


def test_a_plan_that_was_changed(desk: Desk) -> None:
    of = plan(item(ONE, "10"))
    other = plan(item(ONE, "11"))
    assert refused(desk, other, desk.envelope(of, "samuel")) is AttemptKind.PLAN_CHANGED
    assert refused(desk, replace(of, digest=""), desk.envelope(of, "samuel")) is AttemptKind.PLAN_CHANGED


def test_no_byte_of_a_plan_can_change(desk: Desk) -> None:
    """Either it is no plan any more, or it is another one, and the approval is not of it."""
    of = plan(item(ONE), item(TWO, None, **DESTRUCTIVE))
    data = plan_bytes(of)
    envelope = desk.envelope(of, "samuel"), desk.envelope(of, "ingrid")
    assert desk.judge(parse_plan(data, "plan"), *envelope).approved == (ONE, TWO)
    unreadable = changed = 0
    for place in range(0, len(data), 7):
        flipped = bytearray(data)
        flipped[place] ^= 1
        try:
            found = parse_plan(bytes(flipped), "plan")
        except EvidenceError:
            unreadable += 1
            continue
        changed += 1
        judged = desk.judge(found, *envelope, customer=replace(desk.customer, name=found.customer))
        assert judged.approved == ()
        assert {*kinds(judged)} <= {AttemptKind.PLAN_CHANGED, AttemptKind.WRONG_PLAN, AttemptKind.WRONG_CUSTOMER}
    assert unreadable > 50
    assert changed > 50


def test_no_byte_of_an_envelope_can_change(desk: Desk) -> None:
    of = plan()
    data = desk.envelope(of, "samuel")
    seen = set()
    for place in range(len(data)):
        for bit in (1, 32):
            flipped = bytearray(data)
            flipped[place] ^= bit
            seen.add(refused(desk, of, bytes(flipped)))
    assert {AttemptKind.MALFORMED, AttemptKind.FORGED, AttemptKind.UNREGISTERED_KEY} <= seen
    for end in range(0, len(data), 9):
        assert refused(desk, of, data[:end]) is AttemptKind.MALFORMED
    assert refused(desk, of, data + b"\n") is AttemptKind.MALFORMED


@pytest.mark.parametrize(
    "change",
    [
        {"role": "boss"},
        {"decision": "maybe"},
        {"items": []},
        {"items": [TWO, ONE]},
        {"items": [ONE, ONE]},
        {"items": "none"},
        {"items": None},
        {"items": {ONE: True}},
        {"items": [1]},
        {"comment": " "},
        {"comment": "a" * 2001},
        {"comment": None},
        {"at": "2026-11-24T08:00:00"},
        {"at": "2026-11-24T08:00:00+00:00"},
        {"at": "2026-11-24 8:00:00Z"},
        {"expires": "2026-11-24T08:00:00Z"},
        {"expires": None},
        {"method": "sts"},
        {"identity": SSO + "samuel"},
        {"method": "word"},
        {"approver": ""},
        {"more": 1},
        {"items": True},
    ],
    ids=str,
)
def test_a_statement_that_says_anything_else_is_malformed(desk: Desk, change: Mapping[str, Any]) -> None:
    """Signed by the right key, and still no approval."""
    of = plan(item(ONE), item(TWO))
    statement = desk.said(of, "samuel").statement()
    statement["predicate"] |= change
    assert refused(desk, of, desk.keys["samuel"].sign(statement)) is AttemptKind.MALFORMED


@pytest.mark.parametrize(
    "change",
    [
        {"predicateType": "https://finops-policy.dev/run/v1"},
        {"_type": "https://in-toto.io/Statement/v0"},
        {"subject": []},
        {"subject": [{"name": "run.json", "digest": {"sha256": "ab" * 32}}]},
        {"subject": [{"name": "plan.json", "digest": {"sha256": "ab" * 31}}]},
        {"predicate": None},
        {"predicate": []},
    ],
    ids=str,
)
def test_a_statement_about_anything_else_is_malformed(desk: Desk, change: Mapping[str, Any]) -> None:
    of = plan()
    statement = desk.said(of, "samuel").statement() | change
    assert refused(desk, of, desk.keys["samuel"].sign(statement)) is AttemptKind.MALFORMED


def test_an_item_that_is_not_there(desk: Desk) -> None:
    of = plan()
    assert refused(desk, of, desk.envelope(of, "samuel", [ONE, TWO])) is AttemptKind.UNKNOWN_ITEM


def test_a_role_that_is_not_the_persons(desk: Desk) -> None:
    of = plan(item(ONE, "900"))
    assert refused(desk, of, desk.envelope(of, "samuel", role=FINANCE)) is AttemptKind.ROLE
    moved = desk.customer_of(RULES, desk.approver("samuel", role=FINANCE))
    assert refused(desk, of, desk.envelope(of, "samuel"), customer=moved) is AttemptKind.ROLE


def test_one_person_does_not_fill_two_levels(desk: Desk) -> None:
    of = plan(item(ONE, "900"))
    judged = desk.judge(of, desk.envelope(of, "samuel"), desk.envelope(of, "samuel", role=FINANCE, at=NOW + HOUR / 60))
    assert (judged.approved, kinds(judged)) == ((), [AttemptKind.TWO_LEVELS])
    twice = desk.customer_of(
        RULES,
        desk.approver("samuel"),
        desk.approver("ingrid", email="Samuel@Acme.example", name="Samuel", identities=()),
    )
    as_finance = desk.keys["ingrid"].sign(desk.said(of, "ingrid", approver="SAMUEL@acme.example").statement())
    judged = desk.judge(of, desk.envelope(of, "samuel"), as_finance, customer=twice)
    assert (judged.approved, len(judged.rejected)) == ((), 1), "listed twice by hand, with two keys"
    assert kinds(judged) == [AttemptKind.TWO_LEVELS]


def test_a_key_of_two_people_is_nobodys(desk: Desk) -> None:
    of = plan(item(ONE, "900"))
    shared = desk.customer_of(
        RULES, desk.approver("samuel"), desk.approver("ingrid", keys=(desk.registered("samuel"),))
    )
    assert refused(desk, of, desk.envelope(of, "samuel"), customer=shared) is AttemptKind.UNREGISTERED_KEY


# --- Who asked for it -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "requester",
    [
        Requester("arn:aws:iam::999900001111:user/finops-runner", "samuel@acme.example"),
        Requester("", " SAMUEL@Acme.Example "),
        Requester(f"{SSO}samuel@acme.example"),
        Requester("arn:aws:sts::999900001111:assumed-role/admin/Samuel@acme.example", "somebody@acme.example"),
        Requester("arn:aws:iam::999900001111:user/samuel@acme.example"),
        Requester(""),
    ],
    ids=["email", "email in capitals", "identity", "session named so", "user named so", "nobody knows"],
)
def test_the_requester_does_not_approve(desk: Desk, requester: Requester) -> None:
    of = plan(requested_by=requester)
    assert refused(desk, of, desk.envelope(of, "samuel")) is AttemptKind.REQUESTER


def test_an_identity_tells_who_asked_whatever_it_is_called(desk: Desk) -> None:
    arn = "arn:aws:iam::999900001111:user/sok"
    of = plan(requested_by=Requester(arn, "dana@acme.example"))
    known = desk.customer_of(RULES, desk.approver("samuel", identities=(arn,)))
    assert refused(desk, of, desk.envelope(of, "samuel"), customer=known) is AttemptKind.REQUESTER
    assert desk.judge(of, desk.envelope(of, "samuel")).approved == (ONE,)


def test_somebody_else_approves(desk: Desk) -> None:
    of = plan(requested_by=Requester(f"{SSO}samuel@acme.example", "samuel@acme.example"))
    assert desk.judge(of, desk.envelope(of, "noor")).approved == (ONE,)


def test_who_cannot_be_told_from_the_requester_does_not_approve(desk: Desk) -> None:
    """An absence is no proof: no e-mail address in the plan, and no identity in customer.yaml."""
    bare = desk.customer_of(RULES, desk.approver("samuel", identities=()))
    of = plan(requested_by=Requester("arn:aws:iam::999900001111:user/finops-runner"))
    assert refused(desk, of, desk.envelope(of, "samuel"), customer=bare) is AttemptKind.REQUESTER
    [rejected] = desk.judge(of, desk.envelope(of, "samuel"), customer=bare).rejected
    assert "it cannot be told whether" in rejected.message
    assert desk.judge(of, desk.envelope(of, "samuel")).approved == (ONE,), "with an identity it can be told"


def test_the_requester_may_take_the_plan_back(desk: Desk) -> None:
    of = plan(requested_by=Requester("", email("samuel")))
    judged = desk.judge(of, desk.envelope(of, "noor"), desk.envelope(of, "samuel", decision=Decision.REFUSE))
    assert (judged.approved, kinds(judged)) == ((), [])


# --- STS --------------------------------------------------------------------------------------------------------------


def attested(desk: Desk, of: Plan, arn: str, by: str = "machine", **changes: Any) -> bytes:
    said = desk.said(of, "samuel", method=Method.STS, identity=arn, **changes)
    return desk.keys[by].sign(said.statement())


def test_an_identity_counts_if_the_key_of_the_evidence_attests_it(desk: Desk) -> None:
    of, arn = plan(), f"{SSO}samuel@acme.example"
    machine = desk.keys["machine"].public
    judged = desk.judge(of, attested(desk, of, arn), attesting=machine)
    assert (judged.approved, kinds(judged)) == ((ONE,), [])
    [by] = judged.items[ONE].approved_by
    assert by == f"samuel@acme.example (engineering, sts {arn}, attested by key {machine.id[:8]})"


@pytest.mark.parametrize("by", ["mallory", "samuel", "ingrid"])
def test_nobody_else_attests_an_identity(desk: Desk, by: str) -> None:
    of = plan()
    envelope = attested(desk, of, f"{SSO}samuel@acme.example", by)
    attesting = desk.keys["machine"].public
    assert refused(desk, of, envelope, attesting=attesting) is AttemptKind.UNREGISTERED_KEY
    assert refused(desk, of, envelope) is AttemptKind.UNREGISTERED_KEY
    own = attested(desk, of, f"{SSO}samuel@acme.example")
    assert refused(desk, of, own) is AttemptKind.UNREGISTERED_KEY, "without a key to believe, nothing is believed"


def test_an_identity_that_is_not_registered_or_of_somebody_else(desk: Desk) -> None:
    of, attesting = plan(), desk.keys["machine"].public
    for arn in (f"{SSO}noah", f"{SSO}samuel@acme.example/x", f"x{SSO}samuel@acme.example"):
        kind = refused(desk, of, attested(desk, of, arn), attesting=attesting)
        assert kind is AttemptKind.UNREGISTERED_IDENTITY
    arn = f"{SSO}ingrid@acme.example"
    assert refused(desk, of, attested(desk, of, arn), attesting=attesting) is AttemptKind.FORGED


def test_an_identity_of_two_people_is_nobodys(desk: Desk) -> None:
    of, attesting = plan(), desk.keys["machine"].public
    wide = desk.approver("ingrid", identities=(f"{SSO}*",))
    both = desk.customer_of(RULES, desk.approver("samuel"), wide)
    envelope = attested(desk, of, f"{SSO}samuel@acme.example")
    assert refused(desk, of, envelope, attesting=attesting, customer=both) is AttemptKind.UNREGISTERED_IDENTITY


def test_the_machines_key_does_not_approve_by_itself(desk: Desk) -> None:
    of = plan()
    envelope = desk.keys["machine"].sign(desk.said(of, "samuel").statement())
    kind = refused(desk, of, envelope, attesting=desk.keys["machine"].public)
    assert kind is AttemptKind.UNREGISTERED_KEY


def test_the_identity_that_asked_does_not_approve(desk: Desk) -> None:
    """Also where customer.yaml gave it to somebody only afterwards."""
    arn = f"{SSO}samuel@acme.example"
    of = plan(requested_by=Requester(arn, "dana@acme.example"))
    kind = refused(desk, of, attested(desk, of, arn), attesting=desk.keys["machine"].public)
    assert kind is AttemptKind.REQUESTER
    bare = desk.approver("samuel", identities=(), email="other@acme.example")
    assert asked(of.requested_by, bare, arn)


@pytest.mark.parametrize(
    ("glob", "arn", "matches"),
    [
        ("arn:aws:iam::1:user/x", "arn:aws:iam::1:user/x", True),
        ("arn:aws:iam::1:user/x", "arn:aws:iam::1:user/x2", False),
        ("arn:aws:iam::1:user/*", "arn:aws:iam::1:user/x", True),
        ("arn:aws:iam::1:user/*", "arn:aws:iam::1:user/path/x", False),
        ("arn:aws:sts::1:assumed-role/r/?n", "arn:aws:sts::1:assumed-role/r/an", True),
        ("arn:aws:sts::1:assumed-role/r/?n", "arn:aws:sts::1:assumed-role/r/n", False),
        ("arn:aws:sts::1:assumed-role/r/a.b", "arn:aws:sts::1:assumed-role/r/axb", False),
        ("arn:aws:sts::1:assumed-role/r/a", "arn:aws:sts::1:assumed-role/r/A", False),
        ("arn:aws:sts::1:assumed-role/r/a", "arn:aws:sts::1:assumed-role/r/a\n", False),
        ("arn:aws-us-gov:iam::1:user/x", "arn:aws:iam::1:user/x", False),
    ],
)
def test_globs_over_identities(desk: Desk, glob: str, arn: str, matches: bool) -> None:
    assert is_identity_of(arn, desk.approver("samuel", identities=(glob,))) is matches


# --- The statement ----------------------------------------------------------------------------------------------------


def test_statements_fit_their_schema(desk: Desk) -> None:
    text = library_root().joinpath("schemas", "approval.schema.json").read_text("utf-8")
    validator = Draft202012Validator(json.loads(text))
    of = plan(item(ONE), item(TWO))
    for made in (
        desk.said(of, "samuel"),
        desk.said(of, "samuel", [ONE, TWO], decision=Decision.REFUSE),
        desk.said(of, "samuel", method=Method.STS, identity=f"{SSO}x"),
    ):
        statement = made.statement()
        validator.validate(statement)
        assert Approval.of(statement) == made
        assert statement["predicateType"] == PREDICATE
        assert statement["subject"] == [{"name": "plan.json", "digest": {"sha256": of.digest}}]
    statement["predicate"]["items"] = []
    assert list(validator.iter_errors(statement))
    assert set(json.loads(text)["$defs"]["attempt"]["properties"]["kind"]["enum"]) == set(AttemptKind)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300))
@settings(max_examples=60, deadline=None)
def test_a_comment_stays_what_it_is(comment: str) -> None:
    of = plan()
    who = (email("samuel"), "Samuel", EMAILS["samuel"])
    made = Approval(
        *(of.customer, of.plan_id, of.digest, *who, Decision.APPROVE, None, comment, NOW, NOW + HOUR, Method.KEY)
    )
    written = json.loads(encode(made.statement()))
    if comment.strip():
        assert Approval.of(written) == made
    else:
        with pytest.raises(ValueError, match="not an approval"):
            Approval.of(written)


# --- The registry -----------------------------------------------------------------------------------------------------


def test_a_registered_key_is_the_one_that_signs(desk: Desk) -> None:
    registry = Registry.of(desk.customer)
    found = registry.by_key(desk.keys["samuel"].public.id)
    assert found is not None
    assert found[0].email == email("samuel")
    assert found[1] == desk.keys["samuel"].public
    raw = base64.b64decode(desk.registered("samuel"))
    assert Ed25519PublicKey.from_public_bytes(raw)
    assert registry.by_key(desk.keys["mallory"].public.id) is None
