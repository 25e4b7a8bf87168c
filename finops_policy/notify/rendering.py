"""A digest in words, by Jinja2 templates in a sandbox.

Templates see plain text and numbers, nothing else: :func:`context` spells out control characters before, HTML is
escaped by Jinja2 itself, and what AWS returned is never taken for a template. A customer's own templates run in a
process of their own with limits on time, memory and size (:mod:`~finops_policy.notify.render_worker`), without this
process's environment; one that fails is replaced by the built-in one, and the record says so.
"""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Final

from finops_policy.errors import EvidenceError
from finops_policy.files import failure
from finops_policy.library import library_root
from finops_policy.notify.due import count_by_severity
from finops_policy.notify.model import Digest, Due, Kind, Texts
from finops_policy.notify.render_worker import Rendered, render_all
from finops_policy.spelling import plain

TEMPLATES: Final = {
    "subject": "subject.txt.j2",
    "text": "digest.txt.j2",
    "html": "digest.html.j2",
    "intro": "intro.txt.j2",
}
"""Part of a digest -> its template. ``intro`` heads the messages of Slack, Teams and Jira, whose form is ours."""

SHOWN: Final = 200
"""Findings that texts name; the others are counted."""
LONGEST_SUBJECT, LONGEST_INTRO = 200, 2000
_LONGEST_VALUE: Final = 500
_SECONDS: Final = 10
_LONGEST_TEMPLATE: Final = 200_000


@dataclass(frozen=True, slots=True)
class Templates:
    """The customer's own templates by file name; ``notes`` tell of files that are none."""

    own: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, workspace: Path, customer: str) -> Templates:
        """Those in ``customers/<customer>/templates`` of the workspace. Raises :class:`EvidenceError` where they cannot
        be read."""
        folder = workspace / "customers" / customer / "templates"
        own, notes = dict[str, str](), list[str]()
        try:
            for path in sorted(folder.glob("*")) if folder.is_dir() else ():
                if path.name not in TEMPLATES.values():
                    notes.append(f"{path} is not used: templates are {', '.join(sorted(TEMPLATES.values()))}.")
                elif path.stat().st_size > _LONGEST_TEMPLATE:
                    notes.append(f"{path} is not used: it is longer than {_LONGEST_TEMPLATE:,} bytes.")
                else:
                    own[path.name] = path.read_text("utf-8")
        except OSError as error:
            raise failure("read the templates in", folder, error) from error
        except UnicodeDecodeError as error:
            raise EvidenceError(f"A template in {folder} is no UTF-8: {error}", hint="Save it as UTF-8.") from error
        return cls(own, tuple(notes))


def render(digest: Digest, templates: Templates, now: dt.datetime) -> Texts:
    """All parts of a digest. It never fails on a customer's template."""
    values = context(digest, now)
    notes, parts = [], dict[str, str]()
    own = {part: templates.own[name] for part, name in TEMPLATES.items() if name in templates.own}
    for part, made in _in_a_process(own, values).items() if own else ():
        if made.error:
            notes.append(f"The template {TEMPLATES[part]} failed, so the built-in one was used: {made.error}")
        else:
            parts[part] = made.text
    missing = {part: _built_in(name) for part, name in TEMPLATES.items() if part not in parts}
    for part, made in render_all(missing, values).items():
        if made.error:
            raise RuntimeError(f"the built-in template of {part} failed: {made.error}")
        parts[part] = made.text
    return Texts(
        subject=plain(" ".join(parts["subject"].split()))[:LONGEST_SUBJECT],
        text=_lines(parts["text"]),
        html=parts["html"],
        intro=_lines(parts["intro"])[:LONGEST_INTRO],
        notes=tuple(notes),
    )


def _lines(text: str) -> str:
    return "\n".join(plain(line.rstrip()) for line in text.splitlines()).strip() + "\n"


def _built_in(name: str) -> str:
    place: Traversable = library_root().joinpath("reports", "templates", "notify", name)
    return place.read_text("utf-8")


