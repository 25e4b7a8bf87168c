"""What c7n's own report on a policy calls deprecated. A test holds the two against each other.

A ``mark-for-op`` without ``days`` or ``hours`` is told by ``mark-without-delay``, which says what comes of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from finops_policy.custodian.knowledge import Deprecation, Element, ResourceType
from finops_policy.lint import marks
from finops_policy.lint.rule import Level, Rule
from finops_policy.lint.subject import LintedPolicy, Subject, Use
from finops_policy.marks import Diagnostic, Fix
from finops_policy.sources import shown

_POLICY: Final = {
    "region": "Write `conditions: [{region: us-east-1}]` with the region.",
    "start": "Write a condition `{type: value, key: now, value_type: date, op: gte, value: ...}`.",
    "end": "Write a condition `{type: value, key: now, value_type: date, op: lte, value: ...}`.",
}
_WAF: Final = (("web-acl", "state"), "Use the attributes of a value filter instead.")
_FIELDS: Final = {
    "aws.waf-enabled": _WAF,
    "aws.wafv2-enabled": _WAF,
    "aws.flow-logs": (
        ("enabled", "op", "set-op", "status", "deliver-status", "destination", "destination-type", "traffic-type",
         "log-format", "log-group"),
        "Write list-item filters under `attrs:`.",
    ),
    "set-flow-log": (
        ("DeliverLogsPermissionArn", "LogGroupName", "LogDestination", "LogFormat", "MaxAggregationInterval",
         "LogDestinationType", "TrafficType"),
        "Put them under `attrs:`.",
    ),
}  # fmt: skip
"""Fields whose deprecation c7n works out in code, by the last part of the element's reference."""
NEW_NAMES: Final = {"mark": "tag", "unmark": "remove-tag", "untag": "remove-tag"}
_DIFFERENT: Final = ("aws.mirror-session", "aws.mirror-target", "aws.prefix-list", "aws.sns", "aws.vpc-endpoint")
"""Types on which the old name leads to other code than the new one."""


def _check(subject: Subject) -> Iterator[Diagnostic]:
    for policy in subject.policies:
        if policy.type is None:
            continue
        for key, hint in _POLICY.items():
            if key in policy.document:
                message = f"`{key}` of a policy is deprecated: conditions say the same"
                yield Diagnostic(RULE.id, message, policy.key_mark(key), hint)
        for use in (*policy.filters, *policy.actions):
            if use.element:
                yield from _of_element(policy, use, use.element, policy.type)


def _of_element(policy: LintedPolicy, use: Use, element: Element, type_: ResourceType) -> Iterator[Diagnostic]:
    for each in element.deprecations:
        if each.when == "alias" and use.type in each.names:
            yield _alias(policy, use, each, type_)
        elif each.when == "field" and (key := next((name for name in each.names if name in use.data), "")):
            yield Diagnostic(RULE.id, f"{use.type}: {each.text}", policy.key_mark(*use.steps, key), each.removal)
        elif each.when == "always":
            yield Diagnostic(RULE.id, f"{use.type}: {each.text}", policy.mark(*use.steps, "type"), each.removal)
        elif each.when == "missing" and use.kind != marks.MARK and use.data.keys().isdisjoint(each.names):
            yield Diagnostic(RULE.id, f"{use.type}: {each.text}", policy.mark(*use.steps), each.removal)
    names, hint = _FIELDS.get(element.reference.rpartition("/")[2], ((), ""))
    if found := [name for name in use.data if name in names]:
        message = f"{use.type}: deprecated {', '.join(map(shown, found))}"
        yield Diagnostic(RULE.id, message, policy.key_mark(*use.steps, found[0]), hint)


def _alias(policy: LintedPolicy, use: Use, deprecation: Deprecation, type_: ResourceType) -> Diagnostic:
    mark = policy.mark(*use.steps, "type")
    new = NEW_NAMES.get(use.type, "")
    if new not in type_.actions:
        return Diagnostic(RULE.id, f"{use.type}: {deprecation.text}", mark, deprecation.removal)
    fix = None
    if type_.name not in _DIFFERENT:
        written = policy.source.at(mark)
        old = next((each for each in (use.type, f'"{use.type}"', f"'{use.type}'") if written.startswith(each)), "")
        fix = Fix(old, old.replace(use.type, new)) if old else None
    hint = f"Write {shown(new)}. {deprecation.removal}".strip()
    return Diagnostic(RULE.id, f"{shown(use.type)} is the old name of {shown(new)}", mark, hint, fix=fix)


RULE = Rule(
    "deprecated",
    Level.WARNING,
    "Cloud Custodian calls a name, a field or a key deprecated.",
    "A later version of Cloud Custodian may refuse the policy.",
    _check,
)
