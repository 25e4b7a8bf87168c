"""Which files are linted: in folders those that are meant, by name whatever it is, each once, by the name typed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from finops_policy.errors import UsageError
from finops_policy.lint.files import find, load
from finops_policy.lint.settings import Settings
from finops_policy.sources import MAX_BYTES
from tests.lint.engine_kit import BAD, GOOD, OURS, PACK, look, places, write
from tests.lint.kit import rules

ACCOUNTS = 'accounts:\n- {account_id: "111122223333", name: main, regions: [us-east-1], role: r}\n'


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


# --- In folders -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("pack.yaml", PACK, "pack"),
        ("odd.yaml", f"{OURS}kind: Polcy\n", "policy"),
        ("quoted.yaml", '"apiVersion": "finops-policy/v1"\n"kind": \'Waivers\'\nwaivers: []\n', "waiver"),
        ("a.yml", GOOD, "custodian-policies"),
        ("vars.yaml", f"vars: {{x: 1}}\n{GOOD}", "custodian-policies"),
        ("none.yaml", "policies: []\n", "custodian-policies"),
        ("p.json", '{"policies": [{"name": "a", "resource": "aws.s3"}]}', "custodian-policies"),
        ("bom.yaml", b"\xef\xbb\xbf" + GOOD.encode(), "custodian-policies"),
        ("crlf.yaml", GOOD.replace("\n", "\r\n"), "custodian-policies"),
        ("bom-crlf.yaml", b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode(), "custodian-policies"),
        ("accounts.yml", ACCOUNTS, "c7n-org-accounts"),
        ("accounts.json", '{"accounts": [{"account_id": "111122223333"}]}', "c7n-org-accounts"),
    ],
)
def test_what_is_ours_or_custodians_is_taken_for_it(name: str, content: str | bytes, kind: str, place: Path) -> None:
    write(place, {name: content})
    report = look(".")
    assert {label: source.kind for label, source in report.sources.items()} == {name: kind}
    assert not report.passed_over


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.yaml", ""),
        ("compose.yml", "services: {web: {image: nginx}}\n"),
        ("pod.yaml", "apiVersion: v1\nkind: Pod\n---\napiVersion: v1\nkind: Service\n"),
        ("helm.yaml", "{{- if .Values.on }}\npolicies:\n  - name: {{ .Values.name }}\n{{- end }}\n"),
        ("tags.yaml", "Resources:\n  A: !Ref B\n"),
        ("iam.yaml", "policies:\n  - name: a\n    statement: []\n"),
        ("text.yaml", "policies: all of them\n"),
        ("deep.yaml", "settings:\n  policies:\n    - resource: aws.s3\n"),
        ("bank.yaml", "accounts:\n  - iban: DE00\n"),
        ("iam.json", '{"policies": [{"name": "a", "Resource": "*"}]}'),
        ("tabs.json", '{\n\t"policies":\t[\n\t{"name":\t"a"}]\n}'),
        ("no-yaml.json", '{"policies": [{"name": "\\ud83d\\ude00", "spec": {"resource": "a"}}]}'),
        ("list.json", "[1, 2, 3]"),
        ("broken.json", '{"accounts": [{"iban": '),
        ("latin-1.yaml", b"title: caf\xe9\n"),
    ],
)
def test_other_programs_files_are_passed_over_and_told(name: str, content: str | bytes, place: Path) -> None:
    write(place, {name: content})
    report = look(".")
    assert not report.told
    assert not report.sources
    assert report.passed_over == (name,)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.yml", "policies:\n  - name: a\n    resource: [\n", "a.yml:4 yaml-syntax"),
        ("a.yml", "policies:\n\t- resource: aws.s3\n", "a.yml:2 tab-indent"),
        ("a.json", '{"policies": [\n{"name": "a",\n "resource": "aws.s3"', "a.json:3 yaml-syntax"),
        ("a.json", '{"policies":[{"resource":"aws.s3"\n', "a.json:2 yaml-syntax"),
        ("a.json", '{"policies": [{"name": "\\ud83d\\ude00", "resource": "aws.s3"}]}', "a.json:1 yaml-syntax"),
        ("a.yml", "policies: [{name: a,resource: aws.s3\n", "a.yml:2 yaml-syntax"),
        ("a.yml", "accounts:\n- account_id: {\n", "a.yml:3 yaml-syntax"),
        ("a.yml", f"{OURS}kind: Pack\nname: {{\n", "a.yml:4 yaml-syntax"),
        ("a.yml", GOOD.encode("utf-16"), "a.yml:1 encoding"),
        ("a.yml", f"# {'x' * MAX_BYTES}\n{GOOD}", ""),
        ("a.yml", f"{GOOD}# {'x' * MAX_BYTES}\n", "a.yml:0 file-too-large"),
        ("a.yml", f"{GOOD}    comment: caf\xe9".encode("latin-1"), "a.yml:4 encoding"),
    ],
)
def test_what_is_meant_and_broken_is_told(name: str, content: str | bytes, expected: str, place: Path) -> None:
    """Only in the first MiB is looked for policies: nobody can tell what is behind it."""
    write(place, {name: content})
    report = look(".")
    assert places(report) == ([expected] if expected else [])
    assert report.passed_over == (() if expected else (name,))


def test_folders_that_nobody_writes_policies_in_are_not_looked_into(place: Path) -> None:
    folders = (".git", ".hidden", "node_modules", "__pycache__", "venv", "build", "dist", "evidence")
    write(place, {f"{folder}/a.yml": BAD for folder in folders} | {".hidden.yml": BAD, "a.txt": BAD, "A.yml.j2": BAD})
    report = look(".")
    assert not report.told
    assert not report.passed_over
    assert places(look("node_modules", ".hidden.yml")) == [
        ".hidden.yml:3 unknown-resource",
        "node_modules/a.yml:3 unknown-resource",
    ]


def test_links_pipes_and_devices_do_no_harm(place: Path) -> None:
    write(place, {"real/a.yml": BAD, "real/b.yml": GOOD})
    (place / "again").symlink_to("real")
    (place / "real" / "loop").symlink_to("..")
    (place / "real" / "same.yml").symlink_to("a.yml")
    (place / "itself.yml").symlink_to("itself.yml")
    (place / "nowhere.yml").symlink_to("nothing")
    (place / "null.yml").symlink_to("/dev/null")
    (place / "zero.yml").symlink_to("/dev/zero")
    os.mkfifo(place / "pipe.yml")
    report = look(".")
    assert places(report) == ["real/a.yml:3 unknown-resource"]
    assert set(report.passed_over) == {"itself.yml", "nowhere.yml", "null.yml", "pipe.yml", "zero.yml"}


def test_an_empty_folder_holds_nothing(place: Path) -> None:
    report = look(".")
    assert not report.sources
    assert not report.passed_over
    assert report.policies == 0


@contextmanager
def _as_somebody() -> Iterator[None]:
    """Root may read everything."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_what_may_not_be_read_is_told_wherever_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    with TemporaryDirectory() as name:
        place = write(Path(name), {"open/a.yml": GOOD, "secret.yml": GOOD, "closed/a.yml": BAD, "locked/a.yml": BAD})
        monkeypatch.chdir(place)
        place.chmod(0o755)
        modes = {"secret.yml": 0o000, "closed": 0o000, "locked": 0o444}
        for each, mode in modes.items():
            (place / each).chmod(mode)
        with _as_somebody():
            found = [load(path, named=named) for path, named in find([Path()], lambda path: False)]
        for each in modes:
            (place / each).chmod(0o700)
        monkeypatch.undo()
    problems = [f"{each.mark} {each.rule}: {each.message}" for _, problems in found for each in problems]
    assert problems == [
        "secret.yml file-unreadable: the file cannot be read: permission denied",
        "locked/a.yml file-unreadable: the file cannot be read: permission denied",
        "closed file-unreadable: the folder cannot be read",
    ]
    assert all(source.kind for source, _ in found), "not one is passed over"


