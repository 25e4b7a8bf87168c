"""Marks: not marked, waiting, due, stale, and what somebody else wrote into the tag."""

from __future__ import annotations

import datetime as dt

import pytest

from finops_policy.remediation.model import Outcome
from tests.remediation.engine_kit import POLICIES, House, held, planned

TAG = "finops-policy:stop-idle"
MESSAGE = "Resource does not meet policy: "


@pytest.fixture
def marked(house: House) -> House:
    return house.write("mark")


def on(days: int) -> str:
    """A day, so many after today, as c7n writes it."""
    return f"{dt.datetime.now(dt.UTC) + dt.timedelta(days=days):%Y/%m/%d}"


def test_what_is_not_marked_is_marked_and_nothing_else_is_done(marked: House) -> None:
    thing = marked.instance()
    plan = marked.plan(thing, unattended=True)
    assert planned(plan) == {thing.id: ["mark-for-op"]}
    [item] = plan.items
    assert (item.money, item.destructive, item.dependants.found) == (None, False, ())
    applied = marked.apply(plan)
    assert marked.outcomes(applied) == {thing.id: Outcome.DONE}
    assert marked.changing == {"ec2:CreateTags": 1}
    assert marked.state(thing) == "running"
    assert marked.tags(thing)[TAG] == f"{MESSAGE}stop@{on(10)}"


def test_a_mark_waits_then_is_due_and_goes_with_the_act(marked: House) -> None:
    thing = marked.instance()
    marked.apply(marked.plan(thing, unattended=True))
    plan = marked.plan(thing, unattended=True)
    assert held(plan) == {thing.id: f"marked, and not due yet: {MESSAGE}stop@{on(10)}"}
    marked.mark(thing, f"{MESSAGE}stop@{on(0)}")
    plan = marked.plan(thing, unattended=True)
    assert planned(plan) == {thing.id: ["stop", "remove-tag"]}
    applied = marked.apply(plan)
    assert marked.outcomes(applied) == {thing.id: Outcome.DONE}
    assert marked.state(thing) == "stopped"
    assert TAG not in marked.tags(thing)
    assert marked.tags(thing)["idle"] == "yes"
    assert [each["action"] for each in marked.rows(applied)] == ["stop", "remove-tag"]


def test_a_due_mark_on_what_is_compliant_by_now_does_nothing(marked: House) -> None:
    thing = marked.instance()
    marked.mark(thing, f"{MESSAGE}stop@{on(-1)}")
    plan = marked.plan(thing, unattended=True)
    marked.tag(thing, idle="no")
    marked.proxy.clear(lambda _call: None)
    applied = marked.apply(plan)
    assert marked.reasons(applied) == {thing.id: "compliant now"}
    assert not marked.changing
    assert marked.state(thing) == "running"


@pytest.mark.parametrize(("days", "steps"), [(0, "stop"), (-10, "stop"), (-11, "mark-for-op"), (-400, "mark-for-op")])
def test_a_stale_mark_counts_no_more(marked: House, days: int, steps: str) -> None:
    """The grace period is ten days, and a mark serves once more as long."""
    thing = marked.instance()
    marked.mark(thing, f"{MESSAGE}stop@{on(days)}")
    assert planned(marked.plan(thing, unattended=True))[thing.id][0] == steps


def test_a_short_grace_period_leaves_a_week_to_act(marked: House) -> None:
    short = dict(POLICIES["stop-idle"])
    short["remediation"] = {**POLICIES["stop-idle"]["remediation"], "grace_days": 1}
    marked.write("mark", policies={"stop-idle": short})
    one, two = marked.instance(), marked.instance()
    marked.mark(one, f"{MESSAGE}stop@{on(-7)}")
    marked.mark(two, f"{MESSAGE}stop@{on(-8)}")
    plan = planned(marked.plan(one, two, unattended=True))
    assert (plan[one.id][0], plan[two.id][0]) == ("stop", "mark-for-op")


def test_a_stale_mark_is_written_anew(marked: House) -> None:
    thing = marked.instance()
    marked.mark(thing, f"{MESSAGE}stop@{on(-30)}")
    applied = marked.apply(marked.plan(thing, unattended=True))
    assert marked.outcomes(applied) == {thing.id: Outcome.DONE}
    assert marked.tags(thing)[TAG] == f"{MESSAGE}stop@{on(10)}"
    assert marked.state(thing) == "running"


