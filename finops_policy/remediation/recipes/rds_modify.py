"""Database instances: modify-db, resize, retention. All three are one call of AWS, ``modify_db_instance``.

Without ``immediate`` AWS applies a change in the next maintenance window: until then it is pending, and is told so.
Undo is always immediate, and applies whatever else waits for the window; what waits is compared between plan and apply.
moto applies everything at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from finops_policy.remediation.recipes import common
from finops_policy.remediation.recipes.rds_values import (
    ONE_WAY,
    READ,
    differing,
    instance_of,
    parameters,
    related,
    values,
)
from finops_policy.remediation.recipes.recipe import Dependants, Seen, Site, State, Subject, Undo, Undoable

Values = Mapping[str, Any]

PERMISSIONS = ("rds:DescribeDBInstances", "rds:ModifyDBInstance")
NO_STATE = ("AllowMajorVersionUpgrade", "CertificateRotationRestart", "UseDefaultProcessorFeatures")
"""Properties that tell AWS how to change something, and are no value of the instance."""
NEEDED = ("AllocatedStorage", "Iops", "MaxAllocatedStorage", "StorageThroughput", "StorageType")
"""Storage is asked for as a whole: what is asked for depends on its type."""
RESTARTS = ("DBInstanceClass", "DBPortNumber", "EngineVersion")
"""What takes the database away for some minutes when it changes."""


class Changes:
    """What the three have in common. ``wanted`` says what the action asks for."""

    keys: tuple[str, ...] = ()
    """What to read always."""

    def wanted(self, before: Values, action: Values) -> dict[str, Any]:
        raise NotImplementedError

    def unreadable(self, action: Values) -> list[str]:
        """Properties that the action sets and nobody can read."""
        del action
        return []

    def before(self, site: Site, subject: Subject, resource: Values, action: Values) -> dict[str, Any]:
        asked = [each["property"] for each in action.get("update", ())]
        keys = [key for key in dict.fromkeys((*self.keys, *map(_own, asked))) if key in READ]
        if set(keys) & set(NEEDED):
            keys = list(dict.fromkeys([*keys, *NEEDED]))
        pending = resource.get("PendingModifiedValues") or {}
        return {
            **values(resource, keys),
            "resource": resource.get("DbiResourceId"),
            "window": resource.get("PreferredMaintenanceWindow"),
            "pending": {key: _json(pending[key]) for key in sorted(pending) if key != "MasterUserPassword"},
        }

    def undo_of(self, before: Values, action: Values) -> Undo:
        wanted = self.wanted(before, action)
        changed = [key for key in sorted(wanted) if wanted[key] != before[key]]
        back = [key for key in changed if key not in ONE_WAY and not _chosen(key, before)]
        lost = [f"{ONE_WAY[key]}: it stays at {wanted[key]}" for key in changed if key in ONE_WAY]
        lost += [f"{key}: AWS chose it, and it stays at {wanted[key]}" for key in changed if _chosen(key, before)]
        lost += [f"{each}: it cannot be read, so nobody knows what it was" for each in self.unreadable(action)]
        if "BackupRetentionPeriod" in changed and wanted["BackupRetentionPeriod"] < before["BackupRetentionPeriod"]:
            lost.append(f"automated backups older than {wanted['BackupRetentionPeriod']} days: AWS deletes them")
        if not back:
            how = "AWS offers no way back" if lost else "nothing to take back: it is so already"
            return Undo(Undoable.NO if lost else Undoable.YES, how, tuple(lost), () if lost else PERMISSIONS)
        how = "modify the database back at once: " + ", ".join(f"{key} {_word(before[key])}" for key in back)
        if set(back) & set(RESTARTS):
            how += "; it is away for some minutes meanwhile"
        return Undo(Undoable.PARTLY if lost else Undoable.YES, how, tuple(lost), PERMISSIONS)

    def dependants(self, site: Site, subject: Subject, resource: Values) -> Dependants:
        inquiry = common.Inquiry()
        inquiry.ask(
            "replicas and clusters",
            lambda: related(
                resource,
                "a change of this database may be too small or too new for it",
                "what is changed here is not changed there",
                "some values belong to the cluster, and AWS refuses to change them here",
            ),
        )
        return inquiry.answer()

    def seen(self, site: Site, subject: Subject, action: Values, before: Values) -> Seen:
        immediate = bool(action.get("immediate", False))
        seen = self._reached(site, subject, before, self.wanted(before, action), immediate=immediate)
        if seen.state is State.REACHED and (hidden := self.unreadable(action)):
            return Seen(State.UNKNOWN, f"AWS does not tell {common.joined(hidden)}", seen.after)
        return seen

    def undo(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> dict[str, Any]:
        instance = instance_of(site, subject.resource_id)
        if instance and (keys := differing(self._back(before, action), instance)):
            changes = parameters(before, keys)
            site.client("rds").modify_db_instance(
                DBInstanceIdentifier=subject.resource_id, ApplyImmediately=True, **changes
            )
        return {}

    def undone(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> Seen:
        return self._reached(site, subject, before, self._back(before, action), immediate=True)

    def _back(self, before: Values, action: Values) -> dict[str, Any]:
        """What the undo asks for."""
        return {key: before[key] for key in self.wanted(before, action) if key not in ONE_WAY}

    def _reached(self, site: Site, subject: Subject, before: Values, wanted: Values, *, immediate: bool) -> Seen:
        instance = instance_of(site, subject.resource_id)
        if instance is None or instance.get("DbiResourceId") != before["resource"]:
            return Seen(State.UNKNOWN, "the database does not exist any more")
        status, now = str(instance["DBInstanceStatus"]), values(instance, wanted)
        after = {**now, "status": status}
        other = differing(wanted, instance)
        if not other:
            return Seen(State.REACHED, "", after)
        pending = instance.get("PendingModifiedValues") or {}
        if status not in ("available", "stopped"):
            return Seen(State.PENDING, f"it is {status}", after)
        if waiting := [key for key in other if _waits(pending, key, wanted[key])]:
            when = "soon" if immediate else f"in the maintenance window {before['window']}"
            return Seen(State.PENDING, f"AWS changes {common.joined(waiting)} {when}", after)
        says = ", ".join(f"{key} is {_word(now[key])}, not {_word(wanted[key])}" for key in other)
        return Seen(State.NOT_REACHED, says, after)


class Modify(Changes):
    """c7n's ``modify-db``: any property, one by one. A class that is too large is set back by it."""

    def wanted(self, before: Values, action: Values) -> dict[str, Any]:
        asked = {_own(each["property"]): each["value"] for each in action["update"]}
        if isinstance(groups := asked.get("VpcSecurityGroupIds"), list):
            asked["VpcSecurityGroupIds"] = sorted(groups)
        return {key: value for key, value in asked.items() if key in before and key in READ}

    def unreadable(self, action: Values) -> list[str]:
        asked = {_own(each["property"]) for each in action["update"]}
        return sorted(asked - set(READ) - set(NO_STATE))


