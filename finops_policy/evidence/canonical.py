"""JSON that any value can be written to, always as the same bytes.

Facts hold whatever AWS and Cloud Custodian returned. Writing them down must never fail, or one odd value would cost
the evidence of a whole target; so what JSON cannot say becomes text that shows what it was. JSON's own values come back
from :func:`json.loads` exactly as they were. These do not, and come back as text:

- datetimes (ISO 8601, in UTC when they have a zone; none is made up for one that has not), dates, times and durations
- Decimals (every digit), infinities and NaN, integers of more than 4,000 digits (hexadecimal)
- bytes (base64), addresses of :mod:`ipaddress`, objects of any other kind (their type in angle brackets)
- lone surrogates, which UTF-8 has no bytes for (a backslash escape)
- what contains itself, and what lies more than 100 levels deep (a note in angle brackets)

Tuples become lists, sets sorted lists, and keys that are not text become text.
"""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
import json
import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from decimal import Decimal
from typing import TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

_MAX_DEPTH = 100
_MAX_BITS = 13_000  # Python refuses to read or write integers past 4,300 decimal digits


def clean(text: str) -> str:
    """The text as UTF-8 can hold it: lone surrogates become backslash escapes, all else is untouched."""
    return text if text.isascii() else str.encode(text, "utf-8", "backslashreplace").decode()


def encode(value: object, *, indent: int | None = None) -> str:
    """Canonical JSON of any value: sorted keys, no escapes beyond those JSON demands, one spelling for each value."""
    separators = (",", ":") if indent is None else (",", ": ")
    return json.dumps(
        plain(value), ensure_ascii=False, allow_nan=False, sort_keys=True, indent=indent, separators=separators
    )


def plain(value: object, _above: tuple[int, ...] = ()) -> Json:
    """The value in JSON's own types, with everything else spelled out as the module says."""
    match value:
        case str():
            return clean(value)
        case None | bool():
            return value
        case int():
            return int(value) if value.bit_length() <= _MAX_BITS else hex(value)
        case float():
            return float(value) if math.isfinite(value) else str(float(value))
        case dict() | list() | tuple() | Mapping() | AbstractSet():
            return _container(value, _above)
        case _:
            return _text(value)


def _container(
    value: Mapping[object, object] | list[object] | tuple[object, ...] | AbstractSet[object], above: tuple[int, ...]
) -> Json:
    if id(value) in above:
        return "<contains itself>"
    if len(above) >= _MAX_DEPTH:
        return f"<more than {_MAX_DEPTH} levels deep>"
    inside = (*above, id(value))
    if isinstance(value, dict | Mapping):
        return {_key(key): plain(item, inside) for key, item in value.items()}
    items = [plain(item, inside) for item in value]
    return items if isinstance(value, list | tuple) else sorted(items, key=encode)


def _key(key: object) -> str:
    return clean(key) if isinstance(key, str) else encode(key)


def _text(value: object) -> str:
    match value:
        case dt.datetime():
            return _moment(value)
        case dt.date() | dt.time():
            return value.isoformat()
        case bytes() | bytearray():
            return base64.b64encode(value).decode()
        case Decimal() | dt.timedelta():
            return str(value)
        case ipaddress.IPv4Address() | ipaddress.IPv6Address() | ipaddress.IPv4Network() | ipaddress.IPv6Network():
            return str(value)
        case _:
            return f"<{type(value).__module__}.{type(value).__qualname__}>"


def _moment(moment: dt.datetime) -> str:
    if moment.tzinfo is None:
        return moment.isoformat()
    try:
        return moment.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
    except OverflowError:  # within a day of year 1 or 9999
        return moment.isoformat()
