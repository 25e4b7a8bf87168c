"""A pack whose content has changed since the base revision, under the same version."""

from __future__ import annotations

from collections.abc import Iterator

from finops_policy.lint.rule import Level, Rule
from finops_policy.lint.subject import Subject
from finops_policy.lint.versions import versioned
from finops_policy.marks import Diagnostic


def _check(subject: Subject) -> Iterator[Diagnostic]:
    from finops_policy.changes.versions import needed_bump, next_version, told

    for each in versioned(subject):
        version = each.after.version
        if each.before.version != version:
            continue
        bump = needed_bump(each.before, each.after)
        message = f"Pack {each.after.name} has changed since {each.base.ref} ({told(bump)}), and is still {version}."
        hint = f"Raise it to {next_version(version, bump.level)}, and say in its CHANGELOG.md what has changed."
        yield Diagnostic(RULE.id, message, each.mark, hint)


RULE = Rule(
    "pack-unversioned",
    Level.WARNING,
    "A pack has changed since the base revision, and its version has not.",
    "Evidence and locks name packs by version: two packs of one version cannot be told apart by an auditor.",
    _check,
    needs_base=True,
)
