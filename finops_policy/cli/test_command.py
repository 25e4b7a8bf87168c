"""``finops-policy test``: policies against their fixtures, offline."""

from __future__ import annotations

import os
from pathlib import Path

import rich_click as click

from finops_policy.cli import options
from finops_policy.errors import ExitCode, FinopsPolicyError, InvalidFilesError


@click.command("test")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path, exists=True))
@options.workspace
@click.option("-q", "--quiet", is_flag=True, help="Only failures.")
@options.verbose
def command(paths: tuple[Path, ...], workspace: Path, quiet: bool) -> int:
    """Run fixtures through Cloud Custodian's real filters, without AWS.

    Default: tests/policies in the workspace. Exits with 3 when a fixture fails.

    \b
    Examples:
      finops-policy test
      finops-policy test tests/policies/idle-resources/ec2-idle
    """
    from rich.text import Text

    from finops_policy.catalog import Catalog
    from finops_policy.cli.console import stdout, tell_diagnostics
    from finops_policy.custodian.library import quiet as quiet_c7n
    from finops_policy.fixtures import check, find
    from finops_policy.spelling import plain

    os.environ.pop("AWS_PROFILE", None)  # nothing here asks AWS, but c7n's imports fail on a profile that is gone
    quiet_c7n()
    console, catalog = stdout(), Catalog(workspace)
    files = find(list(paths) or [workspace / "tests" / "policies"])
    failed = 0
    for file in files:
        try:
            mismatches = check(file, catalog)
        except FinopsPolicyError as error:
            failed += 1
            sentence = f"{file}: {plain(error.message)} {plain(error.hint)}".rstrip()
            console.print(Text.assemble(("FAIL  ", "bold red"), sentence), soft_wrap=True)
            if isinstance(error, InvalidFilesError):
                tell_diagnostics(error.diagnostics)
            continue
        failed += bool(mismatches)
        if not quiet and not mismatches:
            console.print(Text.assemble(("ok    ", "green"), str(file)), soft_wrap=True)
        for each in mismatches:
            because = f" ({plain(each.reason)})" if each.reason else ""
            sentence = f"{each.mark}: {plain(each.resource_id)} is {each.got}{because}, expected {each.expected}"
            console.print(Text.assemble(("FAIL  ", "bold red"), sentence), soft_wrap=True)
    console.print(f"{len(files) - failed} of {len(files)} fixtures passed.")
    return ExitCode.FINDINGS if failed else ExitCode.CLEAN
