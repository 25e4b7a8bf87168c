"""What a ``value`` filter says of its key's value, worked out without Cloud Custodian, which would take long to load.

Filters on one key know only so much of its value: whether it is there, which of their constants it equals, and what it
lies between. A few sample values stand for all that they can tell apart. A filter whose answer depends on more, such as
a regular expression or a second key, is not decided; nor are texts that equal Custodian's own words ``absent``,
``present``, ``not-null`` and ``empty``. A test holds all of this against Cloud Custodian's own filter.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any, Final, TypeAlias

WORDS: Final = ("absent", "present", "not-null", "empty")
OPPOSITE: Final = {"absent": "present", "present": "absent", "not-null": "empty", "empty": "not-null"}
EQUAL: Final = ("", "eq", "equal")
UNEQUAL: Final = ("ne", "not-equal")
LESS: Final = ("lt", "less-than", "le", "lte")
GREATER: Final = ("gt", "greater-than", "ge", "gte")
MOST_CONSTANTS: Final = 100
MOST_WORLDS: Final = 1_000

_COMPARISONS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    **dict.fromkeys(EQUAL, operator.eq),
    **dict.fromkeys(UNEQUAL, operator.ne),
    **dict.fromkeys(("lt", "less-than"), operator.lt),
    **dict.fromkeys(("le", "lte"), operator.le),
    **dict.fromkeys(("gt", "greater-than"), operator.gt),
    **dict.fromkeys(("ge", "gte"), operator.ge),
}
_MEMBERSHIPS: Final = ("in", "not-in", "ni")
_OTHER_VALUES: Final[Mapping[str, tuple[type, ...]]] = {
    "glob": (str,),
    "regex": (str,),
    "regex-case": (str,),
    "contains": (str, list, dict),
    "difference": (str, list, dict),
    "intersect": (str, list, dict),
    "mod": (str, int, float),
}
"""Operators that are not worked out, and the kinds of value that they may be true of."""
_DAYS: Final = ("age", "expiration")
_COUNTS: Final = ("integer", "size", "unique_size")
_NOTHING: Final[Mapping[str, Any]] = {"integer": 0, "float": 0.0, "size": 0, "unique_size": 0}
"""What Cloud Custodian compares where the value is not there, by ``value_type``."""
_STRANGE: Final = {"\0": 0}
"""Stands for values that equal no constant and have no order: mappings, dates, bytes."""

World: TypeAlias = Mapping[str, Any]
"""One value of a key, as each ``value_type`` sees it. Of ages, days; None where it is no date."""


@dataclass(frozen=True, slots=True)
class ValueTest:
    """``subject`` is what is read: its key, pattern and changes to tag keys. Tests of one subject read the same value.
    ``kind`` is the ``value_type``."""

    subject: tuple[str, str, str]
    kind: str
    op: str
    value: Any

    @property
    def only_text(self) -> bool:
        """Tags are text, and so is what a regular expression captures."""
        key, pattern, _ = self.subject
        return key.startswith("tag:") or pattern != "None"


def test_of(data: Mapping[str, Any]) -> ValueTest | None:
    """The test that a filter makes; None where its answer depends on more than the value of its key."""
    key, value, op, kind = data.get("key"), data.get("value"), data.get("op", ""), data.get("value_type", "")
    if data.get("type") != "value" or not isinstance(key, str) or "c7n" in key or "value" not in data:
        return None  # filters write what they found under keys with c7n: it changes on the way
    if not data.keys().isdisjoint(("value_from", "value_path")):
        return None
    if not isinstance(op, str) or not (op in _COMPARISONS or op in _MEMBERSHIPS or op in _OTHER_VALUES):
        return None
    if kind in _DAYS:
        if op not in _COMPARISONS or isinstance(value, bool) or not isinstance(value, int | float):
            return None
    elif kind not in ("", "normalize", "float", *_COUNTS):
        return None
    return ValueTest((key, repr(data.get("value_regex")), repr(data.get("tag_key_transforms"))), str(kind), op, value)


def worlds(tests: Iterable[ValueTest]) -> list[World] | None:
    """Enough values to stand for all that tests of one subject can tell apart; None where that would be too many."""
    by_kind: dict[str, list[ValueTest]] = {}
    for test in tests:
        by_kind.setdefault(test.kind, []).append(test)
    samples = {kind: _samples(kind, members) for kind, members in by_kind.items()}
    if not all(samples.values()) or math.prod(map(len, samples.values())) > MOST_WORLDS:
        return None
    nothing = {kind: _NOTHING.get(kind) for kind in samples}
    return [nothing, *(dict(zip(samples, each, strict=True)) for each in product(*samples.values()))]


def answer(test: ValueTest, world: World) -> bool | None:
    """What Cloud Custodian answers; None where that is not worked out."""
    value = world[test.kind]
    if value is None and test.op in ("in", "not-in"):
        value = ()  # before anything else: such a filter never finds a key absent
    if isinstance(test.value, str) and (word := _word(test.value, value)):
        return word
    op, wanted = test.op, test.value
    if op in _OTHER_VALUES:
        return None if isinstance(value, _OTHER_VALUES[op]) else False
    if op in _MEMBERSHIPS:
        return _member(op, value, wanted)
    if test.kind in _DAYS and value is None:
        return op in UNEQUAL
    if isinstance(value, list) and isinstance(wanted, list) and op in (*LESS, *GREATER):
        return None
    try:
        return bool(_COMPARISONS[op](value, wanted))
    except TypeError:
        return False


def _word(word: str, value: Any) -> bool:
    """Whether one of Cloud Custodian's words is true, which it asks before any operator."""
    match word:
        case "absent":
            return value is None
        case "present":
            return value is not None
        case "not-null":
            return bool(value)
        case "empty":
            return not value
    return False


