"""No false alarm, nothing overlooked: the linter's errors held against Cloud Custodian's own verdict.

What ``custodian validate`` accepts has no diagnostic of level error; what it refuses has one, on the right line: every
example of c7n's documentation, and mutants of those that are valid. Short by default;
``FINOPS_POLICY_LONG=1 pytest tests/lint/test_truth.py`` digs deeper.
"""

from __future__ import annotations

import json
import os
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from finops_policy.custodian.certainty import certain
from finops_policy.custodian.conformity import faults
from finops_policy.custodian.knowledge import knowledge
from finops_policy.lint.custodian import OTHERS
from finops_policy.lint.linter import lint
from finops_policy.lint.rule import Level
from finops_policy.lint.rules import RULES
from finops_policy.lint.settings import Settings
from finops_policy.marks import Diagnostic
from tests.lint.corpus import Example, crossed, examples, forgiven, stock_validate, type_names, valid, verdict
from tests.lint.kit import TODAY, linted
from tests.lint.mutants import STYLES, Mutant, is_plain, lines_of, mutant, spoiled, written

LONG = bool(os.environ.get("FINOPS_POLICY_LONG"))
MUTANTS = 40_000 if LONG else 600
ASKED = 1_000 if LONG else 20
"""How many files the real ``custodian validate`` is asked about: it takes 30 ms each."""
SEED = int(os.environ.get("FINOPS_POLICY_SEED", "1"))
BATCH = 100
ERRORS = Settings({rule.id: Level.OFF for rule in RULES.values() if rule.level is not Level.ERROR})
GENERIC = ("schema refuses the policy", "breaks the rule", "is not valid under")
"""Words of messages that explain nothing."""


@pytest.fixture(scope="module", autouse=True)
def _fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The user's own cache may be older than this checkout."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def errors_of(folder: Path, texts: Sequence[str]) -> Iterator[list[Diagnostic]]:
    """The errors of each text as a file, linted a batch at a time."""
    for start in range(0, len(texts), BATCH):
        paths = [folder / f"{start + index}.yaml" for index in range(len(texts[start : start + BATCH]))]
        for path, text in zip(paths, texts[start:], strict=False):
            path.write_bytes(text.encode())
        found: dict[str, list[Diagnostic]] = defaultdict(list)
        for told in lint(paths, folder, ERRORS, today=TODAY).active:
            found[Path(told.diagnostic.mark.path).name].append(told.diagnostic)
        yield from (found[path.name] for path in paths)


# --- examples ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def verdicts() -> dict[Example, str]:
    return {example: verdict(example.text) for example in examples()}


def test_there_are_examples_of_both_kinds(verdicts: dict[Example, str]) -> None:
    assert len(verdicts) > 900
    assert sum(map(bool, verdicts.values())) > 20


