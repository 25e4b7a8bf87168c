"""How the files of a workspace fit together: what compiling each profile and each customer would refuse.

The catalogue names files as they lie in the workspace; here they have the names that they were linted by. What follows
from a pack or framework that cannot be read is left out: it is told by itself, and nobody knows what is in it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from finops_policy.errors import InvalidFilesError, UsageError, did_you_mean
from finops_policy.lint.files import label
from finops_policy.lint.subject import Subject
from finops_policy.marks import Diagnostic, Mark

if TYPE_CHECKING:
    from finops_policy.customer import Customer
    from finops_policy.model import Profile


def problems(subject: Subject) -> Iterator[Diagnostic]:
    """Nothing is loaded where no file of ours is linted."""
    kinds = {source.kind for source in subject.sources}
    if not kinds & {"pack", "policy", "profile", "framework", "customer", "waiver"}:
        return
    from finops_policy.compiler import parameter_problems

    for pack in {id(policy.pack): policy.pack for policy in subject.policies if policy.pack}.values():
        # Others of its policies, which are not linted, may use a parameter.
        yield from (each for each in parameter_problems(pack) if each.rule != "unused-parameter")
    for each in _of_catalog(subject):
        yield replace(each, mark=here(each.mark, subject), related=tuple(here(mark, subject) for mark in each.related))
    yield from _profiles(subject)


def here(mark: Mark, subject: Subject) -> Mark:
    """The place as it is called here, of one that the catalogue names; a built-in file keeps its name."""
    path = subject.workspace / mark.path
    source = subject.by_path.get(os.path.realpath(path))
    name = source.label if source else label(path) if path.exists() else mark.path
    return replace(mark, path=name)


def _of_catalog(subject: Subject) -> Iterator[Diagnostic]:
    from finops_policy.compiler import parameter_problems

    catalog = subject.catalog
    for kind, load in (
        ("packs", catalog.pack),
        ("frameworks", catalog.framework),
        ("profiles", catalog.profile),
        ("customers", catalog.customer),
    ):
        for name in subject.names(kind):
            yield from _told(partial(load, name))
    for pack in subject.packs.values():
        yield from parameter_problems(pack)
    for name in subject.names("customers"):
        yield from _waivers(subject, name)
    for profile in subject.profiles.values():
        yield from _compiled(subject, profile, _nobody(profile))
    for customer in subject.customers.values():
        if customer.profile in subject.profiles:
            yield from _compiled(subject, subject.profiles[customer.profile], customer)


def _told(load: Callable[[], object]) -> Iterator[Diagnostic]:
    try:
        load()
    except InvalidFilesError as error:
        yield from error.diagnostics
    except UsageError:
        return  # gone between two looks


def _waivers(subject: Subject, customer: str) -> Iterator[Diagnostic]:
    waivers, malformed = subject.catalog.waivers(customer)
    yield from malformed
    if subject.packs.keys() < set(subject.names("packs")):
        return  # it may be a policy of a pack that cannot be read
    known = {policy for pack in subject.packs.values() for policy in pack.policies}
    for waiver in waivers:
        if waiver.policy not in known:
            message = f"Waiver {waiver.id} names a policy {waiver.policy!r} that no pack has; it does not apply."
            yield Diagnostic("unknown-policy", message, waiver.mark, did_you_mean(waiver.policy, known))


def _compiled(subject: Subject, profile: Profile, customer: Customer) -> Iterator[Diagnostic]:
    from finops_policy.compiler import compile_set

    known = [subject.frameworks[name] for name in profile.frameworks if name in subject.frameworks]
    unread = [f"framework {name!r}" for name in set(subject.names("frameworks")) - subject.frameworks.keys()]
    for name in set(subject.names("packs")) - subject.packs.keys():
        unread += [f"pack {name!r}", f"policy '{name}/"]
    for each in _told(lambda: compile_set(profile, customer, subject.packs, known)):
        if not any(name in each.message for name in unread):
            yield each


def _nobody(profile: Profile) -> Customer:
    from finops_policy.customer import Customer

    return Customer("nobody", "Nobody", profile.name, "aws", None, (), {}, "", profile.mark)


def _profiles(subject: Subject) -> Iterator[Diagnostic]:
    """Customers whose profile does not exist."""
    known = subject.names("profiles")
    for customer in subject.customers.values():
        source = subject.by_path.get(os.path.realpath(subject.workspace / customer.mark.path))
        if source and source.document and customer.profile and customer.profile not in known:
            message = f"Customer {customer.name} names a profile {customer.profile!r} that does not exist."
            hint = did_you_mean(customer.profile, known)
            yield Diagnostic("unknown-profile", message, source.document.mark("profile"), hint)
