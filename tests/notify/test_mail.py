"""E-mail to a real SMTP server: encrypted or not at all, nothing smuggled in, refusals told apart."""

from __future__ import annotations

import email
import email.policy
import ssl
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any, cast

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword
from hypothesis import given, settings
from hypothesis import strategies as st

from finops_policy.notify.model import RefusedError, Result, TryAgainError
from finops_policy.notify.senders import mail
from finops_policy.notify.senders.email_smtp import SmtpMail
from finops_policy.notify.sending import deliver
from tests.notify.kit import HOSTILE, NOW, Clock, certificate, channel, digest, hostile_notice, notice, words

SENDER = "finops@acme.example"


class Inbox:
    """What the server took; ``answers`` are said to recipients before it takes one."""

    def __init__(self) -> None:
        self.mails: list[Envelope] = []
        self.answers: list[str] = []
        self.encrypted: list[bool] = []

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, _options: Any) -> str:  # noqa: N802
        if self.answers:
            return self.answers.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:  # noqa: N802
        self.mails.append(envelope)
        self.encrypted.append(session.ssl is not None)
        return "250 OK"

    def message(self) -> EmailMessage:
        (envelope,) = self.mails
        return cast(
            "EmailMessage", email.message_from_bytes(cast("bytes", envelope.content), policy=email.policy.default)
        )


class Anywhere(Controller):
    """On a port that is free."""

    def _trigger_server(self) -> None:
        assert self.server is not None
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


def _login(_server: SMTP, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
    right = isinstance(data, LoginPassword) and (data.login, data.password) == (b"bot", b"pass word")
    return AuthResult(success=right, handled=False)


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def serve(pem: tuple[Path, Path]) -> Iterator[Callable[..., tuple[Inbox, int]]]:
    running: list[Controller] = []

    def start(security: str = "starttls", **settings: Any) -> tuple[Inbox, int]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*pem)
        inbox = Inbox()
        if security == "tls":
            settings["ssl_context"] = context
        elif security == "starttls":
            settings |= {"tls_context": context, "require_starttls": True}
        made = Anywhere(inbox, hostname="127.0.0.1", port=0, server_hostname="localhost", **settings)
        made.start()
        running.append(made)
        return inbox, made.port

    yield start
    for each in running:
        each.stop()


@pytest.fixture
def _trusted(pem: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(pem[0]))


def send(port: int, security: str = "starttls", **settings: Any) -> str:
    of = channel("email-smtp", host="127.0.0.1", port=port, security=security, **{"from": SENDER}, **settings)
    made = digest(of, notice(1))
    sender = SmtpMail(of)
    return sender.send(sender.pack(made, words(made), NOW))


@pytest.mark.usefixtures("_trusted")
@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_digest_arrives_encrypted(serve: Callable[..., tuple[Inbox, int]], security: str) -> None:
    inbox, port = serve(security)
    receipt = send(port, security)
    assert inbox.encrypted == [security == "starttls"]  # a server of TLS alone does not count it
    (envelope,) = inbox.mails
    assert (envelope.mail_from, envelope.rcpt_tos) == (SENDER, ["ann@acme.example"])
    message = inbox.message()
    assert message["To"] == "ann@acme.example"
    assert message["Subject"] == "[Acme Health] 1 finding, USD 70.08 a month"
    assert message["Message-ID"] == receipt == f"<{'0123456789abcdef' * 2}@acme.example>"
    assert message["Auto-Submitted"] == "auto-generated"
    text, html = (message.get_body((kind,)) for kind in ("plain", "html"))
    assert text is not None
    assert html is not None
    assert "instance/i-0001" in text.get_content()
    assert "What is not listed is not thereby clean." in text.get_content()
    assert "<td>medium</td>" in html.get_content()


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_certificate_that_nobody_vouches_for_is_final(serve: Callable[..., tuple[Inbox, int]], security: str) -> None:
    inbox, port = serve(security)
    with pytest.raises(RefusedError, match="does not hold"):
        send(port, security)
    assert inbox.mails == []


