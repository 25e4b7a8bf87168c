"""c7n's filters over what a run recorded: what a policy would have said of a resource then.

c7n decides. Its own value, age and metrics filters judge what was recorded; of every other filter only the answer
itself was recorded, and serves where the filter is exactly the same. A filter that needs anything else has no answer,
and neither has whatever depends on it: that is unknown with its reason, never "no". Filters are joined as in a run: the
first that is not true decides.

Time is the moment of the run. c7n takes a date in the place of a number of days, so its clock is left alone.

Limits: a date and a text are recorded alike; a text that looks like a date is only compared as a date. What filters
write into a resource for later ones is known for the same policy alone, with the same filters of that kind.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from finops_policy import aws
from finops_policy.answers import FailedCalls
from finops_policy.changes.filters import UNITS, normal, text
from finops_policy.custodian.account import Account
from finops_policy.custodian.memory import PRESENCE, Gap, Memory, NotRead, author_of
from finops_policy.custodian.metrics import Metrics
from finops_policy.custodian.notes import READ_ERRORS, Answer, IdOf, Notes, Resource, Truth
from finops_policy.custodian.observe import Observer
from finops_policy.model import CompiledPolicy, Target

MEMORY: Final = "finops-policy:memory"
"""Key of a resource that holds what was recorded of it, where c7n does not look."""
DATES: Final = ("age", "expiration", "date")
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")


class Said(StrEnum):
    """What a policy would have said. ``unknown`` is AWS's silence, as in a run; ``unrecorded`` is the evidence's."""

    NONCOMPLIANT = "noncompliant"
    COMPLIANT = "compliant"
    OUTSIDE = "outside"
    UNKNOWN = "unknown"
    UNRECORDED = "unrecorded"


@dataclass(frozen=True, slots=True)
class Prediction:
    said: Said
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Step:
    """Of one filter: c7n's own answer, and the one in three values. With a ``gap`` there is neither."""

    kept: bool
    answer: Answer
    gap: str = ""


_YES, _NO = _Step(True, Answer(Truth.TRUE)), _Step(False, Answer(Truth.FALSE))


class Recorded:
    """Loads policies and asks them about recorded resources. Nothing here reaches AWS."""

    def __init__(self, partition: str) -> None:
        self._partition = partition
        self._sessions: dict[str, Any] = {}
        self._policies: dict[str, _Policy] = {}

    def judge(self, policy: CompiledPolicy, target: Target, memory: Memory, moment: dt.datetime) -> Prediction:
        """What ``policy`` would have said of a resource at ``moment``. Raises what c7n raises for a policy that it
        refuses."""
        if memory.twice:
            return Prediction(Said.UNRECORDED, "two resources have this id")
        return self._policy(policy, target).judge(memory, moment)

    def id_path(self, resource_type: str) -> str:
        from finops_policy.custodian.library import manager_class

        return str(manager_class(resource_type).resource_type.id)

    def _policy(self, policy: CompiledPolicy, target: Target) -> _Policy:
        """Loading takes milliseconds: only variables make a policy another one in another target."""
        judged = policy.judged
        filters = text(judged["filters"])
        place = str(target) if "{" in filters.replace('{"', "") else ""
        key = text([policy.name, policy.resource, policy.scope_length, filters, place])
        if key not in self._policies:
            if target.region not in self._sessions:
                keys = aws.Credentials("offline", "offline", "offline")
                self._sessions[target.region] = aws.session(target.region, keys)
            account = Account(target, self._partition, self._sessions[target.region])
            document = {name: judged[name] for name in ("name", "resource", "filters")}
            author = author_of(policy.name, judged["filters"])
            self._policies[key] = _Policy(account.load(document), policy.scope_length, author)
        return self._policies[key]


