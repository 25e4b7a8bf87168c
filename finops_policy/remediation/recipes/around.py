"""Who else has to do with an instance, an address or a load balancer.

Answers that are the same for a whole target are asked for once a session. Limits: only what this account and region can
tell; DNS records in other accounts or at other providers, and allow lists of other people, nobody can ask AWS for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from finops_policy.remediation.recipes import common
from finops_policy.remediation.recipes.common import described
from finops_policy.remediation.recipes.recipe import Dependant, Site

Registered = Mapping[str, list[str]]


def group_of(site: Site, instance_id: str) -> Iterator[Dependant]:
    """The Auto Scaling group that an instance is a member of."""
    client = site.client("autoscaling")
    found = described(client, "describe_auto_scaling_instances", "AutoScalingInstances", InstanceIds=[instance_id])
    for each in found:
        effect = "the instance is a member; the group replaces members that do not run"
        yield Dependant("auto-scaling-group", each["AutoScalingGroupName"], effect)


def balancers_of(site: Site, names: Collection[str]) -> Iterator[Dependant]:
    """Target groups that an instance is registered with, by its id or one of its addresses."""
    registered = common.once(site, "targets", lambda: _targets(site))
    for group in sorted({group for name in names for group in registered.get(name, [])}):
        yield Dependant("target-group", group, "it sends requests to the instance")


def classic_balancers_of(site: Site, instance_id: str) -> Iterator[Dependant]:
    registered = common.once(site, "classic", lambda: _classic(site))
    for name in registered.get(instance_id, []):
        yield Dependant("load-balancer", name, "it sends requests to the instance")


def addresses_of(site: Site, instance_id: str) -> list[dict[str, Any]]:
    """Elastic addresses of an instance, as EC2 describes them, in order."""
    wanted = [{"Name": "instance-id", "Values": [instance_id]}]
    found = described(site.client("ec2"), "describe_addresses", "Addresses", Filters=wanted)
    return sorted(found, key=lambda each: str(each.get("PublicIp")))


def records_to(site: Site, names: Collection[str], effect: str) -> Iterator[Dependant]:
    """Route 53 records of this account that name one of ``names``: an address, or a load balancer's DNS name."""
    wanted = {_host(each) for each in names if each}
    for zone, record, value in common.once(site, "records", lambda: list(_records(site))):
        if value in wanted:
            yield Dependant("dns-record", f"{record} ({zone})", effect)


def _targets(site: Site) -> Registered:
    client = site.client("elbv2")
    found: dict[str, list[str]] = defaultdict(list)
    for group in described(client, "describe_target_groups", "TargetGroups"):
        arn = group["TargetGroupArn"]
        for each in described(client, "describe_target_health", "TargetHealthDescriptions", TargetGroupArn=arn):
            found[each["Target"]["Id"]].append(arn)
    return found


def _classic(site: Site) -> Registered:
    found: dict[str, list[str]] = defaultdict(list)
    for each in described(site.client("elb"), "describe_load_balancers", "LoadBalancerDescriptions"):
        for instance in each.get("Instances") or []:
            found[instance["InstanceId"]].append(each["LoadBalancerName"])
    return found


def _records(site: Site) -> Iterator[tuple[str, str, str]]:
    """(zone, record, what it names), for every value of every record."""
    client = site.client("route53")
    for zone in described(client, "list_hosted_zones", "HostedZones"):
        records = described(client, "list_resource_record_sets", "ResourceRecordSets", HostedZoneId=zone["Id"])
        for record in records:
            label = f"{record['Type']} {record['Name']}"
            zone_id = zone["Id"].removeprefix("/hostedzone/")
            for value in record.get("ResourceRecords") or []:
                yield zone_id, label, _host(value["Value"])
            if alias := record.get("AliasTarget"):
                yield zone_id, label, _host(alias["DNSName"])


def _host(name: str) -> str:
    """DNS names as they are compared: Route 53 puts ``dualstack.`` in front of a balancer's and a dot behind it."""
    return name.strip().rstrip(".").lower().removeprefix("dualstack.")
