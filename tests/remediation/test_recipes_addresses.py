"""Elastic addresses: released for good, and who would miss them."""

from __future__ import annotations

from typing import Any

import pytest
from moto.ec2.models import EC2Backend
from moto.route53.models import Route53Backend

from finops_policy.errors import FinopsPolicyError
from finops_policy.remediation.recipes import addresses
from finops_policy.remediation.recipes.recipe import State, Undoable
from tests.remediation.recipe_kit import Stage, check_through

ADDRESS = "aws.network-addr"
RELEASE = {"type": "release"}


@pytest.fixture
def address(stage: Stage) -> dict[str, Any]:
    return dict(stage.client("ec2").allocate_address(Domain="vpc"))


def test_a_released_address_is_gone_for_good(stage: Stage, address: dict[str, Any]) -> None:
    recipe = addresses.Release()
    before, subject, _ = check_through(recipe, stage, ADDRESS, address["AllocationId"], RELEASE)
    assert before["address"] == address["PublicIp"]
    undo = recipe.undo_of(before, RELEASE)
    assert undo.possible is Undoable.NO
    assert f"--address {address['PublicIp']}" in undo.how
    assert recipe.undone(stage.site, subject, RELEASE, before, {}).state is State.NOT_REACHED
    with pytest.raises(FinopsPolicyError, match="cannot be undone"):
        recipe.undo(stage.site, subject, RELEASE, before, {})


def test_a_release_without_effect_is_seen(
    stage: Stage, address: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, subject = addresses.Release(), stage.subject(ADDRESS, address["AllocationId"])
    resource = stage.resource(ADDRESS, address["AllocationId"])
    before = recipe.before(stage.site, subject, resource, RELEASE)
    monkeypatch.setattr(EC2Backend, "release_address", lambda *_args, **_params: None)
    stage.act(ADDRESS, resource, RELEASE)
    seen = recipe.seen(stage.site, subject, RELEASE, before)
    assert (seen.state, seen.says) == (State.NOT_REACHED, "it is still there")


def test_who_would_miss_an_address(stage: Stage, address: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    ec2, dns = stage.client("ec2"), stage.client("route53")
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    gateway = ec2.create_nat_gateway(SubnetId=subnet, AllocationId=address["AllocationId"])["NatGateway"]
    zone = dns.create_hosted_zone(Name="example.com", CallerReference="x")["HostedZone"]["Id"]
    records = [
        ("www.example.com", "A", address["PublicIp"]),
        ("other.example.com", "A", "192.0.2.1"),
    ]
    for name, kind, value in records:
        record = {"Name": name, "Type": kind, "TTL": 60, "ResourceRecords": [{"Value": value}]}
        change = {"Changes": [{"Action": "CREATE", "ResourceRecordSet": record}]}
        dns.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=change)
    recipe, subject = addresses.Release(), stage.subject(ADDRESS, address["AllocationId"])
    resource = stage.resource(ADDRESS, address["AllocationId"])
    found = recipe.dependants(stage.site, subject, resource)
    kinds = [(each.kind, each.id) for each in found.found if each.kind != "network-interface"]
    assert kinds == [
        ("nat-gateway", gateway["NatGatewayId"]),
        ("dns-record", f"A www.example.com. ({zone.removeprefix('/hostedzone/')})"),
    ]
    assert found.unknown == ()
    attached = resource | {"InstanceId": "i-1"}
    assert recipe.dependants(stage.site, subject, attached).found[0].id == "i-1"
    interface = resource | {"InstanceId": "", "NetworkInterfaceId": "eni-1"}
    assert recipe.dependants(stage.site, subject, interface).found[0].kind == "network-interface"


def test_dns_that_cannot_be_asked_is_unknown(
    stage: Stage, address: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_args: Any, **_params: Any) -> Any:
        raise PermissionError

    monkeypatch.setattr(Route53Backend, "list_hosted_zones", denied)
    recipe, subject = addresses.Release(), stage.subject(ADDRESS, address["AllocationId"])
    found = recipe.dependants(stage.site, subject, stage.resource(ADDRESS, address["AllocationId"]))
    assert found.found == ()
    [unknown] = found.unknown
    assert unknown.startswith("Route 53 records are unknown: ")
