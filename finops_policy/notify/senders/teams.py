"""Microsoft Teams, by a workflow's webhook: one Adaptive Card, whose text runs know no Markdown and no mentions.

Teams takes messages of about 28 KB; :data:`MOST_BYTES` leaves room for what it adds. An incoming webhook of the older
kind answers 200 although it failed, and says so in words: that is understood. There is no key against repetition.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Any, Final

from finops_policy.channels import Channel
from finops_policy.notify.http import post
from finops_policy.notify.model import Digest, Parcel, RefusedError, Texts, TryAgainError
from finops_policy.notify.rendering import context
from finops_policy.notify.senders import lines
from finops_policy.notify.senders.cutting import encoded, most_that_fit, size_of
from finops_policy.notify.sending import text_of

MOST_BYTES: Final = 25 * 1024
MOST_FINDINGS: Final = 100
_FAILED: Final = re.compile(
    rb"Webhook message delivery failed.*?HTTP error (\d{3})|Webhook message delivery failed", re.DOTALL
)


class Teams:
    """``teams``."""

    def __init__(self, channel: Channel) -> None:
        self._url = channel.settings["url"]

    def pack(self, digest: Digest, texts: Texts, now: dt.datetime) -> Parcel:
        values = context(digest, now, MOST_FINDINGS)
        rows = [(lines.heading(each), lines.lines(each)) for each in values["findings"]]
        total = values["count"]

        def build(shown: int) -> dict[str, Any]:
            body = [_run(texts.subject, bold=True, large=True), *map(_run, texts.intro.splitlines())]
            for title, rest in rows[:shown]:
                body += [_run(title, bold=True, apart=True), *map(_run, rest)]
            if shown < total:
                body.append(_run(lines.more(total - shown, values), apart=True))
            return _message(body)

        body, left_out = most_that_fit(total, len(rows), build, lambda body: size_of(body) <= MOST_BYTES)
        shown = ["\n".join([title, *rest]) for title, rest in rows[: total - left_out]]
        shown += [lines.more(left_out, values)] if left_out else []
        return Parcel(body, "\n\n".join([texts.subject, texts.intro.strip(), *shown]) + "\n", left_out)

    def send(self, parcel: Parcel) -> str:
        headers = {"Content-Type": "application/json; charset=utf-8"}
        answer = post(text_of(self._url), encoded(parcel.body), headers)
        if failed := _FAILED.search(answer.body):
            status = failed[1].decode() if failed[1] else "an error"
            kind = TryAgainError if status in ("408", "429", "500", "502", "503", "504") else RefusedError
            raise kind(f"Teams answered HTTP {answer.status}, but says that it failed with {status}")
        return ""


def _message(body: list[dict[str, Any]]) -> dict[str, Any]:
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "body": body,
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


def _run(text: str, *, bold: bool = False, large: bool = False, apart: bool = False) -> dict[str, Any]:
    run: dict[str, Any] = {"type": "TextRun", "text": text or " "}
    run |= {"weight": "Bolder"} if bold else {}
    run |= {"size": "Medium"} if large else {}
    return {"type": "RichTextBlock", "spacing": "Medium" if apart else "None", "inlines": [run]}
