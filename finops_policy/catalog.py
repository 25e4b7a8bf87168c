"""The library and the workspace, loaded on demand and turned into the model's dataclasses.

A workspace (``packs/``, ``profiles/``, ``frameworks/``, ``customers/``) wins over the built-in library, by name. Only
what a command needs is read; every problem of the files read is reported at once.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from finops_policy import validation
from finops_policy.errors import InvalidFilesError, UsageError, did_you_mean
from finops_policy.library import library_root
from finops_policy.model import (
    Account,
    Control,
    ControlMapping,
    Customer,
    Diagnostic,
    Framework,
    Mark,
    Pack,
    PackChoice,
    Parameter,
    ParameterValue,
    Policy,
    Posture,
    Price,
    Profile,
    Setting,
    Settings,
    Severity,
    Strength,
    Waiver,
)
from finops_policy.sources import Document, read

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Place:
    """A file or folder and how it is named to people."""

    source: Traversable
    label: str

    def child(self, *names: str) -> Place:
        return Place(self.source.joinpath(*names), "/".join([self.label, *names]))


class Catalog:
    """Finds and loads packs, profiles, frameworks, customers, waivers and prices by name.

    Every loader raises :class:`UsageError` for a name that does not exist and :class:`InvalidFilesError` for files with
    problems.
    """

    def __init__(self, workspace: Path) -> None:
        root = library_root()
        self._workspace = workspace
        self._builtin = Place(root.joinpath("policies"), "policies")
        self._examples = Place(root.joinpath("customers"), "customers")

    # --- names -------------------------------------------------------------------------------------------------------

    def packs(self) -> list[str]:
        return self._names("packs", lambda entry: entry.joinpath("pack.yaml").is_file())

    def profiles(self) -> list[str]:
        return self._names("profiles")

    def frameworks(self) -> list[str]:
        return self._names("frameworks")

    def customers(self) -> list[str]:
        found = {name for place in self._customer_places() for name in _folders(place, "customer.yaml")}
        return sorted(found)

    def _names(self, kind: str, is_one: Callable[[Traversable], bool] | None = None) -> list[str]:
        found = set()
        for place in self._places(kind):
            for entry in _entries(place.source):
                if is_one is not None and is_one(entry):
                    found.add(entry.name)
                elif is_one is None and entry.name.endswith(".yaml"):
                    found.add(entry.name.removesuffix(".yaml"))
        return sorted(found)

    def _places(self, kind: str) -> list[Place]:
        return [Place(self._workspace / kind, kind), self._builtin.child(kind)]

    def _customer_places(self) -> list[Place]:
        return [Place(self._workspace / "customers", "customers"), self._examples]

    def _find(self, kind: str, name: str, file: str, places: list[Place], known: list[str]) -> Place:
        if NAME.fullmatch(name):
            for place in places:
                if place.source.joinpath(*file.split("/")).is_file():
                    return place.child(*file.split("/")[:-1]) if "/" in file else place.child(file)
        raise UsageError(f"There is no {kind} named {name!r}.", hint=did_you_mean(name, known))

    # --- loaders -----------------------------------------------------------------------------------------------------

    def pack(self, name: str) -> Pack:
        """A pack with all its policies."""
        folder = self._find("pack", name, f"{name}/pack.yaml", self._places("packs"), self.packs())
        problems: list[Diagnostic] = []
        head = _load(folder.child("pack.yaml"), "pack", problems, name)
        documents = []
        for entry in sorted(_entries(folder.source), key=lambda each: each.name):
            if entry.name.endswith(".yaml") and entry.name != "pack.yaml":
                stem = entry.name.removesuffix(".yaml")
                document = _load(folder.child(entry.name), "policy", problems, stem)
                if document is not None:
                    documents.append(document)
        if problems or head is None:
            raise InvalidFilesError(problems)
        return _pack(head, documents)

    def all_packs(self) -> dict[str, Pack]:
        return {name: self.pack(name) for name in self.packs()}

    def profile(self, name: str) -> Profile:
        place = self._find("profile", name, f"{name}.yaml", self._places("profiles"), self.profiles())
        return _profile(_required(place, "profile", name))

    def framework(self, name: str) -> Framework:
        place = self._find("framework", name, f"{name}.yaml", self._places("frameworks"), self.frameworks())
        return _framework(_required(place, "framework", name))

    def customer(self, name: str) -> Customer:
        folder = self._customer_folder(name)
        return _customer(_required(folder.child("customer.yaml"), "customer", name))

    def waivers(self, customer: str) -> tuple[list[Waiver], list[Diagnostic]]:
        """The customer's waivers, and the problems of malformed ones.

        A malformed file yields no waiver: a waiver that cannot be read does not apply, and its finding stays.
        """
        place = self._customer_folder(customer).child("waivers.yaml")
        if not place.source.is_file():
            return [], []
        problems: list[Diagnostic] = []
        document = _load(place, "waiver", problems)
        if document is None:
            return [], problems
        return _waivers(document, problems), problems

    def prices(self) -> tuple[Price, ...]:
        """The price book: the workspace's own ``pricebook.yaml``, else the built-in one."""
        own = Place(self._workspace / "pricebook.yaml", "pricebook.yaml")
        place = own if own.source.is_file() else self._builtin.child("pricebook.yaml")
        return _prices(_required(place, "pricebook"))

    def _customer_folder(self, name: str) -> Place:
        return self._find("customer", name, f"{name}/customer.yaml", self._customer_places(), self.customers())


