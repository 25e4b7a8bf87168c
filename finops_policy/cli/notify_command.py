"""``finops-policy notify``: tell the owners what a sealed run found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from finops_policy.cli import options

if TYPE_CHECKING:
    from finops_policy.catalog import Catalog
    from finops_policy.customer import Customer
    from finops_policy.notify.model import Delivery, Report


@click.command(
    "notify", epilog="Exit codes: 0 everybody was told, 4 somebody was not and is due the next time, 1 and 2."
)
@options.customer
@click.option("--run", "run_id", default="latest", show_default=True, help="Run id, or latest.")
@options.sandbox
@click.option("--dry-run", is_flag=True, help="Print every digest whole; send nothing, remember nothing.")
@click.option("--channel", "channels", multiple=True, help="Only this channel, by name; may be repeated.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="Form of the report.")
@options.store
@options.workspace
@options.quiet
@options.verbose
def command(
    customer: str,
    run_id: str,
    sandbox: bool,
    dry_run: bool,
    channels: tuple[str, ...],
    form: str,
    store: Path | None,
    workspace: Path,
    quiet: bool,
) -> int:
    """Tell the owners of findings, through the customer's channels: one digest each, not a message per finding.

    Told are noncompliant resources of policies whose posture is notify or stronger, when they are new, came back,
    became more severe, passed an age limit, or were told repeat_days ago.

    \b
    Examples:
      finops-policy notify --customer acme --dry-run
      finops-policy notify --customer acme --channel owners-mail
    """
    from finops_policy.catalog import Catalog
    from finops_policy.cli.console import stderr, stdout
    from finops_policy.evidence.store import LocalStore
    from finops_policy.notify.service import notify

    catalog = Catalog(workspace)
    known = catalog.customer(customer)
    folder = LocalStore(options.store_of(workspace, store)).find(customer, run_id)
    with options.aws_environment(workspace, sandbox and not dry_run):
        report = notify(
            known,
            folder,
            workspace=workspace,
            owner_tag=owner_tag(catalog, known, folder),
            channels=channels,
            dry_run=dry_run,
            sandbox=sandbox,
            progress=lambda each: None if quiet or dry_run else stderr().print(told(each), soft_wrap=True),
        )
    if form == "json":
        stdout().out(json.dumps(document(report), indent=2, ensure_ascii=False), highlight=False)
    else:
        _show(report, quiet)
    return report.exit_code


def owner_tag(catalog: Catalog, customer: Customer, run: Path) -> str:
    """The required owner tag: the customer's own setting, else that of the profile the run was made with."""
    from finops_policy.errors import FinopsPolicyError
    from finops_policy.evidence.store import read_run
    from finops_policy.notify.owners import required_tag

    try:
        profile = catalog.profile(str(read_run(run).data["profile"]["name"])).settings
    except (FinopsPolicyError, LookupError, TypeError):
        profile = {}  # the run of a profile that is gone: the customer's setting, or the default, serves
    return required_tag(customer.settings, profile)


def told(delivery: Delivery) -> str:
    """One line for people."""
    from finops_policy.spelling import plain

    who = f" to {delivery.recipient}" if delivery.recipient else ""
    count = f"{delivery.findings} finding{'' if delivery.findings == 1 else 's'}"
    reason = f": {delivery.reason}" if delivery.reason else ""
    receipt = f" ({delivery.receipt})" if delivery.receipt else ""
    tries = f" after {len(delivery.attempts)} attempts" if len(delivery.attempts) > 1 else ""
    line = f"{delivery.result}: {delivery.channel}{who}, {count}{tries}{receipt}{reason}"
    return "\n".join([plain(line), *(f"    {plain(note)}" for note in delivery.notes)])


def _show(report: Report, quiet: bool) -> None:
    from finops_policy.cli.console import stderr, stdout
    from finops_policy.spelling import plain

    for note in report.notes:
        stderr().print(plain(note), soft_wrap=True)
    for each in report.deliveries if report.dry_run else ():
        stdout().print(f"--- {told(each)}", soft_wrap=True)
        preview = report.previews.get(each.digest_id, "")
        stdout().out("\n".join(map(plain, preview.splitlines())), highlight=False)
    delivered = sum(each.result == "delivered" for each in report.deliveries)
    failed = len(report.deliveries) - delivered
    if not report.deliveries:
        stdout().print("Nobody needs to be told of anything now.")
    elif report.dry_run:
        stdout().print(f"{len(report.deliveries)} digests; nothing was sent.")
    elif not quiet or failed:
        stdout().print(f"{delivered} of {len(report.deliveries)} digests delivered, {failed} not.")


def document(report: Report) -> dict[str, object]:
    """The report as ``notification-report.schema.json`` has it."""
    from finops_policy.notify.journal import stamp, told_delivery
    from finops_policy.notify.model import REPORT_SCHEMA

    return {
        "schema": REPORT_SCHEMA,
        "customer": report.customer,
        "run_id": report.run_id,
        "at": stamp(report.at),
        "dry_run": report.dry_run,
        "deliveries": [
            {
                **told_delivery(each),
                **({"preview": report.previews[each.digest_id]} if each.digest_id in report.previews else {}),
            }
            for each in report.deliveries
        ],
        "notes": list(report.notes),
    }
