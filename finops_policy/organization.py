"""Discovers a customer's accounts in AWS Organizations.

All or nothing: what cannot be read ends the discovery with the permission it lacks, as a part of an organization would
pass for the whole of it. Who calls must be in the management account or a delegated administrator's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from finops_policy import aws
from finops_policy.customer import Account, Customer, LeftOut, Organization
from finops_policy.errors import DiscoveryError, InvalidFilesError
from finops_policy.failures import call_errors, explain
from finops_policy.marks import Diagnostic
from finops_policy.model import FailureKind

NAME_LENGTH: Final = 50
TAGS_AT_ONCE: Final = 4
"""AWS Organizations answers some ten requests a second."""


@dataclass(frozen=True, slots=True)
class Discovery:
    """``accounts`` are those to judge, listed ones first, then by id; ``left_out`` is the rest of what is included."""

    accounts: tuple[Account, ...]
    left_out: tuple[LeftOut, ...]


def discover(customer: Customer, organization: Organization, caller: aws.Identity) -> Discovery:
    """Asks with the caller's own credentials. A name comes from AWS: any text, not unique, cut at 50 characters.

    An account that the customer lists stays as listed, whatever OUs and tags say, unless AWS says that it is closed.
    Raises :class:`DiscoveryError` where AWS does not answer, :class:`InvalidFilesError` for an OU that does not exist.
    """
    reader = _Reader(aws.session(customer.home_region).client("organizations"), organization, caller)
    members = sorted(reader.members(), key=lambda member: member.id)
    names = {account.id: account.name for account in customer.accounts}
    unlisted = [member for member in members if not member.closed and member.id not in names]
    reasons = {member.id: member.closed for member in members if member.closed}
    reasons |= {member.id: member.excluded for member in unlisted if member.excluded}
    if organization.tags:
        asked = [member for member in unlisted if not member.excluded]
        with aws.threads(TAGS_AT_ONCE) as pool:
            for member, tags in zip(asked, pool.map(reader.tags, asked), strict=True):
                if reason := _unless_tagged(organization.tags, tags):
                    reasons[member.id] = reason
    kept = tuple(account for account in customer.accounts if account.id not in reasons)
    found = tuple(
        Account(member.id, member.name, customer.regions, {}, organization.mark)
        for member in unlisted
        if member.id not in reasons
    )
    left_out = (
        LeftOut(member.id, names.get(member.id, member.name), reasons[member.id])
        for member in members
        if member.id in reasons
    )
    return Discovery(kept + found, tuple(left_out))


def _unless_tagged(wanted: Mapping[str, str], tags: Mapping[str, str]) -> str:
    for key, value in wanted.items():
        if key not in tags:
            return f"it has no tag {key}"
        if value not in ("*", tags[key]):
            return f"its tag {key} is {tags[key]!r}, not {value!r}"
    return ""


@dataclass(frozen=True, slots=True)
class _Member:
    """An account of the organization. ``closed`` and ``excluded`` say why it is left out, and are empty otherwise."""

    id: str
    name: str
    closed: str
    excluded: str


class _Reader:
    """The calls to AWS Organizations, and what their errors mean."""

    def __init__(self, client: Any, organization: Organization, caller: aws.Identity) -> None:
        self._client = client
        self._organization = organization
        self._caller = caller

    def members(self) -> Iterator[_Member]:
        wanted = self._organization
        if not wanted.include and not wanted.exclude:
            yield from (_member(raw, "") for raw in self._listed("list_accounts", "Accounts"))
            return
        starts = wanted.include or [root["Id"] for root in self._listed("list_roots", "Roots")]
        seen: set[str] = set()
        parents = [(start, "") for start in starts]
        while parents:
            parent, excluded = parents.pop()
            if parent in seen:
                continue
            seen.add(parent)
            if parent in wanted.include:
                excluded = ""
            elif parent in wanted.exclude:
                excluded = parent
            reason = f"it is under {excluded}, which customer.yaml excludes" if excluded else ""
            yield from (_member(raw, reason) for raw in self._below(parent, "list_accounts_for_parent", "Accounts"))
            units = self._below(parent, "list_organizational_units_for_parent", "OrganizationalUnits")
            parents += [(unit["Id"], excluded) for unit in units]
        for unseen in set(wanted.exclude) - seen:
            # Outside of what is included. It must exist all the same, or a slip of the pen would exclude nothing.
            list(self._below(unseen, "list_organizational_units_for_parent", "OrganizationalUnits"))

    def tags(self, member: _Member) -> dict[str, str]:
        return {
            tag["Key"]: tag["Value"] for tag in self._listed("list_tags_for_resource", "Tags", ResourceId=member.id)
        }

    def _below(self, parent: str, operation: str, key: str) -> Iterator[Any]:
        return self._listed(operation, key, ParentId=parent)

    def _listed(self, operation: str, key: str, **asked: str) -> Iterator[Any]:
        try:
            for page in self._client.get_paginator(operation).paginate(**asked):
                yield from page.get(key, ())
        except call_errors() as error:
            raise self._told(error, operation, asked) from error

    def _told(self, error: Exception, operation: str, asked: Mapping[str, str]) -> DiscoveryError | InvalidFilesError:
        code = getattr(error, "response", {}).get("Error", {}).get("Code", "")
        if code == "ParentNotFoundException":
            message = f"The organization has no {asked['ParentId']}."
            hint = "Correct the id, or remove it: `aws organizations list-organizational-units-for-parent` shows them."
            return InvalidFilesError([Diagnostic("unknown-ou", message, self._organization.mark, hint)])
        failure = explain(error)
        hint = failure.next_step
        if code == "AWSOrganizationsNotInUseException":
            hint = "Call from the organization's management account, or list the accounts in customer.yaml."
        elif failure.kind in (FailureKind.OWN_PERMISSION, FailureKind.RESOURCE_POLICY):
            hint = (
                f"Allow organizations:{self._client.meta.method_to_api_mapping[operation]} to {self._caller.arn}, "
                "which must be in the management account or a delegated administrator's."
            )
        about = "".join(f" of {value}" for value in asked.values())
        return DiscoveryError(
            f"The accounts of the organization are not all known{about}: {failure.message}", hint=hint
        )


def _member(raw: Mapping[str, Any], excluded: str) -> _Member:
    state = raw.get("State") or raw.get("Status") or "ACTIVE"  # Status is being retired in favour of State
    closed = "" if state == "ACTIVE" else f"its state in AWS Organizations is {state}"
    return _Member(raw["Id"], raw.get("Name", "")[:NAME_LENGTH] or raw["Id"], closed, excluded)
