"""How far each posture goes, with people and without: ``run --remediate`` acts only where nobody need be asked."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from finops_policy.model import Posture, Verdict
from finops_policy.remediation import work
from finops_policy.remediation.model import Outcome
from finops_policy.remediation.planning import APPROVABLE, UNATTENDED, actionable
from tests.engine.faults import Fault, always
from tests.remediation.engine_kit import ACCOUNT, POLICIES, House, held, planned, waiver


@pytest.mark.parametrize(
    ("posture", "asked", "unasked"),
    [
        ("report", None, None),
        ("notify", None, None),
        ("mark", "stop", "mark-for-op"),
        ("approve", "stop", None),
        ("auto", "stop", "stop"),
    ],
)
def test_what_is_planned_with_people_and_without(
    house: House, posture: str, asked: str | None, unasked: str | None
) -> None:
    house.write(posture)
    thing = house.instance()
    run = house.judged(thing)
    for unattended, action in ((False, asked), (True, unasked)):
        plan = house.plan(run=run, unattended=unattended)
        assert [steps[0] for steps in planned(plan).values()] == ([action] if action else [])
        assert not plan.held, "what a posture does not speak of is not held either"
        if action:
            assert plan.policies["stop-idle"].posture is Posture(posture)


def test_a_policy_may_have_a_posture_of_its_own(house: House) -> None:
    house.write("report", postures={"stop-idle": "auto", "keep-logs": "mark"})
    project = house.project
    assert actionable(project, UNATTENDED) == {"stop-idle", "keep-logs"}
    assert actionable(project, frozenset({Posture.AUTO})) == {"stop-idle"}
    assert actionable(project, APPROVABLE) == {"stop-idle", "keep-logs"}


def test_a_policy_that_says_no_remedy_is_never_acted_on(house: House) -> None:
    silent = {key: value for key, value in POLICIES["stop-idle"].items() if key != "remediation"}
    house.write("auto", policies={"stop-idle": silent})
    assert not actionable(house.project, APPROVABLE)


def test_unattended_acts_and_says_so_in_evidence(house: House) -> None:
    house.write("auto")
    things = [house.instance(), house.function(), house.logs()]
    plan = house.plan(*things, unattended=True)
    applied = work.apply(work.unattended(plan), house.hands())
    assert set(house.outcomes(applied).values()) == {Outcome.DONE}
    assert {tuple(each["approved_by"]) for each in house.rows(applied)} == {("auto",)}


def test_unattended_never_does_what_cannot_be_undone(house: House) -> None:
    house.write("auto")
    thing = house.volume()
    plan = house.plan(thing, unattended=True)
    assert held(plan) == {thing.id: "it cannot be undone completely: that needs an approved plan"}
    assert planned(house.plan(thing)) == {thing.id: ["snapshot", "delete"]}


def test_unattended_leaves_alone_what_something_depends_on(house: House) -> None:
    house.write("auto")
    used, free = house.instance(), house.instance()
    house.behind_a_balancer(used)
    plan = house.plan(used, free, unattended=True)
    assert list(planned(plan)) == [free.id]
    assert held(plan)[used.id].startswith("something may depend on it (")
    assert len(house.plan(used, free).items) == 2, "people may agree to it"


def test_unattended_leaves_alone_what_may_be_depended_on(house: House) -> None:
    house.write("auto")
    thing = house.instance()
    run = house.judged(thing)
    house.proxy.clear(always(Fault.DENIED, "elasticloadbalancing:DescribeTargetGroups"))
    plan = house.plan(run=run, unattended=True)
    [reason] = held(plan).values()
    assert reason == "something may depend on it (whether anything is unknown): that needs an approved plan"


@pytest.mark.parametrize(
    "caps", [{"max": {"count": 1}}, {"max": {"percent": 1}}, {"total": {"count": 1}}, {"max": {"monthly_amount": "1"}}]
)
def test_unattended_is_inside_caps_or_not_at_all(house: House, caps: dict[str, Any]) -> None:
    house.write("auto", remediation=caps)
    plan = house.plan(house.instance(), house.instance(), unattended=True)
    assert not plan.items
    assert all("over the cap of" in each.reason for each in plan.held)


def test_unattended_never_touches_what_is_waived_or_unknown(house: House) -> None:
    waived, unknown, before, free = house.instance(), house.instance(), house.instance(), house.instance()
    arn = f"arn:aws:ec2:us-east-1:{ACCOUNT}:instance/"
    house.write("auto", waivers=[waiver("stop-idle", f"{arn}{waived.id}")])
    verdicts = {unknown.id: Verdict.UNKNOWN, before.id: Verdict.WAIVED}
    plan = house.plan(waived, unknown, before, free, unattended=True, verdicts=verdicts)
    assert list(planned(plan)) == [free.id]
    applied = work.apply(work.unattended(plan), house.hands())
    assert house.outcomes(applied) == {free.id: Outcome.DONE}
    assert {house.state(each) for each in (waived, unknown, before)} == {"running"}


def test_a_waiver_given_between_plan_and_act_counts(house: House) -> None:
    house.write("auto")
    thing = house.instance()
    plan = house.plan(thing, unattended=True)
    house.write("auto", waivers=[waiver("stop-idle", f"arn:aws:ec2:us-east-1:{ACCOUNT}:instance/{thing.id}")])
    applied = work.apply(work.unattended(plan), house.hands())
    assert house.reasons(applied) == {thing.id: "waived since the plan, by W-1"}
    assert house.state(thing) == "running"


def test_in_a_freeze_window_nothing_is_done_and_after_it_everything(house: House) -> None:
    today = dt.datetime.now(dt.UTC).date()
    window = {"name": "year end", "from": str(today - dt.timedelta(days=1)), "until": str(today + dt.timedelta(days=1))}
    house.write("auto", remediation={"freeze": [window]})
    thing = house.instance()
    plan = house.plan(thing, unattended=True)
    applied = work.apply(work.unattended(plan), house.hands())
    [reason] = house.reasons(applied).values()
    assert reason.startswith("freeze window 'year end': it is ")
    assert house.state(thing) == "running"
    assert not house.changing
    over = {**window, "from": "2020-01-01", "until": "2020-01-02"}
    house.write("auto", remediation={"freeze": [over]})
    applied = work.apply(work.unattended(house.plan(thing, unattended=True)), house.hands())
    assert house.outcomes(applied) == {thing.id: Outcome.DONE}


def test_a_mark_waits_out_a_freeze_window_too(house: House) -> None:
    house.write(
        "mark",
        remediation={"freeze": [{"name": "always", "weekdays": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]}]},
    )
    thing = house.instance()
    applied = work.apply(work.unattended(house.plan(thing, unattended=True)), house.hands())
    assert house.outcomes(applied) == {thing.id: Outcome.HELD}
    assert "finops-policy:stop-idle" not in house.tags(thing)
