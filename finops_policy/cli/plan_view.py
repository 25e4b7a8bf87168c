"""A plan on a terminal, and what became of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from finops_policy.cli.console import stdout
from finops_policy.cli.remediation_options import STYLES, Remediated
from finops_policy.errors import ExitCode
from finops_policy.formats.plan_html import action_words
from finops_policy.remediation.model import Item, Outcome, Plan, Step
from finops_policy.remediation.recipes.recipe import Undoable
from finops_policy.remediation.recording import Applied
from finops_policy.remediation.totals import monthly, worst_undo
from finops_policy.spelling import plain

FEW = 8
"""Reasons, or resources, that are named one by one."""
NARROW = 40
"""An action of more characters stands below the table instead of in it."""
UNDO_STYLES = {Undoable.YES: "green", Undoable.PARTLY: "yellow", Undoable.NO: "bold red"}


def show(plan: Plan, folder: Path) -> None:
    """The plan as a table, what is held and why, and what to do next."""
    console = stdout()
    if plan.items:
        console.print(_table(plan))
        for item in plan.items:
            for line in _notes(item):
                console.print(line, soft_wrap=not console.is_terminal)
    show_held(plan)
    console.print(f"Plan:   {plain(str(folder))}", soft_wrap=True)
    console.print(f"SHA-256 {plain(plan.digest)}", soft_wrap=True)
    console.print(f"Valid until {plan.valid_until:%Y-%m-%d %H:%M} UTC.")
    if plan.items:
        world = " --sandbox" if plan.sandbox else ""
        which = plain(f"{plan.plan_id} --customer {plan.customer}")
        console.print(f"Next:   finops-policy approve {which} --status", soft_wrap=True)
        console.print(f"then    finops-policy apply {which}{world}", soft_wrap=True)


def show_held(plan: Plan) -> None:
    """How much is planned, and what is not, by reason."""
    console = stdout()
    total = monthly(plan.items)
    count = f"{len(plan.items)} resource{'' if len(plan.items) == 1 else 's'}"
    console.print(f"Planned: {count}, {plain(str(total))}. Held: {len(plan.held)}.")
    console.print(f"Never acted on: {plan.waived} waived, {plan.unknown} unknown.")
    for reason, some in _held(plan):
        console.print(Text(f"  {len(some)} held: {plain(reason)}", "yellow"), soft_wrap=not console.is_terminal)


def _table(plan: Plan) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), collapse_padding=True, show_edge=False)
    table.add_column("item", no_wrap=True)
    table.add_column("resource", overflow="fold", ratio=1)
    table.add_column("action", overflow="fold")
    table.add_column("undo", no_wrap=True)
    table.add_column("saves/mo", justify="right", no_wrap=True)
    place = ""
    for item in plan.items:
        here = plain(f"{item.account_name or item.account_id} {item.region}")
        if here != place:
            place = here
            table.add_row("", Text(here, "bold"))
        undo = worst_undo(item)
        table.add_row(
            Text(plain(item.id), "dim"),
            Text(f"{plain(item.resource_id)}\n{plain(item.policy)}"),
            Text("\n".join(map(_short, item.steps))),
            Text(undo.value, UNDO_STYLES[undo]),
            saved(item),
        )
    return table


def _short(step: Step) -> str:
    """The whole action, or its name where it is too long for the table."""
    words = plain(action_words(step.action))
    return words if len(words) <= NARROW else f"{plain(step.name)} ..."


def saved(item: Item) -> str:
    """What acting saves a month: an amount, ``?`` where it is unknown, ``-`` where the policy claims nothing."""
    if item.money is None:
        return "-"
    return "?" if item.savings is None else f"{item.savings:,.2f}"


def _notes(item: Item) -> Iterable[Text]:
    """What an approver must know and the table has no room for."""
    head = f"  {plain(item.id)}:"
    for step in item.steps:
        words = plain(action_words(step.action))
        if len(words) > NARROW:
            yield Text(f"{head} {words}")
    for each in item.dependants.found:
        yield Text(f"{head} {plain(each.kind)} {plain(each.id)}: {plain(each.effect)}", "yellow")
    for unknown in item.dependants.unknown:
        yield Text(f"{head} unknown: {plain(unknown)}", "yellow")


def _held(plan: Plan) -> list[tuple[str, list[str]]]:
    reasons: dict[str, list[str]] = {}
    for each in plan.held:
        reasons.setdefault(each.reason, []).append(each.resource_id)
    return sorted(reasons.items(), key=lambda each: -len(each[1]))[: 4 * FEW]


def show_rehearsal(told: Sequence[tuple[Item, str]], form: str) -> None:
    """What applying would do now: items, and why they would be held."""
    acting = [item for item, reason in told if not reason]
    if form == "json":
        items = [{**_identity(item), "would_act": not reason, "reason": reason} for item, reason in told]
        _print_json({"schema": "finops-policy/rehearsal/v1", "items": items})
        return
    console = stdout()
    for item, reason in told:
        head = ("would hold", "yellow") if reason else ("would act ", "green")
        console.print(_line(item, head, reason), soft_wrap=True)
    console.print(f"{len(acting)} of {len(told)} would be acted on. Nothing was done: add --execute to act.")


def show_undo(told: Sequence[tuple[Item, Step, Outcome]], form: str) -> None:
    """What undoing would do: steps that were taken, the last first."""
    if form == "json":
        steps = [
            {**_identity(item), "action": step.name, "outcome": outcome.value, **asdict(step.undo)}
            for item, step, outcome in told
        ]
        _print_json({"schema": "finops-policy/undo-rehearsal/v1", "steps": steps})
        return
    console = stdout()
    for item, step, _ in told:
        undo = step.undo
        head = (f"{undo.possible.value:6}", UNDO_STYLES[undo.possible])
        line = Text.assemble(head, f" {_named(item, step.name)}: {plain(undo.how)}")
        console.print(line, soft_wrap=True)
        for lost in undo.lost:
            console.print(Text(f"       lost: {plain(lost)}", "yellow"), soft_wrap=True)
    able = sum(1 for _, step, _ in told if step.undo.possible is not Undoable.NO)
    console.print(f"{able} of {len(told)} steps can be taken back. Nothing was done: add --execute to undo.")


def show_applied(applied: Applied, form: str) -> None:
    """What became of everything; by name only what is neither done nor undone."""
    if form == "json":
        _print_json({"schema": "finops-policy/applied/v1", **_applied(applied)})
        return
    console, counts = stdout(), _counts(applied)
    for item, outcome, reason in applied.outcomes:
        if outcome not in (Outcome.DONE, Outcome.UNDONE):
            console.print(_line(item, (f"{outcome.value:10}", STYLES[outcome]), reason), soft_wrap=True)
    told = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)
    console.print(told or "Nothing to do.")
    console.print(f"Evidence: {plain(str(applied.folder))}", soft_wrap=True)


def show_remediated(done: Remediated) -> None:
    """After the summary of a run: what was planned without asking anybody, and what became of it."""
    stdout().print(Text("Remediation", "bold"))
    show_held(done.plan)
    if done.applied:
        show_applied(done.applied, "text")


def document(done: Remediated) -> dict[str, Any]:
    """The same as JSON."""
    return {
        "plan_id": done.plan.plan_id,
        "planned": len(done.plan.items),
        "held": [asdict(each) for each in done.plan.held],
        "applied": _applied(done.applied) if done.applied else None,
    }


def _applied(applied: Applied) -> dict[str, Any]:
    return {
        "run_id": applied.run_id,
        "bundle": str(applied.folder),
        "counts": _counts(applied),
        "items": [
            {**_identity(item), "outcome": outcome.value, "reason": reason}
            for item, outcome, reason in applied.outcomes
        ],
    }


def _counts(applied: Applied) -> dict[str, int]:
    counts = Counter(outcome for _, outcome, _ in applied.outcomes)
    return {each.value: counts[each] for each in Outcome}


def exit_code(applied: Applied) -> ExitCode:
    """Failed outranks unverified; what was held was held for a reason."""
    if applied.count(Outcome.FAILED):
        return ExitCode.ERROR
    return ExitCode.INCOMPLETE if applied.stopped or applied.count(Outcome.UNVERIFIED) else ExitCode.CLEAN


def _line(item: Item, head: tuple[str, str], reason: str) -> Text:
    what = f" {_named(item, '+'.join(step.name for step in item.steps))}"
    return Text.assemble(head, what, f": {plain(reason)}" if reason else "")


def _named(item: Item, actions: str) -> str:
    return plain(f"{item.id} {actions} {item.arn or item.resource_id}")


def _identity(item: Item) -> dict[str, Any]:
    return {
        "item": item.id,
        "policy": item.policy,
        "account_id": item.account_id,
        "region": item.region,
        "resource_id": item.resource_id,
        "arn": item.arn,
        "actions": [step.name for step in item.steps],
    }


def _print_json(document: Mapping[str, Any]) -> None:
    stdout().out(json.dumps(document, indent=2), highlight=False)
