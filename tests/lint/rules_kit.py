"""What the tests of rules share that ask Cloud Custodian itself."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from c7n.config import Bag, Config
from c7n.policy import Policy
from c7n.provider import clouds

from finops_policy.custodian.knowledge import knowledge
from finops_policy.lint.linter import lint
from finops_policy.lint.policies import policies_of
from finops_policy.lint.report import Report
from finops_policy.lint.rules import RULES
from finops_policy.lint.settings import Settings
from finops_policy.lint.subject import PLAIN, Source, Subject
from finops_policy.marks import Diagnostic
from finops_policy.sources import parse
from tests.lint.corpus import load_all
from tests.lint.kit import TODAY


@cache
def managers() -> Mapping[str, Any]:
    """Type, such as ``ec2`` -> its class in c7n."""
    load_all()
    return dict(clouds["aws"].resources.items())


def policy(**data: Any) -> Policy:
    """c7n's own, not validated yet."""
    load_all()
    config = Config.empty(account_id="000000000000", region="us-east-1")
    return Policy({"name": "a", "resource": "ec2", **data}, config, Bag())


def one_a_line(documents: Iterable[Mapping[str, Any]]) -> str:
    """A file of policies; the first stands on line 2."""
    return "policies:\n" + "".join(f"- {json.dumps(each)}\n" for each in documents)


def together(folder: Path, **files: str) -> Report:
    """Several files, linted in the order given."""
    paths = []
    for name, text in files.items():
        paths.append(folder / f"{name}.yaml")
        paths[-1].write_text(text)
    return lint(paths, folder, Settings(), today=TODAY)


def told(report: Report, rule: str) -> list[Diagnostic]:
    return [each.diagnostic for each in report.active if each.diagnostic.rule == rule]


def subject_of(text: str) -> Subject:
    """One file of policies."""
    source = Source(Path("p.yaml"), "p.yaml", PLAIN, text, parse(text.encode(), "p.yaml", lenient=True))
    known = knowledge()
    return Subject(Path(), (source,), tuple(policies_of([source], {"p.yaml": True}, known)), known, TODAY)


def found_by(text: str, *names: str) -> list[Diagnostic]:
    """What some rules find, without asking c7n what it has against the policies."""
    subject = subject_of(text)
    checks = [check for name in names if (check := RULES[name].check)]
    assert len(checks) == len(names)
    return [each for check in checks for each in check(subject)]
