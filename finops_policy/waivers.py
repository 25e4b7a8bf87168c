"""PURE: which waiver covers a finding, and what state each waiver is in.

A waiver applies through its last day (UTC). Expired ones stop applying and their findings are back.
"""

from __future__ import annotations

import datetime as dt
import fnmatch
from collections.abc import Iterable

from finops_policy.model import Waiver


def in_force(waiver: Waiver, today: dt.date) -> bool:
    """``today`` is the date in UTC."""
    return today <= waiver.expires


def find_waiver(policy: str, arn: str, waivers: Iterable[Waiver], today: dt.date) -> Waiver | None:
    """The first waiver in force for a policy and ARN; a resource without an ARN cannot be waived."""
    if not arn:
        return None
    for waiver in waivers:
        if waiver.policy == policy and in_force(waiver, today) and _matches(waiver.resource, arn):
            return waiver
    return None


def _matches(pattern: str, arn: str) -> bool:
    """``*`` and ``?`` are wildcards; brackets stand for themselves, since ARNs hold them."""
    return fnmatch.fnmatchcase(arn, pattern.replace("[", "[[]"))
