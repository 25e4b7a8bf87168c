"""Three partial frameworks for the sample: every kind of control verdict occurs, none is a whole catalogue."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from .sample_estate import CONTROL_VERDICTS, VERDICTS

Row = dict[str, Any]


def _control(
    number: str,
    title: str,
    kind: str,
    verdict: str,
    *mappings: tuple[str, str, str],
    reason: str = "",
    manual: str = "",
    counts: dict[str, int] | None = None,
) -> Row:
    """A control as the sample completes it: ``counts`` stands in for what its policies found, ``reason`` for why."""
    reason = reason or {"not-assessed": NOBODY, "manual": PERSON}.get(verdict, "")
    return {
        "id": number,
        "title": title,
        "group": re.split("[(-]", number)[0],
        "kind": kind,
        "verdict": verdict,
        "reason": reason,
        "manual": manual,
        "mappings": mappings,
        "counts": counts or {},
    }


NOBODY = "No policy speaks to it."
PERSON = "Needs a person's attestation; no policy of this run speaks to it."
ALL_COUNTS = ("population", "compliant", "noncompliant", "waived", "unknown", "failed_targets")


def _counts(*numbers: int) -> dict[str, int]:
    return dict(zip(ALL_COUNTS, numbers, strict=True))


HIPAA: Row = {
    "name": "hipaa-security-rule",
    "version": "1.0.0",
    "title": "HIPAA Security Rule",
    "source": "45 CFR Part 164 Subpart C",
    "source_url": "https://www.ecfr.gov/current/title-45/part-164/subpart-C",
    "licence": "Public law",
    "complete": False,
    "groups": [
        {"id": "164.308", "title": "Administrative safeguards"},
        {"id": "164.310", "title": "Physical safeguards"},
        {"id": "164.312", "title": "Technical safeguards"},
        {"id": "164.316", "title": "Policies, procedures and documentation"},
    ],
    "controls": [
        _control(
            "164.308(a)(1)(ii)(A)",
            "Risk analysis",
            "required",
            "manual",
            manual="Attest that the risk analysis is current and covers the cloud accounts.",
        ),
        _control(
            "164.308(a)(1)(ii)(B)",
            "Risk management",
            "required",
            "not-satisfied",
            ("idle-resources/ec2-idle", "supporting", "Resources off the approved baseline are found and reduced."),
            ("idle-resources/ec2-stopped", "supporting", "A stopped machine still holds data and is not patched."),
        ),
        _control(
            "164.308(a)(1)(ii)(C)",
            "Sanction policy",
            "required",
            "manual",
            manual="Attest that the sanction policy is applied.",
        ),
        _control(
            "164.308(a)(1)(ii)(D)",
            "Information system activity review",
            "required",
            "not-satisfied",
            ("budget-guardrails/account-budget-missing", "supporting", "Without a budget nobody is told of a spike."),
            ("budget-guardrails/budget-overspent", "supporting", "Overspending is reviewed as unusual activity."),
        ),
        _control("164.308(a)(7)(ii)(A)", "Data backup plan", "required", "not-assessed"),
        _control(
            "164.308(a)(8)",
            "Evaluation",
            "required",
            "manual",
            manual="Attest the periodic technical and non-technical evaluation.",
        ),
        _control(
            "164.310(a)(1)",
            "Facility access controls",
            "standard",
            "manual",
            manual="Attest from the provider's SOC 2 report.",
        ),
        _control(
            "164.310(d)(2)(i)",
            "Disposal",
            "required",
            "partially-assessed",
            ("oversized-instances/rds-storage-oversized", "partial", "Left-over storage is found and recorded."),
        ),
        _control(
            "164.310(d)(2)(iii)",
            "Accountability",
            "addressable",
            "not-satisfied",
            ("required-tags/ec2-required-tags", "partial", "Each machine has an accountable owner and purpose."),
            ("required-tags/s3-required-tags", "partial", "Each bucket has an accountable owner and purpose."),
            ("required-tags/rds-required-tags", "partial", "Each database has an accountable owner and purpose."),
            manual="Attest that owners act on what is tagged to them.",
        ),
        _control(
            "164.312(a)(2)(iv)",
            "Encryption and decryption",
            "addressable",
            "not-assessed",
            ("encryption/ebs-encrypted", "direct", "Volumes are encrypted at rest."),
            reason="Its policies are not part of this run.",
        ),
        _control(
            "164.312(b)",
            "Audit controls",
            "required",
            "not-satisfied",
            ("idle-resources/log-group-retention", "direct", "A log group without a retention breaks the rule."),
        ),
        _control("164.312(c)(1)", "Integrity", "standard", "not-assessed"),
        _control("164.312(d)", "Person or entity authentication", "required", "not-assessed"),
        _control(
            "164.316(b)(2)(i)",
            "Time limit",
            "required",
            "manual",
            manual="Attest that documentation is kept for 6 years.",
        ),
    ],
}

SOX: Row = {
    "name": "sox-itgc",
    "version": "1.0.0",
    "title": "SOX IT general controls",
    "source": "Sarbanes-Oxley Act s.302 and s.404; identifiers and wording of this project",
    "source_url": "",
    "licence": "Apache-2.0",
    "complete": False,
    "groups": [{"id": "OP", "title": "Operations"}, {"id": "FIN", "title": "Financial governance of cloud spend"}],
    "controls": [
        _control(
            "OP-02",
            "Every resource has owner, cost centre and environment",
            "COSO 3, 5",
            "not-satisfied",
            ("required-tags/ec2-required-tags", "direct", "Tests the three tags on each machine."),
            ("required-tags/ebs-required-tags", "direct", "Tests the three tags on each volume."),
        ),
        _control("OP-05", "Scheduled jobs complete and are monitored", "COSO 16", "not-assessed"),
        _control(
            "FIN-01",
            "Spend is reviewed against approved budgets",
            "COSO 10, 16",
            "partially-assessed",
            ("budget-guardrails/budget-forecast-overspent", "direct", "A forecast over the limit calls for review."),
        ),
        _control(
            "FIN-02",
            "Capacity and commitments are evaluated",
            "COSO 10",
            "satisfied-with-waivers",
            ("oversized-instances/rds-oversized", "direct", "Databases larger than their load are found."),
            reason="11 of 12 members comply; 1 finding waived.",
            counts=_counts(12, 11, 0, 1, 0, 0),
        ),
        _control(
            "FIN-03",
            "Cost is allocated completely and accurately",
            "COSO 13",
            "satisfied",
            ("required-tags/dynamodb-table-required-tags", "direct", "Tables carry a cost centre."),
            reason="All 12 members comply.",
            counts=_counts(12, 12, 0, 0, 0, 0),
        ),
        _control(
            "FIN-04",
            "Cost anomalies are found and investigated",
            "COSO 16",
            "no-population",
            ("idle-resources/elb-idle", "direct", "Idle balancers are found."),
            reason="No resource is in scope of its policies.",
            counts=_counts(0, 0, 0, 0, 0, 0),
        ),
    ],
}

FEDRAMP: Row = {
    "name": "fedramp-moderate",
    "version": "1.0.0",
    "title": "FedRAMP Moderate",
    "source": "NIST SP 800-53 Rev. 5, FedRAMP Moderate baseline",
    "source_url": "https://www.fedramp.gov/baselines/",
    "licence": "Public domain",
    "complete": False,
    "groups": [
        {"id": "CM", "title": "Configuration Management"},
        {"id": "MP", "title": "Media Protection"},
        {"id": "PE", "title": "Physical and Environmental Protection"},
    ],
    "controls": [
        _control(
            "CM-3",
            "Configuration Change Control",
            "control",
            "manual",
            manual="Attest that changes are reviewed and approved.",
        ),
        _control(
            "CM-8",
            "System Component Inventory",
            "control",
            "not-satisfied",
            ("required-tags/ec2-required-tags", "partial", "The inventory names an owner for each component."),
            ("idle-resources/eip-unassociated", "supporting", "Addresses without a component are found."),
        ),
        _control(
            "MP-6",
            "Media Sanitization",
            "control",
            "not-satisfied",
            ("idle-resources/ebs-unattached", "partial", "Left-over copies of data are found."),
        ),
        _control("PE-3", "Physical Access Control", "control", "not-assessed"),
        _control("PE-6", "Monitoring Physical Access", "control", "not-assessed"),
    ],
}

FRAMEWORKS = (HIPAA, SOX, FEDRAMP)


def judged(framework: Row, policies: list[Row]) -> Row:
    """The framework with the counts of the run's policies and how many controls have each verdict."""
    by_name = {f"{policy['pack']}/{policy['name']}": policy for policy in policies}
    controls = []
    for control in framework["controls"]:
        mappings = [_mapping(each, by_name.get(each[0], {}), control["counts"]) for each in control["mappings"]]
        judged = {key: value for key, value in control.items() if key != "counts"}
        controls.append({**judged, "reason": _reason(control, mappings), "mappings": mappings})
    verdicts = Counter(control["verdict"] for control in controls)
    return {**framework, "controls": controls, "verdicts": {each: verdicts[each] for each in CONTROL_VERDICTS}}


def _mapping(mapping: tuple[str, str, str], policy: Row, counts: dict[str, int]) -> Row:
    name, strength, rationale = mapping
    return {
        "policy": name,
        "strength": strength,
        "rationale": rationale,
        "in_profile": bool(policy),
        **{field: policy.get(field, 0) for field in ("population", *VERDICTS, "failed_targets")},
        **counts,
    }


def _reason(control: Row, mappings: list[Row]) -> str:
    """The sentence of the verdicts that are counted; other controls bring their own."""
    if control["verdict"] == "not-satisfied":
        found = [each for each in mappings if each["noncompliant"]]
        total = sum(each["noncompliant"] for each in found)
        return f"{total} noncompliant evaluations in {', '.join(each['policy'] for each in found)}."
    if control["verdict"] == "partially-assessed":
        unchecked = sum(each["failed_targets"] for each in mappings)
        return f"Nothing was found, but {unchecked} of {8 * len(mappings)} checks could not be made."
    return str(control["reason"])
