"""Valid policies with one mistake each, and where in the file the mistake is.

A mutant may still be valid: whether it is, only Cloud Custodian knows.
"""

from __future__ import annotations

import copy
import datetime as dt
import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

Steps = tuple[Any, ...]


class Twin(str):
    """A key that a mapping holds beside an equal one."""

    __slots__ = ()
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    def __ne__(self, other: object) -> bool:
        return self is not other


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, _data: Any) -> bool:
        return True


_Dumper.add_representer(Twin, lambda dumper, twin: dumper.represent_str(str.__str__(twin)))


@dataclass(frozen=True, slots=True)
class Mutant:
    """``steps`` lead from the policy to what was changed; ``of_key``: the key at their end is what is wrong."""

    policy: Mapping[Any, Any]
    steps: Steps
    how: str
    of_key: bool = False


def mutant(chance: random.Random, policy: Mapping[str, Any]) -> Mutant:
    """One mistake, chosen by ``chance``."""
    while True:
        made = copy.deepcopy(dict(policy))
        how = chance.choice(_HOW)
        try:
            steps, of_key = how(chance, made)
        except LookupError:
            continue  # there is nothing of the kind in this policy
        if made != policy:
            return Mutant(made, steps, how.__name__.strip("_"), of_key)


# --- one mistake each -------------------------------------------------------------------------------------------------

Place = tuple[Steps, bool]

_ODD: Final = (None, True, False, 0, 1, -1, 3.5, 10**19, "", "text", "{x}", "{account_id}", "present", [], ["a"], [1],
               [[]], {}, {"a": 1}, {"type": "value"}, "30", "-5", "2026-12-31")  # fmt: skip
_KEYS: Final = ("days", "type", "value", "op", "key", "frobnicate", "Days", "values", "tag", "name", "", "x y", "skew",
                "value_type", "default", "force", "hours", "filters", "mode", "and", "or", "not")  # fmt: skip
_DATES: Final = (dt.date(2026, 12, 31), dt.datetime(2026, 1, 2, 3, 4, tzinfo=dt.UTC))
_POLICY: Final = {
    "max-resources": (-1, 0, 5, "5", {"amount": 0}, {"op": "xor"}, {"percent": 101}, {"percent": 5, "op": "or"}),
    "max-resources-percent": (-1, 50, 101, "5%"),
    "tags": ("a", ["a"], [1], {}),
    "start": ("2026-12-31", "never", 5, "31.12.2026 10:00"),
    "end": ("2026-12-31", "nonsense", ""),
    "tz": ("UTC", "Nowhere", "Europe/Zurich", 5),
    "region": ("us-east-1", 5, ["us-east-1"]),
    "source": ("config", "describe", "else", None),
    "query": ([{"a": 1}], "text", [5], {}, [{"instance-state-name": "running"}]),
    "title": ("text", 5),
    "description": ("text", 5, None),
    "comment": ("text", ["text"]),
    "metadata": ({}, {"a": [1]}, "text", None),
    "name": ("a b", "1a", "a_b", "a--b", "-a", "a.b", "ümlaut", "", 5, None, "A^", "a" * 70, ["a"], "a-"),
    "resource": ("ec2", "aws.ec2", "network-addr", "elastic-ip", "aws.elastic-ip", "ebs-snapshot", "aws.ecs", "EC2",
                 "aws.", "", 5, None, ["aws.ec2"], "gcp", "ec2 ", "aws.aws.ec2", "awscc.ec2", "{x}"),
    "filters": (None, {}, "text", [None], [[]], [5], [{}], [{"a": 1, "b": 2}], [{"type": 5}], [{"or": {}}], ["value"],
                [{"not": []}], [{"and": [{"or": ["x"]}]}], [{"value": 5}], [{"a": [1]}], [{"a": {}}], [{"type": "or"}],
                [{"type": None}], [{"a": []}], [{"or": [], "and": []}], [""], ["event"], [{"type": "event"}]),
    "actions": (None, {}, "text", [None], [[]], [5], [{}], [{"a": 1}], [{"type": 5}], [{"or": ["stop"]}], [""],
                [{"type": "notify"}], ["notify"], ["mark-for-op"], ["tag"], ["mark"], [{"type": "tag"}],
                [{"type": "tag", "key": "a", "value": 5}], [{"type": "tag", "key": "a", "tag": "b"}],
                [{"type": "mark-for-op", "op": "stop", "days": 5}], [{"type": "mark-for-op", "op": "nothing"}],
                [{"type": "notify", "to": ["x"], "transport": {"type": "sqs", "queue": "q"}}],
                [{"type": "webhook", "url": "x"}], [{"type": "invoke-lambda"}], [{"type": "untag", "tags": ["a"]}]),
    "mode": ({}, {"type": "pull"}, {"type": "pul"}, {"type": 5}, "pull", None, [], {"role": "x"},
             {"type": "periodic", "schedule": "rate(1 day)"}, {"type": "periodic"}, {"type": "cloudtrail"},
             {"type": "cloudtrail", "events": ["RunInstances"]}, {"type": "cloudtrail", "events": ["Nothing"]},
             {"type": "cloudtrail", "events": [{"source": "a", "event": "b"}]}, {"type": "config-rule"},
             {"type": "cloudtrail", "events": [{"source": "a", "event": "b", "ids": "c"}]},
             {"type": "cloudtrail", "events": "RunInstances"}, {"type": "phd"}, {"type": "guard-duty"},
             {"type": "config-poll-rule"}, {"type": "config-poll-rule", "schedule": "Three_Hours"},
             {"type": "ec2-instance-state", "events": ["running"]}, {"type": "ec2-instance-state", "events": ["x"]},
             {"type": "asg-instance-state", "events": ["launch-success"]}, {"type": "hub-finding"},
             {"type": "hub-action"}, {"type": "schedule", "schedule": "rate(1 day)", "scheduler-role": "x"},
             {"type": "periodic", "schedule": "rate(1 day)", "memory": "512"},
             {"type": "periodic", "schedule": "rate(1 day)", "tags": {"a": "b"}, "timeout": 60},
             {"type": "periodic", "schedule": "rate(1 day)", "tags": {"custodian-info": "b"}, "timeot": 60},
             {"type": "periodic", "schedule": "rate(1 day)", "function-prefix": "p" * 70}),
    "conditions": (None, [], {}, [{"region": "us-east-1"}], [{"type": "value", "key": "now"}], ["value"],
                   [{"type": "value", "key": "region", "op": "equl", "value": "a"}], [{"or": {"a": 1}}],
                   [{"type": "value", "key": "region", "op": "in", "value": ["a"]}], [{"type": "metrics"}],
                   [{"type": "event", "key": "detail", "value": 1}], [{"not": [{"region": "a"}]}], [5],
                   [{"type": "value", "key": "region", "op": "regex", "value": "("}]),
}  # fmt: skip


