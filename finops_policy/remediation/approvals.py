"""PURE: what an approval says, which approvals of a plan count, and what each of its items still needs.

An approval is an in-toto Statement about the bytes of ``plan.json``. It counts only if everything holds: the signature,
the person, their role, the plan, the time. What does not count is never passed over: it is told with its kind.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from finops_policy.customer import ApprovalRules, Approver, ApproverRole, Customer
from finops_policy.evidence.canonical import encode
from finops_policy.evidence.signing import PublicKey, SignedStatement
from finops_policy.remediation.approvers import Registry, asked, same_person
from finops_policy.remediation.model import Item, Plan

PREDICATE: Final = "https://finops-policy.dev/approval/v1"
LONGEST_COMMENT: Final = 2000
SKEW: Final = dt.timedelta(minutes=5)
"""How far clocks may be apart."""

_STATEMENT: Final = "https://in-toto.io/Statement/v1"
_MOMENT: Final = "%Y-%m-%dT%H:%M:%SZ"
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


class Decision(StrEnum):
    APPROVE = "approve"
    REFUSE = "refuse"


class Method(StrEnum):
    """How it is known who decided: by their own key, or by AWS's word, which the key of this machine attests."""

    KEY = "key"
    STS = "sts"


class AttemptKind(StrEnum):
    """Why a decision does not count."""

    PLAN_CHANGED = "plan-changed"
    PLAN_UNREADABLE = "plan-unreadable"
    EXPIRED_PLAN = "expired-plan"
    EXPIRED_APPROVAL = "expired-approval"
    FORGED = "forged"
    UNREGISTERED_KEY = "unregistered-key"
    UNREGISTERED_IDENTITY = "unregistered-identity"
    REQUESTER = "requester"
    TWO_LEVELS = "two-levels"
    REPEATED = "repeated"
    UNKNOWN_ITEM = "unknown-item"
    WRONG_PLAN = "wrong-plan"
    WRONG_CUSTOMER = "wrong-customer"
    MALFORMED = "malformed"
    ROLE = "role"


@dataclass(frozen=True, slots=True)
class Approval:
    """A person's decision about a plan. ``items`` are sorted ids, or None for all of the plan; ``approver`` an e-mail
    address; ``identity`` an ARN where the method is STS; times are to the second."""

    customer: str
    plan_id: str
    plan_digest: str
    approver: str
    name: str
    role: ApproverRole
    decision: Decision
    items: tuple[str, ...] | None
    comment: str
    at: dt.datetime
    expires: dt.datetime
    method: Method
    identity: str = ""

    def statement(self) -> dict[str, Any]:
        """The decision as an in-toto Statement v1, as ``approval.schema.json`` describes it."""
        return {
            "_type": _STATEMENT,
            "subject": [{"name": "plan.json", "digest": {"sha256": self.plan_digest}}],
            "predicateType": PREDICATE,
            "predicate": {
                "customer": self.customer,
                "plan_id": self.plan_id,
                "approver": self.approver,
                "name": self.name,
                "role": self.role.value,
                "decision": self.decision.value,
                "items": "all" if self.items is None else list(self.items),
                "comment": self.comment,
                "at": self.at.astimezone(dt.UTC).strftime(_MOMENT),
                "expires": self.expires.astimezone(dt.UTC).strftime(_MOMENT),
                "method": self.method.value,
                "identity": self.identity,
            },
        }

    @classmethod
    def of(cls, statement: Mapping[str, Any]) -> Approval:
        """The decision in a statement. Raises ValueError unless it is word for word what :meth:`statement` says."""
        try:
            said = statement["predicate"]
            made = cls(
                customer=said["customer"],
                plan_id=said["plan_id"],
                plan_digest=statement["subject"][0]["digest"]["sha256"],
                approver=said["approver"],
                name=said["name"],
                role=ApproverRole(said["role"]),
                decision=Decision(said["decision"]),
                items=None if said["items"] == "all" else tuple(said["items"]),
                comment=said["comment"],
                at=_moment(said["at"]),
                expires=_moment(said["expires"]),
                method=Method(said["method"]),
                identity=said["identity"],
            )
            same = encode(made.statement()) == encode(statement) and made._is_whole()
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise ValueError("its statement is not an approval") from error
        if not same:
            raise ValueError("its statement is not an approval")
        return made

    def _is_whole(self) -> bool:
        texts = (self.customer, self.plan_id, self.approver, self.name, self.comment, *(self.items or ()))
        return (
            all(isinstance(each, str) and each.strip() for each in texts)
            and len(self.comment) <= LONGEST_COMMENT
            and bool(_SHA256.fullmatch(self.plan_digest))
            and (self.items is None or (bool(self.items) and list(self.items) == sorted(set(self.items))))
            and self.at < self.expires
            and (self.method is Method.STS) == bool(self.identity)
        )


def _moment(text: str) -> dt.datetime:
    return dt.datetime.strptime(text, _MOMENT).replace(tzinfo=dt.UTC)


