"""``lint``: exit codes, where the output goes, corrections, settings and revisions, as a user meets them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from finops_policy.cli import lint_command
from finops_policy.lint.formats import FORMATS
from finops_policy.lint.rules import RULES
from tests.cli.conftest import Invoke
from tests.cli.kit import ANSI, COMMAND, DEADLINE, SGR, environment, finops, on_terminal, running
from tests.lint.engine_kit import BAD, GOOD, PACK, POLICY, WORKSPACE, write

ERROR = "policies:\n  - name: bad\n    resource: aws.nothing\n"
WARNING = GOOD + "    actions:\n      - {type: mark-for-op, op: delete}\n"
NOTE = GOOD + "    mode: {type: periodic, schedule: rate(1 day)}\n"
"""Each told at this level, and no worse."""
WRONG = "policies:\n  - name: a\n    resource: aws.ec2\n    filters:\n      - {type: instance-age, days: '30'}\n"
RIGHT = WRONG.replace("'30'", "30")


# --- Exit codes -------------------------------------------------------------------------------------------------------

CODES = {
    "": {"never": 0, "error": 0, "warning": 0, "note": 0},
    NOTE: {"never": 0, "error": 0, "warning": 0, "note": 3},
    WARNING: {"never": 0, "error": 0, "warning": 3, "note": 3},
    ERROR: {"never": 0, "error": 3, "warning": 3, "note": 3},
}


@pytest.mark.parametrize("text", CODES, ids=["clean", "note", "warning", "error"])
def test_the_exit_code_follows_the_worst(text: str, place: Path, invoke: Invoke) -> None:
    write(place, {"a.yml": text or GOOD})
    assert invoke("lint", "a.yml").code == CODES[text]["error"]
    for limit, code in CODES[text].items():
        assert invoke("lint", "a.yml", "--fail-on", limit).code == code
        write(place, {"finops-policy.toml": f"[lint]\nfail_on = '{limit}'\n"})
        assert invoke("lint", "a.yml").code == code
        assert invoke("lint", "a.yml", "--fail-on", "error").code == CODES[text]["error"], "the option wins"
        assert invoke("lint", "a.yml", "--fail-on", "never").code == 0
        (place / "finops-policy.toml").unlink()


@pytest.mark.parametrize("form", FORMATS)
def test_the_exit_code_is_that_of_every_format(form: str, place: Path, invoke: Invoke) -> None:
    write(place, {"bad.yml": BAD, "good.yml": GOOD})
    assert invoke("lint", "bad.yml", "--format", form).code == 3
    assert invoke("lint", "good.yml", "--format", form).code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nothing.yml",), "There is no file or folder 'nothing.yml'."),
        (("a.yml", "nothing.yml"), "There is no file or folder 'nothing.yml'."),
        (("-",), "Standard input is not read"),
        (("--config", "nothing.toml"), "nothing.toml' does not exist"),
        (("--config", "."), "is a directory"),
        (("--workspace", "nothing"), "does not exist"),
        (("--format", "xml"), "'xml' is not one of"),
        (("--fail-on", "errors"), "'errors' is not one of"),
        (("--output", "."), "is a directory"),
        (("--explain", "shema"), "Did you mean schema?"),
        (("--explain", "zzz"), "`finops-policy lint --rules` lists them."),
        (("--explain", "../README"), "There is no rule '../README'."),
        (("--base", "main"), "is not in a Git repository"),
        (("--base", "--all"), "is not in a Git repository"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments: tuple[str, ...], said: str, place: Path, invoke: Invoke) -> None:
    write(place, {"a.yml": BAD})
    result = invoke("lint", *arguments)
    assert result.code == 2
    assert said in result.err
    assert result.out == ""


def test_mistakes_in_the_settings_end_all(place: Path, invoke: Invoke) -> None:
    write(place, {"a.yml": BAD, "finops-policy.toml": "[lint]\nfail_on = 'no'\n[lint.rules]\nshema = 'off'\n"})
    said = invoke("lint")
    assert said.code == 1
    assert said.out == ""
    assert "finops-policy.toml:2:1: `fail_on` must be one of note, warning, error, never [settings]" in said.err
    assert "finops-policy.toml:4:1: there is no rule `shema` [settings]" in said.err
    assert "2 problems in the files read" in said.err
    assert invoke("lint", "--rules").code == 0


# --- What is linted ---------------------------------------------------------------------------------------------------


def test_without_a_path_the_workspace_is_linted(place: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    write(place, {"ws/a.yml": BAD, "b.yml": GOOD})
    assert "ws/a.yml:3:15: error[unknown-resource]" in invoke("lint").out
    said = invoke("lint", "--workspace", "ws")
    assert "ws/a.yml:3:15: error[unknown-resource]" in said.out
    assert said.out.splitlines()[-2] == "Found 1 error in 1 file, 1 policy."
    monkeypatch.setenv("FINOPS_POLICY_WORKSPACE", str(place / "ws"))
    assert invoke("lint").out == said.out


def test_an_empty_folder_says_so(place: Path, invoke: Invoke) -> None:
    write(place, {"notes.yaml": "x: y\n"})
    said = invoke("lint")
    assert said.code == 0
    assert said.out.startswith("Nothing was checked: ")
    assert "Passed over 1 file without policies: notes.yaml" in said.out


def test_quiet_says_what_was_found_and_not_checked_alone(place: Path, invoke: Invoke) -> None:
    write(place, {"a.yml": GOOD})
    assert invoke("lint", "-q").out == ""
    write(place, {"b.yml": BAD, "c.yml": "policies: [{name: vm, resource: azure.vm}]\n"})
    said = invoke("lint", "-q")
    assert said.out.startswith("b.yml:3:15: error[unknown-resource]")
    assert "Not checked: 1 policy\n - c.yml:1:12: vm: only AWS is checked, not azure" in said.out
    assert "Found" not in said.out
    assert said.err == ""


def test_settings_are_found_above_the_workspace(place: Path, invoke: Invoke) -> None:
    write(
        place,
        {
            "finops-policy.toml": "[lint]\nexclude = ['ws/old']\n[lint.rules]\nunknown-resource = 'note'\n",
            "ws/a.yml": BAD,
            "ws/old/b.yml": "policies: [{resource: x\n",
            "other.toml": "[lint]\nexclude = ['a.yml']\n",
        },
    )
    said = invoke("lint", "--workspace", "ws")
    assert said.code == 0
    assert "Found 1 note in 1 file, 1 policy." in said.out
    said = invoke("lint", "--workspace", "ws", "--config", "other.toml")
    assert said.code == 3
    assert "Found 1 error in 1 file, 0 policies." in said.out, "what is given by hand is about the workspace"
    assert "ws/old/b.yml:2:1: error[yaml-syntax]" in said.out


# --- Where the output goes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS)
def test_the_output_is_the_same_in_a_file(form: str, place: Path, invoke: Invoke) -> None:
    write(place, {"a.yml": BAD.replace("bad", "caf\u00e9")})
    out = invoke("lint", "a.yml", "--format", form).out
    assert "unknown-resource" in out
    said = invoke("lint", "a.yml", "--format", form, "--output", "new/folder/report")
    assert (said.code, said.out, said.err) == (3, "", "new/folder/report\n")
    assert (place / "new" / "folder" / "report").read_text("utf-8") == out
    again = invoke("lint", "a.yml", "--format", form, "--output", "new/folder/report", "-q")
    assert (again.code, again.out, again.err) == (3, "", "")
    if form in ("json", "sarif", "gitlab"):
        json.loads(out)


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("a.yml/report", "File exists"),
        ("x" * 300, "File name too long"),
    ],
)
def test_output_that_cannot_be_written_leaves_all_as_it_was(
    output: str, reason: str, place: Path, invoke: Invoke
) -> None:
    write(place, {"a.yml": BAD})
    said = invoke("lint", "a.yml", "--output", output)
    assert said.code == 1
    assert reason in said.err
    assert said.out == ""
    assert [path.name for path in place.iterdir()] == ["a.yml"]
    assert (place / "a.yml").read_text() == BAD


def test_a_former_report_stays_when_the_disk_is_full(
    place: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(place, {"a.yml": BAD, "report": "former"})

    def full(_: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    said = invoke("lint", "a.yml", "--output", "report")
    assert said.code == 1
    assert "No space left on device" in said.err
    assert (place / "report").read_text() == "former"
    assert sorted(path.name for path in place.iterdir()) == ["a.yml", "report"]


def test_a_link_or_a_pipe_as_output_stays_one(place: Path, invoke: Invoke) -> None:
    """Whatever is there: as root, /dev/stdout would be gone for everybody."""
    write(place, {"a.yml": BAD, "real/report": "former"})
    (place / "link").symlink_to("real/report")
    invoke("lint", "a.yml", "--output", "link")
    assert (place / "link").readlink() == Path("real/report")
    assert (place / "real" / "report").read_text().startswith("a.yml:3:15: ")
    (place / "out").symlink_to("/dev/stdout")
    said = finops("lint", "a.yml", "--output", "out", cwd=place)
    assert said.code == 3
    assert said.out.startswith("a.yml:3:15: ")
    assert (place / "out").readlink() == Path("/dev/stdout")
    os.mkfifo(place / "pipe")
    with subprocess.Popen(["cat", "pipe"], cwd=place, stdout=subprocess.PIPE, text=True) as reader:
        assert invoke("lint", "a.yml", "--output", "pipe").code == 3
        assert reader.communicate(timeout=DEADLINE)[0].startswith("a.yml:3:15: ")
    assert (place / "pipe").is_fifo()


@pytest.mark.parametrize("form", FORMATS)
def test_what_a_terminal_cannot_show_is_written_all_the_same(form: str, place: Path) -> None:
    """In UTF-8: programs read it, and a name that cannot be shown is no reason to show nothing."""
    write(place, {"caf\u00e9.yml": BAD.replace("bad", "\u540d\u524d \U0001f600")})
    with contextlib.suppress(OSError):  # some file systems want Unicode
        write(place, {os.fsdecode(b"caf\xe9.yml"): BAD})
    for encoding in ("ascii", "latin-1", "utf-8"):
        said = finops("lint", "--format", form, "-q", cwd=place, env={"PYTHONIOENCODING": f"{encoding}:strict"})
        assert said.code == 3
        assert said.err == ""
        assert "unknown-resource" in said.out


def test_a_reader_that_has_seen_enough_gets_no_traceback(place: Path) -> None:
    write(place, {"a.yml": BAD + "".join(f"  - {{name: p{n}, resource: aws.nothing}}\n" for n in range(500))})
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as broken:
        done = subprocess.run(
            [*COMMAND, "lint", "a.yml"],
            cwd=place,
            env=environment(),
            stdout=broken,
            stderr=subprocess.PIPE,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
    assert done.stderr == ""
    assert done.returncode == 1


def test_without_standard_output_it_still_judges(place: Path) -> None:
    write(place, {"a.yml": BAD})
    said = finops("lint", "a.yml", cwd=place, before=("sh", "-c", 'exec "$0" "$@" >&-'))
    assert said.code == 3
    assert "Traceback" not in said.err
    assert "Bug" not in said.err


# --- On a terminal ----------------------------------------------------------------------------------------------------


def test_colours_are_for_terminals(place: Path) -> None:
    long = "x" * 60
    write(
        place,
        {"a.yml": f"policies:\n- {{name: {long}, resource: aws.ec2, filters: [{{type: {long}, key: {long}}}]}}\n"},
    )
    write(place, {"b.yml": WARNING, "c.yml": NOTE})
    screen = on_terminal("lint", cwd=place, env={})
    assert screen.code == 3
    assert "\x1b[1;31merror[unknown-filter]\x1b[0m" in screen.out
    assert "\x1b[1;33mwarning[" in screen.out
    assert "\x1b[1;36mnote[" in screen.out
    shown = [
        line for line in ANSI.sub("", screen.out).splitlines() if not line.startswith(("a.yml:", "b.yml:", "c.yml:"))
    ]
    assert max(map(len, shown)) <= 80
    for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        plain = on_terminal("lint", cwd=place, env=env)
        assert not SGR.search(plain.out + plain.err)
        assert plain.out == ANSI.sub("", screen.out)
    assert not SGR.search(finops("lint", cwd=place).out)
    wide = on_terminal("lint", cwd=place, env={}, columns=160)
    assert max(map(len, ANSI.sub("", wide.out).splitlines())) > 80


def test_files_and_programs_get_no_colours(place: Path) -> None:
    write(place, {"a.yml": BAD})
    on_terminal("lint", "--output", "report", cwd=place, env={})
    assert "\x1b" not in (place / "report").read_text()
    assert "\x1b" not in on_terminal("lint", "--format", "github", cwd=place, env={}).out


SLOW = """
import sys, time
from finops_policy.cli import entry_point
from finops_policy.lint import files
load = files.load
def slowly(path, *, named):
    time.sleep(0.4)
    return load(path, named=named)