# --- By name --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["other.yaml", "notes.txt", "policy", ".hidden.yml"])
def test_a_file_that_is_named_is_taken_for_policies(name: str, place: Path) -> None:
    write(place, {name: "hello: world\n"})
    report = look(name)
    assert {source.kind for source in report.sources.values()} == {"custodian-policies"}
    assert rules(report) == {"schema"}


@pytest.mark.parametrize(
    ("content", "expected"),
    [("", "empty-file"), ("a: [", "yaml-syntax"), ("{{ x }}", "non-string-key"), ("%PDF-1.7\n", "yaml-syntax")],
)
def test_a_named_file_that_cannot_be_read_is_told(content: str, expected: str, place: Path) -> None:
    write(place, {"a.yml": content})
    assert expected in rules(look("a.yml"))


def test_a_pipe_that_is_named_is_told_and_not_waited_for(place: Path) -> None:
    os.mkfifo(place / "pipe.yml")
    assert places(look("pipe.yml")) == ["pipe.yml:0 file-unreadable"]


@pytest.mark.parametrize("missing", ["nothing.yml", "a.yml/b", "dangling", "x" * 200, "a\nb"])
def test_a_path_that_is_not_there_ends_all(missing: str, place: Path) -> None:
    write(place, {"a.yml": GOOD})
    (place / "dangling").symlink_to("nothing")
    with pytest.raises(UsageError, match="There is no file or folder") as error:
        look("a.yml", missing)
    assert error.value.exit_code == 2
    assert error.value.hint == "Check the path for a typing error."


