"""The invented estate of the sample: accounts, policies, and what the sample run met in each cell."""

from __future__ import annotations

from typing import Any, NamedTuple

VERDICTS = ("compliant", "noncompliant", "waived", "unknown")
CONTROL_VERDICTS = (
    "satisfied",
    "satisfied-with-waivers",
    "not-satisfied",
    "partially-assessed",
    "no-population",
    "not-assessed",
    "manual",
)
SEVERITIES = ("critical", "high", "medium", "low", "info")
PROD, DEV, DATA, LEGACY = "111122223333", "444455556666", "777788889999", "222233334444"
ACCOUNTS = {PROD: "acme-prod", DEV: "acme-dev", DATA: "acme-data", LEGACY: "acme-legacy"}
REGIONS = ("us-east-1", "eu-west-1")
US, EU = REGIONS
DENIED = LEGACY
GLOBAL_TYPES = ("s3", "account", "budget")


class Rule(NamedTuple):
    """A policy; ``price`` a month ("" claims no savings), ``members`` and ``noncompliant`` per target."""

    pack: str
    name: str
    title: str
    severity: str
    resource: str
    price: str
    members: int
    noncompliant: int


RULES = (
    Rule("required-tags", "ec2-required-tags", "EC2 instances carry the required tags", "medium", "ec2", "", 9, 2),
    Rule("required-tags", "ebs-required-tags", "Volumes carry the required tags", "low", "ebs", "", 11, 2),
    Rule("required-tags", "rds-required-tags", "Databases carry the required tags", "medium", "rds", "", 2, 0),
    Rule("required-tags", "s3-required-tags", "Buckets carry the required tags", "high", "s3", "", 5, 1),
    Rule("required-tags", "lambda-required-tags", "Functions carry the required tags", "low", "lambda", "", 4, 1),
    Rule(
        "required-tags",
        "dynamodb-table-required-tags",
        "Tables carry the required tags",
        "low",
        "dynamodb-table",
        "",
        2,
        0,
    ),
    Rule("idle-resources", "ec2-idle", "Running EC2 instances do work", "medium", "ec2", "70.08", 7, 1),
    Rule("idle-resources", "ec2-stopped", "Stopped EC2 instances are not kept for long", "low", "ec2", "12.80", 2, 1),
    Rule("idle-resources", "ebs-unattached", "Volumes are attached to an instance", "medium", "ebs", "16.00", 11, 2),
    Rule(
        "idle-resources",
        "ebs-snapshot-old",
        "Snapshots are not kept past their use",
        "low",
        "ebs-snapshot",
        "5.00",
        6,
        1,
    ),
    Rule("idle-resources", "eip-unassociated", "Addresses are in use", "low", "network-addr", "3.65", 3, 1),
    Rule("idle-resources", "nat-gateway-idle", "NAT gateways carry traffic", "medium", "nat-gateway", "32.85", 1, 0),
    Rule("idle-resources", "app-elb-idle", "Load balancers serve requests", "medium", "app-elb", "16.4250", 2, 0),
    Rule("idle-resources", "elb-idle", "Classic load balancers serve requests", "medium", "elb", "18.25", 1, 0),
    Rule("idle-resources", "rds-idle", "Databases have connections", "high", "rds", "1249.64", 2, 0),
    Rule("idle-resources", "lambda-idle", "Functions are invoked", "info", "lambda", "", 4, 1),
    Rule(
        "idle-resources", "dynamodb-table-idle", "Tables are read or written", "low", "dynamodb-table", "0.5840", 2, 0
    ),
    Rule("idle-resources", "log-group-retention", "Log groups have a retention", "medium", "log-group", "2.10", 4, 1),
    Rule("idle-resources", "ami-old", "Images are not kept past their use", "info", "ami", "4.00", 2, 0),
    Rule("oversized-instances", "ec2-oversized", "EC2 instances need their size", "medium", "ec2", "35.04", 7, 1),
    Rule("oversized-instances", "rds-oversized", "Databases need their size", "medium", "rds", "124.83", 2, 0),
    Rule("oversized-instances", "rds-storage-oversized", "Database storage is used", "low", "rds", "23.00", 2, 0),
    Rule("budget-guardrails", "account-budget-missing", "The account has a budget", "critical", "account", "", 1, 0),
    Rule("budget-guardrails", "budget-notifications-missing", "Budgets warn at thresholds", "high", "budget", "", 2, 0),
    Rule("budget-guardrails", "budget-overspent", "Spend stays within the budget", "high", "budget", "", 2, 0),
    Rule(
        "budget-guardrails",
        "budget-forecast-overspent",
        "Forecast stays within the budget",
        "medium",
        "budget",
        "",
        2,
        0,
    ),
)

Cell = tuple[str, str, str]

