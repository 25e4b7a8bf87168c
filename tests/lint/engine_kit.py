"""What the tests of the linter's engine share: files that are clean or broken, and linting what lies in a folder."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path

from finops_policy.lint.linter import lint
from finops_policy.lint.report import Report
from finops_policy.lint.rule import Level
from finops_policy.lint.settings import Settings
from tests.lint.kit import TODAY

GOOD = "policies:\n  - name: good\n    resource: aws.ebs\n"
BAD = "policies:\n  - name: bad\n    resource: aws.nothing\n"
"""Told once: unknown-resource on line 3."""
OURS = "apiVersion: finops-policy/v1\n"

PACK = f"""{OURS}kind: Pack
name: own
version: 1.2.0
title: Own rules
owner: finops
parameters:
  days: {{type: integer, minimum: 1, default: 14, description: Days looked back, unit: days}}
"""
POLICY = f"""{OURS}kind: Policy
name: old-snapshots
title: Snapshots are used
resource: aws.ebs-snapshot
severity: low
rationale: A snapshot that nobody uses costs money.
scope:
  - {{type: age, days: 1, op: ge}}
violation:
  - {{type: age, days: "${{days}}", op: ge}}
"""
PROFILE = f"""{OURS}kind: Profile
name: ours
version: 1.0.0
title: Our profile
packs:
  own: {{version: "~=1.0"}}
frameworks:
  house: "~=1.0"
retention: {{years: 1, source: House rule}}
"""
FRAMEWORK = f"""{OURS}kind: Framework
name: house
version: 1.0.0
title: House rules
source: {{title: House rules, url: "https://house.example/rules", licence: Ours}}
complete: true
groups: {{g: Group}}
controls:
  - id: G-1
    title: Snapshots
    group: g
    mappings:
      - {{policy: own/old-snapshots, strength: supporting, rationale: It finds old ones.}}
"""
CUSTOMER = f"""{OURS}kind: Customer
name: globex
title: Globex
profile: ours
regions: [us-east-1]
accounts:
  - {{id: "111122223333", name: main}}
"""
WAIVERS = f"""{OURS}kind: Waivers
waivers:
  - id: W-1
    policy: old-snapshots
    resource: arn:aws:ec2:us-east-1::snapshot/snap-0123456789abcdef0
    reason: The auditors of the year 2025 still compare the books with this snapshot.
    owner: a@globex.example
    requested_by: b@globex.example
    approved_by: c@globex.example
    ticket: FIN-1
    created: 2026-10-01
    expires: 2027-06-30
"""
WORKSPACE: Mapping[str, str] = {
    "packs/own/pack.yaml": PACK,
    "packs/own/old-snapshots.yaml": POLICY,
    "packs/own/CHANGELOG.md": "## [1.2.0]\n",
    "profiles/ours.yaml": PROFILE,
    "frameworks/house.yaml": FRAMEWORK,
    "customers/globex/customer.yaml": CUSTOMER,
    "customers/globex/waivers.yaml": WAIVERS,
}
"""Files that fit together."""


def write(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def look(
    *paths: Path | str, workspace: Path | str = ".", settings: Settings | None = None, today: dt.date = TODAY
) -> Report:
    return lint([Path(each) for each in paths], Path(workspace), settings or Settings(), today=today)


def places(report: Report) -> list[str]:
    """All errors that count, as ``path:line rule``."""
    found = [each.diagnostic for each in report.active if each.level is Level.ERROR]
    return [f"{each.mark.path}:{each.mark.line} {each.rule}" for each in found]
