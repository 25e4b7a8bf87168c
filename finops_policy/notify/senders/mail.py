"""A digest as an e-mail: text and HTML, headers that nothing can be smuggled into."""

from __future__ import annotations

import datetime as dt
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from finops_policy.notify.model import Digest, Parcel, RefusedError, Texts


def packed(digest: Digest, texts: Texts, sender: str, now: dt.datetime) -> Parcel:
    """Body: the message. The same digest has the same Message-ID, so that a repetition can be told."""
    message = EmailMessage(policy=SMTP)
    message["From"] = _address(sender)
    message["To"] = _address(digest.recipient)
    message["Subject"] = texts.subject
    message["Date"] = format_datetime(now)
    message["Message-ID"] = f"<{digest.id}@{_address(sender).domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message["X-Finops-Policy-Digest"] = digest.id
    message.set_content(texts.text)
    message.add_alternative(texts.html, subtype="html")
    shown = f"From: {sender}\nTo: {digest.recipient}\nSubject: {texts.subject}\n\n{texts.text}"
    return Parcel(message, shown)


def _address(text: str) -> Address:
    """Raises :class:`RefusedError` for what is no address of one person."""
    try:
        found = Address(addr_spec=text)
    except (ValueError, IndexError) as error:
        raise RefusedError(f"{text!r} is no e-mail address") from error
    if not found.username or not found.domain or not text.isascii():
        raise RefusedError(f"{text!r} is no e-mail address that mail servers take")
    return found
