"""Load balancers, classic and newer ones. Deleting one cannot be undone: its DNS name never comes back.

What is registered stands in ``before``: a target that appears between plan and apply holds the balancer back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from finops_policy.errors import FinopsPolicyError
from finops_policy.remediation.recipes import around, common
from finops_policy.remediation.recipes.common import GONE, described, one
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

NAMES_IT = "it leads to the balancer, and would lead nowhere"


class NotBack:
    """What has no undo."""

    def undo(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> dict[str, Any]:
        raise FinopsPolicyError(
            f"the deletion of {subject.resource_id} cannot be undone",
            hint="Create another load balancer with the values that the plan recorded, and lead its users there.",
        )

    def undone(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> Seen:
        return Seen(State.NOT_REACHED, "a deleted load balancer does not come back")


class Classic(NotBack):
    def before(self, site: Site, subject: Subject, resource: Values, action: Values) -> dict[str, Any]:
        listeners = [each["Listener"] for each in resource.get("ListenerDescriptions") or []]
        return {
            "dns_name": resource.get("DNSName"),
            "scheme": resource.get("Scheme"),
            "listeners": sorted(
                f"{each['Protocol']} {each['LoadBalancerPort']} to {each.get('InstanceProtocol', each['Protocol'])} "
                f"{each['InstancePort']}"
                for each in listeners
            ),
            "subnets": sorted(resource.get("Subnets") or []),
            "zones": sorted(resource.get("AvailabilityZones") or []),
            "security_groups": sorted(resource.get("SecurityGroups") or []),
            "instances": sorted(each["InstanceId"] for each in resource.get("Instances") or []),
            "tags": common.tags_of(resource),
        }

    def undo_of(self, before: Values, action: Values) -> Undo:
        return _no_undo(before, "registrations, policies, health check, certificates and access log settings")

    def dependants(self, site: Site, subject: Subject, resource: Values) -> Dependants:
        inquiry = common.Inquiry()
        inquiry.ask("instances behind it", lambda: _instances(resource))
        inquiry.ask("Auto Scaling groups", lambda: _groups(site, "LoadBalancerNames", {subject.resource_id}))
        inquiry.ask("Route 53 records", lambda: around.records_to(site, [resource.get("DNSName", "")], NAMES_IT))
        inquiry.ask("stacks", lambda: common.stack_of(resource))
        return inquiry.answer()

    def seen(self, site: Site, subject: Subject, action: Values, before: Values) -> Seen:
        client = site.client("elb")
        found = one(
            client, "describe_load_balancers", "LoadBalancerDescriptions", LoadBalancerNames=[subject.resource_id]
        )
        return Seen(State.NOT_REACHED, "it is still there") if found else GONE


class Newer(NotBack):
    """Application, network and gateway load balancers. Their target groups stay."""

    def before(self, site: Site, subject: Subject, resource: Values, action: Values) -> dict[str, Any]:
        client, arn = site.client("elbv2"), resource["LoadBalancerArn"]
        listeners = described(client, "describe_listeners", "Listeners", LoadBalancerArn=arn)
        attributes = client.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]
        return {
            "type": resource.get("Type"),
            "dns_name": resource.get("DNSName"),
            "scheme": resource.get("Scheme"),
            "subnets": sorted(each["SubnetId"] for each in resource.get("AvailabilityZones") or []),
            "security_groups": sorted(resource.get("SecurityGroups") or []),
            "listeners": sorted(f"{each.get('Protocol')} {each.get('Port')}" for each in listeners),
            "targets": sorted(f"{each['Target']['Id']} in {group}" for group, each in _targets(site, arn)),
            "attributes": {each["Key"]: each["Value"] for each in sorted(attributes, key=lambda each: each["Key"])},
            "tags": common.tags_of(resource),
        }

    def undo_of(self, before: Values, action: Values) -> Undo:
        return _no_undo(before, "listeners, rules and certificates, its static addresses; its target groups stay")

    def dependants(self, site: Site, subject: Subject, resource: Values) -> Dependants:
        arn = resource["LoadBalancerArn"]
        names = [resource.get("DNSName", "")]
        inquiry = common.Inquiry()
        inquiry.ask("targets behind it", lambda: _behind(site, arn))
        inquiry.ask("listeners", lambda: _listeners(site, arn))
        inquiry.ask("Auto Scaling groups", lambda: _groups(site, "TargetGroupARNs", _target_groups(site, arn)))
        inquiry.ask("Route 53 records", lambda: around.records_to(site, names, NAMES_IT))
        inquiry.ask("stacks", lambda: common.stack_of(resource))
        return inquiry.answer()

    def seen(self, site: Site, subject: Subject, action: Values, before: Values) -> Seen:
        found = one(site.client("elbv2"), "describe_load_balancers", "LoadBalancers", LoadBalancerArns=[subject.arn])
        return Seen(State.NOT_REACHED, "it is still there") if found else GONE


def _no_undo(before: Values, more: str) -> Undo:
    return Undo(
        Undoable.NO,
        "it cannot be undone: a new load balancer would have another DNS name, and would have to be set up anew",
        (f"the DNS name {before['dns_name']}, and with it every record that leads there", f"its {more}"),
    )


def _instances(balancer: Values) -> Iterator[Dependant]:
    for each in balancer.get("Instances") or []:
        yield Dependant("instance", each["InstanceId"], "it gets its requests from the balancer")


def _target_groups(site: Site, arn: str) -> set[str]:
    groups = described(site.client("elbv2"), "describe_target_groups", "TargetGroups", LoadBalancerArn=arn)
    return {each["TargetGroupArn"] for each in groups}


def _targets(site: Site, arn: str) -> Iterator[tuple[str, Values]]:
    """(target group, target health) of everything registered behind a load balancer."""
    client = site.client("elbv2")
    for group in sorted(_target_groups(site, arn)):
        for each in described(client, "describe_target_health", "TargetHealthDescriptions", TargetGroupArn=group):
            yield group, each


def _behind(site: Site, arn: str) -> Iterator[Dependant]:
    for group, each in _targets(site, arn):
        yield Dependant("target", each["Target"]["Id"], f"it gets its requests from the balancer, in {group}")


def _listeners(site: Site, arn: str) -> Iterator[Dependant]:
    for each in described(site.client("elbv2"), "describe_listeners", "Listeners", LoadBalancerArn=arn):
        port = f"{each.get('Protocol')} {each.get('Port')}"
        yield Dependant("listener", each["ListenerArn"], f"it listens on {port}, and is deleted with the balancer")


def _groups(site: Site, member: str, names: set[str]) -> Iterator[Dependant]:
    groups = common.once(
        site,
        "auto-scaling-groups",
        lambda: described(site.client("autoscaling"), "describe_auto_scaling_groups", "AutoScalingGroups"),
    )
    for each in groups:
        if names & set(each.get(member) or []):
            effect = "it registers its instances with the balancer"
            yield Dependant("auto-scaling-group", each["AutoScalingGroupName"], effect)


RECIPES: Mapping[tuple[str, str], Recipe] = {
    ("aws.elb", "delete"): Classic(),
    ("aws.app-elb", "delete"): Newer(),
}