class Resize(Changes):
    """c7n's ``resize`` changes the storage by a percentage, of what was there when it was described: acting on an older
    description repeats nothing."""

    keys = ("AllocatedStorage",)

    def wanted(self, before: Values, action: Values) -> dict[str, Any]:
        size = (100 + Decimal(str(action["percent"]))) / 100 * Decimal(before["AllocatedStorage"])
        return {"AllocatedStorage": int(size.quantize(Decimal(0), ROUND_HALF_UP))}


class Retention(Changes):
    """c7n's ``retention``: how long AWS keeps automated backups, and whether snapshots get the tags."""

    keys = ("BackupRetentionPeriod", "CopyTagsToSnapshot")

    def wanted(self, before: Values, action: Values) -> dict[str, Any]:
        """As c7n does it: where tags are to be copied from now on, the longer retention counts whatever is asked."""
        days, copy = int(action["days"]), bool(action.get("copy-tags", True))
        now, how = int(before["BackupRetentionPeriod"]), str(action.get("enforce", "min")).lower()
        if how == "min" or before["CopyTagsToSnapshot"] != copy:
            days = max(now, days)
        elif how == "max":
            days = min(now, days)
        return {"BackupRetentionPeriod": days, "CopyTagsToSnapshot": copy}


def _own(prop: str) -> str:
    """c7n spells one of AWS's parameters in another way."""
    return "MonitoringRoleArn" if prop == "MonitoringRoleARN" else prop


def _json(value: Any) -> Any:
    return value if isinstance(value, str | int | list | dict) else str(value)


def _waits(pending: Values, key: str, value: Any) -> bool:
    """What waits is spelled as a described instance spells it."""
    spelled = {"DBPortNumber": "Port", "EnableIAMDatabaseAuthentication": "IAMDatabaseAuthenticationEnabled"}
    name = spelled.get(key, key)
    return name in pending and pending[name] == value


def _chosen(key: str, before: Values) -> bool:
    """A limit of growth that was not there is no choice of AWS's: there was to be no growth."""
    return key not in ONE_WAY and before[key] is None and key != "MaxAllocatedStorage"


def _word(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
