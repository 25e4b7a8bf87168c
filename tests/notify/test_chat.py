"""Slack, Teams, Jira and webhooks: their limits, their answers, and that hostile text stays text."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from finops_policy.notify.model import RefusedError, TryAgainError
from finops_policy.notify.registry import SENDERS
from finops_policy.notify.senders.jira import label
from finops_policy.notify.senders.slack import escaped
from finops_policy.spelling import plain
from tests.notify.kit import HOSTILE, NOW, Posted, Receiver, channel, digest, hostile_notice, notice, words

SCHEMA = json.loads((Path(__file__).parents[2] / "schemas" / "notification-digest.schema.json").read_text())
SETTINGS: dict[str, dict[str, Any]] = {
    "slack": {"url": "$HOOK"},
    "teams": {"url": "$HOOK"},
    "webhook": {"url": "$HOOK", "secret": "$SECRET"},
    "jira": {"url": "http://127.0.0.1:1", "project": "FIN", "username": "$JIRA_USER", "token": "$JIRA_TOKEN"},
}


@pytest.fixture(autouse=True)
def _secrets(http: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"HOOK": http.url, "SECRET": "hush", "JIRA_USER": "bot@x", "JIRA_TOKEN": "t0ken"}.items():
        monkeypatch.setenv(name, value)


def packed(kind: str, *notices: Any, **changes: Any) -> Any:
    of = channel(kind, **{**SETTINGS[kind], **changes})
    made = digest(of, *notices)
    sender = SENDERS[of.type](of)
    return sender, sender.pack(made, words(made), NOW), made


def texts(node: Any) -> Iterator[str]:
    """Every text that people see, wherever it stands."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "text" and isinstance(value, str):
                yield value
            else:
                yield from texts(value)
    elif isinstance(node, list):
        for each in node:
            yield from texts(each)


# --- Slack ------------------------------------------------------------------------------------------------------------


def test_slack_is_sent_block_kit_and_says_ok(http: Receiver) -> None:
    sender, parcel, _ = packed("slack", notice(1), notice(2))
    sender.send(parcel)
    (posted,) = http.posted
    assert posted.json["blocks"][0]["type"] == "header"
    assert len(posted.json["blocks"]) == 4
    assert "i-0001" in posted.json["blocks"][2]["text"]["text"]
    assert "saves USD 70.08 a month" in posted.json["blocks"][2]["text"]["text"]


def test_slack_answers_something_else_than_ok(http: Receiver) -> None:
    sender, parcel, _ = packed("slack")
    http.answers((200, {}, b"<html>sign in</html>"))
    with pytest.raises(RefusedError, match="not Slack's"):
        sender.send(parcel)


@pytest.mark.parametrize("count", [1, 47, 48, 500])
def test_slack_keeps_to_its_limits_and_counts_the_rest(count: int) -> None:
    text = "<&>" * 400
    _, parcel, _ = packed("slack", *(hostile_notice(text) for _ in range(count)))
    blocks = parcel.body["blocks"]
    assert len(blocks) <= 50
    assert all(len(each["text"]["text"]) <= (150 if each["type"] == "header" else 3000) for each in blocks)
    assert len(parcel.body["text"]) <= 40_000
    assert parcel.left_out == max(0, count - 47)
    assert ("more:" in blocks[-1]["text"]["text"]) is (count > 47)
    assert not count > 47 or f"And {count - 47} more:" in parcel.shown


@settings(deadline=None, max_examples=60)
@given(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=60)))
def test_nothing_in_slack_is_markup_or_a_mention(text: str) -> None:
    _, parcel, _ = packed("slack", hostile_notice(text))
    kinds = {each["text"]["type"] for each in parcel.body["blocks"]}
    assert kinds == {"plain_text"}
    for each in texts(parcel.body):
        assert not set(each) & {"<", ">"}
        assert all(plain(line) == line for line in each.split("\n"))
    assert (parcel.body["parse"], parcel.body["link_names"], parcel.body["mrkdwn"]) == ("none", False, False)


def test_an_entity_is_never_cut_in_two() -> None:
    assert escaped("a<b", 4) == "a"
    assert escaped("a<b", 5) == "a&lt;"


# --- Teams ------------------------------------------------------------------------------------------------------------


