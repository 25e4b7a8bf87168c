"""AWS, its network and this machine on a bad day: nothing is told as done that is not, and nothing done as undone."""

from __future__ import annotations

import tempfile
import types
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from finops_policy.errors import EvidenceError
from finops_policy.evidence.store import LocalStore
from finops_policy.remediation import work
from finops_policy.remediation.journal import JOURNAL, Journal
from finops_policy.remediation.model import Outcome
from finops_policy.remediation.recipes import ebs, ec2
from finops_policy.remediation.recipes.recipe import Seen, State
from tests.engine.faults import Call, Decide, Fault, always, first_of
from tests.remediation.engine_kit import AT_ONCE, House, Thing, order_of
from tests.unit.evidence_kit import largest_file, unprivileged

MAKERS: dict[str, Callable[[House], Thing]] = {
    "stop-idle": lambda house: house.instance(),
    "drop-volumes": lambda house: house.volume(),
    "cap-functions": lambda house: house.function(),
    "keep-logs": lambda house: house.logs(),
}
UNTOUCHED = {"stop-idle": "running", "drop-volumes": "available", "cap-functions": None, "keep-logs": None}
FIRST_CALL = {
    "stop-idle": "ec2:StopInstances",
    "drop-volumes": "ec2:CreateSnapshot",
    "cap-functions": "lambda:PutFunctionConcurrency",
    "keep-logs": "logs:PutRetentionPolicy",
}


def second_time(decide: Decide) -> Decide:
    """A fault from the second call of each kind on."""
    return lambda call: decide(call) if call.number else None


@pytest.fixture(autouse=True)
def _without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """c7n waits up to minutes before it tries again what was throttled."""
    import c7n.utils

    hasty = types.SimpleNamespace(**{**vars(c7n.utils.time), "sleep": lambda _seconds: None})
    monkeypatch.setattr(c7n.utils, "time", hasty)


@pytest.mark.parametrize("policy", MAKERS)
@pytest.mark.parametrize("fault", [Fault.DENIED, Fault.THROTTLED, Fault.BROKEN, Fault.RESET])
def test_what_aws_refuses_is_failed_with_its_error(house: House, policy: str, fault: Fault) -> None:
    thing = MAKERS[policy](house)
    plan = house.plan(thing)
    house.proxy.clear(always(fault, FIRST_CALL[policy]))
    applied = house.apply(plan)
    assert house.outcomes(applied) == {thing.id: Outcome.FAILED}
    assert house.state(thing) == UNTOUCHED[policy]
    [row] = house.rows(applied)
    assert (row["outcome"], row["action"]) == ("failed", plan.items[0].steps[0].name)
    assert row["error"]
    if fault is Fault.DENIED:
        assert FIRST_CALL[policy].partition(":")[2] in row["error"]
    assert not house.snapshots()


def test_a_second_step_that_is_refused_leaves_the_first_done(house: House) -> None:
    thing = house.volume()
    plan = house.plan(thing)
    house.proxy.clear(always(Fault.DENIED, "ec2:DeleteVolume"))
    applied = house.apply(plan)
    assert house.outcomes(applied) == {thing.id: Outcome.FAILED}
    assert house.state(thing) == "available"
    rows = house.rows(applied)
    assert [(each["action"], each["outcome"]) for each in rows] == [("snapshot", "done"), ("delete", "failed")]
    assert rows[0]["made"] == {"snapshots": house.snapshots()}
    assert "DeleteVolume" in rows[1]["error"]


def test_without_its_copy_nothing_is_deleted(house: House) -> None:
    thing = house.volume()
    plan = house.plan(thing)
    house.proxy.clear(always(Fault.DENIED, "ec2:CreateSnapshot"))
    house.apply(plan)
    assert house.state(thing) == "available"
    assert "ec2:DeleteVolume" not in house.changing


