"""Elastic addresses. A released address goes to whoever asks next; nothing promises that it comes back."""

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


class Release:
    def before(self, site: Site, subject: Subject, resource: Values, action: Values) -> dict[str, Any]:
        return {
            "address": resource.get("PublicIp"),
            "allocation": resource.get("AllocationId"),
            "association": resource.get("AssociationId"),
            "instance": resource.get("InstanceId") or None,
            "interface": resource.get("NetworkInterfaceId"),
            "private_address": resource.get("PrivateIpAddress"),
            "pool": resource.get("PublicIpv4Pool"),
            "border_group": resource.get("NetworkBorderGroup"),
            "tags": common.tags_of(resource),
        }

    def undo_of(self, before: Values, action: Values) -> Undo:
        address = before["address"]
        return Undo(
            Undoable.NO,
            f"it cannot be undone: the address goes back to AWS. `aws ec2 allocate-address --domain vpc --address "
            f"{address}` asks for the same one, which AWS grants only as long as nobody else has it",
            (
                f"the address {address}, for every DNS record, allow list and configuration that names it, anywhere",
                f"its allocation id {before['allocation']}, its tags and its reverse DNS name",
            ),
        )

    def dependants(self, site: Site, subject: Subject, resource: Values) -> Dependants:
        address, allocation = str(resource.get("PublicIp", "")), resource.get("AllocationId")
        effect = "it names the address, which somebody else may get"
        inquiry = common.Inquiry()
        inquiry.ask("what it is associated with", lambda: _associated(resource))
        inquiry.ask("NAT gateways", lambda: _gateways(site, allocation))
        inquiry.ask("Route 53 records", lambda: around.records_to(site, [address], effect))
        inquiry.ask("stacks", lambda: common.stack_of(resource))
        return inquiry.answer()

    def seen(self, site: Site, subject: Subject, action: Values, before: Values) -> Seen:
        client, allocation = site.client("ec2"), before["allocation"] or subject.resource_id
        address = one(client, "describe_addresses", "Addresses", AllocationIds=[allocation])
        if address is None:
            return GONE
        holder = address.get("AssociationId")
        says = f"it is still there, associated as {holder}" if holder else "it is still there"
        return Seen(State.NOT_REACHED, says, {"association": holder})

    def undo(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> dict[str, Any]:
        raise FinopsPolicyError(
            f"the release of {before['address']} cannot be undone",
            hint="Ask AWS for the same address: aws ec2 allocate-address --domain vpc --address " + before["address"],
        )

    def undone(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> Seen:
        return Seen(State.NOT_REACHED, "a release cannot be undone")


def _associated(address: Values) -> Iterator[Dependant]:
    if instance := address.get("InstanceId"):
        yield Dependant("instance", instance, "it is reached under the address")
    elif interface := address.get("NetworkInterfaceId"):
        yield Dependant("network-interface", interface, "whatever is behind it is reached under the address")


def _gateways(site: Site, allocation: str | None) -> Iterator[Dependant]:
    gateways = common.once(
        site, "nat-gateways", lambda: described(site.client("ec2"), "describe_nat_gateways", "NatGateways")
    )
    for each in gateways:
        used = [address.get("AllocationId") for address in each.get("NatGatewayAddresses") or []]
        if allocation in used and each.get("State") not in ("deleted", "deleting", "failed"):
            yield Dependant("nat-gateway", each["NatGatewayId"], "it sends its traffic from the address")


RECIPES: Mapping[tuple[str, str], Recipe] = {("aws.network-addr", "release"): Release()}
