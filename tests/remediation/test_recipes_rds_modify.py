"""Database instances: modify-db, resize, retention, through c7n against moto."""

from __future__ import annotations

from typing import Any

import pytest
from moto.backends import get_backend

from finops_policy.remediation.recipes.rds import RECIPES
from finops_policy.remediation.recipes.rds_modify import Retention
from finops_policy.remediation.recipes.rds_values import parameters
from finops_policy.remediation.recipes.recipe import State, Undoable
from tests.remediation.recipe_kit import ACCOUNT, REGION, Stage, check_through, check_undo
from tests.remediation.test_recipes_rds import NAME, TYPE, database, make

MODIFY, RESIZE, RETENTION = (RECIPES[TYPE, each] for each in ("modify-db", "resize", "retention"))


def _modify(immediate: bool = True, **update: Any) -> dict[str, Any]:
    changes = [{"property": key, "value": value} for key, value in update.items()]
    return {"type": "modify-db", "update": changes, "immediate": immediate}


def _before(stage: Stage, recipe: Any, action: dict[str, Any]) -> dict[str, Any]:
    found = recipe.before(stage.site, stage.subject(TYPE, NAME), stage.resource(TYPE, NAME), action)
    return dict(found)


def test_a_class_is_changed_and_set_back_at_once(stage: Stage) -> None:
    make(stage)
    action = _modify(DBInstanceClass="db.m5.medium")
    before, subject, _ = check_through(MODIFY, stage, TYPE, NAME, action)
    assert before["DBInstanceClass"] == "db.m5.large"
    assert check_undo(MODIFY, stage, subject, action, before, {}) == {}
    assert _before(stage, MODIFY, action) == before
    undo = MODIFY.undo_of(before, action)
    assert (undo.possible, undo.lost) == (Undoable.YES, ())
    assert undo.how.startswith("modify the database back at once: DBInstanceClass db.m5.large")
    assert "away for some minutes" in undo.how
    assert undo.permissions == ("rds:DescribeDBInstances", "rds:ModifyDBInstance")


@pytest.mark.parametrize(
    "update",
    [
        {"BackupRetentionPeriod": 3, "CopyTagsToSnapshot": True},
        {"MultiAZ": True, "AutoMinorVersionUpgrade": False},
        {"DeletionProtection": True, "PubliclyAccessible": True},
        {"PreferredBackupWindow": "01:00-01:30", "PreferredMaintenanceWindow": "sun:05:00-sun:05:30"},
        {"StorageType": "io1", "Iops": 1500},
        {"MaxAllocatedStorage": 900},
    ],
)
def test_other_properties_are_set_back(stage: Stage, update: dict[str, Any]) -> None:
    make(stage, StorageType="gp2")
    action = _modify(**update)
    before, subject, _ = check_through(MODIFY, stage, TYPE, NAME, action)
    check_undo(MODIFY, stage, subject, action, before, {})
    now = _before(stage, MODIFY, action)
    assert {key: now[key] for key in update if before[key] is not None} == {
        key: before[key] for key in update if before[key] is not None
    }


def test_security_groups_are_compared_without_their_order(stage: Stage) -> None:
    make(stage)
    ec2 = stage.client("ec2")
    groups = sorted(ec2.create_security_group(GroupName=name, Description="-")["GroupId"] for name in ("a", "b"))
    action = _modify(VpcSecurityGroupIds=groups[::-1])
    before, subject, _ = check_through(MODIFY, stage, TYPE, NAME, action)
    check_undo(MODIFY, stage, subject, action, before, {})
    assert _before(stage, MODIFY, action)["VpcSecurityGroupIds"] == before["VpcSecurityGroupIds"]


