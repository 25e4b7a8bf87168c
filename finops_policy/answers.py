"""What botocore and c7n make of calls that went wrong, undone.

botocore tells urllib3 not to mind when a connection ends before the announced length, and reads JSON that it cannot
parse, or a body that is missing, as an answer without members: a list that was cut off on its way would look empty, and
every resource in it gone. c7n swallows the failures of some calls and goes on as if there had been nothing to find.
"""

from __future__ import annotations

import json
import re
import threading
from typing import Any

from finops_policy.failures import tells_something

ASKED = "finops-policy"
"""Key of a request's context, where botocore carries along what belongs to a call."""
REQUEST = ("method", "url", "query_string", "body")
"""What tells requests apart, beside the operation that JSON protocols name in a header."""
ROOT = re.compile(rb"\s*(<[?!][^>]*>\s*)*<(?:\w+:)?(?P<name>\w+)")
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
    if response_dict["status_code"] >= 300 or shape is None:
        return
    if operation_model.has_streaming_output or operation_model.has_event_stream_output:
        return
    if all(member.serialization.get("location") in ELSEWHERE for member in shape.members.values()):
        return
    body = response_dict["body"]
    wrong = _not_json(body, shape) if _speaks_json(operation_model) else _not_xml(body, operation_model)
    if not body or wrong:
        raise ResponseParserError(f"{operation_model.name} was answered with {wrong if body else 'nothing'}")


def _speaks_json(operation_model: Any) -> bool:
    return operation_model.service_model.resolved_protocol in ("json", "rest-json")


def _not_json(body: bytes, shape: Any) -> str:
    payload = shape.serialization.get("payload")
    if payload and shape.members[payload].type_name not in ("structure", "list", "map"):
        return ""
    try:
        read = json.loads(body)
    except ValueError as error:
        return f"no JSON: {error}"
    if not isinstance(read, dict):
        return "" if payload else "JSON that is no object"
    return "a message" if read.keys() == {"message"} and "message" not in shape.members else ""


def _not_xml(body: bytes, operation_model: Any) -> str:
    """Whatever is no XML at all botocore refuses by itself."""
    protocol = operation_model.service_model.resolved_protocol
    root = ROOT.match(body)
    if protocol not in ("ec2", "query", "rest-xml") or root is None:
        return ""
    name = root["name"].decode("ascii", "replace")
    if name.casefold() == "html" or (protocol in ("ec2", "query") and not name.endswith("Response")):
        return f"a document of <{name}>"
    return ""


class FailedCalls:
    """The calls of a session that failed in the end, and were not made again with success.

    Refusals that tell something (no such bucket policy, no such tag set) are answers, not failures. Threads may share
    it. ``count`` rises with every failure, so that ``first_since`` can tell what came after.
    """

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()
        self._open: dict[str, tuple[int, Exception]] = {}  # the newest last

    def watch(self, core: Any) -> None:
        """Listens to all clients that a botocore session makes from now on."""
        core.register("before-call", self._asked)
        core.register("after-call", self._answered)
        core.register("after-call-error", self._broken)

    def first_since(self, count: int) -> Exception | None:
        """The oldest failure after the first ``count`` that is still one."""
        found = None
        with self._lock:
            for number, error in reversed(self._open.values()):
                if number <= count:
                    break
                found = error
        return found

    def _asked(self, params: Any, context: Any, **_event: Any) -> None:
        asked = (params["headers"].get("X-Amz-Target"), *(params[name] for name in REQUEST))
        context[ASKED] = asked  # and not the params: they hold the context

    def _answered(self, http_response: Any, parsed: Any, model: Any, context: Any, **_event: Any) -> None:
        from botocore.exceptions import ClientError

        if http_response.status_code >= 300:
            error = ClientError(parsed, model.name)
            if not tells_something(error):
                self._broken(error, context)
        elif self._open:
            with self._lock:
                self._open.pop(repr(context[ASKED]), None)

    def _broken(self, exception: Exception, context: Any, **_event: Any) -> None:
        key = repr(context[ASKED])
        with self._lock:
            self.count += 1
            self._open.pop(key, None)
            self._open[key] = self.count, exception.with_traceback(None)
