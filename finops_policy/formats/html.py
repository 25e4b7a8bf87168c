"""The HTML report: one self-contained file that makes no request and runs only its own script.

The template and its parts live in reports/templates. Style and script are inlined and allowed by their hash in a
Content-Security-Policy; findings travel as JSON in a data block and become text nodes in the browser, a page at a time.
Every value came from somebody else's account, so all of them are escaped, isolated from the text around them, and their
control and direction-changing characters shown as escapes.

Findings are made one at a time, so that a report of many takes the memory of one of few.

Limits: a text over :data:`LONGEST` characters is cut here (the JSON report has it whole), and without JavaScript only
the first :data:`PLAIN_ROWS` findings are shown; the report says so in both cases.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import chain, islice
from typing import IO, Any

from jinja2 import FunctionLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from finops_policy.formats.data import Written
from finops_policy.library import library_root
from finops_policy.model import ControlVerdict, Status, Verdict

LONGEST = 1000
PLAIN_ROWS = 100
_PIECE = 20
TOP = 8

NBSP = "\N{NO-BREAK SPACE}"
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
COUNTED = tuple(Verdict)

_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff"
    "\uffa0\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
"""What draws nothing or changes the text around it: C0, C1, direction marks, fillers, tags, lone surrogates."""

_ODD = re.compile(rf"\\|{_UNSEEN.pattern}")
"""In JSON it may also be hidden behind a backslash."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a stacked bar; ``x`` and ``width`` are percentages of the bar."""

    key: str
    count: int
    x: str
    width: str


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a chart: ``value`` as printed, ``width`` a percentage of the longest, ``fill`` a colour's name."""

    label: str
    value: str
    width: str
    fill: str


@dataclass(frozen=True, slots=True)
class Cell:
    """A coverage cell as drawn: ``state`` names its colour, ``mark`` is its letter, ``text`` says it in words."""

    policy: str
    state: str
    mark: str
    text: str
    href: str


@dataclass(frozen=True, slots=True)
class GridAccount:
    """An account's part of the coverage grid: a row of cells for each of its regions."""

    id: str
    name: str
    rows: list[tuple[str, tuple[Cell, ...]]]


@dataclass(slots=True)
class Group:
    """A framework's group with its controls and how many have each verdict."""

    id: str
    title: str
    controls: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def verdicts(self) -> list[tuple[str, int]]:
        counts = [
            (str(verdict), sum(each["verdict"] == verdict for each in self.controls)) for verdict in ControlVerdict
        ]
        return [(verdict, count) for verdict, count in counts if count]

    @property
    def has_evidence(self) -> bool:
        return any(mapping["in_profile"] for control in self.controls for mapping in control["mappings"])


def render(data: Mapping[str, Any], out: IO[bytes]) -> None:
    """Writes the report of ``data`` (schemas/report.schema.json) to ``out`` in UTF-8."""
    page = environment()
    clean = cleaned({**data, "findings": []})
    rows = _rows(data["findings"], clean)
    first = list(islice(rows, PLAIN_ROWS))
    most = max((each["noncompliant"] for each in clean["severities"]), default=0)
    titles = {each["name"]: {"title": each["title"], "rationale": each["rationale"]} for each in clean["policies"]}
    css, js = template("report.css"), template("report.js")
    stream = page.get_template("report.html.j2").stream(
        data=clean,
        csp=content_security_policy(css, js),
        css=Markup(css),  # noqa: S704 - our own file
        js=Markup(js),  # noqa: S704 - our own file
        counted=COUNTED,
        statuses=tuple(Status),
        control_verdicts=tuple(ControlVerdict),
        longest=LONGEST,
        plain_rows=PLAIN_ROWS,
        grid=_grid(clean["coverage"], clean["not_checked"]),
        severity_bars=[
            Bar(each["severity"], number(each["noncompliant"]), _width(each["noncompliant"], most), each["severity"])
            for each in clean["severities"]
        ],
        policy_bars=_money_bars(clean["money"], "by_policy", "policy"),
        account_bars=_money_bars(clean["money"], "by_account", "account_name"),
        policies=sorted(clean["policies"], key=lambda each: (-each["noncompliant"], -each["unknown"], each["name"])),
        groups={framework["name"]: _groups(framework) for framework in clean["frameworks"]},
        findings_count=len(data["findings"]),
        findings_first=cleaned(first),
        findings_json=_block(titles, chain(first, rows)),
        marks=_MARKS,
    )
    stream.enable_buffering(64)
    stream.dump(out, encoding="utf-8")


