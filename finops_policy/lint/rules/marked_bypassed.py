"""An ``or`` that lets resources without a mark through to the action that marks are for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from finops_policy.lint import marks
from finops_policy.lint.rule import Level, Rule
from finops_policy.lint.subject import Subject
from finops_policy.marks import Diagnostic
from finops_policy.sources import shown


def _check(subject: Subject) -> Iterator[Diagnostic]:
    for policy in subject.policies:
        acts = {use.type for use in policy.actions}
        use = next((each for each in marks.marked(policy) if "or" in each.groups and marks.op(each) in acts), None)
        if use and not _waits(policy.document.get("filters")):
            yield Diagnostic(
                RULE.id,
                f"the `or` around it lets resources without a mark through: {shown(marks.op(use))} acts on them too",
                policy.mark(*use.steps),
                "Put `marked-for-op` before the `or`, not inside of it.",
            )


def _waits(filters: Any) -> bool:
    """Whether only what is marked and due passes all of the filters."""
    return isinstance(filters, list | tuple) and any(map(_one_waits, filters))


def _one_waits(item: Any) -> bool:
    if isinstance(item, Mapping) and item.get("type") == marks.MARKED:
        return True
    if not isinstance(item, Mapping) or len(item) != 1:
        return False
    [(key, value)] = item.items()
    if key == "or":
        return isinstance(value, list | tuple) and len(value) > 0 and all(map(_one_waits, value))
    return key == "and" and _waits(value)


RULE = Rule(
    "marked-bypassed",
    Level.WARNING,
    "`marked-for-op` is one of several alternatives.",
    "What fits another alternative is acted on at once, without a mark that its owner could have seen.",
    _check,
)
