"""Judges one target of a fake AWS in a process of its own, and writes down what that took: ``sized.py FOLDER``.

The environment leads to the fake AWS. One line of JSON on standard output: the peak memory in bytes once everything is
judged and once everything is written, and the population of each policy.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from finops_policy import aws
from finops_policy.custodian import library
from finops_policy.custodian.account import Account, Judgement
from finops_policy.evidence.parquet import EvaluationWriter
from finops_policy.model import CompiledPolicy, Evaluation, Severity, Target

TARGET = Target("111122223333", "us-east-1")
IDLE = {"type": "metrics", "name": "CPUUtilization", "statistics": "Maximum", "days": 3, "period": 86400, "value": 5}
FILTERS: dict[str, list[Any]] = {
    "untagged": [{"or": [{"tag:owner": "empty"}, {"tag:cost-center": "empty"}]}],
    "old": [{"type": "instance-age", "op": "ge", "days": 60}, {"MetadataOptions.HttpTokens": "optional"}],
    "idle": [{"State.Name": "running"}, IDLE],
}


def policy(name: str) -> CompiledPolicy:
    document = {"name": name, "resource": "aws.ec2", "filters": FILTERS[name]}
    return CompiledPolicy(name, "pack", "1.0.0", "title", "why", "aws.ec2", Severity.LOW, 0, "", document)


def evaluation(judged: Judgement, of: CompiledPolicy, moment: dt.datetime) -> Evaluation:
    return Evaluation(
        account_id=TARGET.account_id,
        region=TARGET.region,
        pack=of.pack,
        pack_version=of.pack_version,
        policy=of.name,
        resource_type=of.resource,
        resource_id=judged.resource_id,
        arn=judged.arn,
        verdict=judged.verdict,
        reason=judged.reason,
        facts=judged.facts,
        tags=judged.tags,
        severity=of.severity,
        waiver_id="",
        money=None,
        evaluated_at=moment,
    )


def peak() -> int:
    status = Path("/proc/self/status").read_text("utf-8")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def main(folder: Path) -> None:
    library.quiet()
    credentials = aws.Credentials(f"AKIA{TARGET.account_id}FAKE", "x", "x")
    account = Account(TARGET, "aws", aws.session(TARGET.region, credentials))
    populations: Counter[str] = Counter()
    with EvaluationWriter(folder / "evaluations.parquet", "20261124T080000Z-3f2a9c1b", "acme") as writer:
        for each in map(policy, FILTERS):
            moment = dt.datetime.now(dt.UTC)
            for judged in account.judge(each):
                writer.add(evaluation(judged, each, moment))
                populations[each.name] += 1
        judging = peak()
    sys.stdout.write(json.dumps({"judging": judging, "writing": peak(), "populations": populations}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
