"""What linting found, for the formats to write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from finops_policy.lint.rule import Level, Rule
from finops_policy.lint.subject import Source
from finops_policy.marks import Diagnostic


@dataclass(frozen=True, slots=True)
class Told:
    """A diagnostic with the level that the settings give its rule. ``suppressed`` is the reason somebody wrote beside
    it; empty where it counts."""

    diagnostic: Diagnostic
    level: Level
    suppressed: str = ""


@dataclass(frozen=True)
class Report:
    """``told`` are sorted by place; those suppressed stand among them. ``policies`` counts the policies looked at.

    ``sources`` are by label, which is the path in marks, relative to the current folder where that is possible.
    ``passed_over`` are files found in folders that are none of ours and hold no policies. ``unchecked`` are policies
    that nobody here can check, each with the reason: an absence is not a zero.
    """

    told: tuple[Told, ...]
    rules: Mapping[str, Rule]
    sources: Mapping[str, Source]
    policies: int
    passed_over: tuple[str, ...]
    unchecked: tuple[str, ...]

    @property
    def active(self) -> tuple[Told, ...]:
        return tuple(each for each in self.told if not each.suppressed)

    def count(self, level: Level) -> int:
        return sum(each.level is level for each in self.active)

    @property
    def suppressed(self) -> int:
        return sum(bool(each.suppressed) for each in self.told)

    def worst(self) -> Level:
        """``off`` where nothing was found."""
        return max((each.level for each in self.active), key=lambda level: level.rank, default=Level.OFF)
