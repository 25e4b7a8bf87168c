"""Text for people: places, underlined tokens on every kind of line, the summary."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from finops_policy.lint.formats import text
from finops_policy.lint.formats.excerpt import excerpt
from finops_policy.lint.formats.places import Place, place
from finops_policy.lint.report import Report
from finops_policy.marks import Mark
from finops_policy.spelling import cells, plain, spell
from tests.lint import formats_kit as kit

SGR = re.compile(r"\x1b\[[0-9;]*m")


def said(made: Report, **options: object) -> str:
    return text.render(made, width=80, **options)  # type: ignore[arg-type]


def underlined(line: str, column: int, width: int = 80) -> tuple[str, str]:
    """The line as it is shown, and what the caret line underlines of it, by terminal columns."""
    made = kit.report(
        kit.told("unknown-filter", "wrong", Mark("a.yml", 1, column)), sources=(kit.source("a.yml", line),)
    )
    shown, carets = text.render(made, width=width).split("\n")[1:3]
    start, end = carets.index("^"), carets.rindex("^") + 1
    assert set(carets[start:end]) == {"^"}
    grid = "".join(each * cell_len(each) for each in shown)  # a column is a character
    return shown.partition("| ")[2], grid[start:end]


def test_is_what_it_was_before() -> None:
    kit.assert_golden("lint.txt", said(kit.sample()))


def test_colours_change_nothing_but_the_colour() -> None:
    coloured = said(kit.sample(), colour=True)
    kit.assert_golden("lint-colours.txt", coloured)
    assert SGR.sub("", coloured) == said(kit.sample())
    assert len(SGR.findall(coloured)) > 20


def test_why_is_said_once_for_each_rule() -> None:
    assert said(kit.sample()).count(f"why: {kit.RULES['unknown-filter'].why}") == 1


def test_a_clean_report_says_what_was_looked_at() -> None:
    assert said(kit.clean()) == "No problems found in 1 file, 1 policy.\n"


def test_nothing_looked_at_is_not_called_clean() -> None:
    made = kit.report(policies=0, passed_over=("compose.yml",))
    assert said(made) == (
        "Nothing was checked: there is no file of finops-policy here, and none with policies.\n"
        "Passed over 1 file without policies: compose.yml\n"
    )


def test_what_is_suppressed_or_not_checked_is_counted_where_nothing_else_is_found() -> None:
    silent = kit.told("metrics-age", "young", Mark("a.yml", 1, 1), suppressed="all are old")
    made = kit.report(silent, sources=(kit.source("a.yml", kit.RDS),), policies=2, unchecked=("a.yml:2:5: azure",))
    assert said(made) == (
        "No problems found in 1 file, 2 policies, 1 suppressed.\nNot checked: 1 policy\n - a.yml:2:5: azure\n"
    )


def test_quiet_leaves_the_summary_out_but_not_what_was_not_checked() -> None:
    full, quiet = said(kit.sample()), said(kit.sample(), quiet=True)
    assert full.startswith(quiet[: quiet.index("Not checked")])
    assert "Found" not in quiet
    assert "azure.vm is not a resource of AWS" in quiet
    assert said(kit.clean(), quiet=True) == ""


def test_many_files_passed_over_are_not_all_named() -> None:
    made = kit.report(passed_over=tuple(f"{number}.yml" for number in range(12)))
    assert "Passed over 12 files without policies: 0.yml, 1.yml, 2.yml, 3.yml, 4.yml and 7 more" in said(made)


@pytest.mark.parametrize(
    ("line", "at", "token"),
    [
        ("  - type: metric", "metric", "metric"),
        ("  - type: metric", "type", "type"),
        ("  - type: metric", "-", "-"),
        ("name: two words # why", "two", "two words"),
        ("tag:Owner: absent", "tag", "tag:Owner"),
        ("key: a, b", "a, b", "a, b"),
        ("key: tag[0].x", "tag", "tag[0].x"),
        ("key: don't do # it", "don't", "don't do"),
        ("key: 'it''s' # x", "'it", "'it''s'"),
        (r'key: "a \" b" # x', '"a', r'"a \" b"'),
        ('key: "to the next', '"to', '"to the next'),
        ('"days": 5,', "5", "5"),
        ('"days": 5,', '"days', '"days"'),
        ("- {type: value, key: k}", "value", "value"),
        ("- {type: value, key: k}", "k}", "k"),
        ("- {type: value, key: k}", "{", "{type: value, key: k}"),
        ("- [a, {b: '}'}] # x", "[", "[a, {b: '}'}]"),
        ("- [a, b", "[", "[a, b"),
        ("- [a, b c]", "b", "b c"),
        ("- {a: {b: c}, d: e}", "d", "d"),
        ("text: |-", "|", "|-"),
        ("text: >2", ">", ">2"),
        ("text: >=5", ">=", ">=5"),
        ("- &one value", "&", "&one"),
        ("[*one, x]", "*", "*one"),
        ("days: -5", "-5", "-5"),
        ("? key", "?", "?"),
        ("days: 1 # finops-policy: ignore[x]  ", "#", "# finops-policy: ignore[x]"),
    ],
)
def test_the_whole_token_is_underlined(line: str, at: str, token: str) -> None:
    assert underlined(line, line.index(at) + 1)[1] == token


@pytest.mark.parametrize("column", [6, 7, 99])
def test_where_nothing_is_written_there_is_one_caret(column: int) -> None:
    made = kit.report(
        kit.told("unknown-filter", "a value is missing", Mark("a.yml", 1, column)),
        sources=(kit.source("a.yml", "days: "),),
    )
    assert text.render(made).split("\n")[2] == "     |      ^"


@pytest.mark.parametrize(
    ("line", "token", "shown"),
    [
        ("- {a: 日本, b: x}", "x", "x"),
        ("- {a: e\u0301te\u0301, b: x}", "x", "x"),
        ("- {a: 😀, b: x}", "x", "x"),
        ("- {a: x\u202ey, b: z}", "z", "z"),
        ("- {a: \x1b[31m, b: z}", "z", "z"),
        ("\t- {a: z}", "z", "z"),
        ("key: 日本 # x", "日本", "日日本本"),
        ("key: a\u202eb", "a\u202eb", r"a\u202eb"),
        ("\tkey: x", "\t", r"\tkey"),
    ],
)
def test_the_caret_stands_right_behind_odd_characters(line: str, token: str, shown: str) -> None:
    row, under = underlined(line, line.index(token) + 1)
    assert under == shown
    assert not any(unicodedata.category(each) in ("Cc", "Cf") for each in row)


def test_a_long_line_is_cut_around_the_caret() -> None:
    line = "- {" + ", ".join(f"key-{number}: {number}" for number in range(500)) + "}"
    row, under = underlined(line, line.index("key-250") + 1)
    assert under == "key-250"
    assert row.startswith("...")
    assert row.endswith("...")
    assert len(row) <= 73
    row, under = underlined(line, line.index("499}") + 1)
    assert (under, row[-4:]) == ("499", "499}")
    assert len(row) > 65, "the room is used"
    row, under = underlined(line, 1)
    assert (under, row[:5], row[-3:]) == ("-", "- {ke", "...")


def test_a_line_of_characters_without_width_is_cut_too() -> None:
    shown = excerpt(Place("x" + "\u0301" * 300 + "yz", 301, 302), 80)
    assert shown.text.startswith("...")
    assert shown.text.endswith("yz")
    assert (shown.offset, shown.length) == (3, 1)


def test_a_line_above_is_left_out_where_it_would_not_stand_in_line() -> None:
    lines = "above: 1\n" + "x" * 200 + ": wrong\n"
    made = kit.report(kit.told("unknown-filter", "w", Mark("a.yml", 2, 203)), sources=(kit.source("a.yml", lines),))
    assert "above" not in said(made)
    made = kit.report(kit.told("unknown-filter", "w", Mark("a.yml", 2, 1)), sources=(kit.source("a.yml", lines),))
    assert "   1 | above: 1\n   2 | xxx" in said(made)


@given(
    line=st.text(st.characters(exclude_characters="\r\n"), max_size=200)
    | st.text("ab :{}[]'\"#,|>&*-日\u0301\t", max_size=200),
    column=st.integers(0, 220),
    width=st.integers(20, 120),
)
def test_any_line_fits_and_is_underlined_where_the_token_begins(line: str, column: int, width: int) -> None:
    made = kit.report(sources=(kit.source("a.yml", line),))
    found = place(made, Mark("a.yml", 1, column))
    assert found is not None
    assert 0 <= found.start <= found.end <= len(found.line)
    shown = excerpt(found, width)
    assert cells(shown.text) <= width or cells(spell(found.line[found.start])) > 6
    assert shown.length >= 1
    if found.end > found.start and not found.line[found.start :].isspace():
        first = spell(found.line[found.start])
        before = next(index for index in range(len(shown.text) + 1) if cells(shown.text[:index]) >= shown.offset)
        assert shown.text[before:].lstrip("\u0301").startswith(first) or cells(first) != 1


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_excerpts_and_explanations_fit_the_terminal(width: int) -> None:
    lines = [line for line in text.render(kit.sample(), width=width).split("\n") if line.startswith(" ")]
    assert len(lines) > 20
    assert max(map(cells, lines)) <= width


def test_the_width_is_the_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert text.render(kit.sample()) == text.render(kit.sample(), width=60) != said(kit.sample())


def test_hostile_text_stays_text() -> None:
    rendered = said(kit.hostile())
    assert all(unicodedata.category(each) not in ("Cc", "Cf", "Cs") or each == "\n" for each in rendered)
    assert r"\x1b[31m" in rendered
    assert "\n::error" not in rendered


def test_spelling() -> None:
    assert plain("a\tb\n\u202e\u2028\u2029\U000e0001\ud800\uffff\x00é日") == (
        r"a\tb\x0a\u202e\u2028\u2029\U000e0001\ud800\uffff\x00é日"
    )


def test_a_file_on_one_line_does_not_slow_it_down() -> None:
    line = '{"policies": [' + '"\\"' * 200_000 + "]}"
    found = Place(line, 0, 1)
    assert excerpt(found, 80).text.endswith("...")
    made = kit.report(sources=(kit.source("a.json", line),))
    for column in range(1, len(line), 10_000):
        assert place(made, Mark("a.json", 1, column))
