"""The tables of destructive actions against c7n, and the rules that need a pack or a profile."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from finops_policy.custodian.knowledge import ResourceType, knowledge
from finops_policy.lint import actions
from finops_policy.lint.linter import lint
from finops_policy.lint.report import Report
from finops_policy.lint.settings import Settings
from tests.lint.kit import lines

WORDS = re.compile(r"cancel|delet|deregister|destroy|purge|release|remove|revoke|terminat|trim|wipe")
LEFT_ALONE = {
    "cancel-launch-permission",
    "delete-bucket-notification",
    "delete-empty",
    "delete-global-grants",
    "remove-launch-permissions",
    "remove-matched-source-ips",
    "remove-permissions",
    "remove-policies",
    "remove-shared-accounts",
    "remove-statements",
    "remove-tag",
    "remove-website-hosting",
    "revoke-access",
    "tag-trim",
    "update-delete-protection",
}
"""Looked at: they take settings or permissions away, and nothing that was stored."""


@pytest.fixture(scope="module")
def types() -> dict[str, ResourceType]:
    known = knowledge()
    found = (known.type_of(name) for name in known.names())
    return {each.name: each for each in found if each}


def names(types: dict[str, ResourceType]) -> set[str]:
    return {name for each in types.values() for name, element in each.actions.items() if not element.alias}


def test_every_action_that_sounds_destructive_was_looked_at(types: dict[str, ResourceType]) -> None:
    """One that a new version of c7n brings is for somebody to decide."""
    sounding = {name for name in names(types) if WORDS.search(name)}
    assert sounding - actions.DESTRUCTIVE == LEFT_ALONE
    assert actions.DESTRUCTIVE - sounding == set()


def test_what_the_tables_name_is_there(types: dict[str, ResourceType]) -> None:
    named = [*actions.HARMLESS, *actions.SCHEDULED, *actions.BACKUPS, *actions._SETTINGS]
    assert all(action in types[name].actions for name, action in named)
    assert {action for _, action in named} <= actions.DESTRUCTIVE
    assert all("marked-for-op" in types[name].filters for name, _ in actions.SCHEDULED)
    for (name, _), backup in actions.BACKUPS.items():
        assert set(backup.actions) <= types[name].actions.keys()
    assert all(any(name in each.filters for each in types.values()) for name in actions.BACKED_UP)


def test_every_type_that_can_keep_a_copy_is_known(types: dict[str, ResourceType]) -> None:
    able = {name for name, each in types.items() if each.actions.keys() & {"snapshot", "backup"}}
    assert able == {name for name, backup in actions.BACKUPS.items() if backup.actions for name in [name[0]]}


def schema_of(types: dict[str, ResourceType], name: str, action: str) -> Any:
    found: Any = types[name].schema
    for step in types[name].actions[action].reference.removeprefix("#/").split("/"):
        found = found[step]
    return found["properties"]


def test_every_setting_that_makes_a_copy_is_known(types: dict[str, ResourceType]) -> None:
    having = {
        (name, action): setting
        for name, each in types.items()
        for action in actions.DESTRUCTIVE & each.actions.keys()
        for setting in schema_of(types, name, action)
        if "snapshot" in setting.lower() or "backup" in setting.lower()
    }
    # Of images and of snapshots themselves no copy is made.
    for own in (("aws.ami", "deregister"), ("aws.ebs-snapshot", "delete"), ("aws.memorydb-snapshot", "delete")):
        having.pop(own)
    assert having == {key: backup.setting for key, backup in actions.BACKUPS.items() if backup.setting}
    for (name, action), (setting, _, _) in actions._SETTINGS.items():
        assert setting in schema_of(types, name, action)


def test_the_default_tag_is_custodians() -> None:
    from c7n.tags import DEFAULT_TAG

    assert actions.DEFAULT_TAG == DEFAULT_TAG


def test_a_bucket_is_emptied_by_default() -> None:
    """Read in c7n's own source: its schema tells no default."""
    import inspect

    from c7n.resources.s3 import DeleteBucket

    assert "self.data.get('remove-contents', True)" in inspect.getsource(DeleteBucket.process)


# --- packs and profiles -----------------------------------------------------------------------------------------------

PACK = """\
apiVersion: finops-policy/v1
kind: Pack
name: mine
version: 1.0.0
title: A pack of mine
owner: finops
parameters:
  days: {type: integer, default: DEFAULT, description: Days of grace.}
"""
POLICY = """\
apiVersion: finops-policy/v1
kind: Policy
name: volumes
title: Volumes are used
resource: aws.ebs
severity: low
rationale: A volume that nobody uses costs money.
scope: []
violation:
  - State: available
remediation:
"""
PROFILE = """\
apiVersion: finops-policy/v1
kind: Profile
name: home
version: 1.0.0
title: A profile of mine
packs:
  mine: {version: "~=1.0", posture: POSTURE}
frameworks: {}
retention: {years: 1, source: my decision}
"""


