"""GitLab's Code Quality report: the merge request's widget and the marks in its diff.

GitLab takes paths for relative to the repository's root, so lint from there. Those that are suppressed are left out.
"""

from __future__ import annotations

import json
from typing import Any, Final

from finops_policy.lint.formats.fingerprints import fingerprints
from finops_policy.lint.report import Report, Told
from finops_policy.lint.rule import Level

_SEVERITIES: Final = {Level.ERROR: "major", Level.WARNING: "minor", Level.NOTE: "info"}


def render(report: Report) -> str:
    found = zip(report.told, fingerprints(report), strict=True)
    return json.dumps([_issue(told, name) for told, name in found if not told.suppressed], indent=1) + "\n"


def _issue(told: Told, fingerprint: str) -> dict[str, Any]:
    diagnostic = told.diagnostic
    return {
        "description": f"{diagnostic.message}\n{diagnostic.hint}".strip(),
        "check_name": diagnostic.rule,
        "fingerprint": fingerprint,
        "severity": _SEVERITIES[told.level],
        "location": {"path": diagnostic.mark.path, "lines": {"begin": max(diagnostic.mark.line, 1)}},
    }
