"""YAML with positions: what is read, what is refused, and where each diagnostic points."""

from __future__ import annotations

import os
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

from finops_policy.errors import InvalidFilesError
from finops_policy.marks import Diagnostic, Mark
from finops_policy.sources import MAX_BYTES, MAX_DEPTH, MAX_NODES, Document, parse, read, shown


def load(text: str | bytes) -> Document:
    return parse(text.encode() if isinstance(text, str) else text, "f.yaml")


def refused(text: str | bytes) -> tuple[Diagnostic, ...]:
    with pytest.raises(InvalidFilesError) as caught:
        load(text)
    assert all(found.mark.path == "f.yaml" and found.message for found in caught.value.diagnostics)
    return caught.value.diagnostics


def at(line: int, column: int) -> Mark:
    return Mark("f.yaml", line, column)


# --- What is read ---------------------------------------------------------------------------------------------------


def test_every_value_and_key_has_its_place() -> None:
    document = load("name: ec2-idle\nscope:\n  - State.Name: running\n  - {op: ge, days: [1, 2]}\nempty:\n")
    assert document.data == {
        "name": "ec2-idle",
        "scope": [{"State.Name": "running"}, {"op": "ge", "days": [1, 2]}],
        "empty": None,
    }
    assert {steps: (mark.line, mark.column) for steps, mark in document.marks.items()} == {
        (): (1, 1),
        ("name",): (1, 7),
        ("scope",): (3, 3),
        ("scope", 0): (3, 5),
        ("scope", 0, "State.Name"): (3, 17),
        ("scope", 1): (4, 5),
        ("scope", 1, "op"): (4, 10),
        ("scope", 1, "days"): (4, 20),
        ("scope", 1, "days", 0): (4, 21),
        ("scope", 1, "days", 1): (4, 24),
        ("empty",): (5, 7),
    }
    assert document.key_mark("scope", 1, "days") == at(4, 14)
    assert document.key_mark("scope", 1) == at(4, 5), "a list item has no key: its value's place"


def test_the_place_of_what_is_not_there_is_the_nearest_thing_around_it() -> None:
    document = load("a:\n  b: 1\n")
    assert document.mark("a", "c", "d") == document.mark("a") == at(2, 3)
    assert document.key_mark("a", "c") == at(2, 3)
    assert document.mark("x") == at(1, 1)


def test_columns_count_characters_not_bytes_and_lines_count_every_break() -> None:
    document = load("title: äöü€😀\r\nx: {é: 1, b: 2}\rc: 3\n")
    assert document.mark("x", "b") == at(2, 14)
    assert document.mark("c") == at(3, 4)


def test_a_byte_order_mark_is_no_column() -> None:
    document = load(b"\xef\xbb\xbfa: 1\n")
    assert document.data == {"a": 1}
    assert document.key_mark("a") == at(1, 1)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", True),
        ("Off", False),
        ("~", None),
        ("0755", 0o755),
        ("0o755", "0o755"),
        ("0x1F", 31),
        ("1_000", 1000),
        ("1:30", 90),
        ("1:30.5", 90.5),
        ("1e3", "1e3"),
        ("1.0e+3", 1000.0),
        ("012345678901", "012345678901"),
        ("2026-12-31", "2026-12-31"),
        ("2026-12-31T10:00:00Z", "2026-12-31T10:00:00Z"),
        ("2026-99-99", "2026-99-99"),
        ("!!str 12", "12"),
        ("!!float 3", 3.0),
        ("! 12", 12),
        ("'yes'", "yes"),
        ("nan", "nan"),
        ("9" * 100, int("9" * 100)),
    ],
)
def test_scalars_are_yaml_1_1_but_times_stay_text(text: str, value: object) -> None:
    data = load(f"a: {text}").data["a"]
    assert data == value
    assert type(data) is type(value)


