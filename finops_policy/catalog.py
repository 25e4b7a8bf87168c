"""The library and the workspace, loaded on demand and turned into the model's dataclasses.

A workspace (``packs/``, ``profiles/``, ``frameworks/``, ``customers/``) wins over the built-in library, by name. Only
what a command needs is read; every problem of the files a loader reads is reported at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from finops_policy import validation
from finops_policy.customer import Customer
from finops_policy.errors import InvalidFilesError, UsageError, did_you_mean
from finops_policy.library import library_root
from finops_policy.marks import Diagnostic, Mark
from finops_policy.model import Framework, Pack, Profile, Waiver
from finops_policy.money import Price
from finops_policy.reading import customer_of, framework_of, pack_of, prices_of, profile_of, waivers_of
from finops_policy.sources import Document, read

NAME: Final = re.compile(r"(?=.{1,50}\Z)[a-z][a-z0-9]*(-[a-z0-9]+)*")
"""As the schemas have it; nothing else reaches the file system."""


@dataclass(frozen=True, slots=True)
class Place:
    """A file or folder and how it is named to people."""

    source: Traversable
    label: str

    def child(self, *names: str) -> Place:
        return Place(self.source.joinpath(*names), "/".join([self.label, *names]))

    def is_file(self) -> bool:
        with self._reading():
            return self.source.is_file()

    def names(self) -> list[str]:
        """Names of what is in the folder, sorted; none where there is no folder."""
        with self._reading():
            return sorted(entry.name for entry in self.source.iterdir()) if self.source.is_dir() else []

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            message = f"it cannot be read: {(error.strerror or type(error).__name__).lower()}"
            diagnostic = Diagnostic("file-unreadable", message, Mark(self.label), "Check the path and permissions.")
            raise InvalidFilesError([diagnostic]) from error


@dataclass(frozen=True, slots=True)
class _Shelf:
    """Everything of one kind, by name: the workspace's place first. ``suffix`` is what follows a name in its path."""

    kind: str
    suffix: str
    places: tuple[Place, ...]

    def names(self) -> list[str]:
        entries = ((place, entry.removesuffix(self.suffix)) for place in self.places for entry in place.names())
        return sorted({name for place, name in entries if NAME.fullmatch(name) and self._has(place, name)})

    def find(self, name: str) -> Place:
        """The place that holds ``name``."""
        if NAME.fullmatch(name):
            for place in self.places:
                if self._has(place, name):
                    return place
        raise UsageError(f"There is no {self.kind} named {name!r}.", hint=did_you_mean(name, self.names()))

    def _has(self, place: Place, name: str) -> bool:
        return place.child(*f"{name}{self.suffix}".split("/")).is_file()


