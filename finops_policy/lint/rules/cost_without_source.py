"""Cost figures that do not say where they come from, or when they held.

In plain policies a figure is a number, or an amount with a currency, under a key of ``metadata`` that is made of words
about cost alone (``monthly_cost``, not ``cost_center``), and a saving or cost that the text for people promises.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from finops_policy.lint.rule import Level, Rule
from finops_policy.lint.subject import LintedPolicy, Subject
from finops_policy.marks import Diagnostic, Mark
from finops_policy.sources import Document, Steps, shown

_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_COST: Final = re.compile(r"costs?|prices?|savings?|spend|spending|waste", re.IGNORECASE)
_QUALIFIER: Final = re.compile(
    r"amount|annual(ly)?|average|avg|current|daily|day|estimate[ds]?|eur|expected|gb|gbp|gib|hour(ly)?|in|instance|list"
    r"|money|month(ly)?|of|per|potential|projected|resource|tb|total|unit|usd|value|week(ly)?|year(ly)?",
    re.IGNORECASE,
)
_CURRENCY: Final = r"(?:[$€£]|\b(?:USD|EUR|GBP)\b)"
_AMOUNT: Final = re.compile(
    rf"~?\s*{_CURRENCY}?\s*\d[\d.,]*\s?[kKM]?\s*{_CURRENCY}?(\s*(/|a|an|per)\s*(hour|hr|day|week|month|mo|year|yr))?"
)
_PROMISE: Final = re.compile(
    r"\b(?:sav(?:e|es|ed|ing|ings)|costs?|wast(?:e|es|ed|ing))\b"
    r"(?:(?!\b(?:over|above|below|under|exceed\w*|than|least|limit|threshold|budget)\b)[^.;:<>\n]){0,40}?"
    rf"(?:{_CURRENCY}\s?\d[\d.,]*|\b\d[\d.,]*\s?(?:[$€£]|USD|EUR|GBP|dollars|euros))",
    re.IGNORECASE,
)
_SOURCE: Final = re.compile(r"source|reference|url|link|calculator|pricelist|pricing|basis", re.IGNORECASE)
_SOURCED: Final = re.compile(r"https?:|\bprice list\b|\bpricing\b|\bsource\b|\baccording to\b", re.IGNORECASE)
_DATE: Final = re.compile(r"\b(19|20)\d\d\b")
_OLD: Final = dt.timedelta(days=400)


def _check(subject: Subject) -> Iterator[Diagnostic]:
    for policy in subject.policies:
        if policy.written is None:
            yield from _figures(policy, policy.document.get("metadata"), ("metadata",), (), inside=False)
        data = policy.document if policy.written is None else policy.file.data
        for key in ("description", "comment", "comments", "title", "rationale"):
            text = data.get(key)
            if isinstance(text, str) and (found := _PROMISE.search(text)) and (missing := _unsaid(text)):
                message = f"{shown(' '.join(found[0].split()))} stands here without {missing}"
                yield Diagnostic(RULE.id, message, policy.mark(key), "Say which price list, and of which day.")
    for source in subject.of_kind("pricebook"):
        if source.document and isinstance(source.document.data, dict):
            yield from _of_book(source.document, subject.today)


# --- plain policies ---------------------------------------------------------------------------------------------------


def _figures(
    policy: LintedPolicy, value: Any, steps: Steps, around: tuple[Mapping[str, Any], ...], *, inside: bool
) -> Iterator[Diagnostic]:
    """``around`` are the mappings that a figure is in; ``inside``: the key above names a cost."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _figures(policy, item, (*steps, index), around, inside=inside)
    if not isinstance(value, Mapping):
        return
    around = (*around, value)
    for key, item in value.items():
        names = _names_cost(str(key), inside=inside)
        if names and _is_amount(item) and (missing := _missing(around)):
            message = f"{shown(str(key))} is a figure without {missing}"
            hint = "Write `price_source:` and `as_of:` beside it."
            yield Diagnostic(RULE.id, message, policy.mark(*steps, key), hint)
        yield from _figures(policy, item, (*steps, key), around, inside=names)


def _names_cost(key: str, *, inside: bool) -> bool:
    words = _WORD.findall(key)
    costs = [word for word in words if _COST.fullmatch(word)]
    others = [word for word in words if word not in costs]
    return bool(words) and bool(costs or inside) and all(_QUALIFIER.fullmatch(word) for word in others)


def _is_amount(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) < 50 and bool(_AMOUNT.fullmatch(value.strip()))
    return isinstance(value, int | float) and not isinstance(value, bool)


def _missing(around: tuple[Mapping[str, Any], ...]) -> str:
    """What none of the mappings says; empty where both are there."""
    pairs = [(key, value) for each in around for key, value in each.items() if isinstance(value, str) and value.strip()]
    source = any(_SOURCE.fullmatch(word) for key, _ in pairs for word in _WORD.findall(str(key)))
    return _named(source=source, date=any(_DATE.search(value) for _, value in pairs if not _is_amount(value)))


def _unsaid(text: str) -> str:
    return _named(source=bool(_SOURCED.search(text)), date=bool(_DATE.search(text)))


def _named(*, source: bool, date: bool) -> str:
    return " and ".join(([] if source else ["a source"]) + ([] if date else ["a date"]))


# --- price books ------------------------------------------------------------------------------------------------------


def _of_book(document: Document, today: dt.date) -> Iterator[Diagnostic]:
    """Their schema asks for source and date, and for amounts as text."""
    book = document.data
    yield from _of_price(book, (), book, document, today)
    prices = book.get("prices")
    for index, price in enumerate(prices if isinstance(prices, list) else ()):
        if isinstance(price, dict):
            yield from _of_price(price, ("prices", index), book, document, today)


def _of_price(
    price: Mapping[str, Any], steps: Steps, book: Mapping[str, Any], document: Document, today: dt.date
) -> Iterator[Diagnostic]:
    def told(message: str, hint: str, key: str) -> Diagnostic:
        mark: Mark = document.mark(*steps, key)
        return Diagnostic(RULE.id, message, mark, hint)

    source, as_of = price.get("source"), _date(price.get("as_of"))
    if isinstance(source, str) and not source.strip():
        yield told("the source of prices is empty", "Name the price list, and where it is.", "source")
    if as_of and as_of > today:
        yield told(f"{as_of} is still to come: nobody knows prices of that day", "Write the day they held.", "as_of")
    age = as_of or _date(book.get("as_of"))
    if price.get("verified") is True and age and today - age > _OLD:
        message = f"the price counts as verified, and is {(today - age).days} days old"
        yield told(message, "Compare it with its source again and write `as_of`, or `verified: false`.", "verified")


def _date(value: Any) -> dt.date | None:
    try:
        return dt.date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


RULE = Rule(
    "cost-without-source",
    Level.WARNING,
    "A cost figure does not say where it comes from, or is too old to count as verified.",
    "Nobody can check it, and it stays as it is while prices change: decisions are made on it all the same.",
    _check,
)
