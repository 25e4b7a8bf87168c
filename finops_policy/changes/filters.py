"""PURE: whether a list of Cloud Custodian filters selects more resources than another, or fewer.

Only what follows from the filters alone is claimed: a limit that moves, a list that grows, a filter that comes or goes.
All else is unclear, with the reason. Filters are compared as if each resource were judged by itself.

What is known of c7n: ``value_type: age`` and ``expiration`` compare days, whichever way round c7n does it, so that
``op: ge`` with a higher value selects fewer; a metrics filter selects a resource when every datapoint meets its
condition; a filter drops what it cannot compare.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

Steps = tuple[str | int, ...]
Resolve = Callable[[Any], Any]
"""Puts parameters' values into what is written."""

GROUPS: Final = ("and", "or", "not")
UPPER: Final = {"lt": True, "less-than": True, "le": False, "lte": False}
"""Operators that set an upper limit -> whether the limit itself is excluded."""
LOWER: Final = {"gt": True, "greater-than": True, "ge": False, "gte": False}
NUMBERS: Final = (
    *(None, "integer", "float", "size", "unique_size", "cidr_size", "resource_count", "age", "expiration"),
)
"""Value types that compare numbers, in the direction that the operator says."""
UNITS: Final = {"days": 1440, "hours": 60, "minutes": 1}
ORDERED: Final = ("reduce", "resource_count")
"""Filters whose answer depends on the ones before them."""


