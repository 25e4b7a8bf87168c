"""PURE: what differs between two states of profiles, frameworks, customers and waivers, field by field."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from finops_policy.changes.filters import text
from finops_policy.changes.model import Change, Effect, Kind, Section
from finops_policy.changes.packs import TEXTS, setting_effect
from finops_policy.compiler import in_range
from finops_policy.customer import ENABLED, Account, Customer, Role
from finops_policy.marks import Mark
from finops_policy.model import (
    Control,
    Framework,
    Pack,
    PackChoice,
    ParameterValue,
    Posture,
    Profile,
    Setting,
    Settings,
    Strength,
    Waiver,
)
from finops_policy.waivers import in_force, meant

ADDED, REMOVED, CHANGED = Kind.ADDED, Kind.REMOVED, Kind.CHANGED
TIGHTENS, LOOSENS, UNCLEAR, NEUTRAL = Effect.TIGHTENS, Effect.LOOSENS, Effect.UNCLEAR, Effect.NEUTRAL
_RECORDS: Final = "what is recorded or kept; nothing is found or done differently"


@dataclass(frozen=True, slots=True)
class _Of:
    """Makes the changes of one owner."""

    section: Section
    owner: str

    def made(
        self, kind: Kind, item: str, field: str, old: Any, new: Any, effect: Effect, why: str, mark: Mark
    ) -> Change:
        return Change(self.section, self.owner, item, field, kind, old, new, effect, why, mark)


# --- profiles ---------------------------------------------------------------------------------------------------------


def compare_profiles(old: Profile, new: Profile, packs: Mapping[str, Pack]) -> list[Change]:
    """``packs`` are those of the new state: through them a parameter's value has its effect."""
    of = _Of(Section.PROFILE, new.name)
    before, after = {each.name: each for each in old.packs}, {each.name: each for each in new.packs}
    found: list[Change] = []
    for name in sorted({*before, *after}):
        found += _choice(of, name, before.get(name), after.get(name), packs)
    found += _settings(of, "", (old.settings,), (new.settings,), packs, new.mark)
    for name in sorted({*old.frameworks, *new.frameworks}):
        found += _chosen_framework(of, name, old, new)
    texts = (("version", NEUTRAL, TEXTS), ("title", NEUTRAL, TEXTS), ("redacted_tags", NEUTRAL, _RECORDS))
    kept = (("retention_years", NEUTRAL, _RECORDS), ("retention_source", NEUTRAL, TEXTS))
    found += _fields(of, "", old, new, (*texts, *kept), new.mark)
    return _or_rest(of, found, old.digest, new.digest, new.mark)


def _choice(
    of: _Of, name: str, old: PackChoice | None, new: PackChoice | None, packs: Mapping[str, Pack]
) -> Iterator[Change]:
    item = f"pack {name}"
    if old is None and new is not None:
        yield of.made(ADDED, item, "", None, new.versions, TIGHTENS, "its policies are run", new.mark)
    elif new is None and old is not None:
        yield of.made(REMOVED, item, "", old.versions, None, LOOSENS, "its policies are not run any more", old.mark)
    elif old is not None and new is not None:
        if old.versions != new.versions:
            stays = name in packs and all(in_range(packs[name].version, each.versions) for each in (old, new))
            effect, why = (
                (NEUTRAL, "both accept the version in use") if stays else (UNCLEAR, "another version may be used")
            )
            yield of.made(CHANGED, item, "version", old.versions, new.versions, effect, why, new.mark)
        yield from _posture(of, item, old.posture, new.posture, new.mark)
        for policy in sorted({*old.postures, *new.postures}):
            was, now = old.posture_of(policy), new.posture_of(policy)
            yield from _posture(of, f"{item}, policy {policy}", was, now, new.mark)


def _posture(of: _Of, item: str, old: Posture, new: Posture, mark: Mark) -> Iterator[Change]:
    if old is not new:
        stronger = list(Posture).index(new) > list(Posture).index(old)
        effect, why = (TIGHTENS, "more may be done") if stronger else (LOOSENS, "less may be done")
        yield of.made(CHANGED, item, "posture", str(old), str(new), effect, why, mark)