def test_standard_input_is_no_file() -> None:
    with pytest.raises(UsageError) as error:
        look("-")
    assert "Standard input is not read" in error.value.hint


# --- Names ----------------------------------------------------------------------------------------------------------


def test_a_file_is_linted_once_by_the_first_of_its_names(place: Path) -> None:
    write(place, {"sub/a.yml": BAD})
    (place / "link").symlink_to("sub")
    names = ("sub/a.yml", "./sub/a.yml", place / "sub" / "a.yml", "sub/../sub/a.yml", "link/a.yml", "sub", ".", place)
    assert places(look(*names)) == ["sub/a.yml:3 unknown-resource"]
    assert places(look(*reversed(names))) == ["sub/a.yml:3 unknown-resource"]
    assert places(look("link/a.yml", ".")) == ["link/a.yml:3 unknown-resource"]


def test_a_file_that_is_named_is_linted_although_its_folder_is_too(place: Path) -> None:
    write(place, {"other.yaml": "hello: world\n"})
    report = look(".", "other.yaml")
    assert rules(report) == {"schema"}
    assert not report.passed_over


def test_names_are_those_of_the_current_folder(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(place, {"here/sub/a.yml": BAD, "there/b.yml": BAD})
    monkeypatch.chdir(place / "here")
    names = [each.partition(":")[0] for each in places(look(place / "here", "../there", place / "there" / "b.yml"))]
    assert names == ["../there/b.yml", "sub/a.yml"]
    assert places(look("../here/sub")) == ["sub/a.yml:3 unknown-resource"]
    assert places(look(place / "there")) == [f"{place}/there/b.yml:3 unknown-resource"]


def test_names_that_are_no_unicode_are_linted(place: Path) -> None:
    try:
        os.mkdir(os.fsencode(place) + b"/caf\xe9")  # noqa: PTH102 - a name in bytes
    except OSError:
        pytest.skip("this file system wants Unicode")
    write(place / os.fsdecode(b"caf\xe9"), {"a.yml": BAD})
    assert places(look(".")) == ["caf\udce9/a.yml:3 unknown-resource"]


# --- exclude --------------------------------------------------------------------------------------------------------

TREE = {
    "a.yml": BAD,
    "legacy/b.yml": BAD,
    "legacy/deep/c.yml": BAD,
    "new/legacy/d.yml": BAD,
    "new/e.json": '{"policies": [{"name": "a", "resource": "aws.nothing"}]}',
}


@pytest.mark.parametrize(
    ("pattern", "left_out"),
    [
        ("legacy", {"legacy/b.yml", "legacy/deep/c.yml"}),
        ("legacy/", {"legacy/b.yml", "legacy/deep/c.yml"}),
        ("./legacy/*", {"legacy/b.yml", "legacy/deep/c.yml"}),
        ("legacy/*", {"legacy/b.yml", "legacy/deep/c.yml"}),
        ("legacy/b.yml", {"legacy/b.yml"}),
        ("legacy/deep", {"legacy/deep/c.yml"}),
        ("**/legacy", {"legacy/b.yml", "legacy/deep/c.yml", "new/legacy/d.yml"}),
        ("**/legacy/**", {"legacy/b.yml", "legacy/deep/c.yml", "new/legacy/d.yml"}),
        ("*.json", {"new/e.json"}),
        ("?.yml", {"a.yml"}),
        ("*", set(TREE)),
        ("leg", set()),
        ("?", set()),
        ("egacy/*", set()),
        ("LEGACY", set()),
        ("nothing", set()),
    ],
)
def test_exclude_leaves_out_files_and_folders(pattern: str, left_out: set[str], place: Path) -> None:
    write(place, TREE)
    assert set(TREE) - set(look(".", settings=Settings(exclude=(pattern,))).sources) == left_out


def test_exclude_means_the_same_wherever_one_stands(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(place, TREE)
    settings = Settings(exclude=("legacy/deep", "new/*"), folder=place)
    monkeypatch.chdir(place / "legacy")
    assert set(look(".", settings=settings).sources) == {"b.yml"}
    assert set(look("..", settings=settings).sources) == {"../a.yml", "b.yml"}
    assert set(look("deep", "../new", settings=settings).sources) == {"deep/c.yml"}, "as is a folder that is"
    assert set(look("deep/c.yml", settings=settings).sources) == {"deep/c.yml"}, "what is named is linted"
    monkeypatch.chdir("/")
    assert set(look(place / "new", settings=Settings(exclude=("new/*",)), workspace=place).sources)
