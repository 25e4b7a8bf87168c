"""Filters that ask AWS about resources which are not marked at all.

Filters run one after the other, each on what the one before it has left. Those that only look at what c7n has listed
anyway cost nothing, wherever they stand.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from finops_policy.lint import marks
from finops_policy.lint.rule import Level, Rule
from finops_policy.lint.subject import LintedPolicy, Subject
from finops_policy.marks import Diagnostic
from finops_policy.sources import shown

FREE: Final = frozenset({"value", "list-item", "event", "reduce", "tag-count", "offhour", "onhour", "age", "image-age",
                         "instance-age", "instance-uptime", "state-age", "capacity-delta", "ephemeral", "ingress",
                         "egress", "route", "is-ssl", "healthcheck-protocol-mismatch", "ip-address-usage",
                         "global-grants", "has-statement", "missing-statement", "missing-policy-statement",
                         "dead-letter", marks.MARKED})  # fmt: skip
"""Filters that need no permission of their own, on some type at least."""


def _check(subject: Subject) -> Iterator[Diagnostic]:
    for policy in subject.policies:
        if policy.actions:
            yield from _of(policy)


def _of(policy: LintedPolicy) -> Iterator[Diagnostic]:
    first = next((use for use in marks.marked(policy) if "or" not in use.groups), None)
    if first is None:
        return
    for use in policy.filters:
        if use is first:
            return
        if use.element and use.type not in FREE:
            yield Diagnostic(
                RULE.id,
                f"{shown(use.type)} asks AWS about every resource before `marked-for-op` has narrowed them down",
                policy.mark(*first.steps),
                "Put `marked-for-op` first.",
                (policy.mark(*use.steps),),
            )
            return


RULE = Rule(
    "marked-not-first",
    Level.WARNING,
    "A filter that asks AWS stands before `marked-for-op`.",
    "It is asked about every resource of the account, although only those that are marked and due matter.",
    _check,
)
