"""Exceptions and exit codes.

Every error a user can meet is a :class:`FinopsPolicyError`: it says what went wrong, where, and how to mend it, and it
knows the exit code of the command that met it. Anything else that escapes is a bug of ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from finops_policy.marks import Diagnostic


class ExitCode(IntEnum):
    """What a command's exit code means. ``INCOMPLETE`` outranks ``FINDINGS``; 130 is the shell's custom for Ctrl-C."""

    CLEAN = 0
    ERROR = 1
    USAGE = 2
    FINDINGS = 3
    INCOMPLETE = 4
    INTERRUPTED = 130


class FinopsPolicyError(Exception):
    """An error with a next step. ``hint`` is a full sentence that tells the user how to mend it; it may be empty."""

    exit_code = ExitCode.ERROR

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(FinopsPolicyError):
    """What the user typed cannot be done: an unknown name, a value out of range."""

    exit_code = ExitCode.USAGE


class InvalidFilesError(FinopsPolicyError):
    """Files people wrote are wrong. Carries every diagnostic found, not only the first."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        count = len(diagnostics)
        super().__init__(f"{count} problem{'s' if count != 1 else ''} in the files read")
        self.diagnostics = tuple(diagnostics)


class CredentialsError(FinopsPolicyError):
    """AWS does not know who we are, or we are not who we should be."""


class DiscoveryError(FinopsPolicyError):
    """The accounts of an organization cannot be listed to the last. A part of them is never taken for the whole."""


class EvidenceError(FinopsPolicyError):
    """The evidence store or a bundle in it cannot be read, written or believed."""


class SandboxError(FinopsPolicyError):
    """The sandbox cannot be started, reached or seeded."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A sentence naming the nearest known words, or all of them when few; empty when nothing is known."""
    import difflib  # for those who make no mistakes

    names = sorted(set(known))
    near = difflib.get_close_matches(word, names, n=3, cutoff=0.6)
    if near:
        return f"Did you mean {' or '.join(near)}?"
    if names and len(names) <= 12:
        return f"Known: {', '.join(names)}."
    return ""
