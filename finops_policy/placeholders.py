"""PURE: the ``${name}`` in policies of a pack: each stands for a whole scalar, and a parameter of its pack."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from finops_policy.errors import did_you_mean
from finops_policy.marks import PLACEHOLDER, Diagnostic
from finops_policy.model import Pack, Policy


def placeholder_problems(
    pack: Pack, policy: Policy, value: Any, path: tuple[str | int, ...], used: set[str]
) -> Iterator[Diagnostic]:
    """What is wrong with the placeholders in a part of a policy; names of parameters that it uses go into ``used``."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if "${" in key:
                message = f"{key!r} is a key, and keys stay as they are written: no parameter goes there."
                hint = "Write the filter with `key:` and `value:`, where a value can be a parameter."
                yield Diagnostic("placeholder", message, policy.marks.get((*path, key), policy.mark), hint)
            yield from placeholder_problems(pack, policy, item, (*path, key), used)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from placeholder_problems(pack, policy, item, (*path, index), used)
    elif isinstance(value, str) and "${" in value:
        match = PLACEHOLDER.fullmatch(value)
        mark = policy.marks.get(path, policy.mark)
        if match is None:
            message = f"{value!r} is not a placeholder: ${{name}} must be the whole value."
            hint = "Make the whole value a parameter, so that its type survives."
            yield Diagnostic("placeholder", message, mark, hint)
        elif match[1] not in pack.parameters:
            message = f"Pack {pack.name} has no parameter {match[1]!r}."
            yield Diagnostic("unknown-parameter", message, mark, did_you_mean(match[1], pack.parameters), (pack.mark,))
        else:
            used.add(match[1])
