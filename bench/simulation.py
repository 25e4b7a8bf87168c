"""Thousands of targets with next to nothing in them: what the engine itself costs, and whether its memory stays flat.

``python -m bench.simulation`` runs the command line over 500 accounts x 8 regions of the fake AWS. The parent process
hands out targets and gathers cells; its memory must not grow with their number. What a target costs beside judging it
is wall time x workers / targets, less the time its cells say they took: all calls but those that enter the account.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench import sides
from bench.fake_aws import running
from bench.measure import SAMPLE_SECONDS, Measured
from bench.sides import Work

MIB = 2**20
SHARES = (0.1, 0.5, 1.0)


@dataclass(frozen=True)
class Simulated:
    """One simulation. ``memory``: the parent's resident bytes when a share of the targets was done, and at its most.

    ``judging``: seconds the cells took together. ``sealing``: those from the last target to the end. ``parts`` and
    ``record``: bytes of all Parquet parts of evaluations, and of run.json.
    """

    measured: Measured
    targets: int
    workers: int
    memory: dict[float, int]
    most: int
    cells: int
    failed: int
    judging: float
    sealing: float
    assumed: dict[str, int]
    calls: int
    parts: int
    record: int
    evaluations: int

    @property
    def overhead(self) -> float:
        """Seconds of a worker per target that were not spent judging."""
        return (self.measured.wall * self.workers - self.judging) / self.targets


def simulate(accounts: int, regions: int, instances: int, workers: int, policies: Sequence[str] = ()) -> Simulated:
    """``policies`` are names of bench/policies; all of them without."""
    documents = [each for each in sides.policies() if not policies or each["name"] in policies]
    with tempfile.TemporaryDirectory(prefix="finops-policy-simulation-") as temporary:
        work = sides.work(Path(temporary), accounts, regions, documents)
        watch = _Watch(work)
        with running(instances=instances, accounts=accounts) as fake:
            side = sides.ours(fake, work, "--workers", str(workers), during=watch)
        return _result(side, work, watch, workers)


class _Watch:
    """Samples the parent's memory beside the number of targets done, which is the number of coverage parts."""

    def __init__(self, work: Work) -> None:
        self._store = work.folder / "store"
        self._folder: Path | None = None
        self.samples: list[tuple[int, int]] = []

    def __call__(self, parent: int) -> None:
        self._folder = self._folder or next(self._store.glob("customer=*/month=*/run=*/coverage"), None)
        done = sum(each.name.endswith(".parquet") for each in os.scandir(self._folder)) if self._folder else 0
        with suppress(OSError, StopIteration):  # the process may have ended
            lines = Path(f"/proc/{parent}/status").read_text().splitlines()
            resident = next(line for line in lines if line.startswith("VmRSS:"))
            self.samples.append((done, int(resident.split()[1]) * 1024))

    def when(self, done: float) -> int:
        """The last sample before so many targets were done: after the last target comes the sealing."""
        return next((memory for count, memory in reversed(self.samples) if count < done), 0)


def _result(side: sides.Side, work: Work, watch: _Watch, workers: int) -> Simulated:
    import duckdb

    if not side.matches:
        raise RuntimeError(f"the run was not sealed: {side.measured.err[-2000:]}")
    targets = len(work.account_ids) * len(work.regions)
    [run] = (work.folder / "store").glob("customer=*/month=*/run=*")
    cells = duckdb.sql(
        "select count(*), count(*) filter (status = 'failed'), sum(duration_ms) / 1000, sum(population) "
        f"from read_parquet('{run}/coverage/*.parquet')"
    ).fetchall()[0]
    parts = sum(each.stat().st_size for each in (run / "evaluations").glob("*.parquet"))
    return Simulated(
        measured=side.measured,
        targets=targets,
        workers=workers,
        memory={share: watch.when(share * targets) for share in SHARES},
        most=max(memory for _, memory in watch.samples),
        cells=cells[0],
        failed=cells[1],
        judging=float(cells[2]),
        sealing=SAMPLE_SECONDS * sum(done >= targets for done, _ in watch.samples),
        assumed=side.assumed,
        calls=sum(side.calls.values()),
        parts=parts,
        record=(run / "run.json").stat().st_size,
        evaluations=int(cells[3]),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.simulation", description=__doc__.splitlines()[0])
    parser.add_argument("--accounts", type=int, default=500)
    parser.add_argument("--regions", type=int, default=8)
    parser.add_argument("--instances", type=int, default=2, help="per target; as many volumes")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args(arguments)
    found = simulate(chosen.accounts, chosen.regions, chosen.instances, chosen.workers)
    measured = found.measured
    assumed = sorted(set(found.assumed.values()))
    print(f"{found.targets} targets, {found.cells} cells ({found.failed} failed), exit {measured.code}")
    print(f"wall {measured.wall:.1f} s with {found.workers} workers, CPU {measured.cpu:.1f} s")
    print(f"load average of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    shares = ", ".join(f"{each / MIB:.0f} MiB at {at:.0%}" for at, each in found.memory.items())
    print(f"parent's memory: {shares}, {found.most / MIB:.0f} MiB at the most")
    print(f"peak of all processes (PSS): {measured.peak / MIB:.0f} MiB")
    print(f"per target: CPU {measured.cpu / found.targets:.3f} s, judging {found.judging / found.targets:.3f} s, "
          f"beside it {found.overhead:.3f} s, {found.calls / found.targets:.1f} calls")  # fmt: skip
    print(f"AssumeRole per account: {assumed[0]} to {assumed[-1]}, of {len(found.assumed)} accounts")
    print(f"evaluations: {found.evaluations}, {found.parts / max(1, found.evaluations):.0f} bytes of Parquet each")
    print(f"sealing: {found.sealing:.1f} s, run.json {found.record / found.targets:.0f} bytes per target")


if __name__ == "__main__":
    main()
