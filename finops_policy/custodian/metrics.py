"""CloudWatch's datapoints for c7n's ``metrics`` filters: read in batches, judged by the stock filter.

c7n asks GetMetricStatistics once per resource and filter. Here its own code runs three times over: first over copies,
to learn what it would ask; GetMetricData is asked for all of that, 500 metrics a call; then the stock code judges, and
gets from memory what it asks for. What is not in memory is asked for as c7n does it.

Limits: filters that read metrics in a way of their own (``usage-metric``, Bedrock's) stay with GetMetricStatistics or
what they use. Two filters of one policy that differ only in period or dimensions share datapoints, as in stock c7n.
"""

from __future__ import annotations

import datetime as dt
import math
from array import array
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from enum import StrEnum
from functools import lru_cache
from typing import Any

from finops_policy.custodian.notes import READ_ERRORS, Answer, IdOf, Notes, Resource, Truth
from finops_policy.failures import Failure, call_errors, explain
from finops_policy.model import Fact, FailureKind

ANNOTATION = "c7n.metrics"
FEW = 20
"""Up to here AUTO reads one metric a call. GetMetricStatistics is part of CloudWatch's free tier (1,000,000 requests a
month and account), GetMetricData is not; beyond the free tier both cost the same, USD 0.01 per 1,000 requests or
metrics (https://aws.amazon.com/cloudwatch/pricing/, us-east-1). Twenty calls take about a second."""
QUERIES = 500
POINTS = 100_800
"""The most metrics, and datapoints, that one GetMetricData call returns (CloudWatch API reference, GetMetricData)."""
STATISTICS_POINTS = 1_440
"""GetMetricStatistics refuses to return more datapoints than this."""
PAGES = 100
"""More pages than any answer needs: 100,800 datapoints fit on one."""
KEPT_BYTES = 32_000_000
"""What is kept for the target's other policies, by METRIC_BYTES and 16 a datapoint; above it all is forgotten."""
METRIC_BYTES = 500
DENIALS = (FailureKind.OWN_PERMISSION, FailureKind.RESOURCE_POLICY)

Params = Mapping[str, Any]
"""The arguments of GetMetricStatistics, as c7n makes them."""
Key = tuple[Any, ...]
"""Everything that tells two readings apart: namespace, name, statistic, period, start, end, sorted dimensions."""
Series = tuple["array[float]", "array[float]"]
"""Times in seconds since 1970, and values: 16 bytes a datapoint, where a dict takes 300."""


class Reading(StrEnum):
    """How datapoints are read; ``AUTO`` takes batches where they pay, and single calls where batches are denied."""

    AUTO = "auto"
    BATCHED = "batched"
    SINGLE = "single"