def _chosen_framework(of: _Of, name: str, old: Profile, new: Profile) -> Iterator[Change]:
    item, before, after = f"framework {name}", old.frameworks.get(name), new.frameworks.get(name)
    if before is None:
        mark = new.framework_marks[name]
        yield of.made(ADDED, item, "", None, after, TIGHTENS, "its controls are assessed", mark)
    elif after is None:
        mark = old.framework_marks[name]
        yield of.made(REMOVED, item, "", before, None, LOOSENS, "its controls are not assessed any more", mark)
    elif before != after:
        why = "another version may be assessed"
        yield of.made(CHANGED, item, "version", before, after, UNCLEAR, why, new.framework_marks[name])


# --- parameters' values -----------------------------------------------------------------------------------------------


def _settings(
    of: _Of,
    place: str,
    old: Sequence[Settings],
    new: Sequence[Settings],
    packs: Mapping[str, Pack],
    mark: Mark,
) -> Iterator[Change]:
    """``old`` and ``new`` are the layers, the strongest first: the first is the one compared, the others say what holds
    where it says nothing, and after them the pack's default."""
    names = {(pack, name) for each in (old[0], new[0]) for pack, values in each.items() for name in values}
    for pack, name in sorted(names):
        before, after = old[0].get(pack, {}).get(name), new[0].get(pack, {}).get(name)
        item = f"{place}parameter {pack}.{name}"
        yield from _setting(of, item, before, after, packs.get(pack), (old[1:], new[1:]), (pack, name), mark)


def _setting(
    of: _Of,
    item: str,
    old: Setting | None,
    new: Setting | None,
    pack: Pack | None,
    beneath: tuple[Sequence[Settings], Sequence[Settings]],
    name: tuple[str, str],
    mark: Mark,
) -> Iterator[Change]:
    was = old.value if old else _beneath(beneath[0], pack, *name)
    now = new.value if new else _beneath(beneath[1], pack, *name)
    place = new.mark if new else old.mark if old else mark
    kind = ADDED if old is None else REMOVED if new is None else CHANGED
    if text(was) != text(now) or kind is not CHANGED:
        if text(was) == text(now):
            effect, why = NEUTRAL, "the value that holds stays the same"
        elif pack is not None and name[1] in pack.parameters and was is not None and now is not None:
            effect, why = setting_effect(pack, name[1], was, now)
        else:
            effect, why = UNCLEAR, "the pack or its parameter is not known"
        yield of.made(kind, item, "", was, now, effect, why, place)
    if (old is not None and old.final) is not (new is not None and new.final):
        locked = new is not None and new.final
        effect, why = (
            (TIGHTENS, "customers can no longer change it") if locked else (LOOSENS, "customers may change it")
        )
        yield of.made(CHANGED, item, "final", not locked, locked, effect, why, place)


def _beneath(layers: Sequence[Settings], pack: Pack | None, pack_name: str, name: str) -> ParameterValue | None:
    for layer in layers:
        if (setting := layer.get(pack_name, {}).get(name)) is not None:
            return setting.value
    return pack.parameters[name].default if pack and name in pack.parameters else None


# --- customers --------------------------------------------------------------------------------------------------------


def compare_customers(
    old: Customer,
    new: Customer,
    profiles: tuple[Mapping[str, Profile], Mapping[str, Profile]],
    packs: Mapping[str, Pack],
) -> list[Change]:
    """``profiles`` are those of the old state, and of the new one."""
    of = _Of(Section.CUSTOMER, new.name)
    layers = [_layers(customer, each) for customer, each in zip((old, new), profiles, strict=True)]
    found = list(
        _fields(
            of,
            "",
            old,
            new,
            (
                ("profile", UNCLEAR, "other packs, parameters and frameworks may hold"),
                ("title", NEUTRAL, TEXTS),
                ("partition", UNCLEAR, "other accounts are looked at"),
                ("role", NEUTRAL, "how accounts are entered; what it may read is not known here"),
            ),
            new.mark,
        )
    )
    found += _listed(of, "", "regions", old.regions, new.regions, new.mark)
    if old.organization != new.organization and _scope(old) != _scope(new):
        mark = new.organization.mark if new.organization else new.mark
        why = "other accounts may be discovered"
        found.append(of.made(CHANGED, "", "organization", _scope(old), _scope(new), UNCLEAR, why, mark))
    found += _settings(of, "", layers[0], layers[1], packs, new.mark)
    before, after = {each.id: each for each in old.accounts}, {each.id: each for each in new.accounts}
    for account_id in sorted({*before, *after}):
        found += _account(of, before.get(account_id), after.get(account_id), layers, packs)
    return _or_rest(of, found, old.digest, new.digest, new.mark)


