"""Applying: every resource looked at again, batches behind a canary, proof, and a journal to go on from."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from finops_policy.customer import Freeze
from finops_policy.errors import EvidenceError, UsageError
from finops_policy.evidence.store import read_run
from finops_policy.remediation import work
from finops_policy.remediation.applying import Applying, rehearse
from finops_policy.remediation.journal import JOURNAL, Journal
from finops_policy.remediation.model import Outcome, Plan
from finops_policy.remediation.stepping import Stepper
from tests.engine.faults import Fault, always
from tests.remediation.engine_kit import (
    ACCOUNT,
    AT_ONCE,
    CALLER,
    POLICIES,
    House,
    Thing,
    order_of,
    waiver,
)

ALWAYS = Freeze("always", weekdays=frozenset(range(7)))
BATCHES = {"wait_seconds": 0, "canary": 1, "size": 2, "max_error_percent": 10}


def batches(**settings: Any) -> dict[str, Any]:
    return {"batches": BATCHES | settings}


def test_what_is_done_is_done_once_and_every_row_says_by_whom(house: House) -> None:
    stop, drop, cap, keep = house.instance(), house.volume(), house.function(), house.logs()
    plan = house.plan(stop, drop, cap, keep)
    applied = house.apply(plan)
    assert set(house.outcomes(applied).values()) == {Outcome.DONE}
    assert house.changing == {
        "ec2:StopInstances": 1,
        "ec2:CreateSnapshot": 1,
        "ec2:DeleteVolume": 1,
        "lambda:PutFunctionConcurrency": 1,
        "logs:PutRetentionPolicy": 1,
    }
    assert [house.state(each) for each in (stop, drop, cap, keep)] == ["stopped", "gone", 0, 30]
    rows = {(each["resource_id"], each["action"]): each for each in house.rows(applied)}
    assert len(rows) == 5
    for row in rows.values():
        assert row["plan_digest"] == plan.digest
        assert (row["outcome"], row["error"]) == ("done", "")
        assert row["requested_by"] == "dana@house.example"
        assert list(row["approved_by"]) == ["sam@house.example (engineering)"]
        assert row["executed_by"] == CALLER.arn
    snapshot = rows[drop.id, "snapshot"]
    assert snapshot["made"] == {"snapshots": house.snapshots()}
    assert rows[drop.id, "delete"]["before"]["size"] == 10
    assert snapshot["monthly_savings"] is None, "an item's savings count once"
    assert rows[drop.id, "delete"]["monthly_savings"] == Decimal("0.8")
    assert rows[stop.id, "stop"]["after"] == {"state": "stopped"}
    record = read_run(applied.folder).data
    assert (record["kind"], record["plan_digest"], record["caller"]) == ("apply", plan.digest, CALLER.arn)
    assert record["requested_by"] == {"arn": CALLER.arn, "email": "dana@house.example"}
    assert record["counts"] == {"done": 4, "failed": 0, "unverified": 0, "held": 0, "undone": 0}
    assert read_run(applied.folder).data["approvals"] == ["sam@house.example (engineering)"]


def test_a_plan_applied_twice_does_nothing_the_second_time(house: House) -> None:
    plan = house.plan(house.instance(), house.volume(), house.function(), house.logs())
    applied = house.apply(plan)
    done = dict(house.changing)
    again = house.apply(plan)
    assert house.changing == done
    assert set(house.outcomes(again).values()) == {Outcome.HELD}
    run_id = applied.folder.name.removeprefix("run=")
    assert set(house.reasons(again).values()) == {f"done already, by run {run_id}: make a new plan"}


def test_a_rehearsal_reads_and_changes_nothing(house: House) -> None:
    one, two = house.instance(), house.instance()
    plan = house.plan(one, two)
    house.tag(two, idle="no")
    house.proxy.clear(lambda _call: None)
    hands = house.hands()
    told = list(rehearse(hands.orders(order_of(plan)), hands.doors))
    assert {item.resource_id: reason for item, reason in told} == {one.id: "", two.id: "compliant now"}
    assert not house.changing
    assert not house.store.remediations("house")


# --- What is not acted on -------------------------------------------------------------------------------------------


def mended(house: House, thing: Thing) -> None:
    house.tag(thing, idle="no")


def gone(house: House, thing: Thing) -> None:
    house.client("ec2").delete_volume(VolumeId=thing.id)


def out_of_scope(house: House, thing: Thing) -> None:
    house.client("ec2").delete_tags(Resources=[thing.id], Tags=[{"Key": "idle"}])


def grown(house: House, thing: Thing) -> None:
    house.client("ec2").modify_volume(VolumeId=thing.id, Size=20)


def tagged(house: House, thing: Thing) -> None:
    house.tag(thing, Owner="somebody")


def waived(house: House, thing: Thing) -> None:
    house.write(waivers=[waiver("drop-volumes", f"arn:aws:ec2:us-east-1:{ACCOUNT}:volume/{thing.id}")])


def policy_changed(house: House, _thing: Thing) -> None:
    house.write(policies={**POLICIES, "drop-volumes": dict(POLICIES["drop-volumes"]) | {"scope": []}})


def parameter_gone(house: House, _thing: Thing) -> None:
    house.write(policies={"stop-idle": POLICIES["stop-idle"]})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (mended, "compliant now"),
        (gone, "gone since the plan"),
        (out_of_scope, "out of the policy's scope now"),
        (grown, "changed since the plan: size was 10 and is 20"),
        (tagged, "changed since the plan: tags was {'idle': 'yes'} and is {"),
        (waived, "waived since the plan, by W-1"),
        (policy_changed, "the policy has changed since the plan: make a new one"),
        (parameter_gone, "the policy has changed since the plan: make a new one"),
    ],
)
def test_what_changed_since_the_plan_is_left_alone(
    house: House, change: Callable[[House, Thing], None], told: str
) -> None:
    thing = house.volume()
    plan = house.plan(thing)
    change(house, thing)
    before = house.state(thing)
    house.proxy.clear(lambda _call: None)
    applied = house.apply(plan)
    [reason] = house.reasons(applied).values()
    assert reason.startswith(told)
    assert house.outcomes(applied) == {thing.id: Outcome.HELD}
    assert not house.changing
    assert house.state(thing) == before
    [row] = house.rows(applied)
    assert (row["outcome"], row["action"], row["error"]) == ("held", "snapshot", "")
    assert row["reason"] == reason


def test_what_does_not_matter_to_the_act_holds_nothing(house: House) -> None:
    thing = house.instance()
    plan = house.plan(thing)
    house.tag(thing, Owner="somebody")
    assert house.outcomes(house.apply(plan)) == {thing.id: Outcome.DONE}


def test_a_withheld_tag_that_changed_is_not_told(house: House) -> None:
    house.write(redacted=["patient"])
    thing = house.volume()
    house.tag(thing, patient="bob")
    plan = house.plan(thing)
    house.tag(thing, patient="alice")
    applied = house.apply(plan)
    assert house.outcomes(applied) == {thing.id: Outcome.DONE}
    for path in applied.folder.rglob("*"):
        if path.is_file():
            assert b"alice" not in path.read_bytes(), path
            assert b"bob" not in path.read_bytes(), path


def test_without_consent_nothing_is_done(house: House) -> None:
    thing = house.instance()
    applied = house.apply(house.plan(thing), refuse="not approved: finance must still approve")
    assert house.reasons(applied) == {thing.id: "not approved: finance must still approve"}
    assert not house.changing


def test_a_resource_of_another_region_is_not_acted_on(house: House) -> None:
    """A plan that says the wrong region finds nothing there."""
    thing = house.instance()
    plan = house.plan(thing)
    elsewhere = replace(plan, items=tuple(replace(each, region="eu-west-1") for each in plan.items))
    house.write(regions=("us-east-1", "eu-west-1"))
    applied = house.apply(elsewhere)
    assert house.reasons(applied) == {thing.id: "gone since the plan"}
    assert house.state(thing) == "running"


def test_a_plan_of_the_other_world_is_refused(house: House) -> None:
    thing = house.instance()
    plan = replace(house.plan(thing), sandbox=True)
    with pytest.raises(UsageError, match="is for the sandbox"):
        house.apply(plan)
    assert house.state(thing) == "running"


def test_a_plan_is_valid_for_its_time_alone(house: House) -> None:
    thing = house.instance()
    plan = house.plan(thing)
    assert plan.valid_until - plan.created_at == dt.timedelta(days=14)
    late = replace(plan, valid_until=dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1))
    applied = house.apply(late)
    [reason] = house.reasons(applied).values()
    assert reason.startswith("the plan is valid until ")
    assert house.state(thing) == "running"


# --- Batches --------------------------------------------------------------------------------------------------------


def run_applying(house: House, plan: Plan, **orders: Any) -> dict[str, str]:
    """Applies with orders of the test's own; resource id -> outcome, or why it is held."""
    hands = house.hands()
    folder = house.folder / "alone"
    folder.mkdir(exist_ok=True)
    with Journal(folder / JOURNAL) as journal:
        told = replace(hands.orders(order_of(plan)), **orders)
        Applying(told, hands.doors, journal, house.heard).run()
        log = journal.log
    found = {}
    for item in plan.items:
        outcomes = [each.outcome for (name, _), each in log.steps.items() if name == item.id and each.outcome]
        found[item.resource_id] = outcomes[-1].value if outcomes else log.held[item.id][0]
    return found