class _UnreadError(Exception):
    """A metric that GetMetricData was asked for in vain."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Metrics:
    """Reads metrics for all policies of one target. A metric read in a batch is read once, for every policy that asks
    for exactly the same; nobody ever gets the same list, as c7n writes into it.

    ``requested`` counts metrics asked for through GetMetricData, once per page of an answer: what AWS bills.
    """

    def __init__(self, reading: Reading = Reading.AUTO) -> None:
        self.requested = 0
        self._reading = reading
        self._kept: dict[Key, Series] = {}

    def hook(self, filter_: Any, notes: Notes, id_of: IdOf) -> None:
        """Makes a metrics filter read through this object, and write down who failed and who had no datapoints."""
        stock = type(filter_)

        def judge(resources: Iterable[Resource]) -> list[Resource]:
            return _judge_each(filter_, resources, notes, id_of)

        if not _reads_as_stock(filter_):
            filter_.process_resource_set = judge
            filter_.executor_factory = _loud_executor()
            return

        def process(resources: list[Resource], event: Any = None) -> list[Resource]:
            stock.process(filter_, [], event)  # sets window, period, namespace and so on; chunks of 50 are not for us
            unread = self._prefetch(filter_, resources) if self._reading is not Reading.SINGLE else {}

            def get_metric_data(client: Any, params: Params) -> list[dict[str, Any]]:
                key = _key(params)
                if key in unread:
                    raise _UnreadError(unread[key])
                if key in self._kept:
                    return _datapoints(self._kept[key], params)
                found: list[dict[str, Any]] = stock.get_metric_data(filter_, client, params)
                return found

            filter_.get_metric_data = get_metric_data
            return judge(resources)

        filter_.process = process

    def _prefetch(self, filter_: Any, resources: Iterable[Resource]) -> dict[Key, Failure]:
        """Reads what the filter will ask for into memory; answers what could not be read, and why."""
        if sum(METRIC_BYTES + 16 * len(values) for _, values in self._kept.values()) > KEPT_BYTES:
            self._kept.clear()
        client, wanted = _record(filter_, resources)
        missing = [(key, params) for key, params in wanted.items() if key not in self._kept]
        points = _points(filter_)
        if self._reading is Reading.AUTO and len(missing) <= FEW and points <= STATISTICS_POINTS:
            return {}
        size = min(QUERIES, max(1, POINTS // points))
        batches = [dict(missing[start : start + size]) for start in range(0, len(missing), size)]
        unread: dict[Key, Failure] = {}
        while batches:
            batch = batches.pop()
            try:
                unread |= self._read(client, batch)
            except call_errors() as error:
                failure = explain(error)
                if self._reading is Reading.AUTO and failure.kind in DENIALS:
                    self._reading = Reading.SINGLE
                    break
                if failure.kind is FailureKind.BUG and len(batch) > 1:
                    # AWS refuses a whole call for one metric that it does not understand: halves find it.
                    pairs = list(batch.items())
                    batches += [dict(pairs[: len(pairs) // 2]), dict(pairs[len(pairs) // 2 :])]
                else:
                    unread |= dict.fromkeys(batch, failure)
        return unread

    def _read(self, client: Any, batch: Mapping[Key, Params]) -> dict[Key, Failure]:
        """Reads one batch, page after page. Raises what botocore raises; then nothing of the batch was read."""
        keys = {f"m{number}": key for number, key in enumerate(batch)}
        window = next(iter(batch.values()))
        request: dict[str, Any] = {
            "MetricDataQueries": [_query(id_, batch[key]) for id_, key in keys.items()],
            "StartTime": window["StartTime"],
            "EndTime": window["EndTime"],
        }
        series: dict[str, Series] = {id_: (array("d"), array("d")) for id_ in keys}
        statuses: dict[str, str] = {}
        tokens: list[str] = []
        while True:
            answer = client.get_metric_data(**request)
            self.requested += len(keys)
            for result in answer.get("MetricDataResults", ()):
                id_ = result["Id"]
                series[id_][0].extend(each.timestamp() for each in result.get("Timestamps", ()))
                series[id_][1].extend(result.get("Values", ()))
                if statuses.get(id_) not in ("InternalError", "Forbidden"):
                    statuses[id_] = result.get("StatusCode", "no status")
            token = answer.get("NextToken")
            if not token:
                break
            if token in tokens or len(tokens) >= PAGES:
                return dict.fromkeys(batch, _unanswered("GetMetricData's pages do not end"))
            tokens.append(token)
            request["NextToken"] = token
        read = {id_ for id_, status in statuses.items() if status == "Complete"}
        self._kept |= {keys[id_]: series[id_] for id_ in read}
        return {key: _refusal(statuses.get(id_)) for id_, key in keys.items() if id_ not in read}


def _reads_as_stock(filter_: Any) -> bool:
    """Whether a filter's class leaves the reading to c7n's base class; where its dimensions come from does not matter.
    The one ``process`` let through besides only sets the namespace."""
    from c7n.filters.metrics import MetricsFilter, ShieldMetrics

    kind = type(filter_)
    return (
        kind.process in (MetricsFilter.process, ShieldMetrics.process)
        and kind.process_resource_set is MetricsFilter.process_resource_set
        and kind.get_metric_data is MetricsFilter.get_metric_data
    )


def _loud_executor() -> Any:
    """Errors that nobody expects are bugs: they come through and fail the cell, where c7n would log them and call 50
    resources compliant."""
    from c7n.executor import MainThreadExecutor

    class LoudExecutor(MainThreadExecutor):  # type: ignore[misc] # c7n has no types
        c7n_async = False

    return LoudExecutor


def _judge_each(filter_: Any, resources: Iterable[Resource], notes: Notes, id_of: IdOf) -> list[Resource]:
    """The stock code, one resource at a time: c7n drops all of a chunk when one call fails."""
    stock: Callable[[Any, list[Resource]], list[Resource]] = type(filter_).process_resource_set
    matched = []
    for resource in resources:
        reason, failure = "", None
        try:
            matched += stock(filter_, [resource])
        except _UnreadError as error:
            failure = error.failure
        except call_errors() as error:
            failure = explain(error)
        except READ_ERRORS as error:
            reason = f"metric {filter_.metric} could not be judged: {type(error).__name__}: {error}"
        else:
            if not _annotated(filter_, resource):
                reason = f"no datapoints of {filter_.namespace} {filter_.metric} in {filter_.days} days"
        if failure:
            reason = f"metrics call failed ({failure.kind}): {failure.message}"
        if reason:
            notes.undecided[id_of(resource)] = Answer(Truth.UNKNOWN, reason, failure)
    return matched


def _record(filter_: Any, resources: Iterable[Resource]) -> tuple[Any, dict[Key, Params]]:
    """The client that the stock code uses, and what it would ask for. It runs over copies, and gets no datapoints; a
    resource that it cannot read, or a client that cannot be made, is met again when it judges."""
    client: Any = None
    wanted: dict[Key, Params] = {}

    def note(asked: Any, params: Params) -> list[dict[str, Any]]:
        nonlocal client
        client = asked
        wanted[_key(params)] = params
        return []

    filter_.get_metric_data = note
    for resource in resources:
        seen = {key: list(points) for key, points in resource.get(ANNOTATION, {}).items()}
        with suppress(*READ_ERRORS, *call_errors()):
            type(filter_).process_resource_set(filter_, [{**resource, ANNOTATION: seen}])
    return client, wanted


def _key(params: Params) -> Key:
    dimensions = sorted((each["Name"], each["Value"]) for each in params["Dimensions"])
    window = (params["StartTime"], params["EndTime"])
    return (params["Namespace"], params["MetricName"], _statistic(params), params["Period"], *window, *dimensions)


def _statistic(params: Params) -> str:
    [statistic] = params.get("Statistics") or params["ExtendedStatistics"]
    return str(statistic)


def _points(filter_: Any) -> int:
    """Datapoints of one metric in the filter's window, at the most."""
    window: dt.timedelta = filter_.end - filter_.start
    period: int = filter_.period
    return max(1, math.ceil(window.total_seconds() / max(1, period)))


