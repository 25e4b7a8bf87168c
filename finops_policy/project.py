"""One customer under one profile: everything a command needs, loaded and compiled."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from finops_policy.catalog import Catalog
from finops_policy.compiler import CompiledSet, compile_set
from finops_policy.custodian.arn_keys import arn_keys
from finops_policy.customer import ENABLED, Account, Customer, Organization
from finops_policy.errors import UsageError, did_you_mean
from finops_policy.marks import Diagnostic
from finops_policy.model import Framework, Pack, Profile, Target, Waiver
from finops_policy.waiver_filters import ArnKey
from finops_policy.waivers import Rules, sort_out


@dataclass(frozen=True, slots=True)
class Project:
    """``malformed`` are the problems of waivers that do not apply: they cannot be read, or break a rule. ``lapsed`` are
    those waivers, as far as they say what they were meant for."""

    customer: Customer
    profile: Profile
    packs: dict[str, Pack]
    frameworks: tuple[Framework, ...]
    compiled: CompiledSet
    waivers: tuple[Waiver, ...]
    malformed: tuple[Diagnostic, ...]
    lapsed: tuple[Waiver, ...] = ()


def load(catalog: Catalog, customer_name: str, profile_name: str | None, today: dt.date | None = None) -> Project:
    """Loads and compiles, with the waivers that apply ``today`` (UTC).

    Raises :class:`UsageError` for unknown names and ``InvalidFilesError`` for broken files.
    """
    customer = catalog.customer(customer_name)
    if profile_name is None and not customer.profile:
        raise UsageError(
            f"Customer {customer.name} names no profile.",
            hint=f"Give --profile: one of {', '.join(catalog.profiles())}.",
        )
    profile = catalog.profile(customer.profile if profile_name is None else profile_name)
    known = catalog.frameworks()
    frameworks = tuple(catalog.framework(name) for name in profile.frameworks if name in known)
    packs = catalog.all_packs()
    waivers, malformed, unread = catalog.all_waivers(customer.name)
    sorted_ = sort_out(waivers, waiver_rules(profile, customer, packs), today or dt.datetime.now(dt.UTC).date())
    return Project(
        customer=customer,
        profile=profile,
        packs=packs,
        frameworks=frameworks,
        compiled=compile_set(
            profile, customer, packs, frameworks, sorted_.compiled, _arn_keys(sorted_.compiled, profile, packs)
        ),
        waivers=sorted_.applying,
        malformed=(*malformed, *sorted_.problems),
        lapsed=(*unread, *sorted_.broken, *sorted_.coming),
    )


def waiver_rules(profile: Profile, customer: Customer, packs: Mapping[str, Pack]) -> Rules:
    return Rules(
        severities={name: policy.severity for pack in packs.values() for name, policy in pack.policies.items()},
        max_days=profile.waiver_days,
        approvers={each.email.casefold() for each in customer.approvers} if customer.approvers else None,
    )


def _arn_keys(waivers: Iterable[Waiver], profile: Profile, packs: Mapping[str, Pack]) -> dict[str, ArnKey]:
    """Of the resource types that have waivers: only they are worth asking what c7n knows."""
    named = {waiver.policy for waiver in waivers}
    chosen = [packs[choice.name] for choice in profile.packs if choice.name in packs]
    types = {policy.resource for pack in chosen for name, policy in pack.policies.items() if name in named}
    return arn_keys(types) if types else {}


def select_accounts(customer: Customer, names: tuple[str, ...]) -> tuple[Account, ...]:
    """The accounts chosen, by id or name; all of them where none is."""
    known = {name for account in customer.accounts for name in (account.id, account.name)}
    for name in names:
        if name not in known:
            raise UsageError(f"Customer {customer.name} has no account {name!r}.", hint=did_you_mean(name, known))
    return tuple(each for each in customer.accounts if not names or each.id in names or each.name in names)


def check_regions(customer: Customer, regions: tuple[str, ...]) -> None:
    """Raises :class:`UsageError` for a region that no account has."""
    known = {region for account in customer.accounts for region in account.regions}
    for region in regions:
        if region not in known:
            raise UsageError(f"Customer {customer.name} has no region {region!r}.", hint=did_you_mean(region, known))


def select_targets(customer: Customer, accounts: tuple[str, ...], regions: tuple[str, ...]) -> tuple[Target, ...]:
    """Account x region for the accounts (ids or names) and regions chosen; all of them where none is."""
    chosen = select_accounts(customer, accounts)
    check_regions(customer, regions)
    targets = tuple(
        Target(account.id, region, account.name)
        for account in chosen
        for region in account.regions
        if not regions or region in regions
    )
    if not targets:
        raise UsageError(
            "No account has any of the regions chosen.", hint="Run with --dry-run to see accounts and regions."
        )
    return targets


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a run would cover, as far as it is known without asking AWS. ``asked`` says what AWS would be asked first;
    without it ``targets`` are all. The region of a target whose account would be asked for its regions is ``ENABLED``.
    """

    targets: tuple[Target, ...]
    asked: tuple[str, ...]


def outlook(customer: Customer, accounts: tuple[str, ...], regions: tuple[str, ...]) -> Outlook:
    """Calls nothing. A name that AWS may know passes; any other unknown one raises :class:`UsageError`."""
    asked = [f"AWS Organizations, for {_scope(customer.organization)}"] if customer.organization else []
    if customer.organization:
        known = {name for account in customer.accounts for name in (account.id, account.name)}
        here = tuple(name for name in accounts if name in known)
        chosen = select_accounts(customer, here) if here or not accounts else ()
    else:
        chosen = select_accounts(customer, accounts)
    unlisted = [account for account in chosen if ENABLED in account.regions]
    if unlisted or (customer.organization and customer.regions == (ENABLED,)):
        whose = "each account" if customer.organization else ", ".join(account.name for account in unlisted)
        asked.append(f"ec2:DescribeRegions, for the enabled regions of {whose}")
    if not asked:
        return Outlook(select_targets(customer, accounts, regions), ())
    targets = tuple(
        Target(account.id, region, account.name)
        for account in chosen
        for region in account.regions
        if not regions or region in regions or region == ENABLED
    )
    return Outlook(targets, tuple(asked))


def _scope(organization: Organization) -> str:
    parts = [
        f"the accounts under {', '.join(organization.include)}" if organization.include else "all accounts",
        f"not under {', '.join(organization.exclude)}" if organization.exclude else "",
        f"tagged {', '.join(map('='.join, organization.tags.items()))}" if organization.tags else "",
    ]
    return ", ".join(filter(None, parts))


def select_policies(compiled: CompiledSet, globs: tuple[str, ...]) -> frozenset[str]:
    """Names of the policies that any glob matches, by name or by ``pack/name``; all of them without globs."""
    policies = compiled.policies()
    if not globs:
        return frozenset(policy.name for policy in policies)
    chosen: set[str] = set()
    for glob in globs:
        found = {
            policy.name
            for policy in policies
            if fnmatchcase(policy.name, glob) or fnmatchcase(policy.qualified_name, glob)
        }
        if not found:
            known = {form for each in policies for form in (each.name, each.qualified_name, f"{each.pack}/*")}
            hint = did_you_mean(glob, known) or "Run with --dry-run to see the policies."
            raise UsageError(f"No policy matches {glob!r}.", hint=hint)
        chosen |= found
    return frozenset(chosen)
