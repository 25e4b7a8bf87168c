"""What a run recorded of one resource, brought back into the form that c7n's filters read.

An evaluation's facts are the values that filters read. Each is taken back to the filter that read it, through the
policy as it was compiled for the run: only then it is known what exactly was read (of a metric the period, of a value
the expression applied to it). What cannot be told apart is not used.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from finops_policy.changes.filters import GROUPS, UNITS, is_age, normal, text
from finops_policy.model import Evaluation, Fact, Verdict
from finops_policy.redaction import WITHHELD

LOWEST: Final = frozenset({"gt", "ge", "gte", "greater-than"})
"""Operators for which the lowest datapoint is recorded, the one that decides; for all others it is the highest."""
HIGHEST: Final = frozenset({"lt", "le", "lte", "less-than"})
PRESENCE: Final = ("absent", "present", "empty", "not-null")
"""Values of a value filter that ask whether there is something; a value that is withheld is not empty."""
ANNOTATION: Final = "c7n"
"""How keys begin that filters write into a resource, for later filters of the same policy."""

_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_DATAPOINTS = re.compile(r"\((?:(?P<count>\d+) datapoints|no datapoints, filled in)\)")
_DEFAULTS: Final = {"days": 14, "statistics": "Average", "period-start": "auto"}
_JUDGES: Final = ("type", "value", "op", "percent-attr", "attr-multiplier")
"""What a metrics filter does with datapoints, not which it reads."""

Key = tuple[str, str, str]
"""What a value filter reads: key, value_regex, tag_key_transforms."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A metric as recorded. ``value`` is the datapoint that decided under ``op``; None where there was none."""

    op: str
    value: float | None
    count: int
    filled: bool

    def serves(self, op: str) -> bool:
        """Whether the datapoint decides under another operator as well: all others are on the same side of it."""
        if self.value is None or self.filled or self.count == 1:
            return True
        return op in LOWEST if self.op in LOWEST else op in HIGHEST


class Gap(Exception):  # noqa: N818 - a reason, not an error
    """What was not recorded; caught where filters are judged."""


class NotRead(Gap):
    """A filter reads more than is ever recorded: only its own answer may serve."""


