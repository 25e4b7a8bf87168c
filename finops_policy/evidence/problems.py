"""What can be wrong with evidence, in words: the kinds of problem, and what to do about each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class ProblemKind(StrEnum):
    """What is wrong with a file, a run or a chain."""

    FILE_CHANGED = "file-changed"
    FILE_MISSING = "file-missing"
    FILE_ADDED = "file-added"
    NOT_A_FILE = "not-a-file"
    UNREADABLE = "unreadable"
    RUN_INCOMPLETE = "run-incomplete"
    RUN_UNSIGNED = "run-unsigned"
    RUN_MISPLACED = "run-misplaced"
    RUN_MISSING = "run-missing"
    RECORD_CHANGED = "record-changed"
    RECORD_INVALID = "record-invalid"
    SIGNATURE_INVALID = "signature-invalid"
    WRONG_KEY = "wrong-key"
    NUMBER_TWICE = "number-twice"
    CHAIN_BROKEN = "chain-broken"
    HEAD_MISSING = "head-missing"
    HEAD_BEHIND = "head-behind"


_RESTORE = "Put it back from a copy made before; until then it proves nothing."
_ASK = "Ask whoever keeps the store what was done there, and compare with a copy made before."
_NEXT_STEPS = {
    ProblemKind.FILE_CHANGED: _RESTORE,
    ProblemKind.FILE_MISSING: _RESTORE,
    ProblemKind.FILE_ADDED: "Find out who put it there, and move it out of the bundle.",
    ProblemKind.NOT_A_FILE: "Remove it; if the run had a file of that name, put the file back from a copy made before.",
    ProblemKind.UNREADABLE: "Get permission to read it (see `ls -l`), or a copy from a sound disk; then verify again.",
    ProblemKind.RUN_INCOMPLETE: "Wait for it if it is still running; if it broke off, finish it with `run --resume`.",
    ProblemKind.RUN_UNSIGNED: _RESTORE,
    ProblemKind.RUN_MISPLACED: "Move it back to where it was, or remove it if it is a copy.",
    ProblemKind.RUN_MISSING: "Put the run back from a copy made before, and find out who removed it.",
    ProblemKind.RECORD_CHANGED: _RESTORE,
    ProblemKind.RECORD_INVALID: _ASK,
    ProblemKind.SIGNATURE_INVALID: _RESTORE,
    ProblemKind.WRONG_KEY: "Verify with the .pub file of whoever ran the policies; if you did, another signed it.",
    ProblemKind.NUMBER_TWICE: _ASK,
    ProblemKind.CHAIN_BROKEN: _ASK,
    ProblemKind.HEAD_MISSING: "Put it back from a copy made before: it alone tells whether the newest run is gone.",
    ProblemKind.HEAD_BEHIND: "If a run broke off while it was sealed, the next run mends this; otherwise: " + _ASK,
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is not as it was sealed: what kind, which file or run, a sentence, and what to do about it.

    Made by :meth:`at`, it holds printable characters only, whatever somebody named a file.
    """

    kind: ProblemKind
    where: str
    message: str
    next_step: str

    @classmethod
    def at(cls, where: Path, kind: ProblemKind, message: str) -> Problem:
        return cls(kind, printable(str(where)), printable(message), _NEXT_STEPS[kind])


def printable(text: str) -> str:
    """The text with control characters and the like spelled out, so that it cannot steer a terminal."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
