"""``verify`` from the command line; what it can notice is tested with the evidence itself."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from finops_policy.evidence.signing import SigningKey
from tests.cli.conftest import FullRun, Invoke


@pytest.fixture
def store(full_run: FullRun, place: Path) -> Path:
    return Path(shutil.copytree(full_run.store, place / "evidence"))


def test_a_store_that_is_as_it_was(full_run: FullRun, place: Path, invoke: Invoke) -> None:
    said = invoke("verify", "--customer", "acme", "--store", full_run.store)
    assert said.code == 0
    assert said.err == ""
    assert said.lines("Verified: 1 run, ")
    assert said.lines(f"Newest: {full_run.bundle.name.removeprefix('run=')}, run.json SHA-256 ")


def test_a_bundle_alone_with_a_key_that_was_handed_over(
    full_run: FullRun, place: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an auditor has: a folder and a public key, on a machine without a key of its own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(place / "auditor"))
    shutil.copytree(full_run.bundle, place / "handed-over")
    shutil.copy(full_run.key, place / "signer.pub")
    said = invoke("verify", "handed-over", "--key", "signer.pub")
    assert said.code == 0
    assert "Note: The chain was not checked" in said.out
    assert said.lines("Verified: 1 run, ")


def test_a_changed_file_is_named(store: Path, invoke: Invoke) -> None:
    (part,) = store.glob("customer=acme/month=*/run=*/coverage/111122223333_eu-west-1.parquet")
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(bytes(data))
    text = invoke("verify", "--customer", "acme")
    assert text.code == 1
    assert text.lines(f"file-changed: {part}")
    assert text.lines("NOT VERIFIED: 1 problem in 1 run, ")
    found = json.loads(invoke("verify", "--customer", "acme", "--format", "json").out)
    assert found["schema"] == "finops-policy/verification/v1"
    assert not found["ok"]
    assert [(each["kind"], each["where"]) for each in found["problems"]] == [("file-changed", str(part))]
    assert found["problems"][0]["next_step"]


def test_a_wrong_key_is_named(store: Path, place: Path, invoke: Invoke) -> None:
    SigningKey.load_or_create(place / "other.pem")
    said = invoke("verify", "--customer", "acme", "--key", "other.pem.pub")
    assert said.code == 1
    assert said.lines("wrong-key: ")
    assert said.lines("NOT VERIFIED: ")


def test_without_a_key_it_says_whose_is_needed(
    store: Path, place: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(place / "none"))
    said = invoke("verify", "--customer", "acme")
    assert said.code == 1
    assert "This machine has no key of its own." in said.err
    assert "--key" in said.err
    assert said.out == ""
    assert not (place / "none").exists(), "verifying makes no key"


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("nowhere.pub", "Cannot read the public key nowhere.pub"),
        ("private.pem", "is a private key"),
        ("text", "is not a public key in PEM form"),
    ],
)
def test_what_is_no_public_key_is_refused(key: str, expected: str, store: Path, place: Path, invoke: Invoke) -> None:
    SigningKey.load_or_create(place / "private.pem")
    (place / "text").write_text("no key")
    said = invoke("verify", "--customer", "acme", "--key", key)
    assert said.code == 1
    assert expected in said.err
    assert said.out == ""


def test_it_wants_one_place(store: Path, invoke: Invoke) -> None:
    for arguments in ((), ("evidence", "--customer", "acme")):
        said = invoke("verify", *arguments)
        assert said.code == 2
        assert "Give a folder or --customer, one of them." in said.err


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("nowhere", "There is no folder"),
        ("evidence", "Name one of the folders in it: customer=acme."),
        (".", "is neither a bundle nor the folder of a customer"),
    ],
)
def test_what_is_no_evidence_is_told(where: str, expected: str, store: Path, invoke: Invoke) -> None:
    said = invoke("verify", where)
    assert said.code == 1
    assert expected in said.err
