"""Waivers that cover nothing: what the customer's files say against them, and where those are silent, its last run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from finops_policy.errors import EvidenceError, did_you_mean
from finops_policy.lint.rule import Level, Rule
from finops_policy.lint.subject import Subject
from finops_policy.lint.waivers import Entry, arn_of, entries, may_be
from finops_policy.marks import Diagnostic

if TYPE_CHECKING:
    from finops_policy.customer import Customer
    from finops_policy.model import Waiver

STORE: Final = "evidence"
SERVICES: Final = {
    "aws.account": "iam",
    "aws.ami": "ec2",
    "aws.app-elb": "elasticloadbalancing",
    "aws.asg": "autoscaling",
    "aws.budget": "budgets",
    "aws.cache-cluster": "elasticache",
    "aws.dynamodb-table": "dynamodb",
    "aws.ebs": "ec2",
    "aws.ebs-snapshot": "ec2",
    "aws.ec2": "ec2",
    "aws.efs": "elasticfilesystem",
    "aws.eks": "eks",
    "aws.elasticsearch": "es",
    "aws.elastic-ip": "ec2",
    "aws.elb": "elasticloadbalancing",
    "aws.kinesis": "kinesis",
    "aws.kms-key": "kms",
    "aws.lambda": "lambda",
    "aws.log-group": "logs",
    "aws.nat-gateway": "ec2",
    "aws.rds": "rds",
    "aws.rds-cluster": "rds",
    "aws.rds-snapshot": "rds",
    "aws.redshift": "redshift",
    "aws.s3": "s3",
    "aws.secrets-manager": "secretsmanager",
    "aws.sns": "sns",
    "aws.sqs": "sqs",
}
"""Resource type, as c7n itself calls it -> the service in the ARNs of its resources."""


def _check(subject: Subject) -> Iterator[Diagnostic]:
    written: dict[Path, list[Entry]] = defaultdict(list)
    for entry in entries(subject):
        written[entry.path.resolve()].append(entry)
    for path, members in written.items():
        customer = subject.customers.get(path.parent.name)
        if customer and path == (subject.workspace / "customers" / customer.name / "waivers.yaml").resolve():
            yield from _of_customer(_Known(subject, customer), members)


@dataclass(frozen=True)
class _Known:
    """What the files say of a customer."""

    subject: Subject
    customer: Customer

    @cached_property
    def resources(self) -> Mapping[str, str]:
        """Policy -> resource type, of all packs."""
        return {name: each.resource for pack in self.subject.packs.values() for name, each in pack.policies.items()}

    @cached_property
    def policies(self) -> Collection[str]:
        """Those of the customer's profile; all there are where that is not known."""
        profile = self.subject.profiles.get(self.customer.profile)
        chosen = [choice.name for choice in profile.packs] if profile else []
        if not chosen or not all(name in self.subject.packs for name in chosen):
            return self.resources.keys()
        return {policy for name in chosen for policy in self.subject.packs[name].policies}

    def regions(self, account: str) -> Collection[str]:
        """Those of the accounts that a waiver may mean; empty where they are not known before a run."""
        from finops_policy.customer import ENABLED

        found = {region for each in self.customer.accounts if may_be(account, each.id) for region in each.regions}
        if self.customer.organization:
            found |= {*self.customer.regions}
        return () if ENABLED in found else found


def _of_customer(known: _Known, written: list[Entry]) -> Iterator[Diagnostic]:
    """Waivers that cannot be read, or have expired, apply to nothing anyway: other rules tell them."""
    places = {(entry.mark().line, entry.mark().column): entry for entry in written}
    asked: list[tuple[Waiver, Entry]] = []
    for waiver in known.subject.waivers(known.customer.name):
        entry = places.get((waiver.mark.line, waiver.mark.column))
        if entry is None or waiver.expires < known.subject.today or waiver.policy not in known.resources:
            continue
        if found := _against(known, waiver):
            key, why, hint = found
            yield Diagnostic(RULES[0].id, f"{entry.name} matches nothing: {why}", entry.mark(key), hint)
        else:
            asked.append((waiver, entry))
    if asked:
        yield from _recorded(known, asked)


def _against(known: _Known, waiver: Waiver) -> tuple[str, str, str] | None:
    """The key that is wrong, why, and what to do."""
    customer, arn = known.customer, arn_of(waiver.resource)
    if waiver.account:
        if not may_be(arn.account, waiver.account):
            return "account", f"its ARN is of another account than {waiver.account}", "Leave one of them out."
        arn = arn._replace(account=waiver.account)
    if waiver.policy not in known.policies:
        why = f"profile {customer.profile} of {customer.name} has no policy {waiver.policy}"
        return "policy", why, did_you_mean(waiver.policy, known.policies)
    if not may_be(arn.partition, customer.partition):
        why = f"{customer.name} is in the partition {customer.partition}"
        return "resource", why, f"Write `arn:{customer.partition}:`."
    type_ = known.subject.knowledge.type_of(known.resources[waiver.policy])
    service = SERVICES.get(type_.name) if type_ else None
    if service and not may_be(arn.service, service):
        why = f"{waiver.policy} judges {known.resources[waiver.policy]}, whose ARNs say {service}"
        return "resource", why, f"Write `arn:{customer.partition}:{service}:`, or name the policy that was meant."
    ids = [account.id for account in customer.accounts]
    if not customer.organization and not any(may_be(arn.account, each) for each in ids):
        key = "account" if waiver.account else "resource"
        return key, f"{customer.name} has no account {arn.account}", did_you_mean(arn.account, ids)
    regions = known.regions(arn.account)
    if waiver.region and regions and waiver.region not in regions:
        return "region", f"{customer.name} is not judged in {waiver.region}", did_you_mean(waiver.region, regions)
    if service and regions and not any(may_be(arn.region, each) for each in regions):
        why = f"{customer.name} is not judged in {arn.region}"
        return "resource", why, did_you_mean(arn.region, regions)
    return None


def _recorded(known: _Known, asked: list[tuple[Waiver, Entry]]) -> Iterator[Diagnostic]:
    """What the last run in the workspace's evidence says; nothing where there is none."""
    store = known.subject.workspace / STORE
    if not store.is_dir():
        return
    from finops_policy.lint.last_run import last_run

    try:
        run = last_run(store, known.customer.name, [waiver for waiver, _ in asked])
    except EvidenceError as error:
        mark = asked[0][1].file.mark("waivers")
        yield Diagnostic(RULES[1].id, f"which waivers match is not known: {error}", mark, error.hint)
        return
    unmatched = {waiver.id for waiver in run.unmatched} if run else {}
    for waiver, entry in asked:
        if run and waiver.id in unmatched:
            message = f"{entry.name} matches nothing that {waiver.policy} judged in the run of {run.started}"
            hint = "Remove it if the resource is gone; compare its ARN with the reports if it is not."
            yield Diagnostic(RULES[0].id, message, entry.mark("resource"), hint)


RULES = (
    Rule(
        "waiver-unmatched",
        Level.WARNING,
        "A waiver matches no resource.",
        "Whoever wrote it believes that a finding is accepted which is not; or the resource is gone, and its successor "
        "of the same name would be accepted unseen.",
        _check,
    ),
    Rule(
        "waiver-evidence",
        Level.NOTE,
        "The evidence that would say which waivers match cannot be read.",
        "Waivers that match nothing are then told only as far as the files show it.",
    ),
)