@pytest.mark.parametrize("policy", MAKERS)
@pytest.mark.parametrize("fault", [Fault.SHORT, Fault.CUT])
def test_an_error_although_it_took_effect_is_done_and_keeps_the_error(house: House, policy: str, fault: Fault) -> None:
    thing = MAKERS[policy](house)
    plan = house.plan(thing)
    house.proxy.clear(always(fault, FIRST_CALL[policy]))
    applied = house.apply(plan)
    first = house.rows(applied)[0]
    if house.proxy.injected[fault] and first["error"]:
        assert house.changing[FIRST_CALL[policy]] == 1
    assert first["outcome"] == "done"
    assert house.state(thing) != UNTOUCHED[policy]
    assert house.outcomes(applied) == {thing.id: Outcome.DONE}


def test_the_error_is_kept_beside_the_proof(house: House) -> None:
    thing = house.instance()
    plan = house.plan(thing)
    house.proxy.clear(always(Fault.SHORT, "ec2:StopInstances"))
    [row] = house.rows(house.apply(plan))
    assert (row["outcome"], row["after"]) == ("done", {"state": "stopped"})
    assert row["error"]


# --- Success without effect -----------------------------------------------------------------------------------------


def _pretend(house: House, monkeypatch: pytest.MonkeyPatch, policy: str) -> None:
    """The server answers that it was done, and does nothing."""
    from moto.awslambda.models import LambdaBackend
    from moto.ec2.models import EC2Backend
    from moto.logs.models import LogsBackend

    def volume(self: Any, volume_id: str) -> Any:
        return self.volumes[volume_id]

    def stopped(self: Any, instance_ids: list[str]) -> Any:
        """moto's template reads the former and the new state of each."""
        found = [self.get_instance(each) for each in instance_ids]
        return [(each, types.SimpleNamespace(code=16, name="running")) for each in found]

    monkeypatch.setattr(EC2Backend, "stop_instances", stopped)
    monkeypatch.setattr(EC2Backend, "delete_volume", volume)
    monkeypatch.setattr(LambdaBackend, "put_function_concurrency", lambda _self, _name, reserved: reserved)
    monkeypatch.setattr(LogsBackend, "put_retention_policy", lambda *_arguments: None)


