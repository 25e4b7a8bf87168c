"""Listens to c7n's filters while c7n runs them: what each one read of each resource, and where it could not decide.

A filter that drops a resource says "no" even when it had nothing to look at. For the kinds of filter that read values,
dates and metrics this module tells a "no" from a "don't know", in the three-valued logic of Kleene. Filters of any
other kind are believed. Limits: a filter that swallows errors of its own, other than ``metrics``, is believed too.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from finops_policy import aws
from finops_policy.model import Fact, FailureKind

PRESENCE_TESTS = ("absent", "present", "empty", "not-null")
READ_ERRORS = (AttributeError, IndexError, KeyError, TypeError, ValueError, ZeroDivisionError)
"""What a filter raises on one resource that lacks what it reads (jmespath's and dateutil's errors are ValueErrors)."""

Resource = dict[str, Any]
IdOf = Callable[[Resource], str]
Describe = Callable[[Any, Resource, bool], Fact]
Doubt = Callable[[Any, Resource, bool], "Answer | None"]


class Truth(Enum):
    """Kleene's three values."""

    TRUE = "true"
    FALSE = "false"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Answer:
    """A filter's answer on one resource. ``failure``: a call to AWS failed, rather than that AWS had nothing to say."""

    truth: Truth
    reason: str = ""
    failure: aws.Failure | None = None


@dataclass(slots=True)
class Notes:
    """What one filter did, by resource id."""

    kept: set[str] = field(default_factory=set)
    dropped: set[str] = field(default_factory=set)
    undecided: dict[str, Answer] = field(default_factory=dict)
    facts: dict[str, Fact] = field(default_factory=dict)

    def answer(self, resource_id: str) -> Answer | None:
        """``None`` when the filter never saw the resource."""
        if resource_id in self.undecided:
            return self.undecided[resource_id]
        if resource_id in self.kept:
            return Answer(Truth.TRUE)
        return Answer(Truth.FALSE) if resource_id in self.dropped else None


class Observer:
    """Puts ears on a policy's filters, and answers for them afterwards."""

    def __init__(self, filters: Iterable[Any], id_of: IdOf) -> None:
        from c7n.filters.core import BooleanGroupFilter

        self._group = BooleanGroupFilter
        self._id_of = id_of
        self._notes: dict[int, Notes] = {}
        for each in filters:
            self._listen(each)

    def _listen(self, filter_: Any) -> None:
        if isinstance(filter_, self._group):
            for child in filter_.filters:
                self._listen(child)
            return
        notes = self._notes[id(filter_)] = Notes()
        _ear(filter_, notes, self._id_of)

    def all_of(self, filters: Iterable[Any], resource_id: str) -> Answer:
        """The conjunction of filters, as c7n runs them: the first that is not true decides."""
        for each in filters:
            answer = self.answer(each, resource_id)
            if answer.truth is not Truth.TRUE:
                return answer
        return Answer(Truth.TRUE)

    def answer(self, filter_: Any, resource_id: str) -> Answer:
        if not isinstance(filter_, self._group):
            answer = self._notes[id(filter_)].answer(resource_id)
            return answer or Answer(Truth.UNKNOWN, f"filter {_kind(filter_)} never saw the resource")
        if filter_.type == "or":
            return self._any_of(filter_.filters, resource_id)
        answer = self.all_of(filter_.filters, resource_id)
        if filter_.type == "not" and answer.truth is not Truth.UNKNOWN:
            return Answer(Truth.FALSE if answer.truth is Truth.TRUE else Truth.TRUE)
        return answer

    def _any_of(self, filters: Iterable[Any], resource_id: str) -> Answer:
        answers = [self.answer(each, resource_id) for each in filters]
        for truth in (Truth.TRUE, Truth.UNKNOWN):
            for answer in answers:
                if answer.truth is truth:
                    return answer
        return Answer(Truth.FALSE)

    def facts(self, filters: Iterable[Any], resource_id: str) -> list[Fact]:
        """The facts of every filter that saw the resource, in the order written."""
        found: list[Fact] = []
        for each in filters:
            if isinstance(each, self._group):
                found += self.facts(each.filters, resource_id)
            elif resource_id in self._notes[id(each)].facts:
                found.append(self._notes[id(each)].facts[resource_id])
        return found