def test_a_canary_goes_first_and_is_looked_at_again_after_a_while(house: House) -> None:
    house.write(remediation=batches(wait_seconds=77, canary=2, size=2))
    things = [house.instance() for _ in range(5)]
    plan = house.plan(*things)
    waited: list[tuple[float, int]] = []

    def sleep(seconds: float) -> None:
        waited.append((seconds, house.changing["ec2:StopInstances"]))

    hands = replace(house.hands(), patience=replace(AT_ONCE, sleep=sleep))
    applied = work.apply(order_of(plan), hands)
    assert waited == [(77, 2)]
    assert set(house.outcomes(applied).values()) == {Outcome.DONE}


def test_a_canary_that_does_not_stay_as_it_was_left_stops_everything(house: House) -> None:
    house.write(remediation=batches(wait_seconds=5))
    things = [house.instance() for _ in range(3)]
    plan = house.plan(*things)
    first = plan.items[0].resource_id

    def sleep(_seconds: float) -> None:
        house.client("ec2").start_instances(InstanceIds=[first])

    applied = work.apply(order_of(plan), replace(house.hands(), patience=replace(AT_ONCE, sleep=sleep)))
    assert house.changing["ec2:StopInstances"] == 1
    outcomes, reasons = house.outcomes(applied), house.reasons(applied)
    assert outcomes.pop(first) is Outcome.UNVERIFIED, "what came undone is not done"
    assert set(outcomes.values()) == {Outcome.HELD}
    told = f"stopped: the canary {first} is not as it was left: it is running"
    assert {reasons[each] for each in outcomes} == {applied.stopped} == {told}


