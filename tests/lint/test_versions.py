"""The rules on versions of packs: what they say against a Git revision, and that they say nothing without one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from finops_policy import revisions
from finops_policy.lint.linter import lint
from finops_policy.lint.report import Report
from finops_policy.lint.settings import Settings
from finops_policy.marks import Diagnostic
from tests.lint.kit import TODAY
from tests.unit.builders import write_workspace
from tests.unit.test_revisions import commit, git

ROOT = Path(__file__).parents[2]
PACK = "packs/own-pack/pack.yaml"
POLICY = "packs/own-pack/own-policy.yaml"
CHANGELOG = "packs/own-pack/CHANGELOG.md"
Told = Callable[..., list[Diagnostic]]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace that is one folder of a repository, whose only commit is the base; and the current folder."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    repository = tmp_path / "repository"
    repository.mkdir()
    git(repository, "init", "--quiet", "--initial-branch", "main")
    folder = write_workspace(repository / "finops")
    (folder / CHANGELOG).write_text("# Changelog\n\n## [1.0.0] - 2026-11-24\n")
    commit(repository, {})
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def told(workspace: Path) -> Told:
    """What the three rules say of the workspace."""

    def told(*paths: str, base: str = "main") -> list[Diagnostic]:
        with revisions.at(base, workspace) as revision:
            return of(
                lint([Path(each) for each in paths or (".",)], workspace, Settings({}), base=revision, today=TODAY)
            )

    return told


def of(report: Report) -> list[Diagnostic]:
    rules = ("pack-unversioned", "semver-bump", "pack-changelog")
    return [each.diagnostic for each in report.active if each.diagnostic.rule in rules]


def edit(name: str, old: str, new: str) -> None:
    text = Path(name).read_text()
    assert old in text
    Path(name).write_text(text.replace(old, new))


def version(new: str) -> None:
    edit(PACK, "version: 1.0.0", f"version: {new}")
    Path(CHANGELOG).write_text(f"## [{new}] - 2026-11-24\n")


def test_a_pack_as_it_was_is_fine(told: Told) -> None:
    assert told() == []


def test_comments_and_layout_ask_for_no_version(told: Told) -> None:
    edit(PACK, "kind: Pack", "# what it is\nkind:   Pack")
    assert told() == []


def test_a_changed_pack_under_the_same_version(told: Told) -> None:
    edit(PACK, "default: 14", "default: 21")
    [found] = told()
    assert (found.rule, found.mark.path, found.mark.line, found.mark.column) == ("pack-unversioned", PACK, 4, 10)
    assert found.message == (
        "Pack own-pack has changed since main (parameter idle_days default changed), and is still 1.0.0."
    )
    assert found.hint == "Raise it to 1.1.0, and say in its CHANGELOG.md what has changed."


def test_a_changed_policy_is_a_changed_pack(told: Told) -> None:
    edit(POLICY, "title: Running instances do work", "title: Running instances work")
    [found] = told()
    assert (found.rule, found.hint.partition(",")[0]) == ("pack-unversioned", "Raise it to 1.0.1")


def test_text_that_the_model_does_not_keep_counts_too(told: Told) -> None:
    edit(PACK, "unit: days", "unit: nights")
    [found] = told()
    assert "(other text changed)" in found.message


def test_a_bump_that_is_enough(told: Told) -> None:
    edit(PACK, "default: 14", "default: 21")
    version("1.1.0")
    assert told() == []


def test_a_bump_that_is_too_small(told: Told) -> None:
    edit(PACK, "maximum: 455", "maximum: 100")
    version("1.1.0")
    [found] = told()
    assert (found.rule, found.mark.line) == ("semver-bump", 4)
    asked = "parameter idle_days maximum allows less"
    assert found.message == f"From 1.0.0 to 1.1.0 is a minor step, and the changes ask for a major one: {asked}."
    assert found.hint == "Make it 2.0.0."


def test_a_renamed_policy_needs_a_major_step(told: Told) -> None:
    Path(POLICY).rename("packs/own-pack/new-name.yaml")
    edit("packs/own-pack/new-name.yaml", "name: own-policy", "name: new-name")
    version("1.0.1")
    [found] = told()
    assert "a patch step, and the changes ask for a major one: policy own-policy removed" in found.message


def test_a_version_that_goes_down(told: Told) -> None:
    version("0.9.0")
    [found] = told()
    assert (found.rule, found.message) == (
        "semver-bump",
        "The version of pack own-pack goes down, from 1.0.0 at main to 0.9.0.",
    )


def test_a_new_pack_has_no_version_to_raise(told: Told) -> None:
    shutil.copytree("packs/own-pack", "packs/other-pack")
    edit("packs/other-pack/pack.yaml", "name: own-pack", "name: other-pack")
    assert told("packs/other-pack") == []


@pytest.mark.parametrize(
    "text",
    ["kind: [", "apiVersion: finops-policy/v1\nkind: Pack\nversion: 7\n", "apiVersion: finops-policy/v1\nkind: Pack\n"],
)
def test_a_pack_that_cannot_be_read_is_told_by_others(text: str, told: Told) -> None:
    Path(PACK).write_text(text)
    assert told() == []


def test_a_pack_that_could_not_be_read_at_the_base_has_nothing_to_compare(workspace: Path, told: Told) -> None:
    good = Path(PACK).read_text()
    Path(PACK).write_text("kind: [")
    commit(workspace, {})
    Path(PACK).write_text(good)
    assert told(base="HEAD") == []


def test_a_library_in_a_checkout_is_compared_where_it_lies(workspace: Path, told: Told) -> None:
    Path("policies").mkdir()
    shutil.move("packs", "policies/packs")
    commit(workspace, {})
    edit(f"policies/{PACK}", "default: 14", "default: 21")
    [found] = told(base="HEAD")
    assert (found.rule, found.mark.path) == ("pack-unversioned", f"policies/{PACK}")


def test_without_a_base_versions_are_not_judged(workspace: Path) -> None:
    edit(PACK, "maximum: 455", "maximum: 100")
    assert of(lint([Path()], workspace, Settings({}), today=TODAY)) == []


# --- the changelog ----------------------------------------------------------------------------------------------------


def changelog(text: str | None, workspace: Path) -> list[Diagnostic]:
    Path(CHANGELOG).unlink()
    if text is not None:
        Path(CHANGELOG).write_text(text)
    return of(lint([Path()], workspace, Settings({}), today=TODAY))


@pytest.mark.parametrize(
    "text",
    [
        "## [1.0.0] - 2026-11-24\n",
        "## 1.0.0\n",
        "# C\r\n\r\n## v1.0.0\r\n",
        "## [1.0.0](https://example.com/x)\n",
        "##  [v1.0.0]",
    ],
)
def test_an_entry_is_understood_however_it_is_written(text: str, workspace: Path) -> None:
    assert changelog(text, workspace) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "## [Unreleased]\n",
        "## [1.0.1]\n",
        "## [1.0.0-rc.1]\n",
        "## [11.0.0]\n",
        "1.0.0\n",
        "### 1.0.0\n",
        "## 1x0.0\n",
    ],
)
def test_a_changelog_without_the_version(text: str, workspace: Path) -> None:
    [found] = changelog(text, workspace)
    assert (found.rule, found.mark.path, found.mark.line) == ("pack-changelog", PACK, 4)
    assert found.message == "CHANGELOG.md has no entry for version 1.0.0."
    assert found.hint == "Add `## [1.0.0] - <date>` and what has changed."


def test_no_changelog_at_all(workspace: Path) -> None:
    [found] = changelog(None, workspace)
    assert found.message == "The pack has no CHANGELOG.md."


def test_a_changelog_that_is_a_folder(workspace: Path) -> None:
    Path(CHANGELOG).unlink()
    Path(CHANGELOG).mkdir()
    [found] = of(lint([Path()], workspace, Settings({}), today=TODAY))
    assert found.message == "CHANGELOG.md cannot be read: is a directory."


def test_our_own_packs_have_their_entries() -> None:
    assert of(lint([ROOT / "policies" / "packs"], ROOT, Settings({}), today=TODAY)) == []
