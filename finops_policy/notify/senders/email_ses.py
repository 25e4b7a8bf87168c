"""E-mail through Amazon SES. The identity that mails come from must be verified in the caller's account and region."""

from __future__ import annotations

import datetime as dt
from typing import Any

from finops_policy.channels import Channel
from finops_policy.notify.aws_calls import call
from finops_policy.notify.model import Digest, Parcel, Texts
from finops_policy.notify.senders import mail
from finops_policy.notify.sending import text_of


class SesMail:
    """``email-ses``."""

    def __init__(self, channel: Channel) -> None:
        self._region = text_of(channel.settings["region"])
        self._sender = text_of(channel.settings["from"])
        self._configuration_set = text_of(channel.settings.get("configuration_set"))

    def pack(self, digest: Digest, texts: Texts, now: dt.datetime) -> Parcel:
        return mail.packed(digest, texts, self._sender, now)

    def send(self, parcel: Parcel) -> str:
        asked: dict[str, Any] = {
            "FromEmailAddress": self._sender,
            "Destination": {"ToAddresses": [str(parcel.body["To"])]},
            "Content": {"Raw": {"Data": bytes(parcel.body)}},
        }
        if self._configuration_set:
            asked["ConfigurationSetName"] = self._configuration_set
        return str(call("sesv2", self._region, lambda client: client.send_email(**asked))["MessageId"])
