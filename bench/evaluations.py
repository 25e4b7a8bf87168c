"""A million evaluations: written as a run writes them, one part per target, and asked as a report asks them.

``python -m bench.evaluations [ROWS [PARTS]]`` prints one line of JSON: rows, parts, bytes on disk, seconds and CPU
seconds of writing (``lines``: Python's share, from objects to a scratch file; ``parquet``: DuckDB's, from there to
Parquet), the median seconds of the query, and the peak memory in bytes. Writing is one process with one thread here; a
run's workers share it.
"""

from __future__ import annotations

import datetime as dt
import json
import random
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import duckdb

from finops_policy.evidence.parquet import EvaluationWriter
from finops_policy.model import Evaluation, Fact, Severity, Verdict
from finops_policy.money import Money

ROWS, PARTS, POLICIES, REPEATS = 1_000_000, 128, 20, 7
NOW = dt.datetime(2026, 11, 24, 8, tzinfo=dt.UTC)
VERDICTS = (*[Verdict.COMPLIANT] * 7, Verdict.NONCOMPLIANT, Verdict.NONCOMPLIANT, Verdict.UNKNOWN)
OWNERS = ("web", "data", "platform", "billing", "search", "mobile")
QUERY = """
    SELECT account_id, policy, verdict, count(*), sum(monthly_cost), sum(monthly_savings)
    FROM read_parquet('{}/*.parquet', hive_partitioning = false) GROUP BY ALL ORDER BY ALL
"""


def evaluations(part: int, rows: int) -> Iterator[Evaluation]:
    """One target's evaluations, policy by policy."""
    draw = random.Random(part)
    account = f"{110_000_000_001 + part // 4}"
    region = ("us-east-1", "us-west-2", "eu-west-1", "eu-central-1")[part % 4]
    for number in range(rows):
        policy = number * POLICIES // rows
        verdict = draw.choice(VERDICTS)
        resource = f"i-{draw.getrandbits(68):017x}"
        price = Decimal(draw.randrange(1000, 900_000)).scaleb(-2)
        cpu = Fact("metrics", "CPUUtilization Maximum over 14 days (14 datapoints)", draw.random() * 100, "lt", 5, True)
        yield Evaluation(
            account_id=account,
            region=region,
            pack="idle-resources",
            pack_version="1.0.0",
            policy=f"policy-{policy:02}",
            resource_type="aws.ec2",
            resource_id=resource,
            arn=f"arn:aws:ec2:{region}:{account}:instance/{resource}",
            verdict=verdict,
            reason="no datapoints of AWS/EC2 CPUUtilization in 14 days" if verdict is Verdict.UNKNOWN else "",
            facts=(Fact("value", "State.Name", "running", "eq", "running", True), cpu),
            tags={"Name": f"instance-{number}", "owner": draw.choice(OWNERS), "environment": "prod"},
            severity=Severity.MEDIUM,
            waiver_id="",
            money=Money("USD", "on_demand_hours", price, price, "list", NOW.date(), True, "")
            if verdict is Verdict.NONCOMPLIANT
            else None,
            evaluated_at=NOW,
        )


def clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def write(folder: Path, rows: int, parts: int) -> dict[str, float]:
    """Seconds of Python's share and of DuckDB's, without making the objects."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for part in range(parts):
        made = list(evaluations(part, rows // parts))
        started = clocks()
        with EvaluationWriter(folder / f"{part:03}.parquet", "20261124T080000Z-3f2a9c1b", "acme") as writer:
            for each in made:
                writer.add(each)
            added = clocks()
        written = clocks()
        for name, before, after in (("lines", started, added), ("parquet", added, written)):
            seconds[name] += after[0] - before[0]
            seconds[f"{name}_cpu"] += after[1] - before[1]
    return {name: round(value, 2) for name, value in seconds.items()}


def ask(folder: Path) -> float:
    with duckdb.connect() as connection:
        times = []
        for _ in range(REPEATS):
            started = time.perf_counter()
            connection.execute(QUERY.format(folder)).fetchall()
            times.append(time.perf_counter() - started)
    return statistics.median(times)


def main(rows: int = ROWS, parts: int = PARTS) -> None:
    rows -= rows % parts
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seconds = write(folder, rows, parts)
        size = sum(path.stat().st_size for path in folder.iterdir())
        seconds["query"] = round(ask(folder), 3)
    status = Path("/proc/self/status").read_text("utf-8")
    peak = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))
    print(json.dumps({"rows": rows, "parts": parts, "bytes": size, "seconds": seconds, "peak": peak}))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