# --- What is judged ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Given:
    """A decision that counts. ``file`` is the envelope's name, ``digest`` its SHA-256, ``key_id`` the key that signed:
    the approver's own, or for STS the one that attests it."""

    approval: Approval
    file: str
    digest: str
    key_id: str

    def __str__(self) -> str:
        """Such as ``ann@shop.example (finance, key 0f3a9c1b)``."""
        said, key = self.approval, self.key_id[:8]
        how = f"key {key}" if said.method is Method.KEY else f"sts {said.identity}, attested by key {key}"
        return f"{said.approver} ({said.role}, {how})"


@dataclass(frozen=True, slots=True)
class Rejected:
    """A decision that does not count, and why. ``approver`` and ``key_id`` are what it says of itself, empty where it
    says nothing; ``file`` and ``digest`` are empty where there is no envelope."""

    kind: AttemptKind
    message: str
    approver: str = ""
    key_id: str = ""
    file: str = ""
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Consent:
    """What one item needs and has. Whoever refused it, it stays refused: only a new plan asks again."""

    needed: tuple[ApproverRole, ...]
    given: Mapping[ApproverRole, Given]
    refused_by: tuple[Given, ...]

    @property
    def missing(self) -> tuple[ApproverRole, ...]:
        return tuple(role for role in self.needed if role not in self.given)

    @property
    def approved(self) -> bool:
        return not self.missing and not self.refused_by

    @property
    def approved_by(self) -> tuple[str, ...]:
        """As evidence names them: every role that is needed, with its person and how they are known."""
        return tuple(str(self.given[role]) for role in self.needed if role in self.given)


@dataclass(frozen=True, slots=True)
class Amount:
    """What a plan saves a month; None is unknown, for a ``reason``."""

    amount: Decimal | None
    currency: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Judged:
    """A plan and its approvals at one moment: item id -> :class:`Consent`."""

    items: Mapping[str, Consent]
    given: tuple[Given, ...]
    rejected: tuple[Rejected, ...]
    amount: Amount

    @property
    def approved(self) -> tuple[str, ...]:
        return tuple(name for name, each in self.items.items() if each.approved)


def monthly_amount(plan: Plan) -> Amount:
    """What all of the plan saves. A resource with two items counts once, the larger; one that would cost more counts
    with what it would cost, so that it cannot hide what another saves. One item unknown, and the sum is."""
    by_resource: dict[tuple[str, ...], Decimal] = {}
    unknown, currencies = [], set()
    for item in plan.items:
        if item.money is None or item.money.savings is None:
            unknown.append(item.id)
            continue
        currencies.add(item.money.currency)
        resource = (item.account_id, item.region, item.resource_type, item.resource_id)
        by_resource[resource] = max(by_resource.get(resource, Decimal(0)), abs(item.money.savings))
    currency = min(currencies) if len(currencies) == 1 else ""
    if unknown:
        count = f"{len(unknown)} of {len(plan.items)} items"
        return Amount(None, currency, f"it is unknown what {count} {'saves' if len(unknown) == 1 else 'save'}")
    if len(currencies) > 1:
        return Amount(None, "", f"the items are in {' and '.join(sorted(currencies))}")
    return Amount(sum(by_resource.values(), Decimal(0)), currency)


def needed_roles(plan: Plan, rules: ApprovalRules) -> dict[str, frozenset[ApproverRole]]:
    """Item id -> the roles that must approve it. An amount that is unknown is over every threshold; where no rule
    holds, the default's are needed."""
    total = monthly_amount(plan).amount

    def of(item: Item) -> frozenset[ApproverRole]:
        holding = [
            rule.needs
            for rule in rules.rules
            if (rule.over is None or total is None or total > rule.over) and (item.destructive or not rule.destructive)
        ]
        return frozenset().union(*holding) or ApprovalRules().rules[0].needs

    return {item.id: of(item) for item in plan.items}


def judge_approvals(
    plan: Plan,
    envelopes: Sequence[tuple[str, bytes]],
    customer: Customer,
    now: dt.datetime,
    attesting: PublicKey | None = None,
) -> Judged:
    """Which of ``envelopes`` (name, bytes) count for ``plan`` at ``now``, and what its items still need.

    ``attesting`` is the key that evidence is signed with: only what it signed is believed of STS identities.
    """
    registry = Registry.of(customer)
    read: list[tuple[Given, Approver]] = []
    rejected: list[Rejected] = []
    for file, data in envelopes:
        found = _read(file, data, registry, attesting)
        if isinstance(found, Rejected):
            rejected.append(found)
        else:
            read.append(found)
    given: list[Given] = []
    for each, approver in sorted(read, key=lambda one: (one[0].approval.at, one[0].file)):
        if objection := objection_to(each.approval, approver, plan, customer, given, now):
            said = each.approval
            rejected.append(Rejected(*objection, said.approver, each.key_id, each.file, each.digest))
        else:
            given.append(each)
    needed = needed_roles(plan, customer.approval)
    about: dict[str, list[Given]] = {name: [] for name in needed}
    for each in given:
        for name in needed if each.approval.items is None else each.approval.items:
            about[name].append(each)
    items = {name: _consent(roles, about[name]) for name, roles in needed.items()}
    return Judged(items, tuple(given), tuple(rejected), monthly_amount(plan))


