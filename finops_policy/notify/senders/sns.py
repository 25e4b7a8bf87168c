"""Amazon SNS: the digest as text. A FIFO topic takes the same digest only once within five minutes."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from finops_policy.channels import Channel
from finops_policy.notify.aws_calls import call
from finops_policy.notify.model import Digest, Parcel, Texts
from finops_policy.notify.senders.cutting import cut_bytes
from finops_policy.notify.sending import text_of

MOST_BYTES: Final = 262_144
MOST_SUBJECT: Final = 100
"""ASCII characters, of which the first is a letter, a digit or a mark, says SNS."""


class Sns:
    """``sns``."""

    def __init__(self, channel: Channel) -> None:
        self._topic = text_of(channel.settings["topic_arn"])

    def pack(self, digest: Digest, texts: Texts, now: dt.datetime) -> Parcel:
        message = cut_bytes(texts.text, MOST_BYTES)
        subject = texts.subject.encode("ascii", "replace").decode().strip()[:MOST_SUBJECT]
        attributes = {
            "customer": digest.about.customer,
            "kind": digest.kind.value,
            "severity": digest.severity.value,
            "digest": digest.id,
        }
        body: dict[str, Any] = {
            "TopicArn": self._topic,
            "Subject": subject,
            "Message": message,
            "MessageAttributes": {
                name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
            },
        }
        if self._topic.endswith(".fifo"):
            body |= {"MessageGroupId": digest.about.customer, "MessageDeduplicationId": digest.id}
        return Parcel(body, f"Topic: {self._topic}\nSubject: {subject}\n\n{message}")

    def send(self, parcel: Parcel) -> str:
        region = self._topic.split(":")[3]
        return str(call("sns", region, lambda client: client.publish(**parcel.body))["MessageId"])