def test_aliases_are_copies_marked_where_they_were_written() -> None:
    document = load("base: &base\n  deep: [1]\nuse: *base\n")
    assert document.data["use"] == {"deep": [1]}
    assert document.data["use"] is not document.data["base"]
    assert document.mark("use", "deep", 0) == document.mark("base", "deep", 0) == at(2, 10)


def test_merge_keys_keep_pyyamls_order_and_own_keys_win() -> None:
    document = load("a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc:\n  z: 3\n  <<: [*a, *b]\n  w: 4\n")
    assert document.data["c"] == {"y": 1, "z": 3, "x": 1, "w": 4}
    assert list(document.data["c"]) == ["y", "z", "x", "w"]
    assert document.mark("c", "z") == at(4, 6)
    assert document.key_mark("c", "x") == at(1, 8)


def test_an_equals_sign_is_a_key_like_any_other() -> None:
    assert load("=: 1").data == {"=": 1}


def test_merges_of_merges() -> None:
    document = load("a: &a {x: 1}\nb: &b {<<: *a, y: 2}\nc: {<<: *b, <<x: 0, '<<': 5}\n")
    assert document.data["c"] == {"x": 1, "y": 2, "<<x": 0, "<<": 5}


def test_the_limit_of_nesting_is_exact() -> None:
    deepest = load("[" * MAX_DEPTH + "1" + "]" * MAX_DEPTH)
    assert len(max(deepest.marks, key=len)) == MAX_DEPTH


def test_a_file_of_exactly_the_limit_is_read() -> None:
    assert load(b"a: '" + b"x" * (MAX_BYTES - 5) + b"'").data["a"].startswith("xxx")


