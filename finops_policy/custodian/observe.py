"""Listens to c7n's filters while c7n runs them: what each one read of each resource, and where it could not decide.

A filter that drops a resource says "no" even when it had nothing to look at. For the kinds of filter that read values,
dates and metrics this module tells a "no" from a "don't know", in the three-valued logic of Kleene. Filters of any
other kind are believed. Limits: a filter that swallows errors of its own, other than ``metrics``, is believed too.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from finops_policy.custodian.metrics import Metrics, metric_fact
from finops_policy.custodian.notes import READ_ERRORS, Answer, IdOf, Notes, Resource, Truth
from finops_policy.failures import Failure
from finops_policy.model import Fact, FailureKind

PRESENCE_TESTS = ("absent", "present", "empty", "not-null")

Describe = Callable[[Any, Resource, bool], Fact]
Doubt = Callable[[Any, Resource, bool], "Answer | None"]


class Observer:
    """Puts ears on a policy's filters, and answers for them afterwards."""

    def __init__(self, filters: Iterable[Any], id_of: IdOf, metrics: Metrics) -> None:
        from c7n.filters.core import BooleanGroupFilter

        self._group = BooleanGroupFilter
        self._id_of = id_of
        self._metrics = metrics
        self._notes: dict[int, Notes] = {}
        self.one_by_one = True
        """Whether no filter looks at more than one resource at a time."""
        for each in filters:
            self._listen(each)

    def _listen(self, filter_: Any) -> None:
        if isinstance(filter_, self._group):
            for child in filter_.filters:
                self._listen(child)
            return
        self.one_by_one = self.one_by_one and (_one_by_one(filter_) or _reads_metrics(filter_))
        notes = self._notes[id(filter_)] = Notes()
        _ear(filter_, notes, self._id_of, self._metrics)

    def forget(self) -> None:
        """Lets go of what was written down so far."""
        for each in self._notes.values():
            each.forget()

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


def _ear(filter_: Any, notes: Notes, id_of: IdOf, metrics: Metrics) -> None:
    """Replaces ``filter_.process`` by one that takes notes; c7n's own code still answers."""
    from c7n.filters.core import AgeFilter, ValueFilter
    from c7n.filters.metrics import MetricsFilter

    one_by_one = _one_by_one(filter_)
    describe: Describe
    doubt_of: Doubt
    if isinstance(filter_, MetricsFilter):
        describe, doubt_of = metric_fact, _no_doubt
        metrics.hook(filter_, notes, id_of)
    elif isinstance(filter_, AgeFilter):
        describe, doubt_of = _age_fact, _age_doubt
    elif type(filter_) is ValueFilter and one_by_one:
        describe, doubt_of = _value_fact, _value_doubt
        _remember_value(filter_)
    else:
        describe, doubt_of = _other_fact, _no_doubt
    original = filter_.process

    def note(resource: Resource, resource_id: str, matched: bool) -> None:
        (notes.kept if matched else notes.dropped).add(resource_id)
        if resource_id not in notes.undecided and (doubt := doubt_of(filter_, resource, matched)):
            notes.undecided[resource_id] = doubt
        try:
            notes.facts[resource_id] = describe(filter_, resource, matched)
        except READ_ERRORS as error:
            notes.facts[resource_id] = Fact(_kind(filter_), "", f"unreadable: {error}", "", None, matched)

    def process(resources: list[Resource], event: Any = None) -> list[Resource]:
        kept = list(original(resources, event))
        kept_ids = {id_of(each) for each in kept}
        for resource in resources:
            resource_id = id_of(resource)
            note(resource, resource_id, resource_id in kept_ids)
        return kept

    def process_one_by_one(resources: list[Resource], _event: Any = None) -> list[Resource]:
        kept = []
        for resource in resources:
            resource_id = id_of(resource)
            matched = _judge_one(filter_, resource, notes, resource_id)
            note(resource, resource_id, matched)
            if matched:
                kept.append(resource)
        return kept

    filter_.process = process_one_by_one if one_by_one else process


def _remember_value(filter_: Any) -> None:
    """Reading a value is most of a value filter's work; its fact and its doubt read the same of the same resource."""
    stock = filter_.get_resource_value
    last: tuple[Any, ...] = ()
    value: Any = None

    def get_resource_value(key: Any, resource: Resource) -> Any:
        nonlocal last, value
        if not (last and last[0] is resource and last[1] == key):
            value = stock(key, resource)
            last = (resource, key)
        return value

    filter_.get_resource_value = get_resource_value


def _one_by_one(filter_: Any) -> bool:
    """Whether a filter judges each resource by itself, as the two methods do that most classes inherit. One with a
    ``process`` of its own may count or sort what it is given (``reduce``), or look up for all of it at once what it
    compares with (``security-group``)."""
    from c7n.filters.core import Filter, ValueFilter

    inherited = type(filter_).process in (Filter.process, ValueFilter.process)
    return inherited and filter_.data.get("value_type") != "resource_count"


def _reads_metrics(filter_: Any) -> bool:
    from c7n.filters.metrics import MetricsFilter

    return type(filter_).process is MetricsFilter.process


def _judge_one(filter_: Any, resource: Resource, notes: Notes, resource_id: str) -> bool:
    """A resource that the filter stumbles over is undecided, and does not spoil the others."""
    try:
        return bool(filter_(resource))
    except READ_ERRORS as error:
        reason = f"{_kind(filter_)} could not read the resource: {type(error).__name__}: {error}"
        notes.undecided[resource_id] = Answer(Truth.UNKNOWN, reason)
        return False


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
        failure = Failure(FailureKind.OWN_PERMISSION, "s3:GetBucketTagging was denied", step)
    else:
        failure = Failure(FailureKind.TIMEOUT, "s3:GetBucketTagging did not answer", "Run again.")
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
