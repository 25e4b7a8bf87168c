"""What is said of filters that are true of every resource, or of none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from finops_policy.lint.logic import Constant, Leaf, Part
from finops_policy.lint.subject import LintedPolicy
from finops_policy.lint.values import EQUAL, GREATER, LESS, OPPOSITE, UNEQUAL, ValueTest
from finops_policy.marks import Diagnostic
from finops_policy.sources import shown

_MOST_NAMED: Final = 4
_RESULTS: Final = {
    "filters": "the policy matches nothing",
    "conditions": "the policy never runs",
    "attrs": "no item matches",
}


def diagnostic(rule: str, policy: LintedPolicy, found: Constant) -> Diagnostic:
    """At the last filter that is needed for it; the others are related."""
    marks = [policy.mark(*part.node.steps) for part in found.parts] or [policy.mark(*found.node.steps)]
    return Diagnostic(rule, sentence(found), marks[-1], hint(found), tuple(marks[:-1]))


def sentence(found: Constant) -> str:
    everything, node = found.value, found.node
    if isinstance(node, Leaf) or not found.parts:
        subject = str(node) if isinstance(node, Leaf) else f"an empty {node}"
        return f"{subject} matches {'everything' if everything else 'nothing'}"
    names = _named(found.parts, "or" if node.kind == "or" else "and")
    if node.kind == "or":
        return f"{names} is true of everything, so this `or` leaves nothing out"
    together = f"{names} are never {'both' if len(found.parts) == 2 else 'all'} true"
    if node.kind == "not":
        return f"{together}, so this `not` matches everything"
    return f"{together}, so {_RESULTS.get(str(node.steps[-1]), 'this `and` matches nothing')}"


def _named(parts: Sequence[Part], word: str) -> str:
    names = [str(part) for part in parts]
    if len(names) > _MOST_NAMED:
        names = [*names[: _MOST_NAMED - 1], f"{len(names) - _MOST_NAMED + 1} more"]
    return f"{', '.join(names[:-1])} {word} {names[-1]}"


def hint(found: Constant) -> str:
    node, parts = found.node, found.parts
    if isinstance(node, Leaf):
        return _hint_of_test(node.test) if node.test else ""
    if not parts:
        return "Put filters into it, or remove it."
    tests = [part.node.test if isinstance(part.node, Leaf) else None for part in parts]
    if all(test and test.op in EQUAL for test in tests):
        if node.kind == "and" and all(part.positive for part in parts):
            return "If any of them will do, put them into an `or`, or use `op: in` with a list."
        if node.kind == "not" and all(part.positive for part in parts):
            return '`not` means "not all of": to leave each of them out, put an `or` inside, or use `op: not-in`.'
        if node.kind == "or" and not any(part.positive for part in parts):
            return "To leave each of them out, put the `or` inside of one `not`, or use `op: not-in` with a list."
    if all(test and test.op in UNEQUAL for test in tests) and node.kind == "or":
        return "To leave each of them out, use `op: not-in` with a list, or take the `or` away."
    return "Remove one of them, or mend its value."


def _hint_of_test(test: ValueTest) -> str:
    value = test.value
    if isinstance(value, str) and value in OPPOSITE:
        if test.op in UNEQUAL:
            return f"Write `value: {OPPOSITE[value]}` without `op`."
        if test.kind in ("integer", "float", "size", "unique_size"):
            return f"`value_type: {test.kind}` makes a missing key 0: leave it away to ask for `{value}`."
        return f"`{value}` takes no `op: {test.op}`: leave it away." if test.op else ""
    if value == []:
        return "Put values into the list, or remove the filter."
    if test.op in (*EQUAL, *UNEQUAL) and isinstance(value, list):
        return f"Use `op: {'in' if test.op in EQUAL else 'not-in'}` for a list."
    if test.only_text and test.op in (*LESS, *GREATER) and isinstance(value, int | float):
        return "Tags are text: add `value_type: integer` to compare numbers."
    if test.only_text and test.kind in ("", "normalize") and not isinstance(value, str | list):
        return f'Tags are text: write `"{str(value).lower()}"` in quotes.'
    if test.kind == "normalize" and isinstance(value, str) and value != value.strip().lower():
        plain = shown(value.strip().lower())
        return f"`value_type: normalize` makes letters small and takes the space around away: write {plain}."
    return ""
