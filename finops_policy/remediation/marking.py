"""Marks: a resource is marked first, and acted on when the mark is due and it is still noncompliant.

Every policy has a tag of its own, so that two policies cannot take each other's marks. c7n writes marks and says which
are due. A mark long past its day is stale: since then the resource may have been in order, so it is marked anew.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from finops_policy.custodian import acting
from finops_policy.model import CompiledPolicy
from finops_policy.remediation.visiting import Look, Visit

PREFIX = "finops-policy:"
STALE_DAYS = 7
"""A mark serves for its grace period once more after its day, and for a week at least."""
_MARK = re.compile(r"(?:\A|:) *(?P<op>[\w-]+)@(?P<day>\d{4}/\d{2}/\d{2})\Z", re.ASCII)


class Marked(StrEnum):
    """What a resource's mark says."""

    NOT = "not"
    WAITING = "waiting"
    DUE = "due"


@dataclass(frozen=True, slots=True)
class Mark:
    """``says`` is the tag's value; empty where there is no mark that counts."""

    state: Marked
    says: str = ""


def tag_of(policy: str) -> str:
    return f"{PREFIX}{policy}"


def grace_of(policy: CompiledPolicy) -> int:
    return int(remediation_of(policy).get("grace_days", 0))


def remediation_of(policy: CompiledPolicy) -> Mapping[str, Any]:
    remediation: Mapping[str, Any] = policy.document["metadata"].get("remediation", {})
    return remediation


def mark_action(policy: CompiledPolicy) -> dict[str, Any]:
    """The c7n action that marks."""
    return {"type": "mark-for-op", "tag": tag_of(policy.name), "op": _op(policy), "days": grace_of(policy)}


def unmark_action(policy: CompiledPolicy) -> dict[str, Any]:
    return {"type": "remove-tag", "tags": [tag_of(policy.name)]}


def mark_of(visit: Visit, policy: CompiledPolicy, look: Look, today: dt.date) -> Mark:
    """Raises what c7n raises."""
    says = look.judgement.tags.get(tag_of(policy.name), "")
    day = _day_of(says, _op(policy))
    if day is None or (day - today).days > grace_of(policy) + 1:
        return Mark(Marked.NOT)  # a day beyond the grace is none of ours, and would shield the resource
    resource = look.judgement.resource
    if not acting.marked_and_due(visit.account, policy, tag_of(policy.name), _op(policy), [resource]):
        return Mark(Marked.WAITING, says)
    if (today - day).days > max(grace_of(policy), STALE_DAYS):
        return Mark(Marked.NOT)
    return Mark(Marked.DUE, says)


def _day_of(says: str, op: str) -> dt.date | None:
    """The day that a mark for an action names; None for what is no mark for it: that would never be due."""
    found = _MARK.search(says)
    if found is None or found["op"] != op:
        return None
    try:
        return dt.datetime.strptime(found["day"], "%Y/%m/%d").replace(tzinfo=dt.UTC).date()
    except ValueError:
        return None


def _op(policy: CompiledPolicy) -> str:
    return str(acting.long_form(remediation_of(policy)["actions"][-1])["type"])
