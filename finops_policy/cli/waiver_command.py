"""``finops-policy waiver``: accepted findings, as they stand in Git."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from finops_policy.cli import options
from finops_policy.errors import ExitCode, InvalidFilesError, UsageError, did_you_mean

if TYPE_CHECKING:
    from finops_policy.catalog import Catalog
    from finops_policy.lint.waiver_review import Reviewed
    from finops_policy.waivers import Rules


@click.group("waiver")
def command() -> None:
    """Accept findings for a time, and see which acceptances need somebody's attention.

    Waivers are entries of customers/NAME/waivers.yaml: commit them, and have them reviewed like code.

    \b
    Example:
      finops-policy waiver check --customer acme --within 30
    """


form = click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="Form of the answer.")


@command.command("add")
@options.customer
@options.profile
@click.option("--policy", required=True, help="Policy whose findings are accepted, such as rds-idle.")
@click.option("--resource", default="", help="ARN, or a glob over ARNs (* and ?).")
@click.option("--tag", default="", metavar="KEY=VALUE", help="Tag the resource must have; the value may be a glob.")
@click.option("--account", default="", help="Account id the resource must be in.")
@click.option("--region", default="", help="Region where the policy must judge the resource.")
@click.option("--reason", required=True, help="Why the finding is accepted, and what will change that.")
@click.option("--owner", required=True, help="Who answers for the resource.")
@click.option("--ticket", required=True, help="Where the decision is recorded.")
@click.option("--requested-by", required=True, help="Who asked.")
@click.option("--approved-by", required=True, help="Who agreed: a registered approver, and not who asked.")
@click.option("--expires", type=click.DateTime(["%Y-%m-%d"]), help="Last day (UTC) it applies.")
@click.option("--days", type=click.IntRange(1, 365), help="In the place of --expires: for how many days from today.")
@click.option("--id", "waiver_id", default="", help="Its id. Default: the next of W-YEAR-NNN.")
@click.option("--dry-run", is_flag=True, help="Show the file as it would be, and write nothing.")
@options.workspace
@options.verbose
def add(
    customer: str,
    profile: str | None,
    policy: str,
    tag: str,
    expires: dt.datetime | None,
    days: int | None,
    waiver_id: str,
    dry_run: bool,
    workspace: Path,
    **texts: str,
) -> int:
    """Write a waiver behind the last one of customers/NAME/waivers.yaml; the rest of the file stays as it is.

    Nothing is written unless the waiver would apply.

    \b
    Example:
      finops-policy waiver add --customer acme --policy rds-idle --days 90
        --resource arn:aws:rds:us-east-1:111122223333:db:billing-archive
        --reason "Closed years stay queryable until the archive moves to S3." --owner billing@acme.example
        --ticket FIN-482 --requested-by dana@acme.example --approved-by ingrid@acme.example
    """
    from finops_policy.catalog import Catalog
    from finops_policy.cli.console import stderr, stdout
    from finops_policy.files import write_atomic
    from finops_policy.sources import read_bytes
    from finops_policy.waiver_file import NEW, Entry, ids_in, next_id, with_entry
    from finops_policy.waivers import sort_out

    today = dt.datetime.now(dt.UTC).date()
    last = _last_day(expires, days, today)
    if not texts["resource"] and not tag:
        raise UsageError("What is waived is not said.", hint="Give --resource, --tag, or both.")
    catalog = Catalog(workspace)
    rules = _rules(catalog, customer, profile)
    if policy not in rules.severities:
        raise UsageError(f"There is no policy {policy!r}.", hint=did_you_mean(policy, rules.severities))
    path = _file(catalog, customer, workspace)
    label = str(path)
    raw = read_bytes(path, label) if path.exists() else NEW
    taken = ids_in(raw, label)
    if waiver_id in taken:
        raise UsageError(f"There is a waiver {waiver_id} already.", hint="Leave --id out for the next free one.")
    entry = Entry(
        id=waiver_id or next_id(taken, today.year),
        policy=policy,
        tag=_tag(tag),
        created=today,
        expires=last,
        **texts,
    )
    made, waiver = with_entry(raw, label, entry)
    if problems := sort_out([waiver], rules, today).problems:
        raise InvalidFilesError(problems)
    if dry_run:
        stdout().out(made.decode(), highlight=False, end="")
        stderr().print(f"Nothing was written: {label} would look like this.", soft_wrap=True)
        return ExitCode.CLEAN
    write_atomic(path.resolve(), made, path.stat().st_mode & 0o777 if path.exists() else 0o644)
    stdout().print(f"{entry.id}  {label}", soft_wrap=True)
    return ExitCode.CLEAN


@command.command("list")
@options.customer
@options.profile
@form
@options.store
@options.workspace
@options.verbose
def list_waivers(customer: str, profile: str | None, form: str, store: Path | None, workspace: Path) -> int:
    """List a customer's waivers in the order of the file: state, age, days left, and what each covered in the newest
    whole run.

    \b
    Example:
      finops-policy waiver list --customer acme
    """
    from finops_policy.cli.console import stderr, stdout
    from finops_policy.spelling import plain

    reviewed = _review(customer, profile, options.store_of(workspace, store), workspace)
    rows = reviewed.rows()
    if form == "json":
        stdout().out(json.dumps(rows, indent=2), highlight=False)
        return ExitCode.CLEAN
    if not rows:
        stderr().print(f"{customer} has no waivers.")
    for row in rows:
        stdout().print(plain(_line(row)), soft_wrap=True)
    _tell_run(reviewed)
    return ExitCode.CLEAN


@command.command("check")
@options.customer
@options.profile
@click.option(
    "--within",
    type=click.IntRange(0, 3650),
    default=30,
    show_default=True,
    help="Tell those that expire in so many days.",
)
@form
@options.store
@options.workspace
@options.verbose
def check(customer: str, profile: str | None, within: int, form: str, store: Path | None, workspace: Path) -> int:
    """Find waivers that somebody must look at: malformed, over a limit, expired, expiring, matching nothing in the
    newest whole run, overlapping. Exits with 3 when there are any.

    What matches nothing is not known without a run, or where it was incomplete; that is said, and is no finding.

    \b
    Example:
      finops-policy waiver check --customer acme --within 30
    """
    from finops_policy.cli.console import stdout
    from finops_policy.lint.waiver_review import check_document
    from finops_policy.spelling import plain

    reviewed = _review(customer, profile, options.store_of(workspace, store), workspace)
    found = reviewed.attention(within)
    if form == "json":
        stdout().out(json.dumps(check_document(reviewed, customer, within), indent=2), highlight=False)
        return ExitCode.FINDINGS if found else ExitCode.CLEAN
    for each in found:
        stdout().print(plain(f"{each.kind:<12} {each.place}: {each.message} {each.hint}".rstrip()), soft_wrap=True)
    if not found:
        stdout().print(f"{len(reviewed.applying)} waivers, and none needs attention.")
    _tell_run(reviewed)
    return ExitCode.FINDINGS if found else ExitCode.CLEAN


def _last_day(expires: dt.datetime | None, days: int | None, today: dt.date) -> dt.date:
    if (expires is None) is (days is None):
        raise UsageError("A waiver needs one end.", hint="Give --expires 2026-12-31 or --days 90.")
    last = today + dt.timedelta(days=days) if days is not None else expires.date() if expires else today
    if last < today:
        raise UsageError(f"{last} is over already.", hint="Give a day that is to come (UTC).")
    return last


def _tag(written: str) -> tuple[str, str] | None:
    if not written:
        return None
    key, equals, value = written.partition("=")
    if not equals or not key:
        raise UsageError(f"{written!r} is no tag.", hint="Write --tag KEY=VALUE; the value may be a glob.")
    return key, value


def _file(catalog: Catalog, customer: str, workspace: Path) -> Path:
    """The customer's file in the workspace: a built-in example is nobody's to change."""
    catalog.waivers_place(customer)  # an unknown customer is told with the known ones
    folder = workspace / "customers" / customer
    if not (folder / "customer.yaml").is_file():
        raise UsageError(
            f"Customer {customer} is a built-in example, and has no folder in the workspace.",
            hint="Give --workspace, or write customers/NAME/customer.yaml first.",
        )
    return folder / "waivers.yaml"


def _rules(catalog: Catalog, customer_name: str, profile: str | None) -> Rules:
    from finops_policy.project import waiver_rules

    customer = catalog.customer(customer_name)
    chosen = customer.profile if profile is None else profile
    if not chosen:
        hint = f"Give --profile: one of {', '.join(catalog.profiles())}."
        raise UsageError(f"Customer {customer.name} names no profile.", hint=hint)
    return waiver_rules(catalog.profile(chosen), customer, catalog.all_packs())


def _review(customer: str, profile: str | None, store: Path, workspace: Path) -> Reviewed:
    from finops_policy.catalog import Catalog
    from finops_policy.lint.last_run import last_run
    from finops_policy.lint.waiver_review import Reviewed
    from finops_policy.waivers import sort_out

    today = dt.datetime.now(dt.UTC).date()
    catalog = Catalog(workspace)
    rules = _rules(catalog, customer, profile)
    waivers, malformed, unread = catalog.all_waivers(customer)
    found = sort_out(waivers, rules, today)
    return Reviewed(
        applying=found.applying,
        lapsed=(*unread, *found.broken, *found.coming),
        problems=(*malformed, *found.problems),
        run=last_run(store, customer, found.applying),
        today=today,
        approvers_known=rules.approvers is not None,
    )


def _line(row: dict[str, Any]) -> str:
    left = row["days_left"]
    end = "end not known" if left is None else f"{left} days left" if left >= 0 else f"over since {-left} days"
    old = "age not known" if row["age_days"] is None else f"{row['age_days']} days old"
    matched = "matches not known" if row["matched"] is None else f"{row['matched']['findings']} findings"
    tag = f"tag {row['tag']['key']}={row['tag']['value']}" if row["tag"] else ""
    meant = ", ".join(filter(None, [row["resource"], tag, row["account"], row["region"]]))
    return f"{row['id'] or '(no id)'}  {row['state']}  {old}, {end}  {matched}  {row['policy']} on {meant}"


def _tell_run(reviewed: Reviewed) -> None:
    from finops_policy.cli.console import stderr

    if reviewed.applying and not reviewed.approvers_known:
        stderr().print("Who approved is not checked: customer.yaml registers no `approvers`.", soft_wrap=True)
    run = reviewed.run
    if run is None and reviewed.applying:
        stderr().print("What they match is not known: there is no whole run.", soft_wrap=True)
    elif run is not None:
        stderr().print(f"Matches are those of run {run.run_id}.", soft_wrap=True)
        if unknown := [waiver.id for waiver, matched in run.of if matched is None]:
            stderr().print(f"Not known, since the run has gaps there: {', '.join(unknown)}.", soft_wrap=True)
