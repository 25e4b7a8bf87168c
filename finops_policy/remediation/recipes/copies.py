"""Snapshots that an action made, told from those that were there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from finops_policy.remediation.recipes.common import described
from finops_policy.remediation.recipes.recipe import Seen, Site, State, Undo, Undoable

KEPT = Undo(
    Undoable.YES,
    "nothing to take back: making a copy changes nothing; the copy stays, and costs until somebody deletes it",
)
STAYS = Seen(State.REACHED, "nothing was changed; the copy stays")


def snapshots_of(site: Site, volume_ids: Sequence[str]) -> list[dict[str, Any]]:
    """The account's snapshots of volumes, by id; of no volume there are none."""
    if not volume_ids:
        return []
    by_volume = [{"Name": "volume-id", "Values": list(volume_ids)}]
    found = described(site.client("ec2"), "describe_snapshots", "Snapshots", OwnerIds=["self"], Filters=by_volume)
    return sorted(found, key=lambda each: str(each["SnapshotId"]))


def seen_snapshots(site: Site, volume_ids: Sequence[str], known: Sequence[str], ours: Callable[[str], bool]) -> Seen:
    """Whether each volume has a snapshot that is not among ``known`` and whose description is ``ours``.

    One that failed does not count: acting again makes the one that is missing. With several of one volume the newest
    counts. ``made["snapshots"]`` are in the order of ``volume_ids``.
    """
    newest: dict[str, Mapping[str, Any]] = {}
    failed = []
    for each in snapshots_of(site, volume_ids):
        if each["SnapshotId"] in known or not ours(str(each.get("Description", ""))):
            continue
        if each.get("State") == "error":
            failed.append(f"{each['SnapshotId']} failed: {each.get('StateMessage') or 'AWS does not say why'}")
            continue
        other = newest.get(each["VolumeId"])
        if other is None or other["StartTime"] <= each["StartTime"]:
            newest[each["VolumeId"]] = each
    missing = [volume_id for volume_id in volume_ids if volume_id not in newest]
    if not newest:
        return Seen(State.NOT_REACHED, "; ".join(["there is no new snapshot", *failed]))
    made = {"snapshots": [newest[each]["SnapshotId"] for each in volume_ids if each in newest]}
    if missing:
        return Seen(State.PENDING, f"no new snapshot of {', '.join(missing)} yet", made=made)
    states = {each["SnapshotId"]: each.get("State", "unknown") for each in newest.values()}
    if waiting := sorted(each for each, state in states.items() if state != "completed"):
        says = ", ".join(f"{each} is {states[each]}" for each in waiting)
        return Seen(State.PENDING, says, {"snapshots": states}, made)
    return Seen(State.REACHED, "", {"snapshots": states}, made)
