"""Profiles that ask nobody before something is destroyed: runs hold it, and it is never done. Plain policies know no
approvals."""

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
            if choice.name not in subject.packs:
                continue
            policies = subject.packs[choice.name].policies.values()
            found = [each for each in policies if choice.posture_of(each.name) is Posture.AUTO and _destroys(each)]
            if found:
                names = ", ".join(shown(policy.name) for policy in found[:3]) + (" and others" if found[3:] else "")
                message = f"the pack {shown(choice.name)} would destroy without an approval: {names}"
                hint = "Write `posture: approve`, for the pack or for those policies under `postures`."
                yield Diagnostic(RULE.id, message, choice.mark, hint, tuple(policy.mark for policy in found[:3]))


def _destroys(policy: Policy) -> bool:
    actions = policy.remediation.get("actions", ())
    names = {each if isinstance(each, str) else str(each.get("type")) for each in actions}
    return policy.remediation.get("destructive") is True or bool(names & DESTRUCTIVE)


RULE = Rule(
    "destructive-without-approval",
    Level.WARNING,
    "A profile asks nobody before a pack destroys.",
    "Nobody would look at the list before it is gone, so a run holds it.",
    check,
)
