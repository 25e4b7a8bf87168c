"""PURE: what differs between two sets of plain Cloud Custodian policies, by name."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from finops_policy.changes.filters import Reach, compare_all, text
from finops_policy.changes.model import Change, Effect, Kind, PlainPolicy, Section, path_of
from finops_policy.changes.remediation import compare_actions

SAYS: Final = ("comment", "comments", "description", "metadata", "tags", "title", "name")
"""Keys that nothing is selected or done by."""
EFFECTS: Final = {
    Reach.MORE: Effect.TIGHTENS,
    Reach.FEWER: Effect.LOOSENS,
    Reach.SAME: Effect.NEUTRAL,
    Reach.UNCLEAR: Effect.UNCLEAR,
}

Key = tuple[str, str, int]


def compare_plain(old: Iterable[PlainPolicy], new: Iterable[PlainPolicy], unread: Iterable[str]) -> list[Change]:
    """``unread`` are files that cannot be read on one side: what they hold is neither gone nor new."""
    passed = set(unread)
    before = {_key(each): each for each in old if each.path not in passed}
    after = {_key(each): each for each in new if each.path not in passed}
    same = {key: key for key in before if key in after}
    same |= _elsewhere(before.keys() - same.keys(), after.keys() - same.keys())
    found = [_whole(before[key], Kind.REMOVED) for key in before.keys() - same.keys()]
    found += [_whole(after[key], Kind.ADDED) for key in after.keys() - set(same.values())]
    for was, now in same.items():
        found += _policy(before[was], after[now])
    return found


def _key(policy: PlainPolicy) -> Key:
    return policy.path, policy.name, policy.index


def _elsewhere(gone: set[Key], come: set[Key]) -> dict[Key, Key]:
    """Policies that moved to another file: of a name that went once and came once."""
    by_name: dict[str, list[Key]] = defaultdict(list)
    for key in come:
        by_name[key[1]].append(key)
    counts = Counter(key[1] for key in gone)
    return {key: by_name[key[1]][0] for key in gone if counts[key[1]] == 1 and len(by_name[key[1]]) == 1}


def _change(policy: PlainPolicy, field: str, old: Any, new: Any, effect: Effect, why: str, kind: Kind) -> Change:
    number = f" ({policy.index + 1})" if policy.index else ""
    item = f"policy {policy.name}{number}"
    return Change(Section.PLAIN, policy.path, item, field, kind, old, new, effect, why, policy.mark)


def _whole(policy: PlainPolicy, kind: Kind) -> Change:
    resource = policy.document.get("resource")
    if kind is Kind.ADDED:
        return _change(policy, "", None, resource, Effect.TIGHTENS, "one policy more", kind)
    return _change(policy, "", resource, None, Effect.LOOSENS, "one policy less", kind)


def _policy(old: PlainPolicy, new: PlainPolicy) -> Iterator[Change]:
    def change(field: str, before: Any, after: Any, effect: Effect, why: str) -> Change:
        return _change(new, field, before, after, effect, why, Kind.CHANGED)

    if old.path != new.path:
        yield change("file", old.path, new.path, Effect.NEUTRAL, "only its place")
    was, now = old.document, new.document
    for key in sorted({*was, *now}):
        before, after = was.get(key), now.get(key)
        if text(before) == text(after):
            continue
        if key == "filters" and _is_list(before) and _is_list(after):
            for each in compare_all(before or (), after or (), lambda value: value):
                yield change(path_of((key, *each.steps)), each.old, each.new, EFFECTS[each.reach], each.why)
        elif key == "actions" and _is_list(before) and _is_list(after):
            reach, why = compare_actions(before or (), after or ())
            yield change(key, before, after, EFFECTS[reach], why)
        elif key == "resource" and _resource(before) == _resource(after):
            yield change(key, before, after, Effect.NEUTRAL, "the same type of resource")
        elif key in SAYS:
            yield change(key, before, after, Effect.NEUTRAL, "what people read; nothing is found or done differently")
        else:
            yield change(key, before, after, Effect.UNCLEAR, _WHYS.get(key, "it may find or do more, or less"))


def _is_list(value: Any) -> bool:
    return value is None or isinstance(value, list)


def _resource(value: Any) -> Any:
    return f"aws.{value}" if isinstance(value, str) and "." not in value else value


_WHYS: Final[Mapping[str, str]] = {
    "resource": "it judges other resources",
    "mode": "it runs at other times, or elsewhere",
    "query": "other resources are asked for",
    "source": "resources are read from elsewhere",
    "conditions": "it runs under other conditions",
}
