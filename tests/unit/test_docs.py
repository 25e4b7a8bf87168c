"""The documentation says what the code does: generated pages are current, links resolve, examples fit their schemas."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from finops_policy import validation
from finops_policy.cli import COMMANDS
from finops_policy.errors import ExitCode
from finops_policy.evidence.parquet import COVERAGE, EVALUATIONS
from finops_policy.evidence.problems import ProblemKind
from finops_policy.formats import FORMATS
from finops_policy.model import ControlVerdict, FailureKind, Status, Strength, Verdict
from finops_policy.savings import METHODS
from finops_policy.sources import parse

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "policies").rglob("*.md")])
FENCE = re.compile(r"^( *)```.*?^\1```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look their annotations up
    spec.loader.exec_module(module)
    return module


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text("utf-8"))


def anchors(page: Path) -> set[str]:
    """Anchors as GitHub makes them of headings."""
    titles = (title.strip().lower() for title in HEADING.findall(prose(page)))
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in titles}


def broken_links(page: Path) -> list[str]:
    broken = []
    for link in LINK.findall(prose(page)):
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    return broken


def named(page: str) -> set[str]:
    """What a page puts in backticks."""
    return set(re.findall(r"`([^`\n]+)`", prose(ROOT / page)))


def test_generated_pages_are_current(generator: ModuleType) -> None:
    stale = generator.stale(generator.pages())
    assert not stale, f"run python docs/generate.py: {', '.join(map(str, stale))}"


def test_a_page_that_is_wrong_missing_or_left_over_is_noticed(generator: ModuleType) -> None:
    wanted = generator.pages()
    cli, left_over = Path("docs/cli.md"), Path("docs/policies/ec2-idle.md")
    changed = {**wanted, cli: wanted[cli] + "more", Path("docs/policies/new.md"): "new"}
    del changed[left_over]
    assert generator.stale(changed) == [cli, left_over, Path("docs/policies/new.md")]


def test_every_policy_has_a_page() -> None:
    policies = {path.stem for path in ROOT.glob("policies/packs/*/*.yaml")} - {"pack"}
    assert policies
    assert policies == {path.stem for path in (ROOT / "docs" / "policies").glob("*.md")} - {"README"}


def test_readme_names_every_command() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    assert tuple(rows) == COMMANDS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_resolve(page: Path) -> None:
    assert broken_links(page) == []


def test_a_broken_link_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One two\n[a](#one-two) [b](#three) [c](gone.md) [d](page.md#one-two)\n```\n[e](f.md)\n```\n")
    assert broken_links(page) == ["#three", "gone.md"]


@pytest.mark.parametrize("words", [Verdict, Status, FailureKind, ControlVerdict, Strength, METHODS])
def test_semantics_explains_every_value(words: type[Verdict] | dict[str, object]) -> None:
    assert {str(word) for word in words} <= named("docs/semantics.md")


@pytest.mark.parametrize("page", ["README.md", "docs/semantics.md"])
def test_every_exit_code_is_explained(page: str) -> None:
    rows = re.findall(r"^\| (\d+) \|", (ROOT / page).read_text("utf-8"), re.MULTILINE)
    assert [int(row) for row in rows] == list(ExitCode)


def test_evidence_explains_every_column_and_problem() -> None:
    words = {*EVALUATIONS.columns, *COVERAGE.columns, *(kind.value for kind in ProblemKind)}
    assert words <= named("docs/evidence.md")


def test_readme_names_every_report_format() -> None:
    [sentence] = re.findall(r"\*\*Reports are ([\w, ]+)\.\*\*", (ROOT / "README.md").read_text("utf-8"))
    assert sentence.lower().split(" and ") == list(FORMATS)


def test_examples_of_files_fit_their_schemas() -> None:
    text = (ROOT / "docs" / "files.md").read_text("utf-8")
    kinds = {
        validation.schema(path.name.partition(".")[0])["properties"].get("kind", {}).get("const"): path
        for path in (ROOT / "schemas").glob("*.json")
    }
    seen = set()
    for block in re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        if found := re.search(r"^kind: (\w+)$", block, re.MULTILINE):
            kind = kinds[found[1]].name.partition(".")[0]
            seen.add(found[1])
            assert validation.validate(parse(block.encode(), "docs/files.md"), kind) == []
    assert seen == kinds.keys() - {None}
