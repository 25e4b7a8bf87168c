"""GitHub's workflow commands: an annotation on the line, in the log and in the pull request's diff.

GitHub shows at most ten of each level a step; the log keeps them all. Those that are suppressed are left out. Policies
that nobody here can check are one notice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from finops_policy.lint.report import Report, Told
from finops_policy.lint.rule import Level
from finops_policy.spelling import plain

_COMMANDS: Final = {Level.ERROR: "error", Level.WARNING: "warning", Level.NOTE: "notice"}
_DATA: Final = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})
_PROPERTY: Final = {**_DATA, **str.maketrans({":": "%3A", ",": "%2C"})}


def render(report: Report) -> str:
    commands = [_annotation(told) for told in report.active]
    if report.unchecked:
        commands.append(_command("notice", {"title": "Not checked"}, report.unchecked))
    return "".join(f"{command}\n" for command in commands)


def _annotation(told: Told) -> str:
    diagnostic, mark = told.diagnostic, told.diagnostic.mark
    properties = {"file": plain(mark.path)}
    if mark.line:
        properties |= {"line": str(mark.line), "col": str(mark.column)}
    properties["title"] = diagnostic.rule
    return _command(_COMMANDS[told.level], properties, (diagnostic.message, diagnostic.hint))


def _command(name: str, properties: Mapping[str, str], lines: Iterable[str]) -> str:
    said = ",".join(f"{key}={value.translate(_PROPERTY)}" for key, value in properties.items())
    text = "\n".join(plain(line) for line in lines if line)
    return f"::{name} {said}::{text.translate(_DATA)}"
