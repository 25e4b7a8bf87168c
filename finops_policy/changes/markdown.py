"""Changes and their impact as Markdown for a pull request's comment. The same input gives the same text.

Everything from files or from AWS stands in code: there nothing is a link, a mention or HTML. GitHub takes 65,536
characters; what does not fit is cut, and the end says how much.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import groupby
from typing import Any, Final

from finops_policy.changes.document import counts
from finops_policy.changes.impact import Hit, Impact, PolicyImpact
from finops_policy.changes.model import Change, Comparison, Effect, Kind, Section, VersionStep
from finops_policy.savings import Savings

LIMIT: Final = 65_536
RESERVE: Final = 600
"""Kept for the end: what closes a table, and the note that says what was cut."""
FEW, MANY = 12, 40
"""Up to so many rows a table is shown open: lists, and the overview."""
LONGEST: Final = 120
"""Characters of a value; longer ones are cut."""
EFFECTS: Final = {
    Effect.TIGHTENS: "tightens",
    Effect.LOOSENS: "loosens",
    Effect.UNCLEAR: "unclear",
    Effect.NEUTRAL: "-",
}
TITLES: Final = {
    Section.PACK: "Pack",
    Section.PLAIN: "Policies of",
    Section.PROFILE: "Profile",
    Section.CUSTOMER: "Customer",
    Section.FRAMEWORK: "Framework",
}
_CONTROL: Final = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
_TICKS = re.compile(r"`+")
_MARKS = re.compile(r"[!-/:-@\[-`{-~]")


def render(comparison: Comparison, impact: Impact | None) -> str:
    page = _Page()
    page.add(*_headline(comparison))
    if impact:
        _impact(page, impact)
    for (section, owner), group in groupby(comparison.changes, key=lambda each: (each.section, each.owner)):
        _owner(page, section, owner, list(group), comparison.versions)
    changed = {each.owner for each in comparison.changes if each.section is Section.PACK}
    for step in comparison.versions:
        if step.pack not in changed:
            page.add(f"### Pack {code(step.pack)}", *_version(step))
    if impact:
        for each in impact.policies:
            _policy_impact(page, each)
    if comparison.problems:
        page.add("### Not compared")
        page.rows([f"- {code(each, 300)}" for each in comparison.problems], "problems")
    return page.text()


@dataclass(slots=True)
class _Page:
    """What has been written, and what no longer fitted, by what it is."""

    parts: list[str] = field(default_factory=list)
    cut: Counter[str] = field(default_factory=Counter)
    _size: int = 0

    def add(self, *lines: str) -> bool:
        """Whole or not at all."""
        size = sum(len(line) + 2 for line in lines)
        if self._size + size > LIMIT - RESERVE:
            self.cut["paragraphs"] += 1
            return False
        self.parts += [f"{line}\n\n" for line in lines]
        self._size += size
        return True

    def rows(self, rows: Sequence[str], what: str) -> None:
        """As many as fit, close together."""
        fitting = []
        for row in rows:
            if self._size + len(row) + 1 > LIMIT - RESERVE:
                break
            self._size += len(row) + 1
            fitting.append(f"{row}\n")
        self.cut[what] += len(rows) - len(fitting)
        self.parts += [*fitting, "\n"]
        self._size += 1

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]], what: str, few: int = FEW) -> None:
        """Folded where it is long."""
        long = len(rows) > few
        summary = f"<details><summary>{len(rows):,} {what}</summary>\n\n" if long else ""
        top = f"{summary}| {' | '.join(head)} |\n|{'---|' * len(head)}\n"
        if self._size + len(top) > LIMIT - RESERVE:
            self.cut[what] += len(rows)
            return
        self.parts.append(top)
        self._size += len(top)
        self.rows([f"| {' | '.join(row)} |" for row in rows], what)
        if long:
            self.parts.append("</details>\n\n")
            self._size += 12

    def text(self) -> str:
        if cut := +self.cut:
            told = ", ".join(f"{count:,} {what}" for what, count in cut.items())
            self.parts.append(f"**Cut:** {told} did not fit here. `finops-policy diff --format json` has everything.\n")
        return "".join(self.parts)


# --- text -------------------------------------------------------------------------------------------------------------


def code(value: str, longest: int = LONGEST) -> str:
    """Text as code: nothing in it is markup, whatever it holds. Control and direction characters are spelled out."""
    plain = "".join(_spelled(each) for each in value[: longest + 1])
    if len(plain) > longest:
        plain = f"{plain[: longest - 3]}..."
    if not plain.strip():
        return '`""`' if not plain else f'`"{plain}"`'
    if "|" in plain:  # a pipe ends the cell of a table even in code, but not as an entity
        return f"<code>{_MARKS.sub(lambda mark: f'&#{ord(mark.group())};', plain)}</code>"
    ticks = "`" * (max((len(each) for each in _TICKS.findall(plain)), default=0) + 1)
    edge = " " if "`" in (plain[0], plain[-1]) or plain[0] == plain[-1] == " " else ""
    return f"{ticks}{edge}{plain}{edge}{ticks}"


def _spelled(character: str) -> str:
    if unicodedata.category(character) not in _CONTROL:
        return character
    return f"\\u{ord(character):04x}" if ord(character) > 0xFF else f"\\x{ord(character):02x}"


def _value(value: Any) -> str:
    if value is None:
        return "-"
    return code(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))


# --- changes ----------------------------------------------------------------------------------------------------------


def _headline(comparison: Comparison) -> Iterator[str]:
    sides = " → ".join(code(str(each)) if each.commit else str(each) for each in (comparison.base, comparison.head))
    yield f"## Policy changes: {sides}"
    found = counts(comparison)
    if not comparison.changes and comparison.problems:
        yield "**No change** of what can be compared."
    elif not comparison.changes:
        yield "**No change** of packs, policies, parameters, profiles, customers, waivers or frameworks."
    else:
        told = [
            f"**{found[each]} {each.removesuffix('s')}**" for each in ("tightens", "loosens", "unclear") if found[each]
        ]
        told += [f"{found['neutral']} without effect on what is found or done"] if found["neutral"] else []
        things = f"{_count(len(comparison.changes), 'change')} of {_count(sum(found.values()), 'thing')}"
        yield f"{things}: {', '.join(told)}."
    if short := [code(each.pack) for each in comparison.versions if not each.enough]:
        yield f"**Version:** {', '.join(short)} must be raised further, see below."
    if comparison.problems:
        yield f"**Not compared:** {_count(len(comparison.problems), 'part')}, see the end."


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _owner(page: _Page, section: Section, owner: str, changes: list[Change], versions: Iterable[VersionStep]) -> None:
    page.add(f"### {TITLES[section]} {code(owner)}")
    if section is Section.PACK:
        for step in versions:
            if step.pack == owner:
                page.add(*_version(step))
    rows = [
        [_what(each), _value(each.old), _value(each.new), EFFECTS[each.effect], each.why.replace("|", "&#124;")]
        for each in changes
    ]
    page.table(["What", "Before", "After", "Effect", "Why"], rows, "changes")


def _what(change: Change) -> str:
    kind, _, name = change.item.partition(" ")
    parts = [kind, code(name)] if name else [kind] if kind else []
    if change.field:
        parts.append(code(change.field))
    if change.kind is not Kind.CHANGED:
        parts.append(f"**{change.kind}**")
    return " ".join(parts)


def _version(step: VersionStep) -> Iterator[str]:
    versions = f"{code(step.before)} → {code(step.after)}"
    reasons = ", ".join(code(each) for each in step.reasons[:3])
    more = f" and {len(step.reasons) - 3} more" if len(step.reasons) > 3 else ""
    if step.given == "down":
        yield f"**Version {versions} goes down.**"
    elif step.before == step.after:
        yield f"**Version {code(step.after)} stays:** {step.needed} is needed ({reasons}{more})."
    elif step.enough:
        yield f"Version {versions}: {step.given}, and {step.needed} is needed."
    else:
        yield f"**Version {versions} is too small:** {step.needed} is needed ({reasons}{more})."


# --- impact -----------------------------------------------------------------------------------------------------------


def _impact(page: _Page, impact: Impact) -> None:
    where = " of the sandbox" if impact.sandbox else ""
    page.add(
        f"### Impact on {code(impact.customer)}, profile {code(impact.profile)}",
        f"Judged anew: what run {code(impact.run_id)}{where} recorded (finished {code(impact.finished_at)}).",
    )
    unknown = sum(len(each.unknown) for each in impact.policies)
    page.add(
        f"**{_resources(impact.policies, 'hit')} newly hit** ({_money(impact.hit, impact.currency)}), "
        f"**{_resources(impact.policies, 'released')} released** ({_money(impact.released, impact.currency)}), "
        f"**{_count(unknown, 'answer')} unknown**."
    )
    if impact.policies:
        head = ["Policy", "Change", "Newly hit", "Released", "Unknown", "As before", "Targets not checked"]
        rows = [
            [code(each.policy), each.kind, *_numbers(len(each.hit), len(each.released), len(each.unknown), each.same,
                                                     each.unchecked)]
            for each in impact.policies
        ]  # fmt: skip
        page.table(head, rows, "policies", few=MANY)
    else:
        page.add("No policy of the customer judges otherwise than before.")
    notes: dict[str, list[str]] = {}
    for each in impact.policies:
        for note in each.notes:
            notes.setdefault(note, []).append(code(each.policy))
    for note, policies in notes.items():
        page.add(f"> {', '.join(policies)}: {note}")
    for note in impact.notes:
        page.add(f"> {code(note, 300)}")
    page.add(_prices(impact))


def _numbers(*numbers: int) -> list[str]:
    return [f"{each:,}" for each in numbers]


def _resources(policies: Iterable[PolicyImpact], which: str) -> str:
    hits: list[Hit] = [hit for each in policies for hit in getattr(each, which)]
    return _count(
        len({(hit.account_id, hit.region, hit.resource_type, hit.resource_id, hit.arn) for hit in hits}), "resource"
    )


def _money(savings: Savings, currency: str) -> str:
    total = savings.total
    if not total.counted:
        return "no price known" if total.unpriced else "no price"
    unpriced = f", {total.unpriced:,} not priced" if total.unpriced else ""
    return f"{_amount(total.amount)} {currency} a month, list-price estimate{unpriced}"


def _amount(amount: Decimal) -> str:
    return f"{amount:,.2f}"


def _prices(impact: Impact) -> str:
    both = (impact.hit, impact.released)
    sources = sorted({source for each in both for source in each.sources})
    if not sources:
        return "No figure of money is in this impact."
    dates = [each.oldest for each in both if each.oldest]
    unverified = sum(each.unverified for each in both)
    tail = f"; {unverified:,} made from unverified prices" if unverified else ""
    as_of = f" as of {min(dates).isoformat()}" if dates else ""
    return f"Prices: {', '.join(map(code, sources))}{as_of}{tail}. A resource counts once."


def _policy_impact(page: _Page, policy: PolicyImpact) -> None:
    rows = [
        [_name(each), _place(each), each.before, each.after, _saves(each)] for each in (*policy.hit, *policy.released)
    ]
    if rows:
        page.add(f"#### Impact of {code(policy.policy)}")
        page.table(["Resource", "Account, region", "Before", "After", "A month"], rows, "resources")
    reasons = Counter(each.reason for each in policy.unknown)
    if reasons:
        page.add(f"Unknown for {code(policy.policy)}:")
        page.rows([f"- {count:,}: {code(reason, 300)}" for reason, count in reasons.most_common()], "reasons")


def _name(hit: Hit) -> str:
    return code(hit.arn or hit.resource_id, 200)


def _place(hit: Hit) -> str:
    return f"{code(hit.account_id)} {code(hit.region)}"


def _saves(hit: Hit) -> str:
    if hit.money is None:
        return "-"
    return "unknown" if hit.money.savings is None else f"{_amount(hit.money.savings)} {hit.money.currency}"