@pytest.mark.parametrize(
    "value",
    [
        "<script>=cmd(){{7*7}}",
        "x: stop@",
        "x: stop@never",
        "x: stop@2026/99/99",
        "x: stop@99999/01/01",
        "x: stop@\u0662\u0660\u0662\u0666/\u0660\u0661/\u0660\u0661",
        "x: terminate@2026/01/01",
        "x: STOP@2026/01/01",
        "stop@2026/01/01 and then stop@2026/01/02",
        "x" * 250,
    ],
)
def test_what_is_no_mark_of_ours_never_acts_and_never_blocks_for_ever(marked: House, value: str) -> None:
    thing = marked.instance()
    marked.mark(thing, value)
    plan = marked.plan(thing, unattended=True)
    assert planned(plan) == {thing.id: ["mark-for-op"]}, held(plan)
    applied = marked.apply(plan)
    assert marked.outcomes(applied) == {thing.id: Outcome.DONE}
    assert marked.tags(thing)[TAG] == f"{MESSAGE}stop@{on(10)}"


def test_two_policies_do_not_take_each_others_marks(marked: House) -> None:
    marked.write("mark", policies={"a-stop": POLICIES["stop-idle"], "stop-idle": POLICIES["stop-idle"]})
    thing = marked.instance()
    marked.client("ec2").create_tags(
        Resources=[thing.id], Tags=[{"Key": "finops-policy:a-stop", "Value": f"{MESSAGE}stop@{on(-1)}"}]
    )
    assert planned(marked.plan(thing, unattended=True)) == {thing.id: ["mark-for-op"]}


def test_a_due_mark_does_not_delete_unattended(marked: House) -> None:
    thing = marked.volume()
    marked.mark(thing, f"{MESSAGE}delete@{on(-1)}")
    plan = marked.plan(thing, unattended=True)
    assert held(plan) == {thing.id: "its mark is due, and it cannot be undone completely: that needs an approved plan"}


def test_a_due_mark_does_not_act_where_something_depends_on_it(marked: House) -> None:
    thing = marked.instance()
    marked.behind_a_balancer(thing)
    assert planned(marked.plan(thing, unattended=True)) == {thing.id: ["mark-for-op"]}, "a mark breaks nothing"
    marked.mark(thing, f"{MESSAGE}stop@{on(-1)}")
    [reason] = held(marked.plan(thing, unattended=True)).values()
    assert reason.startswith("something may depend on it (")


def test_marks_are_no_acts_for_caps_and_due_ones_are(marked: House) -> None:
    marked.write("mark", remediation={"max": {"count": 1}})
    things = [marked.instance() for _ in range(3)]
    assert len(marked.plan(*things, unattended=True).items) == 3
    for each in things[:2]:
        marked.mark(each, f"{MESSAGE}stop@{on(-1)}")
    plan = marked.plan(*things, unattended=True)
    assert planned(plan) == {things[2].id: ["mark-for-op"]}
    assert {each.id for each in things[:2]} == held(plan).keys()


def test_an_approved_plan_acts_without_waiting_for_a_mark(marked: House) -> None:
    thing = marked.instance()
    plan = marked.plan(thing)
    assert planned(plan)[thing.id][0] == "stop"
    applied = marked.apply(plan)
    assert marked.outcomes(applied) == {thing.id: Outcome.DONE}
    assert marked.state(thing) == "stopped"


def test_a_mark_is_taken_back(marked: House) -> None:
    thing = marked.instance()
    applied = marked.apply(marked.plan(thing, unattended=True))
    undone = marked.undo(applied)
    assert marked.outcomes(undone) == {thing.id: Outcome.UNDONE}
    assert TAG not in marked.tags(thing)


def test_a_taken_back_act_does_not_put_its_due_mark_back(marked: House) -> None:
    thing = marked.instance()
    value = f"{MESSAGE}stop@{on(-1)}"
    marked.mark(thing, value)
    applied = marked.apply(marked.plan(thing, unattended=True))
    undone = marked.undo(applied)
    assert marked.outcomes(undone) == {thing.id: Outcome.UNDONE}
    assert marked.state(thing) == "running"
    assert TAG not in marked.tags(thing), "it would be due at once"