def _in_a_process(templates: Mapping[str, str], values: Mapping[str, Any]) -> dict[str, Rendered]:
    """Rendered by a process that may take so long and so much memory, and knows nothing of our environment."""
    asked = json.dumps({"templates": templates, "values": values}).encode()
    command = [sys.executable, "-I", "-m", "finops_policy.notify.render_worker"]
    try:
        done = subprocess.run(command, input=asked, capture_output=True, timeout=_SECONDS, env={}, check=True)  # noqa: S603
        answer = json.loads(done.stdout)
        return {part: Rendered(answer[part]["text"], answer[part]["error"]) for part in templates}
    except subprocess.TimeoutExpired:
        why = f"it took longer than {_SECONDS} seconds"
    except (subprocess.CalledProcessError, OSError, ValueError, LookupError, TypeError):
        why = "it took too much time or memory"
    if len(templates) == 1:
        return {part: Rendered("", why) for part in templates}
    return {part: _in_a_process({part: text}, values)[part] for part, text in templates.items()}


def context(digest: Digest, now: dt.datetime, shown: int = SHOWN) -> dict[str, Any]:
    """What templates see: plain JSON values. Money is a decimal string, or null where it is unknown."""
    about = digest.about
    savings, unpriced = total_savings(digest.due)
    return {
        "customer": {"name": about.customer, "title": about.customer_title},
        "digest": {
            "id": digest.id,
            "kind": digest.kind.value,
            "channel": digest.channel.name,
            "recipient": digest.recipient,
            "severity": digest.severity.value,
        },
        "run": {
            "id": about.run_id,
            "started_at": about.started_at.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "sandbox": about.sandbox,
            "profile": about.profile,
        },
        "count": len(digest.due),
        "severities": [
            {"severity": severity.value, "count": count} for severity, count in count_by_severity(digest.due).items()
        ],
        "savings": {"amount": _amount(savings), "currency": about.currency, "unpriced": unpriced},
        "findings": [_finding(each, digest, now) for each in digest.due[:shown]],
        "left_out": max(0, len(digest.due) - shown),
        "unchecked": {"cells": about.unchecked, "of": about.cells, "unknown": about.unknown},
    }


def _finding(each: Due, digest: Digest, now: dt.datetime) -> dict[str, Any]:
    notice = each.notice
    days = max(0, (now - notice.since).days)
    texts = {
        "fingerprint": notice.fingerprint,
        "policy": notice.policy,
        "title": notice.title,
        "severity": notice.severity.value,
        "account_id": notice.account_id,
        "account_name": notice.account_name,
        "region": notice.region,
        "resource_type": notice.resource_type,
        "resource": notice.arn or notice.resource_id,
        "owner": notice.owner.tag,
        "owner_address": notice.owner.address if digest.kind is not Kind.OWNER else "",
        "route": notice.owner.route,
        "why": each.why.value,
        "age": f"at least {days} days" if notice.at_least else f"{days} day{'' if days == 1 else 's'}",
    }
    return {
        **{name: short(value) for name, value in texts.items()},
        "days": days,
        "escalated": each.escalated,
        "savings": _amount(notice.savings),
        "priced": notice.priced,
        "money": money(notice.savings, digest.about.currency) if notice.priced else "",
    }


def short(value: str, limit: int = _LONGEST_VALUE) -> str:
    """One line without control characters, cut with an ellipsis."""
    text = plain(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}\N{HORIZONTAL ELLIPSIS}"


def total_savings(due: Sequence[Due]) -> tuple[Decimal | None, int]:
    """What mending all of it saves a month, each resource once with its largest, and how many findings of priced
    policies have no price; None where there are only such."""
    largest: dict[tuple[str, str, str, str], Decimal] = {}
    unpriced = 0
    for each in (each.notice for each in due if each.notice.priced):
        if each.savings is None:
            unpriced += 1
        else:
            largest[each.resource] = max(each.savings, largest.get(each.resource, each.savings))
    return (sum(largest.values(), Decimal(0)) if largest else None), unpriced


def _amount(value: Decimal | None) -> str | None:
    return None if value is None else str(value.quantize(Decimal("0.01")))


def money(value: Decimal | None, currency: str) -> str:
    """An amount as people read it: ``USD 1,234.50 a month``; unknown is not zero."""
    return "saves an unknown amount" if value is None else f"saves {currency} {value:,.2f} a month"
