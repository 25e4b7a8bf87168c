"""Writing one run's bundle, and sealing it.

The parent process owns the bundle; workers only write the parts it names for them. Until it is sealed, a bundle is an
incomplete run: nothing reads it as evidence.
"""

from __future__ import annotations

import datetime as dt
import errno
import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from finops_policy.errors import EvidenceError
from finops_policy.evidence.canonical import encode, plain
from finops_policy.evidence.chain import Claim, ClaimKind, Link, locked, newest
from finops_policy.evidence.layout import EVENTS, HEAD, RUN_RECORD, RUN_SEAL, is_sealed, measure, walk
from finops_policy.evidence.signing import SigningKey
from finops_policy.files import TEMPORARY_PREFIX, TEMPORARY_SUFFIX, failure, make_folder, write_atomic
from finops_policy.library import library_root
from finops_policy.model import Target

SCHEMA = "finops-policy/run/v1"
REMEDIATION_SCHEMA = "finops-policy/remediation/v1"
_SCHEMA_FILES = {SCHEMA: "run.schema.json", REMEDIATION_SCHEMA: "remediation.schema.json"}
PartKind = Literal["evaluations", "coverage", "actions"]

_ACCOUNT = re.compile(r"[0-9]{12}")
_REGION = re.compile(r"[a-z]{2}(-[a-z0-9]+)+")


@dataclass(frozen=True, slots=True)
class SealedRun:
    """A run that has become evidence. ``link.digest`` is the SHA-256 of its ``run.json``, ``signed_by`` a key id."""

    folder: Path
    customer: str
    link: Link
    previous: Link | None
    signed_by: str


