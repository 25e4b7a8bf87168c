"""One target through c7n: its resources, described once, and what each policy says of them.

Judging goes through the resources in chunks, so that what a policy makes of them (copies, notes, facts, annotations) is
freed chunk by chunk. A filter that may look at more than one resource at a time gets all of them at once.

c7n keeps sessions per thread and region, not per account: use one process per target, or one target after another,
never threads.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finops_policy.answers import FailedCalls
from finops_policy.custodian import loading
from finops_policy.custodian.library import load_types
from finops_policy.custodian.metrics import Metrics
from finops_policy.custodian.notes import READ_ERRORS, Answer, IdOf, Resource, Truth
from finops_policy.custodian.observe import Observer
from finops_policy.failures import Failure
from finops_policy.model import CompiledPolicy, Fact, Target, Verdict

CONDITIONS = ("conditions", "region", "start", "end")
"""Where a policy says when it runs; c7n calls the last three deprecated and turns them into conditions."""
KEY = "finops-policy:key"
"""Set in copies of resources that share their id with another."""
CHUNK = 5000
"""Resources judged at once: some 20 MB of copies and notes, and enough that what each chunk costs does not show."""
_PARTITION = re.compile(r"\Aarn:[^:]*:(?=[a-z0-9-]+:[a-z0-9-]*:[0-9]*:.)", re.DOTALL)
"""An ARN up to its service, where all of an ARN follows."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """c7n's answer on one member: compliant, noncompliant, or unknown with the failed call behind it, if any."""

    resource_id: str
    arn: str
    tags: Mapping[str, str]
    verdict: Verdict
    reason: str
    failure: Failure | None
    facts: tuple[Fact, ...]
    resource: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Described:
    """A resource, and what every policy says of it: made once, for all of them.

    ``key`` tells it from all others of its type; it is the id, unless several have that.
    """

    key: str
    id: str
    arn: str
    tags: Mapping[str, str]
    resource: Resource


class Account:
    """c7n's view of one target. ``session`` is a boto3 session that already holds the account's credentials."""

    def __init__(self, target: Target, partition: str, session: Any, metrics: Metrics | None = None) -> None:
        from c7n.config import Config

        self._target = target
        self._partition = partition
        self._session = session
        self._metrics = metrics or Metrics()
        self._fetched: dict[str, list[Described] | Exception] = {}
        self._config = Config.empty(
            account_id=target.account_id, region=target.region, output_dir="null://", log_group="null://"
        )

    @property
    def failed_calls(self) -> FailedCalls:
        calls: FailedCalls = self._session.failed_calls
        return calls

    def fetch(self, policy: CompiledPolicy) -> list[Described]:
        """Every resource that a policy looks at, described once for all policies with its type, query and source.

        Raises what c7n and botocore raise, and the same again for the other policies, without another call.
        """
        document = {"name": "fetch", "resource": policy.resource}
        document |= {key: policy.document[key] for key in ("query", "source", "metadata") if key in policy.document}
        if "query" in document:
            document["query"] = _for_all_filters(document["query"])
        loaded = self.load(document)
        key = json.dumps(
            [loaded.data.get(each) for each in ("resource", "query", "source")], sort_keys=True, default=str
        )
        if key not in self._fetched:
            self._fetched[key] = _fetch(loaded.resource_manager, self._partition, self._session.failed_calls)
        found = self._fetched[key]
        if isinstance(found, Exception):
            raise found.with_traceback(None)
        return found

    def skipped(self, policy: CompiledPolicy) -> str:
        """Why a policy is not run against accounts at all; empty when it is."""
        mode = policy.document.get("mode", {}).get("type", "pull")
        if mode == "pull":
            return ""
        return f"mode {mode}: the policy waits for events or a schedule, and is not run against an account"

    def inapplicable(self, policy: CompiledPolicy) -> str:
        """Why a policy does not mean this target, by its own conditions; empty when it does. c7n would run nothing, and
        answer that nothing matched."""
        conditions = {key: policy.document[key] for key in CONDITIONS if key in policy.document}
        if not conditions or self.load(policy.judged).is_runnable():
            return ""
        return f"the policy's conditions do not hold here: {json.dumps(conditions, sort_keys=True, default=str)}"

    def judge(self, policy: CompiledPolicy, only: Container[str] | None = None) -> Iterator[Judgement]:
        """Every member of the population and its verdict, or of the resources with these ids alone. Raises what c7n
        raises, at the first member or later."""
        fetched = [each for each in self.fetch(policy) if only is None or each.id in only]
        loaded, failed_calls = self.load(policy.judged), self._session.failed_calls
        before = failed_calls.count
        try:
            yield from judge(loaded, policy.scope_length, fetched, self._metrics, failed_calls)
        except (*READ_ERRORS, NameError) as error:
            if unheard := failed_calls.first_since(before):  # c7n went on without an answer, and stumbled over that
                raise unheard from error
            raise

    def load(self, document: Mapping[str, Any]) -> Any:
        """A c7n policy bound to this target, and c7n's thread-wide session cache emptied of any other target's."""
        from c7n.utils import reset_session_cache

        reset_session_cache()
        load_types([document["resource"]])
        return loading.load(document, self._config, _Factory(self._session, self._target.region))


