"""The summary of a run: the table, the coverage line, the money, and the exit code they lead to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from finops_policy.cli.console import stdout
from finops_policy.errors import ExitCode
from finops_policy.formats.data import ReportInput, summary_data
from finops_policy.model import Severity
from finops_policy.spelling import plain

FEW = 5
"""Accounts that are named where many have one problem."""
WIDE = 112
"""Columns from which headings are written out."""


def of(source: ReportInput) -> dict[str, Any]:
    """The summary's data, and the policies that something was ``seen`` of."""
    tallies = source.cells.tallies.items()
    seen = {name for name, tally in tallies if tally.checks > tally.unchecked or tally.population}
    return {**summary_data(source), "seen": seen}


def exit_code(data: Mapping[str, Any], fail_on: str, allow_incomplete: bool) -> ExitCode:
    """Incomplete coverage outranks findings: what was not looked at cannot be called clean."""
    if not data["coverage"]["complete"] and not allow_incomplete:
        return ExitCode.INCOMPLETE
    if fail_on != "never":
        limit = Severity(fail_on).rank
        if any(each["noncompliant"] and Severity(each["severity"]).rank >= limit for each in data["severities"]):
            return ExitCode.FINDINGS
    return ExitCode.CLEAN


def show(data: Mapping[str, Any], folder: Path, form: str, remediation: Mapping[str, Any] | None = None) -> None:
    """Prints the summary on stdout as text or JSON; ``remediation`` is told in JSON alone."""
    if form == "json":
        told = {key: value for key, value in data.items() if key != "seen"}
        document = {"schema": "finops-policy/summary/v1", **told, "bundle": str(folder)}
        if remediation is not None:
            document["remediation"] = remediation
        stdout().out(json.dumps(document, indent=2, ensure_ascii=True), highlight=False)
        return
    console = stdout()
    console.print(_table(data, wide=console.width >= WIDE))
    for line in _sentences(data):
        # Only a terminal has an edge to wrap at; in a file a sentence is a line.
        console.print(line, soft_wrap=not console.is_terminal)
    console.print(Text(f"Evidence: {folder}"), soft_wrap=True)


def _sentences(data: Mapping[str, Any]) -> Iterator[Text]:
    """What the table cannot say: coverage, totals, money, and what was not checked and what to do about it."""
    yield coverage_line(data["coverage"], data["not_checked"])
    yield Text(totals_line(data["totals"]))
    if any(policy["priced"] for policy in data["policies"]):
        yield Text(money_line(data["money"], data["coverage"]["complete"] and not data["totals"]["unknown"]))
    if any(_money_cell(policy).endswith("?") for policy in data["policies"]):
        yield Text("+? means more, unknown: findings without a price, members that could not be judged, or gaps.")
    for left in data["left_out"]:
        yield Text(f"  {plain(left['account_id'])} {plain(left['name'])} left out: {plain(left['reason'])}", "yellow")
    for gap in _by_cause(data["not_checked"]):
        names, first = list(gap.accounts.values()), gap.first
        told = f"{len(names):,} accounts, {_few(names)}" if len(names) > 1 else f"{names[0]} {', '.join(gap.regions)}"
        yield Text(f"  {plain(told)}: {gap.cells} not checked ({first['kind']}): {plain(first['message'])}", "yellow")
        yield Text(f"    {plain(first['next_step'])}")


@dataclass(slots=True)
class _Cause:
    """Gaps with one cause: the first of them, where they are, and the cells they cost."""

    first: Mapping[str, Any]
    accounts: dict[str, str] = field(default_factory=dict)
    regions: dict[str, None] = field(default_factory=dict)
    cells: int = 0


def _by_cause(gaps: Sequence[Mapping[str, Any]]) -> list[_Cause]:
    """A role that is missing in 300 accounts is told once: messages that differ in account and region alone are one."""
    merged: dict[tuple[str, ...], _Cause] = {}
    for gap in gaps:
        told = (gap["message"], gap["next_step"])
        says = (each.replace(gap["account_id"], "").replace(gap["region"], "") for each in told)
        cause = merged.setdefault((gap["kind"], *says), _Cause(gap))
        cause.accounts[gap["account_id"]] = gap["account_name"] or gap["account_id"]
        cause.regions[gap["region"]] = None
        cause.cells += len(gap["policies"])
    return list(merged.values())


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - FEW:,} more" if len(names) > FEW else ""
    return ", ".join(names[:FEW]) + more


