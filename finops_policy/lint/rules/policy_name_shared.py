"""Policies of one name in several files."""

from __future__ import annotations

from collections.abc import Iterator

from finops_policy.lint.rule import Level, Rule
from finops_policy.lint.subject import PLAIN, LintedPolicy, Subject
from finops_policy.marks import Diagnostic
from finops_policy.sources import shown


def _check(subject: Subject) -> Iterator[Diagnostic]:
    first: dict[str, LintedPolicy] = {}
    told: set[tuple[str, str]] = set()
    for policy in subject.policies:
        name, label = policy.document.get("name"), policy.source.label
        if policy.source.kind != PLAIN or not isinstance(name, str):
            continue
        other = first.setdefault(name, policy)
        if other.source.label != label and (name, label) not in told:
            told.add((name, label))
            yield Diagnostic(
                RULE.id,
                f"a policy of {other.source.label} is called {shown(name)} too",
                policy.mark("name"),
                "Give each its own name, unless the two files are never used in one account.",
                (other.mark("name"),),
            )


RULE = Rule(
    "policy-name-shared",
    Level.NOTE,
    "Policies of several files have the same name.",
    "`custodian run` refuses the two files together; apart they write to one folder and one Lambda function.",
    _check,
)
