"""Profiles that let a pack destroy without anybody's approval. Plain policies know no approvals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from finops_policy.lint.actions import DESTRUCTIVE
from finops_policy.lint.rule import Level, Rule
from finops_policy.lint.subject import Subject
from finops_policy.marks import Diagnostic
from finops_policy.sources import shown

if TYPE_CHECKING:
    from finops_policy.model import Policy


def check(subject: Subject) -> Iterator[Diagnostic]:
    if not subject.of_kind("profile"):
        return
    from finops_policy.model import Posture

    for profile in subject.profiles.values():
        for choice in profile.packs:
            if choice.posture is not Posture.AUTO or choice.name not in subject.packs:
                continue
            found = [policy for policy in subject.packs[choice.name].policies.values() if _destroys(policy)]
            if found:
                names = ", ".join(shown(policy.name) for policy in found[:3]) + (" and others" if found[3:] else "")
                message = f"the pack {shown(choice.name)} destroys without an approval: {names}"
                hint = "Write `posture: approve`, or move those policies to a pack of their own."
                yield Diagnostic(RULE.id, message, choice.mark, hint, tuple(policy.mark for policy in found[:3]))


def _destroys(policy: Policy) -> bool:
    actions = policy.remediation.get("actions", ())
    names = {each if isinstance(each, str) else str(each.get("type")) for each in actions}
    return policy.remediation.get("destructive") is True or bool(names & DESTRUCTIVE)


RULE = Rule(
    "destructive-without-approval",
    Level.WARNING,
    "A profile lets a pack destroy without an approval.",
    "Nobody looks at the list before it is gone.",
    check,
)
