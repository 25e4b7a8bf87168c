"""``finops-policy undo``: takes back what a remediation did."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from finops_policy.cli import options
from finops_policy.errors import ExitCode, UsageError


@click.command(
    "undo",
    epilog="Exit codes: 0 everything that can be taken back is, 1 something failed (or an error), 4 something is "
    "unverified: AWS does not show what became of it.",
)
@click.argument("run", metavar="RUN")
@options.customer
@options.profile
@options.sandbox
@click.option("--item", "items", multiple=True, metavar="ID", help="Only this item; may be repeated.")
@click.option("--execute", is_flag=True, help="Take back. Without it, only what would be done is told.")
@click.option("--resume", default="", metavar="RUN", help="Go on with an undo that broke off: its id, or latest.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="Form of the outcome.")
@options.store
@options.workspace
@options.quiet
@options.verbose
def command(
    run: str,
    customer: str,
    profile: str | None,
    sandbox: bool,
    items: tuple[str, ...],
    execute: bool,
    resume: str,
    form: str,
    store: Path | None,
    workspace: Path,
    quiet: bool,
) -> int:
    """Take back what a remediation did (RUN: its id, or latest). Without --execute nothing is done.

    What cannot be taken back is said, and why. What was changed by somebody else since is left as it is. The evidence
    of the remediation is verified first.

    \b
    Examples:
      finops-policy undo latest --customer acme
      finops-policy undo 20261124T080000Z-3f2a9c1b --customer acme --execute
      finops-policy undo latest --customer acme --item 3f2a9c1b77aa --execute
    """
    from finops_policy.catalog import Catalog
    from finops_policy.cli import plan_view, remediation_options
    from finops_policy.evidence.store import LocalStore
    from finops_policy.project import load
    from finops_policy.remediation import work
    from finops_policy.remediation.plan_file import read_plan

    catalog = Catalog(workspace)
    if resume and not execute:
        raise UsageError("--resume goes on undoing.", hint="Add --execute.")
    project = load(catalog, customer, profile)
    evidence = options.store_of(workspace, store)
    with options.aws_environment(workspace, sandbox):
        hands = remediation_options.hands_of(project, catalog, evidence, sandbox, quiet)
        folder = work.find_applied(LocalStore(evidence), customer, run, hands.key, items)
        hands.check_world(read_plan(folder))
        if not execute:
            plan_view.show_undo(work.undoable(folder, frozenset(items)), form)
            return ExitCode.CLEAN
        applied = work.undo(folder, hands, frozenset(items), resume)
    plan_view.show_applied(applied, form)
    return plan_view.exit_code(applied)