class BundleWriter:
    """One run being recorded in ``folder``. Workers get paths from :meth:`part`; all else is the parent's to write."""

    def __init__(self, folder: Path, customer: str, run_id: str) -> None:
        self.folder = folder
        self.customer = customer
        self.run_id = run_id
        self._customer_folder = folder.parent.parent
        self._made: set[PartKind] = set()

    @contextmanager
    def held(self) -> Iterator[None]:
        """While a run is being recorded nobody else may record it. Raises :class:`EvidenceError` when somebody does."""
        with locked(self.folder, busy=f"Run {self.run_id} is being recorded by another process"):
            yield

    def part(self, kind: PartKind, target: Target) -> Path:
        """Where the part of one target goes; its folder is there. A part that is there already was written whole."""
        self._refuse_if_sealed()
        if not _ACCOUNT.fullmatch(target.account_id) or not _REGION.fullmatch(target.region):
            raise EvidenceError(
                f"{target} is not an account and a region", hint="Accounts have 12 digits, regions look like us-east-1."
            )
        folder = self.folder / kind
        if kind not in self._made:
            make_folder(folder, exist_ok=True)
            self._made.add(kind)
        return folder / f"{target.account_id}_{target.region}.parquet"

    def write(self, relative: str, data: bytes) -> None:
        """Put a file into the bundle, such as ``compiled/acme-prod.yml``; folders in between are made."""
        self._refuse_if_sealed()
        parts = PurePosixPath(relative).parts
        reserved = relative in {RUN_RECORD, RUN_SEAL, EVENTS}
        if not parts or reserved or relative.startswith("/") or any(part.startswith(".") for part in parts):
            raise EvidenceError(f"{relative!r} is no name for a file in a bundle")
        folder = self.folder
        for part in parts[:-1]:
            folder /= part
            make_folder(folder, exist_ok=True)
        write_atomic(folder / parts[-1], data)

    def event(self, kind: str, /, **fields: object) -> None:
        """Append a line to ``events.jsonl``, whole or not at all: when, what, and what ``fields`` say."""
        self._refuse_if_sealed()
        at = dt.datetime.now(dt.UTC)
        line = encode(fields | {"at": at, "event": kind}).encode() + b"\n"
        path = self.folder / EVENTS
        try:
            with path.open("ab", buffering=0) as file:
                before = file.tell()
                try:
                    if file.write(line) != len(line):
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                except OSError:
                    file.truncate(before)
                    raise
        except OSError as error:
            raise failure("write", path, error) from error

    def seal(self, record: Mapping[str, Any], key: SigningKey) -> SealedRun:
        """Make the run real. ``record`` is ``run.json`` without what sealing adds: schema (save of a remediation), run
        id, number, previous run, key id, and size and SHA-256 of every file. Call it once all workers are done.

        The order decides what a crash leaves behind. The signature comes first, over the very bytes that will be
        ``run.json``; then ``run.json``, which makes the run real; then the head of the chain. A crash before
        ``run.json`` leaves an incomplete run, whose stray signature vouches for nothing; the other way
        round there would be a moment with a real run that nobody signed. A crash before the head leaves a real, signed
        run that the head does not name yet: ``verify`` says so, and the next seal follows the run itself and mends the
        head. Writing the head first would leave one that names a run which never was, as if somebody had removed it.

        Raises :class:`EvidenceError` when the run is sealed already, the record does not fit ``run.schema.json``, a
        file cannot be read or written, or the chain cannot be continued with ``key``; the run is then still
        incomplete, save when only the head could not be written.
        """
        self._remove_leftovers()
        files = self._measures()
        with locked(self._customer_folder):
            self._refuse_if_sealed()
            previous = newest(self._customer_folder, key.public)
            sequence = previous.sequence + 1 if previous else 1
            full: dict[str, Any] = {"schema": SCHEMA, **{name: plain(value) for name, value in record.items()}} | {
                "run_id": self.run_id,
                "sequence": sequence,
                "previous": asdict(previous) if previous else None,
                "signed_by": key.public.id,
                "files": files,
            }
            self._check(full)
            data = encode(full, indent=2).encode() + b"\n"
            link = Link(self.run_id, sequence, hashlib.sha256(data).hexdigest())
            claim = Claim(ClaimKind.RUN, self.customer, link, previous)
            write_atomic(self.folder / RUN_SEAL, key.sign(claim.statement()))
            write_atomic(self.folder / RUN_RECORD, data)
            write_atomic(self._customer_folder / HEAD, key.sign(replace(claim, kind=ClaimKind.HEAD).statement()))
        return SealedRun(self.folder, self.customer, link, previous, key.public.id)

    def _refuse_if_sealed(self) -> None:
        if is_sealed(self.folder):
            raise EvidenceError(
                f"Run {self.run_id} is sealed: evidence does not change", hint="Start a new run instead."
            )

    def _remove_leftovers(self) -> None:
        """What a killed worker left half-written is no evidence."""
        for path in self.folder.rglob(f"{TEMPORARY_PREFIX}*{TEMPORARY_SUFFIX}"):
            try:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            except OSError as error:
                raise failure("remove", path, error) from error

    def _measures(self) -> dict[str, dict[str, str | int]]:
        measures = {}
        path = self.folder
        try:
            for name, mode in walk(self.folder):
                path = self.folder / name
                if not stat.S_ISREG(mode):
                    raise EvidenceError(f"{path} is not a plain file", hint="Find out who put it there; run again.")
                if name not in {RUN_RECORD, RUN_SEAL}:
                    measures[name] = measure(path)
        except OSError as error:
            raise failure("read", path, error) from error
        return measures

    def _check(self, full: dict[str, Any]) -> None:
        from jsonschema import Draft202012Validator

        schema = json.loads(library_root().joinpath("schemas", _SCHEMA_FILES[full["schema"]]).read_text("utf-8"))
        wrong = [f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(full)]
        if not wrong and full["customer"]["name"] != self.customer:
            wrong = [f"$.customer.name: the bundle is {self.customer}'s"]
        if wrong:
            raise EvidenceError(
                f"The record of run {self.run_id} is not valid: {'; '.join(sorted(wrong))}",
                hint="Nothing is sealed. This is a bug in finops-policy: please report it.",
            )