class _Factory:
    """What c7n calls for a session. It writes ``policy_name`` here, and reads ``region`` to tell sessions apart."""

    def __init__(self, session: Any, region: str) -> None:
        self._session = session
        self.region = region
        self.policy_name = ""

    def __call__(self, *_args: Any, **_settings: Any) -> Any:
        return self._session


def described(manager: Any, resources: Iterable[Resource], partition: str) -> list[Described]:
    """Pages of an answer may repeat a resource, which counts once. Of some types several resources have one id (records
    of a name, tables of two databases): each counts."""
    id_of = _id_function(manager)
    by_id: dict[str, list[Resource]] = {}
    for resource in resources:
        same = by_id.setdefault(id_of(resource), [])
        if resource not in same:
            same.append(resource)
    named = [
        (f"{resource_id}\n{number}" if len(same) > 1 else resource_id, resource_id, resource)
        for resource_id, same in by_id.items()
        for number, resource in enumerate(same)
    ]
    arns = _arns(manager, [resource for _, _, resource in named], partition)
    return [
        Described(key, resource_id, arn, _tags(resource), resource)
        for (key, resource_id, resource), arn in zip(named, arns, strict=True)
    ]


def judge(
    policy: Any,
    scope_length: int,
    resources: Sequence[Described],
    metrics: Metrics,
    failed_calls: FailedCalls | None = None,
) -> Iterator[Judgement]:
    """Runs a loaded c7n policy's filters over ``resources`` and explains the outcome.

    A member is noncompliant when c7n matches it, unless a call to AWS failed on the way. It is unknown when the filter
    that dropped it had nothing to decide by; a resource whose membership itself is undecided counts as an unknown
    member, so that it cannot disappear.
    """
    manager = policy.resource_manager
    id_of = _id_function(manager)
    if any(each.key != each.id for each in resources):
        id_of = _key_function(id_of)
    observer = Observer(manager.filters, id_of, metrics, failed_calls or FailedCalls())
    size = CHUNK if observer.one_by_one else max(1, len(resources))
    for start in range(0, len(resources), size):
        yield from _judge_chunk(manager, scope_length, resources[start : start + size], id_of, observer)
        observer.forget()


def _judge_chunk(
    manager: Any, scope_length: int, chunk: Sequence[Described], id_of: IdOf, observer: Observer
) -> Iterator[Judgement]:
    # Filters annotate resources at the top level: a copy of that level keeps policies apart.
    members = [dict(each.resource) if each.key == each.id else {**each.resource, KEY: each.key} for each in chunk]
    scope, violation = manager.filters[:scope_length], manager.filters[scope_length:]
    scoped = _filtered(scope, members)
    scoped_ids = {id_of(each) for each in scoped}
    matched_ids = {id_of(each) for each in _filtered(violation, scoped)}

    for each, member in zip(chunk, members, strict=True):
        belongs = observer.all_of(scope, each.key)
        answer = observer.all_of(violation, each.key)
        in_scope, matched = each.key in scoped_ids, each.key in matched_ids
        failure = None
        if each.key != each.id:
            belongs, answer = _unless_mixed_up(belongs, in_scope), _unless_mixed_up(answer, matched)
        if _in_doubt(belongs, in_scope):
            verdict, failure = Verdict.UNKNOWN, belongs.failure
            reason = f"whether it is in scope is unknown: {belongs.reason}"
        elif not in_scope:
            continue
        elif _in_doubt(answer, matched):
            verdict, reason = Verdict.UNKNOWN, answer.reason
            failure = answer.failure or observer.failure(violation, each.key)
        else:
            verdict, reason = (Verdict.NONCOMPLIANT if matched else Verdict.COMPLIANT), ""
        facts = tuple(observer.facts(manager.filters, each.key))
        yield Judgement(each.id, each.arn, each.tags, verdict, reason, failure, facts, member)


