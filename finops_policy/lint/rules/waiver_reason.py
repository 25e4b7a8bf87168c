"""Reasons of waivers that say nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from finops_policy.lint.rule import Level, Rule
from finops_policy.lint.subject import Subject
from finops_policy.lint.waivers import entries
from finops_policy.marks import Diagnostic

_EMPTY: Final = re.compile(
    r"""a|accept(ed)?|agreed|an|and|approv(al|ed)|as|asap|ask|be|by|current(ly)?|done|exception|exempt|fix(ed)?|foo|bar|for
    |in|is|issue|it|jira|later|manager|n|na|no|none|ok|okay|per|please|reason|risk|see|temp|temporary|tbc|tbd
    |test(ed|ing)?|the|this|ticket|to|todo|waived?|waiver|will|xxx""",
    re.VERBOSE,
)
"""Words that, alone or together, say that there is a waiver, and nothing of why."""
_LINK: Final = re.compile(r"https?://\S+")
_NUMBER: Final = re.compile(r"\b[A-Za-z][A-Za-z0-9]+-\d+\b")
_MASHED: Final = re.compile(r"asdf|qwer|lorem|blah|(.)\1{3}", re.IGNORECASE)


def _check(subject: Subject) -> Iterator[Diagnostic]:
    for entry in entries(subject):
        if (reason := entry.text("reason")) and _says_nothing(reason):
            yield Diagnostic(
                RULE.id,
                f"the reason of {entry.name} does not say why the finding is accepted",
                entry.mark("reason"),
                "Write why the resource must stay as it is, and what will change that.",
            )


def _says_nothing(reason: str) -> bool:
    """Too short, or made of a number and of words that every waiver could have."""
    text = _NUMBER.sub(" ", _LINK.sub(" ", reason))
    words = {word for word in re.findall(r"[^\W\d_]+", text.casefold()) if not _MASHED.search(word)}
    telling = {word for word in words if not _EMPTY.fullmatch(word)}
    return _size(words) < 15 or (len(telling) < 2 and _size(telling) < 11)


def _size(words: Iterable[str]) -> int:
    """In bytes: writing systems that need few letters have long ones."""
    return sum(len(word.encode()) for word in words)


RULE = Rule(
    "waiver-reason",
    Level.WARNING,
    "The reason of a waiver says nothing.",
    "Reports print it, and an auditor asks why the finding was accepted: a ticket number alone does not answer.",
    _check,
)
