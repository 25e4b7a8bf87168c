"""Listens to c7n's filters while c7n runs them: what each one read of each resource, and where it could not decide.

A filter that drops a resource says "no" even when it had nothing to look at. For the kinds of filter that read values,
dates and metrics this module tells a "no" from a "don't know", in the three-valued logic of Kleene. Filters of any
other kind are believed, unless a call failed while they judged: c7n swallows some of those.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from finops_policy.answers import FailedCalls
from finops_policy.custodian.metrics import Metrics, metric_fact
from finops_policy.custodian.notes import READ_ERRORS, Answer, IdOf, Notes, Resource, Truth
from finops_policy.failures import Failure, explain
from finops_policy.model import Fact, FailureKind

BUCKET_PARTS = {
    "bucket-logging": "Logging",
    "bucket-notification": "Notification",
    "bucket-replication": "Replication",
    "cross-account": "Policy",
    "global-grants": "Acl",
    "has-statement": "Policy",
    "is-log-target": "Logging",
    "marked-for-op": "Tags",
    "missing-policy-statement": "Policy",
    "missing-statement": "Policy",
    "no-encryption-statement": "Policy",
    "tag-count": "Tags",
}
"""Filters on buckets, and which part of a bucket they read."""
PRESENCE_TESTS = ("absent", "present", "empty", "not-null")

Describe = Callable[[Any, Resource, bool], Fact]
Doubt = Callable[[Any, Resource, bool], "Answer | None"]


class Observer:
    """Puts ears on a policy's filters, and answers for them afterwards."""

    def __init__(self, filters: Iterable[Any], id_of: IdOf, metrics: Metrics, failed_calls: FailedCalls) -> None:
        from c7n.filters.core import BooleanGroupFilter

        self._group = BooleanGroupFilter
        self._id_of = id_of
        self._metrics = metrics
        self._failed_calls = failed_calls
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
        _ear(filter_, notes, self._id_of, self._metrics, self._failed_calls)

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

    def failure(self, filters: Iterable[Any], resource_id: str) -> Failure | None:
        """The first call that failed for the resource, in whichever filter: a later one may lack what it would have
        read, and not know why."""
        for each in filters:
            if isinstance(each, self._group):
                found = self.failure(each.filters, resource_id)
            else:
                answer = self._notes[id(each)].undecided.get(resource_id)
                found = answer.failure if answer else None
            if found:
                return found
        return None

    def facts(self, filters: Iterable[Any], resource_id: str) -> list[Fact]:
        """The facts of every filter that saw the resource, in the order written."""
        found: list[Fact] = []
        for each in filters:
            if isinstance(each, self._group):
                found += self.facts(each.filters, resource_id)
            elif resource_id in self._notes[id(each)].facts:
                found.append(self._notes[id(each)].facts[resource_id])
        return found


def _ear(filter_: Any, notes: Notes, id_of: IdOf, metrics: Metrics, failed_calls: FailedCalls) -> None:
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
        describe, doubt_of = _other_fact, _bucket_doubt
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
        before = failed_calls.count
        kept = list(original(resources, event))
        if not isinstance(filter_, MetricsFilter):  # these tell by themselves what they could not read
            _unheard(filter_, failed_calls, before, notes, map(id_of, resources))
        kept_ids = {id_of(each) for each in kept}
        for resource in resources:
            resource_id = id_of(resource)
            note(resource, resource_id, resource_id in kept_ids)
        return kept

    def process_one_by_one(resources: list[Resource], _event: Any = None) -> list[Resource]:
        kept = []
        for resource in resources:
            resource_id = id_of(resource)
            before = failed_calls.count
            matched = _judge_one(filter_, resource, notes, resource_id)
            _unheard(filter_, failed_calls, before, notes, [resource_id])
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


def _unheard(filter_: Any, failed_calls: FailedCalls, before: int, notes: Notes, ids: Iterable[str]) -> None:
    """Where c7n goes on after a call that failed, nobody knows which resource it was for: all are in doubt."""
    if failed_calls.count == before:
        return
    if error := failed_calls.first_since(before):
        failure = explain(error)
        answer = Answer(Truth.UNKNOWN, f"a call of {_kind(filter_)} failed: {failure.message}", failure)
        notes.undecided.update(dict.fromkeys(ids, answer))


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
        return _unread_part(filter_, resource, "Tags")
    if filter_.manager.type == "s3" and (doubt := _unread_part(filter_, resource, re.split(r"[.\[]", key)[0])):
        return doubt
    if matched or expected is None or (isinstance(expected, str) and expected in PRESENCE_TESTS):
        return None
    if filter_.get_resource_value(key, resource) is None:
        return Answer(Truth.UNKNOWN, f"attribute absent: {key}")
    if filter_.data.get("value_type") == "expr" and filter_.get_resource_value(expected, resource) is None:
        return Answer(Truth.UNKNOWN, f"attribute absent: {expected}")
    return _incomparable(filter_, key, resource)


def _bucket_doubt(filter_: Any, resource: Resource, _matched: bool) -> Answer | None:
    return _unread_part(filter_, resource, BUCKET_PARTS.get(_kind(filter_), ""))


def _unread_part(filter_: Any, resource: Resource, part: str) -> Answer | None:
    """c7n reads each part of a bucket by a call of its own and goes on when that fails: a bucket whose tags were denied
    looks untagged and is not. A part that was read and is not there has a value, be it None."""
    if filter_.manager.type != "s3" or part in resource:
        return None
    from c7n.resources.s3 import S3_AUGMENT_TABLE

    for method, name, _default, _select, action in S3_AUGMENT_TABLE:
        if name != part:
            continue
        if method in resource.get("c7n:DeniedMethods", ()):
            step = f"Allow {action} in the role's policy, and in the bucket's."
            failure = Failure(FailureKind.OWN_PERMISSION, f"{action} was denied", step)
        elif any("augment-keys" in each for each in filter_.manager.data.get("query", ())):
            return None  # the policy itself may have said not to read it
        else:
            failure = Failure(FailureKind.TIMEOUT, f"{action} did not answer", "Run again.")
        return Answer(Truth.UNKNOWN, f"{part.lower()} could not be read: {failure.message}", failure)
    return None


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
