"""PURE: the SemVer bump that a pack's changes ask for, and the one it got.

Major: a policy or parameter is gone (a renamed one is gone, and another has come), or what a profile or customer may
write became less. Minor: more may be written, or other resources are found. Patch: only text changed. Before 1.0.0 a
major change needs a minor bump, and every other change a patch, as Cargo and npm take it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from finops_policy.changes.filters import text
from finops_policy.changes.model import Kind
from finops_policy.changes.packs import compare_packs
from finops_policy.model import Pack

TEXT_FIELDS = ("title", "owner", "rationale", "description", "other text")


class Level(IntEnum):
    """Which part of a version rises."""

    NONE = 0
    PATCH = 1
    MINOR = 2
    MAJOR = 3

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Bump:
    """``reasons`` are the changes that ask for this level, as readers see them; none asks for more."""

    level: Level
    reasons: tuple[str, ...] = ()


def needed_bump(before: Pack, after: Pack) -> Bump:
    """What the changes ask for, whatever the version says."""
    asked: dict[Level, list[str]] = {}
    for level, reason in _asked(before, after):
        asked.setdefault(level, []).append(reason)
    if not asked:
        return Bump(Level.NONE)
    level = max(asked)
    if before.version.startswith("0."):
        return Bump(Level.MINOR if level is Level.MAJOR else Level.PATCH, tuple(asked[level]))
    return Bump(level, tuple(asked[level]))


def given_bump(before: str, after: str) -> Level | None:
    """What rose between two versions; None when the version went down. Pre-releases do not fit packs' schema."""
    old, new = _numbers(before), _numbers(after)
    if new < old:
        return None
    for level, index in ((Level.MAJOR, 0), (Level.MINOR, 1), (Level.PATCH, 2)):
        if new[index] > old[index]:
            return level
    return Level.NONE


def told(bump: Bump) -> str:
    """The reasons, shortly."""
    more = f" and {len(bump.reasons) - 3} more" if len(bump.reasons) > 3 else ""
    return f"{', '.join(bump.reasons[:3])}{more}"


def next_version(version: str, level: Level) -> str:
    major, minor, patch = _numbers(version)
    match level:
        case Level.MAJOR:
            return f"{major + 1}.0.0"
        case Level.MINOR:
            return f"{major}.{minor + 1}.0"
        case Level.PATCH:
            return f"{major}.{minor}.{patch + 1}"
        case _:
            return version


def _numbers(version: str) -> tuple[int, int, int]:
    major, minor, patch = version.split(".")
    return int(major), int(minor), int(patch)


def _asked(before: Pack, after: Pack) -> Iterator[tuple[Level, str]]:
    for change in compare_packs(before, after):
        what = f"{change.item} {change.field}".strip()
        if not change.field:
            yield Level.MAJOR if change.kind is Kind.REMOVED else Level.MINOR, f"{change.item} {change.kind}"
        elif change.item.startswith("parameter ") and change.field not in ("default", "description"):
            less = _narrows(change.field, change.old, change.new)
            yield (Level.MAJOR, f"{what} allows less") if less else (Level.MINOR, f"{what} allows more")
        elif change.field == "resource":
            yield Level.MAJOR, f"{change.item} judges another resource type"
        else:
            yield Level.PATCH if change.field in TEXT_FIELDS else Level.MINOR, f"{what} changed"


def _narrows(keyword: str, old: Any, new: Any) -> bool:
    """Whether a keyword of a parameter's schema may refuse a value that it allowed. Absent is None: it allows all."""
    if new is None:
        return keyword == "type"
    match keyword:
        case "minimum" | "minItems":
            return old is None or bool(new > old)
        case "maximum":
            return old is None or bool(new < old)
        case "enum":
            return old is None or not set(map(text, old)) <= set(map(text, new))
        case "items":
            keys = {*(old or {}), *new}
            values = ((key, (old or {}).get(key), new.get(key)) for key in keys)
            return any(_narrows(key, was, now) for key, was, now in values if text(was) != text(now))
        case _:
            return True
