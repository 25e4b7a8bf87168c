"""Ended from outside: Ctrl-C, SIGTERM, kill -9 of the command or a worker. Nothing half-done stays or looks whole."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from finops_policy.evidence.parquet import read_coverage, read_evaluations
from finops_policy.evidence.store import read_run
from finops_policy.model import FailureKind
from finops_policy.sandbox.process import Sandbox
from tests.cli.conftest import Invoke
from tests.cli.kit import Running, processes, running, until

RUN = ("run", "--customer", "acme", "--workers", 2)
IN_WORK = "[3/8]"
"""What is said when the first target was judged, while others are in work: the first two are refused at once."""


def leaves_nothing_whole(command: Running, place: Path, invoke: Invoke) -> None:
    """The run ended as interrupted, and is known as incomplete."""
    said = command.result()
    assert said.code == 130
    assert said.err.splitlines()[-1] == "Interrupted. Nothing was sealed."
    assert said.out == ""
    assert "Traceback" not in said.err
    assert not [*place.rglob("run.json"), *place.rglob("run.dsse.json"), *place.rglob("head.dsse.json")]
    listed = invoke("runs", "list", "--customer", "acme")
    assert [line.split("  ")[1] for line in listed.out.splitlines()] == ["INCOMPLETE: never sealed"]


def test_ctrl_c_ends_the_workers_and_the_sandbox(place: Path, invoke: Invoke) -> None:
    with running(*RUN, "--sandbox", cwd=place) as command:
        command.wait_for(IN_WORK)
        (server,) = [each.pid for each in processes() if f"--parent {command.pid}" in each.command]
        before = len(list(place.rglob("*.parquet")))
        command.signal(signal.SIGINT, group=True)
        leaves_nothing_whole(command, place, invoke)
        assert len(list(place.rglob("*.parquet"))) - before <= 2, "targets in work are broken off, not waited for"
        until("the end of the sandbox", lambda: server not in {each.pid for each in processes()}, 20)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_end_while_the_workers_start(
    number: signal.Signals, sandbox_server: Sandbox, place: Path, invoke: Invoke
) -> None:
    with running(*RUN, cwd=place, env=sandbox_server.environment()) as command:
        command.wait_for("Checking 8 targets")
        command.signal(number, group=number is signal.SIGINT)
        leaves_nothing_whole(command, place, invoke)


def test_an_end_before_there_is_a_run_leaves_none(sandbox_server: Sandbox, place: Path) -> None:
    with running(*RUN, cwd=place, env=sandbox_server.environment()) as command:
        until("the fork server", lambda: any("forkserver" in each.command for each in command.members()))
        command.signal(signal.SIGINT, group=True)
        said = command.result()
        until("the end of its processes", lambda: not command.members(), 20)
    assert (said.code, said.out) == (130, "")
    assert said.err.splitlines()[-1] == "Interrupted. Nothing was sealed."
    assert not list(place.rglob("run.json"))


def test_sigterm_in_mid_run_ends_it_as_ctrl_c_does(sandbox_server: Sandbox, place: Path, invoke: Invoke) -> None:
    with running(*RUN, cwd=place, env=sandbox_server.environment()) as command:
        command.wait_for(IN_WORK)
        command.signal(signal.SIGTERM, group=False)
        leaves_nothing_whole(command, place, invoke)


def test_ctrl_c_without_workers(sandbox_server: Sandbox, place: Path, invoke: Invoke) -> None:
    with running(*RUN[:-1], 1, cwd=place, env=sandbox_server.environment()) as command:
        command.wait_for(IN_WORK)
        command.signal(signal.SIGINT, group=True)
        leaves_nothing_whole(command, place, invoke)


def test_no_worker_outlives_a_command_that_was_killed(sandbox_server: Sandbox, place: Path, invoke: Invoke) -> None:
    with running(*RUN, cwd=place, env=sandbox_server.environment()) as command:
        command.wait_for(IN_WORK)
        assert command.workers()
        command.signal(signal.SIGKILL, group=False)
        assert command.result().code == -signal.SIGKILL
    assert "INCOMPLETE" in invoke("runs", "list", "--customer", "acme").out
    assert invoke("report", "--customer", "acme").code == 1


def test_a_killed_worker_costs_nothing_but_time(sandbox_server: Sandbox, place: Path, invoke: Invoke) -> None:
    with running(*RUN, cwd=place, env=sandbox_server.environment()) as command:
        command.wait_for(IN_WORK)
        os.kill(command.workers()[0].pid, signal.SIGKILL)
        said = command.result()
    assert said.code == 4, "the account that cannot be entered"
    (bundle,) = place.glob("evidence/customer=acme/month=*/run=*")
    cells = read_coverage(bundle)
    record = read_run(bundle).data
    assert len(cells) == 8 * 26 == sum(record["counts"]["cells"].values())
    assert {cell.failure_kind for cell in cells} == {None, FailureKind.OWN_PERMISSION}
    assert record["counts"]["population"] == 506 == len(list(read_evaluations(bundle)))
    assert invoke("verify", "--customer", "acme").code == 0
