"""``finops-policy runs``: what the evidence store holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import rich_click as click

from finops_policy.cli import options
from finops_policy.errors import EvidenceError, ExitCode, UsageError, did_you_mean

OUTCOMES = ("done", "undone", "failed", "unverified", "held")


@click.group("runs")
def command() -> None:
    """Look at the runs in the evidence store.

    A run that was interrupted was never sealed: it is listed, and is no evidence.

    \b
    Example:
      finops-policy runs list --customer acme
    """


@command.command("list")
@options.customer
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="Form of the list.")
@options.store
@options.workspace
@options.verbose
def list_runs(customer: str, form: str, store: Path | None, workspace: Path) -> int:
    """List a customer's runs and remediations, oldest first; what was not sealed is incomplete.

    \b
    Example:
      finops-policy runs list --customer acme
    """
    from finops_policy.catalog import Catalog
    from finops_policy.cli.console import stderr, stdout
    from finops_policy.evidence.store import LocalStore

    rows: list[dict[str, Any]] = []
    place = LocalStore(options.store_of(workspace, store))
    for kind, found in (("run", place.runs(customer)), ("remediation", place.remediations(customer))):
        for run in found:
            row = {"run_id": run.run_id, "kind": kind, "sealed": run.sealed, "folder": str(run.folder)}
            rows.append(row | (_counts(run.folder, kind) if run.sealed else {}))
    rows.sort(key=lambda row: str(row["run_id"]))
    if not rows:
        known = [*Catalog(workspace).customers(), *place.customers()]
        if customer not in known:
            raise UsageError(
                f"There is no customer {customer!r}, and no run of it.", hint=did_you_mean(customer, known)
            )
        stderr().print(f"There is no run of {customer} yet.")
    if form == "json":
        stdout().out(json.dumps(rows, indent=2), highlight=False)
        return ExitCode.CLEAN
    for row in rows:
        stdout().print(f"{row['run_id']}  {_told(row)}", soft_wrap=True)
    return ExitCode.CLEAN


def _counts(folder: Path, kind: str) -> dict[str, Any]:
    """What the record counts. One that cannot be read must not hide the other runs: then there are no counts."""
    from finops_policy.evidence.store import read_run

    try:
        record = read_run(folder).data
        counts = record["counts"]
        if kind == "remediation":
            return {"kind": record["kind"], **{name: int(count) for name, count in counts.items()}}
        told = {name: counts[name] for name in ("population", "noncompliant", "unknown")}
        return {**told, "failed": counts["cells"]["failed"]}
    except (EvidenceError, LookupError, TypeError):
        return {}


def _told(row: Mapping[str, Any]) -> str:
    if not row["sealed"]:
        return "INCOMPLETE: never sealed"
    if row["kind"] in ("apply", "undo"):
        counts = ", ".join(f"{row[name]} {name}" for name in OUTCOMES if row[name])
        return f"{row['kind']}: {counts or 'nothing to do'}"
    if "population" not in row:
        return "DAMAGED: its record cannot be read; see `finops-policy verify`"
    counts = f"{row['population']} judged, {row['noncompliant']} noncompliant, {row['unknown']} unknown"
    return f"{counts}, {row['failed']} cells failed"
