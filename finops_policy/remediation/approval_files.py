"""Where approvals lie: ``approvals/*.dsse.json`` beside ``plan.json``, and ``attempts.jsonl`` for what was refused.

An approval is written whole or not at all, under a name of its own, so that two approvers never overwrite each other.
Whoever can write to the folder can also delete from it: a refusal that somebody took away is not noticed here.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from finops_policy.errors import EvidenceError, UsageError, did_you_mean
from finops_policy.evidence.canonical import encode
from finops_policy.evidence.chain import locked
from finops_policy.evidence.store import LATEST, LocalStore
from finops_policy.files import failure, make_folder, write_atomic
from finops_policy.remediation.approvals import Approval, Rejected
from finops_policy.remediation.model import Plan
from finops_policy.remediation.plan_file import PLAN_NAME

APPROVALS: Final = "approvals"
ATTEMPTS: Final = "attempts.jsonl"
ENVELOPE_SUFFIX: Final = ".dsse.json"
UNATTENDED_SUFFIX: Final = "-unattended"
"""Of the ids of plans that were not made for people: ``latest`` passes them over."""
_MOST_BYTES: Final = 1 << 20


def find_plan(store: LocalStore, customer: str, place: str) -> Path:
    """The plan file that ``place`` names: a path of it or of its folder, a plan id, or ``latest``.

    Raises :class:`UsageError` when there is none.
    """
    folder = store.plans_folder(customer)
    known = sorted(each.parent.name for each in folder.glob(f"*/{PLAN_NAME}")) if folder.is_dir() else []
    mine = [each for each in known if not each.endswith(UNATTENDED_SUFFIX)]
    name = mine[-1] if place == LATEST and mine else place
    if name in known:
        return folder / name / PLAN_NAME
    path = Path(place)
    if place and (os.sep in place or path.exists()):
        file = path / PLAN_NAME if path.is_dir() else path
        if file.name == PLAN_NAME and file.is_file():
            return file
        raise UsageError(f"There is no plan at {path}", hint=f"Name a {PLAN_NAME}, its folder, or a plan id.")
    told = f"There is no plan of {customer!r}" if place == LATEST else f"{customer} has no plan {place!r}"
    raise UsageError(f"{told} in {store.root}", hint=did_you_mean(place, known) or "Make a plan first.")


def read_envelopes(folder: Path) -> list[tuple[str, bytes]]:
    """All approvals in the folder of a plan, by name: what lies there, whether it counts or not.

    What is no plain file of a sensible size is given as no bytes, and so is malformed. Raises :class:`EvidenceError`
    when something cannot be read: it might be a refusal.
    """
    place = folder / APPROVALS
    try:
        names = sorted(each.name for each in place.iterdir()) if place.exists() else []
        return [(name, _bytes(place / name)) for name in names if name.endswith(ENVELOPE_SUFFIX) and name[0] != "."]
    except OSError as error:
        raise failure("read", Path(error.filename or place), error) from error


def _bytes(path: Path) -> bytes:
    found = path.lstat()
    return path.read_bytes() if stat.S_ISREG(found.st_mode) and found.st_size <= _MOST_BYTES else b""


@contextlib.contextmanager
def deciding(folder: Path) -> Iterator[None]:
    """Hold the approvals of a plan: what was judged is still so when the decision is written. Others wait.

    Raises :class:`EvidenceError`.
    """
    make_folder(folder / APPROVALS, exist_ok=True)
    with locked(folder / APPROVALS):
        yield


def write_envelope(folder: Path, approval: Approval, envelope: bytes) -> Path:
    """Writes an approval into the folder of its plan. Raises :class:`EvidenceError`."""
    digest = hashlib.sha256(envelope).hexdigest()
    name = f"{approval.at.astimezone(dt.UTC):%Y%m%dT%H%M%SZ}-{approval.role}-{digest[:8]}{ENVELOPE_SUFFIX}"
    path = folder / APPROVALS / name
    if path.exists():
        raise EvidenceError(f"{path} is there already", hint="The decision was recorded before.")
    write_atomic(path, envelope)
    return path


def read_attempts(folder: Path) -> list[Mapping[str, Any]]:
    """The attempts recorded beside a plan, oldest first. A line that a crash left half written is passed over.

    Raises :class:`EvidenceError` when the file cannot be read.
    """
    path = folder / ATTEMPTS
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise failure("read", path, error) from error
    found = []
    for line in data.splitlines():
        with contextlib.suppress(ValueError, RecursionError):
            found.append(json.loads(line))
    return [each for each in found if isinstance(each, dict)]


def record_attempts(folder: Path, plan: Plan | None, rejected: Iterable[Rejected], now: dt.datetime) -> int:
    """Adds a line for each refused attempt to ``attempts.jsonl``; an envelope refused for the same reason as before
    adds none. How many were added; they are on the disk then. Raises :class:`EvidenceError`."""
    known = {(each.get("kind"), each.get("sha256")) for each in read_attempts(folder)}
    lines = [
        {
            "at": now,
            "kind": each.kind.value,
            "message": each.message,
            "approver": each.approver,
            "key_id": each.key_id,
            "file": each.file,
            "sha256": each.digest,
            "plan_id": plan.plan_id if plan else "",
            "plan_digest": plan.digest if plan else "",
        }
        for each in rejected
        if not each.digest or (each.kind.value, each.digest) not in known
    ]
    if lines:
        _append(folder / ATTEMPTS, "".join(f"{encode(each)}\n" for each in lines).encode())
    return len(lines)


def _append(path: Path, data: bytes) -> None:
    """At the end, and on the disk. After a line that was cut off, a new one is begun."""
    try:
        with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o644), "a+b") as file:
            if end := file.seek(0, os.SEEK_END):
                file.seek(end - 1)
                data = data if file.read(1) == b"\n" else b"\n" + data
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise failure("write", path, error) from error