def _ear(filter_: Any, notes: Notes, id_of: IdOf) -> None:
    """Replaces ``filter_.process`` by one that takes notes; c7n's own code still answers."""
    from c7n.filters.core import AgeFilter, Filter, ValueFilter
    from c7n.filters.metrics import MetricsFilter

    original = filter_.process
    # The method the filter's class defines: these two judge resources one by one.
    one_by_one = type(filter_).process in (Filter.process, ValueFilter.process) and (
        filter_.data.get("value_type") != "resource_count"
    )
    describe: Describe
    doubt_of: Doubt
    if isinstance(filter_, MetricsFilter):
        describe, doubt_of = _metric_fact, _no_doubt
        _metrics_one_by_one(filter_, notes, id_of)
    elif isinstance(filter_, AgeFilter):
        describe, doubt_of = _age_fact, _age_doubt
    elif type(filter_) is ValueFilter and one_by_one:
        describe, doubt_of = _value_fact, _value_doubt
    else:
        describe, doubt_of = _other_fact, _no_doubt

    def process(resources: list[Resource], event: Any = None) -> list[Resource]:
        if one_by_one:
            kept = [each for each in resources if _judge_one(filter_, each, notes, id_of(each))]
        else:
            kept = original(resources, event)
        kept_ids = {id_of(each) for each in kept}
        for resource in resources:
            resource_id = id_of(resource)
            matched = resource_id in kept_ids
            (notes.kept if matched else notes.dropped).add(resource_id)
            if resource_id not in notes.undecided and (doubt := doubt_of(filter_, resource, matched)):
                notes.undecided[resource_id] = doubt
            try:
                notes.facts[resource_id] = describe(filter_, resource, matched)
            except READ_ERRORS as error:
                notes.facts[resource_id] = Fact(_kind(filter_), "", f"unreadable: {error}", "", None, matched)
        return list(kept)

    filter_.process = process


def _judge_one(filter_: Any, resource: Resource, notes: Notes, resource_id: str) -> bool:
    """A resource that the filter stumbles over is undecided, and does not spoil the others."""
    try:
        return bool(filter_(resource))
    except READ_ERRORS as error:
        reason = f"{_kind(filter_)} could not read the resource: {type(error).__name__}: {error}"
        notes.undecided[resource_id] = Answer(Truth.UNKNOWN, reason)
        return False


def _metrics_one_by_one(filter_: Any, notes: Notes, id_of: IdOf) -> None:
    """c7n asks CloudWatch for 50 resources at a time and drops all of them when one call fails: ask one by one, and
    write down who failed and who had no datapoints. The stock method still asks and judges. Errors of any other kind
    are bugs: they come through, and fail the cell, where c7n would log them and call the resources compliant."""
    from c7n.executor import MainThreadExecutor

    class LoudExecutor(MainThreadExecutor):  # type: ignore[misc] # c7n has no types
        c7n_async = False

    stock = filter_.process_resource_set

    def process_resource_set(resources: list[Resource]) -> list[Resource]:
        matched = []
        for resource in resources:
            resource_id = id_of(resource)
            try:
                matched += stock([resource])
            except aws.call_errors() as error:
                failure = aws.explain(error)
                reason = f"metrics call failed ({failure.kind}): {failure.message}"
                notes.undecided[resource_id] = Answer(Truth.UNKNOWN, reason, failure)
            except READ_ERRORS as error:
                reason = f"metric {filter_.metric} could not be judged: {type(error).__name__}: {error}"
                notes.undecided[resource_id] = Answer(Truth.UNKNOWN, reason)
            else:
                if not _datapoints(filter_, resource):
                    reason = f"no datapoints of {filter_.namespace} {filter_.metric} in {filter_.days} days"
                    notes.undecided[resource_id] = Answer(Truth.UNKNOWN, reason)
        return matched

    filter_.process_resource_set = process_resource_set
    filter_.executor_factory = LoudExecutor


def _datapoints(filter_: Any, resource: Resource) -> list[Mapping[str, Any]]:
    key = f"{filter_.namespace}.{filter_.metric}.{filter_.statistics}.{filter_.days}"
    points: list[Mapping[str, Any]] = resource.get("c7n.metrics", {}).get(key, [])
    return points


def _kind(filter_: Any) -> str:
    kind = filter_.data.get("type", "value") if isinstance(filter_.data, Mapping) else filter_.data
    return str(kind)


# --- facts: what a filter read ----------------------------------------------------------------------------------------


def _value_parts(filter_: Any) -> tuple[str, Any]:
    """The key a value filter reads and what it compares with; ``{key: value}`` is its short form."""
    data = filter_.data
    if "type" not in data and len(data) == 1:
        [(key, expected)] = data.items()
        return key, expected
    return data.get("key", ""), data.get("value", data.get("value_from", data.get("value_path")))


