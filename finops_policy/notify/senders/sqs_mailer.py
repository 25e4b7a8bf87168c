"""c7n-mailer, by the queue it reads: a message as Cloud Custodian's ``notify`` action sends it.

The mailer renders the subject as a template of its own, outside of a sandbox, and its HTML templates escape nothing. So
the subject only names a field that holds the text, and texts for HTML templates are escaped here. Resources carry no
``Tags``: the mailer would look for addresses in them. A template of the mailer's finds the whole digest as text in
``action.text``, its findings in ``resources``. A FIFO queue takes the same digest only once within five minutes.
"""

from __future__ import annotations

import base64
import datetime as dt
import html
import json
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final

from finops_policy.channels import Channel
from finops_policy.notify.aws_calls import call
from finops_policy.notify.model import Digest, Parcel, Texts
from finops_policy.notify.rendering import context
from finops_policy.notify.senders.cutting import encoded, most_that_fit
from finops_policy.notify.sending import text_of

MESSAGE_TYPE: Final = "maidmsg/1.0"
MOST_BYTES: Final = 262_144
MOST_FINDINGS: Final = 2000
RESOURCE: Final = "finops-policy.finding"
"""No type that the mailer knows: it lays out those it knows by attributes that findings do not have."""


class SqsMailer:
    """``sqs-mailer``."""

    def __init__(self, channel: Channel) -> None:
        settings = channel.settings
        self._queue, self._region = text_of(settings["queue_url"]), text_of(settings["region"])
        self._template, self._from = text_of(settings.get("template", "default")), text_of(settings.get("from"))

    def pack(self, digest: Digest, texts: Texts, now: dt.datetime) -> Parcel:
        values = context(digest, now, MOST_FINDINGS)
        count = values["count"]
        spelled = _escaped if self._template.endswith("html") else _as_it_is

        def build(shown: int) -> str:
            message = self._message(digest, texts, values, shown, spelled)
            return base64.b64encode(zlib.compress(encoded(message))).decode()

        fits = lambda body: len(body) <= MOST_BYTES  # noqa: E731
        body, left_out = most_that_fit(count, len(values["findings"]), build, fits)
        asked: dict[str, Any] = {
            "QueueUrl": self._queue,
            "MessageBody": body,
            "MessageAttributes": {"mtype": {"DataType": "String", "StringValue": MESSAGE_TYPE}},
        }
        if self._queue.endswith(".fifo"):
            asked |= {"MessageGroupId": digest.about.customer, "MessageDeduplicationId": digest.id}
        shown = json.dumps(json.loads(zlib.decompress(base64.b64decode(body))), indent=2, ensure_ascii=False)
        return Parcel(asked, f"Queue: {self._queue}\n{shown}\n", left_out)

    def _message(
        self, digest: Digest, texts: Texts, values: Mapping[str, Any], shown: int, spelled: Callable[[Any], Any]
    ) -> dict[str, Any]:
        about = digest.about
        action = {
            "type": "notify",
            "to": [digest.recipient],
            "subject": "{{ action.subject_text }}",
            "subject_text": texts.subject,
            "template": self._template,
            "violation_desc": spelled(texts.intro),
            "action_desc": "",
            "text": spelled(texts.text),
            "left_out": values["count"] - shown,
        }
        if self._from:
            action["from"] = self._from
        return {
            "event": None,
            "account_id": "",
            "account": spelled(about.customer_title),
            "partition": "aws",
            "region": self._region,
            "version": MESSAGE_TYPE,
            "execution_id": about.run_id,
            "execution_start": about.started_at.timestamp(),
            "policy": {"name": f"finops-policy-{digest.kind.value}", "resource": RESOURCE, "comment": about.run_id},
            "action": action,
            "resources": [spelled(each) for each in values["findings"][:shown]],
        }

    def send(self, parcel: Parcel) -> str:
        return str(call("sqs", self._region, lambda client: client.send_message(**parcel.body))["MessageId"])


def _as_it_is(value: Any) -> Any:
    return value


def _escaped(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _escaped(each) for key, each in value.items()}
    return html.escape(value) if isinstance(value, str) else value
