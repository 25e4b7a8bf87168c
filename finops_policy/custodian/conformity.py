"""A policy against c7n's own schema: all that is wrong, each at its place, and no more than that.

c7n tries a policy against every filter it has and says that none fits. Here the writer's own words decide what was
meant: a filter is held against the schema of the filter that its ``type`` names, and of nothing else. Whether a policy
is right is left to c7n's whole schema; the words are only for those that it refuses.

Like c7n, this lets text in braces stand where another type is asked for: it is a variable that is not expanded yet.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from finops_policy.custodian.faults import Fault, Steps
from finops_policy.custodian.knowledge import Element, Knowledge, ResourceType
from finops_policy.errors import did_you_mean
from finops_policy.sources import shown

if TYPE_CHECKING:
    from finops_policy.validation import Mistake

GROUPS: Final = ("and", "or", "not")
SCHEMA: Final = "schema"
_BRACES: Final = "Cloud Custodian takes a variable for it only in a filter or an action that is in no group."
_FREE: Final = "Under `metadata` a policy may say whatever you like."
_WHY_NONE: Final = "Cloud Custodian's schema refuses the policy"


def unknown_resource(resource: str, knowledge: Knowledge) -> Fault:
    name = resource if "." in resource else f"aws.{resource}"
    hint = _nearest(name, knowledge.names()) or "`custodian schema aws` lists the types."
    return Fault(("resource",), "unknown-resource", f"c7n has no resource type {shown(name)}", hint)


def stray_keys(document: Mapping[str, Any], knowledge: Knowledge) -> Iterator[Fault]:
    """Keys that no policy has, of one whose resource type is not known."""
    known = knowledge.common["policy"]["properties"]
    for key in document:
        if key not in known:
            hint = _nearest(key, known) or _FREE
            yield Fault((key,), SCHEMA, f"{shown(key)} is not a key of a policy", hint, of_key=True)


def faults(document: Mapping[str, Any], type_: ResourceType, knowledge: Knowledge) -> list[Fault]:
    """What c7n's schema has against a policy; empty when it fits. All values must be such as JSON has.

    A filter that is nothing but a ``type`` passes c7n's schema whatever it says: for a comparison with a key named
    `type`. It is none to the rest of c7n, which knows no such filter.
    """
    explanation = _Explanation(type_, knowledge)
    if type_.accepts(document):
        return list(explanation.of_names(document))
    found = list(explanation.of_policy(document))
    if found or explanation.in_braces:
        return found or _unforgiven(document, explanation.in_braces)
    error = next(iter(type_.errors(document)))
    return [Fault(tuple(error.instance_path), SCHEMA, f"{_WHY_NONE}: {error.message[:200]}", "")]


def _unforgiven(document: Mapping[str, Any], in_braces: list[Fault]) -> list[Fault]:
    """Nothing, where c7n finds the first text in braces, and then forgives them all. Inside of groups it does not."""
    from finops_policy.custodian.refusals import unfit

    return in_braces if unfit(document) else []


class _Explanation:
    """``in_braces`` gathers what c7n may forgive: text in braces where another type is asked for."""

    def __init__(self, type_: ResourceType, knowledge: Knowledge) -> None:
        self._type = type_
        self._knowledge = knowledge
        self.in_braces: list[Fault] = []

    def of_policy(self, document: Mapping[str, Any]) -> Iterator[Fault]:
        rest = {
            key: value for key, value in document.items() if key not in ("filters", "actions", "mode", "conditions")
        }
        yield from self._told(self._type.schema, rest, (), "a policy")
        for section, what, known in (
            ("filters", "filter", self._type.filters),
            ("actions", "action", self._type.actions),
            ("conditions", "condition", _CONDITIONS),
        ):
            if section in document:
                yield from self._of_list(document[section], (section,), what, known)
        if "mode" in document:
            yield from self._of_mode(document["mode"])

    def of_names(self, document: Mapping[str, Any]) -> Iterator[Fault]:
        """What is wrong with the names of elements of a policy that fits the schema."""
        yield from self._names(document.get("filters", ()), ("filters",), "filter", self._type.filters)
        yield from self._names(document.get("actions", ()), ("actions",), "action", self._type.actions)
        yield from self._names(document.get("conditions", ()), ("conditions",), "condition", _CONDITION_NAMES)

    def _names(self, items: Sequence[Any], steps: Steps, what: str, known: Collection[str]) -> Iterator[Fault]:
        for index, item in enumerate(items):
            place = (*steps, index)
            if isinstance(item, str):
                if item in GROUPS and what != "action":
                    yield self._unknown(item, place, what, known)
            elif not item or (what == "action" and "type" not in item):
                yield from self._of_item(item, place, what, {})
            elif len(item) == 1 and what != "action":
                [(key, value)] = item.items()
                inner = (*place, key)
                if key in GROUPS and isinstance(value, list):
                    yield from self._names(value, inner, what, known)
                elif key in GROUPS and value != "":  # in which c7n finds no filters, and is content
                    yield Fault(inner, SCHEMA, f"`{key}` must be a list of {what}s", "")
                elif key == "type" and not isinstance(value, str):
                    yield Fault(inner, SCHEMA, "`type` must be text", "")
                elif key == "type" and (value in GROUPS or value not in known):
                    yield self._unknown(value, inner, what, known)

    def _of_list(self, items: Any, steps: Steps, what: str, known: Mapping[str, Element]) -> Iterator[Fault]:
        if not isinstance(items, list):
            yield from self._told({"type": "array"}, items, steps, f"`{steps[-1]}`", firm=True)
            return
        for index, item in enumerate(items):
            yield from self._of_item(item, (*steps, index), what, known)

    def _of_item(self, item: Any, steps: Steps, what: str, known: Mapping[str, Element]) -> Iterator[Fault]:
        if isinstance(item, str) and what != "condition":
            element = known.get(item)
            if element is None or element.kind == "group":
                yield self._unknown(item, steps, what, known)
            elif element.alias:
                hint = f"Write `type: {item}` as a mapping."
                yield Fault(steps, SCHEMA, f"the {what} {shown(item)} cannot be one word", hint)
        elif not isinstance(item, Mapping):
            types = "object" if what == "condition" else ["object", "string"]
            for fault in self._told({"type": types}, item, steps, f"an {what}" if what == "action" else f"a {what}"):
                yield replace(fault, hint="Write one `-` before it, not two.") if isinstance(item, list) else fault
        elif "type" in item:
            yield from self._of_typed(item, steps, what, known)
        elif what != "action" and (group := next((each for each in GROUPS if each in item), "")):
            yield from self._of_group(group, item, steps, what, known)
        elif what != "action" and len(item) == 1 and _comparable(*item.values()):
            return
        elif near := _near("type", item):
            yield Fault((*steps, near), SCHEMA, f"{shown(near)} must be `type`", "Correct the spelling.", of_key=True)
        elif what == "action" or not item or len(item) > 2 or "key" in item:
            hint = f"Add `type:`, which says what {what} it is."
            yield Fault(steps, SCHEMA, f"the {what} has no `type`", hint)
        else:
            yield self._of_short(item, steps, what)

    def _of_short(self, item: Mapping[str, Any], steps: Steps, what: str) -> Fault:
        """``{key: value}``, of which one of the two is wrong, or with another beside it."""
        key, *more = item
        if more:
            sentence = f"{shown(more[0])} cannot stand beside {shown(key)} in a {what} without `type`"
            hint = f"Put it into a {what} of its own, or add `type: value` and write `key: {key}`."
            return Fault((*steps, more[0]), SCHEMA, sentence, hint, of_key=True)
        if group := next((each for each in GROUPS if _near(each, item)), ""):
            return Fault((*steps, key), SCHEMA, f"{shown(key)} must be `{group}`", "Correct the spelling.", of_key=True)
        sentence = f"{shown(key)} can only be compared with text, a number, true/false or null here"
        hint = f"Write `type: value`, `key: {key}`, `op: in` and `value:` for a list."
        return Fault((*steps, key), SCHEMA, sentence, hint, of_key=True)

    def _of_typed(
        self, item: Mapping[str, Any], steps: Steps, what: str, known: Mapping[str, Element]
    ) -> Iterator[Fault]:
        name = item["type"]
        if not isinstance(name, str):
            yield from self._told({"type": "string"}, name, (*steps, "type"), "`type`")
            return
        element = known.get(name)
        if element is None or element.kind == "group":
            yield self._unknown(name, (*steps, "type"), what, known)
            return
        root = f"the {what} {name}" if what == "condition" else f"the {what} {name} of {self._type.name}"
        yield from self._told(self._refer(element.reference), item, steps, root)

    def _of_group(
        self, group: str, item: Mapping[str, Any], steps: Steps, what: str, known: Mapping[str, Element]
    ) -> Iterator[Fault]:
        yield from self._of_list(item[group], (*steps, group), what, known)
        for key in item:
            if key != group:
                hint = f"Put it into a {what} of its own, beside or inside of `{group}`."
                yield Fault((*steps, key), SCHEMA, f"{shown(key)} cannot stand beside `{group}`", hint, of_key=True)

    def _of_mode(self, mode: Any) -> Iterator[Fault]:
        name = mode.get("type") if isinstance(mode, Mapping) else None
        if isinstance(name, str) and name not in self._knowledge.modes:
            hint = _nearest(name, self._knowledge.modes) or "`custodian schema mode` lists them."
            yield Fault(("mode", "type"), "unknown-mode", f"there is no mode {shown(name)}", hint)
        elif isinstance(name, str):
            yield from self._told(self._define(self._knowledge.modes[name]), mode, ("mode",), f"mode {name}")
        else:
            schema = {"type": "object", "required": ["type"], "properties": {"type": {"type": "string"}}}
            yield from self._told(schema, mode, ("mode",), "`mode`", firm=True)

    def _unknown(self, name: str, steps: Steps, what: str, known: Collection[str]) -> Fault:
        if name in GROUPS:
            hint = f"Write `{name}:` with a list of {what}s below it."
            return Fault(steps, f"unknown-{what}", f"`{name}` is no {what}, but a group of {what}s", hint)
        owner = "" if what == "condition" else f"{self._type.name} has "
        if what == "filter" and name in self._type.actions:
            hint = "It is an action: put it under `actions`."
        elif what == "action" and name in self._type.filters:
            hint = "It is a filter: put it under `filters`."
        else:
            hint = _nearest(name, known) or f"`custodian schema {self._type.name}.{what}s` lists them."
        sentence = f"{owner}no {what} {shown(name)}" if owner else f"there is no {what} {shown(name)}"
        return Fault(steps, f"unknown-{what}", sentence, hint)

    def _refer(self, reference: str) -> dict[str, Any]:
        return {"$ref": reference, "definitions": self._type.schema["definitions"]}

    def _define(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        return {**schema, "definitions": self._type.schema["definitions"]}

    def _told(
        self, schema: Mapping[str, Any], value: Any, steps: Steps, root: str, *, firm: bool = False
    ) -> Iterator[Fault]:
        """``firm``: c7n takes no text in braces instead."""
        from finops_policy.validation import mistakes

        found = list(mistakes(schema, value, root))
        strange = {mistake.steps for mistake in found if mistake.of_key}
        mistyped = {mistake.steps for mistake in found if mistake.error.validator == "type"}
        for mistake in found:
            if mistake.steps in mistyped and mistake.error.validator != "type":
                continue  # what else is wrong with a value of the wrong type only follows from that
            place = (*steps, *mistake.steps)
            fault = Fault(place, SCHEMA, mistake.sentence(root), _hint(mistake, place), mistake.of_key)
            if _is_placeholder(mistake) and not firm:
                self.in_braces.append(replace(fault, hint=_BRACES))
            elif not (near := _misspelt(mistake, value)):
                yield fault
            elif (*mistake.steps[:-1], near) not in strange:  # or else it is told, with the name that was meant
                hint = f"Did you mean it by {shown(near)}?"
                yield replace(fault, steps=(*place[:-1], near), hint=hint, of_key=True)


def _comparable(value: Any) -> bool:
    """Whether c7n's short form takes a value: no mapping, and of lists only the empty one."""
    return value == [] or not isinstance(value, list | Mapping)


