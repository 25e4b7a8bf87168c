"""Auto Scaling groups: suspended and resumed, made smaller and larger again."""

from __future__ import annotations

from typing import Any

import pytest
from moto.autoscaling.models import AutoScalingBackend
from moto.ec2.models.instances import Instance, InstanceState

from finops_policy.remediation.recipes import asg, ec2
from finops_policy.remediation.recipes.common import tags_of
from finops_policy.remediation.recipes.recipe import State, Subject, Undoable
from tests.remediation.recipe_kit import REGION, Stage, check_through, check_undo, redacted

GROUP = "aws.asg"
NAME = "group"


@pytest.fixture
def group(stage: Stage) -> str:
    client = stage.client("autoscaling")
    client.create_launch_configuration(LaunchConfigurationName="lc", ImageId="ami-12345678", InstanceType="t3.small")
    client.create_auto_scaling_group(
        AutoScalingGroupName=NAME,
        LaunchConfigurationName="lc",
        MinSize=1,
        MaxSize=4,
        DesiredCapacity=2,
        AvailabilityZones=[f"{REGION}a"],
        Tags=[{"Key": "Sizes", "Value": "old", "PropagateAtLaunch": True}],
    )
    return NAME


def states(stage: Stage) -> list[str]:
    return sorted(asg.states_of(stage.site, asg.members(stage.resource(GROUP, NAME))).values())


# --- suspend ----------------------------------------------------------------------------------------------------------


def test_a_suspended_group_runs_again_and_what_was_suspended_stays_so(stage: Stage, group: str) -> None:
    client = stage.client("autoscaling")
    client.suspend_processes(AutoScalingGroupName=group, ScalingProcesses=["AZRebalance"])
    action = {"type": "suspend", "exclude": ["AlarmNotification"]}
    recipe = asg.Suspend()
    before, subject, seen = check_through(recipe, stage, GROUP, group, action)
    assert states(stage) == ["stopped", "stopped"]
    assert seen.after["suspended"] == sorted(asg.PROCESSES - {"AlarmNotification"})
    undo = recipe.undo_of(before, action)
    assert undo.possible is Undoable.YES
    assert "AZRebalance" not in undo.how
    check_undo(recipe, stage, subject, action, before, {})
    assert states(stage) == ["running", "running"]
    assert recipe.before(stage.site, subject, stage.resource(GROUP, group), action) == before
    assert before["suspended"] == ["AZRebalance"]


def test_an_instance_that_was_stopped_before_stays_stopped(stage: Stage, group: str) -> None:
    stopped = asg.members(stage.resource(GROUP, group))[0]
    stage.client("ec2").stop_instances(InstanceIds=[stopped])
    action = {"type": "suspend"}
    before, subject, _ = check_through(asg.Suspend(), stage, GROUP, group, action)
    assert before["_stopped"] == [stopped]
    check_undo(asg.Suspend(), stage, subject, action, before, {})
    assert ec2.state_of(stage.site, stopped) == "stopped"
    assert states(stage) == ["running", "stopped"]


