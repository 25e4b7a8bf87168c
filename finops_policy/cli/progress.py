"""A run's progress on stderr: a bar on a terminal, plain lines elsewhere, silence when asked for.

With many targets only what could not be checked is told one by one: a log of 10,000 lines hides those.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from finops_policy.cli.console import stderr
from finops_policy.model import Coverage, Status, Target
from finops_policy.spelling import plain

FEW = 40
"""Up to so many targets, each has a line of its own."""


@dataclass(slots=True)
class Sofar:
    """What a run has come to; gaps are cells not checked. The time left is reckoned from the targets done so far."""

    targets: int = 0
    done: int = 0
    findings: int = 0
    gaps: int = 0
    began: float = field(default_factory=time.monotonic)

    def add(self, cells: Sequence[Coverage]) -> None:
        self.done += 1
        self.findings += sum(cell.noncompliant for cell in cells)
        self.gaps += sum(1 for cell in cells if cell.status in (Status.FAILED, Status.SKIPPED))

    @property
    def told(self) -> str:
        text = f"{self.findings:,} findings, {self.gaps:,} gaps"
        return f"{text}, {self.left}" if self.left else text

    @property
    def left(self) -> str:
        if not 0 < self.done < self.targets:
            return ""
        seconds = (time.monotonic() - self.began) / self.done * (self.targets - self.done)
        return f"about {_duration(seconds)} left"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


class Silent:
    def said(self, text: str) -> None: ...

    def started(self, targets: int, cells: int) -> None: ...

    def finished(self, target: Target, cells: Sequence[Coverage]) -> None: ...


class Lines:
    """One line per target, for logs; with many of them, one per gap and some in between."""

    def __init__(self) -> None:
        self._sofar = Sofar()

    def said(self, text: str) -> None:
        stderr().print(plain(text), soft_wrap=True)

    def started(self, targets: int, cells: int) -> None:
        self._sofar = Sofar(targets)
        stderr().print(f"Checking {targets:,} targets, {cells:,} cells.")

    def finished(self, target: Target, cells: Sequence[Coverage]) -> None:
        sofar = self._sofar
        sofar.add(cells)
        place = f"[{sofar.done:,}/{sofar.targets:,}]"
        if sofar.targets <= FEW or _has_gap(cells):
            stderr().print(f"{place} {describe(target, cells)}", soft_wrap=True)
        step = max(10, sofar.targets // 100)
        if sofar.targets > FEW and (sofar.done % step == 0 or sofar.done == sofar.targets):
            stderr().print(f"{place} {sofar.told}", soft_wrap=True)


class Bars:
    """One bar: targets done, findings, cells not checked, time left."""

    def __init__(self, display: Progress) -> None:
        self._display = display
        self._sofar = Sofar()
        self._task = display.add_task("Targets", total=None, told="")

    def said(self, text: str) -> None:
        self._display.console.print(plain(text), soft_wrap=True)

    def started(self, targets: int, cells: int) -> None:
        self._sofar = Sofar(targets)
        self._display.update(self._task, total=targets, told=f"{cells:,} cells")

    def finished(self, target: Target, cells: Sequence[Coverage]) -> None:
        self._sofar.add(cells)
        self._display.update(self._task, advance=1, told=self._sofar.told)
        if self._sofar.targets <= FEW or _has_gap(cells):
            self._display.console.print(describe(target, cells))


@contextmanager
def progress(*, quiet: bool) -> Iterator[Silent | Lines | Bars]:
    console = stderr()
    if quiet:
        yield Silent()
    elif not console.is_terminal:
        yield Lines()
    else:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=20 if console.width >= 112 else 8),
            MofNCompleteColumn(),
            TextColumn("{task.fields[told]}"),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=console, transient=True) as display:
            yield Bars(display)


def _has_gap(cells: Sequence[Coverage]) -> bool:
    return any(cell.status is Status.FAILED for cell in cells)


def describe(target: Target, cells: Sequence[Coverage]) -> str:
    """``acme-prod us-east-1: 214 resources judged, 31 findings`` and what could not be checked."""
    judged = sum(cell.population for cell in cells)
    found = sum(cell.noncompliant for cell in cells)
    failed = [cell for cell in cells if cell.status is Status.FAILED]
    text = f"{plain(target.account_name or target.account_id)} {target.region}: {judged} judged, {found} noncompliant"
    if failed:
        kinds = ", ".join(sorted({cell.failure_kind.value for cell in failed if cell.failure_kind}))
        text += f"; NOT CHECKED: {len(failed)} of {len(cells)} ({kinds})"
    return text
