"""What botocore and c7n make of calls that went wrong, undone.

botocore tells urllib3 not to mind when a connection ends before the announced length, and reads JSON that it cannot
parse, or a body that is missing, as an answer without members: a list that was cut off on its way would look empty, and
every resource in it gone. c7n swallows the failures of some calls and goes on as if there had been nothing to find.
"""

from __future__ import annotations

import json
import threading
from typing import Any

from finops_policy.failures import explain
from finops_policy.model import FailureKind

ASKED = "finops-policy"
"""Key of a request's context, where botocore carries along what belongs to a call."""
ELSEWHERE = frozenset({"header", "headers", "statusCode"})
"""Where a REST answer may have members beside its body."""


class WholeAnswers:
    """An HTTP session of botocore's that raises when an answer ends too early; botocore then asks again."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def send(self, request: Any) -> Any:
        from botocore.exceptions import ConnectionClosedError

        response = self._session.send(request)
        if not request.stream_output and request.method != "HEAD" and getattr(response.raw, "length_remaining", None):
            raise ConnectionClosedError(endpoint_url=request.url)
        return response

    def close(self) -> None:
        self._session.close()


def refuse_unreadable(operation_model: Any, response_dict: Any, **_event: Any) -> None:
    """A handler of ``before-parse``: raises botocore's own ``ResponseParserError`` where its parsers do not."""
    from botocore.parsers import ResponseParserError

    shape = operation_model.output_shape
    if response_dict["status_code"] >= 300 or shape is None or operation_model.has_streaming_output:
        return
    if all(member.serialization.get("location") in ELSEWHERE for member in shape.members.values()):
        return
    body = response_dict["body"]
    if not body:
        raise ResponseParserError(f"{operation_model.name} was answered with nothing")
    protocol = operation_model.service_model.resolved_protocol
    if protocol in ("json", "rest-json") and "payload" not in shape.serialization:
        try:
            json.loads(body)
        except ValueError as error:
            raise ResponseParserError(f"{operation_model.name} was answered with no JSON: {error}") from error


class FailedCalls:
    """The calls of a session that failed in the end, and were not made again with success.

    Refusals that tell something (no such bucket policy, no such tag set) are answers, not failures. Threads may share
    it. ``count`` rises with every failure, so that ``since`` can tell what came after.
    """

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()
        self._open: dict[str, tuple[int, Exception]] = {}

    def watch(self, core: Any) -> None:
        """Listens to all clients that a botocore session makes from now on."""
        core.register("before-call", self._asked)
        core.register("after-call", self._answered)
        core.register("after-call-error", self._broken)

    def since(self, count: int) -> list[Exception]:
        with self._lock:
            return [error for number, error in self._open.values() if number > count]

    def _asked(self, params: Any, context: Any, **_event: Any) -> None:
        context[ASKED] = params

    def _answered(self, http_response: Any, parsed: Any, model: Any, context: Any, **_event: Any) -> None:
        from botocore.exceptions import ClientError

        if http_response.status_code >= 300:
            self._broken(ClientError(parsed, model.name), context)
        elif self._open:
            with self._lock:
                self._open.pop(_key(context), None)

    def _broken(self, exception: Exception, context: Any, **_event: Any) -> None:
        if explain(exception).kind is not FailureKind.BUG:
            with self._lock:
                self.count += 1
                self._open[_key(context)] = (self.count, exception)


def _key(context: Any) -> str:
    """Tells requests apart; two that ask for the same have the same."""
    asked = context[ASKED]
    target = asked["headers"].get("X-Amz-Target")
    return repr([target, *(asked[name] for name in ("url", "query_string", "body"))])
