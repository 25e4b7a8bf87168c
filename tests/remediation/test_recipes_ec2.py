"""Instances: stopped, resized, backed up, terminated, and brought back."""

from __future__ import annotations

from typing import Any

import pytest
from moto.ec2.models import EC2Backend, ec2_backends
from moto.ec2.models.amis import Ami
from moto.ec2.models.instances import Instance, InstanceState

from finops_policy.errors import FinopsPolicyError
from finops_policy.remediation.recipes import common, copy_before, ec2, ec2_image, ec2_terminate, ec2_values
from finops_policy.remediation.recipes.recipe import State, Subject, Undoable
from tests.remediation.recipe_kit import (
    ACCOUNT,
    REGION,
    Stage,
    as_stored,
    check_through,
    check_undo,
    compared,
    redacted,
)

INSTANCE = "aws.ec2"
STOP = {"type": "stop"}
BACKUP = {"type": "backup-image"}
TERMINATE = {"type": "terminate"}
TAGS = {"Name": "web", "Owner": "payments"}


@pytest.fixture
def instance(stage: Stage) -> str:
    """A running instance with an elastic address, a role and other than default settings."""
    return launch(stage)


def launch(stage: Stage, **params: Any) -> str:
    client, iam = stage.client("ec2"), stage.client("iam")
    if not iam.list_instance_profiles()["InstanceProfiles"]:
        iam.create_instance_profile(InstanceProfileName="web")
    subnet = client.describe_subnets()["Subnets"][0]
    group = client.create_security_group(GroupName=f"web-{len(params)}", Description="web", VpcId=subnet["VpcId"])
    image = client.register_image(Name="base", RootDeviceName="/dev/sda1")["ImageId"]
    mapping = {"VolumeSize": 12, "VolumeType": "gp2", "DeleteOnTermination": True}
    settings: dict[str, Any] = {
        "ImageId": image,
        "InstanceType": "t3.large",
        "KeyName": "key",
        "IamInstanceProfile": {"Name": "web"},
        "Monitoring": {"Enabled": True},
        "EbsOptimized": True,
        "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 2},
        "InstanceInitiatedShutdownBehavior": "terminate",
        "SubnetId": subnet["SubnetId"],
        "SecurityGroupIds": [group["GroupId"]],
        "BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "Ebs": mapping}],
        "TagSpecifications": common.tag_specifications("instance", TAGS),
    }
    made = client.run_instances(MinCount=1, MaxCount=1, **{**settings, **params})["Instances"][0]["InstanceId"]
    return str(made)


def state(stage: Stage, instance_id: str) -> str:
    return ec2.state_of(stage.site, instance_id)


def leave_in(monkeypatch: pytest.MonkeyPatch, method: str, word: str, code: int) -> None:
    """A moto instance that stays on its way, as AWS's do for a while."""

    def change(self: Instance, *_args: Any) -> Any:
        self._state = InstanceState(word, code)
        return self._state

    monkeypatch.setattr(Instance, method, change)


# --- stop -------------------------------------------------------------------------------------------------------------


def test_a_stopped_instance_is_started(stage: Stage, instance: str) -> None:
    recipe = ec2.Stop()
    before, subject, _ = check_through(recipe, stage, INSTANCE, instance, STOP)
    undo = recipe.undo_of(before, STOP)
    assert undo.possible is Undoable.YES
    assert undo.permissions == ("ec2:DescribeInstances", "ec2:StartInstances")
    assert check_undo(recipe, stage, subject, STOP, before, {}) == {}
    again = recipe.before(stage.site, subject, stage.resource(INSTANCE, instance), STOP)
    assert {**again, "public_address": None} == {**before, "public_address": None}


def test_only_an_address_that_is_not_elastic_is_lost(stage: Stage, instance: str) -> None:
    recipe, subject = ec2.Stop(), stage.subject(INSTANCE, instance)
    before = recipe.before(stage.site, subject, stage.resource(INSTANCE, instance), STOP)
    assert any(before["public_address"] in each for each in recipe.undo_of(before, STOP).lost)
    client = stage.client("ec2")
    address = client.allocate_address(Domain="vpc")["AllocationId"]
    client.associate_address(AllocationId=address, InstanceId=instance)
    before = recipe.before(stage.site, subject, stage.resource(INSTANCE, instance), STOP)
    assert before["public_address"] is None
    assert recipe.undo_of(before, STOP).lost == (ec2.IN_MEMORY,)


