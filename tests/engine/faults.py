"""A proxy between botocore and the sandbox that answers as AWS and its network do on a bad day.

Which call gets which fault is decided by the call alone (service, operation, path, and how many like it came before)
and a seed, so a run that failed can be repeated by its seed.
"""

from __future__ import annotations

import http.client
import json
import random
import re
import select
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

import botocore.session
from botocore.model import OperationModel

LINGER_NOT = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: closing the socket resets the connection."""
CREDENTIAL = re.compile(r"Credential=(?P<key>[^/]+)/\d+/(?P<region>[^/]+)/(?P<service>[^/]+)/")
NAMED_BY_SIGNATURE = {"monitoring": "cloudwatch", "tagging": "resourcegroupstaggingapi"}
IAM_PREFIXES = {
    "elb": "elasticloadbalancing",
    "elbv2": "elasticloadbalancing",
    "resourcegroupstaggingapi": "tag",
}
ROLE = "arn:aws:sts::111122223333:assumed-role/finops-policy-reader/finops-policy"


class Fault(StrEnum):
    """What may become of a call."""

    THROTTLED = "throttled"
    BROKEN = "broken"
    """HTTP 500."""
    UNAVAILABLE = "unavailable"
    """HTTP 503."""
    RESET = "reset"
    """The connection is reset instead of an answer."""
    SLOW = "slow"
    """No answer for as long as the client waits."""
    SHORT = "short"
    """Fewer bytes of the answer than announced."""
    CUT = "cut"
    """Half of the answer, announced as if it were the whole."""
    EMPTY = "empty"
    """200, and nothing in it."""
    DENIED = "denied"
    """The role may not."""
    EXPIRED = "expired"
    """The session's time is over."""
    REPEATED = "repeated"
    """The same page again, and the same token for the next one."""
    ENDLESS = "endless"
    """The same page again, and another token each time."""
    HELD = "held"
    """The answer waits until the test lets it go."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request as botocore's models name it. ``number`` counts the calls alike (all but the number), from 0."""

    service: str
    operation: str
    region: str
    path: str
    number: int

    @property
    def action(self) -> str:
        """As IAM names it, but for a few that IAM calls otherwise than the API does."""
        return f"{IAM_PREFIXES.get(self.service, self.service)}:{self.operation}"


Decide = Callable[[Call], Fault | None]


def rates(seed: int, of: Mapping[Fault, float]) -> Decide:
    """Each fault at its rate; the same for the same seed and call."""

    def decide(call: Call) -> Fault | None:
        drawn = random.Random(f"{seed} {call}").random()
        for fault, rate in of.items():
            drawn -= rate
            if drawn < 0:
                return fault
        return None

    return decide


def always(fault: Fault, *actions: str, region: str = "", path: str = "") -> Decide:
    """One fault on every call of these actions, or on those in a region or whose path holds a text."""

    def decide(call: Call) -> Fault | None:
        return fault if call.action in actions and region in call.region and path in call.path else None

    return decide


def after(calls: int, fault: Fault) -> Decide:
    """One fault on every call but the first ones."""
    left = iter(range(calls))
    return lambda _call: fault if next(left, None) is None else None


def first_of(*plans: Decide) -> Decide:
    """The first fault that any of the plans has for a call."""
    return lambda call: next((fault for plan in plans if (fault := plan(call))), None)


# --- What a request is, by botocore's models ------------------------------------------------------------------------


@cache
def _session() -> Any:
    return botocore.session.get_session()


@cache
def _model(service: str) -> Any:
    return _session().get_service_model(service)


@cache
def _paths(service: str) -> tuple[tuple[str, re.Pattern[str], frozenset[str], str], ...]:
    """(method, path, keys of the query, operation) of a REST service; those with more keys first, old names last."""
    found = []
    for name in _model(service).operation_names:
        model = _model(service).operation_model(name)
        path, _, query = model.http["requestUri"].partition("?")
        pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.sub(r"\\\{\w+\\\+\\\}", ".+", re.escape(path)))
        keys = frozenset(part.partition("=")[0] for part in query.split("&") if part)
        found.append((model.deprecated, (model.http["method"], re.compile(f"{pattern}/?"), keys, name)))
    return tuple(each for _, each in sorted(found, key=lambda each: (each[0], -len(each[1][2]))))


def _asked(method: str, target: str, headers: Mapping[str, str], body: bytes) -> tuple[str, str, str]:
    """(service, operation, region); all are ``?`` for what is no request to AWS."""
    signed = CREDENTIAL.search(headers.get("Authorization", ""))
    if signed is None:
        return "?", "?", "?"
    service = NAMED_BY_SIGNATURE.get(signed["service"], signed["service"])
    return *_operation(service, method, target, headers, body), signed["region"]


