"""What passes between the parts of a notification. Money is ``Decimal``, times are aware UTC datetimes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from finops_policy.channels import Channel
from finops_policy.errors import ExitCode
from finops_policy.model import Severity

RECORD_SCHEMA = "finops-policy/notification/v1"
REPORT_SCHEMA = "finops-policy/notify/v1"
DIGEST_SCHEMA = "finops-policy/digest/v1"


class Why(StrEnum):
    """Why a finding is told now."""

    NEW = "new"
    REOPENED = "reopened"
    WORSE = "worse"
    ESCALATED = "escalated"
    REPEATED = "repeated"


class Kind(StrEnum):
    """What a digest is: an owner's, everything, or what has stayed too long."""

    OWNER = "owner"
    ALL = "all"
    ESCALATION = "escalation"


class Result(StrEnum):
    """What became of a digest, or of one attempt to deliver it."""

    DELIVERED = "delivered"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Owner:
    """Who answers for a finding. ``address`` is empty when nobody is known; ``route`` says how it was found, or why
    not; ``tag`` is the tag's value as it is, which is hostile text."""

    address: str
    route: str
    tag: str = ""


@dataclass(frozen=True, slots=True)
class Notice:
    """A finding as it is told. ``fingerprint`` is the ledger's id of it, ``since`` the start of the first run of its
    uninterrupted series; with ``at_least`` the series may be older: what came before could not be read. ``savings`` is
    None when unknown; ``priced`` is false where the policy claims none."""

    fingerprint: str
    policy: str
    title: str
    severity: Severity
    account_id: str
    account_name: str
    region: str
    resource_type: str
    resource_id: str
    arn: str
    owner: Owner
    savings: Decimal | None
    priced: bool
    since: dt.datetime
    at_least: bool = False

    @property
    def resource(self) -> tuple[str, str, str, str]:
        """What makes two findings one resource."""
        return (self.account_id, self.region, self.resource_type, self.arn or self.resource_id)


@dataclass(frozen=True, slots=True)
class Told:
    """What a recipient was last told of a finding, and when."""

    at: dt.datetime
    severity: Severity
    escalated: bool


@dataclass(frozen=True, slots=True)
class Due:
    """A finding that is to be told, and why. ``escalated``: it has passed an age limit."""

    notice: Notice
    why: Why
    escalated: bool
    last: Told | None = None


@dataclass(frozen=True, slots=True)
class About:
    """The run that digests speak of. ``unchecked`` of ``cells`` coverage cells were failed or skipped."""

    customer: str
    customer_title: str
    run_id: str
    started_at: dt.datetime
    sandbox: bool
    profile: str
    currency: str
    cells: int
    unchecked: int
    unknown: int


@dataclass(frozen=True, slots=True)
class Digest:
    """What one recipient is told through one channel. ``id`` is the same while nothing new is known and nothing was
    delivered, so that receivers can tell a repetition. ``recipient`` is an e-mail address; empty: whoever listens."""

    id: str
    channel: Channel
    kind: Kind
    recipient: str
    due: tuple[Due, ...]
    about: About

    @property
    def severity(self) -> Severity:
        """The worst of it."""
        return max((each.notice.severity for each in self.due), key=lambda severity: severity.rank)


@dataclass(frozen=True, slots=True)
class Texts:
    """A digest in words. ``notes`` tell of templates that could not be used."""

    subject: str
    text: str
    html: str
    intro: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Parcel:
    """A digest as its channel sends it. ``body`` is the channel's own; ``shown`` is all of it for people; ``left_out``
    findings had no room and are only counted."""

    body: Any
    shown: str
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try. ``reason`` is empty when it succeeded."""

    at: dt.datetime
    result: Result
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of one digest. ``receipt`` is what the receiver calls it, such as a message id."""

    digest_id: str
    channel: str
    type: str
    kind: str
    recipient: str
    findings: int
    result: Result
    reason: str = ""
    receipt: str = ""
    attempts: tuple[Attempt, ...] = ()
    notes: tuple[str, ...] = ()
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """What became of all digests of a run. ``previews``, by digest id, are filled by a dry run alone."""

    customer: str
    run_id: str
    at: dt.datetime
    dry_run: bool
    deliveries: tuple[Delivery, ...]
    notes: tuple[str, ...] = ()
    previews: Mapping[str, str] = field(default_factory=dict)

    @property
    def exit_code(self) -> ExitCode:
        """4 when somebody was not told who should have been; what was not delivered is due the next time."""
        missed = not self.dry_run and any(each.result is not Result.DELIVERED for each in self.deliveries)
        return ExitCode.INCOMPLETE if missed else ExitCode.CLEAN


class RefusedError(Exception):
    """The receiver will not take it, however often it is asked."""


class TryAgainError(Exception):
    """It did not work this time. ``after`` is what the receiver asked to wait, in seconds."""

    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after
