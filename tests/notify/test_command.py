"""``finops-policy notify``, in the sandbox and against receivers on this machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from finops_policy.cli import main
from tests.notify.kit import HOSTILE, Receiver, Store, finding

REPORT = json.loads((Path(__file__).parents[2] / "schemas" / "notification-report.schema.json").read_text())
CUSTOMER = """\
apiVersion: finops-policy/v1
kind: Customer
name: acme
title: Acme Health
profile: hipaa
regions: [us-east-1]
accounts: [{id: "111122223333", name: prod}]
parameters:
  required-tags: {owner_key: "tag:Team"}
notifications:
  owners: {domains: [acme.example], fallback: finops@acme.example}
  channels:
    - {name: hook, type: webhook, url: {env: HOOK}, secret: {env: SECRET}}
    - {name: mail, type: email-smtp, host: smtp.acme.example, from: f@acme.example}
"""


@pytest.fixture
def workspace(tmp_path: Path, http: Receiver, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOOK", http.url)
    monkeypatch.setenv("SECRET", "hush")
    folder = tmp_path / "customers" / "acme"
    folder.mkdir(parents=True)
    (folder / "customer.yaml").write_text(CUSTOMER)
    return tmp_path


def run(store: Store, workspace: Path, *arguments: str) -> int:
    return main(["notify", "--customer", "acme", "--workspace", str(workspace), "--store", str(store.root), *arguments])


def test_a_dry_run_prints_each_digest_whole(store: Store, workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store.run(0, [finding(1, HOSTILE[4])])
    assert run(store, workspace, "--dry-run") == 0
    said = capsys.readouterr()
    assert "To: finops@acme.example" in said.out
    assert r"owner tag" not in said.out.partition("--- skipped: mail")[0]
    assert "\x1b" not in said.out
    assert "2 digests; nothing was sent." in said.out


def test_who_was_told_is_told(
    store: Store, workspace: Path, http: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    store.run(0, [finding(1)])
    assert run(store, workspace, "--channel", "hook") == 0
    said = capsys.readouterr()
    assert said.err == "delivered: hook to finops@acme.example, 1 finding (HTTP 200)\n"
    assert said.out == "1 of 1 digests delivered, 0 not.\n"
    assert run(store, workspace, "--channel", "hook") == 0
    assert capsys.readouterr().out == "Nobody needs to be told of anything now.\n"


def test_the_tag_is_the_one_that_is_required(store: Store, workspace: Path, http: Receiver) -> None:
    from dataclasses import replace

    store.run(0, [replace(finding(1), tags={"Team": "ann@acme.example", "Owner": "bob@acme.example"})])
    run(store, workspace, "--channel", "hook")
    assert http.posted[0].json["digest"]["recipient"] == "ann@acme.example"


def test_what_failed_makes_4_and_a_report_as_json(
    store: Store, workspace: Path, http: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    http.answers((404, {}, b"gone"))
    store.run(0, [finding(1)])
    assert run(store, workspace, "--channel", "hook", "--format", "json", "-q") == 4
    said = capsys.readouterr()
    report = json.loads(said.out)
    Draft202012Validator(REPORT).validate(report)
    assert said.err == ""
    (delivery,) = report["deliveries"]
    assert (delivery["result"], delivery["reason"]) == ("failed", "127.0.0.1 answered HTTP 404: gone")
    assert run(store, workspace, "--dry-run", "--format", "json") == 0
    report = json.loads(capsys.readouterr().out)
    Draft202012Validator(REPORT).validate(report)
    assert {"preview"} <= report["deliveries"][0].keys()


def test_mistakes_of_usage_make_2(store: Store, workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store.run(0, [finding(1)])
    assert run(store, workspace, "--channel", "hok") == 2
    assert "Did you mean hook?" in capsys.readouterr().err
    assert run(store, workspace, "--run", "20200101T000000Z-00000000") == 2


def test_the_example_customer_is_told_of_its_sandbox(
    tmp_path: Path, in_sandbox: object, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["--customer", "acme", "--store", str(tmp_path / "store"), "--workspace", str(tmp_path)]
    narrow = ["--policy", "ebs-required-tags", "--account", "acme-prod", "--fail-on", "never"]
    assert main(["run", *place, "--sandbox", *narrow]) == 0
    assert main(["notify", *place, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "To: finops@acme-health.example" in said
    assert "These findings are of the sandbox: they are made up." in said
