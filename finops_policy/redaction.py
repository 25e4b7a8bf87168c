"""PURE: what a profile says may not reach evidence in clear.

Values of tags whose key matches one of the profile's globs are withheld, in the tags themselves and in every fact that a
filter read from such a tag. Limits: only tags; a name or attribute that repeats the value is not found.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from finops_policy.model import Fact

WITHHELD = "[withheld by the profile]"
TAG = "tag:"


def redact_tags(tags: Mapping[str, str], globs: Sequence[str]) -> dict[str, str]:
    """The tags, with the values of matching keys withheld. An empty value says nothing and stays."""
    return {key: WITHHELD if value and _matches(key, globs) else value for key, value in tags.items()}


def redact_facts(facts: Iterable[Fact], globs: Sequence[str]) -> tuple[Fact, ...]:
    """The facts, with the values read from matching tags withheld."""
    return tuple(
        replace(fact, value=WITHHELD)
        if fact.value and fact.key.startswith(TAG) and _matches(fact.key.removeprefix(TAG), globs)
        else fact
        for fact in facts
    )


def _matches(key: str, globs: Sequence[str]) -> bool:
    return any(fnmatchcase(key, glob) for glob in globs)
