"""A finding in lines, for channels whose form is ours: plain text, which the channel escapes its own way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_LONGEST: Final = 250


def heading(finding: Mapping[str, Any]) -> str:
    """Severity, title, and why it is told."""
    escalated = ", escalated" if finding["escalated"] and finding["why"] != "escalated" else ""
    return _cut(f"{finding['severity'].upper()}: {finding['title']} ({finding['why']}{escalated})")


def lines(finding: Mapping[str, Any]) -> list[str]:
    """What it is of, where, since when, what it saves, and whose it is."""
    money = f"; {finding['money']}" if finding["money"] else ""
    name = f" {finding['account_name']}" if finding["account_name"] else ""
    found = [
        finding["resource"],
        f"{finding['account_id']}{name}, {finding['region']}; there for {finding['age']}{money}",
    ]
    if finding["owner"]:
        found.append(f"owner tag: {finding['owner']}")
    if finding["owner_address"]:
        found.append(f"told to: {finding['owner_address']}")
    return [_cut(each) for each in found]


def more(left_out: int, context: Mapping[str, Any]) -> str:
    """What is said of findings that have no room."""
    where = f"finops-policy report --customer {context['customer']['name']} --run {context['run']['id']}"
    return f"And {left_out} more: `{where}` has them all."


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"
