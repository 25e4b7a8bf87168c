"""``finops-policy findings``: findings followed over a customer's runs, with the savings ledger."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from finops_policy.cli import options
from finops_policy.errors import ExitCode, UsageError, did_you_mean
from finops_policy.ledger import State
from finops_policy.model import Severity


@click.group("findings")
def command() -> None:
    """Follow findings over the runs: estimated, approved and realised savings.

    \b
    Example:
      finops-policy findings list --customer acme
    """


_costs = click.option(
    "--costs",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="FOCUS 1.2 cost data, Parquet or CSV: what the bill shows.",
)
_run = click.option("--run", "run_id", default="latest", show_default=True, help="As of this run: its id, or latest.")


@command.command("list")
@options.customer
@_run
@click.option("--state", "states", multiple=True, type=click.Choice([each.value for each in State]), help="Only these.")
@click.option("--policy", "policies", multiple=True, help="Only policies of this name or glob.")
@click.option(
    "--severity",
    "severities",
    multiple=True,
    type=click.Choice([each.value for each in Severity]),
    help="Only of this severity.",
)
@_costs
@click.option("--limit", default=50, show_default=True, type=click.IntRange(0), help="Lines as text; totals have all.")
@click.option("--format", "form", type=click.Choice(["text", "json", "csv"]), default="text", help="Form of the list.")
@options.store
@options.workspace
@options.verbose
def list_findings(
    customer: str,
    run_id: str,
    states: tuple[str, ...],
    policies: tuple[str, ...],
    severities: tuple[str, ...],
    costs: tuple[Path, ...],
    limit: int,
    form: str,
    store: Path | None,
    workspace: Path,
) -> int:
    """List findings with what they save a month: estimated, approved, realised.

    Totals count a resource once and stand against the bill, where cost data is
    given. A finding is open, reopened, waived, resolved or unknown.

    \b
    Examples:
      finops-policy findings list --customer acme
      finops-policy findings list --customer acme --state open --format csv
      finops-policy findings list --customer acme --costs focus.parquet
    """
    from fnmatch import fnmatchcase

    from finops_policy.cli import findings_shown as shown
    from finops_policy.cost.confirm import Reading, read_ledger
    from finops_policy.evidence.ledger_queries import read_history
    from finops_policy.evidence.store import LocalStore
    from finops_policy.ledger import Finding, once

    history = read_history(LocalStore(options.store_of(workspace, store)), customer, run_id)
    known = history.policies
    for glob in policies:
        if not any(fnmatchcase(name, glob) for name in known):
            raise UsageError(f"No policy {glob!r} was in the runs of {customer}.", hint=did_you_mean(glob, known))

    def wanted(finding: Finding) -> bool:
        return (
            (not states or finding.state in states)
            and (not severities or finding.severity in severities)
            and (not policies or any(fnmatchcase(finding.policy, glob) for glob in policies))
        )

    reading = Reading()
    kept = (once(filter(wanted, group)) for group in read_ledger(history, costs, reading))
    shown.WRITERS[form](shown.Listing(history, reading, kept, limit))
    return ExitCode.CLEAN


@command.command("show")
@click.argument("finding_id", metavar="ID")
@options.customer
@_run
@_costs
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="Form of the answer.")
@options.store
@options.workspace
@options.verbose
def show_finding(
    finding_id: str, customer: str, run_id: str, costs: tuple[Path, ...], form: str, store: Path | None, workspace: Path
) -> int:
    """Show one finding: its history over the runs, facts, actions and figures.

    ID is that of `findings list`, or its beginning.

    \b
    Example:
      finops-policy findings show 3f2a9c1b --customer acme
    """
    from finops_policy.cli import findings_shown as shown
    from finops_policy.cost.confirm import Reading, read_ledger
    from finops_policy.evidence.ledger_queries import read_history
    from finops_policy.evidence.store import LocalStore

    history = read_history(LocalStore(options.store_of(workspace, store)), customer, run_id)
    groups = read_ledger(history, costs, Reading())
    found = [each for group in groups for each in group if finding_id and each.id.startswith(finding_id)]
    if len(found) != 1:
        some = f"{len(found)} findings begin with" if found else "There is no finding"
        hint = "Give more of the id." if found else f"`finops-policy findings list --customer {customer}` shows them."
        raise UsageError(f"{some} {finding_id!r}.", hint=hint)
    shown.show_one(history, found[0], form)
    return ExitCode.CLEAN
