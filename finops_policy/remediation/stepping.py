"""One step on one resource: written down, taken, and looked at until AWS shows what became of it.

A step that was begun before a crash is looked at first, and taken again only where AWS shows that it has no effect. An
exception that was not raised proves nothing, and an error that was raised does not either: AWS's own picture decides.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from finops_policy.failures import OutOfTimeError, explain
from finops_policy.remediation.items import without_withheld
from finops_policy.remediation.journal import Journal, StepLog
from finops_policy.remediation.model import Item, Outcome
from finops_policy.remediation.recipes.recipe import Recipe, Seen, Site, State, Subject

UNDO = "undo:"
ROUNDS = 5
"""How often an undo goes on with what it could not do while AWS was still at work."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long AWS is asked, in seconds, for an effect that is on its way: first after ``pause``, then ever more
    rarely. ``looks`` is how often it must show no effect, or not tell, before that is believed: it may lag behind."""

    seconds: float = 1800.0
    pause: float = 2.0
    longest: float = 30.0
    looks: int = 6
    sleep: Callable[[float], None] = time.sleep


def subject_of(item: Item) -> Subject:
    return Subject(item.resource_type, item.resource_id, item.arn, item.id)


class Stepper:
    """Takes steps, and takes them back, writing everything down."""

    def __init__(
        self,
        journal: Journal,
        patience: Patience,
        who: Callable[[Item], Mapping[str, Any]],
        withheld: tuple[str, ...],
    ) -> None:
        """``who`` is written down with what is meant; of tags whose keys fit ``withheld`` no value is."""
        self._journal = journal
        self._patience = patience
        self._who = who
        self._withheld = withheld

    def take(
        self,
        item: Item,
        number: int,
        recipe: Recipe,
        site: Site,
        before: Callable[[], Mapping[str, Any]],
        act: Callable[[Mapping[str, Any]], str],
        hindrance: Callable[[], str],
    ) -> StepLog:
        """``before`` reads the values to undo with, ``act`` acts and answers with AWS's error, ``hindrance`` looks at
        the resource again and says why it may not be acted on; all three are called just before acting."""
        action, log = item.steps[number].action, self._log(item, number)
        if log.outcome is None and not log.acted:
            effect = None if log.before is None else self._look(lambda: self._seen(item, number, recipe, site))
            if effect is None or effect.state is State.NOT_REACHED:
                if reason := hindrance():
                    self._end(item, number, Outcome.HELD, Seen(State.NOT_REACHED, reason), "")
                    return self._log(item, number)
                if effect is None:
                    try:
                        values = before()
                    except (Exception, OutOfTimeError) as failed:  # noqa: BLE001 - not acted on, and says why
                        reason = f"what undoing it needs cannot be read: {explain(failed).message}"
                        self._end(item, number, Outcome.HELD, Seen(State.NOT_REACHED, reason), "")
                        return self._log(item, number)
                    who = self._who(item)
                    self._journal.write("intent", item=item.id, step=number, action=action, before=values, **who)
                error = act(self._log(item, number).before or {})
                self._journal.write("acted", item=item.id, step=number, error=error)
            else:
                self._journal.write("acted", item=item.id, step=number, error="")
        if self._log(item, number).outcome is None:
            error = self._log(item, number).error
            seen = self._look(lambda: self._seen(item, number, recipe, site))
            self._end(item, number, _OUTCOMES[seen.state], seen, error)
        return self._log(item, number)

    def take_back(
        self, item: Item, number: int, recipe: Recipe, site: Site, before: Mapping[str, Any], made: Mapping[str, Any]
    ) -> StepLog:
        """Undoes a step that was done: ``before`` and ``made`` are those of the remediation that is taken back."""
        action, subject = item.steps[number].action, subject_of(item)

        def undone() -> Seen:
            return recipe.undone(site, subject, action, before, {**made, **self._log(item, number).made})

        def again() -> tuple[str, dict[str, Any]]:
            try:
                return "", recipe.undo(site, subject, action, before, {**made, **self._log(item, number).made})
            except (Exception, OutOfTimeError) as failed:  # noqa: BLE001 - AWS's error, told with the outcome
                return explain(failed).message, {}

        log = self._log(item, number)
        if log.outcome is None and not log.acted:
            if log.before is None:
                name, who = f"{UNDO}{action['type']}", self._who(item)
                self._journal.write("intent", item=item.id, step=number, action=name, before=before, **who)
            there = self._once(undone).state is State.REACHED
            error, new = ("", {}) if there else again()
            self._journal.write("acted", item=item.id, step=number, error=error, made=new)
        log = self._log(item, number)
        if log.outcome is None:
            error, seen = log.error, self._look(undone)
            for _ in range(ROUNDS):  # what was made anew takes its settings and tags once it is there
                if seen.state is State.NOT_REACHED and not error:
                    error, _ = again()
                    seen = self._look(undone)
            outcome = Outcome.UNDONE if seen.state is State.REACHED else _OUTCOMES[seen.state]
            self._end(item, number, outcome, seen, error)
        return self._log(item, number)

    def still(self, item: Item, number: int, recipe: Recipe, site: Site, before: Mapping[str, Any]) -> Seen:
        """Whether AWS still shows the effect of a step that was done; ``before`` is what was written down then."""
        return self._once(lambda: recipe.seen(site, subject_of(item), item.steps[number].action, before))

    def leave(self, item: Item, number: int, reason: str) -> Outcome:
        """A step that nobody can take or look at: held, unless it was begun, when nobody knows what became of it."""
        log = self._log(item, number)
        outcome = Outcome.HELD if log.before is None else Outcome.UNVERIFIED
        self._end(item, number, outcome, Seen(State.UNKNOWN, reason), log.error)
        return outcome

    def doubt(self, item: Item, number: int, reason: str) -> None:
        """What was seen done is not so any more."""
        self._end(item, number, Outcome.UNVERIFIED, Seen(State.UNKNOWN, reason), "")

    def _log(self, item: Item, number: int) -> StepLog:
        return self._journal.log.step(item.id, number)

    def _seen(self, item: Item, number: int, recipe: Recipe, site: Site) -> Seen:
        before = self._log(item, number).before or {}
        return recipe.seen(site, subject_of(item), item.steps[number].action, before)

    def _end(self, item: Item, number: int, outcome: Outcome, seen: Seen, error: str) -> None:
        self._journal.write(
            "outcome",
            item=item.id,
            step=number,
            outcome=outcome.value,
            reason=seen.says,
            error=error,
            after=without_withheld(seen.after, self._withheld),
            made={**self._log(item, number).made, **seen.made},
        )

    def _look(self, ask: Callable[[], Seen]) -> Seen:
        """Asks until AWS shows the effect, or has shown often enough that there is none, or time is up."""
        patience = self._patience
        ends, pause, silent = time.monotonic() + patience.seconds, patience.pause, 0
        while True:
            seen = self._once(ask)
            if seen.state is State.REACHED:
                return seen
            silent += seen.state is not State.PENDING
            if silent >= patience.looks or time.monotonic() >= ends:
                return seen
            patience.sleep(pause)
            pause = min(2 * pause, patience.longest)

    def _once(self, ask: Callable[[], Seen]) -> Seen:
        try:
            return ask()
        except (Exception, OutOfTimeError) as error:  # noqa: BLE001 - what cannot be asked is unknown, and says why
            return Seen(State.UNKNOWN, explain(error).message)


_OUTCOMES = {
    State.REACHED: Outcome.DONE,
    State.NOT_REACHED: Outcome.FAILED,
    State.PENDING: Outcome.UNVERIFIED,
    State.UNKNOWN: Outcome.UNVERIFIED,
}
