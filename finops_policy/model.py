"""The vocabulary as frozen dataclasses: what passes between the modules.

Raw dictionaries stop at ``sources`` (files people write) and ``custodian`` (AWS resources). Money is ``Decimal``, times
are aware UTC datetimes, identities are ARNs. Skipped, failed and unknown are values here, never ``None``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

from finops_policy.marks import Mark
from finops_policy.money import Money

API_VERSION = "finops-policy/v1"
WAIVERS = "waivers"
"""Key of a compiled document's metadata: how many of its last filters leave out what is waived."""
LONGEST_WAIVER = 365
"""Days that a waiver may apply, where its profile allows no less."""

Scalar: TypeAlias = str | int | float | bool
ParameterValue: TypeAlias = Scalar | tuple[Scalar, ...]


class Verdict(StrEnum):
    """What one policy says of one resource."""

    COMPLIANT = "compliant"
    NONCOMPLIANT = "noncompliant"
    WAIVED = "waived"
    UNKNOWN = "unknown"


class Status(StrEnum):
    """What became of one coverage cell."""

    EVALUATED = "evaluated"
    NOT_APPLICABLE = "not_applicable"
    SKIPPED = "skipped"
    FAILED = "failed"


class FailureKind(StrEnum):
    """Why a cell failed; each kind has a next step of its own."""

    OWN_PERMISSION = "own-permission"
    RESOURCE_POLICY = "resource-policy"
    SERVICE_ABSENT = "service-absent"
    THROTTLED = "throttled"
    CREDENTIALS = "credentials"
    TIMEOUT = "timeout"
    BUG = "bug"


class Severity(StrEnum):
    """How bad a finding is; :attr:`rank` orders them."""

    INFO = "info"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        return list(Severity).index(self)


class Strength(StrEnum):
    """How much a policy says about a control."""

    DIRECT = "direct"
    PARTIAL = "partial"
    SUPPORTING = "supporting"


class ControlVerdict(StrEnum):
    """DESIGN section 6, point 3."""

    SATISFIED = "satisfied"
    SATISFIED_WITH_WAIVERS = "satisfied-with-waivers"
    NOT_SATISFIED = "not-satisfied"
    PARTIALLY_ASSESSED = "partially-assessed"
    NO_POPULATION = "no-population"
    NOT_ASSESSED = "not-assessed"
    MANUAL = "manual"


class Posture(StrEnum):
    """How far a profile lets a pack's remediation go."""

    REPORT = "report"
    NOTIFY = "notify"
    MARK = "mark"
    APPROVE = "approve"
    AUTO = "auto"


# --- The library: what people write ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Parameter:
    """A pack's typed parameter. ``schema`` is a JSON Schema of a scalar or of a list of scalars."""

    name: str
    schema: Mapping[str, Any]
    default: ParameterValue
    description: str
    mark: Mark