# --- What is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rule", "line", "column", "says"),
    [
        ("", "empty-file", 0, 0, "nothing"),
        ("# only\n---\n", "empty-file", 0, 0, "nothing"),
        ("a: 1\n---\nb: 2\n", "several-documents", 2, 1, "second document"),
        ("a:\n\tb: 1\n", "tab-indent", 2, 1, "tab"),
        ("a: 1\n\tb: 2\n", "tab-indent", 2, 1, "tab"),
        ("-\ta: 1\n", "tab-indent", 1, 2, "tab"),
        ("a: >\n\t b\n", "tab-indent", 2, 1, "tab"),
        ("a: b: c", "yaml-syntax", 1, 5, "`:`"),
        ("a: 1\nb\nc: 2", "yaml-syntax", 2, 1, "neither"),
        ("a: 1\nb: 'open\nc: 2\n", "yaml-syntax", 2, 4, "never closed"),
        ("a: 'open\n---\n'", "yaml-syntax", 1, 4, "never closed"),
        ("a: [1, 2\nb: 3\n", "yaml-syntax", 2, 2, "lacks"),
        ("a: {b: 1\n", "yaml-syntax", 2, 1, "lacks"),
        ("a: @x", "yaml-syntax", 1, 4, "cannot begin"),
        ("a: - b", "yaml-syntax", 1, 4, "cannot stand"),
        ("- a\nb: 1", "yaml-syntax", 2, 1, "expected"),
        ("a: 'b'c", "yaml-syntax", 1, 7, "key is expected"),
        ('a: "\\q"', "yaml-syntax", 1, 5, "escape"),
        ('a: "\\ud800"', "yaml-syntax", 1, 7, "escape"),
        ("a: *", "yaml-syntax", 1, 5, "name"),
        ("%YAML 3.0\n---\na: 1", "yaml-syntax", 1, 1, "version"),
        ("a: 1\n...\nb: 2", "yaml-syntax", 3, 1, "after|follows"),
        ("%FOO\n---\na: 1", "yaml-syntax", 1, 5, "unknown directive name"),
        ("a: *nowhere", "yaml-alias", 1, 4, "no anchor"),
        ("a: &x 1\nb: &x 2", "yaml-alias", 2, 4, "twice"),
        ("&a [*a]", "yaml-alias", 1, 1, "itself"),
        ("a: &a {b: {<<: *a}}", "yaml-alias", 1, 4, "itself"),
        ("<<: &x {<<: *x}", "yaml-alias", 1, 5, "itself"),
        ("&a {? *a : 1}", "non-string-key", 1, 1, "cannot be a key"),
        ("{a: ${b}}", "yaml-syntax", 1, 6, "lacks"),
        ("a: {{b}: 1}", "non-string-key", 1, 5, "cannot be a key"),
        ("on: 1", "non-string-key", 1, 1, "`on` is read as bool"),
        ("404: 1", "non-string-key", 1, 1, "int"),
        ("{? : 1}", "non-string-key", 1, 4, "empty"),
        (": 1", "yaml-syntax", 1, 1, "key is expected"),
        ("a: .nan", "not-a-number", 1, 4, "`.nan`"),
        ("a: [-.INF]", "not-a-number", 1, 5, "`-.INF`"),
        ("a: 1.0e+999", "not-a-number", 1, 4, "number"),
        ("a: " + "9" * 101, "not-a-number", 1, 4, "too long"),
        ("a: 0x" + "f" * 100, "not-a-number", 1, 4, "too long"),
        ("a: 0b_", "not-a-number", 1, 4, "no int"),
        ("a: !!int x", "not-a-number", 1, 4, "no int"),
        ("a: !!int ''", "not-a-number", 1, 4, "no int"),
        ("a: !!float x", "not-a-number", 1, 4, "no float"),
        ("a: !!bool 1", "yaml-tag", 1, 4, "no bool"),
        ("a: !!python/object/apply:os.system [id]", "yaml-tag", 1, 4, "!!python/object/apply:os.system"),
        ("a: !!python/name:os.system x", "yaml-tag", 1, 4, "!!python/name"),
        ("a: !Ref b", "yaml-tag", 1, 4, "`!Ref`"),
        ("a: !!binary aGk=", "yaml-tag", 1, 4, "`!!binary`"),
        ("a: !!set {b}", "yaml-tag", 1, 4, "`!!set`"),
        ("a: !!map [b]", "yaml-tag", 1, 4, "`!!map`"),
        ("a: !!str {b: 1}", "yaml-tag", 1, 4, "`!!str`"),
        ("a: !e!x 1", "yaml-tag", 1, 4, "tag"),
        ("a: =", "yaml-tag", 1, 4, "meaning of its own"),
        ("a: <<", "yaml-tag", 1, 4, "meaning of its own"),
        ("%TAG ! tag:x,2000:\n---\na: 1", "yaml-tag", 1, 1, "%TAG"),
        ("a: {<<: 1}", "merge-key", 1, 9, "mappings only"),
        ("a: {<<: [{b: 1}, 2]}", "merge-key", 1, 9, "mappings only"),
        ("a: b\0c", "control-character", 1, 5, "U+0000 (NUL)"),
        ("x: 1\r\na: é\x1b[31m", "control-character", 2, 5, "U+001B"),
        ("x: 1\ra: é\x1b", "control-character", 2, 5, "U+001B"),
        ("a: \x7f", "control-character", 1, 4, "U+007F"),
        ("a: \u2028b", "control-character", 1, 4, "LINE SEPARATOR"),
        ("a: \ufeffb", "control-character", 1, 4, "U+FEFF"),
        ('a: "\\e[31m"', "control-character", 1, 4, "U+001B"),
        ('"\\0": 1', "control-character", 1, 1, "NUL"),
        (b"a: 1\nb: \xc3\xa4\xff\n", "encoding", 2, 5, "0xFF"),
        (b"a: \xed\xa0\x80", "encoding", 1, 4, "0xED"),
        ("a: 1".encode("utf-16"), "encoding", 1, 1, "UTF-16"),
        (b"\xfe\xff\0a", "encoding", 1, 1, "UTF-16"),
        ("a: 1".encode("utf-32"), "encoding", 1, 1, "UTF-32"),
        ("a: 1".encode("utf-16-le"), "control-character", 1, 2, "NUL"),
        (b" " * (MAX_BYTES + 1), "file-too-large", 0, 0, "1 MiB"),
        ("[" * 500_000, "nesting-depth", 1, MAX_DEPTH + 1, "levels"),
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "nesting-depth", 1, MAX_DEPTH + 1, "levels"),
    ],
)
def test_each_refusal_has_its_rule_place_and_reason(
    text: str | bytes, rule: str, line: int, column: int, says: str
) -> None:
    (found,) = refused(text)
    assert (found.rule, found.mark) == (rule, at(line, column))
    assert any(word in found.message for word in says.split("|"))
    assert found.hint.endswith("."), "a hint is a sentence"