def test_what_goes_one_way_or_cannot_be_read_is_lost() -> None:
    before = {"AllocatedStorage": 100, "EngineVersion": "15.3", "DBInstanceClass": "db.m5.large", "Iops": None}
    undo = MODIFY.undo_of(before, _modify(AllocatedStorage=200, EngineVersion="15.4", DBInstanceClass="db.m5.xlarge"))
    assert undo.possible is Undoable.PARTLY
    assert [each.split(",")[0] for each in undo.lost] == ["storage", "the engine's version"]
    storage = MODIFY.undo_of(before, _modify(AllocatedStorage=200))
    assert (storage.possible, storage.how, storage.permissions) == (Undoable.NO, "AWS offers no way back", ())
    secret = MODIFY.undo_of(before, _modify(MasterUserPassword="x", AllowMajorVersionUpgrade=True))
    assert secret.possible is Undoable.NO
    assert [each.split(":")[0] for each in secret.lost] == ["MasterUserPassword"]
    same = MODIFY.undo_of(before, _modify(DBInstanceClass="db.m5.large"))
    assert (same.possible, "it is so already" in same.how) == (Undoable.YES, True)
    chosen = MODIFY.undo_of(before, _modify(Iops=2000))
    assert (chosen.possible, "AWS chose it" in chosen.lost[0]) == (Undoable.NO, True)


def test_what_cannot_be_read_is_never_seen_done(stage: Stage) -> None:
    make(stage)
    action = _modify(MasterUserPassword="new-secret-word", BackupRetentionPeriod=3)
    before = _before(stage, MODIFY, action)
    stage.act(TYPE, stage.resource(TYPE, NAME), action)
    seen = MODIFY.seen(stage.site, stage.subject(TYPE, NAME), action, before)
    assert (seen.state, seen.says) == (State.UNKNOWN, "AWS does not tell MasterUserPassword")
    assert "new-secret-word" not in str([before, seen])