@dataclass(frozen=True, slots=True)
class Policy:
    """One rule on one resource type, as written; ``scope`` and ``violation`` are c7n filters with ``${parameter}``."""

    name: str
    title: str
    resource: str
    severity: Severity
    rationale: str
    scope: tuple[Any, ...]
    violation: tuple[Any, ...]
    remediation: Mapping[str, Any]
    savings_method: str
    mark: Mark
    marks: Mapping[tuple[str | int, ...], Mark] = field(repr=False, default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pack:
    """A versioned folder of policies. ``digest`` covers every file of the folder."""

    name: str
    version: str
    title: str
    owner: str
    parameters: Mapping[str, Parameter]
    policies: Mapping[str, Policy]
    digest: str
    mark: Mark


@dataclass(frozen=True, slots=True)
class Setting:
    """A parameter's value as a profile, customer or account sets it, and where. ``final`` forbids later overrides."""

    value: ParameterValue
    mark: Mark
    final: bool = False


Settings: TypeAlias = Mapping[str, Mapping[str, Setting]]
"""pack name -> parameter name -> setting."""


@dataclass(frozen=True, slots=True)
class PackChoice:
    """A profile's choice of a pack: a PEP 440 version range over SemVer versions, and how far remediation may go.
    ``postures`` are those of single policies, which win."""

    name: str
    versions: str
    posture: Posture
    mark: Mark
    postures: Mapping[str, Posture] = field(default_factory=dict)
    posture_marks: Mapping[str, Mark] = field(default_factory=dict)

    def posture_of(self, policy: str) -> Posture:
        return self.postures.get(policy, self.posture)


@dataclass(frozen=True, slots=True)
class Profile:
    """An industry's choice of packs, parameter values and frameworks. ``waiver_days`` is for how many days findings of
    a severity may be waived."""

    name: str
    version: str
    title: str
    packs: tuple[PackChoice, ...]
    settings: Settings
    frameworks: Mapping[str, str]
    framework_marks: Mapping[str, Mark]
    redacted_tags: tuple[str, ...]
    retention_years: int
    retention_source: str
    digest: str
    mark: Mark
    waiver_days: Mapping[Severity, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Waiver:
    """An accepted finding. It is for resources that fit every selector: ``resource`` (an ARN or a glob over ARNs), a
    tag whose value fits the glob ``tag_value``, ``account`` (an id) and ``region``; an empty one fits all.

    It applies from ``starts`` through ``expires`` (days, UTC). ``created`` is the day it was agreed on, None where an
    older file does not say.
    """

    id: str
    policy: str
    resource: str
    reason: str
    owner: str
    requested_by: str
    approved_by: str
    ticket: str
    expires: dt.date
    mark: Mark
    tag_key: str = ""
    tag_value: str = ""
    account: str = ""
    region: str = ""
    created: dt.date | None = None
    starts: dt.date = dt.date.min


@dataclass(frozen=True, slots=True)
class ControlMapping:
    """What one policy says about one control; ``policy`` is ``pack/policy``."""

    policy: str
    strength: Strength
    rationale: str
    mark: Mark


@dataclass(frozen=True, slots=True)
class Control:
    """One requirement of a framework. ``manual`` says what a person must attest; empty where nobody said."""

    id: str
    title: str
    group: str
    kind: str
    manual: str
    mappings: tuple[ControlMapping, ...]
    mark: Mark


@dataclass(frozen=True, slots=True)
class Framework:
    """A versioned catalogue of controls, mapped or not."""

    name: str
    version: str
    title: str
    source: str
    source_url: str
    licence: str
    complete: bool
    groups: Mapping[str, str]
    controls: tuple[Control, ...]
    digest: str
    mark: Mark


# --- What is compiled, and what a run finds -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """One account x region."""

    account_id: str
    region: str
    account_name: str = ""

    def __str__(self) -> str:
        return f"{self.account_id}/{self.region}"


@dataclass(frozen=True, slots=True)
class CompiledPolicy:
    """A plain Cloud Custodian policy. The first ``scope_length`` filters of ``document`` select the population; the
    last ``waiver_length`` leave out what is waived, for stock Cloud Custodian: verdicts are those of :attr:`judged`."""

    name: str
    pack: str
    pack_version: str
    title: str
    rationale: str
    resource: str
    severity: Severity
    scope_length: int
    savings_method: str
    document: Mapping[str, Any]
    waiver_length: int = 0

    @property
    def qualified_name(self) -> str:
        return f"{self.pack}/{self.name}"

    @property
    def judged(self) -> Mapping[str, Any]:
        """The document as it judges: without waivers, which neither make nor unmake a finding."""
        if not self.waiver_length:
            return self.document
        metadata = {key: value for key, value in self.document["metadata"].items() if key != WAIVERS}
        filters = self.document["filters"][: -self.waiver_length]
        return {**self.document, "metadata": metadata, "filters": filters}


@dataclass(frozen=True, slots=True)
class Fact:
    """A value a filter read of one resource: ``expected`` and ``op`` are the filter's, ``matched`` is c7n's answer."""

    filter: str
    key: str
    value: Any
    op: str
    expected: Any
    matched: bool


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One resource judged by one policy."""

    account_id: str
    region: str
    pack: str
    pack_version: str
    policy: str
    resource_type: str
    resource_id: str
    arn: str
    verdict: Verdict
    reason: str
    facts: tuple[Fact, ...]
    tags: Mapping[str, str]
    severity: Severity
    waiver_id: str
    money: Money | None
    evaluated_at: dt.datetime


@dataclass(frozen=True, slots=True)
class Coverage:
    """One cell of targets x policies. The counts obey population == compliant + noncompliant + waived + unknown.

    A failed cell may have counts: calls failed for some members, which are unknown, and the others were judged.
    """

    account_id: str
    region: str
    policy: str
    status: Status
    failure_kind: FailureKind | None = None
    message: str = ""
    next_step: str = ""
    population: int = 0
    compliant: int = 0
    noncompliant: int = 0
    waived: int = 0
    unknown: int = 0
    api_calls: int = 0
    duration_ms: int = 0