def test_a_canary_that_cannot_be_asked_stops_everything(house: House) -> None:
    house.write(remediation=batches(wait_seconds=5))
    things = [house.instance() for _ in range(3)]
    plan = house.plan(*things)

    def sleep(_seconds: float) -> None:
        house.proxy.decide = always(Fault.DENIED, "ec2:DescribeInstances")

    applied = work.apply(order_of(plan), replace(house.hands(), patience=replace(AT_ONCE, sleep=sleep)))
    assert house.changing["ec2:StopInstances"] == 1
    assert sorted(house.outcomes(applied).values()) == ["held", "held", "unverified"]


def test_the_first_that_is_acted_on_is_the_canary_not_one_that_is_held(house: House) -> None:
    house.write(remediation=batches(wait_seconds=5, size=10))
    things = [house.instance() for _ in range(5)]
    plan = house.plan(*things)
    for item in plan.items[:2]:
        house.client("ec2").create_tags(Resources=[item.resource_id], Tags=[{"Key": "idle", "Value": "no"}])
    waited: list[int] = []
    house.proxy.clear(lambda _call: None)

    def sleep(_seconds: float) -> None:
        waited.append(house.changing["ec2:StopInstances"])

    work.apply(order_of(plan), replace(house.hands(), patience=replace(AT_ONCE, sleep=sleep)))
    assert waited == [1]
    assert house.changing["ec2:StopInstances"] == 3


def test_it_stops_when_too_much_goes_wrong(house: House) -> None:
    house.write(remediation=batches(size=2, max_error_percent=40))
    things = [house.instance() for _ in range(7)]
    plan = house.plan(*things)
    bad = [each.resource_id for each in plan.items[1:3]]
    _refuse_to_stop(house, bad)
    applied = house.apply(plan)
    outcomes = [house.outcomes(applied)[each.resource_id] for each in plan.items]
    assert outcomes == [Outcome.DONE, Outcome.FAILED, Outcome.FAILED, *[Outcome.HELD] * 4]
    [reason] = {house.reasons(applied)[each.resource_id] for each in plan.items[3:]}
    assert reason == "stopped: 2 of 3 steps failed or are unverified, and the limit is 40%"
    assert house.changing["ec2:StopInstances"] == 3
    assert any("Nothing more is acted on" in each for each in house.heard.sentences)