def test_the_verdict_is_that_of_custodian_validate(verdicts: dict[Example, str], tmp_path: Path) -> None:
    chance = random.Random(SEED)
    refused = [example.text for example, said in verdicts.items() if said]
    accepted = [example.text for example, said in verdicts.items() if not said]
    some = [chance.sample(each, min(ASKED, len(each))) for each in (refused, accepted)]
    texts = [*some[0], *some[1], *(case.text for case in _cases(ASKED, SEED + 1))]
    paths = [tmp_path / f"{index}.yaml" for index in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    answers = zip(texts, stock_validate(paths), strict=True)
    assert [text for text, accepts in answers if accepts == bool(verdict(text))] == []


def test_what_cloud_custodian_accepts_has_no_error_and_what_it_refuses_has_one(
    verdicts: dict[Example, str], tmp_path: Path
) -> None:
    found = errors_of(tmp_path, [example.text for example in verdicts])
    wrong = [
        (example.origin, said, errors)
        for (example, said), errors in zip(verdicts.items(), found, strict=True)
        if bool(said) != bool(errors)
    ]
    assert wrong == []


def test_files_linted_together_have_the_errors_that_they_have_alone(tmp_path: Path) -> None:
    texts = [case.text for case in _cases(ASKED, SEED + 2)]
    alone = [
        [told.diagnostic.message for told in linted(tmp_path, text, levels=ERRORS.levels).active] for text in texts
    ]
    together = [[each.message for each in errors] for errors in errors_of(tmp_path, texts)]
    assert together == alone
    assert any(alone)


def test_every_filter_and_action_without_settings(tmp_path: Path) -> None:
    """As one word and as a mapping, of some resource types, of all in long."""
    texts = [
        yaml.safe_dump({"policies": [{"name": "a", "resource": name, section: [form]}]})
        for name in type_names()[:: 1 if LONG else 16]
        if (type_ := _knowledge().type_of(name))
        for section, known in (("filters", type_.filters), ("actions", type_.actions))
        for word in known
        for form in (word, {"type": word})
    ]
    found = zip(texts, errors_of(tmp_path, texts), strict=True)
    assert [f"{text}{errors}" for text, errors in found if bool(errors) != bool(verdict(text))] == []


# --- mutants ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Case:
    """``index`` is the mutant's place among the policies of the file; ``several`` mistakes have no one place."""

    mutant: Mutant
    style: str
    index: int
    text: str
    several: bool

    def __str__(self) -> str:
        return f"{self.mutant.how} at {self.mutant.steps} ({self.style})\n{self.text}"


def _cases(count: int, seed: int) -> Iterator[Case]:
    chance = random.Random(seed)
    while count:
        made = mutant(chance, crossed(chance))
        several = chance.random() < 0.15
        if several:
            made = mutant(chance, made.policy)
        style = chance.choice(STYLES)
        around = chance.random() < 0.3
        policies = [{"name": "first", "resource": "ec2"}, made.policy, {"name": "last", "resource": "aws.ebs"}]
        try:
            text = written(policies if around else [made.policy], style)
        except TypeError:
            continue  # JSON has no such key
        if any(f"{provider}." in text for provider in OTHERS):
            continue  # nobody here knows what the other providers accept
        count -= 1
        yield Case(made, style, int(around), text, several)


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Case, str, list[Diagnostic]]]:
    """Cases, c7n's verdict, our errors."""
    cases = list(_cases(MUTANTS, SEED))
    found = errors_of(tmp_path_factory.mktemp("mutants"), [case.text for case in cases])
    return [(case, verdict(case.text), errors) for case, errors in zip(cases, found, strict=True)]


def test_no_mutant_that_cloud_custodian_accepts_has_an_error(judged: list[tuple[Case, str, list[Diagnostic]]]) -> None:
    wrong = [f"{case}{errors}" for case, said, errors in judged if errors and not said and not _masked(case, errors)]
    assert wrong == []


def test_every_mutant_that_cloud_custodian_refuses_has_an_error(
    judged: list[tuple[Case, str, list[Diagnostic]]],
) -> None:
    assert [f"{case}{said}" for case, said, errors in judged if said and not errors] == []


def test_an_error_is_on_the_line_of_the_mistake(judged: list[tuple[Case, str, list[Diagnostic]]]) -> None:
    assert [
        f"{case}{errors}" for case, said, errors in judged if said and errors and not _placed(case, said, errors)
    ] == []


def test_errors_are_explained(judged: list[tuple[Case, str, list[Diagnostic]]]) -> None:
    """The words of the schema itself are for what nobody has thought of."""
    all_errors = [error for _, said, errors in judged if said for error in errors]
    generic = [error for error in all_errors if any(words in error.message for words in GENERIC)]
    assert len(generic) * 200 <= len(all_errors), generic[:5]


def test_mutants_are_of_both_kinds(judged: list[tuple[Case, str, list[Diagnostic]]]) -> None:
    """Were all of them valid, or none, the comparison would prove nothing."""
    refused = sum(bool(said) for _, said, _ in judged)
    assert len(judged) * 0.5 < refused < len(judged) * 0.95
    assert {case.mutant.how for case, said, _ in judged if said} == {case.mutant.how for case, _, _ in judged}


def _masked(case: Case, errors: Sequence[Diagnostic]) -> bool:
    """c7n forgives text in braces where another type is asked for, and with it every other mistake of the policy: those
    are told."""
    policies = yaml.safe_load(case.text)["policies"]
    return any(map(forgiven, policies)) and not any("got the text `{" in error.message for error in errors)


