"""The cases: each runs both sides on the same files, compares their verdicts first, and answers with figures.

Gates are aims: a missed one is told. What breaks a case is a verdict that differs, or a call that should not be made.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from bench import sides
from bench.fake_aws import ROOT, Fake, running
from bench.measure import measure, members
from bench.sides import Side, Work

MIB = 2**20
MOST_ASSUMED = 2


@dataclass(frozen=True)
class Figure:
    """One row of the table. ``ratio`` is how many times the peer's figure is ours; None where there is no peer."""

    what: str
    peer: str
    ours: str
    ratio: float | None = None
    gate: str = ""
    met: bool | None = None


@dataclass(frozen=True)
class Result:
    """``broken``: why the case fails; ``skipped``: why it was not run."""

    name: str
    figures: tuple[Figure, ...] = ()
    broken: tuple[str, ...] = ()
    skipped: str = ""
    note: str = ""


@dataclass
class Bench:
    """What the cases share. ``quick`` shrinks them: the figures mean nothing then, the verdicts do."""

    folder: Path
    quick: bool
    _made: dict[str, Work] = field(default_factory=dict)

    def work(
        self, name: str, accounts: int = 1, regions: int = 1, documents: list[dict[str, object]] | None = None
    ) -> Work:
        folder = self.folder / name
        folder.mkdir()
        return sides.work(folder, accounts, regions, documents)

    def size(self, full: int, quick: int) -> int:
        return quick if self.quick else full

    @cached_property
    def large(self) -> tuple[Work, Side, Side, Side]:
        """One account and region with many instances: stock without a cache, stock with its own, ours."""
        work = self.work("run-5k")
        with running(instances=self.size(5000, 150)) as fake:
            uncached = sides.custodian(fake, work, cached=False)
            cached = sides.custodian(fake, work, cached=True)
            options = ("--metrics", "batched") if self.quick else ()  # few metrics would be asked for one by one
            return work, uncached, cached, sides.ours(fake, work, *options)


def times(what: str, peer: float, ours: float, form: Callable[[float], str], gate: float | None = None) -> Figure:
    ratio = peer / ours if ours else float("inf")
    met = None if gate is None else ratio >= gate
    return Figure(what, form(peer), form(ours), ratio, "" if gate is None else f">= {gate:g}x", met)


def seconds(value: float) -> str:
    return f"{value:.2f} s"


def mib(value: float) -> str:
    return f"{value / MIB:,.0f} MiB"


def _count(value: float) -> str:
    return f"{value:,.0f}"


def share(what: str, peer: float, ours: float, form: Callable[[float], str], most: float, gate: str) -> Figure:
    """A gate on our share of the peer's figure: at most ``most``."""
    return Figure(what, form(peer), form(ours), peer / ours, gate, ours / peer <= most)


def _broken(work: Work, peer: Side, ours: Side, peer_name: str) -> list[str]:
    """Both must have ended as they should, and agree on every cell."""
    said = []
    if peer.measured.code != 0:
        said.append(f"{peer_name} ended with {peer.measured.code}: {peer.measured.err[-500:]}")
    if ours.measured.code not in (0, 4):  # 4: members without datapoints are unknown, which the peer does not tell
        said.append(f"finops-policy ended with {ours.measured.code}: {ours.measured.err[-500:]}")
    return said + sides.differences(peer.matches, ours.matches, work.cells())


def _too_often(ours: Side) -> list[str]:
    return [
        f"the role of {account} was assumed {times} times, more than {MOST_ASSUMED}"
        for account, times in ours.assumed.items()
        if times > MOST_ASSUMED
    ]


def run_5k(bench: Bench) -> Result:
    work, uncached, cached, ours = bench.large
    broken = [*_broken(work, uncached, ours, "custodian"), *_broken(work, cached, ours, "custodian (cache)")]
    stock, plain, own = cached.measured, uncached.measured, ours.measured
    figures = (
        times("wall, against the default cache", stock.wall, own.wall, seconds, 6),
        times("wall, against no cache", plain.wall, own.wall, seconds),
        times("CPU, against the default cache", stock.cpu, own.cpu, seconds),
        share("peak memory", stock.peak, own.peak, mib, 1.2, "<= 1.2x the peer's"),
    )
    return Result(
        "run-5k", figures, (*broken, *_too_often(ours)), note=f"{_matched(ours)} equal verdicts of noncompliance"
    )


def _matched(side: Side) -> str:
    return _count(sum(map(len, side.matches.values())))


def metrics_calls(bench: Bench) -> Result:
    _, _, cached, ours = bench.large
    peer = cached.calls.get("cloudwatch:GetMetricStatistics", 0)
    own = ours.calls.get("cloudwatch:GetMetricStatistics", 0) + ours.calls.get("cloudwatch:GetMetricData", 0)
    listed = [
        (each.calls.get("ec2:DescribeInstances", 0), each.calls.get("ec2:DescribeVolumes", 0))
        for each in (cached, ours)
    ]
    figures = (
        times("CloudWatch calls", peer, own, _count, 400),
        times("DescribeInstances and DescribeVolumes calls", sum(listed[0]), sum(listed[1]), _count),
    )
    broken = () if figures[0].met or bench.quick else (f"{own} CloudWatch calls against {peer}: fewer than 400x fewer",)
    return Result("metrics-calls", figures, broken)


