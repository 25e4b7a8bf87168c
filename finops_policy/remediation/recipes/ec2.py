"""Instances: stop, resize, snapshot. How they end and come back is in ``ec2_terminate``.

An instance that is stopped, or resized, gets another public address unless it is an elastic one, and loses what is in
memory and on instance store volumes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from finops_policy.remediation.recipes import around, common, copies
from finops_policy.remediation.recipes.common import NoDependants, one
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

WAIT = {"Delay": 5, "MaxAttempts": 60}
"""How an undo waits for an instance between two of its calls: five minutes."""
RECOMMENDED = "c7n:cost_optimize"
"""Where c7n's filter ``cost-optimization`` leaves the recommendation that its resize follows."""
IN_MEMORY = "what was in memory and on instance store volumes"


def instance_of(site: Site, instance_id: str) -> dict[str, Any] | None:
    reservation = one(site.client("ec2"), "describe_instances", "Reservations", InstanceIds=[instance_id])
    return dict(reservation["Instances"][0]) if reservation and reservation["Instances"] else None


def state_of(site: Site, instance_id: str) -> str:
    """EC2's word for it; ``terminated`` also when AWS has forgotten it."""
    instance = instance_of(site, instance_id)
    return str(instance["State"]["Name"]) if instance else "terminated"


def wait_until(site: Site, state: str, instance_id: str) -> None:
    """Raises botocore's ``WaiterError`` when the instance does not get there."""
    site.client("ec2").get_waiter(f"instance_{state}").wait(InstanceIds=[instance_id], WaiterConfig=WAIT)


def stop_and_wait(site: Site, instance_id: str, state: str) -> None:
    """``state`` is the one it is in now."""
    if state not in ("stopped", "stopping"):
        site.client("ec2").stop_instances(InstanceIds=[instance_id])
    if state != "stopped":
        wait_until(site, "stopped", instance_id)


def start(site: Site, instance_id: str, state: str) -> None:
    """AWS refuses to start an instance that is still stopping."""
    if state == "stopping":
        wait_until(site, "stopped", instance_id)
    site.client("ec2").start_instances(InstanceIds=[instance_id])


def those_who_use_it(site: Site, subject: Subject, resource: Values) -> common.Inquiry:
    """What minds when an instance does not run."""
    instance_id = subject.resource_id
    addresses = [each["PrivateIpAddress"] for each in resource.get("NetworkInterfaces") or []]
    names = [instance_id, *addresses]
    inquiry = common.Inquiry()
    inquiry.ask("Auto Scaling groups", lambda: around.group_of(site, instance_id))
    inquiry.ask("target groups", lambda: around.balancers_of(site, names))
    inquiry.ask("classic load balancers", lambda: around.classic_balancers_of(site, instance_id))
    return inquiry