def _query(id_: str, params: Params) -> dict[str, Any]:
    metric = {name: params[name] for name in ("Namespace", "MetricName", "Dimensions")}
    return {"Id": id_, "MetricStat": {"Metric": metric, "Period": params["Period"], "Stat": _statistic(params)}}


def _datapoints(series: Series, params: Params) -> list[dict[str, Any]]:
    """In the shape of GetMetricStatistics, where percentiles are one level deeper; a list of its own every time."""
    statistic = _statistic(params)
    points = zip(*series, strict=True)
    if "Statistics" in params:
        return [{"Timestamp": _moment(time), statistic: value} for time, value in points]
    return [{"Timestamp": _moment(time), "ExtendedStatistics": {statistic: value}} for time, value in points]


@lru_cache(POINTS)
def _moment(time: float) -> dt.datetime:
    """Metrics of one window have their datapoints at the same moments: each is made once."""
    return dt.datetime.fromtimestamp(time, dt.UTC)


def _refusal(status: str | None) -> Failure:
    """Why a metric that was asked for is not there: its own status, or that it is missing from the answer."""
    if status == "Forbidden":
        step = "Allow cloudwatch:GetMetricData in the role's policy."
        return Failure(FailureKind.OWN_PERMISSION, "GetMetricData: the metric is forbidden", step)
    if status is None:
        return _unanswered("GetMetricData left the metric out of its answer")
    return _unanswered(f"GetMetricData did not complete the metric ({status})")


def _unanswered(message: str) -> Failure:
    return Failure(FailureKind.TIMEOUT, message, "AWS failed to answer: check its health, and run again.")


# --- facts ------------------------------------------------------------------------------------------------------------


def _annotated(filter_: Any, resource: Resource) -> list[Mapping[str, Any]]:
    """The datapoints that the filter judged by, where c7n puts them."""
    key = f"{filter_.namespace}.{filter_.metric}.{filter_.statistics}.{filter_.days}"
    points: list[Mapping[str, Any]] = resource.get(ANNOTATION, {}).get(key, [])
    return points


def metric_fact(filter_: Any, resource: Resource, matched: bool) -> Fact:
    """The datapoint that decides: all must meet the condition, so it is the one closest to breaking it."""
    points = _annotated(filter_, resource)
    read = (point.get("ExtendedStatistics", point).get(filter_.statistics) for point in points)
    values = [each for each in read if each is not None]
    op = filter_.data.get("op", "less-than")
    decisive: Any = None
    if values:
        decisive = min(values) if op in ("gt", "ge", "gte", "greater-than") else max(values)
    filled = any("c7n:detail" in point for point in points[:1])  # c7n fills in where there is nothing else
    count = "no datapoints, filled in" if filled else f"{len(values)} datapoints"
    key = f"{filter_.metric} {filter_.statistics} over {filter_.days} days ({count})"
    if "percent-attr" in filter_.data:
        key += f", percent of {filter_.data['percent-attr']}"
    return Fact("metrics", key, decisive, op, filter_.data["value"], matched)
