"""Posting: what is tried again, what is final, and what is never told."""

from __future__ import annotations

import contextlib
import datetime as dt
import email.utils
import socket
import ssl
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from finops_policy.notify import http as http_module
from finops_policy.notify import sending
from finops_policy.notify.http import post, seconds_of
from finops_policy.notify.model import RefusedError, Result, TryAgainError
from finops_policy.notify.sending import deliver
from tests.notify.kit import Clock, Receiver, certificate, receiver


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_module, "SOCKET_SECONDS", 0.3)


def send(url: str) -> str:
    return post(url, b"{}", {}).body.decode()


def test_it_is_tried_until_it_is_taken_with_growing_pauses(http: Receiver) -> None:
    http.answers((500, {}, b"oops"), (503, {}, b""), (200, {}, b"ok"))
    clock = Clock()
    outcome = deliver(lambda: send(http.url), clock.patience(base=1))
    assert (outcome.result, outcome.receipt) == (Result.DELIVERED, "ok")
    assert [each.reason for each in outcome.attempts] == [
        "127.0.0.1 answered HTTP 500: oops",
        "127.0.0.1 answered HTTP 503",
        "",
    ]
    first, second = clock.waits
    assert 0.5 <= first <= 1
    assert 1 <= second <= 2


def test_retry_after_is_respected(http: Receiver) -> None:
    http.answers((429, {"Retry-After": "7"}, b"slow down"), (200, {}, b"ok"))
    clock = Clock()
    assert deliver(lambda: send(http.url), clock.patience()).result is Result.DELIVERED
    assert clock.waits == [7]


def test_who_asks_to_wait_too_long_is_asked_the_next_time(http: Receiver) -> None:
    http.answers((429, {"Retry-After": "3600"}, b""))
    clock = Clock()
    outcome = deliver(lambda: send(http.url), clock.patience())
    assert (outcome.result, len(outcome.attempts), clock.waits) == (Result.FAILED, 1, [])


def test_it_ends(http: Receiver) -> None:
    http.answers((500, {}, b""))
    outcome = deliver(lambda: send(http.url), Clock().patience(attempts=3))
    assert (outcome.result, len(outcome.attempts), len(http.posted)) == (Result.FAILED, 3, 3)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 413])
def test_a_refusal_is_final(http: Receiver, status: int) -> None:
    http.answers((status, {}, b"no_service"))
    outcome = deliver(lambda: send(http.url), Clock().patience())
    assert len(outcome.attempts) == len(http.posted) == 1
    assert outcome.reason == f"127.0.0.1 answered HTTP {status}: no_service"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_redirect_is_followed(http: Receiver, status: int) -> None:
    with receiver() as other:
        http.answers((status, {"Location": other.url}, b""))
        with pytest.raises(RefusedError, match=str(status)):
            send(http.url)
        assert other.posted == []


def test_what_does_not_answer_in_time_is_tried_again(http: Receiver, brief: None) -> None:
    def slow(_handler: BaseHTTPRequestHandler) -> None:
        time.sleep(1)

    http.script = lambda _posted: slow
    with pytest.raises(TryAgainError, match="did not answer within"):
        send(http.url)


def test_an_answer_that_is_cut_off_is_tried_again(http: Receiver) -> None:
    def cut(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")

    http.script = lambda _posted: cut
    with pytest.raises(TryAgainError, match="no whole answer"):
        send(http.url)


def test_an_answer_that_never_ends_does_not_hold_us(http: Receiver) -> None:
    def drip(handler: BaseHTTPRequestHandler) -> None:
        for _ in range(100):
            handler.wfile.write(b"x")
            handler.wfile.flush()
            time.sleep(0.05)

    http.script = lambda _posted: drip
    begun = time.monotonic()
    outcome = deliver(lambda: send(http.url), Clock().patience(attempts=1, attempt_seconds=0.4))
    assert time.monotonic() - begun < 3
    assert outcome.reason == "no answer within 0.4 seconds"


def test_an_endless_body_is_read_only_so_far(http: Receiver) -> None:
    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        ends = time.monotonic() + 5
        with contextlib.suppress(OSError):
            while time.monotonic() < ends:
                handler.wfile.write(b"x" * 65536)

    http.script = lambda _posted: endless
    begun = time.monotonic()
    assert len(post(http.url, b"{}", {}).body) == 256 * 1024
    assert time.monotonic() - begun < 3


def test_nobody_there_is_tried_again_and_the_address_is_not_told() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(TryAgainError) as told:
        send(f"http://127.0.0.1:{port}/services/s3cr3t-path")
    assert "s3cr3t" not in str(told.value)


def test_a_secret_that_the_receiver_repeats_is_hidden(http: Receiver) -> None:
    http.script = lambda posted: (400, {}, posted.path.encode())
    outcome = deliver(lambda: send(http.url), Clock().patience(), ["", http.url, "/services/T0/B0/s3cr3t-path"])
    assert outcome.reason == "127.0.0.1 answered HTTP 400: [secret]"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://hooks.example.com/x", "not https"),
        ("https://user:word@hooks.example.com/x", "a name or a password"),
        ("ftp://127.0.0.1/x", "no address"),
        ("https:///x", "no address"),
        ("https://127.0.0.1:99999/", "no address"),
        ("http://127.0.0.1/a b", "no address"),
        ("not an address", "no address"),
        ("http://127.0.0.1/\r\nX-Evil: 1", "no address"),
    ],
)
def test_addresses_that_may_not_be_posted_to(url: str, why: str) -> None:
    with pytest.raises(RefusedError, match=why):
        send(url)


def test_certificates_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pem, key = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    with receiver(context) as server:
        url = server.url.replace("http://", "https://")
        with pytest.raises(RefusedError, match="could not be trusted"):
            send(url)
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        assert send(url) == "ok"


def test_retry_after_as_number_date_or_nonsense() -> None:
    assert seconds_of("12") == 12
    assert seconds_of("-5") == 0
    assert seconds_of("nan") is None
    assert seconds_of("soon") is None
    assert seconds_of(None) is None
    later = email.utils.format_datetime(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=30), usegmt=True)
    assert 25 <= (seconds_of(later) or 0) <= 30


def test_a_channel_that_breaks_is_told_and_final() -> None:
    def broken() -> str:
        raise KeyError("surprise")

    outcome = deliver(broken, Clock().patience())
    assert (outcome.result, outcome.reason) == (Result.FAILED, "KeyError: 'surprise'")


def test_variables_that_are_not_set_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from finops_policy.channels import Variable

    monkeypatch.setenv("HOOK", " https://x \n")
    assert sending.text_of(Variable("HOOK")) == "https://x"
    monkeypatch.setenv("HOOK", " ")
    with pytest.raises(RefusedError, match="HOOK is not set"):
        sending.text_of(Variable("HOOK"))
