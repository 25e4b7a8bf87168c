"""Volumes: snapshots that count, deletions taken back, modifications that cannot shrink again."""

from __future__ import annotations

from typing import Any

import pytest
from moto.ec2.models import EC2Backend, ec2_backends

from finops_policy.errors import FinopsPolicyError
from finops_policy.redaction import WITHHELD
from finops_policy.remediation.recipes import common, copy_before, ebs
from finops_policy.remediation.recipes.recipe import State, Undoable
from tests.remediation.recipe_kit import ACCOUNT, REGION, Stage, as_stored, check_through, check_undo, redacted

VOLUME = "aws.ebs"
SNAPSHOT = {"type": "snapshot", "copy-volume-tags": True}
DELETE = {"type": "delete"}
TAGS = {"Name": "data", "Owner": "payments"}


def make(stage: Stage, **params: Any) -> str:
    settings = {"Size": 20, "AvailabilityZone": "us-east-1b", "VolumeType": "gp3", "Iops": 4000, "Throughput": 250}
    settings["TagSpecifications"] = common.tag_specifications("volume", TAGS)
    return str(stage.client("ec2").create_volume(**{**settings, **params})["VolumeId"])


def test_a_snapshot_counts_when_it_is_new_and_complete(stage: Stage) -> None:
    volume = make(stage)
    ec2 = stage.client("ec2")
    old = ec2.create_snapshot(VolumeId=volume, Description="Automated snapshot by c7n - yesterday")["SnapshotId"]
    recipe = ebs.Snapshot()
    before, subject, seen = check_through(recipe, stage, VOLUME, volume, SNAPSHOT)
    assert before["_snapshots"] == [old]
    [new] = seen.made["snapshots"]
    assert new != old
    assert recipe.undo(stage.site, subject, SNAPSHOT, before, seen.made) == {}
    assert recipe.undone(stage.site, subject, SNAPSHOT, before, seen.made).state is State.REACHED
    assert recipe.undo_of(before, SNAPSHOT).possible is Undoable.YES
    of_volume = [{"Name": "volume-id", "Values": [volume]}]
    assert len(ec2.describe_snapshots(OwnerIds=["self"], Filters=of_volume)["Snapshots"]) == 2


@pytest.mark.parametrize(
    ("status", "state", "says"),
    [
        ("pending", State.PENDING, "is pending"),
        ("error", State.NOT_REACHED, "failed: AWS does not say why"),
        ("completed", State.REACHED, ""),
    ],
)
def test_a_snapshot_that_is_not_complete_is_no_backup(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, status: str, state: State, says: str
) -> None:
    volume = make(stage)
    recipe, subject = ebs.Snapshot(), stage.subject(VOLUME, volume)
    resource = stage.resource(VOLUME, volume)
    before = recipe.before(stage.site, subject, resource, SNAPSHOT)
    real = EC2Backend.create_snapshot

    def create(*args: Any, **settings: Any) -> Any:
        made = real(*args, **settings)
        made.status = status
        return made

    monkeypatch.setattr(EC2Backend, "create_snapshot", create)
    stage.act(VOLUME, resource, SNAPSHOT)
    seen = recipe.seen(stage.site, subject, SNAPSHOT, before)
    assert seen.state is state
    assert says in seen.says