def digest(data: Any) -> str:
    """SHA-256 of canonical JSON: the same content gives the same digest, whatever its comments and line ends."""
    text = json.dumps(data, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _entries(source: Traversable) -> Iterator[Traversable]:
    return iter(source.iterdir()) if source.is_dir() else iter(())


def _folders(place: Place, marker: str) -> Iterator[str]:
    return (entry.name for entry in _entries(place.source) if entry.joinpath(marker).is_file())


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


def _value(raw: Any) -> ParameterValue:
    return tuple(raw) if isinstance(raw, list) else raw


def _settings(document: Document, data: Mapping[str, Any], *path: str | int) -> Settings:
    settings: dict[str, dict[str, Setting]] = {}
    for pack, values in data.items():
        settings[pack] = {}
        for name, raw in values.items():
            final = isinstance(raw, dict) and raw.get("final", False)
            value = raw["value"] if isinstance(raw, dict) else raw
            settings[pack][name] = Setting(_value(value), document.key_mark(*path, pack, name), final)
    return settings


def _pack(head: Document, documents: list[Document]) -> Pack:
    data = head.data
    parameters = {
        name: Parameter(
            name=name,
            schema={key: value for key, value in raw.items() if key not in ("default", "description", "unit")},
            default=_value(raw["default"]),
            description=raw["description"],
            mark=head.key_mark("parameters", name),
        )
        for name, raw in data.get("parameters", {}).items()
    }
    return Pack(
        name=data["name"],
        version=data["version"],
        title=data["title"],
        owner=data["owner"],
        parameters=parameters,
        policies={document.data["name"]: _policy(document) for document in documents},
        digest=digest([data, *(document.data for document in documents)]),
        mark=head.mark(),
    )


def _policy(document: Document) -> Policy:
    data = document.data
    return Policy(
        name=data["name"],
        title=data["title"],
        resource=data["resource"],
        severity=Severity(data["severity"]),
        rationale=data["rationale"],
        scope=tuple(data["scope"]),
        violation=tuple(data["violation"]),
        remediation=data.get("remediation", {}),
        savings_method=data.get("savings", {}).get("method", ""),
        mark=document.mark(),
        marks=document.marks,
    )


def _profile(document: Document) -> Profile:
    data = document.data
    return Profile(
        name=data["name"],
        version=data["version"],
        title=data["title"],
        packs=tuple(
            PackChoice(name, raw["version"], Posture(raw.get("posture", "report")), document.key_mark("packs", name))
            for name, raw in data["packs"].items()
        ),
        settings=_settings(document, data.get("parameters", {}), "parameters"),
        frameworks=data["frameworks"],
        framework_marks={name: document.key_mark("frameworks", name) for name in data["frameworks"]},
        redacted_tags=tuple(data.get("redaction", {}).get("tag_keys", ())),
        retention_years=data["retention"]["years"],
        retention_source=data["retention"]["source"],
        digest=digest(data),
        mark=document.mark(),
    )


def _customer(document: Document) -> Customer:
    data = document.data
    accounts = tuple(
        Account(
            id=raw["id"],
            name=raw["name"],
            regions=tuple(raw.get("regions", data["regions"])),
            settings=_settings(document, raw.get("parameters", {}), "accounts", index, "parameters"),
            mark=document.mark("accounts", index),
        )
        for index, raw in enumerate(data["accounts"])
    )
    first: dict[str, Mark] = {}
    problems = []
    for account in accounts:
        if account.id in first:
            message = f"Account {account.id} is listed twice."
            problems.append(Diagnostic("duplicate", message, account.mark, "Keep one.", (first[account.id],)))
        first.setdefault(account.id, account.mark)
    if problems:
        raise InvalidFilesError(problems)
    role = data.get("role", {})
    return Customer(
        name=data["name"],
        title=data["title"],
        profile=data.get("profile", ""),
        partition=data.get("partition", "aws"),
        role_name=role.get("name", ""),
        external_id=role.get("external_id", ""),
        accounts=accounts,
        settings=_settings(document, data.get("parameters", {}), "parameters"),
        digest=digest(data),
        mark=document.mark(),
    )


def _waivers(document: Document, problems: list[Diagnostic]) -> list[Waiver]:
    """Those that may apply; a waiver approved by its requester, or with an id used before, is malformed."""
    waivers: list[Waiver] = []
    seen: dict[str, Mark] = {}
    for index, raw in enumerate(document.data["waivers"]):
        mark = document.mark("waivers", index)
        if raw["id"] in seen:
            message = f"Waiver id {raw['id']} is used twice; this one does not apply."
            problems.append(Diagnostic("duplicate", message, mark, "Give it an id of its own.", (seen[raw["id"]],)))
            continue
        seen[raw["id"]] = mark
        if raw["requested_by"].strip().casefold() == raw["approved_by"].strip().casefold():
            message = f"Waiver {raw['id']} is approved by the person who requested it; it does not apply."
            problems.append(Diagnostic("self-approved", message, mark, "Let somebody else approve it."))
            continue
        fields = {**raw, "expires": dt.date.fromisoformat(raw["expires"])}
        waivers.append(Waiver(**fields, mark=mark))
    return waivers


def _framework(document: Document) -> Framework:
    data = document.data
    problems: list[Diagnostic] = []
    seen: dict[str, Mark] = {}
    controls = []
    for index, raw in enumerate(data["controls"]):
        mark = document.mark("controls", index)
        if raw["id"] in seen:
            message = f"Control {raw['id']} is listed twice."
            problems.append(Diagnostic("duplicate", message, mark, "Keep one.", (seen[raw["id"]],)))
        seen.setdefault(raw["id"], mark)
        if raw["group"] not in data["groups"]:
            message = f"Control {raw['id']} is in group {raw['group']!r}, which is not listed."
            hint = did_you_mean(raw["group"], data["groups"])
            problems.append(
                Diagnostic("unknown-group", message, document.mark("controls", index, "group"), hint)
            )
        mappings = tuple(
            ControlMapping(
                each["policy"],
                Strength(each["strength"]),
                each["rationale"],
                document.mark("controls", index, "mappings", place),
            )
            for place, each in enumerate(raw.get("mappings", []))
        )
        controls.append(
            Control(
                raw["id"], raw["title"], raw["group"], raw.get("kind", ""), raw.get("manual", ""), mappings, mark
            )
        )
    if problems:
        raise InvalidFilesError(problems)
    return Framework(
        name=data["name"],
        version=data["version"],
        title=data["title"],
        source=data["source"]["title"],
        source_url=data["source"].get("url", ""),
        licence=data["source"]["licence"],
        complete=data["complete"],
        groups=data["groups"],
        controls=tuple(controls),
        digest=digest(data),
        mark=document.mark(),
    )


def _prices(document: Document) -> tuple[Price, ...]:
    data = document.data
    return tuple(
        Price(
            key=raw["key"],
            region=region,
            unit=raw["unit"],
            amount=Decimal(amount),
            currency=data["currency"],
            source=raw.get("source", data["source"]),
            as_of=dt.date.fromisoformat(raw.get("as_of", data["as_of"])),
            verified=raw.get("verified", False),
        )
        for raw in data["prices"]
        for region, amount in raw["regions"].items()
    )
