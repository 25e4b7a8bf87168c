"""What was told to whom: ``notifications.jsonl`` in the customer's folder, a line for each digest that was tried.

Only delivered digests count when the next ones are made. A line is appended and flushed to the disk before the next
digest is sent: a crash between a delivery and its line repeats that one digest, and a torn line is passed over, with
the same effect. The lock is held while digests are sent, so that two commands do not tell the same twice.
"""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from finops_policy.evidence.canonical import clean
from finops_policy.evidence.chain import locked
from finops_policy.files import failure
from finops_policy.model import Severity
from finops_policy.notify.model import RECORD_SCHEMA, Attempt, Delivery, Digest, Result, Told

FILE = "notifications.jsonl"
Listener: TypeAlias = tuple[str, str, str]
"""channel, kind of digest, recipient."""


@dataclass(slots=True)
class Memory:
    """What each recipient was last told of each finding. What ``unread`` lines say was told may be told again."""

    told: dict[tuple[Listener, str], Told] = field(default_factory=dict)
    unread: int = 0

    def of(self, audience: Listener, fingerprint: str) -> Told | None:
        return self.told.get((audience, fingerprint))


class Journal:
    """The file of one customer. Methods raise :class:`EvidenceError` when it cannot be read or written."""

    def __init__(self, customer_folder: Path) -> None:
        self.path = customer_folder / FILE

    @contextmanager
    def held(self) -> Iterator[None]:
        """For this process alone; others wait."""
        try:
            os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o600))
        except OSError as error:
            raise failure("write", self.path, error) from error
        with locked(self.path):
            yield

    def read(self) -> Memory:
        memory = Memory()
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return memory
        except OSError as error:
            raise failure("read", self.path, error) from error
        for line in filter(None, data.split(b"\n")):
            try:
                _remember(memory, json.loads(line))
            except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
                memory.unread += 1
        return memory

    def append(self, delivery: Delivery, digest: Digest, run_id: str, at: dt.datetime) -> None:
        """One line, on the disk when this returns. After a torn line it begins on a line of its own."""
        line = json.dumps(record(delivery, digest, run_id, at), ensure_ascii=False, separators=(",", ":"))
        try:
            with os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
                end = file.seek(0, os.SEEK_END)
                if end and os.pread(file.fileno(), 1, end - 1) != b"\n":
                    file.write(b"\n")
                file.write(clean(line).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise failure("write", self.path, error) from error


def _remember(memory: Memory, line: Mapping[str, Any]) -> None:
    if line["schema"] != RECORD_SCHEMA:
        raise ValueError(line["schema"])
    if line["result"] != Result.DELIVERED:
        return
    at = dt.datetime.fromisoformat(line["at"])
    audience = (str(line["channel"]), str(line["kind"]), str(line["recipient"]))
    told = {
        str(fingerprint): Told(at, Severity(each["severity"]), bool(each["escalated"]))
        for fingerprint, each in line["findings"].items()
    }
    memory.told.update({(audience, fingerprint): each for fingerprint, each in told.items()})


def record(delivery: Delivery, digest: Digest, run_id: str, at: dt.datetime) -> dict[str, Any]:
    """The line as ``notification.schema.json`` has it. ``findings`` by fingerprint, only where they were delivered."""
    delivered = delivery.result is Result.DELIVERED
    return {
        "schema": RECORD_SCHEMA,
        "at": stamp(at),
        "run_id": run_id,
        **told_delivery(delivery),
        "findings": {
            each.notice.fingerprint: {"severity": each.notice.severity.value, "escalated": each.escalated}
            for each in digest.due
        }
        if delivered
        else {},
    }


def told_delivery(delivery: Delivery) -> dict[str, Any]:
    """A delivery as the record and the report of the command have it, without the findings themselves."""
    return {
        "digest_id": delivery.digest_id,
        "channel": delivery.channel,
        "type": delivery.type,
        "kind": delivery.kind,
        "recipient": delivery.recipient,
        "count": delivery.findings,
        "left_out": delivery.left_out,
        "result": delivery.result.value,
        "reason": delivery.reason,
        "receipt": delivery.receipt,
        "attempts": _attempts(delivery.attempts),
        "notes": list(delivery.notes),
    }


def _attempts(attempts: Sequence[Attempt]) -> list[dict[str, str]]:
    return [{"at": stamp(each.at), "result": each.result.value, "reason": each.reason} for each in attempts]


def stamp(moment: dt.datetime) -> str:
    """ISO 8601 in UTC, in milliseconds."""
    return moment.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
