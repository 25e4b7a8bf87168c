"""Files of ours that stand where nothing reads them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from finops_policy.lint.files import PLACES, label
from finops_policy.lint.rule import Level, Rule
from finops_policy.lint.subject import Source, Subject
from finops_policy.marks import Diagnostic, Mark

LIBRARY: Final = "policies"
"""The folder of a workspace that is a library itself."""
_KINDS: Final = frozenset(PLACES.values())


def _check(subject: Subject) -> Iterator[Diagnostic]:
    workspace = Path(os.path.realpath(subject.workspace))
    library = workspace / LIBRARY
    read = (workspace, library) if (library / "packs").is_dir() else (workspace,)
    outside: dict[Path, list[Source]] = {}
    for source in subject.sources:
        if source.kind not in _KINDS:
            continue
        path = Path(os.path.realpath(source.path.parent), source.path.name)
        root = _root(path)
        if root is None:
            message = f"nothing reads a {source.kind} file here"
            yield Diagnostic(RULE.id, message, _mark(source), _hint(path, source.kind))
        elif root not in read:
            outside.setdefault(root, []).append(source)
    for root, [first, *others] in outside.items():
        files = f"this and {len(others)} more stand" if others else "it stands"
        message = f"{files} outside of the workspace: how they fit together is not checked"
        yield Diagnostic(RULE.id, message, _mark(first), f"Lint with --workspace {label(root)}.")


def _root(path: Path) -> Path | None:
    """The workspace that would read the file; None where none would."""
    place = next((each for each in PLACES if path.match(each)), None)
    return path.parents[place.count("/")] if place else None


def _hint(path: Path, kind: str) -> str:
    renamed = path.with_suffix(".yaml")
    if _root(renamed):
        return f"Call it {renamed.name}."
    place = next(each for each, read in PLACES.items() if read == kind)
    return f"It is read from {place} in a workspace."


def _mark(source: Source) -> Mark:
    known = source.document and isinstance(source.document.data, dict)
    return source.document.key_mark("kind") if source.document and known else Mark(source.label, 1, 1)


RULE = Rule(
    "out-of-place",
    Level.WARNING,
    "A file of finops-policy stands where nothing reads it, or outside of the workspace.",
    "It looks as if it were in force, and `finops-policy run` does not know of it.",
    _check,
)
