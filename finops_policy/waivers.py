"""PURE: which waiver covers a finding, which waivers apply at all, and how they relate to each other.

A waiver applies through its last day (UTC). One that has expired, or that breaks a rule, stops applying, and its
findings are back. Limits: whether one waiver contains another is read off their patterns, and may be missed for two
globs.
"""

from __future__ import annotations

import datetime as dt
import fnmatch
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from finops_policy.errors import did_you_mean
from finops_policy.marks import Diagnostic
from finops_policy.model import LONGEST_WAIVER, Severity, Waiver
from finops_policy.waiver_filters import glob

TOO_LONG: Final = "waiver-too-long"
APPROVER: Final = "waiver-approver"
CREATED: Final = "waiver-created"
NO_TAGS: Final[Mapping[str, str]] = MappingProxyType({})


def in_force(waiver: Waiver, today: dt.date) -> bool:
    """``today`` is the date in UTC."""
    return waiver.starts <= today <= waiver.expires


def age(waiver: Waiver, today: dt.date) -> int | None:
    """Days since it was created; None where the file does not say."""
    return None if waiver.created is None else (today - waiver.created).days


def meant(waiver: Waiver) -> str:
    """Its selectors as a person reads them."""
    parts = [
        waiver.resource,
        f"tag {waiver.tag_key}={waiver.tag_value}" if waiver.tag_key else "",
        f"account {waiver.account}" if waiver.account else "",
        f"region {waiver.region}" if waiver.region else "",
    ]
    return ", ".join(filter(None, parts))


def covers(
    waiver: Waiver, policy: str, arn: str, tags: Mapping[str, str] = NO_TAGS, account: str = "", region: str = ""
) -> bool:
    """Whether all its selectors fit, whatever the day; a resource without an ARN cannot be waived. ``account`` and
    ``region`` are those where the policy judges the resource."""
    return (
        bool(arn)
        and waiver.policy == policy
        and waiver.account in ("", account)
        and waiver.region in ("", region)
        and _fits(waiver.resource, arn)
        and (not waiver.tag_key or (waiver.tag_key in tags and _like(waiver.tag_value, tags[waiver.tag_key])))
    )


def find_waiver(
    policy: str,
    arn: str,
    waivers: Iterable[Waiver],
    today: dt.date,
    *,
    tags: Mapping[str, str] = NO_TAGS,
    account: str = "",
    region: str = "",
) -> Waiver | None:
    """The first waiver in force that covers a finding."""
    for waiver in waivers:
        if waiver.policy == policy and in_force(waiver, today) and covers(waiver, policy, arn, tags, account, region):
            return waiver
    return None


def covers_as_recorded(
    waiver: Waiver, policy: str, arn: str, tags: Mapping[str, str], account: str, region: str, withheld: str
) -> bool | None:
    """The same of a resource in evidence, where the text ``withheld`` may stand for a tag's value; None where that
    alone would decide."""
    if waiver.tag_key and tags.get(waiver.tag_key) == withheld:
        anyhow = replace(waiver, tag_key="", tag_value="")
        return None if covers(anyhow, policy, arn, tags, account, region) else False
    return covers(waiver, policy, arn, tags, account, region)


def lapsed_waiver(
    policy: str,
    arn: str,
    tags: Mapping[str, str],
    account: str,
    region: str,
    waivers: Sequence[Waiver],
    malformed: Iterable[Waiver],
    today: dt.date,
) -> Waiver | None:
    """A waiver that would cover a finding if it still applied, where none that applies does: somebody may believe that
    the finding is accepted. ``malformed`` are those that do not apply, as far as they can be read
    (``Project.lapsed``)."""
    if find_waiver(policy, arn, waivers, today, tags=tags, account=account, region=region):
        return None
    for waiver in (*waivers, *malformed):
        if covers(waiver, policy, arn, tags, account, region):
            return waiver
    return None


def contains(one: Waiver, other: Waiver) -> bool:
    """Whether ``one`` covers all that ``other`` covers, as far as their selectors show."""
    return (
        one.policy == other.policy
        and one.account in ("", other.account)
        and one.region in ("", other.region)
        and _wider(one.resource or "*", other.resource or "*")
        and (not one.tag_key or (one.tag_key == other.tag_key and _wider(one.tag_value, other.tag_value)))
    )


def _fits(pattern: str, text: str) -> bool:
    return not pattern or _like(pattern, text)


def _like(pattern: str, text: str) -> bool:
    return fnmatch.fnmatchcase(text, glob(pattern))


