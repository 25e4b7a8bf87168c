"""Any receiver: the digest as JSON (``notification-digest.schema.json``), signed with a shared secret.

``X-Finops-Policy-Signature`` is ``sha256=`` and the HMAC of the timestamp, a full stop and the body. A receiver checks
it, refuses timestamps that are old, and takes each ``X-Finops-Policy-Id`` once.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import time
from typing import Any, Final

from finops_policy.channels import Channel
from finops_policy.notify.http import post
from finops_policy.notify.model import DIGEST_SCHEMA, Digest, Parcel, Texts
from finops_policy.notify.rendering import context
from finops_policy.notify.senders.cutting import encoded, most_that_fit, size_of
from finops_policy.notify.sending import text_of

MOST_FINDINGS: Final = 1000
MOST_BYTES: Final = 1_000_000


class Webhook:
    """``webhook``."""

    def __init__(self, channel: Channel) -> None:
        self._url, self._secret = channel.settings["url"], channel.settings["secret"]

    def pack(self, digest: Digest, texts: Texts, now: dt.datetime) -> Parcel:
        values = context(digest, now, MOST_FINDINGS)
        count = values["count"]

        def build(shown: int) -> dict[str, Any]:
            findings = values["findings"][:shown]
            return {"schema": DIGEST_SCHEMA, **values, "findings": findings, "left_out": count - shown}

        fits = lambda body: size_of(body) <= MOST_BYTES  # noqa: E731
        body, left_out = most_that_fit(count, len(values["findings"]), build, fits)
        data = encoded(body)
        return Parcel((digest.id, data), data.decode(), left_out)

    def send(self, parcel: Parcel) -> str:
        digest_id, data = parcel.body
        stamp = str(int(time.time()))
        headers = {
            "X-Finops-Policy-Id": digest_id,
            "X-Finops-Policy-Timestamp": stamp,
            "X-Finops-Policy-Signature": signature(text_of(self._secret), stamp, data),
        }
        return f"HTTP {post(text_of(self._url), data, headers).status}"


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """What a receiver compares, in constant time, with the header."""
    return "sha256=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
