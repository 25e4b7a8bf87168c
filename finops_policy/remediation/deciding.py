"""Making an approval: who signs, what they say, and whether it would count before it is written down.

The rules are those of ``approvals``; here they are asked before anybody signs, and again while the folder is held, so
that what was recorded meanwhile is seen.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from finops_policy import aws
from finops_policy.customer import Approver, Customer
from finops_policy.errors import EvidenceError, FinopsPolicyError, UsageError, did_you_mean
from finops_policy.evidence.canonical import clean
from finops_policy.evidence.chain import read_head
from finops_policy.evidence.layout import customer_of
from finops_policy.evidence.signing import PublicKey, SigningKey, default_key_path, public_path
from finops_policy.remediation.approval_files import deciding, read_envelopes, record_attempts, write_envelope
from finops_policy.remediation.approvals import (
    LONGEST_COMMENT,
    Approval,
    AttemptKind,
    Decision,
    Judged,
    Method,
    Rejected,
    judge_approvals,
    objection_to,
)
from finops_policy.remediation.approvers import Registry, approver_key_path, registered_form
from finops_policy.remediation.model import Plan
from finops_policy.remediation.plan_file import read_plan

_HINTS: Final = {
    AttemptKind.PLAN_CHANGED: "Find out who changed it, and have a new plan made.",
    AttemptKind.EXPIRED_PLAN: "Have a new plan made.",
    AttemptKind.UNREGISTERED_KEY: "Have it registered: `finops-policy approve --register` prints the line for it.",
    AttemptKind.UNREGISTERED_IDENTITY: "Have it registered under `identities` of the approver in customer.yaml.",
    AttemptKind.REQUESTER: "Let somebody else approve it. If they did not ask for it: plan with --requested-by EMAIL.",
    AttemptKind.TWO_LEVELS: "Let another person approve for that role.",
    AttemptKind.WRONG_CUSTOMER: "Name the customer whose plan it is.",
    AttemptKind.REPEATED: "Nothing needs to be done: the decision stands.",
}


class RefusedError(FinopsPolicyError):
    """A decision that does not count, with what is recorded of it."""

    def __init__(self, rejected: Rejected, *, hint: str = "") -> None:
        super().__init__(f"Refused ({rejected.kind}): {rejected.message}", hint=hint or _HINTS.get(rejected.kind, ""))
        self.rejected = rejected


@dataclass(frozen=True, slots=True)
class Signatory:
    """A registered approver and the key that signs for them: their own, or for STS the one of this machine."""

    approver: Approver
    key: SigningKey
    method: Method = Method.KEY
    identity: str = ""

    @property
    def attesting(self) -> PublicKey | None:
        return self.key.public if self.method is Method.STS else attesting_key()


def attesting_key() -> PublicKey | None:
    """The public key of this machine's evidence; None where it has none. Raises :class:`EvidenceError`."""
    path = public_path(default_key_path())
    return PublicKey.load(path) if path.is_file() else None


def open_plan(path: Path, customer: Customer) -> Plan:
    """The plan at ``path``, which must be the customer's. Raises :class:`RefusedError`."""
    try:
        plan = read_plan(path)
    except EvidenceError as error:
        rejected = Rejected(AttemptKind.PLAN_UNREADABLE, error.message, file=path.name, digest=_digest(path))
        raise RefusedError(rejected, hint=error.hint) from error
    if plan.customer != customer.name:
        message = f"the plan is of {plan.customer}, not of {customer.name}"
        raise RefusedError(Rejected(AttemptKind.WRONG_CUSTOMER, message, file=path.name, digest=plan.digest))
    return plan


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""  # the error that is told already says so


def by_key(customer: Customer, path: Path | None) -> Signatory:
    """Who holds the private key at ``path`` (default: the one that registering makes).

    Raises :class:`UsageError` when there is none, and :class:`RefusedError` when it is not registered.
    """
    place = path or approver_key_path()
    if not place.is_file():
        hint = "`finops-policy approve --register` makes one; --key names another file."
        raise UsageError(f"There is no private key at {place}", hint=hint)
    key, _ = SigningKey.load_or_create(place)
    holder = Registry.of(customer).by_key(key.public.id)
    if holder is None:
        message = f"the key {registered_form(key.public)} is not registered for an approver of {customer.name}"
        raise RefusedError(Rejected(AttemptKind.UNREGISTERED_KEY, message, key_id=key.public.id))
    return Signatory(holder[0], key)


def by_sts(customer: Customer, plan_file: Path) -> Signatory:
    """Who AWS says is calling, attested by this machine's signing key, which must be the one of the plan's chain.

    Raises :class:`RefusedError` for an identity that is nobody's, and :class:`EvidenceError` for a chain that another
    key signed.
    """
    arn = aws.caller(customer.home_region).arn
    key, _ = SigningKey.load_or_create(None)
    home = plan_file.resolve().parent.parent.parent
    if customer_of(home) == customer.name:
        read_head(home, key.public)
    approver = Registry.of(customer).by_identity(arn)
    if approver is None:
        message = f"{arn} is not an identity of one approver of {customer.name}"
        raise RefusedError(Rejected(AttemptKind.UNREGISTERED_IDENTITY, message, key_id=key.public.id))
    return Signatory(approver, key, Method.STS, arn)


