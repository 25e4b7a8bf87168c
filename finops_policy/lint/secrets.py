"""Diagnostics quote what they are about; what is secret in it is taken out again."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from finops_policy.lint.subject import Source
from finops_policy.marks import Diagnostic
from finops_policy.masking import found_in

_ENOUGH: Final = 6
"""Characters of a secret that are looked for in messages; what is shorter could stand there by chance."""


def concealed(found: Iterable[Diagnostic], sources: Iterable[Source]) -> Iterator[Diagnostic]:
    """The diagnostics, without what is secret in their files: messages quote values, cut short where they are long."""
    texts = {source.label: source.text for source in sources}
    hidden: dict[str, re.Pattern[str] | None] = {}
    for each in found:
        path = each.mark.path
        if path not in hidden:
            hidden[path] = _quoted(texts.get(path, ""))
        if pattern := hidden[path]:
            yield replace(each, message=pattern.sub("***", each.message), hint=pattern.sub("***", each.hint))
        else:
            yield each


def _quoted(text: str) -> re.Pattern[str] | None:
    """What of a text's secrets a message may quote; None where there is none."""
    values = {text[slice(*secret.hidden)].strip() for secret in found_in(text)}
    starts = sorted({value[:_ENOUGH] for value in values if len(value) >= _ENOUGH})
    return re.compile(rf"(?:{'|'.join(map(re.escape, starts))})[^\s`'\"]*") if starts else None
