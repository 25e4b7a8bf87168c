"""DynamoDB tables: backup, delete, update.

A deleted table comes back from the backup that a step before made, under its own name, and is then given what no backup
holds. moto knows neither table classes nor ids of tables, and says ``ACTIVE`` at once; how a table behaves while AWS
is busy with it is tested by making moto say so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from finops_policy.errors import FinopsPolicyError
from finops_policy.remediation.recipes import common, copies
from finops_policy.remediation.recipes.common import GONE, NoDependants, described, differences
from finops_policy.remediation.recipes.dynamodb_values import (
    MADE_WITH,
    ON_DEMAND,
    billing,
    billing_update,
    created,
    is_unknown,
    lacking,
    protection,
    settle,
    table_of,
    unread,
    updated,
    values,
)
from finops_policy.remediation.recipes.recipe import (
    Dependant,
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

WORDS = {"ttl": "expiry of items", "recovery_days": "point-in-time recovery", "autoscaling": "automatic scaling"}
GONE_WITH_IT = Seen(State.UNKNOWN, "the table does not exist any more")


def backups_of(site: Site, name: str) -> list[dict[str, Any]]:
    """Backups that people and policies made, by time. AWS still knows them when the table is gone."""
    client = site.client("dynamodb")
    found = described(client, "list_backups", "BackupSummaries", TableName=name, BackupType="USER")
    return sorted(found, key=lambda each: (each["BackupCreationDateTime"], each["BackupArn"]))


class Backup(NoDependants):
    """A backup counts when AWS says that it is available."""

    def before(self, site: Site, subject: Subject, resource: Values, action: Values) -> dict[str, Any]:
        known = [each["BackupArn"] for each in backups_of(site, subject.resource_id)]
        return {"created": created(resource), "_backups": known}

    def undo_of(self, before: Values, action: Values) -> Undo:
        return copies.KEPT

    def seen(self, site: Site, subject: Subject, action: Values, before: Values) -> Seen:
        prefix = f"{action.get('prefix', 'Backup')}-{subject.resource_id}-"
        new = [
            each
            for each in backups_of(site, subject.resource_id)
            if each["BackupArn"] not in before.get("_backups", ())
            and each["BackupName"].startswith(prefix)
            and each["BackupStatus"] != "DELETED"
        ]
        if not new:
            return Seen(State.NOT_REACHED, "there is no new backup")
        newest = new[-1]
        made = {"backups": [newest["BackupArn"]]}
        if newest["BackupStatus"] != "AVAILABLE":
            return Seen(State.PENDING, f"{newest['BackupName']} is {newest['BackupStatus'].lower()}", made=made)
        return Seen(State.REACHED, "", {"backup": newest["BackupName"]}, made)

    def undo(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> dict[str, Any]:
        return {}

    def undone(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> Seen:
        return copies.STAYS


class Delete:
    """A deleted table is restored from the backup that the plan's own steps made of it."""

    def before(self, site: Site, subject: Subject, resource: Values, action: Values) -> dict[str, Any]:
        return {"status": resource["TableStatus"], **values(site, resource, common.tags_of(resource))}

    def undo_of(self, before: Values, action: Values) -> Undo:
        lost = ["what was written after the backup", "its point-in-time backups, but for one that AWS keeps 35 days"]
        if before["stream"]:
            lost.append("its stream: the new table's stream has another ARN, and consumers must be pointed to it")
        if before["replicas"]:
            lost.append(f"its place among the replicas in {', '.join(before['replicas'])}")
        lost.append("its resource policy, Kinesis destinations and contributor insights, if it has any: set them anew")
        lost += [
            f"its {words}, if it has any: it could not be read ({before[key]['unknown']})"
            for key, words in WORDS.items()
            if is_unknown(before[key])
        ]
        lost += common.lost_tags(before["tags"])
        return Undo(
            Undoable.PARTLY,
            "restore the backup taken before the deletion under the same name, then give the table its tags and "
            "settings; without such a backup nothing brings it back",
            tuple(lost),
            _permissions(before),
        )

    def dependants(self, site: Site, subject: Subject, resource: Values) -> Dependants:
        inquiry = common.Inquiry()
        inquiry.ask("functions that read its stream", lambda: _consumers(site, resource))
        inquiry.ask("replicas", lambda: _replicas(resource))
        inquiry.ask("stacks", lambda: common.stack_of(resource))
        return inquiry.answer()

    def seen(self, site: Site, subject: Subject, action: Values, before: Values) -> Seen:
        table = table_of(site, subject.resource_id)
        if table is None:
            return GONE
        if created(table) != before["created"]:
            return Seen(State.REACHED, "it does not exist any more; another table has its name")
        after = {"status": table["TableStatus"]}
        if table["TableStatus"] == "DELETING":
            return Seen(State.PENDING, "it is being deleted", after)
        return Seen(State.NOT_REACHED, f"it is still there, {table['TableStatus'].lower()}", after)

    def undo(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> dict[str, Any]:
        name = subject.resource_id
        table = table_of(site, name)
        if table is None:
            table = self._restored(site, name, before, made)
        elif not _ours(table, before, made):
            raise FinopsPolicyError(
                f"{name} cannot be restored: another table has its name",
                hint=f"Restore {_backup(made) or 'a backup of it'} under another name by hand.",
            )
        if table["TableStatus"] == "ACTIVE":
            settle(site, table, before, self._now(site, table))
        return {"tables": [table["TableArn"]]}

    def undone(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> Seen:
        table = table_of(site, subject.resource_id)
        if table is None:
            return Seen(State.NOT_REACHED, "there is no table of that name")
        if not _ours(table, before, made):
            return Seen(State.UNKNOWN, "another table has its name")
        new, after = {"tables": [table["TableArn"]]}, {"status": table["TableStatus"]}
        if table["TableStatus"] != "ACTIVE" or (table.get("RestoreSummary") or {}).get("RestoreInProgress"):
            return Seen(State.PENDING, f"it is {table['TableStatus'].lower()}", after, new)
        now = self._now(site, table)
        if missing := lacking(before, now):
            return Seen(State.NOT_REACHED, f"it is there, but not as before in {common.joined(missing)}", now, new)
        if unknown := unread(before, now):
            return Seen(State.UNKNOWN, f"it is there; not to be read: {common.joined(unknown)}", now, new)
        if other := differences({key: before[key] for key in MADE_WITH}, now):
            return Seen(State.UNKNOWN, f"it is there, but differs in {common.joined(other)}", now, new)
        return Seen(State.REACHED, "", now, new)

    def _restored(self, site: Site, name: str, before: Values, made: Values) -> dict[str, Any]:
        backup = _backup(made)
        if backup is None:
            raise FinopsPolicyError(
                f"{name} cannot be made anew: no step before its deletion made a backup of it",
                hint="Look for its backups in DynamoDB and in AWS Backup: AWS keeps some for 35 days.",
            )
        encryption = None
        if key := before["kms_key"]:
            own = {} if before["kms_manager"] == "AWS" else {"KMSMasterKeyId": key}
            encryption = {"Enabled": True, "SSEType": "KMS", **own}
        client = site.client("dynamodb")
        answer = client.restore_table_from_backup(
            TargetTableName=name, BackupArn=backup, **common.without({"SSESpecificationOverride": encryption})
        )
        return dict(answer["TableDescription"])

    def _now(self, site: Site, table: Values) -> dict[str, Any]:
        client = site.client("dynamodb")
        tags = described(client, "list_tags_of_resource", "Tags", ResourceArn=table["TableArn"])
        return values(site, table, common.tags_of({"Tags": tags}))


def _backup(made: Values) -> str | None:
    found = made.get("backups") or []
    return str(found[-1]) if found else None


def _ours(table: Values, before: Values, made: Values) -> bool:
    """Whether it is the table from before, or the one restored in its place."""
    restored_from = (table.get("RestoreSummary") or {}).get("SourceBackupArn")
    return created(table) == before["created"] or (restored_from is not None and restored_from == _backup(made))


def _consumers(site: Site, table: Values) -> Iterator[Dependant]:
    if not (stream := table.get("LatestStreamArn")):
        return
    client = site.client("lambda")
    for each in described(client, "list_event_source_mappings", "EventSourceMappings", EventSourceArn=stream):
        yield Dependant("function", each["FunctionArn"], "it reads the table's stream, which would end")


def _replicas(table: Values) -> Iterator[Dependant]:
    for each in table.get("Replicas") or []:
        yield Dependant("replica", each["RegionName"], "it would no longer get what is written here")


def _permissions(before: Values) -> tuple[str, ...]:
    found = [
        *("application-autoscaling:DescribeScalableTargets", "application-autoscaling:DescribeScalingPolicies"),
        *("dynamodb:BatchWriteItem", "dynamodb:DeleteItem", "dynamodb:DescribeContinuousBackups"),
        *("dynamodb:DescribeTable", "dynamodb:DescribeTimeToLive", "dynamodb:GetItem", "dynamodb:ListTagsOfResource"),
        *("dynamodb:PutItem", "dynamodb:Query", "dynamodb:RestoreTableFromBackup", "dynamodb:Scan"),
        *("dynamodb:TagResource", "dynamodb:UpdateContinuousBackups", "dynamodb:UpdateItem"),
        *("dynamodb:UpdateTable", "dynamodb:UpdateTimeToLive"),
    ]
    if before["autoscaling"] and not is_unknown(before["autoscaling"]):
        found += ["application-autoscaling:PutScalingPolicy", "application-autoscaling:RegisterScalableTarget"]
    if before["kms_key"]:
        found += ["kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey"]
    return tuple(sorted(found))


class Update(NoDependants):
    """Billing mode, capacity and deletion protection. Undo gives the table those from before, its indexes too."""

    def before(self, site: Site, subject: Subject, resource: Values, action: Values) -> dict[str, Any]:
        return self._values(resource)

    def undo_of(self, before: Values, action: Values) -> Undo:
        wanted = _wanted(before, action)
        parts = []
        if wanted["billing_mode"] != before["billing_mode"]:
            parts.append(f"billing mode {before['billing_mode']}")
        if before["capacity"] and wanted["capacity"] != before["capacity"]:
            read, write = before["capacity"][""]
            parts.append(f"capacity {read} to read and {write} to write")
        if wanted["protection"] != before["protection"]:
            parts.append(f"deletion protection {'on' if before['protection'] else 'off'}")
        how = f"update the table back: {common.joined(parts)}" if parts else "nothing to take back: it is so already"
        if wanted["billing_mode"] != before["billing_mode"] == ON_DEMAND:
            how += "; AWS lets a table change to on-demand four times in 24 hours"
        elif before["capacity"] and wanted["capacity"] != before["capacity"]:
            how += "; AWS limits how often a day capacity may become smaller"
        return Undo(Undoable.YES, how, (), ("dynamodb:DescribeTable", "dynamodb:UpdateTable"))

    def seen(self, site: Site, subject: Subject, action: Values, before: Values) -> Seen:
        return self._reached(site, subject, before, _wanted(before, action))

    def undo(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> dict[str, Any]:
        client, table = site.client("dynamodb"), table_of(site, subject.resource_id)
        if table is None or table["TableStatus"] != "ACTIVE":
            return {}
        now = self._values(table)
        steps = [billing_update(before, now)]
        if now["protection"] != before["protection"]:
            steps.append({"DeletionProtectionEnabled": before["protection"]})
        for changes in steps:
            if changes and not updated(client, subject.resource_id, changes):
                break
        return {}

    def undone(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> Seen:
        return self._reached(site, subject, before, before)

    def _values(self, table: Values) -> dict[str, Any]:
        return {**billing(table), "protection": protection(table), "created": created(table)}

    def _reached(self, site: Site, subject: Subject, before: Values, wanted: Values) -> Seen:
        table = table_of(site, subject.resource_id)
        if table is None or created(table) != before["created"]:
            return GONE_WITH_IT
        now = self._values(table)
        if table["TableStatus"] != "ACTIVE":
            return Seen(State.PENDING, f"the table is {table['TableStatus'].lower()}", now)
        compared = dict(wanted)
        if wanted["billing_mode"] != ON_DEMAND and not wanted["capacity"]:
            del compared["capacity"]  # asked for without a number: AWS chooses
        if other := differences(compared, now):
            says = ", ".join(f"{key} is {now[key]}, not {compared[key]}" for key in other)
            return Seen(State.NOT_REACHED, says, now)
        return Seen(State.REACHED, "", now)


def _wanted(before: Values, action: Values) -> dict[str, Any]:
    """What c7n asks for: the table's own capacity, never that of its indexes."""
    wanted = {
        **before,
        "billing_mode": action.get("BillingMode", before["billing_mode"]),
        "protection": action.get("DeletionProtectionEnabled", before["protection"]),
    }
    if wanted["billing_mode"] == ON_DEMAND:
        return {**wanted, "capacity": {}}
    if units := action.get("ProvisionedThroughput"):
        own = [units.get("ReadCapacityUnits"), units.get("WriteCapacityUnits")]
        return {**wanted, "capacity": {**before["capacity"], "": own}}
    return wanted


RECIPES: Mapping[tuple[str, str], Recipe] = {
    ("aws.dynamodb-table", "backup"): Backup(),
    ("aws.dynamodb-table", "delete"): Delete(),
    ("aws.dynamodb-table", "update"): Update(),
}
