"""What the tests of the core share: model values with distinct marks, and the files people write."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from finops_policy.customer import Account, Customer, Role
from finops_policy.marks import Mark
from finops_policy.model import (
    Control,
    ControlMapping,
    Evaluation,
    Framework,
    Pack,
    PackChoice,
    Parameter,
    ParameterValue,
    Policy,
    Posture,
    Profile,
    Setting,
    Settings,
    Severity,
    Strength,
    Verdict,
    Waiver,
)
from finops_policy.money import Money

NOW = dt.datetime(2026, 11, 24, 8, tzinfo=dt.UTC)
PROD, DEV = "111122223333", "444455556666"

# --- Model values -----------------------------------------------------------------------------------------------------


def parameter(name: str, default: ParameterValue, **schema: Any) -> Parameter:
    kinds = {bool: "boolean", int: "integer", float: "number", str: "string", tuple: "array"}
    return Parameter(
        name, {"type": kinds[type(default)], **schema}, default, f"What {name} means", Mark(f"parameter-{name}", 3, 3)
    )


def policy(name: str, *, scope: Sequence[Any] = (), violation: Sequence[Any] = ("v",), **changes: Any) -> Policy:
    """A policy whose every scope and violation value has a mark: the file, and a line made of its steps."""
    made = Policy(
        name=name,
        title=f"Title of {name}",
        resource="aws.ec2",
        severity=Severity.MEDIUM,
        rationale=f"Why {name} matters to whoever pays.",
        scope=tuple(scope),
        violation=tuple(violation),
        remediation={},
        savings_method="",
        mark=Mark(f"{name}.yaml", 1, 1),
    )
    made = replace(made, **changes)
    sections = {"scope": made.scope, "violation": made.violation, "remediation": made.remediation}
    marks = {steps: Mark(f"{name}.yaml", 10 + number, 1) for number, steps in enumerate(_steps(sections, ()))}
    return replace(made, marks=marks)


def _steps(value: Any, above: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    yield above
    inner: Any = value.items() if isinstance(value, Mapping) else ()
    if isinstance(value, list | tuple):
        inner = enumerate(value)
    for step, item in inner:
        yield from _steps(item, (*above, step))


def pack(
    name: str, *, policies: Sequence[Policy] = (), parameters: Sequence[Parameter] = (), version: str = "1.0.0"
) -> Pack:
    return Pack(
        name=name,
        version=version,
        title=f"Title of {name}",
        owner="finops",
        parameters={each.name: each for each in parameters},
        policies={each.name: each for each in policies},
        digest=f"digest-{name}",
        mark=Mark(f"{name}/pack.yaml", 1, 1),
    )


def settings(layer: str, *, final: bool = False, **values: Mapping[str, ParameterValue]) -> Settings:
    """``settings("customer", idle={"days": 7})``; underscores in pack names stand for hyphens."""
    return {
        name.replace("_", "-"): {
            key: Setting(value, Mark(f"{layer}-{key}", 5, 5), final) for key, value in parameters.items()
        }
        for name, parameters in values.items()
    }


def profile(
    packs: Mapping[str, str], *, frameworks: Mapping[str, str] | None = None, values: Settings | None = None
) -> Profile:
    """``packs`` and ``frameworks`` map names to version ranges."""
    frameworks = frameworks or {}
    return Profile(
        name="hospital",
        version="2.1.0",
        title="Hospitals",
        packs=tuple(
            PackChoice(name, versions, Posture.NOTIFY, Mark(f"choice-{name}", 4, 4)) for name, versions in packs.items()
        ),
        settings=values or {},
        frameworks=frameworks,
        framework_marks={name: Mark(f"framework-choice-{name}", 6, 6) for name in frameworks},
        redacted_tags=(),
        retention_years=6,
        retention_source="45 CFR 164.316(b)(2)(i)",
        digest="digest-profile",
        mark=Mark("profiles/hospital.yaml", 1, 1),
    )


def account(
    account_id: str = PROD, *, values: Settings | None = None, regions: Sequence[str] = ("us-east-1",)
) -> Account:
    return Account(account_id, f"name-{account_id}", tuple(regions), values or {}, Mark(f"account-{account_id}", 7, 7))


def customer(*accounts: Account, values: Settings | None = None) -> Customer:
    return Customer(
        name="clinic",
        title="The Clinic",
        profile="hospital",
        partition="aws",
        role=Role("reader", "clinic-1"),
        accounts=accounts or (account(),),
        settings=values or {},
        digest="digest-customer",
        mark=Mark("customers/clinic/customer.yaml", 1, 1),
    )


def mapping(name: str, strength: Strength = Strength.DIRECT) -> ControlMapping:
    return ControlMapping(name, strength, "It tests the requirement itself.", Mark(f"mapping-{name}", 8, 8))


def control(*mappings: ControlMapping, name: str = "C-1", manual: str = "") -> Control:
    return Control(name, f"Title of {name}", "G", "required", manual, mappings, Mark(f"control-{name}", 9, 9))


def framework(*controls: Control, name: str = "rules", version: str = "1.0.0") -> Framework:
    return Framework(
        name=name,
        version=version,
        title="The rules",
        source="Official journal",
        source_url="",
        licence="public domain",
        complete=True,
        groups={"G": "Group"},
        controls=controls,
        digest=f"digest-{name}",
        mark=Mark(f"frameworks/{name}.yaml", 1, 1),
    )


def waiver(**changes: Any) -> Waiver:
    made = Waiver(
        id="W-1",
        policy="ec2-idle",
        resource="arn:aws:ec2:us-east-1:111122223333:instance/i-1",
        reason="Kept for the audit of last year.",
        owner="platform",
        requested_by="dana",
        approved_by="ingrid",
        ticket="FIN-1",
        expires=dt.date(2026, 12, 31),
        mark=Mark("waivers.yaml", 4, 5),
    )
    return replace(made, **changes)


def evaluation(**changes: Any) -> Evaluation:
    made = Evaluation(
        account_id=PROD,
        region="us-east-1",
        pack="idle-resources",
        pack_version="1.0.0",
        policy="ec2-idle",
        resource_type="aws.ec2",
        resource_id="i-1",
        arn="arn:aws:ec2:us-east-1:111122223333:instance/i-1",
        verdict=Verdict.NONCOMPLIANT,
        reason="",
        facts=(),
        tags={},
        severity=Severity.MEDIUM,
        waiver_id="",
        money=Money("USD"),
        evaluated_at=NOW,
    )
    return replace(made, **changes)


# --- Files people write -----------------------------------------------------------------------------------------------

PACK = """\
apiVersion: finops-policy/v1
kind: Pack
name: {name}
version: 1.0.0
title: Title of {name}
owner: finops
parameters:
  idle_days: {{type: integer, minimum: 1, maximum: 455, default: 14, description: Days looked back, unit: days}}
