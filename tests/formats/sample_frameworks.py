"""Three partial frameworks for the sample: every kind of control verdict occurs, none is a whole catalogue."""

from __future__ import annotations

from typing import Any


def _control(
    number: str, title: str, group: str, kind: str, verdict: str, reason: str, manual: str = "", mappings: tuple[tuple[str, str, str], ...] = ()
) -> dict[str, Any]:  # fmt: skip
    return {
        "id": number,
        "title": title,
        "group": group,
        "kind": kind,
        "verdict": verdict,
        "reason": reason,
        "manual": manual,
        "mappings": mappings,
    }


NOBODY = "No policy speaks to it."
PERSON = "Needs a person's attestation; no policy of this run speaks to it."

HIPAA: dict[str, Any] = {
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
        _control("164.308(a)(1)(ii)(A)", "Risk analysis", "164.308", "required", "manual", PERSON, "Attest that the risk analysis is current and covers the cloud accounts."),
        _control(
            "164.308(a)(1)(ii)(B)", "Risk management", "164.308", "required", "not-satisfied",
            "9 noncompliant evaluations in idle-resources/ec2-idle, idle-resources/ec2-stopped.", "",
            (
                ("idle-resources/ec2-idle", "supporting", "Resources off the approved baseline are found and reduced."),
                ("idle-resources/ec2-stopped", "supporting", "A stopped machine still holds data and is not patched."),
            ),
        ),
        _control("164.308(a)(1)(ii)(C)", "Sanction policy", "164.308", "required", "manual", PERSON, "Attest that the sanction policy is applied."),
        _control(
            "164.308(a)(1)(ii)(D)", "Information system activity review", "164.308", "required", "not-satisfied",
            "2 noncompliant evaluations in budget-guardrails/account-budget-missing, budget-guardrails/budget-overspent.", "",
            (
                ("budget-guardrails/account-budget-missing", "supporting", "Without a budget nobody is told of unusual spend, which may be abuse."),
                ("budget-guardrails/budget-overspent", "supporting", "Overspending is reviewed as activity out of the ordinary."),
            ),
        ),
        _control("164.308(a)(7)(ii)(A)", "Data backup plan", "164.308", "required", "not-assessed", NOBODY),
        _control("164.308(a)(8)", "Evaluation", "164.308", "required", "manual", PERSON, "Attest the periodic technical and non-technical evaluation."),
        _control(
            "164.310(d)(2)(i)", "Disposal", "164.310", "required", "partially-assessed",
            "Nothing was found, but 2 of 8 checks could not be made.", "",
            (("oversized-instances/rds-storage-oversized", "partial", "Left-over storage is found; its disposal is recorded."),),
        ),
        _control(
            "164.310(d)(2)(iii)", "Accountability", "164.310", "addressable", "not-satisfied",
            "17 noncompliant evaluations in required-tags/ec2-required-tags, required-tags/s3-required-tags.", "Attest that owners act on what is tagged to them.",
            (
                ("required-tags/ec2-required-tags", "partial", "Each machine has an accountable owner and purpose."),
                ("required-tags/s3-required-tags", "partial", "Each bucket has an accountable owner and purpose."),
                ("required-tags/rds-required-tags", "partial", "Each database has an accountable owner and purpose."),
            ),
        ),
        _control("164.310(a)(1)", "Facility access controls", "164.310", "standard", "manual", PERSON, "Attest from the provider's SOC 2 report."),
        _control(
            "164.312(b)", "Audit controls", "164.312", "required", "not-satisfied",
            "6 noncompliant evaluations in idle-resources/log-group-retention.", "",
            (("idle-resources/log-group-retention", "direct", "A log group without a retention is not kept as the rule asks."),),
        ),
        _control(
            "164.312(a)(2)(iv)", "Encryption and decryption", "164.312", "addressable", "not-assessed", "Its policies are not part of this run.", "",
            (("encryption/ebs-encrypted", "direct", "Volumes are encrypted at rest."),),
        ),
        _control("164.312(c)(1)", "Integrity", "164.312", "standard", "not-assessed", NOBODY),
        _control("164.312(d)", "Person or entity authentication", "164.312", "required", "not-assessed", NOBODY),
        _control("164.316(b)(2)(i)", "Time limit", "164.316", "required", "manual", PERSON, "Attest that documentation is kept for 6 years."),
    ],
}  # fmt: skip

