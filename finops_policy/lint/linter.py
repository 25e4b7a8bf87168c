"""From paths to a report: reads the files, asks their schemas, Cloud Custodian and every rule, and weighs the answers.

Every file is read once, whatever is wrong with the others. A diagnostic is told once, however many readers find it.
That a file cannot be read is told whatever settings or comments say: ``exclude`` leaves files out.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from finops_policy.custodian.knowledge import knowledge
from finops_policy.lint import custodian, files, library
from finops_policy.lint.policies import PACK, is_open, policies_of
from finops_policy.lint.quotes import with_quotes
from finops_policy.lint.report import Report, Told
from finops_policy.lint.rule import Level
from finops_policy.lint.rules import RULES
from finops_policy.lint.secrets import concealed
from finops_policy.lint.settings import Settings
from finops_policy.lint.subject import PLAIN, Source, Subject
from finops_policy.lint.suppressions import ACROSS, Suppressions
from finops_policy.marks import Diagnostic, Mark

if TYPE_CHECKING:
    from finops_policy.revisions import Revision
    from finops_policy.sources import Document

FRAME: Final = {
    "type": "object",
    "required": ["policies"],
    "additionalProperties": False,
    "properties": {
        "vars": {"type": "object", "description": "A place for YAML anchors."},
        "policies": {
            "type": "array",
            "description": "The list of policies.",
            "items": {
                "type": "object",
                "required": ["name", "resource"],
                "properties": {
                    "name": {"type": "string", "description": "It tells policies apart."},
                    "resource": {"type": "string", "description": "A resource type, such as aws.ec2."},
                },
            },
        },
    },
}
"""What a file of plain policies must be before its policies can be looked at."""
_PARAMETER: Final = re.compile(r"""["']?\$\{""")


def lint(
    paths: Sequence[Path],
    workspace: Path,
    settings: Settings,
    *,
    base: Revision | None = None,
    today: dt.date | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> Report:
    """``progress`` is told what is going on. Raises :class:`UsageError` for a path that is not there, and nothing for
    whatever the files hold."""
    found: list[Diagnostic] = []
    sources: list[Source] = []
    passed_over: list[str] = []
    for path, named in files.find(paths, settings.excludes):
        progress(f"Reading files: {len(sources) + len(passed_over) + 1:,}")
        source, problems = files.load(path, named=named)
        if source.kind == files.OTHER:
            passed_over.append(source.label)
        else:
            sources.append(source)
            found += _mild(source, problems)
    fitting = {}
    for source in sources:
        problems = _of_kind(source)
        fitting[source.label] = not problems
        found += problems
    known = knowledge()
    subject = Subject(
        workspace=workspace,
        sources=tuple(sources),
        policies=tuple(policies_of(sources, fitting, known)),
        knowledge=known,
        today=today or dt.datetime.now(dt.UTC).date(),
        base=base,
    )
    progress(f"Checking {len(subject.policies):,} policies")
    open_ = {policy.source.label: policy.source for policy in subject.policies if is_open(policy)}
    found += _certain(custodian.problems(subject.policies, known), open_)
    found += library.problems(subject)
    for rule in RULES.values():
        if rule.check and settings.level(rule) is not Level.OFF and (base or not rule.needs_base):
            progress(f"Checking {len(subject.policies):,} policies: {rule.id}")
            found += _certain(rule.check(subject), open_)
    return Report(
        told=tuple(_weighed(concealed(_here(found, subject), subject.sources), subject, settings)),
        rules=RULES,
        sources={source.label: source for source in sources},
        policies=len(subject.policies),
        passed_over=tuple(passed_over),
        unchecked=tuple(_unchecked(subject)),
    )


def _mild(source: Source, problems: Iterable[Diagnostic]) -> Iterator[Diagnostic]:
    """Cloud Custodian reads what YAML allows; of plain files it has the last word on what is only odd."""
    for problem in problems:
        odd = source.kind == PLAIN and source.document and problem.rule in custodian.ODD
        yield replace(problem, rule="yaml-odd") if odd else problem


def _of_kind(source: Source) -> list[Diagnostic]:
    if source.document is None:
        return []
    if source.kind == files.ACCOUNTS and files.by_profile(source.document):
        return []  # c7n-org takes them from an AWS configuration, of which nothing is known here
    if source.kind == PLAIN:
        return _frame(source.document)
    from finops_policy.validation import validate

    return validate(source.document, source.kind)


def _frame(document: Document) -> list[Diagnostic]:
    import jsonschema_rs

    if jsonschema_rs.is_valid(FRAME, document.data):
        return []
    from finops_policy.validation import mistakes

    return [
        Diagnostic(
            "schema",
            each.sentence("the file"),
            document.key_mark(*each.steps) if each.of_key else document.mark(*each.steps),
            each.hint,
        )
        for each in mistakes(FRAME, document.data, "a file of policies")
    ]


def _certain(found: Iterable[Diagnostic], open_: Mapping[str, Source]) -> Iterator[Diagnostic]:
    """Without what only follows from a parameter that is not known: its value may well be right."""
    for each in found:
        source = open_.get(each.mark.path)
        if not source or (each.rule != "custodian-validation" and not _PARAMETER.match(source.at(each.mark))):
            yield each


def _unchecked(subject: Subject) -> Iterator[str]:
    for policy in subject.policies:
        if reason := custodian.unchecked(policy):
            yield f"{policy.mark()}: {reason}"
        elif policy.pack is None and is_open(policy):
            yield f"{policy.mark()}: {policy.name}: its parameters are not known, as {PACK} beside it cannot be read"


def _here(found: Iterable[Diagnostic], subject: Subject) -> list[Diagnostic]:
    """Each once, and only those of the files that are linted; rules may name places as the catalogue names them."""
    own = {source.label: source for source in subject.sources}

    def here(mark: Mark) -> Mark:
        return mark if mark.path in own else library.here(mark, subject)

    placed = (replace(each, mark=here(each.mark), related=tuple(map(here, each.related))) for each in found)
    mine = {with_quotes(each, own[each.mark.path]): None for each in placed if each.mark.path in own}
    return sorted(mine, key=lambda each: (each.mark, each.rule))


def _weighed(found: Iterable[Diagnostic], subject: Subject, settings: Settings) -> list[Told]:
    suppressions = Suppressions(subject.sources)
    unread = {source.label for source in subject.sources if source.document is None}
    told = []
    for each in found:
        rule = RULES[each.rule]
        level = settings.level(rule)
        if each.mark.path in unread and not rule.check:
            told.append(Told(each, rule.level if level is Level.OFF else level))
        elif level is not Level.OFF:
            told.append(Told(each, level, suppressions.reason(each)))
    unsure = {each.diagnostic.mark.path for each in told if RULES[each.diagnostic.rule].level is Level.ERROR}
    unsure |= {policy.source.label for policy in subject.policies if policy.type is None}

    def applied(path: str, name: str) -> bool:
        rule = RULES.get(name)
        if rule is None or name in ACROSS or settings.level(rule) is Level.OFF:
            return False
        return not (rule.needs_base and subject.base is None) and not (rule.check and path in unsure)

    for each in suppressions.problems(RULES, applied, unsure):
        level = settings.level(RULES[each.rule])
        told += [Told(each, level)] if level is not Level.OFF else []
    return sorted(told, key=lambda one: (one.diagnostic.mark, one.diagnostic.rule))
