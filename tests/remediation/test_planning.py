"""From findings to a plan: what is planned, with what it needs to be undone, and what is held, with its reason."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from finops_policy.model import Posture, Verdict
from finops_policy.remediation.items import item_id
from finops_policy.remediation.plan_file import plan_bytes, read_plan
from finops_policy.remediation.recipes import ebs
from finops_policy.remediation.recipes.recipe import Undoable
from finops_policy.remediation.totals import monthly
from tests.engine.faults import Fault, always
from tests.remediation.engine_kit import (
    ACCOUNT,
    HERE,
    POLICIES,
    House,
    Thing,
    changing,
    day,
    held,
    planned,
    waiver,
)

OTHER = "eu-west-1"


def test_a_plan_says_of_each_resource_what_is_done_why_and_how_it_is_undone(house: House) -> None:
    stop, drop, cap, keep = house.instance(), house.volume(), house.function(), house.logs()
    house.client("ec2").create_tags(Resources=[drop.id], Tags=[{"Key": "Owner", "Value": "web"}])
    plan = house.plan(stop, drop, cap, keep)
    assert planned(plan) == {
        stop.id: ["stop"],
        drop.id: ["snapshot", "delete"],
        cap.id: ["set-concurrency"],
        keep.id: ["retention"],
    }
    by_id = {each.resource_id: each for each in plan.items}
    first, last = by_id[stop.id], by_id[drop.id]
    assert first.arn == f"arn:aws:ec2:us-east-1:{ACCOUNT}:instance/{stop.id}"
    assert first.id == item_id("stop-idle", HERE, stop.id)
    assert [(each.key, each.value, each.matched) for each in first.facts][-1] == ("tag:idle", "yes", True)
    assert first.steps[0].before["state"] == "running"
    assert first.steps[0].undo.possible is Undoable.YES
    assert first.steps[0].permissions == ("ec2:StopInstances",)
    assert "ec2:StartInstances" in first.steps[0].undo.permissions
    assert (first.savings, first.money and first.money.currency) == (Decimal("70.08"), "USD")
    assert (last.owner, last.destructive, first.destructive) == ("web", True, False)
    assert last.steps[1].before["tags"] == {"idle": "yes", "Owner": "web"}
    assert last.steps[1].undo.possible is Undoable.PARTLY
    assert by_id[cap.id].money is None, "a policy that claims no savings"
    assert plan.items[-1] is last, "what cannot be undone completely goes last"
    assert monthly(plan.items).amount == Decimal("70.88")
    assert plan.policies["stop-idle"].population == 100
    assert plan.policies["stop-idle"].posture is Posture.APPROVE
    assert plan.requested_by.email == "dana@house.example"
    folder = house.store.plans_folder("house") / plan.plan_id
    assert read_plan(folder) == plan


def test_planning_changes_nothing(house: House) -> None:
    things = [house.instance(), house.volume(), house.function(), house.logs()]
    run = house.judged(*things)
    house.proxy.clear(lambda _call: None)
    before = [house.state(each) for each in things]
    house.proxy.clear(lambda _call: None)
    calls = house.proxy.calls
    house.plan(run=run)
    assert sum(calls.values()) > 4
    assert not changing(calls)
    assert [house.state(each) for each in things] == before


def test_the_same_findings_make_the_same_items(house: House) -> None:
    things = [house.instance(), house.volume()]
    run = house.judged(*things)
    one, two = house.plan(run=run), house.plan(run=run)
    assert one.items == two.items
    assert one.plan_id != two.plan_id
    assert plan_bytes(one) != plan_bytes(two)


def test_a_finding_is_a_hint_and_every_resource_is_looked_at_again(house: House) -> None:
    mended, gone, stopped = house.instance(), house.volume(), house.instance()
    house.tag(mended, idle="no")
    house.client("ec2").delete_volume(VolumeId=gone.id)
    house.client("ec2").stop_instances(InstanceIds=[stopped.id])
    plan = house.plan(mended, gone, stopped)
    assert not plan.items
    assert held(plan) == {
        mended.id: "it is compliant now",
        gone.id: "it is gone since the run, or the policy is not about it any more",
        stopped.id: "it is gone since the run, or the policy is not about it any more",
    }


def test_a_resource_of_another_region_is_not_taken_for_this_one(house: House) -> None:
    thing = house.instance(OTHER)
    plan = house.plan(Thing(thing.policy, thing.id))
    assert list(held(plan).values()) == ["it is gone since the run, or the policy is not about it any more"]
    assert planned(house.plan(thing)) == {thing.id: ["stop"]}


def test_what_is_waived_or_unknown_in_the_run_is_counted_and_not_planned(house: House) -> None:
    waived, unknown, found = house.instance(), house.instance(), house.instance()
    plan = house.plan(waived, unknown, found, verdicts={waived.id: Verdict.WAIVED, unknown.id: Verdict.UNKNOWN})
    assert (plan.waived, plan.unknown, list(planned(plan))) == (1, 1, [found.id])


def test_what_was_waived_since_the_run_is_held(house: House) -> None:
    one, two = house.instance(), house.instance()
    run = house.judged(one, two)
    house.write(waivers=[waiver("stop-idle", f"arn:aws:ec2:us-east-1:{ACCOUNT}:instance/{one.id}")])
    plan = house.plan(run=run)
    assert held(plan) == {one.id: "waiver W-1 covers it"}
    assert list(planned(plan)) == [two.id]


def test_an_expired_waiver_holds_what_cannot_be_undone_for_review(house: House) -> None:
    one, two = house.volume(), house.instance()
    house.write(
        waivers=[
            waiver("drop-volumes", f"arn:aws:ec2:us-east-1:{ACCOUNT}:volume/{one.id}", expires=day(-1)),
            waiver("stop-idle", f"arn:aws:ec2:us-east-1:{ACCOUNT}:instance/{two.id}", id="W-2", expires=day(-1)),
        ]
    )
    plan = house.plan(one, two)
    assert held(plan) == {one.id: "held for review: waiver W-1 covered it and does not apply any more"}
    assert list(planned(plan)) == [two.id]


def test_what_cannot_be_judged_now_is_held(house: House) -> None:
    measured = dict(POLICIES["stop-idle"])
    measured["violation"] = [
        {"type": "metrics", "name": "CPUUtilization", "statistics": "Maximum", "days": 7, "value": 5, "op": "lt"}
    ]
    house.write(policies={"stop-idle": measured})
    thing = house.instance()
    [reason] = held(house.plan(thing)).values()
    assert reason.startswith("whether it is noncompliant is unknown now")


@pytest.mark.parametrize(
    ("decide", "told"),
    [
        (always(Fault.DENIED, "ec2:DescribeInstances"), "it cannot be looked at again"),
        (always(Fault.RESET, "ec2:DescribeInstances"), "it cannot be looked at again"),
        (always(Fault.DENIED, "ec2:DescribeAddresses"), "what undoing it needs cannot be read"),
        (always(Fault.THROTTLED, "ec2:DescribeAddresses"), "what undoing it needs cannot be read"),
        (always(Fault.BROKEN, "ec2:DescribeAddresses"), "what undoing it needs cannot be read"),
    ],
)
def test_what_cannot_be_read_is_held_and_the_rest_is_planned(house: House, decide: Any, told: str) -> None:
    stop, keep = house.instance(), house.logs()
    run = house.judged(stop, keep)
    house.proxy.clear(decide)
    plan = house.plan(run=run)
    [reason] = held(plan).values()
    assert reason.startswith(told)
    assert list(planned(plan)) == [keep.id]


def test_dependants_are_told_and_those_that_cannot_be_asked_are_unknown(house: House) -> None:
    thing = house.instance()
    run = house.judged(thing)
    house.proxy.clear(always(Fault.DENIED, "elasticloadbalancing:DescribeTargetGroups"))
    [item] = house.plan(run=run).items
    assert item.dependants.unknown
    assert "DescribeTargetGroups" in " ".join(item.dependants.unknown)
    house.proxy.clear(lambda _call: None)
    house.behind_a_balancer(thing)
    [item] = house.plan(run=run).items
    assert not item.dependants.unknown
    assert len(item.dependants.found) == 1


def test_two_policies_on_one_resource_count_once_and_the_larger_savings_win(house: House) -> None:
    also = dict(POLICIES["stop-idle"]) | {"savings": {"method": "on_demand_hours"}}
    unpriced = {key: value for key, value in also.items() if key != "savings"}
    house.write(policies={"a-stop": unpriced, "stop-idle": also})
    thing = house.instance()
    plan = house.plan(thing, Thing("a-stop", thing.id))
    assert [(each.policy, each.savings) for each in plan.items] == [("stop-idle", Decimal("70.08"))]
    assert [(each.policy, each.reason) for each in plan.held] == [
        ("a-stop", "stop-idle acts on it: plan again afterwards")
    ]
    assert monthly(plan.items).amount == Decimal("70.08")


def test_a_price_that_is_missing_is_unknown_and_no_zero(house: House) -> None:
    thing = house.instance(InstanceType="u-6tb1.metal")
    [item] = house.plan(thing).items
    assert item.money is not None
    assert item.savings is None
    assert item.money.reason
    assert str(monthly([item])) == "0.00 USD a month and what 1 more save, which is unknown"
    house.write(remediation={"max": {"monthly_amount": "1000"}})
    plan = house.plan(thing)
    assert "what 1 of 1 resources save is unknown" in held(plan)[thing.id]


def test_what_the_profile_withholds_is_nowhere_in_the_plan(house: House) -> None:
    house.write(redacted=["*mail*", "owner"])
    thing = house.volume()
    secrets = {"E-mail": "sick@patient.example", "owner": "dr-bob"}
    pairs = [{"Key": key, "Value": value} for key, value in secrets.items()]
    house.client("ec2").create_tags(Resources=[thing.id], Tags=pairs)
    shown = dict(POLICIES["drop-volumes"]) | {"violation": [{"tag:E-mail": "present"}, {"tag:idle": "yes"}]}
    house.write(redacted=["*[Mm]ail*", "owner"], policies={"drop-volumes": shown})
    plan = house.plan(thing)
    text = plan_bytes(plan).decode()
    assert list(planned(plan)) == [thing.id]
    assert "E-mail" in text
    for secret in secrets.values():
        assert secret not in text


def test_an_action_that_nobody_can_prove_is_not_taken(house: House) -> None:
    policy = dict(POLICIES["stop-idle"]) | {"remediation": {"actions": ["reboot"], "destructive": False}}
    house.write(policies={"stop-idle": policy})
    thing = house.instance()
    assert held(house.plan(thing)) == {
        thing.id: "nobody knows how to prove reboot on aws.ec2: do it by hand",
    }


def test_deleting_without_a_copy_cannot_be_undone_and_says_so(house: House) -> None:
    policy = dict(POLICIES["drop-volumes"]) | {"remediation": {"actions": ["delete"], "destructive": True}}
    house.write(policies={"drop-volumes": policy})
    [item] = house.plan(house.volume()).items
    assert item.steps[0].undo.possible is Undoable.NO
    assert item.steps[0].undo.how == "no snapshot is made before it to make it anew from"


@pytest.mark.parametrize(
    ("caps", "count", "told"),
    [
        ({"max": {"count": 1}}, 2, "over the cap of stop-idle: 2 resources, and the cap is 1"),
        ({"max": {"percent": 1}}, 2, "over the cap of stop-idle: 2 of 100 resources, and the cap of 1% is 1"),
        ({"max": {"monthly_amount": "100"}}, 2, "over the cap of stop-idle: 140.16 a month, and the cap is 100.00"),
        ({"total": {"count": 1}}, 2, "over the cap of all together: 2 resources, and the cap is 1"),
        ({"total": {"monthly_amount": "140.15"}}, 2, "over the cap of all together: 140.16 a month"),
        ({"max": {"count": 2, "percent": 2, "monthly_amount": "140.16"}, "total": {"count": 2}}, 2, ""),
    ],
)
def test_over_a_cap_nothing_of_the_policy_is_planned(house: House, caps: dict[str, Any], count: int, told: str) -> None:
    house.write(remediation=caps)
    things = [house.instance() for _ in range(count)]
    plan = house.plan(*things)
    reasons = held(plan)
    assert len(plan.items) == (0 if told else count)
    assert all(reasons[each.id].startswith(told) for each in things) if told else not reasons


def test_a_cap_of_one_policy_leaves_the_others(house: House) -> None:
    capped = dict(POLICIES["stop-idle"])
    capped["remediation"] = {**POLICIES["stop-idle"]["remediation"], "max": {"count": 1}}
    house.write(policies={**POLICIES, "stop-idle": capped})
    plan = house.plan(house.instance(), house.instance(), house.logs())
    assert list(planned(plan)) == ["/app/log"]


def test_what_falls_to_a_policys_cap_does_not_count_towards_the_cap_of_all(house: House) -> None:
    house.write(remediation={"max": {"count": 1}, "total": {"count": 1}})
    plan = house.plan(house.instance(), house.instance(), house.logs())
    assert list(planned(plan)) == ["/app/log"]


def test_an_account_that_cannot_be_entered_holds_its_findings(house: House) -> None:
    thing = house.instance()
    run = house.judged(thing)
    house.write(role={"name": "reader", "external_id": "house-1"})
    house.proxy.clear(always(Fault.DENIED, "sts:AssumeRole"))
    plan = house.plan(run=run)
    [reason] = held(plan).values()
    assert "cannot be entered" in reason
    assert "sts:AssumeRole" in reason


def test_a_policy_that_the_profile_has_no_more_is_not_planned(house: House) -> None:
    thing, other = house.instance(), house.logs()
    run = house.judged(thing, other)
    house.write(policies={"keep-logs": POLICIES["keep-logs"]})
    assert list(planned(house.plan(run=run))) == [other.id]


def test_hostile_names_stay_text(house: House) -> None:
    thing = house.volume()
    hostile = "<script>alert(1)</script>=cmd()\u202e{{7*7}}"
    house.client("ec2").create_tags(Resources=[thing.id], Tags=[{"Key": "Owner", "Value": hostile}])
    [item] = house.plan(thing).items
    assert item.owner == hostile


def test_a_recipe_that_stumbles_costs_one_item(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: Any) -> Any:
        raise KeyError("Size")

    stop, drop = house.instance(), house.volume()
    monkeypatch.setattr(ebs.Delete, "before", broken)
    plan = house.plan(stop, drop)
    assert list(planned(plan)) == [stop.id]
    assert held(plan)[drop.id].startswith("what undoing it needs cannot be read")
