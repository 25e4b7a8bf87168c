"""Texts with braces that end ``custodian run`` before it looks at the first resource."""

from __future__ import annotations

from collections.abc import Iterator

from finops_policy.lint.rule import Level, Rule
from finops_policy.lint.subject import Subject
from finops_policy.lint.variables import ERRORS, given, is_filled, policies, texts
from finops_policy.marks import Diagnostic


def _check(subject: Subject) -> Iterator[Diagnostic]:
    names = given(subject)
    for policy in policies(subject):
        for steps, text in texts(policy.document):
            try:
                is_filled(text, policy.document, names)
            except ERRORS as error:
                yield Diagnostic(
                    RULE.id,
                    f"Cloud Custodian takes braces for variables, and ends at these: {error}",
                    policy.mark(*steps),
                    "Double every brace that is part of the text: `{{` and `}}`.",
                )


RULE = Rule(
    "malformed-variable",
    Level.WARNING,
    "A text has braces that Cloud Custodian can neither fill in nor leave alone.",
    "`custodian run` ends with a Python error before the first policy runs, although `custodian validate` accepts it.",
    _check,
)