@dataclass(slots=True)
class Memory:
    """Everything recorded of one resource. ``id_path`` is where c7n's resource has its id."""

    resource_type: str
    resource_id: str
    id_path: str
    arn: str
    tags: Mapping[str, str]
    evaluations: dict[str, Evaluation] = field(default_factory=dict)
    twice: bool = False
    """Whether two resources have this id and ARN: what was recorded is of one or the other."""
    _values: dict[Key, list[Any]] = field(default_factory=dict)
    _notes: dict[tuple[str, str], Any] = field(default_factory=dict)
    _dates: dict[str, list[Any]] = field(default_factory=dict)
    _readings: dict[str, list[Reading]] = field(default_factory=dict)
    _answers: dict[str, set[bool]] = field(default_factory=dict)
    _tags_read: bool = False

    def add(self, evaluation: Evaluation, filters: Sequence[Any]) -> None:
        """``filters`` are those of the compiled policy that judged."""
        self.twice = self.twice or evaluation.policy in self.evaluations
        self.evaluations[evaluation.policy] = evaluation
        doubtful = evaluation.verdict is Verdict.UNKNOWN
        author = author_of(evaluation.policy, filters)
        for fact in () if doubtful else evaluation.facts:
            if not fact.key and isinstance(fact.expected, Mapping):  # c7n may have completed what was written
                self._answer({"type": fact.filter, **fact.expected}, fact)
        mixed = _mixed_up(filters)
        for leaf, fact in aligned(leaves(filters), evaluation.facts):
            if not doubtful:
                self._answer(leaf, fact)
            if _reads_metric(fact):
                if _series(leaf) in mixed:
                    continue
                self._readings.setdefault(_metric(leaf), []).append(_reading(fact))
            elif fact.key == "age" and fact.filter == leaf["type"]:
                self._add(self._dates, fact.filter, fact.value)
            elif leaf["type"] == "value" and fact.key:
                self._remember(leaf, fact, author, doubtful=doubtful)

    def _answer(self, leaf: Mapping[str, Any], fact: Fact) -> None:
        self._answers.setdefault(text(leaf), set()).add(fact.matched)

    def _remember(self, leaf: Mapping[str, Any], fact: Fact, author: str, *, doubtful: bool) -> None:
        if self.resource_type == "aws.s3" and doubtful and fact.value is None:
            return  # a part of the bucket that was denied looks like one that is not there
        self._tags_read = self._tags_read or fact.key.startswith("tag:")
        if fact.key.startswith(ANNOTATION):
            self._notes[author, fact.key] = fact.value
        else:
            self._add(self._values, _key(leaf), fact.value)
        if leaf.get("value_type") == "expr":  # what it compared with is an expression, recorded by its value
            self._add(self._values, _key(leaf, str(leaf.get("value"))), fact.expected)

    @staticmethod
    def _add(into: dict[Any, list[Any]], key: Any, value: Any) -> None:
        found = into.setdefault(key, [])
        if text(value) not in map(text, found):
            found.append(value)

    # --- reading -----------------------------------------------------------------------------------------------------

    def document(self) -> dict[str, Any]:
        """As much of the resource as is known, in the shape that c7n has: what filters read by a plain path."""
        made: dict[str, Any] = {}
        for (key, regex, transforms), values in sorted(self._values.items(), key=lambda each: len(each[0][0])):
            if not regex and not transforms and len(values) == 1 and _PATH.fullmatch(key):
                _put(made, key.split("."), values[0])
        _put(made, self.id_path.split("."), self.resource_id)
        if self._knows_tags():
            made["Tags"] = [{"Key": key, "Value": value} for key, value in self.tags.items()]
        return made

    def value(self, leaf: Mapping[str, Any], key: str, author: str) -> tuple[bool, Any]:
        """Whether exactly this was read, and what it was; otherwise it can be read in :meth:`document`. Raises
        :class:`Gap` for what was not recorded. ``author`` is who would have written notes into the resource."""
        if key.startswith("tag:"):
            self._need_tag(leaf, key)
            return False, None
        if key.startswith(ANNOTATION):
            if (author, key) not in self._notes:
                raise Gap(f"{key} was not recorded")
            return True, self._notes[author, key]
        if (values := self._values.get(_key(leaf, key))) is not None:
            return True, _only(values, key)
        if not _PATH.fullmatch(key) or not self._knows(key):
            raise Gap(f"{key} was not recorded")
        return False, None

    def _knows(self, path: str) -> bool:
        """Whether the path, or something around it, was read whole."""
        if path == self.id_path:
            return True
        parts = path.split(".")
        for end in range(1, len(parts) + 1):
            around = ".".join(parts[:end])
            if (values := self._values.get((around, "", ""))) is not None:
                _only(values, around)
                return True
        return False

    def _need_tag(self, leaf: Mapping[str, Any], key: str) -> None:
        if not self._knows_tags():
            raise Gap("tags were not recorded")
        withheld = self.tags.get(key.removeprefix("tag:")) == WITHHELD
        transformed = "tag_key_transforms" in leaf and WITHHELD in self.tags.values()
        asks_presence = leaf.keys() == {"type", "key", "value"} and leaf["value"] in PRESENCE
        if transformed or (withheld and not asks_presence):
            raise Gap(f"the value of {key} is withheld by the profile")

    def _knows_tags(self) -> bool:
        """Of a bucket, no tags may mean that they were denied, unless some policy read them."""
        return self.resource_type != "aws.s3" or bool(self.tags) or self._tags_read

    def date(self, kind: str) -> str | None:
        if kind not in self._dates:
            raise Gap(f"the date that {kind} reads was not recorded")
        found: str | None = _only(self._dates[kind], kind)
        return found

    def reading(self, leaf: Mapping[str, Any]) -> Reading:
        name = f"metric {leaf.get('name')} {leaf.get('statistics', 'Average')} over {leaf.get('days', 14)} days"
        found = self._readings.get(_metric(leaf))
        if not found:
            raise Gap(f"{name} was not recorded, or with another period, dimensions or missing-value")
        op = str(leaf.get("op", "less-than"))
        serving = [each for each in found if each.serves(op)]
        if not serving:
            raise Gap(f"{name} was recorded for a limit on the other side: the datapoint that decides is not known")
        return serving[0]

    def answer(self, leaf: Mapping[str, Any]) -> bool | None:
        """What c7n answered to exactly this filter; None where it was not asked, or did not always say the same."""
        found = self._answers.get(text(leaf), set())
        return next(iter(found)) if len(found) == 1 else None


def _only(values: list[Any], key: str) -> Any:
    if len(values) > 1:
        raise Gap(f"{key} was recorded with different values")
    if WITHHELD in text(values[0]):
        raise Gap(f"{key} is withheld by the profile")
    return values[0]


