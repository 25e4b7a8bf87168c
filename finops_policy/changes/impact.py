"""What a change would have done to the resources of a run, for those who tell it."""

from __future__ import annotations

from dataclasses import dataclass, field

from finops_policy.money import Money
from finops_policy.savings import Savings


@dataclass(frozen=True, slots=True)
class Hit:
    """A resource that a policy would judge otherwise. ``before`` and ``after`` are verdicts, or ``outside`` of the
    scope; ``money`` is what mending it would save a month, without an amount where that is not known, and None where
    the policy claims none."""

    account_id: str
    region: str
    resource_type: str
    resource_id: str
    arn: str
    before: str
    after: str
    reason: str
    money: Money | None


@dataclass(frozen=True, slots=True)
class Unknown:
    """A resource of which it cannot be told, and why."""

    account_id: str
    region: str
    resource_id: str
    arn: str
    reason: str


@dataclass(slots=True)
class PolicyImpact:
    """``kind``: the policy is ``changed``, ``added``, ``removed``, or only its waivers are (``waivers``). ``same``
    counts those judged as before; those unknown before and after are among them. ``unchecked`` are targets that the run
    could not check."""

    pack: str
    policy: str
    resource_type: str
    savings_method: str
    kind: str
    hit: list[Hit] = field(default_factory=list)
    released: list[Hit] = field(default_factory=list)
    unknown: list[Unknown] = field(default_factory=list)
    same: int = 0
    unchecked: int = 0
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Impact:
    """``hit`` and ``released`` add the policies up, each resource once."""

    run_id: str
    finished_at: str
    customer: str
    profile: str
    sandbox: bool
    policies: tuple[PolicyImpact, ...]
    hit: Savings
    released: Savings
    currency: str
    notes: tuple[str, ...]
