"""Auto Scaling groups: suspended with their instances stopped, or made smaller.

c7n's own ``resume`` sleeps half a minute between instances and processes, so that health checks find them running; the
undo here waits until they run instead, and then resumes what was not suspended before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from finops_policy.remediation.recipes import common, ec2
from finops_policy.remediation.recipes.common import differences, one, tags_of
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
from finops_policy.remediation.recipes.tag_services import GROUP

Values = Mapping[str, Any]

PROCESSES = frozenset(
    {
        "AZRebalance",
        "AddToLoadBalancer",
        "AlarmNotification",
        "HealthCheck",
        "InstanceRefresh",
        "Launch",
        "ReplaceUnhealthy",
        "ScheduledActions",
        "Terminate",
    }
)
"""What c7n suspends, but for what an action excludes."""
SIZES = {"min": "MinSize", "max": "MaxSize", "desired": "DesiredCapacity"}


def group_of(site: Site, name: str) -> dict[str, Any] | None:
    client = site.client("autoscaling")
    return one(client, "describe_auto_scaling_groups", "AutoScalingGroups", AutoScalingGroupNames=[name])


def suspended_in(group: Values) -> list[str]:
    return sorted(each["ProcessName"] for each in group.get("SuspendedProcesses") or [])


def members(group: Values) -> list[str]:
    return sorted(each["InstanceId"] for each in group.get("Instances") or [])


def states_of(site: Site, instance_ids: Sequence[str]) -> dict[str, str]:
    """Instance id -> EC2's word for its state; what is gone is left out."""
    if not instance_ids:
        return {}
    wanted = [{"Name": "instance-id", "Values": list(instance_ids)}]
    reservations = common.described(site.client("ec2"), "describe_instances", "Reservations", Filters=wanted)
    found = {each["InstanceId"]: each["State"]["Name"] for answer in reservations for each in answer["Instances"]}
    return {key: state for key, state in sorted(found.items()) if state not in ("shutting-down", "terminated")}


def sizes(group: Values) -> dict[str, int]:
    return {word: int(group[key]) for word, key in SIZES.items()}


class WithGroup:
    def dependants(self, site: Site, subject: Subject, resource: Values) -> Dependants:
        balancers = [*(resource.get("TargetGroupARNs") or []), *(resource.get("LoadBalancerNames") or [])]
        found = [
            Dependant("balancer", each, "it sends requests to the group's instances") for each in sorted(balancers)
        ]
        return Dependants((*found, *common.stack_of(resource)))


