"""A pack whose version rose less than its changes ask for, or went down."""

from __future__ import annotations

from collections.abc import Iterator

from finops_policy.lint.rule import Level, Rule
from finops_policy.lint.subject import Subject
from finops_policy.lint.versions import versioned
from finops_policy.marks import Diagnostic


def _check(subject: Subject) -> Iterator[Diagnostic]:
    from finops_policy.changes.versions import given_bump, needed_bump, next_version, told

    for each in versioned(subject):
        before, after = each.before.version, each.after.version
        if before == after:
            continue
        bump, given = needed_bump(each.before, each.after), given_bump(before, after)
        right = next_version(before, bump.level)
        if given is None:
            message = f"The version of pack {each.after.name} goes down, from {before} at {each.base.ref} to {after}."
            hint = f"Versions only rise: {right if right != before else f'more than {before}'}."
            yield Diagnostic(RULE.id, message, each.mark, hint)
        elif given < bump.level:
            message = (
                f"From {before} to {after} is a {given} step, and the changes ask for a {bump.level} one: {told(bump)}."
            )
            yield Diagnostic(RULE.id, message, each.mark, f"Make it {right}.")


RULE = Rule(
    "semver-bump",
    Level.WARNING,
    "A pack's version rose less than its changes ask for, or went down.",
    "Profiles take a range of versions such as ~=1.2: what breaks them or finds other resources must not slip into it.",
    _check,
    needs_base=True,
)
