"""Calls to AWS on behalf of a channel, with the caller's own credentials."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from finops_policy import aws
from finops_policy.failures import OutOfTimeError
from finops_policy.model import FailureKind
from finops_policy.notify.model import RefusedError, TryAgainError

_AGAIN: Final = frozenset({FailureKind.THROTTLED, FailureKind.TIMEOUT})
_SECONDS: Final = 45


def call(service: str, region: str, send: Callable[[Any], Any]) -> Any:
    """What ``send`` makes of a client. botocore's own retries come first.

    Raises :class:`TryAgainError` when AWS did not answer or asked to slow down, else :class:`RefusedError`.
    """
    errors: tuple[type[BaseException], ...] = (*aws.call_errors(), OutOfTimeError)
    try:
        return send(aws.session(region, deadline=aws.Deadline(_SECONDS)).client(service))
    except errors as error:
        told = aws.explain(error)
        reason = f"{told.message} {told.next_step}".strip()
        raise (TryAgainError if told.kind in _AGAIN else RefusedError)(reason) from error
