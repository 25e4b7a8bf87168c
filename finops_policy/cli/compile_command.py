"""``finops-policy compile``: plain Cloud Custodian policies and their lock, as files."""

from __future__ import annotations

import os
from pathlib import Path

import rich_click as click

from finops_policy.cli import options
from finops_policy.errors import ExitCode


@click.command("compile")
@options.customer
@options.profile
@click.option(
    "--output", type=click.Path(path_type=Path, file_okay=False), help="Folder. Default: build/compiled/NAME."
)
@click.option("--check", is_flag=True, help="Write nothing; exit with 3 when the folder is not what would be written.")
@options.workspace
@options.verbose
def command(customer: str, profile: str | None, output: Path | None, check: bool, workspace: Path) -> int:
    """Compile a customer's packs to plain Cloud Custodian policies: policies.yaml, one file for each account with
    parameters of its own, and finops-policy.lock with every version and digest.

    `custodian run` accepts each of the files, one at a time: they name the same policies.

    \b
    Examples:
      finops-policy compile --customer acme --output compiled/
      finops-policy compile --customer acme --output compiled/ --check
    """
    from finops_policy.catalog import Catalog
    from finops_policy.cli.console import stderr, stdout, tell_diagnostics
    from finops_policy.engine.run import check_with_c7n
    from finops_policy.files import make_folders, write_atomic
    from finops_policy.project import load

    os.environ.pop("AWS_PROFILE", None)  # nothing here asks AWS, but c7n's imports fail on a profile that is gone
    project = load(Catalog(workspace), customer, profile)
    check_with_c7n(project)
    tell_diagnostics([*project.malformed, *project.compiled.uncompiled])
    folder = output or workspace / "build" / "compiled" / customer
    files = project.compiled.files()
    changed = [
        name for name, data in files.items() if not (folder / name).is_file() or (folder / name).read_bytes() != data
    ]
    stale = sorted(str(path.relative_to(folder)) for path in folder.glob(f"accounts/{'[0-9]' * 12}.yaml"))
    stale = [name for name in stale if name not in files]
    if check:
        for name in [*changed, *stale]:
            stderr().print(f"{folder / name} is not up to date.", soft_wrap=True)
        return ExitCode.FINDINGS if changed or stale else ExitCode.CLEAN
    for name, data in files.items():
        make_folders((folder / name).parent)
        write_atomic(folder / name, data)
    for name in stale:
        (folder / name).unlink()
    for name in files:
        stdout().print(str(folder / name), soft_wrap=True)
    return ExitCode.CLEAN
