"""Killed, interrupted, out of disk: what is done stays done, nothing half-done looks whole, and a run can be finished.

What is to be killed in the middle is held there by a proxy before the sandbox, so that nothing depends on time.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from finops_policy.evidence.parquet import read_coverage, read_evaluations
from finops_policy.model import Coverage, FailureKind, Status
from finops_policy.sandbox.process import Sandbox
from tests.cli.conftest import Invoke
from tests.cli.kit import ROOT, Running, finops, running, until
from tests.engine.faults import Fault, Proxy, always, proxy

RUN = (
    "run", "--customer", "acme", "--account", "acme-prod", "--account", "acme-dev", "--policy", "ebs-required-tags",
    "--policy", "log-group-retention", "--fail-on", "never",
)  # fmt: skip
"""Four targets: two accounts in two regions, and two policies."""
RESUME = ("run", "--customer", "acme", "--fail-on", "never", "--workers", 1, "--resume")
HELD = always(Fault.HELD, "logs:DescribeLogGroups", region="eu-west-1")
"""Holds the targets of one region at their second policy."""
Verdicts = dict[tuple[str, str, str, str], str]


@pytest.fixture(scope="module")
def _before_sandbox(sandbox_server: Sandbox) -> Iterator[Proxy]:
    with proxy(sandbox_server.url) as made:
        yield made


@pytest.fixture
def between(_before_sandbox: Proxy) -> Iterator[Proxy]:
    """The proxy, holding nothing."""
    _before_sandbox.clear(lambda _call: None)
    yield _before_sandbox
    _before_sandbox.released.set()


@pytest.fixture
def environ(between: Proxy, sandbox_server: Sandbox, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """For commands as processes; this process has the same, for those that need not be one."""
    found = {**sandbox_server.environment(), "AWS_ENDPOINT_URL": between.url}
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    return found


@pytest.fixture(scope="session")
def broken_off(
    sandbox_server: Sandbox, tmp_path_factory: pytest.TempPathFactory, shared: Path
) -> tuple[Path, Verdicts]:
    """The store of a run whose command was killed when two of its four targets were done and two were in work, and
    the verdicts of a run that nobody disturbed. To be copied."""
    place = tmp_path_factory.mktemp("broken-off")
    config = {"XDG_CONFIG_HOME": str(shared / "cli-config")}
    with proxy(sandbox_server.url) as between:
        env = {**sandbox_server.environment(), **config, "AWS_ENDPOINT_URL": between.url}
        whole = finops(*RUN, "--store", "whole", "--workers", 1, cwd=place, env=env)
        assert whole.code == 0, whole.err
        between.clear(HELD)
        with running(*RUN, "--store", "broken", "--workers", 2, cwd=place, env=env) as command:
            until("two targets done", lambda: len(parts(place / "broken")) == 2)
            until("two targets in work", lambda: between.injected[Fault.HELD] == 2)
            command.signal(signal.SIGKILL, group=False)
            assert command.result().code == -signal.SIGKILL, "and no process outlives it"
    return place / "broken", verdicts(place / "whole")


@pytest.fixture
def store(broken_off: tuple[Path, Verdicts], place: Path) -> Path:
    """A run that broke off, in the workspace's own store."""
    return Path(shutil.copytree(broken_off[0], place / "evidence"))


@pytest.fixture
def good(broken_off: tuple[Path, Verdicts]) -> Verdicts:
    return broken_off[1]