def _hint(mistake: Mistake, place: Steps) -> str:
    if place == ("name",) and mistake.error.validator == "pattern":
        return "Begin with a letter, and use letters, digits and single hyphens."
    return mistake.hint or (_FREE if mistake.of_key and len(place) == 1 else "")


def _misspelt(mistake: Mistake, value: Any) -> str:
    """The key that is there in the place of a missing one; empty where there is none like it."""
    if mistake.error.validator != "required":
        return ""
    *way, missing = mistake.steps
    for step in way:
        value = value[step]
    return _near(str(missing), value)


def _nearest(name: str, known: Collection[str]) -> str:
    """A hint: c7n's names are in lower case, with hyphens."""
    usual = name.strip().lower().replace("_", "-")
    return f"Did you mean {usual}?" if usual in known else did_you_mean(usual, known)


def _near(word: str, keys: Iterable[str]) -> str:
    """The key that is but a slip away from a word."""
    from difflib import get_close_matches  # for those who make mistakes

    plain = {key.strip().lower(): key for key in keys}
    return next((plain[each] for each in get_close_matches(word, plain, n=1, cutoff=0.74)), "")


def _is_placeholder(mistake: Mistake) -> bool:
    value = mistake.error.instance
    return mistake.error.validator == "type" and isinstance(value, str) and value[:1] == "{" and value[-1:] == "}"


_CONDITIONS: Final = {
    "value": Element("value", "#/definitions/filters/value", "value"),
    "event": Element("event", "#/definitions/filters/event"),
}
_CONDITION_NAMES: Final = frozenset({*_CONDITIONS, "list-item", "reduce"})
"""Those that c7n can make where no setting beside ``type`` tells its schema what they are."""
