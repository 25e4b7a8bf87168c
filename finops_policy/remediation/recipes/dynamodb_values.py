"""What there is to know of a DynamoDB table, and how to give it back to a table made anew.

A restored table has keys, indexes and capacity of its backup. Tags, expiry, stream, deletion protection, table class,
point-in-time recovery and scaling it has not. What may not be read (``{"unknown": <AWS's code>}``) is not set either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from finops_policy.failures import call_errors
from finops_policy.remediation.recipes import common
from finops_policy.remediation.recipes.common import code_of, described, unless_gone
from finops_policy.remediation.recipes.recipe import Site

Values = Mapping[str, Any]

ON_DEMAND = "PAY_PER_REQUEST"
SETTABLE = ("tags", "ttl", "autoscaling", "billing_mode", "stream", "class", "protection", "recovery_days")
"""What a table can be given after it was made, in the order in which that is done."""
MADE_WITH = ("keys", "indexes", "local_indexes", "kms_key")
"""What only making it again would change."""


def table_of(site: Site, name: str) -> dict[str, Any] | None:
    """None when it is gone."""
    answer = unless_gone(site.client("dynamodb").describe_table, TableName=name)
    return None if answer is None else dict(answer["Table"])


def created(table: Values) -> str:
    """Tells a table from another of the same name."""
    return str(table["CreationDateTime"].isoformat())


def billing(table: Values) -> dict[str, Any]:
    """Billing mode, and provisioned capacity as [read, write] of the table (``""``) and its indexes; none on demand."""
    mode = (table.get("BillingModeSummary") or {}).get("BillingMode") or "PROVISIONED"
    throughput = {"": table.get("ProvisionedThroughput") or {}}
    throughput |= {each["IndexName"]: each.get("ProvisionedThroughput") or {} for each in _indexes(table)}
    capacity = {
        name: [each.get("ReadCapacityUnits", 0), each.get("WriteCapacityUnits", 0)]
        for name, each in sorted(throughput.items())
    }
    return {"billing_mode": mode, "capacity": {} if mode == ON_DEMAND else capacity}


def protection(table: Values) -> bool:
    return bool(table.get("DeletionProtectionEnabled", False))


def values(site: Site, table: Values, tags: Values) -> dict[str, Any]:
    """Everything that a table made anew needs to be like it. ``_capacity`` is what scaling changes by itself."""
    client, name = site.client("dynamodb"), table["TableName"]
    scaling = _or_unknown(lambda: _scaling(site, table))
    billed = billing(table)
    capacity = billed.pop("capacity")
    stream = table.get("StreamSpecification") or {}
    return {
        **billed,
        "_capacity" if scaling else "capacity": capacity,
        "created": created(table),
        "keys": [
            table["KeySchema"],
            sorted(table["AttributeDefinitions"], key=lambda each: str(each["AttributeName"])),
        ],
        "indexes": {each["IndexName"]: [each["KeySchema"], each["Projection"]] for each in _indexes(table)},
        "local_indexes": {
            each["IndexName"]: [each["KeySchema"], each["Projection"]]
            for each in table.get("LocalSecondaryIndexes") or []
        },
        "class": (table.get("TableClassSummary") or {}).get("TableClass", "STANDARD"),
        "kms_key": (key := (table.get("SSEDescription") or {}).get("KMSMasterKeyArn")),
        "kms_manager": _or_unknown(lambda: _manager(site, key)),
        "stream": stream.get("StreamViewType") if stream.get("StreamEnabled") else None,
        "protection": protection(table),
        "replicas": sorted(each["RegionName"] for each in table.get("Replicas") or []),
        "ttl": _or_unknown(lambda: _ttl(client, name)),
        "recovery_days": _or_unknown(lambda: _recovery_days(client, name)),
        "autoscaling": scaling,
        "tags": dict(tags),
    }


def is_unknown(value: Any) -> bool:
    return isinstance(value, Mapping) and set(value) == {"unknown"}


def lacking(before: Values, now: Values) -> list[str]:
    """What of ``SETTABLE`` is known to be not as before."""
    found = []
    for key in SETTABLE:
        wanted, has = before[key], now[key]
        if is_unknown(wanted) or is_unknown(has):
            continue
        if key == "tags":
            other = bool(common.differences(common.writable(wanted), has))
        elif key == "billing_mode":
            other = wanted != has or bool(before.get("capacity") and before["capacity"] != now.get("capacity"))
        elif key == "autoscaling":
            other = any(each not in has for each in wanted)
        else:
            other = wanted != has
        if other:
            found.append(key)
    return found


def unread(before: Values, now: Values) -> list[str]:
    """What was read before, and cannot be any more."""
    return [key for key in SETTABLE if is_unknown(now[key]) and not is_unknown(before[key])]


def settle(site: Site, table: Values, before: Values, now: Values) -> None:
    """Gives a table what it lacks, until AWS is busy with it: DynamoDB takes one change at a time. Call again then."""
    client, name = site.client("dynamodb"), table["TableName"]
    for key in lacking(before, now):
        if key == "tags":
            client.tag_resource(ResourceArn=table["TableArn"], Tags=common.as_list(common.writable(before["tags"])))
        elif key == "ttl":
            wanted = {"Enabled": before["ttl"] is not None, "AttributeName": before["ttl"] or now["ttl"]}
            client.update_time_to_live(TableName=name, TimeToLiveSpecification=wanted)
        elif key == "autoscaling":
            _set_scaling(site, before["autoscaling"])
        elif key == "recovery_days":
            days = before["recovery_days"]
            recovery = common.without({"PointInTimeRecoveryEnabled": days is not None, "RecoveryPeriodInDays": days})
            client.update_continuous_backups(TableName=name, PointInTimeRecoverySpecification=recovery)
        elif not updated(client, name, _update(key, before, now)):
            return


def updated(client: Any, name: str, changes: Values) -> bool:
    """Whether the table is ready for another change after this one."""
    answer = client.update_table(TableName=name, **changes)
    return bool(answer["TableDescription"]["TableStatus"] == "ACTIVE")


def billing_update(before: Values, now: Values) -> dict[str, Any]:
    """Parameters of ``update_table`` for a billing mode and its capacity."""
    changes: dict[str, Any] = {}
    if before["billing_mode"] != now["billing_mode"]:
        changes["BillingMode"] = before["billing_mode"]
    if before["billing_mode"] == ON_DEMAND:
        return changes
    wanted, has = before.get("capacity") or before.get("_capacity") or {}, now.get("capacity") or {}
    other = {each: _throughput(units) for each, units in wanted.items() if has.get(each) != units}
    if table := other.pop("", None):
        changes["ProvisionedThroughput"] = table
    if other:
        changes["GlobalSecondaryIndexUpdates"] = [
            {"Update": {"IndexName": each, "ProvisionedThroughput": units}} for each, units in other.items()
        ]
    return changes


def _throughput(units: list[int]) -> dict[str, int]:
    return {"ReadCapacityUnits": units[0], "WriteCapacityUnits": units[1]}


def _update(key: str, before: Values, now: Values) -> dict[str, Any]:
    if key == "billing_mode":
        return billing_update(before, now)
    if key == "class":
        return {"TableClass": before["class"]}
    if key == "protection":
        return {"DeletionProtectionEnabled": before["protection"]}
    enabled = before["stream"] is not None
    return {
        "StreamSpecification": common.without({"StreamEnabled": enabled, "StreamViewType": before["stream"]}),
    }


def _indexes(table: Values) -> list[dict[str, Any]]:
    return sorted(table.get("GlobalSecondaryIndexes") or [], key=lambda each: str(each["IndexName"]))


def _or_unknown(question: Callable[[], Any]) -> Any:
    """The answer, or AWS's code where it refused one: a fact of its own, and the same at every reading."""
    try:
        return question()
    except call_errors() as error:
        return {"unknown": code_of(error) or type(error).__name__}