def _consent(needed: Iterable[ApproverRole], about: Sequence[Given]) -> Consent:
    by_role: dict[ApproverRole, Given] = {}
    for each in about:
        if each.approval.decision is Decision.APPROVE:
            by_role.setdefault(each.approval.role, each)
    refused = tuple(each for each in about if each.approval.decision is Decision.REFUSE)
    return Consent(tuple(sorted(needed)), by_role, refused)


def _read(file: str, data: bytes, registry: Registry, attesting: PublicKey | None) -> tuple[Given, Approver] | Rejected:
    """The decision in an envelope once its signature and its person are proven, whatever it is about."""
    digest = hashlib.sha256(data).hexdigest()
    try:
        signed = SignedStatement.parse(data)
        said = Approval.of(signed.statement)
    except ValueError as error:
        return Rejected(AttemptKind.MALFORMED, str(error), file=file, digest=digest)

    def rejected(kind: AttemptKind, message: str) -> Rejected:
        return Rejected(kind, message, said.approver, signed.signer, file, digest)

    if said.method is Method.STS:
        if attesting is None or signed.signer != attesting.id:
            message = f"it is attested by the key {signed.signer}, which is not the key of this customer's evidence"
            return rejected(AttemptKind.UNREGISTERED_KEY, message)
        key, approver = attesting, registry.by_identity(said.identity)
    else:
        holder = registry.by_key(signed.signer)
        if holder is None:
            return rejected(AttemptKind.UNREGISTERED_KEY, f"the key {signed.signer} is not registered for an approver")
        approver, key = holder
    if not signed.proven_by(key):
        return rejected(AttemptKind.FORGED, "the signature does not fit what it signs")
    if approver is None:
        message = f"{said.identity} is not an identity of one approver"
        return rejected(AttemptKind.UNREGISTERED_IDENTITY, message)
    if not same_person(approver.email, said.approver):
        whose = "an identity" if said.method is Method.STS else "the key"
        message = f"it says that {said.approver} decided, with {whose} of {approver.email}"
        return rejected(AttemptKind.FORGED, message)
    return Given(said, file, digest, signed.signer), approver


def objection_to(
    said: Approval, approver: Approver, plan: Plan, customer: Customer, given: Sequence[Given], now: dt.datetime
) -> tuple[AttemptKind, str] | None:
    """Why a decision of ``approver``, proven to be theirs, does not count beside those ``given`` before.

    A refusal counts whoever asked for the plan and however old it is.
    """
    theirs = [each.approval for each in given if same_person(each.approval.approver, said.approver)]
    if plan.customer != customer.name or said.customer != plan.customer:
        return AttemptKind.WRONG_CUSTOMER, f"it is about {said.customer}, not about {plan.customer}"
    if said.plan_id != plan.plan_id:
        return AttemptKind.WRONG_PLAN, f"it is about the plan {said.plan_id}"
    if said.plan_digest != plan.digest:
        return AttemptKind.PLAN_CHANGED, f"the plan has been changed: its digest was {said.plan_digest}"
    if other := next((each.role for each in theirs if each.role is not said.role), None):
        return (
            AttemptKind.TWO_LEVELS,
            f"{said.approver} has decided for {other}, and one person may not fill two levels",
        )
    if said.role is not approver.role:
        return AttemptKind.ROLE, f"{said.approver} decides for {approver.role}, not for {said.role}"
    known = {item.id for item in plan.items}
    about = known if said.items is None else set(said.items)
    if strangers := about - known:
        return AttemptKind.UNKNOWN_ITEM, f"the plan has no item {min(strangers)}"
    before = [known if each.items is None else set(each.items) for each in theirs if each.decision is said.decision]
    if before and about <= set().union(*before):
        return AttemptKind.REPEATED, f"{said.approver} has said so before"
    return None if said.decision is Decision.REFUSE else _objection_to_approval(said, approver, plan, customer, now)


def _objection_to_approval(
    said: Approval, approver: Approver, plan: Plan, customer: Customer, now: dt.datetime
) -> tuple[AttemptKind, str] | None:
    if reason := asked(plan.requested_by, approver, said.identity):
        return AttemptKind.REQUESTER, reason
    if now >= plan.valid_until:
        return AttemptKind.EXPIRED_PLAN, f"the plan was valid until {plan.valid_until.astimezone(dt.UTC):{_MOMENT}}"
    if said.at > now + SKEW:
        return AttemptKind.MALFORMED, f"it is dated {said.at:{_MOMENT}}, in the future"
    ends = min(said.expires, said.at + dt.timedelta(hours=customer.approval.valid_hours))
    if now >= ends:
        return AttemptKind.EXPIRED_APPROVAL, f"it was valid until {ends:{_MOMENT}}"
    return None
