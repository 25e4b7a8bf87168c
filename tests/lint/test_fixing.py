"""Corrections: nothing but what is wrong changes, twice is as once, and nothing is lost whatever happens."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finops_policy.errors import FinopsPolicyError
from finops_policy.lint import fixing
from finops_policy.lint.report import Report, Told
from finops_policy.lint.rule import Level
from finops_policy.lint.rules import RULES
from finops_policy.lint.subject import Source
from finops_policy.marks import Diagnostic, Fix, Mark
from finops_policy.sources import parse
from tests.lint.engine_kit import GOOD, look, write

DATED = "policies:\n  - name: a\n    resource: aws.ec2\n    filters:\n      - {type: instance-age, days: '30'}\n"
DAYS = "days: '30'"
MENDED = DATED.replace("'30'", "30")
UNUSED = "# finops-policy: ignore[unknown-mode] once upon a time"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def fixed(files: Mapping[str, str | bytes], *names: str) -> Mapping[str, int | FinopsPolicyError]:
    write(Path(), files)
    return fixing.apply(look(*(names or ("."))))


def messages(outcome: Mapping[str, int | FinopsPolicyError]) -> list[str]:
    return [str(each) for each in outcome.values() if isinstance(each, FinopsPolicyError)]


# --- What is written --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("filters: [{type: instance-age, days: '30'}]", "filters: [{type: instance-age, days: 30}]"),
        ('filters: [{type: instance-age, days: "30"}]', "filters: [{type: instance-age, days: 30}]"),
        ("filters: [{type: instance-age, days: '0'  }]", "filters: [{type: instance-age, days: 0  }]"),
        ("filters: [{type: instance-age, days: '-3',}]", "filters: [{type: instance-age, days: -3,}]"),
        ("filters:\n  - type: instance-age\n    days: '30' # x", "filters:\n  - type: instance-age\n    days: 30 # x"),
        ("actions: [{type: stop, terminate-ephemeral: 'true'}]", "actions: [{type: stop, terminate-ephemeral: true}]"),
        (
            "actions: [{type: mark-for-op, op: stop, days: 1, tag: yes}]",
            'actions: [{type: mark-for-op, op: stop, days: 1, tag: "yes"}]',
        ),
        (
            "actions:\n  - {type: mark-for-op, op: stop, days: 1,\n     tag: 012  }",
            'actions:\n  - {type: mark-for-op, op: stop, days: 1,\n     tag: "012"  }',
        ),
        ("filters: [{tag:x: 2026-01-01}]", 'filters: [{tag:x: "2026-01-01"}]'),
        (
            "filters: [{type: value, key: x, value: 2026-01-01}]",
            'filters: [{type: value, key: x, value: "2026-01-01"}]',
        ),
        (f"comment: x {UNUSED}", "comment: x"),
        (f"comment: x\t {UNUSED}\t ", "comment: x"),
        (f"{UNUSED}\ncomment: x", "comment: x"),
        (f"comment: x\n     {UNUSED}  \n# other", "comment: x\n# other"),
        (f"comment: | {UNUSED}\n    text", "comment: |\n    text"),
    ],
)
def test_what_is_corrected(before: str, after: str, place: Path) -> None:
    head = "policies:\n- name: a\n  resource: aws.ec2\n"
    texts = [head + "".join(f"  {line}\n" for line in each.split("\n")) for each in (before, after)]
    assert fixed({"a.yml": texts[0]}) == {"a.yml": 1}
    assert (place / "a.yml").read_text() == texts[1]
    assert not fixing.fixable(look("."))


@pytest.mark.parametrize(
    "line",
    [
        "filters: [{type: instance-age, days: '010'}]",  # eight
        "filters: [{type: instance-age, days: '+5'}]",  # no number in JSON
        "filters: [{type: instance-age, days: '1_000'}]",
        "filters: [{type: instance-age, days: '1e3'}]",
        "filters: [{type: instance-age, days: '\u0663'}]",  # three, to Python
        "filters: [{type: instance-age, days: '30 days'}]",
        "filters: [{type: instance-age, days: thirty}]",
        "filters: [{type: instance-age, days: &days '30'}]",  # another place may want the text
        "filters: [{type: instance-age, days: !!str 30}]",
        "filters: [{type: instance-age, days: }]",
        "actions: [{type: mark-for-op, op: stop, days: 1, tag: &tag 12}]",
        "actions: [{type: mark-for-op, op: stop, days: 1, tag: [12]}]",
        "actions: [{type: mark-for-op, op: stop, days: 1, tag: ~}]",
        f"comment: '{UNUSED}'",
        f"comment: |\n    {UNUSED}",
    ],
)
def test_what_is_not_sure_to_be_right_is_left(line: str, place: Path) -> None:
    text = f"policies:\n- name: a\n  resource: aws.ec2\n  {line}\n"
    assert fixed({"a.yml": text}) == {}
    assert (place / "a.yml").read_text() == text


def test_json_stays_json(place: Path) -> None:
    text = '{"policies": [{"name": "a", "resource": "aws.ec2", "filters": [{"type": "instance-age", "days": "30"}]}]}'
    assert fixed({"a.json": text}) == {"a.json": 1}
    assert (place / "a.json").read_text() == text.replace('"30"', "30")


def test_files_of_ours_are_corrected_too(place: Path) -> None:
    text = (
        "apiVersion: finops-policy/v1\nkind: Customer\nname: globex\ntitle: Globex\n"
        "regions: [us-east-1]\naccounts:\n  - {id: 111122223333, name: main}\n"
    )
    assert fixed({"customers/globex/customer.yaml": text}) == {"customers/globex/customer.yaml": 1}
    assert (place / "customers/globex/customer.yaml").read_text() == text.replace("111122223333", '"111122223333"')


def test_several_corrections_on_one_line(place: Path) -> None:
    line = "      - {and: [{type: instance-age, days: '1'}, {type: instance-uptime, days: '2'}, {tag:x: 2026-01-01}]}"
    text = DATED + f"{line} {UNUSED}\n"
    assert fixed({"a.yml": text}) == {"a.yml": 4}
    assert fixing.apply(look("a.yml")) == {"a.yml": 1}, "a comment goes when nothing else is wrong in its file"
    expected = MENDED + line.replace("'1'", "1").replace("'2'", "2").replace("2026-01-01", '"2026-01-01"') + "\n"
    assert (place / "a.yml").read_text() == expected


def test_what_is_suppressed_stays(place: Path) -> None:
    text = DATED.replace("'30'}", "'30'} # finops-policy: ignore[schema] a test of the test")
    assert fixed({"a.yml": text}) == {}
    assert (place / "a.yml").read_text() == text


# --- Everything else stays as it is -----------------------------------------------------------------------------------

NEUTRAL = st.sampled_from(
    ["", "  # a comment", "# far left: 'quoted' \"text\"", "   ", "\t", "  # tab\there ", "# caf\u00e9 \U0001f600", "#"]
)
SPACE = st.sampled_from(["", " ", "   ", "  # days: '30'", " # - {x: [y"])
QUOTE = st.sampled_from(["'", '"'])
BLOCK = "- type: value\n  key: x\n  value: |  \n    {} "
NUMBER = st.integers(0, 9999).map(str)


@st.composite
def _filters(draw: st.DrawFn) -> tuple[str, str]:
    """A filter as it is written, and as it should be."""
    number, quote, space = draw(NUMBER), draw(QUOTE), draw(SPACE)
    day = draw(st.dates()).isoformat()
    unused = draw(st.sampled_from([f" {UNUSED}", f"\t{UNUSED} ", ""]))
    form = draw(
        st.sampled_from(
            [
                ("- {{type: instance-age,  days: {}}}", f"{quote}{number}{quote}", number),
                ("- type:   instance-age\n  days:  {}", f"{quote}{number}{quote}", number),
                ('- {{ "type":"instance-uptime", "days":{} }}', f'"{number}"', number),
                ("- tag:a b:  {}", day, f'"{day}"'),
                ("- type: value\n  key: 'x'\n  op: in\n  value: [a , {},b]", day, f'"{day}"'),
                (BLOCK, UNUSED, UNUSED),
                ("- State.Name:  {}", "running", "running"),
            ]
        )
    )
    if form[0] == BLOCK:
        return BLOCK.format(UNUSED), BLOCK.format(UNUSED)
    end = unused if unused and not space.strip() else space
    return form[0].format(form[1]) + end, form[0].format(form[2]) + ("" if end == unused else space)


@st.composite
def _texts(draw: st.DrawFn) -> tuple[bytes, bytes]:
    head = ["policies:", "  - name: a", "    resource: aws.ec2", "    filters:"]
    before, after = [*head, "      - {type: instance-age, days: '1'}"], [*head, "      - {type: instance-age, days: 1}"]
    for wrong, right in draw(st.lists(_filters(), min_size=1, max_size=6)):
        neutral = draw(NEUTRAL)
        neutral = "" if neutral.strip(" ") == "\t" else neutral
        for lines, text in ((before, wrong), (after, right)):
            lines.append(neutral)
            lines += [f"      {line}" for line in text.split("\n")]
        if draw(st.booleans()):
            before.append(draw(st.sampled_from(["", "    "])) + UNUSED)
    end = draw(st.sampled_from(["\n", "\r\n"]))
    bom = draw(st.sampled_from([b"", b"\xef\xbb\xbf"]))
    last = draw(st.sampled_from(["", end, end * 3]))
    left = end if before[-1].endswith(UNUSED) and before[-1].strip() == UNUSED and not last else ""
    return bom + (end.join(before) + last).encode(), bom + (end.join(after) + left + last).encode()


@settings(max_examples=40, deadline=None)
@given(_texts())
def test_byte_for_byte(texts: tuple[bytes, bytes]) -> None:
    with TemporaryDirectory() as name:
        path = Path(name) / "a.yml"
        path.write_bytes(texts[0])
        report = look(path)
        assert fixing.fixable(report)
        fixing.apply(report)
        fixing.apply(look(path))  # a comment goes when nothing else is wrong in its file
        found = path.read_bytes()
        again = look(path)
    assert found.decode().splitlines(keepends=True) == texts[1].decode().splitlines(keepends=True)
    assert not fixing.fixable(again), "twice changes nothing more"
    before, after = parse(texts[0], "a.yml"), parse(texts[1], "a.yml")
    assert before.marks.keys() == after.marks.keys()
    values = dict(_scalars(after.data))
    changed = {before.mark(*steps) for steps, value in _scalars(before.data) if values[steps] != value}
    wrong = {(each.mark.line, each.mark.column) for each in fixing.fixable(report)}
    assert {(mark.line, mark.column) for mark in changed} <= wrong, "the data is the same but for what was wrong"


def _scalars(value: Any, steps: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _scalars(item, (*steps, key))
    else:
        yield steps, value


# --- The file ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o644, 0o600, 0o755, 0o664, 0o666, 0o640])
def test_the_mode_stays(mode: int, place: Path) -> None:
    write(place, {"a.yml": DATED})
    (place / "a.yml").chmod(mode)
    before = os.umask(0o077)
    try:
        assert fixing.apply(look("a.yml")) == {"a.yml": 1}
    finally:
        os.umask(before)
    assert (place / "a.yml").stat().st_mode & 0o7777 == mode
    assert (place / "a.yml").read_text() == MENDED


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_the_owner_stays(place: Path) -> None:
    write(place, {"a.yml": DATED})
    os.chown(place / "a.yml", 1234, 4321)
    assert fixing.apply(look("a.yml")) == {"a.yml": 1}
    assert ((place / "a.yml").stat().st_uid, (place / "a.yml").stat().st_gid) == (1234, 4321)


def test_a_link_stays_a_link(place: Path) -> None:
    write(place, {"real/a.yml": DATED})
    (place / "link.yml").symlink_to("other.yml")
    (place / "other.yml").symlink_to("real/a.yml")
    assert fixing.apply(look("link.yml")) == {"link.yml": 1}
    assert (place / "link.yml").readlink() == Path("other.yml")
    assert (place / "other.yml").is_symlink()
    assert (place / "real" / "a.yml").read_text() == MENDED


def test_a_file_without_corrections_is_not_touched(place: Path) -> None:
    write(place, {"a.yml": DATED, "b.yml": GOOD})
    inode = (place / "b.yml").stat()
    assert fixing.apply(look(".")) == {"a.yml": 1}
    assert (place / "b.yml").stat() == inode
    assert sorted(path.name for path in place.iterdir()) == ["a.yml", "b.yml"]


# --- What goes wrong --------------------------------------------------------------------------------------------------


@contextmanager
def _as_somebody() -> Iterator[None]:
    """Root may write everywhere."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.mark.parametrize(("read_only", "mode"), [("b/b.yml", 0o444), ("b", 0o555)])
