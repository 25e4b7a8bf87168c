"""Database instances: stop, snapshot, delete, through c7n against moto. The others are in test_recipes_rds_modify."""

from __future__ import annotations

from typing import Any

import pytest
from moto.backends import get_backend

from finops_policy.errors import FinopsPolicyError
from finops_policy.remediation.recipes.common import ITEM_TAG
from finops_policy.remediation.recipes.rds import RECIPES
from finops_policy.remediation.recipes.recipe import State, Undoable
from tests.remediation.recipe_kit import ACCOUNT, ITEM, REGION, Stage, check_through, check_undo, redacted

TYPE, NAME = "aws.rds", "orders"
STOP, SNAPSHOT, DELETE = (RECIPES[TYPE, each] for each in ("stop", "snapshot", "delete"))
STOPPING: dict[str, Any] = {"type": "stop"}
COPYING: dict[str, Any] = {"type": "snapshot"}
DELETION: dict[str, Any] = {"type": "delete"}
TAGS = [{"Key": "owner", "Value": "web"}, {"Key": "secret", "Value": "hush"}]


def make(stage: Stage, **more: Any) -> Any:
    client = stage.client("rds")
    client.create_db_instance(
        **{
            "DBInstanceIdentifier": NAME,
            "DBInstanceClass": "db.m5.large",
            "Engine": "postgres",
            "EngineVersion": "15.3",
            "AllocatedStorage": 100,
            "MasterUsername": "root",
            "MasterUserPassword": "hunter2hunter2",
            "Tags": TAGS,
            **more,
        }
    )
    return client


def _rich(stage: Stage) -> Any:
    """An instance with a value of its own wherever moto keeps one."""
    ec2, client = stage.client("ec2"), stage.client("rds")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{number}.0/24", AvailabilityZone=f"us-east-1{zone}")["Subnet"][
            "SubnetId"
        ]
        for number, zone in enumerate("ab")
    ]
    groups = [ec2.create_security_group(GroupName=name, Description="-", VpcId=vpc)["GroupId"] for name in ("z", "a")]
    client.create_db_subnet_group(DBSubnetGroupName="nets", DBSubnetGroupDescription="-", SubnetIds=subnets)
    client.create_db_parameter_group(DBParameterGroupName="pg", DBParameterGroupFamily="postgres15", Description="-")
    client.create_option_group(
        OptionGroupName="og", EngineName="mysql", MajorEngineVersion="5.6", OptionGroupDescription="-"
    )
    return make(
        stage,
        DBSubnetGroupName="nets",
        VpcSecurityGroupIds=groups,
        DBParameterGroupName="pg",
        OptionGroupName="og",
        MultiAZ=True,
        StorageType="io1",
        Iops=2000,
        Port=5544,
        PubliclyAccessible=True,
        BackupRetentionPeriod=9,
        PreferredBackupWindow="01:00-01:30",
        PreferredMaintenanceWindow="sun:05:00-sun:05:30",
        AutoMinorVersionUpgrade=False,
        CopyTagsToSnapshot=True,
        MaxAllocatedStorage=500,
        EnableIAMDatabaseAuthentication=True,
        EnableCloudwatchLogsExports=["postgresql"],
        MonitoringInterval=60,
        MonitoringRoleArn=f"arn:aws:iam::{ACCOUNT}:role/monitor",
        StorageEncrypted=True,
        KmsKeyId="arn:aws:kms:us-east-1:123456789012:key/k",
    )


def database(name: str = NAME) -> Any:
    return get_backend("rds")[ACCOUNT][REGION].databases[name]


def _backend() -> Any:
    return get_backend("rds")[ACCOUNT][REGION]


def _seen(recipe: Any, stage: Stage, action: dict[str, Any], before: dict[str, Any]) -> Any:
    return recipe.seen(stage.site, stage.subject(TYPE, NAME), action, before)


def test_a_database_is_stopped_and_started(stage: Stage) -> None:
    make(stage)
    before, subject, seen = check_through(STOP, stage, TYPE, NAME, STOPPING)
    assert (before["status"], seen.after) == ("available", {"status": "stopped"})
    assert check_undo(STOP, stage, subject, STOPPING, before, {}) == {}
    assert stage.resource(TYPE, NAME)["DBInstanceStatus"] == "available"
    assert stage.calls.by_operation["rds:StartDBInstance"] == 1
    undo = STOP.undo_of(before, STOPPING)
    assert undo.possible is Undoable.YES
    assert "seven days" in undo.how
    assert undo.permissions == ("rds:DescribeDBInstances", "rds:StartDBInstance")


