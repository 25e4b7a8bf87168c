"""Load balancers, which do not come back, and NAT gateways, which do."""

from __future__ import annotations

from typing import Any

import pytest
from moto.ec2.models import EC2Backend, ec2_backends
from moto.elb.models import ELBBackend
from moto.elbv2.models import ELBv2Backend

from finops_policy.errors import FinopsPolicyError
from finops_policy.remediation.recipes import balancers, common, gateways
from finops_policy.remediation.recipes.recipe import State, Subject, Undoable
from tests.remediation.recipe_kit import ACCOUNT, REGION, Stage, as_stored, check_through, check_undo

DELETE = {"type": "delete"}
CLASSIC, NEWER, GATEWAY = "aws.elb", "aws.app-elb", "aws.nat-gateway"


@pytest.fixture
def classic(stage: Stage) -> str:
    stage.client("elb").create_load_balancer(
        LoadBalancerName="classic",
        Listeners=[{"Protocol": "http", "LoadBalancerPort": 80, "InstancePort": 8080}],
        AvailabilityZones=[f"{REGION}a"],
    )
    return "classic"


@pytest.fixture
def newer(stage: Stage) -> str:
    subnets = stage.client("ec2").describe_subnets()["Subnets"]
    client = stage.client("elbv2")
    made = client.create_load_balancer(Name="newer", Subnets=[each["SubnetId"] for each in subnets[:2]])
    arn = made["LoadBalancers"][0]["LoadBalancerArn"]
    groups = client.create_target_group(Name="targets", Protocol="HTTP", Port=80, VpcId=subnets[0]["VpcId"])
    group = groups["TargetGroups"][0]["TargetGroupArn"]
    client.create_listener(
        LoadBalancerArn=arn,
        Protocol="HTTP",
        Port=80,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": group}],
    )
    return str(arn)