"""
POLICY = """\
apiVersion: finops-policy/v1
kind: Policy
name: {name}
title: Running instances do work
resource: aws.ec2
severity: medium
rationale: An idle instance costs money and serves nobody.
scope:
  - State.Name: running
violation:
  - {{type: instance-age, days: "${{idle_days}}"}}
"""
PROFILE = """\
apiVersion: finops-policy/v1
kind: Profile
name: {name}
version: 1.0.0
title: Title of {name}
packs:
  own-pack: {{version: "~=1.0", posture: notify}}
parameters:
  own-pack:
    idle_days: 21
frameworks:
  own-rules: "~=1.0"
retention: {{years: 6, source: the law}}
"""
FRAMEWORK = """\
apiVersion: finops-policy/v1
kind: Framework
name: {name}
version: 1.0.0
title: Title of {name}
source: {{title: Official journal, licence: public domain}}
complete: true
groups: {{G: Group}}
controls:
  - id: C-1
    title: Resources are watched
    group: G
    mappings:
      - {{policy: own-pack/own-policy, strength: direct, rationale: It tests the requirement itself.}}
"""
CUSTOMER = """\
apiVersion: finops-policy/v1
kind: Customer
name: {name}
title: Title of {name}
profile: own-profile
regions: [us-east-1, eu-west-1]
accounts:
  - {{id: "111122223333", name: prod}}
  - id: "444455556666"
    name: dev
    regions: [eu-central-1]
    parameters:
      own-pack:
        idle_days: 7
"""
WAIVERS = """\
apiVersion: finops-policy/v1
kind: Waivers
waivers:
"""
PRICES = """\
apiVersion: finops-policy/v1
kind: PriceBook
currency: EUR
source: our own contract
as_of: 2026-01-31
prices:
  - {key: ec2/m5.large, unit: hour, regions: {us-east-1: "0.0960000001", eu-west-1: "0.107"}}
  - key: ebs/gp3
    unit: gb-month
    regions: {us-east-1: "0.08"}
    source: a letter
    as_of: 2025-12-01
    verified: true
"""


def waiver_text(name: str = "W-1", **changes: str) -> str:
    """One entry of a waivers file."""
    values = {
        "policy": "own-policy",
        "resource": "arn:aws:ec2:us-east-1:111122223333:instance/i-1",
        "reason": "Kept for the audit of last year.",
        "owner": "platform",
        "requested_by": "dana@example.com",
        "approved_by": "ingrid@example.com",
        "ticket": "FIN-1",
        "expires": "2026-12-31",
    }
    return f"  - id: {name}\n" + "".join(f"    {key}: {value}\n" for key, value in (values | changes).items())


def write_files(root: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return root


def write_workspace(root: Path, **changes: str | bytes) -> Path:
    """A workspace in which everything has a name of its own, ``own-...``; ``changes`` are keyed by kind."""
    files = {
        "pack": ("packs/own-pack/pack.yaml", PACK.format(name="own-pack")),
        "policy": ("packs/own-pack/own-policy.yaml", POLICY.format(name="own-policy")),
        "profile": ("profiles/own-profile.yaml", PROFILE.format(name="own-profile")),
        "framework": ("frameworks/own-rules.yaml", FRAMEWORK.format(name="own-rules")),
        "customer": ("customers/own-customer/customer.yaml", CUSTOMER.format(name="own-customer")),
        "waivers": ("customers/own-customer/waivers.yaml", WAIVERS + waiver_text()),
        "prices": ("pricebook.yaml", PRICES),
    }
    return write_files(root, {path: changes.get(kind, text) for kind, (path, text) in files.items()})
