"""A plan, and what becomes of it, as frozen dataclasses. Money is ``Decimal``, times are aware UTC datetimes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from finops_policy.model import Fact, Posture, Severity
from finops_policy.money import Money
from finops_policy.remediation.recipes.recipe import Dependants, Undo

PLAN_SCHEMA = "finops-policy/plan/v1"


class Outcome(StrEnum):
    """What became of an item. ``HELD``: nothing was done, for a reason. Only what AWS shows is done or undone."""

    DONE = "done"
    FAILED = "failed"
    UNVERIFIED = "unverified"
    HELD = "held"
    UNDONE = "undone"


@dataclass(frozen=True, slots=True)
class Step:
    """One action on one resource. ``action`` is a c7n action in its long form; ``before`` the values to undo it with;
    ``permissions`` what the action needs, and ``undo.permissions`` what its undo needs."""

    action: Mapping[str, Any]
    before: Mapping[str, Any]
    undo: Undo
    permissions: tuple[str, ...]

    @property
    def name(self) -> str:
        return str(self.action["type"])


@dataclass(frozen=True, slots=True)
class Item:
    """What is planned for one resource under one policy. ``id`` is made of policy, account, region and resource, so the
    same finding has the same id in every plan. ``policy_digest`` is of the compiled policy (its account's variant,
    without waivers): apply refuses another. ``facts`` are those that decided; ``money`` is None where the policy claims
    no savings."""

    id: str
    policy: str
    policy_digest: str
    account_id: str
    account_name: str
    region: str
    resource_type: str
    resource_id: str
    arn: str
    owner: str
    facts: tuple[Fact, ...]
    steps: tuple[Step, ...]
    destructive: bool
    dependants: Dependants
    money: Money | None

    @property
    def savings(self) -> Decimal | None:
        return self.money.savings if self.money else None


@dataclass(frozen=True, slots=True)
class Held:
    """A finding that is not planned, and why."""

    policy: str
    account_id: str
    region: str
    resource_id: str
    arn: str
    reason: str


@dataclass(frozen=True, slots=True)
class PlannedPolicy:
    """A policy as it was when the plan was made. ``population`` is what it judged in the run: all accounts together."""

    name: str
    pack: str
    pack_version: str
    title: str
    resource: str
    severity: Severity
    posture: Posture
    population: int


@dataclass(frozen=True, slots=True)
class Requester:
    """Who asked for the plan: AWS's word (an ARN), and the person's own (an e-mail address, may be empty)."""

    arn: str
    email: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """Actions on named ARNs. ``digest`` is the SHA-256 of the file's bytes, which are canonical."""

    plan_id: str
    customer: str
    profile: str
    sandbox: bool
    created_at: dt.datetime
    valid_until: dt.datetime
    requested_by: Requester
    run_id: str
    run_digest: str
    lock_digest: str
    policies: Mapping[str, PlannedPolicy]
    items: tuple[Item, ...]
    held: tuple[Held, ...]
    waived: int
    unknown: int
    digest: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Record:
    """What became of one step of an item, as evidence keeps it: a row of ``actions/<target>.parquet``.

    ``approved_by`` are the approvers' e-mail addresses with their roles; ``executed_by`` an ARN. ``action`` is
    ``undo:<action>`` where it took something back.
    """

    item_id: str
    plan_digest: str
    policy: str
    account_id: str
    region: str
    resource_type: str
    resource_id: str
    arn: str
    action: str
    outcome: Outcome
    reason: str
    error: str
    requested_by: str
    approved_by: tuple[str, ...]
    executed_by: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    made: Mapping[str, Any]
    monthly_savings: Decimal | None
    currency: str
    at: dt.datetime
