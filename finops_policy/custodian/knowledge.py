"""What c7n knows of every resource type of AWS: its filters, its actions, their schemas. Read without importing c7n.

Loading c7n and all of its types takes half a second and 70 MiB, more than linting a thousand policies. So the knowledge
is written to the user's cache folder once for each c7n version, and read from there: an index, and of the types only
those in use. A cache that is missing, of another version, or damaged is made anew; where it cannot be written, the
knowledge is made for this process alone.

The file: a line with the digest of the next one; the index as JSON; then one line of JSON for each type, which the
index places by offset, length and digest.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from finops_policy.waiver_filters import ArnKey

FORMAT: Final = 7
"""Raised whenever this module writes something else: a cache of another format is made anew."""
_VERSION = re.compile(rb"""version\s*=\s*["']([^"'\s/\\]+)["']""")


@dataclass(frozen=True, slots=True)
class Deprecation:
    """``when``: called by the alias in ``names``; has the field in ``names``; ``missing`` all of the fields in
    ``names``; or ``always``. ``text`` and ``removal`` are c7n's words."""

    when: str
    names: tuple[str, ...]
    text: str
    removal: str


@dataclass(frozen=True, slots=True)
class Element:
    """A filter or an action of a resource type.

    ``reference`` is where the type's definitions have its schema, such as ``#/definitions/filters/aws.metrics``; empty
    for ``and``, ``or`` and ``not``. ``kind`` is the c7n class it descends from, as far as anybody asks: ``value``,
    ``age``, ``metrics``, ``marked-for-op``, ``mark-for-op``, ``tag``, ``group``, else empty. ``validate`` and ``init``
    are the qualified names of its methods, empty for the usual ones, which refuse nothing: elements with the same are
    checked by c7n in the same way. An ``alias`` cannot stand alone, as one word.
    """

    name: str
    reference: str = ""
    kind: str = ""
    validate: str = ""
    init: str = ""
    alias: bool = False
    deprecations: tuple[Deprecation, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class ResourceType:
    """A type of AWS, such as ``aws.ec2``. ``names`` are all that a policy's ``resource`` may say for it.

    ``validate`` is the qualified name of its manager's validation, empty for the usual one. ``metrics_namespace`` is
    CloudWatch's, where its metrics filter has a default. ``arn_key`` is where filters find an ARN; None where
    they cannot. ``schema`` is a JSON Schema (draft 7) of its policies, the definitions with it.
    """

    name: str
    names: tuple[str, ...]
    filters: Mapping[str, Element]
    actions: Mapping[str, Element]
    validate: str
    metrics_namespace: str
    arn_key: ArnKey | None
    schema: Mapping[str, Any]

    def accepts(self, document: Mapping[str, Any]) -> bool:
        """Whether c7n's schema has nothing against a policy, which must be made of what JSON has."""
        return bool(_validator(self).is_valid(document))

    def errors(self, document: Mapping[str, Any]) -> Any:
        """What c7n's schema has against a policy, as jsonschema-rs says it."""
        return _validator(self).iter_errors(document)


@lru_cache(maxsize=4)
def _validator(type_: ResourceType) -> Any:
    """Compiled in 1 ms, and 1 MiB large: only the last ones are kept."""
    import jsonschema_rs

    return jsonschema_rs.Draft7Validator(dict(type_.schema), validate_formats=False)


class Knowledge:
    """``version`` is c7n's. Types are read when they are asked for."""

    def __init__(self, version: str, lines: _Lines) -> None:
        self.version = version
        self._index = lines.index
        self._lines = lines
        self._types: dict[str, ResourceType] = {}

    def names(self) -> list[str]:
        """Every name a policy's ``resource`` may have, with ``aws.``."""
        return [name for name in self._index["names"] if name.startswith("aws.")]

    @cached_property
    def modes(self) -> Mapping[str, Mapping[str, Any]]:
        """Execution mode -> its schema."""
        schemas = self.common["policy-mode"]["anyOf"]
        return {str(name): each for each in schemas for name in each["properties"]["type"]["enum"]}

    @cached_property
    def common(self) -> Mapping[str, Any]:
        """The definitions that the schemas of all types refer to."""
        loaded: Mapping[str, Any] = self._lines.read("")
        return loaded

    def type_of(self, resource: str) -> ResourceType | None:
        """The type that a policy's ``resource`` names; None where c7n has none for AWS."""
        name = self._index["names"].get(resource)
        if name is None:
            return None
        if name not in self._types:
            self._types[name] = _type(name, self._lines.read(name), self.common)
        return self._types[name]


def knowledge(folder: Path | None = None) -> Knowledge:
    """What the c7n installed here knows; ``folder`` is where its cache is kept."""
    version = installed_version()
    name = f"c7n-{version}.jsonl"
    with suppress(OSError, RuntimeError, _Damaged):
        return _read((folder or cache_folder()) / name, version)
    content = _build(version)
    with suppress(OSError, RuntimeError):
        _write((folder or cache_folder()) / name, content)
    return _parse(_Lines(content), version)


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/finops-policy``. Raises :class:`RuntimeError` where nobody knows the user's home."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(home) if home.startswith("/") else Path("~/.cache").expanduser()
    return base / "finops-policy"


def installed_version() -> str:
    """c7n's version, as its own file says it: importing it would take half a second."""
    spec = find_spec("c7n")
    locations = spec.submodule_search_locations if spec else None
    if locations:
        with suppress(OSError, IndexError):
            found = _VERSION.search(Path(locations[0], "version.py").read_bytes())
            if found:
                return found.group(1).decode()
    from c7n.version import version

    return str(version)


# --- the cache file ---------------------------------------------------------------------------------------------------


class _Damaged(Exception):  # noqa: N818 - never leaves this module
    """The cache is not what this version of the program has written."""


class _Lines:
    """The content of a cache: of a file, or just made."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        head, _, rest = content.partition(b"\n")
        index, _, _ = rest.partition(b"\n")
        if _sum(index) != head:
            raise _Damaged
        try:
            self.index: Mapping[str, Any] = json.loads(index)
            size, digest = self.index["size"], self.index["sum"].encode()
        except (ValueError, LookupError, TypeError, AttributeError) as error:  # of another format
            raise _Damaged from error
        self._start = len(head) + len(index) + 2
        if len(content) - self._start != size or _sum(memoryview(content)[self._start :]) != digest:
            raise _Damaged

    def read(self, name: str) -> Any:
        offset, length = self.index["lines"][name]
        return json.loads(self._content[self._start + offset : self._start + offset + length])


def _sum(data: bytes | memoryview) -> bytes:
    """Against damage, not against malice: who can write to the user's cache can do worse."""
    return b"%08x" % zlib.crc32(data)


def _read(path: Path, version: str) -> Knowledge:
    return _parse(_Lines(path.read_bytes()), version)


def _parse(lines: _Lines, version: str) -> Knowledge:
    if (lines.index["format"], lines.index["c7n"]) != (FORMAT, version):
        raise _Damaged
    return Knowledge(version, lines)


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all; no flush to the disk: what the power takes is made anew."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _type(name: str, raw: Mapping[str, Any], common: Mapping[str, Any]) -> ResourceType:
    definitions = {**common, "resources": {name: raw["definitions"]}}
    return ResourceType(
        name=name,
        names=tuple(raw["names"]),
        filters={key: _element(key, each) for key, each in raw["filters"].items()},
        actions={key: _element(key, each) for key, each in raw["actions"].items()},
        validate=raw["validate"],
        metrics_namespace=raw["metrics_namespace"],
        arn_key=ArnKey(**raw["arn_key"]) if raw["arn_key"] else None,
        schema={"$ref": f"#/definitions/resources/{name}/policy", "definitions": definitions},
    )


def _element(name: str, raw: Mapping[str, Any]) -> Element:
    told = tuple(Deprecation(**{**each, "names": tuple(each["names"])}) for each in raw.get("deprecations", ()))
    return Element(**{**raw, "name": name, "deprecations": told})


def _build(version: str) -> bytes:
    from finops_policy.custodian.vocabulary import vocabulary

    made = vocabulary()
    lines, places, offset = [], {}, 0
    for name, raw in [("", made.common), *made.types.items()]:
        line = json.dumps(raw, separators=(",", ":")).encode()
        places[name] = [offset, len(line)]
        offset += len(line) + 1
        lines.append(line + b"\n")
    rest = b"".join(lines)
    index = {
        "format": FORMAT,
        "c7n": version,
        "names": made.names,
        "lines": places,
        "size": len(rest),
        "sum": _sum(rest).decode(),
    }
    head = json.dumps(index, separators=(",", ":")).encode()
    return b"\n".join([_sum(head), head, rest])
