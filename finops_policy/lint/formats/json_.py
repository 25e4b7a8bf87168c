"""Everything that linting found, for programs: schemas/lint.schema.json."""

from __future__ import annotations

import json
from typing import Any, Final

from finops_policy import __version__
from finops_policy.custodian.knowledge import installed_version
from finops_policy.lint.formats.fingerprints import fingerprints
from finops_policy.lint.formats.places import place
from finops_policy.lint.report import Report, Told
from finops_policy.lint.rule import Level
from finops_policy.marks import Mark

SCHEMA: Final = "finops-policy/lint/v1"


def render(report: Report) -> str:
    found = {each.diagnostic.rule for each in report.told}
    data = {
        "schema": SCHEMA,
        "versions": {"finops-policy": __version__, "c7n": installed_version()},
        "counts": {
            "errors": report.count(Level.ERROR),
            "warnings": report.count(Level.WARNING),
            "notes": report.count(Level.NOTE),
            "suppressed": report.suppressed,
            "files": len(report.sources),
            "policies": report.policies,
            "passed_over": len(report.passed_over),
            "unchecked": len(report.unchecked),
        },
        "diagnostics": [
            _diagnostic(report, told, fingerprint)
            for told, fingerprint in zip(report.told, fingerprints(report), strict=True)
        ],
        "rules": [
            {"id": rule.id, "level": rule.level, "summary": rule.summary, "why": rule.why}
            for rule in report.rules.values()
            if rule.id in found
        ],
        "files": list(report.sources),
        "passed_over": report.passed_over,
        "unchecked": report.unchecked,
    }
    return json.dumps(data, indent=2) + "\n"


def _diagnostic(report: Report, told: Told, fingerprint: str) -> dict[str, Any]:
    diagnostic = told.diagnostic
    found = place(report, diagnostic.mark)
    return {
        "rule": diagnostic.rule,
        "level": told.level,
        "message": diagnostic.message,
        "hint": diagnostic.hint,
        **_place(diagnostic.mark),
        "end_column": found.end + 1 if found else None,
        "related": [_place(mark) for mark in diagnostic.related],
        "fix": {"old": diagnostic.fix.old, "new": diagnostic.fix.new} if diagnostic.fix else None,
        "suppressed": told.suppressed or None,
        "fingerprint": fingerprint,
    }


def _place(mark: Mark) -> dict[str, Any]:
    return {"path": mark.path, "line": mark.line or None, "column": mark.column or None}
