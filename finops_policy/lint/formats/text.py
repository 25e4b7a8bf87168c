"""Diagnostics for people: place, sentence, the line with the token underlined, why it matters and how to mend it."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator
from typing import Final

from finops_policy.lint.formats.excerpt import beginning, excerpt
from finops_policy.lint.formats.places import place
from finops_policy.lint.report import Report, Told
from finops_policy.lint.rule import Level
from finops_policy.marks import Mark
from finops_policy.spelling import plain

_WITHOUT_TERMINAL: Final = (100, 24)
_NARROWEST: Final = 40
_BOLD, _DIM = "1", "2"
_COLOURS: Final = {Level.ERROR: "1;31", Level.WARNING: "1;33", Level.NOTE: "1;36"}
_NAMED: Final = 5
"""How many of the files that were passed over are named."""


def render(report: Report, *, colour: bool = False, quiet: bool = False, width: int = 0) -> str:
    """``quiet`` leaves the summary out, but not what was not checked. ``width`` is in columns; 0 is the terminal's."""
    writer = _Writer(report, colour, width or shutil.get_terminal_size(_WITHOUT_TERMINAL).columns)
    return "".join(f"{line}\n" for line in writer.lines(quiet=quiet))


class _Writer:
    def __init__(self, report: Report, colour: bool, width: int) -> None:
        self._report = report
        self._colour = colour
        self._width = max(width, _NARROWEST)
        self._explained: set[str] = set()

    def lines(self, *, quiet: bool) -> Iterator[str]:
        for told in self._report.active:
            yield from self._told(told)
            yield ""
        yield from self._unchecked() if quiet else self._summary()

    def _told(self, told: Told) -> Iterator[str]:
        diagnostic, colour = told.diagnostic, _COLOURS[told.level]
        where = self._paint(plain(str(diagnostic.mark)), _BOLD)
        yield f"{where}: {self._paint(f'{told.level}[{diagnostic.rule}]', colour)} {plain(diagnostic.message)}"
        yield from self._excerpt(diagnostic.mark, colour)
        if diagnostic.rule not in self._explained:
            self._explained.add(diagnostic.rule)
            yield from self._labelled("why", self._report.rules[diagnostic.rule].why)
        if diagnostic.hint:
            yield from self._labelled("fix", diagnostic.hint)
        for mark in diagnostic.related:
            yield from self._labelled("see", str(mark))

    def _excerpt(self, mark: Mark, colour: str) -> Iterator[str]:
        found = place(self._report, mark)
        if found is None:
            return
        digits = len(str(mark.line))
        room = self._width - digits - 6
        lines = self._report.sources[mark.path].shown
        shown = excerpt(found._replace(line=lines[mark.line - 1]), room)
        above = lines[mark.line - 2] if mark.line > 1 else ""
        if above.strip() and not shown.cut:
            yield self._row(f"{mark.line - 1:{digits}}", beginning(above, room))
        yield self._row(str(mark.line), shown.text)
        yield self._row(" " * digits, " " * shown.offset + self._paint("^" * shown.length, colour))

    def _row(self, number: str, text: str) -> str:
        return f"   {self._paint(f'{number} |', _DIM)} {text}".rstrip()

    def _labelled(self, label: str, text: str) -> Iterator[str]:
        lines = self._wrapped(plain(text), "        ")
        yield f"   {self._paint(f'{label}:', _BOLD)} {next(lines)}"
        yield from (f"        {line}" for line in lines)

    def _wrapped(self, text: str, indent: str) -> Iterator[str]:
        """Words are never cut: they may be names to copy."""
        width = self._width - len(indent)
        return iter(textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""])

    def _summary(self) -> Iterator[str]:
        report = self._report
        looked_at = f"{_count(len(report.sources), 'file')}, {_count(report.policies, 'policy', 'policies')}"
        suppressed = f", {report.suppressed} suppressed" if report.suppressed else ""
        if report.active:
            counts = ((level, report.count(level)) for level in (Level.ERROR, Level.WARNING, Level.NOTE))
            found = (self._paint(_count(number, level), _COLOURS[level]) for level, number in counts if number)
            yield f"Found {', '.join(found)}{suppressed} in {looked_at}."
        elif report.sources:
            yield f"No problems found in {looked_at}{suppressed}."
        else:
            yield "Nothing was checked: there is no file of finops-policy here, and none with policies."
        yield from self._passed_over()
        yield from self._unchecked()
        if fixes := sum(each.diagnostic.fix is not None for each in report.active):
            yield f"`finops-policy lint --fix` mends {fixes} of them."
        if report.active:
            yield "Explain a rule: finops-policy lint --explain RULE"

    def _passed_over(self) -> Iterator[str]:
        if over := self._report.passed_over:
            names = ", ".join(map(plain, over[:_NAMED]))
            more = f" and {len(over) - _NAMED} more" if len(over) > _NAMED else ""
            yield f"Passed over {_count(len(over), 'file')} without policies: {names}{more}"

    def _unchecked(self) -> Iterator[str]:
        if unchecked := self._report.unchecked:
            yield self._paint(f"Not checked: {_count(len(unchecked), 'policy', 'policies')}", _BOLD)
            for each in unchecked:
                first, *rest = self._wrapped(plain(each), "   ")
                yield f" - {first}"
                yield from (f"   {line}" for line in rest)

    def _paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