def test_stopping_and_starting_are_on_their_way(stage: Stage, instance: str, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, subject, resource = ec2.Stop(), stage.subject(INSTANCE, instance), stage.resource(INSTANCE, instance)
    before = recipe.before(stage.site, subject, resource, STOP)
    leave_in(monkeypatch, "stop", "stopping", 64)
    leave_in(monkeypatch, "start", "pending", 0)
    stage.act(INSTANCE, resource, STOP)
    assert recipe.seen(stage.site, subject, STOP, before).state is State.PENDING
    assert recipe.undone(stage.site, subject, STOP, before, {}).state is State.NOT_REACHED
    stage.client("ec2").start_instances(InstanceIds=[instance])
    assert recipe.undone(stage.site, subject, STOP, before, {}).state is State.PENDING


def test_a_start_waits_for_the_stop(stage: Stage, instance: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS refuses to start what is stopping."""
    leave_in(monkeypatch, "stop", "stopping", 64)
    stage.client("ec2").stop_instances(InstanceIds=[instance])
    asked = []

    def wait(_site: Any, word: str, instance_id: str) -> None:
        asked.append((word, instance_id))
        ec2_backends[ACCOUNT][REGION].get_instance(instance)._state = InstanceState("stopped", 80)

    monkeypatch.setattr(ec2, "wait_until", wait)
    recipe, subject = ec2.Stop(), stage.subject(INSTANCE, instance)
    recipe.undo(stage.site, subject, STOP, {"state": "running"}, {})
    assert asked == [("stopped", instance)]
    assert state(stage, instance) == "running"


def test_a_stop_without_effect_and_an_instance_that_is_gone(
    stage: Stage, instance: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, subject, resource = ec2.Stop(), stage.subject(INSTANCE, instance), stage.resource(INSTANCE, instance)
    before = recipe.before(stage.site, subject, resource, STOP)
    monkeypatch.setattr(Instance, "stop", lambda self, *_args: self._state)
    stage.act(INSTANCE, resource, STOP)
    seen = recipe.seen(stage.site, subject, STOP, before)
    assert (seen.state, seen.says) == (State.NOT_REACHED, "it is running")
    stage.client("ec2").terminate_instances(InstanceIds=[instance])
    assert recipe.seen(stage.site, subject, STOP, before).says == "it is terminated"
    gone = Subject(INSTANCE, "i-12345678", "arn", "item")
    assert recipe.seen(stage.site, gone, STOP, before).state is State.NOT_REACHED
    ephemeral = {"type": "stop", "terminate-ephemeral": True}
    assert recipe.seen(stage.site, gone, ephemeral, before).state is State.REACHED


def test_who_minds_a_stop(stage: Stage, instance: str) -> None:
    client, elb, elbv2, asg = (stage.client(each) for each in ("ec2", "elb", "elbv2", "autoscaling"))
    subnet = client.describe_subnets()["Subnets"][0]
    elb.create_load_balancer(
        LoadBalancerName="classic",
        Listeners=[{"Protocol": "http", "LoadBalancerPort": 80, "InstancePort": 80}],
        Subnets=[subnet["SubnetId"]],
    )
    elb.register_instances_with_load_balancer(LoadBalancerName="classic", Instances=[{"InstanceId": instance}])
    group = elbv2.create_target_group(Name="targets", Protocol="HTTP", Port=80, VpcId=subnet["VpcId"])
    arn = group["TargetGroups"][0]["TargetGroupArn"]
    elbv2.register_targets(TargetGroupArn=arn, Targets=[{"Id": instance}])
    asg.create_launch_configuration(LaunchConfigurationName="lc", ImageId="ami-12345678", InstanceType="t3.small")
    asg.create_auto_scaling_group(
        AutoScalingGroupName="group",
        LaunchConfigurationName="lc",
        MinSize=0,
        MaxSize=2,
        VPCZoneIdentifier=subnet["SubnetId"],
    )
    asg.attach_instances(AutoScalingGroupName="group", InstanceIds=[instance])
    subject, resource = stage.subject(INSTANCE, instance), stage.resource(INSTANCE, instance)
    found = ec2.Stop().dependants(stage.site, subject, resource)
    assert [(each.kind, each.id) for each in found.found] == [
        ("auto-scaling-group", "group"),
        ("target-group", arn),
        ("load-balancer", "classic"),
    ]
    assert found.unknown == ()
    before = stage.calls.by_operation["elastic-load-balancing-v2:DescribeTargetGroups"]
    ec2.Resize().dependants(stage.site, subject, resource)
    assert stage.calls.by_operation["elastic-load-balancing-v2:DescribeTargetGroups"] == before


def test_balancers_that_cannot_be_asked_are_unknown(
    stage: Stage, instance: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moto.elbv2.models import ELBv2Backend

    def broken(*_args: Any, **_params: Any) -> Any:
        raise PermissionError

    monkeypatch.setattr(ELBv2Backend, "describe_target_groups", broken)
    subject, resource = stage.subject(INSTANCE, instance), stage.resource(INSTANCE, instance)
    for _ in range(2):
        found = ec2.Stop().dependants(stage.site, subject, resource)
        [unknown] = found.unknown
        assert unknown.startswith("target groups are unknown: ")


# --- resize -----------------------------------------------------------------------------------------------------------

RESIZE = {"type": "resize", "restart": True, "type-map": {"t3.large": "t3.medium"}}


@pytest.mark.parametrize("running", [True, False])
def test_a_resized_instance_gets_its_type_and_state_back(stage: Stage, instance: str, running: bool) -> None:
    if not running:
        stage.client("ec2").stop_instances(InstanceIds=[instance])
    recipe = ec2.Resize()
    before, subject, seen = check_through(recipe, stage, INSTANCE, instance, RESIZE)
    assert seen.after["type"] == "t3.medium"
    check_undo(recipe, stage, subject, RESIZE, before, {})
    assert recipe.before(stage.site, subject, stage.resource(INSTANCE, instance), RESIZE) == before


def test_a_resize_that_stopped_half_way_is_not_reached_and_can_be_undone(stage: Stage, instance: str) -> None:
    recipe, subject = ec2.Resize(), stage.subject(INSTANCE, instance)
    before = recipe.before(stage.site, subject, stage.resource(INSTANCE, instance), RESIZE)
    client = stage.client("ec2")
    client.stop_instances(InstanceIds=[instance])
    client.modify_instance_attribute(InstanceId=instance, InstanceType={"Value": "t3.medium"})
    seen = recipe.seen(stage.site, subject, RESIZE, before)
    assert (seen.state, seen.says) == (
        State.NOT_REACHED,
        "it is a t3.medium, stopped, not a t3.medium, running",
    )
    client.modify_instance_attribute(InstanceId=instance, InstanceType={"Value": "t3.large"})
    assert recipe.undone(stage.site, subject, RESIZE, before, {}).state is State.NOT_REACHED
    check_undo(recipe, stage, subject, RESIZE, before, {})
    assert state(stage, instance) == "running"


def test_a_resize_without_another_type_is_not_reached(stage: Stage, instance: str) -> None:
    recipe, subject, resource = ec2.Resize(), stage.subject(INSTANCE, instance), stage.resource(INSTANCE, instance)
    action = {"type": "resize", "type-map": {"m5.large": "m5.medium"}}
    before = recipe.before(stage.site, subject, resource, action)
    stage.act(INSTANCE, resource, action)
    seen = recipe.seen(stage.site, subject, action, before)
    assert (seen.state, seen.says) == (State.NOT_REACHED, "the action names no other type for t3.large")
    recommended = {ec2.RECOMMENDED: {"actionType": "Rightsize", "recommendedResourceSummary": "t3.nano"}}
    assert recipe.before(stage.site, subject, resource | recommended, action)["wanted"] == "t3.nano"


# --- snapshot ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("exclude", "count"), [(False, 2), (True, 1)])
def test_snapshots_of_every_volume(stage: Stage, exclude: bool, count: int) -> None:
    instance = launch(stage)
    client = stage.client("ec2")
    volume = client.create_volume(Size=5, AvailabilityZone="us-east-1a")["VolumeId"]
    client.attach_volume(VolumeId=volume, InstanceId=instance, Device="/dev/sdf")
    client.create_snapshots(InstanceSpecification={"InstanceId": instance}, Description="earlier")
    action = {"type": "snapshot", "exclude-boot": exclude}
    recipe = ec2.Snapshot()
    before, subject, seen = check_through(recipe, stage, INSTANCE, instance, action)
    assert len(before["volumes"]) == len(seen.made["snapshots"]) == count
    assert not set(seen.made["snapshots"]) & set(before["_snapshots"])
    client.delete_snapshot(SnapshotId=seen.made["snapshots"][0])
    after = recipe.seen(stage.site, subject, action, before)
    assert after.state is (State.NOT_REACHED if exclude else State.PENDING)


# --- image and terminate ----------------------------------------------------------------------------------------------


def back_up(stage: Stage, instance: str, item_id: str = "item-1") -> tuple[Subject, dict[str, Any], dict[str, Any]]:
    recipe, subject = ec2_image.BackupImage(), stage.subject(INSTANCE, instance, item_id)
    before = as_stored(recipe.before(stage.site, subject, stage.resource(INSTANCE, instance), BACKUP))
    assert recipe.seen(stage.site, subject, BACKUP, before).state is State.NOT_REACHED
    made = as_stored(recipe.perform(stage.site, subject, BACKUP, before))
    assert recipe.perform(stage.site, subject, BACKUP, before)["image"] == made["image"]
    seen = recipe.seen(stage.site, subject, BACKUP, before)
    assert seen.state is State.REACHED
    assert seen.made["image"] == made["image"]
    assert len(seen.made["snapshots"]) == 1
    return subject, before, as_stored(seen.made)


def test_an_image_is_made_once_and_marked(stage: Stage, instance: str) -> None:
    _, before, made = back_up(stage, instance, "ec2-stopped/1é")
    [image] = stage.client("ec2").describe_images(ImageIds=[made["image"]])["Images"]
    assert image["Name"] == before["_name"] == "finops-policy-ec2-stopped/1-"
    assert common.tags_of(image) == {**TAGS, common.ITEM_TAG: "ec2-stopped/1é"}
    recipe = ec2_image.BackupImage()
    subject = stage.subject(INSTANCE, instance, "ec2-stopped/1é")
    later = recipe.before(stage.site, subject, stage.resource(INSTANCE, instance), BACKUP)
    assert later["_name"] == "finops-policy-ec2-stopped/1--2"
    assert compared(later) == compared(before)
    assert recipe.seen(stage.site, subject, BACKUP, later).state is State.NOT_REACHED
    assert recipe.undone(stage.site, subject, BACKUP, before, made).state is State.REACHED
    assert recipe.undo(stage.site, subject, BACKUP, before, made) == {}


@pytest.mark.parametrize(
    ("word", "found"), [("pending", State.PENDING), ("failed", State.NOT_REACHED), ("available", State.REACHED)]
)
def test_an_image_counts_when_it_is_available(
    stage: Stage, instance: str, monkeypatch: pytest.MonkeyPatch, word: str, found: State
) -> None:
    subject, before, made = back_up(stage, instance)
    ec2_backends[ACCOUNT][REGION].amis[made["image"]].state = word
    assert ec2_image.BackupImage().seen(stage.site, subject, BACKUP, before).state is found


def test_an_image_that_lacks_a_volume_is_no_backup(stage: Stage, instance: str) -> None:
    subject, before, _ = back_up(stage, instance)
    two = {**before, "volumes": [*before["volumes"], "vol-2"]}
    seen = ec2_image.BackupImage().seen(stage.site, subject, BACKUP, two)
    assert seen.state is State.UNKNOWN
    assert "holds 1 of 2 volumes" in seen.says


def free_addresses(stage: Stage) -> None:
    """AWS deletes the interface of an instance with it; moto keeps it."""
    client = stage.client("ec2")
    for each in client.describe_network_interfaces()["NetworkInterfaces"]:
        client.delete_network_interface(NetworkInterfaceId=each["NetworkInterfaceId"])
        ec2_backends[ACCOUNT][REGION].get_subnet(each["SubnetId"]).del_subnet_ip(each["PrivateIpAddress"])


@pytest.mark.parametrize("running", [True, False])
def test_a_terminated_instance_comes_back_as_it_was(stage: Stage, instance: str, running: bool) -> None:
    client = stage.client("ec2")
    address = client.allocate_address(Domain="vpc")["AllocationId"]
    client.associate_address(AllocationId=address, InstanceId=instance)
    client.modify_instance_attribute(InstanceId=instance, SourceDestCheck={"Value": False})
    if not running:
        client.stop_instances(InstanceIds=[instance])
    client.modify_instance_attribute(InstanceId=instance, DisableApiStop={"Value": True})
    _, _, made = back_up(stage, instance)
    recipe = ec2_terminate.Terminate()
    before, subject, _ = check_through(recipe, stage, INSTANCE, instance, TERMINATE)
    assert before["metadata"]["HttpTokens"] == "required"
    assert before["shutdown_behavior"] == "terminate"
    assert before["source_dest_check"] is False
    assert before["elastic"][0]["allocation"] == address
    undo = recipe.undo_of(before, TERMINATE)
    assert undo.possible is Undoable.PARTLY
    assert {"iam:PassRole", "ec2:RunInstances"} <= set(undo.permissions)
    assert ("ec2:StopInstances" in undo.permissions) is not running
    free_addresses(stage)
    [new] = check_undo(recipe, stage, subject, TERMINATE, before, made)["instances"]
    assert new != instance
    alive = [each for each in stage.found(INSTANCE) if each.resource["State"]["Name"] != "terminated"]
    assert [each.id for each in alive] == [new]
    now = as_stored(ec2_values.values(stage.site, alive[0].resource))
    assert alive[0].resource["ImageId"] == made["image"]
    assert now["tags"].pop(common.ITEM_TAG) == subject.item_id
    for values in (now, before):
        for volume in values["volumes"]:
            del volume["id"]
    assert now == before


def test_an_attempt_that_broke_off_is_completed(stage: Stage, instance: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, made = back_up(stage, instance)
    recipe = ec2_terminate.Terminate()
    before, subject, _ = check_through(recipe, stage, INSTANCE, instance, TERMINATE)
    real = recipe._complete
    monkeypatch.setattr(recipe, "_complete", lambda *_args: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        recipe.undo(stage.site, subject, TERMINATE, before, made)
    monkeypatch.setattr(recipe, "_complete", real)
    before["termination_protection"] = True
    undone = recipe.undone(stage.site, subject, TERMINATE, before, made)
    assert undone.state is State.NOT_REACHED
    assert undone.says.endswith("differs in termination_protection")
    [new] = recipe.undo(stage.site, subject, TERMINATE, before, made)["instances"]
    assert undone.made == {"instances": [new]}
    assert recipe.undone(stage.site, subject, TERMINATE, before, made).state is State.REACHED
    running = [{"Name": "instance-state-name", "Values": ["running"]}]
    assert len(stage.client("ec2").describe_instances(Filters=running)["Reservations"]) == 1


def test_a_private_address_that_is_taken_is_told(stage: Stage, instance: str) -> None:
    """By the old interface, which moto keeps."""
    _, _, made = back_up(stage, instance)
    recipe = ec2_terminate.Terminate()
    before, subject, _ = check_through(recipe, stage, INSTANCE, instance, TERMINATE)
    check_undo(recipe, stage, subject, TERMINATE, before, made)
    undone = recipe.undone(stage.site, subject, TERMINATE, before, made)
    assert f"{before['private_address']} was taken" in undone.says


def test_what_the_plan_withholds_is_taken_from_the_image(stage: Stage, instance: str) -> None:
    subject, _, made = back_up(stage, instance)
    recipe = ec2_terminate.Terminate()
    before, _, _ = check_through(recipe, stage, INSTANCE, instance, TERMINATE)
    stored = redacted(before, "Owner")
    assert "the values of the tags Owner, unless the image carries them" in recipe.undo_of(stored, TERMINATE).lost
    [new] = check_undo(recipe, stage, subject, TERMINATE, stored, made)["instances"]
    wanted = {**TAGS, common.ITEM_TAG: subject.item_id}
    assert common.tags_of(ec2.instance_of(stage.site, new) or {}) == wanted


def test_without_an_image_nothing_brings_it_back(stage: Stage, instance: str) -> None:
    recipe = ec2_terminate.Terminate()
    before, subject, _ = check_through(recipe, stage, INSTANCE, instance, TERMINATE)
    for made, why in [({}, "no step before its end"), ({"image": "ami-00000000"}, "does not exist any more")]:
        with pytest.raises(FinopsPolicyError, match=why):
            recipe.undo(stage.site, subject, TERMINATE, before, made)
    assert copy_before(INSTANCE, TERMINATE) == "backup-image"
    assert recipe.undone(stage.site, subject, TERMINATE, before, {}).state is State.NOT_REACHED


def test_a_termination_on_its_way_without_effect_and_protected(
    stage: Stage, instance: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, subject, resource = ec2_terminate.Terminate(), stage.subject(INSTANCE, instance), None
    resource = stage.resource(INSTANCE, instance)
    before = recipe.before(stage.site, subject, resource, TERMINATE)
    monkeypatch.setattr(EC2Backend, "terminate_instances", lambda *_args: [])
    stage.act(INSTANCE, resource, TERMINATE)
    assert recipe.seen(stage.site, subject, TERMINATE, before).says == "it is running"
    ec2_backends[ACCOUNT][REGION].get_instance(instance)._state = InstanceState("shutting-down", 32)
    assert recipe.seen(stage.site, subject, TERMINATE, before).state is State.PENDING
    gone = Subject(INSTANCE, "i-12345678", "arn", "item")
    assert recipe.seen(stage.site, gone, TERMINATE, before).state is State.REACHED


def test_who_minds_a_termination(stage: Stage, instance: str) -> None:
    client = stage.client("ec2")
    address = client.allocate_address(Domain="vpc")
    client.associate_address(AllocationId=address["AllocationId"], InstanceId=instance)
    volume = client.create_volume(Size=5, AvailabilityZone="us-east-1a")["VolumeId"]
    client.attach_volume(VolumeId=volume, InstanceId=instance, Device="/dev/sdf")
    subject, resource = stage.subject(INSTANCE, instance), stage.resource(INSTANCE, instance)
    recipe = ec2_terminate.Terminate()
    found = recipe.dependants(stage.site, subject, resource)
    assert [(each.kind, each.id) for each in found.found] == [("address", address["PublicIp"]), ("volume", volume)]
    lost = recipe.undo_of(recipe.before(stage.site, subject, resource, TERMINATE), TERMINATE).lost
    assert any(f"the attachment of {volume}" in each for each in lost)


def test_a_launch_refuses_nothing_that_ec2_refuses_as_none(stage: Stage, instance: str) -> None:
    """Botocore checks the types of what a launch sends; data volumes keep their snapshot, the root has the image's."""
    values = ec2_values.values(stage.site, stage.resource(INSTANCE, instance))
    data = {"device": "/dev/sdf", "id": "vol-2", "size": 9, "type": "gp3", "iops": 3000, "throughput": 125}
    values["volumes"].append({**data, "delete_on_termination": False})
    values |= {"placement_group": "pg", "partition": 2, "host": "h-1", "tenancy": "host", "hibernation": True}
    mappings = [
        {"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": "snap-1"}},
        {"DeviceName": "/dev/sdf", "Ebs": {"SnapshotId": "snap-2"}},
        {"DeviceName": "/dev/sdz", "Ebs": {"SnapshotId": "snap-3"}},
    ]
    image = {"ImageId": "ami-1", "RootDeviceName": "/dev/sda1", "BlockDeviceMappings": mappings}
    params = ec2_values.launch(values, image, "10.0.0.9")
    root, second = params["BlockDeviceMappings"]
    assert "SnapshotId" not in root["Ebs"]
    assert second["Ebs"] == {
        "SnapshotId": "snap-2",
        "VolumeSize": 9,
        "VolumeType": "gp3",
        "Iops": 3000,
        "Throughput": 125,
        "DeleteOnTermination": False,
    }
    assert params["Placement"] == {"Tenancy": "host", "GroupName": "pg", "PartitionNumber": 2, "HostId": "h-1"}
    assert params["NetworkInterfaces"][0]["PrivateIpAddress"] == "10.0.0.9"
    operation = stage.client("ec2").meta.service_model.operation_model("RunInstances")
    from botocore.validate import ParamValidator

    assert not ParamValidator().validate(params, operation.input_shape).has_errors()


def test_the_image_made_of_an_instance_depends_on_its_volumes(stage: Stage, instance: str) -> None:
    from finops_policy.remediation.recipes import ebs

    _, _, made = back_up(stage, instance)
    image: Ami = ec2_backends[ACCOUNT][REGION].amis[made["image"]]
    volume = Subject("aws.ebs", image.ebs_snapshot.volume_id, "arn", "item")
    found = ebs.Delete().dependants(stage.site, volume, {"VolumeId": volume.resource_id})
    assert [(each.kind, each.id) for each in found.found] == [("image", made["image"])]
