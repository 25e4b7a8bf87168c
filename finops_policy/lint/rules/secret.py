"""Secrets in the text of a file, its comments too. No message repeats one."""

from __future__ import annotations

from collections.abc import Iterator

from finops_policy.lint.rule import Level, Rule
from finops_policy.lint.subject import Subject
from finops_policy.marks import Diagnostic, Mark
from finops_policy.masking import secrets


def _check(subject: Subject) -> Iterator[Diagnostic]:
    for source in subject.sources:
        text = "\n".join(source.lines)
        line, begins, seen = 1, 0, 0
        for secret in secrets(text):
            line += text.count("\n", seen, secret.start)
            begins = text.rfind("\n", seen, secret.start) + 1 or begins
            seen = secret.start
            yield Diagnostic(
                RULE.id,
                f"{secret.kind} stands here, for everybody who can read the file",
                Mark(source.label, line, secret.start - begins + 1),
                "Revoke it: the history keeps it when the line is gone. Let what runs here read the new one from a "
                "secret store.",
            )


RULE = Rule(
    "secret",
    Level.WARNING,
    "A file holds a password, token or key.",
    "Whoever can read the repository, or a copy of it, can use it; policies are shared widely and kept for ever.",
    _check,
)
