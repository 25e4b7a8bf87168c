"""A waiver written into a customer's waivers.yaml: its text goes in after the last entry, and nothing else changes.

What comes out is read again before anybody writes it: the entries that were there must say what they said, and the new
one what was meant. Limits: a list in flow style (``[{...}]``) with entries is refused: there is no line to go after.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from finops_policy import sources
from finops_policy.errors import InvalidFilesError, UsageError
from finops_policy.marks import Diagnostic
from finops_policy.model import Waiver
from finops_policy.reading import waivers_of
from finops_policy.validation import validate

NEW: Final = b"apiVersion: finops-policy/v1\nkind: Waivers\nwaivers: []\n"
_LINE: Final = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|\Z)")
_NUMBERED: Final = re.compile(r"W-(\d{4})-(\d{1,9})")
_BY_HAND: Final = "Write the waivers as a list of lines that begin with `- `, or add this one by hand."


@dataclass(frozen=True, slots=True)
class Entry:
    """What is to be written. Empty texts are left out; ``tag`` is a key and a glob over values."""

    id: str
    policy: str
    reason: str
    owner: str
    ticket: str
    requested_by: str
    approved_by: str
    created: dt.date
    expires: dt.date
    resource: str = ""
    tag: tuple[str, str] | None = None
    account: str = ""
    region: str = ""

    def data(self) -> dict[str, Any]:
        """In the order of the schema, dates as dates."""
        tag = {"key": self.tag[0], "value": self.tag[1]} if self.tag else None
        chosen = {"resource": self.resource, "tag": tag, "account": self.account, "region": self.region}
        people = {"owner": self.owner, "requested_by": self.requested_by, "approved_by": self.approved_by}
        return {
            "id": self.id,
            "policy": self.policy,
            **{name: value for name, value in chosen.items() if value},
            "reason": self.reason,
            **people,
            "ticket": self.ticket,
            "created": self.created,
            "expires": self.expires,
        }


def next_id(taken: Iterable[str], year: int) -> str:
    """``W-<year>-<nnn>``, one more than the highest of that year."""
    numbers = [int(found[2]) for each in taken if (found := _NUMBERED.fullmatch(each)) and int(found[1]) == year]
    return f"W-{year}-{max(numbers, default=0) + 1:03d}"


def ids_in(raw: bytes, path: str) -> set[str]:
    """Every id in a file, of broken entries too. Raises :class:`InvalidFilesError` for a file that cannot be read."""
    data = sources.parse(raw, path).data
    entries = data.get("waivers") if isinstance(data, dict) else None
    return {str(each["id"]) for each in entries or () if isinstance(each, dict) and "id" in each}


def with_entry(raw: bytes, path: str, entry: Entry) -> tuple[bytes, Waiver]:
    """The file with the entry in it, and the waiver as it is read from there. ``path`` names the file in marks.

    Raises :class:`InvalidFilesError` where the entry would not apply or the file cannot be read, and
    :class:`UsageError` where there is no place for it.
    """
    before = sources.parse(raw, path)
    old = before.data.get("waivers") if isinstance(before.data, dict) else None
    if not isinstance(old, list | None) or not isinstance(before.data, dict) or "waivers" not in before.data:
        raise UsageError(f"{path} has no list of `waivers`.", hint="Correct it: see `finops-policy lint`.")
    made = b""
    for keep_blank in (False, True):
        made = _inserted(raw, path, entry, keep_blank=keep_blank)
        after = sources.parse(made, path)
        if _same(before.data, after.data, entry):
            return made, _applying(after, before, entry)
    raise UsageError(f"The entry cannot be put into {path} without changing another.", hint=_BY_HAND)


def _same(before: Mapping[str, Any], after: Any, entry: Entry) -> bool:
    """Whether nothing but the entry has come."""
    written = {key: str(value) if isinstance(value, dt.date) else value for key, value in entry.data().items()}
    return bool(after == {**before, "waivers": [*(before["waivers"] or ()), written]})


def _applying(after: sources.Document, before: sources.Document, entry: Entry) -> Waiver:
    problems = validate(after, "waiver")
    waivers, told, _ = waivers_of(after, problems)
    last = after.mark("waivers", len(after.data["waivers"]) - 1)
    for waiver in waivers:
        if waiver.mark == last:
            return waiver
    known = {(each.rule, each.message) for each in waivers_of(before, validate(before, "waiver"))[1]}
    new: list[Diagnostic] = [each for each in told if (each.rule, each.message) not in known]
    raise InvalidFilesError(new or told)


def _inserted(raw: bytes, path: str, entry: Entry, *, keep_blank: bool) -> bytes:
    text = raw.decode()  # sources has read it: it is UTF-8
    node = _list_of(text)
    lines = [each for each in _LINE.findall(text) if each]
    end = "\r\n" if "\r\n" in text else "\n" if "\n" in text or "\r" not in text else "\r"
    start, stop = node.start_mark, node.end_mark
    column = 2
    if isinstance(node, yaml.SequenceNode) and not node.flow_style:
        column, place = start.column, _after(node, lines, keep_blank=keep_blank)
    elif node.value or start.line != stop.line:
        raise UsageError(f"The waivers of {path} are written in one piece.", hint=_BY_HAND)
    else:  # `waivers: []`, or `waivers:` alone
        place, line = start.line + 1, lines[start.line]
        if isinstance(node, yaml.SequenceNode):
            lines[start.line] = line[: start.column].rstrip(" ") + line[stop.column :]
    if place and not lines[place - 1].endswith(("\n", "\r")):
        lines[place - 1] += end
    lines[place:place] = [_written(entry, column, end)]
    return "".join(lines).encode()


def _list_of(text: str) -> yaml.Node:
    """The value of ``waivers``. Marks of Python's own parser count characters, as the lines do."""
    root: Any = yaml.compose(text.removeprefix("\ufeff"), yaml.SafeLoader)
    found: yaml.Node = next(value for key, value in root.value if key.value == "waivers")
    return found


def _after(node: yaml.SequenceNode, lines: list[str], *, keep_blank: bool) -> int:
    """The line after the list's last one. Comments and blank lines behind it are the rest's, unless they are indented
    like an entry's own, or (``keep_blank``) are part of a text."""
    mark = node.end_mark
    place = min(mark.line + (1 if mark.column else 0), len(lines))
    while not keep_blank and place > node.start_mark.line + 1:
        line = lines[place - 1]
        bare = line.strip()
        if bare and not (bare.startswith("#") and len(line) - len(line.lstrip(" ")) <= node.start_mark.column):
            break
        place -= 1
    return place


def _written(entry: Entry, column: int, end: str) -> str:
    dumped = yaml.dump(entry.data(), Dumper=yaml.SafeDumper, sort_keys=False, allow_unicode=True, width=110 - column)
    first, *rest = dumped.rstrip("\n").split("\n")
    margin = " " * column
    return "".join([f"{margin}- {first}{end}", *(f"{margin}  {each}{end}" if each else end for each in rest)])
