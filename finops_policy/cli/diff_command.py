"""``finops-policy diff``: what a change of packs, profiles, customers and policies means."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from finops_policy.cli import options
from finops_policy.errors import ExitCode, InvalidFilesError, UsageError

if TYPE_CHECKING:
    from finops_policy.changes.impact import Impact
    from finops_policy.impact import Watch
    from finops_policy.project import Project
    from finops_policy.revisions import Revision


@click.command("diff")
@click.argument("base")
@click.argument("head", required=False)
@click.option("--impact", "run_id", metavar="RUN", help="Judge the resources of this run anew: its id, or latest.")
@click.option(
    "--customer", shell_complete=options._complete("customers"), help="With --impact: the customer whose run it is."
)
@options.profile
@click.option(
    "--format", "form", type=click.Choice(["markdown", "json"]), default="markdown", show_default=True, help="Form."
)
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file, not to stdout.")
@options.store
@options.workspace
@options.quiet
@options.verbose
def command(
    base: str,
    head: str | None,
    run_id: str | None,
    customer: str | None,
    profile: str | None,
    form: str,
    output: Path | None,
    store: Path | None,
    workspace: Path,
    quiet: bool,
) -> int:
    """Show what has changed in packs, policies, parameters, profiles, customers, waivers and frameworks since the Git
    revision BASE, and whether it tightens or loosens what is found and done. HEAD is a revision too; without it the
    files are compared as they are.

    The output is Markdown for a pull request's comment. Nothing is fetched, and nothing in the checkout is touched.

    \b
    Examples:
      finops-policy diff origin/main
      finops-policy diff v1.0.0 v1.1.0 --format json --output diff.json
      finops-policy diff origin/main --impact latest --customer acme
    """
    import datetime as dt

    from finops_policy import revisions
    from finops_policy.changes import document, markdown
    from finops_policy.changes.compare import comparison
    from finops_policy.changes.model import Side
    from finops_policy.changes.snapshot import snapshot
    from finops_policy.cli.console import stdout
    from finops_policy.files import write_output

    if run_id and not customer:
        raise UsageError("--impact needs --customer.", hint="Name the customer whose run it is, such as acme.")
    if (customer or profile) and not run_id:
        raise UsageError("--customer and --profile belong to --impact.", hint="Add --impact latest, or leave them out.")
    with ExitStack() as opened:
        before = opened.enter_context(revisions.at(base, workspace))
        after = opened.enter_context(revisions.at(head, workspace)) if head else revisions.working_tree(workspace)
        sides = [Side(each.ref, each.commit, each.exists) for each in (before, after)]
        today = dt.datetime.now(dt.UTC).date()
        compared = comparison(sides[0], sides[1], snapshot(before), snapshot(after), today)
        impact = None
        if run_id and customer:
            place = options.store_of(workspace, store)
            impact = _impact(before, after, customer, profile, place, run_id, quiet=quiet)
    text = document.render(compared, impact) if form == "json" else markdown.render(compared, impact)
    if output is None:
        stdout().out(text, highlight=False, end="")
    else:
        write_output(output, text.encode())
        stdout().print(str(output), soft_wrap=True)
    return ExitCode.CLEAN


def _impact(
    before: Revision, after: Revision, customer: str, profile: str | None, store: Path, run_id: str, *, quiet: bool
) -> Impact:
    from dataclasses import replace

    from finops_policy import impact
    from finops_policy.cli.console import tell_diagnostics
    from finops_policy.custodian.library import quiet as quiet_c7n
    from finops_policy.engine.run import check_with_c7n
    from finops_policy.evidence.store import LocalStore
    from finops_policy.project import load

    os.environ.pop("AWS_PROFILE", None)  # nothing here asks AWS, but c7n's imports fail on a profile that is gone
    quiet_c7n()
    run = impact.read(LocalStore(store).find(customer, run_id))
    project = load(after.catalog, customer, profile)
    tell_diagnostics(project.malformed)
    check_with_c7n(project)
    base, problem = _base(before, customer, profile)
    with _watching(quiet) as watch:
        found = impact.assess(run, base, project, watch)
    return replace(found, notes=(problem, *found.notes)) if problem else found


def _base(before: Revision, customer: str, profile: str | None) -> tuple[Project | None, str]:
    """The customer as the base compiles it; else why it does not."""
    from finops_policy.project import load

    try:
        return load(before.catalog, customer, profile), ""
    except InvalidFilesError as error:
        reason = f"{error.diagnostics[0].mark}: {error.diagnostics[0].message}"
    except UsageError as error:
        reason = error.message
    return None, f"At the base the customer cannot be compiled ({reason}): all that differs from the run counts."


@contextmanager
def _watching(quiet: bool) -> Iterator[Watch]:
    """Progress on stderr: a bar on a terminal, else a line now and then."""
    from rich.progress import Progress

    from finops_policy.cli.console import stderr

    console = stderr()
    if quiet:
        yield lambda _done, _total: None
    elif not console.is_terminal:

        def tell(done: int, total: int) -> None:
            if done % 100 == 0:
                console.print(f"[{done:,}/{total:,}] targets judged anew", soft_wrap=True)

        console.print("Judging anew what the run recorded.")
        yield tell
    else:
        with Progress(console=console, transient=True) as bar:
            task = bar.add_task("Targets judged anew", total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