def test_it_goes_on_while_little_goes_wrong(house: House) -> None:
    house.write(remediation=batches(size=2, max_error_percent=40))
    things = [house.instance() for _ in range(5)]
    plan = house.plan(*things)
    _refuse_to_stop(house, [plan.items[2].resource_id])
    applied = house.apply(plan)
    assert sorted(house.outcomes(applied).values()) == ["done"] * 4 + ["failed"]


def _refuse_to_stop(house: House, ids: list[str]) -> None:
    """Fails the calls that would stop these: they come in the plan's order."""
    numbers = [number for number, each in enumerate(_order(house)) if each in ids]
    stops = always(Fault.DENIED, "ec2:StopInstances")
    house.proxy.clear(lambda call: stops(call) if call.number in numbers else None)


def _order(house: House) -> list[str]:
    [plan] = [folder for folder in house.store.plans_folder("house").iterdir() if folder.is_dir()]
    from finops_policy.remediation.plan_file import read_plan

    return [each.resource_id for each in read_plan(plan).items]


def test_a_freeze_window_that_begins_in_the_middle_holds_the_rest(house: House) -> None:
    house.write(remediation=batches(size=1))
    things = [house.instance() for _ in range(3)]
    plan = house.plan(*things)

    def now() -> dt.datetime:
        return dt.datetime(2026, 11, 24, *((22, 0) if house.changing["ec2:StopInstances"] else (21, 59)), tzinfo=dt.UTC)

    window = Freeze("night", "UTC", hours=(22 * 60, 6 * 60))
    plan = replace(plan, valid_until=dt.datetime(2026, 12, 1, tzinfo=dt.UTC))
    found = run_applying(house, plan, freeze=(window,), now=now)
    assert found[plan.items[0].resource_id] == "done"
    assert house.changing["ec2:StopInstances"] == 1
    assert all("freeze window 'night'" in found[each.resource_id] for each in plan.items[1:])


def test_consent_is_asked_again_before_every_batch(house: House) -> None:
    house.write(remediation=batches(size=1))
    things = [house.instance() for _ in range(3)]
    plan = house.plan(*things)
    applied = work.apply(
        replace(
            order_of(plan),
            consent=lambda _item: "not approved: expired" if house.changing["ec2:StopInstances"] else "",
        ),
        house.hands(),
    )
    assert house.changing["ec2:StopInstances"] == 1
    assert sorted(house.outcomes(applied).values()) == ["done", "held", "held"]


# --- Going on -------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """As if the process had been killed there: nothing catches it."""


def break_off(house: House, plan: Plan, after: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Applies until just after the first journal line of this kind; the run's id."""
    write = Journal.write

    def dying(self: Journal, event: str, /, **fields: Any) -> None:
        write(self, event, **fields)
        if event == after:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "write", dying)
        with pytest.raises(Killed):
            house.apply(plan)
    return house.broken_off()


