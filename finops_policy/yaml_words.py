"""libyaml's errors in plain words, each at the place to mend."""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Final

import yaml

from finops_policy.marks import Diagnostic, Mark

QUOTE: Final = "Put it in quotes."
UNQUOTE: Final = "Remove the quotes."
"""How hints begin where only the writing is wrong."""

BREAK: Final = re.compile(r"\r\n|\r|\n")
_UNSEEN_BREAK: Final = re.compile("[\x85\u2028\u2029]")

_TAB_HINT: Final = "Indent with spaces; most editors can convert tabs to spaces on saving."
_INDENT_HINT: Final = "Check the indentation and the quotes of this line and the one above."

_FLOW_HINT: Final = "Add it; put text that holds `{`, `}`, `[`, `]` or `,`, such as `${name}`, in quotes."
_UNCLOSED: Final = ("the quote opened here is never closed", "Close the quote.")

# libyaml's problem -> what it means, how to mend it.
_SYNTAX: Final = {
    "mapping values are not allowed in this context": (
        "a `:` stands where no key can be",
        "Put text that holds `: ` in quotes, and check the indentation of this line and the one above.",
    ),
    "did not find expected key": ("a key is expected here", _INDENT_HINT),
    "could not find expected ':'": ("this line is neither `key: value` nor part of the value above", _INDENT_HINT),
    "did not find expected '-' indicator": ("another `- item` is expected here", _INDENT_HINT),
    "did not find expected ',' or ']'": ("a list in `[...]` lacks a `,` or its `]`", _FLOW_HINT),
    "did not find expected ',' or '}'": ("a mapping in `{...}` lacks a `,` or its `}`", _FLOW_HINT),
    "did not find expected node content": (
        "a value is expected here",
        "Put text that begins with `]` or `}` in quotes.",
    ),
    "block sequence entries are not allowed in this context": (
        "a `- item` cannot stand here",
        "Put each `- item` on a line of its own under the key, or the text in quotes.",
    ),
    "found unexpected end of stream": _UNCLOSED,
    "found unexpected document indicator": _UNCLOSED,
    "found unknown escape character": (
        "unknown escape after `\\` in double quotes",
        "Use single quotes, or write `\\\\` for a backslash.",
    ),
    "found invalid Unicode character escape code": (
        "the escape stands for no character",
        "Use single quotes for text.",
    ),
    "did not find expected alphabetic or numeric character": (
        "a name is expected after `*` or `&`",
        "Put text that begins with `*` or `&` in quotes.",
    ),
    "found character that cannot start any token": ("text cannot begin with this character", "Put the text in quotes."),
    "found incompatible YAML document": ("this version of YAML is not known", "Remove the %YAML line."),
    "did not find expected <document start>": ("something follows the end of the document", _INDENT_HINT),
    "but found another document": ("a second document begins here", "Keep one document per file: move this one."),
    "found undefined alias": ("the alias names no anchor above it", "Put text that begins with `*` in quotes."),
    "found undefined tag handle": ("the tag is not known", "Put text that begins with `!` in quotes."),
}
_SYNTAX_RULES: Final = {
    "but found another document": "several-documents",
    "found undefined alias": "yaml-alias",
    "found undefined tag handle": "yaml-tag",
}
_AT_CONTEXT = ("could not find expected ':'", "found unexpected end of stream", "found unexpected document indicator")


class Places:
    """libyaml's marks in a text as places that an editor shows.

    libyaml begins a line at three characters where nobody sees one; its count of characters is right all the same.
    """

    def __init__(self, text: str, path: str) -> None:
        self._path = path
        self._starts = [0, *(each.end() for each in BREAK.finditer(text))] if _UNSEEN_BREAK.search(text) else []

    def __call__(self, mark: yaml.Mark) -> Mark:
        if not self._starts:
            return Mark(self._path, mark.line + 1, mark.column + 1)
        line = bisect_right(self._starts, mark.index)
        return Mark(self._path, line, mark.index - self._starts[line - 1] + 1)


def syntax_problem(error: yaml.MarkedYAMLError, text: str, path: str) -> Diagnostic:
    """libyaml's error in plain words, at the place to mend: where a quote was opened, not where the file ends."""
    problem, context = error.problem or "", error.context or ""
    place = error.context_mark if problem in _AT_CONTEXT else error.problem_mark
    place_of = Places(text, path)
    mark = place_of(place) if place else Mark(path)
    opening = (place_of(error.context_mark),) if error.context_mark else ()
    if "tab character" in problem or (problem.endswith("start any token") and place and text[place.index] == "\t"):
        return Diagnostic("tab-indent", "a tab stands where YAML wants spaces", mark, _TAB_HINT)
    if context.startswith("found duplicate anchor"):
        return Diagnostic("yaml-alias", "the anchor is used twice", mark, "Give each anchor its own name.", opening)
    message, hint = _SYNTAX.get(problem, (f"this is not YAML: {problem}", _INDENT_HINT))
    rule = _SYNTAX_RULES.get(problem, "yaml-syntax")
    return Diagnostic(rule, message, mark, hint, opening if "flow" in context else ())
