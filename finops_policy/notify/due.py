"""PURE: findings + what was told before -> the digests that are due.

A finding is told when it is new to its recipient, came back, became more severe, passed an age limit, or was last told
``repeat_days`` ago. The same findings with the same memory give the same digests, with the same ids.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence

from finops_policy.channels import ADDRESSED, Audience, Channel, Escalation, Notifications
from finops_policy.model import Severity
from finops_policy.notify.journal import Memory
from finops_policy.notify.model import About, Digest, Due, Kind, Notice, Told, Why

_DUE_EARLY = dt.timedelta(hours=1)
"""A daily run starts a little earlier some days; a finding must not wait another day for that."""


def digests(
    notices: Sequence[Notice], settings: Notifications, memory: Memory, about: About, now: dt.datetime
) -> Iterator[Digest]:
    """In the order of the channels, for each the owners by address, then the escalations. Digests with nothing due are
    left out. Owners without an address share one digest; where it cannot be delivered, the caller says so."""
    for channel in settings.channels:
        severe = [each for each in notices if each.severity.rank >= channel.min_severity.rank]
        for kind, recipient, some in [*_shared_out(channel, severe), *_escalations(channel, notices, settings, now)]:
            due = tuple(_due(some, (channel.name, kind.value, recipient), settings, memory, now))
            if due:
                yield Digest(_id(about.customer, channel, kind, recipient, due), channel, kind, recipient, due, about)


def _shared_out(channel: Channel, notices: Sequence[Notice]) -> Iterator[tuple[Kind, str, list[Notice]]]:
    if channel.to is Audience.ALL:
        for recipient in channel.recipients if channel.type in ADDRESSED else ("",):
            yield Kind.ALL, recipient, list(notices)
        return
    by_address: dict[str, list[Notice]] = {}
    for each in notices:
        by_address.setdefault(each.owner.address, []).append(each)
    for address in sorted(by_address):
        yield Kind.OWNER, address, by_address[address]


def _escalations(
    channel: Channel, notices: Sequence[Notice], settings: Notifications, now: dt.datetime
) -> Iterator[tuple[Kind, str, list[Notice]]]:
    """Steps that lead to one address through one channel make one digest."""
    by_address: dict[str, list[Escalation]] = {}
    for step in settings.escalation:
        if step.channel == channel.name:
            by_address.setdefault(step.to, []).append(step)
    for address in sorted(by_address):
        yield Kind.ESCALATION, address, [each for each in notices if is_escalated(each, by_address[address], now)]


def is_escalated(notice: Notice, steps: Iterable[Escalation], now: dt.datetime) -> bool:
    """Whether the finding has passed one of these age limits."""
    age = now - notice.since
    return any(
        notice.severity.rank >= step.severity.rank and age >= dt.timedelta(days=step.after_days) for step in steps
    )


def _due(
    notices: Iterable[Notice], audience: tuple[str, str, str], settings: Notifications, memory: Memory, now: dt.datetime
) -> Iterator[Due]:
    for each in notices:
        escalated = is_escalated(each, settings.escalation, now)
        last = memory.of(audience, each.fingerprint)
        if why := _why(each, escalated, last, dt.timedelta(days=settings.repeat_days), now):
            yield Due(each, why, escalated, last)


def _why(notice: Notice, escalated: bool, last: Told | None, repeat: dt.timedelta, now: dt.datetime) -> Why | None:
    if last is None:
        return Why.ESCALATED if escalated else Why.NEW
    if notice.since > last.at and not notice.at_least:
        return Why.REOPENED
    if notice.severity.rank > last.severity.rank:
        return Why.WORSE
    if escalated and not last.escalated:
        return Why.ESCALATED
    return Why.REPEATED if now - last.at >= repeat - _DUE_EARLY else None


def _id(customer: str, channel: Channel, kind: Kind, recipient: str, due: Sequence[Due]) -> str:
    """32 hexadecimal digits of who is told what, after what was told before."""
    known = sorted(
        (
            each.notice.fingerprint,
            each.notice.severity.value,
            each.notice.since.isoformat(),
            each.escalated,
            each.last.at.isoformat() if each.last else "",
        )
        for each in due
    )
    text = json.dumps([customer, channel.name, kind.value, recipient, known], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def count_by_severity(due: Iterable[Due]) -> dict[Severity, int]:
    """The severest first; only severities that there are."""
    found = [each.notice.severity for each in due]
    return {severity: found.count(severity) for severity in reversed(Severity) if severity in found}
