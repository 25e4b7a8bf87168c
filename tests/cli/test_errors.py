"""What goes wrong around a command: a clear line, the next step, the right exit code, nothing that looks whole."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from finops_policy.sandbox.process import Sandbox
from tests.cli.conftest import FullRun, Invoke
from tests.cli.kit import COMMAND, DEADLINE, ROOT, environment, finops

HEAD = "apiVersion: finops-policy/v1\nkind: Customer\nname: globex\n"
TAKEN = ("A part of that path is a file", "Something else has that name already")
SMALL = ("run", "--customer", "acme", "--account", "acme-dev", "--policy", "s3*", "--workers", 1)


def customer(workspace: Path, name: str, text: str) -> None:
    folder = workspace / "customers" / name
    folder.mkdir(parents=True)
    (folder / "customer.yaml").write_text(text)


def sealed(folder: Path) -> list[Path]:
    return [*folder.rglob("run.json"), *folder.rglob("run.dsse.json")]


# --- Names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["run", "compile", "explain"])
@pytest.mark.parametrize("name", ["nobody", "../x", "/etc", "..", "", "acme/../acme", "acme\n", "a\x1b[31mb"])
def test_a_customer_that_cannot_be_is_refused(command: str, name: str, place: Path, invoke: Invoke) -> None:
    said = invoke(command, "--customer", name)
    assert said.code == 2
    assert said.err.startswith("Error: There is no customer named ")
    assert "acme" in said.err.splitlines()[1]
    assert "\x1b" not in said.err
    assert not list(place.iterdir())


@pytest.mark.parametrize("arguments", [("runs", "list"), ("report",), ("verify",)])
@pytest.mark.parametrize("name", ["../x", "/etc", "", "Acme"])
def test_a_name_never_leads_out_of_the_store(
    arguments: tuple[str, ...], name: str, full_run: FullRun, place: Path, invoke: Invoke
) -> None:
    said = invoke(*arguments, "--customer", name, "--store", full_run.store)
    assert said.code == 2
    assert f"{name!r} is not a customer name" in said.err
    assert not list(place.iterdir())


def test_a_customer_without_a_profile_needs_one(place: Path, invoke: Invoke) -> None:
    text = f'{HEAD}title: Globex\nregions: [us-east-1]\naccounts: [{{id: "111122223333", name: one}}]\n'
    customer(place, "globex", text)
    said = invoke("run", "--customer", "globex", "--dry-run")
    assert said.code == 2
    assert "Customer globex names no profile." in said.err
    assert "Give --profile: one of fedramp, hipaa, sox, startup." in said.err
    assert invoke("run", "--customer", "globex", "--profile", "startup", "--dry-run").code == 0


def test_a_workspace_that_is_not_there_is_no_empty_one(place: Path, invoke: Invoke) -> None:
    said = invoke("run", "--customer", "acme", "--workspace", place / "typo", "--dry-run")
    assert said.code == 2
    assert "does not exist" in said.err


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: globex\n  title: x\n", "customers/globex/customer.yaml:2:8: "),
        ("name: globex\n\ttitle: x\n", "customers/globex/customer.yaml:2:1: "),
        ("name: globex\nname: globex\n", "customers/globex/customer.yaml:2:1: "),
        (f"{HEAD}regions: us-east-1\n", "customers/globex/customer.yaml:4:10: "),
        ("a: &a [x]\nb: &b [*a, *a]\nname: [*b, *b]\nlast: .nan\n", "customers/globex/customer.yaml:"),
        ("", "customers/globex/customer.yaml: "),
        ("name: \x00\n", "customers/globex/customer.yaml:1:7: "),
    ],
    ids=["indentation", "tab", "duplicate", "type", "aliases", "empty", "nul"],
)
def test_broken_yaml_is_told_with_its_place(text: str, expected: str, place: Path, invoke: Invoke) -> None:
    customer(place, "globex", text)
    said = invoke("run", "--customer", "globex", "--profile", "startup", "--dry-run")
    assert said.code == 1
    assert said.out == ""
    assert any(line.startswith(expected) for line in said.err.splitlines()), said.err
    assert "Error: " in said.err.splitlines()[-1]
    assert "Traceback" not in said.err


def test_every_problem_of_the_files_is_told_at_once(place: Path, invoke: Invoke) -> None:
    customer(place, "globex", f"{HEAD}title: x\nregions: []\naccounts: [{{id: 1}}]\n")
    said = invoke("explain", "--customer", "globex", "--profile", "startup")
    places = {line.split(": ")[0] for line in said.err.splitlines() if line.startswith("customers/")}
    expected = {"4:8": "title", "5:10": "regions", "6:12": "name", "6:17": "id"}
    assert places == {f"customers/globex/customer.yaml:{each}" for each in expected}
    assert "Error: 4 problems in the files read" in said.err


def test_a_waiver_that_cannot_be_read_is_told_and_does_not_apply(place: Path, invoke: Invoke) -> None:
    folder = Path(shutil.copytree(ROOT / "customers" / "acme", place / "customers" / "acme"))
    waivers = folder / "waivers.yaml"
    text = waivers.read_text("utf-8")
    waivers.write_text(text.replace("approved_by: ingrid.holm@", "approved_by: Dana.Whitfield@", 1), "utf-8")
    said = invoke("run", "--customer", "acme", "--dry-run", "-q")
    assert said.code == 0
    assert said.err.startswith("customers/acme/waivers.yaml:6:5: Waiver W-2026-014 is approved by the person who ")
    assert "it does not apply" in said.err


# --- Credentials ----------------------------------------------------------------------------------------------------


def test_without_credentials_it_says_how_to_sign_in(place: Path) -> None:
    nowhere = {"HOME": str(place / "home"), "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    said = finops(*SMALL, cwd=place, env=nowhere)
    assert said.code == 1
    problem, advice = said.err.splitlines()[-2:]
    assert problem == "Error: AWS does not say who is calling: Unable to locate credentials"
    assert "aws sso login" in advice
    assert said.out == ""
    assert not list(place.rglob("customer=acme"))


def test_a_profile_of_aws_that_is_not_there(place: Path) -> None:
    said = finops(*SMALL, cwd=place, env={"AWS_PROFILE": "nope", "AWS_CONFIG_FILE": os.devnull})
    assert said.code == 1
    assert "Error: " in said.err
    assert "nope" in said.err
    assert "Traceback" not in said.err


def test_a_wrong_external_id_reaches_no_account(in_sandbox: Sandbox, place: Path, invoke: Invoke) -> None:
    text = (ROOT / "customers" / "acme" / "customer.yaml").read_text()
    customer(place, "acme", text.replace("acme-7f3c", "stolen"))
    said = invoke(*SMALL, "--allow-incomplete", "--fail-on", "never")
    assert said.code == 0
    assert "0 of 2 cells evaluated, 0 not applicable, 2 NOT CHECKED (own-permission)." in said.out
    assert invoke(*SMALL, "-q").code == 4


# --- The store ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("store", "advices"),
    [
        ("a-file", TAKEN),
        ("a-file/below", TAKEN),
        ("/dev/null/store", TAKEN),
        pytest.param(
            "/proc/store",
            ("Check the path",),
            marks=pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's"),
        ),
    ],
)
def test_a_store_that_cannot_be_is_told(
    store: str, advices: tuple[str, ...], in_sandbox: Sandbox, place: Path, invoke: Invoke
) -> None:
    (place / "a-file").write_text("mine")
    said = invoke(*SMALL, "--store", store)
    assert said.code == 1
    problem, advice = said.err.splitlines()[-2:]
    assert problem.startswith("Error: Cannot "), said.err
    assert f" {store}" in problem
    assert advice.startswith(advices)
    assert said.out == ""
    assert (place / "a-file").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_store(in_sandbox: Sandbox, place: Path, invoke: Invoke) -> None:
    store = place / "store"
    store.mkdir(mode=0o500)
    said = invoke(*SMALL, "--store", store)
    assert said.code == 1
    assert "Permission denied" in said.err
    assert "change its permissions" in said.err


def test_a_full_disk_leaves_nothing_that_looks_whole(sandbox_server: Sandbox, place: Path, invoke: Invoke) -> None:
    """A limit on the size of files stands for the disk: the compiled policies are larger, the first event is not."""
    limited = ("sh", "-c", 'ulimit -f 16; exec "$0" "$@"')
    env = {**sandbox_server.environment(), "PYTHONDONTWRITEBYTECODE": "1"}
    said = finops(*SMALL, "--store", "store", cwd=place, env=env, before=limited)
    assert said.code == 1
    problem, advice = said.err.splitlines()[-2:]
    assert problem.startswith("Error: Cannot write store/customer=acme/")
    assert problem.endswith("File too large")
    assert "ulimit" in advice
    assert "Traceback" not in said.err
    assert not sealed(place)
    assert not list(place.rglob(".*.tmp"))
    assert "INCOMPLETE" in invoke("runs", "list", "--customer", "acme", "--store", "store").out
    assert invoke("report", "--customer", "acme", "--store", "store").code == 1


def test_a_store_with_a_file_for_a_folder_is_told(place: Path, invoke: Invoke) -> None:
    folder = place / "evidence" / "customer=acme"
    folder.mkdir(parents=True)
    (folder / "month=2026-01").write_text("not a folder")
    said = invoke("runs", "list", "--customer", "acme")
    assert said.code == 1
    assert "Error: Cannot read evidence/customer=acme/month=2026-01: Not a directory" in said.err


def test_a_signing_key_that_others_can_read_is_refused(
    in_sandbox: Sandbox, place: Path, invoke: Invoke, full_run: FullRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = place / "signing.pem"
    shutil.copy(full_run.key.with_suffix(""), key)
    key.chmod(0o644)
    monkeypatch.setenv("FINOPS_POLICY_KEY", str(key))
    said = invoke(*SMALL)
    assert said.code == 1
    assert "Others can read the signing key" in said.err
    assert f"chmod 600 {key}" in said.err


# --- Where the output goes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command", [("explain", "--customer", "acme", "--format", "json"), ("--help",), ("--version",)]
)
def test_a_reader_that_has_seen_enough_gets_no_traceback(command: tuple[str, ...], place: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as broken:
        done = subprocess.run(
            [*COMMAND, *command],
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


def test_a_run_is_sealed_even_if_nobody_reads_its_table(sandbox_server: Sandbox, place: Path, invoke: Invoke) -> None:
    piped = ("sh", "-c", '"$0" "$@" | head -n 1')
    said = finops(*SMALL, "-q", cwd=place, env=sandbox_server.environment(), before=piped)
    assert said.err == ""
    assert len(said.out.splitlines()) == 1
    assert invoke("verify", "--customer", "acme").code == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
@pytest.mark.parametrize("command", [("explain", "--customer", "acme"), ("completion", "bash"), ("--version",)])
def test_output_to_a_full_disk_is_an_error(command: tuple[str, ...], place: Path) -> None:
    said = finops(*command, cwd=place, before=("sh", "-c", '"$0" "$@" > /dev/full'))
    assert said.code == 1
    assert "Error: " in said.err
    assert "No space left on device" in said.err
    assert "Traceback" not in said.err
    assert "Exception ignored" not in said.err


def test_a_closed_stdout_is_no_bug(place: Path) -> None:
    said = finops("explain", "--customer", "acme", cwd=place, before=("sh", "-c", '"$0" "$@" >&-'))
    assert said.err == ""
    assert said.code == 0


# --- Tracebacks -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("run", "--customer", "acem"), 2),
        (("report", "--customer", "acme"), 1),
        (("verify",), 2),
        (("runs", "list", "--customer", "../x"), 2),
        (("compile", "--customer", "acem"), 2),
        (("explain", "--customer", "acme", "--profile", "x"), 2),
        (("test",), 2),
    ],
)
def test_only_vv_shows_a_traceback_and_nothing_else_changes(
    command: tuple[str, ...], code: int, place: Path, invoke: Invoke
) -> None:
    short, v, long = invoke(*command), invoke(*command, "-v"), invoke(*command, "-vv")
    assert short == v
    assert short.code == long.code == code
    assert "Traceback" not in short.err
    assert long.err.startswith("Traceback (most recent call last):")
    assert long.err.endswith(short.err)
    assert long.out == short.out == ""


BUG = """
import sys
from finops_policy import cli
from finops_policy.cli import explain_command

