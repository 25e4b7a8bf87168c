"""Marks: tags that ``mark-for-op`` writes and ``marked-for-op`` waits for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from finops_policy.lint.subject import LintedPolicy, Use

MARK: Final = "mark-for-op"
MARKED: Final = "marked-for-op"
"""Kinds of elements, which have the names of c7n's."""
DEFAULT_TAG: Final = "maid_status"
"""c7n's, where a policy names none."""


def marking(policy: LintedPolicy) -> Iterator[Use]:
    return (use for use in policy.actions if use.kind == MARK)


def marked(policy: LintedPolicy) -> Iterator[Use]:
    """Filters that wait for a mark, without those that a ``not`` turns around."""
    return (use for use in policy.filters if use.kind == MARKED and "not" not in use.groups)


def tag(use: Use) -> str:
    """The tag that the mark is in; empty where the policy does not say it as text."""
    found = use.data.get("tag", DEFAULT_TAG)
    if use.kind == MARK:
        found = use.data.get("key", found)  # which aws.asg has, and prefers
    return found if isinstance(found, str) else ""


def op(use: Use) -> str:
    """What the mark is for; empty where the policy does not say it as text."""
    found = use.data.get("op")
    return found if isinstance(found, str) else ""
