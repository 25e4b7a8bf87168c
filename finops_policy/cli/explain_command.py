"""``finops-policy explain``: where the values of compiled policies come from."""

from __future__ import annotations

import json
from pathlib import Path

import rich_click as click

from finops_policy.cli import options
from finops_policy.errors import ExitCode


@click.command("explain")
@options.customer
@options.profile
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="Form of the answer.")
@options.workspace
@options.verbose
def command(customer: str, profile: str | None, form: str, workspace: Path) -> int:
    """Show every parameter's value, the layer that set it, and the place where it stands.

    A later layer wins: pack, profile, customer, account.

    \b
    Example:
      finops-policy explain --customer acme --profile hipaa
    """
    from finops_policy.catalog import Catalog
    from finops_policy.cli.console import stdout
    from finops_policy.project import load

    project = load(Catalog(workspace), customer, profile)
    console = stdout()
    if form == "json":
        rows = [
            {
                "account_id": origin.account_id,
                "pack": origin.pack,
                "parameter": origin.parameter,
                "value": origin.value,
                "layer": origin.layer,
                "place": str(origin.mark),
            }
            for origin in project.compiled.origins
        ]
        console.out(json.dumps(rows, indent=2), highlight=False)
        return ExitCode.CLEAN
    account = None
    for origin in project.compiled.origins:
        if origin.account_id != account:
            account = origin.account_id
            console.print(f"Account {account}" if account else "Every account without parameters of its own")
        value = ", ".join(map(str, origin.value)) if isinstance(origin.value, tuple) else origin.value
        console.print(f"  {origin.pack}.{origin.parameter} = {value}  ({origin.layer}, {origin.mark})", soft_wrap=True)
    return ExitCode.CLEAN
