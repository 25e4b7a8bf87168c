"""``finops-policy.toml``: what it says holds, every mistake in it is told at its place, and it is found from below."""

from __future__ import annotations

from pathlib import Path

import pytest

from finops_policy.errors import InvalidFilesError
from finops_policy.lint import settings
from finops_policy.lint.rule import Level
from finops_policy.lint.rules import RULES
from finops_policy.lint.settings import Settings
from finops_policy.marks import Diagnostic
from finops_policy.sources import MAX_BYTES
from tests.lint.engine_kit import BAD, GOOD, look, write


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(text: str | bytes) -> Settings:
    write(Path(), {"finops-policy.toml": text})
    return settings.read(Path("finops-policy.toml"), RULES.values())


def mistakes(text: str | bytes) -> list[Diagnostic]:
    with pytest.raises(InvalidFilesError) as error:
        read(text)
    return list(error.value.diagnostics)


# --- What it says ---------------------------------------------------------------------------------------------------


def test_all_that_can_be_set() -> None:
    found = read("""
[lint]
fail_on = "warning"
exclude = ["legacy", "*.json"]
[lint.rules]
duplicate-filter = "off"
schema = "note"
yaml-date = "warning"
policy-name-shared = "error"
""")
    assert found.fail_on is Level.WARNING
    assert found.exclude == ("legacy", "*.json")
    assert found.levels == {
        "duplicate-filter": Level.OFF,
        "schema": Level.NOTE,
        "yaml-date": Level.WARNING,
        "policy-name-shared": Level.ERROR,
    }
    assert found.level(RULES["duplicate-key"]) is RULES["duplicate-key"].level


@pytest.mark.parametrize("text", ["", "# nothing\n", "[lint]\n", "[lint.rules]\n", "lint = {rules = {}}\n"])
def test_what_says_nothing_changes_nothing(text: str) -> None:
    found = read(text)
    assert (found.levels, found.exclude, found.fail_on) == ({}, (), None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("note", Level.NOTE), ("warning", Level.WARNING), ("error", Level.ERROR), ("never", Level.OFF)],
)
def test_what_fails(text: str, expected: Level) -> None:
    assert read(f'[lint]\nfail_on = "{text}"\n').fail_on is expected


@pytest.mark.parametrize("text", [b"\xef\xbb\xbf[lint]\r\nfail_on = 'note'\r\n", b"[lint]\r\nfail_on = 'note'"])
def test_windows_writes_the_same(text: bytes) -> None:
    assert read(text).fail_on is Level.NOTE


@pytest.mark.parametrize("level", [each for each in Level if each is not Level.OFF])
def test_a_rule_has_the_level_that_is_set(level: Level) -> None:
    write(Path(), {"a.yml": BAD})
    report = look("a.yml", settings=Settings({"unknown-resource": level}))
    assert [(each.diagnostic.rule, each.level) for each in report.told] == [("unknown-resource", level)]
    assert report.worst() is level


def test_a_rule_that_is_off_is_not_told() -> None:
    write(Path(), {"a.yml": BAD, "b.yml": f"{GOOD}    actions:\n    - {{type: mark-for-op, op: delete}}\n"})
    rule = "mark-without-delay"
    assert {"unknown-resource", rule} <= {each.diagnostic.rule for each in look(".").told}
    report = look(".", settings=Settings({"unknown-resource": Level.OFF, rule: Level.OFF}))
    assert not {"unknown-resource", rule} & {each.diagnostic.rule for each in report.told}


def test_a_file_that_cannot_be_read_is_told_whatever_is_set() -> None:
    """Nothing in it is checked: that would look clean."""
    write(Path(), {"a.yml": "policies: [\n", "empty.yml": ""})
    off = Settings({"yaml-syntax": Level.OFF, "empty-file": Level.OFF, "file-unreadable": Level.OFF})
    report = look("a.yml", "empty.yml", settings=off)
    assert [(each.diagnostic.rule, each.level) for each in report.told] == [
        ("yaml-syntax", Level.ERROR),
        ("empty-file", Level.ERROR),
    ]
    assert look("a.yml", settings=Settings({"yaml-syntax": Level.NOTE})).worst() is Level.NOTE