def org_40(bench: Bench) -> Result:
    accounts, regions = bench.size(10, 2), bench.size(4, 2)
    work = bench.work("org-40", accounts, regions)
    with running(instances=bench.size(25, 10), accounts=accounts) as fake:
        peer, ours = sides.c7n_org(fake, work), sides.ours(fake, work)
    theirs, own = peer.measured, ours.measured
    assumed = [sum(each.assumed.values()) / accounts for each in (peer, ours)]
    figures = (
        times("wall", theirs.wall, own.wall, seconds, 8),
        times("CPU", theirs.cpu, own.cpu, seconds, 10),
        share("peak memory", theirs.peak, own.peak, mib, 1 / 3, "<= 1/3 of the peer's"),
        Figure("AssumeRole calls per account", f"{assumed[0]:g}", f"{assumed[1]:g}", None, f"<= {MOST_ASSUMED}",
               assumed[1] <= MOST_ASSUMED),
    )  # fmt: skip
    note = f"{len(work.cells())} of {len(work.cells())} cells with equal verdicts"
    return Result("org-40", figures, (*_broken(work, peer, ours, "c7n-org"), *_too_often(ours)), note=note)


def org_kill(bench: Bench) -> Result:
    accounts, regions = bench.size(10, 2), bench.size(4, 2)
    work = bench.work("org-kill", accounts, regions)
    with running(instances=bench.size(25, 10), accounts=accounts) as fake:
        half = accounts * regions // 2
        killers = [_Killer(fake, half), _Killer(fake, half)]
        peer, ours = sides.c7n_org(fake, work, killers[0]), sides.ours(fake, work, during=killers[1])
    told = [f"{len(each.matches)} of {len(work.cells())}, exit {each.measured.code}" for each in (peer, ours)]
    whole = work.cells() <= set(ours.matches)
    met = whole or ours.measured.code == 4
    figures = (Figure("outputs after one worker was killed", *told, None, "all, or exit 4", met),)
    both = [cell for cell in work.cells() if cell in peer.matches and cell in ours.matches]
    broken = sides.differences(peer.matches, ours.matches, set(both))
    broken += [
        f"no worker of {name} was killed"
        for name, each in zip(("c7n-org", "ours"), killers, strict=True)
        if not each.victim
    ]
    return Result("org-kill", figures, tuple(broken))


class _Killer:
    """Kills one worker with SIGKILL once half of the targets have been begun."""

    def __init__(self, fake: Fake, half: int) -> None:
        self._fake = fake
        self._half = half
        self.victim = 0

    def __call__(self, group: int) -> None:
        if self.victim or self._fake.calls().get("ec2:DescribeInstances", 0) < self._half:
            return
        alive = members(group)
        workers = [pid for pid in alive if pid != group and pid not in alive.values() and not _tracker(pid)]
        if workers:
            self.victim = max(workers, key=_worked)
            with suppress(ProcessLookupError):
                os.kill(self.victim, signal.SIGKILL)


def _tracker(pid: int) -> bool:
    with suppress(OSError):
        return b"resource_tracker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return True


def _worked(pid: int) -> int:
    """Ticks of CPU a process has used."""
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11])
    return -1


def evaluations_1m(bench: Bench) -> Result:
    count = bench.size(1_000_000, 12_800)
    done = measure([sys.executable, "-m", "bench.evaluations", str(count)], os.environ, ROOT)
    if done.code != 0:
        return Result("evaluations-1M", broken=(f"bench.evaluations ended with {done.code}: {done.err[-500:]}",))
    found = json.loads(done.out)
    spent = found["seconds"]
    write = spent["lines"] + spent["parquet"]
    figures = (
        Figure("query account x policy", "", seconds(spent["query"]), None, "<= 0.15 s", spent["query"] <= 0.15),
        Figure("write, from objects to Parquet, one process", "", seconds(write), None, "<= 2 s", write <= 2),
        Figure("of that, DuckDB's share", "", seconds(spent["parquet"])),
        Figure("Parquet", "", mib(found["bytes"])),
    )
    return Result("evaluations-1M", figures, note=f"{found['rows']:,} evaluations in {found['parts']} parts")


def report_100k(bench: Bench) -> Result:
    count = bench.size(5000, 100)
    documents = [
        {"name": f"{kind}-{number}", "resource": f"aws.{kind}", "filters": [{key: "present"}]}
        for kind, key in (("ec2", "InstanceId"), ("ebs", "VolumeId"))
        for number in range(10)
    ]
    work = bench.work("report-100k", documents=documents)
    with running(instances=count) as fake:
        ours = sides.ours(fake, work)
        env = sides.environment(fake, work.folder / "finops-policy.home")
    rows = sum(map(len, ours.matches.values()))
    broken = [] if rows == 20 * count else [f"{rows} findings, not {20 * count}: {ours.measured.err[-500:]}"]
    command = [sys.executable, "-m", "finops_policy", "report", "--customer", sides.CUSTOMER, "--format", "html"]
    done = measure(
        [*command, "--store", str(work.folder / "store"), "--output", str(work.folder / "report")], env, work.folder
    )
    if done.code != 0:
        broken.append(f"report ended with {done.code}: {done.err[-500:]}")
    figures = (
        Figure("HTML, wall", "", seconds(done.wall), None, "<= 3 s", done.wall <= 3),
        Figure("HTML, peak memory", "", mib(done.peak), None, "<= 150 MiB", done.peak <= 150 * MIB),
    )
    return Result("report-100k", figures, tuple(broken), note=f"{rows:,} findings")


CASES: dict[str, Callable[[Bench], Result]] = {
    "run-5k": run_5k,
    "metrics-calls": metrics_calls,
    "org-40": org_40,
    "org-kill": org_kill,
    "evaluations-1M": evaluations_1m,
    "report-100k": report_100k,
}
