"""What a lint rule is, and how bad what it finds is.

A rule is one file under ``lint/rules`` with a ``RULE`` (or ``RULES``, where one reader tells several), one line in the
registry there, and one page ``docs/lint/<id>.md``. Levels are SARIF's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from finops_policy.marks import Diagnostic

if TYPE_CHECKING:
    from finops_policy.lint.subject import Subject


class Level(StrEnum):
    """``error``: Cloud Custodian or finops-policy refuses it. ``warning``: accepted, and likely wrong. ``note``: worth
    knowing. ``off`` is for settings alone: the rule is not applied."""

    OFF = "off"
    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"

    @property
    def rank(self) -> int:
        return list(Level).index(self)


@dataclass(frozen=True, slots=True)
class Rule:
    """``summary`` says what is found, ``why`` why it matters: a sentence each, as readers see them.

    ``check`` yields diagnostics whose ``rule`` is this id; it is None for a rule that a reader of files tells. One that
    ``needs_base`` compares with a Git revision, and finds nothing where none is given.
    """

    id: str
    level: Level
    summary: str
    why: str
    check: Callable[[Subject], Iterator[Diagnostic]] | None = None
    needs_base: bool = False