def test_what_waits_for_the_window_is_pending_and_compared(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    make(stage)
    later = _modify(immediate=False, DBInstanceClass="db.m5.medium")
    subject, before = stage.subject(TYPE, NAME), _before(stage, MODIFY, later)
    instance = stage.resource(TYPE, NAME) | {"PendingModifiedValues": {"DBInstanceClass": "db.m5.medium"}}
    monkeypatch.setattr("finops_policy.remediation.recipes.rds_modify.instance_of", lambda *_args: instance)
    seen = MODIFY.seen(stage.site, subject, later, before)
    assert seen.state is State.PENDING
    assert seen.says.startswith("AWS changes DBInstanceClass in the maintenance window ")
    assert "soon" in MODIFY.seen(stage.site, subject, {**later, "immediate": True}, before).says
    again = MODIFY.before(stage.site, subject, instance, later)
    assert (before["pending"], again["pending"]) == ({}, {"DBInstanceClass": "db.m5.medium"})


def test_a_change_without_effect_one_on_its_way_and_one_that_is_gone(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make(stage)
    action = _modify(DBInstanceClass="db.m5.medium")
    subject, resource, before = stage.subject(TYPE, NAME), stage.resource(TYPE, NAME), _before(stage, MODIFY, action)
    with monkeypatch.context() as patch:
        backend = get_backend("rds")[ACCOUNT][REGION]
        patch.setattr(backend, "modify_db_instance", lambda *_a, **_k: database())
        stage.act(TYPE, resource, action)
    seen = MODIFY.seen(stage.site, subject, action, before)
    assert (seen.state, seen.says) == (State.NOT_REACHED, "DBInstanceClass is db.m5.large, not db.m5.medium")
    database().status = "modifying"
    assert MODIFY.seen(stage.site, subject, action, before).state is State.PENDING
    database().status = "available"
    client.delete_db_instance(DBInstanceIdentifier=NAME, SkipFinalSnapshot=True)
    assert MODIFY.seen(stage.site, subject, action, before).state is State.UNKNOWN
    assert MODIFY.undo(stage.site, subject, action, before, {}) == {}


def test_storage_grows_and_does_not_shrink(stage: Stage) -> None:
    make(stage)
    action = {"type": "resize", "percent": 15.5, "immediate": True}
    before, subject, seen = check_through(RESIZE, stage, TYPE, NAME, action)
    assert (before["AllocatedStorage"], seen.after["AllocatedStorage"]) == (100, 116)
    assert stage.resource(TYPE, NAME)["AllocatedStorage"] == 116
    undo = RESIZE.undo_of(before, action)
    assert (undo.possible, undo.how) == (Undoable.NO, "AWS offers no way back")
    assert undo.lost == ("storage, which AWS never makes smaller: it stays at 116",)
    assert subject.resource_id == NAME


@pytest.mark.parametrize(
    ("action", "wanted"),
    [
        ({"days": 3}, 7),
        ({"days": 20}, 20),
        ({"days": 3, "enforce": "exact", "copy-tags": False}, 3),
        ({"days": 3, "enforce": "max", "copy-tags": False}, 3),
        ({"days": 3, "enforce": "exact"}, 7),
    ],
)
def test_a_retention_is_set_as_c7n_does_and_set_back(stage: Stage, action: dict[str, Any], wanted: int) -> None:
    make(stage, BackupRetentionPeriod=7)
    action = {"type": "retention", **action}
    before, subject, seen = check_through(RETENTION, stage, TYPE, NAME, action)
    assert seen.after["BackupRetentionPeriod"] == wanted
    check_undo(RETENTION, stage, subject, action, before, {})
    assert _before(stage, RETENTION, action) == before
    undo = RETENTION.undo_of(before, action)
    assert (undo.possible is Undoable.PARTLY) is (wanted < 7)
    assert any("automated backups older than 3 days" in each for each in undo.lost) is (wanted < 7)


@pytest.mark.parametrize(
    ("action", "wanted"), [({"days": 3}, 7), ({"days": 20}, 20), ({"days": 20, "enforce": "max"}, 7)]
)
def test_a_retention_that_is_long_or_short_enough_stays(action: dict[str, Any], wanted: int) -> None:
    before = {"BackupRetentionPeriod": 7, "CopyTagsToSnapshot": True}
    assert Retention().wanted(before, action) == {"BackupRetentionPeriod": wanted, "CopyTagsToSnapshot": True}


def test_replicas_depend_on_a_change(stage: Stage) -> None:
    client = make(stage)
    client.create_db_instance_read_replica(DBInstanceIdentifier="copy", SourceDBInstanceIdentifier=NAME)
    found = MODIFY.dependants(stage.site, stage.subject(TYPE, NAME), stage.resource(TYPE, NAME))
    assert [(each.kind, each.id) for each in found.found] == [("read-replica", "copy")]


def test_storage_is_asked_for_as_aws_wants_it() -> None:
    keys = ("StorageType", "Iops", "StorageThroughput")
    base = {"StorageType": "gp3", "Iops": 3000, "StorageThroughput": 125}
    assert parameters(base, keys) == {"StorageType": "gp3"}
    assert parameters({**base, "StorageThroughput": 300}, keys) == {**base, "StorageThroughput": 300}
    assert parameters({**base, "Iops": 15000}, keys) == {"StorageType": "gp3", "Iops": 15000}
    assert parameters({**base, "StorageType": "gp2"}, keys) == {"StorageType": "gp2"}
    assert parameters({"StorageType": "io1", "Iops": 3000}, keys) == {"StorageType": "io1", "Iops": 3000}


def test_what_is_switched_on_together_is_asked_for_together() -> None:
    role = {"MonitoringInterval": 60, "MonitoringRoleArn": "arn:r"}
    assert parameters(role, ["MonitoringInterval"]) == role
    assert parameters({**role, "MonitoringInterval": 0}, ["MonitoringInterval"]) == {"MonitoringInterval": 0}
    assert parameters({"MaxAllocatedStorage": None, "AllocatedStorage": 50}, ["MaxAllocatedStorage"]) == {
        "MaxAllocatedStorage": 50
    }
