"""Quotes that are there or missing, where they are all that is wrong."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from finops_policy.marks import Diagnostic, Fix
from finops_policy.yaml_words import QUOTE, UNQUOTE

if TYPE_CHECKING:
    from finops_policy.lint.subject import Source

_QUOTED: Final = re.compile(r"""(["'])(-?(?:0|[1-9][0-9]*)|true|false)\1(?=\s*(?:[,\]}]|$|\s#))""")
"""What means the same without its quotes in YAML and JSON: `010` would be eight."""
_PLAIN: Final = re.compile(r"""[^\s"'#,\[\]{}&*!|>%@`][^\s,\[\]{}]*(?=\s*(?:[,\]}]|$|\s#))""")


def with_quotes(diagnostic: Diagnostic, source: Source) -> Diagnostic:
    """The diagnostic, with the fix that its hint calls for."""
    if diagnostic.fix:
        return diagnostic
    text = source.at(diagnostic.mark)
    if diagnostic.hint.startswith(UNQUOTE) and (found := _QUOTED.match(text)):
        return replace(diagnostic, fix=Fix(found[0], found[2]))
    if diagnostic.hint.startswith(QUOTE) and (found := _PLAIN.match(text)):
        return replace(diagnostic, fix=Fix(found[0], f'"{found[0]}"'))
    return diagnostic