def _placed(case: Case, said: str, errors: Sequence[Diagnostic]) -> bool:
    """On the line of the mistake, or in the part that c7n's reason is about."""
    made = case.mutant
    if case.several:
        return True
    parts = [(made.steps, made.of_key)]
    if made.steps[:1] == ("resource",) or any(error.rule == "policy-name-length" for error in errors):
        parts.append(((), False))  # another type has other filters and actions; prefix and name are too long together
    elif any(error.rule == "custodian-validation" for error in errors) or _is_untyped(made):
        parts.append((made.steps[:2] if {*made.steps[:1]} & {"filters", "actions"} else made.steps[:1], False))
    places = [lines_of(case.text, ("policies", case.index, *steps), of_key=of_key) for steps, of_key in parts]
    if any(first <= error.mark.line <= last for error in errors for first, last in places):
        return True
    first, _ = lines_of(case.text, ("policies", case.index), of_key=False)
    return any(error.message in " ".join(said.split()) and error.mark.line > first for error in errors)


def _is_untyped(made: Mutant) -> bool:
    """Whether a key was added where there is no ``type``: anybody may guess which of the keys is wrong."""
    part: Any = made.policy
    for step in made.steps[:-1]:
        part = part[step]
    return made.of_key and isinstance(part, dict) and "type" not in part


# --- as text ----------------------------------------------------------------------------------------------------------


def test_text_that_is_spoiled(tmp_path: Path) -> None:
    """Whatever YAML makes of it."""
    chance = random.Random(SEED)
    texts = [spoiled(chance, written([chance.choice(valid())], chance.choice(STYLES))) for _ in range(MUTANTS // 3)]
    judged = [(text, verdict(text), errors) for text, errors in zip(texts, errors_of(tmp_path, texts), strict=True)]
    assert [f"{text}{said}{errors}" for text, said, errors in judged if bool(said) != bool(errors)] == []
    assert {bool(said) for _, said, _ in judged} == {True, False}


HEAD = "policies:\n- name: a\n  resource: ec2\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"{HEAD}  filters:\n  - tag:x: 2026-12-31\n", 5),
        (f"{HEAD}  filters:\n  - tag:x: 2026-13-31\n", 5),
        (f"{HEAD}  comment: 2026-12-31\n", 4),
        (f"{HEAD}  metadata: {{2026-12-31: 2026-12-31, 1: 2, x: .nan}}\n", 0),
        (f"{HEAD}  actions:\n  - type: tag\n    tags: {{1: x}}\n", 0),
        (f"{HEAD}  actions:\n  - type: mark-for-op\n    op: stp\n    msg: 2026-12-31\n", 6),
        (f"{HEAD}  filters:\n  - tag:x: !Ref y\n", 5),
        (f"{HEAD}  filters:\n  - tag:x: !!str 5\n", 0),
        (f"{HEAD}  filters:\n  - tag:x: 0b_\n", 5),
        (f"{HEAD}  filters:\n  - tag:x: .inf\n", 0),
        (f"{HEAD}  filters:\n  - 1: x\n", 0),
        (f"{HEAD}  filters:\n  - [a]: x\n", 5),
        (f"{HEAD}  max-resources: {'9' * 30}\n", 0),
        (f"{HEAD}  description: a\n  description: a\n", 5),
        (f"vars:\n  x: !Ref y\n{HEAD}", 2),
        (f"vars:\n  x: 2026-13-31\n{HEAD}", 2),
        (f"vars:\n  x: {{1: 2026-12-31}}\n{HEAD}", 0),
        (f"vars: 5\n{HEAD}", 1),
        (f"{HEAD}- name: a\n  resource: ebs\n", 4),
        (f"{HEAD}- name: b\n  resource: [ec2, ebs]\n", 5),
        (f"{HEAD}---\n{HEAD}", 4),
        (f"{HEAD}x: 1\n", 4),
        (f"\ufeff{HEAD}", 0),
        (HEAD.replace("\n", "\r\n"), 0),
        ("policies: []\n", 0),
        ("policies:\n", 1),
        ("vars: {}\n", 1),
        ("- a\n", 1),
        ("policies:\n- a\n", 2),
        ("policies:\n- {}\n", 2),
        ("# nothing\n", 0),
        ("vars: {a: &a {resource: ec2}}\npolicies:\n- <<: *a\n  name: a\n", 0),
    ],
)
def test_a_text(text: str, line: int, tmp_path: Path) -> None:
    """``line`` is that of an error; 0 where c7n accepts the file, or none of its lines is to blame."""
    said = verdict(text)
    [errors] = errors_of(tmp_path, [text])
    assert bool(errors) == bool(said), said
    assert line in [error.mark.line for error in errors] or (not line and all(not error.mark.line for error in errors))


