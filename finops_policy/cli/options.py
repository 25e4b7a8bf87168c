"""Options that several commands share, with the same words, defaults and tab completion everywhere."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import rich_click as click
from click.shell_completion import CompletionItem

Command = TypeVar("Command", bound=Callable[..., Any])
NEVER = "never"


def _complete(kind: str) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    def complete(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from finops_policy.catalog import Catalog

        names = getattr(Catalog(Path(ctx.params.get("workspace") or ".")), kind)()
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]

    return complete


def workspace(command: Command) -> Command:
    return click.option(
        "--workspace",
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        default=Path(),
        envvar="FINOPS_POLICY_WORKSPACE",
        help="Folder with customers/ and own packs/, profiles/, frameworks/; the built-in ones serve beside them. "
        "Default: the current folder.",
    )(command)


def customer(command: Command) -> Command:
    return click.option(
        "--customer", required=True, shell_complete=_complete("customers"), help="Customer to work for, such as acme."
    )(command)


def customer_or_policies(command: Command) -> Command:
    """``--customer``, which may be left out with ``--policies``: that option must be eager."""

    def needed(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
        if value is None and not ctx.params.get("policy_files") and not ctx.resilient_parsing:
            raise click.MissingParameter(ctx=ctx, param=parameter)
        return value

    return click.option(
        "--customer",
        callback=needed,
        shell_complete=_complete("customers"),
        help="Customer to work for, such as acme. Only with --policies it may be left out: custodian.",
    )(command)


def profile(command: Command) -> Command:
    return click.option(
        "--profile", shell_complete=_complete("profiles"), help="Industry profile; default: the customer's own."
    )(command)


def store(command: Command) -> Command:
    return click.option(
        "--store",
        type=click.Path(path_type=Path),
        envvar="FINOPS_POLICY_STORE",
        help="Folder of the evidence store. Default: evidence/ in the workspace.",
    )(command)


def sandbox(command: Command) -> Command:
    return click.option(
        "--sandbox", is_flag=True, help="Use the sandbox instead of AWS: the running one, else one for this command."
    )(command)


def fail_on(command: Command) -> Command:
    from finops_policy.model import Severity

    return click.option(
        "--fail-on",
        type=click.Choice([*(each.value for each in Severity), NEVER]),
        default=Severity.LOW.value,
        show_default=True,
        help="Exit with 3 when a finding is at least this severe.",
    )(command)


def quiet(command: Command) -> Command:
    return click.option("-q", "--quiet", is_flag=True, help="Only data and errors.")(command)


def verbose(command: Command) -> Command:
    """Every command knows it, and none reads it: ``main`` looks for -vv, since errors end there."""
    shown = "-vv shows how an error came about."
    return click.option("-v", "--verbose", count=True, expose_value=False, help=shown)(command)


def store_of(workspace_folder: Path, chosen: Path | None) -> Path:
    return chosen if chosen is not None else workspace_folder / "evidence"


@contextmanager
def aws_environment(workspace_folder: Path, sandboxed: bool) -> Iterator[Mapping[str, str]]:
    """The environment that reaches AWS or the sandbox; in a sandbox nothing of the user's own AWS settings is left."""
    if not sandboxed:
        yield {}
        return
    from finops_policy.sandbox.egress import forbid_egress
    from finops_policy.sandbox.process import sandbox as open_sandbox

    with open_sandbox(workspace_folder) as running:
        forbid_egress()
        running.apply(os.environ)
        yield running.environment()
