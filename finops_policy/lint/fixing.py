"""Safe corrections: those that change how a thing is written, never what it means to do.

Everything else in a file stays as it is, byte for byte: line ends, comments, indentation, a byte order mark. So do its
mode, its owner where that is allowed, and links that lead to it. One that cannot be written does not keep the others
from being corrected.
"""

from __future__ import annotations

import codecs
import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from finops_policy.errors import FinopsPolicyError, InvalidFilesError
from finops_policy.files import failure, replacing
from finops_policy.marks import Diagnostic
from finops_policy.sources import Steps, parse
from finops_policy.yaml_words import BREAK

if TYPE_CHECKING:
    from finops_policy.lint.report import Report
    from finops_policy.lint.subject import Source


def fixable(report: Report) -> list[Diagnostic]:
    return [each.diagnostic for each in report.active if each.diagnostic.fix]


def apply(report: Report) -> dict[str, int | FinopsPolicyError]:
    """Writes what can be corrected safely: label -> how many corrections were made, or why none was.

    Each file is written whole or not at all.
    """
    fixes: dict[str, list[Diagnostic]] = defaultdict(list)
    for diagnostic in fixable(report):
        fixes[diagnostic.mark.path].append(diagnostic)
    return {label: _corrected(report.sources[label], found) for label, found in sorted(fixes.items())}


def _corrected(source: Source, found: list[Diagnostic]) -> int | FinopsPolicyError:
    try:
        return _write(source, found)
    except FinopsPolicyError as error:
        return error


def _write(source: Source, found: list[Diagnostic]) -> int:
    path, text = Path(os.path.realpath(source.path)), source.text
    if source.path.is_symlink() and not path.is_relative_to(Path(os.path.realpath(source.path.parent))):
        raise FinopsPolicyError(f"{source.label} is a link to another folder.", hint=f"Lint {path} itself.")
    try:
        with path.open("r+b") as file:  # one that may not be written is not replaced either
            raw = file.read()
    except OSError as error:
        raise failure("write", source.path, error) from error
    bom = codecs.BOM_UTF8 if raw.startswith(codecs.BOM_UTF8) else b""
    if raw != bom + text.encode():
        raise FinopsPolicyError(f"{source.label} has changed while it was linted.", hint="Run it again.")
    fixed, end, done = text, len(text), 0
    for start, stop, new in sorted(set(_edits(text, found)), reverse=True):
        if stop <= end:  # two corrections of one place: the other one has its turn when the file is linted again
            fixed, end, done = fixed[:start] + new + fixed[stop:], start, done + 1
    if not done:
        return 0
    if _shape(fixed, source.label) != _shape(text, source.label):
        hint = "Nothing was written to it. Please report this, with the file."
        raise FinopsPolicyError(f"A correction would spoil {source.label}.", hint=hint)
    _replace(path, bom + fixed.encode())
    return done


def _shape(text: str, label: str) -> Collection[Steps]:
    """The way to every value; none where the text cannot be read."""
    try:
        return parse(text.encode(), label, lenient=True).marks.keys()
    except InvalidFilesError:
        return ()


def _replace(path: Path, raw: bytes) -> None:
    before = path.stat()
    with replacing(path, mode=0o600) as file:
        file.write(raw)
        with suppress(OSError):  # only root may give files away
            os.fchown(file.fileno(), before.st_uid, before.st_gid)
        os.fchmod(file.fileno(), before.st_mode & 0o777)


def _edits(text: str, found: Iterable[Diagnostic]) -> Iterator[tuple[int, int, str]]:
    starts = [0, *(each.end() for each in BREAK.finditer(text))]
    for diagnostic in found:
        fix, mark = diagnostic.fix, diagnostic.mark
        if fix is None:
            continue
        start = starts[mark.line - 1] + mark.column - 1
        stop = start + len(fix.old)
        if text[start:stop] != fix.old:
            continue
        if not fix.new:
            start, stop = _whole_comment(text, start, stop)
        yield start, stop, fix.new


def _whole_comment(text: str, start: int, stop: int) -> tuple[int, int]:
    """What is left out with a comment: the space before it, and its line where nothing else stands there."""
    before = text[:start].rstrip(" \t")
    alone = not before or before[-1] in "\r\n"
    if alone and (following := BREAK.match(text, stop)):
        return len(before), following.end()
    return len(before), stop
