"""What an instance is like, as a launch needs it, and what of that can be set again on one that runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from finops_policy.remediation.recipes import around, common, ebs
from finops_policy.remediation.recipes.recipe import Site

Values = Mapping[str, Any]

ATTRIBUTES = {
    "termination_protection": "disableApiTermination",
    "stop_protection": "disableApiStop",
    "shutdown_behavior": "instanceInitiatedShutdownBehavior",
}
"""Our word and EC2's for what only DescribeInstanceAttribute tells."""
METADATA = ("HttpEndpoint", "HttpProtocolIpv6", "HttpPutResponseHopLimit", "HttpTokens", "InstanceMetadataTags")
SETTLED = {"pending": "enabled", "disabling": "disabled"}
"""Where monitoring is on its way to."""
LAUNCHED = (
    "type",
    "zone",
    "subnet",
    "security_groups",
    "key_name",
    "profile",
    "source_dest_check",
    "monitoring",
    "ebs_optimized",
    "metadata",
    "tenancy",
    "placement_group",
    "partition",
    "host",
    "hibernation",
    "enclave",
    "credits",
)
"""What a launch decides. A difference in these is a difference in the instance."""


def values(site: Site, instance: Values) -> dict[str, Any]:
    """Everything that an instance made anew needs to be like it; JSON, lists sorted.

    User data is never read: it may hold secrets, and a plan is no place for them.
    """
    interfaces = sorted(instance.get("NetworkInterfaces") or [], key=lambda each: each["Attachment"]["DeviceIndex"])
    primary: Values = interfaces[0] if interfaces else {}
    placement = instance.get("Placement") or {}
    addresses = around.addresses_of(site, instance["InstanceId"])
    public = instance.get("PublicIpAddress")
    groups = primary.get("Groups") or instance.get("SecurityGroups") or []
    monitoring = (instance.get("Monitoring") or {}).get("State", "disabled")
    found: dict[str, Any] = {
        "state": instance["State"]["Name"],
        "type": instance["InstanceType"],
        "zone": placement.get("AvailabilityZone"),
        "subnet": instance.get("SubnetId"),
        "security_groups": sorted(each["GroupId"] for each in groups),
        "key_name": instance.get("KeyName"),
        "profile": (instance.get("IamInstanceProfile") or {}).get("Arn"),
        "private_address": instance.get("PrivateIpAddress"),
        "public_address": bool(public) and public not in [each["PublicIp"] for each in addresses],
        "elastic": [
            {"allocation": each["AllocationId"], "private_address": each.get("PrivateIpAddress")} for each in addresses
        ],
        "further_interfaces": [each["NetworkInterfaceId"] for each in interfaces[1:]],
        "further_addresses": sorted(
            each["PrivateIpAddress"] for each in primary.get("PrivateIpAddresses") or [] if not each.get("Primary")
        ),
        "ipv6": sorted(each["Ipv6Address"] for each in primary.get("Ipv6Addresses") or []),
        "source_dest_check": bool(instance.get("SourceDestCheck", True)),
        "monitoring": SETTLED.get(monitoring, monitoring),
        "ebs_optimized": bool(instance.get("EbsOptimized", False)),
        "metadata": {key: instance["MetadataOptions"][key] for key in METADATA if key in instance["MetadataOptions"]}
        if instance.get("MetadataOptions")
        else {},
        "tenancy": placement.get("Tenancy", "default"),
        "placement_group": placement.get("GroupName") or None,
        "partition": placement.get("PartitionNumber"),
        "host": placement.get("HostId"),
        "hibernation": bool((instance.get("HibernationOptions") or {}).get("Configured", False)),
        "enclave": bool((instance.get("EnclaveOptions") or {}).get("Enabled", False)),
        "lifecycle": instance.get("InstanceLifecycle", "on-demand"),
        "root_device": instance.get("RootDeviceType", ""),
        "credits": _credits(site, instance),
        "volumes": _volumes(site, instance),
        "tags": common.tags_of(instance),
    }
    return found | attributes(site, instance["InstanceId"])


def attributes(site: Site, instance_id: str) -> dict[str, Any]:
    """What only DescribeInstanceAttribute tells, a call for each."""
    found = {}
    for word, attribute in ATTRIBUTES.items():
        answer = site.client("ec2").describe_instance_attribute(InstanceId=instance_id, Attribute=attribute)
        found[word] = answer[attribute[0].upper() + attribute[1:]].get("Value")
    return found


