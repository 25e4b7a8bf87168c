"""What the tests of the command line share: one full run for all of them, and ways to run commands."""

from __future__ import annotations

import dataclasses
import fcntl
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from finops_policy.cli import main
from finops_policy.sandbox.process import Sandbox
from tests.cli.kit import Result, finops

Invoke = Callable[..., Result]


@dataclasses.dataclass(frozen=True)
class FullRun:
    """The sandbox run of everything for acme: what it said, and the store it filled, to be read only."""

    result: Result
    store: Path
    key: Path

    @property
    def bundle(self) -> Path:
        (folder,) = self.store.glob("customer=acme/month=*/run=*")
        return folder


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder that all test workers share."""
    base = tmp_path_factory.getbasetemp()
    return base if worker_id == "master" else base.parent


@pytest.fixture(autouse=True)
def _one_key_for_all(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(shared / "cli-config"))
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "TERM"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def _full_run_once(shared: Path) -> FullRun:
    """The first worker makes the run, the others wait for it."""
    config, store, said = shared / "cli-config", shared / "acme-store", shared / "acme-said.json"
    with (shared / "acme.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not said.exists():
            env = {"XDG_CONFIG_HOME": str(config)}
            result = finops("run", "--customer", "acme", "--sandbox", "--store", store, cwd=shared, env=env)
            said.write_text(json.dumps(dataclasses.asdict(result)))
    return FullRun(Result(**json.loads(said.read_text())), store, config / "finops-policy" / "signing.pem.pub")


@pytest.fixture
def full_run(_full_run_once: FullRun) -> FullRun:
    return _full_run_once


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, and the current one."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def invoke(capsys: pytest.CaptureFixture[str]) -> Invoke:
    """Runs a command in this process."""

    def invoke(*arguments: object) -> Result:
        capsys.readouterr()
        code = main([str(each) for each in arguments])
        said = capsys.readouterr()
        return Result(code, said.out, said.err)

    return invoke


@pytest.fixture
def small_run(in_sandbox: Sandbox, place: Path, invoke: Invoke) -> Invoke:
    """A run of one account x region and one policy, of which some resources are noncompliant, unless told otherwise."""

    def run(*arguments: object) -> Result:
        few = {"--account": "acme-dev", "--region": "us-east-1", "--policy": "s3-required-tags"}
        chosen = [part for option, value in few.items() if option not in arguments for part in (option, value)]
        return invoke("run", "--customer", "acme", "--workers", 1, *chosen, *arguments)

    return run
