"""Lambda functions whose role is left to whoever deploys them."""

from __future__ import annotations

from collections.abc import Iterator

from finops_policy.lint import modes
from finops_policy.lint.rule import Level, Rule
from finops_policy.lint.subject import Subject
from finops_policy.marks import Diagnostic


def _check(subject: Subject) -> Iterator[Diagnostic]:
    for policy in subject.policies:
        mode = modes.settings(policy)
        if mode and not mode.get("role"):
            yield Diagnostic(
                RULE.id,
                f"mode {policy.mode} names no `role`: the function gets the one that `--assume` names, if any",
                policy.mark("mode", "type"),
                "Add `role:`, with the permissions that the policy needs and no more.",
            )


RULE = Rule(
    "mode-without-role",
    Level.NOTE,
    "A Lambda mode names no role.",
    "Deployment fails without `--assume`; with it the function may do whatever the one who deployed it may.",
    _check,
)
