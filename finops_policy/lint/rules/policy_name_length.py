"""Names that are too long for a Lambda function. c7n's own validation, which refuses them too, is not asked."""

from __future__ import annotations

from collections.abc import Iterator

from finops_policy.lint import modes
from finops_policy.lint.rule import Level, Rule
from finops_policy.lint.subject import Subject
from finops_policy.marks import Diagnostic
from finops_policy.sources import shown


def _check(subject: Subject) -> Iterator[Diagnostic]:
    for policy in subject.policies:
        name = modes.function(policy)
        if len(name) > modes.LONGEST:
            yield Diagnostic(
                RULE.id,
                f"the Lambda function {shown(name, 80)} has a name of {len(name)} characters, and AWS allows 64",
                policy.mark("name"),
                f"Make the policy's name, or the mode's `function-prefix`, {len(name) - modes.LONGEST} shorter.",
            )


RULE = Rule(
    "policy-name-length",
    Level.ERROR,
    "A policy's name is too long for its Lambda function.",
    "Cloud Custodian refuses the policy: AWS allows 64 characters, the prefix among them.",
    _check,
)
