"""Acme Health's organization in AWS Organizations; the caller's account manages it.

The ids of its units say their names, so that examples can be read and stay the same. One account is closed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, cast

from moto.moto_api._internal import mock_random
from moto.organizations.models import FakeAccount, FakeOrganization, FakeOrganizationalUnit, organizations_backends

from finops_policy.sandbox.estate import CALLER_ACCOUNT

ROOT: Final = "r-acme"
UNITS: Final = {
    "ou-acme-workloads": ROOT,
    "ou-acme-production": "ou-acme-workloads",
    "ou-acme-development": "ou-acme-workloads",
    "ou-acme-acquired": ROOT,
}
"""Unit -> its parent."""
OPTED_IN: Final[Mapping[str, tuple[str, ...]]] = {"777788889999": ("eu-central-2",)}
"""Account -> regions that it opted into, beside those which AWS enables for everybody."""


@dataclass(frozen=True, slots=True)
class Member:
    """An account, the unit it is in, and the tags it has in AWS Organizations."""

    id: str
    name: str
    unit: str
    tags: Mapping[str, str] = field(default_factory=dict)
    closed: bool = False


MEMBERS: Final = (
    Member("111122223333", "acme-prod", "ou-acme-production", {"finops": "yes", "stage": "prod"}),
    Member("444455556666", "acme-dev", "ou-acme-development", {"finops": "yes", "stage": "dev"}),
    Member("777788889999", "acme-data", "ou-acme-workloads", {"finops": "yes"}),
    Member("222233334444", "acme-legacy", "ou-acme-acquired"),
    Member("333344445555", "acme-closed", "ou-acme-acquired", {"finops": "yes"}, closed=True),
)


def seed_organization() -> None:
    """Put it into moto's backend."""
    mock_random.seed("organization")
    backend = organizations_backends[CALLER_ACCOUNT]["aws"]
    backend.create_organization("us-east-1")
    organization, (root,), (management,) = cast(FakeOrganization, backend.org), backend.ou, backend.accounts
    root.id = organization.root_id = management.parent_id = ROOT
    management.name = "acme-management"
    for unit, parent in UNITS.items():
        made = FakeOrganizationalUnit(organization, Name=unit.removeprefix("ou-acme-"), ParentId=parent)
        made.id = unit
        backend.ou.append(made)
    for member in MEMBERS:
        account = FakeAccount(organization, AccountName=member.name, Email=f"{member.name}@acme-health.example")
        account.id, account.parent_id, account.tags = member.id, member.unit, dict(member.tags)
        backend.accounts.append(account)
        organizations_backends.master_accounts[member.id] = (CALLER_ACCOUNT, "aws")
        if member.closed:
            account.close()
