"""What a run writes down of its own progress, so that another process can finish it.

``compiled/targets.json`` says what the run covers. A target is done when its coverage part is there: it is the last
thing that its worker writes. ``events.jsonl`` tells what each target took.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from finops_policy.customer import Account, Customer, LeftOut
from finops_policy.engine.tally import Tally
from finops_policy.engine.worker import TargetResult
from finops_policy.errors import EvidenceError
from finops_policy.evidence.bundle import BundleWriter
from finops_policy.evidence.canonical import encode
from finops_policy.evidence.layout import EVENTS
from finops_policy.evidence.parquet import read_coverage_part
from finops_policy.evidence.store import LocalStore
from finops_policy.failures import Failure
from finops_policy.model import Coverage, FailureKind, Status, Target

SCOPE = "compiled/targets.json"
SECONDS = re.compile(r"[0-9]+\.[0-9]{3}")
_NEW_RUN = "Make a new run."


@dataclass(frozen=True, slots=True)
class Scope:
    """What a run covers, as it was when the run started. ``selection`` is what the user asked for."""

    started_at: dt.datetime
    caller: str
    sandboxed: bool
    targets: tuple[Target, ...]
    refused: Mapping[str, Failure]
    left_out: tuple[LeftOut, ...]
    policies: frozenset[str]
    selection: Mapping[str, tuple[str, ...]]

    def write(self, bundle: BundleWriter) -> None:
        content = {
            "started_at": self.started_at,
            "caller": self.caller,
            "sandbox": self.sandboxed,
            "targets": [asdict(each) for each in self.targets],
            "refused": {account: asdict(each) for account, each in self.refused.items()},
            "left_out": [asdict(each) for each in self.left_out],
            "policies": sorted(self.policies),
            "selection": self.selection,
        }
        bundle.write(SCOPE, (encode(content, indent=2) + "\n").encode())

    def complete(self, customer: Customer) -> Customer:
        """The customer with an account for every target: those that were discovered are in no file."""
        listed = {account.id for account in customer.accounts}
        names = {target.account_id: target.account_name for target in self.targets}
        found = tuple(
            Account(account_id, name, customer.regions, {}, customer.mark)
            for account_id, name in names.items()
            if account_id not in listed
        )
        return replace(customer, accounts=customer.accounts + found)


def begun(bundle: BundleWriter, compiled: Mapping[str, bytes], *, sandboxed: bool) -> Scope:
    """The scope of a run that broke off. Raises :class:`EvidenceError` when it cannot go on with ``compiled``."""
    path = bundle.folder / SCOPE
    try:
        raw = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        message = f"Run {bundle.run_id} broke off before it had begun: {path} is missing"
        raise EvidenceError(message, hint=_NEW_RUN) from error
    except (OSError, ValueError) as error:
        raise EvidenceError(
            f"Cannot resume run {bundle.run_id}: {path} cannot be read: {error}", hint=_NEW_RUN
        ) from error
    if raw["sandbox"] is not sandboxed:
        where = "in the sandbox" if raw["sandbox"] else "on AWS"
        hint = "Resume it with --sandbox." if raw["sandbox"] else "Resume it without --sandbox."
        raise EvidenceError(f"Run {bundle.run_id} was begun {where}", hint=hint)
    for name, data in compiled.items():
        place = bundle.folder / "compiled" / name
        if not place.is_file() or place.read_bytes() != data:
            message = f"Cannot resume run {bundle.run_id}: compiled/{name} is not what it was when the run started"
            hint = "Packs, profile, customer, waivers or prices have changed since: make a new run."
            raise EvidenceError(message, hint=hint)
    return Scope(
        started_at=dt.datetime.fromisoformat(raw["started_at"]),
        caller=raw["caller"],
        sandboxed=raw["sandbox"],
        targets=tuple(Target(**each) for each in raw["targets"]),
        refused={
            account: Failure(**{**each, "kind": FailureKind(each["kind"])}) for account, each in raw["refused"].items()
        },
        left_out=tuple(LeftOut(**each) for each in raw["left_out"]),
        policies=frozenset(raw["policies"]),
        selection={name: tuple(values) for name, values in raw["selection"].items()},
    )


class Recorded:
    """The targets of a bundle that are done."""

    def __init__(self, bundle: BundleWriter) -> None:
        self._bundle = bundle
        self._told = {_place(event): event for event in _target_events(bundle.folder / EVENTS)}

    def cells(self, target: Target) -> list[Coverage] | None:
        """The cells of a target; None when it is not done."""
        part = self._bundle.part("coverage", target)
        return read_coverage_part(part) if part.exists() else None

    def add_calls(self, target: Target, tally: Tally) -> None:
        event = self._told.get((target.account_id, target.region))
        if event is None:
            tally.untold += 1
        else:
            tally.add_calls(event["calls"], event["metrics"])

    def write(self, result: TargetResult) -> None:
        self._bundle.event(
            "target",
            account_id=result.target.account_id,
            region=result.target.region,
            cells=len(result.cells),
            failed=sum(1 for cell in result.cells if cell.status is Status.FAILED),
            seconds=f"{result.seconds:.3f}",
            calls=dict(result.calls),
            metrics=result.metrics,
        )


def usual_seconds(store: LocalStore, customer: str) -> dict[tuple[str, str], float]:
    """How long each target took in the newest sealed run; nothing where there is none, or it does not tell."""
    sealed = [run for run in store.runs(customer) if run.sealed]
    if not sealed:
        return {}
    return {_place(event): float(event["seconds"]) for event in _target_events(sealed[-1].folder / EVENTS)}


def _place(event: Mapping[str, Any]) -> tuple[str, str]:
    return event["account_id"], event["region"]


def _target_events(path: Path) -> Iterator[Mapping[str, Any]]:
    """Lines that do not tell what a target took (an older format, or somebody's edit) are passed over: they only cost
    the order of the work, and a cost that is then said to be unknown."""
    try:
        lines = path.read_text("utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return
    except OSError as error:
        raise EvidenceError(f"Cannot read {path}: {error}", hint=_NEW_RUN) from error
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if _tells(event):
            yield event


def _tells(event: Any) -> bool:
    match event:
        case {
            "event": "target",
            "account_id": str(),
            "region": str(),
            "seconds": str(seconds),
            "calls": dict(calls),
            "metrics": int(),
        }:
            return SECONDS.fullmatch(seconds) is not None and all(type(count) is int for count in calls.values())
        case _:
            return False