def _misspell_key(chance: random.Random, policy: Any) -> Place:
    steps, parent = chance.choice(_mappings(policy))
    key = chance.choice([key for key in parent if isinstance(key, str)])
    return _renamed(policy, steps, key, _misspelt(chance, key))


def _drop_key(chance: random.Random, policy: Any) -> Place:
    steps, parent = chance.choice(_mappings(policy))
    del parent[chance.choice(list(parent))]
    return steps, False


def _add_key(chance: random.Random, policy: Any) -> Place:
    steps, parent = chance.choice(_mappings(policy))
    key = chance.choice(_KEYS)
    parent[key] = copy.deepcopy(chance.choice(_ODD))
    return (*steps, key), True


def _odd_key(chance: random.Random, policy: Any) -> Place:
    steps, parent = chance.choice(_mappings(policy))
    key = chance.choice((1, True, None, 2.5, dt.date(2026, 12, 31)))
    parent[key] = chance.choice(("text", 1))
    return (*steps, key), True


def _same_key(chance: random.Random, policy: Any) -> Place:
    steps, parent = chance.choice(_mappings(policy))
    key = chance.choice([key for key in parent if isinstance(key, str)])
    twin = Twin(key)
    parent[twin] = copy.deepcopy(parent[key])
    return (*steps, twin), True


def _odd_value(chance: random.Random, policy: Any) -> Place:
    return _replaced(chance, policy, lambda _: copy.deepcopy(chance.choice(_ODD)))


def _misspell_value(chance: random.Random, policy: Any) -> Place:
    steps, parent = chance.choice([(s, p) for s, p in _parents(policy) if p[s[-1]] and isinstance(p[s[-1]], str)])
    parent[steps[-1]] = _misspelt(chance, parent[steps[-1]])
    return steps, False


def _other_type(chance: random.Random, policy: Any) -> Place:
    def other(value: Any) -> Any:
        if isinstance(value, bool):
            return chance.choice((str(value).lower(), int(value), "yes"))
        if isinstance(value, int | float):
            return chance.choice((str(value), -value, value + 0.5, [value], value * 10**6, -value - 1))
        if isinstance(value, str):
            return chance.choice(([value], {value: value}, 5, True, f"{{{value}}}", value.upper(), f"{value} "))
        if isinstance(value, list):
            return chance.choice((value[0] if value else "a", [value], {"a": value}, [*value, value], [*value, None]))
        return chance.choice(([value], list(value) if isinstance(value, dict) else {}, str(value), None))

    return _replaced(chance, policy, other)


def _date(chance: random.Random, policy: Any) -> Place:
    return _replaced(chance, policy, lambda _: chance.choice(_DATES))


