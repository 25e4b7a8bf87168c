"""PURE: a waiver in Cloud Custodian's own words, so that even stock ``custodian run`` leaves out what is waived.

One filter for each waiver: a ``not`` of all its selectors and of the days between which it applies, so that it ends by
itself, at midnight UTC, without being compiled anew. c7n expands ``{account_id}``, ``{region}`` and ``{partition}``
when it loads a policy; braces that people wrote are doubled, and stay text.

Limits: c7n's ``not`` tells resources by their id. Of two with one id, both are left out where one is waived.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from finops_policy.model import Waiver

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
    """A pattern of ours for ``fnmatch``: ``*`` and ``?`` are wild; brackets stand for themselves, since ARNs hold them."""
    return pattern.replace("[", "[[]")


def exclusion(waiver: Waiver, arn: ArnKey | None) -> dict[str, Any] | None:
    """The filter that keeps whatever ``waiver`` does not cover; None where it names an ARN and c7n knows no key of it."""
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
