"""``approvers`` and ``approval`` of a customer.yaml: what is read, and what is refused, with its place."""

from __future__ import annotations

import base64
from decimal import Decimal
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from finops_policy.approval_settings import _PRIME, _WEAK, _overlap
from finops_policy.catalog import Catalog
from finops_policy.customer import ApprovalRule, ApprovalRules, ApproverRole, Customer
from finops_policy.errors import InvalidFilesError
from finops_policy.marks import Diagnostic, Mark
from finops_policy.remediation.approvers import Registry
from tests.unit.builders import CUSTOMER, write_workspace

PATH = "customers/own-customer/customer.yaml"
ONE = "ed25519:HVfwFkwM7VsoM/xXkASuW0vwcG+eHG0MROnt/IS5pig="
TWO = "ed25519:jl5ojknwfDPs/Dg/sQ2fy2TAIUKAa+rEEpf8A12JJpI="
ROLE = "arn:aws:sts::111122223333:assumed-role"
APPROVERS = f"""\
approvers:
  - name: Ann
    email: ann@shop.example
    role: engineering
    keys: ["{ONE}"]
    identities: ["{ROLE}/dev/ann", "arn:aws:iam::111122223333:user/ann"]
  - name: Bob
    email: bob@shop.example
    role: finance
    keys:
      - "{TWO}"
    identities:
      - "{ROLE}/AWSReservedSSO_Fin_*/bob@shop.example"
"""
APPROVAL = """\
approval:
  valid_hours: 24
  rules:
    - {over: "500.00", destructive: true, needs: [finance, security]}
    - {needs: [engineering]}
"""
ENGINEERING, FINANCE, SECURITY = ApproverRole


def customer(tmp_path: Path, text: str) -> Customer:
    workspace = write_workspace(tmp_path, customer=CUSTOMER.format(name="own-customer") + text)
    return Catalog(workspace).customer("own-customer")


def problems(tmp_path: Path, text: str) -> list[Diagnostic]:
    with pytest.raises(InvalidFilesError) as caught:
        customer(tmp_path, text)
    assert all(each.mark.path == PATH and each.hint for each in caught.value.diagnostics)
    return list(caught.value.diagnostics)


def test_approvers_and_rules_as_written(tmp_path: Path) -> None:
    found = customer(tmp_path, APPROVERS + APPROVAL)
    ann, bob = found.approvers
    assert (ann.name, ann.email, ann.role, ann.keys) == (
        *("Ann", "ann@shop.example", ENGINEERING),
        (ONE.removeprefix("ed25519:"),),
    )
    assert ann.identities == (f"{ROLE}/dev/ann", "arn:aws:iam::111122223333:user/ann")
    assert (ann.mark, bob.mark) == (Mark(PATH, 16, 5), Mark(PATH, 21, 5))
    assert (bob.role, bob.identities) == (FINANCE, (f"{ROLE}/AWSReservedSSO_Fin_*/bob@shop.example",))
    first = ApprovalRule(frozenset({FINANCE, SECURITY}), Decimal("500.00"), destructive=True)
    assert found.approval == ApprovalRules((first, ApprovalRule(frozenset({ENGINEERING}))), 24)


def test_without_approval_the_default_is_strict(tmp_path: Path) -> None:
    found = customer(tmp_path, "approvers:\n  - {name: Ann, email: ann@shop.example, role: finance}\n")
    assert found.approval == ApprovalRules((ApprovalRule(frozenset({ENGINEERING, FINANCE})),), 72)
    [ann] = found.approvers
    assert (ann.keys, ann.identities) == ((), ())
    bare = customer(tmp_path, "")
    assert (bare.approvers, bare.approval) == ((), ApprovalRules())


def test_hours_have_a_default(tmp_path: Path) -> None:
    assert customer(tmp_path, APPROVAL.replace("  valid_hours: 24\n", "")).approval.valid_hours == 72


def test_the_example_customers_approvers_can_be_known(tmp_path: Path) -> None:
    acme = Catalog(tmp_path).customer("acme")
    assert {each.role for each in acme.approvers} == set(ApproverRole)
    registry = Registry.of(acme)
    assert len(registry._keys) == 3
    assert acme.approval.rules[-1] == ApprovalRule(frozenset({ENGINEERING}))


@pytest.mark.parametrize("again", ["ann@shop.example", "ANN@Shop.Example"])
def test_a_person_is_listed_once(tmp_path: Path, again: str) -> None:
    [problem] = problems(tmp_path, APPROVERS.replace("email: bob@shop.example", f"email: {again}"))
    assert problem.message == f"Approver {again} is listed twice."
    assert (problem.mark, problem.related) == (Mark(PATH, 21, 5), (Mark(PATH, 16, 5),))


def test_a_key_is_one_persons(tmp_path: Path) -> None:
    [problem] = problems(tmp_path, APPROVERS.replace(TWO, ONE))
    assert problem.message == f"The key {ONE} is listed twice."
    assert (problem.mark, problem.related) == (Mark(PATH, 25, 9), (Mark(PATH, 19, 12),))


