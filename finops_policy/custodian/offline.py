"""A policy's real filters over resources from a file, with recorded answers in the place of AWS.

Everything is c7n's and botocore's own code down to the wire: recorded answers enter where a request would leave, and a
request without one is refused.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from finops_policy import aws
from finops_policy.custodian.account import Account, Judgement, described, judge
from finops_policy.custodian.metrics import Metrics, Reading
from finops_policy.errors import FinopsPolicyError
from finops_policy.model import CompiledPolicy, Target

OFFLINE = Target("123456789012", "us-east-1", "offline")
Recorded = Mapping[str, Mapping[str, Any] | Sequence[Mapping[str, Any]]]
"""``service:Operation`` -> the parsed answer, or answers in the order they are asked for."""


class UnrecordedCallError(FinopsPolicyError):
    """A filter made a call that the fixture has no answer for."""


def judge_offline(policy: CompiledPolicy, resources: list[dict[str, Any]], recorded: Recorded) -> list[Judgement]:
    """Judges ``resources`` (in the shape c7n has after describing them) without a network."""
    session = aws.session(OFFLINE.region, aws.Credentials("offline", "offline", "offline"))
    session.events.register("before-call", _Answers(recorded))
    account = Account(OFFLINE, "aws", session)
    # Fixtures record GetMetricStatistics.
    loaded = account.load(policy.judged)
    members = described(loaded.resource_manager, resources, "aws")
    return list(judge(loaded, policy.scope_length, members, Metrics(Reading.SINGLE)))


class _Answers:
    """botocore takes what a ``before-call`` handler returns for the response."""

    def __init__(self, recorded: Recorded) -> None:
        self._always = {key: value for key, value in recorded.items() if isinstance(value, Mapping)}
        self._once: dict[str, Iterator[Mapping[str, Any]]] = {
            key: iter(value) for key, value in recorded.items() if not isinstance(value, Mapping)
        }

    def __call__(self, model: Any, **_event: Any) -> tuple[Any, Mapping[str, Any]]:
        from botocore.awsrequest import AWSResponse

        call = f"{model.service_model.service_name}:{model.name}"
        answer = self._always[call] if call in self._always else next(self._once.get(call, iter(())), None)
        if answer is None:
            raise UnrecordedCallError(f"no answer to {call} is recorded", hint="Add it to the fixture's responses.")
        return AWSResponse("https://offline.invalid", 200, {}, None), copy.deepcopy(answer)
