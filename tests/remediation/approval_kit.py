"""What the tests of approvals share: a plan, approvers with keys of their own, and what they sign."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from finops_policy.approval_settings import KEY_PREFIX
from finops_policy.customer import ApprovalRule, ApprovalRules, Approver, ApproverRole, Customer
from finops_policy.evidence.signing import SigningKey
from finops_policy.marks import Mark
from finops_policy.model import Fact, Posture, Severity
from finops_policy.money import Money
from finops_policy.remediation.approvals import Approval, Decision, Judged, Method, judge_approvals
from finops_policy.remediation.approvers import registered_form
from finops_policy.remediation.model import Item, Plan, PlannedPolicy, Requester, Step
from finops_policy.remediation.plan_file import plan_bytes
from finops_policy.remediation.recipes.recipe import Dependant, Dependants, Undo, Undoable

NOW = dt.datetime(2026, 11, 24, 8, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
ENGINEERING, FINANCE, SECURITY = ApproverRole.ENGINEERING, ApproverRole.FINANCE, ApproverRole.SECURITY
RULES = ApprovalRules(
    (
        ApprovalRule(frozenset({ENGINEERING, FINANCE}), over=Decimal("500.00")),
        ApprovalRule(frozenset({ENGINEERING, FINANCE}), destructive=True),
        ApprovalRule(frozenset({ENGINEERING})),
    ),
    valid_hours=72,
)
EMAILS = {"ingrid": FINANCE, "samuel": ENGINEERING, "lucia": SECURITY, "noor": ENGINEERING}
SSO = "arn:aws:sts::999900001111:assumed-role/AWSReservedSSO_FinOps_0123/"


def email(who: str) -> str:
    return f"{who}@acme.example"


class Desk:
    """Approvers of acme, each with a key in a file; ``mallory`` has one that is not registered."""

    def __init__(self, folder: Path) -> None:
        self.keys = {
            who: SigningKey.load_or_create(folder / f"{who}.pem")[0] for who in (*EMAILS, "mallory", "machine")
        }
        self.customer = self.customer_of(RULES)

    def approver(self, who: str, **changes: Any) -> Approver:
        made = Approver(
            name=who.capitalize(),
            email=email(who),
            role=EMAILS[who],
            mark=Mark("customer.yaml", 1, 1),
            keys=(self.registered(who),),
            identities=(f"{SSO.replace('0123', '*')}{email(who)}",),
        )
        return replace(made, **changes)

    def registered(self, who: str) -> str:
        """As a dataclass has it; customer.yaml has a prefix."""
        return registered_form(self.keys[who].public).removeprefix(KEY_PREFIX)

    def customer_of(self, rules: ApprovalRules, *approvers: Approver) -> Customer:
        return Customer(
            name="acme",
            title="Acme",
            profile="startup",
            partition="aws",
            role=None,
            accounts=(),
            settings={},
            digest="",
            mark=Mark("customer.yaml", 1, 1),
            regions=("us-east-1",),
            approvers=approvers or tuple(map(self.approver, EMAILS)),
            approval=rules,
        )

    def said(self, of: Plan, who: str, items: Sequence[str] | None = None, **changes: Any) -> Approval:
        made = Approval(
            customer=of.customer,
            plan_id=of.plan_id,
            plan_digest=of.digest,
            approver=email(who),
            name=who.capitalize(),
            role=EMAILS.get(who, FINANCE),
            decision=Decision.APPROVE,
            items=None if items is None else tuple(items),
            comment="It has been idle for a month.",
            at=NOW,
            expires=NOW + 24 * HOUR,
            method=Method.KEY,
        )
        return replace(made, **changes)

    def envelope(self, of: Plan, who: str, items: Sequence[str] | None = None, **changes: Any) -> bytes:
        return self.keys[who].sign(self.said(of, who, items, **changes).statement())

    def judge(self, of: Plan, *envelopes: bytes, now: dt.datetime = NOW, **changes: Any) -> Judged:
        named = [(f"{number}.dsse.json", each) for number, each in enumerate(envelopes)]
        return judge_approvals(of, named, **{"customer": self.customer, "now": now, **changes})


ONE, TWO, THREE = "aaaaaaaaaaa1", "aaaaaaaaaaa2", "aaaaaaaaaaa3"


def item(name: str = ONE, savings: str | None = "70.08", **changes: Any) -> Item:
    money = Money("USD", "on_demand_hours", Decimal(savings or 0), savings and Decimal(savings), "list")
    made = Item(
        id=name,
        policy="ec2-idle",
        account_id="111122223333",
        account_name="acme-prod",
        region="us-east-1",
        resource_type="aws.ec2",
        resource_id=f"i-{name}",
        arn=f"arn:aws:ec2:us-east-1:111122223333:instance/i-{name}",
        owner="platform",
        facts=(Fact("metrics", "CPUUtilization", 1.5, "less-than", 5, True),),
        steps=(step(),),
        destructive=False,
        dependants=Dependants(),
        policy_digest="ef" * 32,
        money=money if savings else replace(money, savings=None, cost=None, reason="no price of ec2/x9"),
    )
    return replace(made, **changes)


def step(possible: Undoable = Undoable.YES) -> Step:
    lost = () if possible is Undoable.YES else ("What was in memory.",)
    undo = Undo(possible, "Start the instance.", lost, ("ec2:StartInstances",))
    return Step({"type": "stop"}, {"State": "running"}, undo, ("ec2:StopInstances",))


DESTRUCTIVE = {
    "destructive": True,
    "steps": (step(Undoable.NO),),
    "dependants": Dependants((Dependant("image", "ami-1", "It cannot be launched any more."),), ("Routes: denied.",)),
}


def plan(*items: Item, **changes: Any) -> Plan:
    """A plan as it would be read: its digest is of its bytes."""
    made = Plan(
        plan_id="20261124T070000Z-0123abcd",
        customer="acme",
        profile="startup",
        sandbox=False,
        created_at=NOW - HOUR,
        valid_until=NOW + 7 * 24 * HOUR,
        requested_by=Requester("arn:aws:iam::999900001111:user/finops-runner", "dana@acme.example"),
        run_id="20261124T060000Z-0123abcd",
        run_digest="ab" * 32,
        lock_digest="cd" * 32,
        policies={
            "ec2-idle": PlannedPolicy(
                "ec2-idle", "idle-resources", "1.0.0", "Idle", "aws.ec2", Severity.MEDIUM, Posture.APPROVE, 9
            )
        },
        items=items or (item(),),
        held=(),
        waived=0,
        unknown=0,
    )
    made = replace(made, **changes)
    return replace(made, digest=hashlib.sha256(plan_bytes(made)).hexdigest())
