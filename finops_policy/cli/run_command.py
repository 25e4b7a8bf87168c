"""``finops-policy run``: judge, record, summarise."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from finops_policy.cli import options, plain_options
from finops_policy.errors import ExitCode, FinopsPolicyError, UsageError

if TYPE_CHECKING:
    from finops_policy.catalog import Catalog
    from finops_policy.cli.remediation_options import Remediated
    from finops_policy.engine.run import Outcome, Selection
    from finops_policy.evidence.signing import SigningKey
    from finops_policy.project import Project


@click.command(
    "run",
    epilog="Exit codes: 0 clean, 3 findings at or above --fail-on, 4 coverage incomplete (outranks 3), 1 and 2 errors.",
)
@options.customer_or_policies
@options.profile
@plain_options.options
@options.sandbox
@click.option("--account", "accounts", multiple=True, help="Only this account, by id or name; may be repeated.")
@click.option("--region", "regions", multiple=True, help="Only this region; may be repeated.")
@click.option("--policy", "policies", multiple=True, help="Only policies matching this glob, by name or pack/name.")
@click.option("--workers", type=click.IntRange(1), help="Workers on this machine. Default: one per core.")
@click.option(
    "--executor", type=click.Choice(["processes", "dask"]), default="processes", show_default=True, help="Who works."
)
@click.option("--scheduler", default="", help="Address of a dask scheduler, tcp://HOST:PORT. Default: a local cluster.")
@click.option(
    "--target-timeout",
    type=click.IntRange(1, 1500),
    default=900,
    show_default=True,
    help="Seconds that one target may take, retries included; what is not judged by then is a gap.",
)
@click.option(
    "--metrics",
    type=click.Choice(["auto", "batched", "single"]),
    default="auto",
    show_default=True,
    help="How CloudWatch is read: batched (GetMetricData), single (GetMetricStatistics), or by what is to be read.",
)
@click.option("--resume", default="", metavar="RUN", help="Finish a run that broke off: its id, or latest.")
@click.option("--remediate", is_flag=True, help="Then act on findings, as far as the profile's postures let it.")
@click.option("--notify", is_flag=True, help="Then tell the owners of findings, as customer.yaml says.")
@options.fail_on
@click.option("--allow-incomplete", is_flag=True, help="Do not exit with 4 when something could not be checked.")
@click.option("--dry-run", is_flag=True, help="Show accounts, regions and policies; call nothing, write nothing.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="Form of the summary.")
@options.store
@options.workspace
@options.quiet
@options.verbose
def command(
    customer: str | None,
    profile: str | None,
    policy_files: tuple[Path, ...],
    accounts_file: Path | None,
    tags: tuple[str, ...],
    sandbox: bool,
    accounts: tuple[str, ...],
    regions: tuple[str, ...],
    policies: tuple[str, ...],
    workers: int | None,
    executor: str,
    scheduler: str,
    target_timeout: int,
    metrics: str,
    resume: str,
    remediate: bool,
    notify: bool,
    fail_on: str,
    allow_incomplete: bool,
    dry_run: bool,
    form: str,
    store: Path | None,
    workspace: Path,
    quiet: bool,
) -> int:
    """Judge every account x region of a customer against its profile's policies, or of an accounts file against plain
    Cloud Custodian policies.

    Nothing in AWS is changed: a run only reads, unless --remediate is given. Then policies with posture auto, and
    marks that are due, are acted on: inside caps and outside freeze windows, never on what is waived or unknown.

    \b
    Examples:
      finops-policy run --customer acme --sandbox
      finops-policy run --customer acme --profile sox --account acme-prod --policy 'idle-resources/*'
      finops-policy run --customer acme --dry-run
      finops-policy run --policies policies/ --accounts accounts.yml --tags env:prod
      finops-policy run --customer acme --resume latest
      finops-policy run --customer acme --profile startup --remediate --notify
      finops-policy run --customer acme --executor dask --scheduler tcp://10.0.0.5:8786
    """
    from finops_policy.catalog import Catalog
    from finops_policy.cli import plan_view, summary
    from finops_policy.cli.console import stdout, tell_diagnostics
    from finops_policy.cli.progress import progress
    from finops_policy.custodian.metrics import Reading
    from finops_policy.engine import pools
    from finops_policy.engine.run import Manner, Selection, execute
    from finops_policy.evidence.store import LocalStore
    from finops_policy.formats.bundle import read_bundle
    from finops_policy.project import load

    catalog = Catalog(workspace)
    asked = plain_options.Asked(policy_files, accounts_file, tags, accounts, regions, policies, resume)
    asked.check(profile)
    if resume and (accounts or regions or policies or tags):
        hint = "Leave out --account, --region, --policy and --tags."
        raise UsageError("--resume takes a run as it was begun.", hint=hint)
    if customer is None or asked.plain:
        evidence = options.store_of(workspace, store)
        project = asked.project(customer, evidence, sandbox)
        selection = asked.selection(project)
    else:
        project, selection = load(catalog, customer, profile), Selection(accounts, regions, policies)
    tell_diagnostics(project.malformed)
    if dry_run:
        _show_plan(project, selection, form)
        return ExitCode.CLEAN
    if scheduler and executor != "dask":
        raise UsageError("--scheduler needs --executor dask.", hint="Add it, or leave out --scheduler.")
    if remediate and asked.plain:
        raise UsageError("--remediate acts on findings of packs, not of plain policies.", hint="Use --customer alone.")
    if notify and (asked.plain or project.customer.notifications is None):
        raise UsageError(
            "--notify needs `notifications` in customer.yaml.", hint="docs/notifications.md has what to write there."
        )
    key = _signing_key()
    place = options.store_of(workspace, store)
    with options.aws_environment(workspace, sandbox) as environment:
        if asked.plain and accounts_file is None:
            project = plain_options.in_own_account(project)
        with progress(quiet=quiet) as watcher:
            outcome = execute(
                project,
                catalog.prices(),
                selection,
                LocalStore(place),
                key,
                manner=Manner(Reading(metrics), target_timeout, resume, sandbox),
                make_pool=partial(pools.open_pool, executor, scheduler, workers, environment, sandbox),
                progress=watcher,
            )
        done, failed = None, None
        try:
            done = _remediated(project, catalog, place, outcome, selection, sandbox, quiet) if remediate else None
        except FinopsPolicyError as error:  # the run is sealed: its summary is told all the same
            failed = error
        if notify:
            _notified(project, catalog, outcome, workspace, sandbox, quiet)
    data = summary.of(read_bundle(outcome.folder, ()))
    summary.show(data, outcome.folder, form, plan_view.document(done) if done else None)
    if done and form == "text":
        plan_view.show_remediated(done)
    if failed:
        raise failed
    if asked.plain and form == "text" and (note := plain_options.note(project)):
        stdout().print(note, soft_wrap=True)
    code = plan_view.exit_code(done.applied) if done and done.applied else ExitCode.CLEAN
    return code or summary.exit_code(data, fail_on, allow_incomplete)


def _remediated(
    project: Project,
    catalog: Catalog,
    store: Path,
    outcome: Outcome,
    selection: Selection,
    sandboxed: bool,
    quiet: bool,
) -> Remediated:
    from finops_policy.cli.remediation_options import remediate
    from finops_policy.project import select_policies

    names = select_policies(project.compiled, selection.policies)
    return remediate(project, catalog, store, outcome.folder, names, sandboxed=sandboxed, quiet=quiet)


def _notified(
    project: Project, catalog: Catalog, outcome: Outcome, workspace: Path, sandboxed: bool, quiet: bool
) -> None:
    """What cannot be told is told here, and stays due; the run is what it is."""
    from finops_policy.cli.console import stderr, tell_error
    from finops_policy.cli.notify_command import owner_tag, told
    from finops_policy.notify.service import notify

    try:
        notify(
            project.customer,
            outcome.folder,
            workspace=workspace,
            owner_tag=owner_tag(catalog, project.customer, outcome.folder),
            sandbox=sandboxed,
            progress=lambda each: None if quiet else stderr().print(told(each), soft_wrap=True),
        )
    except FinopsPolicyError as error:
        tell_error(error)


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
    from finops_policy.project import outlook, select_policies
    from finops_policy.spelling import plain

    found = outlook(project.customer, selection.accounts, selection.regions)
    targets = found.targets
    names = select_policies(project.compiled, selection.policies)
    console = stdout()
    if form == "json":
        listed = [{"account_id": each.account_id, "region": each.region} for each in targets]
        chosen = [policy.qualified_name for policy in project.compiled.policies() if policy.name in names]
        document = {"schema": "finops-policy/dry-run/v1", "targets": listed, "policies": chosen}
        if found.asked:
            document["asked_first"] = list(found.asked)
        console.out(json.dumps(document, indent=2), highlight=False)
        return
    if found.asked:
        console.print(f"{len(names)} policies; what they judge depends on AWS. Nothing was asked or run.")
        for each in found.asked:
            console.print(f"  A run first asks {plain(each)}.", soft_wrap=True)
    else:
        console.print(
            f"{len(targets)} targets x {len(names)} policies = {len(targets) * len(names)} cells. Nothing was run."
        )
    customer = project.customer
    roles = {each.id: customer.role_of(each) for each in customer.accounts}
    for target in targets:
        entered = roles[target.account_id]
        role = entered.arn(customer.partition, target.account_id) if entered else "the caller's own"
        place = f"{target.account_id} {plain(target.account_name)} {target.region}"
        console.print(f"  {place}  through {plain(role)}", soft_wrap=True)
    for policy in project.compiled.policies():
        if policy.name in names:
            console.print(f"  {policy.qualified_name} on {policy.resource} ({policy.severity})", soft_wrap=True)
