"""What people write, once it is known to fit its schema, as the model's dataclasses.

What a schema cannot say is checked here: ids used twice, groups and approvals that do not fit. Every function but
:func:`waivers_of` raises :class:`InvalidFilesError` with all such problems of its file.
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from finops_policy.approval_settings import approvers_of, rules_of
from finops_policy.customer import Account, Customer, Organization, Role
from finops_policy.digests import digest
from finops_policy.errors import InvalidFilesError, did_you_mean
from finops_policy.marks import Diagnostic, Mark
from finops_policy.model import (
    Control,
    ControlMapping,
    Framework,
    Pack,
    PackChoice,
    Parameter,
    ParameterValue,
    Policy,
    Posture,
    Profile,
    Setting,
    Settings,
    Severity,
    Strength,
    Waiver,
)
from finops_policy.money import Price
from finops_policy.notification_settings import notifications_of
from finops_policy.remediation_settings import remediation_of
from finops_policy.sources import Document


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


def pack_of(head: Document, documents: list[Document]) -> Pack:
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
        policies={document.data["name"]: policy_of(document) for document in documents},
        digest=digest([data, *(document.data for document in documents)]),
        mark=head.mark(),
    )


def policy_of(document: Document) -> Policy:
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


def profile_of(document: Document) -> Profile:
    data = document.data
    return Profile(
        name=data["name"],
        version=data["version"],
        title=data["title"],
        packs=tuple(
            PackChoice(
                name,
                raw["version"],
                Posture(raw.get("posture", "report")),
                document.key_mark("packs", name),
                {policy: Posture(each) for policy, each in raw.get("postures", {}).items()},
                {policy: document.key_mark("packs", name, "postures", policy) for policy in raw.get("postures", {})},
            )
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
        waiver_days={Severity(name): days for name, days in data.get("waivers", {}).get("max_days", {}).items()},
    )


def customer_of(document: Document) -> Customer:
    data = document.data
    accounts = tuple(
        Account(
            id=raw["id"],
            name=raw["name"],
            regions=_regions(raw.get("regions", data["regions"])),
            settings=_settings(document, raw.get("parameters", {}), "accounts", index, "parameters"),
            mark=document.mark("accounts", index),
            role=_role(raw.get("role")),
        )
        for index, raw in enumerate(data.get("accounts", ()))
    )
    _refuse(_repeated("Account", ((account.id, account.mark) for account in accounts)))
    return Customer(
        name=data["name"],
        title=data["title"],
        profile=data.get("profile", ""),
        partition=data.get("partition", "aws"),
        role=_role(data.get("role")),
        accounts=accounts,
        settings=_settings(document, data.get("parameters", {}), "parameters"),
        digest=digest(data),
        mark=document.mark(),
        regions=_regions(data["regions"]),
        organization=_organization(document, data.get("organization")),
        remediation=remediation_of(document, data.get("remediation", {})),
        approvers=approvers_of(document, data.get("approvers", ())),
        approval=rules_of(document, data.get("approval")),
        notifications=notifications_of(document, data.get("notifications")),
    )


def _regions(raw: list[str] | str) -> tuple[str, ...]:
    return (raw,) if isinstance(raw, str) else tuple(raw)


def _role(raw: Mapping[str, Any] | None) -> Role | None:
    return None if raw is None else Role(**{**raw, "via": tuple(raw.get("via", ()))})


def _organization(document: Document, raw: Mapping[str, Any] | None) -> Organization | None:
    if raw is None:
        return None
    include, exclude = raw.get("include", []), raw.get("exclude", [])
    _refuse(
        Diagnostic(
            "clash",
            f"{each} is both included and excluded.",
            document.mark("organization", "exclude", index),
            "Keep one.",
            (document.mark("organization", "include", include.index(each)),),
        )
        for index, each in enumerate(exclude)
        if each in include
    )
    mark = document.key_mark("organization")
    return Organization(tuple(include), tuple(exclude), raw.get("tags", {}), mark)


def waivers_of(document: Document, problems: list[Diagnostic]) -> tuple[list[Waiver], list[Diagnostic], list[Waiver]]:
    """Those that may apply, and the problems of the others: what their schema says (``problems``), approved by who
    requested them, or of an id used before. Last those others, as far as they say what they were meant for."""
    entries = document.data.get("waivers") if isinstance(document.data, dict) else None
    starts = [document.mark("waivers", index) for index in range(len(entries))] if isinstance(entries, list) else []
    broken = {bisect_right(starts, problem.mark) - 1 for problem in problems}
    waivers: list[Waiver] = []
    problems = list(problems)
    seen: dict[str, Mark] = {}
    if not isinstance(entries, list):
        return waivers, problems, []
    if -1 in broken:  # the file itself is not as it should be
        return waivers, problems, _meant(entries, starts, set(range(len(entries))))
    for index, raw in enumerate(entries):
        if index in broken:
            continue
        mark = starts[index]
        if raw["id"] in seen:
            broken.add(index)
            message = f"Waiver id {raw['id']} is used twice; this one does not apply."
            problems.append(Diagnostic("duplicate", message, mark, "Give it an id of its own.", (seen[raw["id"]],)))
            continue
        seen[raw["id"]] = mark
        if raw["requested_by"].strip().casefold() == raw["approved_by"].strip().casefold():
            broken.add(index)
            message = f"Waiver {raw['id']} is approved by the person who requested it; it does not apply."
            problems.append(Diagnostic("self-approved", message, mark, "Let somebody else approve it."))
            continue
        waivers.append(_waiver(raw, mark))
    return waivers, problems, _meant(entries, starts, broken)


_WORDS = ("id", "policy", "reason", "owner", "requested_by", "approved_by", "ticket")
_CHOSEN = ("resource", "account", "region")


def _waiver(raw: Mapping[str, Any], mark: Mark) -> Waiver:
    tag = raw.get("tag", {})
    created = dt.date.fromisoformat(raw["created"]) if "created" in raw else None
    return Waiver(
        **{name: raw[name] for name in _WORDS},
        **{name: raw.get(name, "") for name in _CHOSEN},
        tag_key=tag.get("key", ""),
        tag_value=tag.get("value", ""),
        created=created,
        starts=created or dt.date.min,
        expires=dt.date.fromisoformat(raw["expires"]),
        mark=mark,
    )


def _meant(entries: list[Any], marks: list[Mark], which: set[int]) -> list[Waiver]:
    """Entries that do not apply, by whatever of them says what they are for; without a selector that can be read they
    say nothing."""
    found = []
    for index in sorted(which):
        raw: Any = entries[index]
        if not isinstance(raw, dict):
            continue
        written: Any = raw.get("tag")
        tag = written if isinstance(written, dict) else {}
        fields: dict[str, Any] = {name: str(raw.get(name, "")) for name in (*_WORDS, *_CHOSEN)}
        fields |= {"tag_key": str(tag.get("key", "")), "tag_value": str(tag.get("value", ""))}
        if fields["policy"] and (fields["resource"] or fields["tag_key"]):
            found.append(Waiver(**fields, expires=dt.date.min, mark=marks[index]))
    return found


def framework_of(document: Document) -> Framework:
    data = document.data
    controls = tuple(_control(document, index, raw) for index, raw in enumerate(data["controls"]))
    problems = list(_repeated("Control", ((control.id, control.mark) for control in controls)))
    for index, control in enumerate(controls):
        if control.group not in data["groups"]:
            message = f"Control {control.id} is in group {control.group!r}, which is not listed."
            hint = did_you_mean(control.group, data["groups"])
            mark, groups = document.mark("controls", index, "group"), document.key_mark("groups")
            problems.append(Diagnostic("unknown-group", message, mark, hint, (groups,)))
        mapped = ((mapping.policy, mapping.mark) for mapping in control.mappings)
        problems += _repeated(f"The mapping of control {control.id} to", mapped)
    _refuse(problems)
    return Framework(
        name=data["name"],
        version=data["version"],
        title=data["title"],
        source=data["source"]["title"],
        source_url=data["source"].get("url", ""),
        licence=data["source"]["licence"],
        complete=data["complete"],
        groups=data["groups"],
        controls=controls,
        digest=digest(data),
        mark=document.mark(),
    )


def _control(document: Document, index: int, raw: Mapping[str, Any]) -> Control:
    return Control(
        id=raw["id"],
        title=raw["title"],
        group=raw["group"],
        kind=raw.get("kind", ""),
        manual=raw.get("manual", ""),
        mappings=tuple(
            ControlMapping(
                policy=each["policy"],
                strength=Strength(each["strength"]),
                rationale=each["rationale"],
                mark=document.mark("controls", index, "mappings", place),
            )
            for place, each in enumerate(raw.get("mappings", []))
        ),
        mark=document.mark("controls", index),
    )


def prices_of(document: Document) -> tuple[Price, ...]:
    data = document.data
    rows = [(index, raw, region) for index, raw in enumerate(data["prices"]) for region in raw["regions"]]
    _refuse(
        _repeated(
            "The price of",
            (
                (f"{raw['key']} in {region}", document.key_mark("prices", index, "regions", region))
                for index, raw, region in rows
            ),
        )
    )
    return tuple(
        Price(
            key=raw["key"],
            region=region,
            unit=raw["unit"],
            amount=Decimal(raw["regions"][region]),
            currency=data["currency"],
            source=raw.get("source", data["source"]),
            as_of=dt.date.fromisoformat(raw.get("as_of", data["as_of"])),
            verified=raw.get("verified", False),
        )
        for _, raw, region in rows
    )


def _repeated(what: str, items: Iterable[tuple[str, Mark]]) -> Iterator[Diagnostic]:
    """A problem for each name that came before, with the place of the first."""
    first: dict[str, Mark] = {}
    for name, mark in items:
        if name in first:
            yield Diagnostic("duplicate", f"{what} {name} is listed twice.", mark, "Keep one.", (first[name],))
        first.setdefault(name, mark)


def _refuse(problems: Iterable[Diagnostic]) -> None:
    if found := list(problems):
        raise InvalidFilesError(found)