class _Policy:
    """A loaded policy whose filters read from memory."""

    def __init__(self, loaded: Any, scope_length: int, author: str) -> None:
        from c7n.filters.core import BooleanGroupFilter

        filters = loaded.resource_manager.filters
        self._group = BooleanGroupFilter
        self._scope, self._violation = filters[:scope_length], filters[scope_length:]
        self._clock = _Clock()
        self._judged = {id(each) for each in self._leaves(filters) if _read_from_memory(each, author, self._clock)}
        self._observer = Observer(filters, _id_of, _Readings(), FailedCalls())

    def judge(self, memory: Memory, moment: dt.datetime) -> Prediction:
        self._clock.now = moment
        resource = {**memory.document(), MEMORY: memory}
        try:
            scope = self._all_of(self._scope, resource)
            if scope.gap:
                return Prediction(Said.UNRECORDED, f"whether it is in scope: {scope.gap}")
            if not scope.kept:
                doubt = scope.answer.truth is Truth.UNKNOWN
                return Prediction(Said.UNKNOWN, scope.answer.reason) if doubt else Prediction(Said.OUTSIDE)
            step = self._all_of(self._violation, resource)
        finally:
            self._observer.forget()
        if step.gap:
            return Prediction(Said.UNRECORDED, step.gap)
        if not step.kept and step.answer.truth is Truth.UNKNOWN:
            return Prediction(Said.UNKNOWN, step.answer.reason)
        return Prediction(Said.NONCOMPLIANT if step.kept else Said.COMPLIANT)

    def _leaves(self, filters: Iterable[Any]) -> Iterator[Any]:
        for each in filters:
            if isinstance(each, self._group):
                yield from self._leaves(each.filters)
            else:
                yield each

    def _all_of(self, filters: Iterable[Any], resource: Resource) -> _Step:
        """As c7n runs them: one after the other, until one does not keep the resource."""
        answer = Answer(Truth.TRUE)
        for each in filters:
            step = self._one(each, resource)
            if step.gap:
                return step
            if answer.truth is Truth.TRUE:
                answer = step.answer
            if not step.kept:
                return _Step(False, answer)
        return _Step(True, answer)

    def _any_of(self, filters: Iterable[Any], resource: Resource) -> _Step:
        steps = [self._one(each, resource) for each in filters]
        kept = any(each.kept for each in steps)
        for truth in (Truth.TRUE, Truth.UNKNOWN):
            for each in steps:
                if each.answer.truth is truth and not each.gap:
                    return _Step(kept, each.answer)
            if gap := next((each for each in steps if each.gap), None):
                return gap
        return _NO

    def _one(self, filter_: Any, resource: Resource) -> _Step:
        if not isinstance(filter_, self._group):
            return self._leaf(filter_, resource)
        if filter_.type == "or":
            return self._any_of(filter_.filters, resource)
        step = self._all_of(filter_.filters, resource)
        if filter_.type != "not" or step.gap:
            return step
        opposite = {Truth.TRUE: Truth.FALSE, Truth.FALSE: Truth.TRUE, Truth.UNKNOWN: Truth.UNKNOWN}
        return _Step(not step.kept, Answer(opposite[step.answer.truth], step.answer.reason))

    def _leaf(self, filter_: Any, resource: Resource) -> _Step:
        memory: Memory = resource[MEMORY]
        leaf = normal(filter_.data)
        try:
            if id(filter_) not in self._judged:
                raise NotRead(f"what filter {leaf['type']} looks at was not recorded")
            kept = bool(filter_.process([resource], None))
        except NotRead as gap:
            recorded = None if _depends_on_others(filter_) else memory.answer(leaf)
            if recorded is None:
                return _Step(False, Answer(Truth.UNKNOWN), str(gap))
            return _YES if recorded else _NO
        except Gap as gap:
            return _Step(False, Answer(Truth.UNKNOWN), str(gap))
        return _Step(kept, self._observer.answer(filter_, memory.resource_id))


class _Clock:
    """The moment as of which filters judge."""

    now = dt.datetime.now(dt.UTC)


def _id_of(resource: Resource) -> str:
    memory: Memory = resource[MEMORY]
    return memory.resource_id


def _depends_on_others(filter_: Any) -> bool:
    """Whether a filter's answer depends on more than the resource."""
    from c7n.filters.core import EventFilter, ReduceFilter

    counts = normal(filter_.data).get("value_type") == "resource_count"
    return counts or isinstance(filter_, EventFilter | ReduceFilter)


