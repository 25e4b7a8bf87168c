"""Waivers that stock Cloud Custodian cannot be told of."""

from __future__ import annotations

from collections.abc import Iterator

from finops_policy.lint.rule import Level, Rule
from finops_policy.lint.subject import Subject
from finops_policy.lint.waivers import entries, rules_of
from finops_policy.marks import Diagnostic


def _check(subject: Subject) -> Iterator[Diagnostic]:
    for entry in entries(subject):
        if not entry.text("resource") or rules_of(subject, entry) is None:
            continue
        policy = entry.text("policy")
        resources = (each.policies[policy].resource for each in subject.packs.values() if policy in each.policies)
        resource = next(resources, "")
        type_ = subject.knowledge.type_of(resource) if resource else None
        if type_ is not None and type_.arn_key is None:
            yield Diagnostic(
                RULE.id,
                f"{entry.name} cannot be compiled: Cloud Custodian's filters cannot tell the ARN of {resource}",
                entry.mark("resource"),
                "Name a tag of the resources in the place of an ARN, or run the policy with finops-policy alone.",
            )


RULE = Rule(
    "waiver-not-compiled",
    Level.WARNING,
    "A waiver is for a resource type whose ARN Cloud Custodian's filters cannot tell.",
    "A run honours it, and `custodian run` on the compiled policies does not.",
    _check,
)