@pytest.mark.parametrize(
    ("ann", "bob"),
    [
        (f"{ROLE}/dev/ann", f"{ROLE}/dev/ann"),
        (f"{ROLE}/dev/*", f"{ROLE}/dev/bob"),
        (f"{ROLE}/dev/bob", f"{ROLE}/*/bob"),
        (f"{ROLE}/dev/b*", f"{ROLE}/d*/?ob"),
        (f"{ROLE}/*/*", f"{ROLE}/dev/bob"),
    ],
)
def test_an_identity_is_one_persons(tmp_path: Path, ann: str, bob: str) -> None:
    text = APPROVERS.replace(f"{ROLE}/dev/ann", ann).replace(f"{ROLE}/AWSReservedSSO_Fin_*/bob@shop.example", bob)
    [problem] = problems(tmp_path, text)
    assert problem.message == f"{ann} and {bob} can be one identity, of two people."
    assert (problem.mark, problem.related) == (Mark(PATH, 27, 9), (Mark(PATH, 20, 18),))


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        ("", "", True),
        ("a", "a", True),
        ("a", "b", False),
        ("a*", "*b", True),
        ("a*c", "ab*", True),
        ("a?c", "a?", False),
        ("*", "a/b", False),
        ("?", "/", False),
        ("*/b", "a/*", True),
        ("a*b*c", "axxbyyc", True),
        ("a*b", "a*c", False),
        ("*?", "", False),
        ("*", "", True),
        ("a" * 600 + "*", "*" * 20 + "b", True),
        ("*a" * 40, "*b" * 40, False),
    ],
)
def test_whether_globs_overlap(one: str, other: str, meet: bool) -> None:
    assert _overlap(one, other) is meet
    assert _overlap(other, one) is meet


def test_one_person_may_have_globs_that_overlap(tmp_path: Path) -> None:
    assert customer(tmp_path, APPROVERS.replace("arn:aws:iam::111122223333:user/ann", f"{ROLE}/dev/*"))


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    text = APPROVERS.replace(TWO, ONE).replace("bob@shop.example\n", "ann@shop.example\n", 1)
    assert len(problems(tmp_path, text)) == 2


def _key(y: int) -> str:
    return "ed25519:" + base64.b64encode(y.to_bytes(32, "little")).decode()


@pytest.mark.parametrize("y", [*sorted(_WEAK), _PRIME, _PRIME + 1, 1 | 1 << 255, 2**255 - 1])
def test_a_key_that_anybody_can_sign_for_is_refused(tmp_path: Path, y: int) -> None:
    [problem] = problems(tmp_path, APPROVERS.replace(TWO, _key(y)))
    assert problem.rule == "approver-key"
    assert problem.mark == Mark(PATH, 25, 9)


@pytest.mark.parametrize("y", sorted(_WEAK))
def test_such_keys_are_weak_indeed(y: int) -> None:
    """Without the private half: the same 64 bytes fit some of these texts."""
    key, signature = (
        Ed25519PublicKey.from_public_bytes(y.to_bytes(32, "little")),
        (1).to_bytes(32, "little") + bytes(32),
    )
    fits = 0
    for number in range(200):
        try:
            key.verify(signature, b"approve %d" % number)
            fits += 1
        except InvalidSignature:
            continue
    assert fits


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (f'"{TWO}"', '"ed25519:short"', "item 1 of `keys` does not have the right form"),
        (f'"{TWO}"', f'"{TWO.removeprefix("ed25519:")}"', "item 1 of `keys` does not have the right form"),
        (f'"{TWO}"', f'"{TWO[:-2]}J="', "is not an ed25519 public key that can be trusted"),
        ("role: finance", "role: boss", "`role` must be one of engineering, finance, security"),
        ("AWSReservedSSO_Fin_*/bob@shop.example", "*", "item 1 of `identities` does not have the right form"),
        (f"{ROLE}/dev/ann", "arn:aws:sts::*:assumed-role/dev/ann", "item 1 of `identities` does not have"),
        (f"{ROLE}/dev/ann", "arn:aws:iam::111122223333:root", "item 1 of `identities` does not have"),
        (f"{ROLE}/dev/ann", "*", "item 1 of `identities` does not have the right form"),
        ('over: "500.00"', "over: 500", "`over` must be text"),
        ('over: "500.00"', 'over: "-1"', "`over` does not have the right form"),
        ("destructive: true", "destructive: false", "`destructive` must be true"),
        ("needs: [engineering]", "needs: []", "`needs` must have at least 1 item"),
        ("needs: [engineering]", "needs: [boss]", "item 1 of `needs` must be one of"),
        ("{needs: [engineering]}", "{}", "`needs` is missing"),
        ("valid_hours: 24", "valid_hours: 0", "`valid_hours` must be at least 1"),
        ("valid_hours: 24", "valid_hours: 721", "`valid_hours` must be at most 720"),
        ("    - {needs: [engineering]}\n", "", "Every rule has a condition"),
        ("valid_hours", "hours", "`hours` is not a key of `approval`"),
    ],
)
def test_what_cannot_be_said(tmp_path: Path, old: str, new: str, says: str) -> None:
    text = APPROVERS + APPROVAL
    assert old in text
    assert any(says in each.message for each in problems(tmp_path, text.replace(old, new)))


def test_rules_that_hold_for_nothing_are_told_where_they_are(tmp_path: Path) -> None:
    [problem] = problems(tmp_path, APPROVAL.replace("    - {needs: [engineering]}\n", ""))
    assert (problem.rule, problem.mark.line) == ("approval", 17)
