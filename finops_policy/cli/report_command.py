"""``finops-policy report``: a sealed run as documents."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from finops_policy.cli import options
from finops_policy.errors import EvidenceError, ExitCode, UsageError

if TYPE_CHECKING:
    from finops_policy.evidence.store import LocalStore


@click.command("report")
@options.customer
@click.option("--run", "run_id", default="latest", show_default=True, help="Run id, or latest.")
@click.option("--framework", "frameworks", multiple=True, help="Report on this framework; default: the profile's own.")
@click.option("--format", "forms", default="html,json", show_default=True, help="Formats, separated by commas.")
@click.option(
    "--costs",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="FOCUS 1.2 cost data, Parquet or CSV, for the savings ledger.",
)
@click.option(
    "--output", type=click.Path(path_type=Path, file_okay=False), help="Folder. Default: build/reports/CUSTOMER/RUN."
)
@options.store
@options.workspace
@options.quiet
@options.verbose
def command(
    customer: str,
    run_id: str,
    frameworks: tuple[str, ...],
    forms: str,
    costs: tuple[Path, ...],
    output: Path | None,
    store: Path | None,
    workspace: Path,
    quiet: bool,
) -> int:
    """Write the report of a sealed run, and print the paths of the files written.

    Figures come from the run's evidence; controls come from the frameworks as they are today.

    \b
    Examples:
      finops-policy report --customer acme
      finops-policy report --customer acme --run 20261124T080000Z-3f2a9c1b --framework sox-itgc --format html
    """
    import datetime as dt

    from finops_policy.catalog import Catalog
    from finops_policy.cli.console import stderr, stdout
    from finops_policy.errors import did_you_mean
    from finops_policy.evidence.store import LocalStore
    from finops_policy.files import make_folders, replacing
    from finops_policy.formats import FORMATS
    from finops_policy.formats.bundle import read_bundle
    from finops_policy.formats.data import report_data

    names = list(dict.fromkeys(name.strip() for name in forms.split(",")))
    for name in names:
        if name not in FORMATS:
            raise UsageError(f"There is no report format {name!r}.", hint=did_you_mean(name, FORMATS))
    place = LocalStore(options.store_of(workspace, store))
    folder = place.find(customer, run_id)
    _refuse_damaged(folder)
    source = read_bundle(folder, ())
    catalog = Catalog(workspace)
    chosen = frameworks or tuple(each["name"] for each in source.record["frameworks"])
    loaded = tuple(catalog.framework(name) for name in dict.fromkeys(chosen))
    if not quiet:
        for note in _changed(source.record["frameworks"], {each.name: each.digest for each in loaded}):
            stderr().print(note, soft_wrap=True)
    ledger, reason = _ledger(place, customer, source.record["run_id"], costs)
    if reason and not quiet:
        stderr().print(f"Without a savings ledger: {reason}", soft_wrap=True)
    data = report_data(source.with_frameworks(loaded).with_ledger(ledger, reason), dt.datetime.now(dt.UTC))
    target = output or workspace / "build" / "reports" / customer / source.record["run_id"]
    make_folders(target)
    for name in names:
        with replacing(target / FORMATS[name].file_name) as file:
            FORMATS[name].render(data, file)
        stdout().print(str(target / FORMATS[name].file_name), soft_wrap=True)
    return ExitCode.CLEAN


def _ledger(
    store: LocalStore, customer: str, run_id: str, costs: tuple[Path, ...]
) -> tuple[dict[str, Any] | None, str]:
    """The savings ledger as of the run, or why there is none: an older run that is damaged must not prevent a report of
    this one."""
    from finops_policy.cost.confirm import Reading, read_ledger
    from finops_policy.evidence.ledger_queries import read_history
    from finops_policy.formats.ledger import ledger_data

    try:
        history, reading = read_history(store, customer, run_id), Reading()
        for group in read_ledger(history, costs, reading):
            reading.totals.add(group)
    except EvidenceError as error:
        return None, error.message
    return ledger_data(history, reading.totals, reading.bill), ""


def _refuse_damaged(folder: Path) -> None:
    """A part that is gone or was changed would make a report that looks whole. ``verify`` checks signatures too."""
    from finops_policy.evidence.layout import RUN_RECORD, measure
    from finops_policy.evidence.store import read_run

    name = RUN_RECORD
    try:
        for name, recorded in read_run(folder).data["files"].items():
            if measure(folder / name) != recorded:
                raise ValueError
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise EvidenceError(
            f"{folder / name} is not as it was sealed, so no report is made from it.",
            hint=f"`finops-policy verify {folder}` names everything that has changed.",
        ) from error


def _changed(locked: list[dict[str, str]], current: dict[str, str]) -> list[str]:
    """A report made later uses today's catalogue: say so where it is not the one that was locked."""
    return [
        f"Framework {each['name']} has changed since the run (it was {each['version']}); this report uses today's."
        for each in locked
        if each["name"] in current and current[each["name"]] != each["digest"]
    ]
