"""What a signature says of a run, and the chain that the runs of one customer form.

Each sealed run names the one before it by id, number and the SHA-256 of its ``run.json``. The customer's head names the
newest run, so that taking the newest one away is noticed as well. A chain has one signer: whoever verifies it holds one
public key.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from finops_policy.errors import EvidenceError
from finops_policy.evidence.layout import (
    HEAD,
    RUN_ID,
    RUN_RECORD,
    RUN_SEAL,
    customer_of,
    is_sealed,
    relative_run_folder,
    run_folders,
    run_of,
)
from finops_policy.evidence.signing import KEY_VARIABLE, PublicKey, SignedStatement
from finops_policy.files import failure

_SHA256 = re.compile(r"[0-9a-f]{64}")
_STATEMENT = "https://in-toto.io/Statement/v1"


class ClaimKind(StrEnum):
    """What a statement is about; the values are in-toto predicate types."""

    RUN = "https://finops-policy.dev/run/v1"
    HEAD = "https://finops-policy.dev/head/v1"


@dataclass(frozen=True, slots=True)
class Link:
    """One sealed run: its number in the chain, from 1, and the SHA-256 of its ``run.json``."""

    run_id: str
    sequence: int
    digest: str

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Link:
        """Raises ValueError, KeyError or TypeError unless the three fields are what they should be."""
        link = cls(fields["run_id"], fields["sequence"], fields["digest"])
        whole = RUN_ID.fullmatch(link.run_id) and _SHA256.fullmatch(link.digest) and type(link.sequence) is int
        if not whole or link.sequence < 1:
            raise ValueError("it names no run")
        return link

    def __str__(self) -> str:
        return f"run {self.run_id} (number {self.sequence})"


@dataclass(frozen=True, slots=True)
class Claim:
    """What a signature vouches for: this is a customer's run (or its newest), and that was the one before it."""

    kind: ClaimKind
    customer: str
    link: Link
    previous: Link | None

    def statement(self) -> dict[str, Any]:
        """The claim as an in-toto Statement v1 about ``run.json``, named from where the envelope lies."""
        beside = Path() if self.kind is ClaimKind.RUN else relative_run_folder(self.link.run_id)
        return {
            "_type": _STATEMENT,
            "subject": [{"name": (beside / RUN_RECORD).as_posix(), "digest": {"sha256": self.link.digest}}],
            "predicateType": self.kind.value,
            "predicate": {
                "customer": self.customer,
                "run_id": self.link.run_id,
                "sequence": self.link.sequence,
                "previous": asdict(self.previous) if self.previous else None,
            },
        }

    @classmethod
    def of(cls, statement: Mapping[str, Any], kind: ClaimKind) -> Claim:
        """The claim a statement makes. Raises ValueError unless it is word for word what :meth:`statement` says."""
        try:
            predicate = statement["predicate"]
            previous = predicate["previous"]
            claim = cls(
                kind,
                predicate["customer"],
                Link.of(predicate | {"digest": statement["subject"][0]["digest"]["sha256"]}),
                Link.of(previous) if previous is not None else None,
            )
            same = claim.statement() == statement
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise ValueError("its statement is not about a run") from error
        if not same:
            raise ValueError("its statement is not about a run")
        return claim


def parse_claim(envelope: bytes, kind: ClaimKind) -> tuple[Claim, SignedStatement]:
    """The claim in an envelope, not yet believed. Raises ValueError."""
    signed = SignedStatement.parse(envelope)
    return Claim.of(signed.statement, kind), signed


def read_head(customer: Path, key: PublicKey) -> Claim | None:
    """The signed head of the chain in a customer's folder; None when there is no such file, or no such folder.

    Worth asking before a long run: a chain that another key signed cannot be continued with this one. Raises
    :class:`EvidenceError` when the head is damaged, or not signed with ``key``.
    """
    path = customer / HEAD
    try:
        claim, signed = parse_claim(path.read_bytes(), ClaimKind.HEAD)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise failure("read", path, error) from error
    except ValueError as error:
        raise EvidenceError(f"{path} is damaged: {error}", hint=_HEAD_HINT) from error
    if signed.signer != key.id:
        raise EvidenceError(
            f"The evidence of this customer is signed with the key {signed.signer}, not with yours ({key.id})",
            hint=f"Name the file of that key in ${KEY_VARIABLE}, or start a new chain in another store.",
        )
    if not signed.proven_by(key):
        raise EvidenceError(f"{path} has been changed since it was signed", hint=_HEAD_HINT)
    if claim.customer != customer_of(customer):
        raise EvidenceError(f"{path} is the head of another customer, {claim.customer}", hint=_HEAD_HINT)
    return claim


_HEAD_HINT = "Run `finops-policy verify` on that folder; put the file back from a copy, or use another store."


def newest(customer: Path, key: PublicKey) -> Link | None:
    """The run the next one follows; None when it is the first. Call it under :func:`locked`.

    That is the run the head names, unless a crash came between a seal and its head: then the sealed run itself is
    newer. A head that names a run which is gone still counts, so that the gap stays visible for ever. Runs that
    ``key`` did not sign do not count. Raises :class:`EvidenceError` when the head cannot be believed, or is gone.
    """
    head = read_head(customer, key)
    sealed = [folder for folder in run_folders(customer) if is_sealed(folder)]
    links = [link for folder in sealed if (link := _proven_link(folder, customer_of(customer), key))]
    last = max(links, key=lambda link: link.sequence, default=None)
    if head is None:
        if sealed and (last is None or last.sequence > 1):
            raise EvidenceError(f"{customer / HEAD} is missing, but there are sealed runs", hint=_HEAD_HINT)
        return last
    return last if last and last.sequence > head.link.sequence else head.link


def _proven_link(folder: Path, customer: str | None, key: PublicKey) -> Link | None:
    try:
        claim, signed = parse_claim((folder / RUN_SEAL).read_bytes(), ClaimKind.RUN)
    except (OSError, ValueError):
        return None  # verify names it; here it only matters that it proves nothing
    at_home = claim.customer == customer and claim.link.run_id == run_of(folder)
    return claim.link if at_home and signed.proven_by(key) else None


@contextlib.contextmanager
def locked(folder: Path, *, busy: str = "") -> Iterator[None]:
    """Hold a folder for this process alone. The lock goes with the process, so a crash leaves none.

    Others wait; with ``busy`` they are refused, in these words. Raises :class:`EvidenceError`.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
        except OSError:
            os.close(descriptor)
            raise
    except BlockingIOError as error:
        raise EvidenceError(busy, hint="Wait until it has ended.") from error
    except OSError as error:
        raise failure("lock", folder, error) from error
    try:
        yield
    finally:
        os.close(descriptor)
