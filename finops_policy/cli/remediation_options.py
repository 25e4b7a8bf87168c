"""What plan, apply, undo and run --remediate share: who acts, on what, and how it is heard of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from finops_policy.cli.console import stderr
from finops_policy.remediation.applying import Told
from finops_policy.remediation.model import Item, Outcome, Plan
from finops_policy.spelling import plain

if TYPE_CHECKING:
    from finops_policy import aws
    from finops_policy.catalog import Catalog
    from finops_policy.project import Project
    from finops_policy.remediation.recording import Applied
    from finops_policy.remediation.work import Hands

STYLES = {
    Outcome.DONE: "green",
    Outcome.UNDONE: "green",
    Outcome.HELD: "yellow",
    Outcome.UNVERIFIED: "bold yellow",
    Outcome.FAILED: "bold red",
}


@dataclass(frozen=True, slots=True)
class Remediated:
    """What a run with --remediate planned, and what became of it; None where nothing was to be done."""

    plan: Plan
    applied: Applied | None


class Heard(Told):
    """Tells on stderr what becomes of each item, as it becomes."""

    def said(self, text: str) -> None:
        stderr().print(plain(text), soft_wrap=True)

    def ended(self, item: Item, outcome: Outcome, reason: str) -> None:
        line = Text.assemble(
            (f"{outcome.value:10}", STYLES[outcome]),
            f" {plain(f'{item.steps[-1].name} {item.arn or item.resource_id}')}",
            f": {plain(reason)}" if reason else "",
        )
        stderr().print(line, soft_wrap=True)


def told(quiet: bool) -> Told:
    return Told() if quiet else Heard()


def caller_of(project: Project) -> aws.Identity:
    """Who runs this, as AWS says, asked in a region that the customer uses."""
    from finops_policy import aws
    from finops_policy.engine.run import first_region

    return aws.caller(first_region(project.customer))


def hands_of(project: Project, catalog: Catalog, store: Path, sandboxed: bool, quiet: bool) -> Hands:
    """Call it inside of ``options.aws_environment``."""
    from finops_policy.engine.targets import find_targets
    from finops_policy.evidence.signing import SigningKey
    from finops_policy.evidence.store import LocalStore
    from finops_policy.remediation.stepping import Patience
    from finops_policy.remediation.visiting import Doors
    from finops_policy.remediation.work import Hands
    from finops_policy.roles import Roles

    caller = caller_of(project)
    key, _ = SigningKey.load_or_create(None)
    doors = Doors(project, catalog.prices(), caller)
    found = find_targets(project.customer, (), (), caller, Roles(project.customer, caller), lambda _: None)
    targets = frozenset((each.account_id, each.region) for each in found.targets)
    return Hands(project, LocalStore(store), key, doors, caller.arn, sandboxed, told(quiet), Patience(), targets)


def verified(run: Path) -> Path:
    """The folder of a run, if it is as it was sealed by this machine's key: nothing is planned from what somebody may
    have changed. Raises :class:`EvidenceError`."""
    from finops_policy.errors import EvidenceError
    from finops_policy.evidence.signing import SigningKey
    from finops_policy.evidence.verify import verify_bundle

    key, _ = SigningKey.load_or_create(None)
    checked = verify_bundle(run, key.public)
    if checked.ok:
        return run
    message = f"{run} is not as it was sealed: {checked.problems[0].message}"
    raise EvidenceError(message, hint="Nothing is planned from it. Run `finops-policy verify`, and make a new run.")


def remediate(
    project: Project,
    catalog: Catalog,
    store: Path,
    run: Path,
    policies: frozenset[str],
    *,
    sandboxed: bool,
    quiet: bool,
) -> Remediated:
    """Acts on a sealed run's findings as far as postures let it without asking anybody. Call it inside of
    ``options.aws_environment``."""
    from finops_policy import aws
    from finops_policy.files import write_atomic
    from finops_policy.formats.plan_html import PLAN_PAGE, plan_page
    from finops_policy.remediation import work
    from finops_policy.remediation.history import History
    from finops_policy.remediation.planning import UNATTENDED, actionable, make_plan

    hands = hands_of(project, catalog, store, sandboxed, quiet)
    plan = make_plan(
        project,
        run,
        hands.doors,
        aws.Identity("", hands.caller),
        policies=policies & actionable(project, UNATTENDED),
        unattended=True,
        sandboxed=sandboxed,
        undone=History.read(hands.store, project.customer.name).undone(),
        said=hands.told.said,
    )
    plan, folder = work.keep_plan(plan, hands.store)
    write_atomic(folder / PLAN_PAGE, plan_page(plan, project.customer.title).encode())
    return Remediated(plan, work.apply(work.unattended(plan), hands) if plan.items else None)
