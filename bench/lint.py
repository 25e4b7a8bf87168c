"""``finops-policy lint`` against ``custodian validate`` on the same files: verdicts first, then wall time and memory.

Our first run on a machine loads Cloud Custodian once and writes what it knows of the resource types to the user's
cache; it is told apart. Memory is the peak resident set of the one process that each side is.
"""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import yaml

from bench.cases import Bench, Figure, Result, mib, seconds, share, times
from bench.measure import Measured, measure
from bench.sides import OWN, PEERS, offline_environment, policies

FINDINGS = 3
TYPICAL = "ec2-idle"


def lint_500(bench: Bench) -> Result:
    """Policies of Cloud Custodian's documentation in one file; then the same with one mistake, which both must find."""
    folder = _folder(bench, "lint-500")
    many = _documented(bench.size(500, 20))
    file = _written(folder / "policies.yml", many)
    wrong = copy.deepcopy(many)
    wrong[len(wrong) // 2]["filters"] = [{"type": "metric", "name": "CPUUtilization", "value": 5}]
    broken = _written(folder / "broken.yml", wrong)
    sides = _Sides(folder)
    theirs, first, ours = sides.peer([file]), sides.ours([file]), sides.ours([file])
    told = _agreed("the right file", theirs, ours, right=True) + _agreed(
        "the wrong file", sides.peer([broken]), sides.ours([broken]), right=False
    )
    figures = (
        times("wall", theirs.wall, ours.wall, seconds, 25),
        times("wall of our first run, which makes the cache", theirs.wall, first.wall, seconds),
        share("peak memory", theirs.largest, ours.largest, mib, 1, "no higher"),
    )
    return Result("lint-500", figures, told, note=f"{len(many)} policies accepted by both; one mistake found by both")


def lint_one(bench: Bench) -> Result:
    """One policy in one file: the medians of some runs, the sides taking turns."""
    folder = _folder(bench, "lint-one")
    file = _written(folder / "policies.yml", [next(each for each in policies() if each["name"] == TYPICAL)])
    sides = _Sides(folder)
    first = sides.ours([file])
    pairs = [(sides.peer([file]), sides.ours([file])) for _ in range(bench.size(9, 1))]
    theirs, ours = (median(each.wall for each in side) for side in zip(*pairs, strict=True))
    memory = [median(each.largest for each in side) for side in zip(*pairs, strict=True)]
    figures = (
        times("wall, median of 9", theirs, ours, seconds, 2),
        Figure("the same", "", seconds(ours), None, "<= 0.25 s", ours <= 0.25),
        times("wall of our first run, which makes the cache", theirs, first.wall, seconds),
        share("peak memory", *memory, mib, 1, "no higher"),
    )
    return Result("lint-one", figures, _agreed("the file", *pairs[0], right=True))


def lint_real(bench: Bench) -> Result:
    """The policies of Cloud Custodian's own documentation, one a file, as both commands accept them."""
    folder = _folder(bench, "lint-567-real")
    files = [
        _written(folder / f"{number:03}.yml", [each]) for number, each in enumerate(_documented(bench.size(567, 10)))
    ]
    sides = _Sides(folder)
    theirs, first, ours = sides.peer(files), sides.ours(files), sides.ours(files)
    figures = (
        times("wall", theirs.wall, ours.wall, seconds, 60),
        times("wall of our first run, which makes the cache", theirs.wall, first.wall, seconds),
        share("peak memory", theirs.largest, ours.largest, mib, 1, "no higher"),
    )
    told = _agreed("the files", theirs, ours, right=True)
    return Result("lint-567-real", figures, told, note=f"{len(files)} policies accepted by both")


CASES: dict[str, Callable[[Bench], Result]] = {"lint-500": lint_500, "lint-one": lint_one, "lint-567-real": lint_real}


class _Sides:
    """The two commands, each with a home of its own that is empty at first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._homes = [offline_environment(folder / f"{side}.home") for side in ("custodian", "finops-policy")]

    def peer(self, files: Sequence[Path]) -> Measured:
        return measure([str(PEERS / "custodian"), "validate", *map(str, files)], self._homes[0], self._folder)

    def ours(self, files: Sequence[Path]) -> Measured:
        command = [str(OWN / "finops-policy"), "lint", *map(str, files)]
        return measure(command, self._homes[1], self._folder)


def _agreed(what: str, theirs: Measured, ours: Measured, *, right: bool) -> tuple[str, ...]:
    """Sentences where a side did not say what it must."""
    expected = {"custodian": (theirs, 0 if right else 1), "finops-policy": (ours, 0 if right else FINDINGS)}
    return tuple(
        f"{side} ended with {said.code} on {what}, not {code}: {(said.err or said.out)[-500:]}"
        for side, (said, code) in expected.items()
        if said.code != code
    )


def _folder(bench: Bench, name: str) -> Path:
    folder = bench.folder / name
    folder.mkdir()
    return folder


def _documented(count: int) -> list[dict[str, object]]:
    """The first policies of Cloud Custodian's documentation that its own validation accepts, under names of their own.

    Where it has fewer, they begin anew.
    """
    from tests.lint.corpus import valid

    known = sorted(valid(), key=lambda each: json.dumps(each, sort_keys=True))
    step = max(1, len(known) // count)  # of all resource types, however few are wanted
    chosen = itertools.islice(itertools.cycle(known[::step]), count)
    return [{**copy.deepcopy(each), "name": f"policy-{number}"} for number, each in enumerate(chosen)]


def _written(file: Path, documents: Sequence[dict[str, object]]) -> Path:
    file.write_text(yaml.safe_dump({"policies": list(documents)}, sort_keys=False))
    return file
