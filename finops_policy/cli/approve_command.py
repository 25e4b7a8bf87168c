"""``finops-policy approve``: a person's signed decision about a plan."""

from __future__ import annotations

import datetime as dt
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from finops_policy.cli import options
from finops_policy.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from finops_policy.customer import Customer
    from finops_policy.evidence.signing import PublicKey
    from finops_policy.remediation.approvals import Approval, Judged
    from finops_policy.remediation.deciding import Signatory
    from finops_policy.remediation.model import Plan


@click.command("approve")
@click.argument("place", metavar="[PLAN]", required=False)
@click.option("--customer", shell_complete=options._complete("customers"), help="Customer whose plan it is.")
@click.option("--item", "items", multiple=True, metavar="ID", help="Decide about this item; may be repeated.")
@click.option("--all", "everything", is_flag=True, help="Decide about all items of the plan.")
@click.option("--refuse", is_flag=True, help="Refuse instead; only a new plan asks again.")
@click.option("--comment", help="Why; it is signed and kept.")
@click.option("--valid-hours", type=click.IntRange(min=1), help="Hours it lasts. Default: as long as the rules let it.")
@click.option("--digest", help="SHA-256 that the plan must have, as you were told it.")
@click.option("--key", type=click.Path(path_type=Path), help="Your private key. Default: the one --register makes.")
@click.option("--sts", is_flag=True, help="Decide as who AWS says you are; this machine's signing key attests it.")
@click.option("--status", is_flag=True, help="Show what each item needs, has and lacks; decide nothing.")
@click.option("--register", is_flag=True, help="Make your key, and print the line for customer.yaml.")
@click.option("--yes", is_flag=True, help="Do not ask before signing.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="Form of the answer.")
@options.store
@options.workspace
@options.verbose
def command(
    place: str | None,
    customer: str | None,
    items: tuple[str, ...],
    everything: bool,
    refuse: bool,
    comment: str | None,
    valid_hours: int | None,
    digest: str | None,
    key: Path | None,
    sts: bool,
    status: bool,
    register: bool,
    yes: bool,
    form: str,
    store: Path | None,
    workspace: Path,
) -> int:
    """Approve or refuse a plan, or some of its items (PLAN: plan.json, its folder, a plan id, or latest).

    The decision is signed with your own key over the plan's bytes: a plan that is changed needs new approvals. Exits
    with 1 when the decision is refused; the attempt is recorded beside the plan.

    \b
    Examples:
      finops-policy approve --register
      finops-policy approve latest --customer acme --status
      finops-policy approve latest --customer acme --all --comment "Idle"
      finops-policy approve latest --customer acme --item ID --refuse \\
        --comment "Needed for the audit"
    """
    if register:
        return _register(key, place, form)
    if place is None or customer is None:
        raise UsageError("Name a plan and its --customer.", hint="Try `finops-policy approve --help`.")
    from finops_policy.catalog import Catalog
    from finops_policy.cli.consent import show
    from finops_policy.cli.console import stderr
    from finops_policy.evidence.store import LocalStore
    from finops_policy.remediation.approval_files import find_plan
    from finops_policy.remediation.approvals import AttemptKind, Decision, Rejected
    from finops_policy.remediation.deciding import (
        RefusedError,
        attempts_recorded,
        attesting_key,
        by_key,
        by_sts,
        check,
        decide,
        draft,
        open_plan,
    )

    whose = Catalog(workspace).customer(customer)
    path = find_plan(LocalStore(options.store_of(workspace, store)), customer, place)
    with attempts_recorded(path.parent):
        plan = open_plan(path, whose)
    if status:
        show(plan, _judged(path.parent, plan, whose, attesting_key()), form, None)
        return ExitCode.CLEAN
    if sts and key is not None:
        raise UsageError("--key and --sts exclude each other.", hint="Decide as yourself with one of them.")
    if bool(items) == everything or comment is None:
        raise UsageError(
            "Say what you decide about (--item or --all), and why (--comment).",
            hint="`finops-policy approve PLAN --status` shows the items.",
        )
    with attempts_recorded(path.parent, plan):
        if digest is not None and digest.strip().lower() != plan.digest:
            message = f"the plan's SHA-256 is {plan.digest}, not {digest}"
            raise RefusedError(Rejected(AttemptKind.PLAN_CHANGED, message))
        with options.aws_environment(workspace, sts and plan.sandbox):
            signatory = by_sts(whose, path) if sts else by_key(whose, key)
        now = dt.datetime.now(dt.UTC)
        decision = Decision.REFUSE if refuse else Decision.APPROVE
        said = draft(plan, whose, signatory, decision, items or None, comment, now, valid_hours)
        before = check(said, signatory, path.parent, plan, whose, now)
        if not _agreed(plan, before, said, signatory, yes):
            stderr().print("Nothing was recorded.")
            return ExitCode.ERROR
        recorded = decide(said, signatory, path.parent, plan, whose, dt.datetime.now(dt.UTC))
    show(plan, _judged(path.parent, plan, whose, signatory.attesting), form, recorded)
    return ExitCode.CLEAN


def _judged(folder: Path, plan: Plan, customer: Customer, attesting: PublicKey | None) -> Judged:
    from finops_policy.remediation.approval_files import read_envelopes
    from finops_policy.remediation.approvals import judge_approvals

    return judge_approvals(plan, read_envelopes(folder), customer, dt.datetime.now(dt.UTC), attesting)


def _agreed(plan: Plan, judged: Judged, said: Approval, signatory: Signatory, yes: bool) -> bool:
    """Shows what would be signed, and asks on a terminal. Raises :class:`UsageError` where nobody can be asked."""
    from rich.text import Text

    from finops_policy.cli.consent import heading, proposal
    from finops_policy.cli.console import stderr
    from finops_policy.remediation.approvals import Method
    from finops_policy.spelling import plain

    console = stderr()
    chosen = {item.id for item in plan.items} if said.items is None else set(said.items)
    for line in (*heading(plan, judged), *proposal(plan, judged, chosen)):
        console.print(line, soft_wrap=True)
    for name in sorted(chosen):
        if refused := judged.items[name].refused_by:
            console.print(Text(f"{plain(name)} was refused by {plain(str(refused[0]))}: it stays so.", "yellow"))
    count = f"{len(chosen)} item{'' if len(chosen) == 1 else 's'}"
    known_by = f"sts {said.identity}, attested by key" if said.method is Method.STS else "key"
    whose = f"{said.name} <{said.approver}> ({said.role}, {known_by} {signatory.key.public.id[:8]})"
    question = f"{said.decision.capitalize()} {count} as {plain(whose)}?"
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError(f"{question} Nobody can be asked here.", hint="Give --yes to sign without being asked.")
    return click.confirm(question, err=True)


def _register(key: Path | None, place: str | None, form: str) -> int:
    """Makes a key, or takes the one that is there; the line for customer.yaml goes to stdout."""
    from finops_policy.cli.console import stderr, stdout
    from finops_policy.evidence.signing import SigningKey
    from finops_policy.remediation.approvers import approver_key_path, registered_form

    if place is not None:
        raise UsageError("--register takes no plan.", hint="Try `finops-policy approve --help`.")
    made, created = SigningKey.load_or_create(key or approver_key_path())
    console = stderr()
    console.print(f"{'Your new key' if created else 'Your key'} is {made.path}. Keep it to yourself.", soft_wrap=True)
    console.print("Have this put under `keys` of your entry in `approvers` of customer.yaml:", soft_wrap=True)
    line = registered_form(made.public)
    document = {"schema": "finops-policy/approver-key/v1", "key": line, "key_id": made.public.id}
    stdout().out(json.dumps(document, indent=2) if form == "json" else f'- "{line}"', highlight=False)
    return ExitCode.CLEAN
