"""A pack whose changelog has no entry for its version."""

from __future__ import annotations

import re
from collections.abc import Iterator

from finops_policy.lint.rule import Level, Rule
from finops_policy.lint.subject import Subject
from finops_policy.marks import Diagnostic

NAME = "CHANGELOG.md"
_VERSION = re.compile(r"\d+\.\d+\.\d+")


def _check(subject: Subject) -> Iterator[Diagnostic]:
    for source in subject.of_kind("pack"):
        data = source.document.data if source.document else None
        version = data.get("version") if isinstance(data, dict) else None
        if source.document is None or not isinstance(version, str) or not _VERSION.fullmatch(version):
            continue
        try:
            text = (source.path.parent / NAME).read_text("utf-8", errors="replace")
        except FileNotFoundError:
            wrong = f"The pack has no {NAME}."
        except OSError as error:
            wrong = f"{NAME} cannot be read: {(error.strerror or type(error).__name__).lower()}."
        else:
            if re.search(rf"^## +\[?v?{re.escape(version)}\]?(?![\w.+-])", text, re.MULTILINE):
                continue
            wrong = f"{NAME} has no entry for version {version}."
        yield Diagnostic(
            RULE.id, wrong, source.document.mark("version"), f"Add `## [{version}] - <date>` and what has changed."
        )


RULE = Rule(
    "pack-changelog",
    Level.WARNING,
    "A pack's changelog has no entry for its version.",
    "Whoever takes the new version must learn what it will find that the old one did not.",
    _check,
)
