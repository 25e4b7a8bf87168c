"""What a customer says of notifications: who is told, through which channels, when again, and who if nothing happens.

Secrets are never in the file: a :class:`Variable` names the environment variable that holds one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from finops_policy.marks import Mark
from finops_policy.model import Severity


class ChannelType(StrEnum):
    """How a digest travels."""

    EMAIL_SMTP = "email-smtp"
    EMAIL_SES = "email-ses"
    SLACK = "slack"
    TEAMS = "teams"
    SNS = "sns"
    SQS_MAILER = "sqs-mailer"
    JIRA = "jira"
    WEBHOOK = "webhook"


ADDRESSED = frozenset({ChannelType.EMAIL_SMTP, ChannelType.EMAIL_SES, ChannelType.SQS_MAILER})
"""What reaches nobody without an e-mail address."""


class Audience(StrEnum):
    """One digest for each owner, or one with everything."""

    OWNER = "owner"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Variable:
    """The name of the environment variable that holds a secret."""

    name: str


ChannelSetting: TypeAlias = str | int | Variable | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Channel:
    """One way to tell people. ``settings`` are those of its type, as ``customer.schema.json`` has them."""

    name: str
    type: ChannelType
    to: Audience
    min_severity: Severity
    settings: Mapping[str, ChannelSetting]
    mark: Mark

    @property
    def recipients(self) -> tuple[str, ...]:
        """Addresses of the digest with everything."""
        found = self.settings.get("recipients", ())
        return found if isinstance(found, tuple) else ()


@dataclass(frozen=True, slots=True)
class Owners:
    """How an owner becomes an address: ``map`` (glob over tag values -> address), then a tag value that is an address
    of one of ``domains``, then the account's contact, then ``fallback``. ``tag``: empty for the required owner tag."""

    tag: str = ""
    map: Mapping[str, str] = field(default_factory=dict)
    domains: frozenset[str] = frozenset()
    contacts: Mapping[str, str] = field(default_factory=dict)
    fallback: str = ""


@dataclass(frozen=True, slots=True)
class Escalation:
    """Findings at least this severe that are this old are told to ``to`` through ``channel`` as well."""

    after_days: int
    severity: Severity
    to: str
    channel: str


@dataclass(frozen=True, slots=True)
class Notifications:
    """``repeat_days``: after so many days a finding that is still there is told again."""

    channels: tuple[Channel, ...] = ()
    owners: Owners = Owners()
    escalation: tuple[Escalation, ...] = ()
    repeat_days: int = 7