def _layers(customer: Customer, profiles: Mapping[str, Profile]) -> list[Settings]:
    profile = profiles.get(customer.profile)
    return [customer.settings, *([profile.settings] if profile else [])]


def _scope(customer: Customer) -> Any:
    found = customer.organization
    return found and {"include": list(found.include), "exclude": list(found.exclude), "tags": dict(found.tags)}


def _account(
    of: _Of, old: Account | None, new: Account | None, layers: Sequence[list[Settings]], packs: Mapping[str, Pack]
) -> Iterator[Change]:
    if old is None and new is not None:
        item = f"account {new.id}"
        yield of.made(ADDED, item, "", None, new.name, TIGHTENS, "one account more is looked at", new.mark)
    elif new is None and old is not None:
        item = f"account {old.id}"
        yield of.made(REMOVED, item, "", old.name, None, LOOSENS, "one account less is looked at", old.mark)
    elif old is not None and new is not None:
        item = f"account {new.id}"
        fields = (("name", NEUTRAL, TEXTS), ("role", NEUTRAL, "how it is entered; what it may read is not known here"))
        yield from _fields(of, item, old, new, fields, new.mark)
        yield from _listed(of, item, "regions", old.regions, new.regions, new.mark)
        own = ([old.settings, *layers[0]], [new.settings, *layers[1]])
        yield from _settings(of, f"account {new.id}, ", own[0], own[1], packs, new.mark)


def _listed(of: _Of, item: str, field: str, old: Sequence[str], new: Sequence[str], mark: Mark) -> Iterator[Change]:
    """Of lists where more is looked at when one is longer."""
    before, after = set(old), set(new)
    if before == after:
        return
    if before < after:
        effect, why = TIGHTENS, "more is looked at"
    elif after < before:
        effect, why = LOOSENS, "less is looked at"
    else:
        effect, why = UNCLEAR, "something else is looked at"
    if ENABLED in before | after:
        effect, why = UNCLEAR, "which regions are enabled only AWS knows"
    yield of.made(CHANGED, item, field, list(old), list(new), effect, why, mark)


# --- waivers ----------------------------------------------------------------------------------------------------------


def compare_waivers(customer: str, old: Sequence[Waiver], new: Sequence[Waiver], today: dt.date) -> list[Change]:
    of = _Of(Section.CUSTOMER, customer)
    before, after = {each.id: each for each in old}, {each.id: each for each in new}
    found: list[Change] = []
    for name in sorted({*before, *after}):
        was, now, item = before.get(name), after.get(name), f"waiver {name}"
        if was is None and now is not None:
            effect, why = (
                (LOOSENS, "findings are accepted") if in_force(now, today) else (NEUTRAL, "it has expired already")
            )
            found.append(of.made(ADDED, item, "", None, _told(now), effect, why, now.mark))
        elif now is None and was is not None:
            effect, why = (TIGHTENS, "its findings are back") if in_force(was, today) else (NEUTRAL, "it had expired")
            found.append(of.made(REMOVED, item, "", _told(was), None, effect, why, was.mark))
        elif was is not None and now is not None:
            found += _waiver(of, item, was, now, today)
    return found


def _told(waiver: Waiver) -> str:
    return f"{waiver.policy} on {meant(waiver)} until {waiver.expires}"


def _waiver(of: _Of, item: str, old: Waiver, new: Waiver, today: dt.date) -> Iterator[Change]:
    dead = not in_force(old, today) and not in_force(new, today)
    if old.expires != new.expires:
        longer = new.expires > old.expires
        effect, why = (
            (LOOSENS, "findings are accepted for longer") if longer else (TIGHTENS, "its findings are back sooner")
        )
        effect, why = (NEUTRAL, "it has expired all the same") if dead else (effect, why)
        yield of.made(CHANGED, item, "expires", str(old.expires), str(new.expires), effect, why, new.mark)
    other = (NEUTRAL, "it has expired") if dead else (UNCLEAR, "other findings are accepted")
    names = ("reason", "owner", "requested_by", "approved_by", "ticket")
    chosen = [(name, *other) for name in ("policy", "resource", "tag_key", "tag_value", "account", "region")]
    yield from _fields(of, item, old, new, (*chosen, *((name, NEUTRAL, TEXTS) for name in names)), new.mark)
    if old.created != new.created:
        was, now = (str(each.created) if each.created else None for each in (old, new))
        yield of.made(CHANGED, item, "created", was, now, *other, new.mark)


