"""Help, completion, and a start that imports little."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from finops_policy import __version__
from finops_policy.cli import COMMANDS, cli
from tests.cli.conftest import Invoke
from tests.cli.kit import COMMAND, ROOT, environment, finops


def commands(command: click.Command = cli, *names: str) -> Iterator[tuple[str, ...]]:
    yield names
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from commands(found, *names, name)


@pytest.mark.parametrize("names", list(commands()), ids=" ".join)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_every_command_explains_itself_with_an_example(option: str, names: tuple[str, ...], invoke: Invoke) -> None:
    said = invoke(*names, option)
    assert said.code == 0
    assert said.err == ""
    example = " ".join(("finops-policy", *names))
    assert [
        line
        for line in said.out.splitlines()
        if example in line and "Usage" not in line and not line.lstrip().startswith("$")
    ]
    assert max(len(line) for line in said.out.splitlines()) <= 80


def test_the_commands_are_the_documented_ones() -> None:
    assert {names[0] for names in commands() if names} == set(COMMANDS)
    assert {" ".join(names) for names in commands() if len(names) == 2} == {
        *("findings list", "findings show", "runs list"),
        *("sandbox start", "sandbox status", "sandbox stop", "waiver add", "waiver check", "waiver list"),
    }


@pytest.mark.parametrize("names", [names for names in commands() if names], ids=" ".join)
def test_every_command_that_does_something_knows_vv(names: tuple[str, ...], invoke: Invoke) -> None:
    said = invoke(*names, "--help")
    assert "--verbose" in said.out or names in {("findings",), ("runs",), ("sandbox",), ("waiver",), ("completion",)}


def test_no_arguments_show_the_help(invoke: Invoke) -> None:
    said = finops(cwd=Path())
    assert said.code == 2
    assert "Usage: finops-policy" in said.out + said.err


def test_version_imports_nothing_heavy(place: Path) -> None:
    said = subprocess.run(
        [COMMAND[0], "-X", "importtime", *COMMAND[1:], "--version"],
        cwd=place,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in said.stderr.splitlines() if "|" in line}
    assert said.stdout == f"finops-policy, version {__version__}\n"
    assert {"finops_policy", "click"} <= imported, "the list is one of imports"
    heavy = {"c7n", "boto3", "botocore", "duckdb", "moto", "jsonschema", "yaml", "jinja2", "cryptography"}
    assert not heavy & imported


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_the_command(shell: str, place: Path, invoke: Invoke) -> None:
    said = invoke("completion", shell)
    assert said.code == 0
    assert said.err == ""
    assert "finops-policy" in said.out
    assert "_FINOPS_POLICY_COMPLETE" in said.out
    if checker := shutil.which(shell):
        (place / "script").write_text(said.out)
        subprocess.run([checker, "-n", "script"], cwd=place, check=True)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("finops-policy ", set(COMMANDS)),
        ("finops-policy ru", {"run", "runs"}),
        ("finops-policy run --customer a", {"acme", "actor"}),
        ("finops-policy run --customer acme --profile h", {"hipaa"}),
        ("finops-policy sandbox st", {"start", "status", "stop"}),
        ("finops-policy run --fail-on ", {"info", "low", "medium", "high", "critical", "never"}),
    ],
)
def test_words_are_completed(words: str, expected: set[str], place: Path) -> None:
    (place / "customers" / "actor").mkdir(parents=True)
    (place / "customers" / "actor" / "customer.yaml").write_text("not read: [")
    env = {
        "_FINOPS_POLICY_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    said = finops(cwd=place, env=env)
    assert said.code == 0
    assert {line.partition(",")[2] for line in said.out.splitlines()} == expected
    assert said.err == ""


MENTION = re.compile(r"(`?)finops-policy((?: +(?:--)?[a-z][a-z-]*)+)")
TEXTS = [*sorted((ROOT / "finops_policy").rglob("*.py")), ROOT / "README.md", ROOT / "Makefile"]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_what_a_text_tells_to_run_is_there(path: Path) -> None:
    """A next step must be one that can be taken. Where no backtick says that it is a command, it may be prose."""
    for tick, words in MENTION.findall(path.read_text("utf-8")):
        command: click.Command = cli
        for word in words.split():
            if word.startswith("--"):
                known = {option for each in command.params for option in each.opts} | {"--help", "--version"}
                assert word in known, f"finops-policy{words}"
            elif isinstance(command, click.Group):
                found = command.get_command(click.Context(command), word)
                assert found or not tick, f"finops-policy{words}"
                if found is None:
                    break
                command = found


def test_the_module_and_the_script_are_one_command() -> None:
    script = Path(sys.executable).with_name("finops-policy")
    said = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert said.stdout == f"finops-policy, version {__version__}\n"
