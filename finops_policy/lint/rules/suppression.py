"""Comments that keep rules silent; told by ``suppressions``."""

from __future__ import annotations

from finops_policy.lint.rule import Level, Rule
from finops_policy.lint.suppressions import NO_REASON, UNKNOWN, UNUSED

RULES = (
    Rule(
        NO_REASON,
        Level.ERROR,
        "A comment that should keep a rule silent gives no reason.",
        "Without its reason nobody can tell later whether an exception still holds: the comment does nothing.",
    ),
    Rule(
        UNUSED,
        Level.WARNING,
        "A comment keeps a rule silent that finds nothing there.",
        "It would hide the next mistake of that kind.",
    ),
    Rule(
        UNKNOWN,
        Level.WARNING,
        "A comment names a rule that does not exist.",
        "The rule that was meant is not kept silent.",
    ),
)