def test_a_snapshot_of_somebody_else_is_not_ours(stage: Stage) -> None:
    volume = make(stage)
    recipe, subject = ebs.Snapshot(), stage.subject(VOLUME, volume)
    before = recipe.before(stage.site, subject, stage.resource(VOLUME, volume), SNAPSHOT)
    stage.client("ec2").create_snapshot(VolumeId=volume, Description="nightly")
    assert recipe.seen(stage.site, subject, SNAPSHOT, before).state is State.NOT_REACHED
    own = {**SNAPSHOT, "description": "nightly"}
    assert recipe.seen(stage.site, subject, own, before).state is State.REACHED


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"VolumeType": "io2", "Iops": 500, "Throughput": None},
        {"VolumeType": "gp2", "Iops": None, "Throughput": None, "Size": 33},
        {"Encrypted": True},
    ],
)
def test_a_deleted_volume_comes_back_from_its_snapshot(stage: Stage, params: dict[str, Any]) -> None:
    volume = _volume(stage, {"Iops": 4000, "Throughput": 250} | params)
    _, _, copied = check_through(ebs.Snapshot(), stage, VOLUME, volume, SNAPSHOT)
    recipe = ebs.Delete()
    before, subject, _ = check_through(recipe, stage, VOLUME, volume, DELETE)
    assert before["tags"] == TAGS
    new = check_undo(recipe, stage, subject, DELETE, before, copied.made)
    [again] = stage.found(VOLUME)
    assert [again.id] == new["volumes"] != [volume]
    now = ebs.values(again.resource)
    assert now["tags"].pop(common.ITEM_TAG) == subject.item_id
    assert now == before
    assert again.resource["SnapshotId"] == copied.made["snapshots"][0]


def _volume(stage: Stage, params: dict[str, Any]) -> str:
    settings = {"Size": 20, "AvailabilityZone": "us-east-1b", "VolumeType": "gp3"} | params
    tags = common.tag_specifications("volume", TAGS)
    created = stage.client("ec2").create_volume(**common.without(settings), TagSpecifications=tags)
    return str(created["VolumeId"])


def test_what_the_plan_withholds_is_taken_from_the_snapshot(stage: Stage) -> None:
    volume = make(stage)
    _, _, copied = check_through(ebs.Snapshot(), stage, VOLUME, volume, SNAPSHOT)
    recipe = ebs.Delete()
    before, subject, _ = check_through(recipe, stage, VOLUME, volume, DELETE)
    stored = redacted(before, "Owner")
    assert "the values of the tags Owner, unless the snapshot carries them" in recipe.undo_of(stored, DELETE).lost
    check_undo(recipe, stage, subject, DELETE, stored, copied.made)
    [again] = stage.found(VOLUME)
    assert again.tags == {**TAGS, common.ITEM_TAG: subject.item_id}


def test_a_withheld_value_is_never_written(stage: Stage) -> None:
    volume = make(stage)
    without_tags = {"type": "snapshot", "copy-tags": ["Name"]}
    _, _, copied = check_through(ebs.Snapshot(), stage, VOLUME, volume, without_tags)
    recipe = ebs.Delete()
    before, subject, _ = check_through(recipe, stage, VOLUME, volume, DELETE)
    check_undo(recipe, stage, subject, DELETE, redacted(before, "Owner"), copied.made)
    [again] = stage.found(VOLUME)
    assert again.tags == {"Name": "data", common.ITEM_TAG: subject.item_id}
    assert WITHHELD not in str(again.resource)


def test_a_volume_with_fifty_tags_keeps_its_own(stage: Stage) -> None:
    tags = {f"key-{number:02}": "x" for number in range(50)}
    volume = make(stage, TagSpecifications=common.tag_specifications("volume", tags))
    recipe = ebs.Delete()
    snapshot = stage.client("ec2").create_snapshot(VolumeId=volume)["SnapshotId"]
    before, subject, _ = check_through(recipe, stage, VOLUME, volume, DELETE)
    recipe.undo(stage.site, subject, DELETE, before, {"snapshots": [snapshot]})
    [again] = stage.found(VOLUME)
    assert again.tags == tags


def test_without_a_snapshot_nothing_is_made(stage: Stage) -> None:
    recipe = ebs.Delete()
    before, subject, _ = check_through(recipe, stage, VOLUME, make(stage), DELETE)
    with pytest.raises(FinopsPolicyError, match="no step before its deletion made a snapshot"):
        recipe.undo(stage.site, subject, DELETE, before, {})
    assert stage.found(VOLUME) == []
    assert copy_before(VOLUME, DELETE) == "snapshot"


