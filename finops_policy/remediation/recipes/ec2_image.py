"""An image of an instance before it is terminated: a step of our own, which c7n does not have.

The image is taken without a reboot, so that nothing stops; what an application had not yet written to disk is missing,
as after a power cut. Its snapshots carry no tags of ours: they are found through the image.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from finops_policy.remediation.recipes import common, copies
from finops_policy.remediation.recipes.common import NoDependants, described
from finops_policy.remediation.recipes.ec2 import volumes_of
from finops_policy.remediation.recipes.recipe import Recipe, Seen, Site, State, Subject, Undo

Values = Mapping[str, Any]

PREFIX = "finops-policy-"
FORBIDDEN = re.compile(r"[^A-Za-z0-9()\[\] ./'@_-]")
"""What EC2 does not take in the name of an image."""
LONGEST = 120
"""EC2 takes 128 characters; a number may have to go behind."""


class BackupImage(NoDependants):
    """``perform`` takes the place of c7n. AWS refuses a second image of the same name, so that there is at most one."""

    permissions = ("ec2:CreateImage", "ec2:CreateTags", "ec2:DescribeImages", "ec2:DescribeInstances")

    def before(self, site: Site, subject: Subject, resource: Values, action: Values) -> dict[str, Any]:
        """``_name`` is one that no image has yet: an image of an earlier plan must not pass for this plan's."""
        base = FORBIDDEN.sub("-", PREFIX + subject.item_id)[:LONGEST]
        taken = {each["Name"] for each in _images(site, f"{base}*")}
        numbered = (base if number == 1 else f"{base}-{number}" for number in range(1, len(taken) + 2))
        return {"volumes": volumes_of(resource), "_name": next(name for name in numbered if name not in taken)}

    def undo_of(self, before: Values, action: Values) -> Undo:
        return copies.KEPT

    def perform(self, site: Site, subject: Subject, action: Values, before: Values) -> dict[str, Any]:
        """Makes the image unless it is there already; answers with what was made."""
        images = _images(site, before["_name"])
        if images:
            return _made(images[0])
        client = site.client("ec2")
        instance = common.one(client, "describe_instances", "Reservations", InstanceIds=[subject.resource_id])
        tags = common.writable(common.tags_of(instance["Instances"][0])) if instance else {}
        answer = client.create_image(
            InstanceId=subject.resource_id,
            Name=before["_name"],
            Description=f"Taken by finops-policy of {subject.resource_id} before it was terminated",
            NoReboot=True,
            TagSpecifications=common.tag_specifications("image", common.marked(tags, subject)),
        )
        return {"image": answer["ImageId"], "snapshots": []}

    def seen(self, site: Site, subject: Subject, action: Values, before: Values) -> Seen:
        images = _images(site, before["_name"])
        if not images:
            return Seen(State.NOT_REACHED, "there is no image yet")
        image = images[0]
        state, made = image["State"], _made(image)
        after = {"state": state, "name": image["Name"]}
        if state == "pending":
            return Seen(State.PENDING, f"{image['ImageId']} is pending", after, made)
        if state != "available":
            reason = (image.get("StateReason") or {}).get("Message", "AWS does not say why")
            return Seen(State.NOT_REACHED, f"{image['ImageId']} is {state}: {reason}; deregister it", after)
        count, needed = len(made["snapshots"]), len(before["volumes"])
        if count < needed:
            return Seen(State.UNKNOWN, f"{image['ImageId']} holds {count} of {needed} volumes", after, made)
        return Seen(State.REACHED, "", after, made)

    def undo(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> dict[str, Any]:
        return {}

    def undone(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> Seen:
        return copies.STAYS


def _images(site: Site, name: str) -> list[dict[str, Any]]:
    """The account's images of a name, in which ``*`` stands for anything, the oldest first."""
    wanted = [{"Name": "name", "Values": [name]}]
    found = described(site.client("ec2"), "describe_images", "Images", Owners=["self"], Filters=wanted)
    return sorted(found, key=lambda each: (str(each.get("CreationDate")), each["ImageId"]))


def _made(image: Values) -> dict[str, Any]:
    mappings = image.get("BlockDeviceMappings") or []
    snapshots = [each["Ebs"]["SnapshotId"] for each in mappings if each.get("Ebs", {}).get("SnapshotId")]
    return {"image": image["ImageId"], "snapshots": sorted(snapshots)}


RECIPES: Mapping[tuple[str, str], Recipe] = {("aws.ec2", "backup-image"): BackupImage()}
