"""A name for each diagnostic that stays while the file around it changes, for tools that follow one over time.

It is made of the rule, the file, and the way to the value through names (``policies/ec2-idle/filters/metrics/days``),
or of the line's text where the file cannot be read; the same ones are numbered. Lines, messages and levels are not in
it: lines move, and messages count days.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from finops_policy.lint.formats.places import place
from finops_policy.lint.report import Report
from finops_policy.marks import Mark
from finops_policy.sources import Document, Steps

_NAMES: Final = ("name", "id", "account_id", "type")
_Index: TypeAlias = Mapping[tuple[int, int], Steps]


def fingerprints(report: Report) -> list[str]:
    """One for each of ``report.told``, all different."""
    indexes: dict[str, _Index] = {}
    seen: Counter[tuple[str, ...]] = Counter()
    found = []
    for told in report.told:
        diagnostic = told.diagnostic
        key = (diagnostic.rule, diagnostic.mark.path, *_anchor(report, diagnostic.mark, indexes))
        seen[key] += 1
        found.append(hashlib.sha256(json.dumps([*key, seen[key]]).encode()).hexdigest()[:32])
    return found


def _anchor(report: Report, mark: Mark, indexes: dict[str, _Index]) -> tuple[str, ...]:
    source = report.sources.get(mark.path)
    if source and source.document:
        if mark.path not in indexes:
            indexes[mark.path] = _index(source.document)
        if (steps := indexes[mark.path].get((mark.line, mark.column))) is not None:
            return _names(source.document.data, steps)
    found = place(report, mark)
    return (found.line.strip(),) if found else ()


def _index(document: Document) -> _Index:
    """Place -> steps; the outermost value that begins there, and of a value and its key the value."""
    index: dict[tuple[int, int], Steps] = {}
    for marks in (document.marks, document.key_marks):
        for steps, mark in marks.items():
            index.setdefault((mark.line, mark.column), steps)
    return index


def _names(data: Any, steps: Steps) -> tuple[str, ...]:
    names = []
    for step in steps:
        data = data[step]
        names.append(step if isinstance(step, str) else _name(data))
    return tuple(names)


def _name(item: Any) -> str:
    """What an item of a list is called there, since its number changes with the items before it."""
    if isinstance(item, dict):
        named = (item[key] for key in _NAMES if isinstance(item.get(key), str))
        return next(named, next(iter(item), ""))
    return "" if isinstance(item, list) else str(item)