def report(folder: Path, remediation: str, default: int = 7, posture: str = "approve") -> Report:
    (folder / "packs" / "mine").mkdir(parents=True)
    (folder / "profiles").mkdir()
    (folder / "packs" / "mine" / "pack.yaml").write_text(PACK.replace("DEFAULT", str(default)))
    (folder / "packs" / "mine" / "CHANGELOG.md").write_text("## [1.0.0]\n- The first.\n")
    text = POLICY + "".join(f"  {line}\n" for line in remediation.splitlines())
    (folder / "packs" / "mine" / "volumes.yaml").write_text(text)
    (folder / "profiles" / "home.yaml").write_text(PROFILE.replace("POSTURE", posture))
    return lint([folder], folder, Settings())


GOOD = """\
actions:
  - snapshot
  - delete
grace_days: "${days}"
destructive: true
max: {count: 5}
"""


def destructive(found: Report) -> dict[str, list[int]]:
    told = {each.diagnostic.rule for each in found.active if each.diagnostic.rule.startswith("destructive")}
    return {rule: lines(found, rule) for rule in told}


def test_a_good_remediation(tmp_path: Path) -> None:
    assert destructive(report(tmp_path, GOOD)) == {}


def test_no_cap(tmp_path: Path) -> None:
    assert destructive(report(tmp_path, GOOD.replace("max: {count: 5}", ""))) == {"destructive-without-cap": [14]}


def test_no_grace(tmp_path: Path) -> None:
    without = GOOD.replace('grace_days: "${days}"', "")
    assert destructive(report(tmp_path / "absent", without)) == {"destructive-without-grace": [14]}
    zero = GOOD.replace('"${days}"', "0")
    assert destructive(report(tmp_path / "zero", zero)) == {"destructive-without-grace": [14]}
    assert destructive(report(tmp_path / "default", GOOD, default=0)) == {"destructive-without-grace": [14]}


def test_no_backup(tmp_path: Path) -> None:
    without = GOOD.replace("  - snapshot\n", "")
    assert destructive(report(tmp_path, without)) == {"destructive-without-backup": [13]}


def test_undeclared(tmp_path: Path) -> None:
    found = report(tmp_path, GOOD.replace("destructive: true", "destructive: false"))
    assert destructive(found) == {"destructive-undeclared": [16]}
    [told] = [each.diagnostic for each in found.active if each.diagnostic.rule == "destructive-undeclared"]
    assert [mark.line for mark in told.related] == [14]


def test_declared_of_an_action_that_no_table_knows(tmp_path: Path) -> None:
    declared = "actions: [detach]\ndestructive: true\n"
    told = {"destructive-without-cap": [12], "destructive-without-grace": [12]}
    assert destructive(report(tmp_path, declared)) == told


def test_nothing_destroyed(tmp_path: Path) -> None:
    assert destructive(report(tmp_path, "actions: [detach]\ndestructive: false\n", posture="auto")) == {}


def test_no_approval(tmp_path: Path) -> None:
    found = report(tmp_path, GOOD, posture="auto")
    assert destructive(found) == {"destructive-without-approval": [7]}
    [told] = [each.diagnostic for each in found.active if each.diagnostic.rule == "destructive-without-approval"]
    assert [mark.path.endswith("volumes.yaml") for mark in told.related] == [True]
    undeclared = report(tmp_path / "undeclared", GOOD.replace("true", "false"), posture="auto")
    assert destructive(undeclared) == {"destructive-without-approval": [7], "destructive-undeclared": [16]}


def test_what_has_nothing_to_compare_is_unknown_in_packs(tmp_path: Path) -> None:
    """The same filters are told of in a plain policy."""
    filters = [
        "{type: value, key: Attachments.Encrypted, value: false}",
        "{type: metrics, name: VolumeReadOps, statistics: Sum, value: 1}",
    ]
    report(tmp_path, GOOD)
    path = tmp_path / "packs" / "mine" / "volumes.yaml"
    path.write_text(path.read_text().replace("- State: available", "\n  - ".join(["- State: available", *filters])))
    plain = tmp_path / "plain.yaml"
    plain.write_text(f"policies: [{{name: a, resource: aws.ebs, filters: [{', '.join(filters)}]}}]")
    found = lint([tmp_path], tmp_path, Settings())
    for rule in ("absent-key", "metrics-missing-value"):
        [told] = [each.diagnostic for each in found.active if each.diagnostic.rule == rule]
        assert told.mark.path.endswith("plain.yaml")
    assert len([each for each in found.active if each.diagnostic.rule == "metrics-without-age"]) == 2


@pytest.mark.parametrize("posture", ["report", "notify", "mark", "approve"])
def test_other_postures_act_on_nothing_by_themselves(posture: str, tmp_path: Path) -> None:
    assert destructive(report(tmp_path, GOOD, posture=posture)) == {}
