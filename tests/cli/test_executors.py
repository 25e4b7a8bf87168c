"""``run`` on a dask cluster, and how it is refused one. Processes are what every other test of ``run`` uses."""

from __future__ import annotations

from pathlib import Path

import pytest

from finops_policy.engine import pools
from finops_policy.engine.worker import TargetResult
from finops_policy.evidence.parquet import read_coverage, read_evaluations
from finops_policy.model import Evaluation
from finops_policy.sandbox.process import Sandbox
from tests.cli.conftest import FullRun, Invoke
from tests.cli.kit import finops


def verdicts(bundle: Path, account: str) -> set[tuple[str, str, str, str]]:
    def told(each: Evaluation) -> tuple[str, str, str, str]:
        return (each.region, each.policy, each.resource_id, each.verdict)

    return {told(each) for each in read_evaluations(bundle) if each.account_id == account}


def test_a_dask_cluster_judges_as_processes_do(sandbox_server: Sandbox, place: Path, full_run: FullRun) -> None:
    arguments = ("run", "--customer", "acme", "--account", "acme-data", "--executor", "dask", "--workers", 2)
    said = finops(*arguments, "--fail-on", "never", cwd=place, env=sandbox_server.environment())
    assert said.code == 0, said.err
    (bundle,) = place.glob("evidence/customer=acme/month=*/run=*")
    assert len(read_coverage(bundle)) == 2 * 26
    expected = verdicts(full_run.bundle, "777788889999")
    assert verdicts(bundle, "777788889999") == expected
    assert expected


def test_tasks_take_turns_in_a_worker_with_several_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []

    def evaluate(_task: object) -> TargetResult | None:
        seen.append(pools._ONE_AT_A_TIME.locked())
        return None

    monkeypatch.setattr(pools, "evaluate_target", evaluate)
    monkeypatch.setattr(pools, "enter_environment", lambda *_args: None)
    pools.evaluate_on_cluster(None, {}, sandboxed=False)  # type: ignore[arg-type]
    assert seen == [True]
    assert not pools._ONE_AT_A_TIME.locked()


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "127.0.0.1:9", "tcp://127.0.0.1:nine", "nonsense:1:2"])
@pytest.mark.usefixtures("in_sandbox")
def test_a_scheduler_that_does_not_answer_is_a_clear_error(address: str, place: Path, invoke: Invoke) -> None:
    said = invoke("run", "--customer", "acme", "--account", "acme-data", "--executor", "dask", "--scheduler", address)
    assert said.code == 2
    assert f"The dask scheduler {address} does not answer" in said.err
    assert not list(place.rglob("run.json"))


def test_options_that_do_not_go_together(place: Path, invoke: Invoke) -> None:
    refused = invoke("run", "--customer", "acme", "--scheduler", "tcp://127.0.0.1:9")
    assert (refused.code, refused.out) == (2, "")
    assert "--scheduler needs --executor dask." in refused.err
    refused = invoke("run", "--customer", "acme", "--resume", "latest", "--region", "us-east-1")
    assert refused.code == 2
    assert "--resume takes a run as it was begun." in refused.err