def _wrong_type(chance: random.Random, policy: Any) -> Place:
    """A filter or action of another kind, or none."""
    steps, item = chance.choice([(s, e) for s, e in _elements(policy) if isinstance(e, dict) and "type" in e])
    item["type"] = chance.choice(("value", "metrics", "stop", "tag", "notify", "nothing", "marked-for-op", "or", "age",
                                  "event", "image", _misspelt(chance, str(item["type"]))))  # fmt: skip
    return steps, False


def _short_form(chance: random.Random, policy: Any) -> Place:
    """A filter or action as one word."""
    steps, item = chance.choice([(s, e) for s, e in _elements(policy) if isinstance(e, dict) and "type" in e])
    _put(policy, steps, item["type"])
    return steps, False


def _grouped(chance: random.Random, policy: Any) -> Place:
    """A filter or action inside of a group, some of which are no lists."""
    steps, item = chance.choice(list(_elements(policy)))
    group = chance.choice(("and", "or", "not"))
    _put(policy, steps, {group: chance.choice(([item], item, [[item]], {"filters": [item]}))})
    return steps, False


def _listed(chance: random.Random, policy: Any) -> Place:
    steps, item = chance.choice(list(_elements(policy)))
    _put(policy, steps, [item])
    return steps, False


def _beside(chance: random.Random, policy: Any) -> Place:
    """A key beside a group, or a short form with two keys."""
    steps, item = chance.choice([(s, e) for s, e in _elements(policy) if isinstance(e, dict) and "type" not in e])
    item[chance.choice(("type", "and", "or", "tag:x", "value"))] = chance.choice(("value", [], "absent", 5))
    return steps, False


def _elsewhere(chance: random.Random, policy: Any) -> Place:
    """A filter among the actions, or the other way round."""
    steps, item = chance.choice(list(_elements(policy)))
    other = "actions" if steps[0] == "filters" else "filters"
    policy[other] = [*_list(policy.get(other)), copy.deepcopy(item)]
    return (other, len(policy[other]) - 1), False


def _policy_key(chance: random.Random, policy: Any) -> Place:
    key = chance.choice(list(_POLICY))
    policy[key] = copy.deepcopy(chance.choice(_POLICY[key]))
    return (key,), False


def _placeholder(chance: random.Random, policy: Any) -> Place:
    return _replaced(chance, policy, lambda _: chance.choice(("{x}", "{days}", "{account_id}", "{", "{}", "x{y}")))


_HOW: Final[tuple[Callable[[random.Random, Any], Place], ...]] = (
    _misspell_key, _drop_key, _add_key, _odd_key, _same_key, _odd_value, _odd_value, _misspell_value, _other_type,
    _other_type, _date, _wrong_type, _short_form, _grouped, _listed, _beside, _elsewhere, _policy_key, _policy_key,
    _placeholder,
)  # fmt: skip


# --- parts of a policy ------------------------------------------------------------------------------------------------


def _parents(value: Any, steps: Steps = ()) -> Iterator[tuple[Steps, Any]]:
    """The way to every value but the policy, and what holds it."""
    for key in range(len(value)) if isinstance(value, list) else list(value) if isinstance(value, dict) else ():
        yield (*steps, key), value
        yield from _parents(value[key], (*steps, key))


def _mappings(policy: Any) -> list[tuple[Steps, Any]]:
    found = [(steps, parent[steps[-1]]) for steps, parent in _parents(policy)]
    return [((), policy), *((steps, value) for steps, value in found if isinstance(value, dict) and value)]


def _elements(policy: Any) -> Iterator[tuple[Steps, Any]]:
    """Filters, those in groups too, and actions."""
    for section in ("filters", "actions"):
        yield from _in_list(policy.get(section), (section,))


def _in_list(items: Any, steps: Steps) -> Iterator[tuple[Steps, Any]]:
    for index, item in enumerate(_list(items)):
        yield (*steps, index), item
        if isinstance(item, dict):
            for group in ("and", "or", "not"):
                yield from _in_list(item.get(group), (*steps, index, group))


def _list(items: Any) -> list[Any]:
    return items if isinstance(items, list) else []


def _replaced(chance: random.Random, policy: Any, other: Callable[[Any], Any]) -> Place:
    steps, parent = chance.choice(list(_parents(policy)))
    parent[steps[-1]] = other(parent[steps[-1]])
    return steps, False


def _put(policy: Any, steps: Steps, value: Any) -> None:
    for step in steps[:-1]:
        policy = policy[step]
    policy[steps[-1]] = value


def _renamed(policy: Any, steps: Steps, old: str, new: str) -> Place:
    parent = policy
    for step in steps:
        parent = parent[step]
    items = [(new if key == old else key, value) for key, value in parent.items()]
    parent.clear()
    parent.update(items)
    return (*steps, new), True