class Catalog:
    """Finds and loads packs, profiles, frameworks, customers, waivers and prices by name.

    Every loader raises :class:`UsageError` for a name that does not exist and :class:`InvalidFilesError` for files with
    problems. ``library`` takes the place of the built-in library.
    """

    def __init__(self, workspace: Path, library: Traversable | None = None) -> None:
        root = library if library is not None else library_root()
        builtin = Place(root.joinpath("policies"), "policies")
        examples = Place(root.joinpath("customers"), "customers")
        own = {kind: Place(workspace / kind, kind) for kind in ("packs", "profiles", "frameworks", "customers")}
        self._packs = _Shelf("pack", "/pack.yaml", (own["packs"], builtin.child("packs")))
        self._profiles = _Shelf("profile", ".yaml", (own["profiles"], builtin.child("profiles")))
        self._frameworks = _Shelf("framework", ".yaml", (own["frameworks"], builtin.child("frameworks")))
        self._customers = _Shelf("customer", "/customer.yaml", (own["customers"], examples))
        self._pricebooks = (Place(workspace / "pricebook.yaml", "pricebook.yaml"), builtin.child("pricebook.yaml"))

    # --- names -------------------------------------------------------------------------------------------------------

    def packs(self) -> list[str]:
        return self._packs.names()

    def profiles(self) -> list[str]:
        return self._profiles.names()

    def frameworks(self) -> list[str]:
        return self._frameworks.names()

    def customers(self) -> list[str]:
        return self._customers.names()

    # --- loaders -----------------------------------------------------------------------------------------------------

    def pack(self, name: str) -> Pack:
        """A pack with all its policies."""
        return read_pack(self._packs.find(name).child(name), name)

    def all_packs(self) -> dict[str, Pack]:
        packs: dict[str, Pack] = {}
        problems: list[Diagnostic] = []
        for name in self.packs():
            try:
                packs[name] = self.pack(name)
            except InvalidFilesError as error:
                problems += error.diagnostics
        if problems:
            raise InvalidFilesError(problems)
        return packs

    def profile(self, name: str) -> Profile:
        return profile_of(_required(self._profiles.find(name).child(f"{name}.yaml"), "profile", name))

    def framework(self, name: str) -> Framework:
        return framework_of(_required(self._frameworks.find(name).child(f"{name}.yaml"), "framework", name))

    def customer(self, name: str) -> Customer:
        return customer_of(_required(self._customers.find(name).child(name, "customer.yaml"), "customer", name))

    def waivers(self, customer: str) -> tuple[list[Waiver], list[Diagnostic]]:
        """The customer's waivers, and the problems of malformed ones.

        What cannot be read does not apply, and its findings stay: one waiver with a problem, or the whole file where
        the problem lies outside of its entries.
        """
        waivers, problems, _ = self.all_waivers(customer)
        return waivers, problems

    def all_waivers(self, customer: str) -> tuple[list[Waiver], list[Diagnostic], list[Waiver]]:
        """The same, and the malformed ones as far as they say what they were meant for."""
        place = self.waivers_place(customer)
        if not place.is_file():
            return [], [], []
        try:
            document = read(place.source, place.label)
        except InvalidFilesError as error:
            return [], list(error.diagnostics), []
        return waivers_of(document, validation.validate(document, "waiver"))

    def waivers_place(self, customer: str) -> Place:
        """Where the customer's waivers are, or would be; raises :class:`UsageError` for an unknown customer."""
        return self._customers.find(customer).child(customer, "waivers.yaml")

    def prices(self) -> tuple[Price, ...]:
        """The price book: the workspace's own ``pricebook.yaml``, else the built-in one."""
        own, builtin = self._pricebooks
        return prices_of(_required(own if own.is_file() else builtin, "pricebook"))


def read_pack(folder: Place, name: str) -> Pack:
    """The pack in a folder, which must call itself ``name``; raises :class:`InvalidFilesError` with every problem."""
    problems: list[Diagnostic] = []
    head = _load(folder.child("pack.yaml"), "pack", problems, name)
    documents = []
    for entry in folder.names():
        if entry.endswith(".yaml") and entry != "pack.yaml":
            document = _load(folder.child(entry), "policy", problems, entry.removesuffix(".yaml"))
            if document is not None:
                documents.append(document)
    if problems or head is None:
        raise InvalidFilesError(problems)
    return pack_of(head, documents)


def _load(place: Place, kind: str, problems: list[Diagnostic], name: str = "") -> Document | None:
    """Reads and validates one file; ``name``, where given, must be the name written inside."""
    try:
        document = read(place.source, place.label)
    except InvalidFilesError as error:
        problems.extend(error.diagnostics)
        return None
    found = validation.validate(document, kind)
    if not found and name and document.data["name"] != name:
        found = [
            Diagnostic(
                rule="name",
                message=f"The {kind} calls itself {document.data['name']!r}, its file or folder says {name!r}.",
                mark=document.mark("name"),
                hint="Give both the same name.",
            )
        ]
    problems.extend(found)
    return None if found else document


def _required(place: Place, kind: str, name: str = "") -> Document:
    problems: list[Diagnostic] = []
    document = _load(place, kind, problems, name)
    if document is None:
        raise InvalidFilesError(problems)
    return document
