"""``finops-policy runs``: what the evidence store holds."""

from __future__ import annotations

import json
from pathlib import Path

import rich_click as click

from finops_policy.cli import options
from finops_policy.errors import ExitCode


@click.group("runs")
def command() -> None:
    """Look at the runs in the evidence store."""


@command.command("list")
@options.customer
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="Form of the list.")
@options.store
@options.workspace
def list_runs(customer: str, form: str, store: Path | None, workspace: Path) -> int:
    """List a customer's runs, oldest first; a run that was not sealed is incomplete.

    \b
    Example:
      finops-policy runs list --customer acme
    """
    from finops_policy.cli.console import stdout
    from finops_policy.evidence.store import LocalStore, read_run

    rows = []
    for run in LocalStore(options.store_of(workspace, store)).runs(customer):
        row = {"run_id": run.run_id, "sealed": run.sealed, "folder": str(run.folder)}
        if run.sealed:
            counts = read_run(run.folder).data["counts"]
            row |= {name: counts[name] for name in ("population", "noncompliant", "unknown")}
            row["failed"] = counts["cells"]["failed"]
        rows.append(row)
    if form == "json":
        stdout().out(json.dumps(rows, indent=2), highlight=False)
        return ExitCode.CLEAN
    for row in rows:
        told = (
            f"{row['population']} judged, {row['noncompliant']} noncompliant, {row['unknown']} unknown, "
            f"{row['failed']} checks failed"
            if row["sealed"]
            else "INCOMPLETE: never sealed"
        )
        stdout().print(f"{row['run_id']}  {told}", soft_wrap=True)
    if not rows:
        stdout().print(f"There is no run of {customer} yet.")
    return ExitCode.CLEAN
