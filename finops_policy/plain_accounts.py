"""Accounts files of c7n-org, read and narrowed as c7n-org does it.

Where c7n-org would go on with less than was asked for, this refuses: an account or tag that is not in the file, one
account listed twice, one that cannot be entered. Only AWS: subscriptions, projects and tenancies are refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from finops_policy import sources
from finops_policy.customer import ENABLED, HOME_REGIONS, Account, Role
from finops_policy.digests import digest
from finops_policy.errors import InvalidFilesError, UsageError, did_you_mean
from finops_policy.marks import Diagnostic, Mark
from finops_policy.sources import Document
from finops_policy.validation import validate

ALL: Final = "all"
DEFAULT_REGIONS: Final = ("us-east-1", "us-west-2")
"""Where c7n-org looks when neither the account nor the user names a region."""
_REGION: Final = re.compile(r"all|[a-z]{2}(-[a-z0-9]+)+")
_NEW_REGION: Final = re.compile(r"(?P<area>[a-z]+(-[a-z]+)?)-(north|south|central)?(east|west)?(?<!-)-[1-9]")
_CLOUDS: Final = {"subscriptions": "Azure", "projects": "Google Cloud", "tenancies": "Oracle Cloud"}


@dataclass(frozen=True, slots=True)
class Listed:
    """An account of the file. ``shown`` is what c7n-org shows to a policy's conditions, without the external id."""

    account: Account
    tags: tuple[str, ...]
    variables: Mapping[str, Any]
    shown: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AccountsFile:
    """A whole file; ``digest`` is of everything in it. ``regions`` is every region written in it, with its place."""

    listed: tuple[Listed, ...]
    regions: tuple[tuple[str, Mark], ...]
    digest: str
    mark: Mark


def comma_expand(values: Iterable[str]) -> tuple[str, ...]:
    """``a,b`` is a and b, as everywhere on c7n-org's command line; each once.

    >>> comma_expand(["a, b", "a"])
    ('a', 'b')
    """
    parts = (part.strip() for value in values for part in value.split(","))
    return tuple(dict.fromkeys(part for part in parts if part))


def read_accounts(path: Path) -> AccountsFile:
    """Raises :class:`InvalidFilesError` with every problem of the file."""
    document = sources.read(path, str(path))
    if isinstance(document.data, dict):
        _refuse(_other_clouds(document))
    _refuse([*_profiles(document), *validate(document, "c7n-org-accounts")])
    shared = document.data.get("vars", {})
    listed = [_listed(document, index, shared) for index in range(len(document.data["accounts"]))]
    _refuse(_clashes(document, listed))
    return AccountsFile(tuple(listed), tuple(_places(document)), digest(document.data), document.mark())


def _refuse(problems: Iterable[Diagnostic]) -> None:
    if found := sorted(problems, key=lambda problem: problem.mark):
        raise InvalidFilesError(found)


def _other_clouds(document: Document) -> Iterator[Diagnostic]:
    for key, cloud in _CLOUDS.items():
        if key in document.data:
            message = f"`{key}` are of {cloud}, and finops-policy reads AWS only."
            yield Diagnostic("cloud", message, document.key_mark(key), "Keep c7n-org for them.")


def _profiles(document: Document) -> Iterator[Diagnostic]:
    entries = document.data.get("accounts") if isinstance(document.data, dict) else None
    for index, raw in enumerate(entries if isinstance(entries, list) else ()):
        if isinstance(raw, dict) and "profile" in raw and "role" not in raw:
            message = "An account is entered by its role: profiles of an AWS configuration are not read."
            hint = "Write `role:` with the name or the ARN of the role that the profile assumes."
            yield Diagnostic("profile", message, document.key_mark("accounts", index, "profile"), hint)


def _listed(document: Document, index: int, shared: Mapping[str, Any]) -> Listed:
    raw = document.data["accounts"][index]
    name = raw.get("name", raw["account_id"])
    variables = {**shared, **raw.get("vars", {})}
    role = _role(raw)
    account = Account(
        id=raw["account_id"],
        name=name,
        regions=regions_of(raw.get("regions", ())),
        settings={},
        mark=document.mark("accounts", index),
        role=role,
    )
    written = {key: value for key, value in raw.items() if key != "external_id"}
    arn = raw["role"] if isinstance(raw["role"], list) else role.arn("aws", account.id)
    shown = {**written, "name": name, "role": arn, "vars": variables, "provider": "aws"}
    return Listed(account, tuple(raw.get("tags", ())), variables, shown)


def _role(raw: Mapping[str, Any]) -> Role:
    *via, own = raw["role"] if isinstance(raw["role"], list) else [raw["role"]]
    return Role(name=own, external_id=raw.get("external_id", ""), via=tuple(via))


def _places(document: Document) -> Iterator[tuple[str, Mark]]:
    for index, raw in enumerate(document.data["accounts"]):
        for number, each in enumerate(raw.get("regions", ())):
            mark = document.mark("accounts", index, "regions", number)
            yield from ((name, mark) for name in comma_expand([each]))


