"""Files against their JSON Schema (2020-12), told as people would: where, what, and how to mend it.

jsonschema walks the schema, with a few ``keywords`` of our own; this module chooses the errors and words them. Of an
``anyOf`` only the branch the writer meant is told, the one whose type fits. Formats are checked, not only noted.
Patterns are trusted: one with nested repetitions can take very long.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final, cast

from finops_policy.errors import did_you_mean
from finops_policy.keywords import FORMATS, draft_7, draft_2020_12
from finops_policy.library import library_root
from finops_policy.marks import Diagnostic
from finops_policy.sources import Document, Steps, shown
from finops_policy.yaml_words import QUOTE, UNQUOTE

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError
    from jsonschema.validators import Draft202012Validator

RULE: Final = "schema"

_TYPES: Final = {
    "string": "text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true/false",
    "array": "a list",
    "object": "a mapping",
    "null": "empty",
}
_MOST_NAMED: Final = 12


@cache
def schema(kind: str) -> dict[str, Any]:
    """The JSON Schema of a kind of file, such as ``policy``. It is shared: never change it."""
    text = library_root().joinpath("schemas", f"{kind}.schema.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def validate(document: Document, kind: str) -> list[Diagnostic]:
    """All that is wrong with a file of this kind, in the file's order; empty when it is right."""
    expected = schema(kind)
    if (stranger := _stranger(document, expected)) is not None:
        return [stranger]
    found = []
    for told in _tell(_validator(kind).iter_errors(document.data), f"a {expected['title'].lower()} file"):
        mark = document.key_mark(*told.steps) if told.of_key else document.mark(*told.steps)
        found.append(Diagnostic(RULE, told.sentence(), mark, told.hint))
    return sorted(found, key=lambda diagnostic: diagnostic.mark)


@cache
def _validator(kind: str) -> Draft202012Validator:
    return draft_2020_12()(schema(kind))


def check_value(schema: Mapping[str, Any], value: object) -> str:
    """What is wrong with a parameter's value, as a sentence without its subject; empty when the value fits the schema.

    >>> check_value({"type": "integer", "maximum": 455}, 500)
    'must be at most 455: got 500'
    """
    plain = list(value) if isinstance(value, tuple) else value
    for told in _tell(draft_2020_12()(schema).iter_errors(plain), "the value"):
        return f"is wrong: {_subject(told.steps, 'the list')} {told.what}" if told.steps else told.what
    return ""


def mistakes(schema: Mapping[str, Any], value: object, root: str) -> Iterator[Mistake]:
    """What a schema of draft 7, such as Cloud Custodian's, has against a value; ``root`` is what the whole is called.

    Patterns and formats are taken as jsonschema takes them, like Cloud Custodian does.
    """
    return _tell(draft_7()(schema).iter_errors(value), root)


def _stranger(document: Document, expected: Mapping[str, Any]) -> Diagnostic | None:
    """Whether the file is of another kind or version: nothing else it says would make sense then.

    Files of other programs, such as Cloud Custodian's, have no kind.
    """
    data = document.data
    constants = {key: each["const"] for key, each in expected["properties"].items() if "const" in each}
    if not isinstance(data, dict):
        first = f"kind: {constants['kind']}" if constants else f"{expected['required'][0]}:"
        message, hint = f"the file must be a mapping: got {_got(data)}", f"Begin with `{first}`."
        return Diagnostic(RULE, message, document.mark(), hint)
    for key in ("kind", "apiVersion") if constants else ():
        right = constants[key]
        if data.get(key) != right:
            fault = f"must be {right} here: got {_got(data[key])}" if key in data else "is missing"
            return Diagnostic(RULE, f"`{key}` {fault}", document.mark(key), f"Write `{key}: {right}`.")
    return None


