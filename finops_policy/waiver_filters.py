"""PURE: a waiver in Cloud Custodian's own words, so that even stock ``custodian run`` leaves out what is waived.

One filter for each waiver: a ``not`` of all its selectors and of the days between which it applies, so that it ends by
itself, at midnight UTC, without being compiled anew. c7n expands ``{account_id}``, ``{region}`` and ``{partition}``
when it loads a policy; braces that people wrote are doubled, and stay text.

Limits: c7n's ``not`` tells resources by their id. Of two with one id, both are left out where one is waived.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from finops_policy.marks import Diagnostic
from finops_policy.model import WAIVERS, CompiledPolicy, Waiver

_WORDS: Final = frozenset({"absent", "present", "not-null", "empty"})
"""What c7n's value filter takes for a question instead of a value, whatever the operator."""
_DAY: Final = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class ArnKey:
    """Where a filter finds the ARN of a resource: a key of c7n's value filter, with variables, and how many characters
    of what stands there come after the ARN."""

    expression: str
    extra: int = 0


def glob(pattern: str) -> str:
    """A pattern of ours for ``fnmatch``: ``*`` and ``?`` are wild; brackets are themselves, since ARNs hold them."""
    return pattern.replace("[", "[[]")


def with_waivers(policy: CompiledPolicy, waivers: Iterable[Waiver], key: ArnKey | None) -> CompiledPolicy:
    """The policy with a filter for each of its waivers at the end. Its digest stays: it is of what is judged."""
    found = [exclusion(waiver, key) for waiver in waivers if waiver.policy == policy.name]
    filters = [each for each in found if each is not None]
    if not filters:
        return policy
    metadata = {**policy.document["metadata"], WAIVERS: len(filters)}
    document = {**policy.document, "metadata": metadata, "filters": [*policy.document["filters"], *filters]}
    return replace(policy, document=document, waiver_length=len(filters))


def uncompiled(
    policies: Iterable[CompiledPolicy], waivers: Iterable[Waiver], arn_keys: Mapping[str, ArnKey]
) -> Iterator[Diagnostic]:
    """Waivers that :func:`with_waivers` leaves out."""
    resources = {policy.name: policy.resource for policy in policies}
    for waiver in waivers:
        resource = resources.get(waiver.policy)
        if resource is not None and exclusion(waiver, arn_keys.get(resource)) is None:
            message = (
                f"Waiver {waiver.id} is not in the compiled policy: Cloud Custodian's filters cannot tell the ARN of"
                f" {resource}. A run honours it; `custodian run` on the compiled file does not."
            )
            hint = "Name a tag of the resources instead of an ARN, or run the policy with finops-policy alone."
            yield Diagnostic("waiver-not-compiled", message, waiver.mark, hint)


def exclusion(waiver: Waiver, arn: ArnKey | None) -> dict[str, Any] | None:
    """The filter that keeps whatever ``waiver`` does not cover; None where it names an ARN that has no key."""
    if arn is None and waiver.resource:
        return None
    return {"not": [*_selectors(waiver, arn), *_days(waiver)]}


def _selectors(waiver: Waiver, arn: ArnKey | None) -> Iterator[dict[str, Any]]:
    if waiver.resource and arn is not None:
        yield _like(arn.expression, glob(waiver.resource) + "?" * arn.extra)
    if waiver.tag_key:
        yield _like(f"tag:{_text(waiver.tag_key)}", _value(waiver.tag_value))
    if waiver.account:
        yield {"type": "value", "key": "'{account_id}'", "value": waiver.account}
    if waiver.region:
        yield {"type": "value", "key": "'{region}'", "value": waiver.region}


def _like(key: str, pattern: str) -> dict[str, Any]:
    return {"type": "value", "key": key, "op": "glob", "value": _text(pattern)}


def _value(pattern: str) -> str:
    """A glob over values, with one of c7n's words spelled so that it is compared like any other."""
    return f"[{pattern[0]}]{pattern[1:]}" if pattern in _WORDS else glob(pattern)


def _text(written: str) -> str:
    return written.replace("{", "{{").replace("}", "}}")


def _days(waiver: Waiver) -> Iterator[dict[str, Any]]:
    """``expiration`` compares a date with now; with a date alone c7n would mean the machine's own time zone."""
    if waiver.starts > dt.date.min:
        yield _moment(waiver.starts, "le")
    if waiver.expires < dt.date.max:
        yield _moment(waiver.expires + _DAY, "gt")


def _moment(day: dt.date, operator: str) -> dict[str, Any]:
    return {
        "type": "value",
        "key": f"'{day.isoformat()}T00:00:00Z'",
        "value_type": "expiration",
        "op": operator,
        "value": 0,
    }
