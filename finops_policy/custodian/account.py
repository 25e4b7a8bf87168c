"""One target through c7n: its resources, fetched once per type, and what each policy says of them.

c7n keeps sessions per thread and region, not per account: use one process per target, or one target after another,
never threads.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finops_policy import aws
from finops_policy.custodian.library import load_types
from finops_policy.custodian.observe import READ_ERRORS, Answer, Observer, Resource, Truth
from finops_policy.model import CompiledPolicy, Fact, Target, Verdict


@dataclass(frozen=True, slots=True)
class Judgement:
    """c7n's answer on one member: compliant, noncompliant, or unknown with the failed call behind it, if any."""

    resource_id: str
    arn: str
    tags: Mapping[str, str]
    verdict: Verdict
    reason: str
    failure: aws.Failure | None
    facts: tuple[Fact, ...]
    resource: Mapping[str, Any]


class Account:
    """c7n's view of one target. ``session`` is a boto3 session that already holds the account's credentials."""

    def __init__(self, target: Target, partition: str, session: Any) -> None:
        from c7n.config import Config

        self._target = target
        self._partition = partition
        self._session = session
        self._fetched: dict[str, list[Resource]] = {}
        self._config = Config.empty(
            account_id=target.account_id, region=target.region, output_dir="null://", log_group="null://"
        )

    def fetch(self, resource_type: str) -> list[Resource]:
        """Every resource of a type, described once; raises what botocore raises."""
        if resource_type not in self._fetched:
            policy = self.load({"name": "fetch", "resource": resource_type})
            self._fetched[resource_type] = list(policy.resource_manager.resources())
        return self._fetched[resource_type]

    def judge(self, policy: CompiledPolicy) -> list[Judgement]:
        """Every member of the population and its verdict. Raises what c7n's filters raise."""
        fetched = self.fetch(policy.resource)
        return judge(self.load(policy.document), policy.scope_length, fetched, self._partition)

    def load(self, document: Mapping[str, Any]) -> Any:
        """A c7n policy bound to this target, and c7n's thread-wide session cache emptied of any other target's."""
        from c7n.policy import Policy
        from c7n.utils import reset_session_cache

        reset_session_cache()
        load_types([document["resource"]])
        # c7n writes into the document it is given.
        policy = Policy(
            copy.deepcopy(dict(document)), self._config, session_factory=_Factory(self._session, self._target.region)
        )
        policy.validate()
        return policy


class _Factory:
    """What c7n calls for a session. It writes ``policy_name`` here, and reads ``region`` to tell sessions apart."""

    def __init__(self, session: Any, region: str) -> None:
        self._session = session
        self.region = region
        self.policy_name = ""

    def __call__(self, *_args: Any, **_settings: Any) -> Any:
        return self._session


def judge(policy: Any, scope_length: int, resources: Iterable[Resource], partition: str) -> list[Judgement]:
    """Runs a loaded c7n policy's filters over ``resources`` and explains the outcome.

    A member is noncompliant when c7n matches it, unless a call to AWS failed on the way. It is unknown when the filter
    that dropped it had nothing to decide by; a resource whose membership itself is undecided counts as an unknown
    member, so that it cannot disappear.
    """
    manager = policy.resource_manager
    id_of = _id_function(manager)
    # Filters annotate resources at the top level: a copy of that level keeps policies apart. Pages may repeat an id.
    members = list({id_of(resource): dict(resource) for resource in resources}.values())
    observer = Observer(manager.filters, id_of)
    scope, violation = manager.filters[:scope_length], manager.filters[scope_length:]
    scoped = _filtered(scope, members)
    scoped_ids = {id_of(each) for each in scoped}
    matched_ids = {id_of(each) for each in _filtered(violation, scoped)}

    judgements = []
    for resource, arn in zip(members, _arns(manager, members, partition), strict=True):
        resource_id = id_of(resource)
        belongs = observer.all_of(scope, resource_id)
        answer = observer.all_of(violation, resource_id)
        in_scope, matched = resource_id in scoped_ids, resource_id in matched_ids
        failure = None
        if _in_doubt(belongs, in_scope):
            verdict, failure = Verdict.UNKNOWN, belongs.failure
            reason = f"whether it is in scope is unknown: {belongs.reason}"
        elif not in_scope:
            continue
        elif _in_doubt(answer, matched):
            verdict, reason, failure = Verdict.UNKNOWN, answer.reason, answer.failure
        else:
            verdict, reason = (Verdict.NONCOMPLIANT if matched else Verdict.COMPLIANT), ""
        facts = tuple(observer.facts(manager.filters, resource_id))
        judgements.append(Judgement(resource_id, arn, _tags(resource), verdict, reason, failure, facts, resource))
    return judgements


def _filtered(filters: Iterable[Any], resources: list[Resource]) -> list[Resource]:
    """What c7n's own loop over filters does, in two parts, to know who was in scope."""
    for each in filters:
        if resources:
            resources = each.process(resources, None)
    return resources


def _in_doubt(answer: Answer, kept: bool) -> bool:
    """c7n keeping a resource outweighs a doubt, unless a call to AWS failed: then nothing outweighs it."""
    return answer.truth is Truth.UNKNOWN and (answer.failure is not None or not kept)


def _id_function(manager: Any) -> Any:
    from c7n.utils import jmespath_search

    key = manager.get_model().id
    if "." in key:
        return lambda resource: str(jmespath_search(key, resource))
    return lambda resource: str(resource[key])


def _arns(manager: Any, resources: Sequence[Resource], partition: str) -> list[str]:
    """The ARN of each resource; empty where c7n knows no ARN of the type."""
    if manager.type == "account":
        return [f"arn:{partition}:iam::{each['account_id']}:root" for each in resources]
    if not manager.has_arn():
        return [""] * len(resources)
    return [_arn(manager, each) for each in resources]


def _arn(manager: Any, resource: Resource) -> str:
    """Empty where the resource lacks what its ARN is made of."""
    try:
        [arn] = manager.get_arns([resource])
    except READ_ERRORS:
        return ""
    return str(arn or "")


def _tags(resource: Resource) -> dict[str, str]:
    """c7n brings most types' tags into the list form ``Tags: [{Key, Value}]``; some keep a mapping."""
    tags = resource.get("Tags", resource.get("tags")) or []
    if isinstance(tags, Mapping):
        return {str(key): str(value) for key, value in tags.items()}
    return {str(tag["Key"]): str(tag.get("Value", "")) for tag in tags if isinstance(tag, Mapping) and "Key" in tag}
