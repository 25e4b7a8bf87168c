"""A small fake AWS: an asyncio HTTP/1.1 server that answers a few calls far faster than the clients ask them.

``python -m bench.fake_aws --instances 5000`` prints its URL; :func:`running` starts it as a process of its own. The
access key of an assumed role holds the account id, so that every later call is answered for the account in its
signature. ``GET /_calls`` counts the calls by ``service:Operation`` ("unknown" are those it has no answer for), ``GET
/_assumed`` the roles assumed by account, and ``POST /_reset`` forgets both.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl

from bench.answers import MANAGEMENT_ACCOUNT, Answers, Call, RefusedError
from bench.estate import Estate

ROOT = Path(__file__).parents[1]
ACCESS_KEY = f"AKIA{MANAGEMENT_ACCOUNT}FAKE"
STOP_SECONDS = 10

_SIGNED = re.compile(rb"credential=(?:AKIA|ASIA)(\d{12})\w*/\d+/([\w-]+)/([\w-]+)/", re.IGNORECASE)
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_TARGET = re.compile(rb"\r\nx-amz-target: *[\w.]*\.(\w+)\r\n", re.IGNORECASE)
_REASONS = {200: "OK", 400: "Bad Request", 403: "Forbidden", 404: "Not Found"}
_NAMES = {"monitoring": "cloudwatch"}


class Service:
    """Reads requests, counts them, and renders answers. No I/O of its own."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self.calls: Counter[str] = Counter()

    def reply(self, head: bytes, body: bytes) -> bytes:
        """The response to one request, whole."""
        line, _, _ = head.partition(b"\r\n")
        if b" /_" in line:
            return self._own(line)
        signed = _SIGNED.search(head)
        if signed is None:
            self.calls["unknown"] += 1
            return _response(
                403, b"<ErrorResponse><Error><Code>MissingAuthenticationToken</Code></Error></ErrorResponse>"
            )
        account, region, service = (part.decode() for part in signed.groups())
        target = _TARGET.search(head)
        values = json.loads(body or b"{}") if target else dict(parse_qsl(body.decode(), keep_blank_values=True))
        operation = target[1].decode() if target else values.get("Action", line.decode())
        call = Call(account, region, service, operation, values)
        name = f"{_NAMES.get(service, service)}:{operation}"
        self.calls[name if self._answers.knows(call) else "unknown"] += 1
        kind = "application/x-amz-json-1.0" if target else "text/xml"
        try:
            return _response(200, self._answers.answer(call), kind)
        except RefusedError as refusal:
            return _response(refusal.status, _error(refusal, service, bool(target)), kind)

    def _own(self, line: bytes) -> bytes:
        if line.startswith(b"GET /_calls "):
            return _response(200, json.dumps(self.calls).encode(), "application/json")
        if line.startswith(b"GET /_assumed "):
            return _response(200, json.dumps(self._answers.assumed).encode(), "application/json")
        if line.startswith(b"POST /_reset "):
            self.calls.clear()
            self._answers.assumed.clear()
            return _response(200, b"{}", "application/json")
        return _response(404, b"{}", "application/json")


def _response(status: int, body: bytes, kind: str = "text/xml") -> bytes:
    head = f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _error(refusal: RefusedError, service: str, as_json: bool) -> bytes:
    if as_json:
        return json.dumps({"__type": refusal.code, "message": refusal.message}).encode()
    inner = f"<Code>{refusal.code}</Code><Message>{refusal.message}</Message>"
    if service == "s3":
        return f"<Error>{inner}</Error>".encode()
    if service == "ec2":
        return f"<Response><Errors><Error>{inner}</Error></Errors><RequestID>fake</RequestID></Response>".encode()
    return (
        f"<ErrorResponse><Error><Type>Sender</Type>{inner}</Error><RequestId>fake</RequestId></ErrorResponse>".encode()
    )


class Connection(asyncio.Protocol):
    """One client's connection, kept alive. Clients do not pipeline: one request is answered before the next comes."""

    def __init__(self, service: Service, latency: float) -> None:
        self._service = service
        self._latency = latency
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._received[: end + 2])
            length = _LENGTH.search(head)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._received) < whole:
                return
            body = bytes(self._received[end + 4 : whole])
            del self._received[:whole]
            reply = self._service.reply(head, body)
            if self._latency:
                asyncio.get_running_loop().call_later(self._latency, self._transport.write, reply)
            else:
                self._transport.write(reply)


async def serve(service: Service, port: int, latency: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(service, latency), "127.0.0.1", port, backlog=512)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


@dataclass(frozen=True)
class Fake:
    """A running fake AWS."""

    url: str

    def environment(self) -> dict[str, str]:
        """What leads AWS clients here and nowhere else, as the management account's user."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_REGION": "us-east-1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "*",
            "no_proxy": "*",
        }

    def calls(self) -> dict[str, int]:
        return self._ask("/_calls", "GET")

    def assumed(self) -> dict[str, int]:
        return self._ask("/_assumed", "GET")

    def reset(self) -> None:
        self._ask("/_reset", "POST")

    def _ask(self, path: str, method: str) -> dict[str, int]:
        request = urllib.request.Request(self.url + path, method=method)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
            return dict(json.load(answer))


@contextmanager
def running(**options: object) -> Iterator[Fake]:
    """A fake AWS in a process of its own; options as the command's, such as ``instances=5000`` or ``latency_ms=30``."""
    given = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    command = [sys.executable, "-m", "bench.fake_aws", *given]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        if not url:
            raise RuntimeError(f"the fake AWS did not start: {' '.join(command)}")
        yield Fake(url)
    finally:
        process.terminate()
        process.communicate(timeout=STOP_SECONDS)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.fake_aws", description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--instances", type=int, default=100, help="per account and region; as many volumes")
    parser.add_argument("--accounts", type=int, default=10, help="that the organization lists")
    parser.add_argument("--latency-ms", type=float, default=0, help="added to every answer")
    parser.add_argument("--seed", default="1", help="another seed is another estate")
    parser.add_argument("--deny-accounts", default="", help="comma-separated ids whose role cannot be assumed")
    chosen = parser.parse_args(arguments)
    denied = frozenset(filter(None, chosen.deny_accounts.split(",")))
    service = Service(Answers(Estate(chosen.instances, chosen.seed), chosen.accounts, denied))
    try:
        asyncio.run(serve(service, chosen.port, chosen.latency_ms / 1000))
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    main()
