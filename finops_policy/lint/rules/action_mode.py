"""What needs an event, in a mode that brings none.

c7n hands no event to policies that list their resources themselves. Its ``event`` filter then lets everything through,
and c7n-mailer finds no ``event-owner`` to write to. What c7n refuses in a mode its own validation tells.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from finops_policy.lint import modes
from finops_policy.lint.rule import Level, Rule
from finops_policy.lint.subject import Subject
from finops_policy.marks import Diagnostic

_OWNER: Final = "event-owner"


def _check(subject: Subject) -> Iterator[Diagnostic]:
    for policy in subject.policies:
        if policy.type is None or policy.mode not in modes.POLLING:
            continue
        if isinstance(policy.document.get("mode"), Mapping):  # without a mode c7n refuses the filter
            for use in policy.filters:
                if use.type == "event" and use.element:
                    yield Diagnostic(
                        RULE.id,
                        f"mode {policy.mode} brings no event: this filter lets every resource through",
                        policy.mark(*use.steps),
                        "Use a mode that is started by events, such as `cloudtrail`, or another filter.",
                    )
        for use in policy.actions:
            for key in ("to", "cc"):
                people = use.data.get(key)
                if use.type == "notify" and isinstance(people, list) and _OWNER in people:
                    yield Diagnostic(
                        RULE.id,
                        f"mode {policy.mode} brings no event: there is no `{_OWNER}` to write to",
                        policy.mark(*use.steps, key, people.index(_OWNER)),
                        "Use the mode `cloudtrail`, or write to `resource-owner`.",
                    )


RULE = Rule(
    "action-mode",
    Level.WARNING,
    "A filter or an action needs an event, and the policy's mode brings none.",
    "The filter filters nothing, so that the actions hit every resource; the message reaches nobody.",
    _check,
)
