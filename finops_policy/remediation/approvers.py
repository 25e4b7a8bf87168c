"""Who an approver is: by the keys and identities that ``customer.yaml`` registers, and whether they asked for a plan.

The registry is believed: whoever may change ``customer.yaml`` may make themselves an approver, so changes of it are to
be reviewed like code.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from finops_policy.approval_settings import KEY_PREFIX
from finops_policy.customer import Approver, Customer
from finops_policy.errors import EvidenceError
from finops_policy.evidence.signing import PublicKey
from finops_policy.remediation.model import Requester


def approver_key_path() -> Path:
    """``finops-policy/approver.pem`` in the user's configuration folder (XDG): a person's key, not the machine's."""
    configured = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    try:
        base = configured if configured.is_absolute() else Path.home() / ".config"
    except RuntimeError as error:
        raise EvidenceError(
            "There is no home folder to keep the approver's key in", hint="Name a file for it with --key."
        ) from error
    return base / "finops-policy" / "approver.pem"


def registered_form(key: PublicKey) -> str:
    """What stands under ``keys`` of an approver: ``ed25519:`` and the 32 bytes of the public key in base64."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

    raw = load_pem_public_key(key.pem).public_bytes(Encoding.Raw, PublicFormat.Raw)
    return KEY_PREFIX + base64.b64encode(raw).decode()


@cache
def public_key(registered: str) -> PublicKey:
    """The key of :attr:`Approver.keys`, which reading has checked."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    return PublicKey._of(Ed25519PublicKey.from_public_bytes(base64.b64decode(registered)))


@dataclass(frozen=True, slots=True)
class Registry:
    """The approvers of a customer by what they can be known by. What is two people's knows neither."""

    approvers: tuple[Approver, ...]
    _keys: Mapping[str, tuple[Approver, PublicKey]] = field(repr=False)

    @classmethod
    def of(cls, customer: Customer) -> Registry:
        keys: dict[str, tuple[Approver, PublicKey]] = {}
        shared = set()
        for approver in customer.approvers:
            for each in approver.keys:
                key = public_key(each)
                if key.id in keys and keys[key.id][0] is not approver:
                    shared.add(key.id)
                keys[key.id] = (approver, key)
        return cls(customer.approvers, {name: each for name, each in keys.items() if name not in shared})

    def by_key(self, key_id: str) -> tuple[Approver, PublicKey] | None:
        return self._keys.get(key_id)

    def by_identity(self, arn: str) -> Approver | None:
        found = [each for each in self.approvers if is_identity_of(arn, each)]
        return found[0] if len(found) == 1 else None


def same_person(one: str, other: str) -> bool:
    """Whether two e-mail addresses are one person's."""
    return one.strip().casefold() == other.strip().casefold()


def is_identity_of(arn: str, approver: Approver) -> bool:
    """Whether one of the approver's globs matches; ``*`` and ``?`` do not match a slash."""
    return any(_pattern(glob).fullmatch(arn) for glob in approver.identities)


@cache
def _pattern(glob: str) -> re.Pattern[str]:
    wild = {"*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(wild.get(each) or re.escape(each) for each in glob))


def asked(requester: Requester, approver: Approver, identity: str = "") -> str:
    """Why ``approver``, known by ``identity`` where it is not a key, may not approve what ``requester`` asked for: they
    are one person, or nothing tells that they are two. Empty when they are two.

    AWS names the session of a person from IAM Identity Center by the e-mail address.
    """
    arn = requester.arn
    theirs = (
        same_person(requester.email, approver.email)
        or same_person(arn.rpartition("/")[2], approver.email)
        or is_identity_of(arn, approver)
        or (arn and arn == identity)
    )
    if theirs:
        return f"{approver.name} <{approver.email}> asked for this plan, and nobody approves what they asked for"
    if requester.email.strip() or (arn and (approver.identities or identity)):
        return ""
    return (
        f"it cannot be told whether {approver.name} <{approver.email}> asked for this plan: it names no e-mail "
        "address, and customer.yaml registers no identity of theirs"
    )