def test_all_duplicate_keys_are_told_at_once_with_the_first_place() -> None:
    found = refused("a: 1\nb: {x: 1, x: 2}\na: 2\n'a': 3\n")
    assert [(one.rule, one.mark, one.related) for one in found] == [
        ("duplicate-key", at(2, 11), (at(2, 5),)),
        ("duplicate-key", at(3, 1), (at(1, 1),)),
        ("duplicate-key", at(4, 1), (at(1, 1),)),
    ]
    assert "`a`" in found[1].message


def test_two_merge_keys_are_a_duplicate() -> None:
    (found,) = refused("a: &a {x: 1}\nb:\n  <<: *a\n  <<: *a\n")
    assert (found.rule, found.mark, found.related) == ("duplicate-key", at(4, 3), (at(3, 3),))


def test_different_mistakes_are_told_together_once_each_and_in_order() -> None:
    found = refused("a: &a {on: 1, b: .nan}\nc: *a\nd: *a\ne: !x 1\n")
    assert [(one.rule, one.mark.line) for one in found] == [("non-string-key", 1), ("not-a-number", 1), ("yaml-tag", 4)]


def test_an_unclosed_bracket_names_where_it_was_opened() -> None:
    (found,) = refused("a:\n  - [1, 2\n")
    assert found.related == (at(2, 5),)


@pytest.mark.parametrize("tab", ["a:\tb", "{\n\ta: b}", "a: 'x\n\ty'", "a: |\n  x\n  \ty"])
def test_tabs_that_do_not_indent_are_no_mistake(tab: str) -> None:
    assert load(tab).data


# --- Bombs: every one within a second -------------------------------------------------------------------------------


def lines(first: str, pattern: str, count: int) -> str:
    return first + "".join(pattern.format(i=i, before=i - 1) for i in range(1, count))


