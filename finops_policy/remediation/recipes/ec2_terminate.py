"""A terminated instance comes back from its image: under another id, with what its volumes held at the image's moment.

Whatever makes it anew looks first for what an earlier attempt made, by the item's tag; the client token, the same at
every attempt, keeps AWS from making a second one that the tag does not show yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from finops_policy.errors import FinopsPolicyError
from finops_policy.remediation.recipes import around, common, ec2
from finops_policy.remediation.recipes.common import GONE, described, differences
from finops_policy.remediation.recipes.ec2_values import ATTRIBUTES, LAUNCHED, launch, values
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

PERMISSIONS = (
    "ec2:AssociateAddress",
    "ec2:CreateTags",
    "ec2:DescribeAddresses",
    "ec2:DescribeImages",
    "ec2:DescribeInstanceAttribute",
    "ec2:DescribeInstanceCreditSpecifications",
    "ec2:DescribeInstances",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeVolumes",
    "ec2:ModifyInstanceAttribute",
    "ec2:RunInstances",
)


class Terminate:
    """Without an image nothing brings an instance back."""

    def before(self, site: Site, subject: Subject, resource: Values, action: Values) -> dict[str, Any]:
        return values(site, resource)

    def undo_of(self, before: Values, action: Values) -> Undo:
        how = f"launch a {before['type']} in {before['subnet'] or before['zone']} from the image made before"
        how += ", and stop it once it runs" if before["state"] == "stopped" else ""
        permissions = PERMISSIONS + (("iam:PassRole",) if before["profile"] else ())
        permissions += ("ec2:StopInstances",) if before["state"] == "stopped" else ()
        return Undo(Undoable.PARTLY, how, tuple(_lost(before)), tuple(sorted(permissions)))

    def dependants(self, site: Site, subject: Subject, resource: Values) -> Dependants:
        inquiry = ec2.those_who_use_it(site, subject, resource)
        inquiry.ask("elastic addresses", lambda: _addresses(site, subject.resource_id))
        inquiry.ask("volumes that outlive it", lambda: _survivors(resource))
        inquiry.ask("stacks", lambda: common.stack_of(resource))
        return inquiry.answer()

    def seen(self, site: Site, subject: Subject, action: Values, before: Values) -> Seen:
        instance = ec2.instance_of(site, subject.resource_id)
        if instance is None:
            return GONE
        state = instance["State"]["Name"]
        if state == "terminated":
            return Seen(State.REACHED, "", {"state": state})
        if state == "shutting-down":
            return Seen(State.PENDING, "it is shutting down", {"state": state})
        return Seen(State.NOT_REACHED, f"it is {state}", {"state": state})

    def undo(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> dict[str, Any]:
        client = site.client("ec2")
        image = self._image(site, subject, made)
        tags = self._tags(before, image)
        instance = self._new(site, subject, made)
        if instance is None:
            instance = client.run_instances(
                **launch(before, image, _free(site, before)),
                ClientToken=common.token(subject, "instance"),
                TagSpecifications=common.tag_specifications("instance", common.marked(tags, subject)),
            )["Instances"][0]
        instance_id = instance["InstanceId"]
        if instance["State"]["Name"] == "pending":
            ec2.wait_until(site, "running", instance_id)
        self._complete(site, subject, instance_id, before, common.marked(tags, subject))
        if before["state"] == "stopped":
            _stop(site, instance_id, before)
        return {"instances": [instance_id]}

    def undone(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> Seen:
        instance = self._new(site, subject, made)
        if instance is None:
            return Seen(State.NOT_REACHED, "there is no instance in its place")
        now, instance_id = values(site, instance), instance["InstanceId"]
        new = {"instances": [instance_id]}
        after = {"instance": instance_id, **{key: value for key, value in now.items() if key != "volumes"}}
        if now["state"] in ("pending", "stopping"):
            return Seen(State.PENDING, f"{instance_id} is {now['state']}", after, new)
        if now["state"] != ("stopped" if before["state"] == "stopped" else "running"):
            return Seen(State.NOT_REACHED, f"{instance_id} is {now['state']}", after, new)
        settable = {key: before[key] for key in [*ATTRIBUTES, "source_dest_check"]}
        wrong = differences(settable, now) + differences(common.writable(before["tags"]), now["tags"])
        if wrong:
            return Seen(State.NOT_REACHED, f"{instance_id} differs in {', '.join(wrong)}", after, new)
        if other := differences({key: before[key] for key in LAUNCHED}, now):
            return Seen(State.UNKNOWN, f"{instance_id} differs in {', '.join(other)}", after, new)
        says = f"{instance_id} stands in its place"
        if now["private_address"] != before["private_address"]:
            says += f", with the private address {now['private_address']}: {before['private_address']} was taken"
        return Seen(State.REACHED, says, after, new)

    def _image(self, site: Site, subject: Subject, made: Values) -> dict[str, Any]:
        name = made.get("image")
        image = common.one(site.client("ec2"), "describe_images", "Images", ImageIds=[name]) if name else None
        if image is None:
            why = f"its image {name} does not exist any more" if name else "no step before its end made an image of it"
            raise FinopsPolicyError(
                f"{subject.resource_id} cannot be made anew: {why}",
                hint="Look for a backup of it in AWS Backup, or for snapshots of its volumes.",
            )
        return image

    def _tags(self, before: Values, image: Values) -> dict[str, str]:
        """What the plan withholds is on the image, which was given the instance's tags."""
        kept = common.tags_of(image)
        secret = {key: kept[key] for key in common.withheld(before["tags"]) if key in kept}
        return common.writable(before["tags"]) | secret

    def _new(self, site: Site, subject: Subject, made: Values) -> dict[str, Any] | None:
        client = site.client("ec2")
        reservations = described(client, "describe_instances", "Reservations", Filters=[common.item_filter(subject)])
        marked = [each for reservation in reservations for each in reservation["Instances"]]
        named = [ec2.instance_of(site, each) for each in made.get("instances") or []]
        found = [each for each in [*named, *marked] if each is not None and each["InstanceId"] != subject.resource_id]
        return next((each for each in found if each["State"]["Name"] not in ("shutting-down", "terminated")), None)

    def _complete(self, site: Site, subject: Subject, instance_id: str, before: Values, tags: Values) -> None:
        """What a launch does not set, or an earlier attempt did not get to."""
        client = site.client("ec2")
        now = values(site, ec2.instance_of(site, instance_id) or {})
        for key in differences({each: before[each] for each in ATTRIBUTES}, now):
            attribute = ATTRIBUTES[key]
            name = attribute[0].upper() + attribute[1:]
            client.modify_instance_attribute(InstanceId=instance_id, **{name: {"Value": before[key]}})
        if now["source_dest_check"] != before["source_dest_check"]:
            check = {"Value": before["source_dest_check"]}
            client.modify_instance_attribute(InstanceId=instance_id, SourceDestCheck=check)
        if missing := differences(tags, now["tags"]):
            wanted = {key: tags[key] for key in missing}
            client.create_tags(Resources=[instance_id], Tags=common.as_list(wanted))
        for each in before["elastic"]:
            address = common.one(client, "describe_addresses", "Addresses", AllocationIds=[each["allocation"]]) or {}
            holder = address.get("InstanceId") or address.get("AssociationId")
            if address and holder in (None, subject.resource_id):  # AWS may still show the instance that is gone
                client.associate_address(
                    AllocationId=each["allocation"], InstanceId=instance_id, AllowReassociation=holder is not None
                )


