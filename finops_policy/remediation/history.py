"""What the sealed remediations of a customer did, item by item: so that nothing is done twice, or taken back that
somebody did since."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from finops_policy.evidence.parquet import read_actions
from finops_policy.evidence.store import LocalStore, read_run
from finops_policy.remediation.model import Outcome

CHANGED = frozenset({Outcome.DONE, Outcome.UNDONE, Outcome.FAILED, Outcome.UNVERIFIED})
"""Outcomes after which something may have changed."""


@dataclass(frozen=True, slots=True)
class Last:
    """What a run came to with an item: its last step's outcome."""

    run_id: str
    plan_digest: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class History:
    """Every item that was acted on, by run, in the order of the chain (run ids are to the second only): run id -> item
    id -> :class:`Last`."""

    runs: dict[str, dict[str, Last]]

    @classmethod
    def read(cls, store: LocalStore, customer: str) -> Self:
        """Raises :class:`EvidenceError` when a bundle cannot be read."""
        found = store.remediations(customer) if store.root.exists() else []
        sealed = sorted((read_run(run.folder) for run in found if run.sealed), key=lambda run: run.data["sequence"])
        runs: dict[str, dict[str, Last]] = {}
        for run in sealed:
            run_id = run.data["run_id"]
            rows = read_actions(run.folder) if (run.folder / "actions").exists() else []
            runs[run_id] = {
                row["item_id"]: Last(run_id, row["plan_digest"], Outcome(row["outcome"]))
                for row in rows
                if Outcome(row["outcome"]) in CHANGED
            }
        return cls(runs)

    @property
    def last(self) -> dict[str, Last]:
        """What became of each item in the end."""
        found: dict[str, Last] = {}
        for items in self.runs.values():
            found |= items
        return found

    def since(self, run_id: str) -> dict[str, str]:
        """Item id -> the newest run after ``run_id`` that acted on it."""
        order = list(self.runs)
        later = [self.runs[run] for run in order[order.index(run_id) + 1 :]]
        return {item: last.run_id for items in later for item, last in items.items()}

    def undone(self) -> dict[str, str]:
        """Item id -> the run that took it back, where nothing was done since."""
        return {item: last.run_id for item, last in self.last.items() if last.outcome is Outcome.UNDONE}
