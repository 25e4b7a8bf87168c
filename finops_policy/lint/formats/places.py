"""What stands at a mark: the token to underline, and where it begins and ends on its line.

Read from the line alone, by the look of YAML: a file that is broken has no tokens, and scanning one that is whole takes
longer than linting it. So a text over several lines ends with its first one, and no token is longer than ``_LOOK``.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from finops_policy.lint.report import Report
from finops_policy.marks import Mark

_QUOTED: Final = r"""'(?:[^']|'')*'|"(?:[^"\\]|\\.)*\""""
_TOKEN: Final = re.compile(
    rf"{_QUOTED}"
    r"|['\"#].*"  # a quote that is closed on a later line; a comment
    r"|[|>][-+\d]*(?=\s|$)"  # the head of a block of text
    r"|[-?](?=\s|$)"  # an item of a list, a key of its own line
    r"|[&*!][^\s,\[\]{}]*"
)
_END: Final = re.compile(r"\s#|:(?=\s|$)|$")
_END_IN_FLOW: Final = re.compile(r"\s#|:(?=[\s,\[\]{}]|$)|[,\[\]{}]|$")
_BRACKETS: Final = re.compile(rf"{_QUOTED}|[\[\]{{}}]")
_LOOK: Final = 1000
"""Characters looked at on either side of a mark: a file may be a single line."""


class Place(NamedTuple):
    """``start`` and ``end`` are indexes into ``line``; equal where nothing is written at the mark."""

    line: str
    start: int
    end: int

    @property
    def columns(self) -> tuple[int, int]:
        """The first character and the one behind the last, counted from 1 in UTF-16 code units, as editors count."""
        return units(self.line[: self.start]) + 1, units(self.line[: self.end]) + 1


def place(report: Report, mark: Mark) -> Place | None:
    """None where the mark is of a file as a whole, or of one whose text is not known."""
    source = report.sources.get(mark.path)
    if source is None or not 0 < mark.line <= len(source.lines):
        return None
    line = source.lines[mark.line - 1]
    start = min(max(mark.column, 1) - 1, len(line))
    return Place(line, start, start + _length(line, start))


def _length(line: str, start: int) -> int:
    rest = line[start : start + _LOOK]
    if rest.startswith(("[", "{")):
        return _bracketed(rest)
    if token := _TOKEN.match(rest):
        return len(token.group().rstrip())
    depth = sum(_step(each.group()) for each in _BRACKETS.finditer(line, max(0, start - _LOOK), start))
    end = (_END_IN_FLOW if depth > 0 or start > _LOOK else _END).search(rest)
    # A comma ends an item of a list that began further up.
    return len(rest[: end.start() if end else None].rstrip().removesuffix(","))


def _bracketed(rest: str) -> int:
    """Up to the bracket that closes the first one; to the end of the line where that is further down."""
    depth = 0
    for found in _BRACKETS.finditer(rest):
        depth += _step(found.group())
        if depth == 0:
            return found.end()
    return len(rest.rstrip())


def _step(found: str) -> int:
    return 1 if found in ("[", "{") else -1 if found in ("]", "}") else 0


def units(text: str) -> int:
    """Its length in UTF-16 code units."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2