@pytest.mark.parametrize("after", ["started", "intent", "acted", "outcome"])
def test_a_resumed_remediation_repeats_and_forgets_nothing(
    house: House, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = house.plan(house.volume(), house.logs())
    run_id = break_off(house, plan, after, monkeypatch)
    assert any("broke off" in each and run_id in each for each in house.heard.sentences)
    applied = house.apply(plan, resume=run_id)
    assert applied.run_id == run_id
    assert set(house.outcomes(applied).values()) == {Outcome.DONE}
    assert set(house.changing.values()) == {1}
    assert len(house.rows(applied)) == 3


def test_what_was_begun_is_told_as_it_is_even_in_a_freeze_window(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, other = house.instance(), house.instance()
    plan = house.plan(begun, other)
    run_id = break_off(house, plan, "acted", monkeypatch)
    first = plan.items[0].resource_id
    house.write(remediation={"freeze": [{"name": "always", "hours": "00:00-24:00"}]})
    applied = house.apply(plan, resume=run_id)
    outcomes = house.outcomes(applied)
    assert outcomes.pop(first) is Outcome.DONE, "it was stopped before the window, and AWS shows it"
    assert set(outcomes.values()) == {Outcome.HELD}
    assert house.changing == {"ec2:StopInstances": 1}
    assert [each["outcome"] for each in house.rows(applied) if each["resource_id"] == first] == ["done"]


@pytest.mark.parametrize(
    ("orders", "told"),
    [
        ({"freeze": [{"name": "always", "hours": "00:00-24:00"}]}, "freeze window 'always'"),
        ({}, "refused since"),
    ],
)
def test_what_was_only_meant_before_a_window_or_a_refusal_is_not_done_in_it(
    house: House, orders: dict[str, Any], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    thing = house.instance()
    plan = house.plan(thing)
    run_id = break_off(house, plan, "intent", monkeypatch)
    house.write(remediation=orders)
    applied = house.apply(plan, resume=run_id, refuse="" if orders else told)
    assert house.outcomes(applied) == {thing.id: Outcome.HELD}
    assert house.reasons(applied)[thing.id].startswith(told)
    assert not house.changing


def test_the_second_step_waits_for_consent_too(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy was made, and then somebody refused: the original stays."""
    thing = house.volume()
    plan = house.plan(thing)
    run_id = break_off(house, plan, "outcome", monkeypatch)
    applied = house.apply(plan, resume=run_id, refuse="refused by Ingrid")
    assert house.outcomes(applied) == {thing.id: Outcome.HELD}
    assert house.state(thing) == "available"
    assert [each["outcome"] for each in house.rows(applied)] == ["done", "held"]


def test_what_was_acted_on_is_unverified_when_its_account_cannot_be_entered_any_more(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    thing = house.instance()
    plan = house.plan(thing)
    run_id = break_off(house, plan, "acted", monkeypatch)
    house.write(role={"name": "reader", "external_id": "house-1"})
    house.proxy.decide = always(Fault.DENIED, "sts:AssumeRole")
    applied = house.apply(plan, resume=run_id)
    assert house.outcomes(applied) == {thing.id: Outcome.UNVERIFIED}
    assert "sts:AssumeRole" in house.reasons(applied)[thing.id]
    assert [each["outcome"] for each in house.rows(applied)] == ["unverified"]


def test_what_was_acted_on_is_unverified_when_its_policy_is_not_known_any_more(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    thing = house.instance()
    plan = house.plan(thing)
    run_id = break_off(house, plan, "acted", monkeypatch)
    house.write(policies={"keep-logs": POLICIES["keep-logs"]})
    applied = house.apply(plan, resume=run_id)
    assert house.outcomes(applied)[thing.id] is not Outcome.HELD


def test_a_remediation_goes_on_with_its_own_plan_alone(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, other = house.plan(house.instance()), house.plan(house.logs())
    run_id = break_off(house, plan, "intent", monkeypatch)
    with pytest.raises(EvidenceError, match="begun with another plan"):
        house.apply(other, resume=run_id)
    assert set(house.outcomes(house.apply(plan, resume="latest")).values()) == {Outcome.DONE}


def test_approvals_are_in_the_evidence_even_when_it_broke_off_before_they_were(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    from finops_policy.evidence.bundle import BundleWriter

    plan = house.plan(house.instance())
    order = replace(order_of(plan), files=lambda: {"approvals/sam.dsse.json": b"{}"})
    write = BundleWriter.write

    def dying(self: BundleWriter, relative: str, data: bytes) -> None:
        if relative.startswith("approvals/"):
            raise Killed
        write(self, relative, data)

    with monkeypatch.context() as patch:
        patch.setattr(BundleWriter, "write", dying)
        with pytest.raises(Killed):
            work.apply(order, house.hands())
    applied = work.apply(order, house.hands(), house.broken_off())
    assert (applied.folder / "approvals" / "sam.dsse.json").read_bytes() == b"{}"
    house.rows(applied)


def test_what_is_sealed_cannot_go_on(house: House) -> None:
    plan = house.plan(house.instance())
    applied = house.apply(plan)
    with pytest.raises(EvidenceError, match="complete: there is nothing to resume"):
        house.apply(plan, resume=applied.run_id)


def test_two_at_once_are_one(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = house.plan(house.instance())
    refused: list[str] = []
    take = Stepper.take

    def nested(self: Stepper, *arguments: Any, **named: Any) -> Any:
        try:
            house.apply(plan)
        except EvidenceError as error:
            refused.append(str(error))
        return take(self, *arguments, **named)

    monkeypatch.setattr(Stepper, "take", nested)
    house.apply(plan)
    assert len(refused) == 1
    assert "Another remediation of house is under way" in refused[0]
    assert house.changing == {"ec2:StopInstances": 1}