BOMBS = {
    "billion laughs": (lines("a0: &a0 [x,x,x,x]\n", "a{i}: &a{i} [" + "*a{before}, " * 9 + "]\n", 40), "yaml-alias"),
    "merged laughs": (
        "a: &a {" + "".join(f"k{i}: 1, " for i in range(20_000)) + "}\nb: {<<: [" + "*a, " * 40_000 + "]}",
        "yaml-alias",
    ),
    "long text, many aliases": ("a: &a " + "x" * 500_000 + "\nb: [" + "*a, " * 30_000 + "]", "yaml-alias"),
    "long key, many aliases": ("a: &a {? " + "x" * 500_000 + " : 1}\nb: [" + "*a, " * 30_000 + "]", "yaml-alias"),
    "depth through aliases": ("a: &a " + "[" * 90 + "]" * 90 + "\nb: " + "[" * 50 + "*a" + "]" * 50, "nesting-depth"),
    "depth of unseen merges": (
        lines("a0: &a0 {k: v}\nl:\n", "- {{<<: {{k: &a{i} {{<<: *a{before}}}}}, k: 1}}\n", 9_000) + "z: *a8999\n",
        "nesting-depth",
    ),
    "braces": ("{" * 500_000, "nesting-depth"),
    "dashes": ("- " * 500_000, "nesting-depth"),
    "question marks": ("? " * 500_000, "nesting-depth"),
    "stairs": ("".join(" " * i + "a:\n" for i in range(1_400)), "nesting-depth"),
    "too many values": ("[" + "a," * MAX_NODES + "]", "file-too-large"),
    "too many keys": ("".join(f"k{i}:\n" for i in range(MAX_NODES // 2)), "file-too-large"),
    "tag directives": ("".join(f"%TAG !a{i}! x\n" for i in range(60_000)) + "---\na: 1", "yaml-tag"),
    "digits": ("a: " + "9" * 900_000, "not-a-number"),
    "sexagesimal": ("a: 1" + ":1" * 500_000, "not-a-number"),
    "long key": ("k" * 500_000 + ": 1", "yaml-syntax"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_at_once(name: str) -> None:
    text, rule = BOMBS[name]
    start = time.process_time()
    found = refused(text)
    assert time.process_time() - start < 10, "each takes under a second; the rest is for busy machines and tracers"
    assert found[0].rule == rule


def test_long_chains_of_merges_in_order_are_no_bomb() -> None:
    assert load(lines("a0: &a0 {k: v}\n", "a{i}: &a{i} {{<<: *a{before}}}\n", 5_000)).data["a4999"] == {"k": "v"}


# --- Files ----------------------------------------------------------------------------------------------------------


def read_refused(source: Any) -> Diagnostic:
    with pytest.raises(InvalidFilesError) as caught:
        read(source, "shown/f.yaml")
    (found,) = caught.value.diagnostics
    assert found.mark == Mark("shown/f.yaml")
    return found


def test_read_names_the_file_as_told(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_bytes(b"a: 1\n")
    document = read(file, "shown/f.yaml")
    assert (document.path, document.data, document.mark("a")) == ("shown/f.yaml", {"a": 1}, Mark("shown/f.yaml", 1, 4))


def test_read_takes_a_traversable_from_an_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.whl", "w") as archive:
        archive.writestr("lib/f.yaml", "a: 1\n")
    with zipfile.ZipFile(tmp_path / "x.whl") as archive:
        root = zipfile.Path(archive)
        assert read(root / "lib" / "f.yaml", "f").data == {"a": 1}
        assert read_refused(root / "lib" / "none.yaml").rule == "file-unreadable"


def test_read_stops_at_the_limit(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    with file.open("wb") as stream:
        stream.truncate(1 << 40)  # sparse: a terabyte that no machine could hold
    assert read_refused(file).rule == "file-too-large"


def test_read_refuses_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for a writer for ever
    for name, says in {
        ".": "folder",
        "none.yaml": "no regular file",
        "pipe": "no regular file",
        "x\0y": "no regular file",
    }.items():
        found = read_refused(tmp_path / name)
        assert found.rule == "file-unreadable"
        assert says in found.message


def test_read_tells_what_the_system_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    file = tmp_path / "f.yaml"
    file.write_bytes(b"a: 1\n")
    monkeypatch.setattr(Path, "open", denied)  # root may read everything, so a file mode would not do
    found = read_refused(file)
    assert found.rule == "file-unreadable"
    assert "permission denied" in found.message


# --- Quoting --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "quoted"),
    [("a'b", "`a'b`"), ("a\nb", r"`a\nb`"), ("a\u202eb", r"`a\u202eb`"), ("x" * 70, "`" + "x" * 57 + "...`")],
)
def test_quoted_text_is_short_and_visible(text: str, quoted: str) -> None:
    assert shown(text) == quoted


@pytest.mark.parametrize("key", ["2026-12-31", "2026-13-45", "!!timestamp x"])
def test_a_key_that_is_read_as_a_date_is_told(key: str) -> None:
    raw = f"a: 1\n{key}: 2\n".encode()
    with pytest.raises(InvalidFilesError) as raised:
        parse(raw, "a.yaml")
    [problem] = raised.value.diagnostics
    assert (problem.rule, problem.mark.line) == ("non-string-key", 2)
    assert "is read as date" in problem.message
    document = parse(raw, "a.yaml", lenient=True)
    assert [each.rule for each in document.problems] == ["non-string-key"]
    assert len(document.data) == 2
