"""A target entered to look at resources as they are now, and to act on them.

c7n decides here as it does in a run: what is looked at again is described anew and judged by the same filters. One
target after the other: c7n keeps sessions per thread and region, not per account.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from finops_policy import aws
from finops_policy.custodian import acting, library
from finops_policy.custodian.account import Account as CustodianAccount
from finops_policy.custodian.account import Judgement
from finops_policy.customer import Account, Customer
from finops_policy.failures import Failure
from finops_policy.model import CompiledPolicy, Target, Verdict, Waiver
from finops_policy.money import Money, Price
from finops_policy.project import Project
from finops_policy.remediation.recipes.recipe import Site
from finops_policy.roles import Roles
from finops_policy.savings import PriceBook, price
from finops_policy.waivers import find_waiver, lapsed_waiver

VALID_FOR = dt.timedelta(minutes=30)
"""How long credentials must last when a target is entered."""
FRESH = 20.0
SECONDS = 3600.0
"""How long one visit may take, calls and waiting together."""


@dataclass(frozen=True, slots=True)
class Look:
    """One resource as it is now. ``waiver`` covers it; ``lapsed`` would, if it still applied."""

    judgement: Judgement
    waiver: Waiver | None
    lapsed: Waiver | None
    money: Money | None

    @property
    def noncompliant(self) -> bool:
        return self.judgement.verdict is Verdict.NONCOMPLIANT and self.waiver is None


class Visit:
    """One target, entered. :meth:`look` describes a type once until :meth:`forget` is called."""

    def __init__(
        self, project: Project, prices: tuple[Price, ...], target: Target, credentials: aws.Credentials | None
    ):
        partition = project.customer.partition
        self.target = target
        self.site = Site(target, partition, aws.session(target.region, credentials, None, aws.Deadline(SECONDS)))
        self.policies = {each.name: each for each in project.compiled.policies(target.account_id)}
        self._project = project
        self._book = PriceBook(prices)
        self.forget()

    def forget(self) -> None:
        """What is looked at next is described anew."""
        self._since = time.monotonic()
        self.account = CustodianAccount(self.target, self.site.partition, self.site.session)

    def refresh(self) -> None:
        """As :meth:`forget`, once what was described is :data:`FRESH` seconds old: describing takes long where there is
        much."""
        if time.monotonic() - self._since > FRESH:
            self.forget()

    def look(self, policy: CompiledPolicy, ids: frozenset[str]) -> dict[str, Look]:
        """The members with these ids, by id; one that is missing is gone, or in scope no more. Raises what c7n and
        botocore raise."""
        today = dt.datetime.now(dt.UTC).date()
        return {each.resource_id: self._looked(policy, each, today) for each in self.account.judge(policy, ids)}

    def described(self, policy: CompiledPolicy, resource_id: str) -> Mapping[str, Any]:
        """A resource as c7n describes it, in scope or not; empty where AWS does not list it."""
        return next((each.resource for each in self.account.fetch(policy) if each.id == resource_id), {})

    def act(self, policy: CompiledPolicy, action: Mapping[str, Any], resource: Mapping[str, Any]) -> Failure | None:
        """Lets c7n act on a resource, as :meth:`described` or :meth:`look` gave it; no failure is no proof."""
        return acting.act(self.account, policy, action, resource)

    def _looked(self, policy: CompiledPolicy, judged: Judgement, today: dt.date) -> Look:
        where = {"account": self.target.account_id, "region": self.target.region}
        waivers = self._project.waivers
        waiver = find_waiver(policy.name, judged.arn, waivers, today, tags=judged.tags, **where)
        lapsed = lapsed_waiver(
            policy.name,
            judged.arn,
            judged.tags,
            self.target.account_id,
            self.target.region,
            waivers,
            self._project.lapsed,
            today,
        )
        money = price(policy.savings_method, judged.resource, self.target.region, self._book, judged.verdict)
        return Look(judged, waiver, lapsed, money)


class Doors:
    """Enters a customer's accounts to act: with the role for that, else with the one that reads."""

    def __init__(self, project: Project, prices: tuple[Price, ...], caller: aws.Identity) -> None:
        self._project = project
        self._prices = prices
        self._customer = _acting(project.customer)
        self._roles = Roles(self._customer, caller)

    def open(self, target: Target) -> Visit | Failure:
        """The target entered, or why it cannot be. An account that was discovered is entered as those listed are."""
        library.quiet()
        listed = {account.id: account for account in self._customer.accounts}
        unlisted = Account(target.account_id, target.account_name, (target.region,), {}, self._customer.mark)
        entered = self._roles.enter(listed.get(target.account_id, unlisted), VALID_FOR)
        return entered if isinstance(entered, Failure) else Visit(self._project, self._prices, target, entered)


def _acting(customer: Customer) -> Customer:
    """The customer whose accounts are entered with the role that acts, where there is one."""
    role = customer.remediation.role
    if role is None:
        return customer
    return replace(customer, role=role, accounts=tuple(replace(each, role=None) for each in customer.accounts))
