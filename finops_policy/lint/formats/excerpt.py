"""The line a diagnostic is about, as a terminal shows it: cut to the width, and where to underline it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from finops_policy.lint.formats.places import Place
from finops_policy.spelling import cells, spell

_CUT: Final = "..."


@dataclass(frozen=True, slots=True)
class Excerpt:
    """``text`` is spelled out; ``offset`` and ``length`` count its terminal columns. ``cut`` is set where its beginning
    is left out, so that a line above would not stand in line with it."""

    text: str
    offset: int
    length: int
    cut: bool


def excerpt(place: Place, width: int) -> Excerpt:
    """At most ``width`` columns of the line, the beginning of the token among them. A token is underlined at least
    once, also where there is nothing left to underline."""
    line = place.line.rstrip()
    start = min(place.start, len(line))
    low, high = max(0, start - width), start + width  # a line may be as long as a file
    shown = [spell(character) for character in line[low:high]]
    widths = [cells(each) for each in shown]
    whole = low == 0 and high >= len(line) and sum(widths) <= width
    first, last = (0, len(shown)) if whole else _window(widths, start - low, width - 2 * len(_CUT))
    before = _CUT if low + first else ""
    after = _CUT if low + last < len(line) else ""
    length = sum(widths[start - low : min(place.end - low, last)])
    offset = len(before) + sum(widths[first : start - low])
    return Excerpt(before + "".join(shown[first:last]) + after, offset, max(length, 1), bool(before))


def beginning(line: str, width: int) -> str:
    """A line as it is shown above the one that matters."""
    return excerpt(Place(line, 0, 0), width).text


def _window(widths: Sequence[int], start: int, room: int) -> tuple[int, int]:
    """Which characters are shown around ``start``: where there are enough, a third of the room before it."""
    first = start - _fitting(widths[:start][::-1], room // 3)
    last = first + _fitting(widths[first:], room)
    if last == len(widths):
        first = last - _fitting(widths[::-1], room)
    return first, last


def _fitting(widths: Sequence[int], room: int) -> int:
    """How many of the characters fit."""
    return sum(total <= room for total in accumulate(widths))
