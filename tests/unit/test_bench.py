"""What the benchmarks rest on: costs are measured whole, and verdicts that differ are found."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from bench.cases import _broken
from bench.measure import Measured, measure
from bench.sides import Matches, Side, Work, differences

BURN = "import time\nwhile time.process_time() < 0.4: pass\n"
MIB = 2**20
ENDED = Measured(0, 1.0, 1.0, MIB, MIB, "", "")
WORK = Work(Path(), Path(), Path(), ("1",), ("r",), ("p", "q"))


def _measure(program: str, folder: Path) -> Measured:
    return measure([sys.executable, "-c", program], os.environ, folder)


def test_the_cpu_of_a_process_that_outlives_the_command_counts(tmp_path: Path) -> None:
    child = f"import os\nif os.fork() == 0:\n  {BURN.replace(chr(10), chr(10) + '  ')}\n"
    found = _measure(child, tmp_path)
    assert found.code == 0
    assert 0.4 <= found.cpu < 5


def test_the_memory_of_all_its_processes_counts(tmp_path: Path) -> None:
    two = f"import os\nheld = bytearray(os.urandom(1) * {60 * MIB})\n"
    own = f"os.fork()\nheld[::4096] = bytes(len(held[::4096]))\n{BURN}os._exit(7)\n"
    found = _measure(two + own, tmp_path)
    assert found.code == 7
    assert 120 * MIB <= found.peak < 240 * MIB


def test_what_a_command_says_is_kept(tmp_path: Path) -> None:
    found = _measure("import sys\nprint('out')\nsys.exit('wrong')", tmp_path)
    assert (found.code, found.out, found.err) == (1, "out\n", "wrong\n")


@pytest.mark.parametrize(
    ("peer", "ours", "said"),
    [
        ({"p": {"a"}, "q": set()}, {"p": {"a"}, "q": set()}, []),
        ({"p": {"a"}, "q": {"b"}}, {"p": {"a"}, "q": {"c"}}, ["1/r/q: only the peer ['b'], only ours ['c']"]),
        ({"p": {"a"}}, {"p": {"a"}, "q": set()}, ["1/r/q: no result of the peer"]),
        ({"p": set(), "q": set()}, {}, ["1/r/p: no result of ours", "1/r/q: no result of ours"]),
    ],
)
def test_every_cell_must_be_there_and_equal(
    peer: dict[str, set[str]], ours: dict[str, set[str]], said: list[str]
) -> None:
    assert differences(_cells(peer), _cells(ours), WORK.cells()) == said


def test_a_command_that_failed_breaks_a_case() -> None:
    whole = Side(ENDED, _cells({"p": {"a"}, "q": set()}), {}, {})
    failed = Side(Measured(1, 1.0, 1.0, MIB, MIB, "", "no such policy"), whole.matches, {}, {})
    assert _broken(WORK, whole, whole, "peer") == []
    assert _broken(WORK, failed, failed, "peer") == [
        "peer ended with 1: no such policy",
        "finops-policy ended with 1: no such policy",
    ]


def _cells(by_policy: dict[str, set[str]]) -> Matches:
    return {("1", "r", name): ids for name, ids in by_policy.items()}
