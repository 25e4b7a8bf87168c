"""JSON Schema's keywords as ``validation`` needs them: each mistake told apart, at the key or item that it is of.

Patterns and formats of our own schemas agree with editors where Python differs from ECMA 262: ``$`` is the very end,
``\\d`` and ``\\w`` are ASCII. Those of draft 7, which Cloud Custodian writes, are taken as jsonschema takes them.

Importing jsonschema takes longer than all the rest of a start, hence it is imported late.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError
    from jsonschema.validators import Draft202012Validator

_DOLLAR = re.compile(r"(\\.|\[(?:\\.|[^\]\\])*\])|\$", re.DOTALL)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_ATOM: Final = r"[^\s@\"(),.:;<>\[\\\]]+"
_EMAIL = re.compile(rf"{_ATOM}(\.{_ATOM})*@[\w-]+(\.[\w-]+)+")


@cache
def draft_2020_12() -> type[Draft202012Validator]:
    from jsonschema import validators

    own = {**_told_apart(), "pattern": _match, "format": _check_format}
    extended: type[Draft202012Validator] = validators.extend(  # type: ignore[no-untyped-call]
        validators.Draft202012Validator, own
    )
    return extended


@cache
def draft_7() -> type[Draft202012Validator]:
    from jsonschema import validators

    extended: type[Draft202012Validator] = validators.extend(  # type: ignore[no-untyped-call]
        validators.Draft7Validator, _told_apart()
    )
    return extended


def _told_apart() -> dict[str, Any]:
    return {
        "required": _each_missing,
        "additionalProperties": _each_additional,
        "propertyNames": _each_name,
        "uniqueItems": _each_repeated,
    }


def _mistake(**facts: Any) -> ValidationError:
    from jsonschema.exceptions import ValidationError

    return ValidationError("", **facts)


def _each_missing(_: Draft202012Validator, keys: Iterable[str], instance: Any, __: Any) -> Iterator[ValidationError]:
    if isinstance(instance, dict):
        yield from (_mistake(path=(key,), instance=key) for key in keys if key not in instance)


def _each_additional(
    validator: Draft202012Validator, allowed: Any, instance: Any, schema: Any
) -> Iterator[ValidationError]:
    if isinstance(instance, dict):
        for key in instance.keys() - schema.get("properties", {}).keys():
            if any(re.search(pattern, key) for pattern in schema.get("patternProperties", ())):
                continue
            if allowed is False:
                yield _mistake(path=(key,), instance=key)
            else:
                yield from validator.descend(instance[key], allowed, path=key)


def _each_name(validator: Draft202012Validator, names: Any, instance: Any, _: Any) -> Iterator[ValidationError]:
    if isinstance(instance, dict):
        for key in instance:
            if errors := list(validator.descend(key, names)):
                yield _mistake(path=(key,), instance=key, context=errors)


def _each_repeated(_: Draft202012Validator, unique: bool, instance: Any, __: Any) -> Iterator[ValidationError]:
    if unique and isinstance(instance, list):
        seen: set[str] = set()
        for index, item in enumerate(instance):
            text = json.dumps(item, sort_keys=True)
            if text in seen:
                yield _mistake(path=(index,), instance=item)
            seen.add(text)


def _match(_: Draft202012Validator, pattern: str, instance: Any, __: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not (_is_regex(pattern) and _regex(pattern).search(instance)):
        yield _mistake()


def _check_format(_: Draft202012Validator, name: str, instance: Any, __: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not FORMATS[name][0](instance):
        yield _mistake()


@cache
def _regex(pattern: str) -> re.Pattern[str]:
    """The pattern as ECMA 262 means it; raises ValueError when it is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # "possible nested set" means nothing to who writes a pack
        try:
            return re.compile(_DOLLAR.sub(lambda found: found.group(1) or r"\Z", pattern), re.ASCII)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"not a regular expression: {pattern}") from error


def _is_regex(text: str) -> bool:
    try:
        _regex(text)
    except ValueError:
        return False
    return True


def _is_date(text: str) -> bool:
    try:
        return bool(_DATE.fullmatch(text) and dt.date.fromisoformat(text))
    except ValueError:
        return False


def _is_uri(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return bool(parts.scheme and (parts.netloc or parts.path) and not re.search(r"\s", text))
    except ValueError:
        return False


FORMATS: Final[Mapping[str, tuple[Callable[[str], object], str]]] = {
    "date": (_is_date, "a date such as 2026-12-31"),
    "email": (_EMAIL.fullmatch, "an e-mail address such as finops@example.com"),
    "uri": (_is_uri, "an address such as https://example.com/page"),
    "regex": (_is_regex, "a regular expression"),
}
