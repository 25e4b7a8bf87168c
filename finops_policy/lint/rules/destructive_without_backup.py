"""Policies that destroy data of which Cloud Custodian could keep a copy first.

A copy that the policy setting the mark makes counts, where it is among the files linted; so do filters that ask for
copies. Policies that run on events are left alone: what was just made holds no data.
"""

from __future__ import annotations

from collections.abc import Iterator

from finops_policy.lint import actions, modes
from finops_policy.lint.actions import BACKED_UP, BACKUPS, Backup
from finops_policy.lint.rule import Level, Rule
from finops_policy.lint.subject import LintedPolicy, Subject, Use
from finops_policy.marks import Diagnostic
from finops_policy.sources import shown


def check(subject: Subject) -> Iterator[Diagnostic]:
    marks = _marks_with_backup(subject)
    for policy in subject.policies:
        if policy.type is None or policy.mode not in modes.POLLING:
            continue
        found = list(actions.destructive(policy))
        if not found or _copied(policy) or marks.intersection(_asked(policy)):
            continue
        first = {use.type: use.steps for use in reversed(policy.actions)}
        for use in found:
            backup = BACKUPS.get((policy.type.name, use.type))
            if backup is None or backup.made_by(use):
                continue
            if not any(first.get(name, use.steps) < use.steps for name in backup.actions):
                yield _diagnostic(policy, use, backup)


def _marks_with_backup(subject: Subject) -> set[tuple[str, str, str]]:
    """Type, tag and action of the marks that are set by policies which keep a copy."""
    found = set()
    for policy in subject.policies:
        names = {use.type for use in policy.actions}
        for use in policy.actions:
            tag, op = actions.marked(use)
            backup = BACKUPS.get((policy.type.name, op)) if policy.type else None
            if policy.type and backup and use.kind == "mark-for-op" and names.intersection(backup.actions):
                found.add((policy.type.name, tag, op))
    return found


def _asked(policy: LintedPolicy) -> set[tuple[str, str, str]]:
    name = policy.type.name if policy.type else ""
    return {
        (name, *actions.marked(use))
        for use in policy.filters
        if use.kind == "marked-for-op" and "not" not in use.groups
    }


def _copied(policy: LintedPolicy) -> bool:
    if policy.written is not None and policy.written.remediation.get("backup"):
        return True
    return any(use.type in BACKED_UP and "not" not in use.groups for use in policy.filters)


def _diagnostic(policy: LintedPolicy, use: Use, backup: Backup) -> Diagnostic:
    hints = [f"put `- {name}` before it" for name in backup.actions]
    mark = policy.mark(*use.steps)
    if backup.setting and backup.kept:
        hints.append(f"let it make a last one, with `{backup.setting}`")
    elif backup.setting:
        hints.append(f"remove `{backup.setting}`, which gives up the last copy")
        mark = policy.key_mark(*use.steps, backup.setting)
    hint = ", or ".join(hints)
    message = f"{shown(use.type)} destroys data of which no copy is kept"
    return Diagnostic(RULE.id, message, mark, f"{hint[0].upper()}{hint[1:]}.")


RULE = Rule(
    "destructive-without-backup",
    Level.WARNING,
    "An action destroys data, and no copy is kept although Cloud Custodian can make one.",
    "What was deleted by mistake is gone.",
    check,
)