def broken(*args, **kwargs):
    raise RuntimeError("a surprise")

explain_command.command.callback = broken
cli.entry_point()
"""


@pytest.mark.parametrize("verbose", [False, True])
def test_a_bug_is_called_one(verbose: bool, place: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BUG, "explain", "--customer", "acme", *(["-vv"] if verbose else [])],
        cwd=place,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 1
    if verbose:
        assert done.stderr.startswith("Traceback")
    else:
        assert done.stderr == (
            "Bug in finops-policy: RuntimeError('a surprise'). Run it again with -vv, and report what it says.\n"
        )


# --- Usage ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("rnu",), "There is no command 'rnu'. Did you mean run?"),
        (("run",), "Missing option '--customer'"),
        (("run", "--customer", "acme", "--fail-on", "hihg"), "is not one of 'info', 'low'"),
        (("run", "--customer", "acme", "--workers", "0"), "0 is not in the range x>=1"),
        (("run", "--customer", "acme", "--formt", "json"), "No such option"),
        (("run", "acme"), "Missing option '--customer'"),
        (("completion", "ksh"), "'ksh' is not one of 'bash', 'zsh', 'fish'"),
        (("test", "nowhere"), "Path 'nowhere' does not exist"),
    ],
)
def test_usage_errors_end_with_2_and_point_to_the_help(
    arguments: tuple[str, ...], expected: str, invoke: Invoke
) -> None:
    said = invoke(*arguments)
    assert said.code == 2
    assert expected in " ".join(said.err.split())
    assert "--help'" in said.err
    assert said.out == ""