def _read_from_memory(filter_: Any, author: str, clock: _Clock) -> bool:
    """Makes a filter of c7n's read what was recorded; false for one of a kind that reads something else."""
    from c7n.filters.core import AgeFilter, Filter, ValueFilter
    from c7n.filters.metrics import MetricsFilter

    kind, leaf = type(filter_), normal(filter_.data)
    if isinstance(filter_, MetricsFilter):
        stock = ("process", "process_resource_set", "get_metric_data")
        filter_.get_dimensions = lambda _resource: []  # the same for a resource, whatever they are
        return all(getattr(kind, name) is getattr(MetricsFilter, name) for name in stock)
    if isinstance(filter_, AgeFilter):
        filter_.get_resource_date = lambda resource: _date_of(filter_, leaf, resource[MEMORY], clock)
        return bool(kind.process is Filter.process)
    if kind is not ValueFilter or leaf.get("value_type") == "resource_count":
        return False
    if "value_from" in leaf or "value_path" in leaf:  # c7n would fetch what it compares with, from wherever it is told
        return False
    stock_value, stock_type = filter_.get_resource_value, filter_.process_value_type

    def get_resource_value(key: str, resource: Resource) -> Any:
        exact, value = resource[MEMORY].value(leaf, key, author)
        found = value if exact else stock_value(key, resource)
        compared = leaf.get("value_type") in DATES or leaf.get("value") in PRESENCE or key.startswith("tag:")
        if not compared and isinstance(found, str) and _DATE.match(found):
            raise NotRead(f"whether {key} is a date or a text was not recorded")
        return found

    def process_value_type(sentinel: Any, value: Any, resource: Resource) -> Any:
        if filter_.vtype == "age":
            sentinel = clock.now - dt.timedelta(sentinel)
        elif filter_.vtype == "expiration":
            sentinel = clock.now + dt.timedelta(sentinel)
        return stock_type(sentinel, value, resource)

    filter_.get_resource_value, filter_.process_value_type = get_resource_value, process_value_type
    return True


def _date_of(filter_: Any, leaf: Mapping[str, Any], memory: Memory, clock: _Clock) -> dt.datetime | None:
    """Sets the age that the filter compares with as well: c7n would work it out from its own clock."""
    filter_.threshold_date = clock.now - dt.timedelta(**{unit: leaf.get(unit, 0) for unit in UNITS})
    found = memory.date(str(leaf["type"]))
    return dt.datetime.fromisoformat(found) if found else None


class _Readings(Metrics):
    """Metrics as recorded, judged by the stock filter."""

    def hook(self, filter_: Any, notes: Notes, id_of: IdOf) -> None:
        stock = type(filter_)

        def process(resources: list[Resource], event: Any = None) -> list[Resource]:
            stock.process(filter_, [], event)  # sets metric, statistic, operator and so on
            return [each for each in resources if self._matches(filter_, each, notes, id_of)]

        filter_.process = process

    def _matches(self, filter_: Any, resource: Resource, notes: Notes, id_of: IdOf) -> bool:
        leaf = normal(filter_.data)
        reading = resource[MEMORY].reading(leaf)
        if attribute := leaf.get("percent-attr"):
            resource[MEMORY].value(leaf, attribute, "")
        if reading.value is None:
            notes.undecided[id_of(resource)] = Answer(Truth.UNKNOWN, f"no datapoints of {filter_.metric} were recorded")
            return False
        point = {filter_.statistics: reading.value}
        standard = filter_.statistics in filter_.standard_stats
        points = [point if standard else {"ExtendedStatistics": point}]
        filter_.get_metric_data = lambda _client, _params: points
        try:
            return bool(type(filter_).process_resource_set(filter_, [resource]))
        except READ_ERRORS as error:
            reason = f"metric {filter_.metric} could not be judged: {type(error).__name__}: {error}"
            notes.undecided[id_of(resource)] = Answer(Truth.UNKNOWN, reason)
            return False
