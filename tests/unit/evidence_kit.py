"""What the evidence tests share: a believable run, sealed in a local store."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import resource
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from finops_policy.evidence.bundle import BundleWriter, SealedRun
from finops_policy.evidence.layout import new_run_id
from finops_policy.evidence.parquet import write_coverage, write_evaluations
from finops_policy.evidence.signing import SigningKey
from finops_policy.evidence.store import LocalStore
from finops_policy.model import Coverage, Evaluation, Fact, FailureKind, Severity, Status, Target, Verdict
from finops_policy.money import Money

NOW = dt.datetime(2026, 11, 24, 8, tzinfo=dt.UTC)
SHA = "0123456789abcdef" * 4
TARGETS = (Target("111122223333", "us-east-1", "acme-prod"), Target("444455556666", "eu-west-1", "acme-dev"))


def evaluation(number: int = 1, **changes: Any) -> Evaluation:
    values: dict[str, Any] = {
        "account_id": "111122223333",
        "region": "us-east-1",
        "pack": "idle-resources",
        "pack_version": "1.0.0",
        "policy": "ec2-idle",
        "resource_type": "aws.ec2",
        "resource_id": f"i-{number:017x}",
        "arn": f"arn:aws:ec2:us-east-1:111122223333:instance/i-{number:017x}",
        "verdict": Verdict.NONCOMPLIANT,
        "reason": "CPUUtilization stayed below 5 percent for 14 days",
        "facts": (Fact("metrics", "CPUUtilization", 1.5, "less-than", 5, True),),
        "tags": {"Owner": "platform", "Environment": "prod"},
        "severity": Severity.MEDIUM,
        "waiver_id": "",
        "money": Money("USD", "on_demand_hours", Decimal("70.0800"), Decimal("70.08"), "list", dt.date(2025, 6, 1)),
        "evaluated_at": NOW,
    }
    return Evaluation(**(values | changes))


def cells(target: Target) -> list[Coverage]:
    return [
        Coverage(target.account_id, target.region, "ec2-idle", Status.EVALUATED, population=2, noncompliant=2),
        Coverage(
            target.account_id,
            target.region,
            "rds-idle",
            Status.FAILED,
            FailureKind.OWN_PERMISSION,
            "rds:DescribeDBInstances was denied",
            "Allow rds:DescribeDBInstances in the role",
        ),
    ]


def record(customer: str = "acme") -> dict[str, Any]:
    """``run.json`` as a caller of ``seal`` gives it."""
    return {
        "customer": {"name": customer, "title": "Acme Health", "digest": SHA},
        "profile": {
            "name": "hipaa",
            "version": "1.0.0",
            "title": "Health care",
            "digest": SHA,
            "retention": {"years": 6, "source": "45 CFR 164.316(b)(2)(i)"},
        },
        "packs": [{"name": "idle-resources", "version": "1.0.0", "digest": SHA}],
        "frameworks": [{"name": "hipaa-security-rule", "version": "1.0.0", "digest": SHA}],
        "lock_digest": SHA,
        "versions": {"finops-policy": "0.1.0", "c7n": "0.9.53"},
        "started_at": NOW,
        "finished_at": NOW + dt.timedelta(seconds=21),
        "caller": "arn:aws:sts::999900001111:assumed-role/tooling/ci",
        "sandbox": True,
        "targets": [
            {"account_id": each.account_id, "account_name": each.account_name, "region": each.region}
            for each in TARGETS
        ],
        "policies": ["ec2-idle", "rds-idle"],
        "counts": {
            "cells": {"evaluated": 2, "not_applicable": 0, "skipped": 0, "failed": 2},
            "population": 4,
            "compliant": 0,
            "noncompliant": 4,
            "waived": 0,
            "unknown": 0,
        },
    }


def fill(store: LocalStore, day: int = 0, customer: str = "acme") -> BundleWriter:
    """A run with everything in it but its seal."""
    writer = store.create(customer, new_run_id(NOW + dt.timedelta(days=day)))
    writer.event("started")
    writer.write("compiled/acme-prod.yml", b"policies: []\n")
    for target in TARGETS:
        path = writer.part("evaluations", target)
        write_evaluations(path, writer.run_id, customer, [evaluation(1), evaluation(2)])
        write_coverage(writer.part("coverage", target), writer.run_id, cells(target))
    return writer


def sealed(store: LocalStore, key: SigningKey, day: int = 0, customer: str = "acme") -> SealedRun:
    return fill(store, day, customer).seal(record(customer), key)


def files_of(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """As on a full disk, files cannot grow past ``size`` bytes; this binds root as well."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextlib.contextmanager
def unprivileged(*owned: Path) -> Iterator[None]:
    """File permissions bind root too: as root, become nobody, who is given ``owned`` and all that is in it."""
    if os.geteuid() != 0:
        yield
        return
    for root in owned:
        for path in (root, *root.rglob("*")):
            os.chown(path, 65534, 65534, follow_symlinks=False)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
