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
from finops_policy.model import Diagnostic
from tests.lint.corpus import Example, examples, forgiven, stock_validate, verdict
from tests.lint.kit import TODAY, linted
from tests.lint.mutants import STYLES, Mutant, lines_of, mutant, written

LONG = bool(os.environ.get("FINOPS_POLICY_LONG"))
MUTANTS = 40_000 if LONG else 1_500
ASKED = 1_000 if LONG else 40
"""How many files the real ``custodian validate`` is asked about: it takes 30 ms each."""
SEED = int(os.environ.get("FINOPS_POLICY_SEED", "1"))
BATCH = 100
ERRORS = Settings({rule.id: Level.OFF for rule in RULES.values() if rule.level is not Level.ERROR})
GENERIC = ("schema refuses the policy", "breaks the rule", "is not valid under")
"""Words of messages that explain nothing."""


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
        for name in sorted(set(map(_type_name, _knowledge().names())))[:: 1 if LONG else 16]
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


@cache
def _valid() -> tuple[Any, ...]:
    """The policies of all examples that c7n accepts, without anchors."""
    data = [yaml.safe_load(example.text) for example in examples() if not verdict(example.text)]
    return tuple(policy for each in json.loads(json.dumps(data, default=str)) for policy in each["policies"])


def _cases(count: int, seed: int) -> Iterator[Case]:
    chance = random.Random(seed)
    while count:
        made = mutant(chance, _crossed(chance))
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


def _crossed(chance: random.Random) -> dict[str, Any]:
    """A valid policy; at times with the filters and actions of another one of its resource type."""
    one = chance.choice(_valid())
    if chance.random() < 0.8:
        return one
    other = chance.choice(_by_type()[_type_name(one["resource"])])
    both = {key: [*one.get(key, ()), *other.get(key, ())] for key in ("filters", "actions")}
    return one | {key: items for key, items in both.items() if items}


@cache
def _by_type() -> dict[str, list[Any]]:
    found = defaultdict(list)
    for policy in _valid():
        found[_type_name(policy["resource"])].append(policy)
    return found


def _type_name(resource: str) -> str:
    type_ = _knowledge().type_of(resource)
    assert type_
    return type_.name


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Case, str, list[Diagnostic]]]:
    """Cases, c7n's verdict, our errors."""
    cases = list(_cases(MUTANTS, SEED))
    found = errors_of(tmp_path_factory.mktemp("mutants"), [case.text for case in cases])
    return [(case, verdict(case.text), errors) for case, errors in zip(cases, found, strict=True)]


def test_no_mutant_that_cloud_custodian_accepts_has_an_error(judged: list[tuple[Case, str, list[Diagnostic]]]) -> None:
    wrong = [f"{case}{errors}" for case, said, errors in judged if errors and not said and not _masked(case)]
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


def _masked(case: Case) -> bool:
    """c7n forgives text in braces where another type is asked for, and with it every other mistake of the policy."""
    return any(map(forgiven, yaml.safe_load(case.text)["policies"]))


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


# --- what is certain --------------------------------------------------------------------------------------------------


def test_certain_is_what_cloud_custodian_accepts(judged: list[tuple[Case, str, list[Diagnostic]]]) -> None:
    plain = [json.loads(json.dumps(case.mutant.policy)) for case, _, _ in judged if _is_plain(case.mutant.policy)]
    sure = [policy for policy in [*_valid(), *plain] if _certain(policy)]
    refused = [policy for policy in sure if verdict(yaml.safe_dump({"policies": [policy]}))]
    assert refused == []
    assert sum(map(_certain, _valid())) > len(_valid()) * 0.6, "most policies are checked without loading c7n"


def _is_plain(value: Any) -> bool:
    """Whether JSON has it all."""
    try:
        return bool(json.loads(json.dumps(value)) == value)
    except (TypeError, ValueError):
        return False


def _certain(policy: dict[str, Any]) -> bool:
    known = _knowledge()
    resource = policy.get("resource")
    type_ = known.type_of(resource) if isinstance(resource, str) else None
    return type_ is not None and not faults(policy, type_, known) and type_.accepts(policy) and certain(policy, type_)


_knowledge = cache(knowledge)