@pytest.mark.parametrize("policy", MAKERS)
def test_success_without_effect_is_failed(house: House, policy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    thing = MAKERS[policy](house)
    plan = house.plan(thing)
    _pretend(house, monkeypatch, policy)
    applied = house.apply(plan)
    assert house.outcomes(applied) == {thing.id: Outcome.FAILED}
    assert house.state(thing) == UNTOUCHED[policy]
    row = house.rows(applied)[-1]
    assert (row["outcome"], row["error"]) == ("failed", "")
    assert row["reason"], "why, by what AWS shows"


def test_what_aws_does_not_tell_is_unverified(house: House) -> None:
    thing = house.instance()
    plan = house.plan(thing)

    def decide(call: Call) -> Fault | None:
        stopped = house.proxy.calls["ec2:StopInstances"]
        return Fault.DENIED if stopped and call.action == "ec2:DescribeInstances" else None

    house.proxy.clear(decide)
    applied = house.apply(plan)
    assert house.outcomes(applied) == {thing.id: Outcome.UNVERIFIED}
    [row] = house.rows(applied)
    assert "DescribeInstances" in row["reason"]
    house.proxy.clear(lambda _call: None)
    assert house.state(thing) == "stopped", "it was done, and nobody claims it"


def test_what_is_on_its_way_too_long_is_unverified(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    thing = house.instance()
    plan = house.plan(thing)
    monkeypatch.setattr(ec2.Stop, "seen", lambda *_arguments: Seen(State.PENDING, "it is stopping"))
    hands = replace(house.hands(), patience=replace(AT_ONCE, seconds=0.05))
    applied = work.apply(order_of(plan), hands)
    assert house.outcomes(applied) == {thing.id: Outcome.UNVERIFIED}
    assert house.reasons(applied) == {thing.id: "it is stopping"}


def test_one_bad_look_is_not_believed(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS may lag behind: it is asked again, ever more rarely."""
    thing = house.instance()
    plan = house.plan(thing)
    answers = [Seen(State.NOT_REACHED, "it is running"), Seen(State.PENDING), Seen(State.PENDING), Seen(State.PENDING)]
    seen = ec2.Stop.seen
    pauses: list[float] = []
    monkeypatch.setattr(ec2.Stop, "seen", lambda *each: answers.pop(0) if answers else seen(*each))
    patience = replace(AT_ONCE, pause=2.0, longest=5.0, sleep=pauses.append)
    applied = work.apply(order_of(plan), replace(house.hands(), patience=patience))
    assert house.outcomes(applied) == {thing.id: Outcome.DONE}
    assert pauses == [2.0, 4.0, 5.0, 5.0]


def test_a_pending_copy_is_waited_for_before_the_original_goes(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    thing = house.volume()
    plan = house.plan(thing)
    order: list[str] = []
    seen = ebs.Snapshot.seen

    def slow(self: ebs.Snapshot, *arguments: Any) -> Seen:
        found = seen(self, *arguments)
        order.append(f"deleted {house.changing['ec2:DeleteVolume']}")
        return found if len(order) > 3 else replace(found, state=State.PENDING)

    monkeypatch.setattr(ebs.Snapshot, "seen", slow)
    applied = house.apply(plan)
    assert house.outcomes(applied) == {thing.id: Outcome.DONE}
    assert set(order) == {"deleted 0"}
    assert len(order) == 4


# --- Before acting --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [Fault.DENIED, Fault.THROTTLED, Fault.RESET, Fault.BROKEN])
def test_what_cannot_be_looked_at_again_is_not_acted_on(house: House, fault: Fault) -> None:
    thing, other = house.instance(), house.logs()
    plan = house.plan(thing, other)
    house.proxy.clear(always(fault, "ec2:DescribeInstances"))
    applied = house.apply(plan)
    assert house.outcomes(applied) == {thing.id: Outcome.HELD, other.id: Outcome.DONE}
    assert house.reasons(applied)[thing.id].startswith("it cannot be looked at again: ")
    assert "ec2:StopInstances" not in house.changing


def test_values_that_cannot_be_read_at_the_last_moment_hold_the_item_and_nothing_else(house: House) -> None:
    """The first reading goes well, the one right before acting does not."""
    thing, other = house.instance(), house.volume()
    plan = house.plan(thing, other)
    house.proxy.clear(second_time(always(Fault.THROTTLED, "ec2:DescribeAddresses")))
    applied = house.apply(plan)
    assert house.outcomes(applied) == {thing.id: Outcome.HELD, other.id: Outcome.DONE}
    assert house.reasons(applied)[thing.id].startswith("what undoing it needs cannot be read: ")
    assert "ec2:StopInstances" not in house.changing


def test_gone_between_the_look_and_the_act(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else deletes it after it was looked at: what was to be reached is there, with AWS's error."""
    from moto.ec2.exceptions import InvalidVolumeIdError
    from moto.ec2.models import EC2Backend

    thing = house.volume()
    plan = house.plan(thing)
    delete = EC2Backend.delete_volume

    def too_late(self: Any, volume_id: str) -> Any:
        delete(self, volume_id)
        raise InvalidVolumeIdError(volume_id)

    monkeypatch.setattr(EC2Backend, "delete_volume", too_late)
    applied = house.apply(plan)
    row = house.rows(applied)[-1]
    assert (row["action"], row["outcome"]) == ("delete", "done")
    assert house.state(thing) == "gone"


# --- The network and this machine -----------------------------------------------------------------------------------


def test_a_network_that_dies_in_the_middle_claims_nothing(house: House) -> None:
    things = [house.instance(), house.function(), house.logs()]
    plan = house.plan(*things)
    done: list[str] = []

    def decide(call: Call) -> Fault | None:
        if call.action in FIRST_CALL.values():
            done.append(call.action)
        return Fault.RESET if done else None

    house.proxy.clear(decide)
    applied = house.apply(plan)
    house.proxy.clear(lambda _call: None)
    outcomes = house.outcomes(applied)
    assert Outcome.DONE not in outcomes.values()
    assert outcomes[plan.items[0].resource_id] is Outcome.UNVERIFIED
    assert [house.state(each) for each in things] == ["running", None, None]
    assert len(house.rows(applied)) == 3


def test_ctrl_c_leaves_a_journal_to_go_on_from(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = house.plan(house.instance(), house.instance())
    seen = ec2.Stop.seen

    def interrupted(*_arguments: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ec2.Stop, "seen", interrupted)
        with pytest.raises(KeyboardInterrupt):
            house.apply(plan)
    run_id = house.broken_off()
    assert house.heard.sentences[-1].endswith(f"--resume {run_id}")
    assert ec2.Stop.seen is seen
    applied = house.apply(plan, resume=run_id)
    assert set(house.outcomes(applied).values()) == {Outcome.DONE}
    assert house.changing == {"ec2:StopInstances": 2}


@pytest.mark.parametrize("event", ["started", "intent", "acted", "outcome"])
def test_a_full_disk_at_a_line_of_the_journal(house: House, event: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before acting nothing is done; after it, what was done is found again."""
    thing = house.instance()
    plan = house.plan(thing)
    write = Journal.write

    def full(self: Journal, kind: str, /, **fields: Any) -> None:
        if kind != event:
            write(self, kind, **fields)
            return
        with largest_file(self._path.stat().st_size + 9 if self._path.exists() else 9):
            write(self, kind, **fields)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "write", full)
        with pytest.raises(EvidenceError, match=JOURNAL):
            house.apply(plan)
    assert house.state(thing) == ("stopped" if event in ("acted", "outcome") else "running")
    applied = house.apply(plan, resume=house.broken_off())
    assert house.outcomes(applied) == {thing.id: Outcome.DONE}
    assert house.changing == {"ec2:StopInstances": 1}
    house.rows(applied)


def test_a_store_that_cannot_be_written_to_acts_on_nothing(house: House) -> None:
    thing = house.instance()
    plan, hands = house.plan(thing), house.hands()
    with tempfile.TemporaryDirectory() as name:
        customer = Path(name) / "customer=house"
        customer.mkdir(mode=0o500)
        with unprivileged(Path(name)), pytest.raises(EvidenceError, match="Permission denied"):
            work.apply(order_of(plan), replace(hands, store=LocalStore(Path(name))))
    assert not house.changing
    assert house.state(thing) == "running"


def test_evidence_says_of_everything_at_once_what_really_happened(house: House) -> None:
    house.write(remediation={"batches": {"wait_seconds": 0, "size": 50, "max_error_percent": 100}})
    good, refused, lost, late = (house.instance() for _ in range(4))
    logs, function = house.logs(), house.function()
    plan = house.plan(good, refused, lost, late, logs, function)
    house.client("ec2").terminate_instances(InstanceIds=[lost.id])
    house.tag(late, idle="no")
    stops = [each.resource_id for each in plan.items if each.resource_id in (good.id, refused.id)]
    number = stops.index(refused.id)
    one = always(Fault.DENIED, "ec2:StopInstances")
    house.proxy.clear(
        first_of(
            lambda call: one(call) if call.number == number else None,
            always(Fault.BROKEN, "logs:PutRetentionPolicy"),
            always(Fault.SHORT, "lambda:PutFunctionConcurrency"),
        )
    )
    applied = house.apply(plan)
    rows = {each["resource_id"]: each for each in house.rows(applied)}
    told = {name: row["outcome"] for name, row in rows.items()}
    assert told == {
        good.id: "done",
        refused.id: "failed",
        lost.id: "held",
        late.id: "held",
        logs.id: "failed",
        function.id: "done",
    }
    real = {
        good.id: house.state(good) == "stopped",
        refused.id: house.state(refused) == "stopped",
        late.id: house.state(late) == "stopped",
        logs.id: house.state(logs) == 30,
        function.id: house.state(function) == 0,
    }
    assert {name for name, acted in real.items() if acted} == {name for name, each in told.items() if each == "done"}
    assert {rows[each]["reason"] for each in (lost.id, late.id)} == {"out of the policy's scope now", "compliant now"}
    assert house.changing["ec2:StopInstances"] == 2
