"""PURE: what a profile says may not reach evidence in clear.

Values of tags whose key matches one of the profile's globs are withheld, in the tags themselves and wherever a fact of
the same resource repeats one. Limits: only tags; a resource's name or ARN that repeats the value is not found.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from finops_policy.model import Fact

WITHHELD = "[withheld by the profile]"


def redact_tags(tags: Mapping[str, str], globs: tuple[str, ...]) -> Mapping[str, str]:
    """The tags, with the values of matching keys withheld. An empty value says nothing and stays."""
    if not globs:
        return tags
    return {key: WITHHELD if value and _matches(key, globs) else value for key, value in tags.items()}


def redact_facts(facts: Iterable[Fact], tags: Mapping[str, str], globs: tuple[str, ...]) -> tuple[Fact, ...]:
    """The facts, with everything withheld that holds a withheld value of ``tags`` (in clear), however it was read."""
    secrets = [value for key, value in tags.items() if value and _matches(key, globs)] if globs else []
    if not secrets:
        return tuple(facts)
    return tuple(
        replace(fact, value=_without(fact.value, secrets), expected=_without(fact.expected, secrets)) for fact in facts
    )


def _without(value: Any, secrets: Sequence[str]) -> Any:
    if isinstance(value, str):
        return WITHHELD if any(secret in value for secret in secrets) else value
    if isinstance(value, Mapping):
        return {key: _without(item, secrets) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without(item, secrets) for item in value]
    return value


@lru_cache(maxsize=10_000)
def _matches(key: str, globs: tuple[str, ...]) -> bool:
    return any(fnmatchcase(key, glob) for glob in globs)
