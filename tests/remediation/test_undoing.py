"""Undoing: from evidence that stands the test, the last first, as far as AWS lets it, nothing that changed since."""

from __future__ import annotations

from typing import Any

import pytest

from finops_policy.errors import EvidenceError, UsageError
from finops_policy.evidence.store import read_run
from finops_policy.remediation import work
from finops_policy.remediation.journal import JOURNAL, Journal
from finops_policy.remediation.model import Outcome
from finops_policy.remediation.recording import Applied
from tests.engine.faults import Fault, always
from tests.remediation.engine_kit import POLICIES, House, Thing

WITHOUT_COPY = dict(POLICIES["drop-volumes"]) | {"remediation": {"actions": ["delete"], "destructive": True}}


def applied_all(house: House) -> tuple[Applied, list[Thing]]:
    things = [house.instance(), house.volume(), house.function(), house.logs()]
    applied = house.apply(house.plan(*things))
    assert set(house.outcomes(applied).values()) == {Outcome.DONE}
    house.proxy.clear(lambda _call: None)
    return applied, things


def test_everything_is_taken_back_the_last_first(house: House) -> None:
    applied, [stop, drop, cap, keep] = applied_all(house)
    house.heard.ends.clear()
    undone = house.undo(applied)
    assert set(house.outcomes(undone).values()) == {Outcome.UNDONE}
    assert [each for each, _, _ in house.heard.ends] == [item.resource_id for item, _, _ in reversed(applied.outcomes)]
    assert [house.state(each) for each in (stop, cap, keep)] == ["running", None, None]
    [volume] = house.client("ec2").describe_volumes(Filters=[{"Name": "status", "Values": ["available"]}])["Volumes"]
    assert volume["VolumeId"] != drop.id
    assert (volume["Size"], volume["VolumeType"]) == (10, "gp3")
    assert {each["Key"]: each["Value"] for each in volume["Tags"]}["idle"] == "yes"
    assert volume["SnapshotId"] in house.snapshots()
    rows = house.rows(undone)
    assert {each["action"] for each in rows} == {
        "undo:stop",
        "undo:snapshot",
        "undo:delete",
        "undo:set-concurrency",
        "undo:retention",
    }
    assert {each["outcome"] for each in rows} == {"undone"}
    record = read_run(undone.folder).data
    assert (record["kind"], record["undoes"]) == ("undo", applied.run_id)
    assert (undone.folder / "undoes.json").read_bytes() == (applied.folder / "run.json").read_bytes()


def test_undoing_twice_changes_nothing_the_second_time(house: House) -> None:
    applied, things = applied_all(house)
    house.undo(applied)
    states, calls = [house.state(each) for each in things], dict(house.changing)
    again = house.undo(applied)
    assert house.changing == calls
    assert [house.state(each) for each in things] == states
    assert house.outcomes(again)[things[0].id] is Outcome.HELD


def test_only_the_items_asked_for(house: House) -> None:
    applied, [stop, _, cap, _] = applied_all(house)
    [chosen] = [item.id for item, _, _ in applied.outcomes if item.resource_id == stop.id]
    undone = house.undo(applied, chosen)
    assert house.outcomes(undone) == {stop.id: Outcome.UNDONE}
    assert house.state(cap) == 0
    with pytest.raises(UsageError, match="has no item 'nothing'"):
        house.undo(applied, "nothing")


def test_what_cannot_be_undone_says_so_and_stays(house: House) -> None:
    house.write(policies={"drop-volumes": WITHOUT_COPY})
    thing = house.volume()
    applied = house.apply(house.plan(thing))
    told = work.undoable(applied.folder, frozenset())
    assert [(step.undo.possible.value, outcome) for _, step, outcome in told] == [("no", Outcome.DONE)]
    undone = house.undo(applied)
    assert house.outcomes(undone) == {thing.id: Outcome.HELD}
    assert house.reasons(undone)[thing.id].startswith("cannot be undone: no snapshot is made before it")
    assert house.changing == {"ec2:DeleteVolume": 1}
    assert [each["outcome"] for each in house.rows(undone)] == ["held"]


def test_what_somebody_changed_since_is_left_alone(house: House) -> None:
    applied, [stop, _, cap, keep] = applied_all(house)
    house.client("ec2").start_instances(InstanceIds=[stop.id])
    house.client("lambda").put_function_concurrency(FunctionName=cap.id, ReservedConcurrentExecutions=7)
    house.client("logs").put_retention_policy(logGroupName=keep.id, retentionInDays=7)
    house.proxy.clear(lambda _call: None)
    undone = house.undo(applied)
    outcomes = house.outcomes(undone)
    for each in (stop, cap, keep):
        assert outcomes[each.id] is Outcome.HELD
        assert house.reasons(undone)[each.id].startswith("what was done is not in place any more: ")
    assert [house.state(each) for each in (stop, cap, keep)] == ["running", 7, 7]
    assert set(house.changing) == {"ec2:CreateVolume"} or set(house.changing) == {"ec2:CreateVolume", "ec2:CreateTags"}