def _member(op: str, value: Any, wanted: Any) -> bool | None:
    if not isinstance(wanted, list):
        # A text in a text is looked for; anything else is refused, and counts as no.
        return None if isinstance(value, str) and isinstance(wanted, str) else False
    return (value in wanted) == (op == "in")


# --- samples --------------------------------------------------------------------------------------------------------


def _samples(kind: str, tests: list[ValueTest]) -> list[Any]:
    """What a value that is there may look like; empty where there are too many constants."""
    constants: list[Any] = []
    for test in tests:
        constants += test.value if isinstance(test.value, list) else [test.value]
        constants += [test.value] if isinstance(test.value, list) else []
    if len(constants) > MOST_CONSTANTS:
        return []
    numbers = [float(each) if kind == "float" else each for each in constants if _is_number(each)]
    if kind in _COUNTS:
        around = sorted({math.floor(each) + step for each in [0, *numbers] for step in (-1, 0, 1, 2)})
        return [each for each in around if kind == "integer" or each >= 0]
    if kind == "float":
        return [*_numbers(numbers), math.nan]
    if kind in _DAYS:
        return [*_numbers(numbers), None]
    texts = [each for each in constants if isinstance(each, str)]
    if tests[0].only_text:
        return _texts(texts, kind)
    others = [each for each in constants if isinstance(each, list | dict)]
    return [*_texts(texts, kind), *_numbers(numbers), *others, [], ["\0"], {}, _STRANGE]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _numbers(constants: Iterable[float]) -> list[float]:
    """Each constant, zero, and something below, between and above."""
    known = sorted({0, *constants})
    between = [low + (high - low) / 2 for low, high in pairwise(known)]
    return [known[0] - 1, *known, *between, known[-1] + 1]


def _texts(constants: Iterable[str], kind: str) -> list[str]:
    """Each constant, the empty text, and something right behind each. What is normalized has small letters and no space
    around it, so that nothing equals other constants."""
    known = sorted({"", *constants})
    equal = [each for each in known if each not in WORDS and (kind != "normalize" or each == each.strip().lower())]
    return [*equal, *(f"{each}\0" for each in known)]
