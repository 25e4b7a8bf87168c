"""From a sealed run to the findings that may be told: those of policies whose posture is notify or stronger.

A bundle that is not as it was sealed is refused: people would be told what nobody found. Every finding is held in
memory, some 1 KB each.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from finops_policy.channels import Owners
from finops_policy.compiler import DEFAULT, load_policies, policies_path
from finops_policy.errors import EvidenceError
from finops_policy.evidence import queries
from finops_policy.evidence.layout import RUN_RECORD, measure
from finops_policy.evidence.store import read_run
from finops_policy.ledger import finding_id
from finops_policy.model import Posture, Severity, Status, Verdict
from finops_policy.notify.history import Series
from finops_policy.notify.model import About, Notice
from finops_policy.notify.owners import owner_of
from finops_policy.realised import Resource

_POSTURES = list(Posture)


@dataclass(frozen=True, slots=True)
class Found:
    """A run, and what of it may be told. ``silent`` findings are of policies whose posture is report."""

    about: About
    findings: tuple[queries.Finding, ...]
    titles: Mapping[str, str]
    names: Mapping[str, str]
    silent: int

    def notices(self, owners: Owners, tag: str, series: Mapping[str, Series]) -> Iterator[Notice]:
        """The findings as they are told, the severest first; ``series`` has those that began before this run."""
        for each in self.findings:
            resource = Resource(each.account_id, each.region, each.resource_type, each.resource_id, each.arn)
            known = finding_id(each.policy, resource)
            begun = series.get(known, Series(self.about.started_at))
            yield Notice(
                fingerprint=known,
                policy=each.policy,
                title=self.titles.get(each.policy, each.policy),
                severity=Severity(each.severity),
                account_id=each.account_id,
                account_name=self.names.get(each.account_id, ""),
                region=each.region,
                resource_type=each.resource_type,
                resource_id=each.resource_id,
                arn=each.arn,
                owner=owner_of(json.loads(each.tags or "{}"), each.account_id, owners, tag),
                savings=Decimal(each.savings) if each.savings is not None else None,
                priced=each.money is not None,
                since=begun.since,
                at_least=begun.at_least,
            )


def read_found(folder: Path) -> Found:
    """Raises :class:`EvidenceError` when the bundle is not as it was sealed."""
    record = read_run(folder).data
    _refuse_damaged(folder, record)
    try:
        told = _told_policies(folder, record)
        cells = queries.count_cells(folder)
        prices = json.loads((folder / "compiled" / "prices.json").read_bytes())
        noncompliant = [each for each in queries.read_findings(folder) if each.verdict == Verdict.NONCOMPLIANT]
        found = tuple(
            each._replace(facts="") for each in noncompliant if each.policy in told.get(each.account_id, told[DEFAULT])
        )
        return Found(
            about=About(
                customer=record["customer"]["name"],
                customer_title=record["customer"]["title"],
                run_id=record["run_id"],
                started_at=dt.datetime.fromisoformat(record["started_at"]),
                sandbox=record["sandbox"],
                profile=record["profile"]["name"],
                currency=min((each["currency"] for each in prices), default="USD"),
                cells=cells.statuses.total(),
                unchecked=cells.statuses[Status.FAILED] + cells.statuses[Status.SKIPPED],
                unknown=sum(each.unknown for each in cells.tallies.values()),
            ),
            findings=found,
            titles={name: title for each in told.values() for name, title in each.items()},
            names={each["account_id"]: each["account_name"] for each in record["targets"]},
            silent=len(noncompliant) - len(found),
        )
    except (OSError, LookupError, TypeError, ValueError, AttributeError, yaml.YAMLError) as error:
        raise EvidenceError(f"The run in {folder} is not as it was written: {error}", hint=_verify(folder)) from error


def _told_policies(folder: Path, record: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Account id (or the default) -> names and titles of the policies that are told there."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    told: dict[str, dict[str, str]] = {}
    for account_id in (DEFAULT, *{each["account_id"] for each in record["targets"]}):
        path = folder / "compiled" / policies_path(account_id)
        if account_id == DEFAULT or path.exists():
            compiled = yaml.load(path.read_bytes(), loader)  # noqa: S506 - both are safe
            told[account_id] = {
                each.name: each.title
                for each in load_policies(compiled["policies"])
                if is_told(each.document.get("metadata", {}).get("posture", Posture.REPORT))
            }
    return told


def is_told(posture: str) -> bool:
    """Whether a posture is notify or stronger."""
    return posture in _POSTURES and _POSTURES.index(Posture(posture)) >= _POSTURES.index(Posture.NOTIFY)


def _refuse_damaged(folder: Path, record: Mapping[str, Any]) -> None:
    name = RUN_RECORD
    try:
        for name, recorded in record["files"].items():
            if measure(folder / name) != recorded:
                raise ValueError
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        message = f"{folder / name} is not as it was sealed, so nobody is told of it."
        raise EvidenceError(message, hint=_verify(folder)) from error


def _verify(folder: Path) -> str:
    return f"`finops-policy verify {folder}` names everything that has changed."