def _value_fact(filter_: Any, resource: Resource, matched: bool) -> Fact:
    key, expected = _value_parts(filter_)
    if filter_.data.get("value_type") == "expr":
        expected = filter_.get_resource_value(expected, resource)
    value = filter_.get_resource_value(key, resource)
    op = filter_.data.get("op", "eq")
    if filter_.data.get("value_type") not in (None, "expr"):
        op = f"{op} ({filter_.data['value_type']})"
    return Fact("value", key, value, op, expected, matched)


def _age_fact(filter_: Any, resource: Resource, matched: bool) -> Fact:
    since = filter_.get_resource_date(resource)
    value = since.astimezone(dt.UTC).isoformat() if since else None
    expected = {unit: filter_.data[unit] for unit in ("days", "hours", "minutes") if unit in filter_.data}
    return Fact(_kind(filter_), "age", value, filter_.data.get("op", "greater-than"), expected, matched)


def _metric_fact(filter_: Any, resource: Resource, matched: bool) -> Fact:
    """The datapoint that decides: all must meet the condition, so it is the one closest to breaking it."""
    points = [
        point.get("ExtendedStatistics", point).get(filter_.statistics) for point in _datapoints(filter_, resource)
    ]
    values = [each for each in points if each is not None]
    op = filter_.data.get("op", "less-than")
    decisive: Any = None
    if values:
        decisive = min(values) if op in ("gt", "ge", "gte", "greater-than") else max(values)
    filled = any("c7n:detail" in point for point in _datapoints(filter_, resource))
    count = "no datapoints, filled in" if filled else f"{len(values)} datapoints"
    key = f"{filter_.metric} {filter_.statistics} over {filter_.days} days ({count})"
    if "percent-attr" in filter_.data:
        key += f", percent of {filter_.data['percent-attr']}"
    return Fact("metrics", key, decisive, op, filter_.data["value"], matched)


def _other_fact(filter_: Any, _resource: Resource, matched: bool) -> Fact:
    data = filter_.data if isinstance(filter_.data, Mapping) else {}
    expected = {key: value for key, value in data.items() if key != "type"}
    return Fact(_kind(filter_), "", None, "", expected, matched)


# --- doubt: why a "no" may be a "don't know" ----------------------------------------------------------------------


def _no_doubt(_filter: Any, _resource: Resource, _matched: bool) -> Answer | None:
    return None


def _value_doubt(filter_: Any, resource: Resource, matched: bool) -> Answer | None:
    key, expected = _value_parts(filter_)
    if key.startswith("tag:"):
        return _unread_tags(filter_, resource)
    if matched or expected is None or (isinstance(expected, str) and expected in PRESENCE_TESTS):
        return None
    if filter_.get_resource_value(key, resource) is None:
        return Answer(Truth.UNKNOWN, f"attribute absent: {key}")
    if filter_.data.get("value_type") == "expr" and filter_.get_resource_value(expected, resource) is None:
        return Answer(Truth.UNKNOWN, f"attribute absent: {expected}")
    return _incomparable(filter_, key, resource)


def _unread_tags(filter_: Any, resource: Resource) -> Answer | None:
    """c7n reads a bucket's tags by a call of their own and goes on when it fails: such a bucket looks untagged and is
    not. One that was read and has no tags has an empty list."""
    if filter_.manager.type != "s3" or "Tags" in resource:
        return None
    if "get_bucket_tagging" in resource.get("c7n:DeniedMethods", ()):
        step = "Allow s3:GetBucketTagging in the role's policy, and in the bucket's."
        failure = aws.Failure(FailureKind.OWN_PERMISSION, "s3:GetBucketTagging was denied", step)
    else:
        failure = aws.Failure(FailureKind.TIMEOUT, "s3:GetBucketTagging did not answer", "Run again.")
    return Answer(Truth.UNKNOWN, f"tags could not be read: {failure.message}", failure)


def _incomparable(filter_: Any, key: str, resource: Resource) -> Answer | None:
    """c7n answers "no" where a comparison makes no sense: text against a number, or a date that is none."""
    from c7n.filters.core import OPERATORS

    op = OPERATORS.get(filter_.data.get("op", ""))
    value, expected = filter_.get_resource_value(key, resource), filter_.v
    if op is None or filter_.data.get("op") in ("in", "ni", "not-in"):
        return None
    try:
        if filter_.vtype is not None:
            expected, value = filter_.process_value_type(expected, value, resource)
        op(value, expected)
    except READ_ERRORS:
        return Answer(Truth.UNKNOWN, f"{key} cannot be compared: {filter_.get_resource_value(key, resource)!r}")
    return None


def _age_doubt(filter_: Any, resource: Resource, matched: bool) -> Answer | None:
    if matched or filter_.get_resource_date(resource):
        return None
    return Answer(Truth.UNKNOWN, f"{_kind(filter_)}: the resource has no such date")
