"""Comments that keep a rule silent: ``# finops-policy: ignore[rule] reason``.

Behind text a comment is for its own line and what is indented below it; on a line of its own it is for the next line
that is no comment, and what is indented below that: above ``- name: ...`` it covers the whole policy. A list may stand
below its key without indentation. Several rules are separated by commas. Without a reason a comment does nothing, and
is told.

Only what YAML takes for a comment counts, not text that looks like one; JSON has no comments. Nothing keeps silent what
is wrong with such comments, nor that a file cannot be read: nothing in it is checked then.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Final

import yaml

from finops_policy.errors import did_you_mean
from finops_policy.lint.subject import Source
from finops_policy.marks import Diagnostic, Fix, Mark
from finops_policy.yaml_words import Places

_COMMENT: Final = re.compile(r"(?:^|\s)(#\s*finops-policy:\s*ignore\b(?:\s*\[([^\]]*)\])?(.*))$")
_MEANT: Final = re.compile(r"(?:^|\s)(#\s*finops-policy\b\s*:?\s*(?:\w[\w-]*\s*)?\[.*)$")
"""What looks like such a comment, and is none."""
NO_REASON, UNUSED, UNKNOWN = "suppression-reason", "suppression-unused", "suppression-unknown-rule"
_ABOUT: Final = frozenset({NO_REASON, UNUSED, UNKNOWN})
ACROSS: Final = frozenset(
    {"destructive-without-backup", "mark-without-follow-up", "policy-name-shared", "policy-name-suffix"}
)
"""Rules that find something or not by the files that are linted together: a comment for them is never called unused."""
_BLOCKS: Final = ("|", ">")


@dataclass
class Suppression:
    """``first`` and ``last`` are lines. ``used`` gathers the rules that it kept silent."""

    mark: Mark
    rules: tuple[str, ...]
    reason: str
    first: int
    last: int
    comment: str
    used: set[str] = field(default_factory=set)


class Suppressions:
    """All comments of the files that can be read."""

    def __init__(self, sources: Iterable[Source]) -> None:
        readable = (source for source in sources if source.document and "finops-policy" in source.text)
        self._found = [each for source in readable for each in _comments(source)]
        self._by_rule: dict[tuple[str, str], list[Suppression]] = {}
        for each in self._found:
            for rule in each.rules if each.reason else ():
                self._by_rule.setdefault((each.mark.path, rule), []).append(each)

    def reason(self, diagnostic: Diagnostic) -> str:
        """The reason beside a diagnostic's place; empty where nothing keeps it silent."""
        for each in self._by_rule.get((diagnostic.mark.path, diagnostic.rule), ()):
            if each.first <= diagnostic.mark.line <= each.last:
                each.used.add(diagnostic.rule)
                return each.reason
        return ""

    def problems(
        self, known: Collection[str], applied: Callable[[str, str], bool], unsure: Collection[str]
    ) -> Iterator[Diagnostic]:
        """What is wrong with the comments themselves, once every diagnostic has asked for its reason. ``applied`` says
        whether a rule was looked for in a file: a comment for another one may well have its use. In ``unsure`` files
        something may have kept rules from finding what they would: no comment is removed there.
        """
        for each in self._found:
            if not each.rules or not each.reason:
                hint = "Write `# finops-policy: ignore[rule] why this is right here`."
                yield Diagnostic(NO_REASON, "the comment names no rule or no reason, and does nothing", each.mark, hint)
                continue
            for rule in each.rules:
                if rule in _ABOUT:
                    message = f"no comment keeps `{rule}` silent, which is about comments"
                    yield Diagnostic(UNUSED, message, each.mark, "Remove the rule from the comment.")
                elif rule not in known:
                    hint = did_you_mean(rule, known) or "`finops-policy lint --rules` lists them."
                    yield Diagnostic(UNKNOWN, f"there is no rule `{rule}`", each.mark, hint)
            path, idle = each.mark.path, [rule for rule in each.rules if rule not in {*each.used, *_ABOUT}]
            if unused := [rule for rule in idle if applied(path, rule)]:
                whole = len(unused) == len(each.rules) and path not in unsure
                message = f"nothing here breaks {', '.join(unused)} any more"
                fix = Fix(each.comment, "") if whole else None
                yield Diagnostic(UNUSED, message, each.mark, "Remove the comment.", fix=fix)


def _comments(source: Source) -> Iterator[Suppression]:
    is_text = _texts(source.text)
    lines = source.lines
    following = _next_lines(lines)
    said = [number for number, line in enumerate(lines, 1) if line.strip() and not line.strip().startswith("#")]
    last = cache(lambda first: _last_line(lines, said, first))
    for number, line in enumerate(lines, 1):
        found = _COMMENT.search(line) or _MEANT.search(line)
        if not found or is_text(number, found.start(1)):
            continue
        first = number if line[: found.start(1)].strip() else following[number - 1]
        mark = Mark(source.label, number, found.start(1) + 1)
        if found.re is _MEANT:
            yield Suppression(mark, (), "", first, first, found[1])
            continue
        rules = tuple(filter(None, (name.strip() for name in (found[2] or "").split(","))))
        yield Suppression(mark, rules, found[3].strip(" \t:-"), first, last(first), found[1])


def _texts(text: str) -> Callable[[int, int], bool]:
    """Whether a place, a line and the characters before it there, is within quotes or in a block of text."""
    starts, ends, place = [(0, 0)], [(0, 0)], Places(text, "")
    for token in yaml.scan(text, Loader=yaml.CSafeLoader):
        if isinstance(token, yaml.ScalarToken) and not token.plain:
            start, end = place(token.start_mark), place(token.end_mark)
            block = token.style in _BLOCKS  # a comment may stand behind its head
            starts.append((start.line + 1, 0) if block else (start.line, start.column - 1))
            ends.append((end.line, end.column - 1))
    return lambda line, column: (line, column) < ends[bisect_right(starts, (line, column)) - 1]


def _next_lines(lines: list[str]) -> list[int]:
    """For each line the first one behind it that says something, or itself; lines count from 1."""
    found, following = [], 0
    for number in range(len(lines), 0, -1):
        found.append(following or number)
        if (text := lines[number - 1].strip()) and not text.startswith("#"):
            following = number
    return found[::-1]


def _last_line(lines: list[str], said: list[int], first: int) -> int:
    """The last line that belongs to ``first``: indented more, or an item of the list that ``first`` is the key of.
    ``said`` are the lines that are no comments."""
    depth, item = _indent(lines[first - 1]), _is_item(lines[first - 1])
    last = first
    for index in range(bisect_right(said, first), len(said)):
        line = lines[said[index] - 1]
        behind = _indent(line) - depth
        if behind < 0 or (behind == 0 and (item or not _is_item(line))):
            break
        last = said[index]
    return last


def _is_item(line: str) -> bool:
    return line.lstrip().startswith(("- ", "-\t")) or line.strip() == "-"


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
