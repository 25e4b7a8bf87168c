"""What the page on missing keys says of Cloud Custodian, asked of Cloud Custodian."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

PAGE = (Path(__file__).parents[2] / "docs" / "lint" / "absent-key.md").read_text()
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("|")]
KINDS = ["", *ROWS[0][2:]]
SAID = [(row[0].strip("`"), kind, said) for row in ROWS[2:] for kind, said in zip(KINDS, row[1:], strict=True) if said]


def matched(resource: dict[str, Any], comparison: str, kind: str) -> bool:
    from c7n.filters.core import ValueFilter

    data = yaml.safe_load(f"{{type: value, key: Key, {comparison}}}") | ({"value_type": kind} if kind else {})
    return bool(ValueFilter(data).match(resource))


@pytest.mark.parametrize(("comparison", "kind", "said"), SAID)
def test_what_the_page_says_of_a_missing_key(comparison: str, kind: str, said: str) -> None:
    assert said in ("yes", "no")
    assert matched({}, comparison, kind) == (said == "yes")


def test_the_table_is_there() -> None:
    assert len(SAID) > 60
    assert KINDS == ["", "normalize", "integer", "size", "age"]


def test_what_is_told_to_write_matches_both() -> None:
    assert matched({}, "value: empty", "")
    assert matched({"Key": False}, "value: empty", "")
    assert not matched({"Key": True}, "value: empty", "")
