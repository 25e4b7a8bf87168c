"""What somebody could have changed between a plan, its approval and the act: none of it is believed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from finops_policy.errors import EvidenceError, UsageError
from finops_policy.evidence.bundle import BundleWriter
from finops_policy.remediation import work
from finops_policy.remediation.history import History
from finops_policy.remediation.model import Item, Outcome, Plan
from finops_policy.remediation.plan_file import write_plan
from finops_policy.remediation.recipes import ebs, ec2
from finops_policy.remediation.recipes.recipe import Seen, Undo, Undoable
from tests.remediation.engine_kit import POLICIES, House, held, order_of

EDITS: dict[str, Callable[[Item], Item]] = {
    "a step is taken out": lambda item: replace(item, steps=item.steps[1:], destructive=False),
    "it calls itself harmless": lambda item: replace(item, destructive=False),
    "another ARN is shown": lambda item: replace(item, arn=item.arn.replace("vol-", "vol-dev-")),
    "the way back is embellished": lambda item: replace(
        item, steps=tuple(replace(step, undo=Undo(Undoable.YES, "easily")) for step in item.steps)
    ),
    "it saves more": lambda item: replace(
        item, money=item.money and replace(item.money, savings=item.money.savings * 9)
    ),
    "another id": lambda item: replace(item, id="0" * 12),
}


def rewritten(house: House, plan: Plan, **changes: Any) -> Plan:
    """The plan as somebody wrote it anew: its bytes are canonical, and its digest is theirs."""
    folder = house.store.plans_folder("house") / plan.plan_id
    return write_plan(replace(plan, **changes), folder)


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_a_plan_that_was_written_anew_is_not_acted_on(house: House, edit: Callable[[Item], Item]) -> None:
    thing = house.volume()
    plan = house.plan(thing)
    applied = house.apply(rewritten(house, plan, items=tuple(map(edit, plan.items))))
    assert house.outcomes(applied) == {thing.id: Outcome.HELD}, house.reasons(applied)
    assert not house.changing
    assert house.state(thing) == "available"


def test_a_plan_cannot_say_that_it_lasts_for_ever(house: House) -> None:
    plan = house.plan(house.instance())
    longer = rewritten(house, plan, valid_until=plan.valid_until + dt.timedelta(days=1))
    with pytest.raises(EvidenceError, match="valid for too long"):
        house.apply(longer)


def test_what_depends_on_it_since_the_plan_holds_it(house: House) -> None:
    thing = house.instance()
    plan = house.plan(thing)
    house.behind_a_balancer(thing)
    applied = house.apply(plan)
    assert house.reasons(applied)[thing.id].startswith("since the plan something depends on it: target-group")
    assert house.state(thing) == "running"


def test_what_changes_while_its_copy_is_made_is_not_deleted(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    thing = house.volume()
    plan = house.plan(thing)
    seen = ebs.Snapshot.seen

    def meanwhile(self: ebs.Snapshot, *arguments: Any) -> Seen:
        house.tag(thing, keep="yes")
        return seen(self, *arguments)

    monkeypatch.setattr(ebs.Snapshot, "seen", meanwhile)
    applied = house.apply(plan)
    assert house.outcomes(applied) == {thing.id: Outcome.HELD}
    assert "tags was" in house.reasons(applied)[thing.id]
    assert house.reasons(applied)[thing.id].endswith("(snapshot was made before)")
    assert house.state(thing) == "available"


def test_what_changes_after_a_crash_is_not_acted_on(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    thing = house.function()
    plan = house.plan(thing)
    with monkeypatch.context() as patch:
        patch.setattr("finops_policy.custodian.acting.act", _killed)
        with pytest.raises(SystemExit):
            house.apply(plan)
    house.client("lambda").put_function_concurrency(FunctionName=thing.id, ReservedConcurrentExecutions=50)
    applied = house.apply(plan, resume=house.broken_off())
    assert house.outcomes(applied) == {thing.id: Outcome.HELD}
    assert house.state(thing) == 50


def _killed(*_arguments: Any) -> Any:
    raise SystemExit


def test_unattended_believes_recipes_and_not_the_policy_about_what_can_be_undone(house: House) -> None:
    policy = {**POLICIES["drop-volumes"], "remediation": {"actions": ["delete"], "destructive": False}}
    house.write("auto", policies={"drop-volumes": policy})
    thing = house.volume()
    plan = house.plan(thing, unattended=True)
    assert held(plan) == {thing.id: "it cannot be undone completely: that needs an approved plan"}


def test_a_plan_is_used_once(house: House) -> None:
    thing = house.function()
    plan = house.plan(thing)
    undone = house.undo(house.apply(plan))
    applied = house.apply(plan)
    run_id = undone.folder.name.removeprefix("run=")
    assert house.reasons(applied) == {thing.id: f"undone already, by run {run_id}: make a new plan"}
    assert house.state(thing) is None


def test_an_undo_does_not_take_back_what_came_later(house: House) -> None:
    thing = house.function()
    first = house.apply(house.plan(thing))
    house.undo(first)
    second = house.apply(house.plan(thing))
    again = house.undo(first)
    assert house.reasons(again) == {thing.id: f"run {second.run_id} acted on it since"}
    assert house.state(thing) == 0


def test_what_was_taken_back_is_not_done_again_unattended(house: House) -> None:
    house.write("auto")
    thing = house.function()
    undone = house.undo(work.apply(work.unattended(house.plan(thing, unattended=True)), house.hands()))
    assert History.read(house.store, "house").undone() == {
        item.id: undone.run_id for item, outcome, _ in undone.outcomes if outcome is Outcome.UNDONE
    }


def test_a_region_that_is_the_customers_no_more_is_left_alone(house: House) -> None:
    thing = house.instance()
    plan = house.plan(thing)
    hands = replace(house.hands(), targets=frozenset())
    applied = work.apply(order_of(plan), hands)
    assert house.reasons(applied)[thing.id].endswith("is not the customer's, or not any more")
    assert house.state(thing) == "running"


def test_caps_are_those_of_now(house: House) -> None:
    things = [house.instance(), house.instance()]
    plan = house.plan(*things)
    house.write(remediation={"batches": {"wait_seconds": 0}, "max": {"count": 1}})
    applied = house.apply(plan)
    assert set(house.outcomes(applied).values()) == {Outcome.HELD}
    assert not house.changing


def test_an_undo_that_broke_off_is_not_gone_on_with_by_apply(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = house.plan(house.instance())
    applied = house.apply(plan)
    with monkeypatch.context() as patch:
        patch.setattr(ec2.Stop, "undo", _killed)
        with pytest.raises(SystemExit):
            house.undo(applied)
    with pytest.raises(EvidenceError, match="was begun by `undo"):
        house.apply(plan, resume=house.broken_off())


def test_nothing_new_begins_while_what_was_done_is_no_evidence_yet(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = house.plan(house.instance())
    with monkeypatch.context() as patch:
        patch.setattr(BundleWriter, "seal", _killed)
        with pytest.raises(SystemExit):
            house.apply(plan)
    run_id = house.broken_off()
    with pytest.raises(EvidenceError, match="broke off, and what it did is no evidence yet") as told:
        house.apply(house.plan(house.function()))
    assert told.value.hint.endswith(f"apply {plan.plan_id} --customer house --execute --resume {run_id}")
    assert set(house.outcomes(house.apply(plan, resume=run_id)).values()) == {Outcome.DONE}


def test_rows_name_who_agreed_when_it_was_done(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = house.plan(house.instance())
    with monkeypatch.context() as patch:
        patch.setattr(BundleWriter, "seal", _killed)
        with pytest.raises(SystemExit):
            house.apply(plan)
    later = order_of(plan, refuse="not approved: finance must still approve", approved_by=())
    applied = work.apply(
        later, replace(house.hands(), caller="arn:aws:iam::123456789012:user/other"), house.broken_off()
    )
    [row] = house.rows(applied)
    assert (row["outcome"], row["approved_by"]) == ("done", ["sam@house.example (engineering)"])
    assert row["executed_by"] == "arn:aws:iam::123456789012:user/runner"


def test_an_unattended_remediation_that_broke_off_stays_unattended(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.write("auto")
    thing = house.instance()
    plan = house.plan(thing, unattended=True)
    with monkeypatch.context() as patch:
        patch.setattr("finops_policy.custodian.acting.act", _killed)
        with pytest.raises(SystemExit):
            work.apply(work.unattended(plan), house.hands())
    applied = house.apply(plan, resume=house.broken_off(), refuse="not approved")
    assert house.outcomes(applied) == {thing.id: Outcome.DONE}
    assert [row["approved_by"] for row in house.rows(applied)] == [["auto"]]


def test_the_other_world_is_not_touched_by_undo(house: House) -> None:
    applied = house.apply(house.plan(house.instance()))
    with pytest.raises(UsageError, match="is for AWS"):
        work.undo(applied.folder, replace(house.hands(), sandboxed=True), frozenset())


def test_an_act_that_puts_it_in_order_does_not_end_its_other_steps(house: House) -> None:
    tag = {"type": "tag", "tags": {"stopped-by": "finops"}}
    remediation = {"actions": ["stop", tag], "destructive": False}
    house.write(policies={"stop-idle": {**POLICIES["stop-idle"], "remediation": remediation}})
    thing = house.instance()
    applied = house.apply(house.plan(thing))
    assert house.outcomes(applied) == {thing.id: Outcome.DONE}, house.reasons(applied)
    assert house.tags(thing)["stopped-by"] == "finops"


def test_an_act_whose_other_steps_are_held_is_not_done(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    tag = {"type": "tag", "tags": {"stopped-by": "finops"}}
    remediation = {"actions": ["stop", tag], "destructive": False}
    house.write(policies={"stop-idle": {**POLICIES["stop-idle"], "remediation": remediation}})
    thing = house.instance()
    plan = house.plan(thing)
    order = order_of(plan)
    asked = iter(["", "refused by finance", "refused by finance"])
    applied = work.apply(replace(order, consent=lambda _item: next(asked)), house.hands())
    assert house.outcomes(applied) == {thing.id: Outcome.FAILED}
    assert house.reasons(applied)[thing.id] == "stop is done, and tag was held: refused by finance"


def test_withheld_tag_values_are_in_no_journal_and_no_row(house: House) -> None:
    tag = {"type": "tag", "tags": {"PatientName": "new"}}
    house.write(
        policies={"stop-idle": {**POLICIES["stop-idle"], "remediation": {"actions": [tag], "destructive": False}}},
        redacted=["Patient*"],
    )
    thing = house.instance()
    house.tag(thing, PatientName="Jane Roe")
    applied = house.apply(house.plan(thing))
    for path in applied.folder.rglob("*"):
        assert not path.is_file() or b"Jane Roe" not in path.read_bytes(), path
    assert "Jane Roe" not in str(house.rows(applied))
