"""The local store: where bundles lie, and how they are found."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finops_policy.errors import EvidenceError, UsageError, did_you_mean
from finops_policy.evidence import layout
from finops_policy.evidence.bundle import BundleWriter
from finops_policy.files import failure, make_folder

LATEST = "latest"


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run in a store. One that is not sealed is incomplete: it crashed, or it is still running."""

    run_id: str
    folder: Path
    sealed: bool


@dataclass(frozen=True, slots=True)
class RunRecord:
    """``run.json`` of a sealed run as ``run.schema.json`` describes it, and the SHA-256 of the file."""

    folder: Path
    data: Mapping[str, Any]
    digest: str


class LocalStore:
    """Bundles in folders under ``root``. Folders are made for their owner alone (mode 0700).

    Every method raises :class:`UsageError` for a customer or run that cannot be, and :class:`EvidenceError` for a store
    that cannot be read or written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def customer_folder(self, customer: str) -> Path:
        """The folder of a customer's runs and chain, there or not. Names that lead out of the store are refused."""
        if not layout.CUSTOMER.fullmatch(customer):
            raise UsageError(
                f"{customer!r} is not a customer name",
                hint="Names are lower-case letters, digits and single hyphens, and begin with a letter.",
            )
        return layout.customer_folder(self.root, customer)

    def plans_folder(self, customer: str) -> Path:
        """Where a customer's plans lie, each in a folder of its own; there or not."""
        return self.customer_folder(customer) / "plans"

    def make_plans_folder(self, customer: str) -> Path:
        """The same, made with those above it when they are not there."""
        folder = self.plans_folder(customer)
        self._make_root()
        make_folder(folder.parent, exist_ok=True)
        make_folder(folder, exist_ok=True)
        return folder

    def create(self, customer: str, run_id: str) -> BundleWriter:
        """A new, empty bundle. The store and the customer's folder are made when they are not there."""
        folder = self._run_folder(customer, run_id)
        self._make_root()
        make_folder(folder.parent.parent, exist_ok=True)
        make_folder(folder.parent, exist_ok=True)
        make_folder(folder)
        return BundleWriter(folder, customer, run_id)

    def _make_root(self) -> None:
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise failure("make the evidence store", self.root, error) from error

    def reopen(self, customer: str, run: str, *, remediation: bool = False) -> BundleWriter:
        """The bundle of a run, or of a remediation, that broke off: the one named, or with ``latest`` the newest."""
        runs = self._some(customer, remediation)
        broken = [each for each in runs if not each.sealed]
        found = broken[-1] if run == LATEST and broken else runs[-1] if run == LATEST else _named(customer, run, runs)
        if found.sealed:
            hint = f"The newest that is not: --resume {broken[-1].run_id}" if broken else "Make a new run."
            raise EvidenceError(f"Run {found.run_id} of {customer} is complete: there is nothing to resume", hint=hint)
        return BundleWriter(found.folder, customer, found.run_id)

    def runs(self, customer: str) -> list[RunSummary]:
        """All runs of a customer, sealed or not, oldest first; none when the customer has no folder yet."""
        return self._bundles(customer, remediation=False)

    def remediations(self, customer: str) -> list[RunSummary]:
        """The bundles of what was done about findings, and undone, as :meth:`runs` has those that found them."""
        return self._bundles(customer, remediation=True)

    def _bundles(self, customer: str, remediation: bool) -> list[RunSummary]:
        folder = self.customer_folder(customer)
        known = self.customers()
        if customer not in known:
            return []
        return [
            RunSummary(run_id, path, layout.is_sealed(path))
            for path in layout.run_folders(folder)
            if (run_id := layout.run_of(path)) and layout.is_remediation(path) is remediation
        ]

    def find(self, customer: str, run: str, *, remediation: bool = False) -> Path:
        """The folder of a sealed run, or remediation: the one named, or with ``latest`` the one that started last."""
        if run == LATEST:
            return self._latest(customer, remediation).folder
        found = _named(customer, run, self._some(customer, remediation))
        if not found.sealed:
            message = f"Run {run} of {customer} is incomplete: it was not sealed, so it is no evidence yet"
            raise EvidenceError(message, hint=_incomplete(remediation))
        return found.folder

    def _latest(self, customer: str, remediation: bool) -> RunSummary:
        runs = self._some(customer, remediation)
        if sealed := [run for run in runs if run.sealed]:
            return sealed[-1]
        what = "remediation" if remediation else "run"
        message = f"{customer} has no sealed {what} in {self.root}, only {len(runs)} incomplete"
        raise EvidenceError(message, hint=_incomplete(remediation))

    def _some(self, customer: str, remediation: bool) -> list[RunSummary]:
        if runs := self._bundles(customer, remediation):
            return runs
        if remediation and customer in self.customers():
            hint = "Make a plan, approve it, and apply it."
            raise UsageError(f"Nothing was done about findings of {customer!r} in {self.root}", hint=hint)
        raise UsageError(
            f"There is no run of {customer!r} in {self.root}",
            hint=did_you_mean(customer, (name for name in self.customers() if name != customer))
            or f"Make one first: `finops-policy run --customer {customer}`.",
        )

    def customers(self) -> list[str]:
        """Those with a folder in the store, sorted."""
        if not self.root.exists():
            raise EvidenceError(
                f"There is no evidence store at {self.root}",
                hint="Check the path for a typing error; the first `finops-policy run` makes the store.",
            )
        return layout.customers(self.root)

    def _run_folder(self, customer: str, run_id: str) -> Path:
        folder = self.customer_folder(customer)
        if not layout.RUN_ID.fullmatch(run_id):
            raise UsageError(f"{run_id!r} is not a run id", hint="Run ids look like 20261124T080000Z-3f2a9c1b.")
        return folder / layout.relative_run_folder(run_id)


def _named(customer: str, run_id: str, runs: Sequence[RunSummary]) -> RunSummary:
    known = {run.run_id: run for run in runs}
    if run_id not in known:
        raise UsageError(
            f"{customer} has no run {run_id!r} in {runs[0].folder.parents[2]}",
            hint=did_you_mean(run_id, known) or "`finops-policy runs list` shows all runs.",
        )
    return known[run_id]


def _incomplete(remediation: bool) -> str:
    how = "`apply` or `undo` with --resume" if remediation else "`run --resume`"
    return f"Wait for it if it is still running; if it broke off, finish it with {how}."


def read_run(folder: Path) -> RunRecord:
    """``run.json`` of the sealed bundle at ``folder``, as it is; whether to believe it is for ``verify`` to say.

    Raises :class:`EvidenceError` when it is missing or is no record.
    """
    path = folder / layout.RUN_RECORD
    try:
        data = path.read_bytes()
        record = json.loads(data)
    except OSError as error:
        raise failure("read", path, error) from error
    except (ValueError, RecursionError) as error:
        raise EvidenceError(f"{path} is not JSON: {error}", hint=_VERIFY) from error
    if not isinstance(record, dict):
        raise EvidenceError(f"{path} is not the record of a run", hint=_VERIFY)
    return RunRecord(folder, record, hashlib.sha256(data).hexdigest())


_VERIFY = "Run `finops-policy verify` on the bundle: it names what is not as it was sealed."
