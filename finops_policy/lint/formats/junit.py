"""JUnit XML, for the test reports of Jenkins, GitLab, Azure DevOps and others.

Each file is a test. It fails with an error or a warning, whatever ``--fail-on`` says; a test knows no more levels, so
notes, and what is suppressed, are its output. Files that were passed over and policies that nobody here can check are
skipped tests.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Final
from xml.etree import ElementTree as ET

from finops_policy.lint.report import Report, Told
from finops_policy.lint.rule import Level
from finops_policy.spelling import plain

_FAILING: Final = (Level.ERROR, Level.WARNING)
_NAME: Final = "finops-policy lint"


def render(report: Report) -> str:
    cases = [*_files(report), *_skipped("passed over", report.passed_over, "not of finops-policy, without policies")]
    cases += _skipped("not checked", report.unchecked, "cannot be checked here")
    failures = sum(case.find("failure") is not None for case in cases)
    skipped = sum(case.find("skipped") is not None for case in cases)
    counts = {"name": _NAME, "tests": str(len(cases)), "failures": str(failures), "errors": "0"}
    root = ET.Element("testsuites", counts)
    suite = ET.SubElement(root, "testsuite", {**counts, "skipped": str(skipped)})
    suite.extend(cases)
    ET.indent(root, " ")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _files(report: Report) -> Iterator[ET.Element]:
    by_file: dict[str, list[Told]] = defaultdict(list)
    for told in report.told:
        by_file[told.diagnostic.mark.path].append(told)
    for label in sorted({*report.sources, *by_file}):
        case = ET.Element("testcase", name=plain(label), classname="finops-policy.lint")
        failing = [each for each in by_file[label] if _fails(each)]
        if failing:
            worst = max(failing, key=lambda each: each.level.rank).level
            failure = ET.SubElement(case, "failure", type=worst, message=_message(failing))
            failure.text = "\n\n".join(map(_text, failing))
        if others := [each for each in by_file[label] if not _fails(each)]:
            ET.SubElement(case, "system-out").text = "\n\n".join(map(_text, others))
        yield case


def _fails(told: Told) -> bool:
    return told.level in _FAILING and not told.suppressed


def _message(failing: list[Told]) -> str:
    counts = Counter(each.level for each in failing)
    return ", ".join(
        f"{counts[level]} {level}{'s' if counts[level] > 1 else ''}" for level in _FAILING if counts[level]
    )


def _text(told: Told) -> str:
    diagnostic = told.diagnostic
    state = f"suppressed ({told.suppressed}) " if told.suppressed else ""
    lines = [f"{diagnostic.mark}: {state}{told.level}[{diagnostic.rule}] {diagnostic.message}", diagnostic.hint]
    return "\n".join(plain(line) for line in lines if line)


def _skipped(what: str, names: tuple[str, ...], reason: str) -> Iterator[ET.Element]:
    for name in names:
        case = ET.Element("testcase", name=plain(name), classname=f"finops-policy.lint.{what.replace(' ', '-')}")
        ET.SubElement(case, "skipped", message=reason)
        yield case
