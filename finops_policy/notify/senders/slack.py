"""Slack, by an incoming webhook: Block Kit with plain text alone, so that nothing in a name is a link or a mention.

Limits by Slack's documentation: 50 blocks, 150 characters in a header, 3,000 in a section. A webhook knows no
repetition: after a crash between delivery and record, or an answer that was lost, Slack shows the digest twice.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from finops_policy.channels import Channel
from finops_policy.notify.http import post
from finops_policy.notify.model import Digest, Parcel, RefusedError, Texts
from finops_policy.notify.rendering import context
from finops_policy.notify.senders import lines
from finops_policy.notify.senders.cutting import encoded
from finops_policy.notify.sending import text_of

MOST_BLOCKS: Final = 50
MOST_HEADER: Final = 150
MOST_SECTION: Final = 3000
MOST_FINDINGS: Final = MOST_BLOCKS - 3
_ENTITIES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


class Slack:
    """``slack``."""

    def __init__(self, channel: Channel) -> None:
        self._url = channel.settings["url"]

    def pack(self, digest: Digest, texts: Texts, now: dt.datetime) -> Parcel:
        values = context(digest, now, MOST_FINDINGS)
        shown = [f"{lines.heading(each)}\n{chr(10).join(lines.lines(each))}" for each in values["findings"]]
        left_out = values["left_out"]
        blocks: list[dict[str, Any]] = [
            {"type": "header", "text": _text(texts.subject, MOST_HEADER)},
            {"type": "section", "text": _text(texts.intro, MOST_SECTION)},
            *({"type": "section", "text": _text(each, MOST_SECTION)} for each in shown),
        ]
        if left_out:
            shown.append(lines.more(left_out, values))
            blocks.append({"type": "section", "text": _text(shown[-1], MOST_SECTION)})
        body = {
            "text": escaped(texts.subject, MOST_SECTION),
            "blocks": blocks,
            "mrkdwn": False,
            "parse": "none",
            "link_names": False,
            "unfurl_links": False,
            "unfurl_media": False,
        }
        return Parcel(body, "\n\n".join([texts.subject, texts.intro.strip(), *shown]) + "\n", left_out)

    def send(self, parcel: Parcel) -> str:
        answer = post(text_of(self._url), encoded(parcel.body), {})
        if answer.body.strip() != b"ok":
            raise RefusedError(f"HTTP {answer.status}, but the answer is not Slack's `ok`")
        return ""


def _text(text: str, most: int) -> dict[str, Any]:
    return {"type": "plain_text", "text": escaped(text.strip(), most) or "-", "emoji": False}


def escaped(text: str, most: int) -> str:
    """As Slack asks for it: three characters as entities. Cut before an entity where it would be too long."""
    parts, size = [], 0
    for character in text:
        part = _ENTITIES.get(character, character)
        size += len(part)
        if size > most:
            break
        parts.append(part)
    return "".join(parts)
