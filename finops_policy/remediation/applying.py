"""Applies a plan: looks again, acts in batches behind a canary, proves, and stops when too much goes wrong."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from finops_policy.customer import Batches, Freeze
from finops_policy.failures import Failure, OutOfTimeError, explain
from finops_policy.model import CompiledPolicy, Target, Verdict
from finops_policy.remediation.freeze import frozen
from finops_policy.remediation.items import difference, expected_actions, make_item, policy_digest, without_withheld
from finops_policy.remediation.journal import Journal
from finops_policy.remediation.marking import remediation_of, unmark_action
from finops_policy.remediation.model import Item, Outcome, Plan
from finops_policy.remediation.recipes import COPYING, recipe_of
from finops_policy.remediation.recipes.recipe import Recipe, State
from finops_policy.remediation.stepping import Patience, Stepper, subject_of
from finops_policy.remediation.visiting import Doors, Look, Visit

_NEW_POLICY = "the policy has changed since the plan: make a new one"
ENTERED = 600.0
"""Seconds after which a target is entered anew: credentials and the time allowed for a visit end."""
Consent = Callable[[Item], str]
"""Why an item may not be acted on, as far as people decide that; empty when it may. Asked before every batch."""


@dataclass(frozen=True, slots=True)
class Orders:
    """How a plan is applied. ``consent`` is asked anew before each step: approvals expire. ``objections`` say of an
    item's id why it may not be acted on, whoever agrees: caps of now, accounts that are the customer's no more, what
    was done already. ``who`` is written down with each step: ``by`` and ``approved_by``."""

    plan: Plan
    consent: Consent
    objections: Mapping[str, str]
    batches: Batches
    freeze: tuple[Freeze, ...]
    withheld: tuple[str, ...]
    who: Callable[[Item], Mapping[str, Any]]
    patience: Patience = field(default_factory=Patience)
    now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)


class Told:
    """What is heard while a plan is applied; it says nothing."""

    def said(self, text: str) -> None: ...

    def ended(self, item: Item, outcome: Outcome, reason: str) -> None: ...


def rehearse(orders: Orders, doors: Doors) -> Iterator[tuple[Item, str]]:
    """What applying would do: each item, and why it would be held; empty when it would be acted on. Only reads."""
    for target, items in groupby(orders.plan.items, _target):
        visit = doors.open(target)
        for item in items:
            found = _halt_of(orders) or _agreed(orders, visit, item)
            yield item, found if isinstance(found, str) else ""


class Applying:
    """One plan being applied."""

    def __init__(self, orders: Orders, doors: Doors, journal: Journal, told: Told) -> None:
        self._orders = orders
        self._doors = doors
        self._journal = journal
        self._told = told
        self._stepper = Stepper(journal, orders.patience, orders.who, orders.withheld)

    def run(self) -> None:
        """Acts until everything is done, held or has failed; where it broke off before, from there."""
        for batch in self._batches():
            if reason := self._halt():
                self._hold([each for each in batch if not self._begun(each)], reason)
            for target, items in groupby(batch, _target):
                self._visit(target, list(items))
            self._look_at_canary(batch)
            self._stop_at_errors()

    def _batches(self) -> Iterator[Sequence[Item]]:
        """The canary first: as long as nothing was acted on, what comes next is the canary. What has ended in a former
        try is passed over, and counts among the errors."""
        items, settings, start = self._orders.plan.items, self._orders.batches, 0
        while start < len(items):
            size = settings.size if any(map(self._acted_on, items[:start])) else settings.canary
            yield items[start : start + size]
            start += size

    def _halt(self) -> str:
        """Why nothing more is acted on."""
        if self._journal.log.stopped:
            return self._journal.log.stopped
        return _halt_of(self._orders)

    def _visit(self, target: Target, items: Sequence[Item]) -> None:
        waiting = [each for each in items if not self._ended(each)]
        if waiting:
            visit, since = self._doors.open(target), time.monotonic()
            for item in waiting:
                if time.monotonic() - since > ENTERED:
                    visit, since = self._doors.open(target), time.monotonic()
                self._item(visit, item)

    def _item(self, visit: Visit | Failure, item: Item) -> None:
        look = None
        if not self._begun(item):
            found = _agreed(self._orders, visit, item)
            if isinstance(found, str):
                self._hold([item], found)
                return
            look = found
        if isinstance(visit, Failure):
            outcomes = [self._journal.log.step(item.id, number).outcome for number in range(len(item.steps))]
            outcome = self._stepper.leave(item, outcomes.index(None), _not_entered(visit))
            self._told.ended(item, outcome, _not_entered(visit))
            return
        for number in range(len(item.steps)):
            outcome = self._step(visit, item, number, look)
            look = None
            if outcome is not Outcome.DONE:
                break
        last = self._journal.log.step(item.id, number)
        self._told.ended(item, outcome, last.error or last.reason)

    def _step(self, visit: Visit, item: Item, number: int, look: Look | None) -> Outcome:
        step = item.steps[number]
        recipe, policy = recipe_of(item.resource_type, step.name), visit.policies.get(item.policy)
        if recipe is None or policy is None:
            return self._stepper.leave(item, number, f"{step.name} of {item.policy} is not known any more")
        moment = _Moment(self._orders, visit, item, number, recipe, policy, self._halt, look)
        log = self._stepper.take(item, number, recipe, visit.site, moment.before, moment.act, moment.hindrance)
        return log.outcome or Outcome.UNVERIFIED

    def _begun(self, item: Item) -> bool:
        return self._journal.log.step(item.id, 0).before is not None

    def _acted_on(self, item: Item) -> bool:
        steps = [self._journal.log.step(item.id, number) for number in range(len(item.steps))]
        return any(each.outcome not in (None, Outcome.HELD) for each in steps)

    def _ended(self, item: Item) -> bool:
        log = self._journal.log
        if item.id in log.held:
            return True
        outcomes = [log.step(item.id, number).outcome for number in range(len(item.steps))]
        return all(outcomes) or any(each not in (None, Outcome.DONE) for each in outcomes)

    def _hold(self, items: Sequence[Item], reason: str) -> None:
        for item in items:
            if not self._ended(item):
                self._journal.write("held", item=item.id, reason=reason)
                self._told.ended(item, Outcome.HELD, reason)

    def _look_at_canary(self, batch: Sequence[Item]) -> None:
        """After a while, whether what was done first is still as it should be."""
        settings = self._orders.batches
        done = [each for each in batch if self._is_done(each)]
        log = self._journal.log
        if not done or log.canary or log.stopped or all(map(self._ended, self._orders.plan.items)):
            return
        if settings.wait_seconds:
            self._told.said(f"Waiting {settings.wait_seconds} s after the first {len(batch)}.")
            self._orders.patience.sleep(settings.wait_seconds)
        for target, items in groupby(done, _target):
            visit = self._doors.open(target)
            for item in items:
                if reason := self._not_as_left(visit, item):
                    told = f"it was done, and is not as it was left: {reason}"
                    self._stepper.doubt(item, len(item.steps) - 1, told)
                    reason = f"stopped: the canary {item.resource_id} is not as it was left: {reason}"
                    self._journal.write("stopped", reason=reason)
                    self._told.said(f"Nothing more is acted on, {reason}.")
                    return
        self._journal.write("canary")

    def _not_as_left(self, visit: Visit | Failure, item: Item) -> str:
        if isinstance(visit, Failure):
            return visit.message
        for number, step in enumerate(item.steps):
            recipe = recipe_of(item.resource_type, step.name)
            before = self._journal.log.step(item.id, number).before or {}
            if recipe is None:
                continue
            seen = self._stepper.still(item, number, recipe, visit.site, before)
            if seen.state is not State.REACHED:
                return seen.says or seen.state.value
        return ""

    def _is_done(self, item: Item) -> bool:
        outcomes = [self._journal.log.step(item.id, number).outcome for number in range(len(item.steps))]
        return all(each is Outcome.DONE for each in outcomes)

    def _stop_at_errors(self) -> None:
        log = self._journal.log
        if log.stopped:
            return
        acted = [each for each in log.steps.values() if each.outcome not in (None, Outcome.HELD)]
        wrong = [each for each in acted if each.outcome is not Outcome.DONE]
        if wrong and len(wrong) * 100 > len(acted) * self._orders.batches.max_error_percent:
            limit = f"{self._orders.batches.max_error_percent:f}%"
            reason = f"stopped: {len(wrong)} of {len(acted)} steps failed or are unverified, and the limit is {limit}"
            self._journal.write("stopped", reason=reason)
            self._told.said(f"Nothing more is acted on, {reason}.")


class _Moment:
    """Just before a step: the resource as it is now."""

    def __init__(
        self,
        orders: Orders,
        visit: Visit,
        item: Item,
        number: int,
        recipe: Recipe,
        policy: CompiledPolicy,
        halt: Callable[[], str],
        looked: Look | None,
    ) -> None:
        self._orders = orders
        self._visit = visit
        self._item = item
        self._number = number
        self._recipe = recipe
        self._policy = policy
        self._halt = halt
        self._looked = looked
        self._resource: Mapping[str, Any] = {}

    def hindrance(self) -> str:
        """Looks anew, and asks people and the calendar anew, since the step before may have taken hours, or days where
        it broke off."""
        item, visit, step = self._item, self._visit, self._item.steps[self._number]
        if self._looked is not None:
            self._resource = self._looked.judgement.resource
            return ""
        visit.forget()
        try:
            if self._number and step.action == unmark_action(self._policy):
                self._resource = visit.described(self._policy, item.resource_id)
                return ""
            if reason := self._halt() or _objection(self._orders, item):
                return reason
            if any(each.name not in COPYING for each in item.steps[: self._number]):
                return self._after_own_act()
            found = _agreed(self._orders, visit, item)
        except (Exception, OutOfTimeError) as error:  # noqa: BLE001 - what cannot be looked at is held, and says why
            return f"it cannot be looked at again: {explain(error).message}"
        if isinstance(found, str):
            return found
        self._resource = found.judgement.resource
        return ""

    def _after_own_act(self) -> str:
        """The resource may be in order by now, through the item's own steps: it must only be there still."""
        if policy_digest(self._policy) != self._item.policy_digest:
            return _NEW_POLICY
        self._resource = self._visit.described(self._policy, self._item.resource_id)
        return "" if self._resource else "gone since the step before"

    def before(self) -> Mapping[str, Any]:
        step = self._item.steps[self._number]
        found = self._recipe.before(self._visit.site, subject_of(self._item), self._resource, step.action)
        return without_withheld(found, self._orders.withheld)

    def act(self, before: Mapping[str, Any]) -> str:
        step, visit = self._item.steps[self._number], self._visit
        perform = getattr(self._recipe, "perform", None)
        try:
            if perform is not None:
                perform(visit.site, subject_of(self._item), step.action, before)
                return ""
            failure = visit.act(self._policy, step.action, self._resource)
        except (Exception, OutOfTimeError) as error:  # noqa: BLE001 - AWS's error, told with the outcome
            return explain(error).message
        return failure.message if failure else ""


