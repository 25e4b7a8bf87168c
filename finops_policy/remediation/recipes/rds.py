"""Database instances: stop, snapshot, delete.

A deleted instance comes back from its final snapshot under its own identifier, so that its endpoint has the same name
again, and is then given what no snapshot holds. moto knows no status but ``available`` and ``stopped``, and gives every
instance the same ``DbiResourceId``; tests make it say others. c7n passes over members of clusters, and stops neither
replicas nor their sources.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from finops_policy.errors import FinopsPolicyError
from finops_policy.remediation.recipes import common, copies
from finops_policy.remediation.recipes.common import NoDependants, differences
from finops_policy.remediation.recipes.rds_modify import Modify, Resize, Retention
from finops_policy.remediation.recipes.rds_values import (
    differing,
    instance_of,
    new_snapshot,
    parameters,
    proxies,
    related,
    snapshots_of,
    state_of,
    values,
)
from finops_policy.remediation.recipes.recipe import (
    Dependants,
    Recipe,
    Seen,
    Site,
    State,
    Subject,
    Undo,
    Undoable,
)

Values = Mapping[str, Any]

NO_FINAL = ("creating", "failed", "incompatible-restore", "incompatible-network")
"""Statuses in which c7n deletes without a final snapshot."""
WITH_RESTORE = (
    "AutoMinorVersionUpgrade",
    "CopyTagsToSnapshot",
    "DBInstanceClass",
    "DBParameterGroupName",
    "DBSubnetGroupName",
    "DeletionProtection",
    "EnableIAMDatabaseAuthentication",
    "Iops",
    "LicenseModel",
    "MultiAZ",
    "OptionGroupName",
    "PubliclyAccessible",
    "StorageThroughput",
    "StorageType",
    "VpcSecurityGroupIds",
)
"""What a restore is asked for. The rest the instance is given when it is available."""
MADE_WITH = ("engine", "encrypted", "kms_key", "EngineVersion", "AllocatedStorage", "DBSubnetGroupName")
"""What is not changed in place once an instance was restored."""


class Stop:
    """A stopped instance is billed for storage and backups alone, and AWS starts it again after seven days."""

    def before(self, site: Site, subject: Subject, resource: Values, action: Values) -> dict[str, Any]:
        return {
            "status": resource["DBInstanceStatus"],
            "class": resource["DBInstanceClass"],
            "resource": resource.get("DbiResourceId"),
        }

    def undo_of(self, before: Values, action: Values) -> Undo:
        return Undo(
            Undoable.YES,
            "start the database; AWS starts it by itself seven days after it was stopped",
            ("automated backups of the days on which it is stopped: AWS makes none",),
            ("rds:DescribeDBInstances", "rds:StartDBInstance"),
        )

    def dependants(self, site: Site, subject: Subject, resource: Values) -> Dependants:
        inquiry = common.Inquiry()
        refused = "AWS does not stop a database that has replicas"
        inquiry.ask(
            "replicas and clusters",
            lambda: related(
                resource, refused, "AWS does not stop a replica", "AWS stops a cluster as a whole, not its members"
            ),
        )
        inquiry.ask("proxies that lead to it", lambda: proxies(site, subject))
        return inquiry.answer()

    def seen(self, site: Site, subject: Subject, action: Values, before: Values) -> Seen:
        return self._state(site, subject, "stopped", "available")

    def undo(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> dict[str, Any]:
        instance = instance_of(site, subject.resource_id)
        if instance and instance["DBInstanceStatus"] in ("stopped", "stopping"):
            site.client("rds").start_db_instance(DBInstanceIdentifier=subject.resource_id)
        return {}

    def undone(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> Seen:
        return self._state(site, subject, "available", "stopped")

    def _state(self, site: Site, subject: Subject, wanted: str, other: str) -> Seen:
        instance = instance_of(site, subject.resource_id)
        state, says = state_of(instance, wanted, other)
        return Seen(state, says, {"status": instance["DBInstanceStatus"]} if instance else {})


class Snapshot(NoDependants):
    """A manual snapshot counts when AWS says that it is available."""

    def before(self, site: Site, subject: Subject, resource: Values, action: Values) -> dict[str, Any]:
        known = [each["DBSnapshotIdentifier"] for each in snapshots_of(site, subject.resource_id)]
        return {"resource": resource.get("DbiResourceId"), "_snapshots": known}

    def undo_of(self, before: Values, action: Values) -> Undo:
        return copies.KEPT

    def seen(self, site: Site, subject: Subject, action: Values, before: Values) -> Seen:
        found = new_snapshot(site, subject, before, str(action.get("snapshot-prefix", "Backup")))
        if found is None:
            return Seen(State.NOT_REACHED, "there is no new snapshot")
        made = {"snapshots": [found["DBSnapshotIdentifier"]]}
        if found["Status"] != "available":
            return Seen(State.PENDING, f"{found['DBSnapshotIdentifier']} is {found['Status']}", made=made)
        return Seen(State.REACHED, "", {"gib": found.get("AllocatedStorage")}, made)

    def undo(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> dict[str, Any]:
        return {}

    def undone(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> Seen:
        return copies.STAYS


class Delete:
    """A deleted instance is restored from its final snapshot, else from one that a step before made of it."""

    def before(self, site: Site, subject: Subject, resource: Values, action: Values) -> dict[str, Any]:
        known = [each["DBSnapshotIdentifier"] for each in snapshots_of(site, subject.resource_id)]
        return {**_instance(resource), "_snapshots": known}

    def undo_of(self, before: Values, action: Values) -> Undo:
        if before["cluster"]:
            return Undo(Undoable.NO, "it is a member of a cluster, and those are not deleted one by one")
        if before["replica_of"]:
            lost = ("the replica, and its endpoint while there is none",)
            return Undo(Undoable.NO, f"make a new replica of {before['replica_of']} by hand", lost)
        source = "its final snapshot"
        if not _final(before, action):
            source = "the snapshot taken before the deletion; without such a snapshot nothing brings it back"
        return Undo(
            Undoable.PARTLY,
            "restore the database under its own identifier, so that its endpoint has the same name, then give it its "
            f"settings: from {source}",
            (*_lost(before), *common.lost_tags(before["tags"])),
            _permissions(before),
        )

    def dependants(self, site: Site, subject: Subject, resource: Values) -> Dependants:
        inquiry = common.Inquiry()
        inquiry.ask(
            "replicas and clusters",
            lambda: related(
                resource,
                "it would get nothing new, and AWS promotes it to a database of its own",
                "it would lose this replica",
                "members of a cluster are not deleted one by one",
            ),
        )
        inquiry.ask("proxies that lead to it", lambda: proxies(site, subject))
        inquiry.ask("stacks", lambda: common.stack_of(resource))
        return inquiry.answer()

    def seen(self, site: Site, subject: Subject, action: Values, before: Values) -> Seen:
        instance = instance_of(site, subject.resource_id)
        if instance is not None and instance.get("DbiResourceId") == before["resource"]:
            status = instance["DBInstanceStatus"]
            if status == "deleting":
                return Seen(State.PENDING, "it is being deleted", {"status": status})
            return Seen(State.NOT_REACHED, f"it is still there, {status}", {"status": status})
        says = "it does not exist any more" + ("; another database has its name" if instance else "")
        if not _final(before, action):
            return Seen(State.REACHED, says)
        snapshot = new_snapshot(site, subject, before, "Final")
        if snapshot is None:
            return Seen(State.REACHED, f"{says}, and there is no final snapshot of it")
        name, status = snapshot["DBSnapshotIdentifier"], snapshot["Status"]
        if status != "available":
            return Seen(State.PENDING, f"its final snapshot {name} is {status}", made={"final_snapshot": name})
        return Seen(State.REACHED, says, made={"final_snapshot": name})

    def undo(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> dict[str, Any]:
        instance = instance_of(site, subject.resource_id)
        if instance is None:
            instance = self._restored(site, subject, before, made)
        elif not _ours(instance, subject, before):
            raise FinopsPolicyError(
                f"{subject.resource_id} cannot be restored: another database has its name",
                hint=f"Restore the snapshot {_snapshot(made)} under another name by hand.",
            )
        if instance["DBInstanceStatus"] == "available":
            self._settle(site, instance, before)
        return {"databases": [subject.resource_id]}

    def undone(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> Seen:
        instance = instance_of(site, subject.resource_id)
        if instance is None:
            return Seen(State.NOT_REACHED, "there is no database of that name")
        if not _ours(instance, subject, before):
            return Seen(State.UNKNOWN, "another database has its name")
        new, now = {"databases": [subject.resource_id]}, _instance(instance)
        if now["status"] != "available":
            return Seen(State.PENDING, f"it is {now['status']}", now, new)
        if waiting := instance.get("PendingModifiedValues"):
            return Seen(State.PENDING, f"AWS is about to change {', '.join(sorted(waiting))}", now, new)
        settings = [key for key in differing(before, instance) if key not in MADE_WITH]
        if differences(common.writable(before["tags"]), now["tags"]):
            settings.append("tags")
        if settings:
            return Seen(State.NOT_REACHED, f"it is there, but not as before in {common.joined(settings)}", now, new)
        if other := differences({key: before[key] for key in MADE_WITH if before[key] is not None}, now):
            return Seen(State.UNKNOWN, f"it is there, but differs in {common.joined(other)}", now, new)
        return Seen(State.REACHED, "", now, new)

    def _restored(self, site: Site, subject: Subject, before: Values, made: Values) -> dict[str, Any]:
        client, name = site.client("rds"), _snapshot(made)
        if name is None:
            raise FinopsPolicyError(
                f"{subject.resource_id} cannot be made anew: there is no final snapshot of it, and no step before its "
                "deletion made one",
                hint="Look for its snapshots in RDS and in AWS Backup.",
            )
        tags = common.writable(before["tags"])
        if secret := common.withheld(before["tags"]):
            copied = common.described(client, "describe_db_snapshots", "DBSnapshots", DBSnapshotIdentifier=name)
            kept = common.tags_of(copied[0]) if copied else {}
            tags |= {key: kept[key] for key in secret if key in kept}
        answer = client.restore_db_instance_from_db_snapshot(
            DBInstanceIdentifier=subject.resource_id,
            DBSnapshotIdentifier=name,
            Tags=common.as_list({**tags, common.ITEM_TAG: subject.item_id}),
            **parameters({**before, "OptionGroupName": _own_group(before)}, WITH_RESTORE),
            **common.without(
                {
                    "AvailabilityZone": None if before["MultiAZ"] else before["zone"],
                    "EnableCloudwatchLogsExports": before["logs"] or None,
                    "ManageMasterUserPassword": True if before["managed_password"] else None,
                    "NetworkType": before["network"],
                    "Port": before["DBPortNumber"],
                }
            ),
        )
        return dict(answer["DBInstance"])

    def _settle(self, site: Site, instance: Values, before: Values) -> None:
        client = site.client("rds")
        lacking = differences(common.writable(before["tags"]), common.tags_of(instance))
        if lacking:
            tags = {key: before["tags"][key] for key in lacking}
            client.add_tags_to_resource(ResourceName=instance["DBInstanceArn"], Tags=common.as_list(tags))
        keys = [key for key in differing(before, instance) if key not in MADE_WITH]
        if changes := parameters(before, keys):
            client.modify_db_instance(
                DBInstanceIdentifier=instance["DBInstanceIdentifier"], ApplyImmediately=True, **changes
            )


def _instance(resource: Values) -> dict[str, Any]:
    """Everything that an instance made anew needs to be like it."""
    return {
        **values(resource),
        "status": resource["DBInstanceStatus"],
        "resource": resource.get("DbiResourceId"),
        "engine": resource.get("Engine"),
        "zone": resource.get("AvailabilityZone"),
        "network": resource.get("NetworkType"),
        "encrypted": bool(resource.get("StorageEncrypted", False)),
        "kms_key": resource.get("KmsKeyId"),
        "cluster": resource.get("DBClusterIdentifier"),
        "replica_of": resource.get("ReadReplicaSourceDBInstanceIdentifier"),
        "managed_password": bool(resource.get("MasterUserSecret")),
        "logs": sorted(resource.get("EnabledCloudwatchLogsExports") or []),
        "roles": sorted(each["RoleArn"] for each in resource.get("AssociatedRoles") or [] if each.get("RoleArn")),
        "domains": sorted(str(each.get("Domain")) for each in resource.get("DomainMemberships") or []),
        "tags": common.tags_of(resource),
    }


def _final(before: Values, action: Values) -> bool:
    """Whether c7n has AWS make a final snapshot."""
    return not (
        action.get("skip-snapshot") or before["status"] in NO_FINAL or before["replica_of"] or before["cluster"]
    )


def _snapshot(made: Values) -> str | None:
    snapshots = made.get("snapshots") or []
    found = made.get("final_snapshot") or (snapshots[-1] if snapshots else None)
    return None if found is None else str(found)


def _own_group(before: Values) -> str | None:
    """None for the default option group, which AWS takes by itself."""
    name = before["OptionGroupName"]
    return None if name is None or name.startswith("default:") else str(name)


def _ours(instance: Values, subject: Subject, before: Values) -> bool:
    """Whether it is the instance from before, or the one restored in its place."""
    return (
        instance.get("DbiResourceId") == before["resource"]
        or common.tags_of(instance).get(common.ITEM_TAG) == subject.item_id
    )


def _lost(before: Values) -> list[str]:
    lost = [
        "what was written after the snapshot",
        "its automated backups, and with them the points in time to restore to",
        "its resource id: metrics and insights of before belong to the old one",
    ]
    if before["managed_password"]:
        lost.append("the secret of its master password: RDS makes a new one, with another password")
    if before["roles"]:
        lost.append(f"its roles {', '.join(before['roles'])}: add them by hand")
    if before["domains"]:
        lost.append(f"its membership of the domain {', '.join(before['domains'])}: join it by hand")
    if before["status"] == "stopped":
        lost.append("that it was stopped: a restored database runs")
    return lost


def _permissions(before: Values) -> tuple[str, ...]:
    found = [
        "rds:AddTagsToResource",
        "rds:DescribeDBInstances",
        "rds:DescribeDBSnapshots",
        "rds:ModifyDBInstance",
        "rds:RestoreDBInstanceFromDBSnapshot",
    ]
    if before["kms_key"]:
        found += ["kms:CreateGrant", "kms:DescribeKey"]
    if before["MonitoringRoleArn"]:
        found.append("iam:PassRole")
    if before["managed_password"]:
        found += ["kms:DescribeKey", "secretsmanager:CreateSecret", "secretsmanager:TagResource"]
    return tuple(sorted(set(found)))


RECIPES: Mapping[tuple[str, str], Recipe] = {
    ("aws.rds", "stop"): Stop(),
    ("aws.rds", "snapshot"): Snapshot(),
    ("aws.rds", "delete"): Delete(),
    ("aws.rds", "modify-db"): Modify(),
    ("aws.rds", "resize"): Resize(),
    ("aws.rds", "retention"): Retention(),
}
