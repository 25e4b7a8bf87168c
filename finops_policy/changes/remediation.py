"""PURE: whether a remediation does more than another, or less. In a :class:`Difference` ``more`` means that more is
done, sooner, or to more resources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from finops_policy.changes.filters import ABSENT, Difference, Reach, Resolve, text

COPIES: Final = ("snapshot", "backup", "create-backup", "create-image", "copy", "copy-snapshot")
"""Actions after which less is lost: without them there is less done, and more gone."""
_LIMITS: Final = {"count": "resources", "percent": "percent of the resources"}


def compare_remediation(old: Mapping[str, Any], new: Mapping[str, Any], resolve: Resolve) -> list[Difference]:
    if not old or not new:
        if not old and not new:
            return []
        reach = Reach.MORE if new else Reach.FEWER
        why = "something can be done about a finding" if new else "nothing is done about a finding any more"
        return [Difference((), dict(old) or ABSENT, dict(new) or ABSENT, reach, why)]
    return list(_fields(old, new, resolve))


def compare_actions(old: Sequence[Any], new: Sequence[Any]) -> tuple[Reach, str]:
    """What another list of Cloud Custodian actions does."""
    before, after = list(map(text, old)), list(map(text, new))
    if before == after:
        return Reach.SAME, "written otherwise, with the same meaning"
    moved = [each for each in (*old, *new) if text(each) not in before or text(each) not in after]
    if any((each.get("type") if isinstance(each, Mapping) else each) in COPIES for each in moved):
        return Reach.UNCLEAR, "a step that keeps a copy came, went or changed"
    if _within(before, after):
        return Reach.MORE, "more actions"
    if _within(after, before):
        return Reach.FEWER, "fewer actions"
    return Reach.UNCLEAR, "other actions, or another order of them"


def _within(few: list[str], many: list[str]) -> bool:
    """Whether ``many`` has all of ``few``, in that order."""
    rest = iter(many)
    return all(each in rest for each in few)


def _fields(old: Mapping[str, Any], new: Mapping[str, Any], resolve: Resolve) -> Iterator[Difference]:
    for key in sorted({*old, *new}):
        before, after = old.get(key, ABSENT), new.get(key, ABSENT)
        if text(before) == text(after):
            continue
        if key == "max":
            yield from _limits(before or {}, after or {})
        else:
            yield Difference((key,), before, after, *_field(key, resolve(before), resolve(after)))


def _field(key: str, before: Any, after: Any) -> tuple[Reach, str]:
    match key:
        case "actions":
            return compare_actions(before or (), after or ())
        case "grace_days":
            return _grace(before, after)
        case "backup":
            return Reach.UNCLEAR, "a step that keeps a copy came, went or changed"
        case "undo":
            return Reach.SAME, "how it is taken back; nothing is found or done differently"
        case "destructive":
            return Reach.UNCLEAR, "which safeguards apply, not what is done"
        case _:
            return Reach.UNCLEAR, "it may do more, or less"


def _grace(before: Any, after: Any) -> tuple[Reach, str]:
    """No grace is none at all: the action comes at once."""
    days = [0 if each is ABSENT else each for each in (before, after)]
    if not all(isinstance(each, int | float) for each in days):
        return Reach.UNCLEAR, "the days of grace are no numbers"
    if days[0] == days[1]:
        return Reach.SAME, "the same grace, written otherwise"
    sooner = days[1] < days[0]
    return (
        Reach.MORE if sooner else Reach.FEWER
    ), f"a {'shorter' if sooner else 'longer'} grace: it acts {'sooner' if sooner else 'later'}"


def _limits(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Difference]:
    for key, unit in _LIMITS.items():
        before, after = old.get(key, ABSENT), new.get(key, ABSENT)
        if before == after:
            continue
        raised = after is ABSENT or (before is not ABSENT and after > before)
        limit = (
            "no limit"
            if after is ABSENT
            else "a higher limit"
            if raised
            else "a limit"
            if before is ABSENT
            else "a lower limit"
        )
        yield Difference(
            ("max", key),
            before,
            after,
            Reach.MORE if raised else Reach.FEWER,
            f"{limit} on the {unit} acted on at once",
        )
