"""Controls that a workspace's framework leaves out of the built-in one of the same name, whose place it takes whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from finops_policy.lint.rule import Level, Rule
from finops_policy.lint.subject import Subject
from finops_policy.marks import Diagnostic

_MOST_NAMED: Final = 5


def _check(subject: Subject) -> Iterator[Diagnostic]:
    folder = (subject.workspace / "frameworks").resolve()
    for source in subject.of_kind("framework"):
        name = source.path.stem
        if source.document and source.path.resolve().parent == folder and name in subject.frameworks:
            own = {each.id for each in subject.frameworks[name].controls}
            gone = [control for control in _built_in(name) if control not in own]
            if gone:
                more = f" and {len(gone) - _MOST_NAMED} more" if len(gone) > _MOST_NAMED else ""
                yield Diagnostic(
                    RULE.id,
                    f"the built-in {name} has controls that are not here: {', '.join(gone[:_MOST_NAMED])}{more}",
                    source.document.key_mark("controls"),
                    "List them, mapped or not; or give the framework a name of its own.",
                )


def _built_in(name: str) -> list[str]:
    """Ids of the controls of the framework that is built in; none where none is."""
    from finops_policy.library import library_root
    from finops_policy.sources import read

    path = library_root().joinpath("policies", "frameworks", f"{name}.yaml")
    return [each["id"] for each in read(path, name).data["controls"]] if path.is_file() else []


RULE = Rule(
    "dropped-control",
    Level.WARNING,
    "A framework of the workspace leaves out controls of the built-in one that it replaces.",
    "Reports count fewer requirements than the framework has, and nothing in them says so.",
    _check,
)