def _put(into: dict[str, Any], path: Sequence[str], value: Any) -> None:
    """What something around the path says already is left as it is."""
    *above, last = path
    for step in above:
        into = into.setdefault(step, {})
        if not isinstance(into, dict):
            return
    into.setdefault(last, value)


# --- facts and filters ------------------------------------------------------------------------------------------------


def leaves(filters: Iterable[Any]) -> Iterator[Mapping[str, Any]]:
    """Every filter, those inside of groups too, in the order written, in its long form."""
    for each in filters:
        made = normal(each)
        group = next((name for name in GROUPS if name in made and len(made) == 1), "")
        if group:
            yield from leaves(made[group])
        else:
            yield made


def author_of(policy: str, filters: Iterable[Any]) -> str:
    """Tells policies apart whose filters may write different notes into a resource."""
    others = (each for each in leaves(filters) if each["type"] not in ("value", "metrics") and not is_age(each["type"]))
    return text([policy, *others])


def aligned(written: Iterable[Mapping[str, Any]], facts: Sequence[Fact]) -> Iterator[tuple[Mapping[str, Any], Fact]]:
    """Each fact with the filter that it is of. Filters that never saw the resource have none; a fact that may be of
    several different filters is left out."""
    known = list(written)
    start = 0
    for fact in facts:
        candidates = [index for index, leaf in enumerate(known) if _may_be_of(fact, leaf)]
        index = next((each for each in candidates if each >= start), None)
        if index is None:
            continue
        start = index + 1
        if len({text(known[each]) for each in candidates}) == 1:
            yield known[index], fact


def _may_be_of(fact: Fact, leaf: Mapping[str, Any]) -> bool:
    kind = leaf["type"]
    if _reads_metric(fact):
        if kind != "metrics":
            return False
        start = f"{leaf.get('name')} {leaf.get('statistics', 'Average')} over {leaf.get('days', 14)} days ("
        wanted = (str(leaf.get("op", "less-than")), text(leaf.get("value")))
        return fact.key.startswith(start) and (fact.op, text(fact.expected)) == wanted
    if fact.filter != kind:
        return False
    if fact.key == "age" and kind != "value":
        units = {unit: leaf[unit] for unit in UNITS if unit in leaf}
        return (fact.op, text(fact.expected)) == (str(leaf.get("op", "greater-than")), text(units))
    if kind == "value" and fact.key:
        vtype = leaf.get("value_type")
        op = str(leaf.get("op", "eq"))
        if fact.key != leaf.get("key"):
            return False
        if vtype == "expr":
            return fact.op == op
        expected = leaf.get("value", leaf.get("value_from", leaf.get("value_path")))
        return fact.op == (f"{op} ({vtype})" if vtype else op) and text(fact.expected) == text(expected)
    return not fact.key and text(fact.expected) == text({key: value for key, value in leaf.items() if key != "type"})


def _reads_metric(fact: Fact) -> bool:
    return fact.filter == "metrics" and bool(_DATAPOINTS.search(fact.key))


def _reading(fact: Fact) -> Reading:
    found = _DATAPOINTS.search(fact.key)
    count = found and found["count"]
    return Reading(fact.op, fact.value, int(count or 0), filled=not count)


def _mixed_up(filters: Iterable[Any]) -> set[str]:
    """Metrics that filters of one policy read in different ways: c7n gives the datapoints of one to the other."""
    ways: dict[str, set[str]] = {}
    for leaf in leaves(filters):
        if leaf["type"] == "metrics":
            ways.setdefault(_series(leaf), set()).add(_metric(leaf))
    return {series for series, found in ways.items() if len(found) > 1}


def _series(leaf: Mapping[str, Any]) -> str:
    """What c7n keeps datapoints by."""
    return text([leaf.get("name"), leaf.get("statistics", "Average"), leaf.get("days", 14)])


def _metric(leaf: Mapping[str, Any]) -> str:
    """Everything that says which datapoints a metrics filter reads."""
    return text({**_DEFAULTS, **{key: value for key, value in leaf.items() if key not in _JUDGES}})


def _key(leaf: Mapping[str, Any], key: str = "") -> Key:
    transforms = text(leaf["tag_key_transforms"]) if "tag_key_transforms" in leaf else ""
    return key or str(leaf["key"]), str(leaf.get("value_regex", "")), transforms
