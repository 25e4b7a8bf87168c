"""``sandbox``: one that keeps running, and commands that find it."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest

from finops_policy import aws
from finops_policy.catalog import Catalog
from finops_policy.evidence.parquet import read_evaluations
from finops_policy.evidence.store import read_run
from finops_policy.roles import Roles
from tests.cli.conftest import Invoke
from tests.cli.kit import Result, finops, processes, until

DEV = "444455556666"

RUN = ("run", "--customer", "acme", "--account", "acme-dev", "--policy", "s3*", "--workers", 1, "--format", "json")


def exports(text: str) -> dict[str, str]:
    """What a shell would take from ``source <(finops-policy sandbox start)``."""
    return dict(line.removeprefix("export ").split("=", 1) for line in text.splitlines())


def judged(said: Result, place: Path) -> set[str]:
    return {each.resource_id for each in read_evaluations(place / json.loads(said.out)["bundle"])}


def test_it_is_started_found_used_and_stopped(place: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    assert invoke("sandbox", "status").code == 1
    started = finops("sandbox", "start", cwd=place)
    pid = int(started.err.split("process ")[1].split(".")[0])
    try:
        assert started.code == 0
        again = finops("sandbox", "start", cwd=place)
        assert again.out == started.out
        assert f"process {pid}." in again.err

        reached = exports(started.out)
        status = invoke("sandbox", "status")
        assert (status.code, status.out) == (0, f"Running at {reached['AWS_ENDPOINT_URL']} (process {pid}).\n")
        assert invoke("sandbox", "status", "--workspace", place.parent).code == 1

        with monkeypatch.context() as environment:
            for name, value in reached.items():
                environment.setenv(name, value)
            acme = Catalog(place).customer("acme")
            dev = next(account for account in acme.accounts if account.id == DEV)
            role = Roles(acme, aws.caller("us-east-1")).enter(dev, dt.timedelta())
            assert isinstance(role, aws.Credentials)
            aws.session("us-east-1", role).client("s3").create_bucket(Bucket="made-by-hand")
            assert "made-by-hand" in judged(invoke(*RUN), place)

        misled = {
            "AWS_PROFILE": "nope",
            "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
            "HTTP_PROXY": "http://127.0.0.1:1",
        }
        used = finops(*RUN, "--sandbox", cwd=place, env=misled)
        assert used.code == 3
        assert "made-by-hand" in judged(used, place), "the running sandbox, not one of its own"
        assert read_run(place / json.loads(used.out)["bundle"]).data["sandbox"] is True
        assert invoke("sandbox", "status").out == status.out
    finally:
        stopped = invoke("sandbox", "stop")
    assert (stopped.code, stopped.out) == (0, "Stopped.\n")
    until("the end of the sandbox", lambda: pid not in {each.pid for each in processes()}, 10)
    assert invoke("sandbox", "status").code == 1
    assert invoke("sandbox", "stop").out == "No sandbox was running here.\n"


def test_a_place_it_cannot_be_kept_in_is_told(place: Path, invoke: Invoke) -> None:
    (place / ".finops-policy").write_text("a file")
    said = invoke("sandbox", "start")
    assert said.code == 1
    assert "Error: Cannot make the folder .finops-policy: File exists" in said.err
    assert "Something else has that name already" in said.err
