"""What there is to know of a database instance, in the words of ``modify_db_instance``, and how to ask for it.

Passwords, domains, processor features and flags such as ``AllowMajorVersionUpgrade`` cannot be read back, or are no
state of the instance: they are in no table here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from finops_policy.remediation.recipes import common
from finops_policy.remediation.recipes.common import described, one
from finops_policy.remediation.recipes.recipe import Dependant, Site, State, Subject

Values = Mapping[str, Any]


def _plain(key: str, default: Any = None) -> Callable[[Values], Any]:
    return lambda instance: instance.get(key, default)


def _first(key: str, name: str) -> Callable[[Values], Any]:
    return lambda instance: next((each.get(name) for each in instance.get(key) or []), None)


def _groups(instance: Values) -> list[str]:
    return sorted(each["VpcSecurityGroupId"] for each in instance.get("VpcSecurityGroups") or [])


def _port(instance: Values) -> int | None:
    return (instance.get("Endpoint") or {}).get("Port") or instance.get("DbInstancePort") or None


READ: Mapping[str, Callable[[Values], Any]] = {
    "AllocatedStorage": _plain("AllocatedStorage"),
    "AutoMinorVersionUpgrade": _plain("AutoMinorVersionUpgrade"),
    "BackupRetentionPeriod": _plain("BackupRetentionPeriod", 0),
    "CACertificateIdentifier": _plain("CACertificateIdentifier"),
    "CopyTagsToSnapshot": _plain("CopyTagsToSnapshot", False),
    "DBInstanceClass": _plain("DBInstanceClass"),
    "DBParameterGroupName": _first("DBParameterGroups", "DBParameterGroupName"),
    "DBPortNumber": _port,
    "DBSubnetGroupName": lambda instance: (instance.get("DBSubnetGroup") or {}).get("DBSubnetGroupName"),
    "DeletionProtection": _plain("DeletionProtection", False),
    "EnableIAMDatabaseAuthentication": _plain("IAMDatabaseAuthenticationEnabled", False),
    "EnablePerformanceInsights": _plain("PerformanceInsightsEnabled", False),
    "EngineVersion": _plain("EngineVersion"),
    "Iops": _plain("Iops"),
    "LicenseModel": _plain("LicenseModel"),
    "MaxAllocatedStorage": _plain("MaxAllocatedStorage"),
    "MonitoringInterval": _plain("MonitoringInterval", 0),
    "MonitoringRoleArn": _plain("MonitoringRoleArn"),
    "MultiAZ": _plain("MultiAZ", False),
    "OptionGroupName": _first("OptionGroupMemberships", "OptionGroupName"),
    "PerformanceInsightsKMSKeyId": _plain("PerformanceInsightsKMSKeyId"),
    "PerformanceInsightsRetentionPeriod": _plain("PerformanceInsightsRetentionPeriod"),
    "PreferredBackupWindow": _plain("PreferredBackupWindow"),
    "PreferredMaintenanceWindow": _plain("PreferredMaintenanceWindow"),
    "PromotionTier": _plain("PromotionTier"),
    "PubliclyAccessible": _plain("PubliclyAccessible", False),
    "StorageThroughput": _plain("StorageThroughput"),
    "StorageType": _plain("StorageType"),
    "VpcSecurityGroupIds": _groups,
}
"""Parameter of ``modify_db_instance`` -> its value as an instance is described."""
ONE_WAY = {
    "AllocatedStorage": "storage, which AWS never makes smaller",
    "EngineVersion": "the engine's version, which AWS never lowers",
}
"""What AWS changes in one direction only."""
TOGETHER = (
    ("MonitoringInterval", "MonitoringRoleArn"),
    ("EnablePerformanceInsights", "PerformanceInsightsKMSKeyId", "PerformanceInsightsRetentionPeriod"),
)
"""Parameters of which the first switches the others on: AWS wants them in one call."""
BASELINE = {"Iops": (3000, 12000), "StorageThroughput": (125, 500)}
"""What gp3 has of itself, by size and engine; AWS refuses to be asked for it."""
_GROWTH_LIMIT = "MaxAllocatedStorage"


def instance_of(site: Site, identifier: str) -> dict[str, Any] | None:
    """None when it is gone."""
    return one(site.client("rds"), "describe_db_instances", "DBInstances", DBInstanceIdentifier=identifier)


def snapshots_of(site: Site, identifier: str) -> list[dict[str, Any]]:
    """Manual snapshots, by time. AWS keeps them when the instance is gone."""
    client = site.client("rds")
    found = described(
        client, "describe_db_snapshots", "DBSnapshots", DBInstanceIdentifier=identifier, SnapshotType="manual"
    )
    return sorted(found, key=lambda each: (str(each.get("SnapshotCreateTime", "")), each["DBSnapshotIdentifier"]))


def new_snapshot(site: Site, subject: Subject, before: Values, prefix: str) -> dict[str, Any] | None:
    """The newest snapshot that c7n made under this prefix after ``before`` was read, unless it failed."""
    begins = f"{prefix}-{subject.resource_id}-".lower()
    found = [
        each
        for each in snapshots_of(site, subject.resource_id)
        if each["DBSnapshotIdentifier"] not in before.get("_snapshots", ())
        and each["DBSnapshotIdentifier"].lower().startswith(begins)
        and each.get("Status") != "failed"
    ]
    return found[-1] if found else None


def values(instance: Values, keys: Iterable[str] = READ) -> dict[str, Any]:
    return {key: READ[key](instance) for key in keys}


def state_of(instance: Values | None, wanted: str, other: str) -> tuple[State, str]:
    """Whether it is ``wanted`` ("stopped"). ``other`` is the status from which it would have to begin; any other but a
    failure leads on to one of them."""
    if instance is None:
        return State.UNKNOWN, "the database does not exist any more"
    status = str(instance["DBInstanceStatus"])
    if status == wanted:
        return State.REACHED, ""
    if status == other or status.startswith(("failed", "incompatible", "inaccessible", "restore-error")):
        return State.NOT_REACHED, f"it is {status}"
    return State.PENDING, f"it is {status}"


def parameters(wanted: Values, keys: Iterable[str]) -> dict[str, Any]:
    """``wanted`` for ``modify_db_instance`` or a restore, without what AWS does not want to be told."""
    found = {key: wanted.get(key) for key in keys}
    for first, *others in TOGETHER:
        if first in found or any(each in found for each in others):
            found |= {each: wanted.get(each) for each in (first, *others)}
            if not wanted.get(first):
                found = {key: value for key, value in found.items() if key not in others}
    if wanted.get("StorageType") == "gp3":
        found = {key: value for key, value in found.items() if value not in BASELINE.get(key, ())}
        if "StorageThroughput" in found:
            found["Iops"] = wanted.get("Iops")
    elif wanted.get("StorageType") not in ("io1", "io2"):
        found = {key: value for key, value in found.items() if key not in BASELINE}
    if _GROWTH_LIMIT in found and found[_GROWTH_LIMIT] is None:
        found[_GROWTH_LIMIT] = wanted.get("AllocatedStorage")  # switches the growth off
    return common.without(found)


def differing(wanted: Values, instance: Values) -> list[str]:
    """Keys of ``READ`` in ``wanted`` that the instance has not. What AWS chooses by itself (None) never differs."""
    keys = [key for key in wanted if key in READ]
    now = values(instance, keys)
    return [
        key for key in sorted(keys) if wanted[key] != now[key] and (wanted[key] is not None or key == _GROWTH_LIMIT)
    ]


# --- dependants -------------------------------------------------------------------------------------------------------


def related(instance: Values, replica: str, source: str, member: str) -> Iterator[Dependant]:
    """Replicas, its source and its cluster; the words say what the action means to each."""
    copies = [
        *(instance.get("ReadReplicaDBInstanceIdentifiers") or []),
        *(instance.get("ReadReplicaDBClusterIdentifiers") or []),
    ]
    for each in copies:
        yield Dependant("read-replica", each, replica)
    if above := instance.get("ReadReplicaSourceDBInstanceIdentifier"):
        yield Dependant("source", above, source)
    if cluster := instance.get("DBClusterIdentifier"):
        yield Dependant("cluster", cluster, member)


def proxies(site: Site, subject: Subject) -> Iterator[Dependant]:
    client = site.client("rds")
    for proxy in described(client, "describe_db_proxies", "DBProxies"):
        name = proxy["DBProxyName"]
        for target in described(client, "describe_db_proxy_targets", "Targets", DBProxyName=name):
            if target.get("RdsResourceId") == subject.resource_id:
                yield Dependant("proxy", name, "it would have no database to lead to")
