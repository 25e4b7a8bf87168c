"""From a finding's tags to the address of whoever answers for it.

A tag is written by anybody who may tag a resource: it names an address only through the customer's map, or by being
one, plainly, of a domain the customer trusts. Everything else leads to the account's contact.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Final

from finops_policy.channels import Owners
from finops_policy.model import Settings
from finops_policy.notify.model import Owner

DEFAULT_TAG: Final = "Owner"
_ADDRESS: Final = re.compile(r"[A-Za-z0-9_%+-]+(?:\.[A-Za-z0-9_%+-]+)*@([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)", re.ASCII)
_LONGEST_ADDRESS, _LONGEST_LOCAL = 254, 64


def required_tag(*layers: Settings) -> str:
    """The tag that required-tags asks for, as the first of these settings that says so has it."""
    for settings in layers:
        setting = settings.get("required-tags", {}).get("owner_key")
        if setting is not None:
            return str(setting.value).removeprefix("tag:")
    return DEFAULT_TAG


def plain_address(text: str, domains: frozenset[str]) -> str:
    """The address that ``text`` plainly is, its domain in small letters; empty when it is none of these domains."""
    text = text.strip(" ")
    found = _ADDRESS.fullmatch(text)
    if not found or len(text) > _LONGEST_ADDRESS or found[1].lower() not in domains:
        return ""
    local = text[: -len(found[1]) - 1]
    return f"{local}@{found[1].lower()}" if len(local) <= _LONGEST_LOCAL else ""


def owner_of(tags: Mapping[str, str], account_id: str, owners: Owners, tag: str) -> Owner:
    """Who answers for a resource with these tags in this account."""
    value = tags.get(tag, "")
    named = value.strip()
    if named:
        for glob, address in owners.map.items():
            if fnmatchcase(named, glob):
                return Owner(address, "owner tag, by the map", value)
        if address := plain_address(named, owners.domains):
            return Owner(address, "owner tag", value)
    if contact := owners.contacts.get(account_id, ""):
        return Owner(contact, "contact of the account", value)
    if owners.fallback:
        return Owner(owners.fallback, "fallback", value)
    why = "its owner tag is no address that may be used" if named else "it has no owner tag"
    return Owner("", f"{why}, its account no contact, and there is no fallback", value)
