"""Comparisons that a missing key fails although it means what they ask for.

Which keys may be missing is not known in general. Told are those where missing surely has that meaning: settings inside
of a block that is not there, the date of what never happened, and limits that were never set. Nothing is told where
another filter of the policy looks at the key or at what it is part of; nor in packs, where finops-policy reports what
is missing as unknown.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

from finops_policy.lint.rule import Level, Rule
from finops_policy.lint.subject import LintedPolicy, Subject, Use
from finops_policy.lint.values import EQUAL, GREATER
from finops_policy.marks import Diagnostic
from finops_policy.sources import shown

LONGEST: Final = 200
"""Characters of a key; longer ones are not looked into."""
_NESTED: Final = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
_HAPPENED: Final = re.compile(r"(?:\w+\.)*\w*last\w*(?:access|login|pull|rotat|used)\w*", re.IGNORECASE)
_LIMITS: Final = {("aws.asg", "MaxInstanceLifetime"), ("aws.log-group", "retentionInDays")}
"""Missing where there is no limit."""


def check(subject: Subject) -> Iterator[Diagnostic]:
    for policy in subject.policies:
        if policy.written or policy.type is None:
            continue
        uses = [use for use in policy.filters if use.type == "value"]
        keys = Counter(str(use.data.get("key")) for use in uses)
        for use in uses:
            key = str(use.data.get("key"))
            if len(key) > LONGEST or "not" in use.groups:
                continue
            around = accumulate(key.split("."), lambda outer, inner: f"{outer}.{inner}")
            if sum(keys[each] for each in around) == 1 and (found := _diagnostic(policy, use)):
                yield found


def _diagnostic(policy: LintedPolicy, use: Use) -> Diagnostic | None:
    data, key = use.data, str(use.data.get("key"))
    op, kind, value = data.get("op", ""), data.get("value_type", ""), data.get("value")
    name = policy.type.name if policy.type else ""
    more = op in GREATER
    if value is False and op in EQUAL and not kind and _NESTED.fullmatch(key):
        message = f"resources without {shown(key.rpartition('.')[0])} are not matched: what is missing is not false"
        hint = "Write `value: empty` without `op`: it is true of false, and of what is missing."
    elif more and kind == "age" and _HAPPENED.fullmatch(key):
        message = f"what this never happened to has no {shown(key)}, and is not matched"
        hint = f"Put it into an `or` with `{key}: absent`."
    elif more and not kind and (name, key) in _LIMITS:
        message = f"what has no limit has no {shown(key)}, and is not matched"
        hint = f"Put it into an `or` with `{key}: absent`."
    else:
        return None
    return Diagnostic(RULE.id, message, policy.mark(*use.steps), hint)


RULE = Rule(
    "absent-key",
    Level.WARNING,
    "A comparison leaves out the resources whose key is missing, and those are meant.",
    "Cloud Custodian matches nothing where there is nothing to compare: the worst of the resources look compliant.",
    check,
)
