"""``finops-policy plan``: what would be done about findings, for people to agree to."""

from __future__ import annotations

import re
from pathlib import Path

import rich_click as click

from finops_policy.cli import options
from finops_policy.errors import ExitCode, UsageError

_EMAIL = re.compile(r"[^\s@<>\"',;]+@[^\s@<>\"',;]+\.[^\s@<>\"',;]+")


@click.command("plan")
@options.customer
@options.profile
@options.sandbox
@click.option("--run", default="latest", show_default=True, help="The run whose findings are planned for: its id.")
@click.option("--policy", "policies", multiple=True, help="Only policies matching this glob, by name or pack/name.")
@click.option("--requested-by", default="", metavar="EMAIL", help="Who asks: an approver may not be the same person.")
@click.option("--unattended", is_flag=True, help="Plan what `run --remediate` would do, with nobody's approval.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="Form of the plan.")
@options.store
@options.workspace
@options.quiet
@options.verbose
def command(
    customer: str,
    profile: str | None,
    sandbox: bool,
    run: str,
    policies: tuple[str, ...],
    requested_by: str,
    unattended: bool,
    form: str,
    store: Path | None,
    workspace: Path,
    quiet: bool,
) -> int:
    """Plan what would be done about a run's findings, resource by resource, and how it would be undone.

    Looks at every resource again, and changes nothing. The plan is kept in the evidence store, as JSON and HTML; people
    approve its digest with `approve`, and `apply` acts on it. What is not planned is held, with its reason.

    \b
    Examples:
      finops-policy plan --customer acme --requested-by dana@acme.example
      finops-policy plan --customer acme --policy 'idle-resources/*' --sandbox
      finops-policy plan --customer acme --unattended
      finops-policy plan --customer acme --format json
    """
    from finops_policy.catalog import Catalog
    from finops_policy.cli import plan_view, remediation_options
    from finops_policy.cli.console import stdout, tell_diagnostics
    from finops_policy.evidence.store import LocalStore, read_run
    from finops_policy.files import write_atomic
    from finops_policy.formats.plan_html import PLAN_PAGE, plan_page
    from finops_policy.project import load, select_policies
    from finops_policy.remediation.history import History
    from finops_policy.remediation.planning import APPROVABLE, UNATTENDED, actionable, left_out, make_plan
    from finops_policy.remediation.visiting import Doors
    from finops_policy.remediation.work import keep_plan

    if requested_by and not _EMAIL.fullmatch(requested_by):
        raise UsageError(
            f"{requested_by!r} is no plain e-mail address.", hint="It is compared with those of the approvers."
        )
    catalog = Catalog(workspace)
    project = load(catalog, customer, profile)
    tell_diagnostics(project.malformed)
    place = LocalStore(options.store_of(workspace, store))
    found = remediation_options.verified(place.find(customer, run))
    if read_run(found).data["sandbox"] is not sandbox:
        hint = "Leave out --sandbox." if sandbox else "Add --sandbox."
        raise UsageError(f"Run {found.name.removeprefix('run=')} is of the other world.", hint=hint)
    asked = select_policies(project.compiled, policies)
    chosen = select_policies(project.compiled, policies) & actionable(project, UNATTENDED if unattended else APPROVABLE)
    told = remediation_options.told(quiet)
    with options.aws_environment(workspace, sandbox):
        caller = remediation_options.caller_of(project)
        plan = make_plan(
            project,
            found,
            Doors(project, catalog.prices(), caller),
            caller,
            email=requested_by,
            policies=chosen,
            unattended=unattended,
            sandboxed=sandbox,
            left_out={} if unattended else left_out(project, asked - chosen),
            undone=History.read(place, customer).undone(),
            said=told.said,
        )
    plan, folder = keep_plan(plan, place)
    write_atomic(folder / PLAN_PAGE, plan_page(plan, project.customer.title).encode())
    if form == "json":
        stdout().out((folder / "plan.json").read_text("utf-8"), end="", highlight=False)
    else:
        plan_view.show(plan, folder)
    return ExitCode.CLEAN