def test_what_was_held_is_not_undone(house: House) -> None:
    thing = house.instance()
    applied = house.apply(house.plan(thing), refuse="not approved")
    undone = house.undo(applied)
    assert house.reasons(undone) == {thing.id: "nothing was done to it"}
    assert not house.changing


def test_an_undo_is_not_undone(house: House) -> None:
    applied = house.apply(house.plan(house.instance()))
    undone = house.undo(applied)
    with pytest.raises(UsageError, match="took something back"):
        house.undo(undone)
    found = work.find_applied(house.store, "house", "latest", house.key, ())
    assert found == applied.folder, "latest is the latest that acted"


@pytest.mark.parametrize("name", [JOURNAL, "plan.json", "run.json", "actions/123456789012_us-east-1.parquet"])
def test_evidence_that_somebody_touched_undoes_nothing(house: House, name: str) -> None:
    thing = house.instance()
    applied = house.apply(house.plan(thing))
    path = applied.folder / name
    data = path.read_bytes()
    changed = data.replace(b"m5.large", b"x9.large") if b"m5.large" in data else data.replace(b"house", b"mouse", 1)
    path.write_bytes(changed if changed != data else data[:-8] + b"tampered")
    with pytest.raises(EvidenceError):
        house.undo(applied)
    assert house.state(thing) == "stopped"


def test_evidence_of_which_something_is_missing_undoes_nothing(house: House) -> None:
    thing = house.instance()
    applied = house.apply(house.plan(thing))
    (applied.folder / JOURNAL).unlink()
    with pytest.raises(EvidenceError, match="is not as it was sealed"):
        house.undo(applied)


def test_what_is_not_sealed_is_no_evidence_to_undo_by(house: House) -> None:
    applied = house.apply(house.plan(house.instance()))
    (applied.folder / "run.json").unlink()
    with pytest.raises(EvidenceError, match="not sealed"):
        house.undo(applied)


class Killed(BaseException):
    """As if the process had been killed there."""


@pytest.mark.parametrize("after", ["started", "intent", "acted", "outcome"])
def test_a_resumed_undo_repeats_and_forgets_nothing(house: House, after: str, monkeypatch: pytest.MonkeyPatch) -> None:
    drop, keep = house.volume(), house.logs()
    applied = house.apply(house.plan(drop, keep))
    house.proxy.clear(lambda _call: None)
    write = Journal.write

    def dying(self: Journal, event: str, /, **fields: Any) -> None:
        write(self, event, **fields)
        if event == after:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "write", dying)
        with pytest.raises(Killed):
            house.undo(applied)
    undone = house.undo(applied, resume=house.broken_off())
    assert set(house.outcomes(undone).values()) == {Outcome.UNDONE}
    assert (house.changing["ec2:CreateVolume"], house.changing["logs:DeleteRetentionPolicy"]) == (1, 1)
    assert len(house.client("ec2").describe_volumes()["Volumes"]) == 1
    house.rows(undone)


def test_a_volume_made_just_before_it_broke_off_is_not_made_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    from finops_policy.remediation.recipes import ebs

    applied = house.apply(house.plan(house.volume()))
    undo = ebs.Delete.undo

    def dying(self: ebs.Delete, *arguments: Any) -> dict[str, Any]:
        undo(self, *arguments)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(ebs.Delete, "undo", dying)
        with pytest.raises(Killed):
            house.undo(applied)
    undone = house.undo(applied, resume=house.broken_off())
    assert set(house.outcomes(undone).values()) == {Outcome.UNDONE}
    assert len(house.client("ec2").describe_volumes()["Volumes"]) == 1


@pytest.mark.parametrize(
    ("decide", "outcome"),
    [
        (always(Fault.DENIED, "ec2:StartInstances"), Outcome.FAILED),
        (always(Fault.BROKEN, "ec2:StartInstances"), Outcome.FAILED),
        (always(Fault.SHORT, "ec2:StartInstances"), Outcome.UNDONE),
    ],
)
def test_what_aws_refuses_is_not_undone_and_what_it_did_is(house: House, decide: Any, outcome: Outcome) -> None:
    thing = house.instance()
    applied = house.apply(house.plan(thing))
    house.proxy.clear(decide)
    undone = house.undo(applied)
    assert house.outcomes(undone) == {thing.id: outcome}
    assert house.state(thing) == ("running" if outcome is Outcome.UNDONE else "stopped")
    [row] = house.rows(undone)
    assert row["error"]


def test_nobody_knows_what_became_of_an_undo_whose_account_is_shut(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied = house.apply(house.plan(house.instance()))
    write = Journal.write

    def dying(self: Journal, event: str, /, **fields: Any) -> None:
        write(self, event, **fields)
        if event == "acted":
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "write", dying)
        with pytest.raises(Killed):
            house.undo(applied)
    house.write(role={"name": "reader", "external_id": "house-1"})
    house.proxy.decide = always(Fault.DENIED, "sts:AssumeRole")
    undone = house.undo(applied, resume=house.broken_off())
    assert set(house.outcomes(undone).values()) == {Outcome.UNVERIFIED}
