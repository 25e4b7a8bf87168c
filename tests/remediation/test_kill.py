"""Killed anywhere (kill -9): going on neither repeats nor forgets an action.

The process that applies is killed right before and right after everything that leaves a trace: each line of the
journal, each call that changes something in AWS, each file of the evidence. By default at some of these places;
``FINOPS_POLICY_LONG=1`` takes them all.

This module is also that process: run as a program it has everything imported, and forks for each job that it is told.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from finops_policy.remediation import work
from finops_policy.remediation.model import Outcome
from finops_policy.remediation.plan_file import read_plan
from tests.engine.faults import Proxy
from tests.remediation.engine_kit import READS, House, Thing, environment, order_of, post

LONG = os.environ.get("FINOPS_POLICY_LONG") == "1"
ROOT = Path(__file__).parents[2]
SAMPLE = 6


# --- The process that is killed -------------------------------------------------------------------------------------


class Places:
    """Counts the places that are passed, writes their names down, and ends the process at one of them."""

    def __init__(self, path: Path, kill_at: int) -> None:
        self._path = path
        self._kill_at = kill_at
        self._passed = 0

    def __call__(self, name: str) -> None:
        with self._path.open("a") as out:
            out.write(f"{name}\n")
        self._passed += 1
        if self._passed == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, of: Any, attribute: str, name_of: Callable[..., str]) -> None:
        """Counts the places before and after each call of a function; without a name a call does not count."""
        original = getattr(of, attribute)

        def watched(*arguments: Any, **named: Any) -> Any:
            name = name_of(*arguments)
            if name:
                self(f"before {name}")
            try:
                return original(*arguments, **named)
            finally:
                if name:
                    self(f"after {name}")

        setattr(of, attribute, watched)


def _job(folder: str, url: str, verb: str, kill_at: int, places: str) -> None:
    import botocore.client

    from finops_policy.evidence import bundle
    from finops_policy.remediation import recording
    from finops_policy.remediation.journal import Journal

    os.environ.update(environment(url))
    house = House(Path(folder), Proxy(url))
    passing = Places(Path(places), kill_at)
    passing.around(Journal, "write", lambda _self, event, *_rest: f"journal {event}")
    passing.around(
        botocore.client.BaseClient,
        "_make_api_call",
        lambda _self, operation, *_rest: "" if operation.startswith(READS) else f"call {operation}",
    )
    passing.around(bundle, "write_atomic", lambda path, *_rest: f"file {path.name}")
    passing.around(recording, "write_actions", lambda *_rest: "rows")
    broken = [each.run_id for each in house.store.remediations("house") if not each.sealed]
    resume = broken[0] if broken else ""
    if verb == "apply":
        [plan] = [each for each in house.store.plans_folder("house").iterdir() if each.is_dir()]
        work.apply(order_of(read_plan(plan)), house.hands(), resume)
        return
    hands = house.hands()
    applied = work.find_applied(house.store, "house", "latest", hands.key, ())
    work.undo(applied, hands, frozenset(), resume)


def _serve() -> None:
    """Forks for each line of stdin, a job; answers with how it ended."""
    from finops_policy.custodian import library

    library.quiet()
    library.load_types(["aws.ec2", "aws.ebs", "aws.lambda", "aws.log-group"])
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                _job(**json.loads(line))
                code = 0
            finally:
                sys.stderr.flush()
                os._exit(code)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


# --- The tests ------------------------------------------------------------------------------------------------------

Run = Callable[..., int]


@pytest.fixture(scope="module")
def _server() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.remediation.test_kill"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COV_", "COVERAGE_"))}
    with subprocess.Popen(
        command, cwd=ROOT, env=kept, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        assert process.stdin
        process.stdin.close()
        process.wait(20)


@pytest.fixture
def run(_server: subprocess.Popen[str]) -> Run:
    """Applies or undoes in a process of its own; how it ended."""

    def run(house: House, verb: str, kill_at: int = 0) -> int:
        assert _server.stdin
        assert _server.stdout
        job = {"folder": str(house.folder), "url": house.proxy.url, "verb": verb, "kill_at": kill_at}
        _server.stdin.write(json.dumps(job | {"places": str(house.folder / "places")}) + "\n")
        _server.stdin.flush()
        return int(_server.stdout.readline())

    return run


@pytest.fixture
def fresh(house: House, moto_url: str) -> Callable[[str], House]:
    """The same estate and plan, in an account and a folder of their own."""

    def fresh(name: str) -> House:
        post(f"{moto_url}/moto-api/reset")
        one = House(house.folder / name, house.proxy, sessions=house.sessions).write()
        one.plan(*estate(one))
        return one

    return fresh


def estate(house: House) -> list[Thing]:
    return [house.instance(), house.volume(), house.function(), house.logs()]


def names(house: House) -> list[str]:
    return (house.folder / "places").read_text().splitlines()


APPLY_CALLS = {
    "ec2:StopInstances": 1,
    "ec2:CreateSnapshot": 1,
    "ec2:DeleteVolume": 1,
    "lambda:PutFunctionConcurrency": 1,
    "logs:PutRetentionPolicy": 1,
}
UNDO_CALLS = {
    "ec2:StartInstances": 1,
    "ec2:CreateVolume": 1,
    "lambda:DeleteFunctionConcurrency": 1,
    "logs:DeleteRetentionPolicy": 1,
}


def sampled(places: list[str]) -> list[int]:
    """Numbers of places, from 1: all of them, or some, another way through each call that changes something."""
    if LONG:
        return list(range(1, len(places) + 1))
    calls = [number for number, name in enumerate(places, 1) if name.startswith("after call")]
    others = [number for number in range(1, len(places) + 1) if number not in calls]
    some = max(1, SAMPLE - len(calls))
    return sorted([*calls, *(others[(2 * each + 1) * len(others) // (2 * some)] for each in range(some))])


def check(house: House, kind: str, calls: dict[str, int], outcome: Outcome, place: str) -> None:
    """What evidence says, against what happened at the server."""
    assert house.changing == Counter(calls), place
    sealed = [each for each in house.store.remediations("house") if each.sealed]
    found = [each for each in sealed if json.loads((each.folder / "run.json").read_text())["kind"] == kind]
    [only] = found
    rows = house.rows(work.Applied(only.run_id, only.folder, ()))
    assert len(rows) == 5, place
    assert {each["outcome"] for each in rows} == {outcome.value}, place


def test_a_killed_remediation_goes_on(fresh: Callable[[str], House], run: Run) -> None:
    whole = fresh("whole")
    assert run(whole, "apply") == 0
    check(whole, "apply", APPLY_CALLS, Outcome.DONE, "never killed")
    places = names(whole)
    assert sum(each.startswith("after call") for each in places) == len(APPLY_CALLS)
    assert sum(each.startswith("before journal") for each in places) >= 3 * 5 + 2
    for number in sampled(places):
        one = fresh(f"killed-{number}")
        assert run(one, "apply", number) == -signal.SIGKILL
        assert names(one) == places[:number]
        sealed = [each for each in one.store.remediations("house") if each.sealed]
        if not sealed:
            assert run(one, "apply") == 0, places[number - 1]
        check(one, "apply", APPLY_CALLS, Outcome.DONE, places[number - 1])
        assert one.state(Thing("keep-logs", "/app/log")) == 30


def test_a_killed_undo_goes_on(fresh: Callable[[str], House], run: Run) -> None:
    whole = fresh("whole")
    assert run(whole, "apply") == 0
    whole.proxy.clear(lambda _call: None)
    (whole.folder / "places").unlink()
    assert run(whole, "undo") == 0
    check(whole, "undo", UNDO_CALLS, Outcome.UNDONE, "never killed")
    places = names(whole)
    for number in sampled(places):
        one = fresh(f"killed-{number}")
        assert run(one, "apply") == 0
        one.proxy.clear(lambda _call: None)
        (one.folder / "places").unlink()
        assert run(one, "undo", number) == -signal.SIGKILL
        unsealed = [each for each in one.store.remediations("house") if not each.sealed]
        if unsealed or len(one.store.remediations("house")) == 1:
            assert run(one, "undo") == 0, places[number - 1]
        check(one, "undo", UNDO_CALLS, Outcome.UNDONE, places[number - 1])
        assert (
            len(one.client("ec2").describe_volumes(Filters=[{"Name": "status", "Values": ["available"]}])["Volumes"])
            == 1
        )


if __name__ == "__main__":
    _serve()
