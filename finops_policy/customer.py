"""A customer as frozen dataclasses: whose accounts they are, where, and how they are entered."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Final

from finops_policy.channels import Notifications
from finops_policy.marks import Mark
from finops_policy.model import Settings

ENABLED: Final = "enabled"
"""In the place of regions: those enabled in the account, which AWS is asked for when it runs."""
HOME_REGIONS: Final = {"aws": "us-east-1", "aws-us-gov": "us-gov-west-1", "aws-cn": "cn-north-1"}
"""ARN partition -> a region that every account of it has enabled."""


@dataclass(frozen=True, slots=True)
class Role:
    """How an account is entered. ``name`` is a role's name, with its path if any, or a whole role ARN.

    The roles of ``via`` (ARNs) are assumed first, in this order. The external id and the session tags are for the
    account's own role; the session name is for all of them.
    """

    name: str
    external_id: str = ""
    session_name: str = "finops-policy"
    session_tags: Mapping[str, str] = field(default_factory=dict)
    via: tuple[str, ...] = ()

    def arn(self, partition: str, account_id: str) -> str:
        if self.name.startswith("arn:"):
            return self.name
        return f"arn:{partition}:iam::{account_id}:role/{self.name.lstrip('/')}"


@dataclass(frozen=True, slots=True)
class Organization:
    """Whose accounts are discovered: those under ``include`` (root and OU ids; empty: all) and not under ``exclude``.

    Nested OUs belong to both; the nearest OU named decides. An account must have every tag of ``tags``; ``*`` stands
    for any value.
    """

    include: tuple[str, ...]
    exclude: tuple[str, ...]
    tags: Mapping[str, str]
    mark: Mark


@dataclass(frozen=True, slots=True)
class Account:
    """An AWS account of a customer; its settings, regions and role win over the customer's.

    ``regions`` is ``(ENABLED,)`` until AWS has been asked for them.
    """

    id: str
    name: str
    regions: tuple[str, ...]
    settings: Settings
    mark: Mark
    role: Role | None = None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An account that a run leaves out, and why; never silently."""

    account_id: str
    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.account_id} {self.name} is left out: {self.reason}"


@dataclass(frozen=True, slots=True)
class Caps:
    """Over any of these nothing is acted on; None: no limit. ``monthly_amount`` is in the price book's currency."""

    count: int | None = None
    percent: Decimal | None = None
    monthly_amount: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Freeze:
    """When nothing is acted on, in ``timezone`` (IANA): what is given must all hold. ``weekdays`` are 0 (Monday) to 6,
    ``days_of_month`` negative from the month's end, ``hours`` minutes of the day, past midnight where the end is before
    the start."""

    name: str
    timezone: str = "UTC"
    first: dt.date | None = None
    last: dt.date | None = None
    weekdays: frozenset[int] = frozenset()
    days_of_month: frozenset[int] = frozenset()
    hours: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Batches:
    """How many resources are acted on at once, and when it is enough."""

    canary: int = 1
    size: int = 10
    wait_seconds: int = 60
    max_error_percent: Decimal = Decimal(10)


@dataclass(frozen=True, slots=True)
class Remediation:
    """How a customer's resources are acted on. Without a ``role`` of its own, the one that reads serves."""

    role: Role | None = None
    max: Caps = Caps()
    total: Caps = Caps()
    batches: Batches = Batches()
    freeze: tuple[Freeze, ...] = ()


class ApproverRole(StrEnum):
    """What an approver answers for. A rule needs roles; one person has one."""

    ENGINEERING = "engineering"
    FINANCE = "finance"
    SECURITY = "security"


@dataclass(frozen=True, slots=True)
class Approver:
    """A person who may decide on plans. The e-mail address is who they are, whatever its case.

    ``keys`` are ed25519 public keys, 32 raw bytes in base64; ``identities`` globs over ARNs of IAM users and STS
    sessions. A key or identity is one person's alone.
    """

    name: str
    email: str
    role: ApproverRole
    mark: Mark
    keys: tuple[str, ...] = ()
    identities: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ApprovalRule:
    """Which roles an item ``needs`` if all conditions hold: the plan saves more than ``over`` a month, the item is
    ``destructive``. Without conditions it always holds."""

    needs: frozenset[ApproverRole]
    over: Decimal | None = None
    destructive: bool = False


@dataclass(frozen=True, slots=True)
class ApprovalRules:
    """What the rules that hold need adds up. Without rules everything needs engineering and finance. An approval lasts
    for ``valid_hours`` at most."""

    rules: tuple[ApprovalRule, ...] = (ApprovalRule(frozenset({ApproverRole.ENGINEERING, ApproverRole.FINANCE})),)
    valid_hours: int = 72


@dataclass(frozen=True, slots=True)
class Customer:
    """A tenant. ``partition`` is an ARN partition (``aws``, ``aws-us-gov``, ``aws-cn``).

    ``accounts`` are those listed; with an ``organization`` there may be none, and AWS knows the others. ``role`` and
    ``regions`` are for accounts with none of their own; without any role the caller's own credentials serve.
    """

    name: str
    title: str
    profile: str
    partition: str
    role: Role | None
    accounts: tuple[Account, ...]
    settings: Settings
    digest: str
    mark: Mark
    regions: tuple[str, ...] = ()
    organization: Organization | None = None
    remediation: Remediation = field(default_factory=Remediation)
    approvers: tuple[Approver, ...] = ()
    approval: ApprovalRules = ApprovalRules()
    notifications: Notifications | None = None

    @property
    def home_region(self) -> str:
        return HOME_REGIONS[self.partition]

    def role_of(self, account: Account) -> Role | None:
        return account.role or self.role
