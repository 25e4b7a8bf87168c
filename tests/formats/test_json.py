"""The JSON report, its schema, and the registry of formats."""

from __future__ import annotations

import io
import json
import math
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from finops_policy.formats import FORMATS
from finops_policy.library import library_root

from . import sample
from .golden import assert_golden


def render(data: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    FORMATS["json"].render(data, out)
    return out.getvalue()


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    schema = json.loads(library_root().joinpath("schemas", "report.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_registry_names_each_format_once() -> None:
    assert {name: each.file_name for name, each in FORMATS.items()} == {"html": "report.html", "json": "report.json"}
    assert all(name == each.name for name, each in FORMATS.items())


def test_is_what_it_was_before() -> None:
    assert_golden("report.json", render(sample.build()))


@pytest.mark.parametrize("build", [sample.build, sample.empty, sample.hostile], ids=["sample", "empty", "hostile"])
def test_follows_its_schema(build: Any, validator: Draft202012Validator) -> None:
    validator.validate(json.loads(render(build())))


def test_schema_is_strict(validator: Draft202012Validator) -> None:
    broken = sample.build()
    broken["findings"][0]["monthly_savings"] = 0
    with pytest.raises(ValidationError, match="0 is not of type 'string', 'null'"):
        validator.validate(broken)
    broken = sample.build()
    broken["coverage"]["grid"][0]["surplus"] = 1
    with pytest.raises(ValidationError, match="surplus"):
        validator.validate(broken)


def test_every_object_of_the_schema_is_closed_and_described(validator: Draft202012Validator) -> None:
    def walk(node: Any, path: str) -> None:
        if isinstance(node, dict):
            if node.get("type") == "object":
                assert "additionalProperties" in node, path
            for name, each in node.get("properties", {}).items():
                assert each.get("title"), f"{path}/{name}"
                assert each.get("description"), f"{path}/{name}"
            for name, each in node.items():
                walk(each, f"{path}/{name}")
        elif isinstance(node, list):
            for number, each in enumerate(node):
                walk(each, f"{path}/{number}")

    walk(validator.schema, "")


def test_is_ascii_and_keeps_long_texts_whole() -> None:
    rendered = render(sample.build())
    assert rendered.isascii()
    assert b"\x1b" not in rendered
    assert json.loads(rendered) == sample.build()


def test_refuses_what_json_cannot_hold() -> None:
    data = sample.build()
    data["findings"][0]["facts"][0]["value"] = math.nan
    with pytest.raises(ValueError, match="Out of range float"):
        render(data)


@pytest.mark.parametrize("build", [sample.build, sample.empty], ids=["sample", "empty"])
def test_the_sample_adds_up(build: Any) -> None:
    data = build()
    verdicts = ("compliant", "noncompliant", "waived", "unknown")
    coverage = data["coverage"]
    for row in (data["totals"], *coverage["grid"], *data["policies"]):
        assert row["population"] == sum(row[verdict] for verdict in verdicts)
    assert coverage["cells"] == len(coverage["targets"]) * len(coverage["policies"]) == len(coverage["grid"])
    assert coverage["cells"] == sum(coverage[each] for each in ("evaluated", "not_applicable", "skipped", "failed"))
    assert len(data["findings"]) == sum(data["totals"][verdict] for verdict in verdicts[1:])