def test_a_file_that_may_not_be_written_keeps_no_other_from_it(
    read_only: str, mode: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("a/a.yml", "b/b.yml", "c/c.yml")
    with TemporaryDirectory() as folder:
        place = write(Path(folder), dict.fromkeys(names, DATED))
        monkeypatch.chdir(place)
        report = look(".")
        for each in (place, *place.rglob("*")):
            each.chmod(0o777 if each.is_dir() else 0o666)
        (place / read_only).chmod(mode)
        with _as_somebody():
            outcome = fixing.apply(report)
        texts = [(place / name).read_text() for name in names]
        found = sorted(path.relative_to(place).as_posix() for path in place.rglob("*.*"))
        (place / read_only).chmod(0o777)
        monkeypatch.undo()
    assert {label: each for label, each in outcome.items() if isinstance(each, int)} == {"a/a.yml": 1, "c/c.yml": 1}
    [message] = messages(outcome)
    assert message.startswith("Cannot write ")
    assert message.endswith("b/b.yml: Permission denied")
    assert texts == [MENDED, DATED, MENDED]
    assert found == sorted(names), "no temporary file is left"


def test_a_full_disk_loses_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(place, {"a.yml": DATED, "b.yml": DATED})
    report = look(".")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    outcome = fixing.apply(report)
    assert messages(outcome) == [
        f"Cannot write {place}/a.yml: No space left on device",
        f"Cannot write {place}/b.yml: No space left on device",
    ]
    assert (place / "a.yml").read_text() == (place / "b.yml").read_text() == DATED
    assert sorted(path.name for path in place.iterdir()) == ["a.yml", "b.yml"]


@pytest.mark.parametrize("change", ["\n" + DATED, DATED.replace("'30'", "'31'"), "", "\xff"])
def test_a_file_that_changed_meanwhile_is_left(change: str, place: Path) -> None:
    write(place, {"a.yml": DATED, "b.yml": DATED})
    report = look(".")
    (place / "a.yml").write_bytes(change.encode("latin-1"))
    outcome = fixing.apply(report)
    assert messages(outcome) == ["a.yml has changed while it was linted."]
    assert outcome["b.yml"] == 1
    assert (place / "a.yml").read_bytes() == change.encode("latin-1")


def test_a_file_that_is_gone_is_told(place: Path) -> None:
    write(place, {"a.yml": DATED, "b.yml": DATED})
    report = look(".")
    (place / "a.yml").unlink()
    outcome = fixing.apply(report)
    assert messages(outcome) == ["Cannot write a.yml: No such file or directory"]
    assert outcome["b.yml"] == 1


@pytest.mark.parametrize("new", ["[", "{x: y}", "30, x: y", "30}, {x: y", "30}]", "a: b"])
def test_a_correction_that_would_spoil_a_file_is_refused(new: str, place: Path) -> None:
    write(place, {"a.yml": DATED})
    outcome = fixing.apply(_report_of(place / "a.yml", Fix("'30'", new)))
    assert messages(outcome) == ["A correction would spoil a.yml."]
    assert (place / "a.yml").read_text() == DATED


def test_a_correction_of_what_is_not_there_changes_nothing(place: Path) -> None:
    write(place, {"a.yml": DATED})
    inode = (place / "a.yml").stat()
    assert fixing.apply(_report_of(place / "a.yml", Fix("'31'", "31"))) == {"a.yml": 0}
    assert (place / "a.yml").stat() == inode


def test_of_two_corrections_that_overlap_one_is_made(place: Path) -> None:
    write(place, {"a.yml": DATED})
    one = _report_of(place / "a.yml", Fix("'30'", "30"))
    two = _report_of(place / "a.yml", Fix("days: '30'", "days: 31"), DAYS)
    both = Report((*one.told, *two.told, *one.told), RULES, one.sources, 1, (), ())
    assert fixing.apply(both) == {"a.yml": 1}
    assert (place / "a.yml").read_text() == MENDED


def _report_of(path: Path, fix: Fix, at: str = "'30'") -> Report:
    text = path.read_text()
    source = Source(path, path.name, "custodian-policies", text, parse(text.encode(), path.name))
    diagnostic = Diagnostic("schema", "wrong", Mark(path.name, 5, text.splitlines()[4].index(at) + 1), fix=fix)
    return Report((Told(diagnostic, Level.ERROR),), RULES, {path.name: source}, 1, (), ())


def test_an_interruption_leaves_whole_files(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(place, {"a.yml": DATED, "b.yml": DATED, "c.yml": DATED})
    report = look(".")
    real = os.fchmod

    def interrupted(descriptor: int, mode: int) -> None:
        if (place / "a.yml").read_text() == MENDED:
            raise KeyboardInterrupt
        real(descriptor, mode)

    monkeypatch.setattr(os, "fchmod", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fixing.apply(report)
    assert [(place / name).read_text() for name in ("a.yml", "b.yml", "c.yml")] == [MENDED, DATED, DATED]
    assert sorted(path.name for path in place.iterdir()) == ["a.yml", "b.yml", "c.yml"]
