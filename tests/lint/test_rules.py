"""Every rule has a page whose examples hold, and finds what its cases say, on the line where they say it.

A case is a file in ``cases/<rule>``: ``bad*`` has ``# expect: <rule>`` behind each line that the rule is told of,
``good*`` has none. Each is linted alone, and only that rule is looked at.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from finops_policy.lint.rules import RULES
from tests.lint.kit import lines, linted, rules

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "lint"
CASES = Path(__file__).parent / "cases"
UNTESTABLE = "<!-- not testable from one file -->"
_EXPECT = re.compile(r"#\s*expect:\s*([a-z0-9-]+)\s*$")
_BLOCK = re.compile(r"```(?:yaml|json)\n(.*?)```", re.DOTALL)


def _section(page: str, title: str) -> str:
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    assert found, f"the page has no section {title}"
    return found[1]


def _blocks(section: str) -> list[str]:
    return _BLOCK.findall(section)


def test_every_rule_has_a_page_and_every_page_a_rule() -> None:
    assert {page.stem for page in PAGES.glob("*.md")} - {"README"} == set(RULES)


@pytest.mark.parametrize("rule", sorted(RULES))
def test_a_page_has_its_form(rule: str) -> None:
    page = (PAGES / f"{rule}.md").read_text()
    first, _, rest = page.partition("\n")
    assert first == f"# {rule}"
    assert f"Level: {RULES[rule].level}." in rest.split("## ")[0]
    assert _section(page, "Why").strip()
    avoid, prefer = _section(page, "Avoid"), _section(page, "Prefer")
    assert UNTESTABLE in avoid or (_blocks(avoid) and _blocks(prefer))


@pytest.mark.parametrize("rule", sorted(RULES))
def test_the_examples_of_a_page_hold(rule: str, tmp_path: Path) -> None:
    page = (PAGES / f"{rule}.md").read_text()
    if UNTESTABLE in page:
        pytest.skip("not testable from one file: it has tests of its own")
    for number, block in enumerate(_blocks(_section(page, "Avoid"))):
        assert rule in rules(linted(tmp_path, block, f"avoid-{number}.yaml")), block
    for number, block in enumerate(_blocks(_section(page, "Prefer"))):
        assert rule not in rules(linted(tmp_path, block, f"prefer-{number}.yaml")), block


@pytest.mark.parametrize("case", sorted(CASES.glob("*/*.*")), ids=lambda case: f"{case.parent.name}/{case.name}")
def test_a_case(case: Path, tmp_path: Path) -> None:
    rule = case.parent.name
    assert rule in RULES
    text = case.read_text()
    expected = []
    for number, line in enumerate(text.split("\n"), 1):
        if found := _EXPECT.search(line):
            assert found[1] == rule
            expected.append(number)
    assert bool(expected) == case.name.startswith("bad"), "a bad case expects something, a good one nothing"
    assert sorted(set(lines(linted(tmp_path, text, case.name), rule))) == expected
