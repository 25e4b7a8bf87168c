"""Places in files, and what is wrong there."""

from __future__ import annotations

import re
from dataclasses import dataclass

PLACEHOLDER = re.compile(r"\$\{([a-z][a-z0-9_]*)\}")
"""A parameter in a policy of a pack; it stands for a whole scalar."""


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A place in a file; line and column count from 1, 0 means the file as a whole."""

    path: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}" if self.line else self.path


@dataclass(frozen=True, slots=True)
class Fix:
    """What a safe correction writes: at the diagnostic's mark the file's text ``old`` becomes ``new``."""

    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """A problem in a file people write: where, what, how to mend it. ``related`` names the other place of a clash.

    ``fix`` is only there where nothing but the writing changes, never what the file means to do.
    """

    rule: str
    message: str
    mark: Mark
    hint: str = ""
    related: tuple[Mark, ...] = ()
    fix: Fix | None = None

    def __str__(self) -> str:
        also = "".join(f" (see {mark})" for mark in self.related)
        hint = f"\n    {self.hint}" if self.hint else ""
        return f"{self.mark}: {self.message} [{self.rule}]{also}{hint}"
