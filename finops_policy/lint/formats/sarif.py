"""SARIF 2.1.0, for GitHub code scanning, Azure DevOps, and editors.

Every result has a region, since GitHub shows none without: what is said of a file as a whole stands at its first line.
Braces in messages are not doubled, as the standard asks: no message has arguments, and no known reader undoubles them
then, so that ``${name}`` would be shown as ``${{name}}``. Columns are UTF-16 code units.

``%SRCROOT%`` is the folder where the linter ran. Fingerprints are named ``finopsPolicy/v1``; GitHub's own
``primaryLocationLineHash`` is left to its uploader, which adds it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from finops_policy import __version__
from finops_policy.custodian.knowledge import installed_version
from finops_policy.lint.formats.fingerprints import fingerprints
from finops_policy.lint.formats.places import Place, place, units
from finops_policy.lint.pages import page
from finops_policy.lint.report import Report, Told
from finops_policy.lint.rule import Level, Rule
from finops_policy.marks import Fix, Mark

_SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_ROOT: Final = "%SRCROOT%"
_LEVELS: Final = {Level.OFF: "none", Level.NOTE: "note", Level.WARNING: "warning", Level.ERROR: "error"}


def render(report: Report) -> str:
    rules = {name: number for number, name in enumerate(report.rules)}
    run = {
        "tool": {
            "driver": {
                "name": "finops-policy",
                "version": __version__,
                "semanticVersion": __version__,
                "rules": [_rule(each) for each in report.rules.values()],
            },
            "extensions": [{"name": "c7n", "version": installed_version()}],
        },
        "invocations": [{"executionSuccessful": True, "toolExecutionNotifications": _notifications(report)}],
        "columnKind": "utf16CodeUnits",
        "originalUriBaseIds": {_ROOT: {"description": {"text": "The folder where the linter ran."}}},
        "artifacts": [{"location": _location(label), "roles": ["analysisTarget"]} for label in report.sources],
        "results": [
            _result(report, told, fingerprint, rules)
            for told, fingerprint in zip(report.told, fingerprints(report), strict=True)
        ],
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1) + "\n"


def _rule(rule: Rule) -> dict[str, Any]:
    text = page(rule.id)
    return {
        "id": rule.id,
        "shortDescription": {"text": rule.summary},
        "fullDescription": {"text": f"{rule.summary} {rule.why}"},
        "help": {"text": text, "markdown": text},
        "defaultConfiguration": {"level": _LEVELS[rule.level]},
    }


def _notifications(report: Report) -> list[dict[str, Any]]:
    unchecked = [f"Not checked: {each}" for each in report.unchecked]
    over = [f"Passed over, without policies: {each}" for each in report.passed_over]
    return [{"level": "note", "message": {"text": text}} for text in (*unchecked, *over)]


def _result(report: Report, told: Told, fingerprint: str, rules: Mapping[str, int]) -> dict[str, Any]:
    diagnostic = told.diagnostic
    result: dict[str, Any] = {
        "ruleId": diagnostic.rule,
        "ruleIndex": rules[diagnostic.rule],
        "level": _LEVELS[told.level],
        "message": {"text": f"{diagnostic.message}\n{diagnostic.hint}".strip()},
        "locations": [_physical(report, diagnostic.mark)],
        "partialFingerprints": {"finopsPolicy/v1": fingerprint},
    }
    if diagnostic.related:
        result["relatedLocations"] = [
            {"id": number, **_physical(report, mark)} for number, mark in enumerate(diagnostic.related)
        ]
    if told.suppressed:
        result["suppressions"] = [{"kind": "inSource", "justification": told.suppressed}]
    found = place(report, diagnostic.mark)
    if diagnostic.fix and found:
        result["fixes"] = [_fix(diagnostic.fix, diagnostic.mark, found, diagnostic.hint)]
    return result


def _physical(report: Report, mark: Mark) -> dict[str, Any]:
    return {"physicalLocation": {"artifactLocation": _location(mark.path), "region": _region(report, mark)}}


def _region(report: Report, mark: Mark) -> dict[str, int]:
    if found := place(report, mark):
        start, end = found.columns
        return {"startLine": mark.line, "startColumn": start, "endColumn": end}
    return {"startLine": max(mark.line, 1)}


def _fix(fix: Fix, mark: Mark, place: Place, hint: str) -> dict[str, Any]:
    before = place.line[: place.start]
    *more, last = (before + fix.old).split("\n")
    region = {
        "startLine": mark.line,
        "startColumn": units(before) + 1,
        "endLine": mark.line + len(more),
        "endColumn": units(last) + 1,
    }
    replacement = {"deletedRegion": region, "insertedContent": {"text": fix.new}}
    change = {"artifactLocation": _location(mark.path), "replacements": [replacement]}
    return {"description": {"text": hint or f"Write {fix.new}"}, "artifactChanges": [change]}


def _location(label: str) -> dict[str, str]:
    """Names that are not UTF-8 keep their bytes."""
    path = Path(label)
    if path.is_absolute():
        return {"uri": path.as_uri()}
    return {"uri": quote(os.fsencode(path.as_posix())), "uriBaseId": _ROOT}