def _manager(site: Site, key: str | None) -> str | None:
    """Whether the key is AWS's own (``AWS``): one may not ask for that by its name."""
    if key is None:
        return None
    return str(site.client("kms").describe_key(KeyId=key)["KeyMetadata"]["KeyManager"])


def _ttl(client: Any, name: str) -> str | None:
    """The attribute by which items expire."""
    answer = client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    return answer.get("AttributeName") if answer.get("TimeToLiveStatus") in ("ENABLED", "ENABLING") else None


def _recovery_days(client: Any, name: str) -> int | None:
    answer = client.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    recovery = answer.get("PointInTimeRecoveryDescription") or {}
    if recovery.get("PointInTimeRecoveryStatus") != "ENABLED":
        return None
    return int(recovery.get("RecoveryPeriodInDays") or 35)


def _scaling(site: Site, table: Values) -> list[dict[str, Any]]:
    """Targets of Application Auto Scaling with their policies, for the table and its indexes."""
    client = site.client("application-autoscaling")
    ids = [f"table/{table['TableName']}"]
    ids += [f"{ids[0]}/index/{each['IndexName']}" for each in _indexes(table)]
    asked = {"ServiceNamespace": "dynamodb", "ResourceIds": ids}
    targets = described(client, "describe_scalable_targets", "ScalableTargets", **asked)
    policies = [
        each
        for resource_id in (ids if targets else [])
        for each in described(
            client, "describe_scaling_policies", "ScalingPolicies", ServiceNamespace="dynamodb", ResourceId=resource_id
        )
    ]
    found = [
        {
            "resource": each["ResourceId"],
            "dimension": each["ScalableDimension"],
            "min": each["MinCapacity"],
            "max": each["MaxCapacity"],
            "policies": sorted(_policies(each, policies), key=lambda policy: str(policy["name"])),
        }
        for each in targets
    ]
    return sorted(found, key=lambda each: (str(each["resource"]), str(each["dimension"])))


def _policies(target: Values, policies: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for each in policies:
        same = all(each[key] == target[key] for key in ("ResourceId", "ScalableDimension"))
        if same and each.get("PolicyType") == "TargetTrackingScaling":
            yield {"name": each["PolicyName"], "tracking": each["TargetTrackingScalingPolicyConfiguration"]}


def _set_scaling(site: Site, targets: list[dict[str, Any]]) -> None:
    """Both calls replace what has the same name."""
    client = site.client("application-autoscaling")
    for each in targets:
        whose = {
            "ServiceNamespace": "dynamodb",
            "ResourceId": each["resource"],
            "ScalableDimension": each["dimension"],
        }
        client.register_scalable_target(**whose, MinCapacity=each["min"], MaxCapacity=each["max"])
        for policy in each["policies"]:
            client.put_scaling_policy(
                **whose,
                PolicyName=policy["name"],
                PolicyType="TargetTrackingScaling",
                TargetTrackingScalingPolicyConfiguration=policy["tracking"],
            )
