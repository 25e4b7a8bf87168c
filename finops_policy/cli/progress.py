"""A run's progress on stderr: bars on a terminal, plain lines elsewhere, silence when asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from finops_policy.cli.console import stderr
from finops_policy.model import Coverage, Status, Target


class Silent:
    def said(self, text: str) -> None: ...

    def started(self, targets: int, cells: int) -> None: ...

    def finished(self, target: Target, cells: Sequence[Coverage]) -> None: ...


class Lines:
    """One line per target, for logs."""

    def __init__(self) -> None:
        self._done = self._targets = 0

    def said(self, text: str) -> None:
        stderr().print(text, soft_wrap=True)

    def started(self, targets: int, cells: int) -> None:
        self._targets = targets
        stderr().print(f"Checking {targets} targets, {cells} cells.")

    def finished(self, target: Target, cells: Sequence[Coverage]) -> None:
        self._done += 1
        stderr().print(f"[{self._done}/{self._targets}] {describe(target, cells)}")


class Bars:
    """Two bars: targets, and cells (targets x policies)."""

    def __init__(self, display: Progress) -> None:
        self._display = display
        self._targets = display.add_task("Targets", total=None)
        self._cells = display.add_task("Cells", total=None)

    def said(self, text: str) -> None:
        self._display.console.print(text, soft_wrap=True)

    def started(self, targets: int, cells: int) -> None:
        self._display.update(self._targets, total=targets)
        self._display.update(self._cells, total=cells)

    def finished(self, target: Target, cells: Sequence[Coverage]) -> None:
        self._display.advance(self._targets)
        self._display.advance(self._cells, len(cells))
        self._display.console.print(describe(target, cells))


@contextmanager
def progress(*, quiet: bool) -> Iterator[Silent | Lines | Bars]:
    console = stderr()
    if quiet:
        yield Silent()
    elif not console.is_terminal:
        yield Lines()
    else:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True) as display:
            yield Bars(display)


def describe(target: Target, cells: Sequence[Coverage]) -> str:
    """``acme-prod us-east-1: 214 resources judged, 31 findings`` and what could not be checked."""
    judged = sum(cell.population for cell in cells)
    found = sum(cell.noncompliant for cell in cells)
    failed = [cell for cell in cells if cell.status is Status.FAILED]
    text = f"{target.account_name or target.account_id} {target.region}: {judged} judged, {found} noncompliant"
    if failed:
        kinds = ", ".join(sorted({cell.failure_kind.value for cell in failed if cell.failure_kind}))
        text += f"; NOT CHECKED: {len(failed)} of {len(cells)} ({kinds})"
    return text