class Suspend(WithGroup):
    """The members at the time of the plan are not compared: groups change theirs by themselves."""

    def before(self, site: Site, subject: Subject, resource: Values, action: Values) -> dict[str, Any]:
        states = states_of(site, members(resource))
        return {
            "suspended": suspended_in(resource),
            "_stopped": [each for each, state in states.items() if state in ("stopped", "stopping")],
        }

    def undo_of(self, before: Values, action: Values) -> Undo:
        processes = ", ".join(_suspends(before, action)) or "nothing, as all were suspended already"
        lost = (
            "what the group's instances had in memory and on instance store volumes, and their public addresses",
            "what the group would have done meanwhile: scaling, scheduled actions, replacements",
        )
        how = f"start the group's stopped instances, wait until they run, and resume {processes}"
        permissions = (
            "autoscaling:DescribeAutoScalingGroups",
            "autoscaling:ResumeProcesses",
            "ec2:DescribeInstances",
            "ec2:StartInstances",
        )
        return Undo(Undoable.YES, how, lost, permissions)

    def seen(self, site: Site, subject: Subject, action: Values, before: Values) -> Seen:
        group = group_of(site, subject.resource_id)
        if group is None:
            return Seen(State.NOT_REACHED, "it does not exist any more")
        suspended, states = suspended_in(group), states_of(site, members(group))
        after = {"suspended": suspended, "instances": states}
        if missing := sorted(PROCESSES - set(action.get("exclude") or ()) - set(suspended)):
            return Seen(State.NOT_REACHED, f"not suspended: {', '.join(missing)}", after)
        if running := [each for each, state in states.items() if state in ("running", "pending")]:
            return Seen(State.NOT_REACHED, f"instances still run: {', '.join(running)}", after)
        if any(state == "stopping" for state in states.values()):
            return Seen(State.PENDING, "its instances are stopping", after)
        return Seen(State.REACHED, "", after)

    def undo(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> dict[str, Any]:
        client, ec2_client = site.client("autoscaling"), site.client("ec2")
        group = group_of(site, subject.resource_id) or {}
        states = states_of(site, members(group))
        ours = {each: state for each, state in states.items() if each not in before.get("_stopped", ())}
        for each in [each for each, state in ours.items() if state == "stopping"]:
            ec2.wait_until(site, "stopped", each)
        if stopped := [each for each, state in ours.items() if state in ("stopped", "stopping")]:
            ec2_client.start_instances(InstanceIds=stopped)
        for each in ours:
            ec2.wait_until(site, "running", each)
        wanted = [each for each in _suspends(before, action) if each in suspended_in(group)]
        if wanted:  # AWS takes an empty list for all of them
            client.resume_processes(AutoScalingGroupName=subject.resource_id, ScalingProcesses=wanted)
        return {}

    def undone(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> Seen:
        group = group_of(site, subject.resource_id)
        if group is None:
            return Seen(State.NOT_REACHED, "it does not exist any more")
        suspended, states = suspended_in(group), states_of(site, members(group))
        after = {"suspended": suspended, "instances": states}
        if left := [each for each in _suspends(before, action) if each in suspended]:
            return Seen(State.NOT_REACHED, f"still suspended: {', '.join(left)}", after)
        ours = {each: state for each, state in states.items() if each not in before.get("_stopped", ())}
        if stopped := [each for each, state in ours.items() if state in ("stopped", "stopping")]:
            return Seen(State.NOT_REACHED, f"instances do not run: {', '.join(stopped)}", after)
        if "pending" in ours.values():
            return Seen(State.PENDING, "its instances are starting", after)
        return Seen(State.REACHED, "", after)


def _suspends(before: Values, action: Values) -> list[str]:
    """The processes that the action suspends and that were not suspended before."""
    return sorted(PROCESSES - set(action.get("exclude") or ()) - set(before["suspended"]))


class Resize(WithGroup):
    """``wanted`` are the sizes that c7n asks for; of its tag ``save-options-tag`` the old value is kept."""

    def before(self, site: Site, subject: Subject, resource: Values, action: Values) -> dict[str, Any]:
        tags, key = tags_of(resource), action.get("save-options-tag")
        saved = [each for each in resource.get("Tags") or [] if each["Key"] == key]
        return {
            **sizes(resource),
            "wanted": _wanted(resource, action),
            "tags": {key: tags[key]} if key in tags else {},
            "propagated": {each["Key"]: bool(each.get("PropagateAtLaunch")) for each in saved},
        }

    def undo_of(self, before: Values, action: Values) -> Undo:
        how = f"set the group's sizes back: {', '.join(f'{key} {before[key]}' for key in SIZES)}"
        permissions = ["autoscaling:DescribeAutoScalingGroups", "autoscaling:UpdateAutoScalingGroup"]
        lost = list(common.lost_tags(before["tags"]))
        if key := action.get("save-options-tag"):
            how += f"; {'write back' if key in before['tags'] else 'remove'} the tag {key}"
            permissions += GROUP.permissions
        if before["wanted"].get("desired", before["desired"]) < before["desired"]:
            lost.append("the instances that the group terminates: it launches new ones in their place")
        possible = Undoable.PARTLY if common.withheld(before["tags"]) else Undoable.YES
        return Undo(possible, how, tuple(lost), tuple(sorted(permissions)))

    def seen(self, site: Site, subject: Subject, action: Values, before: Values) -> Seen:
        if not before["wanted"]:
            return Seen(State.NOT_REACHED, "the action asks for no size")
        return self._reached(site, subject, before["wanted"])

    def undo(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> dict[str, Any]:
        wanted = {SIZES[word]: before[word] for word in SIZES}
        site.client("autoscaling").update_auto_scaling_group(AutoScalingGroupName=subject.resource_id, **wanted)
        key = action.get("save-options-tag")
        if key and key not in before["tags"]:
            GROUP.remove(site, subject, [key])
        elif tags := common.writable(before["tags"]):
            GROUP.write_with(site, subject, tags, before["propagated"])
        return {}

    def undone(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> Seen:
        seen = self._reached(site, subject, {word: before[word] for word in SIZES})
        key = action.get("save-options-tag")
        if seen.state is State.NOT_REACHED or not key:
            return seen
        now = GROUP.read(site, subject) or {}
        if (key in now and key not in before["tags"]) or differences(common.writable(before["tags"]), now):
            return Seen(State.NOT_REACHED, f"the tag {key} is not as it was", seen.after)
        return seen

    def _reached(self, site: Site, subject: Subject, wanted: Values) -> Seen:
        group = group_of(site, subject.resource_id)
        if group is None:
            return Seen(State.NOT_REACHED, "it does not exist any more")
        now, count = sizes(group), len(members(group))
        after = {**now, "instances": count}
        if wrong := differences(wanted, now):
            says = ", ".join(f"{key} is {now[key]}, not {wanted[key]}" for key in wrong)
            return Seen(State.NOT_REACHED, says, after)
        if count > now["desired"]:
            return Seen(State.PENDING, f"{count} instances are left, of {now['desired']} desired", after)
        return Seen(State.REACHED, "", after)


def _wanted(resource: Values, action: Values) -> dict[str, int]:
    """The sizes that c7n's resize asks for, by our words; nothing where it would change nothing."""
    found: dict[str, int] = {}
    if tag := action.get("restore-options-tag"):
        saved = dict(each.split("=", 1) for each in tags_of(resource).get(tag, "").split(";") if "=" in each)
        return {word: int(saved[key]) for word, key in SIZES.items() if key in saved}
    for word in ("min", "max"):
        if f"{word}-size" in action:
            found[word] = action[f"{word}-size"]
    desired = action.get("desired-size", action.get("desired_size"))
    if desired == "current":
        count = len(resource.get("Instances") or [])
        found["desired"] = min(count, resource["DesiredCapacity"])
        found.setdefault("min", min(count, resource["MinSize"]))
    elif isinstance(desired, int):
        found["desired"] = desired
    return found


RECIPES: Mapping[tuple[str, str], Recipe] = {
    ("aws.asg", "suspend"): Suspend(),
    ("aws.asg", "resize"): Resize(),
}