def _halt_of(orders: Orders) -> str:
    """Why nothing at all is acted on now."""
    now, plan = orders.now(), orders.plan
    if now >= plan.valid_until:
        return f"the plan is valid until {plan.valid_until:%Y-%m-%d %H:%M} UTC"
    return frozen(now, orders.freeze)


def _objection(orders: Orders, item: Item) -> str:
    return orders.objections.get(item.id, "") or orders.consent(item)


def _agreed(orders: Orders, visit: Visit | Failure, item: Item) -> Look | str:
    """The resource as it is now, if acting on it is just what people agreed to; else why not: people, the policy, the
    resource, or what the plan says of it."""
    if reason := _objection(orders, item):
        return reason
    if isinstance(visit, Failure):
        return _not_entered(visit)
    policy = visit.policies.get(item.policy)
    if policy is None or policy_digest(policy) != item.policy_digest:
        return _NEW_POLICY
    try:
        if item.destructive or remediation_of(policy)["destructive"]:
            visit.forget()
        else:
            visit.refresh()
        looked = _look(visit, policy, item)
        if isinstance(looked, str):
            return looked
        now = make_item(visit, policy, looked, expected_actions(item, policy), orders.withheld)
        return difference(item, now) or looked
    except (Exception, OutOfTimeError) as error:  # noqa: BLE001 - what cannot be looked at is held, and says why
        return f"it cannot be looked at again: {explain(error).message}"


def _look(visit: Visit, policy: CompiledPolicy, item: Item) -> Look | str:
    """The resource as it is now, if it may be acted on."""
    look = visit.look(policy, frozenset([item.resource_id])).get(item.resource_id)
    if look is None:
        return (
            "gone since the plan" if not visit.described(policy, item.resource_id) else "out of the policy's scope now"
        )
    if look.waiver:
        return f"waived since the plan, by {look.waiver.id}"
    if look.judgement.verdict is Verdict.UNKNOWN:
        return f"whether it is noncompliant is unknown now: {look.judgement.reason}"
    if look.judgement.verdict is not Verdict.NONCOMPLIANT:
        return "compliant now"
    return look


def _not_entered(failure: Failure) -> str:
    return f"its account cannot be entered: {failure.message}"


def _target(item: Item) -> Target:
    return Target(item.account_id, item.region, item.account_name)
