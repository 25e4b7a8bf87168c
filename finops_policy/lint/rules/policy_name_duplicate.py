"""Two policies of one name in a file."""

from __future__ import annotations

from collections.abc import Iterator

from finops_policy.lint.rule import Level, Rule
from finops_policy.lint.subject import PLAIN, LintedPolicy, Subject
from finops_policy.marks import Diagnostic
from finops_policy.sources import shown


def _check(subject: Subject) -> Iterator[Diagnostic]:
    first: dict[tuple[str, str], LintedPolicy] = {}
    for policy in subject.policies:
        name = policy.document.get("name")
        if policy.source.kind != PLAIN or not isinstance(name, str):
            continue
        other = first.setdefault((policy.source.label, name), policy)
        if other is not policy:
            yield Diagnostic(
                RULE.id,
                f"another policy of this file is called {shown(name)} too",
                policy.mark("name"),
                "Give each its own name.",
                (other.mark("name"),),
            )


RULE = Rule(
    "policy-name-duplicate",
    Level.ERROR,
    "Two policies of a file have the same name.",
    "Cloud Custodian refuses the file, with all of its policies.",
    _check,
)
