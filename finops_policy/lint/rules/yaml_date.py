"""Values that YAML reads as something else than what is written, where Cloud Custodian does not mind."""

from __future__ import annotations

from finops_policy.lint.rule import Level, Rule

RULES = (
    Rule(
        "yaml-date",
        Level.WARNING,
        "Text without quotes is read as a date.",
        "A date never equals the text of a tag, and Cloud Custodian's schema refuses it in most places.",
    ),
    Rule(
        "yaml-odd",
        Level.WARNING,
        "Cloud Custodian accepts a key or value that YAML reads otherwise than it looks.",
        "`on`, `1` and `.inf` as keys or values are no text: what they are compared with never equals them.",
    ),
)