def draft(
    plan: Plan,
    customer: Customer,
    signatory: Signatory,
    decision: Decision,
    items: Sequence[str] | None,
    comment: str,
    now: dt.datetime,
    valid_hours: int | None = None,
) -> Approval:
    """What a person would sign; None for ``items`` is all. It lasts for ``valid_hours``, or as long as the rules let
    it, and never longer than the plan; a refusal is for good.

    Raises :class:`UsageError` for a comment or hours that cannot be, and :class:`RefusedError` for items that are not
    in the plan and for a plan that has expired.
    """
    longest = customer.approval.valid_hours
    if valid_hours is not None and valid_hours > longest:
        raise UsageError(
            f"An approval may last for {longest} hours, not {valid_hours}.", hint="Leave --valid-hours out."
        )
    comment = clean(comment.strip())
    if not 1 <= len(comment) <= LONGEST_COMMENT:
        raise UsageError(f"A comment has 1 to {LONGEST_COMMENT} characters, not {len(comment)}.")
    known = {item.id for item in plan.items}
    for each in items or ():
        if each not in known:
            rejected = _rejected(AttemptKind.UNKNOWN_ITEM, f"the plan has no item {each}", signatory)
            raise RefusedError(rejected, hint=did_you_mean(each, known))
    at = now.astimezone(dt.UTC).replace(microsecond=0)
    ends = plan.valid_until.astimezone(dt.UTC).replace(microsecond=0)
    if at >= ends:
        message = f"the plan was valid until {ends:%Y-%m-%dT%H:%M:%SZ}"
        raise RefusedError(_rejected(AttemptKind.EXPIRED_PLAN, message, signatory))
    if decision is Decision.APPROVE:
        ends = min(ends, at + dt.timedelta(hours=valid_hours or longest))
    return Approval(
        customer=plan.customer,
        plan_id=plan.plan_id,
        plan_digest=plan.digest,
        approver=signatory.approver.email,
        name=signatory.approver.name,
        role=signatory.approver.role,
        decision=decision,
        items=None if items is None else tuple(sorted(set(items))),
        comment=comment,
        at=at,
        expires=ends,
        method=signatory.method,
        identity=signatory.identity,
    )


def check(
    said: Approval, signatory: Signatory, folder: Path, plan: Plan, customer: Customer, now: dt.datetime
) -> Judged:
    """Whether a decision would count beside those that lie in ``folder``; answers with what these come to.

    Raises :class:`RefusedError`; nobody approves a plan that was another one when it was approved before.
    """
    judged = judge_approvals(plan, read_envelopes(folder), customer, now, signatory.attesting)
    record_attempts(folder, plan, (each for each in judged.rejected if each.kind not in _TIME), now)
    changed = [each for each in judged.rejected if each.kind is AttemptKind.PLAN_CHANGED]
    if changed and said.decision is Decision.APPROVE:
        raise RefusedError(_rejected(AttemptKind.PLAN_CHANGED, f"{changed[0].file}: {changed[0].message}", signatory))
    if objection := objection_to(said, signatory.approver, plan, customer, judged.given, now):
        raise RefusedError(_rejected(*objection, signatory))
    return judged


_TIME: Final = frozenset({AttemptKind.EXPIRED_APPROVAL, AttemptKind.EXPIRED_PLAN})
"""What only time made of an approval that counted is no attempt of anybody."""


def _rejected(kind: AttemptKind, message: str, signatory: Signatory) -> Rejected:
    return Rejected(kind, message, signatory.approver.email, signatory.key.public.id)


def decide(
    said: Approval, signatory: Signatory, folder: Path, plan: Plan, customer: Customer, now: dt.datetime
) -> Path:
    """Signs a decision and writes it beside the plan, unless it does not count. Raises :class:`RefusedError`."""
    with deciding(folder):
        check(said, signatory, folder, plan, customer, now)
        return write_envelope(folder, said, signatory.key.sign(said.statement()))


@contextlib.contextmanager
def attempts_recorded(folder: Path, plan: Plan | None = None) -> Iterator[None]:
    """A :class:`RefusedError` within is recorded beside the plan, and goes on. It says so where that cannot be."""
    try:
        yield
    except RefusedError as refused:
        try:
            record_attempts(folder, plan, (refused.rejected,), dt.datetime.now(dt.UTC))
        except EvidenceError as error:
            refused.hint = f"The attempt could not be recorded: {error.message}. {refused.hint}".rstrip()
        raise
