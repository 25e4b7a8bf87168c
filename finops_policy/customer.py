"""A customer as frozen dataclasses: whose accounts they are, where, and how they are entered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

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

    @property
    def home_region(self) -> str:
        return HOME_REGIONS[self.partition]

    def role_of(self, account: Account) -> Role | None:
        return account.role or self.role
