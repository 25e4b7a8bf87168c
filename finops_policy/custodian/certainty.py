"""Which policies c7n's own validation surely accepts, without asking it.

c7n's schema is not its last word: each filter and action may refuse its settings once more, in Python. Importing c7n to
ask takes longer than all the rest of linting a policy. Most elements have no such second look, and of the commonest
ones it is known what it looks at. ``certain`` says yes only where c7n could not refuse; anything else is for c7n to
say. A test holds this against c7n itself.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Final

from finops_policy.custodian.knowledge import Element, ResourceType

_POLICY_KEYS: Final = frozenset({
    "name", "resource", "filters", "actions", "comment", "comments", "description", "metadata", "region", "tags",
    "max-resources", "max-resources-percent", "mode",
})  # fmt: skip
"""Keys that nothing but the schema looks at; ``mode`` only where it is ``pull``."""
_SIMPLE_VALUE_TYPES: Final = frozenset({"age", "integer", "float", "expiration", "normalize", "size", "cidr", "swap",
                                        "cidr_size", "unique_size", "expr", "version"})  # fmt: skip
_MANAGERS: Final = ("", "S3.validate")
"""Validations of resource types that refuse nothing; that of buckets looks at ``query`` alone."""
_MAKERS: Final = frozenset({
    "", "BaseValueFilter.__init__", "MetricsFilter.__init__", "Notify.__init__", "Time.__init__",
})  # fmt: skip
"""Constructors that refuse nothing."""
_PULL: Final = {"type": "pull"}
_ZONES: Final = frozenset({"et", "ct", "mt", "pt", "utc"})
_STATISTICS: Final = frozenset({"Average", "Sum", "Maximum", "Minimum", "SampleCount"})
_PERCENTILE: Final = re.compile(r"p\d{1,3}\.?\d?$")
_MAX_DAYS: Final = 455


def certain(document: Mapping[str, Any], type_: ResourceType) -> bool:
    """Whether c7n accepts a policy that its schema has accepted."""
    if type_.validate not in _MANAGERS or not document.keys() <= _POLICY_KEYS or document.get("mode", _PULL) != _PULL:
        return False
    filters = all(_filter(item, type_) for item in document.get("filters", ()))
    return filters and all(_action(item, type_) for item in document.get("actions", ()))


def _filter(item: Any, type_: ResourceType) -> bool:
    if isinstance(item, str):
        element = type_.filters.get(item)
        return element is not None and _element({}, element, type_)
    if len(item) == 1 and "type" not in item:
        [(key, value)] = item.items()
        if key in ("and", "or", "not"):
            return all(_filter(each, type_) for each in value)
        return type_.filters["value"].validate == "ValueFilter.validate"  # which lets short forms pass
    name = item.get("type")
    element = type_.filters.get(name) if isinstance(name, str) else None
    return element is not None and _element(item, element, type_)


def _action(item: Any, type_: ResourceType) -> bool:
    data: Mapping[str, Any] = {} if isinstance(item, str) else item
    name = item if isinstance(item, str) else item.get("type")
    element = type_.actions.get(name) if isinstance(name, str) else None
    return element is not None and _element(data, element, type_)


def _element(data: Mapping[str, Any], element: Element, type_: ResourceType) -> bool:
    if element.init not in _MAKERS:
        return False
    check = _CHECKS.get(element.validate)
    return check is not None and check(data, type_)


def _always(_data: Mapping[str, Any], _type: ResourceType) -> bool:
    return True


def _value(data: Mapping[str, Any], _type: ResourceType) -> bool:
    """``op`` is one of c7n's, by the schema. c7n compiles patterns, as is done here, and parses dates."""
    if data.get("op") in ("regex", "regex-case") and _groups(data.get("value")) < 0:
        return False
    return (
        "key" in data
        and not data.keys().isdisjoint(("value", "value_from", "value_path"))
        and "tag_key_transforms" not in data
        and ("value_regex" not in data or _groups(data["value_regex"]) == 1)
        and data.get("value_type", "age") in _SIMPLE_VALUE_TYPES
    )


def _groups(pattern: Any) -> int:
    """How many groups a pattern has; -1 where it is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return re.compile(pattern).groups
    except (re.error, TypeError, OverflowError, RecursionError):
        return -1


def _metrics(data: Mapping[str, Any], _type: ResourceType) -> bool:
    days, statistic = data.get("days", 0), data.get("statistics", "Average")
    known = statistic in _STATISTICS or _PERCENTILE.match(statistic) is not None
    return known and isinstance(days, int | float) and days <= _MAX_DAYS


def _marked(data: Mapping[str, Any], type_: ResourceType) -> bool:
    """Of marking as of what is marked: ``op`` must be an action of the type."""
    op = data.get("op")
    element = type_.actions.get(op) if isinstance(op, str) else None
    return element is not None and not element.alias and data.get("tz", "utc") == "utc"


def _tag(data: Mapping[str, Any], _type: ResourceType) -> bool:
    return not (data.get("key") and data.get("tag"))


def _cross_account(data: Mapping[str, Any], _type: ResourceType) -> bool:
    return "whitelist_org_units" not in data


def _hours(data: Mapping[str, Any], _type: ResourceType) -> bool:
    hours = (data.get(key, 0) for key in ("offhour", "onhour"))
    known = all(isinstance(hour, int) and 0 <= hour < 24 for hour in hours)
    return known and data.get("default_tz", "et") in _ZONES and not {"skip-days", "skip-days-from"} <= data.keys()


def _notify(data: Mapping[str, Any], _type: ResourceType) -> bool:
    transport = data.get("transport", {})
    return isinstance(transport, Mapping) and "attributes" not in transport


_CHECKS: Final[Mapping[str, Callable[[Mapping[str, Any], ResourceType], bool]]] = {
    "": _always,
    "ValueFilter.validate": _value,
    "MetricsFilter.validate": _metrics,
    "TagActionFilter.validate": _marked,
    "TagDelayedAction.validate": _marked,
    "Tag.validate": _tag,
    "Notify.validate": _notify,
    "CrossAccountAccessFilter.validate": _cross_account,
    "MatchResourceValidator.validate": _value,
    "RelatedResourceFilter.validate": _value,
    "Time.validate": _hours,
}