NONCOMPLIANT: dict[Cell, int] = {
    ("account-budget-missing", DEV, US): 1,
    ("budget-overspent", PROD, US): 1,
    ("budget-notifications-missing", DATA, US): 2,
    ("rds-idle", DATA, US): 1,
    ("rds-oversized", PROD, US): 1,
    ("nat-gateway-idle", DEV, EU): 1,
    ("dynamodb-table-idle", DATA, EU): 1,
    ("ec2-required-tags", DATA, EU): 0,
    ("ebs-required-tags", PROD, US): 0,
    ("ec2-idle", DEV, US): 3,
}
"""Where the number differs from the rule's usual one."""

WAIVED: dict[Cell, str] = {("ebs-unattached", PROD, US): "W-2026-014", ("ec2-idle", DATA, US): "W-2026-009"}
UNKNOWN: dict[Cell, int] = {("ec2-idle", DATA, EU): 2, ("rds-idle", DEV, US): 1, ("app-elb-idle", PROD, EU): 1}
FAILED: dict[Cell, str] = {
    ("nat-gateway-idle", DATA, US): "throttled",
    ("elb-idle", DATA, EU): "own-permission",
}
SKIPPED: set[Cell] = {("ami-old", DEV, EU)}
EMPTY: set[Cell] = {("elb-idle", DEV, EU), ("ami-old", DATA, EU), ("rds-storage-oversized", DEV, EU)}

ROLE = f"arn:aws:iam::{DENIED}:role/finops-policy-reader"
CAUSES = {
    "credentials": (
        f"AccessDenied: not authorized to perform sts:AssumeRole on {ROLE}",
        f"Let the caller assume {ROLE} with external id acme-7f3c, then run again with --account {DENIED}.",
    ),
    "throttled": (
        "Rate exceeded: GetMetricStatistics was refused 8 times in 120 s",
        "Run again with --policy nat-gateway-idle; if it persists, raise the CloudWatch quota L-5E141212.",
    ),
    "own-permission": (
        "AccessDenied: elasticloadbalancing:DescribeLoadBalancers \x1b[31mdenied\x1b[0m",
        "Add elasticloadbalancing:DescribeLoadBalancers to the role finops-policy-reader.",
    ),
    "skipped": (
        "interrupted before it was reached",
        "Finish the run with run --resume 20261124T080000Z-3f2a9c.",
    ),
}
"""Kind of failure -> message and next step."""

HOSTILE_TAGS = {
    "Name": "<script>window.__pwned=1</script>",
    "Owner": '=HYPERLINK("https://example.invalid","click")',
    "{{7*7}}": "{{7*7}} ${7*7} {% raw %}",
    "Team": "\u202egnp.exe\u202c abc",
    "Ansi": "\x1b[31mred\x1b[0m",
    "Nul": "a\x00b",
    "Comment": "<!-- <script> -->",
    "Close": "</script><img src=x onerror=window.__pwned=1>",
    "Long": "x" * 10_000,
    "Hebrew": "\u05e9\u05dc\u05d5\u05dd",
    "Emoji": "\U0001f3f7\ufe0f \U0001f469\u200d\U0001f4bb",
    "Separator": "a\u2028b\u2029c",
}

NOT_NARROWED = {"tag": "", "account": "", "region": ""}
WAIVERS: tuple[dict[str, Any], ...] = (
    {
        "id": "W-2026-014",
        "policy": "ebs-unattached",
        "resource": f"arn:aws:ec2:{US}:{PROD}:volume/*",
        "reason": "Kept for a forensic hold until counsel releases it.",
        "created": "2026-11-02",
        "expires": "2027-01-31",
        "age_days": 22,
        "days_left": 68,
        "state": "in force",
        "matched": 1,
    },
    {
        "id": "W-2026-009",
        "policy": "ec2-idle",
        "resource": f"arn:aws:ec2:{US}:{DATA}:instance/*",
        "reason": "Warm standby; measured quarterly in the recovery test.",
        "created": "2026-01-05",
        "expires": "2026-12-31",
        "age_days": 323,
        "days_left": 37,
        "state": "in force",
        "matched": 1,
    },
    {
        "id": "W-2025-031",
        "tag": "Team=<b>claims</b>*",
        "account": DATA,
        "region": US,
        "policy": "rds-idle",
        "resource": f"arn:aws:rds:{US}:{DATA}:db:claims-*",
        "reason": "Migration window.",
        "created": "2025-10-01",
        "expires": "2026-09-30",
        "age_days": 419,
        "days_left": -55,
        "state": "expired",
        "matched": 0,
    },
    {
        "id": "W-2026-020",
        "policy": "elb-idle",
        "resource": f"arn:aws:elasticloadbalancing:{US}:{DEV}:loadbalancer/edge",
        "reason": "Kept for a partner's fixed address <b>until cut-over</b>.",
        "created": "",
        "expires": "2027-03-31",
        "age_days": None,
        "days_left": 127,
        "state": "matched nothing",
        "matched": 0,
    },
)
