"""``finops-policy lint``: every mistake in the files people write, on its line."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Final

import rich_click as click
from click.shell_completion import CompletionItem

from finops_policy.cli import options
from finops_policy.errors import ExitCode, FinopsPolicyError, UsageError, did_you_mean
from finops_policy.lint.formats import FORMATS
from finops_policy.lint.rule import Level
from finops_policy.spelling import plain

if TYPE_CHECKING:
    from finops_policy.lint.report import Report
    from finops_policy.lint.settings import Settings

PASSES: Final = 5
"""How often files are linted again after corrections: one may make room for the next."""


def _rules(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from finops_policy.lint.rules import RULES

    return [CompletionItem(rule.id, help=rule.summary) for rule in RULES.values() if rule.id.startswith(incomplete)]


@click.command("lint")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(sorted(FORMATS)),
    default="text",
    show_default=True,
    help="Form of the output.",
)
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="File to write. Default: standard output."
)
@click.option(
    "--fail-on",
    type=click.Choice([*(level.value for level in Level if level is not Level.OFF), options.NEVER]),
    help="Exit with 3 when a diagnostic is at least this bad. Default: fail_on in finops-policy.toml, else error.",
)
@click.option("--fix", is_flag=True, help="Write the safe corrections; tell the rest.")
@click.option(
    "--base", metavar="REF", help="Git revision to compare with: versions and changelogs of packs are checked."
)
@click.option(
    "--config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Settings. Default: finops-policy.toml in the workspace or above it.",
)
@click.option("--rules", "list_rules", is_flag=True, help="List every rule with its level, and lint nothing.")
@click.option("--explain", metavar="RULE", shell_complete=_rules, help="Print a rule's page, and lint nothing.")
@options.workspace
@options.quiet
@options.verbose
def command(
    paths: tuple[Path, ...],
    form: str,
    output: Path | None,
    fail_on: str | None,
    fix: bool,
    base: str | None,
    config: Path | None,
    list_rules: bool,
    explain: str | None,
    workspace: Path,
    quiet: bool,
) -> int:
    """Lint files and folders: Cloud Custodian policies, and packs, profiles, frameworks, customers and waivers.

    Without PATH the workspace is linted. In folders only files are taken that are ours or hold Cloud Custodian
    policies; a file that is named is taken for one. Nothing asks AWS.

    Exit codes: 0 clean, 1 error, 2 usage, 3 diagnostics at or above --fail-on.

    \b
    Examples:
      finops-policy lint
      finops-policy lint policies/ --fail-on warning
      finops-policy lint c7n/*.yml --fix
      finops-policy lint --format sarif --output lint.sarif --base origin/main
      finops-policy lint --explain mark-without-delay
    """
    from finops_policy.lint import settings as lint_settings
    from finops_policy.lint.rules import RULES

    if list_rules:
        return _list_rules()
    if explain is not None:
        return _explain(explain)
    path = config or lint_settings.find(workspace)
    # What is given by hand may be shared by many: then it is the workspace that it leaves files out of.
    folder = workspace if config else None
    settings = lint_settings.read(path, RULES.values(), folder) if path else lint_settings.Settings()
    limit = fail_on or settings.fail_on or Level.ERROR
    report, refused = _lint(paths or (workspace,), workspace, settings, base, fix=fix, quiet=quiet)
    _write(report, form, output, quiet=quiet)
    if refused:
        from finops_policy.cli.console import tell_error

        for error in refused:
            tell_error(error)
        return ExitCode.ERROR
    failed = limit not in (options.NEVER, Level.OFF) and report.worst().rank >= Level(limit).rank
    return ExitCode.FINDINGS if failed else ExitCode.CLEAN


def _lint(
    paths: tuple[Path, ...], workspace: Path, settings: Settings, base: str | None, *, fix: bool, quiet: bool
) -> tuple[Report, list[FinopsPolicyError]]:
    """The report, after corrections where they are asked for, and why some of those could not be written."""
    from finops_policy.lint.linter import lint

    with ExitStack() as stack:
        revision = None
        if base is not None:
            from finops_policy.revisions import at

            revision = stack.enter_context(at(base, workspace))

        def look() -> Report:
            line = _Line(quiet)
            try:
                return lint(paths, workspace, settings, base=revision, progress=line.show)
            finally:
                line.clear()

        return _fix(look, quiet=quiet) if fix else (look(), [])


def _fix(look: Callable[[], Report], *, quiet: bool) -> tuple[Report, list[FinopsPolicyError]]:
    from finops_policy.lint import fixing

    done: dict[str, int] = {}
    refused: list[FinopsPolicyError] = []
    report = look()
    for _ in range(PASSES):
        outcome = fixing.apply(report)
        refused = [each for each in outcome.values() if isinstance(each, FinopsPolicyError)]
        counts = {label: each for label, each in outcome.items() if isinstance(each, int) and each}
        if not counts:
            break
        done = {label: done.get(label, 0) + counts.get(label, 0) for label in {**done, **counts}}
        report = look()
    if not quiet:
        for label, count in done.items():
            click.echo(f"{plain(label)}: {count} correction{'s' if count != 1 else ''}", err=True)
    return report, refused


class _Line:
    """What is going on, on a line of the terminal that goes away; nothing where it takes less than a second."""

    def __init__(self, quiet: bool) -> None:
        self._silent = quiet or sys.stderr is None or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb"
        self._next = monotonic() + 1
        self._shown = False

    def show(self, text: str) -> None:
        if not self._silent and monotonic() >= self._next:
            click.echo(f"\r{text}\x1b[K", err=True, nl=False)
            self._next = monotonic() + 0.1
            self._shown = True

    def clear(self) -> None:
        if self._shown:
            click.echo("\r\x1b[K", err=True, nl=False)


def _write(report: Report, form: str, output: Path | None, *, quiet: bool) -> None:
    """In UTF-8 wherever it goes: a file may hold letters that the terminal's encoding lacks."""
    from importlib import import_module

    renderer = import_module(FORMATS[form])
    if form == "text":
        terminal = output is None and sys.stdout is not None and sys.stdout.isatty()
        colour = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        data = renderer.render(report, colour=colour, quiet=quiet).encode()
    else:
        data = renderer.render(report).encode()
    if output is None:
        click.echo(data, nl=False)
        return
    from finops_policy.files import write_output

    write_output(output, data)
    if not quiet:
        click.echo(plain(str(output)), err=True)


def _list_rules() -> int:
    from finops_policy.lint.rules import RULES

    width = max(map(len, RULES))
    for rule in sorted(RULES.values(), key=lambda each: (-each.level.rank, each.id)):
        click.echo(f"{rule.id:{width}}  {rule.level:7}  {rule.summary}")
    return ExitCode.CLEAN


def _explain(name: str) -> int:
    from finops_policy.lint.pages import page
    from finops_policy.lint.rules import RULES

    if name not in RULES:
        hint = did_you_mean(name, RULES) or "`finops-policy lint --rules` lists them."
        raise UsageError(f"There is no rule {name!r}.", hint=hint)
    click.echo(page(name))
    return ExitCode.CLEAN
