"""Names that c7n's clean-up of Lambda functions takes for one another.

``tools/ops/mugc.py`` keeps, or with ``--present`` removes, every function whose name ends in the name of a policy. It
means to leave policies without a Lambda function out, by a mode that no longer exists: they count too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from finops_policy.lint import modes
from finops_policy.lint.rule import Level, Rule
from finops_policy.lint.subject import PLAIN, LintedPolicy, Subject
from finops_policy.marks import Diagnostic
from finops_policy.sources import shown

_MOST_RELATED: Final = 3


def _check(subject: Subject) -> Iterator[Diagnostic]:
    named: dict[str, LintedPolicy] = {}
    for policy in subject.policies:
        if policy.source.kind == PLAIN and policy.type and isinstance(policy.document.get("name"), str):
            named.setdefault(policy.name, policy)
    taken: defaultdict[str, list[LintedPolicy]] = defaultdict(list)
    for policy in named.values():
        function = modes.function(policy)
        if len(function) <= modes.LONGEST:
            for start in range(len(function)):
                end = function[start:]
                if end in named and end != policy.name:
                    taken[end].append(policy)
    for name, others in taken.items():
        function = shown(modes.function(others[0]))
        more = f" (and {len(others) - 1} more)" if len(others) > 1 else ""
        yield Diagnostic(
            RULE.id,
            f"the Lambda function {function}{more} is another policy's, and its name ends in {shown(name)} too",
            named[name].mark("name"),
            "Choose a name that no other name ends in.",
            tuple(other.mark("name") for other in others[:_MOST_RELATED]),
        )


RULE = Rule(
    "policy-name-suffix",
    Level.WARNING,
    "The name of another policy's Lambda function ends in a policy's name.",
    "Cloud Custodian's clean-up script, mugc, tells functions by the end of their names: it keeps one whose policy is "
    "gone, and with `--present` removes one that is in use.",
    _check,
)