def test_instances_that_still_run_or_are_stopping_are_told(
    stage: Stage, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    action = {"type": "suspend"}
    recipe, subject, resource = asg.Suspend(), stage.subject(GROUP, group), stage.resource(GROUP, group)
    before = recipe.before(stage.site, subject, resource, action)
    real = Instance.stop
    monkeypatch.setattr(Instance, "stop", lambda self, *_args: self._state)
    stage.act(GROUP, resource, action)
    seen = recipe.seen(stage.site, subject, action, before)
    assert seen.state is State.NOT_REACHED
    assert seen.says.startswith("instances still run: i-")

    def stopping(self: Instance, *args: Any) -> Any:
        result = real(self, *args)
        self._state = InstanceState("stopping", 64)
        return result

    monkeypatch.setattr(Instance, "stop", stopping)
    stage.act(GROUP, resource, action)
    assert recipe.seen(stage.site, subject, action, before).state is State.PENDING
    waited = []
    monkeypatch.setattr(ec2, "wait_until", lambda _site, word, instance: waited.append((word, instance)))
    recipe.undo(stage.site, subject, action, before, {})
    members = asg.members(resource)
    assert waited == [(word, each) for word in ("stopped", "running") for each in members]
    assert states(stage) == ["running", "running"]


def test_a_suspension_without_effect_and_a_group_that_is_gone(
    stage: Stage, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    action = {"type": "suspend"}
    recipe, subject, resource = asg.Suspend(), stage.subject(GROUP, group), stage.resource(GROUP, group)
    before = recipe.before(stage.site, subject, resource, action)
    monkeypatch.setattr(AutoScalingBackend, "suspend_processes", lambda *_args: None)
    stage.act(GROUP, resource, action)
    assert recipe.seen(stage.site, subject, action, before).says.startswith("not suspended: AZRebalance, ")
    gone = Subject(GROUP, "other", "arn", "item")
    for one in (recipe, asg.Resize()):
        values = {**before, "wanted": {"min": 0}, "min": 0, "max": 0, "desired": 0, "tags": {}}
        assert one.seen(stage.site, gone, action, values).says == "it does not exist any more"
        assert one.undone(stage.site, gone, action, values, {}).state is State.NOT_REACHED


# --- resize -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "wanted"),
    [
        ({"min-size": 0, "max-size": 0, "desired-size": 0}, {"min": 0, "max": 0, "desired": 0}),
        ({"max-size": 9}, {"max": 9}),
        ({"min-size": 0, "desired-size": 1, "save-options-tag": "Sizes"}, {"min": 0, "desired": 1}),
        ({"min-size": 0, "desired_size": 1, "save-options-tag": "New"}, {"min": 0, "desired": 1}),
    ],
)
def test_a_resized_group_gets_its_sizes_and_tags_back(
    stage: Stage, group: str, action: dict[str, Any], wanted: dict[str, int]
) -> None:
    action = {"type": "resize", **action}
    tags = stage.resource(GROUP, group)["Tags"]
    recipe = asg.Resize()
    before, subject, seen = check_through(recipe, stage, GROUP, group, action)
    assert before["wanted"] == wanted
    assert {key: seen.after[key] for key in wanted} == wanted
    key = action.get("save-options-tag")
    if key:
        assert "DesiredCapacity=2" in tags_of(stage.resource(GROUP, group))[key]
        assert "autoscaling:CreateOrUpdateTags" in recipe.undo_of(before, action).permissions
    check_undo(recipe, stage, subject, action, before, {})
    assert stage.resource(GROUP, group)["Tags"] == tags
    assert recipe.before(stage.site, subject, stage.resource(GROUP, group), action) == before


def test_the_number_of_instances_now_and_sizes_from_a_tag(stage: Stage, group: str) -> None:
    resource = stage.resource(GROUP, group)
    recipe, subject = asg.Resize(), stage.subject(GROUP, group)
    current = {"type": "resize", "desired-size": "current"}
    half = {**resource, "Instances": resource["Instances"][:1], "MinSize": 2}
    assert recipe.before(stage.site, subject, half, current)["wanted"] == {"desired": 1, "min": 1}
    restore = {"type": "resize", "restore-options-tag": "Sizes"}
    saved = {**resource, "Tags": [{"Key": "Sizes", "Value": "MinSize=3;DesiredCapacity=4;Other=1"}]}
    assert recipe.before(stage.site, subject, saved, restore)["wanted"] == {"min": 3, "desired": 4}
    nothing = recipe.before(stage.site, subject, {**resource, "Tags": []}, restore)
    assert recipe.seen(stage.site, subject, restore, nothing).says == "the action asks for no size"


def test_a_withheld_tag_is_not_written_back(stage: Stage, group: str) -> None:
    action = {"type": "resize", "min-size": 0, "desired-size": 0, "save-options-tag": "Sizes"}
    recipe = asg.Resize()
    before, subject, _ = check_through(recipe, stage, GROUP, group, action)
    stored = redacted(before, "Sizes")
    undo = recipe.undo_of(stored, action)
    assert undo.possible is Undoable.PARTLY
    assert any("Sizes" in each for each in undo.lost)
    check_undo(recipe, stage, subject, action, stored, {})
    assert "DesiredCapacity=2" in tags_of(stage.resource(GROUP, group))["Sizes"]


def test_a_resize_without_effect_and_instances_that_are_left(
    stage: Stage, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    action = {"type": "resize", "min-size": 0, "desired-size": 0}
    recipe, subject, resource = asg.Resize(), stage.subject(GROUP, group), stage.resource(GROUP, group)
    before = recipe.before(stage.site, subject, resource, action)
    with monkeypatch.context() as patch:
        patch.setattr(AutoScalingBackend, "update_auto_scaling_group", lambda *_args, **_params: None)
        stage.act(GROUP, resource, action)
        seen = recipe.seen(stage.site, subject, action, before)
        assert (seen.state, seen.says) == (State.NOT_REACHED, "desired is 2, not 0, min is 1, not 0")
    monkeypatch.setattr(asg, "members", lambda _group: ["i-1"])
    stage.act(GROUP, resource, action)
    assert recipe.seen(stage.site, subject, action, before).says == "1 instances are left, of 0 desired"


def test_who_minds_a_smaller_group(stage: Stage, group: str) -> None:
    resource = stage.resource(GROUP, group)
    resource |= {"TargetGroupARNs": ["arn:target"], "LoadBalancerNames": ["classic"]}
    resource["Tags"] = [{"Key": "aws:cloudformation:stack-name", "Value": "stack"}]
    found = asg.Suspend().dependants(stage.site, stage.subject(GROUP, group), resource)
    assert [(each.kind, each.id) for each in found.found] == [
        ("balancer", "arn:target"),
        ("balancer", "classic"),
        ("stack", "stack"),
    ]