def _filtered(filters: Iterable[Any], resources: list[Resource]) -> list[Resource]:
    """What c7n's own loop over filters does, in two parts, to know who was in scope."""
    for each in filters:
        if resources:
            resources = each.process(resources, None)
    return resources


def _unless_mixed_up(answer: Answer, kept: bool) -> Answer:
    """c7n's ``not`` and ``or`` tell resources by their id: of two with one id they may keep the wrong one."""
    if answer.truth is Truth.UNKNOWN or (answer.truth is Truth.TRUE) is kept:
        return answer
    return Answer(Truth.UNKNOWN, "Cloud Custodian takes it for another resource with the same id")


def _in_doubt(answer: Answer, kept: bool) -> bool:
    """c7n keeping a resource outweighs a doubt, unless a call to AWS failed: then nothing outweighs it."""
    return answer.truth is Truth.UNKNOWN and (answer.failure is not None or not kept)


def _id_function(manager: Any) -> IdOf:
    from c7n.utils import jmespath_search

    key = manager.get_model().id
    if "." in key:
        return lambda resource: str(jmespath_search(key, resource))
    return lambda resource: str(resource[key])


def _key_function(id_of: IdOf) -> IdOf:
    """Where ids are not enough: filters keep what stands in a resource, also when they copy it."""
    return lambda resource: str(resource[KEY]) if KEY in resource else id_of(resource)


def _arns(manager: Any, resources: Sequence[Resource], partition: str) -> list[str]:
    """The ARN of each resource; empty where c7n knows no ARN of the type."""
    if manager.type == "account":
        return [f"arn:{partition}:iam::{each['account_id']}:root" for each in resources]
    if not manager.has_arn():
        return [""] * len(resources)
    return [_arn(manager, each, partition) for each in resources]


def _arn(manager: Any, resource: Resource, partition: str) -> str:
    """Empty where the resource lacks what its ARN is made of.

    c7n makes ARNs of buckets and of global types in the partition aws, whichever it is: what it makes gets the right
    one. What it reads, an ARN that AWS tells or an id that it takes for one, stays as it is.
    """
    try:
        [arn] = manager.get_arns([resource])
    except READ_ERRORS:
        return ""
    model = manager.get_model()
    if not arn or getattr(model, "arn", None) or arn == resource.get(model.id):
        return str(arn or "")
    return _PARTITION.sub(f"arn:{partition}:", str(arn))


def _tags(resource: Resource) -> dict[str, str]:
    """c7n brings most types' tags into the list form ``Tags: [{Key, Value}]``; some keep a mapping."""
    tags = resource.get("Tags", resource.get("tags")) or []
    if isinstance(tags, Mapping):
        return {str(key): str(value) for key, value in tags.items()}
    return {str(tag["Key"]): str(tag.get("Value", "")) for tag in tags if isinstance(tag, Mapping) and "Key" in tag}


def _for_all_filters(query: Any) -> Any:
    """``augment-keys: detect`` reads what a policy's filters need of buckets; here every policy shares what is read."""
    if not isinstance(query, list):
        return query
    return [
        {**each, "augment-keys": "all"} if isinstance(each, dict) and each.get("augment-keys") == "detect" else each
        for each in query
    ]


def _fetch(manager: Any, partition: str, failed_calls: FailedCalls) -> list[Described] | Exception:
    """A call that failed is an error even where c7n goes on without it, but for buckets, whose parts it marks."""
    before = failed_calls.count
    try:
        found = described(manager, manager.resources(), partition)
    except Exception as error:  # noqa: BLE001 - not swallowed: kept, and raised for every policy that asks
        return _without_frames(error)
    unheard = None if manager.type == "s3" else failed_calls.first_since(before)
    return _without_frames(unheard) if unheard else found


def _without_frames(error: Exception) -> Exception:
    """The error and those behind it without their tracebacks, whose frames hold whatever had been read so far."""
    behind: list[BaseException | None] = [error]
    seen: set[int] = set()
    while behind:
        each = behind.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            each.__traceback__ = None
            behind += [each.__cause__, each.__context__]
    return error
