"""Jira Cloud: one issue a digest, described in Atlassian Document Format, whose text nodes know no markup.

Every issue has a label for each finding it names. Before one is made, the project's open issues with these labels are
searched: what stands in one of them is not written down again, and when nothing is left no issue is made. Jira's
search learns of a new issue after some seconds: a crash and a new attempt within them may make a second one.
"""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from finops_policy.channels import Channel
from finops_policy.notify.http import post
from finops_policy.notify.model import Digest, Parcel, RefusedError, Texts
from finops_policy.notify.rendering import context
from finops_policy.notify.senders import lines
from finops_policy.notify.senders.cutting import encoded, most_that_fit, size_of
from finops_policy.notify.sending import text_of

MOST_FINDINGS: Final = 50
MOST_SUMMARY: Final = 255
MOST_DESCRIPTION: Final = 32_767
"""Characters of a text field; here of the whole document as JSON, which is more."""
_PREFIX: Final = "finops-policy-"
_MOST_PAGES: Final = 20


@dataclass(frozen=True, slots=True)
class _Issue:
    """What is needed to write the issue down, once it is known what is in others already."""

    summary: str
    intro: str
    values: Mapping[str, Any]

    def fields(self, findings: Sequence[Mapping[str, Any]], left_out: int) -> dict[str, Any]:
        content: list[dict[str, Any]] = [_paragraph(each) for each in self.intro.splitlines() if each]
        if findings:
            content.append({"type": "bulletList", "content": [_item(each) for each in findings]})
        if left_out:
            content.append(_paragraph(lines.more(left_out, self.values)))
        return {
            "summary": self.summary,
            "description": {"type": "doc", "version": 1, "content": content},
            "labels": ["finops-policy", *(label(each["fingerprint"]) for each in findings)],
        }

    def fitting(self, findings: Sequence[Mapping[str, Any]], left_out: int) -> tuple[dict[str, Any], int]:
        def build(shown: int) -> dict[str, Any]:
            return self.fields(findings[:shown], left_out + len(findings) - shown)

        fits = lambda fields: size_of(fields["description"]) <= MOST_DESCRIPTION  # noqa: E731
        fields, out = most_that_fit(len(findings), len(findings), build, fits)
        return fields, left_out + out


class Jira:
    """``jira``."""

    def __init__(self, channel: Channel) -> None:
        settings = channel.settings
        self._url = text_of(settings["url"]).rstrip("/")
        self._project, self._type = text_of(settings["project"]), text_of(settings.get("issue_type", "Task"))
        self._username, self._token = settings["username"], settings["token"]

    def pack(self, digest: Digest, texts: Texts, now: dt.datetime) -> Parcel:
        values = context(digest, now, MOST_FINDINGS)
        issue = _Issue(texts.subject[:MOST_SUMMARY], texts.intro, values)
        fields, left_out = issue.fitting(values["findings"], values["left_out"])
        named = len(fields["labels"]) - 1
        shown = ["\n".join([lines.heading(each), *lines.lines(each)]) for each in values["findings"][:named]]
        shown += [lines.more(left_out, values)] if left_out else []
        text = "\n\n".join([f"Issue of {self._project}: {issue.summary}", texts.intro.strip(), *shown]) + "\n"
        return Parcel(issue, text, left_out)

    def send(self, parcel: Parcel) -> str:
        issue: _Issue = parcel.body
        findings = issue.values["findings"]
        known = dict(self._open_issues([label(each["fingerprint"]) for each in findings]))
        fresh = [each for each in findings if label(each["fingerprint"]) not in known]
        there = ", ".join(sorted(set(known.values())))
        if not fresh:
            return f"{there} (there already)"
        fields, _ = issue.fitting(fresh, issue.values["left_out"])
        fields |= {"project": {"key": self._project}, "issuetype": {"name": self._type}}
        key = str(self._post("/rest/api/3/issue", {"fields": fields}).get("key", ""))
        return f"{key}; others are in {there}" if there else key

    def _open_issues(self, labels: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Label -> key of an open issue that has it."""
        quoted = ", ".join(f'"{each}"' for each in labels)
        asked: dict[str, Any] = {
            "jql": f'project = "{self._project}" AND statusCategory != Done AND labels in ({quoted})',
            "fields": ["labels"],
            "maxResults": 100,
        }
        for _ in range(_MOST_PAGES):
            page = self._post("/rest/api/3/search/jql", asked)
            for issue in page.get("issues", ()):
                yield from ((each, str(issue["key"])) for each in issue["fields"]["labels"] if each in labels)
            if page.get("isLast", True) or not page.get("nextPageToken"):
                return
            asked["nextPageToken"] = page["nextPageToken"]
        raise RefusedError(f"more than {_MOST_PAGES * 100} open issues name these findings")

    def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        pair = f"{text_of(self._username)}:{text_of(self._token)}".encode()
        headers = {"Authorization": f"Basic {base64.b64encode(pair).decode()}", "Accept": "application/json"}
        answer = post(self._url + path, encoded(body), headers).json()
        if not isinstance(answer, dict):
            raise RefusedError("the answer is not Jira's")
        return answer


def label(fingerprint: str) -> str:
    return f"{_PREFIX}{fingerprint}"


def _text(text: str, *, strong: bool = False) -> dict[str, Any]:
    marks = {"marks": [{"type": "strong"}]} if strong else {}
    return {"type": "text", "text": text or "-", **marks}


def _paragraph(text: str) -> dict[str, Any]:
    return {"type": "paragraph", "content": [_text(text)]}


def _item(finding: Mapping[str, Any]) -> dict[str, Any]:
    head = {"type": "paragraph", "content": [_text(lines.heading(finding), strong=True)]}
    return {"type": "listItem", "content": [head, *map(_paragraph, lines.lines(finding))]}
