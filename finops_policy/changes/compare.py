"""PURE: everything that differs between two states of a workspace, in a fixed order."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar

from finops_policy.changes.library import compare_customers, compare_frameworks, compare_profiles, compare_waivers
from finops_policy.changes.model import Change, Comparison, Effect, Kind, Section, Side, Snapshot, VersionStep
from finops_policy.changes.packs import compare_packs
from finops_policy.changes.plain import compare_plain
from finops_policy.changes.versions import given_bump, needed_bump
from finops_policy.marks import Mark
from finops_policy.masking import masked_value
from finops_policy.model import Pack

Value = TypeVar("Value")

_CAME: Final = {
    Section.PROFILE: (Effect.NEUTRAL, "no customer is judged by it until one names it"),
    Section.CUSTOMER: (Effect.TIGHTENS, "its accounts are looked at"),
    Section.FRAMEWORK: (Effect.NEUTRAL, "nothing is assessed by it until a profile names it"),
}
_WENT: Final = {
    Section.PROFILE: (Effect.UNCLEAR, "customers that name it are refused"),
    Section.CUSTOMER: (Effect.LOOSENS, "its accounts are not looked at any more"),
    Section.FRAMEWORK: (Effect.UNCLEAR, "profiles that name it are refused"),
}


def comparison(base: Side, head: Side, old: Snapshot, new: Snapshot, today: dt.date) -> Comparison:
    """All that there is to tell. ``today`` is the date in UTC."""
    problems = list(_problems(base, head, old, new))
    if not base.exists:
        problems.insert(0, f"The workspace does not exist at {base}: everything in it counts as added.")
    if not head.exists:
        problems.insert(0, f"The workspace does not exist at {head}: everything in it counts as removed.")
    return Comparison(base, head, tuple(compare(old, new, today)), tuple(_versions(old, new)), tuple(problems))


def _problems(base: Side, head: Side, old: Snapshot, new: Snapshot) -> Iterator[str]:
    """What is unreadable in the same way on both sides has not changed."""
    same = {each for each in old.problems if each.digest} & {each for each in new.problems if each.digest}
    for side, state in ((base, old), (head, new)):
        yield from (f"{each.what} at {side}: {each.reason}" for each in state.problems if each not in same)


def _versions(old: Snapshot, new: Snapshot) -> Iterator[VersionStep]:
    for name, was, now in _both(Section.PACK, old.packs, new.packs, old.unread | new.unread):
        if was is None or now is None or was.digest == now.digest:
            continue
        needed, given = needed_bump(was, now), given_bump(was.version, now.version)
        enough = given is not None and given >= needed.level
        told = "down" if given is None else str(given)
        yield VersionStep(name, was.version, now.version, str(needed.level), told, enough, needed.reasons)


def compare(old: Snapshot, new: Snapshot, today: dt.date) -> list[Change]:
    """What cannot be read on either side is left out: it has neither come nor gone. ``today`` is the date in UTC."""
    unread = old.unread | new.unread
    found: list[Change] = []
    for name, was, now in _both(Section.PACK, old.packs, new.packs, unread):
        if was is not None and now is not None:
            found += compare_packs(was, now)
        else:
            found.append(_whole_pack(name, was, now, old, new))
    files = {name for section, name in unread if section is Section.PLAIN}
    found += compare_plain(old.plain, new.plain, files)
    for name, profile, profile_now in _both(Section.PROFILE, old.profiles, new.profiles, unread):
        if profile is not None and profile_now is not None:
            found += compare_profiles(profile, profile_now, new.packs)
        else:
            found.append(_whole(Section.PROFILE, name, profile, profile_now))
    profiles = (old.profiles, new.profiles)
    for name, customer, customer_now in _both(Section.CUSTOMER, old.customers, new.customers, unread):
        if customer is not None and customer_now is not None:
            found += compare_customers(customer, customer_now, profiles, new.packs)
            found += compare_waivers(name, old.waivers.get(name, ()), new.waivers.get(name, ()), today)
        else:
            found.append(_whole(Section.CUSTOMER, name, customer, customer_now))
    for name, framework, framework_now in _both(Section.FRAMEWORK, old.frameworks, new.frameworks, unread):
        if framework is not None and framework_now is not None:
            found += compare_frameworks(framework, framework_now)
        else:
            found.append(_whole(Section.FRAMEWORK, name, framework, framework_now))
    shown = (replace(each, old=_shown(each, each.old), new=_shown(each, each.new)) for each in found)
    return _sorted(shown)


def _shown(change: Change, value: Any) -> Any:
    """A diff is read by more people than the files: who takes a secret out must not publish it."""
    return masked_value(value, change.field.rpartition(".")[2])


def _sorted(found: Iterable[Change]) -> list[Change]:
    """By section, owner and item; what has come or gone first. Fields stay as they were found."""
    order = list(Section)
    return sorted(found, key=lambda each: (order.index(each.section), each.owner, each.item, bool(each.field)))


def _both(
    section: Section, old: Mapping[str, Value], new: Mapping[str, Value], unread: frozenset[tuple[Section, str]]
) -> Iterator[tuple[str, Value | None, Value | None]]:
    for name in sorted({*old, *new}):
        if (section, name) not in unread:
            yield name, old.get(name), new.get(name)


def _whole(section: Section, name: str, old: Any, new: Any) -> Change:
    effect, why = _WENT[section] if new is None else _CAME[section]
    return _come_or_gone(section, name, old, new, effect, why)


def _whole_pack(name: str, old: Pack | None, new: Pack | None, before: Snapshot, after: Snapshot) -> Change:
    profiles = after.profiles if new is not None else before.profiles
    users = [each.name for each in profiles.values() if any(choice.name == name for choice in each.packs)]
    used = f"named by {', '.join(sorted(users))}" if users else "no profile names it"
    effect = Effect.NEUTRAL if not users else Effect.TIGHTENS if new is not None else Effect.LOOSENS
    return _come_or_gone(Section.PACK, name, old, new, effect, used)


def _come_or_gone(section: Section, name: str, old: Any, new: Any, effect: Effect, why: str) -> Change:
    there = old if new is None else new
    mark: Mark = there.mark
    kind = Kind.REMOVED if new is None else Kind.ADDED
    return Change(section, name, "", "", kind, old and old.title, new and new.title, effect, why, mark)