def _wider(one: str, other: str) -> bool:
    """Whether what ``other`` may stand for fits ``one``: tried with its stars empty, and long."""
    return one == other or all(_like(one, other.replace("*", each).replace("?", "\x02")) for each in ("", "\x03" * 99))


# --- which apply ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rules:
    """What a waiver must keep to: ``severities`` of all policies there are, ``max_days`` from ``created`` to the last
    day, and the ``approvers`` that are registered, by e-mail address; None where the customer registers nobody."""

    severities: Mapping[str, Severity]
    max_days: Mapping[Severity, int]
    approvers: Collection[str] | None

    def longest(self, policy: str) -> int:
        severity = self.severities.get(policy)
        return LONGEST_WAIVER if severity is None else min(LONGEST_WAIVER, self.max_days.get(severity, LONGEST_WAIVER))


@dataclass(frozen=True, slots=True)
class Sorted:
    """``applying`` have no problem. ``coming`` begin on a later day: nothing is waived by them yet. ``broken`` do not
    apply. The ``problems`` are of those that do not."""

    applying: tuple[Waiver, ...]
    coming: tuple[Waiver, ...]
    broken: tuple[Waiver, ...]
    problems: tuple[Diagnostic, ...]
    compiled: tuple[Waiver, ...]
    """Applying and coming, in the order written: what is compiled has their days in it."""


def sort_out(waivers: Iterable[Waiver], rules: Rules, today: dt.date) -> Sorted:
    """Which waivers apply (expired ones among them: they are well formed). Those without ``created`` begin so many days
    before their end as they may be long: then time alone makes one apply, and what is compiled needs no clock."""
    applying, coming, broken, problems, compiled = [], [], [], [], []
    for waiver in waivers:
        if waiver.created is None:
            first = waiver.expires.toordinal() - rules.longest(waiver.policy)
            waiver = replace(waiver, starts=dt.date.fromordinal(max(1, first)))  # noqa: PLW2901
        if problem := _problem(waiver, rules):
            broken.append(waiver)
            problems.append(problem)
            continue
        compiled.append(waiver)
        if problem := _too_early(waiver, rules, today):
            coming.append(waiver)
            problems.append(problem)
        else:
            applying.append(waiver)
    return Sorted(tuple(applying), tuple(coming), tuple(broken), tuple(problems), tuple(compiled))


def _problem(waiver: Waiver, rules: Rules) -> Diagnostic | None:
    if waiver.policy not in rules.severities:
        message = f"Waiver {waiver.id} names a policy {waiver.policy!r} that no pack has; it does not apply."
        return Diagnostic("unknown-policy", message, waiver.mark, did_you_mean(waiver.policy, rules.severities))
    if waiver.created and waiver.created > waiver.expires:
        message = f"Waiver {waiver.id} expires before it was created; it does not apply."
        return Diagnostic(CREATED, message, waiver.mark, "Correct `created` or `expires`.")
    if rules.approvers is not None and waiver.approved_by.strip().casefold() not in rules.approvers:
        message = f"Waiver {waiver.id} is approved by {waiver.approved_by!r}, who is no approver; it does not apply."
        hint = did_you_mean(waiver.approved_by, rules.approvers) or "Register them under `approvers` in customer.yaml."
        return Diagnostic(APPROVER, message, waiver.mark, hint)
    longest = rules.longest(waiver.policy)
    if waiver.created and (days := (waiver.expires - waiver.created).days) > longest:
        severity = rules.severities[waiver.policy]
        message = (
            f"Waiver {waiver.id} is for {days:,} days, and findings of severity {severity} may be waived for {longest};"
            " it does not apply."
        )
        hint = f"Let it expire by {waiver.created + dt.timedelta(days=longest)}, or have it agreed on again."
        return Diagnostic(TOO_LONG, message, waiver.mark, hint)
    return None


def _too_early(waiver: Waiver, rules: Rules, today: dt.date) -> Diagnostic | None:
    if waiver.starts <= today:
        return None
    if waiver.created:
        message = f"Waiver {waiver.id} is created on {waiver.created}, which is to come; it does not apply before."
        return Diagnostic(CREATED, message, waiver.mark, "Write the day it was agreed on (UTC).")
    longest = rules.longest(waiver.policy)
    message = (
        f"Waiver {waiver.id} is for {(waiver.expires - today).days:,} more days, counted from today since it has no"
        f" `created`, and findings of severity {rules.severities[waiver.policy]} may be waived for {longest};"
        f" it does not apply."
    )
    return Diagnostic(TOO_LONG, message, waiver.mark, "Write `created`, and let it expire in time.")
