"""The waivers of the files, as they are written, for the rules on them. What their schema has against them is told
by the schema rule, and is passed over here."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from finops_policy.lint.subject import Subject
from finops_policy.marks import Mark
from finops_policy.sources import Document, shown

if TYPE_CHECKING:
    from finops_policy.waivers import Rules

ANY: Final = "*"
_NAME: Final = re.compile(r"[a-z0-9*?-]+")
_REGION: Final = re.compile(r"([a-z]{2}-[a-z0-9*?-]+)?")
_ACCOUNT: Final = re.compile(r"[\d?]{12}|")


class Arn(NamedTuple):
    """What the fields of a waiver's ARN may be: globs without brackets, or empty as some types' ARNs have them."""

    partition: str
    service: str
    region: str
    account: str


def arn_of(pattern: str) -> Arn:
    """A ``*`` may stand for several fields (``arn:aws:rds:*:db:x``): what does not look like the field in whose place
    it stands, or follows a ``*`` that leaves it in doubt, may be anything."""
    _, partition, service, region, account, *_ = [*pattern.split(":", 5), *[ANY] * 5]
    return Arn(
        partition if _NAME.fullmatch(partition) else ANY,
        service if _NAME.fullmatch(service) and ANY not in partition else ANY,
        region if _REGION.fullmatch(region) else ANY,
        account if _ACCOUNT.fullmatch(account) else ANY,
    )


def literal(field: str) -> bool:
    return not set(field) & set("*?")


def may_be(field: str, value: str) -> bool:
    """An empty field is that of a type whose ARNs leave it out: it says nothing."""
    return not field or fnmatchcase(value, field)


@dataclass(frozen=True, slots=True)
class Entry:
    """One waiver of a file."""

    path: Path
    file: Document
    index: int
    data: Mapping[str, Any]

    def text(self, key: str) -> str:
        """Empty for what is no text."""
        value = self.data.get(key)
        return value if isinstance(value, str) else ""

    def mark(self, *keys: str) -> Mark:
        return self.file.mark("waivers", self.index, *keys)

    @property
    def name(self) -> str:
        return f"waiver {shown(self.text('id'))}" if self.text("id") else "a waiver"

    @property
    def expires(self) -> dt.date | None:
        """The last day it applies; None where that is no date."""
        return self._date("expires")

    @property
    def created(self) -> dt.date | None:
        """The day it was agreed on; None where that is no date."""
        return self._date("created")

    def _date(self, key: str) -> dt.date | None:
        with suppress(ValueError):
            return dt.date.fromisoformat(self.text(key))
        return None


def rules_of(subject: Subject, entry: Entry) -> Rules | None:
    """What the waivers of the customer whose file it is must keep to, as far as its files can be read; None for a file
    that is no customer's."""
    from finops_policy.waivers import Rules

    path = entry.path.resolve()
    customer = subject.customers.get(path.parent.name)
    if customer is None or path != (subject.workspace / "customers" / customer.name / "waivers.yaml").resolve():
        return None
    profile = subject.profiles.get(customer.profile)
    return Rules(
        severities={name: each.severity for pack in subject.packs.values() for name, each in pack.policies.items()},
        max_days=profile.waiver_days if profile else {},
        approvers={each.email.casefold() for each in customer.approvers} if customer.approvers else None,
    )


def entries(subject: Subject) -> Iterator[Entry]:
    for source in subject.of_kind("waiver"):
        data = source.document.data if source.document else None
        items = data.get("waivers") if isinstance(data, dict) else None
        for index, item in enumerate(items if isinstance(items, list) else ()):
            if source.document and isinstance(item, dict):
                yield Entry(source.path, source.document, index, item)
