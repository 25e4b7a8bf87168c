"""Where things lie in a store: names, patterns, and the folders of a customer's runs.

``<store>/customer=<customer>/month=<yyyy-mm>/run=<run id>/`` is the Hive layout that DuckDB, Athena, Trino and
Spark read.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from finops_policy.files import failure

RUN_RECORD = "run.json"
RUN_SEAL = "run.dsse.json"
EVENTS = "events.jsonl"
HEAD = "head.dsse.json"
PLAN = "plan.json"
"""In the bundle of a remediation, which acted on a plan, and in no other; written first."""

RUN_ID = re.compile(r"[0-9]{4}(0[1-9]|1[0-2])[0-9]{2}T[0-9]{6}Z-[0-9a-f]{8}")
CUSTOMER = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_CUSTOMER_FOLDER, _MONTH_FOLDER, _RUN_FOLDER = "customer=", "month=", "run="


def new_run_id(now: dt.datetime) -> str:
    """An identifier that sorts by time (to the second, UTC) and is unique across machines (32 random bits a second)."""
    if now.tzinfo is None:
        raise ValueError("a run id needs a time with a zone")
    return f"{now.astimezone(dt.UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


def customer_folder(root: Path, customer: str) -> Path:
    return root / f"{_CUSTOMER_FOLDER}{customer}"


def relative_run_folder(run_id: str) -> Path:
    """A run's folder within its customer's."""
    return Path(f"{_MONTH_FOLDER}{run_id[:4]}-{run_id[4:6]}") / f"{_RUN_FOLDER}{run_id}"


def customer_of(folder: Path) -> str | None:
    """The customer whose folder this is, or None when it is not such a folder."""
    return folder.name.removeprefix(_CUSTOMER_FOLDER) if folder.name.startswith(_CUSTOMER_FOLDER) else None


def run_of(folder: Path) -> str | None:
    """The run whose folder this is, or None when it is not named like one."""
    return folder.name.removeprefix(_RUN_FOLDER) if folder.name.startswith(_RUN_FOLDER) else None


def stands_in(folder: Path) -> Path | None:
    """The customer folder around a run's folder, or None when the run stands alone."""
    month = folder.parent
    within = month.name.startswith(_MONTH_FOLDER) and customer_of(month.parent) is not None
    return month.parent if within and run_of(folder) is not None else None


def customers(root: Path) -> list[str]:
    """The customers of a store, sorted. Raises :class:`EvidenceError`."""
    return sorted(customer for folder in _children(root) if (customer := customer_of(folder)))


def run_folders(customer: Path) -> list[Path]:
    """The folders of all runs in a customer's folder, sealed or not, oldest first. Raises :class:`EvidenceError`."""
    months = [path for path in _children(customer) if path.name.startswith(_MONTH_FOLDER)]
    return sorted((path for month in months for path in _children(month) if run_of(path)), key=lambda path: path.name)


def _children(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise failure("read", folder, error) from error


def is_sealed(folder: Path) -> bool:
    """Whether a run is real: ``run.json`` is the last thing written into it. Raises :class:`EvidenceError`."""
    try:
        return (folder / RUN_RECORD).is_file()
    except OSError as error:
        raise failure("read", folder, error) from error


def is_remediation(folder: Path) -> bool:
    """Whether a bundle records acts on a plan, rather than what was judged. Raises :class:`EvidenceError`."""
    try:
        return (folder / PLAN).exists()
    except OSError as error:
        raise failure("read", folder, error) from error


def walk(folder: Path) -> Iterator[tuple[str, int]]:
    """Everything in a bundle but its folders: name relative to ``folder`` with slashes, and mode as lstat(2) gives it.

    Links are not followed. Raises OSError, whose ``filename`` says which folder cannot be read.
    """
    waiting = [("", folder)]
    while waiting:
        prefix, place = waiting.pop()
        with os.scandir(place) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.is_dir(follow_symlinks=False):
                    waiting.append((f"{prefix}{entry.name}/", Path(entry.path)))
                else:
                    yield prefix + entry.name, entry.stat(follow_symlinks=False).st_mode


def measure(path: Path) -> dict[str, str | int]:
    """Size in bytes and SHA-256 of a plain file, as ``run.json`` holds them. Raises OSError, for a link as well."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return {"sha256": sha256, "bytes": file.tell()}