def _table(data: Mapping[str, Any], *, wide: bool) -> Table:
    currency = data["money"]["currency"]
    names = ["population", "compliant", "noncompliant", "waived", "unknown", "not checked", f"{currency} a month"]
    short = ["pop.", "ok", "bad", "waiv.", "unkn.", "gaps", f"{currency}/mo"]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), collapse_padding=True, show_edge=False)
    table.add_column("policy", overflow="fold")
    for name in names if wide else short:
        table.add_column(name, justify="right", no_wrap=True)
    pack = ""
    for policy in data["policies"]:
        if policy["pack"] != pack:
            pack = policy["pack"]
            table.add_row(Text(f"{pack} {policy['pack_version']}", "bold"))
        table.add_row(*_row(policy, policy["name"] in data["seen"]))
    totals = data["totals"]
    table.add_section()
    counts = [f"{totals[name]:,}" for name in names[:5]]
    gaps = data["coverage"]["failed"] + data["coverage"]["skipped"]
    table.add_row(Text("all", "bold"), *counts, f"{gaps:,}", _total_money(data))
    return table


def _row(policy: Mapping[str, Any], seen: bool) -> list[Text]:
    """``seen``: something was evaluated. Where nothing was, no count is known, and none is zero."""
    gaps = Text(f"{policy['failed_targets']:,}", "yellow" if policy["failed_targets"] else "")
    if not seen:
        return [Text(policy["name"]), *(Text("?", "yellow") for _ in range(5)), gaps, Text(_money_cell(policy))]
    return [
        Text(policy["name"]),
        Text(f"{policy['population']:,}"),
        Text(f"{policy['compliant']:,}"),
        Text(f"{policy['noncompliant']:,}", "bold red" if policy["noncompliant"] else ""),
        Text(f"{policy['waived']:,}"),
        Text(f"{policy['unknown']:,}", "yellow" if policy["unknown"] else ""),
        gaps,
        Text(_money_cell(policy)),
    ]


def _total_money(data: Mapping[str, Any]) -> str:
    priced = any(policy["priced"] for policy in data["policies"])
    if not priced:
        return "-"
    more = any(_money_cell(policy).endswith("?") for policy in data["policies"])
    return grouped(data["money"]["monthly_savings"]) + (" +?" if more else "")


def _money_cell(policy: Mapping[str, Any]) -> str:
    if not policy["priced"]:
        return "-"
    if policy["monthly_savings"] is None:
        return grouped(None)
    return grouped(policy["monthly_savings"]) + _more(policy)


def _more(policy: Mapping[str, Any]) -> str:
    return " +?" if policy["unpriced_findings"] or policy["unknown"] or policy["failed_targets"] else ""


def grouped(amount: str | None) -> str:
    """``1234.50`` as ``1,234.50``; ``None`` is unknown, and said so."""
    return "unknown" if amount is None else f"{Decimal(amount):,}"


def coverage_line(coverage: Mapping[str, Any], gaps: Sequence[Mapping[str, Any]]) -> Text:
    cells, evaluated, elsewhere = coverage["cells"], coverage["evaluated"], coverage["not_applicable"]
    told = f"{evaluated} of {cells} cells evaluated, {elsewhere} not applicable"
    if coverage["complete"]:
        return Text(f"Coverage complete: {told}.", "green")
    missing = coverage["failed"] + coverage["skipped"]
    kinds = ", ".join(sorted({gap["kind"] for gap in gaps}))
    return Text(f"Coverage INCOMPLETE: {told}, {missing} NOT CHECKED ({kinds}).", "bold yellow")


def totals_line(totals: Mapping[str, int]) -> str:
    return (
        f"Judged {totals['population']:,} = {totals['compliant']:,} compliant + {totals['noncompliant']:,} noncompliant"
        f" + {totals['waived']:,} waived + {totals['unknown']:,} unknown."
    )


def money_line(money: Mapping[str, Any], complete: bool) -> str:
    """``complete``: everything was checked and every member judged; else the figure is a lower bound."""
    if money["monthly_savings"] is None:
        text = "Savings found: unknown"
    else:
        least = "" if complete and not money["unpriced_findings"] else "at least "
        text = f"Savings found: {least}{grouped(money['monthly_savings'])} {money['currency']} a month at list prices"
    notes = []
    if money["unpriced_findings"]:
        notes.append(f"{money['unpriced_findings']} findings could not be priced")
    if money["unverified_prices"]:
        notes.append(f"{money['unverified_prices']} made from unverified prices")
    if money["double_counted_removed"]:
        notes.append(f"{money['double_counted_removed']} overlapping findings counted once")
    return f"{text} ({'; '.join(notes)})." if notes else f"{text}."
