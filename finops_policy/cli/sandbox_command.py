"""``finops-policy sandbox``: a seeded AWS estate on this machine, kept running between commands."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from finops_policy.cli import options
from finops_policy.errors import ExitCode


@click.group("sandbox")
def command() -> None:
    """Keep a sandbox running: moto's AWS API over the accounts of an invented company, on this machine only.

    Commands with --sandbox use the running one, else one of their own that ends with them. What they change in a
    running sandbox stays changed until it is stopped.

    \b
    Examples:
      finops-policy sandbox start
      finops-policy run --customer acme --sandbox
      finops-policy sandbox stop
    """


@command.command("start")
@options.workspace
@options.verbose
def start(workspace: Path) -> int:
    """Start the sandbox, and say how other AWS tools reach it.

    \b
    Example:
      eval "$(finops-policy sandbox start)"
    """
    from finops_policy.cli.console import stderr, stdout
    from finops_policy.sandbox import process

    running = process.start(workspace)
    stderr().print(f"The sandbox runs as process {running.pid}. For other AWS tools:")
    for name, value in running.environment().items():
        stdout().print(f"export {name}={value}", soft_wrap=True)
    return ExitCode.CLEAN


@command.command("status")
@options.workspace
@options.verbose
def status(workspace: Path) -> int:
    """Say whether the sandbox runs, and where; exit with 1 when it does not.

    \b
    Example:
      finops-policy sandbox status
    """
    from finops_policy.cli.console import stdout
    from finops_policy.sandbox import process

    running = process.status(workspace)
    if running is None:
        stdout().print("No sandbox is running here.")
        return ExitCode.ERROR
    stdout().print(f"Running at {running.url} (process {running.pid}).")
    return ExitCode.CLEAN


@command.command("stop")
@options.workspace
@options.verbose
def stop(workspace: Path) -> int:
    """Stop the sandbox; everything in it is gone.

    \b
    Example:
      finops-policy sandbox stop
    """
    from finops_policy.cli.console import stdout
    from finops_policy.sandbox import process

    stopped = process.stop(workspace)
    stdout().print("Stopped." if stopped else "No sandbox was running here.")
    return ExitCode.CLEAN
