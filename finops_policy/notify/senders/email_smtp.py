"""E-mail through a mail server: STARTTLS or TLS with a certificate that is checked, never less than was asked for.

Limits: one connection a digest; the server's word that it took a mail is all that is known of its delivery.
"""

from __future__ import annotations

import datetime as dt
import smtplib
import socket
import ssl
from email.message import EmailMessage
from typing import cast

from finops_policy.channels import Channel
from finops_policy.notify.http import is_loopback
from finops_policy.notify.model import Digest, Parcel, RefusedError, Texts, TryAgainError
from finops_policy.notify.senders import mail
from finops_policy.notify.sending import SOCKET_SECONDS, text_of


class SmtpMail:
    """``email-smtp``."""

    def __init__(self, channel: Channel) -> None:
        settings = channel.settings
        self._host = text_of(settings["host"])
        self._security = text_of(settings.get("security", "starttls"))
        self._port = int(text_of(settings.get("port", 465 if self._security == "tls" else 587)))
        self._sender = text_of(settings["from"])
        self._username, self._password = settings.get("username"), settings.get("password")

    def pack(self, digest: Digest, texts: Texts, now: dt.datetime) -> Parcel:
        return mail.packed(digest, texts, self._sender, now)

    def send(self, parcel: Parcel) -> str:
        message = cast("EmailMessage", parcel.body)
        if self._security == "none" and not is_loopback(self._host):
            raise RefusedError(f"mail is only sent without encryption on this machine, and {self._host} is another")
        username, password = text_of(self._username), text_of(self._password)
        try:
            with self._connected() as connection:
                if username:
                    connection.login(username, password)
                connection.send_message(message)
        except ssl.SSLCertVerificationError as error:
            raise RefusedError(f"the certificate of {self._host} does not hold: {error.verify_message}") from error
        except smtplib.SMTPNotSupportedError as error:
            raise RefusedError(f"{self._host} cannot do what is needed: {error}") from error
        except smtplib.SMTPRecipientsRefused as error:
            code, said = next(iter(error.recipients.values()))
            raise _refusal(self._host, code, said) from error
        except smtplib.SMTPResponseException as error:
            raise _refusal(self._host, error.smtp_code, error.smtp_error) from error
        except (smtplib.SMTPException, OSError) as error:
            raise TryAgainError(f"no whole answer from {self._host}: {type(error).__name__}: {error}") from error
        return str(message["Message-ID"])

    def _connected(self) -> smtplib.SMTP:
        context = ssl.create_default_context()
        if self._security == "tls":
            return smtplib.SMTP_SSL(self._host, self._port, _own_name(), timeout=SOCKET_SECONDS, context=context)
        connection = smtplib.SMTP(self._host, self._port, _own_name(), timeout=SOCKET_SECONDS)
        if self._security == "starttls":
            try:
                connection.starttls(context=context)
            except BaseException:
                connection.close()
                raise
        return connection


def _own_name() -> str:
    """What we greet with: never looked up, since a name server that is silent would hold us past every time limit."""
    name = socket.gethostname()
    return name if "." in name and name.isascii() else "[127.0.0.1]"


def _refusal(host: str, code: int, said: bytes | str) -> RefusedError | TryAgainError:
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    kind = TryAgainError if 400 <= code < 500 or code < 0 else RefusedError
    return kind(f"{host} answered {code}: {text}")
