"""Linting a text in a folder of its own."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path

from finops_policy.lint.linter import lint
from finops_policy.lint.report import Report
from finops_policy.lint.rule import Level
from finops_policy.lint.settings import Settings

TODAY = dt.date(2026, 11, 24)


def linted(
    folder: Path, text: str | bytes, name: str = "policies.yaml", levels: Mapping[str, Level] | None = None
) -> Report:
    """The report on one file, which is named on the command line."""
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return lint([path], folder, Settings(levels or {}), today=TODAY)


def lines(report: Report, rule: str) -> list[int]:
    """The lines that a rule is told of, in order."""
    return [each.diagnostic.mark.line for each in report.active if each.diagnostic.rule == rule]


def rules(report: Report) -> set[str]:
    return {each.diagnostic.rule for each in report.active}