class Reach(StrEnum):
    """How many resources are selected, compared with before."""

    MORE = "more"
    FEWER = "fewer"
    SAME = "same"
    UNCLEAR = "unclear"

    def negated(self) -> Reach:
        return {Reach.MORE: Reach.FEWER, Reach.FEWER: Reach.MORE}.get(self, self)


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference of two filter lists; ``steps`` lead to it in the new list, or in the old one where it went."""

    steps: Steps
    old: Any
    new: Any
    reach: Reach
    why: str


ABSENT: Final = None
"""Stands for what is not there, among ``old`` and ``new``: no filter and no field of one is written as null."""


def compare_all(old: Sequence[Any], new: Sequence[Any], resolve: Resolve) -> list[Difference]:
    """The differences of two lists whose filters must all match."""
    found = _sorted(_lists(old, new, (), resolve, added=Reach.FEWER))
    if any(word in text([list(old), list(new)]) for word in ORDERED):
        why = "a filter that counts or sorts may see other resources"
        return [replace(each, reach=Reach.UNCLEAR, why=why) for each in found]
    return found


def normal(filter_: Any) -> Any:
    """A filter without short forms: a mapping with ``type``, or a group."""
    if isinstance(filter_, str):
        return {"type": filter_}
    if isinstance(filter_, Mapping) and "type" not in filter_ and len(filter_) == 1:
        [(key, value)] = filter_.items()
        if key not in GROUPS:
            return {"type": "value", "key": key, "value": value}
    return filter_


def text(value: Any) -> str:
    """A value as text that tells it from every other one."""
    return json.dumps(value, sort_keys=True, default=str)


def _sorted(found: Iterable[Difference]) -> list[Difference]:
    return sorted(found, key=lambda each: [(isinstance(step, str), str(step).zfill(6)) for step in each.steps])


def _lists(
    old: Sequence[Any], new: Sequence[Any], steps: Steps, resolve: Resolve, *, added: Reach
) -> Iterator[Difference]:
    """``added`` is what one filter more does: in an ``or`` it selects more."""
    left = _waiting(old, new, resolve)
    right = _waiting(new, old, resolve)
    if not left and not right:
        yield from _rewritten(old, new, steps, resolve)
        return
    pairs, gone, come = _paired(old, left, new, right, resolve)
    for index in gone:
        yield Difference((*steps, index), old[index], ABSENT, added.negated(), _moved(added.negated(), "gone"))
    for before, after in pairs:
        yield from _one(old[before], new[after], (*steps, after), resolve)
    for index in come:
        yield Difference((*steps, index), ABSENT, new[index], added, _moved(added, "added"))


def _moved(reach: Reach, what: str) -> str:
    amount = "more resources match" if reach is Reach.MORE else "fewer resources match"
    return f"a filter is {what}: {amount}"


def _waiting(these: Sequence[Any], those: Sequence[Any], resolve: Resolve) -> list[int]:
    """Indexes of what has no equal among the others."""
    equal: dict[str, int] = {}
    for each in those:
        key = text(normal(resolve(each)))
        equal[key] = equal.get(key, 0) + 1
    found = []
    for index, each in enumerate(these):
        key = text(normal(resolve(each)))
        if equal.get(key, 0):
            equal[key] -= 1
        else:
            found.append(index)
    return found


def _rewritten(old: Sequence[Any], new: Sequence[Any], steps: Steps, resolve: Resolve) -> Iterator[Difference]:
    """The same filters: what may differ is their order, and how they are written."""
    if [text(each) for each in old] == [text(each) for each in new]:
        return
    if [text(normal(resolve(each))) for each in old] == [text(normal(resolve(each))) for each in new]:
        for index, (before, after) in enumerate(zip(old, new, strict=True)):
            if text(before) != text(after):
                yield Difference((*steps, index), before, after, Reach.SAME, "written otherwise, with the same meaning")
        return
    yield Difference(steps, list(old), list(new), Reach.SAME, "only the order of the filters")


def _paired(
    old: Sequence[Any], left: list[int], new: Sequence[Any], right: list[int], resolve: Resolve
) -> tuple[list[tuple[int, int]], list[int], list[int]]:
    """Filters that are versions of one another, and those that have gone or come: by what they look at, closely
    first."""
    pairs = []
    gone, come = list(left), list(right)
    for keys in (("key", "name", "statistics", "value_type"), ("key", "name")):
        for before in list(gone):
            subject = _subject(normal(resolve(old[before])), keys)
            after = next((each for each in come if _subject(normal(resolve(new[each])), keys) == subject), None)
            if after is not None:
                gone.remove(before)
                come.remove(after)
                pairs.append((before, after))
    return pairs, gone, come


def _subject(filter_: Any, keys: Sequence[str]) -> tuple[str, ...]:
    if not isinstance(filter_, Mapping):
        return (text(filter_),)
    if "type" not in filter_:
        return tuple(map(str, filter_))
    return (str(filter_["type"]), *(text(filter_.get(key)) for key in keys))


def _one(old: Any, new: Any, steps: Steps, resolve: Resolve) -> Iterator[Difference]:
    """Two versions of one filter."""
    group = _group(old)
    if group and group == _group(new):
        yield from _groups(group, old[group], new[group], (*steps, group), resolve)
        return
    before, after = normal(resolve(old)), normal(resolve(new))
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        yield Difference(steps, old, new, Reach.UNCLEAR, "another filter")
        return
    changed = sorted(key for key in {*before, *after} if text(before.get(key)) != text(after.get(key)))
    reach, why = _leaf(before, after, set(changed))
    if len(changed) == 1 and isinstance(old, Mapping) and isinstance(new, Mapping) and "type" in old and "type" in new:
        [key] = changed
        yield Difference((*steps, key), old.get(key, ABSENT), new.get(key, ABSENT), reach, why)
    else:
        yield Difference(steps, old, new, reach, why)


def _group(filter_: Any) -> str:
    if isinstance(filter_, Mapping) and len(filter_) == 1:
        [(key, items)] = filter_.items()
        return key if key in GROUPS and isinstance(items, list | tuple) else ""
    return ""


def _groups(group: str, old: Sequence[Any], new: Sequence[Any], steps: Steps, resolve: Resolve) -> Iterator[Difference]:
    """A ``not`` matches where not all of its filters do: less inside is more outside."""
    added = Reach.MORE if group == "or" else Reach.FEWER
    for each in _lists(old, new, steps, resolve, added=added):
        if group != "not":
            yield each
            continue
        reach = each.reach.negated()
        why = each.why if reach is each.reach else f"within `not`, {each.why}; so {reach} do"
        yield Difference(each.steps, each.old, each.new, reach, why)


# --- one filter -------------------------------------------------------------------------------------------------------


def _leaf(old: Mapping[str, Any], new: Mapping[str, Any], changed: set[str]) -> tuple[Reach, str]:
    kind = new.get("type")
    if kind != old.get("type"):
        return Reach.UNCLEAR, "another filter"
    if is_age(kind) and changed <= {*UNITS, "op"}:
        return _limits(_limit(old, _minutes(old), "greater-than"), _limit(new, _minutes(new), "greater-than"))
    if kind == "metrics":
        return _metrics(old, new, changed)
    if kind == "value" and changed <= {"value", "op"}:
        if _is_list(old) and _is_list(new) and old.get("op") == new.get("op"):
            return _items(old["value"], new["value"], str(new.get("op")))
        if new.get("value_type") in NUMBERS:
            return _limits(_limit(old, old.get("value"), ""), _limit(new, new.get("value"), ""))
    return Reach.UNCLEAR, "it selects other resources, maybe more, maybe fewer"


def is_age(kind: Any) -> bool:
    """Whether a type of filter compares an age, by its name: c7n's all end so."""
    return isinstance(kind, str) and (kind == "age" or kind.endswith(("-age", "-uptime")))