def _misspelt(chance: random.Random, word: str) -> str:
    index = chance.randrange(len(word)) if word else 0
    return chance.choice((
        word[:index] + word[index + 1 :], word + "s", word.replace("-", "_"), word.replace("_", "-"), word.swapcase(),
        word[:index] + word[index : index + 1] * 2 + word[index + 1 :], f" {word}", f"{word}-x",
    ))  # fmt: skip


def is_plain(value: Any) -> bool:
    """Whether JSON has it all."""
    try:
        return bool(json.loads(json.dumps(value)) == value)
    except (TypeError, ValueError):
        return False


# --- as text ----------------------------------------------------------------------------------------------------------


STYLES: Final = ("block", "flow", "wide", "json")


def written(policies: list[Mapping[Any, Any]], style: str) -> str:
    """A file with the policies: ``block``, ``flow``, ``wide`` or ``json``."""
    data = {"policies": policies}
    if style == "json":
        return json.dumps(data, indent=1, default=str)
    flow = {"block": False, "flow": True, "wide": None}[style]
    return yaml.dump(data, Dumper=_Dumper, default_flow_style=flow, sort_keys=False, allow_unicode=True, width=60)


PIECES: Final = (
    "\ufeff", "\0", "\x07", "\t", "\r\n", "\n", " ", "#", ": ", "- ", "? ", "[", "]", "{", "}",
    ",", "&a ", "*a", "<<: *a\n", "<<: {x: 1}\n", "---\n", "...\n", "%YAML 1.1\n---\n", "!!str ", "!Ref ", "!!set ",
    "!!binary aGk=", "!!timestamp x", "!!bool x", "!!int ''", "2026-12-31", "2026-13-45", "2026-02-30 10:00:00", ".inf",
    "-.nan", "0b_", "0x_", "08", "1:60", "1e400", "9" * 30, "9" * 5000, "y", "yes", "=", "~", "|\n", ">-\n", "'", '"',
    "\\x", "1: x\n", "true: x\n", "null: x\n", "2026-12-31: x\n", "[a]: x\n", "? {a: b}\n: c\n", "name: again\n", "@",
    "`", "%", "\u0085", "\u2028", "\u2029", "\u2028\n", "\n\u2028",
)  # fmt: skip
"""What makes YAML happen, or something else."""


def spoiled(chance: random.Random, text: str) -> str:
    """The text with something put in, taken out, repeated or moved, at most three times."""
    for _ in range(chance.choice((1, 1, 2, 3))):
        lines = text.split("\n")
        at, line = chance.randrange(len(text) + 1), chance.randrange(len(lines))
        how = chance.randrange(8)
        if how < 3:
            text = text[:at] + chance.choice(PIECES) + text[at:]
        elif how == 3 and ": " in lines[line]:
            lines[line] = lines[line].partition(": ")[0] + ": " + chance.choice(PIECES)
            text = "\n".join(lines)
        elif how == 4:
            text = text[:at] + text[at + chance.randrange(1, 4) :]
        elif how == 5:
            text = "\n".join([*lines[:line], lines[line], *lines[line:]])
        elif how == 6:
            text = "\n".join([*lines[:line], chance.choice((" ", "  ", "- ")) + lines[line], *lines[line + 1 :]])
        else:
            text = "\n".join([*lines[:line], *lines[line + 1 :]])
    return text


def lines_of(text: str, steps: Steps, *, of_key: bool) -> tuple[int, int]:
    """First and last line of what ``steps`` lead to, or of as much of the way as is there; read by PyYAML alone.

    What has a key begins there; of a key only the line is meant, and the one where its value begins.
    """
    node, first = yaml.compose(text, Loader=yaml.CSafeLoader), 1
    last = node.end_mark.line + 1
    for number, step in enumerate(steps):
        if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            key, node = None, node.value[step]
        elif isinstance(node, yaml.MappingNode) and (pair := _pair(node, step)):
            key, node = pair
        else:
            break
        first = (key or node).start_mark.line + 1
        last = max(first, _last(node))
        if of_key and number == len(steps) - 1:
            last = node.start_mark.line + 1
    return first, last


def _pair(node: yaml.MappingNode, step: Any) -> Any:
    """The last one of a key that is there twice: it is the one that was added."""
    text = {True: "true", None: "null"}.get(step, str(step)) if not isinstance(step, Twin) else str.__str__(step)
    return next((pair for pair in reversed(node.value) if pair[0].value == text), None)


def _last(node: yaml.Node) -> int:
    if isinstance(node, yaml.ScalarNode) or node.flow_style:
        return node.end_mark.line + (1 if node.end_mark.column or node.end_mark.line == node.start_mark.line else 0)
    parts = [part for item in node.value for part in (item if isinstance(item, tuple) else (item,))]
    return max((_last(part) for part in parts), default=node.start_mark.line + 1)
