"""What was meant, done and seen, written down before and after every step: from it a broken-off remediation goes on.

Every line is on the disk before the next thing happens. A line that a crash tore in two is cut off when the journal is
opened again: what it was about had not begun.
"""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from finops_policy.errors import EvidenceError
from finops_policy.evidence.canonical import encode
from finops_policy.files import failure
from finops_policy.remediation.model import Outcome

JOURNAL = "journal.jsonl"
_HINT = "Run `finops-policy verify` on the bundle; what was done can be seen in AWS CloudTrail."


@dataclass(slots=True)
class StepLog:
    """What the journal says of one step of an item. ``before`` is what was read just before acting; None: not begun."""

    before: Mapping[str, Any] | None = None
    by: str = ""
    approved_by: tuple[str, ...] = ()
    acted: bool = False
    error: str = ""
    outcome: Outcome | None = None
    reason: str = ""
    after: Mapping[str, Any] = field(default_factory=dict)
    made: Mapping[str, Any] = field(default_factory=dict)
    at: str = ""


@dataclass(slots=True)
class Log:
    """A journal as read: steps by item id and number, items that were held, with the reason and when, why nothing more
    was acted on, and whether the canary was looked at again. ``kind``, ``undoes`` and ``unattended`` are what it was
    begun as."""

    steps: dict[tuple[str, int], StepLog] = field(default_factory=dict)
    held: dict[str, tuple[str, str]] = field(default_factory=dict)
    kind: str = ""
    undoes: str = ""
    unattended: bool = False
    stopped: str = ""
    canary: bool = False

    def step(self, item: str, number: int) -> StepLog:
        return self.steps.setdefault((item, number), StepLog())

    def take(self, line: Mapping[str, Any]) -> None:
        """Raises KeyError, TypeError or ValueError on a line that is none of ours."""
        event = line["event"]
        if event == "started":
            self.kind, self.undoes = line.get("kind", ""), line.get("undoes", "")
            self.unattended = line.get("unattended", False)
        elif event == "held":
            self.held[line["item"]] = line["reason"], line["at"]
        elif event == "stopped":
            self.stopped = line["reason"]
        elif event == "canary":
            self.canary = True
        elif event in ("intent", "acted", "outcome"):
            step = self.step(line["item"], line["step"])
            if event == "intent":
                step.before, step.by = line["before"], line.get("by", "")
                step.approved_by = tuple(line.get("approved_by", ()))
            elif event == "acted":
                step.acted, step.error, step.made = True, line["error"], line.get("made", {})
            else:
                step.outcome, step.reason, step.error = Outcome(line["outcome"]), line["reason"], line["error"]
                step.after, step.made, step.at = line["after"], line["made"], line["at"]


class Journal:
    """A journal being written; :attr:`log` is what it says so far. A context manager."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.log = Log()

    def __enter__(self) -> Self:
        try:
            whole = sum(len(line) for line in self._lines())
            self._file = self._path.open("ab", buffering=0)
            self._file.truncate(whole)
        except OSError as error:
            raise failure("write", self._path, error) from error
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()

    def _lines(self) -> Iterator[bytes]:
        """The whole lines that are there, taken into the log."""
        if not self._path.exists():
            return
        for number, line in enumerate(self._path.read_bytes().splitlines(keepends=True), 1):
            if not line.endswith(b"\n"):
                return
            self.log.take(_parsed(line, self._path, number))
            yield line

    def write(self, event: str, /, **fields: Any) -> None:
        """Adds a line, which is on the disk when this returns. Raises :class:`EvidenceError`."""
        line = {"event": event, "at": dt.datetime.now(dt.UTC).isoformat(), **fields}
        data = encode(line).encode() + b"\n"
        try:
            if self._file.write(data) != len(data):
                raise OSError(28, "No space left on device")
            os.fsync(self._file.fileno())
        except OSError as error:
            raise failure("write", self._path, error) from error
        self.log.take(json.loads(data))


def read_journal(folder: Path, *, torn: bool = False) -> Log:
    """The journal of the bundle at ``folder``; with ``torn`` its last line may be torn. Raises
    :class:`EvidenceError`."""
    path, log = folder / JOURNAL, Log()
    try:
        data = path.read_bytes()
    except OSError as error:
        raise failure("read", path, error) from error
    if torn:
        data = data[: data.rfind(b"\n") + 1]
    for number, line in enumerate(data.splitlines(), 1):
        log.take(_parsed(line, path, number))
    return log


def _parsed(line: bytes, path: Path, number: int) -> Mapping[str, Any]:
    try:
        read = json.loads(line)
        Log().take(read)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise EvidenceError(f"{path}:{number} is no line of a journal: {error!r}", hint=_HINT) from error
    else:
        checked: Mapping[str, Any] = read
        return checked
