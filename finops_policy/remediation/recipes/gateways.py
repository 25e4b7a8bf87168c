"""NAT gateways. One made anew in the same subnet keeps the elastic addresses, not the id; routes are led to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from finops_policy.remediation.recipes import common
from finops_policy.remediation.recipes.common import GONE, described, differences, one
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

DESTINATIONS = ("DestinationCidrBlock", "DestinationIpv6CidrBlock", "DestinationPrefixListId")
WAIT = {"Delay": 10, "MaxAttempts": 60}
"""A gateway takes some minutes; routes can only lead to one that is available."""


class Delete:
    """``routes`` are those that lead to the gateway: they stay behind as black holes, and are led to the new one."""

    def before(self, site: Site, subject: Subject, resource: Values, action: Values) -> dict[str, Any]:
        addresses = resource.get("NatGatewayAddresses") or []
        return {
            "state": resource.get("State"),
            "subnet": resource.get("SubnetId"),
            "vpc": resource.get("VpcId"),
            "connectivity": resource.get("ConnectivityType", "public"),
            "mode": resource.get("AvailabilityMode", "zonal"),
            "addresses": sorted(str(each.get("PublicIp") or each.get("PrivateIp")) for each in addresses),
            "allocations": _allocations(addresses),
            "routes": _routes(site, resource.get("VpcId"), subject.resource_id),
            "tags": common.tags_of(resource),
        }

    def undo_of(self, before: Values, action: Values) -> Undo:
        if before["mode"] != "zonal":
            return Undo(Undoable.NO, "a regional NAT gateway is not made anew", ("the gateway, and routes to it",))
        lost = ["its id: the new gateway has another", "connections that were open, and its private address"]
        if before["connectivity"] == "public":
            lost.append("its public addresses, if they are released meanwhile")
        lost += common.lost_tags(before["tags"])
        count = len(before["routes"])
        how = f"create a gateway in {before['subnet']} with the same addresses"
        how += f", and lead the {count} route{'s' if count != 1 else ''} there that led to it" if count else ""
        permissions = (
            "ec2:CreateNatGateway",
            "ec2:CreateTags",
            "ec2:DescribeNatGateways",
            "ec2:DescribeRouteTables",
            "ec2:ReplaceRoute",
        )
        return Undo(Undoable.PARTLY, how, tuple(lost), permissions)

    def dependants(self, site: Site, subject: Subject, resource: Values) -> Dependants:
        inquiry = common.Inquiry()
        inquiry.ask("routes", lambda: _users(site, resource.get("VpcId"), subject.resource_id))
        inquiry.ask("stacks", lambda: common.stack_of(resource))
        return inquiry.answer()

    def seen(self, site: Site, subject: Subject, action: Values, before: Values) -> Seen:
        gateway = _gateway(site, subject.resource_id)
        if gateway is None:
            return GONE
        state = gateway.get("State", "")
        if state == "deleted":
            return Seen(State.REACHED, "", {"state": state})
        if state == "deleting":
            return Seen(State.PENDING, "it is being deleted", {"state": state})
        return Seen(State.NOT_REACHED, f"it is {state}", {"state": state})

    def undo(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> dict[str, Any]:
        client = site.client("ec2")
        tags = common.marked(common.writable(before["tags"]), subject)
        gateway = self._new(site, subject, made)
        if gateway is None:
            public = before["connectivity"] == "public"
            first, *others = before["allocations"] or [None]
            params = {
                "SubnetId": before["subnet"],
                "ConnectivityType": before["connectivity"],
                "AllocationId": first if public else None,
                "SecondaryAllocationIds": others or None,
                "ClientToken": common.token(subject, "nat-gateway"),
            }
            specifications = common.tag_specifications("natgateway", tags)
            answer = client.create_nat_gateway(**common.without(params), TagSpecifications=specifications)
            gateway = answer["NatGateway"]
        elif missing := differences(tags, common.tags_of(gateway)):
            wanted = common.as_list({key: tags[key] for key in missing})
            client.create_tags(Resources=[gateway["NatGatewayId"]], Tags=wanted)
        gateway_id = gateway["NatGatewayId"]
        client.get_waiter("nat_gateway_available").wait(NatGatewayIds=[gateway_id], WaiterConfig=WAIT)
        for route in _routes(site, before["vpc"], subject.resource_id):
            if route in before["routes"]:
                table, destination, value = route
                client.replace_route(RouteTableId=table, NatGatewayId=gateway_id, **{destination: value})
        return {"gateways": [gateway_id]}

    def undone(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> Seen:
        gateway = self._new(site, subject, made)
        if gateway is None:
            return Seen(State.NOT_REACHED, "there is no gateway in its place")
        gateway_id, state = gateway["NatGatewayId"], gateway.get("State", "")
        after = {"gateway": gateway_id, "state": state, "tags": common.tags_of(gateway)}
        new = {"gateways": [gateway_id]}
        if state == "pending":
            return Seen(State.PENDING, f"{gateway_id} is being created", after, new)
        if missing := differences(common.writable(before["tags"]), after["tags"]):
            return Seen(State.NOT_REACHED, f"{gateway_id} lacks tags: {', '.join(missing)}", after, new)
        left = [route for route in _routes(site, before["vpc"], subject.resource_id) if route in before["routes"]]
        if left:
            return Seen(State.NOT_REACHED, f"{len(left)} routes lead to the gateway that is gone", after, new)
        if other := sorted(set(before["allocations"]) - set(_allocations(gateway.get("NatGatewayAddresses") or []))):
            return Seen(State.UNKNOWN, f"{gateway_id} lacks the addresses {', '.join(other)}", after, new)
        return Seen(State.REACHED, f"{gateway_id} stands in its place", after, new)

    def _new(self, site: Site, subject: Subject, made: Values) -> dict[str, Any] | None:
        client = site.client("ec2")
        named = [_gateway(site, each) for each in made.get("gateways") or []]
        marked = described(client, "describe_nat_gateways", "NatGateways", Filters=[common.item_filter(subject)])
        found = [each for each in [*named, *marked] if each and each["NatGatewayId"] != subject.resource_id]
        return next((each for each in found if each.get("State") not in ("deleted", "deleting", "failed")), None)


def _gateway(site: Site, gateway_id: str) -> dict[str, Any] | None:
    return one(site.client("ec2"), "describe_nat_gateways", "NatGateways", NatGatewayIds=[gateway_id])


def _allocations(addresses: list[Values]) -> list[str]:
    """The primary one first: the gateway must get it as such."""
    found = [
        (not each.get("IsPrimary", True), str(each["AllocationId"])) for each in addresses if "AllocationId" in each
    ]
    return [allocation for _, allocation in sorted(found)]


def _routes(site: Site, vpc: str | None, gateway_id: str) -> list[list[str]]:
    """``[table, kind of destination, destination]`` of every route that leads to a gateway, sorted."""
    wanted = [{"Name": "vpc-id", "Values": [vpc]}] if vpc else []
    found = []
    for table in described(site.client("ec2"), "describe_route_tables", "RouteTables", Filters=wanted):
        for route in table.get("Routes") or []:
            if route.get("NatGatewayId") == gateway_id:
                found += [[table["RouteTableId"], key, route[key]] for key in DESTINATIONS if route.get(key)]
    return sorted(found)


def _users(site: Site, vpc: str | None, gateway_id: str) -> Iterator[Dependant]:
    for table, _, destination in _routes(site, vpc, gateway_id):
        yield Dependant("route", f"{table} {destination}", "it leads to the gateway, and would lead nowhere")


RECIPES: Mapping[tuple[str, str], Recipe] = {("aws.nat-gateway", "delete"): Delete()}