files.load = slowly
sys.argv = ["finops-policy", *sys.argv[1:]]
entry_point()
"""


def test_what_takes_long_shows_where_it_is(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(place, {f"{name}.yml": GOOD.replace("good", name) for name in ("a", "b", "c", "d", "e")})
    monkeypatch.setattr("tests.cli.kit.COMMAND", (sys.executable, "-c", SLOW))
    screen = on_terminal("lint", cwd=place, env={})
    assert screen.code == 0
    assert re.search(r"\rReading files: [3-5]\x1b\[K", screen.err)
    assert screen.err.endswith("\r\x1b[K"), "the line is gone"
    assert "Reading" not in screen.out


@pytest.mark.parametrize(
    ("quiet", "terminal", "term"), [(True, True, "xterm"), (False, False, "xterm"), (False, True, "dumb")]
)
def test_progress_is_for_terminals(
    quiet: bool, terminal: bool, term: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr(lint_command, "monotonic", iter(range(0, 100, 2)).__next__)
    line = lint_command._Line(quiet)
    line.show("one")
    line.clear()
    assert capsys.readouterr().err == ""


def test_what_is_quick_shows_nothing(place: Path) -> None:
    write(place, {"a.yml": GOOD})
    finops("lint", cwd=place)  # fills the cache
    assert on_terminal("lint", cwd=place, env={}).err == ""


# --- Rules ------------------------------------------------------------------------------------------------------------


def test_every_rule_is_listed_the_worst_first(place: Path, invoke: Invoke) -> None:
    said = invoke("lint", "--rules", "nothing.yml")
    assert said.code == 0
    listed = [line.split(maxsplit=2) for line in said.out.splitlines()]
    assert {(each[0], each[1], each[2]) for each in listed} == {
        (rule.id, rule.level.value, rule.summary) for rule in RULES.values()
    }
    levels = [each[1] for each in listed]
    assert levels == sorted(levels, key=["error", "warning", "note"].index)


@pytest.mark.parametrize("rule", ["schema", "suppression-unused", "mark-without-delay"])
def test_a_rule_is_explained_by_its_page(rule: str, place: Path, invoke: Invoke) -> None:
    write(place, {"finops-policy.toml": "broken ["})
    said = invoke("lint", "--explain", rule, "nothing.yml")
    assert said.code == 0
    assert said.out.startswith(f"# {rule}\n")
    assert "## Why" in said.out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("finops-policy lint --explain suppression-", {rule for rule in RULES if rule.startswith("suppression-")}),
        ("finops-policy lint --explain ", set(RULES)),
        ("finops-policy lint --format sa", {"sarif"}),
        ("finops-policy lint --fail-on n", {"note", "never"}),
    ],
)
def test_words_are_completed(words: str, expected: set[str], place: Path) -> None:
    env = {
        "_FINOPS_POLICY_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    said = finops(cwd=place, env=env)
    assert {line.partition(",")[2] for line in said.out.splitlines()} == expected


def test_paths_are_completed_by_the_shell(place: Path) -> None:
    env = {"_FINOPS_POLICY_COMPLETE": "bash_complete", "COMP_WORDS": "finops-policy lint po", "COMP_CWORD": "2"}
    assert finops(cwd=place, env=env).out == "file,po\n"


# --- Corrections ------------------------------------------------------------------------------------------------------


def test_corrections_are_told_beside_the_report(place: Path, invoke: Invoke) -> None:
    write(place, {"a.yml": WRONG, "b.yml": WRONG.replace("name: a", "name: b") + "      - nothing\n"})
    said = invoke("lint", "--fix", "--format", "json")
    assert said.code == 3
    assert said.err == "a.yml: 1 correction\nb.yml: 1 correction\n"
    assert [(each["path"], each["rule"]) for each in json.loads(said.out)["diagnostics"]] == [
        ("b.yml", "unknown-filter")
    ]
    assert (place / "a.yml").read_text() == RIGHT
    again = invoke("lint", "--fix", "--format", "json")
    assert (again.code, again.out, again.err) == (3, said.out, "")


def test_one_correction_may_make_room_for_the_next(place: Path, invoke: Invoke) -> None:
    comment = "# finops-policy: ignore[schema] for now"
    write(place, {"a.yml": WRONG.replace("'30'}", f"'30'}} {comment}")})
    assert invoke("lint", "--fix").err == "", "what is suppressed stays"
    write(place, {"a.yml": WRONG.replace("policies:", "policies: # finops-policy: ignore[yaml-syntax] old")})
    said = invoke("lint", "--fix")
    assert (said.code, said.err) == (0, "a.yml: 2 corrections\n")
    assert (place / "a.yml").read_text() == RIGHT


def test_without_fix_nothing_is_written(place: Path, invoke: Invoke) -> None:
    write(place, {"a.yml": WRONG})
    said = invoke("lint")
    assert "`finops-policy lint --fix` mends 1 of them." in said.out
    assert (place / "a.yml").read_text() == WRONG
    assert invoke("lint", "--fix", "-q").err == ""


def test_a_correction_that_cannot_be_written_is_an_error_and_the_others_are_made(
    place: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(
        place,
        {"a.yml": WRONG, "b.yml": WRONG.replace("name: a", "name: b"), "c.yml": WRONG.replace("name: a", "name: c")},
    )
    chmod = os.fchmod

    def refuse(descriptor: int, mode: int) -> None:
        if mode == 0o640:
            raise PermissionError(13, os.strerror(13))
        chmod(descriptor, mode)

    (place / "b.yml").chmod(0o640)
    monkeypatch.setattr(os, "fchmod", refuse)
    said = invoke("lint", "--fix")
    assert said.code == 1
    assert "b.yml:5:" in said.out, "the report is of what is there now"
    assert "a.yml: 1 correction\nc.yml: 1 correction\n" in said.err
    assert f"Error: Cannot write {place}/b.yml: Permission denied" in said.err
    assert [(place / name).read_text() for name in ("a.yml", "c.yml")] == [RIGHT, RIGHT.replace("name: a", "name: c")]
    assert (place / "b.yml").read_text() == WRONG.replace("name: a", "name: b")


def test_ctrl_c_ends_it(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(place, {f"{n}.yml": WRONG for n in range(20)})
    monkeypatch.setattr(
        "tests.cli.kit.COMMAND",
        (sys.executable, "-c", SLOW.replace("0.4)", "0.4); print(path, file=sys.stderr, flush=True)")),
    )
    with running("lint", "--fix", cwd=place) as command:
        command.wait_for("0.yml")
        command.signal(signal.SIGINT, group=True)
        said = command.result()
    assert said.code == 130
    assert said.out == ""
    assert "Interrupted." in said.err
    assert "Traceback" not in said.err
    assert {path.read_text() for path in place.iterdir()} == {WRONG}


# --- Revisions --------------------------------------------------------------------------------------------------------


def _git(place: Path, *arguments: str) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@b.example", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *who, *arguments], cwd=place, check=True, capture_output=True)


@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
def test_packs_are_compared_with_a_revision(place: Path, invoke: Invoke) -> None:
    write(place, {f"ws/{name}": text for name, text in WORKSPACE.items()})
    _git(place, "init", "--initial-branch", "main")
    _git(place, "add", ".")
    _git(place, "commit", "-m", "first")
    assert invoke("lint", "--workspace", "ws", "--base", "main", "--fail-on", "note").code == 0
    write(place, {"ws/packs/own/old-snapshots.yaml": POLICY.replace("days: 1,", "days: 2,")})
    said = invoke("lint", "--workspace", "ws", "--base", "main", "--fail-on", "warning")
    assert said.code == 3
    assert "ws/packs/own/pack.yaml:4:10: warning[pack-unversioned]" in said.out
    assert invoke("lint", "--workspace", "ws", "--fail-on", "warning").code == 0
    said = invoke("lint", "--workspace", "ws", "--base", "mian")
    assert said.code == 2
    assert "There is no revision 'mian' in this repository." in said.err
    assert "Did you mean main?" in said.err
    assert invoke("lint", "--workspace", "ws", "--base=--output=x").code == 2
    assert (place / "ws" / "packs" / "own" / "pack.yaml").read_text() == PACK


# --- A start that imports little --------------------------------------------------------------------------------------


def test_one_policy_is_linted_without_loading_much(place: Path) -> None:
    write(place, {"a.yml": RIGHT})
    finops("lint", "a.yml", cwd=place)  # fills the cache
    said = subprocess.run(
        [COMMAND[0], "-X", "importtime", *COMMAND[1:], "lint", "a.yml"],
        cwd=place,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in said.stderr.splitlines() if "|" in line}
    assert "yaml" in imported, "the list is one of imports"
    assert not imported & {"c7n", "boto3", "botocore", "duckdb", "jsonschema", "jinja2", "cryptography", "moto"}