def test_only_the_dates_that_are_refused_are_errors(tmp_path: Path) -> None:
    """Beside one in the same filter, and beside one elsewhere; where the policy is refused for another reason, none."""
    accepted = "  - type: value\n    key: a\n    default: {a: 2026-12-31}\n"
    same = f"{HEAD}  filters:\n{accepted}    value: 2026-12-31\n"
    elsewhere = f"{HEAD}  filters:\n  - tag:x: 2026-12-31\n{accepted}    value: x\n"
    other = f"{HEAD}  filters:\n  - nothing\n{accepted}    value: x\n"
    many = elsewhere + f"{accepted}    value: x\n" * 5
    found = [
        [(error.mark.line, "date" in error.message) for error in errors]
        for errors in errors_of(tmp_path, [same, elsewhere, other, many])
    ]
    assert found == [[(8, True)], [(5, True)], [(5, False)], [(5, True)]]


# --- what is certain --------------------------------------------------------------------------------------------------


def test_certain_is_what_cloud_custodian_accepts(judged: list[tuple[Case, str, list[Diagnostic]]]) -> None:
    plain = [json.loads(json.dumps(case.mutant.policy)) for case, _, _ in judged if is_plain(case.mutant.policy)]
    sure = [policy for policy in [*valid(), *plain] if _certain(policy)]
    refused = [policy for policy in sure if verdict(yaml.safe_dump({"policies": [policy]}))]
    assert refused == []
    assert sum(map(_certain, valid())) > len(valid()) * 0.6, "most policies are checked without loading c7n"


@pytest.mark.parametrize(
    "text",
    [
        "filters: [{type: value, key: a, op: regex, value: '('}]",
        "filters: [{type: value, key: a, op: regex, value: 5}]",
        "filters: [{type: value, key: a, value: x, value_regex: 'a'}]",
        "filters: [{type: value, key: a, value: x, value_type: date}]",
        "filters: [{type: value, value: x, value_type: resource_count}]",
        "filters: [{type: value, key: a, op: eq}]",
        "filters: [{not: [{type: value, value: a}]}]",
        "filters: [{type: metrics, name: x, value: 1, statistics: MAX}]",
        "filters: [{type: metrics, name: x, value: 1, days: 500}]",
        "filters: [{type: marked-for-op, op: nothing}]",
        "actions: [{type: mark-for-op, op: remove-tags, days: 1}]",
        "actions: [{type: tag, key: a, tag: b}]",
        "actions: [{type: notify, to: [x], transport: {type: sns, topic: t, attributes: {mtype: x}}}]",
        "mode: {type: cloudtrail}",
        "start: never",
        "query: [{a: b}]",
    ],
)
def test_what_c7n_may_refuse_is_not_certain(text: str) -> None:
    policy = {"name": "a", "resource": "ec2", **yaml.safe_load(text)}
    assert not _certain(policy)
    assert verdict(yaml.safe_dump({"policies": [policy]})) or "query" in policy


def _certain(policy: dict[str, Any]) -> bool:
    known = _knowledge()
    resource = policy.get("resource")
    type_ = known.type_of(resource) if isinstance(resource, str) else None
    return type_ is not None and not faults(policy, type_, known) and type_.accepts(policy) and certain(policy, type_)


_knowledge = cache(knowledge)
