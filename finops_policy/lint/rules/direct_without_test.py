"""Controls that a policy is said to test itself, without a test of that policy.

The workspace's own policies have fixtures in ``tests/policies``; built-in ones are tested where they are made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from finops_policy.lint.rule import Level, Rule
from finops_policy.lint.subject import Source, Subject
from finops_policy.marks import Diagnostic
from finops_policy.sources import Steps

FIXTURES: Final = ("match", "no-match", "absent")
_PACKS: Final = ("packs", "policies/packs")
"""Where a workspace keeps its packs, and where this project keeps those it builds in."""


def _check(subject: Subject) -> Iterator[Diagnostic]:
    for source in subject.of_kind("framework"):
        for steps, policy in _direct(source):
            missing = _missing(subject.workspace, policy)
            if source.document and missing:
                yield Diagnostic(
                    RULE.id,
                    f"{policy} is mapped as direct, and has no fixture {', '.join(missing)}",
                    source.document.mark(*steps, "strength"),
                    f"Write tests/policies/{policy}/{missing[0]}.yaml, or map it as partial.",
                )


def _direct(source: Source) -> Iterator[tuple[Steps, str]]:
    data = source.document.data if source.document else None
    for index, control in _mappings_in(data, "controls"):
        for place, mapping in _mappings_in(control, "mappings"):
            policy = mapping.get("policy")
            if mapping.get("strength") == "direct" and isinstance(policy, str) and _is_name(policy):
                yield ("controls", index, "mappings", place), policy


def _mappings_in(data: Any, key: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    items = data.get(key) if isinstance(data, Mapping) else None
    for index, item in enumerate(items if isinstance(items, list) else ()):
        if isinstance(item, Mapping):
            yield index, item


def _is_name(policy: str) -> bool:
    """``pack/policy``: nothing else reaches the file system."""
    from finops_policy.catalog import NAME

    pack, _, name = policy.partition("/")
    return bool(NAME.fullmatch(pack) and NAME.fullmatch(name))


def _missing(workspace: Path, policy: str) -> list[str]:
    """The fixtures that a policy of the workspace lacks; none for one that is built in, or is not there."""
    if not any((workspace / packs / f"{policy}.yaml").is_file() for packs in _PACKS):
        return []
    folder = workspace / "tests" / "policies" / policy
    return [name for name in FIXTURES if not (folder / f"{name}.yaml").is_file()]


RULE = Rule(
    "direct-without-test",
    Level.WARNING,
    "A control is mapped as direct to a policy that has no fixtures.",
    "A direct mapping can satisfy a control on its own: the report would say so on the word of a policy nobody tested.",
    _check,
)
