"""One customer under one profile: everything a command needs, loaded and compiled."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from finops_policy.catalog import Catalog
from finops_policy.compiler import CompiledSet, compile_set
from finops_policy.customer import ENABLED, Account, Customer, Organization
from finops_policy.errors import UsageError, did_you_mean
from finops_policy.marks import Diagnostic
from finops_policy.model import Framework, Pack, Profile, Target, Waiver


@dataclass(frozen=True, slots=True)
class Project:
    """``malformed`` are the problems of waivers that do not apply because they cannot be read."""

    customer: Customer
    profile: Profile
    packs: dict[str, Pack]
    frameworks: tuple[Framework, ...]
    compiled: CompiledSet
    waivers: tuple[Waiver, ...]
    malformed: tuple[Diagnostic, ...]


def load(catalog: Catalog, customer_name: str, profile_name: str | None) -> Project:
    """Loads and compiles; raises :class:`UsageError` for unknown names and ``InvalidFilesError`` for broken files."""
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
    waivers, malformed = catalog.waivers(customer.name)
    policies = {policy for pack in packs.values() for policy in pack.policies}
    strangers = [waiver for waiver in waivers if waiver.policy not in policies]
    malformed += [_stranger(waiver, policies) for waiver in strangers]
    return Project(
        customer=customer,
        profile=profile,
        packs=packs,
        frameworks=frameworks,
        compiled=compile_set(profile, customer, packs, frameworks),
        waivers=tuple(waiver for waiver in waivers if waiver not in strangers),
        malformed=tuple(malformed),
    )


def _stranger(waiver: Waiver, known: set[str]) -> Diagnostic:
    message = f"Waiver {waiver.id} names a policy {waiver.policy!r} that no pack has; it does not apply."
    return Diagnostic("unknown-policy", message, waiver.mark, did_you_mean(waiver.policy, known))


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
