"""The same key twice in a mapping; told by ``sources``."""

from __future__ import annotations

from finops_policy.lint.rule import Level, Rule

RULE = Rule(
    "duplicate-key",
    Level.ERROR,
    "A key appears twice in a mapping.",
    "YAML silently keeps the last one: a filter that looks as if it were there is not.",
)
