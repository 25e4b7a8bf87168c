"""Reports made by hand, and the goldens they are written to."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from finops_policy.errors import InvalidFilesError
from finops_policy.lint.formats import FORMATS
from finops_policy.lint.report import Report, Told
from finops_policy.lint.rule import Level, Rule
from finops_policy.lint.subject import PLAIN, Source
from finops_policy.marks import Diagnostic, Fix, Mark
from finops_policy.sources import parse

FOLDER = Path(__file__).parent / "goldens"
UPDATE = os.environ.get("FINOPS_POLICY_UPDATE_GOLDEN") == "1"
C7N = "0.9.53"

RULES = {
    rule.id: rule
    for rule in (
        Rule("file-unreadable", Level.ERROR, "A file cannot be read.", "Nothing in it is checked."),
        Rule("mark-without-delay", Level.WARNING, "A mark without a delay.", "The action is due at once, today."),
        Rule("metrics-age", Level.NOTE, "Metrics without a minimum age.", "A young resource has little to show."),
        Rule("unknown-filter", Level.ERROR, "An unknown filter.", "Cloud Custodian refuses the whole file."),
        Rule("yaml-date", Level.WARNING, "A date without quotes.", "Cloud Custodian is given a date, not a text."),
    )
}

EC2 = """\
policies:
  - name: ec2-idle
    resource: aws.ec2
    filters:
      - type: metric
        days: 14
      - {type: value, key: "tag:été 😀", value: 2026-01-01}
    actions:
      - {type: mark-for-op, op: stop}
  - name: ec2-old   # finops-policy: ignore[metrics-age] every instance here is old
    resource: aws.ec2
    filters:
      - type: metrics
        days: 14
"""
RDS = "policies:\n  - {name: rds-idle, resource: aws.rds, filters: [metric]}\n"
LATIN = b"policies: [caf\xe9]\n"


def source(label: str, text: str) -> Source:
    try:
        document = parse(text.encode(errors="surrogatepass"), label)
    except InvalidFilesError:
        document = None
    return Source(Path(label), label, PLAIN, text, document)


def report(*told: Told, sources: tuple[Source, ...] = (), **more: object) -> Report:
    values = {"policies": 1, "passed_over": (), "unchecked": (), **more}
    return Report(told=told, rules=RULES, sources={each.label: each for each in sources}, **values)  # type: ignore[arg-type]


def told(
    rule: str, message: str, mark: Mark, hint: str = "", *, suppressed: str = "", fix: Fix | None = None, see: str = ""
) -> Told:
    related = (Mark(see, 3, 15),) if see else ()
    return Told(Diagnostic(rule, message, mark, hint, related, fix), RULES[rule].level, suppressed)


def sample() -> Report:
    """One diagnostic of every sort."""
    ec2, rds = "policies/ec2.yml", "policies/kosten & mehr/rds.yml"
    return report(
        told("unknown-filter", "aws.ec2 has no filter `metric`", Mark(ec2, 5, 15), "Did you mean metrics?", see=ec2),
        told(
            "yaml-date",
            "2026-01-01 is read as a date",
            Mark(ec2, 7, 48),
            "Put it in quotes.",
            fix=Fix("2026-01-01", '"2026-01-01"'),
        ),
        told(
            "mark-without-delay",
            "`mark-for-op` says neither days nor hours, so that the op `stop` is due today",
            Mark(ec2, 9, 9),
            "Add `days: 7`, or how long the owner should have to object. The documentation says that four days are "
            "the default; the program takes none.",
        ),
        told(
            "metrics-age",
            "a young instance may have no datapoints yet",
            Mark(ec2, 13, 9),
            suppressed="every instance here is old",
        ),
        told("metrics-age", "a young database may have no datapoints yet", Mark(rds, 2, 50)),
        told("unknown-filter", "aws.rds has no filter `metric`", Mark(rds, 2, 51), "Did you mean metrics?"),
        told("file-unreadable", "the file is larger than 1 MiB", Mark("vendor.json"), "Split it into several files."),
        sources=(source(ec2, EC2), source(rds, RDS), source("policies/fine.yml", RDS), source("vendor.json", "")),
        policies=4,
        passed_over=("compose.yml", ".gitlab-ci.yml"),
        unchecked=("policies/ec2.yml:20:5: azure.vm is not a resource of AWS",),
    )


def clean() -> Report:
    return report(sources=(source("policies/fine.yml", RDS),))


def hostile() -> Report:
    """Texts that try to break out of every format."""
    evil = "\x1b[31m ::error::x\r\n%0A,:]]><b>&\"'\u202e\ufffe\ud800|`{0}[x](1)"
    label = "a,b:c%\n\udce9" + evil.replace("/", "").replace("\ud800", "") + ".yml"
    line = f"key: {evil.splitlines()[0]}"
    return report(
        told("unknown-filter", evil, Mark(label, 1, 6), evil, fix=Fix(evil, evil), see=label),
        told("metrics-age", evil, Mark(label), suppressed=evil),
        told("yaml-date", evil, Mark(label, 99, 99)),
        sources=(Source(Path(label), label, PLAIN, line, None),),
        passed_over=(evil,),
        unchecked=(evil,),
    )


BUILDS: dict[str, Callable[[], Report]] = {"sample": sample, "clean": clean, "hostile": hostile, "empty": report}


def render(name: str, made: Report, monkeypatch: pytest.MonkeyPatch) -> str:
    """With a page for each rule, and a c7n that does not change."""
    module = importlib.import_module(FORMATS[name])
    if name in ("json", "sarif"):
        monkeypatch.setattr(module, "installed_version", lambda: C7N)
    if name == "sarif":
        monkeypatch.setattr(module, "page", lambda rule: f"# {rule}\n\nIts page.\n")
    text: str = module.render(made)
    return text


def assert_golden(name: str, rendered: str) -> None:
    """Compares with goldens/``name``; FINOPS_POLICY_UPDATE_GOLDEN=1 writes it first, for the diff to be reviewed."""
    path = FOLDER / name
    if UPDATE:
        path.write_text(rendered, "utf-8")
    assert rendered == path.read_text("utf-8"), f"{path}: run with FINOPS_POLICY_UPDATE_GOLDEN=1 and review the diff"
