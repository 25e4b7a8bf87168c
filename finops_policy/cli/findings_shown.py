"""Findings as text, JSON and CSV. What comes from AWS is text: in a terminal spelled out, in a sheet no formula."""

from __future__ import annotations

import csv
import heapq
import io
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from rich.text import Text

from finops_policy.cli.console import stderr, stdout
from finops_policy.cost.confirm import Reading
from finops_policy.evidence.ledger_queries import History, read_facts
from finops_policy.formats.ledger import FINDINGS_SCHEMA, finding_data, history_data, ledger_data, note_of
from finops_policy.ledger import COLUMNS, Figure, Finding, State
from finops_policy.spelling import cells, plain

WIDTH = 80
_COLOURS = {
    State.OPEN: "bold red",
    State.REOPENED: "bold red",
    State.UNKNOWN: "yellow",
    State.WAIVED: "dim",
    State.RESOLVED: "green",
}


@dataclass(frozen=True, slots=True)
class Listing:
    """What is listed: groups of findings, a resource each. Once they are through, ``reading`` has their totals."""

    history: History
    reading: Reading
    groups: Iterator[list[Finding]]
    limit: int

    def findings(self) -> Iterator[Finding]:
        for group in self.groups:
            self.reading.totals.add(group)
            yield from group


def write_text(listing: Listing) -> None:
    """The findings with the largest figures, two lines each, then the totals. Nothing is wider than 80 columns but
    identities, which stand alone on their line."""
    console = stdout()
    first = heapq.nsmallest(listing.limit, listing.findings(), key=_rank)
    count, currency = listing.reading.totals.findings, listing.history.currency
    if first:
        head = f"{'FINDING':<17}{'STATE':<9}{'AGE':>5} {'ESTIMATED':>15}{'APPROVED':>15}{'REALISED':>15}"
        console.print(Text(head, "bold"), soft_wrap=True)
    for each in first:
        for line in _lines(each, listing.history):
            console.print(line, soft_wrap=True)
    if len(first) < count:
        console.print(f"{len(first):,} of {count:,} findings; --limit shows more, --format csv all.", soft_wrap=True)
    for line in _sentences(ledger_data(listing.history, listing.reading.totals, listing.reading.bill), currency):
        console.print(line, soft_wrap=True)
    if listing.history.left_out:
        kind = "AWS" if listing.history.sandbox else "the sandbox"
        stderr().print(f"{listing.history.left_out} runs of {kind} were left out.", soft_wrap=True)


def _rank(finding: Finding) -> tuple[Decimal, str, str]:
    largest = max((getattr(finding, name).amount or Decimal() for name in COLUMNS), default=Decimal())
    return -largest, finding.resource.key, finding.policy


def _lines(finding: Finding, history: History) -> Iterator[Text]:
    figures = "".join(f"{_amount(getattr(finding, name)):>15}" for name in COLUMNS)
    state = (f"{finding.state:<9}", _COLOURS[finding.state])
    age = f"{finding.age_days(history.runs[-1].at)}d"
    other = " not by us" if finding.realised.amount is not None and not finding.attributed else ""
    yield Text.assemble((f"{finding.id:<17}", "bold"), state, f"{age:>5} ", figures)
    place = f"  {plain(finding.policy)}  {finding.resource.account_id} {plain(finding.resource.region)}{other}"
    yield Text(_fit(place), "dim")
    yield Text(f"  {plain(finding.resource.arn or finding.resource.resource_id)}", "dim")


def _fit(text: str) -> str:
    while cells(text) > WIDTH:
        text = f"{text[:-2]}…"
    return text


def _amount(figure: Figure) -> str:
    if figure.amount is None:
        return "unknown" if figure.unknown else "-"
    return f"{figure.amount:,.2f}"


def _sentences(data: Mapping[str, Any], currency: str) -> Iterator[Text]:
    states = ", ".join(f"{count:,} {state}" for state, count in data["states"].items() if count)
    yield Text(f"{data['findings']:,} findings{': ' if states else ''}{states}. As of run {data['as_of']['run']}.")
    yield Text(f"Savings a month in {currency}, every resource once:", "bold")
    for each in data["columns"]:
        more = f"  +? {each['unknown']:,} unknown" if each["unknown"] else ""
        amount = "unknown" if each["amount"] is None else f"{Decimal(each['amount']):,.2f}"
        share = f" {each['percent']:>6} %" if each["percent"] is not None else ""
        yield Text(f"  {each['title']:<24}{amount:>15}{share}  {each['resources']:,} resources{more}")
    sure = ", ".join(f"{Decimal(a):,.2f} {name}" for name, a in data["realised_confidence"].items() if Decimal(a))
    if sure:
        yield Text(f"  Realised rests on: {sure}.")
    yield Text(f"  Realised to date: {Decimal(data['realised_to_date']):,.2f}.")
    bill = data["bill"]
    if bill["amount"] is None:
        yield Text("The bill is unknown, so there is no percentage:", "yellow")
        yield Text(f"  {plain(bill['reason'])}.", "yellow")
    else:
        yield Text(f"The bill of {bill['month'][:7]}: {Decimal(bill['amount']):,.2f} {bill['currency']}, all of it,")
        yield Text(f"  for {bill['accounts']} of {bill['of_accounts']} accounts ({plain(bill['source'])}).")
        reason = next((each["share_reason"] for each in data["columns"] if each["share_reason"]), "")
        if reason:
            yield Text(f"  No percentage: {plain(reason)}.", "yellow")