def test_a_server_without_encryption_gets_nothing(serve: Callable[..., tuple[Inbox, int]]) -> None:
    inbox, port = serve("none")
    with pytest.raises(RefusedError, match="STARTTLS"):
        send(port, "starttls")
    assert inbox.mails == []
    send(port, "none")
    assert len(inbox.mails) == 1


def test_without_encryption_only_to_this_machine() -> None:
    of = channel("email-smtp", host="mail.acme.example", security="none", **{"from": SENDER})
    made = digest(of)
    sender = SmtpMail(of)
    with pytest.raises(RefusedError, match="is another"):
        sender.send(sender.pack(made, words(made), NOW))


@pytest.mark.usefixtures("_trusted")
def test_the_server_is_logged_in_to(serve: Callable[..., tuple[Inbox, int]], monkeypatch: pytest.MonkeyPatch) -> None:
    inbox, port = serve(authenticator=_login, auth_required=True)
    monkeypatch.setenv("MAIL_USER", "bot")
    monkeypatch.setenv("MAIL_PASSWORD", "wrong")
    with pytest.raises(RefusedError, match="535"):
        send(port, username="$MAIL_USER", password="$MAIL_PASSWORD")
    monkeypatch.setenv("MAIL_PASSWORD", "pass word")
    send(port, username="$MAIL_USER", password="$MAIL_PASSWORD")
    assert len(inbox.mails) == 1


@pytest.mark.usefixtures("_trusted")
def test_busy_is_tried_again_and_unknown_is_final(serve: Callable[..., tuple[Inbox, int]]) -> None:
    inbox, port = serve()
    inbox.answers = ["451 try again later"]
    outcome = deliver(lambda: send(port), Clock().patience(base=0.01))
    assert (outcome.result, len(outcome.attempts)) == (Result.DELIVERED, 2)
    assert outcome.attempts[0].reason == "127.0.0.1 answered 451: try again later"
    inbox.answers = ["550 no such user"]
    with pytest.raises(RefusedError, match="550: no such user"):
        send(port)


def test_nobody_there_is_tried_again() -> None:
    with pytest.raises(TryAgainError, match="no whole answer"):
        send(9, "none")


@settings(deadline=None, max_examples=60)
@given(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=80)))
def test_hostile_text_makes_no_header_and_no_markup(text: str) -> None:
    of = channel("email-smtp", host="127.0.0.1", **{"from": SENDER})
    made = digest(of, hostile_notice(text), run=None)
    parcel = mail.packed(made, words(made), SENDER, NOW)
    back = email.message_from_bytes(bytes(parcel.body), policy=email.policy.default)
    assert set(back.keys()) == {
        *("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "X-Finops-Policy-Digest"),
        *("MIME-Version", "Content-Type"),
    }
    assert back["To"] == "ann@acme.example"
    html = cast("EmailMessage", back).get_body(("html",))
    assert html is not None
    said = html.get_content()
    assert "<script" not in said
    assert "<img" not in said
    assert "\x1b" not in said


@pytest.mark.parametrize("subject", ["a\nBcc: eve@evil.example", "a\r\nX: y", "a\x00b"])
def test_a_subject_is_one_line_whatever_it_is_made_of(subject: str) -> None:
    from dataclasses import replace

    of = channel("email-smtp", host="127.0.0.1", **{"from": SENDER})
    made = digest(of)
    texts = words(replace(made, about=replace(made.about, customer_title=subject)))
    parcel = mail.packed(made, texts, SENDER, NOW)
    assert "Bcc" not in parcel.body
    assert "\n" not in parcel.body["Subject"]


@pytest.mark.parametrize("recipient", ["", "ann", "ann@x\nBcc: eve@evil.example", "a@b, c@d", "zoë@acme.example"])
def test_what_is_no_address_is_not_sent_to(recipient: str) -> None:
    of = channel("email-smtp", host="127.0.0.1", **{"from": SENDER})
    made = digest(of, recipient=recipient)
    with pytest.raises(RefusedError, match="no e-mail address"):
        mail.packed(made, words(made), SENDER, NOW)
