"""Filters as the boolean expression they are, and which parts of it are true of every resource or of none.

Exact, for the ``value`` filters on one key at a time: what :mod:`values` tells apart is tried in full. Filters of other
kinds, and how keys hang together, are left open, so that what is found holds whatever the resources are. A filter and
its own opposite are found whatever their kind.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, TypeAlias

from finops_policy.lint.subject import GROUPS, LintedPolicy
from finops_policy.lint.values import EQUAL, ValueTest, World, answer, test_of, worlds
from finops_policy.sources import Steps, shown

MOST_LEAVES: Final = 1_000
"""Policies with more filters are left alone."""


@dataclass(frozen=True, eq=False)
class Leaf:
    """A filter. ``data`` is its long form; ``test`` is None where nobody here knows what it answers."""

    steps: Steps
    data: Mapping[str, Any]
    test: ValueTest | None

    def __str__(self) -> str:
        data = self.data
        if data["type"] != "value" or "value" not in data:
            return shown(str(data["type"]))
        kind = f" ({data['value_type']})" if "value_type" in data else ""
        op = f" {data['op']}" if "op" in data else ":"
        value = data["value"] if isinstance(data["value"], str) else json.dumps(data["value"], default=str)
        return shown(f"{data.get('key')}{kind}{op} {value}")

    @cached_property
    def text(self) -> str:
        return json.dumps(self.data, sort_keys=True, default=str)

    @cached_property
    def steady(self) -> bool:
        """Whether it says the same of a resource whatever else is looked at with it, and however often."""
        data = self.data
        related = data["type"] in ("reduce", "event") or data.get("value_type") == "resource_count"
        return not related and "malformed" not in data and "c7n" not in str(data.get("key", ""))

    @cached_property
    def subjects(self) -> frozenset[tuple[str, str, str] | None]:
        """What is read; None among them where nobody here knows."""
        return frozenset({self.test.subject if self.test else None})


@dataclass(frozen=True, eq=False)
class Group:
    """``kind`` is ``and``, ``or`` or ``not``, which is a "not all of"."""

    kind: str
    steps: Steps
    members: tuple[Node, ...]

    def __str__(self) -> str:
        return f"`{self.kind}`"

    @cached_property
    def text(self) -> str:
        return f"{self.kind}({','.join(each.text for each in self.members)})"

    @cached_property
    def steady(self) -> bool:
        return all(each.steady for each in self.members)

    @cached_property
    def subjects(self) -> frozenset[tuple[str, str, str] | None]:
        return frozenset().union(*(each.subjects for each in self.members))


Node: TypeAlias = Leaf | Group


@dataclass(frozen=True, slots=True)
class Part:
    """A filter or group, or its opposite."""

    node: Node
    positive: bool

    def __str__(self) -> str:
        return str(self.node) if self.positive else f"not {self.node}"


@dataclass(frozen=True, slots=True)
class Constant:
    """A node that is ``value`` of every resource, because of ``parts``; those are empty for a group that is empty."""

    node: Node
    value: bool
    parts: tuple[Part, ...]


def roots(policy: LintedPolicy) -> Iterator[Group]:
    """The lists of a policy whose filters must all match. Nothing where Cloud Custodian has no such type of AWS."""
    return trees(policy.document) if policy.type else iter(())


def trees(document: Mapping[str, Any]) -> Iterator[Group]:
    """Filters of resources, of the policy's conditions, and of the items of lists in resources."""
    for section in ("filters", "conditions"):
        root = Group("and", (section,), tuple(_nodes(document.get(section), (section,))))
        yield root
        for leaf in leaves(root):
            if leaf.data["type"] == "list-item":
                steps = (*leaf.steps, "attrs")
                yield Group("and", steps, tuple(_nodes(leaf.data.get("attrs"), steps)))


def leaves(node: Node) -> Iterator[Leaf]:
    if isinstance(node, Leaf):
        yield node
    else:
        for each in node.members:
            yield from leaves(each)


def _nodes(items: Any, steps: Steps) -> Iterator[Node]:
    for index, item in enumerate(items if isinstance(items, list | tuple) else ()):
        place = (*steps, index)
        if isinstance(item, Mapping) and len(item) == 1 and "type" not in item:
            [(key, value)] = item.items()
            if key not in GROUPS:
                data = {"type": "value", "key": key, "value": value}
                yield Leaf(place, data, test_of(data))
            elif isinstance(value, list | tuple):
                yield Group(key, place, tuple(_nodes(value, (*place, key))))
            else:
                yield Leaf(place, {"type": key, "malformed": value}, None)
        elif isinstance(item, Mapping) and isinstance(item.get("type"), str):
            yield Leaf(place, item, test_of(item))
        elif isinstance(item, str):
            yield Leaf(place, {"type": item}, None)
        else:
            yield Leaf(place, {"type": str(item), "malformed": item}, None)