# --- frameworks -------------------------------------------------------------------------------------------------------


def compare_frameworks(old: Framework, new: Framework) -> list[Change]:
    of = _Of(Section.FRAMEWORK, new.name)
    fields = ("version", "title", "source", "source_url", "licence", "complete", "groups")
    found = list(_fields(of, "", old, new, [(name, NEUTRAL, TEXTS) for name in fields], new.mark))
    before, after = {each.id: each for each in old.controls}, {each.id: each for each in new.controls}
    for name in sorted({*before, *after}):
        was, now, item = before.get(name), after.get(name), f"control {name}"
        if was is None and now is not None:
            found.append(
                of.made(ADDED, item, "", None, now.title, TIGHTENS, "one requirement more is assessed", now.mark)
            )
        elif now is None and was is not None:
            why = "one requirement less is assessed"
            found.append(of.made(REMOVED, item, "", was.title, None, LOOSENS, why, was.mark))
        elif was is not None and now is not None:
            found += _control(of, item, was, now)
    return _or_rest(of, found, old.digest, new.digest, new.mark)


def _control(of: _Of, item: str, old: Control, new: Control) -> Iterator[Change]:
    yield from _fields(of, item, old, new, [(name, NEUTRAL, TEXTS) for name in ("title", "group", "kind")], new.mark)
    if old.manual != new.manual:
        why = "what a person must attest is another" if old.manual and new.manual else "whether a person must attest it"
        yield of.made(CHANGED, item, "manual", old.manual or None, new.manual or None, UNCLEAR, why, new.mark)
    before, after = {each.policy: each for each in old.mappings}, {each.policy: each for each in new.mappings}
    for name in sorted({*before, *after}):
        was, now, place = before.get(name), after.get(name), f"{item}, mapping of {name}"
        if was is None and now is not None:
            effect, why = _mapped(now.strength, bool(before), "more must be clean")
            yield of.made(ADDED, place, "", None, str(now.strength), effect, why, now.mark)
        elif now is None and was is not None:
            effect, why = _mapped(was.strength, bool(after), "less must be clean")
            yield of.made(REMOVED, place, "", str(was.strength), None, effect.reversed(), why, was.mark)
        elif was is not None and now is not None:
            if was.strength is not now.strength:
                effect, why = _strength(was.strength, now.strength)
                yield of.made(CHANGED, place, "strength", str(was.strength), str(now.strength), effect, why, now.mark)
            yield from _fields(of, place, was, now, [("rationale", NEUTRAL, TEXTS)], now.mark)


def _mapped(strength: Strength, others: bool, other: str) -> tuple[Effect, str]:
    """Of one mapping more. Only a direct one can make a control satisfied; each must be clean."""
    if strength is Strength.DIRECT or not others:
        return UNCLEAR, "the control's verdict depends on another set of policies"
    return TIGHTENS, f"one policy {other}"


def _strength(old: Strength, new: Strength) -> tuple[Effect, str]:
    if Strength.DIRECT not in (old, new):
        return UNCLEAR, "a finding weighs otherwise for the verdict"
    if new is Strength.DIRECT:
        return LOOSENS, "the policy alone can now satisfy the control"
    return TIGHTENS, "the policy alone can no longer satisfy the control"


# --- anything ---------------------------------------------------------------------------------------------------------


def _fields(
    of: _Of, item: str, old: Any, new: Any, fields: Sequence[tuple[str, Effect, str]], mark: Mark
) -> Iterator[Change]:
    for name, effect, why in fields:
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            yield of.made(CHANGED, item, name, _plain(before), _plain(after), effect, why, mark)


def _plain(value: Any) -> Any:
    """As JSON can hold it. Of a role its name: its external id is for AWS alone."""
    if isinstance(value, Role):
        return value.name
    if value is None or isinstance(value, str | int | float):
        return value if value != "" else None
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else str(value)


def _or_rest(of: _Of, found: list[Change], old: str, new: str, mark: Mark) -> list[Change]:
    """A file that changed without a change of anything that is compared has changed all the same."""
    if found or old == new:
        return found
    return [
        of.made(CHANGED, "", "other fields", None, None, NEUTRAL, "nothing that is run or found depends on them", mark)
    ]