def _stop(site: Site, instance_id: str, before: Values) -> None:
    """Stop protection, which is back by now, keeps everybody from stopping it; it is lifted for the moment."""
    client = site.client("ec2")
    state = ec2.state_of(site, instance_id)
    if state in ("stopped", "stopping"):
        return
    if before["stop_protection"]:
        client.modify_instance_attribute(InstanceId=instance_id, DisableApiStop={"Value": False})
    client.stop_instances(InstanceIds=[instance_id])
    if before["stop_protection"]:
        client.modify_instance_attribute(InstanceId=instance_id, DisableApiStop={"Value": True})


def _lost(before: Values) -> Iterator[str]:
    """What no undo brings back."""
    yield "the instance's id: the new one has another, and other volumes"
    yield "what was written after the image, and " + ec2.IN_MEMORY
    yield "its user data, which is never read, as it may hold secrets, and CPU options, if any were set"
    yield "its place in load balancers and Auto Scaling groups, and the tags of its volumes"
    if before["public_address"]:
        yield "its public address: it is not an elastic one"
    if before["private_address"]:
        yield f"the private address {before['private_address']}, if another takes it meanwhile"
    outlived = [each["id"] for each in before["volumes"] if not each["delete_on_termination"]]
    if outlived:
        yield f"the attachment of {', '.join(outlived)}: the new instance has copies as of the image instead"
    for key, what in (
        ("further_interfaces", "network interfaces"),
        ("further_addresses", "secondary addresses"),
        ("ipv6", "IPv6 addresses"),
    ):
        if before[key]:
            yield f"its {what} {', '.join(before[key])}"
    if before["lifecycle"] != "on-demand":
        yield f"that it is a {before['lifecycle']} instance: the new one is on demand"
    if secret := common.withheld(before["tags"]):
        yield f"the values of the tags {', '.join(secret)}, unless the image carries them"
    yield from common.lost_tags(dict.fromkeys(before["tags"], ""))


def _addresses(site: Site, instance_id: str) -> Iterator[Dependant]:
    for each in around.addresses_of(site, instance_id):
        yield Dependant("address", each["PublicIp"], "it is left without an instance, and costs money idle")


def _survivors(resource: Values) -> Iterator[Dependant]:
    for each in resource.get("BlockDeviceMappings") or []:
        if each.get("Ebs") and not each["Ebs"].get("DeleteOnTermination"):
            yield Dependant("volume", each["Ebs"]["VolumeId"], "it outlives the instance, unattached, and costs money")


def _free(site: Site, before: Values) -> str | None:
    """The private address from before, unless somebody has it now."""
    address, subnet = before["private_address"], before["subnet"]
    if not address or not subnet:
        return None
    wanted = [
        {"Name": "addresses.private-ip-address", "Values": [address]},
        {"Name": "subnet-id", "Values": [subnet]},
    ]
    taken = described(site.client("ec2"), "describe_network_interfaces", "NetworkInterfaces", Filters=wanted)
    return None if taken else str(address)


RECIPES: Mapping[tuple[str, str], Recipe] = {("aws.ec2", "terminate"): Terminate()}