def test_teams_is_sent_a_card_in_the_workflows_envelope(http: Receiver) -> None:
    sender, parcel, _ = packed("teams", notice(1))
    http.answers((202, {}, b""))
    sender.send(parcel)
    (posted,) = http.posted
    assert posted.headers["content-type"] == "application/json; charset=utf-8"
    (attachment,) = posted.json["attachments"]
    assert posted.json["type"] == "message"
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert (attachment["content"]["type"], attachment["content"]["version"]) == ("AdaptiveCard", "1.4")


@pytest.mark.parametrize("length", [10, 400])
@pytest.mark.parametrize("count", [1, 80, 500])
def test_teams_keeps_to_28_kb_and_counts_the_rest(count: int, length: int) -> None:
    _, parcel, _ = packed("teams", *(hostile_notice("Ä" * length) for _ in range(count)))
    size = len(json.dumps(parcel.body, ensure_ascii=False).encode())
    assert size <= 28 * 1024
    body = parcel.body["attachments"][0]["content"]["body"]
    shown = sum(each["inlines"][0]["text"].startswith("MEDIUM:") for each in body)
    assert shown + parcel.left_out == count
    assert shown >= 1
    assert (parcel.left_out > 0) is any("more:" in each for each in texts(body))


@settings(deadline=None, max_examples=60)
@given(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=60)))
def test_nothing_in_teams_is_markdown_or_a_mention(text: str) -> None:
    _, parcel, _ = packed("teams", hostile_notice(text))
    content = parcel.body["attachments"][0]["content"]
    assert "entities" not in content["msteams"]
    for block in content["body"]:
        assert block["type"] == "RichTextBlock"
        assert {run["type"] for run in block["inlines"]} == {"TextRun"}
        assert all(plain(run["text"]) == run["text"] for run in block["inlines"])


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (
            b"Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429",
            TryAgainError,
        ),
        (b"Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 413", RefusedError),
        (b"Webhook message delivery failed", RefusedError),
    ],
)
def test_a_failure_that_teams_calls_200_is_one(http: Receiver, said: bytes, error: type[Exception]) -> None:
    sender, parcel, _ = packed("teams")
    http.answers((200, {}, said))
    with pytest.raises(error, match="says that it failed"):
        sender.send(parcel)


# --- Webhook ----------------------------------------------------------------------------------------------------------


def test_a_webhook_is_signed_and_fits_its_schema(http: Receiver) -> None:
    sender, parcel, made = packed("webhook", notice(1, savings=None), notice(2))
    assert sender.send(parcel) == "HTTP 200"
    (posted,) = http.posted
    stamp = posted.headers["x-finops-policy-timestamp"]
    expected = hmac.new(b"hush", stamp.encode() + b"." + posted.body, hashlib.sha256).hexdigest()
    assert posted.headers["x-finops-policy-signature"] == f"sha256={expected}"
    assert posted.headers["x-finops-policy-id"] == made.id
    Draft202012Validator(SCHEMA).validate(posted.json)
    assert posted.json["savings"] == {"amount": "70.08", "currency": "USD", "unpriced": 1}
    assert posted.json["findings"][0]["savings"] is None
    assert posted.json["unchecked"] == {"cells": 2, "of": 8, "unknown": 1}


def test_a_webhook_is_sent_so_many_findings_and_the_count_of_the_rest() -> None:
    _, parcel, _ = packed("webhook", *(hostile_notice("x" * 500) for _ in range(1500)))
    body = json.loads(parcel.body[1])
    assert len(parcel.body[1]) <= 1_000_000
    assert len(body["findings"]) + body["left_out"] == body["count"] == 1500
    assert body["left_out"] == parcel.left_out


# --- Jira -------------------------------------------------------------------------------------------------------------


