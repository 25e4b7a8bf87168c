"""A customer whose accounts are discovered, from the command line: the one that the sandbox's page shows."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from finops_policy.evidence.store import read_run
from tests.cli.conftest import Invoke
from tests.cli.kit import ROOT


@pytest.fixture
def described(place: Path) -> Path:
    """A workspace with the customer of docs/sandbox.md."""
    [text] = re.findall(
        r"^```yaml\n(.*?)^```", (ROOT / "docs" / "sandbox.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    folder = place / "customers" / "acme-org"
    folder.mkdir(parents=True)
    (folder / "customer.yaml").write_text(text)
    return place


@pytest.mark.usefixtures("in_sandbox")
def test_discovered_accounts_are_judged_and_those_left_out_recorded(described: Path, invoke: Invoke) -> None:
    customer = described / "customers" / "acme-org" / "customer.yaml"
    text = customer.read_text()
    assert "organization: {include: [ou-acme-workloads]" in text
    customer.write_text(text.replace("include: [ou-acme-workloads]", "exclude: [ou-acme-development]"))
    few = ("--policy", "s3-required-tags", "--workers", 1, "--format", "json")
    done = invoke("run", "--customer", "acme-org", *few)
    run = read_run(described / json.loads(done.out)["bundle"]).data
    assert [(each["account_id"], each["region"]) for each in run["targets"]] == [
        ("111122223333", "us-east-1"),
        ("111122223333", "eu-west-1"),
        ("777788889999", "us-east-1"),
        ("777788889999", "eu-west-1"),
    ]
    assert run["counts"]["cells"]["failed"] == 0
    assert {each["name"]: each["reason"] for each in run["left_out"]} == {
        "acme-legacy": "it has no tag finops",
        "acme-management": "it has no tag finops",
        "acme-closed": "its state in AWS Organizations is SUSPENDED",
        "acme-dev": "it is under ou-acme-development, which customer.yaml excludes",
    }
    for name in ("acme-legacy", "acme-management", "acme-closed", "acme-dev"):
        assert name in done.err


@pytest.mark.usefixtures("described")
def test_a_dry_run_says_what_would_be_asked_and_asks_nothing(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    told = invoke("run", "--customer", "acme-org", "--dry-run")
    assert told.code == 0
    asked = "AWS Organizations, for the accounts under ou-acme-workloads, tagged finops=yes"
    assert f"  A run first asks {asked}.\n" in told.out
    told = invoke("run", "--customer", "acme-org", "--dry-run", "--format", "json")
    assert json.loads(told.out)["asked_first"] == [asked]


def test_a_dry_run_names_the_enabled_regions_as_such(place: Path, invoke: Invoke) -> None:
    folder = place / "customers" / "acme"
    folder.mkdir(parents=True)
    text = (ROOT / "customers" / "acme" / "customer.yaml").read_text("utf-8")
    (folder / "customer.yaml").write_text(text.replace("regions: [us-east-1, eu-west-1]", "regions: enabled"))
    told = invoke("run", "--customer", "acme", "--dry-run", "--account", "acme-dev")
    assert "  A run first asks ec2:DescribeRegions, for the enabled regions of acme-dev.\n" in told.out
    assert "  444455556666 acme-dev enabled  through arn:aws:iam::444455556666:role/finops-policy-reader\n" in told.out
