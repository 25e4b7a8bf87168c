"""What is written down while c7n's filters run: Kleene's three values, an answer per resource, and its facts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from finops_policy.failures import Failure
from finops_policy.model import Fact

READ_ERRORS = (AttributeError, IndexError, KeyError, TypeError, ValueError, ZeroDivisionError)
"""What a filter raises on one resource that lacks what it reads (jmespath's and dateutil's errors are ValueErrors)."""

Resource = dict[str, Any]
IdOf = Callable[[Resource], str]


class Truth(Enum):
    """Kleene's three values."""

    TRUE = "true"
    FALSE = "false"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Answer:
    """A filter's answer on one resource. ``failure``: a call to AWS failed, rather than that AWS had nothing to say."""

    truth: Truth
    reason: str = ""
    failure: Failure | None = None


@dataclass(slots=True)
class Notes:
    """What one filter did, by resource id."""

    kept: set[str] = field(default_factory=set)
    dropped: set[str] = field(default_factory=set)
    undecided: dict[str, Answer] = field(default_factory=dict)
    facts: dict[str, Fact] = field(default_factory=dict)

    def answer(self, resource_id: str) -> Answer | None:
        """``None`` when the filter never saw the resource."""
        if resource_id in self.undecided:
            return self.undecided[resource_id]
        if resource_id in self.kept:
            return Answer(Truth.TRUE)
        return Answer(Truth.FALSE) if resource_id in self.dropped else None

    def forget(self) -> None:
        """In place: the filter's ears write here for the next resources as well."""
        for each in (self.kept, self.dropped, self.undecided, self.facts):
            each.clear()