class Site:
    """As much of Jira as is asked for: it makes issues, and finds open ones by label, two on a page."""

    def __init__(self, http: Receiver) -> None:
        self.issues: dict[str, dict[str, Any]] = {}
        self.done: set[str] = set()
        http.script = self.answer

    def answer(self, posted: Posted) -> tuple[int, dict[str, str], bytes]:
        pair = base64.b64decode(posted.headers["authorization"].removeprefix("Basic ")).decode()
        if pair != "bot@x:t0ken":
            return 401, {}, b"Client must be authenticated"
        path = posted.path.removeprefix("/services/T0/B0/s3cr3t-path")
        if path == "/rest/api/3/issue":
            fields = posted.json["fields"]
            assert len(fields["summary"]) <= 255
            assert fields["description"]["type"] == "doc"
            key = f"FIN-{len(self.issues) + 1}"
            self.issues[key] = fields
            return 201, {}, json.dumps({"id": "1", "key": key}).encode()
        assert path == "/rest/api/3/search/jql"
        jql = posted.json["jql"]
        assert 'project = "FIN" AND statusCategory != Done' in jql
        found = [
            {"key": key, "fields": {"labels": fields["labels"]}}
            for key, fields in self.issues.items()
            if key not in self.done and any(f'"{each}"' in jql for each in fields["labels"][1:])
        ]
        start = int(posted.json.get("nextPageToken", "0"))
        page: dict[str, Any] = {"issues": found[start : start + 2], "isLast": start + 2 >= len(found)}
        return 200, {}, json.dumps(page | ({} if page["isLast"] else {"nextPageToken": str(start + 2)})).encode()


def test_jira_gets_one_issue_a_digest_and_no_finding_twice(http: Receiver) -> None:
    site = Site(http)
    sender, parcel, _ = packed("jira", notice(1), notice(2), url=http.url)
    assert sender.send(parcel) == "FIN-1"
    assert site.issues["FIN-1"]["labels"] == ["finops-policy", label(f"{1:012x}"), label(f"{2:012x}")]
    assert sender.send(parcel) == "FIN-1 (there already)"
    assert len(site.issues) == 1
    _, more, _ = packed("jira", notice(1), notice(3), url=http.url)
    assert sender.send(more) == "FIN-2; others are in FIN-1"
    assert site.issues["FIN-2"]["labels"] == ["finops-policy", label(f"{3:012x}")]
    site.done.add("FIN-1")
    assert sender.send(parcel) == "FIN-3"


def test_jira_is_searched_to_the_last_page(http: Receiver) -> None:
    site = Site(http)
    for number in range(1, 6):
        sender, parcel, _ = packed("jira", notice(number), url=http.url)
        sender.send(parcel)
    _, parcel, _ = packed("jira", *(notice(number) for number in range(1, 6)), url=http.url)
    assert sender.send(parcel) == "FIN-1, FIN-2, FIN-3, FIN-4, FIN-5 (there already)"
    assert len(site.issues) == 5


def test_jira_refuses_a_wrong_token(http: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    Site(http)
    monkeypatch.setenv("JIRA_TOKEN", "wrong")
    sender, parcel, _ = packed("jira", url=http.url)
    with pytest.raises(RefusedError, match="HTTP 401"):
        sender.send(parcel)


def test_an_answer_that_is_not_jiras_is_no_delivery(http: Receiver) -> None:
    sender, parcel, _ = packed("jira", url=http.url)
    http.answers((200, {}, b"<html>"))
    with pytest.raises(RefusedError, match="not JSON"):
        sender.send(parcel)


@settings(deadline=None, max_examples=60)
@given(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=60)))
def test_jira_documents_hold_text_nodes_alone(text: str) -> None:
    _, parcel, _ = packed("jira", *[hostile_notice(text)] * 60)
    fields, left_out = parcel.body.fitting(parcel.body.values["findings"], parcel.body.values["left_out"])
    assert len(json.dumps(fields["description"], ensure_ascii=False, separators=(",", ":"))) <= 32_767
    assert len(fields["labels"]) - 1 + left_out == 60
    kinds: set[str] = set()

    def walk(node: Any) -> None:
        kinds.add(node["type"])
        assert node["type"] != "text" or node["text"]
        for mark in node.get("marks", ()):
            kinds.add(mark["type"])
        for each in node.get("content", ()):
            walk(each)

    walk(fields["description"])
    assert kinds <= {"doc", "paragraph", "bulletList", "listItem", "text", "strong"}


def test_a_secret_that_is_not_set_is_named_and_nothing_is_sent(http: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOOK")
    sender, parcel, _ = packed("slack")
    with pytest.raises(RefusedError, match="HOOK is not set"):
        sender.send(parcel)
    assert http.posted == []