SOX: dict[str, Any] = {
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
            "OP-02", "Every resource has owner, cost centre and environment", "OP", "COSO 3, 5", "not-satisfied",
            "12 noncompliant evaluations in required-tags/ec2-required-tags, required-tags/ebs-required-tags.", "",
            (
                ("required-tags/ec2-required-tags", "direct", "Tests the three tags on each machine."),
                ("required-tags/ebs-required-tags", "direct", "Tests the three tags on each volume."),
            ),
        ),
        _control("OP-05", "Scheduled jobs complete and are monitored", "OP", "COSO 16", "not-assessed", NOBODY),
        _control(
            "FIN-01", "Spend is reviewed against approved budgets", "FIN", "COSO 10, 16", "partially-assessed",
            "Nothing was found, but 2 of 8 checks could not be made.", "",
            (("budget-guardrails/budget-forecast-overspent", "direct", "A forecast over the limit calls for review."),),
        ),
        _control(
            "FIN-02", "Capacity and commitments are evaluated", "FIN", "COSO 10", "satisfied-with-waivers",
            "11 of 12 members comply; 1 finding waived.", "",
            (("oversized-instances/rds-oversized", "direct", "Databases larger than their load are found."),),
        ),
        _control(
            "FIN-03", "Cost is allocated completely and accurately", "FIN", "COSO 13", "satisfied", "All 10 members comply.", "",
            (("required-tags/dynamodb-table-required-tags", "direct", "Tables carry a cost centre."),),
        ),
        _control(
            "FIN-04", "Cost anomalies are found and investigated", "FIN", "COSO 16", "no-population", "No resource is in scope of its policies.", "",
            (("idle-resources/elb-idle", "direct", "Idle balancers are found."),),
        ),
    ],
}  # fmt: skip

FEDRAMP: dict[str, Any] = {
    "name": "fedramp-moderate",
    "version": "1.0.0",
    "title": "FedRAMP Moderate",
    "source": "NIST SP 800-53 Rev. 5, FedRAMP Moderate baseline",
    "source_url": "https://www.fedramp.gov/baselines/",
    "licence": "Public domain",
    "complete": False,
    "groups": [{"id": "CM", "title": "Configuration Management"}, {"id": "MP", "title": "Media Protection"}, {"id": "PE", "title": "Physical and Environmental Protection"}],
    "controls": [
        _control(
            "CM-8", "System Component Inventory", "CM", "control", "not-satisfied",
            "8 noncompliant evaluations in required-tags/ec2-required-tags.", "",
            (
                ("required-tags/ec2-required-tags", "partial", "The inventory names an owner for each component."),
                ("idle-resources/eip-unassociated", "supporting", "Addresses without a component are found."),
            ),
        ),
        _control("CM-3", "Configuration Change Control", "CM", "control", "manual", PERSON, "Attest that changes are reviewed and approved."),
        _control(
            "MP-6", "Media Sanitization", "MP", "control", "not-satisfied", "12 noncompliant evaluations in idle-resources/ebs-unattached.", "",
            (("idle-resources/ebs-unattached", "partial", "Left-over copies of data are found."),),
        ),
        _control("PE-3", "Physical Access Control", "PE", "control", "not-assessed", NOBODY),
        _control("PE-6", "Monitoring Physical Access", "PE", "control", "not-assessed", NOBODY),
    ],
}  # fmt: skip

FRAMEWORKS = (HIPAA, SOX, FEDRAMP)
