"""Tags put on and taken off through c7n, on every type of the packs, and put back as they were."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from moto.ec2.models import EC2Backend

from finops_policy.errors import FinopsPolicyError
from finops_policy.redaction import WITHHELD
from finops_policy.remediation.recipes import tag_services, tags
from finops_policy.remediation.recipes.common import as_list, tag_specifications, tags_of
from finops_policy.remediation.recipes.recipe import State, Subject, Undoable
from tests.remediation.recipe_kit import REGION, Stage, check_through, check_undo, redacted

ZONE = f"{REGION}a"
HAS = {"Name": "it", "Owner": "payments", "Keep": "yes"}
ADDED = {"type": "tag", "tags": {"Owner": "finops", "CostCenter": "42"}}
REMOVED = {"type": "remove-tag", "tags": ["Owner", "Absent"]}
MARKED = {"type": "mark-for-op", "op": "tag", "days": 3, "tag": "due"}


def _spec(kind: str) -> list[dict[str, Any]]:
    return tag_specifications(kind, HAS)


def an_instance(stage: Stage) -> str:
    ec2 = stage.client("ec2")
    image = ec2.register_image(Name="base", RootDeviceName="/dev/sda1")["ImageId"]
    run = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, TagSpecifications=_spec("instance"))
    return str(run["Instances"][0]["InstanceId"])


def a_volume(stage: Stage) -> str:
    volume = stage.client("ec2").create_volume(Size=1, AvailabilityZone=ZONE, TagSpecifications=_spec("volume"))
    return str(volume["VolumeId"])


def an_address(stage: Stage) -> str:
    made = stage.client("ec2").allocate_address(Domain="vpc", TagSpecifications=_spec("elastic-ip"))
    return str(made["AllocationId"])


def a_gateway(stage: Stage) -> str:
    ec2 = stage.client("ec2")
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    made = ec2.create_nat_gateway(SubnetId=subnet, AllocationId=address, TagSpecifications=_spec("natgateway"))
    return str(made["NatGateway"]["NatGatewayId"])


def a_snapshot(stage: Stage) -> str:
    made = stage.client("ec2").create_snapshot(VolumeId=a_volume(stage), TagSpecifications=_spec("snapshot"))
    return str(made["SnapshotId"])


def an_image(stage: Stage) -> str:
    ec2 = stage.client("ec2")
    image = ec2.register_image(Name="base", RootDeviceName="/dev/sda1")["ImageId"]
    ec2.create_tags(Resources=[image], Tags=as_list(HAS))
    return str(image)


def a_database(stage: Stage) -> str:
    stage.client("rds").create_db_instance(
        DBInstanceIdentifier="db", DBInstanceClass="db.t3.micro", Engine="postgres", Tags=as_list(HAS)
    )
    return "db"


def a_function(stage: Stage) -> str:
    trust = json.dumps({"Statement": []})
    role = stage.client("iam").create_role(RoleName="role", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("x.py", "")
    stage.client("lambda").create_function(
        FunctionName="function",
        Role=role,
        Code={"ZipFile": code.getvalue()},
        Runtime="python3.12",
        Handler="x.y",
        Tags=HAS,
    )
    return "function"


def a_bucket(stage: Stage) -> str:
    stage.client("s3").create_bucket(Bucket="bucket")
    stage.client("s3").put_bucket_tagging(Bucket="bucket", Tagging={"TagSet": as_list(HAS)})
    return "bucket"


def a_log_group(stage: Stage) -> str:
    stage.client("logs").create_log_group(logGroupName="/log/group", tags=HAS)
    return "/log/group"


def a_table(stage: Stage) -> str:
    stage.client("dynamodb").create_table(
        TableName="table",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        Tags=as_list(HAS),
    )
    return "table"


def a_classic_balancer(stage: Stage) -> str:
    stage.client("elb").create_load_balancer(
        LoadBalancerName="classic",
        Listeners=[{"Protocol": "http", "LoadBalancerPort": 80, "InstancePort": 80}],
        AvailabilityZones=[ZONE],
        Tags=as_list(HAS),
    )
    return "classic"


def a_balancer(stage: Stage) -> str:
    subnets = [each["SubnetId"] for each in stage.client("ec2").describe_subnets()["Subnets"][:2]]
    made = stage.client("elbv2").create_load_balancer(Name="newer", Subnets=subnets, Tags=as_list(HAS))
    return str(made["LoadBalancers"][0]["LoadBalancerArn"])


def a_group(stage: Stage) -> str:
    client = stage.client("autoscaling")
    client.create_launch_configuration(LaunchConfigurationName="lc", ImageId="ami-12345678", InstanceType="t3.small")
    client.create_auto_scaling_group(
        AutoScalingGroupName="group",
        LaunchConfigurationName="lc",
        MinSize=0,
        MaxSize=1,
        AvailabilityZones=[ZONE],
        Tags=[{"Key": key, "Value": value, "PropagateAtLaunch": key == "Owner"} for key, value in HAS.items()],
    )
    return "group"


MAKERS: dict[str, Callable[[Stage], str]] = {
    "aws.ec2": an_instance,
    "aws.ebs": a_volume,
    "aws.network-addr": an_address,
    "aws.nat-gateway": a_gateway,
    "aws.ebs-snapshot": a_snapshot,
    "aws.ami": an_image,
    "aws.rds": a_database,
    "aws.lambda": a_function,
    "aws.s3": a_bucket,
    "aws.log-group": a_log_group,
    "aws.dynamodb-table": a_table,
    "aws.elb": a_classic_balancer,
    "aws.app-elb": a_balancer,
    "aws.asg": a_group,
}
RECIPE = {action["type"]: tags.RECIPES["*", str(action["type"])] for action in (ADDED, REMOVED, MARKED)}


@pytest.mark.parametrize("action", [ADDED, REMOVED, MARKED], ids=lambda action: str(action["type"]))
@pytest.mark.parametrize("resource_type", MAKERS)
def test_tags_come_back_as_they_were(stage: Stage, resource_type: str, action: dict[str, Any]) -> None:
    resource_id, recipe = MAKERS[resource_type](stage), RECIPE[action["type"]]
    described = stage.resource(resource_type, resource_id).get("Tags")
    before, subject, seen = check_through(recipe, stage, resource_type, resource_id, action)
    assert tag_services.tagger(resource_type).read(stage.site, subject) != HAS
    assert set(seen.after["tags"]) <= {"Owner", "CostCenter", "due"}
    undo = recipe.undo_of(before, action)
    assert undo.possible is Undoable.YES
    assert undo.permissions
    check_undo(recipe, stage, subject, action, before, {})
    assert tag_services.tagger(resource_type).read(stage.site, subject) == dict(sorted(HAS.items()))
    again = stage.resource(resource_type, resource_id).get("Tags")
    assert sorted(again or [], key=lambda each: str(each["Key"])) == sorted(
        described or [], key=lambda each: str(each["Key"])
    )


def test_what_is_withheld_is_never_written_back(stage: Stage) -> None:
    volume, recipe = a_volume(stage), RECIPE["tag"]
    action = {"type": "tag", "tags": {"Owner": "finops", "Name": "new"}}
    before, subject, _ = check_through(recipe, stage, "aws.ebs", volume, action)
    stored = redacted(before, "Owner")
    undo = recipe.undo_of(stored, action)
    assert undo.possible is Undoable.PARTLY
    assert undo.lost == ("the values of the tags Owner: the profile withholds them, so the plan has none",)
    check_undo(recipe, stage, subject, action, stored, {})
    assert tags_of(stage.resource("aws.ebs", volume)) == {"Keep": "yes", "Name": "it", "Owner": "finops"}
    assert "Owner stay as they are" in recipe.undone(stage.site, subject, action, stored, {}).says
    nothing = {"tags": {"Owner": WITHHELD}, "absent": [], "_type": "aws.ebs"}
    assert recipe.undo_of(nothing, action).possible is Undoable.NO


def test_other_tags_do_not_matter(stage: Stage) -> None:
    volume, recipe = a_volume(stage), RECIPE["tag"]
    before, subject, _ = check_through(recipe, stage, "aws.ebs", volume, ADDED)
    stage.client("ec2").create_tags(Resources=[volume], Tags=[{"Key": "Keep", "Value": "no"}])
    check_undo(recipe, stage, subject, ADDED, before, {})
    assert tags_of(stage.resource("aws.ebs", volume)) == {**HAS, "Keep": "no"}
    assert before["tags"] == {"Owner": "payments"}
    assert before["absent"] == ["CostCenter"]


def test_success_without_effect_is_seen(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    volume, recipe = a_volume(stage), RECIPE["tag"]
    subject, resource = stage.subject("aws.ebs", volume), stage.resource("aws.ebs", volume)
    before = recipe.before(stage.site, subject, resource, ADDED)
    monkeypatch.setattr(EC2Backend, "create_tags", lambda *_args: True)
    monkeypatch.setattr(EC2Backend, "delete_tags", lambda *_args: True)
    for action, says in [
        (ADDED, "Owner and CostCenter is not what it should be"),
        (REMOVED, "it still has Owner"),
        (MARKED, "due is no mark for tag"),
    ]:
        stage.act("aws.ebs", resource, action)
        seen = RECIPE[action["type"]].seen(stage.site, subject, action, before)
        assert (seen.state, seen.says) == (State.NOT_REACHED, says)


@pytest.mark.parametrize("resource_type", ["aws.lambda", "aws.s3", "aws.dynamodb-table", "aws.elb"])
def test_what_is_gone_is_an_answer(stage: Stage, resource_type: str) -> None:
    MAKERS[resource_type](stage)
    [found] = stage.found(resource_type)
    gone = Subject(resource_type, "other", f"{found.arn.removesuffix(found.id)}other", "item")
    assert tag_services.tagger(resource_type).read(stage.site, gone) is None
    for action in (ADDED, REMOVED, MARKED):
        recipe = RECIPE[action["type"]]
        before = {"tags": {}, "absent": [], "_type": resource_type}
        assert recipe.seen(stage.site, gone, action, before).state is State.NOT_REACHED
        assert recipe.undone(stage.site, gone, action, before, {}).says == "it does not exist any more"


def test_a_value_that_c7n_works_out_is_only_believed_when_it_changed(stage: Stage) -> None:
    volume, recipe = a_volume(stage), RECIPE["tag"]
    subject, resource = stage.subject("aws.ebs", volume), stage.resource("aws.ebs", volume)
    looked_up = {"type": "resource", "key": "Tags[?Key=='Name'].Value | [0]"}
    action = {"type": "tag", "tags": {"Owner": looked_up, "Missing": {"type": "resource", "default-value": "x"}}}
    before = recipe.before(stage.site, subject, resource, action)
    assert recipe.seen(stage.site, subject, action, before).state is State.NOT_REACHED
    stage.act("aws.ebs", resource, action)
    assert recipe.seen(stage.site, subject, action, before).state is State.REACHED
    assert tags_of(stage.resource("aws.ebs", volume))["Owner"] == "it"
    unclear = recipe.seen(stage.site, subject, action, {**before, "tags": {"Owner": "it"}})
    assert unclear.state is State.UNKNOWN
    assert recipe.seen(stage.site, subject, action, redacted(before, "Owner")).state is State.UNKNOWN


def test_values_with_variables_are_known_by_what_stays(stage: Stage) -> None:
    volume, recipe = a_volume(stage), RECIPE["tag"]
    action = {"type": "tag", "key": "Seen", "value": "{account_id} (at {now:%Y}) {region}"}
    plain = {**action, "value": "{account_id} (at) {region}"}
    subject, resource = stage.subject("aws.ebs", volume), stage.resource("aws.ebs", volume)
    before = recipe.before(stage.site, subject, resource, plain)
    stage.act("aws.ebs", resource, plain)
    assert recipe.seen(stage.site, subject, plain, before).state is State.REACHED
    other = {**plain, "value": "{account_id} [at] {region}"}
    assert recipe.seen(stage.site, subject, other, before).state is State.NOT_REACHED
    stage.act("aws.ebs", resource, action)
    assert recipe.seen(stage.site, subject, action, before).state is State.REACHED


def test_a_mark_for_the_same_action_is_not_put_off(stage: Stage) -> None:
    volume, recipe = a_volume(stage), RECIPE["mark-for-op"]
    before, subject, _ = check_through(recipe, stage, "aws.ebs", volume, MARKED)
    del before
    later = recipe.before(stage.site, subject, stage.resource("aws.ebs", volume), MARKED)
    assert recipe.seen(stage.site, subject, MARKED, later).state is State.REACHED
    other = {**MARKED, "op": "delete"}
    assert recipe.seen(stage.site, subject, other, later).state is State.NOT_REACHED


def test_the_tagging_api_serves_the_others_and_what_it_could_not_do_is_an_error(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moto.resourcegroupstaggingapi.models import ResourceGroupsTaggingAPIBackend

    a_database(stage)
    arn = stage.found("aws.rds")[0].arn
    tagger, subject = tag_services.tagger("aws.something"), Subject("aws.something", "x", arn, "item")
    tagger.write(stage.site, subject, {"a": "b"})
    tagger.remove(stage.site, subject, ["Owner"])
    assert tag_services.tagger("aws.rds").read(stage.site, subject) == {"Keep": "yes", "Name": "it", "a": "b"}
    assert tagger.read(stage.site, subject) == {"Keep": "yes", "Name": "it", "a": "b"}
    assert tagger.read(stage.site, Subject("aws.something", "x", f"{arn}-other", "item")) == {}
    failed = {arn: {"StatusCode": 400, "ErrorCode": "InvalidParameterException", "ErrorMessage": "no"}}
    monkeypatch.setattr(ResourceGroupsTaggingAPIBackend, "tag_resources", lambda *_args, **_params: failed)
    with pytest.raises(FinopsPolicyError, match="InvalidParameterException: no"):
        tagger.write(stage.site, subject, {"a": "b"})


def test_a_bucket_without_tags_and_one_that_loses_its_last(stage: Stage) -> None:
    stage.client("s3").create_bucket(Bucket="bare")
    subject = stage.subject("aws.s3", "bare")
    action = {"type": "tag", "key": "Owner", "value": "finops"}
    recipe = RECIPE["tag"]
    before, subject, _ = check_through(recipe, stage, "aws.s3", "bare", action)
    check_undo(recipe, stage, subject, action, before, {})
    assert tag_services.tagger("aws.s3").read(stage.site, subject) == {}
