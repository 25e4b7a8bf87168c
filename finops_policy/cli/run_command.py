"""``finops-policy run``: judge, record, summarise."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from finops_policy.cli import options
from finops_policy.errors import ExitCode

if TYPE_CHECKING:
    from finops_policy.engine.run import Selection
    from finops_policy.evidence.signing import SigningKey
    from finops_policy.project import Project


@click.command(
    "run",
    epilog="Exit codes: 0 clean, 3 findings at or above --fail-on, 4 coverage incomplete (outranks 3), 1 and 2 errors.",
)
@options.customer
@options.profile
@options.sandbox
@click.option("--account", "accounts", multiple=True, help="Only this account, by id or name; may be repeated.")
@click.option("--region", "regions", multiple=True, help="Only this region; may be repeated.")
@click.option("--policy", "policies", multiple=True, help="Only policies matching this glob, by name or pack/name.")
@click.option("--workers", type=click.IntRange(1), help="Worker processes. Default: one per core.")
@options.fail_on
@click.option("--allow-incomplete", is_flag=True, help="Do not exit with 4 when something could not be checked.")
@click.option("--dry-run", is_flag=True, help="Show accounts, regions and policies; call nothing, write nothing.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="Form of the summary.")
@options.store
@options.workspace
@options.quiet
@options.verbose
def command(
    customer: str,
    profile: str | None,
    sandbox: bool,
    accounts: tuple[str, ...],
    regions: tuple[str, ...],
    policies: tuple[str, ...],
    workers: int | None,
    fail_on: str,
    allow_incomplete: bool,
    dry_run: bool,
    form: str,
    store: Path | None,
    workspace: Path,
    quiet: bool,
) -> int:
    """Judge every account x region of a customer against its profile's policies.

    Nothing in AWS is ever changed: a run only reads.

    \b
    Examples:
      finops-policy run --customer acme --sandbox
      finops-policy run --customer acme --profile sox --account acme-prod --policy 'idle-resources/*'
      finops-policy run --customer acme --dry-run
    """
    from finops_policy.catalog import Catalog
    from finops_policy.cli import summary
    from finops_policy.cli.console import tell_diagnostics
    from finops_policy.cli.progress import progress
    from finops_policy.engine.fanout import default_workers
    from finops_policy.engine.run import Selection, execute
    from finops_policy.evidence.store import LocalStore
    from finops_policy.formats.bundle import read_bundle
    from finops_policy.project import load

    catalog = Catalog(workspace)
    project = load(catalog, customer, profile)
    tell_diagnostics(project.malformed)
    selection = Selection(accounts, regions, policies)
    if dry_run:
        _show_plan(project, selection, form)
        return ExitCode.CLEAN
    key = _signing_key()
    with options.aws_environment(workspace, sandbox) as environment, progress(quiet=quiet) as watcher:
        outcome = execute(
            project,
            catalog.prices(),
            selection,
            LocalStore(options.store_of(workspace, store)),
            key,
            workers=workers or default_workers(),
            environment=environment,
            sandboxed=sandbox,
            progress=watcher,
        )
    data = summary.of(read_bundle(outcome.folder, ()))
    summary.show(data, outcome.folder, form)
    return summary.exit_code(data, fail_on, allow_incomplete)


def _signing_key() -> SigningKey:
    """The key that seals; said once, when it is made, so that it can be backed up and its public half handed out."""
    from finops_policy.cli.console import stderr
    from finops_policy.evidence.signing import SigningKey

    key, created = SigningKey.load_or_create(None)
    if created:
        stderr().print(
            f"A new signing key was made: {key.path} (keep it safe; hand out {key.path}.pub).", soft_wrap=True
        )
    return key


def _show_plan(project: Project, selection: Selection, form: str) -> None:
    import json

    from finops_policy.cli.console import stdout
    from finops_policy.project import select_policies, select_targets

    targets = select_targets(project.customer, selection.accounts, selection.regions)
    names = select_policies(project.compiled, selection.policies)
    console = stdout()
    if form == "json":
        listed = [{"account_id": each.account_id, "region": each.region} for each in targets]
        chosen = [policy.qualified_name for policy in project.compiled.policies() if policy.name in names]
        document = {"schema": "finops-policy/dry-run/v1", "targets": listed, "policies": chosen}
        console.out(json.dumps(document, indent=2), highlight=False)
        return
    console.print(
        f"{len(targets)} targets x {len(names)} policies = {len(targets) * len(names)} cells. Nothing was run."
    )
    for target in targets:
        role = project.customer.role_arn(target.account_id) if project.customer.role_name else "the caller's own"
        console.print(f"  {target.account_id} {target.account_name} {target.region}  through {role}", soft_wrap=True)
    for policy in project.compiled.policies():
        if policy.name in names:
            console.print(f"  {policy.qualified_name} on {policy.resource} ({policy.severity})", soft_wrap=True)
