"""Takes back what a remediation did, the last step first, as far as it can be taken back."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any

from finops_policy.failures import Failure
from finops_policy.model import Target
from finops_policy.remediation.applying import Told
from finops_policy.remediation.items import is_unmark
from finops_policy.remediation.journal import Journal, Log
from finops_policy.remediation.model import Item, Outcome, Plan
from finops_policy.remediation.recipes import recipe_of
from finops_policy.remediation.recipes.recipe import State, Undoable
from finops_policy.remediation.stepping import Patience, Stepper
from finops_policy.remediation.visiting import Doors, Visit

TOUCHED = frozenset({Outcome.DONE, Outcome.UNVERIFIED, Outcome.FAILED})
"""Outcomes after which something may have changed."""


class Undoing:
    """One remediation being taken back. ``plan.items`` are in the order they are undone in; ``done`` is its journal."""

    def __init__(
        self,
        plan: Plan,
        done: Log,
        doors: Doors,
        journal: Journal,
        told: Told,
        patience: Patience,
        by: str,
        withheld: tuple[str, ...],
        later: Mapping[str, str],
    ) -> None:
        """``later``: item id -> the run that acted on it since, whose doing an undo must not take for its own."""
        self._plan = plan
        self._later = later
        self._done = done
        self._doors = doors
        self._journal = journal
        self._told = told
        self._stepper = Stepper(journal, patience, lambda _item: {"by": by, "approved_by": []}, withheld)

    def run(self) -> None:
        for target, items in groupby(self._plan.items, lambda each: Target(each.account_id, each.region)):
            waiting = [each for each in items if not self._ended(each)]
            if not waiting:
                continue
            visit = self._doors.open(target)
            for item in waiting:
                if not self._touched(item):
                    self._hold(item, "nothing was done to it")
                elif item.id in self._later and not self._begun(item):
                    self._hold(item, f"run {self._later[item.id]} acted on it since")
                elif isinstance(visit, Failure):
                    self._not_entered(item, f"its account cannot be entered: {visit.message}")
                else:
                    self._item(visit, item)

    def _item(self, visit: Visit, item: Item) -> None:
        made = self._made(item)
        outcome, reasons = Outcome.UNDONE, []
        for number in reversed(self._touched(item)):
            outcome, reason = self._step(visit, item, number, made)
            reasons.append(reason)
            if outcome is not Outcome.UNDONE:
                break
        self._told.ended(item, outcome, reasons[0] if outcome is Outcome.UNDONE else reasons[-1])

    def _not_entered(self, item: Item, reason: str) -> None:
        """What was begun before it broke off may be undone by now: nobody knows."""
        begun = [number for number in self._touched(item) if self._journal.log.step(item.id, number).before is not None]
        waiting = [number for number in begun if self._journal.log.step(item.id, number).outcome is None]
        if waiting:
            self._told.ended(item, self._stepper.leave(item, waiting[0], reason), reason)
        else:
            self._hold(item, reason)

    def _step(self, visit: Visit, item: Item, number: int, made: Mapping[str, Any]) -> tuple[Outcome, str]:
        step, done = item.steps[number], self._done.step(item.id, number)
        recipe = recipe_of(item.resource_type, step.name)
        before = done.before or {}
        if recipe is None:
            reason = f"nobody knows how to undo {step.name}"
        elif step.undo.possible is Undoable.NO:
            reason = f"cannot be undone: {step.undo.how}"
        elif self._journal.log.step(item.id, number).before is None and (
            (seen := self._stepper.still(item, number, recipe, visit.site, before)).state is not State.REACHED
        ):
            reason = f"what was done is not in place any more: {seen.says}"
        else:
            log = self._stepper.take_back(item, number, recipe, visit.site, before, made)
            return log.outcome or Outcome.UNVERIFIED, log.error or log.reason
        return self._stepper.leave(item, number, reason), reason

    def _touched(self, item: Item) -> list[int]:
        """The steps to take back. A mark that went with an act stays gone: it would be due at once."""
        return [
            number
            for number, step in enumerate(item.steps)
            if self._done.step(item.id, number).outcome in TOUCHED and not (number and is_unmark(step))
        ]

    def _begun(self, item: Item) -> bool:
        return any(self._journal.log.step(item.id, number).before is not None for number in range(len(item.steps)))

    def _made(self, item: Item) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for number in range(len(item.steps)):
            made |= self._done.step(item.id, number).made
        return made

    def _ended(self, item: Item) -> bool:
        log = self._journal.log
        outcomes = [log.step(item.id, number).outcome for number in self._touched(item)]
        return item.id in log.held or (bool(outcomes) and all(outcomes))

    def _hold(self, item: Item, reason: str) -> None:
        self._journal.write("held", item=item.id, reason=reason)
        self._told.ended(item, Outcome.HELD, reason)
