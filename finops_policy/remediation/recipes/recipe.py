"""What is known of one action on one resource type: the values that undo it, who depends on it, how to see its effect.

c7n acts; a recipe only reads, before and after, and takes back. It gets plain dictionaries as c7n describes resources,
and clients of a session that already holds the account's credentials. Errors of AWS pass through as botocore raises
them: whoever calls a recipe records them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from finops_policy.model import Target


class Undoable(StrEnum):
    """How much of an action can be taken back."""

    YES = "yes"
    PARTLY = "partly"
    NO = "no"


class State(StrEnum):
    """What AWS shows of an effect that was asked for."""

    REACHED = "reached"
    PENDING = "pending"
    """On its way: ask again."""
    NOT_REACHED = "not-reached"
    UNKNOWN = "unknown"
    """AWS does not tell."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where a recipe works. ``session`` keeps its clients and counts its calls."""

    target: Target
    partition: str
    session: Any = field(repr=False)

    def client(self, service: str) -> Any:
        return self.session.client(service)


@dataclass(frozen=True, slots=True)
class Subject:
    """The resource of a step. ``item_id`` is the plan item's: names and tags of copies are made of it, so that they
    are found again after a crash."""

    resource_type: str
    resource_id: str
    arn: str
    item_id: str


@dataclass(frozen=True, slots=True)
class Undo:
    """What undoing would do, told before anybody agrees. ``lost`` is what no undo brings back, in sentences."""

    possible: Undoable
    how: str
    lost: tuple[str, ...] = ()
    permissions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Dependant:
    """What would break: ``kind`` is a word such as "image" or "route", ``effect`` a sentence."""

    kind: str
    id: str
    effect: str


@dataclass(frozen=True, slots=True)
class Dependants:
    """``unknown`` says in sentences what AWS could not be asked: an absence is not a zero."""

    found: tuple[Dependant, ...] = ()
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """What AWS shows after an act, or after its undo. ``after`` are values worth keeping (JSON), ``made`` what the act
    created and undo needs, such as ``{"snapshots": ["snap-1"]}``."""

    state: State
    says: str = ""
    after: Mapping[str, Any] = field(default_factory=dict)
    made: Mapping[str, Any] = field(default_factory=dict)


class Recipe(Protocol):
    """One action on one resource type. ``action`` is the c7n action in its long form, ``{"type": "stop", ...}``.

    ``before`` and ``made`` are JSON; ``made`` is what all steps of the item have made so far.
    """

    def before(
        self, site: Site, subject: Subject, resource: Mapping[str, Any], action: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The values that the undo and the proof need, and nothing that changes by itself: whatever differs between
        plan and apply holds the resource back. Tags stand under ``tags`` (key -> value)."""
        ...

    def undo_of(self, before: Mapping[str, Any], action: Mapping[str, Any]) -> Undo:
        """What undoing would do. Pure."""
        ...

    def dependants(self, site: Site, subject: Subject, resource: Mapping[str, Any]) -> Dependants:
        """What would break when the action is taken."""
        ...

    def seen(self, site: Site, subject: Subject, action: Mapping[str, Any], before: Mapping[str, Any]) -> Seen:
        """Whether AWS shows the action's effect. ``NOT_REACHED`` must mean that acting (again) repeats nothing."""
        ...

    def undo(
        self,
        site: Site,
        subject: Subject,
        action: Mapping[str, Any],
        before: Mapping[str, Any],
        made: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Takes the action back; answers with what it made. Called only where undo is possible, and not yet seen as
        undone. Must be safe to call again after a crash: look for what was made already first."""
        ...

    def undone(
        self,
        site: Site,
        subject: Subject,
        action: Mapping[str, Any],
        before: Mapping[str, Any],
        made: Mapping[str, Any],
    ) -> Seen:
        """Whether AWS shows that the action is taken back."""
        ...
