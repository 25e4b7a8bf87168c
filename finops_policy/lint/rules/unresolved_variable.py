"""Variables that nobody fills in, so that the text with the braces in it is what c7n compares, writes or sends."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from finops_policy.errors import did_you_mean
from finops_policy.lint.rule import Level, Rule
from finops_policy.lint.subject import LintedPolicy, Subject
from finops_policy.lint.variables import (
    ERRORS,
    FILLED,
    KEPT,
    LATER,
    Group,
    given,
    groups,
    is_filled,
    keys,
    policies,
    texts,
)
from finops_policy.marks import Diagnostic
from finops_policy.sources import Steps, shown

_OWN: Final = FILLED | KEPT | LATER
_IDLE: Final = ("name", "resource", "title", "description", "comment", "comments", "metadata", "tags", "vars")
"""Parts of a policy that only people read."""
_PATHS: Final = ("aws.rest-", "aws.apigw")
"""Types with paths such as `/pets/{id}`."""


def _check(subject: Subject) -> Iterator[Diagnostic]:
    names = given(subject)
    for policy in policies(subject):
        acted_on = {key: value for key, value in policy.document.items() if key not in _IDLE}
        for steps, text in texts(acted_on):
            yield from _of_text(policy, steps, text, names)
        for steps, key in keys(acted_on):
            if any(each.plain and not each.dollar and not _is_literal(policy, steps, each) for each in groups(key)):
                message = f"nothing is filled in here: Cloud Custodian leaves keys such as {shown(key)} alone"
                hint = "Write the filter with `type: value`, and this text under its `key`."
                yield Diagnostic(RULE.id, message, policy.key_mark(*steps), hint if steps[0] == "filters" else "")


def _of_text(policy: LintedPolicy, steps: Steps, text: str, names: Collection[str]) -> Iterator[Diagnostic]:
    try:
        filled = is_filled(text, policy.document, names)
    except ERRORS:
        return  # malformed-variable tells
    mark, found = policy.mark(*steps), groups(text)
    strange = [each for each in found if each.name not in _OWN and each.name not in names]
    unknown = [each for each in strange if each.plain and not each.dollar and not _is_literal(policy, steps, each)]
    for group in {each.name: each for each in unknown}.values():
        message = f"nobody fills in {shown(str(group))}: it stays as it is"
        yield Diagnostic(RULE.id, message, mark, _hint(group.name, names, policy))
    for group in {each.name: each for each in found if each.plain and each.dollar}.values():
        if filled and group.name in FILLED:
            message = f"{shown(f'${group}')} becomes a `$` and the value"
            yield Diagnostic(RULE.id, message, mark, f"Write {shown(str(group))}.")
        elif group in strange and not policy.written and (steps[0] != "actions" or f"${group}" == text):
            message = f"nobody fills in {shown(f'${group}')}: parameters are for policies of packs"
            hint = "Write the value; if another program fills it in, lint what that program makes."
            yield Diagnostic(RULE.id, message, mark, hint)
    lost = next((each for each in found if each.name in FILLED and each.plain), None)
    if strange and lost and not filled and not unknown:
        message = f"{shown(str(lost))} is not filled in, because of {shown(str(strange[0]))} in the same text"
        yield Diagnostic(RULE.id, message, mark, "Double the braces that are no variable: `{{` and `}}`.")


def _is_literal(policy: LintedPolicy, steps: Steps, group: Group) -> bool:
    """Whether braces around a name are something else for this type: a path, or a tag of the load balancer."""
    if policy.resource.startswith(_PATHS):
        return group.before.endswith("/")
    return policy.resource == "aws.app-elb" and steps[-1] == "prefix"


def _hint(name: str, names: Collection[str], policy: LintedPolicy) -> str:
    document = policy.source.document
    anchors = document.data.get("vars") if document and isinstance(document.data, dict) else None
    if isinstance(anchors, Mapping) and name in anchors:
        return "The file's own `vars` is a place for YAML anchors: write `&name` there and `*name` here."
    near: Any = did_you_mean(name, [*FILLED, *KEPT, *names])
    where = f"Set {name} under `vars` of an accounts file that is linted too, or write `{{{{{name}}}}}` for the text."
    return f"{near} {where}" if near.startswith("Did") else where


RULE = Rule(
    "unresolved-variable",
    Level.WARNING,
    "A variable that nobody fills in.",
    "Cloud Custodian leaves the braces in the text: a filter never matches, a tag says `{owner}`.",
    _check,
)