@pytest.mark.parametrize(
    ("status", "done", "undone"),
    [
        ("stopping", State.PENDING, State.PENDING),
        ("starting", State.PENDING, State.PENDING),
        ("backing-up", State.PENDING, State.PENDING),
        ("available", State.NOT_REACHED, State.REACHED),
        ("stopped", State.REACHED, State.NOT_REACHED),
        ("incompatible-network", State.NOT_REACHED, State.NOT_REACHED),
    ],
)
def test_what_a_status_says_of_a_stop(stage: Stage, status: str, done: State, undone: State) -> None:
    make(stage)
    subject = stage.subject(TYPE, NAME)
    before = STOP.before(stage.site, subject, stage.resource(TYPE, NAME), STOPPING)
    database().status = status
    assert STOP.seen(stage.site, subject, STOPPING, before).state is done
    assert STOP.undone(stage.site, subject, STOPPING, before, {}).state is undone


def test_a_stop_without_effect_and_a_database_that_is_gone(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    client = make(stage)
    subject, resource = stage.subject(TYPE, NAME), stage.resource(TYPE, NAME)
    before = STOP.before(stage.site, subject, resource, STOPPING)
    with monkeypatch.context() as patch:
        patch.setattr(_backend(), "stop_db_instance", lambda *_a, **_k: database())
        stage.act(TYPE, resource, STOPPING)
    seen = STOP.seen(stage.site, subject, STOPPING, before)
    assert (seen.state, seen.says) == (State.NOT_REACHED, "it is available")
    client.delete_db_instance(DBInstanceIdentifier=NAME, SkipFinalSnapshot=True)
    assert STOP.seen(stage.site, subject, STOPPING, before).state is State.UNKNOWN
    assert STOP.undone(stage.site, subject, STOPPING, before, {}).state is State.UNKNOWN
    assert STOP.undo(stage.site, subject, STOPPING, before, {}) == {}


@pytest.mark.parametrize(
    ("recipe", "words"), [(STOP, "AWS does not stop a database that has replicas"), (DELETE, "AWS promotes it")]
)
def test_replicas_and_proxies_depend_on_it(stage: Stage, recipe: Any, words: str) -> None:
    client = make(stage)
    client.create_db_instance_read_replica(DBInstanceIdentifier="copy", SourceDBInstanceIdentifier=NAME)
    subnet = stage.client("ec2").describe_subnets()["Subnets"][0]["SubnetId"]
    client.create_db_proxy(
        DBProxyName="front",
        EngineFamily="POSTGRESQL",
        RoleArn="arn:aws:iam::1:role/r",
        VpcSubnetIds=[subnet],
        Auth=[{"AuthScheme": "SECRETS"}],
    )
    client.register_db_proxy_targets(DBProxyName="front", DBInstanceIdentifiers=[NAME])
    found = recipe.dependants(stage.site, stage.subject(TYPE, NAME), stage.resource(TYPE, NAME))
    assert {(each.kind, each.id) for each in found.found} == {("read-replica", "copy"), ("proxy", "front")}
    assert any(words in each.effect for each in found.found)
    assert found.unknown == ()
    below = recipe.dependants(stage.site, stage.subject(TYPE, "copy"), stage.resource(TYPE, "copy"))
    assert [each.kind for each in below.found] == ["source"]


def test_a_member_of_a_cluster_says_so_and_is_not_deleted(stage: Stage) -> None:
    client = stage.client("rds")
    client.create_db_cluster(
        DBClusterIdentifier="c", Engine="aurora-postgresql", MasterUsername="root", MasterUserPassword="hunter2hunter2"
    )
    client.create_db_instance(
        DBInstanceIdentifier=NAME, DBInstanceClass="db.r5.large", Engine="aurora-postgresql", DBClusterIdentifier="c"
    )
    subject, resource = stage.subject(TYPE, NAME), stage.resource(TYPE, NAME)
    before = DELETE.before(stage.site, subject, resource, DELETION)
    [cluster] = DELETE.dependants(stage.site, subject, resource).found
    assert (cluster.kind, cluster.id) == ("cluster", "c")
    assert DELETE.undo_of(before, DELETION).possible is Undoable.NO
    stage.act(TYPE, resource, DELETION)
    assert DELETE.seen(stage.site, subject, DELETION, before).state is State.NOT_REACHED


def test_proxies_that_nobody_may_ask_for_are_unknown(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    from moto.rds.exceptions import RDSClientError

    def refuse(*_args: Any, **_kwargs: Any) -> None:
        raise RDSClientError("AccessDenied", "no")

    make(stage)
    subject, resource = stage.subject(TYPE, NAME), stage.resource(TYPE, NAME)
    monkeypatch.setattr(_backend(), "describe_db_proxies", refuse)
    found = STOP.dependants(stage.site, subject, resource)
    assert [each.split(":")[0] for each in found.unknown] == ["proxies that lead to it are unknown"]


def test_a_snapshot_is_made_and_stays(stage: Stage) -> None:
    client = make(stage)
    client.create_db_snapshot(DBSnapshotIdentifier=f"backup-{NAME}-old", DBInstanceIdentifier=NAME)
    before, subject, seen = check_through(SNAPSHOT, stage, TYPE, NAME, COPYING)
    [made] = seen.made["snapshots"]
    assert made.startswith(f"backup-{NAME}-2")
    assert SNAPSHOT.undo(stage.site, subject, COPYING, before, seen.made) == {}
    assert SNAPSHOT.undone(stage.site, subject, COPYING, before, seen.made).state is State.REACHED
    assert len(client.describe_db_snapshots(DBInstanceIdentifier=NAME, SnapshotType="manual")["DBSnapshots"]) == 2


def test_a_snapshot_counts_when_it_is_available_and_ours(stage: Stage) -> None:
    client = make(stage)
    before = SNAPSHOT.before(stage.site, stage.subject(TYPE, NAME), stage.resource(TYPE, NAME), COPYING)
    client.create_db_snapshot(DBSnapshotIdentifier="somebody-elses", DBInstanceIdentifier=NAME)
    assert _seen(SNAPSHOT, stage, COPYING, before).state is State.NOT_REACHED
    stage.act(TYPE, stage.resource(TYPE, NAME), COPYING)
    [snapshot] = [each for name, each in _backend().database_snapshots.items() if name.startswith("Backup")]
    snapshot.status = "creating"
    assert _seen(SNAPSHOT, stage, COPYING, before).state is State.PENDING
    snapshot.status = "failed"
    assert _seen(SNAPSHOT, stage, COPYING, before).state is State.NOT_REACHED


def test_a_deleted_database_comes_back_with_everything(stage: Stage) -> None:
    client = _rich(stage)
    before, subject, seen = check_through(DELETE, stage, TYPE, NAME, DELETION)
    assert stage.found(TYPE) == []
    assert seen.made["final_snapshot"].startswith(f"final-{NAME}-")
    first = check_undo(DELETE, stage, subject, DELETION, before, seen.made)
    assert first == {"databases": [NAME]}
    now = DELETE.before(stage.site, subject, stage.resource(TYPE, NAME), DELETION)
    assert now["tags"].pop(ITEM_TAG) == ITEM
    assert now.pop("_snapshots")
    assert now == {key: value for key, value in before.items() if key != "_snapshots"}
    assert stage.calls.by_operation["rds:RestoreDBInstanceFromDBSnapshot"] == 1
    assert now["VpcSecurityGroupIds"] == sorted(now["VpcSecurityGroupIds"])
    assert [now[key] for key in ("MultiAZ", "Iops", "DBPortNumber", "MaxAllocatedStorage")] == [True, 2000, 5544, 500]
    assert "hunter2" not in str(before)
    assert client.describe_db_instances(DBInstanceIdentifier=NAME)["DBInstances"][0]["Endpoint"]["Port"] == 5544


@pytest.mark.parametrize("several_zones", [True, False])
def test_a_restore_asks_for_the_values_of_before(stage: Stage, several_zones: bool) -> None:
    _rich(stage)
    before, subject, seen = check_through(DELETE, stage, TYPE, NAME, DELETION)
    asked: list[dict[str, Any]] = []
    events = stage.client("rds").meta.events
    events.register(
        "provide-client-params.rds.RestoreDBInstanceFromDBSnapshot", lambda params, **_event: asked.append(params)
    )
    DELETE.undo(stage.site, subject, DELETION, {**before, "MultiAZ": several_zones, "zone": "us-east-1b"}, seen.made)
    [params] = asked
    assert {key: params.pop(key) for key in ("Tags", "VpcSecurityGroupIds")} == {
        "Tags": [*TAGS, {"Key": ITEM_TAG, "Value": ITEM}],
        "VpcSecurityGroupIds": before["VpcSecurityGroupIds"],
    }
    assert params == {
        "AutoMinorVersionUpgrade": False,
        "CopyTagsToSnapshot": True,
        "DBInstanceClass": "db.m5.large",
        "DBInstanceIdentifier": NAME,
        "DBParameterGroupName": "pg",
        "DBSnapshotIdentifier": seen.made["final_snapshot"],
        "DBSubnetGroupName": "nets",
        "DeletionProtection": False,
        "EnableCloudwatchLogsExports": ["postgresql"],
        "EnableIAMDatabaseAuthentication": True,
        "Iops": 2000,
        "LicenseModel": before["LicenseModel"],
        "MultiAZ": several_zones,
        "OptionGroupName": "og",
        "Port": 5544,
        "PubliclyAccessible": True,
        "StorageType": "io1",
        **({} if several_zones else {"AvailabilityZone": "us-east-1b"}),
    }


def test_a_plain_database_comes_back_from_the_snapshot_of_an_earlier_step(stage: Stage) -> None:
    make(stage, DeletionProtection=False)
    _, _, copied = check_through(SNAPSHOT, stage, TYPE, NAME, COPYING)
    action = {"type": "delete", "skip-snapshot": True}
    before, subject, seen = check_through(DELETE, stage, TYPE, NAME, action)
    assert "final_snapshot" not in seen.made
    assert "snapshot taken before the deletion" in DELETE.undo_of(before, action).how
    check_undo(DELETE, stage, subject, action, before, copied.made)
    now = DELETE.before(stage.site, subject, stage.resource(TYPE, NAME), action)
    del now["tags"][ITEM_TAG]
    assert now == before


def test_a_setting_that_the_restore_did_not_take_is_set_by_the_next_undo(stage: Stage) -> None:
    client = _rich(stage)
    before, subject, seen = check_through(DELETE, stage, TYPE, NAME, DELETION)
    DELETE.undo(stage.site, subject, DELETION, before, seen.made)
    client.modify_db_instance(DBInstanceIdentifier=NAME, BackupRetentionPeriod=1, ApplyImmediately=True)
    client.remove_tags_from_resource(ResourceName=subject.arn, TagKeys=["owner"])
    lacking = DELETE.undone(stage.site, subject, DELETION, before, seen.made)
    assert lacking.state is State.NOT_REACHED
    assert lacking.says == "it is there, but not as before in BackupRetentionPeriod and tags"
    DELETE.undo(stage.site, subject, DELETION, before, seen.made)
    assert DELETE.undone(stage.site, subject, DELETION, before, seen.made).state is State.REACHED


def test_a_restore_on_its_way_is_pending_and_left_alone(stage: Stage) -> None:
    _rich(stage)
    before, subject, seen = check_through(DELETE, stage, TYPE, NAME, DELETION)
    DELETE.undo(stage.site, subject, DELETION, before, seen.made)
    database().status = "creating"
    database().backup_retention_period = 1
    calls = stage.calls.by_operation["rds:ModifyDBInstance"]
    DELETE.undo(stage.site, subject, DELETION, before, seen.made)
    waiting = DELETE.undone(stage.site, subject, DELETION, before, seen.made)
    assert (waiting.state, waiting.says) == (State.PENDING, "it is creating")
    assert stage.calls.by_operation["rds:ModifyDBInstance"] == calls
    database().status = "available"
    database().engine_version = "14.1"
    database().backup_retention_period = 9
    other = DELETE.undone(stage.site, subject, DELETION, before, seen.made)
    assert (other.state, other.says) == (State.UNKNOWN, "it is there, but differs in EngineVersion")


def test_a_deletion_counts_when_its_snapshot_is_available(stage: Stage) -> None:
    make(stage)
    subject, resource = stage.subject(TYPE, NAME), stage.resource(TYPE, NAME)
    before = DELETE.before(stage.site, subject, resource, DELETION)
    database().status = "deleting"
    assert DELETE.seen(stage.site, subject, DELETION, before).state is State.PENDING
    database().status = "available"
    stage.act(TYPE, resource, DELETION)
    [snapshot] = [each for name, each in _backend().database_snapshots.items() if name.startswith("Final")]
    snapshot.status = "creating"
    seen = DELETE.seen(stage.site, subject, DELETION, before)
    assert (seen.state, "is creating" in seen.says) == (State.PENDING, True)
    _backend().database_snapshots.clear()
    seen = DELETE.seen(stage.site, subject, DELETION, before)
    assert (seen.state, dict(seen.made)) == (State.REACHED, {})
    assert "there is no final snapshot" in seen.says
    with pytest.raises(FinopsPolicyError, match="no final snapshot of it"):
        DELETE.undo(stage.site, subject, DELETION, before, seen.made)


def test_a_protected_database_is_not_deleted(stage: Stage) -> None:
    make(stage, DeletionProtection=True)
    subject, resource = stage.subject(TYPE, NAME), stage.resource(TYPE, NAME)
    before = DELETE.before(stage.site, subject, resource, DELETION)
    with pytest.raises(stage.client("rds").exceptions.ClientError, match="protected"):
        stage.act(TYPE, resource, DELETION)
    seen = DELETE.seen(stage.site, subject, DELETION, before)
    assert (seen.state, seen.says) == (State.NOT_REACHED, "it is still there, available")
    assert DELETE.undone(stage.site, subject, DELETION, before, {}).state is State.REACHED


def test_withheld_tags_come_from_the_snapshot_or_not_at_all(stage: Stage) -> None:
    client = make(stage, CopyTagsToSnapshot=True)
    before, subject, seen = check_through(DELETE, stage, TYPE, NAME, DELETION)
    before = redacted(before, "secret")
    assert any("secret" in each for each in DELETE.undo_of(before, DELETION).lost)
    check_undo(DELETE, stage, subject, DELETION, before, seen.made)
    tags = {each["Key"]: each["Value"] for each in client.list_tags_for_resource(ResourceName=subject.arn)["TagList"]}
    assert tags == {"owner": "web", "secret": "hush", ITEM_TAG: ITEM}

    client.modify_db_instance(DBInstanceIdentifier=NAME, CopyTagsToSnapshot=False, ApplyImmediately=True)
    _backend().database_snapshots.clear()
    before, subject, seen = check_through(DELETE, stage, TYPE, NAME, DELETION)
    check_undo(DELETE, stage, subject, DELETION, redacted(before, "secret"), seen.made)
    tags = {each["Key"]: each["Value"] for each in client.list_tags_for_resource(ResourceName=subject.arn)["TagList"]}
    assert tags == {"owner": "web", ITEM_TAG: ITEM}


def test_another_database_of_the_name_is_never_touched(stage: Stage) -> None:
    make(stage)
    before, subject, seen = check_through(DELETE, stage, TYPE, NAME, DELETION)
    make(stage, DBInstanceClass="db.t3.micro", Tags=[])
    before = {**before, "resource": "db-OLD"}  # moto gives all the same
    again = DELETE.seen(stage.site, subject, DELETION, before)
    assert (again.state, "another database" in again.says) == (State.REACHED, True)
    assert DELETE.undone(stage.site, subject, DELETION, before, seen.made).state is State.UNKNOWN
    with pytest.raises(FinopsPolicyError, match="another database has its name"):
        DELETE.undo(stage.site, subject, DELETION, before, seen.made)
    assert stage.resource(TYPE, NAME)["DBInstanceClass"] == "db.t3.micro"


def test_undo_of_a_deletion_says_what_is_lost_and_needed(stage: Stage) -> None:
    _rich(stage)
    before = DELETE.before(stage.site, stage.subject(TYPE, NAME), stage.resource(TYPE, NAME), DELETION)
    undo = DELETE.undo_of({**before, "roles": ["arn:r"], "managed_password": True, "status": "stopped"}, DELETION)
    assert undo.possible is Undoable.PARTLY
    words = " ".join(undo.lost)
    for each in ("after the snapshot", "automated backups", "arn:r", "master password", "it was stopped"):
        assert each in words
    assert {"iam:PassRole", "kms:CreateGrant", "secretsmanager:CreateSecret"} <= set(undo.permissions)
    replica = DELETE.undo_of({**before, "replica_of": "main"}, DELETION)
    assert (replica.possible, "new replica of main" in replica.how) == (Undoable.NO, True)