def _minutes(filter_: Mapping[str, Any]) -> Any:
    parts = [filter_.get(unit, 0) for unit in UNITS]
    return (
        sum(part * size for part, size in zip(parts, UNITS.values(), strict=True)) if all(map(_number, parts)) else None
    )


def _metrics(old: Mapping[str, Any], new: Mapping[str, Any], changed: set[str]) -> tuple[Reach, str]:
    if changed <= {"value", "op"}:
        return _limits(_limit(old, old.get("value"), "less-than"), _limit(new, new.get("value"), "less-than"))
    if changed & {"days", "period", "period-start"}:
        return Reach.UNCLEAR, "another window or period has other datapoints"
    if changed == {"missing-value"}:
        return Reach.UNCLEAR, "resources without datapoints are judged otherwise"
    return Reach.UNCLEAR, "it measures something else"


@dataclass(frozen=True, slots=True)
class _Limit:
    upper: bool
    value: float
    excluded: bool


def _limit(filter_: Mapping[str, Any], value: Any, default: str) -> _Limit | None:
    op = str(filter_.get("op", default))
    if not _number(value) or op not in {**UPPER, **LOWER}:
        return None
    return _Limit(op in UPPER, value, UPPER[op] if op in UPPER else LOWER[op])


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _limits(old: _Limit | None, new: _Limit | None) -> tuple[Reach, str]:
    """A limit that moved: up or down, or from excluded to included."""
    if old is None or new is None or old.upper is not new.upper:
        return Reach.UNCLEAR, "it selects other resources, maybe more, maybe fewer"
    if (old.value, old.excluded) == (new.value, new.excluded):
        return Reach.SAME, "the same limit, written otherwise"
    side = "upper" if new.upper else "lower"
    if old.value == new.value:
        now = "no longer meets" if new.excluded else "now meets"
        return (Reach.FEWER if new.excluded else Reach.MORE), f"the {side} limit itself {now} the condition"
    higher = new.value > old.value
    reach = Reach.MORE if higher is new.upper else Reach.FEWER
    return reach, f"{'a higher' if higher else 'a lower'} {side} limit: {reach} resources match"


def _is_list(filter_: Mapping[str, Any]) -> bool:
    return isinstance(filter_.get("value"), list | tuple) and filter_.get("op") in ("in", "ni", "not-in", "intersect")


def _items(old: Sequence[Any], new: Sequence[Any], op: str) -> tuple[Reach, str]:
    before, after = set(map(text, old)), set(map(text, new))
    if before == after:
        return Reach.SAME, "only the order of the list"
    if not (before < after or after < before):
        return Reach.UNCLEAR, "the list lost some values and got others"
    longer = before < after
    reach = Reach.MORE if longer is (op in ("in", "intersect")) else Reach.FEWER
    return reach, f"the list is {'longer' if longer else 'shorter'}: {reach} resources match"
