"""What c7n makes of braces in a policy's texts when it puts variables in.

c7n formats every text of a policy with Python's own formatter, before the first resource is looked at; keys it leaves
alone. A text with a name that is not known stays as it is, as a whole: another program may use braces too. One that
the formatter cannot read ends ``custodian run``, although ``custodian validate`` has accepted it. The same formatter
is asked here, with stand-ins for the values. A test holds this against c7n.

Limits: what variables of ``--vars-file`` and c7n-org hold is not known, so they stand for text.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from string import Formatter
from typing import Any, Final

from finops_policy.lint.files import ACCOUNTS
from finops_policy.lint.subject import LintedPolicy, Subject
from finops_policy.sources import Steps

FILLED: Final = frozenset({"account_id", "partition", "region", "now", "policy"})
"""Names that c7n puts a value in for."""
KEPT: Final = frozenset({"account", "event", "op", "action_date", "service", "bucket_region", "bucket_name",
                         "source_bucket_name", "source_bucket_region", "target_bucket_name", "target_prefix",
                         "LoadBalancerName"})  # fmt: skip
"""Names that c7n keeps for the filter or action that knows them."""
LATER: Final = frozenset({"execution_id", "execution_start", "version", "policy_name", "uuid", "limits", "AccountId",
                          "DNSName", "fs_arn", "topic_arn", "secret_arn", "api_name", "policy_arn", "endpoint_id",
                          "table_bucket_arn", "table_arn", "file_system_arn", "domain_arn", "email_identity_name",
                          "backup_arn", "queue_arn"})  # fmt: skip
"""Names that single filters, actions and outputs put a value in for: to c7n's first look they are unknown."""

ERRORS: Final = (ValueError, TypeError, AttributeError, OverflowError)
"""What c7n does not catch where it puts values in."""

_LONG: Final = re.compile(r"\d{3}")
"""A width of a hundred or a billion is not tried."""
_SHORT: Final = 100


@dataclass(frozen=True, slots=True)
class Group:
    """Braces in a text. ``field`` is what stands in them up to a ``!`` or ``:``, ``spec`` what follows the colon."""

    before: str
    field: str
    spec: str

    @property
    def name(self) -> str:
        return re.split(r"[.\[]", self.field, maxsplit=1)[0]

    @property
    def dollar(self) -> bool:
        return self.before.endswith("$")

    @property
    def plain(self) -> bool:
        """Whether this can only be meant as a variable: a name, perhaps with a form for a date. Patterns have numbers
        there, JSON quotes, JMESPath a second name, variables of IAM a colon."""
        return self.field.isidentifier() and (not self.spec or self.spec[0] in "%+")

    def __str__(self) -> str:
        return f"{{{self.field}{':' if self.spec else ''}{self.spec}}}"


def groups(text: str) -> list[Group]:
    """The braces of a text, up to where they cannot be read."""
    found = []
    with suppress(ValueError):
        for before, field, spec, _ in Formatter().parse(text):
            if field is not None:
                found.append(Group(before, field, spec or ""))
    return found


def is_filled(text: str, policy: Mapping[str, Any], names: Collection[str]) -> bool:
    """Whether values are put in. Raises one of :data:`ERRORS` where that ends ``custodian run``.

    ``names`` are variables beside c7n's own.
    """
    formatter = _Formatter(policy, names)
    try:
        formatter.format(text)
    except (KeyError, IndexError):
        return False
    for value, spec in formatter.pending:
        format(value, spec)
    return True


def policies(subject: Subject) -> Iterator[LintedPolicy]:
    """Those of AWS in files with braces, or with escapes that may stand for some."""
    braced = {source.label for source in subject.sources if any(each in source.text for each in "{}\\")}
    return (policy for policy in subject.policies if policy.type and policy.source.label in braced)


def given(subject: Subject) -> frozenset[str]:
    """The names that the c7n-org accounts files which are linted too set, for all accounts or some."""
    found: set[str] = set()
    for source in subject.of_kind(ACCOUNTS):
        data = source.document.data if source.document else None
        accounts = data.get("accounts") if isinstance(data, dict) else None
        for each in [data, *(accounts if isinstance(accounts, list) else [])]:
            names = each.get("vars") if isinstance(each, dict) else None
            found.update(names if isinstance(names, dict) else ())
    return frozenset(found)


def texts(value: Any, steps: Steps = ()) -> Iterator[tuple[Steps, str]]:
    """Every value that is a text with braces, with the way to it."""
    for place, _, each in _walk(value, steps):
        if isinstance(each, str) and ("{" in each or "}" in each):
            yield place, each


def keys(value: Any, steps: Steps = ()) -> Iterator[tuple[Steps, str]]:
    """Every key with braces, with the way to its value."""
    for place, key, _ in _walk(value, steps):
        if "{" in key:
            yield place, key


def _walk(value: Any, steps: Steps) -> Iterator[tuple[Steps, str, Any]]:
    """Way, key and value of everything; the key is empty where there is none."""
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, item in items:
        yield (*steps, key), key if isinstance(key, str) else "", item
        yield from _walk(item, (*steps, key))


_VALUES: Final = {
    "account_id": "000000000000",
    "partition": "aws",
    "region": "us-east-1",
    "now": dt.datetime(2000, 1, 1, tzinfo=dt.UTC),
}


class _Formatter(Formatter):
    """Reads everything and writes next to nothing: what is written may be large. ``pending`` is formatted once all
    names are known, as c7n does it: an unknown name outranks a form that does not fit."""

    def __init__(self, policy: Mapping[str, Any], names: Collection[str]) -> None:
        self._policy = policy
        self._names = names
        self.pending: list[tuple[Any, str]] = []

    def get_value(self, key: int | str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        if isinstance(key, int):
            raise IndexError
        if key in KEPT:
            return f"{{{key}}}"
        if key == "policy":
            return self._policy
        return "" if key in self._names and key not in _VALUES else _VALUES[key]

    def convert_field(self, value: Any, conversion: Any) -> Any:
        if conversion not in (None, "r", "s", "a"):
            raise ValueError(f"Unknown conversion specifier {conversion}")
        return "" if conversion else value

    def format_field(self, value: Any, format_spec: str) -> str:
        if format_spec and not isinstance(value, dt.datetime) and not _LONG.search(format_spec):
            self.pending.append((value, format_spec))
        return value[:_SHORT] if isinstance(value, str) else ""