def _operation(service: str, method: str, target: str, headers: Mapping[str, str], body: bytes) -> tuple[str, str]:
    """(service, operation) of a request to the service that its signature names."""
    if "X-Amz-Target" in headers:
        return service, headers["X-Amz-Target"].rpartition(".")[2]
    url = urlsplit(target)
    if url.path.startswith("/service/"):  # smithy's RPC
        return service, url.path.rpartition("/")[2]
    form = parse_qs(body.decode("latin-1"))
    if "Action" in form:
        if service == "elasticloadbalancing":
            service = "elb" if form["Version"] == ["2012-06-01"] else "elbv2"
        return service, form["Action"][0]
    asked = {part.partition("=")[0] for part in url.query.split("&")}
    for verb, path, keys, name in _paths(service):
        if verb == method and keys <= asked and path.fullmatch(url.path):
            return service, name
    return service, "?"


# --- Answers --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def _refusal(model: OperationModel, status: int, code: str, message: str) -> Answer:
    """An error as services of its protocol tell it."""
    protocol = model.service_model.resolved_protocol
    if protocol in ("query", "ec2", "rest-xml"):
        text = f"<Code>{code}</Code><Message>{escape(message)}</Message>"
        body = {
            "query": f"<ErrorResponse><Error><Type>Sender</Type>{text}</Error><RequestId>r</RequestId></ErrorResponse>",
            "ec2": f"<Response><Errors><Error>{text}</Error></Errors><RequestID>r</RequestID></Response>",
            "rest-xml": f"<Error>{text}<RequestId>r</RequestId><HostId>h</HostId></Error>",
        }[protocol]
        return Answer(status, (("Content-Type", "text/xml"),), f'<?xml version="1.0"?>\n{body}'.encode())
    if protocol == "smithy-rpc-v2-cbor":
        return Answer(
            status,
            (("Content-Type", "application/cbor"), ("smithy-protocol", "rpc-v2-cbor")),
            b"\xa2" + _cbor("__type") + _cbor(f"aws#{code}") + _cbor("message") + _cbor(message),
        )
    kind = "application/json" if protocol == "rest-json" else "application/x-amz-json-1.1"
    document = json.dumps({"__type": code, "message": message})
    return Answer(status, (("Content-Type", kind), ("x-amzn-errortype", code)), document.encode())


def _cbor(text: str) -> bytes:
    data = text.encode()
    return b"\x79" + struct.pack(">H", len(data)) + data


THROTTLING = {"ec2": "RequestLimitExceeded", "s3": "SlowDown", "lambda": "TooManyRequestsException"}


def _refuse(fault: Fault, call: Call, model: OperationModel) -> Answer | None:
    """The answer of a service that does not do what was asked; None when it is another kind of fault."""
    by_xml = model.service_model.resolved_protocol in ("query", "ec2", "rest-xml")
    match fault:
        case Fault.THROTTLED:
            code = THROTTLING.get(call.service, "Throttling" if by_xml else "ThrottlingException")
            return _refusal(model, 503 if by_xml else 400, code, "Rate exceeded")
        case Fault.BROKEN:
            code = "InternalError" if by_xml else "InternalFailure"
            return _refusal(model, 500, code, "An internal error has occurred")
        case Fault.UNAVAILABLE:
            return Answer(503, (("Content-Type", "text/html"),), b"<html>Service Unavailable</html>")
        case Fault.DENIED:
            code = "AccessDenied" if by_xml else "AccessDeniedException"
            code = "UnauthorizedOperation" if call.service == "ec2" else code
            message = f"User: {ROLE} is not authorized to perform: {call.action} because no identity-based policy "
            return _refusal(model, 403, code, message + f"allows the {call.action} action")
        case Fault.EXPIRED:
            code = "ExpiredToken" if by_xml else "ExpiredTokenException"
            code = "RequestExpired" if call.service == "ec2" else code
            return _refusal(
                model, 400 if by_xml else 403, code, "The security token included in the request is expired"
            )
    return None


@cache
def _paginators(service: str) -> Mapping[str, Any]:
    loader = _session().get_component("data_loader")
    found: Mapping[str, Any] = loader.load_service_model(service, "paginators-1")["pagination"]
    return found


def _paged(call: Call, model: OperationModel, answer: Answer, token: str) -> Answer:
    """The answer with a token for a next page, where botocore's paginator of the operation looks for it."""
    key = _paginators(call.service)[call.operation]["output_token"]
    if model.service_model.resolved_protocol in ("json", "rest-json"):
        document = json.loads(answer.body)
        document[key] = token
        return Answer(answer.status, answer.headers, json.dumps(document).encode())
    shape = model.output_shape
    name = shape.members[key].serialization.get("name", key)
    text = re.sub(rf"<{name}>[^<]*</{name}>|<{name} ?/>", "", answer.body.decode())
    # The element that holds the members: the result, where a protocol wraps it, else the root.
    wrapper = shape.serialization.get("resultWrapper")
    end = text.rindex(f"</{wrapper}>") if wrapper else text.rindex("</")
    return Answer(answer.status, answer.headers, f"{text[:end]}<{name}>{token}</{name}>{text[end:]}".encode())


