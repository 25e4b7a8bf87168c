"""Finds what a run covers: discovers accounts, asks for enabled regions, and applies the selection.

An account whose regions cannot be listed is still a target, a refused one, and an account left out is named with its
reason: neither disappears.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from finops_policy import aws
from finops_policy.customer import ENABLED, Account, Customer, LeftOut
from finops_policy.errors import UsageError
from finops_policy.failures import Failure, call_errors, explain
from finops_policy.model import FailureKind, Target
from finops_policy.organization import discover
from finops_policy.project import check_regions, select_accounts
from finops_policy.roles import Roles

ACCOUNTS_AT_ONCE: Final = 16
ASKING: Final = dt.timedelta(minutes=5)
"""How long credentials must last to ask one account for its regions."""


NAMED: Final = 5
"""Accounts left out for one reason that are named on the screen."""
NO_REGIONS: Final = Failure(
    FailureKind.BUG, "AWS lists no enabled region", "List the account's regions in customer.yaml, and run again."
)


@dataclass(frozen=True, slots=True)
class Found:
    """``customer`` has the discovered accounts, and their regions where they were asked.

    ``refused`` maps account ids to why their regions could not be listed. The targets of such an account are the
    regions chosen, or the partition's home region where none is: so its cells can fail.
    """

    customer: Customer
    targets: tuple[Target, ...]
    refused: Mapping[str, Failure]
    left_out: tuple[LeftOut, ...]


def find_targets(
    customer: Customer,
    accounts: tuple[str, ...],
    regions: tuple[str, ...],
    caller: aws.Identity,
    roles: Roles,
    said: Callable[[str], None],
) -> Found:
    """Account x region for the accounts (ids or names) and regions chosen; all of them where none is.

    Raises :class:`UsageError` for a name nobody has, or when nothing is left to judge.
    """
    customer, left_out = _discovered(customer, caller, said)
    gone = tuple(each for each in left_out if not accounts or each.account_id in accounts or each.name in accounts)
    known = {name for each in customer.accounts for name in (each.id, each.name)}
    gone_names = {name for each in gone for name in (each.account_id, each.name)} - known
    names = tuple(name for name in accounts if name not in gone_names)
    chosen = select_accounts(customer, names) if names or not accounts else ()
    if not chosen:
        reason = "; ".join(map(str, gone[:3])) or "the organization has none."
        raise UsageError(f"Customer {customer.name} has no account to judge: {reason}", hint="See customer.yaml.")
    asked = [account for account in chosen if ENABLED in account.regions]
    if asked:
        said(f"Asking {len(asked)} account{'s' if len(asked) != 1 else ''} for the enabled regions")
    listed = _enabled_regions(asked, customer, roles)
    refused = {account_id: each for account_id, each in listed.items() if isinstance(each, Failure)}
    customer = replace(customer, accounts=tuple(_with_regions(each, listed) for each in customer.accounts))
    if not refused:
        check_regions(customer, regions)
    targets: list[Target] = []
    for account in select_accounts(customer, names):
        has = account.regions
        if account.id in refused:
            has = regions or (customer.home_region,)
        judged = [Target(account.id, region, account.name) for region in has if not regions or region in regions]
        targets += judged
        if not judged:
            gone += (LeftOut(account.id, account.name, "none of the regions chosen is enabled in it"),)
    for reason in dict.fromkeys(each.reason for each in gone):
        said(_told(reason, [f"{each.account_id} {each.name}" for each in gone if each.reason == reason]))
    if not targets:
        raise UsageError("No account has any of the regions chosen.", hint="Run without --region to see them all.")
    return Found(customer, tuple(targets), refused, gone)


def _discovered(
    customer: Customer, caller: aws.Identity, said: Callable[[str], None]
) -> tuple[Customer, tuple[LeftOut, ...]]:
    if customer.organization is None:
        return customer, ()
    said("Discovering accounts in AWS Organizations")
    found = discover(customer, customer.organization, caller)
    return replace(customer, accounts=found.accounts), found.left_out


def _told(reason: str, accounts: list[str]) -> str:
    """A line for the screen; run.json names them all."""
    more = f" and {len(accounts) - NAMED} more" if len(accounts) > NAMED else ""
    return f"Left out: {', '.join(accounts[:NAMED])}{more}: {reason}"


def _with_regions(account: Account, listed: Mapping[str, tuple[str, ...] | Failure]) -> Account:
    regions = listed.get(account.id)
    return replace(account, regions=regions) if isinstance(regions, tuple) else account


def _enabled_regions(accounts: list[Account], customer: Customer, roles: Roles) -> dict[str, tuple[str, ...] | Failure]:
    """Account id -> its regions, the home region first: global types are judged there."""
    home = customer.home_region

    def ask(account: Account) -> tuple[str, ...] | Failure:
        credentials = roles.enter(account, ASKING)
        if isinstance(credentials, Failure):
            return credentials
        try:
            answer = aws.session(home, credentials).client("ec2").describe_regions()  # without AllRegions: the enabled
        except call_errors() as error:
            return explain(error)
        found = sorted(
            (each["RegionName"] for each in answer.get("Regions", ())), key=lambda name: (name != home, name)
        )
        return tuple(found) or NO_REGIONS

    with aws.threads(ACCOUNTS_AT_ONCE) as pool:
        return dict(zip((account.id for account in accounts), pool.map(ask, accounts), strict=True))