def instance(stage: Stage) -> str:
    client = stage.client("ec2")
    image = client.register_image(Name="base", RootDeviceName="/dev/sda1")["ImageId"]
    return str(client.run_instances(ImageId=image, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"])


def alias(stage: Stage, target: str) -> str:
    dns = stage.client("route53")
    zone = dns.create_hosted_zone(Name="example.com", CallerReference="x")["HostedZone"]["Id"]
    leads = {"HostedZoneId": "Z35SXDOTRQ7X7K", "DNSName": f"dualstack.{target}.", "EvaluateTargetHealth": False}
    record = {"Name": "www.example.com", "Type": "A", "AliasTarget": leads}
    change = {"Changes": [{"Action": "CREATE", "ResourceRecordSet": record}]}
    dns.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=change)
    return f"A www.example.com. ({zone.removeprefix('/hostedzone/')})"


@pytest.mark.parametrize("resource_type", [CLASSIC, NEWER])
def test_a_deleted_balancer_does_not_come_back(stage: Stage, classic: str, newer: str, resource_type: str) -> None:
    recipe = balancers.RECIPES[resource_type, "delete"]
    resource_id = classic if resource_type == CLASSIC else newer
    before, subject, seen = check_through(recipe, stage, resource_type, resource_id, DELETE)
    assert seen.says == "it does not exist any more"
    undo = recipe.undo_of(before, DELETE)
    assert undo.possible is Undoable.NO
    assert before["dns_name"] in undo.lost[0]
    assert recipe.undone(stage.site, subject, DELETE, before, {}).state is State.NOT_REACHED
    with pytest.raises(FinopsPolicyError, match="cannot be undone"):
        recipe.undo(stage.site, subject, DELETE, before, {})


@pytest.mark.parametrize("resource_type", [CLASSIC, NEWER])
def test_a_deletion_without_effect_is_seen(
    stage: Stage, classic: str, newer: str, resource_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = balancers.RECIPES[resource_type, "delete"]
    resource_id = classic if resource_type == CLASSIC else newer
    subject, resource = stage.subject(resource_type, resource_id), stage.resource(resource_type, resource_id)
    before = recipe.before(stage.site, subject, resource, DELETE)
    for backend in (ELBBackend, ELBv2Backend):
        monkeypatch.setattr(backend, "delete_load_balancer", lambda *_args, **_params: None)
    stage.act(resource_type, resource, DELETE)
    assert recipe.seen(stage.site, subject, DELETE, before).says == "it is still there"


def test_who_would_miss_a_classic_balancer(stage: Stage, classic: str) -> None:
    behind = instance(stage)
    stage.client("elb").register_instances_with_load_balancer(
        LoadBalancerName=classic, Instances=[{"InstanceId": behind}]
    )
    recipe, subject, resource = balancers.Classic(), stage.subject(CLASSIC, classic), stage.resource(CLASSIC, classic)
    record = alias(stage, resource["DNSName"])
    found = recipe.dependants(stage.site, subject, resource)
    assert [(each.kind, each.id) for each in found.found] == [("instance", behind), ("dns-record", record)]
    assert found.unknown == ()
    before = recipe.before(stage.site, subject, resource, DELETE)
    assert before["instances"] == [behind]
    assert before["listeners"] == ["HTTP 80 to HTTP 8080"]


def test_who_would_miss_a_newer_balancer(stage: Stage, newer: str) -> None:
    client = stage.client("elbv2")
    group = client.describe_target_groups()["TargetGroups"][0]["TargetGroupArn"]
    behind = instance(stage)
    recipe, subject, resource = balancers.Newer(), stage.subject(NEWER, newer), stage.resource(NEWER, newer)
    idle = recipe.before(stage.site, subject, resource, DELETE)
    client.register_targets(TargetGroupArn=group, Targets=[{"Id": behind}])
    scaling = stage.client("autoscaling")
    scaling.create_launch_configuration(LaunchConfigurationName="lc", ImageId="ami-12345678", InstanceType="t3.small")
    scaling.create_auto_scaling_group(
        AutoScalingGroupName="group",
        LaunchConfigurationName="lc",
        MinSize=0,
        MaxSize=0,
        AvailabilityZones=[f"{REGION}a"],
        TargetGroupARNs=[group],
    )
    record = alias(stage, resource["DNSName"])
    listener = client.describe_listeners(LoadBalancerArn=newer)["Listeners"][0]["ListenerArn"]
    found = recipe.dependants(stage.site, subject, resource)
    assert [(each.kind, each.id) for each in found.found] == [
        ("target", behind),
        ("listener", listener),
        ("auto-scaling-group", "group"),
        ("dns-record", record),
    ]
    busy = recipe.before(stage.site, subject, resource, DELETE)
    assert idle["targets"] == []
    assert busy == {**idle, "targets": [f"{behind} in {group}"]}


# --- NAT gateways -----------------------------------------------------------------------------------------------------


@pytest.fixture
def gateway(stage: Stage) -> str:
    """A public gateway that two route tables lead to."""
    client = stage.client("ec2")
    subnet = client.describe_subnets()["Subnets"][0]
    address = client.allocate_address(Domain="vpc")["AllocationId"]
    made = client.create_nat_gateway(
        SubnetId=subnet["SubnetId"],
        AllocationId=address,
        TagSpecifications=common.tag_specifications("natgateway", {"Name": "nat", "Owner": "net"}),
    )["NatGateway"]["NatGatewayId"]
    for destination in ("0.0.0.0/0", "10.9.0.0/16"):
        table = client.create_route_table(VpcId=subnet["VpcId"])["RouteTable"]["RouteTableId"]
        client.create_route(RouteTableId=table, DestinationCidrBlock=destination, NatGatewayId=made)
    return str(made)


def free_address(stage: Stage) -> None:
    """AWS does so when a gateway is deleted; moto does not."""
    client = stage.client("ec2")
    for each in client.describe_addresses()["Addresses"]:
        client.disassociate_address(AssociationId=each["AssociationId"])


def test_a_deleted_gateway_is_made_anew_with_its_addresses_and_routes(stage: Stage, gateway: str) -> None:
    recipe = gateways.Delete()
    before, subject, _ = check_through(recipe, stage, GATEWAY, gateway, DELETE)
    assert len(before["routes"]) == 2
    undo = recipe.undo_of(before, DELETE)
    assert undo.possible is Undoable.PARTLY
    assert undo.how.endswith("and lead the 2 routes there that led to it")
    free_address(stage)
    [new] = check_undo(recipe, stage, subject, DELETE, before, {})["gateways"]
    resource = stage.resource(GATEWAY, new)
    now = as_stored(recipe.before(stage.site, Subject(GATEWAY, new, "", ""), resource, DELETE))
    assert now["tags"].pop(common.ITEM_TAG) == subject.item_id
    assert now == before


def test_a_route_that_somebody_has_led_elsewhere_stays(stage: Stage, gateway: str) -> None:
    recipe = gateways.Delete()
    before, subject, _ = check_through(recipe, stage, GATEWAY, gateway, DELETE)
    table, key, destination = before["routes"][0]
    client = stage.client("ec2")
    other = client.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    free_address(stage)
    client.replace_route(RouteTableId=table, GatewayId=other, **{key: destination})
    unknown_to_the_plan = before["routes"][1]
    check_undo(recipe, stage, subject, DELETE, {**before, "routes": before["routes"][:1]}, {})
    assert gateways._routes(stage.site, before["vpc"], gateway) == [unknown_to_the_plan]
    [found] = client.describe_route_tables(RouteTableIds=[table])["RouteTables"]
    assert [each.get("GatewayId") for each in found["Routes"] if each["DestinationCidrBlock"] == destination] == [other]


def test_a_gateway_on_its_way_without_effect_and_gone(
    stage: Stage, gateway: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, subject, resource = gateways.Delete(), stage.subject(GATEWAY, gateway), stage.resource(GATEWAY, gateway)
    before = recipe.before(stage.site, subject, resource, DELETE)
    with monkeypatch.context() as patch:
        backend = ec2_backends[ACCOUNT][REGION]
        patch.setattr(EC2Backend, "delete_nat_gateway", lambda _self, name: backend.nat_gateways[name])
        stage.act(GATEWAY, resource, DELETE)
    assert recipe.seen(stage.site, subject, DELETE, before).says == "it is available"
    ec2_backends[ACCOUNT][REGION].nat_gateways[gateway].state = "deleting"
    assert recipe.seen(stage.site, subject, DELETE, before).state is State.PENDING
    del ec2_backends[ACCOUNT][REGION].nat_gateways[gateway]
    assert recipe.seen(stage.site, subject, DELETE, before).state is State.REACHED
    free_address(stage)
    made = recipe.undo(stage.site, subject, DELETE, before, {})
    ec2_backends[ACCOUNT][REGION].nat_gateways[made["gateways"][0]].state = "pending"
    assert recipe.undone(stage.site, subject, DELETE, before, made).state is State.PENDING


def test_who_would_miss_a_gateway(stage: Stage, gateway: str) -> None:
    resource = stage.resource(GATEWAY, gateway)
    found = gateways.Delete().dependants(stage.site, stage.subject(GATEWAY, gateway), resource)
    assert [each.kind for each in found.found] == ["route", "route"]
    assert found.found[0].effect == "it leads to the gateway, and would lead nowhere"


def test_a_regional_gateway_has_no_undo(stage: Stage, gateway: str) -> None:
    resource: dict[str, Any] = stage.resource(GATEWAY, gateway) | {"AvailabilityMode": "regional"}
    before = gateways.Delete().before(stage.site, stage.subject(GATEWAY, gateway), resource, DELETE)
    assert gateways.Delete().undo_of(before, DELETE).possible is Undoable.NO