# --- The proxy ------------------------------------------------------------------------------------------------------


class Proxy:
    """What stands before ``upstream``. ``calls`` counts by action and ``injected`` by fault; what is held is let go by
    setting ``released``. ``canned`` are answers in JSON, by action, for what the sandbox has nothing of."""

    def __init__(self, upstream: str) -> None:
        self.upstream = urlsplit(upstream).netloc
        self.url = ""
        self.decide: Decide = lambda _call: None
        self.canned: Mapping[str, object] = {}
        self.ending = threading.Event()
        self._lock = threading.Lock()
        self.clear(self.decide)

    def clear(self, decide: Decide) -> None:
        """From now on by this plan, counting from nothing."""
        with self._lock:
            self.decide = decide
            self.calls: Counter[str] = Counter()
            self.injected: Counter[Fault] = Counter()
            self.released = threading.Event()
            self._alike: Counter[tuple[str, ...]] = Counter()
            self.pages: dict[str, Answer] = {}
            """The first answer by action, which is every page of it when pages repeat."""

    def plan(self, *alike: str) -> tuple[Call, Fault | None]:
        """Names a request by service, operation, region and path, and says what becomes of it."""
        with self._lock:
            call = Call(*alike, number=self._alike[alike])
            self._alike[alike] += 1
            self.calls[call.action] += 1
            fault = self.decide(call)
            if fault is not None:
                self.injected[fault] += 1
            return call, fault


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Proxy
    upstream: http.client.HTTPConnection | None = None

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def log_message(self, *_args: object) -> None:
        """Requests are nobody's news."""

    def finish(self) -> None:
        if self.upstream is not None:
            self.upstream.close()
        if not self.wfile.closed:
            super().finish()

    def serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        service, operation, region = _asked(self.command, self.path, self.headers, body)
        call, fault = self.proxy.plan(service, operation, region, self.path)
        if fault is None and call.action in self.proxy.canned:
            document = json.dumps(self.proxy.canned[call.action])
            self._send(Answer(200, (("Content-Type", "application/x-amz-json-1.1"),), document.encode()))
            return
        if fault is None:
            self._send(self._ask(body))
            return
        model = _model(service).operation_model(operation)
        if answer := _refuse(fault, call, model):
            self._send(answer)
        elif fault is Fault.SLOW:
            self._keep_waiting(threading.Event())
        elif fault is Fault.HELD:
            if self._keep_waiting(self.proxy.released):
                self._send(self._ask(body))
        elif fault is Fault.RESET:
            self._reset()
        elif fault in (Fault.REPEATED, Fault.ENDLESS):
            page = self.proxy.pages.get(call.action) or self._ask(body)
            self.proxy.pages[call.action] = page
            self._send(_paged(call, model, page, "again" if fault is Fault.REPEATED else f"page-{call.number}"))
        else:
            self._distort(fault, self._ask(body))

    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = serve  # noqa: N815 - http.server's names

    def _ask(self, body: bytes) -> Answer:
        """What the sandbox says."""
        if self.upstream is None:
            self.upstream = http.client.HTTPConnection(self.proxy.upstream, timeout=60)
        self.upstream.request(self.command, self.path, body, dict(self.headers))
        response = self.upstream.getresponse()
        hop_by_hop = ("connection", "content-length", "transfer-encoding", "keep-alive")
        kept = tuple((name, value) for name, value in response.getheaders() if name.lower() not in hop_by_hop)
        return Answer(response.status, kept, response.read())

    def _distort(self, fault: Fault, answer: Answer) -> None:
        half = answer.body[: len(answer.body) // 2]
        match fault:
            case Fault.SHORT:
                self._send(answer, half)
                self.close_connection = True
            case Fault.CUT:
                self._send(Answer(answer.status, answer.headers, half))
            case Fault.EMPTY:
                self._send(Answer(200, answer.headers, b""))

    def _send(self, answer: Answer, body: bytes | None = None) -> None:
        """``body`` is what is sent of it, when that is not what is announced."""
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body if body is None else body)

    def _keep_waiting(self, released: threading.Event) -> bool:
        """Whether it was let go before the client gave up."""
        while not self.proxy.ending.is_set():
            if released.wait(0.05):
                return True
            if select.select([self.connection], [], [], 0)[0]:
                break
        self.close_connection = True
        return False

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
        self.close_connection = True
        self.rfile.close()
        self.wfile.close()
        self.connection.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, _request: Any, _address: Any) -> None:
        """A client that went away is no error here."""


@contextmanager
def proxy(upstream: str) -> Iterator[Proxy]:
    """A proxy on a free port of loopback, as long as the context lasts."""
    made = Proxy(upstream)
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": made}))
    made.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.ending.set()
        server.shutdown()
        server.server_close()
        thread.join()