def write_json(listing: Listing) -> None:
    """One document; the findings are written one by one, and the totals behind them."""
    out = sys.stdout
    out.write(f'{{"schema": {json.dumps(FINDINGS_SCHEMA)}, "findings": [')
    separator = "\n"
    for each in listing.findings():
        out.write(separator + json.dumps(finding_data(each, listing.history), ensure_ascii=True))
        separator = ",\n"
    data = ledger_data(listing.history, listing.reading.totals, listing.reading.bill)
    out.write(f'\n], "ledger": {json.dumps(data, ensure_ascii=True)}}}\n')


def write_csv(listing: Listing) -> None:
    """A row a finding; amounts are plain numbers, empty where there is none, and the column after says why."""
    writer = csv.writer(sys.stdout, lineterminator="\r\n")
    writer.writerow(CSV)
    for each in listing.findings():
        data = finding_data(each, listing.history)
        row = [data[name] for name in CSV[:16]]
        for name in COLUMNS:
            figure = data[name]
            row += [figure["amount"] or "", figure["state"], note_of(figure), figure["confidence"], figure["counted"]]
        writer.writerow([_safe(value) for value in [*row, data["attributed"], data["realised_to_date"]]])


CSV = (
    *("id", "policy", "severity", "state", "reason", "account_id", "account_name", "region", "resource_type"),
    *("resource_id", "arn", "first_seen", "since", "last_seen", "resolved_at", "currency"),
    *(f"{name}{end}" for name in COLUMNS for end in ("", "_state", "_note", "_confidence", "_counted")),
    *("attributed", "realised_to_date"),
)


def _safe(value: object) -> str:
    """A cell that no spreadsheet takes for a formula: what begins like one gets an apostrophe. Our own amounts are
    numbers, minus and all."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = plain("" if value is None else str(value))
    if text.lstrip(" '\"").startswith(("=", "+", "-", "@", "\\t", "\\x0d", "|", "%")) and not _number(text):
        return f"'{text}"
    return text


def _number(text: str) -> bool:
    return text.removeprefix("-").replace(".", "", 1).isdecimal() and text.isascii()


WRITERS: Mapping[str, Callable[[Listing], None]] = {"text": write_text, "json": write_json, "csv": write_csv}


def show_one(history: History, finding: Finding, form: str) -> None:
    """A finding with all that the runs and the acts say of it."""
    told = list(read_facts(history, finding))
    data = {"schema": "finops-policy/finding/v1", **finding_data(finding, history)} | history_data(
        finding, history, told
    )
    console = stdout()
    if form == "json":
        console.out(json.dumps(data, indent=2, ensure_ascii=True), highlight=False)
        return
    console.print(Text.assemble((f"{finding.id} ", "bold"), plain(finding.policy)), soft_wrap=True)
    out = io.StringIO()
    for title, value in _pairs(data):
        out.write(f"  {title:<13} {plain(str(value))}\n")
    for name in COLUMNS:
        figure = data[name]
        amount = figure["amount"] or ("unknown" if figure["state"] == "unknown" else "none")
        out.write(f"  {name:<13} {amount}{' ' + data['currency'] if figure['amount'] else ''}\n")
        for line in filter(None, (figure["reason"], figure["source"], figure["confidence"])):
            out.write(f"                {plain(line)}\n")
    console.print(Text(out.getvalue().rstrip("\n")), soft_wrap=True)
    console.print(Text("History", "bold"))
    for each in data["history"]:
        reason = f": {plain(each['reason'])}" if each["reason"] else ""
        console.print(Text(f"  {each['at'][:16]}Z {each['run']} {each['verdict']}{reason}"), soft_wrap=True)
    if data["facts"]:
        console.print(Text("Facts of the last of them", "bold"))
    for fact in data["facts"]:
        told_fact = f"{fact['key']} = {json.dumps(fact['value'])} ({fact['op']} {json.dumps(fact['expected'])})"
        console.print(Text(f"  {plain(told_fact)}"), soft_wrap=True)
    console.print(Text("Actions" if data["actions"] else "No action was taken.", "bold"))
    for act in data["actions"]:
        people = f"approved by {', '.join(act['approved_by'])}" if act["approved_by"] else "without an approval"
        line = f"{act['at'][:16]}Z {act['action']}: {act['outcome']}, {people}, done by {act['executed_by']}"
        console.print(Text(f"  {plain(line)}"), soft_wrap=True)


def _pairs(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "state", f"{data['state']}{' (' + data['reason'] + ')' if data['reason'] else ''}"
    yield "severity", data["severity"]
    yield "account", f"{data['account_id']} {data['account_name']}"
    yield "region", data["region"]
    yield "resource", data["arn"] or f"{data['resource_type']} {data['resource_id']}"
    yield "first seen", data["first_seen"]
    yield "since", f"{data['since']}, {data['age_days']} days"
    yield "last seen", data["last_seen"]
    if data["resolved_at"]:
        yield "resolved", data["resolved_at"]