def parts(store: Path) -> dict[str, tuple[int, int]]:
    """The targets that are done, and which file says so, since when."""
    found = store.rglob("coverage/*.parquet")
    return {path.stem: (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}


def bundles(store: Path) -> list[Path]:
    return sorted(store.glob("customer=acme/month=*/run=*"))


def verdicts(store: Path) -> Verdicts:
    """Of the newest run."""
    found = read_evaluations(bundles(store)[-1])
    return {(each.account_id, each.region, each.policy, each.resource_id): each.verdict.value for each in found}


def cells(store: Path) -> list[Coverage]:
    return read_coverage(bundles(store)[-1])


def events(store: Path, kind: str) -> list[dict[str, object]]:
    lines = (bundles(store)[-1] / "events.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == kind]


def nothing_sealed(store: Path) -> None:
    assert not [*store.rglob("run.json"), *store.rglob("run.dsse.json"), *store.rglob("head.dsse.json")]


def sealed_and_whole(store: Path, good: Verdicts, invoke: Invoke, runs: int = 1) -> None:
    """Every run of the store is sealed and verifies; the newest says what an undisturbed run says."""
    assert len(bundles(store)) == runs
    for bundle in bundles(store):
        assert (bundle / "run.json").exists()
        assert not list(bundle.rglob(".*.tmp"))
    assert verdicts(store) == good
    assert {cell.status for cell in cells(store)} == {Status.EVALUATED}
    assert len(cells(store)) == 4 * 2
    checked = invoke("verify", "--customer", "acme", "--store", store)
    assert checked.code == 0, checked.out + checked.err


# --- A worker -------------------------------------------------------------------------------------------------------


def _kill_workers_in_work(command: Running, between: Proxy, held: int) -> None:
    until("workers held in their work", lambda: between.injected[Fault.HELD] >= held)
    for worker in command.workers():
        os.kill(worker.pid, signal.SIGKILL)
    until("the workers' end", lambda: not {each.pid for each in command.workers()} & {worker.pid})


def test_targets_whose_workers_were_killed_are_judged_again(
    between: Proxy, environ: dict[str, str], good: Verdicts, place: Path, invoke: Invoke
) -> None:
    between.clear(HELD)
    with running(*RUN, "--workers", 2, cwd=place, env=environ) as command:
        _kill_workers_in_work(command, between, 2)
        between.released.set()
        said = command.result()
    assert said.code == 0, said.err
    sealed_and_whole(place / "evidence", good, invoke)


def test_a_target_that_kills_its_worker_twice_is_failed_cells_and_the_others_are_judged(
    between: Proxy, environ: dict[str, str], good: Verdicts, place: Path, invoke: Invoke
) -> None:
    between.clear(HELD)
    with running(*RUN, "--workers", 2, cwd=place, env=environ) as command:
        _kill_workers_in_work(command, between, 2)
        _kill_workers_in_work(command, between, 3)
        between.released.set()
        said = command.result()
    assert said.code == 4, said.err
    store = place / "evidence"
    lost = [cell for cell in cells(store) if cell.status is Status.FAILED]
    assert len(cells(store)) == 4 * 2
    assert len({(cell.account_id, cell.region) for cell in lost}) == 1
    assert {(cell.policy, cell.failure_kind, cell.population) for cell in lost} == {
        ("ebs-required-tags", FailureKind.BUG, 0),
        ("log-group-retention", FailureKind.BUG, 0),
    }
    assert {cell.message for cell in lost} == {"its worker process died twice (killed, or out of memory)"}
    gone = {(cell.account_id, cell.region) for cell in lost}
    assert verdicts(store) == {key: verdict for key, verdict in good.items() if key[:2] not in gone}
    assert invoke("verify", "--customer", "acme").code == 0


# --- The command ----------------------------------------------------------------------------------------------------


def test_a_killed_run_is_incomplete_and_no_command_takes_it_for_evidence(store: Path, invoke: Invoke) -> None:
    nothing_sealed(store)
    assert len(parts(store)) == 2
    assert "INCOMPLETE: never sealed" in invoke("runs", "list", "--customer", "acme").out
    for arguments in (("--customer", "acme"), (bundles(store)[0],)):
        checked = invoke("verify", *arguments)
        assert checked.code == 1
        assert "no sealed run" in checked.err
    assert invoke("report", "--customer", "acme").code == 1


def test_a_run_is_finished_by_judging_what_is_missing_and_nothing_else(
    store: Path, between: Proxy, environ: dict[str, str], good: Verdicts, place: Path, invoke: Invoke
) -> None:
    before = parts(store)
    said = invoke(*RESUME, "latest")
    assert said.code == 0, said.err
    assert between.calls["ec2:DescribeVolumes"] == between.calls["logs:DescribeLogGroups"] == 2
    after = parts(store)
    assert len(after) == 4
    assert {name: after[name] for name in before} == before
    assert len(events(store, "started")) == len(events(store, "resumed")) == 1
    told = Counter((each["account_id"], each["region"]) for each in events(store, "target"))
    assert set(told.values()) == {1}
    assert len(told) == 4
    sealed_and_whole(store, good, invoke)


def test_a_run_may_break_off_again_and_again(
    store: Path, between: Proxy, environ: dict[str, str], good: Verdicts, place: Path, invoke: Invoke
) -> None:
    run = bundles(store)[0].name.removeprefix("run=")
    between.clear(HELD)
    for _ in range(2):
        held = between.injected[Fault.HELD]
        with running(*RESUME, run, cwd=place, env=environ) as command:
            until("a target in work", lambda held=held: between.injected[Fault.HELD] > held)
            command.signal(signal.SIGKILL, group=False)
            assert command.result().code == -signal.SIGKILL
        nothing_sealed(store)
    between.released.set()
    assert invoke(*RESUME, run).code == 0
    assert len(events(store, "resumed")) == 3
    sealed_and_whole(store, good, invoke)


def test_a_run_that_is_under_way_is_not_resumed_by_another(
    store: Path, between: Proxy, environ: dict[str, str], good: Verdicts, place: Path, invoke: Invoke
) -> None:
    between.clear(HELD)
    with running(*RESUME, "latest", cwd=place, env=environ) as command:
        until("a target in work", lambda: between.injected[Fault.HELD] == 1)
        second = invoke(*RESUME, "latest")
        assert second.code == 1
        problem, advice = second.err.splitlines()[-2:]
        assert problem.startswith("Error: Run ")
        assert problem.endswith(" is being recorded by another process")
        assert advice == "Wait until it has ended."
        between.released.set()
        assert command.result().code == 0
    sealed_and_whole(store, good, invoke)


def test_a_run_that_is_complete_is_not_resumed(
    store: Path, environ: dict[str, str], good: Verdicts, place: Path, invoke: Invoke
) -> None:
    assert invoke(*RESUME, "latest").code == 0
    before = sorted((path, path.stat().st_mtime_ns) for path in store.rglob("*"))
    said = invoke(*RESUME, "latest")
    assert said.code == 1
    assert "is complete: there is nothing to resume" in said.err
    assert sorted((path, path.stat().st_mtime_ns) for path in store.rglob("*")) == before
    sealed_and_whole(store, good, invoke)


@pytest.mark.parametrize("changed", ["waivers", "packs"])
def test_a_run_is_not_finished_by_other_rules_than_it_was_begun_with(
    changed: str, store: Path, environ: dict[str, str], place: Path, invoke: Invoke
) -> None:
    before = parts(store)
    if changed == "waivers":
        shutil.copytree(ROOT / "customers" / "acme", place / "customers" / "acme")
        (place / "customers" / "acme" / "waivers.yaml").unlink()
    else:
        shutil.copytree(ROOT / "policies" / "packs" / "required-tags", place / "packs" / "required-tags")
        policy = place / "packs" / "required-tags" / "ebs-required-tags.yaml"
        policy.write_text(policy.read_text().replace("severity: medium", "severity: high"))
    said = invoke(*RESUME, "latest")
    assert said.code == 1
    assert "is not what it was when the run started" in said.err
    assert "make a new run" in said.err
    nothing_sealed(store)
    assert parts(store) == before


def test_ctrl_c_ends_at_once_and_leaves_a_run_that_can_be_finished(
    between: Proxy, environ: dict[str, str], good: Verdicts, place: Path, invoke: Invoke
) -> None:
    store = place / "evidence"
    between.clear(HELD)
    with running(*RUN, "--workers", 2, cwd=place, env=environ) as command:
        until("two targets done", lambda: len(parts(store)) == 2)
        until("two targets in work", lambda: between.injected[Fault.HELD] == 2)
        began = time.monotonic()
        command.signal(signal.SIGINT, group=True)
        said = command.result()
        assert time.monotonic() - began < 5
    assert said.code == 130
    run = bundles(store)[0].name.removeprefix("run=")
    assert f"Run {run} is incomplete. Finish it with --resume {run}." in said.err
    assert "Traceback" not in said.err
    nothing_sealed(store)
    between.released.set()
    assert invoke(*RESUME, run).code == 0
    sealed_and_whole(store, good, invoke)


def test_two_runs_at_once_are_both_sealed(
    between: Proxy, environ: dict[str, str], good: Verdicts, place: Path, invoke: Invoke
) -> None:
    between.clear(HELD)
    with (
        running(*RUN, "--workers", 2, cwd=place, env=environ) as one,
        running(*RUN, "--workers", 2, cwd=place, env=environ) as other,
    ):
        until("both in work", lambda: between.injected[Fault.HELD] == 4)
        between.released.set()
        assert (one.result().code, other.result().code) == (0, 0)
    store = place / "evidence"
    sealed_and_whole(store, good, invoke, runs=2)
    records = [json.loads((bundle / "run.json").read_text()) for bundle in bundles(store)]
    assert sorted(record["sequence"] for record in records) == [1, 2]


# --- The disk -------------------------------------------------------------------------------------------------------


def test_a_worker_that_cannot_write_ends_the_run_and_it_can_be_finished(
    store: Path, environ: dict[str, str], good: Verdicts, place: Path, invoke: Invoke
) -> None:
    """A limit on the size of files stands for the disk: a part's rows do not fit, the events do."""
    before = parts(store)
    limited = ("sh", "-c", 'ulimit -f 8; exec "$0" "$@"')
    env = {**environ, "PYTHONDONTWRITEBYTECODE": "1"}
    said = finops(*RESUME, "latest", "--workers", 2, cwd=place, env=env, before=limited)
    assert said.code == 1
    problem, advice = said.err.splitlines()[-2:]
    assert problem.startswith("Error: Cannot write evidence/customer=acme/")
    assert problem.endswith(".parquet: File too large")
    assert "ulimit" in advice
    assert "Traceback" not in said.err
    nothing_sealed(store)
    assert parts(store) == before
    assert invoke(*RESUME, "latest").code == 0
    sealed_and_whole(store, good, invoke)


@pytest.fixture
def disk(place: Path) -> Iterator[Path]:
    """A small disk of its own, mounted where the store is looked for."""
    folder = place / "evidence"
    folder.mkdir()
    if os.geteuid() != 0 or sys.platform != "linux" or _mount("-t", "tmpfs", "-o", "size=2m", "none", folder):
        pytest.skip("only root may mount a disk")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def _mount(*arguments: object) -> int:
    return subprocess.run(["mount", *map(str, arguments)], capture_output=True, check=False).returncode


def _fill(disk: Path) -> Path:
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            return filler


def test_a_disk_that_fills_up_in_mid_run(
    disk: Path, between: Proxy, environ: dict[str, str], good: Verdicts, place: Path, invoke: Invoke
) -> None:
    between.clear(HELD)
    with running(*RUN, "--workers", 2, cwd=place, env=environ) as command:
        until("two targets done", lambda: len(parts(disk)) == 2)
        until("two targets in work", lambda: between.injected[Fault.HELD] == 2)
        filler = _fill(disk)
        between.released.set()
        said = command.result()
    assert said.code == 1
    problem, advice = said.err.splitlines()[-2:]
    assert problem.startswith("Error: Cannot write evidence/customer=acme/")
    assert problem.endswith("No space left on device")
    assert advice == "Free some space on that disk, or choose a folder on another one."
    assert "Traceback" not in said.err
    nothing_sealed(disk)
    assert len(parts(disk)) == 2
    filler.unlink()
    assert invoke(*RESUME, "latest").code == 0
    sealed_and_whole(disk, good, invoke)


def test_a_disk_that_is_full_when_the_run_is_sealed(
    disk: Path,
    broken_off: tuple[Path, Verdicts],
    between: Proxy,
    environ: dict[str, str],
    place: Path,
    invoke: Invoke,
) -> None:
    store, good = broken_off
    shutil.copytree(store, disk, dirs_exist_ok=True)
    assert invoke(*RESUME, "latest").code == 0
    for path in (*disk.rglob("run.json"), *disk.rglob("run.dsse.json"), *disk.rglob("head.dsse.json")):
        path.unlink()  # as if it had been killed when all targets were done
    filler, before, asked = _fill(disk), parts(disk), between.calls["ec2:DescribeVolumes"]
    said = invoke(*RESUME, "latest")
    assert said.code == 1
    assert "No space left on device" in said.err
    assert "Traceback" not in said.err
    nothing_sealed(disk)
    assert invoke("verify", "--customer", "acme").code == 1
    filler.unlink()
    assert invoke(*RESUME, "latest").code == 0
    assert parts(disk) == before
    assert between.calls["ec2:DescribeVolumes"] == asked
    sealed_and_whole(disk, good, invoke)


def test_a_store_that_may_only_be_read(
    disk: Path, broken_off: tuple[Path, Verdicts], environ: dict[str, str], invoke: Invoke
) -> None:
    shutil.copytree(broken_off[0], disk, dirs_exist_ok=True)
    before = parts(disk)
    assert _mount("-o", "remount,ro", disk) == 0
    for command in ((*RESUME, "latest"), (*RUN, "--workers", 1)):
        said = invoke(*command)
        assert said.code == 1
        problem, advice = said.err.splitlines()[-2:]
        assert problem.startswith("Error: Cannot ")
        assert problem.endswith("Read-only file system")
        assert advice == "That file system is read-only: choose another folder."
        assert "Traceback" not in said.err
    assert parts(disk) == before
    nothing_sealed(disk)