def test_success_without_effect_is_seen(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = make(stage)
    monkeypatch.setattr(EC2Backend, "delete_volume", lambda *_args: None)
    recipe, subject, resource = ebs.Delete(), stage.subject(VOLUME, volume), stage.resource(VOLUME, volume)
    before = recipe.before(stage.site, subject, resource, DELETE)
    stage.act(VOLUME, resource, DELETE)
    seen = recipe.seen(stage.site, subject, DELETE, before)
    assert (seen.state, seen.says) == (State.NOT_REACHED, "it is still there, available")


def test_tags_that_an_attempt_did_not_get_to_are_written_by_the_next(stage: Stage) -> None:
    volume = make(stage)
    snapshot = stage.client("ec2").create_snapshot(VolumeId=volume)["SnapshotId"]
    recipe = ebs.Delete()
    before, subject, _ = check_through(recipe, stage, VOLUME, volume, DELETE)
    made = {"snapshots": [snapshot]}
    [new] = recipe.undo(stage.site, subject, DELETE, before, made)["volumes"]
    stage.client("ec2").delete_tags(Resources=[new], Tags=[{"Key": "Owner"}])
    undone = recipe.undone(stage.site, subject, DELETE, before, made)
    assert (undone.state, undone.says) == (State.NOT_REACHED, f"{new} lacks tags: Owner")
    assert recipe.undo(stage.site, subject, DELETE, before, made) == {"volumes": [new]}
    assert recipe.undone(stage.site, subject, DELETE, before, made).state is State.REACHED


def test_who_depends_on_a_volume(stage: Stage) -> None:
    ec2 = stage.client("ec2")
    image = ec2.register_image(Name="base", RootDeviceName="/dev/sda1")["ImageId"]
    instance = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    volume = make(stage, AvailabilityZone="us-east-1a")
    ec2.attach_volume(VolumeId=volume, InstanceId=instance, Device="/dev/sdf")
    dependants = ebs.Delete().dependants(stage.site, stage.subject(VOLUME, volume), stage.resource(VOLUME, volume))
    assert [(each.kind, each.id) for each in dependants.found] == [("instance", instance)]
    assert dependants.unknown == ()
    before = ebs.Delete().before(stage.site, stage.subject(VOLUME, volume), stage.resource(VOLUME, volume), DELETE)
    assert before["attachments"] == [{"instance": instance, "device": "/dev/sdf", "delete_on_termination": False}]
    assert f"its attachment to {instance}: attach the new volume by hand" in ebs.Delete().undo_of(before, DELETE).lost


def test_images_that_cannot_be_asked_for_are_unknown(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = make(stage)
    stage.client("ec2").create_snapshot(VolumeId=volume)
    subject, resource = stage.subject(VOLUME, volume), stage.resource(VOLUME, volume)

    def denied(*_args: Any, **_params: Any) -> Any:
        raise PermissionError

    monkeypatch.setattr(EC2Backend, "describe_images", denied)
    [unknown] = ebs.Delete().dependants(stage.site, subject, resource).unknown
    assert unknown.startswith("images made of its snapshots are unknown: ")


# --- modify -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "action", "wanted", "undoable"),
    [
        ({"VolumeType": "io1", "Iops": 800}, {"volume-type": "gp3"}, {"type": "gp3", "size": 20}, Undoable.YES),
        (
            {"VolumeType": "io1", "Iops": 800},
            {"iops-percent": 50},
            {"type": "io1", "size": 20, "iops": 400},
            Undoable.YES,
        ),
        ({"VolumeType": "gp2"}, {"size-percent": 200}, {"type": "gp2", "size": 40}, Undoable.NO),
        (
            {"VolumeType": "gp2"},
            {"volume-type": "gp3", "size-percent": 150},
            {"type": "gp3", "size": 30},
            Undoable.PARTLY,
        ),
    ],
)
def test_a_modified_volume_is_modified_back(
    stage: Stage, params: dict[str, Any], action: dict[str, Any], wanted: dict[str, Any], undoable: Undoable
) -> None:
    volume = _volume(stage, params)
    action = {"type": "modify", **action}
    recipe = ebs.Modify()
    before, subject, seen = check_through(recipe, stage, VOLUME, volume, action, ["modifyable"])
    assert {key: seen.after[key] for key in wanted} == wanted
    undo = recipe.undo_of(before, action)
    assert undo.possible is undoable
    if undoable is Undoable.NO:
        assert undo.lost == ("the size: the volume stays at 40 GiB, as AWS never makes one smaller",)
        return
    assert undo.permissions
    check_undo(recipe, stage, subject, action, before, {})
    now = ebs.performance(stage.resource(VOLUME, volume))
    kept = {"size"} if undoable is Undoable.PARTLY else set()
    assert {key: now[key] for key in now if key not in kept} == {key: before[key] for key in now if key not in kept}
    assert now["size"] == wanted["size"]


def test_a_modification_under_way_is_pending_and_one_that_failed_is_told(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = make(stage)
    action = {"type": "modify", "volume-type": "gp2"}
    recipe, subject = ebs.Modify(), stage.subject(VOLUME, volume)
    before = recipe.before(stage.site, subject, stage.resource(VOLUME, volume), action)

    stage.client("ec2").modify_volume(VolumeId=volume, VolumeType="gp3")
    [change] = ec2_backends[ACCOUNT][REGION].volumes[volume].modifications
    for word, state in [("modifying", State.PENDING), ("optimizing", State.PENDING), ("failed", State.NOT_REACHED)]:
        monkeypatch.setattr(type(change), "modification_state", word)
        seen = recipe.seen(stage.site, subject, action, before)
        assert seen.state is state
        assert ("the last modification failed" in seen.says) is (word == "failed")


def test_a_volume_that_is_gone_is_an_answer(stage: Stage) -> None:
    volume = make(stage)
    subject, resource = stage.subject(VOLUME, volume), stage.resource(VOLUME, volume)
    action = {"type": "modify", "volume-type": "gp2"}
    before = as_stored(ebs.Modify().before(stage.site, subject, resource, action))
    stage.client("ec2").delete_volume(VolumeId=volume)
    assert ebs.Modify().seen(stage.site, subject, action, before).state is State.UNKNOWN
    assert ebs.Delete().seen(stage.site, subject, DELETE, {}).says == "it does not exist any more"
    assert ebs.Snapshot().seen(stage.site, subject, SNAPSHOT, {"_snapshots": []}).state is State.NOT_REACHED


# --- detach -----------------------------------------------------------------------------------------------------------


def test_a_detached_volume_is_attached_again(stage: Stage) -> None:
    client = stage.client("ec2")
    image = client.register_image(Name="base", RootDeviceName="/dev/sda1")["ImageId"]
    instance = client.run_instances(ImageId=image, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    volume = make(stage, AvailabilityZone="us-east-1a")
    action = {"type": "detach"}
    client.attach_volume(VolumeId=volume, InstanceId=instance, Device="/dev/sdf")
    recipe = ebs.Detach()
    before, subject, _ = check_through(recipe, stage, VOLUME, volume, action)
    undo = recipe.undo_of(before, action)
    assert (undo.possible, undo.how) == (Undoable.YES, f"attach the volume to {instance} as /dev/sdf")
    check_undo(recipe, stage, subject, action, before, {})
    assert recipe.before(stage.site, subject, stage.resource(VOLUME, volume), action) == before
    assert recipe.undo_of({"attachments": []}, action).possible is Undoable.NO
    other = {"attachments": [{**before["attachments"][0], "device": "/dev/sdz"}]}
    assert recipe.undone(stage.site, subject, action, other, {}).state is State.NOT_REACHED
