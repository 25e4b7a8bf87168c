"""Which waivers somebody must look at: lapsed or about to, matching nothing, overlapping. What the evidence cannot tell
is left open, and never counted as matching nothing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from typing import Any

from finops_policy.lint.last_run import LastRun, Matched
from finops_policy.marks import Diagnostic
from finops_policy.model import Waiver
from finops_policy.waivers import age, contains, in_force


class Kind(StrEnum):
    """Why a waiver is told. ``malformed``: it cannot be read, or breaks a rule, a limit among them."""

    MALFORMED = "malformed"
    EXPIRED = "expired"
    EXPIRING = "expiring"
    UNMATCHED = "unmatched"
    OVERLAPPING = "overlapping"


@dataclass(frozen=True, slots=True)
class Attention:
    """``waivers`` are the ids concerned, none where an entry's own cannot be read; ``place`` is file:line:column."""

    kind: Kind
    waivers: tuple[str, ...]
    message: str
    place: str
    hint: str


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A customer's waivers today (UTC), those that apply and those that do not, with what the newest run says."""

    applying: Sequence[Waiver]
    lapsed: Sequence[Waiver]
    problems: Sequence[Diagnostic]
    run: LastRun | None
    today: dt.date
    approvers_known: bool = True

    def matched(self, waiver: Waiver) -> Matched | None:
        """None where nobody knows."""
        return next((found for each, found in self.run.of if each is waiver), None) if self.run else None

    def rows(self) -> list[dict[str, Any]]:
        """What ``waiver list`` shows, as JSON has it; what is not known is null."""
        states = [(each, "in force" if in_force(each, self.today) else "expired") for each in self.applying]
        listed = [*states, *((each, "malformed") for each in self.lapsed)]
        return [self._row(waiver, state) for waiver, state in sorted(listed, key=lambda each: each[0].mark)]

    def _row(self, waiver: Waiver, state: str) -> dict[str, Any]:
        known = waiver.expires > dt.date.min
        matched = self.matched(waiver)
        return {
            "id": waiver.id,
            "policy": waiver.policy,
            "resource": waiver.resource,
            "tag": {"key": waiver.tag_key, "value": waiver.tag_value} if waiver.tag_key else None,
            "account": waiver.account,
            "region": waiver.region,
            "owner": waiver.owner,
            "ticket": waiver.ticket,
            "state": state,
            "created": waiver.created.isoformat() if waiver.created else None,
            "expires": waiver.expires.isoformat() if known else None,
            "age_days": age(waiver, self.today),
            "days_left": (waiver.expires - self.today).days if known else None,
            "matched": {"resources": matched.resources, "findings": len(matched.findings)} if matched else None,
            "place": str(waiver.mark),
        }

    def attention(self, within: int) -> list[Attention]:
        """Everything that somebody must look at, in the order of the kinds; expiring means within so many days."""
        found = [
            *(self._malformed(each) for each in self.problems),
            *self._ending(within),
            *self._unmatched(),
            *self._overlapping(),
        ]
        return sorted(found, key=lambda each: list(Kind).index(each.kind))

    def _malformed(self, problem: Diagnostic) -> Attention:
        before = [each for each in (*self.applying, *self.lapsed) if each.mark <= problem.mark]
        nearest = max(before, key=lambda each: each.mark, default=None)
        ids = (nearest.id,) if nearest and nearest in self.lapsed and nearest.id else ()
        return Attention(Kind.MALFORMED, ids, problem.message, str(problem.mark), problem.hint)

    def _ending(self, within: int) -> Iterator[Attention]:
        for waiver in self.applying:
            left = (waiver.expires - self.today).days
            if left < 0:
                message = f"Waiver {waiver.id} expired on {waiver.expires}, {_days(-left)} ago: its findings are back."
                hint = "Mend them, have it agreed on again, or remove it."
                yield Attention(Kind.EXPIRED, (waiver.id,), message, str(waiver.mark), hint)
            elif left <= within:
                message = f"Waiver {waiver.id} expires on {waiver.expires}: {_days(left)} left."
                hint = "Mend its findings, or have it agreed on again in time."
                yield Attention(Kind.EXPIRING, (waiver.id,), message, str(waiver.mark), hint)

    def _unmatched(self) -> Iterator[Attention]:
        for waiver in self._in_force():
            matched = self.matched(waiver)
            if self.run and matched is not None and not matched.findings:
                what = (
                    f"the {matched.resources:,} that it covers have no finding" if matched.resources else "no resource"
                )
                message = f"Waiver {waiver.id} matches nothing in run {self.run.run_id}: {what} of {waiver.policy}."
                yield Attention(Kind.UNMATCHED, (waiver.id,), message, str(waiver.mark), "Remove it.")

    def _overlapping(self) -> Iterator[Attention]:
        for one, other in combinations(self._in_force(), 2):
            if one.policy != other.policy:
                continue
            both = (one.id, other.id)
            first, second = self.matched(one), self.matched(other)
            common = first.findings & second.findings if first and second else set()
            if contains(one, other) or contains(other, one):
                wide, narrow = (one, other) if contains(one, other) else (other, one)
                message = f"Waiver {wide.id} covers all that {narrow.id} covers."
            elif common:
                message = (
                    f"Waivers {one.id} and {other.id} both cover {_findings(len(common))}, {min(common)[2]} among them."
                )
            else:
                continue
            hint = "Keep one, or tell them apart: the first in the file counts."
            yield Attention(Kind.OVERLAPPING, both, message, str(other.mark), hint)

    def _in_force(self) -> list[Waiver]:
        return [each for each in self.applying if in_force(each, self.today)]


def check_document(reviewed: Reviewed, customer: str, within: int) -> Mapping[str, Any]:
    """What ``waiver check --format json`` writes: schemas/waivers-check.schema.json."""
    run = reviewed.run
    return {
        "schema": "finops-policy/waivers-check/v1",
        "customer": customer,
        "today": reviewed.today.isoformat(),
        "within_days": within,
        "run": {"run_id": run.run_id, "started": run.started} if run else None,
        "waivers": reviewed.rows(),
        "attention": [
            {
                "kind": str(each.kind),
                "waivers": list(each.waivers),
                "message": each.message,
                "place": each.place,
                "hint": each.hint,
            }
            for each in reviewed.attention(within)
        ],
    }


def _days(count: int) -> str:
    return f"{count} day" if count == 1 else f"{count:,} days"


def _findings(count: int) -> str:
    return f"{count} finding" if count == 1 else f"{count:,} findings"
