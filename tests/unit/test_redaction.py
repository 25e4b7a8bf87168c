"""A withheld tag value is in clear nowhere: not in the tags, not in any fact, however it was read."""

from __future__ import annotations

from typing import Any

import pytest

from finops_policy.model import Fact
from finops_policy.redaction import WITHHELD, redact_facts, redact_tags

TAGS = {"PatientId": "P-4711", "Owner": "clinic", "PatientNote": ""}
GLOBS = ("*Patient*",)


def test_matching_tags_are_withheld_and_others_are_not() -> None:
    assert redact_tags(TAGS, GLOBS) == {"PatientId": WITHHELD, "Owner": "clinic", "PatientNote": ""}
    assert redact_tags(TAGS, ()) == TAGS


@pytest.mark.parametrize(
    ("value", "expected"),
    [("P-4711", None), (None, "P-4711"), ("id P-4711 of", None), (["a", "P-4711"], None), ({"k": ["P-4711"]}, "x")],
)
def test_no_fact_repeats_a_withheld_value(value: Any, expected: Any) -> None:
    [fact] = redact_facts([Fact("value", "any key", value, "eq", expected, matched=True)], TAGS, GLOBS)
    assert "P-4711" not in repr(fact)
    assert WITHHELD in repr(fact)


def test_facts_without_it_stay_as_they_are() -> None:
    facts = (Fact("value", "tag:Owner", "clinic", "eq", 7, matched=True),)
    assert redact_facts(facts, TAGS, GLOBS) == facts
    assert redact_facts(facts, {}, GLOBS) == facts
