"""``compile`` and ``explain``: what a customer's policies become, and why."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import Invoke
from tests.cli.kit import finops

COMPILE = ("compile", "--customer", "acme", "--output", "out")
FILES = ["accounts/444455556666.yaml", "finops-policy.lock", "policies.yaml"]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_writes_policies_accounts_and_a_lock(place: Path, invoke: Invoke) -> None:
    said = invoke(*COMPILE)
    assert said.code == 0
    assert said.err == ""
    assert sorted(said.out.splitlines()) == [f"out/{name}" for name in FILES]
    assert sorted(contents(place / "out")) == FILES
    policies = yaml.safe_load((place / "out" / "policies.yaml").read_bytes())["policies"]
    assert len(policies) == 26


def test_the_folder_has_a_default(place: Path, invoke: Invoke) -> None:
    assert invoke("compile", "--customer", "acme").code == 0
    assert sorted(contents(place / "build" / "compiled" / "acme")) == FILES


def test_twice_gives_the_same_bytes(place: Path, invoke: Invoke) -> None:
    """In another process too, with other hashes of strings, another time zone and another language."""
    invoke(*COMPILE)
    invoke("compile", "--customer", "acme", "--output", "again")
    other = {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "LC_ALL": "C"}
    assert finops("compile", "--customer", "acme", "--output", "third", cwd=place, env=other).code == 0
    assert contents(place / "out") == contents(place / "again") == contents(place / "third")


def test_check_writes_nothing(place: Path, invoke: Invoke) -> None:
    said = invoke(*COMPILE, "--check")
    assert said.code == 3
    assert sorted(said.err.splitlines()) == [f"out/{name} is not up to date." for name in FILES]
    assert said.out == ""
    assert not list(place.iterdir())


def test_check_is_content_with_what_was_written(place: Path, invoke: Invoke) -> None:
    invoke(*COMPILE)
    said = invoke(*COMPILE, "--check")
    assert (said.code, said.out, said.err) == (0, "", "")


def test_check_names_what_has_changed(place: Path, invoke: Invoke) -> None:
    invoke(*COMPILE)
    (place / "out" / "policies.yaml").write_text("policies: []\n")
    said = invoke(*COMPILE, "--check")
    assert (said.code, said.err) == (3, "out/policies.yaml is not up to date.\n")
    assert (place / "out" / "policies.yaml").read_text() == "policies: []\n"
    assert invoke(*COMPILE, "--profile", "sox", "--check").code == 3


def test_the_file_of_an_account_that_left_is_stale_and_nobody_elses_file_is(place: Path, invoke: Invoke) -> None:
    invoke(*COMPILE)
    accounts = place / "out" / "accounts"
    (accounts / "123456789012.yaml").write_text("policies: []\n")
    (accounts / "notes.yaml").write_text("mine: true\n")
    said = invoke(*COMPILE, "--check")
    assert (said.code, said.err) == (3, "out/accounts/123456789012.yaml is not up to date.\n")
    assert invoke(*COMPILE).code == 0
    assert sorted(path.name for path in accounts.iterdir()) == ["444455556666.yaml", "notes.yaml"]
    assert invoke(*COMPILE, "--check").code == 0


def test_an_output_that_cannot_be_is_told(place: Path, invoke: Invoke) -> None:
    (place / "file").write_text("mine")
    said = invoke("compile", "--customer", "acme", "--output", "file/below")
    assert said.code == 1
    assert "Error: Cannot make the folder file/below: Not a directory" in said.err
    assert invoke("compile", "--customer", "acme", "--output", "file").code == 2


def test_what_cloud_custodian_refuses_is_told_at_the_policy(place: Path, invoke: Invoke) -> None:
    pack = place / "packs" / "own"
    pack.mkdir(parents=True)
    (pack / "pack.yaml").write_text(
        "apiVersion: finops-policy/v1\nkind: Pack\nname: own\nversion: 1.0.0\ntitle: Our own\nowner: finops\n"
    )
    (pack / "ec2-odd.yaml").write_text(
        "apiVersion: finops-policy/v1\nkind: Policy\nname: ec2-odd\ntitle: Odd instances\nresource: aws.ec2\n"
        "severity: low\nrationale: Shows what a filter that Cloud Custodian does not know looks like.\n"
        "scope: []\nviolation: [{type: no-such-filter}]\n"
    )
    profile = place / "profiles"
    profile.mkdir()
    (profile / "own.yaml").write_text(
        "apiVersion: finops-policy/v1\nkind: Profile\nname: own\nversion: 1.0.0\ntitle: Our own\n"
        "packs: {own: {version: '==1.0.0'}}\nframeworks: {}\nretention: {years: 1, source: our own rule}\n"
    )
    (place / "customers" / "globex").mkdir(parents=True)
    (place / "customers" / "globex" / "customer.yaml").write_text(
        "apiVersion: finops-policy/v1\nkind: Customer\nname: globex\ntitle: Globex\nprofile: own\n"
        'regions: [us-east-1]\naccounts: [{id: "111122223333", name: one}]\n'
    )
    said = invoke("compile", "--customer", "globex")
    assert said.code == 1
    assert said.err.startswith("packs/own/ec2-odd.yaml:")
    assert "Cloud Custodian refuses it" in said.err
    assert "no-such-filter" in said.err
    assert not (place / "build").exists()


# --- explain --------------------------------------------------------------------------------------------------------

PLACES = {
    ("", "required-tags", "owner_key"): ("pack", "policies/packs/required-tags/pack.yaml:"),
    ("", "idle-resources", "grace_days"): ("profile", "policies/profiles/hipaa.yaml:"),
    ("", "idle-resources", "snapshot_days"): ("customer", "customers/acme/customer.yaml:"),
    ("444455556666", "idle-resources", "idle_days"): ("account", "customers/acme/customer.yaml:"),
    ("444455556666", "idle-resources", "snapshot_days"): ("customer", "customers/acme/customer.yaml:"),
}


def test_explain_names_the_layer_and_the_place_of_every_value(place: Path, invoke: Invoke) -> None:
    rows = json.loads(invoke("explain", "--customer", "acme", "--format", "json").out)
    found = {(row["account_id"], row["pack"], row["parameter"]): row for row in rows}
    for name, (layer, where) in PLACES.items():
        assert found[name]["layer"] == layer
        assert found[name]["place"].startswith(where)
    assert found["444455556666", "idle-resources", "idle_days"]["value"] == 7
    assert found["", "idle-resources", "snapshot_days"]["value"] == 400
    assert found["444455556666", "required-tags", "allowed_environments"]["value"] == ["staging", "dev", "sandbox"]


def test_explain_as_text_says_the_same(place: Path, invoke: Invoke) -> None:
    said = invoke("explain", "--customer", "acme")
    assert said.code == 0
    everybody, _, own = said.out.partition("Account 444455556666\n")
    assert everybody.startswith("Every account without parameters of its own\n")
    assert "  idle-resources.snapshot_days = 400  (customer, customers/acme/customer.yaml:" in everybody
    assert "  idle-resources.idle_days = 7  (account, customers/acme/customer.yaml:" in own
    rows = json.loads(invoke("explain", "--customer", "acme", "--format", "json").out)
    assert len(said.lines("  ")) == len(rows)


@pytest.mark.parametrize("profile", ["sox", "hipaa", "startup"])
def test_explain_follows_the_profile(profile: str, place: Path, invoke: Invoke) -> None:
    rows = json.loads(invoke("explain", "--customer", "acme", "--profile", profile, "--format", "json").out)
    (row,) = [each for each in rows if (each["account_id"], each["parameter"]) == ("", "audit_log_min_days")]
    assert row["layer"] == "profile"
    assert row["place"].startswith(f"policies/profiles/{profile}.yaml:")


def test_a_profile_of_aws_that_is_gone_does_not_matter_where_aws_is_not_asked(place: Path) -> None:
    said = finops("compile", "--customer", "acme", cwd=place, env={"AWS_PROFILE": "gone"})
    assert (said.code, said.err) == (0, "")
