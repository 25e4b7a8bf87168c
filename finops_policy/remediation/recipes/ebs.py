"""Volumes: snapshot, delete, modify, detach.

A deleted volume comes back from a snapshot under another id, unattached. AWS lets a volume be modified again after six
hours at the earliest, and never makes it smaller.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from finops_policy.errors import FinopsPolicyError
from finops_policy.remediation.recipes import common, copies
from finops_policy.remediation.recipes.common import GONE, NoDependants, differences, one
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

WITH_IOPS, WITH_THROUGHPUT = ("gp3", "io1", "io2"), ("gp3",)
"""Volume types whose IOPS, or throughput, are asked for. Of others AWS works them out from the size."""
PERFORMANCE = ("type", "size", "iops", "throughput")


def volume_of(site: Site, volume_id: str) -> dict[str, Any] | None:
    """None when it is gone, or going."""
    found = one(site.client("ec2"), "describe_volumes", "Volumes", VolumeIds=[volume_id])
    return None if found is None or found.get("State") in ("deleting", "deleted") else found


def performance(volume: Values) -> dict[str, Any]:
    """Type and size, and what of IOPS and throughput the type lets one choose."""
    kind = volume.get("VolumeType", "standard")
    return {
        "type": kind,
        "size": volume["Size"],
        "iops": volume.get("Iops") if kind in WITH_IOPS else None,
        "throughput": volume.get("Throughput") if kind in WITH_THROUGHPUT else None,
    }


def attachments(volume: Values) -> list[dict[str, Any]]:
    found = [
        {
            "instance": each["InstanceId"],
            "device": each.get("Device", ""),
            "delete_on_termination": bool(each.get("DeleteOnTermination", False)),
        }
        for each in volume.get("Attachments") or []
        if each.get("State") not in ("detaching", "detached") and each.get("InstanceId")
    ]
    return sorted(found, key=lambda each: (each["instance"], each["device"]))


def values(volume: Values) -> dict[str, Any]:
    """Everything that a volume made anew needs to be like it."""
    return {
        **performance(volume),
        "state": volume["State"],
        "zone": volume.get("AvailabilityZone"),
        "outpost": volume.get("OutpostArn"),
        "encrypted": bool(volume.get("Encrypted", False)),
        "kms_key": volume.get("KmsKeyId"),
        "multi_attach": bool(volume.get("MultiAttachEnabled", False)),
        "attachments": attachments(volume),
        "tags": common.tags_of(volume),
    }


class Snapshot(NoDependants):
    """A copy of a volume. It counts when AWS has completed it."""

    def before(self, site: Site, subject: Subject, resource: Values, action: Values) -> dict[str, Any]:
        known = [each["SnapshotId"] for each in copies.snapshots_of(site, [subject.resource_id])]
        return {"size": resource["Size"], "_snapshots": known}

    def undo_of(self, before: Values, action: Values) -> Undo:
        return copies.KEPT

    def seen(self, site: Site, subject: Subject, action: Values, before: Values) -> Seen:
        own = action.get("description")

        def ours(description: str) -> bool:
            return description == own if own else description.startswith("Automated snapshot by c7n - ")

        return copies.seen_snapshots(site, [subject.resource_id], before.get("_snapshots", ()), ours)

    def undo(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> dict[str, Any]:
        return {}

    def undone(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> Seen:
        return copies.STAYS


class Delete:
    """A deleted volume is made anew from the newest snapshot that the plan's own steps made of it."""

    def before(self, site: Site, subject: Subject, resource: Values, action: Values) -> dict[str, Any]:
        return values(resource)

    def undo_of(self, before: Values, action: Values) -> Undo:
        lost = ["the volume's id: the new volume has another", "what was written after the snapshot"]
        if before["attachments"]:
            instances = ", ".join(each["instance"] for each in before["attachments"])
            lost.append(f"its attachment to {instances}: attach the new volume by hand")
        if secret := common.withheld(before["tags"]):
            lost.append(f"the values of the tags {', '.join(secret)}, unless the snapshot carries them")
        lost += common.lost_tags(dict.fromkeys(before["tags"], ""))
        return Undo(
            Undoable.PARTLY,
            f"create a {before['type']} volume of {before['size']} GiB in {before['zone']} from the snapshot taken "
            "before the deletion; without such a snapshot nothing brings it back",
            tuple(lost),
            ("ec2:CreateTags", "ec2:CreateVolume", "ec2:DescribeSnapshots", "ec2:DescribeVolumes")
            + (
                ("kms:CreateGrant", "kms:DescribeKey", "kms:GenerateDataKeyWithoutPlaintext")
                if before["kms_key"]
                else ()
            ),
        )

    def dependants(self, site: Site, subject: Subject, resource: Values) -> Dependants:
        inquiry = common.Inquiry()
        inquiry.ask("instances that use it", lambda: _users(resource))
        inquiry.ask("images made of its snapshots", lambda: _images(site, subject.resource_id))
        inquiry.ask("stacks", lambda: common.stack_of(resource))
        return inquiry.answer()

    def seen(self, site: Site, subject: Subject, action: Values, before: Values) -> Seen:
        found = one(site.client("ec2"), "describe_volumes", "Volumes", VolumeIds=[subject.resource_id])
        if found is None:
            return GONE
        after = {"state": found["State"]}
        if found["State"] == "deleted":
            return Seen(State.REACHED, "", after)
        if found["State"] == "deleting":
            return Seen(State.PENDING, "it is being deleted", after)
        return Seen(State.NOT_REACHED, f"it is still there, {found['State']}", after)

    def undo(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> dict[str, Any]:
        client = site.client("ec2")
        volume = self._new(site, subject, made)
        tags = self._tags(site, before, made)
        wanted = common.marked(tags, subject)
        if volume is None:
            snapshots = made.get("snapshots") or []
            if not snapshots:
                raise FinopsPolicyError(
                    f"{subject.resource_id} cannot be made anew: no step before its deletion made a snapshot of it",
                    hint="Look for a snapshot of that volume in AWS Backup or in the console.",
                )
            volume = client.create_volume(
                **common.without(
                    {
                        "AvailabilityZone": before["zone"],
                        "OutpostArn": before["outpost"],
                        "SnapshotId": snapshots[0],
                        "Size": before["size"],
                        "VolumeType": before["type"],
                        "Iops": before["iops"],
                        "Throughput": before["throughput"],
                        "Encrypted": before["encrypted"] or None,
                        "KmsKeyId": before["kms_key"],
                        "MultiAttachEnabled": before["multi_attach"] or None,
                        "ClientToken": common.token(subject, "volume"),
                    }
                ),
                TagSpecifications=common.tag_specifications("volume", wanted),
            )
        elif missing := differences(wanted, common.tags_of(volume)):
            tags = {key: wanted[key] for key in missing}
            client.create_tags(Resources=[volume["VolumeId"]], Tags=common.as_list(tags))
        return {"volumes": [volume["VolumeId"]]}

    def undone(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> Seen:
        volume = self._new(site, subject, made)
        if volume is None:
            return Seen(State.NOT_REACHED, "there is no volume in its place")
        now = values(volume)
        after = {"volume": volume["VolumeId"], **now}
        new = {"volumes": [volume["VolumeId"]]}
        if now["state"] == "creating":
            return Seen(State.PENDING, f"{volume['VolumeId']} is being created", after, new)
        if now["state"] == "error":
            return Seen(State.UNKNOWN, f"{volume['VolumeId']} is in error: AWS could not create it", after, new)
        if missing := differences(common.writable(before["tags"]), now["tags"]):
            return Seen(State.NOT_REACHED, f"{volume['VolumeId']} lacks tags: {', '.join(missing)}", after, new)
        same = ("type", "size", "iops", "throughput", "zone", "encrypted", "kms_key", "multi_attach")
        if other := differences({key: before[key] for key in same}, now):
            return Seen(State.UNKNOWN, f"{volume['VolumeId']} differs in {', '.join(other)}", after, new)
        return Seen(State.REACHED, f"{volume['VolumeId']} stands in its place, unattached", after, new)

    def _new(self, site: Site, subject: Subject, made: Values) -> dict[str, Any] | None:
        client = site.client("ec2")
        named = [volume_of(site, each) for each in made.get("volumes") or []]
        marked = described_volumes(client, subject)
        return next((each for each in [*named, *marked] if each is not None), None)

    def _tags(self, site: Site, before: Values, made: Values) -> dict[str, str]:
        """The tags to write; what the plan withholds is on the snapshot where tags were copied to it."""
        tags = common.writable(before["tags"])
        secret, snapshots = common.withheld(before["tags"]), made.get("snapshots") or []
        if secret and snapshots:
            client = site.client("ec2")
            snapshot = one(client, "describe_snapshots", "Snapshots", SnapshotIds=[snapshots[0]]) or {}
            kept = common.tags_of(snapshot)
            tags |= {key: kept[key] for key in secret if key in kept}
        return tags


def described_volumes(client: Any, subject: Subject) -> list[dict[str, Any]]:
    """Volumes that were made in place of the subject, the oldest first."""
    found = common.described(client, "describe_volumes", "Volumes", Filters=[common.item_filter(subject)])
    here = [each for each in found if each["VolumeId"] != subject.resource_id and not each["State"].startswith("delet")]
    return sorted(here, key=lambda each: (each["CreateTime"], each["VolumeId"]))


def _users(volume: Values) -> list[Dependant]:
    return [
        Dependant("instance", each["instance"], f"the volume is attached to it as {each['device'] or 'a device'}")
        for each in attachments(volume)
    ]


def _images(site: Site, volume_id: str) -> Iterator[Dependant]:
    snapshots = {each["SnapshotId"] for each in copies.snapshots_of(site, [volume_id])}
    if not snapshots:
        return
    images = common.once(
        site, "images", lambda: common.described(site.client("ec2"), "describe_images", "Images", Owners=["self"])
    )
    for image in images:
        mappings = image.get("BlockDeviceMappings") or []
        if snapshots & {each.get("Ebs", {}).get("SnapshotId") for each in mappings}:
            effect = "it was made of a snapshot of this volume, and keeps that snapshot"
            yield Dependant("image", image["ImageId"], effect)


class Modify(NoDependants):
    """Another type, size or IOPS. Undo asks for the type, IOPS and throughput from before; a size only grows.

    ``permissions`` are what the act needs: c7n names ``ec2:ModifyVolumeAttribute``, which is another action.
    """

    permissions = ("ec2:DescribeInstances", "ec2:DescribeVolumesModifications", "ec2:ModifyVolume")

    def before(self, site: Site, subject: Subject, resource: Values, action: Values) -> dict[str, Any]:
        return {**performance(resource), "_iops": resource.get("Iops")}

    def undo_of(self, before: Values, action: Values) -> Undo:
        wanted = _wanted(before, action)
        lost = ["six hours: AWS lets a volume be modified again only then"]
        grows = wanted["size"] > before["size"]
        if grows:
            lost.append(f"the size: the volume stays at {wanted['size']} GiB, as AWS never makes one smaller")
        changed = differences({key: before[key] for key in ("type", "iops", "throughput")}, wanted)
        if not changed:
            return Undo(Undoable.NO, "a volume that has grown cannot be made smaller", tuple(lost[1:]))
        how = ", ".join(f"{key} {before[key]}" for key in ("type", "iops", "throughput") if before[key] is not None)
        permissions = ("ec2:DescribeVolumes", "ec2:DescribeVolumesModifications", "ec2:ModifyVolume")
        return Undo(
            Undoable.PARTLY if grows else Undoable.YES, f"modify the volume back: {how}", tuple(lost), permissions
        )

    def seen(self, site: Site, subject: Subject, action: Values, before: Values) -> Seen:
        return self._reached(site, subject, _wanted(before, action), grown=False)

    def undo(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> dict[str, Any]:
        wanted = {"VolumeType": before["type"], "Iops": before["iops"], "Throughput": before["throughput"]}
        site.client("ec2").modify_volume(VolumeId=subject.resource_id, **common.without(wanted))
        return {}

    def undone(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> Seen:
        return self._reached(site, subject, {key: before[key] for key in PERFORMANCE}, grown=True)

    def _reached(self, site: Site, subject: Subject, wanted: Values, *, grown: bool) -> Seen:
        """``grown``: a larger volume will do as well."""
        client = site.client("ec2")
        volume = volume_of(site, subject.resource_id)
        if volume is None:
            return Seen(State.UNKNOWN, "the volume does not exist any more")
        now = performance(volume)
        changes = common.described(
            client, "describe_volumes_modifications", "VolumesModifications", VolumeIds=[subject.resource_id]
        )
        state = changes[-1].get("ModificationState", "") if changes else ""
        other = [key for key in differences(wanted, now) if wanted[key] is not None]
        if grown and now["size"] > wanted["size"]:
            other = [key for key in other if key != "size"]
        if state == "modifying" or (other and state == "optimizing"):
            return Seen(State.PENDING, "AWS is modifying the volume", now)
        if other:
            says = ", ".join(f"{key} is {now[key]}, not {wanted[key]}" for key in other)
            return Seen(State.NOT_REACHED, says + ("; the last modification failed" if state == "failed" else ""), now)
        return Seen(State.REACHED, "", now)


def _wanted(before: Values, action: Values) -> dict[str, Any]:
    """What c7n asks for. None: AWS's own choice for the type."""
    kind = action.get("volume-type") or before["type"]
    iops, throughput = (before["iops"], before["throughput"]) if kind == before["type"] else (None, None)
    if (percent := action.get("iops-percent")) and kind in WITH_IOPS:
        base, least = (3000, 3000) if kind == "gp3" else (10, 100)
        iops = max(int((before.get("_iops") or base) * percent / 100.0), least)
    size = before["size"]
    if percent := action.get("size-percent"):
        size = max(int(size * percent / 100.0), 1)
    return {"type": kind, "size": size, "iops": iops, "throughput": throughput}


class Detach:
    """The volume goes back to the same instance under the same device."""

    def before(self, site: Site, subject: Subject, resource: Values, action: Values) -> dict[str, Any]:
        return {"attachments": attachments(resource)}

    def undo_of(self, before: Values, action: Values) -> Undo:
        if not before["attachments"]:
            return Undo(Undoable.NO, "the volume is attached to nothing")
        where = [f"{each['instance']} as {each['device']}" for each in before["attachments"]]
        lost = ("what was not yet written to the volume", "its mount: mount it by hand on a running instance")
        permissions = ("ec2:AttachVolume", "ec2:DescribeVolumes", "ec2:ModifyInstanceAttribute")
        return Undo(Undoable.YES, f"attach the volume to {common.joined(where)}", lost, permissions)

    def dependants(self, site: Site, subject: Subject, resource: Values) -> Dependants:
        return Dependants(tuple(_users(resource)))

    def seen(self, site: Site, subject: Subject, action: Values, before: Values) -> Seen:
        volume = one(site.client("ec2"), "describe_volumes", "Volumes", VolumeIds=[subject.resource_id])
        if volume is None:
            return Seen(State.NOT_REACHED, "the volume does not exist any more")
        after = {"state": volume["State"], "attachments": attachments(volume)}
        if after["attachments"]:
            users = ", ".join(each["instance"] for each in after["attachments"])
            return Seen(State.NOT_REACHED, f"it is still attached to {users}", after)
        if volume["State"] == "in-use":
            return Seen(State.PENDING, "it is being detached", after)
        return Seen(State.REACHED, "", after)

    def undo(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> dict[str, Any]:
        client = site.client("ec2")
        now = {each["instance"] for each in attachments(volume_of(site, subject.resource_id) or {})}
        for each in before["attachments"]:
            if each["instance"] not in now:
                client.attach_volume(VolumeId=subject.resource_id, InstanceId=each["instance"], Device=each["device"])
            if each["delete_on_termination"]:
                mapping = {"DeviceName": each["device"], "Ebs": {"DeleteOnTermination": True}}
                client.modify_instance_attribute(InstanceId=each["instance"], BlockDeviceMappings=[mapping])
        return {}

    def undone(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> Seen:
        volume = volume_of(site, subject.resource_id) or {}
        now = attachments(volume)
        after = {"attachments": now}
        if [each for each in before["attachments"] if each not in now]:
            return Seen(State.NOT_REACHED, "it is not attached as it was", after)
        if any(each.get("State") == "attaching" for each in volume.get("Attachments") or []):
            return Seen(State.PENDING, "it is being attached", after)
        return Seen(State.REACHED, "", after)


RECIPES: Mapping[tuple[str, str], Recipe] = {
    ("aws.ebs", "detach"): Detach(),
    ("aws.ebs", "snapshot"): Snapshot(),
    ("aws.ebs", "delete"): Delete(),
    ("aws.ebs", "modify"): Modify(),
}