def constants(root: Group) -> list[Constant]:
    """The innermost parts that are the same of every resource. A list without filters is no part."""
    found: list[Constant] = []
    if root.members and sum(1 for _ in leaves(root)) <= MOST_LEAVES:
        _visit(root, found)
    return found


def duplicates(node: Node) -> Iterator[tuple[Node, Node]]:
    """Members of a list that say the same, each with the first that says so."""
    if isinstance(node, Leaf):
        return
    seen: dict[str, Node] = {}
    for each in node.members:
        if each.steady and (first := seen.setdefault(each.text, each)) is not each:
            yield first, each
        yield from duplicates(each)


def _visit(node: Node, found: list[Constant]) -> bool | None:
    """What the node is of every resource; None where that differs. What decides it is told once, where it stands."""
    value: bool | None
    parts: tuple[Part, ...] = ()
    if isinstance(node, Leaf):
        value, parts = _same(node), (Part(node, True),)
    elif not node.members:
        value = node.kind == "and"
    else:
        decisive = node.kind == "or"  # what one member decides for all of them
        values = [_visit(each, found) for each in node.members]
        if decisive in values or None not in values:
            inner = decisive if decisive in values else not decisive
            return inner if node.kind != "not" else not inner
        parts = _clash(node)
        value = node.kind != "and" if parts else None
    if value is not None:
        found.append(Constant(node, value, parts))
    return value


def _same(leaf: Leaf) -> bool | None:
    test = leaf.test
    if test is None or (test.op in EQUAL and not test.kind and isinstance(test.value, str)):
        return None  # equality with a text, by far the commonest, differs
    answers = {answer(test, world) for world in worlds([test]) or ()}
    return True in answers if answers in ({True}, {False}) else None


def _clash(group: Group) -> tuple[Part, ...]:
    """Parts that cannot all be true, of an ``or`` all false; the fewest that will do."""
    positive = group.kind != "or"
    inside = Group("and", group.steps, group.members) if group.kind == "not" else group
    parts = list(_conjuncts(inside, positive))
    found = _opposites(parts) or _on_one_key(parts)
    return found if positive else tuple(Part(each.node, not each.positive) for each in found)


def _conjuncts(node: Node, positive: bool) -> Iterator[Part]:
    """The parts that are all true when the node, or its opposite, is."""
    if isinstance(node, Group) and (len(node.members) == 1 or (node.kind == "and") == positive):
        for each in node.members:
            yield from _conjuncts(each, positive != (node.kind == "not"))
    else:
        yield Part(node, positive)


def _opposites(parts: list[Part]) -> tuple[Part, ...]:
    """A filter and its opposite."""
    seen: dict[str, Part] = {}
    for part in parts:
        other = seen.setdefault(part.node.text, part)
        if other.positive != part.positive and part.node.steady:
            return (other, part)
    return ()


def _on_one_key(parts: list[Part]) -> tuple[Part, ...]:
    """Parts that one key's value cannot all make true."""
    by_subject: dict[Any, list[Part]] = {}
    for part in parts:
        if len(part.node.subjects) == 1 and None not in part.node.subjects:
            by_subject.setdefault(part.node.subjects, []).append(part)
    for members in by_subject.values():
        if len(members) > 1 and (found := _never_together(members)):
            return found
    return ()


def _never_together(parts: list[Part]) -> tuple[Part, ...]:
    tests = [leaf.test for part in parts for leaf in leaves(part.node) if leaf.test]
    known = worlds(tests)
    if not known:
        return ()
    everything = (1 << len(known)) - 1
    false = [_masks(part.node, known)[0 if part.positive else 1] for part in parts]
    if _union(false) != everything:
        return ()
    needed = list(range(len(parts)))
    for index in reversed(range(len(parts))):  # the first that clash are kept
        rest = [each for each in needed if each != index]
        if _union(false[each] for each in rest) == everything:
            needed = rest
    return tuple(parts[index] for index in needed)


def _union(masks: Any) -> int:
    union = 0
    for mask in masks:
        union |= mask
    return union


def _masks(node: Node, known: list[World]) -> tuple[int, int]:
    """In which worlds the node is surely false, and in which surely true: a bit for each."""
    false = true = 0
    if isinstance(node, Leaf):
        for index, world in enumerate(known):
            said = answer(node.test, world) if node.test else None
            false |= (said is False) << index
            true |= (said is True) << index
        return false, true
    masks = [_masks(each, known) for each in node.members]
    everything = (1 << len(known)) - 1
    if node.kind == "or":
        true = _union(each for _, each in masks)
        false = everything & ~_union(everything & ~each for each, _ in masks)
        return false, true
    false = _union(each for each, _ in masks)
    true = everything & ~_union(everything & ~each for _, each in masks)
    return (true, false) if node.kind == "not" else (false, true)