def launch(before: Values, image: Values, private_address: str | None) -> dict[str, Any]:
    """Parameters of RunInstances for an instance like ``before`` from an image; tags and token are the caller's.

    The network interface says whether there is a public address, as the subnet's default may be another.
    """
    placement = {
        "AvailabilityZone": None if before["subnet"] else before["zone"],
        "Tenancy": None if before["tenancy"] == "default" else before["tenancy"],
        "GroupName": before["placement_group"],
        "PartitionNumber": before["partition"],
        "HostId": before["host"],
    }
    interface = {
        "DeviceIndex": 0,
        "SubnetId": before["subnet"],
        "Groups": before["security_groups"] or None,
        "PrivateIpAddress": private_address,
        "AssociatePublicIpAddress": before["public_address"],
        "DeleteOnTermination": True,
    }
    profile, credit = before["profile"], before["credits"]
    return common.without(
        {
            "ImageId": image["ImageId"],
            "MinCount": 1,
            "MaxCount": 1,
            "InstanceType": before["type"],
            "KeyName": before["key_name"],
            "IamInstanceProfile": {"Arn": profile} if profile else None,
            "NetworkInterfaces": [common.without(interface)] if before["subnet"] else None,
            "SecurityGroupIds": None if before["subnet"] else before["security_groups"] or None,
            "Placement": common.without(placement) or None,
            "Monitoring": {"Enabled": before["monitoring"] == "enabled"},
            "EbsOptimized": before["ebs_optimized"] or None,
            "MetadataOptions": before["metadata"] or None,
            "CreditSpecification": {"CpuCredits": credit} if credit else None,
            "HibernationOptions": {"Configured": True} if before["hibernation"] else None,
            "EnclaveOptions": {"Enabled": True} if before["enclave"] else None,
            "DisableApiTermination": before["termination_protection"] or None,
            "DisableApiStop": before["stop_protection"] or None,
            "InstanceInitiatedShutdownBehavior": before["shutdown_behavior"],
            "BlockDeviceMappings": _mappings(before, image) or None,
        }
    )


def _mappings(before: Values, image: Values) -> list[dict[str, Any]]:
    """The image's own, with size, type and what becomes of a volume at the end as they were.

    EC2 refuses a snapshot for the root device, which is always the image's; for others it would leave the volume empty.
    """
    volumes = {each["device"]: each for each in before["volumes"]}
    found = []
    for mapping in image.get("BlockDeviceMappings") or []:
        device = mapping["DeviceName"]
        volume = volumes.get(device)
        if volume is None or "Ebs" not in mapping:
            continue
        ebs_values = {
            "SnapshotId": None if device == image.get("RootDeviceName") else mapping["Ebs"].get("SnapshotId"),
            "VolumeSize": volume["size"],
            "VolumeType": volume["type"],
            "Iops": volume["iops"],
            "Throughput": volume["throughput"],
            "DeleteOnTermination": volume["delete_on_termination"],
        }
        found.append({"DeviceName": device, "Ebs": common.without(ebs_values)})
    return found


def _volumes(site: Site, instance: Values) -> list[dict[str, Any]]:
    """The volumes by device. One that is not found any more keeps its id alone."""
    mappings = [each for each in instance.get("BlockDeviceMappings") or [] if each.get("Ebs")]
    ids = [each["Ebs"]["VolumeId"] for each in mappings]
    found = common.described(site.client("ec2"), "describe_volumes", "Volumes", VolumeIds=ids) if ids else []
    by_id = {each["VolumeId"]: ebs.performance(each) for each in found}
    nothing: dict[str, Any] = dict.fromkeys(ebs.PERFORMANCE)
    return sorted(
        (
            {
                "device": each["DeviceName"],
                "id": each["Ebs"]["VolumeId"],
                "delete_on_termination": bool(each["Ebs"].get("DeleteOnTermination", False)),
                **by_id.get(each["Ebs"]["VolumeId"], nothing),
            }
            for each in mappings
        ),
        key=lambda each: str(each["device"]),
    )


def _credits(site: Site, instance: Values) -> str | None:
    """``standard`` or ``unlimited``, None for types that know no CPU credits; EC2 refuses the question for them."""
    if not instance["InstanceType"].startswith("t"):
        return None
    found = common.one(
        site.client("ec2"),
        "describe_instance_credit_specifications",
        "InstanceCreditSpecifications",
        InstanceIds=[instance["InstanceId"]],
    )
    return str(found["CpuCredits"]) if found else None