def environment() -> ImmutableSandboxedEnvironment:
    """Where templates are rendered: sandboxed, everything escaped, every name known."""
    made = ImmutableSandboxedEnvironment(
        loader=FunctionLoader(template),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(money=money, number=number, when=when, words=words, plural=plural)
    made.globals.update(segments=segments)
    return made


def content_security_policy(css: str, js: str) -> str:
    """Nothing may load, run, frame or submit but the two inlined texts; even they may not build HTML from strings."""
    return (
        f"default-src 'none'; script-src '{_hash(js)}'; style-src '{_hash(css)}'; img-src data:; base-uri 'none'; "
        "form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )


def visible(text: str) -> str:
    """``text`` with what cannot be seen written as Python escapes, and cut at :data:`LONGEST` characters."""
    if len(text) > LONGEST:
        text = f"{text[:LONGEST]} [{len(text) - LONGEST:,} more characters, whole in the JSON report]"
    return _UNSEEN.sub(_escape, text)


def money(amount: str | None, currency: str) -> str:
    """A decimal string as ``USD 1,234.50``; an amount that is not known is ``unknown``, one under a cent says so."""
    if amount is None:
        return "unknown"
    value = Decimal(amount)
    if 0 < value < Decimal("0.01"):
        return f"under {currency}{NBSP}0.01"
    return f"{currency}{NBSP}{value:,.2f}"


def number(value: int) -> str:
    return f"{value:,}"


def when(moment: str) -> str:
    """An ISO 8601 time as ``24 November 2026, 08:00 UTC``; a date keeps only the day."""
    parsed = dt.datetime.fromisoformat(moment)
    day = f"{parsed.day} {MONTHS[parsed.month - 1]} {parsed.year}"
    return day if len(moment) == len("2026-11-24") else f"{day}, {parsed:%H:%M} UTC"


def words(identifier: str) -> str:
    """``not-satisfied`` and ``not_applicable`` as people write them."""
    return identifier.replace("-", " ").replace("_", " ")


def plural(count: int, singular: str, many: str = "") -> str:
    """``1 finding``, ``1,200 findings``."""
    return f"{count:,}{NBSP}{singular if count == 1 else many or singular + 's'}"


def segments(counts: Mapping[str, int], keys: Iterable[str]) -> list[Segment]:
    """The stacked bar of ``counts`` in the order of ``keys``; nothing for a total of zero."""
    total = sum(counts[key] for key in keys)
    bar, before = [], 0
    for key in keys:
        count = counts[key]
        if count:
            bar.append(Segment(key, count, f"{before / total:.3%}", f"{count / total:.3%}"))
        before += count
    return bar


_MARKS = {
    "clean": ("\N{CHECK MARK}", "checked, nothing found"),
    "found": ("n", "n noncompliant resources"),
    "unknown": ("?", "checked, some could not be decided"),
    "waived": ("W", "every finding is waived"),
    "empty": ("0", "checked, no such resources"),
    "not_applicable": ("\N{MIDDLE DOT}", "does not apply here"),
    "skipped": ("S", "skipped, not checked"),
    "failed": ("\N{MULTIPLICATION SIGN}", "failed, not checked"),
}
"""State of a coverage cell -> its letter and its line in the legend."""


def _grid(coverage: Mapping[str, Any], not_checked: Sequence[Mapping[str, Any]]) -> list[GridAccount]:
    """The coverage grid, a row a target and a cell a policy; cells that were not checked link to their explanation."""
    cells = {(cell["account_id"], cell["region"], cell["policy"]): cell for cell in coverage["grid"]}
    anchors = {
        (entry["account_id"], entry["region"], policy): f"#not-checked-{number}"
        for number, entry in enumerate(not_checked, start=1)
        for policy in entry["policies"]
    }
    accounts: dict[str, GridAccount] = {}
    for target in coverage["targets"]:
        account, region = target["account_id"], target["region"]
        keys = [(account, region, policy) for policy in coverage["policies"]]
        row = tuple(_cell(cells[key], anchors.get(key, "#not-checked")) for key in keys)
        accounts.setdefault(account, GridAccount(account, target["account_name"], [])).rows.append((region, row))
    return list(accounts.values())


def _cell(cell: Mapping[str, Any], anchor: str) -> Cell:
    status = cell["status"]
    if status == Status.EVALUATED:
        counts = ", ".join(f"{cell[verdict]:,} {verdict}" for verdict in COUNTED if cell[verdict])
        text = f"{cell['population']:,} checked: {counts}" if cell["population"] else _MARKS["empty"][1]
        state = next((verdict for verdict in ("noncompliant", "unknown", "waived") if cell[verdict]), "clean")
        state = {"noncompliant": "found"}.get(state, state) if cell["population"] else "empty"
        mark = number(cell["noncompliant"]) if state == "found" else _MARKS[state][0]
        return Cell(cell["policy"], state, mark, text, "#findings" if state in ("found", "unknown", "waived") else "")
    if status == Status.NOT_APPLICABLE:
        return Cell(cell["policy"], status, _MARKS[status][0], cell["message"] or _MARKS[status][1], "")
    kind = f" ({words(cell['failure_kind'])})" if cell["failure_kind"] else ""
    return Cell(cell["policy"], status, _MARKS[status][0], f"{status}, not checked{kind}", anchor)


def _groups(framework: Mapping[str, Any]) -> list[Group]:
    groups = {each["id"]: Group(each["id"], each["title"]) for each in framework["groups"]}
    for control in framework["controls"]:
        groups.setdefault(control["group"], Group(control["group"], "")).controls.append(control)
    return [group for group in groups.values() if group.controls]


def _money_bars(cash: Mapping[str, Any], table: str, label: str) -> list[Bar]:
    """The largest savings of ``table``, and what the others add up to, largest first."""
    rows = sorted(
        ((row[label], Decimal(row["monthly_savings"])) for row in cash[table]), key=lambda row: (-row[1], row[0])
    )
    rest = rows[TOP:]
    if rest:
        rows[TOP:] = [(plural(len(rest), "other"), sum((amount for _, amount in rest), Decimal()))]
    most = max((amount for _, amount in rows), default=Decimal())
    return [Bar(name, money(str(amount), cash["currency"]), _width(amount, most), "money") for name, amount in rows]


def _width(part: Decimal | int, most: Decimal | int) -> str:
    """``part`` of ``most`` as an SVG percentage; what is there is drawn at least a hair's breadth wide."""
    return f"{max(Decimal(part) / Decimal(most) * 100, Decimal('0.4')):.3f}%" if part else "0"


def _rows(findings: Iterable[Mapping[str, Any]], data: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The findings, each with its money as shown: ``savings`` and the ``note`` that says how or why not."""
    priced = {policy["name"]: policy["priced"] for policy in data["policies"]}
    currency = data["money"]["currency"]
    for finding in findings:
        savings, note = money(finding["monthly_savings"], currency), finding["money_note"]
        if finding["monthly_savings"] is None and not priced[finding["policy"]]:
            savings, note = "not estimated", note or "this policy claims no savings"
        elif finding["monthly_savings"] is None and finding["verdict"] == Verdict.WAIVED:
            savings = "not counted"
        yield {**finding, "savings": savings, "note": note or "no reason was recorded"}


def _block(titles: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> Iterator[Markup]:
    """The data block of the page's script, in pieces: JSON that no HTML parser takes for anything but text."""
    yield _safe(f'{{"policies":{_dumps(titles)},"findings":[')
    lines = map(_line, rows)
    separator = ""
    while some := list(islice(lines, _PIECE)):
        yield _safe(separator + ",".join(some))
        separator = ","
    yield _safe("]}")


def _line(row: Mapping[str, Any]) -> str:
    """A row as JSON. Where a glance at its text shows nothing to clean, it need not be taken apart."""
    written = {key: row[key].text for key in ("facts", "tags") if isinstance(row[key], Written)}
    plain = {key: value for key, value in row.items() if key not in written}
    text = ",".join([_dumps(plain)[:-1], *(f'"{key}":{each}' for key, each in written.items())]) + "}"
    if _ODD.search(text) or (len(text) > LONGEST and max(map(len, text.split('"'))) > LONGEST):
        return _dumps(cleaned(json.loads(text)))
    return text


def cleaned(value: Any) -> Any:
    """All text in it as :func:`visible` shows it."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, Written):
        return cleaned(value.read())
    if isinstance(value, Mapping):
        return {visible(str(key)): cleaned(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [cleaned(each) for each in value]
    return value


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape", "surrogatepass").decode("ascii")


def _safe(text: str) -> Markup:
    return htmlsafe_json_dumps(text, dumps=lambda written: written)


_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def template(name: str) -> str:
    """A file of reports/templates."""
    return library_root().joinpath("reports", "templates", name).read_text(encoding="utf-8")