class Stop:
    """``before`` has the public address only where it is not an elastic one: another start gives another."""

    def before(self, site: Site, subject: Subject, resource: Values, action: Values) -> dict[str, Any]:
        address = resource.get("PublicIpAddress")
        elastic = [each["PublicIp"] for each in around.addresses_of(site, subject.resource_id)] if address else []
        return {
            "state": resource["State"]["Name"],
            "type": resource["InstanceType"],
            "root_device": resource.get("RootDeviceType", ""),
            "public_address": None if address in elastic else address,
        }

    def undo_of(self, before: Values, action: Values) -> Undo:
        if before["root_device"] == "instance-store":
            return Undo(
                Undoable.NO, "an instance whose root device is instance store cannot be stopped, only terminated"
            )
        lost = [IN_MEMORY]
        if before["public_address"]:
            lost.append(f"the public address {before['public_address']}: it is not an elastic one")
        permissions = ("ec2:DescribeInstances", "ec2:StartInstances")
        return Undo(Undoable.YES, "start the instance", tuple(lost), permissions)

    def dependants(self, site: Site, subject: Subject, resource: Values) -> Dependants:
        return those_who_use_it(site, subject, resource).answer()

    def seen(self, site: Site, subject: Subject, action: Values, before: Values) -> Seen:
        state = state_of(site, subject.resource_id)
        after = {"state": state}
        if state == "stopped":
            return Seen(State.REACHED, "", after)
        if state == "stopping":
            return Seen(State.PENDING, "it is stopping", after)
        if state in ("shutting-down", "terminated") and action.get("terminate-ephemeral"):
            return Seen(State.REACHED, "it was terminated, as the action says for instances on instance store", after)
        return Seen(State.NOT_REACHED, f"it is {state}", after)

    def undo(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> dict[str, Any]:
        start(site, subject.resource_id, state_of(site, subject.resource_id))
        return {}

    def undone(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> Seen:
        state = state_of(site, subject.resource_id)
        if state == "pending":
            return Seen(State.PENDING, "it is starting", {"state": state})
        if state == "running":
            return Seen(State.REACHED, "", {"state": state})
        return Seen(State.NOT_REACHED, f"it is {state}", {"state": state})


class Resize:
    """Another instance type. Only with ``restart`` does c7n stop a running instance for it, and start it again."""

    def before(self, site: Site, subject: Subject, resource: Values, action: Values) -> dict[str, Any]:
        wanted = action.get("type-map", {}).get(resource["InstanceType"], action.get("default"))
        recommended = resource.get(RECOMMENDED) or {}
        if recommended.get("actionType") == "Rightsize":
            wanted = recommended["recommendedResourceSummary"]
        return {"state": resource["State"]["Name"], "type": resource["InstanceType"], "wanted": wanted}

    def undo_of(self, before: Values, action: Values) -> Undo:
        how = f"make it {before['type']} again, for which it is stopped"
        how += ", and start it" if before["state"] == "running" else ""
        permissions = (
            "ec2:DescribeInstances",
            "ec2:ModifyInstanceAttribute",
            "ec2:StartInstances",
            "ec2:StopInstances",
        )
        return Undo(Undoable.YES, how, (IN_MEMORY, "its public address, unless it is an elastic one"), permissions)

    def dependants(self, site: Site, subject: Subject, resource: Values) -> Dependants:
        return those_who_use_it(site, subject, resource).answer()

    def seen(self, site: Site, subject: Subject, action: Values, before: Values) -> Seen:
        if not before["wanted"] or before["wanted"] == before["type"]:
            return Seen(State.NOT_REACHED, f"the action names no other type for {before['type']}")
        return self._reached(site, subject, before["wanted"], before["state"])

    def undo(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> dict[str, Any]:
        client, instance_id = site.client("ec2"), subject.resource_id
        instance = instance_of(site, instance_id)
        state = instance["State"]["Name"] if instance else "terminated"
        if instance and instance["InstanceType"] != before["type"]:
            stop_and_wait(site, instance_id, state)
            client.modify_instance_attribute(InstanceId=instance_id, InstanceType={"Value": before["type"]})
            state = "stopped"
        if before["state"] == "running" and state not in ("running", "pending"):
            start(site, instance_id, state)
        if before["state"] == "stopped" and state in ("running", "pending"):
            client.stop_instances(InstanceIds=[instance_id])
        return {}

    def undone(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> Seen:
        return self._reached(site, subject, before["type"], before["state"])

    def _reached(self, site: Site, subject: Subject, kind: str, state: str) -> Seen:
        instance = instance_of(site, subject.resource_id)
        if instance is None:
            return Seen(State.NOT_REACHED, "it does not exist any more")
        now = {"type": instance["InstanceType"], "state": instance["State"]["Name"]}
        if now == {"type": kind, "state": state}:
            return Seen(State.REACHED, "", now)
        # Every change of type begins in a stopped instance: one on its way may still get there.
        if now["state"] in ("pending", "stopping"):
            return Seen(State.PENDING, f"it is {now['state']}", now)
        return Seen(State.NOT_REACHED, f"it is a {now['type']}, {now['state']}, not a {kind}, {state}", now)


class Snapshot(NoDependants):
    """A copy of each volume of an instance, all of the same moment."""

    def before(self, site: Site, subject: Subject, resource: Values, action: Values) -> dict[str, Any]:
        root = resource.get("RootDeviceName") if action.get("exclude-boot") else None
        volumes = volumes_of(resource, without=root)
        return {"volumes": volumes, "_snapshots": [each["SnapshotId"] for each in copies.snapshots_of(site, volumes)]}

    def undo_of(self, before: Values, action: Values) -> Undo:
        return copies.KEPT

    def seen(self, site: Site, subject: Subject, action: Values, before: Values) -> Seen:
        if not before["volumes"]:
            return Seen(State.NOT_REACHED, "the instance has no volume to make a snapshot of")

        def ours(description: str) -> bool:
            return description.startswith(f"Snapshot Created for {subject.resource_id} ")

        return copies.seen_snapshots(site, before["volumes"], before.get("_snapshots", ()), ours)

    def undo(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> dict[str, Any]:
        return {}

    def undone(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> Seen:
        return copies.STAYS


def volumes_of(resource: Values, without: str | None = None) -> list[str]:
    """Ids of an instance's volumes, sorted; ``without`` names a device to leave out."""
    mappings = resource.get("BlockDeviceMappings") or []
    return sorted(each["Ebs"]["VolumeId"] for each in mappings if each.get("Ebs") and each["DeviceName"] != without)


RECIPES: Mapping[tuple[str, str], Recipe] = {
    ("aws.ec2", "stop"): Stop(),
    ("aws.ec2", "resize"): Resize(),
    ("aws.ec2", "snapshot"): Snapshot(),
}
