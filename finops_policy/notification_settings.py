"""``notifications`` of a customer.yaml, once they are known to fit their schema, as dataclasses.

What a schema cannot say is checked here: that a channel's name is its own, that escalations lead through a channel that
there is, and that a mail to all names somebody.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from finops_policy.channels import (
    ADDRESSED,
    Audience,
    Channel,
    ChannelSetting,
    ChannelType,
    Escalation,
    Notifications,
    Owners,
    Variable,
)
from finops_policy.errors import InvalidFilesError, did_you_mean
from finops_policy.marks import Diagnostic, Mark
from finops_policy.model import Severity
from finops_policy.sources import Document


def notifications_of(document: Document, data: Mapping[str, Any] | None) -> Notifications | None:
    """None where there is no such section. Raises :class:`InvalidFilesError` with all problems of it."""
    if data is None:
        return None
    channels = tuple(_channel(document, index, raw) for index, raw in enumerate(data["channels"]))
    owners, steps = data.get("owners", {}), data.get("escalation", ())
    if problems := [*_channel_problems(document, channels), *_escalation_problems(document, channels, steps)]:
        raise InvalidFilesError(problems)
    return Notifications(
        channels=channels,
        owners=Owners(
            tag=owners.get("tag", ""),
            map=owners.get("map", {}),
            domains=frozenset(each.lower() for each in owners.get("domains", ())),
            contacts=owners.get("contacts", {}),
            fallback=owners.get("fallback", ""),
        ),
        escalation=tuple(
            Escalation(raw["after_days"], Severity(raw.get("severity", "info")), raw["to"], raw["channel"])
            for raw in steps
        ),
        repeat_days=data.get("repeat_days", 7),
    )


def _channel(document: Document, index: int, raw: Mapping[str, Any]) -> Channel:
    own = {key: _setting(value) for key, value in raw.items() if key not in ("name", "type", "to", "min_severity")}
    return Channel(
        name=raw["name"],
        type=ChannelType(raw["type"]),
        to=Audience(raw.get("to", Audience.OWNER)),
        min_severity=Severity(raw.get("min_severity", "info")),
        settings=own,
        mark=document.mark("notifications", "channels", index),
    )


def _setting(value: Any) -> ChannelSetting:
    if isinstance(value, dict):
        return Variable(value["env"])
    return tuple(value) if isinstance(value, list) else value


def _channel_problems(document: Document, channels: tuple[Channel, ...]) -> Iterator[Diagnostic]:
    first: dict[str, Mark] = {}
    for index, each in enumerate(channels):
        if each.name in first:
            message = f"Channel {each.name} is listed twice."
            yield Diagnostic("duplicate", message, each.mark, "Give it a name of its own.", (first[each.name],))
        first.setdefault(each.name, each.mark)
        if each.type in ADDRESSED and each.to is Audience.ALL and not each.recipients:
            message = f"Channel {each.name} has everything for all, and names nobody."
            yield Diagnostic("no-recipients", message, each.mark, "Add `recipients: [somebody@example.com]`.")
        if each.to is Audience.OWNER and each.recipients:
            mark = document.key_mark("notifications", "channels", index, "recipients")
            message = f"Channel {each.name} has a digest per owner, so its recipients get nothing."
            yield Diagnostic("no-recipients", message, mark, "Write `to: all`, or leave out the recipients.")


def _escalation_problems(
    document: Document, channels: tuple[Channel, ...], steps: Sequence[Mapping[str, Any]]
) -> Iterator[Diagnostic]:
    names = [each.name for each in channels]
    for index, raw in enumerate(steps):
        if raw["channel"] not in names:
            mark = document.mark("notifications", "escalation", index, "channel")
            message = f"There is no channel {raw['channel']!r} to escalate through."
            yield Diagnostic("unknown-channel", message, mark, did_you_mean(raw["channel"], names))
