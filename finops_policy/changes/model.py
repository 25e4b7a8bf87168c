"""A change, its effect, and what is compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from finops_policy.customer import Customer
from finops_policy.marks import Mark
from finops_policy.model import Framework, Pack, Profile, Waiver


class Kind(StrEnum):
    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


class Effect(StrEnum):
    """``tightens``: more resources can be found, or more is done to them. ``loosens``: fewer, or less. ``unclear``: it
    cannot be proved. ``neutral``: it changes neither."""

    TIGHTENS = "tightens"
    LOOSENS = "loosens"
    UNCLEAR = "unclear"
    NEUTRAL = "neutral"

    def reversed(self) -> Effect:
        """The effect of the change the other way round."""
        match self:
            case Effect.TIGHTENS:
                return Effect.LOOSENS
            case Effect.LOOSENS:
                return Effect.TIGHTENS
            case _:
                return self


def joined(effects: Iterable[Effect]) -> Effect:
    """What several effects come to together; opposite ones are unclear."""
    found = set(effects) - {Effect.NEUTRAL}
    if len(found) > 1:
        return Effect.UNCLEAR
    return found.pop() if found else Effect.NEUTRAL


class Section(StrEnum):
    """What a change belongs to, in the order of telling."""

    PACK = "pack"
    PLAIN = "plain policies"
    PROFILE = "profile"
    CUSTOMER = "customer"
    FRAMEWORK = "framework"


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. ``owner`` is the pack, profile, customer, framework or file; ``item`` is what of it, such as
    ``policy ec2-idle``, and empty for itself; ``field`` is what of that, such as ``violation[0].value``, and empty
    where the item came or went as a whole. ``why`` explains the effect, in words of ours alone. ``mark`` is where it is
    now, or was."""

    section: Section
    owner: str
    item: str
    field: str
    kind: Kind
    old: Any
    new: Any
    effect: Effect
    why: str
    mark: Mark


@dataclass(frozen=True, slots=True)
class PlainPolicy:
    """A plain Cloud Custodian policy of the file ``path``; ``index`` tells those of one name in one file apart."""

    path: str
    name: str
    index: int
    document: Mapping[str, Any]
    mark: Mark


@dataclass(frozen=True, slots=True)
class Problem:
    """What could not be read, and why. ``digest`` is of the file's content, empty where nobody knows it."""

    what: str
    reason: str
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A workspace's state. ``waivers`` are by customer. ``unread`` are those that cannot be read, as section and name.
    ``problems`` says why, and what else could not be read, each with a digest of the file where one is known."""

    packs: Mapping[str, Pack] = field(default_factory=dict)
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    frameworks: Mapping[str, Framework] = field(default_factory=dict)
    customers: Mapping[str, Customer] = field(default_factory=dict)
    waivers: Mapping[str, tuple[Waiver, ...]] = field(default_factory=dict)
    plain: tuple[PlainPolicy, ...] = ()
    unread: frozenset[tuple[Section, str]] = frozenset()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two states: a Git revision, or the working tree where ``ref`` and ``commit`` are empty. ``exists`` is
    false where the revision has no such folder."""

    ref: str
    commit: str
    exists: bool = True

    def __str__(self) -> str:
        return f"{self.ref} ({self.commit[:12]})" if self.commit else "the working tree"


@dataclass(frozen=True, slots=True)
class VersionStep:
    """A pack whose content or version differs. ``needed`` is the part of the version that must rise, ``given`` the one
    that did; ``down`` if the version went down. ``reasons`` are the changes that ask for it."""

    pack: str
    before: str
    after: str
    needed: str
    given: str
    enough: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs, and what could not be compared, as sentences."""

    base: Side
    head: Side
    changes: tuple[Change, ...]
    versions: tuple[VersionStep, ...]
    problems: tuple[str, ...]


def path_of(steps: Iterable[str | int]) -> str:
    """``("violation", 0, "value")`` as ``violation[0].value``."""
    text = ""
    for step in steps:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text
