"""``python -m bench [NAME...]``: runs the cases, prints the table, and writes docs/performance.md."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import re
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench import cases, lint
from bench.cases import Bench, Figure, Result
from bench.fake_aws import ROOT
from bench.sides import OWN, PEERS

CASES = {**lint.CASES, **cases.CASES}
PAGE = ROOT / "docs" / "performance.md"
KEPT = ROOT / "bench" / "results.json"
"""The last result of each case: one that is run alone leaves the others as they were."""
_COLUMNS = ("case", "what", "peer", "ours", "ratio", "gate", "met")


def main(arguments: Sequence[str] | None = None) -> int:
    """1 when verdicts or calls are not as they must be; a gate that was missed is told, no more."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Benchmarks against the peers.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(CASES)}; default: all")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: a smoke test whose figures mean nothing")
    parser.add_argument("--keep", type=Path, help="work in this folder, and leave it")
    parser.add_argument("--no-page", action="store_true", help=f"do not write {PAGE.relative_to(ROOT)}")
    chosen = parser.parse_args(arguments)
    if unknown := set(chosen.names) - set(CASES):
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    if not (PEERS / "c7n-org").exists() or not (OWN / "finops-policy").exists():
        parser.error("what is compared is not installed: make bench")
    names = [name for name in CASES if not chosen.names or name in chosen.names]
    with tempfile.TemporaryDirectory(prefix="finops-policy-bench-") as temporary:
        folder = chosen.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        bench = Bench(folder, chosen.quick)
        results = [_timed(name, bench) for name in names]
    print(_text(_rows(results)))
    for result in results:
        for sentence in result.broken[:20]:
            print(f"BROKEN {result.name}: {sentence[:1000]}")
    if not (chosen.no_page or chosen.quick):
        kept = json.loads(KEPT.read_text()) | {result.name: _kept(result) for result in results}
        KEPT.write_text(json.dumps(kept, indent=1) + "\n")
        PAGE.write_text(_page(kept))
        print(f"Written: {PAGE}")
    return 1 if any(result.broken for result in results) else 0


def _timed(name: str, bench: Bench) -> Result:
    started = time.monotonic()
    result = CASES[name](bench)
    said = f"skipped: {result.skipped}" if result.skipped else result.note or "done"
    print(f"{name}: {said} ({time.monotonic() - started:.0f} s)", flush=True)
    return result


def _rows(results: Iterable[Result]) -> list[tuple[str, ...]]:
    rows = []
    for result in results:
        if result.skipped:
            rows.append((result.name, f"skipped: {result.skipped}", "", "", "", "", ""))
        rows += [(result.name, *_cells(figure)) for figure in result.figures]
    return rows


def _cells(figure: Figure) -> tuple[str, ...]:
    ratio = "" if figure.ratio is None else f"{figure.ratio:,.1f}x"
    met = {None: "", True: "yes", False: "NO"}[figure.met]
    return figure.what, figure.peer, figure.ours, ratio, figure.gate, met


def _text(rows: Sequence[tuple[str, ...]]) -> str:
    table = [_COLUMNS, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(_COLUMNS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
    )


def _kept(result: Result) -> dict[str, Any]:
    return {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "load": ", ".join(f"{each:.1f}" for each in os.getloadavg()),
        "rows": _rows([result]),
        "note": result.note,
        "broken": result.broken[:5],
    }


def _page(kept: Mapping[str, Mapping[str, Any]]) -> str:
    table = ["| " + " | ".join(_COLUMNS) + " |", "|" + "---|" * len(_COLUMNS)]
    found = {name: kept[name] for name in CASES if name in kept}
    table += ["| " + " | ".join(row) + " |" for each in found.values() for row in each["rows"]]
    verdicts = []
    for name, each in found.items():
        verdicts.append(
            f"- {name}: {each['date']}, load averages when it ended {each['load']}; {each['note'] or 'done'}."
        )
        verdicts += [f"- **{name} is broken**: {sentence}" for sentence in each["broken"]]
    return _PAGE.format(machine=_machine(), versions=_versions(), table="\n".join(table), verdicts="\n".join(verdicts))


def _machine() -> str:
    cpu = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores ({cpu[1] if cpu else platform.machine()}), {memory:.0f} GiB, {platform.system()} "
        f"{platform.release()}"
    )


def _versions() -> str:
    listed = subprocess.run([PEERS / "pip", "list", "--format", "freeze"], capture_output=True, text=True, check=True)
    theirs = {
        name.replace("_", "-"): found for name, found in re.findall(r"^(\S+)==(\S+)$", listed.stdout, re.MULTILINE)
    }
    peers = "peers: " + ", ".join(f"{name} {theirs[name]}" for name in ("c7n", "c7n-org", "botocore"))
    own = ", ".join(f"{name} {version(name)}" for name in ("finops-policy", "c7n", "botocore", "duckdb"))
    theirs_python = subprocess.run([PEERS / "python", "-V"], capture_output=True, text=True, check=True).stdout.strip()
    return f"{peers}, {theirs_python}; ours: {own}, Python {platform.python_version()}"


_PAGE = """\
# Performance

Written by `make bench`; do not edit. Every ratio comes from one paired run on one machine: the peer first, then ours,
on the same policy and account files, against the same fake AWS (`bench/fake_aws.py`), each from empty caches. Verdicts
are compared resource by resource before any figure counts; a difference fails the bench. The ratio says how many times
the peer's figure is ours.

- Machine: {machine}
- Versions: {versions}

{table}

{verdicts}

## What the cases are

| case | what runs |
|---|---|
| lint-500 | 500 policies of Cloud Custodian's documentation in one file, against `custodian validate` |
| lint-one | one policy, medians of nine runs in turns |
| lint-567-real | every policy of Cloud Custodian's documentation that it accepts, one a file |
| run-5k | the 20 policies of `bench/policies` on 5,000 instances and 5,000 volumes, against `custodian run` |
| metrics-calls | the calls of the same run |
| org-40 | the same on 10 accounts x 4 regions of 25 instances and volumes, against `c7n-org run` |
| org-kill | the same, with one worker process killed half-way |
| evaluations-1M | one million evaluations in 128 parts: written by one process, counted by account and policy |
| report-100k | the HTML report of a run with 100,000 findings |

Wall time runs from the start of the command to its end; CPU is that of every process it started; memory is the peak of
the sum of proportional set sizes over the process group, sampled every 0.2 s; of the lint cases, which are one process
each, the largest resident set. The fake AWS answers without latency and
shares the machine with both sides. A gate that was missed is recorded, not hidden; other work on the machine moves both
sides of a ratio, but not evenly.

## How to repeat it

```
make bench                          # installs the peers into .venv-peers, runs all cases, writes this page
.venv/bin/python -m bench run-5k    # one case; the others stay as they were
.venv/bin/python -m bench --quick   # a smoke test
```
"""
