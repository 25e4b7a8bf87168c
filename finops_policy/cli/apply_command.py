"""``finops-policy apply``: acts on an approved plan, and proves what became of it."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from finops_policy.cli import options
from finops_policy.errors import ExitCode, UsageError


@click.command(
    "apply",
    epilog="Exit codes: 0 everything that was acted on is done, 1 something failed (or an error), 4 something is "
    "unverified: AWS does not show what became of it.",
)
@click.argument("place", metavar="PLAN")
@options.customer
@options.profile
@options.sandbox
@click.option("--execute", is_flag=True, help="Act. Without it, only what would be done is told.")
@click.option("--resume", default="", metavar="RUN", help="Go on with a remediation that broke off: its id, or latest.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="Form of the outcome.")
@options.store
@options.workspace
@options.quiet
@options.verbose
def command(
    place: str,
    customer: str,
    profile: str | None,
    sandbox: bool,
    execute: bool,
    resume: str,
    form: str,
    store: Path | None,
    workspace: Path,
    quiet: bool,
) -> int:
    """Act on an approved plan (PLAN: plan.json, its folder, a plan id, or latest). Without --execute nothing is done.

    Every resource is looked at again just before: what is compliant, waived, gone or changed since is held. After each
    action AWS is read again: only what it shows is done. A remediation that broke off goes on with --resume.

    \b
    Examples:
      finops-policy apply latest --customer acme
      finops-policy apply latest --customer acme --execute
      finops-policy apply latest --customer acme --execute --resume latest
    """
    from rich.text import Text

    from finops_policy.catalog import Catalog
    from finops_policy.cli import plan_view, remediation_options
    from finops_policy.cli.console import stderr, tell_diagnostics
    from finops_policy.engine.run import check_with_c7n
    from finops_policy.evidence.store import LocalStore
    from finops_policy.project import load
    from finops_policy.remediation import work
    from finops_policy.remediation.applying import rehearse
    from finops_policy.remediation.approval_files import find_plan
    from finops_policy.spelling import plain

    catalog = Catalog(workspace)
    project = load(catalog, customer, profile)
    tell_diagnostics(project.malformed)
    evidence = options.store_of(workspace, store)
    if resume and not execute:
        raise UsageError("--resume goes on acting.", hint="Add --execute.")
    path = find_plan(LocalStore(evidence), customer, place)
    with options.aws_environment(workspace, sandbox):
        hands = remediation_options.hands_of(project, catalog, evidence, sandbox, quiet)
        order = work.approved(path, project, hands.key)
        for each in order.rejected:
            stderr().print(Text(plain(f"Does not count: {each.file}: {each.message} ({each.kind})"), "yellow"))
        check_with_c7n(project, {item.policy for item in order.plan.items})
        orders = hands.orders(order)
        if not execute:
            plan_view.show_rehearsal(list(rehearse(orders, hands.doors)), form)
            return ExitCode.ERROR if order.rejected else ExitCode.CLEAN
        applied = work.apply(order, hands, resume)
    plan_view.show_applied(applied, form)
    code = plan_view.exit_code(applied)
    return code or (ExitCode.ERROR if order.rejected else ExitCode.CLEAN)