# --- Mistakes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "where", "message", "hint"),
    [
        ("[lnt]\n", "1:2", "there is no setting `lnt` here", "Did you mean lint?"),
        ("[lnt.rules]\nschema = 'off'\n", "1:2", "there is no setting `lnt` here", "Did you mean lint?"),
        ("[lint]\nfailon = 'note'\n", "2:1", "there is no setting `failon` here", "Did you mean fail_on?"),
        ("[lint.rule]\nschema = 'off'\n", "1:7", "there is no setting `rule` here", "Did you mean rules?"),
        ("fail_on = 'note'\n", "1:1", "there is no setting `fail_on` here", "Write it below `[lint]`."),
        ("[rules]\nschema = 'off'\n", "1:2", "there is no setting `rules` here", "Write it below `[lint]`."),
        ("\nlint = 1\n", "2:1", "`lint` must be a table", "Write `[lint]` on a line of its own."),
        ("[lint]\nrules = []\n", "2:1", "`rules` must be a table", "Write `[lint.rules]` on a line of its own."),
        (
            "[lint]\n  fail_on = 'errors'\n",
            "2:3",
            "`fail_on` must be one of note, warning, error, never",
            "Did you mean error?",
        ),
        ("[lint]\nfail_on = 'off'\n", "2:1", "`fail_on` must be one of note, warning, error, never", "Known: "),
        ("[lint]\nfail_on = 3\n", "2:1", "`fail_on` must be one of note, warning, error, never", ""),
        ("[lint]\nfail_on = ['note']\n", "2:1", "`fail_on` must be one of note, warning, error, never", ""),
        ("[lint]\nexclude = 'a'\n", "2:1", "`exclude` must be a list of texts", 'Write `exclude = ["legacy/*"]`.'),
        ("[lint]\nexclude = [1]\n", "2:1", "`exclude` must be a list of texts", 'Write `exclude = ["legacy/*"]`.'),
        ("[lint.rules]\nshema = 'off'\n", "2:1", "there is no rule `shema`", "Did you mean schema?"),
        ('lint.rules."shema" = "off"\n', "1:13", "there is no rule `shema`", "Did you mean schema?"),
        ('lint = {rules = {shema = "off"}}\n', "", "there is no rule `shema`", "Did you mean schema?"),
        (
            "[lint.rules]\nschema = 'Error'\n",
            "2:1",
            "`schema` must be one of off, note, warning, error",
            "Did you mean error?",
        ),
        ("[lint.rules]\nschema = false\n", "2:1", "`schema` must be one of off, note, warning, error", ""),
        ("[lint.rules]\nschema = {level='off'}\n", "2:1", "`schema` must be one of off, note, warning, error", ""),
        ("[lint\n", "1:6", "this is not TOML: Expected ']' at the end of a table declaration", "See docs/lint.md"),
        ("[lint]\n[lint]\n", "2:6", "this is not TOML: Cannot declare ('lint',) twice", "See docs/lint.md"),
        (b"# caf\xe9\n", "", "this is not TOML: 'utf-8' codec can't decode byte 0xe9", "See docs/lint.md"),
        (f"# {'x' * MAX_BYTES}\n", "", "this is not TOML: the file is larger than 1 MiB", "See docs/lint.md"),
    ],
)
def test_a_mistake_is_told_at_its_place(text: str | bytes, where: str, message: str, hint: str) -> None:
    [found] = mistakes(text)
    assert found.rule == "settings"
    assert str(found.mark) == ("finops-policy.toml:" + where).removesuffix(":")
    assert found.message.startswith(message)
    assert found.hint.startswith(hint)
    assert bool(found.hint) == bool(hint)


def test_all_mistakes_are_told_at_once() -> None:
    found = mistakes("""\
top = 1
[lint]
fail_on = "no"
exclude = "no"
[lint.rules]
nothing = "off"
schema = "no"
""")
    assert [each.mark.line for each in found] == [1, 6, 7, 3, 4]


@pytest.mark.parametrize("rule", ["not-a-rule", "settings.x", "a b", "(", "[", "\\"])
def test_odd_names_are_no_trouble(rule: str) -> None:
    [found] = mistakes(f"[lint.rules]\n'{rule}' = 'off'\n")
    assert found.message == f"there is no rule `{rule}`"
    assert found.mark.line == 2


# --- Where it is ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ((), None),
        (("ws/finops-policy.toml",), "ws"),
        (("finops-policy.toml",), "."),
        (("finops-policy.toml", "ws/.git/HEAD"), None),
        (("finops-policy.toml", ".git/HEAD"), "."),
        (("ws/finops-policy.toml", "finops-policy.toml"), "ws"),
        (("ws/finops-policy.toml/a-folder", "finops-policy.toml"), "."),
        (("ws/sub/finops-policy.toml",), None),
    ],
)
def test_it_is_found_in_the_workspace_or_above_it_up_to_the_repository(
    files: tuple[str, ...], found: str | None, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(place, {"ws/sub/a.yml": GOOD, **dict.fromkeys(files, "")})
    monkeypatch.chdir(place / "ws" / "sub")
    for workspace in ("..", place / "ws"):
        path = settings.find(Path(workspace))
        assert (path and path.parent.resolve()) == (found and (place / found).resolve())


def test_a_worktree_is_a_repository_too(place: Path) -> None:
    write(place, {"finops-policy.toml": "", "ws/.git": "gitdir: elsewhere\n"})
    assert settings.find(place / "ws") is None


def test_what_is_excluded_is_relative_to_the_file(place: Path) -> None:
    write(place, {"finops-policy.toml": "[lint]\nexclude = ['ws/legacy']\n", "ws/legacy/a.yml": BAD, "ws/b.yml": GOOD})
    path = settings.find(Path("ws"))
    assert path
    found = settings.read(path, RULES.values())
    assert set(look("ws", settings=found).sources) == {"ws/b.yml"}
    assert set(look("ws", settings=settings.read(path, RULES.values(), place / "ws")).sources) == {
        "ws/b.yml",
        "ws/legacy/a.yml",
    }
