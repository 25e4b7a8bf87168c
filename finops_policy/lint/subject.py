"""What is linted: the files, and every policy in them in Cloud Custodian's own form, ours and plain ones alike.

Rules ask a :class:`Subject`. What a broken file would say is not there: its problems are told by whoever read it.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from finops_policy.errors import InvalidFilesError, UsageError
from finops_policy.marks import Mark
from finops_policy.sources import Document, Steps

if TYPE_CHECKING:
    from finops_policy.catalog import Catalog
    from finops_policy.custodian.knowledge import Element, Knowledge, ResourceType
    from finops_policy.customer import Customer
    from finops_policy.model import Framework, Pack, Policy, Profile, Waiver
    from finops_policy.revisions import Revision

GROUPS: Final = ("and", "or", "not")
PLAIN: Final = "custodian-policies"
"""Kind of a file of plain Cloud Custodian policies; the other kinds are those of the schemas."""


@dataclass(frozen=True)
class Source:
    """A file that was looked at. ``kind`` is the name of its schema; ``document`` is None where it cannot be read."""

    path: Path
    label: str
    kind: str
    text: str = field(repr=False)
    document: Document | None = field(repr=False)

    @cached_property
    def lines(self) -> list[str]:
        """Without their line ends. Split where marks count lines."""
        return self.text.replace("\r\n", "\n").replace("\r", "\n").split("\n")

    @cached_property
    def shown(self) -> list[str]:
        """The lines as they may be shown: with asterisks for what is secret in them."""
        from finops_policy.masking import masked

        return masked("\n".join(self.lines)).split("\n")

    def at(self, mark: Mark) -> str:
        """The rest of the line from the mark on."""
        return self.lines[mark.line - 1][mark.column - 1 :] if 0 < mark.line <= len(self.lines) else ""


@dataclass(frozen=True, slots=True)
class Use:
    """One filter or action of a policy, as it is used.

    ``steps`` lead to it from the policy, such as ``("filters", 1, "or", 0)``; ``groups`` are the ``and``, ``or`` and
    ``not`` it is in, outermost first. ``data`` is a mapping with ``type``, whatever short form was written:
    ``{tag:Owner: absent}`` is ``{"type": "value", "key": "tag:Owner", "value": "absent"}``. ``element`` is None where
    the resource type, or the filter or action, is not known.
    """

    steps: Steps
    groups: tuple[str, ...]
    type: str
    data: Mapping[str, Any]
    element: Element | None

    @property
    def kind(self) -> str:
        return self.element.kind if self.element else ""


@dataclass(frozen=True)
class LintedPolicy:
    """One policy. ``document`` is what Cloud Custodian is given; of a policy in a pack, with the defaults of its
    parameters and its remediation as actions. ``type`` is None where Cloud Custodian has no such type of AWS.

    ``written`` and ``pack`` are there for policies of packs only.
    """

    source: Source
    file: Document = field(repr=False)
    steps: Steps
    document: Mapping[str, Any]
    type: ResourceType | None
    written: Policy | None = None
    pack: Pack | None = None

    @property
    def name(self) -> str:
        return str(self.document.get("name", ""))

    @property
    def resource(self) -> str:
        """As written, always with its provider: ``aws.ec2``."""
        said = str(self.document.get("resource", ""))
        return said if "." in said else f"aws.{said}"

    @property
    def mode(self) -> str:
        mode = self.document.get("mode")
        return str(mode.get("type", "pull")) if isinstance(mode, Mapping) else "pull"

    def mark(self, *steps: str | int) -> Mark:
        """Where what ``steps`` lead to in :attr:`document` stands in the file."""
        return self.file.mark(*self.steps, *self._in_file(steps))

    def key_mark(self, *steps: str | int) -> Mark:
        return self.file.key_mark(*self.steps, *self._in_file(steps))

    def _in_file(self, steps: Steps) -> Steps:
        """A policy of a pack keeps its filters in two lists, and its actions in its remediation."""
        if self.written is None or not steps:
            return steps
        if steps[0] == "actions":
            return ("remediation", *steps)
        if steps[0] == "filters" and len(steps) > 1 and isinstance(steps[1], int):
            behind = steps[1] - len(self.written.scope)
            return ("scope", *steps[1:]) if behind < 0 else ("violation", behind, *steps[2:])
        return ("violation",) if steps[0] == "filters" else steps

    @cached_property
    def filters(self) -> tuple[Use, ...]:
        """Every filter, those inside of groups too, in the order written; the groups themselves are left out."""
        known = self.type.filters if self.type else {}
        return tuple(_uses(self.document.get("filters"), ("filters",), (), known))

    @cached_property
    def actions(self) -> tuple[Use, ...]:
        known = self.type.actions if self.type else {}
        return tuple(_uses(self.document.get("actions"), ("actions",), (), known))


def _uses(items: Any, steps: Steps, groups: tuple[str, ...], known: Mapping[str, Element]) -> Iterator[Use]:
    for index, item in enumerate(items if isinstance(items, list | tuple) else ()):
        place = (*steps, index)
        if isinstance(item, str):
            yield Use(place, groups, item, {"type": item}, known.get(item))
        elif isinstance(item, Mapping) and isinstance(item.get("type"), str):
            yield Use(place, groups, item["type"], item, known.get(item["type"]))
        elif isinstance(item, Mapping) and len(item) == 1:
            [(key, value)] = item.items()
            if key in GROUPS and steps[0] == "filters":
                yield from _uses(value, (*place, key), (*groups, key), known)
            elif "type" not in item and steps[0] == "filters":
                yield Use(place, groups, "value", {"type": "value", "key": key, "value": value}, known.get("value"))


@dataclass
class Subject:
    """Everything a rule may ask for. Names are relative to the current folder, as people would type them.

    ``today`` is UTC's. ``base`` is the Git revision that changes are judged against; None where none was asked for.
    """

    workspace: Path
    sources: tuple[Source, ...]
    policies: tuple[LintedPolicy, ...]
    knowledge: Knowledge
    today: dt.date
    base: Revision | None = None

    def of_kind(self, kind: str) -> list[Source]:
        """The files of a kind that could be read, such as ``waiver``."""
        return [each for each in self.sources if each.kind == kind and each.document is not None]

    @cached_property
    def by_path(self) -> dict[str, Source]:
        """The files by their real paths."""
        return {os.path.realpath(source.path): source for source in self.sources}

    @cached_property
    def catalog(self) -> Catalog:
        from finops_policy.revisions import working_tree

        return working_tree(self.workspace).catalog

    def names(self, kind: str) -> list[str]:
        """Of all ``packs``, ``profiles``, ``frameworks`` or ``customers``; empty where their folder cannot be read."""
        with suppress(InvalidFilesError):  # told where the folder is walked
            listed: list[str] = getattr(self.catalog, kind)()
            return listed
        return []

    @cached_property
    def packs(self) -> dict[str, Pack]:
        """All packs without problems, the built-in ones too."""
        return self._loaded("packs", self.catalog.pack)

    @cached_property
    def profiles(self) -> dict[str, Profile]:
        return self._loaded("profiles", self.catalog.profile)

    @cached_property
    def frameworks(self) -> dict[str, Framework]:
        return self._loaded("frameworks", self.catalog.framework)

    @cached_property
    def customers(self) -> dict[str, Customer]:
        return self._loaded("customers", self.catalog.customer)

    def waivers(self, customer: str) -> list[Waiver]:
        """Those that could be read."""
        return self.catalog.waivers(customer)[0]

    def _loaded(self, kind: str, load: Any) -> dict[str, Any]:
        found = {}
        for name in self.names(kind):
            with suppress(InvalidFilesError, UsageError):  # told where the file is read
                found[name] = load(name)
        return found