def meant(region: str, known: Collection[str]) -> str:
    """What to answer to a region that is misspelt; empty for those known, and for what may be a newer one.

    >>> meant("us-esat-1", ["us-east-1"])
    'Did you mean us-east-1?'
    >>> meant("us-east-9", ["us-east-1"])
    ''
    """
    area = _NEW_REGION.fullmatch(region)
    new = area is not None and any(each.startswith(f"{area['area']}-") for each in known)
    return "" if region in {ALL, *known} or new else did_you_mean(region, known)


def misspelt_regions(file: AccountsFile, known: Collection[str]) -> Iterator[Diagnostic]:
    """One for each region that there is not, at its place."""
    for region, mark in file.regions:
        if hint := meant(region, known):
            yield Diagnostic("unknown-region", f"There is no region {region!r}.", mark, hint)


def regions_of(written: Iterable[str]) -> tuple[str, ...]:
    """The regions that were meant: ``all`` among them stands for those enabled in the account. Raises
    :class:`UsageError` for what no region is called."""
    names = comma_expand(written)
    for name in names:
        if not _REGION.fullmatch(name):
            raise UsageError(f"{name!r} is no region.", hint="Write a region such as us-east-1, or all.")
    return (ENABLED,) if ALL in names else names or DEFAULT_REGIONS


def _clashes(document: Document, listed: Sequence[Listed]) -> Iterator[Diagnostic]:
    first: dict[str, Mark] = {}
    for index, each in enumerate(listed):
        account, mark = each.account, document.mark("accounts", index, "account_id")
        if account.id in first:
            message = f"Account {account.id} is listed twice."
            yield Diagnostic("duplicate", message, mark, "Keep one, with all its regions.", (first[account.id],))
        first.setdefault(account.id, mark)
        role = account.role.name if account.role else ""
        if role.startswith("arn:") and f"::{account.id}:" not in role:
            message = f"The role {sources.shown(role)} is not in account {account.id}."
            place = document.mark("accounts", index, "role")
            yield Diagnostic("role-account", message, place, "Correct the role or the account id.", (mark,))


def choose(file: AccountsFile, names: Sequence[str], tags: Sequence[str], regions: Sequence[str]) -> tuple[Listed, ...]:
    """The accounts chosen by id or name, and by every tag given; ``regions`` take the place of their own.

    Raises :class:`UsageError` for what no account has, and where nothing is left.
    """
    known = {name for each in file.listed for name in (each.account.id, each.account.name)}
    for name in names:
        if name not in known:
            raise UsageError(f"{file.mark.path} has no account {name!r}.", hint=did_you_mean(name, known))
    for name in names:
        ids = [each.account.id for each in file.listed if each.account.name == name]
        if len(ids) > 1:
            raise UsageError(
                f"{file.mark.path} has {len(ids)} accounts named {name!r}: {', '.join(ids)}.", hint="Give the id."
            )
    all_tags = {tag for each in file.listed for tag in each.tags}
    for tag in tags:
        if tag not in all_tags:
            hint = did_you_mean(tag, all_tags) or "Tags are words such as env:prod under an account's `tags`."
            raise UsageError(f"No account of {file.mark.path} has the tag {tag!r}.", hint=hint)
    chosen = [
        each
        for each in file.listed
        if (not names or each.account.id in names or each.account.name in names) and set(tags) <= set(each.tags)
    ]
    if not chosen:
        raise UsageError(
            f"No account of {file.mark.path} is among those named and has all of the tags {', '.join(tags)}.",
            hint="An account must have every tag given.",
        )
    if not regions:
        return tuple(chosen)
    instead = regions_of(regions)
    return tuple(replace(each, account=replace(each.account, regions=instead)) for each in chosen)


def partition_of(accounts: Iterable[Account]) -> str:
    """The ARN partition of all the accounts; raises :class:`InvalidFilesError` for several, and for an unknown one."""
    found: dict[str, Account] = {}
    for account in accounts:
        places = [_partition(region) for region in account.regions if region != ENABLED]
        if account.role and account.role.name.startswith("arn:"):
            places.append(account.role.name.split(":")[1])
        for place in places:
            found.setdefault(place, account)
    if len(found) > 1:
        (_, one), (other, last) = list(found.items())[:2]
        message = f"Account {last.id} is in the partition {other}, and account {one.id} is not."
        hint = "Run the accounts of each partition on their own: --account, --tags or --region choose them."
        raise InvalidFilesError([Diagnostic("partition", message, last.mark, hint, (one.mark,))])
    for name, account in found.items():
        if name not in HOME_REGIONS:
            hint = f"Known: {', '.join(HOME_REGIONS)}."
            raise InvalidFilesError(
                [Diagnostic("partition", f"{name} is no partition known here.", account.mark, hint)]
            )
    return next(iter(found), "aws")


def _partition(region: str) -> str:
    area = region.rpartition("-")[0].rpartition("-")[0]
    known = {"cn": "aws-cn", "us-gov": "aws-us-gov"}
    return known.get(area, f"aws-{area.partition('-')[2]}" if "-" in area else "aws")