# --- From errors to words -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake: ``what`` follows the subject that ``steps`` name; the mistake is in the key when ``of_key``.

    ``error`` is jsonschema's.
    """

    steps: Steps
    what: str
    hint: str
    error: ValidationError = field(repr=False)
    of_key: bool = False

    def sentence(self, root: str = "the file") -> str:
        return f"{_subject(self.steps, root)} {self.what}"


def _tell(errors: Iterable[ValidationError], root: str) -> Iterator[Mistake]:
    """Each error in words, an ``anyOf`` reduced to the branch that was meant; ``root`` is what the whole is called."""
    for error in errors:
        steps = tuple(error.absolute_path)
        keyword = str(error.validator)
        if keyword in ("anyOf", "oneOf") and (meant := _meant(error)):
            yield from _tell(meant, root)
        elif keyword == "propertyNames":
            for told in _tell(error.context or (), root):
                what = f"cannot be a key here: it {told.what.partition(': got')[0]}"
                yield Mistake(steps, what, told.hint, error, of_key=True)
        elif keyword == "additionalProperties":
            hint = did_you_mean(str(error.instance), _schema_of(error).get("properties", {}))
            yield Mistake(steps, f"is not a key of {_subject(steps[:-1], root)}", hint, error, of_key=True)
        elif keyword == "required":
            where = f" in {_subject(steps[:-1])}" if steps[:-1] else ""
            meaning = _schema_of(error).get("properties", {}).get(error.instance, {}).get("description", "")
            yield Mistake(steps, f"is missing{where}", f"Add it. {meaning}".rstrip(), error)
        else:
            yield Mistake(steps, *_WORDS.get(keyword, _other)(error), error)


def _meant(error: ValidationError) -> list[ValidationError]:
    """The errors of the branch whose type fits the value; none when no type fits. Of several that fit, the first one
    that is for such words, and for a mapping of this ``type`` and so many keys."""
    branches: dict[str | int, list[ValidationError]] = {}
    for inner in error.context or ():
        branches.setdefault(inner.relative_schema_path[0], []).append(inner)
    fitting = [
        inners
        for inners in branches.values()
        if not any(inner.validator == "type" and not inner.relative_path for inner in inners)
    ]
    return min(fitting, key=_strangeness, default=[])


def _strangeness(branch: Iterable[ValidationError]) -> int:
    """How surely a branch is for something else: for other words or more keys, or for a mapping of another ``type``."""
    words = [inner for inner in branch if inner.validator in ("enum", "const", "maxProperties", "minProperties")]
    return max(
        (2 - len(inner.relative_path) for inner in words if list(inner.relative_path) in ([], ["type"])), default=0
    )


def _subject(steps: Steps, root: str = "the file") -> str:
    if not steps:
        return root
    last = steps[-1]
    return shown(last) if isinstance(last, str) else f"item {last + 1} of {_subject(steps[:-1], root)}"


def _got(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case bool() | int() | float():
            return json.dumps(value)
        case str():
            return f"the text {shown(value)}" if value else "an empty text"
        case list():
            return "a list"
        case _:
            return "a mapping"


def _schema_of(error: ValidationError) -> Mapping[str, Any]:
    return error.schema if isinstance(error.schema, Mapping) else {}


def _rule(error: ValidationError) -> Any:
    """What the schema asks for: the value of the keyword that the error is of."""
    return error.validator_value


def _description(error: ValidationError) -> str:
    return str(_schema_of(error).get("description", ""))


def _type(error: ValidationError) -> tuple[str, str]:
    """Of ``type`` itself, and of an ``anyOf`` that no branch's type fits."""
    branches = [error.schema] if error.validator == "type" else _rule(error)
    types: list[str] = []
    for branch in branches:
        named = branch.get("type", ()) if isinstance(branch, Mapping) else ()
        types += [named] if isinstance(named, str) else named
    names = [_TYPES[name] for name in dict.fromkeys(types) if not (name == "integer" and "number" in types)]
    wanted = " or ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
    hint = f"{_type_hint(types, error.instance)} {_description(error)}".strip()
    if not wanted:
        return f"has none of the forms that it may have here: got {_got(error.instance)}", hint
    return f"must be {wanted}: got {_got(error.instance)}", hint


def _type_hint(types: Sequence[str], value: object) -> str:
    """What people most often do wrong in YAML."""
    if value is None:
        return "Write a value after the colon, or remove the key."
    if "string" in types and "object" not in types and isinstance(value, bool | int | float):
        return QUOTE
    if {"integer", "number"} & set(types) and isinstance(value, str) and value.strip("+-").isdecimal():
        return UNQUOTE
    if "boolean" in types and isinstance(value, str) and value.lower() in ("true", "false"):
        return UNQUOTE
    if "array" in types and not isinstance(value, dict | list):
        return "Write a list: `[one, two]`, or `- one` on a line of its own."
    return ""


def _enum(error: ValidationError) -> tuple[str, str]:
    allowed = [value if isinstance(value, str) else json.dumps(value) for value in _rule(error)]
    near = did_you_mean(error.instance, allowed) if isinstance(error.instance, str) else ""
    if len(allowed) > _MOST_NAMED:
        what = f"is none of the {len(allowed)} values allowed: got {_got(error.instance)}"
        return what, near if near.startswith("Did you mean") else f"Allowed: {', '.join(allowed)}."
    one_of = "one of " if len(allowed) > 1 else ""
    what = f"must be {one_of}{', '.join(allowed)}: got {_got(error.instance)}"
    return what, near if near.startswith("Did you mean") else _description(error)


def _pattern(error: ValidationError) -> tuple[str, str]:
    hint = f"{_description(error)} It must match {error.validator_value}".lstrip()
    return f"does not have the right form: got {_got(error.instance)}", hint


def _format(error: ValidationError) -> tuple[str, str]:
    return f"must be {FORMATS[str(error.validator_value)][1]}: got {_got(error.instance)}", _description(error)


def _unique(error: ValidationError) -> tuple[str, str]:
    return f"repeats an earlier item: {_got(error.instance)}", "Remove it."


def _const(error: ValidationError) -> tuple[str, str]:
    return f"must be {json.dumps(error.validator_value)}: got {_got(error.instance)}", _description(error)


def _other(error: ValidationError) -> tuple[str, str]:
    return f"breaks the rule {error.validator} of the schema", _description(error)


def _bound(words: str) -> Callable[[ValidationError], tuple[str, str]]:
    return lambda error: (f"{words} {error.validator_value}: got {_got(error.instance)}", _description(error))


def _count(words: str, unit: str) -> Callable[[ValidationError], tuple[str, str]]:
    def told(error: ValidationError) -> tuple[str, str]:
        limit, count = _rule(error), len(cast("Sized", error.instance))
        return f"{words} {limit} {unit}{'' if limit == 1 else 's'}: got {count}", _description(error)

    return told


_WORDS: Final[Mapping[str, Callable[[ValidationError], tuple[str, str]]]] = {
    "type": _type,
    "anyOf": _type,
    "oneOf": _type,
    "enum": _enum,
    "const": _const,
    "pattern": _pattern,
    "format": _format,
    "uniqueItems": _unique,
    "minimum": _bound("must be at least"),
    "maximum": _bound("must be at most"),
    "exclusiveMinimum": _bound("must be more than"),
    "exclusiveMaximum": _bound("must be less than"),
    "minLength": _count("must have at least", "character"),
    "maxLength": _count("must have at most", "character"),
    "minItems": _count("must have at least", "item"),
    "maxItems": _count("must have at most", "item"),
    "minProperties": _count("must have at least", "key"),
    "maxProperties": _count("must have at most", "key"),
}
